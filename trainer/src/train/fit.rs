//! Fine-tuning: the new head first, on the frozen trunk's features, then all layers that are not frozen.
//!
//! What is validated and kept is the moving average of the weights (Izmailov et al. 2018, arXiv:1803.05407, in its
//! exponential form); the best epoch by validation accuracy, then loss, is written to disk as soon as it is reached.
//! Every epoch draws its random numbers from the seed and its own number: the same seed gives the same run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use etalase::preprocess::Preprocess;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, no_grad};

use super::augment::augment;
use super::checkpoint::{Checkpoint, Description};
use super::measure::{cross_entropy, metrics, normalize, outputs};
use super::optimizer::AdamW;
use super::probe::fit_head;
use super::recipe::{Augmentation, Recipe};
use crate::backbones::{Backbone, HEAD};
use crate::data::{self, Dataset, Labelled};
use crate::files::write_json;
use crate::network::{Mode, Network, Precision, to_array};
use crate::progress;
use crate::weights::{Weights, shapes};

/// Training photos are kept this much larger than the network's input, so that zooming in finds real pixels.
const SOURCE_SCALE: f64 = 1.25;

/// What to train, on what.
pub struct Job {
    /// The network.
    pub backbone: Backbone,
    /// Weights of its features, centred on the zero point ([`crate::keras::recentre`]).
    pub features: Weights,
    /// Photos to fit.
    pub train: Vec<Labelled>,
    /// Photos to choose by.
    pub validation: Vec<Labelled>,
    /// How photos become the network's input.
    pub preprocess: Preprocess,
    /// The numbers.
    pub recipe: Recipe,
    /// Where to compute.
    pub device: Device,
    /// Number format of activations.
    pub precision: Precision,
    /// Folder for `checkpoint.safetensors` and `history.json`.
    pub out: PathBuf,
}

/// What one epoch gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// From 1.
    pub epoch: usize,
    /// Mean training loss, label smoothing included.
    pub train_loss: f64,
    /// Share of augmented training photos classified rightly while training.
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
    /// Accuracy of the probe: the new head on the frozen trunk.
    pub probe_validation_accuracy: f64,
    /// One entry an epoch.
    pub epochs: Vec<Epoch>,
}

/// Names of the files in a run's folder.
pub const CHECKPOINT: &str = "checkpoint.safetensors";
/// The curve, JSON.
pub const HISTORY: &str = "history.json";

/// Runs the whole job and returns the best checkpoint.
pub fn fit(job: Job) -> Result<Checkpoint> {
    let recipe = &job.recipe;
    let classes = data::classes(&job.train);
    ensure!(
        classes.len() > 1,
        "the training photos show only one class: {}",
        classes.join(", ")
    );
    let steps = job.train.len() / recipe.batch;
    ensure!(
        steps > 0,
        "{} training photos are fewer than one batch of {}",
        job.train.len(),
        recipe.batch
    );
    // A folder that cannot be written is found now, not after the first epoch; the curve of an earlier run goes.
    write_json(&job.out.join(HISTORY), &History::default())?;
    let (train, validation) = load(&job, &classes)?;
    let graph =
        job.backbone
            .classifier(job.preprocess.width as usize, classes.len(), recipe.dropout);
    eprintln!(
        "{}: {} parameters, {} million multiply-adds; {} training and {} validation photos of {} classes",
        job.backbone,
        graph.parameter_count(),
        graph.multiply_adds() / 1_000_000,
        train.len(),
        validation.len(),
        classes.len()
    );

    let mut history = History::default();
    let (weights, probe_accuracy) = with_probed_head(&job, &train, &validation, &classes)?;
    history.probe_validation_accuracy = probe_accuracy;
    eprintln!(
        "head alone on the frozen trunk: validation accuracy {:.2} %",
        100.0 * probe_accuracy
    );

    let mut network = Network::new(graph.clone(), &weights, job.device, job.precision)?;
    network.freeze(recipe.frozen(job.backbone));
    let mut average = Average::new(&network);
    let mut adamw = AdamW::new(network.parameters().values(), recipe.weight_decay);
    let bar = progress::bar((recipe.epochs * steps * recipe.batch) as u64, "fine-tuning");
    let mut best: Option<(f64, f64, Checkpoint)> = None;
    for epoch in 1..=recipe.epochs {
        let run = train_epoch(
            &job,
            &network,
            &mut adamw,
            &mut average,
            &train,
            epoch,
            &bar,
        )?;
        // In f32, as `evaluate` measures and the exporter writes it, whatever trained it.
        let averaged = Network::new(
            graph.clone(),
            &average.weights()?,
            job.device,
            Precision::F32,
        )?;
        let logits = outputs(
            &averaged,
            &validation,
            job.backbone.normalization(),
            "validating",
        )?;
        let accuracy = metrics(&logits, &validation.targets, &classes)?.accuracy;
        let loss = cross_entropy(&logits, &validation.targets);
        let entry = Epoch {
            epoch,
            validation_loss: loss,
            validation_accuracy: accuracy,
            ..run
        };
        bar.suspend(|| eprintln!("{}", line(&entry, recipe.epochs)));
        history.epochs.push(entry);
        if best
            .as_ref()
            .is_none_or(|(a, l, _)| accuracy > *a || (accuracy == *a && loss < *l))
        {
            let description = Description {
                backbone: job.backbone.name().to_owned(),
                classes: classes.clone(),
                preprocess: job.preprocess.clone(),
                epoch,
                validation_accuracy: accuracy,
                recipe: recipe.clone(),
            };
            let checkpoint = Checkpoint {
                description,
                weights: average.weights()?,
            };
            checkpoint.save(&job.out.join(CHECKPOINT))?;
            best = Some((accuracy, loss, checkpoint));
        }
        write_json(&job.out.join(HISTORY), &history)?;
    }
    bar.finish_and_clear();
    Ok(best.context("no epoch was run")?.2)
}

