//! How much memory there is, and how that is said.

/// Bytes that this machine can still give without swapping; unknown where the system does not say (it is not Linux).
pub fn available() -> Option<usize> {
    parse(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

/// The line `MemAvailable:   15904788 kB` of /proc/meminfo.
fn parse(meminfo: &str) -> Option<usize> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// `6.3 GB`, `41 MB`.
pub fn in_words(bytes: usize) -> String {
    match bytes as f64 {
        bytes if bytes >= 1e9 => format!("{:.1} GB", bytes / 1e9),
        bytes => format!("{:.0} MB", bytes / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_available_is_read() {
        let text =
            "MemTotal:       24558816 kB\nMemFree:         2 kB\nMemAvailable:   15904788 kB\n";
        assert_eq!(parse(text), Some(15_904_788 * 1024));
        assert_eq!(parse("MemTotal: 1 kB"), None);
        if cfg!(target_os = "linux") {
            assert!(available().unwrap() > 1 << 20);
        }
    }

    #[test]
    fn bytes_are_said_in_words() {
        assert_eq!(in_words(6_312_000_000), "6.3 GB");
        assert_eq!(in_words(41_400_000), "41 MB");
    }
}
