//! The instruction sets that this CPU has, found without the library under test.

/// The kernel levels that this CPU has, the best last, by the names that they have in the
/// library.
pub(crate) fn levels() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    let levels = {
        use std::arch::is_x86_feature_detected as has;
        let avx512 = has!("avx512f") && has!("avx512bw") && has!("avx512vl");
        // Linux lists it where its kernel lets processes use the tiles.
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let amx = cpu.split_ascii_whitespace().any(|flag| flag == "amx_int8");
        [
            ("avx2", has!("avx2") && has!("fma")),
            ("avx512_vnni", avx512 && has!("avx512vnni")),
            ("amx_int8", avx512 && has!("avx512vnni") && amx),
        ]
    };
    #[cfg(target_arch = "aarch64")]
    let levels = {
        use std::arch::is_aarch64_feature_detected as has;
        [
            ("neon", has!("neon")),
            ("neon_dotprod", has!("dotprod")),
            ("neon_i8mm", has!("i8mm")),
        ]
    };
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let levels: [(&str, bool); 0] = [];
    let there = levels.into_iter().filter(|(_, there)| *there);
    there.map(|(name, _)| name).collect()
}

/// The best of them, or what the processor is.
pub(crate) fn best() -> &'static str {
    levels().last().unwrap_or(&std::env::consts::ARCH)
}