/// Decodes all photos and refuses what would spoil the run.
fn load(job: &Job, classes: &[String]) -> Result<(Dataset, Dataset)> {
    let source = |side: u32| (f64::from(side) * SOURCE_SCALE).round() as u32;
    let larger = Preprocess {
        width: source(job.preprocess.width),
        height: source(job.preprocess.height),
        ..job.preprocess.clone()
    };
    let train = Dataset::load(&job.train, classes, &larger, "decoding training photos")?;
    let validation = Dataset::load(
        &job.validation,
        classes,
        &job.preprocess,
        "decoding validation photos",
    )?;
    data::check_no_empty_class(&validation, classes, "validation set")?;
    let shared = data::shared_photos(&train, &validation);
    ensure!(
        shared.is_empty(),
        "{} training photos stand in the validation set too, {} for one: remove them from either",
        shared.len(),
        shared
            .first()
            .map_or(String::new(), |p| p.display().to_string())
    );
    Ok((train, validation))
}

/// The trunk's weights with a head fitted on its frozen features, and what that gives on the validation photos.
fn with_probed_head(
    job: &Job,
    train: &Dataset,
    validation: &Dataset,
    classes: &[String],
) -> Result<(Weights, f64)> {
    let size = job.preprocess.width as usize;
    job.backbone
        .features(size)
        .check_weights(shapes(&job.features))?;
    let trunk = job.backbone.pooled(size);
    let network = Network::new(trunk, &job.features, job.device, job.precision)?;
    let bar = progress::bar(train.len() as u64, "features of the trunk");
    let mut features = Vec::new();
    for from in (0..train.len()).step_by(job.recipe.batch) {
        let to = (from + job.recipe.batch).min(train.len());
        let pixels = augment(
            &train.slice(from, to).0.to_device(job.device),
            size,
            &Augmentation::NONE,
        );
        let input = normalize(&pixels, job.backbone.normalization());
        let output = no_grad(|| network.forward(&input, Mode::Eval))?;
        features.push(output.flatten(1, -1).to_device(Device::Cpu));
        bar.inc((to - from) as u64);
    }
    bar.finish_and_clear();
    let recipe = &job.recipe;
    let (features, targets) = (Tensor::cat(&features, 0), &train.targets);
    let head = fit_head(
        &features,
        targets,
        classes.len(),
        recipe.probe_steps,
        recipe.label_smoothing,
        recipe.seed,
    )?;
    let held_out = outputs(
        &network,
        validation,
        job.backbone.normalization(),
        "features of validation photos",
    )?;
    let accuracy = metrics(&head.logits(&held_out), &validation.targets, classes)?.accuracy;
    let mut weights = job.features.clone();
    weights.insert(format!("{HEAD}.weight"), head.weight);
    weights.insert(format!("{HEAD}.bias"), head.bias);
    Ok((weights, accuracy))
}

