//! The C ABI. `include/etalase.h` is made from these files by `cargo xtask header`, comments included: they are the manual.
//!
//! Rules that hold for every function: it runs inside [`status::guarded`], which catches panics; it takes no NULL where it
//! needs something, and says so with an error instead of crashing; the caller owns all memory but handles and the strings
//! that it is told belong to a handle; nothing that the caller passed is kept after the call.

mod answer;
mod cancel;
mod classifier;
mod listing;
mod options;
mod photo;
mod status;
mod strings;
mod versioned;

pub use crate::photo::EtalaseFormat;
#[cfg(feature = "jni")]
pub(crate) use answer::bit;
pub use answer::{
    EtalaseAdvice, EtalaseAnswer, EtalaseMeasures, EtalaseReason, EtalaseScore, EtalaseVerdict,
    EtalaseVerdictKind, etalase_classify,
};
pub use cancel::{EtalaseCancel, etalase_cancel, etalase_cancel_free, etalase_cancel_new};
pub use classifier::{
    EtalaseClassifier, EtalaseOpenOptions, etalase_class_count, etalase_class_named,
    etalase_classifier_free, etalase_inspect, etalase_label, etalase_open_default,
    etalase_open_file, etalase_open_memory,
};
pub use listing::{EtalaseListing, EtalaseOdd, EtalaseSaid, etalase_listing};
pub use options::EtalaseOptions;
pub use photo::{
    EtalaseOrientation, EtalasePhoto, EtalasePlane, EtalaseRegion, EtalaseYuvMatrix,
    EtalaseYuvRange,
};
pub use status::{ETALASE_MESSAGE_BYTES, EtalaseError, EtalaseStatus, etalase_status_name};

use std::ffi::c_char;

/// No class: where a verdict suggests none, where an odd photo shows none.
pub const ETALASE_NO_CLASS: u32 = u32::MAX;

/// The familiarity from which on a photo is a familiar one: its scores mean something.
pub const ETALASE_FAMILIAR_FROM: f32 = 0.5;

/// The library's version, `major << 16 | minor << 8 | patch`, to compare with ETALASE_VERSION of the header that the
/// program was compiled with: the ABI is the same where the major numbers are, and the library's minor is not smaller
/// (while the major number is 0: where both are the same).
#[unsafe(no_mangle)]
pub extern "C" fn etalase_version() -> u32 {
    let number = |text: &str| text.parse::<u32>().unwrap_or_default();
    number(env!("CARGO_PKG_VERSION_MAJOR")) << 16
        | number(env!("CARGO_PKG_VERSION_MINOR")) << 8
        | number(env!("CARGO_PKG_VERSION_PATCH"))
}

/// The library's version as text, such as "0.1.0". Static; never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn etalase_version_text() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

#[cfg(test)]
mod tests {
    use etalase::decision::is_familiar;

    use super::*;

    #[test]
    fn what_is_familiar_is_what_core_says() {
        assert!(is_familiar(ETALASE_FAMILIAR_FROM));
        assert!(!is_familiar(ETALASE_FAMILIAR_FROM.next_down()));
    }
}
