//! What goes to stdout.

use std::fmt::Display;
use std::io::{self, Write};

/// Prints a line to stdout.
pub fn line(text: impl Display) -> anyhow::Result<()> {
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}

/// Whether stdout's reader has gone.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let cause = error.root_cause().downcast_ref::<io::Error>();
    cause.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
