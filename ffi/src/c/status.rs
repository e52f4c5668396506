//! What every call returns, and the one wrapper around all of them.

use std::ffi::c_char;

use etalase::error::catch_panic;
use etalase::{Error, ErrorKind, Result};

/// What a call returns: 0, or what went wrong. The numbers never change; a later version may add some.
#[repr(i32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EtalaseStatus {
    /// It is done.
    Ok = 0,
    /// A file could not be read.
    Io = 1,
    /// The bytes are not a photo that can be decoded.
    Photo = 2,
    /// The photo has more pixels than the library takes.
    PhotoTooLarge = 3,
    /// The bundle is damaged or contradicts itself.
    Bundle = 4,
    /// The bundle was made for a newer library.
    BundleTooNew = 5,
    /// The network cannot be read, is not a classifier, or failed while running.
    Model = 6,
    /// The caller passed something that cannot be meant: NULL, a buffer shorter than announced, an unknown label.
    InvalidArgument = 7,
    /// The cancel flag was set before the answer was there.
    Cancelled = 8,
    /// The classifier was closed before the call. C never gets it, a freed handle must not be used; the Kotlin, Swift and
    /// C++ classifiers give it.
    Closed = 9,
    /// A defect of the library: it stopped unexpectedly. Nothing of the call is kept, and the next one works.
    Internal = 10,
}

impl EtalaseStatus {
    /// The number of a kind of core's.
    pub(crate) fn of(kind: ErrorKind) -> EtalaseStatus {
        match kind {
            ErrorKind::Io => EtalaseStatus::Io,
            ErrorKind::Photo => EtalaseStatus::Photo,
            ErrorKind::PhotoTooLarge => EtalaseStatus::PhotoTooLarge,
            ErrorKind::Bundle => EtalaseStatus::Bundle,
            ErrorKind::BundleTooNew => EtalaseStatus::BundleTooNew,
            ErrorKind::Model => EtalaseStatus::Model,
            ErrorKind::InvalidArgument => EtalaseStatus::InvalidArgument,
            ErrorKind::Cancelled => EtalaseStatus::Cancelled,
            ErrorKind::Closed => EtalaseStatus::Closed,
            // A kind that core adds and this list lacks is a defect, which a test finds.
            _ => EtalaseStatus::Internal,
        }
    }
}

/// A status by its stable name in snake case, such as "photo_too_large"; "ok" for 0, "unknown" for a number that this
/// library doesn't know. Static; never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn etalase_status_name(status: i32) -> *const c_char {
    let name: &'static [u8] = match status {
        0 => b"ok\0",
        1 => b"io\0",
        2 => b"photo\0",
        3 => b"photo_too_large\0",
        4 => b"bundle\0",
        5 => b"bundle_too_new\0",
        6 => b"model\0",
        7 => b"invalid_argument\0",
        8 => b"cancelled\0",
        9 => b"closed\0",
        10 => b"internal\0",
        _ => b"unknown\0",
    };
    name.as_ptr().cast()
}

/// Bytes of an error's message, its final NUL included.
pub const ETALASE_MESSAGE_BYTES: usize = 1024;

/// Room for an error's message, the caller's: put it on the stack. It comes back with the call, so that it belongs to
/// this call whatever other threads do. This struct never changes.
#[repr(C)]
pub struct EtalaseError {
    /// One line of UTF-8 that names the thing and the cause, ended by NUL, cut behind a whole character where it would be
    /// longer; empty where the call did what it should.
    pub message: [c_char; ETALASE_MESSAGE_BYTES],
}

/// Runs a call: no panic leaves it, and its error is told by number and message.
///
/// # Safety
/// `error` is NULL or points to an [`EtalaseError`] that nobody else uses meanwhile.
pub(super) unsafe fn guarded(
    error: *mut EtalaseError,
    call: impl FnOnce() -> Result<()>,
) -> EtalaseStatus {
    match catch_panic(ErrorKind::Internal, "the call", call) {
        Ok(()) => {
            // SAFETY: the caller's promise.
            unsafe { tell(error, &[]) };
            EtalaseStatus::Ok
        }
        // SAFETY: the caller's promise.
        Err(cause) => unsafe { failed(error, &cause) },
    }
}

