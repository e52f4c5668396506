//! Which instruction set this CPU offers, by the names under which measurements
//! are reported. It names the machine; which kernels run is the engine's choice.

use super::kernels::levels;

/// The best level of this CPU: `amx_int8`, `avx512_vnni` or `avx2`; `neon_i8mm`,
/// `neon_dotprod` or `neon`; the architecture's name where it has no level of its own.
pub fn isa() -> &'static str {
    match levels().first().map(|level| level.name()) {
        None | Some("scalar") => std::env::consts::ARCH,
        Some(name) => name,
    }
}
