//! Etalase for other languages, in one native library: a C ABI ([`c`], with `include/etalase.h` made from it), which C++
//! and Swift use as well, and what the Kotlin library calls (`jni`, a feature).
//!
//! No logic is here: arguments are checked and turned into core's, answers into what the other side can hold, and errors
//! and panics into values. Core's errors keep their kinds and messages.

pub mod c;
#[cfg(feature = "jni")]
pub mod jni;
mod photo;

use etalase::decision::class_named;
use etalase::{Bundle, Error, ErrorKind, Result};

/// A photo that makes a binding panic outside of core.
#[cfg(feature = "panic-on-demand")]
const PANIC_ON_DEMAND: &[u8] = b"etalase: panic in the binding";

// Cold: what a call that goes well runs through lies closer together, in caches that the network has just emptied.
#[cold]
fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

/// The bundle that was built in.
fn default_bundle() -> Result<Bundle> {
    #[cfg(feature = "default-bundle")]
    return Bundle::default_bundle();
    #[cfg(not(feature = "default-bundle"))]
    Err(invalid(
        "this library was built without a default bundle: open a bundle from a file or from memory",
    ))
}

/// The classes that `labels` name in the list `list`.
fn classes_named<'a>(
    list: &str,
    labels: impl Iterator<Item = Result<&'a str>>,
    classes: &[String],
) -> Result<Vec<usize>> {
    labels
        .map(|label| class_named(label?, classes))
        .collect::<Result<_>>()
        .map_err(|error| error.context(list))
}

/// The class that `declared` names, where something is declared.
fn declared_class(declared: Option<&str>, classes: &[String]) -> Result<Option<usize>> {
    let class = declared.map(|label| class_named(label, classes));
    class.transpose().map_err(|error| error.context("declared"))
}

/// The bundle's content as JSON.
fn inspection(bundle: &Bundle) -> Result<String> {
    serde_json::to_string(&bundle.inspect()).map_err(|error| {
        Error::new(ErrorKind::Internal, "the bundle's content is no JSON").with_source(error)
    })
}
