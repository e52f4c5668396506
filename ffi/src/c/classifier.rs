//! Opening a classifier, and what can be asked of it besides answers.

use std::collections::BTreeMap;
use std::ffi::{CString, c_char};
use std::path::Path;
use std::sync::OnceLock;

use etalase::decision::class_named;
use etalase::{Bundle, Classifier, EngineOptions, Result};

use super::status::{EtalaseError, EtalaseStatus, guarded, null, place, required};
use super::strings::{list, optional_text, text};
use super::versioned::{self, Versioned};
use crate::{default_bundle, inspection, invalid};

/// A classifier: a network with its classes, ready to answer. Threads: every function that takes it may be called from
/// any number of threads at once, without a lock; etalase_classifier_free alone must be the last.
pub struct EtalaseClassifier {
    pub(super) classifier: Classifier,
    classes: Vec<CString>,
    labels: BTreeMap<String, Vec<CString>>,
    inspection: OnceLock<CString>,
}

/// How a classifier is opened; zeros are the defaults. Start from etalase_open_options_init().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct EtalaseOpenOptions {
    /// sizeof(EtalaseOpenOptions).
    pub struct_size: usize,
    /// Threads for one answer, 1 to 256; 0 is 1. They sleep between answers. More photos a second come from asking on
    /// more threads, a faster answer from more threads here.
    pub threads: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: numbers only, the size first.
unsafe impl Versioned for EtalaseOpenOptions {
    const NAME: &'static str = "EtalaseOpenOptions";
    const INIT: &'static str = "etalase_open_options_init";
    const FIRST_SIZE: usize = size_of::<Self>();
}

/// Opens the bundle at `path` (UTF-8). `options`: NULL for the defaults. On success *classifier is to be freed with
/// etalase_classifier_free, on failure it is NULL. Errors: IO where the file cannot be read, BUNDLE, BUNDLE_TOO_NEW,
/// MODEL, INVALID_ARGUMENT where an argument is NULL or the path is not UTF-8.
///
/// # Safety
/// Pointers are NULL or point to what their names say; strings are ended by NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etalase_open_file(
    path: *const c_char,
    options: *const EtalaseOpenOptions,
    classifier: *mut *mut EtalaseClassifier,
    error: *mut EtalaseError,
) -> EtalaseStatus {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        open(options, classifier, error, || {
            Bundle::open(Path::new(text("path", path)?))
        })
    }
}

/// Opens a bundle of `length` bytes at `data`, which are copied. Otherwise as etalase_open_file.
///
/// # Safety
/// Pointers are NULL or point to what their names say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etalase_open_memory(
    data: *const u8,
    length: usize,
    options: *const EtalaseOpenOptions,
    classifier: *mut *mut EtalaseClassifier,
    error: *mut EtalaseError,
) -> EtalaseStatus {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        open(options, classifier, error, || {
            Bundle::from_bytes(list("data", data, length)?.to_vec())
        })
    }
}

/// Opens the default bundle, where the library was built with it (INVALID_ARGUMENT otherwise). Otherwise as
/// etalase_open_file.
///
/// # Safety
/// Pointers are NULL or point to what their names say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etalase_open_default(
    options: *const EtalaseOpenOptions,
    classifier: *mut *mut EtalaseClassifier,
    error: *mut EtalaseError,
) -> EtalaseStatus {
    // SAFETY: the caller's promises, passed on.
    unsafe { open(options, classifier, error, default_bundle) }
}

/// Frees a classifier and all strings that it gave. NULL is ignored.
///
/// # Safety
/// `classifier` is NULL or was opened by this library, not freed, and is in no call's use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etalase_classifier_free(classifier: *mut EtalaseClassifier) {
    if !classifier.is_null() {
        // SAFETY: made by Box::into_raw, by the caller's promise.
        let classifier = unsafe { Box::from_raw(classifier) };
        // SAFETY: no error is asked for.
        unsafe {
            guarded(std::ptr::null_mut(), || {
                drop(classifier);
                Ok(())
            })
        };
    }
}

/// The number of classes, to *count: that of all scores.
///
/// # Safety
/// Pointers are NULL or point to what their names say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etalase_class_count(
    classifier: *const EtalaseClassifier,
    count: *mut u32,
    error: *mut EtalaseError,
) -> EtalaseStatus {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        guarded(error, || {
            *place("count", count)? = required("classifier", classifier)?.classes.len() as u32;
            Ok(())
        })
    }
}

