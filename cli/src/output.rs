//! What goes to stdout and what to stderr.

use std::fmt::Display;
use std::io::{self, Write};

use serde::Serialize;

/// Prints a line to stdout.
pub fn line(text: impl Display) -> anyhow::Result<()> {
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}

/// Prints one JSON object as one line to stdout.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string(value)?)
}

/// Prints a complaint to stderr. Failing to do so has nobody left to be told.
pub fn complain(message: impl Display) {
    let _ = writeln!(io::stderr().lock(), "etalase: {message}");
}

/// Whether stdout's reader has gone.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let cause = error.root_cause().downcast_ref::<io::Error>();
    cause.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// A bar of at most `width` characters, in eighths of a character.
pub fn bar(part: f64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (part.clamp(0.0, 1.0) * width as f64 * 8.0).round() as usize;
    let last = EIGHTHS.get(eighths % 8).copied().unwrap_or_default();
    format!("{}{last}", "█".repeat(eighths / 8))
}

/// The longest of `texts`, in characters.
pub fn width<'a>(texts: impl IntoIterator<Item = &'a str>) -> usize {
    let widths = texts.into_iter().map(|text| text.chars().count());
    widths.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_proportional() {
        assert_eq!(bar(0.0, 10), "");
        assert_eq!(bar(0.5, 10), "█████");
        assert_eq!(bar(1.0, 2), "██");
        assert_eq!(bar(0.3125, 2), "▋");
        assert_eq!(bar(f64::NAN, 2), "");
    }
}
