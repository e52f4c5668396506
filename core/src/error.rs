//! The one error of the library: a small, stable kind to decide on, a message to
//! read, and the underlying error where there is one.
//!
//! A message names the thing and the cause ("shoe.jpg: the JPEG is cut short: …").
//! The library knows bytes, not names, so callers put the name in front with
//! [`Error::context`].

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;

/// What went wrong, coarse enough to stay the same over versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A file could not be read or written.
    Io,
    /// The bytes are not a photo that can be decoded.
    Photo,
    /// The photo announces more pixels than [`crate::photo::MAX_PIXELS`] or
    /// [`crate::photo::MAX_SIDE_PX`] allow.
    PhotoTooLarge,
    /// The bundle is damaged or contradicts itself.
    Bundle,
    /// The bundle's format version is newer than this library.
    BundleTooNew,
    /// The network cannot be read, is not a classifier, or failed while running.
    Model,
    /// The caller passed something that cannot be meant.
    InvalidArgument,
    /// The caller's cancel flag was set before the answer was there.
    Cancelled,
    /// The classifier was closed before the call. Rust's borrows rule it out; bindings need it.
    Closed,
    /// A defect of the library: it stopped unexpectedly. Nothing of the call is kept, and the next one works.
    Internal,
}

impl ErrorKind {
    /// Every kind, in a fixed order: what bindings compare their lists with.
    pub const ALL: [ErrorKind; 10] = [
        ErrorKind::Io,
        ErrorKind::Photo,
        ErrorKind::PhotoTooLarge,
        ErrorKind::Bundle,
        ErrorKind::BundleTooNew,
        ErrorKind::Model,
        ErrorKind::InvalidArgument,
        ErrorKind::Cancelled,
        ErrorKind::Closed,
        ErrorKind::Internal,
    ];

    /// A stable name in snake case, for logs and for other languages.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Io => "io",
            ErrorKind::Photo => "photo",
            ErrorKind::PhotoTooLarge => "photo_too_large",
            ErrorKind::Bundle => "bundle",
            ErrorKind::BundleTooNew => "bundle_too_new",
            ErrorKind::Model => "model",
            ErrorKind::InvalidArgument => "invalid_argument",
            ErrorKind::Cancelled => "cancelled",
            ErrorKind::Closed => "closed",
            ErrorKind::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The library's error. `Display` is one line that says everything, the underlying
/// error included; [`StdError::source`] therefore goes on behind that one, so that
/// printing the chain repeats nothing. [`Error::cause`] gives the error itself.
pub struct Error(Box<Inner>);

// Boxed, so that a `Result<f32>` stays two words.
struct Inner {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind`; `message` names the cause.
    // Cold: what leads here is laid out behind what a call that goes well runs through.
    #[cold]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Box::new(Inner {
            kind,
            message: message.into(),
            source: None,
        }))
    }

    /// Attaches the underlying error. Its text becomes the end of the message.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
        self.0.source = Some(source.into());
        self
    }

    /// Puts the thing that the error is about in front: a file, a member, a node.
    #[must_use]
    pub fn context(mut self, thing: impl fmt::Display) -> Error {
        self.0.message = format!("{thing}: {}", self.0.message);
        self
    }

    /// What went wrong, for programs.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The underlying error, where there is one, for inspection.
    pub fn cause(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        self.0.source.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        match &self.0.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({}: {self})", self.0.kind)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref()?.source()
    }
}

/// The library's result.
pub type Result<T> = std::result::Result<T, Error>;

/// Runs a third party's code on input that nobody vouches for, or a whole call of a binding, and
/// turns a panic into an error of `kind`: no panic reaches a caller.
///
/// # Errors
/// Those of `work`, and a panic's.
///
/// `AssertUnwindSafe` is sound here because `work` keeps nothing: after a panic
/// all that it touched is dropped.
pub fn catch_panic<T>(kind: ErrorKind, doing: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(panicked(kind, doing, panic.as_ref())))
}

#[cold]
fn panicked(kind: ErrorKind, doing: &str, panic: &(dyn Any + Send)) -> Error {
    let cause = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    Error::new(kind, format!("{doing} stopped unexpectedly ({cause})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_reads_from_the_thing_to_the_cause() {
        let error = Error::new(ErrorKind::Photo, "not readable")
            .with_source(std::io::Error::other("disk on fire"))
            .context("shoe.jpg");
        assert_eq!(error.to_string(), "shoe.jpg: not readable: disk on fire");
        assert_eq!(error.kind(), ErrorKind::Photo);
        let cause = error.cause().expect("kept");
        assert!(cause.is::<std::io::Error>());
        assert_eq!(cause.to_string(), "disk on fire");
        assert!(error.source().is_none(), "said already");
    }

    #[test]
    fn a_panic_becomes_an_error() {
        let result: Result<()> = catch_panic(ErrorKind::Model, "the test", || panic!("boom {}", 1));
        let error = result.expect_err("a panic is an error");
        assert_eq!(error.kind(), ErrorKind::Model);
        assert_eq!(error.to_string(), "the test stopped unexpectedly (boom 1)");
    }

    #[test]
    fn error_crosses_threads() {
        fn check<T: Send + Sync + 'static>() {}
        check::<Error>();
    }
}
