//! Structs that grow: the first field is the size that the caller's compiler gave them.
//!
//! An older program passes a shorter struct, whose missing fields are 0, which means "as before". A newer program passes a
//! longer one: what this library doesn't know has to be 0, otherwise it would be ignored silently.

use std::mem::{MaybeUninit, size_of};

use etalase::Result;

use super::status::null;
use crate::invalid;

/// A struct whose first field is `struct_size`.
///
/// # Safety
/// `#[repr(C)]`, the first field is the `usize` struct_size, and every pattern of bytes is valid: numbers and raw pointers.
pub(super) unsafe trait Versioned: Copy {
    /// The struct's name, for messages.
    const NAME: &'static str;
    /// The header's function that sets its size.
    const INIT: &'static str;
    /// What its first version had.
    const FIRST_SIZE: usize;
}

/// The most that a later version may have: a size beyond it was never set.
const LARGEST: usize = 4096;

/// Reads the caller's struct.
///
/// # Safety
/// `pointer` is NULL or points to a struct of as many bytes as its first field says.
pub(super) unsafe fn read<T: Versioned>(pointer: *const T) -> Result<T> {
    if pointer.is_null() {
        return Err(null(T::NAME));
    }
    // SAFETY: the first field, by the trait.
    let size = unsafe { pointer.cast::<usize>().read_unaligned() };
    if size < T::FIRST_SIZE || size > LARGEST {
        return Err(invalid(format!(
            "{}: struct_size is {size}; start from {}()",
            T::NAME,
            T::INIT
        )));
    }
    let known = size.min(size_of::<T>());
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: the caller's struct has `size` bytes, `value` has room for `known` of them.
    unsafe {
        let to = value.as_mut_ptr().cast::<u8>();
        to.copy_from_nonoverlapping(pointer.cast(), known);
    }
    for at in known..size {
        // SAFETY: inside of the caller's struct.
        if unsafe { pointer.cast::<u8>().add(at).read() } != 0 {
            return Err(invalid(format!(
                "{}: the program sets what this library ({}) doesn't know; link a newer one",
                T::NAME,
                env!("CARGO_PKG_VERSION")
            )));
        }
    }
    // SAFETY: zeros or the caller's bytes, valid by the trait.
    Ok(unsafe { value.assume_init() })
}

/// As [`read`]; NULL is the struct with zeros, its defaults.
///
/// # Safety
/// As [`read`].
pub(super) unsafe fn read_or_default<T: Versioned>(pointer: *const T) -> Result<T> {
    if pointer.is_null() {
        // SAFETY: zeros are valid by the trait.
        return Ok(unsafe { MaybeUninit::zeroed().assume_init() });
    }
    // SAFETY: the caller's promise.
    unsafe { read(pointer) }
}

/// Writes `value` where [`read`] found it, no further than the caller's struct goes. Its struct_size is the one read.
///
/// # Safety
/// `pointer` is the one that [`read`] gave `value` for, and may be written to.
pub(super) unsafe fn write<T: Versioned>(pointer: *mut T, value: &T) {
    // SAFETY: `read` has checked that size.
    unsafe {
        let size = pointer.cast::<usize>().read_unaligned();
        let from: *const T = value;
        pointer
            .cast::<u8>()
            .copy_from_nonoverlapping(from.cast(), size.min(size_of::<T>()));
    }
}
