//! One run, read from its folder: curve, figures, mistakes.

use std::path::Path;

use anyhow::{Context, Result};
use etalase::evaluation::{ClassMetrics, Metrics, Verification};
use serde::Serialize;
use serde_json::Value;

use super::figures::{Cost, EVALUATION, Figures};
use crate::files::read_json;
use crate::policy::VERIFICATION;
use crate::predictions::{PREDICTIONS, Prediction, read};
use crate::quantize::{self, QUANTIZATION};
use crate::train::history::{HISTORY, History};

/// Mistakes that are shown of each run.
const MISTAKES: usize = 24;

/// What a run's folder tells.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// The network.
    pub backbone: String,
    /// Where its first weights came from.
    pub weights: Option<String>,
    /// Side of the input.
    pub input_px: Option<u64>,
    /// How a photo fills it.
    pub fit: Option<String>,
    /// Epochs of the recipe.
    pub planned_epochs: Option<u64>,
    /// The epoch whose weights were kept: the highest validation accuracy, then the lowest loss.
    pub kept_epoch: Option<usize>,
    /// Training photos a second, over all epochs.
    pub training_photos_per_second: Option<f64>,
    /// What tells one set of validation photos from another.
    pub validation_photos: Option<String>,
    /// The curve.
    pub history: History,
    /// What the network costs.
    pub cost: Option<Cost>,
    /// The float network, in the trainer.
    pub float: Option<Quality>,
    /// The int8 network, in core.
    pub int8: Option<Quality>,
    /// How the int8 network came about.
    pub quantization: Option<quantize::Report>,
    /// What the bundle's verdicts are worth, where a policy was fitted.
    pub verification: Option<Verification>,
    /// The most confident wrong answers of the int8 network, those first.
    pub mistakes: Vec<Prediction>,
}

/// A network's figures, and their means over categories.
#[derive(Clone, Debug, Serialize)]
pub struct Quality {
    /// In the form of `etalase eval --json`.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// Every category counts once.
    pub mean: Means,
    /// Every photo counts once; recall so is accuracy.
    pub mean_by_photos: Means,
}

/// Means over categories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Means {
    /// Of precision.
    pub precision: f64,
    /// Of recall.
    pub recall: f64,
    /// Of F1.
    pub f1: f64,
}

impl Quality {
    fn of(metrics: Metrics) -> Quality {
        Quality {
            mean: Means::of(&metrics, |_| 1.0),
            mean_by_photos: Means::of(&metrics, |class| class.support as f64),
            metrics,
        }
    }
}

impl Means {
    fn of(metrics: &Metrics, weight: impl Fn(&ClassMetrics) -> f64) -> Means {
        let classes = || metrics.per_class.values();
        let total: f64 = classes().map(&weight).sum();
        let mean = |figure: fn(&ClassMetrics) -> f64| match total {
            0.0 => 0.0,
            total => classes().map(|c| weight(c) * figure(c)).sum::<f64>() / total,
        };
        Means {
            precision: mean(|c| c.precision),
            recall: mean(|c| c.recall),
            f1: mean(|c| c.f1),
        }
    }
}

