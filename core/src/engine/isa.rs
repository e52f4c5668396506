//! Which instruction set this CPU offers, by the names under which measurements
//! are reported. It names the machine; which kernels run is the engine's choice.

/// The best level of this CPU: `avx512_vnni`, `avx2` or `x86_64`; `neon_i8mm`,
/// `neon_dotprod` or `neon`; elsewhere `generic`.
pub fn isa() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512vnni") {
            "avx512_vnni"
        } else if std::arch::is_x86_feature_detected!("avx2") {
            "avx2"
        } else {
            "x86_64"
        }
    }
    #[cfg(target_arch = "aarch64")]
    {
        if std::arch::is_aarch64_feature_detected!("i8mm") {
            "neon_i8mm"
        } else if std::arch::is_aarch64_feature_detected!("dotprod") {
            "neon_dotprod"
        } else {
            "neon"
        }
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        "generic"
    }
}
