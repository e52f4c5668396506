//! A bundle ready to answer: photo in, scores out.
//!
//! What the app does with the scores (a threshold, a comparison with what the
//! seller says) is left to it; this gives every class its score.

use std::time::Instant;

use crate::bundle::Bundle;
use crate::decision::{self, Advice};
use crate::engine::{Backend, Engine, EngineOptions, TensorType};
use crate::error::{Error, ErrorKind, Result};
use crate::photo::{Measures, Note, Photo};
use crate::preprocess::InputType;

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
    /// A score per class, 0 to 1, summing to 1, in the order of the classes.
    pub scores: Vec<f32>,
    /// What can be said about the photo as a photo.
    pub measures: Measures,
    /// What the bundle's policy makes of them.
    pub advice: Vec<Advice>,
    /// What about the photo could not be followed, such as a rare colour profile.
    pub notes: Vec<Note>,
    /// From encoded bytes (or pixels) to the network's input tensor, milliseconds.
    pub decode_ms: f64,
    /// From there to the scores, milliseconds.
    pub run_ms: f64,
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
    /// As [`Photo::fit`]; `Model` where the network fails.
    pub fn classify_photo(&self, photo: &Photo<'_>) -> Result<Answer> {
        let start = Instant::now();
        let preprocess = &self.bundle.manifest().preprocess;
        let fitted = preprocess.fit(photo)?;
        let (measures, notes) = (fitted.measures, fitted.notes);
        let tensor = preprocess.tensor(fitted.image)?;
        let decoded = Instant::now();
        let scores = decision::softmax(&self.engine.run(&tensor)?)?;
        let ms = |from: Instant, to: Instant| (to - from).as_secs_f64() * 1e3;
        Ok(Answer {
            scores,
            advice: self.bundle.policy().advice(&measures),
            measures,
            notes,
            decode_ms: ms(start, decoded),
            run_ms: ms(decoded, Instant::now()),
        })
    }
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
