//! One photo, one answer.

use std::ffi::c_char;

use etalase::decision::{Reason, VerdictKind};
use etalase::photo::Measures;
use etalase::{Advice, Answer, Classifier, Result, Verdict};

use super::ETALASE_NO_CLASS;
use super::classifier::EtalaseClassifier;
use super::options::{Asked, EtalaseOptions};
use super::photo::EtalasePhoto;
use super::status::{EtalaseError, EtalaseStatus, cut, guarded, required};
use super::strings::room;
use super::versioned::{self, Versioned};
use crate::invalid;

/// A class with its score.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct EtalaseScore {
    /// An index of the bundle's classes; etalase_label names it.
    pub class_index: u32,
    /// 0 to 1, calibrated where the bundle's policy says how. All classes' scores sum to 1.
    pub score: f32,
}

/// What a declaration deserves.
#[repr(u32)]
#[derive(Clone, Copy)]
pub enum EtalaseVerdictKind {
    /// Nothing was declared.
    None = 0,
    /// The photo shows what was declared.
    Match = 1,
    /// It shows another category.
    Mismatch = 2,
    /// A person should look.
    Unsure = 3,
}

/// Why.
#[repr(u32)]
#[derive(Clone, Copy)]
pub enum EtalaseReason {
    /// Nothing was declared.
    None = 0,
    /// The declared category's score is high enough.
    DeclaredIsLikely = 1,
    /// Another category's score is far ahead.
    AnotherIsLikely = 2,
    /// Neither is.
    CloseCall = 3,
    /// The photo is unlike those that the network was trained on: its scores mean little.
    Unfamiliar = 4,
}

/// The verdict on a declaration.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct EtalaseVerdict {
    /// An EtalaseVerdictKind.
    pub kind: u32,
    /// An EtalaseReason.
    pub reason: u32,
    /// The best category, where that is another than the declared one and the photo is familiar; else ETALASE_NO_CLASS.
    pub suggested: u32,
}

/// Remarks about a photo, bits of EtalaseAnswer.advice.
#[repr(u32)]
#[derive(Clone, Copy)]
pub enum EtalaseAdvice {
    /// Too little light.
    TooDark = 1,
    /// Highlights without detail.
    TooBright = 2,
    /// Out of focus, or moved.
    Blurred = 4,
    /// Too few pixels.
    TooSmall = 8,
    /// Much of the photo is a border of one colour.
    Framed = 16,
}

/// Measures of a photo, taken where it is resized to the network's input.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct EtalaseMeasures {
    /// Width of the region that was looked at, px of the upright photo.
    pub width_px: u32,
    /// Height of the region that was looked at, px of the upright photo.
    pub height_px: u32,
    /// Mean luma (BT.601), 0 black to 1 white.
    pub brightness: f32,
    /// Share of pixels without detail in the shadows.
    pub dark: f32,
    /// Share of pixels without detail in the highlights, or of a white background.
    pub bright: f32,
    /// 0 smooth (blurred), 1 clean edges, beyond it noise.
    pub sharpness: f32,
    /// Share of the photo in borders of one colour.
    pub uniform_border: f32,
}

/// An answer, in the caller's memory. Start from etalase_answer_init() and set the buffers that are wanted; the call sets
/// the rest. Where it fails, all that it would have set is 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct EtalaseAnswer {
    /// sizeof(EtalaseAnswer).
    pub struct_size: usize,
    /// Set by the caller: room for `ranked_capacity` classes, or NULL.
    pub ranked: *mut EtalaseScore,
    /// Set by the caller. Where more classes are to be named than there is room for, the best are.
    pub ranked_capacity: usize,
    /// Set by the caller: room for every class's score in the order of the classes, whatever the options hide; or NULL.
    pub scores: *mut f32,
    /// Set by the caller: at least etalase_class_count where `scores` is not NULL.
    pub scores_capacity: usize,
    /// Set by the caller: room for `notes_capacity` bytes, or NULL. What about the photo could not be followed, such as a
    /// rare colour profile: UTF-8, a line each, ended by NUL, cut where there is no room.
    pub notes: *mut c_char,
    /// Set by the caller.
    pub notes_capacity: usize,
    /// Classes written to `ranked`, best first.
    pub ranked_count: usize,
    /// Bytes of all notes without the final NUL; 0 where there are none.
    pub notes_length: usize,
    /// 0 (nothing that the network knows) to 1 (as in training), familiar from 0.5 on; -1 where the bundle doesn't tell.
    pub familiarity: f32,
    /// EtalaseAdvice bits.
    pub advice: u32,
    /// On what was declared.
    pub verdict: EtalaseVerdict,
    /// What can be said about the photo as a photo.
    pub measures: EtalaseMeasures,
    /// From encoded bytes (or pixels) to the network's input tensor, milliseconds.
    pub decode_ms: f64,
    /// From there to the finished answer, milliseconds.
    pub run_ms: f64,
}