/// # Safety
/// As [`guarded`].
#[cold]
unsafe fn failed(error: *mut EtalaseError, cause: &Error) -> EtalaseStatus {
    let message = cause.to_string();
    // SAFETY: the caller's promise.
    unsafe { tell(error, cut(&message, ETALASE_MESSAGE_BYTES - 1).as_bytes()) };
    EtalaseStatus::of(cause.kind())
}

/// Writes a text that fits with its NUL.
///
/// # Safety
/// As [`guarded`].
unsafe fn tell(error: *mut EtalaseError, text: &[u8]) {
    debug_assert!(text.len() < ETALASE_MESSAGE_BYTES);
    if error.is_null() {
        return;
    }
    // SAFETY: the caller's promise; the message is an array of bytes, for which every value is valid, and has room.
    unsafe {
        let room = (&raw mut (*error).message).cast::<u8>();
        room.copy_from_nonoverlapping(text.as_ptr(), text.len());
        room.add(text.len()).write(0);
    }
}

/// The longest beginning of `text` of at most `bytes` bytes that ends behind a whole character.
pub(super) fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len()))
        .rev()
        .find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}

/// An argument that must not be NULL.
///
/// # Safety
/// `pointer` is NULL or points to a `T` that lives and doesn't change as long as `'a`.
pub(super) unsafe fn required<'a, T>(name: &str, pointer: *const T) -> Result<&'a T> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(name))
}

/// Where a result goes; it must not be NULL.
///
/// # Safety
/// `pointer` is NULL or points to memory for a `T` that nobody else uses as long as `'a`.
pub(super) unsafe fn place<'a, T: Copy>(name: &str, pointer: *mut T) -> Result<&'a mut T> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_mut() }.ok_or_else(|| null(name))
}

#[cold]
pub(super) fn null(name: &str) -> Error {
    crate::invalid(format!("{name} is NULL"))
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    #[test]
    fn every_kind_of_core_has_its_number_and_name() {
        for (index, kind) in ErrorKind::ALL.into_iter().enumerate() {
            let status = EtalaseStatus::of(kind) as i32;
            assert_eq!(status, index as i32 + 1, "{kind}");
            // SAFETY: static, ended by NUL.
            let name = unsafe { CStr::from_ptr(etalase_status_name(status)) };
            assert_eq!(name.to_str(), Ok(kind.as_str()));
        }
    }

    #[test]
    fn a_message_is_cut_behind_a_whole_character() {
        assert_eq!(cut("größe", 3), "gr");
        assert_eq!(cut("größe", 4), "grö");
        assert_eq!(cut("größe", 99), "größe");
        assert_eq!(cut("ö", 1), "");
    }

    #[test]
    fn a_panic_comes_back_with_its_message() {
        let mut error = EtalaseError {
            message: [1; ETALASE_MESSAGE_BYTES],
        };
        // SAFETY: `error` is this function's.
        let status = unsafe { guarded(&raw mut error, || panic!("{}", "ö".repeat(2000))) };
        assert_eq!(status, EtalaseStatus::Internal);
        // SAFETY: ended by NUL.
        let message = unsafe { CStr::from_ptr(error.message.as_ptr()) };
        let message = message.to_str().expect("UTF-8");
        assert!(message.starts_with("the call stopped unexpectedly (öö"));
        assert!(message.len() >= ETALASE_MESSAGE_BYTES - 3);
        // SAFETY: as above.
        assert_eq!(
            unsafe { guarded(&raw mut error, || Ok(())) },
            EtalaseStatus::Ok
        );
        assert_eq!(error.message[0], 0);
        // SAFETY: NULL is allowed.
        let status = unsafe { guarded(std::ptr::null_mut(), || Err(null("photo"))) };
        assert_eq!(status, EtalaseStatus::InvalidArgument);
    }
}
