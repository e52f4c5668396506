//! Fits what a bundle's policy says of answers: the temperature that makes scores hold, the thresholds of verdicts, what
//! is familiar.
//!
//! Each on photos that can tell it: temperature and familiarity on photos that the bundle's own network was not trained
//! on, thresholds on out-of-fold answers ([`crate::out_of_fold`]), of which there are ten times as many and which no
//! epoch was chosen by. Thresholds speak of calibrated scores, so that they hold for a network that did not give them.

mod familiarity;
mod fit;
mod temperature;
mod thresholds;

pub use familiarity::{class_means, familiarity};
pub use fit::{Aims, Fitted, fit, measure};
pub use temperature::temperature;
pub use thresholds::thresholds;

use anyhow::{Context, Result};
use etalase::decision::{ClassMeans, softmax};
use etalase::photo::Photo;
use etalase::{Classifier, Evidence};

use crate::data::Labelled;
use crate::progress;

/// What verdicts are worth, measured: its name in a run's folder.
pub const VERIFICATION: &str = "verification.json";

/// An answer to a photo whose class is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// An index of the classes.
    pub class: usize,
    /// The network's logits.
    pub logits: Vec<f32>,
    /// What its last layer read; none where only the logits were kept.
    pub features: Vec<f32>,
}

impl Known {
    /// What core saw of photos.
    pub fn all(photos: &[(usize, Evidence)]) -> Vec<Known> {
        let known = |(class, evidence): &(usize, Evidence)| Known {
            class: *class,
            logits: evidence.logits.clone(),
            features: evidence.features.clone(),
        };
        photos.iter().map(known).collect()
    }

    /// Both signs of familiarity: the largest logit, and the likeness to the nearest class's mean.
    pub fn signs(&self, means: &ClassMeans) -> (f64, f64) {
        let largest = self
            .logits
            .iter()
            .copied()
            .fold(f32::NEG_INFINITY, f32::max);
        (f64::from(largest), means.likeness(&self.features))
    }
}

/// Runs a bundle's network over photos, on all cores, as a phone would.
pub fn evidence(
    classifier: &Classifier,
    photos: &[Labelled],
    what: &str,
) -> Result<Vec<(usize, Evidence)>> {
    let classes = &classifier.bundle().manifest().classes;
    let bar = progress::bar(photos.len() as u64, what);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let share = photos.len().div_ceil(threads).max(1);
    let of = |photo: &Labelled| -> Result<(usize, Evidence)> {
        let class = classes.iter().position(|class| *class == photo.class);
        let class =
            class.with_context(|| format!("{:?} is no class of the bundle", photo.class))?;
        let bytes = etalase::files::read(&photo.path)?;
        let evidence = classifier.evidence(&Photo::encoded(&bytes));
        bar.inc(1);
        Ok((
            class,
            evidence.map_err(|e| e.context(photo.path.display()))?,
        ))
    };
    let all = std::thread::scope(|scope| {
        let running: Vec<_> = photos
            .chunks(share)
            .map(|photos| scope.spawn(|| photos.iter().map(of).collect::<Result<Vec<_>>>()))
            .collect();
        let finished = running.into_iter().map(|thread| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        finished.collect::<Result<Vec<_>>>()
    })?;
    bar.finish_and_clear();
    Ok(all.concat())
}

/// Calibrated scores with the photos' classes.
pub fn scored(answers: &[Known], temperature: f64) -> Result<Vec<(usize, Vec<f32>)>> {
    let divided = |logit: &f32| (f64::from(*logit) / temperature) as f32;
    let scored = answers.iter().map(|answer| {
        let logits: Vec<f32> = answer.logits.iter().map(divided).collect();
        Ok((answer.class, softmax(&logits)?))
    });
    scored.collect()
}
