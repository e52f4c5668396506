//! From a checkpoint and calibration photos to an int8 network, step by step; a step is kept where it pays.
//!
//! What costs minutes and nothing on the phone is always tried: bias correction, equalization, rounding with feedback,
//! learned rounding, wider ranges. Each is judged by the logits of calibration photos that it is not made from, computed
//! as a phone computes them, beside the float network's. A budget goes further where these are not enough: to what judges
//! found as good, to fine-tuning, and as the last resort to values left in float.

use std::collections::BTreeMap;
use std::fmt;
use std::mem;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use tch::{Device, Tensor};

use super::choose::Choices;
use super::compare::{Comparison, compare, core_logits};
use super::moments::{AllMeans, Covariances, covariances, means};
use super::observe::check_photos;
use super::outliers::set_aside;
use super::range::Method;
use super::report::{Gain, Report};
use super::{
    Quantized, choose, correct_biases, equalize, fine_tune, layers, learn_rounding, observe,
    quantize, round_weights,
};
use crate::backbones::Normalization;
use crate::data::Dataset;
use crate::export::int8_model;
use crate::graph::{Graph, LayerId};
use crate::network::{Network, Precision};
use crate::train::checkpoint::Checkpoint;
use crate::train::measure::outputs;
use crate::weights::Weights;

/// Of so many calibration photos one judges steps, which are made from the others.
const ONE_JUDGES_OF: usize = 4;
/// Photos that judge, at most.
const JUDGES: usize = 128;
/// How much wider than what was chosen ranges are tried, one after the other while they are kept.
const HEADROOMS: [f32; 5] = [1.1, 1.2, 1.4, 1.6, 2.0];
/// Decibels that headroom may cost on the photos that judge: too few to have those in their midst that need it.
const MOST_FOR_HEADROOM_DB: f64 = 0.5;
/// Networks that judges find no further apart may be the other way round on other photos.
const AS_GOOD_DB: f64 = 0.5;
/// Where photos that were set aside go beyond others by more than this factor, headroom is more by a power of it.
const EXPLODES: f32 = 2.0;
const POWER_OF_EXPLOSION: f32 = 0.3;
/// Photos by which layers are looked at.
const LOOKED_AT: usize = 32;
/// A step that gains less than this many decibels is not kept.
const LEAST_GAIN_DB: f64 = 0.1;
/// How reports name the network before any step, and this rounding.
const NEAREST: &str = "nearest level";
/// Values that may be left in float.
const MOST_IN_FLOAT: usize = 8;

/// What can be done for an int8 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Biases take up what rounding does to the means of channels.
    Correct,
    /// Channels are brought to one magnitude and to the middle of their levels.
    Equalize,
    /// Weights are rounded with feedback instead of each to the nearest level.
    Feedback,
    /// Which of the two levels around each weight is taken is learned.
    Learn,
    /// Ranges are wider than calibration photos ask for: others go beyond them.
    Headroom,
    /// The int8 network learns the float network's logits. Only for a budget.
    FineTune,
    /// Single values stay in float. Only for a budget.
    Float,
}

impl Step {
    /// All of them, in their order.
    pub const ALL: [Step; 7] = [
        Step::Correct,
        Step::Equalize,
        Step::Feedback,
        Step::Learn,
        Step::Headroom,
        Step::FineTune,
        Step::Float,
    ];

    /// As the command line and reports say it.
    pub fn name(self) -> &'static str {
        match self {
            Step::Correct => "bias-correction",
            Step::Equalize => "equalization",
            Step::Feedback => "feedback",
            Step::Learn => "learned-rounding",
            Step::Headroom => "headroom",
            Step::FineTune => "fine-tuning",
            Step::Float => "float",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Step {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Step> {
        let known = Step::ALL.into_iter().find(|step| step.name() == name);
        match known {
            Some(step) => Ok(step),
            None => bail!(
                "{name:?} is no step; known: {}",
                Step::ALL.map(Step::name).join(", ")
            ),
        }
    }
}

/// Which steps are taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Ways to choose ranges; of several the best for each tensor.
    pub ranges: Vec<Method>,
    /// Steps that are not tried.
    pub without: Vec<Step>,
    /// How many points of validation accuracy int8 may cost; the steps that only a budget asks for are taken until it
    /// does not cost more.
    pub max_drop: Option<f64>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            ranges: Method::ALL.to_vec(),
            without: Vec::new(),
            max_drop: None,
        }
    }
}

