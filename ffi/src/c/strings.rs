//! Strings, lists and buffers of the caller's.

use std::ffi::{CStr, c_char};

use etalase::Result;

use super::status::null;
use crate::invalid;

/// A string that must not be NULL.
///
/// # Safety
/// `text` is NULL or ended by NUL, and doesn't change as long as `'a`.
pub(super) unsafe fn text<'a>(name: &str, text: *const c_char) -> Result<&'a str> {
    if text.is_null() {
        return Err(null(name));
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str()
        .map_err(|_| invalid(format!("{name} is not UTF-8: {:?}", text.to_string_lossy())))
}

/// A string that may be NULL.
///
/// # Safety
/// As [`text`].
pub(super) unsafe fn optional_text<'a>(
    name: &str,
    pointer: *const c_char,
) -> Result<Option<&'a str>> {
    match pointer.is_null() {
        true => Ok(None),
        // SAFETY: the caller's promise.
        false => unsafe { text(name, pointer) }.map(Some),
    }
}

/// A list of `length` values; NULL is an empty one where `length` is 0.
///
/// # Safety
/// `pointer` is NULL or points to `length` values that don't change as long as `'a`.
pub(super) unsafe fn list<'a, T>(name: &str, pointer: *const T, length: usize) -> Result<&'a [T]> {
    if pointer.is_null() {
        return match length {
            0 => Ok(&[]),
            _ => Err(invalid(format!("{name} is NULL with a length of {length}"))),
        };
    }
    check_length::<T>(name, length)?;
    // SAFETY: the caller's promise; the length is that of a possible object.
    Ok(unsafe { std::slice::from_raw_parts(pointer, length) })
}

/// Room for `length` values of the caller's; NULL is none where `length` is 0.
///
/// # Safety
/// `pointer` is NULL or points to `length` values that nobody else uses as long as `'a`.
pub(super) unsafe fn room<'a, T: Copy>(
    name: &str,
    pointer: *mut T,
    length: usize,
) -> Result<&'a mut [T]> {
    if pointer.is_null() {
        return match length {
            0 => Ok(&mut []),
            _ => Err(invalid(format!("{name} is NULL with room for {length}"))),
        };
    }
    check_length::<T>(name, length)?;
    // SAFETY: the caller's promise; the length is that of a possible object.
    Ok(unsafe { std::slice::from_raw_parts_mut(pointer, length) })
}

/// Refuses a length that no object has, such as (size_t)-1.
fn check_length<T>(name: &str, length: usize) -> Result<()> {
    let bytes = length.checked_mul(size_of::<T>());
    match bytes.is_some_and(|bytes| bytes <= isize::MAX as usize) {
        true => Ok(()),
        false => Err(invalid(format!(
            "{name}: no memory holds {length} of these"
        ))),
    }
}
