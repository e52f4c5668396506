//! Cancelling a call from another thread.

use std::sync::atomic::{AtomicBool, Ordering};

use super::status::{EtalaseError, EtalaseStatus, guarded, place};

/// A flag that cancels calls which were given it (EtalaseOptions.cancel). Threads: all functions may be called from any
/// thread at any time; free it when no call uses it any more. Once set it stays so.
pub struct EtalaseCancel(pub(super) AtomicBool);

/// Makes a cancel flag; to be freed with etalase_cancel_free. On failure *cancel is NULL.
///
/// # Safety
/// `cancel` is NULL or may be written to; `error` is NULL or points to an [`EtalaseError`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etalase_cancel_new(
    cancel: *mut *mut EtalaseCancel,
    error: *mut EtalaseError,
) -> EtalaseStatus {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        guarded(error, || {
            // First: an assignment makes what is assigned before it looks for the place.
            let place = place("cancel", cancel)?;
            let flag = EtalaseCancel(AtomicBool::new(false));
            *place = Box::into_raw(Box::new(flag));
            Ok(())
        })
    }
}

/// Cancels the calls that were given this flag: they return ETALASE_STATUS_CANCELLED as soon as they see it, at the
/// latest within the time of one operation of the network or of one photo's decoding. NULL is ignored.
///
/// # Safety
/// `cancel` is NULL or was made by [`etalase_cancel_new`] and not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etalase_cancel(cancel: *const EtalaseCancel) {
    // SAFETY: the caller's promise.
    if let Some(cancel) = unsafe { cancel.as_ref() } {
        cancel.0.store(true, Ordering::Relaxed);
    }
}

/// Frees a cancel flag. NULL is ignored.
///
/// # Safety
/// `cancel` is NULL or was made by [`etalase_cancel_new`], not freed, and is in no call's use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etalase_cancel_free(cancel: *mut EtalaseCancel) {
    if !cancel.is_null() {
        // SAFETY: made by Box::into_raw, by the caller's promise.
        drop(unsafe { Box::from_raw(cancel) });
    }
}
