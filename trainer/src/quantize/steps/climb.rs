//! The way through the steps that cost nothing on the phone.
//!
//! Each is judged beside the best so far and kept where it gains. The roundings that lost are kept too until ranges have
//! their headroom, and where there is a budget everything that was made since equalization.

use std::collections::BTreeMap;

use anyhow::Result;
use tch::Device;

use super::judge::{Attempt, Judge};
use super::prepared::{Prepared, Rounding};
use super::{Folded, Options, Step};
use crate::data::Dataset;
use crate::graph::LayerId;
use crate::quantize::moments::covariances;
use crate::quantize::report::Gain;
use crate::quantize::{Quantized, equalize};

/// Correction, equalization and roundings that gain less than this many decibels are not kept.
const LEAST_GAIN_DB: f64 = 0.1;
/// How reports name the network before any step, and this rounding.
const NEAREST: &str = "nearest level";

/// A network whose weights were rounded in one way, by its name.
pub type NamedRounding = (&'static str, Quantized);

/// Where the way has come to: what is made, from what, and by whom it is judged.
pub struct Climb<'a> {
    pub folded: &'a Folded,
    pub photos: &'a Dataset,
    pub options: &'a Options,
    pub judge: Judge<'a>,
    /// How far photos that were set aside go beyond others, by value.
    pub beyond: BTreeMap<LayerId, f32>,
    pub gains: Vec<Gain>,
    /// What was made of the network since equalization and not taken; empty without a budget.
    pub spare: Vec<Attempt>,
}

