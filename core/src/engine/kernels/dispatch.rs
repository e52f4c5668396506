//! Which kernels run: the best that this CPU has, or a lower level by request.

use super::Kernels;
use super::scalar::Scalar;

/// The environment variable that forces a lower level, by name.
pub(crate) const VARIABLE: &str = "ETALASE_ISA";

/// Every level that this CPU can run, best first; the last is the specification.
pub(crate) fn levels() -> Vec<&'static dyn Kernels> {
    let mut levels: Vec<&'static dyn Kernels> = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        levels.extend(super::avx512_vnni::amx_int8());
        levels.extend(super::avx512_vnni::avx512_vnni());
        levels.extend(super::avx2::avx2());
    }
    #[cfg(target_arch = "aarch64")]
    {
        levels.extend(super::neon_i8mm::i8mm());
        levels.extend(super::neon_dotprod::dotprod());
        levels.extend(super::neon::neon());
    }
    levels.push(&Scalar);
    levels
}

/// The level to use: the one that `ETALASE_ISA` names where this CPU has it, else the best.
pub(crate) fn best() -> &'static dyn Kernels {
    let levels = levels();
    let wanted = std::env::var(VARIABLE).ok();
    let named = levels
        .iter()
        .find(|level| Some(level.name()) == wanted.as_deref());
    *named
        .or(levels.first())
        .unwrap_or(&(&Scalar as &dyn Kernels))
}

/// Whether integer kernels are the fast way here: the specification, which is all that
/// some CPUs have, is slower than tract. Asked for by name, it runs.
#[cfg(feature = "onnx")]
pub(crate) fn pays() -> bool {
    levels().len() > 1 || std::env::var(VARIABLE).is_ok_and(|name| name == Scalar.name())
}