impl Options {
    /// Plain rounding, ranges by one method.
    pub fn plain(method: Method) -> Options {
        Options {
            ranges: vec![method],
            without: Step::ALL.to_vec(),
            max_drop: None,
        }
    }

    fn tries(&self, step: Step) -> bool {
        !self.without.contains(&step)
    }
}

/// A network as it is quantized: folded.
pub struct Folded {
    /// Convolutions with bias, rectifiers, sums, pools.
    pub graph: Graph,
    /// Its weights.
    pub weights: Weights,
    /// What turns a photo's bytes into its input.
    pub normalization: Normalization,
    /// The backbone's name.
    pub name: String,
}

/// An int8 network and how it came about.
pub struct Outcome {
    /// The network.
    pub quantized: Quantized,
    /// As ONNX, serialized.
    pub model: Vec<u8>,
    /// What was done and what it gained.
    pub report: Report,
}

impl Folded {
    /// The folded network of a checkpoint.
    pub fn of(checkpoint: &Checkpoint) -> Result<Folded> {
        let (graph, weights) = checkpoint.folded()?;
        let backbone = checkpoint.backbone()?;
        Ok(Folded {
            graph,
            weights,
            normalization: backbone.normalization(),
            name: backbone.name().to_owned(),
        })
    }

    /// The network in integers, calibrated on `photos`. `validation`: photos to compare it on with the float network, of
    /// these classes.
    ///
    /// Errors: no photo, a layer whose values or weights leave nothing to quantize, by its name; a budget without
    /// validation photos; a budget that cannot be met.
    pub fn quantize(
        &self,
        photos: &Dataset,
        validation: Option<(&Dataset, &[String])>,
        device: Device,
        options: &Options,
    ) -> Result<Outcome> {
        ensure!(
            options.max_drop.is_none() || validation.is_some(),
            "a largest drop of accuracy is asked for, and there are no validation photos to measure it on"
        );
        check_photos(&self.graph, photos, self.normalization)?;
        let float = self.network(&self.weights, device)?;
        let set_aside = set_aside(&float, photos, self.normalization)?;
        let calibration_photos = set_aside.usual.len();
        let [photos, judges] = apart(&set_aside.usual);
        let plain = self.prepare(self.weights.clone(), &photos, device, options)?;
        let judge = Judge::new(self, &plain.network, &judges)?;
        let mut climb = Climb {
            folded: self,
            photos: &photos,
            options,
            judge,
            beyond: set_aside.beyond,
            gains: Vec::new(),
            spare: Vec::new(),
        };
        let (prepared, mut attempt) = climb.post_training(plain, device)?;
        let judge = match validation {
            // Equalized before a ReLU6, the network clips values that no calibration photo has.
            Some((photos, _)) => Some(Judge::new(self, &float, photos)?),
            None => None,
        };
        if let (Some(most), Some(judge)) = (options.max_drop, &judge) {
            attempt = climb.meet(most, &prepared, attempt, judge)?;
        }
        let compared = match (&judge, validation) {
            (Some(judge), Some((_, classes))) => Some(judge.by_category(&attempt.model, classes)?),
            _ => None,
        };
        let noise = layers(
            &prepared.network,
            &prepared.weights,
            &attempt.quantized,
            &prepared.levels.choices,
            &photos.take_evenly(LOOKED_AT),
            self.normalization,
        )?;
        Ok(Outcome {
            report: Report {
                calibration_photos,
                set_aside: set_aside.outliers,
                steps: climb.gains,
                in_float: attempt.in_float,
                layers: noise,
                validation: compared,
            },
            quantized: attempt.quantized,
            model: attempt.model,
        })
    }