/// One pass over the training photos; the validation figures are left at zero.
fn train_epoch(
    job: &Job,
    network: &Network,
    adamw: &mut AdamW,
    average: &mut Average,
    train: &Dataset,
    epoch: usize,
    bar: &indicatif::ProgressBar,
) -> Result<Epoch> {
    let recipe = &job.recipe;
    tch::manual_seed(
        recipe
            .seed
            .wrapping_mul(1_000_003)
            .wrapping_add(epoch as u64) as i64,
    );
    let size = job.preprocess.width as usize;
    let steps = train.len() / recipe.batch;
    let order = Tensor::randperm(train.len() as i64, (Kind::Int64, Device::Cpu));
    let (mut loss_sum, mut right) = (0.0, 0.0);
    let start = Instant::now();
    for step in 0..steps {
        let picked = order.narrow(0, (step * recipe.batch) as i64, recipe.batch as i64);
        let pixels = train.pixels.index_select(0, &picked).to_device(job.device);
        let targets = train.targets.index_select(0, &picked).to_device(job.device);
        let input = normalize(
            &augment(&pixels, size, &recipe.augmentation),
            job.backbone.normalization(),
        );
        let mode = Mode::Train {
            momentum: recipe.batch_norm_momentum,
        };
        let logits = network.forward(&input, mode)?.flatten(1, -1);
        let smoothing = recipe.label_smoothing;
        let loss = logits.cross_entropy_loss::<Tensor>(
            &targets,
            None,
            tch::Reduction::Mean,
            -100,
            smoothing,
        );
        let done = ((epoch - 1) * steps + step) as f64 / steps as f64;
        adamw.backward_step(&loss, learning_rate(recipe, done));
        average.update(network, recipe.averaging_decay(recipe.epochs * steps));
        let value = loss.double_value(&[]);
        ensure!(
            value.is_finite(),
            "the loss became {value} in epoch {epoch}; a lower learning rate may help"
        );
        loss_sum += value;
        right += logits
            .argmax(1, false)
            .eq_tensor(&targets)
            .sum(Kind::Float)
            .double_value(&[]);
        let seen = ((step + 1) * recipe.batch) as f64;
        bar.set_message(format!(
            "· epoch {epoch}/{} loss {:.3} accuracy {:.3} · {:.1} photos/s",
            recipe.epochs,
            loss_sum / (step + 1) as f64,
            right / seen,
            seen / start.elapsed().as_secs_f64()
        ));
        bar.inc(recipe.batch as u64);
    }
    let seen = (steps * recipe.batch) as f64;
    Ok(Epoch {
        epoch,
        train_loss: loss_sum / steps as f64,
        train_accuracy: right / seen,
        validation_loss: 0.0,
        validation_accuracy: 0.0,
        photos_per_second: seen / start.elapsed().as_secs_f64(),
    })
}

/// Rises over the first epoch, then falls to zero as a cosine. `done` counts epochs.
fn learning_rate(recipe: &Recipe, done: f64) -> f64 {
    let total = recipe.epochs as f64;
    let warm_up = done.clamp(0.01, 1.0);
    recipe.learning_rate * warm_up * 0.5 * (1.0 + (std::f64::consts::PI * done / total).cos())
}

fn line(e: &Epoch, epochs: usize) -> String {
    format!(
        "epoch {:>3}/{epochs}  loss {:.3}  accuracy {:.3}  validation loss {:.3}  accuracy {:.2} %  {:.1} photos/s",
        e.epoch,
        e.train_loss,
        e.train_accuracy,
        e.validation_loss,
        100.0 * e.validation_accuracy,
        e.photos_per_second
    )
}

/// Exponential moving average of all stored tensors, running statistics included.
struct Average {
    tensors: BTreeMap<String, Tensor>,
}

impl Average {
    fn new(network: &Network) -> Average {
        let copy = |tensor: &Tensor| tensor.detach().copy();
        Average {
            tensors: network
                .parameters()
                .iter()
                .map(|(name, t)| (name.clone(), copy(t)))
                .collect(),
        }
    }

    fn update(&mut self, network: &Network, decay: f64) {
        no_grad(|| {
            for (mine, theirs) in self.tensors.values_mut().zip(network.parameters().values()) {
                let _ = mine.lerp_(theirs, 1.0 - decay);
            }
        });
    }

    fn weights(&self) -> Result<Weights> {
        self.tensors
            .iter()
            .map(|(name, tensor)| Ok((name.clone(), to_array(tensor)?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_rises_then_falls_to_zero() {
        let recipe = Recipe {
            epochs: 10,
            learning_rate: 1.0,
            ..Recipe::default()
        };
        assert!(learning_rate(&recipe, 0.0) < 0.02);
        assert!(learning_rate(&recipe, 1.0) > 0.9);
        assert!(learning_rate(&recipe, 5.0) < learning_rate(&recipe, 3.0));
        assert!(learning_rate(&recipe, 10.0) < 1e-9);
    }
}
