//! How numbers and words are written in the page: one way each.

use std::fmt::Display;

/// Between a number and its unit: no line ends there.
const SPACE: char = '\u{a0}';

/// A share, in per cent.
pub fn percent(share: f64) -> String {
    format!("{:.2}{SPACE}%", 100.0 * share)
}

/// A share without a unit, for tables of many.
pub fn share(share: f64) -> String {
    format!("{share:.3}")
}

/// Bytes, in units of 1000.
pub fn bytes(bytes: usize) -> String {
    let units = [("B", 1e0), ("kB", 1e3), ("MB", 1e6), ("GB", 1e9)];
    scaled(bytes as f64, &units)
}

/// A count, in units of 1000.
pub fn count(count: usize) -> String {
    match count {
        0..1000 => count.to_string(),
        _ => scaled(count as f64, &[("k", 1e3), ("M", 1e6), ("G", 1e9)]),
    }
}

/// Milliseconds.
pub fn milliseconds(ms: f64) -> String {
    format!("{}{SPACE}ms", three_digits(ms))
}

/// A rate without its unit.
pub fn rate(value: f64) -> String {
    three_digits(value)
}

/// Seconds, minutes or hours.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round().max(0.0) as u64;
    let two = |large: u64, small: u64, names: [&str; 2]| {
        let [one, other] = names;
        format!("{large}{SPACE}{one}{SPACE}{small:02}{SPACE}{other}")
    };
    match whole {
        0..60 => format!("{}{SPACE}s", three_digits(seconds.max(0.0))),
        60..3600 => two(whole / 60, whole % 60, ["min", "s"]),
        _ => two(whole / 3600, whole % 3600 / 60, ["h", "min"]),
    }
}

/// What is not known is a dash.
pub fn or_dash<T>(value: Option<T>, shown: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), shown)
}

fn scaled(value: f64, units: &[(&str, f64)]) -> String {
    // What would be written as 1000 is 1 of the next.
    let fits = units.iter().rev().find(|(_, unit)| value >= 0.9995 * unit);
    let (name, unit) = fits.or(units.first()).copied().unwrap_or(("", 1.0));
    format!("{}{SPACE}{name}", three_digits(value / unit))
}

/// Three digits that count, none behind the point where three stand before it.
fn three_digits(value: f64) -> String {
    match value.abs() {
        v if v >= 99.95 => format!("{value:.0}"),
        v if v >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Words as HTML text or as a quoted attribute.
pub fn escape(text: impl Display) -> String {
    text.to_string()
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_one_way() {
        let plain = |text: String| text.replace(SPACE, " ");
        assert_eq!(plain(percent(0.90625)), "90.62 %");
        for (value, text) in [
            (999, "999"),
            (1000, "1.00 k"),
            (3_228_864, "3.23 M"),
            (999_700, "1.00 M"),
            (23_800_000_000, "23.8 G"),
        ] {
            assert_eq!(plain(count(value)), text);
        }
        assert_eq!(plain(bytes(3_412_345)), "3.41 MB");
        assert_eq!(plain(bytes(12)), "12.0 B");
        assert_eq!(plain(milliseconds(1.2345)), "1.23 ms");
        assert_eq!(plain(milliseconds(412.3)), "412 ms");
        for (seconds, text) in [
            (7.25, "7.25 s"),
            (59.7, "1 min 00 s"),
            (754.0, "12 min 34 s"),
            (7384.0, "2 h 03 min"),
        ] {
            assert_eq!(plain(duration(seconds)), text);
        }
        assert_eq!(or_dash(None, percent), "–");
    }

    #[test]
    fn words_stay_words() {
        assert_eq!(
            escape("a<b & 'c' > \"d\""),
            "a&lt;b &amp; &#39;c&#39; &gt; &quot;d&quot;"
        );
    }
}