    fn network(&self, weights: &Weights, device: Device) -> Result<Network> {
        Network::new(self.graph.clone(), weights, device, Precision::F32)
    }

    /// The int8 model, serialized.
    pub fn model(&self, quantized: &Quantized) -> Result<Vec<u8>> {
        int8_model(&self.graph, quantized, self.normalization, &self.name)
    }

    /// Everything about a network that rounding it needs.
    fn prepare(
        &self,
        weights: Weights,
        photos: &Dataset,
        device: Device,
        options: &Options,
    ) -> Result<Prepared> {
        let network = self.network(&weights, device)?;
        let observed = observe(&network, photos, self.normalization)?;
        let choices = choose(
            &network,
            photos,
            self.normalization,
            &observed,
            &options.ranges,
        )?;
        let levels = self.levels(&network, &weights, choices, photos, options)?;
        Ok(Prepared {
            network,
            weights,
            levels,
        })
    }

    /// What comes of these ranges.
    fn levels(
        &self,
        network: &Network,
        weights: &Weights,
        choices: Choices,
        photos: &Dataset,
        options: &Options,
    ) -> Result<Levels> {
        let nearest = quantize(&self.graph, weights, self.normalization, &choices.ranges())?;
        let means = match options.tries(Step::Correct) {
            true => means(network, &nearest.activations, photos, self.normalization)?,
            false => AllMeans::new(),
        };
        Ok(Levels {
            choices,
            nearest,
            means,
        })
    }
}

/// Photos that steps are made from, and others to judge them by; of less than [`ONE_JUDGES_OF`] each does both.
fn apart(photos: &Dataset) -> [Dataset; 2] {
    match photos.len() / ONE_JUDGES_OF {
        0 => [photos.len(); 2].map(|all| photos.take_evenly(all)),
        judges => photos.apart(judges.min(JUDGES)),
    }
}

/// By how much a range is widened when others are by `factor`. `beyond`: how many times the usual magnitude photos have
/// there that were set aside.
fn headroom(factor: f32, beyond: Option<f32>) -> f32 {
    match beyond {
        Some(times) if times > EXPLODES => factor * times.powf(POWER_OF_EXPLOSION),
        _ => factor,
    }
}