// SAFETY: numbers and raw pointers only, the size first.
unsafe impl Versioned for EtalaseAnswer {
    const NAME: &'static str = "EtalaseAnswer";
    const INIT: &'static str = "etalase_answer_init";
    const FIRST_SIZE: usize = size_of::<Self>();
}

/// Classifies a photo. `options`: NULL for the defaults. Any thread. Errors: PHOTO and PHOTO_TOO_LARGE where the photo
/// cannot be decoded, INVALID_ARGUMENT where pixels, region, labels, buffers or sizes cannot be meant, CANCELLED, MODEL.
///
/// # Safety
/// Pointers, those inside of structs too, are NULL or point to what their names say; nobody writes to what is read, or
/// uses what is written, during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etalase_classify(
    classifier: *const EtalaseClassifier,
    photo: *const EtalasePhoto,
    options: *const EtalaseOptions,
    answer: *mut EtalaseAnswer,
    error: *mut EtalaseError,
) -> EtalaseStatus {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        guarded(error, || {
            let mut told = versioned::read(answer)?.without_results();
            versioned::write(answer, &told);
            let handle = required("classifier", classifier)?;
            let photo = EtalasePhoto::read(photo)?;
            let asked = Asked::read(options, handle.manifest_classes())?;
            told.fill(&handle.classifier, &photo, &asked)?;
            versioned::write(answer, &told);
            Ok(())
        })
    }
}

impl EtalaseAnswer {
    /// The caller's buffers, and zeros.
    fn without_results(self) -> EtalaseAnswer {
        EtalaseAnswer {
            ranked_count: 0,
            notes_length: 0,
            familiarity: 0.0,
            advice: 0,
            verdict: EtalaseVerdict::NONE,
            measures: EtalaseMeasures::of(None),
            decode_ms: 0.0,
            run_ms: 0.0,
            ..self
        }
    }

    /// Asks the classifier, and writes its answer.
    ///
    /// # Safety
    /// The buffers are NULL or have the room that is said, and nobody else uses them meanwhile.
    unsafe fn fill(
        &mut self,
        classifier: &Classifier,
        photo: &etalase::Photo<'_>,
        asked: &Asked<'_>,
    ) -> Result<()> {
        // SAFETY: the caller's promise.
        let ranked = unsafe { room("ranked", self.ranked, self.ranked_capacity) }?;
        // SAFETY: the caller's promise.
        let notes = unsafe { room("notes", self.notes.cast::<u8>(), self.notes_capacity) }?;
        // SAFETY: the caller's promise.
        let scores = unsafe { scores_room(self.scores, self.scores_capacity, classifier) }?;
        let answer = match asked.cancel {
            Some(cancel) => classifier.classify_until(photo, cancel)?,
            None => classifier.classify_photo(photo)?,
        };
        let verdict = asked
            .declared
            .map(|declared| classifier.verdict(&answer, declared));
        self.verdict = EtalaseVerdict::of(verdict.transpose()?);
        if let Some(scores) = scores {
            scores.copy_from_slice(&answer.scores);
        }
        self.ranked_count = rank(asked, &answer, ranked);
        self.notes_length = write_notes(&answer, notes);
        self.familiarity = answer.familiarity.unwrap_or(-1.0);
        self.advice = answer.advice.iter().map(|advice| bit(*advice)).sum();
        self.measures = EtalaseMeasures::of(Some(&answer.measures));
        self.decode_ms = answer.decode_ms;
        self.run_ms = answer.run_ms;
        Ok(())
    }
}