impl Climb<'_> {
    /// Writes down what a step came to.
    pub fn note(&mut self, attempt: &Attempt, kept: bool) {
        self.gains.push(attempt.gain(kept));
    }

    /// The better of two, whether that is the new one, and the other.
    fn better(&mut self, best: Attempt, new: Attempt) -> (Attempt, bool, Attempt) {
        let kept = new.decibels >= best.decibels + LEAST_GAIN_DB;
        self.note(&new, kept);
        match kept {
            true => (new, true, best),
            false => (best, false, new),
        }
    }

    /// Puts by what is not taken, where a budget may come back to it.
    pub fn put_by(&mut self, attempt: Attempt) {
        if self.options.max_drop.is_some() {
            self.spare.push(attempt);
        }
    }

    /// What costs nothing but time.
    pub fn post_training(
        &mut self,
        plain: Prepared,
        device: Device,
    ) -> Result<(Prepared, Attempt)> {
        let (mut prepared, options) = (plain, self.options);
        let plain = prepared.rounded(Rounding::Nearest, false)?;
        let mut best = self.judge.attempt(NEAREST, plain)?;
        self.note(&best, true);
        // Where it gains nothing by itself it may behind what comes next.
        let correct = options.tries(Step::Correct);
        if correct {
            let corrected = prepared.rounded(Rounding::Nearest, true)?;
            let new = self.judge.attempt(Step::Correct.name(), corrected)?;
            (best, ..) = self.better(best, new);
        }
        if options.tries(Step::Equalize) {
            (prepared, best) = self.equalized(prepared, best, device)?;
        }
        // What is not kept now may be the better one for wider ranges: how errors meet is chance's to say.
        let (roundings, mut best) = self.roundings(&prepared, best)?;
        if options.tries(Step::Headroom) {
            best = self.widen(&mut prepared, best, &roundings)?;
        }
        Ok((prepared, best))
    }

    /// Channels of one magnitude in the middle of their levels, where that is better.
    fn equalized(
        &mut self,
        before: Prepared,
        best: Attempt,
        device: Device,
    ) -> Result<(Prepared, Attempt)> {
        let (folded, photos, options) = (self.folded, self.photos, self.options);
        let weights = equalize(
            &before.network,
            &folded.weights,
            photos,
            folded.normalization,
        )?;
        if weights == before.weights {
            return Ok((before, best));
        }
        let prepared = Prepared::new(folded, weights, photos, device, options)?;
        let rounded = prepared.rounded(Rounding::Nearest, options.tries(Step::Correct))?;
        let new = self.judge.attempt(Step::Equalize.name(), rounded)?;
        let (best, kept, _) = self.better(best, new);
        Ok((if kept { prepared } else { before }, best))
    }

    /// Weights rounded in each way, `best` as the first, and the best of them.
    fn roundings(
        &mut self,
        prepared: &Prepared,
        mut best: Attempt,
    ) -> Result<(Vec<NamedRounding>, Attempt)> {
        let mut roundings = vec![(NEAREST, best.quantized.clone())];
        let steps = [Step::Feedback, Step::Learn].into_iter();
        let steps: Vec<Step> = steps.filter(|&step| self.options.tries(step)).collect();
        if steps.is_empty() {
            return Ok((roundings, best));
        }
        let normalization = self.folded.normalization;
        let covariances = covariances(&prepared.network, self.photos, normalization)?;
        for step in steps {
            let rounding = match step {
                Step::Learn => Rounding::Learned(&covariances),
                _ => Rounding::Feedback(&covariances),
            };
            let rounded = prepared.rounded(rounding, self.options.tries(Step::Correct))?;
            roundings.push((step.name(), rounded.clone()));
            let new = self.judge.attempt(step.name(), rounded)?;
            let other;
            (best, _, other) = self.better(best, new);
            self.put_by(other);
        }
        Ok((roundings, best))
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::backbones::Backbone;
    use crate::fold::fold;
    use crate::quantize::Method;
    use crate::weights::random;

    /// A small network, photos, and its weights rounded well and badly.
    pub fn near_and_far(options: &Options) -> (Folded, Dataset, Prepared, [Quantized; 2]) {
        tch::manual_seed(5);
        let backbone = Backbone::MobileNetV1;
        let graph = backbone.classifier(32, 3, 0.0);
        let (graph, weights) = fold(&graph, &random(&graph, 3)).unwrap();
        let folded = Folded {
            graph,
            weights: weights.clone(),
            normalization: backbone.normalization(),
            name: backbone.name().to_owned(),
        };
        let photos = Dataset::noise([8, 32, 32, 3]);
        let prepared = Prepared::new(&folded, weights, &photos, Device::Cpu, options);
        let prepared = prepared.unwrap();
        let near = prepared.rounded(Rounding::Nearest, true).unwrap();
        let mut far = near.clone();
        for layer in far.layers.values_mut() {
            for weight in &mut layer.weight {
                *weight /= 8;
                *weight *= 8;
            }
        }
        (folded, photos, prepared, [near, far])
    }

    pub fn climb<'a>(
        folded: &'a Folded,
        photos: &'a Dataset,
        prepared: &Prepared,
        options: &'a Options,
    ) -> Climb<'a> {
        Climb {
            folded,
            photos,
            options,
            judge: Judge::new(folded, &prepared.network, photos).unwrap(),
            beyond: BTreeMap::new(),
            gains: Vec::new(),
            spare: Vec::new(),
        }
    }

    #[test]
    fn all_roundings_are_tried_with_headroom() {
        let options = Options {
            ranges: vec![Method::MinMax],
            without: vec![Step::Equalize, Step::Learn],
            max_drop: Some(0.0),
        };
        let (folded, photos, prepared, _) = near_and_far(&options);
        let mut climb = climb(&folded, &photos, &prepared, &options);
        let (_, best) = climb.post_training(prepared, Device::Cpu).unwrap();
        let mut made: Vec<&str> = climb
            .spare
            .iter()
            .map(|other| other.step.as_str())
            .collect();
        made.push(&best.step);
        for rounding in [NEAREST, "feedback"] {
            let step = format!("headroom 1.1, {rounding}");
            assert!(made.contains(&step.as_str()), "{step}: {made:?}");
        }
        assert!(made.contains(&"feedback"), "{made:?}");
    }

    #[test]
    fn nothing_is_put_by_without_a_budget() {
        let options = Options {
            ranges: vec![Method::MinMax],
            without: vec![Step::Equalize, Step::Learn],
            max_drop: None,
        };
        let (folded, photos, prepared, _) = near_and_far(&options);
        let mut climb = climb(&folded, &photos, &prepared, &options);
        climb.post_training(prepared, Device::Cpu).unwrap();
        assert!(climb.gains.len() > 3 && climb.spare.is_empty());
    }
}
