//! A bundle ready to answer: photo in; out every class's score, whether the photo is a familiar one, and whether it fits
//! what its seller declared.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use crate::bundle::Bundle;
use crate::decision::{self, Advice, Fused, Said, Verdict};
use crate::engine::{Backend, Engine, EngineOptions, TensorType, stopped};
use crate::error::{Error, ErrorKind, Result, catch_panic};
use crate::photo::{Measures, Note, Photo};
use crate::preprocess::InputType;

/// A photo that makes the classifier panic, for tests of what becomes of a panic.
#[cfg(feature = "panic-on-demand")]
pub const PANIC_ON_DEMAND: &[u8] = b"etalase: panic in the core";

/// A network with its classes and its preprocessing. `Send + Sync` and immutable:
/// one serves all threads, without a lock.
#[derive(Debug)]
pub struct Classifier {
    bundle: Bundle,
    engine: Engine,
}

/// One photo's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// A score per class, 0 to 1, summing to 1, in the order of the classes: calibrated where the bundle's policy has a
    /// temperature.
    pub scores: Vec<f32>,
    /// 0 (nothing that the network knows) to 1 (as in training), familiar from 0.5 on; `None` where the bundle doesn't
    /// tell.
    pub familiarity: Option<f32>,
    /// What can be said about the photo as a photo.
    pub measures: Measures,
    /// What the bundle's policy makes of them.
    pub advice: Vec<Advice>,
    /// What about the photo could not be followed, such as a rare colour profile.
    pub notes: Vec<Note>,
    /// From encoded bytes (or pixels) to the network's input tensor, milliseconds.
    pub decode_ms: f64,
    /// From there to the finished answer, milliseconds.
    pub run_ms: f64,
}

/// What the network says of a photo, before the bundle's policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// One per class.
    pub logits: Vec<f32>,
    /// What the network's last layer reads, up to a factor; empty where there are none or nobody asked.
    pub features: Vec<f32>,
    /// What can be said about the photo as a photo.
    pub measures: Measures,
    /// What about the photo could not be followed.
    pub notes: Vec<Note>,
}

/// When a classification began, and when the network's input was there.
struct Times {
    begun: Instant,
    decoded: Instant,
}

/// One listing's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing {
    /// What its photos say together, and which of them is odd.
    pub fused: Fused,
    /// On what was declared, if something was.
    pub verdict: Option<Verdict>,
}

impl Answer {
    /// The `k` best classes with their scores, best first.
    pub fn top(&self, k: usize) -> Vec<(usize, f32)> {
        decision::top_k(&self.scores, k)
            .into_iter()
            .filter_map(|class| Some((class, *self.scores.get(class)?)))
            .collect()
    }
}

impl Classifier {
    /// Prepares the bundle's network.
    ///
    /// # Errors
    /// `Model` where the network cannot run; `Bundle` where its input or output
    /// doesn't fit the manifest.
    pub fn new(bundle: Bundle, options: &EngineOptions) -> Result<Classifier> {
        let engine = open(&bundle, options)?;
        let manifest = bundle.manifest();
        let contradiction = |message: String| Err(Error::new(ErrorKind::Bundle, message));
        if engine.classes() != manifest.classes.len() {
            return contradiction(format!(
                "the network gives {} scores for {} classes",
                engine.classes(),
                manifest.classes.len()
            ));
        }
        let shape = manifest.preprocess.shape();
        let kind = match manifest.preprocess.input {
            InputType::U8 => TensorType::U8,
            InputType::F32 { .. } => TensorType::F32,
        };
        if engine.input_shape() != shape || engine.input_type() != kind {
            return contradiction(format!(
                "the network takes {} {:?}, the preprocessing gives {kind} {shape:?}",
                engine.input_type(),
                engine.input_shape()
            ));
        }
        let features = bundle.judge().features();
        if features != 0 && features != engine.features() {
            return contradiction(format!(
                "class_means.bin has {features} features a class, the network {}",
                engine.features()
            ));
        }
        Ok(Classifier { bundle, engine })
    }

    /// The bundle that it answers from.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// The network's engine, for measurements.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Classifies an encoded photo: JPEG, PNG, WebP, GIF or BMP. Any thread.
    ///
    /// # Errors
    /// `Photo` or `PhotoTooLarge` where it cannot be decoded, `Model` where the
    /// network fails.
    pub fn classify(&self, photo: &[u8]) -> Result<Answer> {
        self.classify_photo(&Photo::encoded(photo))
    }

    /// Classifies a photo: encoded or pixels, turned, or a region of it. Any thread.
    ///
    /// # Errors
    /// As [`Photo::fit`]; `Model` where the network fails or its logits are no numbers.
    pub fn classify_photo(&self, photo: &Photo<'_>) -> Result<Answer> {
        self.answer(photo, None)
    }

    /// As [`Classifier::classify_photo`], until `cancel` is set, from any thread: it is looked at before the photo is
    /// decoded, behind that, and between the network's operations.
    ///
    /// # Errors
    /// As [`Classifier::classify_photo`]; `Cancelled` where `cancel` was set before the network had run.
    pub fn classify_until(&self, photo: &Photo<'_>, cancel: &AtomicBool) -> Result<Answer> {
        self.answer(photo, Some(cancel))
    }

