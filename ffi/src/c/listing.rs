//! Several photos of one listing, one answer.

use std::ffi::c_char;

use etalase::Result;
use etalase::decision::Said;

use super::ETALASE_NO_CLASS;
use super::answer::{EtalaseVerdict, scores_room};
use super::classifier::EtalaseClassifier;
use super::status::{EtalaseError, EtalaseStatus, guarded, required};
use super::strings::{list, optional_text, room};
use super::versioned::{self, Versioned};
use crate::declared_class;

/// What one photo of a listing says: `scores` and `familiarity` of its EtalaseAnswer.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct EtalaseSaid {
    /// Every class's score, etalase_class_count of them.
    pub scores: *const f32,
    /// Values at `scores`.
    pub length: usize,
    /// As the answer has it; -1 where the bundle doesn't tell.
    pub familiarity: f32,
}

/// A photo that does not belong to the others of its listing.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct EtalaseOdd {
    /// Its place in the listing, from 0.
    pub photo: u32,
    /// The class that it shows; ETALASE_NO_CLASS where it is unfamiliar.
    pub shows: u32,
}

/// The answer to a listing, in the caller's memory. Start from etalase_listing_init() and set the buffers that are wanted.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct EtalaseListing {
    /// sizeof(EtalaseListing).
    pub struct_size: usize,
    /// Set by the caller: room for every class's score, or NULL.
    pub scores: *mut f32,
    /// Set by the caller: at least etalase_class_count where `scores` is not NULL.
    pub scores_capacity: usize,
    /// Set by the caller: room for odd photos, or NULL.
    pub odd: *mut EtalaseOdd,
    /// Set by the caller.
    pub odd_capacity: usize,
    /// Odd photos in all; as many as there is room for are at `odd`, in the order of the photos.
    pub odd_count: usize,
    /// Of the most familiar photo; -1 where the bundle doesn't tell.
    pub familiarity: f32,
    /// On what was declared.
    pub verdict: EtalaseVerdict,
}

// SAFETY: numbers and raw pointers only, the size first.
unsafe impl Versioned for EtalaseListing {
    const NAME: &'static str = "EtalaseListing";
    const INIT: &'static str = "etalase_listing_init";
    const FIRST_SIZE: usize = size_of::<Self>();
}

/// Fuses the photos of a listing: one answer, the photos that do not belong, and a verdict where `declared`, a canonical
/// name, is not NULL. Any thread. Errors: INVALID_ARGUMENT where there is no photo or one has other than
/// etalase_class_count scores.
///
/// # Safety
/// Pointers, those inside of structs too, are NULL or point to what their names say; strings are ended by NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etalase_listing(
    classifier: *const EtalaseClassifier,
    photos: *const EtalaseSaid,
    count: usize,
    declared: *const c_char,
    listing: *mut EtalaseListing,
    error: *mut EtalaseError,
) -> EtalaseStatus {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        guarded(error, || {
            let mut told = EtalaseListing {
                odd_count: 0,
                familiarity: 0.0,
                verdict: EtalaseVerdict::of(None),
                ..versioned::read(listing)?
            };
            versioned::write(listing, &told);
            let handle = required("classifier", classifier)?;
            let classifier = &handle.classifier;
            let said = list("photos", photos, count)?.iter().map(|photo| {
                Ok(Said {
                    scores: list("a photo's scores", photo.scores, photo.length)?,
                    familiarity: (photo.familiarity >= 0.0).then_some(photo.familiarity),
                })
            });
            let said = said.collect::<Result<Vec<_>>>()?;
            let declared = optional_text("declared", declared)?;
            let declared = declared_class(declared, handle.manifest_classes())?;
            let scores = scores_room(told.scores, told.scores_capacity, classifier)?;
            let odd = room("odd", told.odd, told.odd_capacity)?;

            let answer = classifier.listing_of(&said, declared)?;
            if let Some(scores) = scores {
                scores.copy_from_slice(&answer.fused.scores);
            }
            for (to, from) in odd.iter_mut().zip(&answer.fused.odd) {
                *to = EtalaseOdd {
                    photo: from.photo as u32,
                    shows: from.shows.map_or(ETALASE_NO_CLASS, |class| class as u32),
                };
            }
            told.odd_count = answer.fused.odd.len();
            told.familiarity = answer.fused.familiarity.unwrap_or(-1.0);
            told.verdict = EtalaseVerdict::of(answer.verdict);
            versioned::write(listing, &told);
            Ok(())
        })
    }
}