/// Room for every class's score, if any is given.
///
/// # Safety
/// `scores` is NULL or has room for `capacity` values that nobody else uses as long as `'a`.
pub(super) unsafe fn scores_room<'a>(
    scores: *mut f32,
    capacity: usize,
    classifier: &Classifier,
) -> Result<Option<&'a mut [f32]>> {
    // SAFETY: the caller's promise.
    let scores = unsafe { room("scores", scores, capacity) }?;
    let classes = classifier.engine().classes();
    if scores.is_empty() {
        return Ok(None);
    }
    let short = || invalid(format!("scores has room for {capacity} of {classes}"));
    scores.get_mut(..classes).map(Some).ok_or_else(short)
}

fn rank(asked: &Asked<'_>, answer: &Answer, room: &mut [EtalaseScore]) -> usize {
    let ranked = asked.ranking.of(&answer.scores);
    for (to, (class, score)) in room.iter_mut().zip(&ranked) {
        *to = EtalaseScore {
            class_index: *class as u32,
            score: *score,
        };
    }
    ranked.len().min(room.len())
}

/// Writes the notes, a line each, and gives the length of all of them.
fn write_notes(answer: &Answer, room: &mut [u8]) -> usize {
    if answer.notes.is_empty() {
        if let Some(first) = room.first_mut() {
            *first = 0;
        }
        return 0;
    }
    let lines: Vec<String> = answer.notes.iter().map(ToString::to_string).collect();
    let text = lines.join("\n");
    if let Some(last) = room.len().checked_sub(1) {
        let shown = cut(&text, last).as_bytes();
        room[..shown.len()].copy_from_slice(shown);
        room[shown.len()] = 0;
    }
    text.len()
}

impl EtalaseVerdict {
    const NONE: EtalaseVerdict = EtalaseVerdict {
        kind: EtalaseVerdictKind::None as u32,
        reason: EtalaseReason::None as u32,
        suggested: ETALASE_NO_CLASS,
    };

    pub(crate) fn of(verdict: Option<Verdict>) -> EtalaseVerdict {
        let Some(verdict) = verdict else {
            return EtalaseVerdict::NONE;
        };
        EtalaseVerdict {
            kind: kind(verdict.kind) as u32,
            reason: reason(verdict.reason) as u32,
            suggested: verdict
                .suggested
                .map_or(ETALASE_NO_CLASS, |class| class as u32),
        }
    }
}

/// A kind that core adds later is for a person, too.
fn kind(kind: VerdictKind) -> EtalaseVerdictKind {
    match kind {
        VerdictKind::Match => EtalaseVerdictKind::Match,
        VerdictKind::Mismatch => EtalaseVerdictKind::Mismatch,
        _ => EtalaseVerdictKind::Unsure,
    }
}

fn reason(reason: Reason) -> EtalaseReason {
    match reason {
        Reason::DeclaredIsLikely => EtalaseReason::DeclaredIsLikely,
        Reason::AnotherIsLikely => EtalaseReason::AnotherIsLikely,
        Reason::Unfamiliar => EtalaseReason::Unfamiliar,
        _ => EtalaseReason::CloseCall,
    }
}

pub(crate) fn bit(advice: Advice) -> u32 {
    let bit = match advice {
        Advice::TooDark => EtalaseAdvice::TooDark,
        Advice::TooBright => EtalaseAdvice::TooBright,
        Advice::Blurred => EtalaseAdvice::Blurred,
        Advice::TooSmall => EtalaseAdvice::TooSmall,
        Advice::Framed => EtalaseAdvice::Framed,
        // What core adds later has no bit yet.
        _ => return 0,
    };
    bit as u32
}

impl EtalaseMeasures {
    /// Zeros where there are none.
    fn of(measures: Option<&Measures>) -> EtalaseMeasures {
        let number = |value: fn(&Measures) -> f32| measures.map_or(0.0, value);
        EtalaseMeasures {
            width_px: measures.map_or(0, |m| m.width_px),
            height_px: measures.map_or(0, |m| m.height_px),
            brightness: number(|m| m.brightness),
            dark: number(|m| m.dark),
            bright: number(|m| m.bright),
            sharpness: number(|m| m.sharpness),
            uniform_border: number(|m| m.uniform_border),
        }
    }
}
