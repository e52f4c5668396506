//! What quantization did to a network: `quantization.json` beside the int8 model.

use serde::{Deserialize, Serialize};

use super::compare::Comparison;
use super::noise::LayerNoise;
use super::outliers::Outlier;

/// Name of the report in a run's folder.
pub const QUANTIZATION: &str = "quantization.json";

/// Steps, layers, and the comparison with the float network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// How many photos calibrated it.
    pub calibration_photos: usize,
    /// Photos that were set aside before.
    #[serde(default)]
    pub set_aside: Vec<Outlier>,
    /// The steps in their order, each on top of those that were kept before; biases of all roundings are corrected, be that
    /// kept by itself or not. A budget's `instead: …` is on top of nothing: it takes the place of what was kept.
    pub steps: Vec<Gain>,
    /// Values that were left in float, and with them what only moves them: what reads them computes in float.
    pub in_float: Vec<String>,
    /// Where the error comes from, in the order of the layers.
    pub layers: Vec<LayerNoise>,
    /// On the validation photos.
    pub validation: Option<Comparison>,
}

/// A step and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gain {
    /// Its name.
    pub step: String,
    /// Of the logits of calibration photos that judge.
    pub signal_to_noise_db: f64,
    /// Points of validation accuracy that int8 costs with it, where a budget asked.
    #[serde(default)]
    pub points_lost: Option<f64>,
    /// Whether it was kept.
    pub kept: bool,
}

impl Gain {
    /// What else there is to say, in words.
    pub fn remarks(&self) -> Vec<String> {
        let lost = self.points_lost.map(|points| match points < 0.0 {
            true => format!("{:.2} points of accuracy won", -points),
            false => format!("{points:.2} points of accuracy lost"),
        });
        let kept = (!self.kept).then(|| "not kept".to_owned());
        lost.into_iter().chain(kept).collect()
    }
}
