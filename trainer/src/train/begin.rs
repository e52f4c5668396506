//! What a run begins with: its photos, decoded, and its first weights, with a head that is drawn or probed.

use anyhow::{Result, ensure};
use etalase::preprocess::Preprocess;
use serde_json::Value;
use tch::{Device, Tensor, no_grad};

use super::augment::augment;
use super::epoch::Sums;
use super::fit::Job;
use super::history::{HISTORY, History};
use super::measure::{metrics, normalize};
use super::probe::{Head, fit_head, initial_head};
use super::recipe::Augmentation;
use super::state::Place;
use crate::backbones::HEAD;
use crate::data::{self, Dataset};
use crate::files::write_json;
use crate::network::{Mode, Network};
use crate::progress;
use crate::weights::Weights;

/// Training photos are kept this much larger than the network's input, so that zooming in finds real pixels.
const SOURCE_SCALE: f64 = 1.25;

/// Decodes all photos and refuses what would spoil the run.
pub(super) fn load(job: &Job, classes: &[String]) -> Result<(Dataset, Dataset)> {
    let source = |side: u32| (f64::from(side) * SOURCE_SCALE).round() as u32;
    let larger = Preprocess {
        width: source(job.preprocess.width),
        height: source(job.preprocess.height),
        ..job.preprocess.clone()
    };
    let train = Dataset::load(&job.train, classes, &larger, "decoding training photos")?;
    let fitted = if job.recipe.augment_validation {
        &larger
    } else {
        &job.preprocess
    };
    let what = "decoding validation photos";
    let validation = Dataset::load(&job.validation, classes, fitted, what)?;
    let shared = data::shared_photos(&train, &validation);
    ensure!(
        shared.is_empty(),
        "{} training photos stand in the validation set too, {} for one: remove them from either",
        shared.len(),
        shared
            .first()
            .map_or(String::new(), |p| p.display().to_string())
    );
    Ok((train.on(job.device), validation.on(job.device)))
}

/// The weights that a run begins with, and its place.
pub(super) fn begin(
    job: &Job,
    train: &Dataset,
    validation: &Dataset,
    classes: &[String],
    identity: Value,
) -> Result<(Weights, Place)> {
    let mut history = History {
        identity: identity.clone(),
        ..History::default()
    };
    // A folder that cannot be written is found now, not after the first epoch; the curve of an earlier run goes.
    write_json(&job.out.join(HISTORY), &history)?;
    let mut weights = job.features.clone();
    let head = if job.recipe.probe_steps == 0 {
        let channels = job
            .backbone
            .features(job.preprocess.width as usize)
            .output_shape()[2];
        initial_head(channels, classes.len(), job.recipe.seed)?
    } else {
        let (head, accuracy) = probed_head(job, train, validation, classes)?;
        eprintln!(
            "head alone on the frozen trunk: validation accuracy {:.2} %",
            100.0 * accuracy
        );
        history.probe_validation_accuracy = Some(accuracy);
        head
    };
    weights.insert(format!("{HEAD}.weight"), head.weight);
    weights.insert(format!("{HEAD}.bias"), head.bias);
    let place = Place {
        identity,
        epoch: 1,
        step: 0,
        sums: Sums::default(),
        adam_steps: 0,
        history,
        best: None,
    };
    Ok((weights, place))
}

/// A head fitted on the trunk's frozen features, and what that gives on the validation photos.
fn probed_head(
    job: &Job,
    train: &Dataset,
    validation: &Dataset,
    classes: &[String],
) -> Result<(Head, f64)> {
    let recipe = &job.recipe;
    let trunk = job.backbone.pooled(job.preprocess.width as usize);
    let network = Network::new(trunk, &job.features, job.device, job.precision)?;
    let features = |photos: &Dataset, what: &str| -> Result<Tensor> {
        let bar = progress::bar(photos.len() as u64, what);
        let mut features = Vec::new();
        for from in (0..photos.len()).step_by(recipe.batch) {
            let to = (from + recipe.batch).min(photos.len());
            let input = plain(job, photos, from, to);
            let output = no_grad(|| network.forward(&input, Mode::Eval))?;
            features.push(output.flatten(1, -1).to_device(Device::Cpu));
            bar.inc((to - from) as u64);
        }
        bar.finish_and_clear();
        Ok(Tensor::cat(&features, 0))
    };
    let head = fit_head(
        &features(train, "features of training photos")?,
        &train.targets,
        classes.len(),
        recipe.probe_steps,
        recipe.label_smoothing,
        recipe.seed,
    )?;
    let held_out = features(validation, "features of validation photos")?;
    let accuracy = metrics(&head.logits(&held_out), &validation.targets, classes)?.accuracy;
    Ok((head, accuracy))
}

/// Photos as the network reads them, without augmentation; those that are larger are made smaller.
fn plain(job: &Job, photos: &Dataset, from: usize, to: usize) -> Tensor {
    let pixels = photos.slice(from, to).0.to_device(job.device);
    let size = job.preprocess.width as usize;
    let fitted = match pixels.size()[1] == size as i64 {
        true => pixels,
        false => augment(&pixels, size, &Augmentation::NONE),
    };
    normalize(&fitted, job.backbone.normalization())
}
