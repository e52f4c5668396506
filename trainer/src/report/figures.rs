//! What was measured on a trained network: `evaluation.json` in its folder.

use etalase::evaluation::Metrics;
use serde::{Deserialize, Serialize};

/// Name of the figures in a run's folder.
pub const EVALUATION: &str = "evaluation.json";

/// The figures of a run on its validation photos, as they stand in `evaluation.json`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Figures {
    /// Where the first weights came from: the file's name, or "from scratch".
    #[serde(default)]
    pub weights: Option<String>,
    /// Of the float network, in the form of `etalase eval --json`.
    pub float: Option<Metrics>,
    /// Of the int8 network in core, same form.
    pub int8: Option<Metrics>,
    /// What the network costs.
    #[serde(default)]
    pub cost: Option<Cost>,
}

/// What a network costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Stored values, head and running statistics included.
    pub parameters: usize,
    /// Of convolutions and dense layers, for one photo.
    pub multiply_adds: usize,
    /// Size of the float ONNX model.
    pub float_bytes: usize,
    /// Size of the int8 ONNX model.
    pub int8_bytes: usize,
    /// Size of the bundle.
    pub bundle_bytes: usize,
    /// Of the int8 network in core, on the machine that measured.
    pub timing: Timing,
}

/// How long a network takes for one photo, decoding excluded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Median of the runs.
    pub median_ms: f64,
    /// Timed runs.
    pub runs: usize,
    /// Threads.
    pub threads: usize,
    /// Instruction set of the kernels.
    pub isa: String,
}
