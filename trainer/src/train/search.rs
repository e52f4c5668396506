//! Compares ways of fitting a photo into the network's input, by a head fitted on the frozen trunk's features.
//!
//! The trunk has seen all kinds of crops on ImageNet; what differs is how much of the photo is lost or bent, and that
//! shows in the probe as well as after fine-tuning, at a hundredth of the cost.

use anyhow::Result;
use etalase::photo::Fit;
use etalase::preprocess::Preprocess;
use serde::{Deserialize, Serialize};
use tch::Device;

use super::measure::{cross_entropy, metrics, outputs};
use super::probe::fit_head;
use super::recipe::Recipe;
use crate::backbones::Backbone;
use crate::data::{self, Dataset, Labelled};
use crate::network::{Network, Precision};
use crate::weights::Weights;

/// Name of the results in a run's folder.
pub const SEARCH: &str = "search.json";

/// What one way of fitting gave on the validation photos.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FitResult {
    /// The way of fitting.
    pub fit: Fit,
    /// Accuracy of the probe.
    pub accuracy: f64,
    /// Cross-entropy of the probe.
    pub loss: f64,
}

/// Probes each of `fits`; the best, by accuracy and then by loss, comes first.
#[allow(clippy::too_many_arguments)]
pub fn compare_fits(
    backbone: Backbone,
    features: &Weights,
    train: &[Labelled],
    validation: &[Labelled],
    size: u32,
    fits: &[Fit],
    recipe: &Recipe,
    device: Device,
    precision: Precision,
) -> Result<Vec<FitResult>> {
    let classes = data::classes(train);
    let network = Network::new(backbone.pooled(size as usize), features, device, precision)?;
    let mut results = Vec::new();
    for &fit in fits {
        let preprocess = Preprocess::u8_nhwc(size, size, fit);
        let probe = |photos: &[Labelled], what: &str| -> Result<(Dataset, tch::Tensor)> {
            let photos = Dataset::load(
                photos,
                &classes,
                &preprocess,
                &format!("{fit}: decoding {what} photos"),
            )?;
            let outputs = outputs(
                &network,
                &photos,
                backbone.normalization(),
                &format!("{fit}: {what} features"),
            )?;
            Ok((photos, outputs))
        };
        let (train, seen) = probe(train, "training")?;
        let (validation, held_out) = probe(validation, "validation")?;
        let head = fit_head(
            &seen,
            &train.targets,
            classes.len(),
            recipe.probe_steps,
            recipe.label_smoothing,
            recipe.seed,
        )?;
        let logits = head.logits(&held_out);
        let accuracy = metrics(&logits, &validation.targets, &classes)?.accuracy;
        let result = FitResult {
            fit,
            accuracy,
            loss: cross_entropy(&logits, &validation.targets),
        };
        eprintln!(
            "{:<12} validation accuracy {:.2} %, loss {:.4}",
            fit.as_str(),
            100.0 * accuracy,
            result.loss
        );
        results.push(result);
    }
    results.sort_by(|a, b| {
        b.accuracy
            .total_cmp(&a.accuracy)
            .then(a.loss.total_cmp(&b.loss))
    });
    Ok(results)
}
