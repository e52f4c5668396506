//! Progress bars with time left, on stderr, silent where stderr is no terminal.

use std::sync::LazyLock;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// All bars that are shown, one below the other: a long one goes on while parts of it have their own.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// A bar over `length` items, introduced by `what`; its message stands at the end.
pub fn bar(length: u64, what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} · {eta} left {msg}");
    let bar = BARS.add(ProgressBar::new(length).with_prefix(what.to_owned()));
    bar.enable_steady_tick(Duration::from_millis(250));
    match style {
        Ok(style) => bar.with_style(style.progress_chars("█▉▊▋▌▍▎▏ ")),
        Err(_) => bar,
    }
}
