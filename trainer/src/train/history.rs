//! The curve of a run: `history.json` in its folder, written after every epoch.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The curve, JSON.
pub const HISTORY: &str = "history.json";

/// What one epoch gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// From 1.
    pub epoch: usize,
    /// Mean training loss, label smoothing and teaching included.
    pub train_loss: f64,
    /// Share of augmented training photos classified rightly while training (the larger part's class of a mixed one).
    pub train_accuracy: f64,
    /// Cross-entropy of the averaged weights on the validation photos.
    pub validation_loss: f64,
    /// Accuracy of the averaged weights on the validation photos.
    pub validation_accuracy: f64,
    /// Training photos a second, validation excluded.
    pub photos_per_second: f64,
}

/// The curve of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Accuracy of the probe: the new head on the frozen trunk. Absent where the recipe has none.
    #[serde(default)]
    pub probe_validation_accuracy: Option<f64>,
    /// One entry an epoch.
    pub epochs: Vec<Epoch>,
    /// Seconds of training, validation excluded.
    #[serde(default)]
    pub training_seconds: f64,
    /// Whether the run came to its end.
    #[serde(default)]
    pub finished: bool,
    /// What it is a run of: recipe, photos, weights.
    #[serde(default)]
    pub identity: Value,
}
