//! What a call wants to know.

use std::ffi::c_char;
use std::sync::atomic::AtomicBool;

use etalase::Result;
use etalase::decision::Ranking;

use super::cancel::EtalaseCancel;
use super::strings::{list, optional_text, text};
use super::versioned::{self, Versioned};
use crate::{classes_named, declared_class};

/// What an answer is to name; zeros are the defaults. Start from etalase_options_init().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct EtalaseOptions {
    /// sizeof(EtalaseOptions).
    pub struct_size: usize,
    /// At most so many classes, the best ones; 0: all.
    pub top_k: u32,
    /// Only classes whose score is at least this, 0 to 1.
    pub minimum_score: f32,
    /// Only these classes, `allow_count` canonical names; NULL: all. A list that is not NULL but empty allows none. Lists
    /// hide classes from `ranked` and never change a score.
    pub allow: *const *const c_char,
    /// Names in `allow`.
    pub allow_count: usize,
    /// None of these classes, `deny_count` canonical names.
    pub deny: *const *const c_char,
    /// Names in `deny`.
    pub deny_count: usize,
    /// What the seller says the photo shows, a canonical name; NULL: nothing. Then the answer has a verdict.
    pub declared: *const c_char,
    /// Cancels the call from another thread; NULL: nothing does.
    pub cancel: *const EtalaseCancel,
}

// SAFETY: numbers and raw pointers only, the size first.
unsafe impl Versioned for EtalaseOptions {
    const NAME: &'static str = "EtalaseOptions";
    const INIT: &'static str = "etalase_options_init";
    const FIRST_SIZE: usize = size_of::<Self>();
}

/// Options, understood.
pub(super) struct Asked<'a> {
    pub ranking: Ranking,
    pub declared: Option<usize>,
    pub cancel: Option<&'a AtomicBool>,
}

impl<'a> Asked<'a> {
    /// Reads the caller's options for a bundle with these classes.
    ///
    /// # Safety
    /// `options` is NULL or points to options whose pointers are NULL or point to what they say, as long as `'a`.
    pub unsafe fn read(options: *const EtalaseOptions, classes: &[String]) -> Result<Asked<'a>> {
        // SAFETY: the caller's promise.
        let options = unsafe { versioned::read_or_default(options) }?;
        let mut ranking = Ranking::default().minimum_score(options.minimum_score)?;
        if options.top_k > 0 {
            ranking = ranking.top(options.top_k as usize);
        }
        let named = |name: &str, labels: *const *const c_char, count: usize| {
            // SAFETY: the caller's promise.
            let labels = unsafe { list(name, labels, count) }?;
            // SAFETY: the caller's promise.
            let labels = labels
                .iter()
                .map(|label| unsafe { text("a label", *label) });
            classes_named(name, labels, classes)
        };
        if !options.allow.is_null() || options.allow_count > 0 {
            ranking = ranking.allow(named("allow", options.allow, options.allow_count)?);
        }
        ranking = ranking.deny(named("deny", options.deny, options.deny_count)?);
        // SAFETY: the caller's promise.
        let declared = unsafe { optional_text("declared", options.declared) }?;
        // SAFETY: the caller's promise.
        let cancel = unsafe { options.cancel.as_ref() };
        Ok(Asked {
            ranking,
            declared: declared_class(declared, classes)?,
            cancel: cancel.map(|cancel| &cancel.0),
        })
    }
}
