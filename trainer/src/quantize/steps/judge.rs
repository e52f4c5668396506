//! How good an int8 network is, by photos that it is not made from: its logits, computed as a phone computes them,
//! beside the float network's.

use anyhow::Result;
use tch::Tensor;

use super::Folded;
use crate::data::Dataset;
use crate::network::Network;
use crate::quantize::Quantized;
use crate::quantize::compare::{Comparison, by_category, compare, core_logits};
use crate::quantize::report::Gain;
use crate::train::measure::outputs;

/// Of so many calibration photos one judges steps, which are made from the others.
const ONE_JUDGES_OF: usize = 4;
/// Photos that judge, at most.
const JUDGES: usize = 128;

/// Photos that steps are made from, and others to judge them by; of less than [`ONE_JUDGES_OF`] each does both.
pub fn apart(photos: &Dataset) -> [Dataset; 2] {
    match photos.len() / ONE_JUDGES_OF {
        0 => [photos.len(); 2].map(|all| photos.take_evenly(all)),
        judges => photos.apart(judges.min(JUDGES)),
    }
}

/// Photos with the float network's answers.
pub struct Judge<'a> {
    pub folded: &'a Folded,
    pub photos: &'a Dataset,
    pub float: Tensor,
}

impl<'a> Judge<'a> {
    /// The float network's answers to `photos` are looked up once.
    pub fn new(folded: &'a Folded, float: &Network, photos: &'a Dataset) -> Result<Judge<'a>> {
        let float = outputs(float, photos, folded.normalization, "classifying in float")?;
        Ok(Judge {
            folded,
            photos,
            float,
        })
    }

    fn logits(&self, model: &[u8]) -> Result<Tensor> {
        core_logits(model, self.photos, "classifying in int8")
    }

    /// An int8 model's answers beside them.
    pub fn compare(&self, model: &[u8]) -> Result<Comparison> {
        compare(&self.float, &self.logits(model)?, &self.photos.targets)
    }

    /// The same, with where they differ.
    pub fn by_category(&self, model: &[u8], classes: &[String]) -> Result<Comparison> {
        let logits = self.logits(model)?;
        Ok(Comparison {
            categories: by_category(&self.float, &logits, &self.photos.targets, classes)?,
            ..compare(&self.float, &logits, &self.photos.targets)?
        })
    }

    /// A network as what `step` came to.
    pub fn attempt(&self, step: impl Into<String>, quantized: Quantized) -> Result<Attempt> {
        let model = self.folded.model(&quantized)?;
        let decibels = self.compare(&model)?.signal_to_noise_db;
        Ok(Attempt {
            step: step.into(),
            quantized,
            model,
            decibels,
            in_float: Vec::new(),
        })
    }
}

/// An int8 network and how good it is.
pub struct Attempt {
    /// The last step, as the report names it.
    pub step: String,
    pub quantized: Quantized,
    pub model: Vec<u8>,
    pub decibels: f64,
    /// Values that were left in float.
    pub in_float: Vec<String>,
}

impl Attempt {
    /// What is reported of it.
    pub fn gain(&self, kept: bool) -> Gain {
        Gain {
            step: self.step.clone(),
            signal_to_noise_db: self.decibels,
            points_lost: None,
            kept,
        }
    }
}