/// A class's name, to *label: in `language`, a BCP 47 tag, else in one that shares its first part ("id" for "id-ID"); the
/// canonical name, which the options understand, where `language` is NULL. *label is the classifier's, UTF-8, and valid
/// until it is freed. Errors: INVALID_ARGUMENT where the bundle has no labels in that language, or no such class.
///
/// # Safety
/// Pointers are NULL or point to what their names say; strings are ended by NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etalase_label(
    classifier: *const EtalaseClassifier,
    class_index: u32,
    language: *const c_char,
    label: *mut *const c_char,
    error: *mut EtalaseError,
) -> EtalaseStatus {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        guarded(error, || {
            let place = place("label", label)?;
            *place = std::ptr::null();
            let classifier = required("classifier", classifier)?;
            let names = classifier.names(optional_text("language", language)?)?;
            let name = names.get(class_index as usize).ok_or_else(|| {
                invalid(format!(
                    "class {class_index} of {}",
                    classifier.classes.len()
                ))
            })?;
            *place = name.as_ptr();
            Ok(())
        })
    }
}

/// The class of a canonical name, to *class_index. Errors: INVALID_ARGUMENT where there is none, with the nearest names.
///
/// # Safety
/// Pointers are NULL or point to what their names say; strings are ended by NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etalase_class_named(
    classifier: *const EtalaseClassifier,
    label: *const c_char,
    class_index: *mut u32,
    error: *mut EtalaseError,
) -> EtalaseStatus {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        guarded(error, || {
            let classes = required("classifier", classifier)?.manifest_classes();
            let place = place("class_index", class_index)?;
            *place = class_named(text("label", label)?, classes)? as u32;
            Ok(())
        })
    }
}

/// What is in the bundle, to *json: one JSON object {"name", "version", "format", "backbone", "input": [height, width,
/// channels], "labels": {language: […]}, "classes", "bytes", "members", "preprocess", "policy", "card"}, as
/// `etalase inspect --json` gives it. *json is the classifier's, and valid until it is freed.
///
/// # Safety
/// Pointers are NULL or point to what their names say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etalase_inspect(
    classifier: *const EtalaseClassifier,
    json: *mut *const c_char,
    error: *mut EtalaseError,
) -> EtalaseStatus {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        guarded(error, || {
            let place = place("json", json)?;
            *place = std::ptr::null();
            let handle = required("classifier", classifier)?;
            let inspection = match handle.inspection.get() {
                Some(inspection) => inspection,
                None => {
                    let made = inspection(handle.classifier.bundle())?;
                    handle.inspection.get_or_init(|| c_string(made))
                }
            };
            *place = inspection.as_ptr();
            Ok(())
        })
    }
}

/// # Safety
/// As [`etalase_open_file`].
unsafe fn open(
    options: *const EtalaseOpenOptions,
    classifier: *mut *mut EtalaseClassifier,
    error: *mut EtalaseError,
    bundle: impl FnOnce() -> Result<Bundle>,
) -> EtalaseStatus {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        guarded(error, || {
            let place = classifier.as_mut().ok_or_else(|| null("classifier"))?;
            *place = std::ptr::null_mut();
            let options = versioned::read_or_default(options)?;
            let threads = options.threads.max(1) as usize;
            let options = EngineOptions {
                threads,
                ..EngineOptions::default()
            };
            let classifier = Classifier::new(bundle()?, &options)?;
            *place = Box::into_raw(Box::new(EtalaseClassifier::new(classifier)));
            Ok(())
        })
    }
}

impl EtalaseClassifier {
    fn new(classifier: Classifier) -> EtalaseClassifier {
        let bundle = classifier.bundle();
        let strings = |names: &[String]| names.iter().cloned().map(c_string).collect();
        let labels = bundle.labels().iter();
        EtalaseClassifier {
            classes: strings(&bundle.manifest().classes),
            labels: labels
                .map(|(language, names)| (language.clone(), strings(names)))
                .collect(),
            inspection: OnceLock::new(),
            classifier,
        }
    }

    pub(super) fn manifest_classes(&self) -> &[String] {
        &self.classifier.bundle().manifest().classes
    }

    fn names(&self, language: Option<&str>) -> Result<&[CString]> {
        let Some(language) = language else {
            return Ok(&self.classes);
        };
        let found = self.classifier.bundle().language(language)?;
        Ok(self.labels.get(found).map_or(&[], Vec::as_slice))
    }
}

/// Names have no control characters, and JSON writes them with escapes: no NUL is inside.
fn c_string(text: String) -> CString {
    CString::new(text).unwrap_or_default()
}