    fn answer(&self, photo: &Photo<'_>, cancel: Option<&AtomicBool>) -> Result<Answer> {
        catch_panic(ErrorKind::Internal, "the classification", || {
            self.answer_or_panic(photo, cancel)
        })
    }

    fn answer_or_panic(&self, photo: &Photo<'_>, cancel: Option<&AtomicBool>) -> Result<Answer> {
        #[cfg(feature = "panic-on-demand")]
        assert!(!photo.is_encoded(PANIC_ON_DEMAND), "on demand");
        let judge = self.bundle.judge();
        let (evidence, times) = self.run(photo, judge.features(), cancel)?;
        let scores = judge.scores(&evidence.logits)?;
        let familiarity = judge.familiarity(&evidence.logits, &evidence.features);
        Ok(Answer {
            scores,
            familiarity,
            advice: self.bundle.policy().advice(&evidence.measures),
            measures: evidence.measures,
            notes: evidence.notes,
            decode_ms: ms(times.begun, times.decoded),
            run_ms: ms(times.decoded, Instant::now()),
        })
    }

    /// Logits and features of a photo, to fit a policy to. Any thread.
    ///
    /// # Errors
    /// As [`Photo::fit`]; `Model` where the network fails.
    pub fn evidence(&self, photo: &Photo<'_>) -> Result<Evidence> {
        let (evidence, _) = self.run(photo, self.engine.features(), None)?;
        Ok(evidence)
    }

    /// Whether a photo's answer fits the class that was declared, an index of the classes
    /// ([`decision::class_named`] finds it).
    ///
    /// # Errors
    /// `InvalidArgument` where `declared` is no class, or the bundle's policy has no thresholds.
    pub fn verdict(&self, answer: &Answer, declared: usize) -> Result<Verdict> {
        self.check_class(declared)?;
        let judge = self.bundle.judge();
        judge.verdict(&answer.scores, answer.familiarity, declared)
    }

    /// Several photos of one listing as one answer, and whether it fits what was declared.
    ///
    /// # Errors
    /// `InvalidArgument` where there is no photo; otherwise as [`Classifier::verdict`].
    pub fn listing(&self, photos: &[Answer], declared: Option<usize>) -> Result<Listing> {
        let said = photos.iter().map(|answer| Said {
            scores: &answer.scores,
            familiarity: answer.familiarity,
        });
        self.listing_of(&said.collect::<Vec<_>>(), declared)
    }

    /// As [`Classifier::listing`], of what is kept of the answers.
    ///
    /// # Errors
    /// As [`Classifier::listing`]; `InvalidArgument` where a photo has another number of scores than there are classes.
    pub fn listing_of(&self, photos: &[Said<'_>], declared: Option<usize>) -> Result<Listing> {
        let judge = self.bundle.judge();
        let classes = self.engine.classes();
        if let Some(other) = photos.iter().find(|said| said.scores.len() != classes) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "a photo has {} scores for {classes} classes",
                    other.scores.len()
                ),
            ));
        }
        let fused = judge.fuse(photos)?;
        let verdict = declared.map(|declared| {
            self.check_class(declared)?;
            judge.verdict(&fused.scores, fused.familiarity, declared)
        });
        Ok(Listing {
            verdict: verdict.transpose()?,
            fused,
        })
    }

    fn check_class(&self, class: usize) -> Result<()> {
        let classes = self.bundle.manifest().classes.len();
        match class < classes {
            true => Ok(()),
            false => Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("class {class} of {classes}"),
            )),
        }
    }

    fn run(
        &self,
        photo: &Photo<'_>,
        features: usize,
        cancel: Option<&AtomicBool>,
    ) -> Result<(Evidence, Times)> {
        let begun = Instant::now();
        stopped(cancel)?;
        let preprocess = &self.bundle.manifest().preprocess;
        let fitted = preprocess.fit(photo)?;
        let (measures, notes) = (fitted.measures, fitted.notes);
        let tensor = preprocess.tensor(fitted.image)?;
        stopped(cancel)?;
        let decoded = Instant::now();
        let mut logits = vec![0.0; self.engine.classes()];
        let mut features = vec![0.0; features];
        self.engine
            .run_with_features(&tensor, &mut logits, &mut features, cancel)?;
        let evidence = Evidence {
            logits,
            features,
            measures,
            notes,
        };
        Ok((evidence, Times { begun, decoded }))
    }
}

fn ms(from: Instant, to: Instant) -> f64 {
    (to - from).as_secs_f64() * 1e3
}

/// The network by its plan where the bundle has one that this library reads, else by
/// its ONNX file.
fn open(bundle: &Bundle, options: &EngineOptions) -> Result<Engine> {
    if options.backend == Backend::Auto
        && let Some(plan) = bundle.plan()
    {
        let engine = Engine::from_plan(plan, bundle.model(), &bundle.model_sha256(), options)
            .map_err(|error| error.context("plan.bin"))?;
        if let Some(engine) = engine {
            return Ok(engine);
        }
    }
    #[cfg(feature = "onnx")]
    return Engine::from_onnx(bundle.model(), options).map_err(|error| error.context("model.onnx"));
    #[cfg(not(feature = "onnx"))]
    Err(Error::new(
        ErrorKind::Model,
        "the bundle has no plan for this library, which was built without ONNX: pack it again",
    ))
}
