//! A folded network and the way to its int8 form.

use anyhow::{Result, ensure};
use tch::Device;

use super::Options;
use super::budget::Budget;
use super::climb::Climb;
use super::judge::{Judge, apart};
use super::prepared::Prepared;
use crate::backbones::Normalization;
use crate::data::Dataset;
use crate::export::int8_model;
use crate::graph::Graph;
use crate::network::{Network, Precision};
use crate::quantize::observe::check_photos;
use crate::quantize::outliers::set_aside;
use crate::quantize::report::Report;
use crate::quantize::{Quantized, layers};
use crate::train::checkpoint::Checkpoint;
use crate::weights::Weights;

/// Photos by which layers are looked at.
const LOOKED_AT: usize = 32;

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
        let plain = Prepared::new(self, self.weights.clone(), &photos, device, options)?;
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
        if let (Some(most), Some(validation)) = (options.max_drop, &judge) {
            attempt = climb.meet(&Budget { most, validation }, &prepared, attempt)?;
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

    /// The network of these weights.
    pub fn network(&self, weights: &Weights, device: Device) -> Result<Network> {
        Network::new(self.graph.clone(), weights, device, Precision::F32)
    }

    /// The int8 model, serialized.
    pub fn model(&self, quantized: &Quantized) -> Result<Vec<u8>> {
        int8_model(&self.graph, quantized, self.normalization, &self.name)
    }
}
