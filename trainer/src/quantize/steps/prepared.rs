//! A network that is ready to be rounded, and the ways to round it.

use anyhow::Result;
use tch::Device;

use super::{Folded, Options, Step};
use crate::data::Dataset;
use crate::network::Network;
use crate::quantize::choose::Choices;
use crate::quantize::moments::{AllMeans, Covariances, means};
use crate::quantize::{
    Quantized, choose, correct_biases, learn_rounding, observe, quantize, round_weights,
};
use crate::weights::Weights;

/// How weights come to their levels.
#[derive(Clone, Copy)]
pub enum Rounding<'a> {
    Nearest,
    Feedback(&'a Covariances),
    Learned(&'a Covariances),
    /// As in a network of other ranges.
    As(&'a Quantized),
}

/// A float network and what calibration knows of it.
pub struct Prepared {
    pub network: Network,
    pub weights: Weights,
    pub levels: Levels,
}

/// Ranges and what they make of a network.
pub struct Levels {
    pub choices: Choices,
    /// Each weight rounded to the nearest level.
    nearest: Quantized,
    /// Where biases are to be corrected.
    means: AllMeans,
}

impl Levels {
    /// What comes of these ranges.
    pub fn new(
        folded: &Folded,
        network: &Network,
        weights: &Weights,
        choices: Choices,
        photos: &Dataset,
        options: &Options,
    ) -> Result<Levels> {
        let (graph, normalization) = (&folded.graph, folded.normalization);
        let nearest = quantize(graph, weights, normalization, &choices.ranges())?;
        let means = match options.tries(Step::Correct) {
            true => means(network, &nearest.activations, photos, normalization)?,
            false => AllMeans::new(),
        };
        Ok(Levels {
            choices,
            nearest,
            means,
        })
    }
}

impl Prepared {
    /// Everything about a network that rounding it needs.
    pub fn new(
        folded: &Folded,
        weights: Weights,
        photos: &Dataset,
        device: Device,
        options: &Options,
    ) -> Result<Prepared> {
        let (network, normalization) = (folded.network(&weights, device)?, folded.normalization);
        let observed = observe(&network, photos, normalization)?;
        let choices = choose(&network, photos, normalization, &observed, &options.ranges)?;
        let levels = Levels::new(folded, &network, &weights, choices, photos, options)?;
        Ok(Prepared {
            network,
            weights,
            levels,
        })
    }

    /// The network in integers, its biases corrected or not.
    pub fn rounded(&self, rounding: Rounding, correct: bool) -> Result<Quantized> {
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
                    if let Some(other) = other {
                        layer.exact.clone_from(&other.exact);
                    }
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