impl Run {
    /// Reads what is there; only the curve must be.
    pub fn read(folder: &Path) -> Result<Run> {
        let history: History = read_json(&folder.join(HISTORY))?;
        let figures: Figures = match folder.join(EVALUATION) {
            path if path.exists() => read_json(&path)?,
            _ => Figures::default(),
        };
        let mistakes = match folder.join(PREDICTIONS) {
            // Answers of an earlier run, without its figures, are not this one's.
            path if path.exists() && figures.int8.is_some() => worst(read(&path)?),
            _ => Vec::new(),
        };
        let quantization = match folder.join(QUANTIZATION) {
            path if path.exists() && figures.int8.is_some() => Some(read_json(&path)?),
            _ => None,
        };
        let verification = match folder.join(VERIFICATION) {
            path if path.exists() && figures.int8.is_some() => Some(read_json(&path)?),
            _ => None,
        };
        let identity = &history.identity;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let folder_name = || folder.file_name()?.to_str().map(str::to_owned);
        let best = history.epochs.iter().max_by(|a, b| {
            let better = a.validation_accuracy.total_cmp(&b.validation_accuracy);
            let then = better.then(b.validation_loss.total_cmp(&a.validation_loss));
            // The first of equals is kept.
            then.then(b.epoch.cmp(&a.epoch))
        });
        Ok(Run {
            backbone: text(&identity["backbone"])
                .or_else(folder_name)
                .with_context(|| format!("{} tells of no backbone", folder.display()))?,
            weights: figures.weights,
            input_px: identity["preprocess"]["width"].as_u64(),
            fit: text(&identity["preprocess"]["fit"]),
            planned_epochs: identity["recipe"]["epochs"].as_u64(),
            kept_epoch: best.map(|epoch| epoch.epoch),
            training_photos_per_second: photos_per_second(&history),
            validation_photos: text(&identity["validation photos"]),
            cost: figures.cost,
            float: figures.float.map(Quality::of),
            int8: figures.int8.map(Quality::of),
            quantization,
            verification,
            mistakes,
            history,
        })
    }

    /// What is shipped, or the float network where nothing else was measured.
    pub(super) fn shown(&self) -> Option<&Quality> {
        self.int8.as_ref().or(self.float.as_ref())
    }
}

/// Epochs see the same number of photos, so that their rates' harmonic mean is the run's.
fn photos_per_second(history: &History) -> Option<f64> {
    let seconds_a_photo = history.epochs.iter().map(|e| 1.0 / e.photos_per_second);
    let total = seconds_a_photo.sum::<f64>();
    (total.is_finite() && total > 0.0).then(|| history.epochs.len() as f64 / total)
}

/// The most confident wrong answers.
fn worst(predictions: Vec<Prediction>) -> Vec<Prediction> {
    let mut wrong: Vec<Prediction> = predictions
        .into_iter()
        .filter(|prediction| prediction.label != prediction.predicted)
        .collect();
    wrong.sort_by(|a, b| b.score.total_cmp(&a.score));
    wrong.truncate(MISTAKES);
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::history::Epoch;
    use etalase::evaluation::Evaluation;

    #[test]
    fn recall_by_photos_is_accuracy() {
        let mut evaluation = Evaluation::new(vec!["a".into(), "b".into()]);
        for (truth, scores) in [
            (0, [0.9, 0.1]),
            (0, [0.8, 0.2]),
            (0, [0.4, 0.6]),
            (1, [0.9, 0.1]),
        ] {
            evaluation.record(truth, &scores).unwrap();
        }
        let quality = Quality::of(evaluation.metrics());
        assert_eq!(quality.mean_by_photos.recall, quality.metrics.accuracy);
        assert!((quality.mean.recall - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn the_kept_epoch_is_the_one_that_fit_keeps() {
        let dir = tempfile::tempdir().unwrap();
        let epoch = |epoch: usize, accuracy: f64, loss: f64, rate: f64| Epoch {
            epoch,
            train_loss: 1.0,
            train_accuracy: 0.5,
            validation_loss: loss,
            validation_accuracy: accuracy,
            photos_per_second: rate,
        };
        let history = History {
            epochs: vec![
                epoch(1, 0.8, 0.5, 10.0),
                epoch(2, 0.9, 0.5, 30.0),
                epoch(3, 0.9, 0.4, 30.0),
                epoch(4, 0.9, 0.4, 30.0),
            ],
            ..History::default()
        };
        crate::files::write_json(&dir.path().join(HISTORY), &history).unwrap();
        let run = Run::read(dir.path()).unwrap();
        assert_eq!(run.kept_epoch, Some(3));
        let rate = run.training_photos_per_second.unwrap();
        assert!((rate - 20.0).abs() < 1e-9, "{rate}");
    }
}