/// How weights come to their levels.
#[derive(Clone, Copy)]
enum Rounding<'a> {
    Nearest,
    Feedback(&'a Covariances),
    Learned(&'a Covariances),
    /// As in a network of other ranges.
    As(&'a Quantized),
}

/// A float network and what calibration knows of it.
struct Prepared {
    network: Network,
    weights: Weights,
    levels: Levels,
}

/// Ranges and what they make of a network.
struct Levels {
    choices: Choices,
    /// Each weight rounded to the nearest level.
    nearest: Quantized,
    /// Where biases are to be corrected.
    means: AllMeans,
}

impl Prepared {
    /// The network in integers, its biases corrected or not.
    fn rounded(&self, rounding: Rounding, correct: bool) -> Result<Quantized> {
        let (graph, mut quantized) = (self.network.graph(), self.levels.nearest.clone());
        match rounding {
            Rounding::Nearest => (),
            Rounding::Feedback(covariances) => round_weights(graph, &mut quantized, covariances)?,
            Rounding::Learned(covariances) => {
                learn_rounding(graph, &mut quantized, covariances, self.network.device())?;
            }
            Rounding::As(other) => {
                for (id, layer) in &mut quantized.layers {
                    // A scale can be that of a bias, which is larger beside finer inputs.
                    let other = other.layers.get(id);
                    if let Some(other) = other.filter(|other| other.scales == layer.scales) {
                        layer.weight.clone_from(&other.weight);
                    }
                }
            }
        }
        if correct {
            correct_biases(graph, &mut quantized, &self.levels.means)?;
        }
        Ok(quantized)
    }
}

/// Photos with the float network's answers.
struct Judge<'a> {
    folded: &'a Folded,
    photos: &'a Dataset,
    float: Tensor,
}

impl<'a> Judge<'a> {
    fn new(folded: &'a Folded, float: &Network, photos: &'a Dataset) -> Result<Judge<'a>> {
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

    fn compare(&self, model: &[u8]) -> Result<Comparison> {
        compare(&self.float, &self.logits(model)?, &self.photos.targets)
    }

    fn by_category(&self, model: &[u8], classes: &[String]) -> Result<Comparison> {
        let logits = self.logits(model)?;
        Ok(Comparison {
            categories: super::compare::by_category(
                &self.float,
                &logits,
                &self.photos.targets,
                classes,
            )?,
            ..compare(&self.float, &logits, &self.photos.targets)?
        })
    }

    fn attempt(&self, step: impl Into<String>, quantized: Quantized) -> Result<Attempt> {
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
struct Attempt {
    /// The last step, as the report names it.
    step: String,
    quantized: Quantized,
    model: Vec<u8>,
    decibels: f64,
    /// Values that are not stored as u8.
    in_float: Vec<String>,
}

/// The way through the steps.
struct Climb<'a> {
    folded: &'a Folded,
    photos: &'a Dataset,
    options: &'a Options,
    judge: Judge<'a>,
    /// How far photos that were set aside go beyond others, by value.
    beyond: BTreeMap<LayerId, f32>,
    gains: Vec<Gain>,
    /// What else was made of the network that is quantized, for a budget.
    spare: Vec<Attempt>,
}

impl Climb<'_> {
    /// Writes down what a step came to.
    fn note(&mut self, attempt: &Attempt, kept: bool) {
        self.gains.push(Gain {
            step: attempt.step.clone(),
            signal_to_noise_db: attempt.decibels,
            points_lost: None,
            kept,
        });
    }

    /// Writes down what a step of a budget came to.
    fn note_lost(&mut self, attempt: &Attempt, points: f64, kept: bool) {
        self.note(attempt, kept);
        if let Some(gain) = self.gains.last_mut() {
            gain.points_lost = Some(points);
        }
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
    fn put_by(&mut self, attempt: Attempt) {
        if self.options.max_drop.is_some() {
            self.spare.push(attempt);
        }
    }

    /// What costs nothing but time.
    fn post_training(&mut self, plain: Prepared, device: Device) -> Result<(Prepared, Attempt)> {
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
            let Folded {
                weights,
                normalization,
                ..
            } = self.folded;
            let weights = equalize(&prepared.network, weights, self.photos, *normalization)?;
            if weights != prepared.weights {
                let equalized = self.folded.prepare(weights, self.photos, device, options)?;
                let rounded = equalized.rounded(Rounding::Nearest, correct)?;
                let new = self.judge.attempt(Step::Equalize.name(), rounded)?;
                let kept;
                (best, kept, _) = self.better(best, new);
                if kept {
                    prepared = equalized;
                }
            }
        }
        // What is not kept now may be the better one for wider ranges: how errors meet is chance's to say.
        let mut roundings = vec![(NEAREST, best.quantized.clone())];
        let steps = [Step::Feedback, Step::Learn].into_iter();
        let steps: Vec<Step> = steps.filter(|&step| options.tries(step)).collect();
        if !steps.is_empty() {
            let normalization = self.folded.normalization;
            let covariances = covariances(&prepared.network, self.photos, normalization)?;
            for step in steps {
                let rounding = match step {
                    Step::Learn => Rounding::Learned(&covariances),
                    _ => Rounding::Feedback(&covariances),
                };
                let rounded = prepared.rounded(rounding, correct)?;
                roundings.push((step.name(), rounded.clone()));
                let new = self.judge.attempt(step.name(), rounded)?;
                let other;
                (best, _, other) = self.better(best, new);
                self.put_by(other);
            }
        }
        if options.tries(Step::Headroom) {
            best = self.widen(&mut prepared, best, &roundings)?;
        }
        Ok((prepared, best))
    }

    /// Widens ranges where that costs little, weights rounded as in one of `roundings`.
    fn widen(
        &mut self,
        prepared: &mut Prepared,
        mut best: Attempt,
        roundings: &[(&str, Quantized)],
    ) -> Result<Attempt> {
        let chosen = prepared.levels.choices.clone();
        let mut closest = best.decibels;
        for factor in HEADROOMS {
            let wider = |id| headroom(factor, self.beyond.get(&id).copied());
            let levels = self.folded.levels(
                &prepared.network,
                &prepared.weights,
                chosen.widened(&self.folded.graph, wider),
                self.photos,
                self.options,
            )?;
            let before = mem::replace(&mut prepared.levels, levels);
            let mut new = self.closest(prepared, roundings, factor)?;
            let kept = new.decibels >= closest - MOST_FOR_HEADROOM_DB;
            let with_rounding = mem::replace(&mut new.step, format!("{} {factor}", Step::Headroom));
            self.note(&new, kept);
            match kept {
                true => {
                    closest = closest.max(new.decibels);
                    self.put_by(mem::replace(&mut best, new));
                }
                false => {
                    new.step = with_rounding;
                    self.put_by(new);
                    prepared.levels = before;
                    break;
                }
            }
        }
        Ok(best)
    }

    /// The best of a network's roundings.
    fn closest(
        &mut self,
        prepared: &Prepared,
        roundings: &[(&str, Quantized)],
        factor: f32,
    ) -> Result<Attempt> {
        let correct = self.options.tries(Step::Correct);
        let mut closest: Option<Attempt> = None;
        for (name, rounding) in roundings {
            let step = format!("{} {factor}, {name}", Step::Headroom);
            let rounded = prepared.rounded(Rounding::As(rounding), correct)?;
            let new = self.judge.attempt(step, rounded)?;
            let other = match closest.take() {
                Some(old) if old.decibels >= new.decibels => {
                    closest = Some(old);
                    Some(new)
                }
                old => {
                    closest = Some(new);
                    old
                }
            };
            other.into_iter().for_each(|other| self.put_by(other));
        }
        closest.context("a network without a rounding")
    }

    /// Goes on until int8 costs at most `most` points of validation accuracy.
    fn meet(
        &mut self,
        most: f64,
        prepared: &Prepared,
        mut best: Attempt,
        validation: &Judge,
    ) -> Result<Attempt> {
        let drop = |attempt: &Attempt| -> Result<f64> {
            let found = validation.compare(&attempt.model)?;
            Ok(100.0 * (found.float_accuracy - found.int8_accuracy))
        };
        let mut lost = drop(&best)?;
        // These cost nothing, so they come first: which of two equals wins a photo more is chance's to say.
        let mut spare = mem::take(&mut self.spare);
        spare.retain(|other| other.decibels >= best.decibels - AS_GOOD_DB);
        spare.sort_by(|a, b| b.decibels.total_cmp(&a.decibels));
        for other in spare {
            if lost <= most {
                break;
            }
            let other_lost = drop(&other)?;
            let kept = other_lost < lost;
            self.note_lost(&other, other_lost, kept);
            if kept {
                (best, lost) = (other, other_lost);
            }
        }
        if lost > most && self.options.tries(Step::FineTune) {
            let mut quantized = best.quantized.clone();
            let Folded { normalization, .. } = self.folded;
            fine_tune(
                &prepared.network,
                &mut quantized,
                self.photos,
                *normalization,
            )?;
            let new = self.judge.attempt(Step::FineTune.name(), quantized)?;
            let new_lost = drop(&new)?;
            let kept = new_lost < lost || new_lost == lost && new.decibels > best.decibels;
            self.note_lost(&new, new_lost, kept);
            if kept {
                (best, lost) = (new, new_lost);
            }
        }
        let worst_first = prepared.levels.choices.worst_first();
        let mut candidates = worst_first.into_iter().take(MOST_IN_FLOAT);
        while lost > most && self.options.tries(Step::Float) {
            let Some(id) = candidates.next() else { break };
            let mut quantized = best.quantized.clone();
            quantized.leave_in_float(&self.folded.graph, &prepared.weights, id)?;
            let name = self.folded.graph.layers[id].name.clone();
            let step = format!("{} {name}", Step::Float);
            let mut new = self.judge.attempt(step, quantized)?;
            new.in_float = [best.in_float, vec![name]].concat();
            lost = drop(&new)?;
            self.note_lost(&new, lost, true);
            best = new;
        }
        ensure!(
            lost <= most,
            "int8 costs {lost:.2} points of validation accuracy, {most} at most are allowed: after {}",
            self.gains
                .iter()
                .map(|gain| gain.step.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        );
        Ok(best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbones::Backbone;
    use crate::fold::fold;
    use crate::weights::random;

    #[test]
    fn where_photos_explode_ranges_get_more_headroom() {
        assert_eq!(headroom(1.2, None), 1.2);
        assert_eq!(headroom(1.2, Some(1.9)), 1.2);
        assert!((3.9..4.1).contains(&headroom(1.0, Some(100.0))));
    }

    /// A small network, photos, and its weights rounded well and badly.
    fn near_and_far(options: &Options) -> (Folded, Dataset, Prepared, [Quantized; 2]) {
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
        let prepared = folded.prepare(weights, &photos, Device::Cpu, options);
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

    fn climb<'a>(
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
    fn of_several_roundings_the_closest_is_taken() {
        let options = Options::default();
        let (folded, photos, prepared, [near, far]) = near_and_far(&options);
        let mut climb = climb(&folded, &photos, &prepared, &options);
        let (near, far) = (("near", near), ("far", far));
        for roundings in [[near.clone(), far.clone()], [far, near.clone()]] {
            let closest = climb.closest(&prepared, &roundings, 1.1).unwrap();
            assert!(closest.quantized == near.1);
            assert_eq!(closest.step, "headroom 1.1, near");
        }
    }

    /// The float network is taken to say what the well rounded one does.
    #[test]
    fn a_budget_comes_back_to_what_judges_found_as_good() {
        let options = Options {
            without: vec![Step::FineTune, Step::Float],
            max_drop: Some(0.0),
            ..Options::default()
        };
        let (folded, mut photos, prepared, [near, far]) = near_and_far(&options);
        let [near, far] = [("near", near), ("far", far)].map(|(name, quantized)| {
            let model = folded.model(&quantized).unwrap();
            let logits = core_logits(&model, &photos, "test").unwrap();
            (name, quantized, logits)
        });
        photos.targets = near.2.argmax(1, false);
        assert_ne!(photos.targets, far.2.argmax(1, false));
        let validation = Judge {
            folded: &folded,
            photos: &photos,
            float: near.2,
        };
        for (decibels, as_good) in [(29.6, true), (29.4, false)] {
            let mut climb = climb(&folded, &photos, &prepared, &options);
            let [near, mut far] = [(near.0, &near.1), (far.0, &far.1)].map(|(name, quantized)| {
                let attempt = climb.judge.attempt(name, quantized.clone());
                attempt.unwrap()
            });
            far.decibels = 30.0;
            climb.put_by(Attempt { decibels, ..near });
            let met = climb.meet(0.0, &prepared, far, &validation);
            match as_good {
                true => {
                    assert_eq!(met.unwrap().step, "near");
                    let gain = &climb.gains[0];
                    assert_eq!((gain.step.as_str(), gain.points_lost), ("near", Some(0.0)));
                    assert!(gain.kept);
                }
                false => assert!(met.is_err() && climb.gains.is_empty()),
            }
        }
    }
}
