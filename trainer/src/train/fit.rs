//! Fine-tuning: the new head first, on the frozen trunk's features, then all layers that are not frozen.
//!
//! What is validated and kept is the moving average of the weights; the best epoch by validation accuracy, then loss, is
//! written to disk as soon as it is reached. Every step draws its random numbers from the seed and its own number, and the
//! run's state is saved after every epoch and every few minutes: a run that was ended in any way goes on to the same end.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use etalase::preprocess::Preprocess;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tch::{Device, Tensor, no_grad};

use super::augment::augment;
use super::average::Average;
use super::checkpoint::{Checkpoint, Description};
use super::epoch::{self, Begun, Learner, Sums, VALIDATION, train_epoch};
use super::history::{Epoch, HISTORY, History};
use super::measure::{cross_entropy, metrics, normalize, outputs};
use super::optimizer::AdamW;
use super::probe::{fit_head, initial_head};
use super::recipe::{Augmentation, Recipe};
use super::state::{self, Found, Place, STATE, Start};
use super::teacher::Teachers;
use crate::backbones::{Backbone, HEAD};
use crate::data::{self, Dataset, Labelled};
use crate::files::write_json;
use crate::network::{Mode, Network, Precision};
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
    /// Whose answers are asked for too; may be none.
    pub teachers: Teachers,
    /// Where to compute.
    pub device: Device,
    /// Number format of activations.
    pub precision: Precision,
    /// Folder for `checkpoint.safetensors`, `history.json` and, until the run is finished, `state.safetensors`.
    pub out: PathBuf,
    /// Which epoch is kept.
    pub keep: Keep,
    /// What to do where the folder holds a run already.
    pub start: Start,
    /// The longest that is lost where the run is ended within an epoch.
    pub save_every: Duration,
}

/// Which epoch's weights a run keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// The best by validation accuracy, then loss.
    #[default]
    Best,
    /// The last: where the validation photos are to tell how good the network is, they must not choose it.
    Last,
}

/// Name of the kept epoch's weights in a run's folder.
pub const CHECKPOINT: &str = "checkpoint.safetensors";

/// Runs the whole job, or what is left of it, and returns the best checkpoint.
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
    state::check_folder(&job.out, job.start)?;
    data::check_classes(&job.validation, &classes, "validation set")?;
    job.teachers.check(&classes)?;
    let size = job.preprocess.width as usize;
    job.backbone
        .features(size)
        .check_weights(shapes(&job.features))?;
    let (train, validation) = load(&job, &classes)?;
    let identity = identity(&job, &classes, &train, &validation);
    let found = state::find(&job.out, job.start, &identity)?;
    if matches!(found, Found::Finished) {
        eprintln!("{} holds this run, finished", job.out.display());
        return Checkpoint::load(&job.out.join(CHECKPOINT));
    }
    let graph = job.backbone.classifier(size, classes.len(), recipe.dropout);
    eprintln!(
        "{}: {} parameters, {} million multiply-adds; {} training and {} validation photos of {} classes",
        job.backbone,
        graph.parameter_count(),
        graph.multiply_adds() / 1_000_000,
        train.len(),
        validation.len(),
        classes.len()
    );

    let resumed = match found {
        Found::Unfinished(state) => Some(state),
        _ => None,
    };
    let (weights, mut place) = match &resumed {
        Some(state) => {
            let place = state.place.clone();
            eprintln!(
                "going on in epoch {}, after step {} of {steps}",
                place.epoch, place.step
            );
            (state.weights(), place)
        }
        None => begin(&job, &train, &validation, &classes, identity)?,
    };
    let mut network = Network::new(graph, &weights, job.device, job.precision)?;
    network.freeze(recipe.frozen(job.backbone))?;
    let mut learner = Learner {
        network: &network,
        adamw: AdamW::new(network.named(), recipe.weight_decay),
        average: Average::new(&network),
    };
    if let Some(state) = resumed {
        state.restore(&mut learner.adamw)?;
        learner.average = state.average(job.device);
    }
    run(
        &job,
        &mut learner,
        &mut place,
        &train,
        &validation,
        &classes,
    )?;
    Checkpoint::load(&job.out.join(CHECKPOINT))
}

/// The epochs that are left, from `place` on.
fn run(
    job: &Job,
    learner: &mut Learner,
    place: &mut Place,
    train: &Dataset,
    validation: &Dataset,
    classes: &[String],
) -> Result<()> {
    let recipe = &job.recipe;
    let steps = train.len() / recipe.batch;
    let bar = progress::bar((recipe.epochs * steps * recipe.batch) as u64, "fine-tuning");
    while place.epoch <= recipe.epochs {
        let begun = Begun {
            epoch: place.epoch,
            step: place.step,
            sums: place.sums,
        };
        let epoch = begun.epoch;
        let mut saved = Instant::now();
        let rest = |learner: &Learner, step: usize, sums: Sums| -> Result<()> {
            (place.step, place.sums) = (step, sums);
            place.adam_steps = learner.adamw.steps();
            if saved.elapsed() >= job.save_every && step < steps {
                state::save(&job.out, place, learner)?;
                saved = Instant::now();
            }
            bar.set_position((((epoch - 1) * steps + step) * recipe.batch) as u64);
            bar.set_message(format!(
                "· epoch {epoch}/{} loss {:.3} accuracy {:.3} · {:.1} photos/s",
                recipe.epochs,
                sums.loss / step as f64,
                sums.right / sums.seen as f64,
                sums.seen as f64 / sums.seconds
            ));
            Ok(())
        };
        let sums = train_epoch(job, learner, train, classes.len(), begun, rest)?;
        let weights = learner.average.weights()?;
        let (accuracy, loss) = validate(job, &weights, validation, classes, epoch)?;
        let entry = Epoch {
            epoch,
            train_loss: sums.loss / steps as f64,
            train_accuracy: sums.right / sums.seen as f64,
            validation_loss: loss,
            validation_accuracy: accuracy,
            photos_per_second: sums.seen as f64 / sums.seconds,
        };
        bar.suspend(|| eprintln!("{}", line(&entry, recipe.epochs)));
        place.history.epochs.push(entry);
        place.history.training_seconds += sums.seconds;
        let kept = match job.keep {
            Keep::Best => place
                .best
                .is_none_or(|(a, l)| accuracy > a || (accuracy == a && loss < l)),
            Keep::Last => epoch == recipe.epochs,
        };
        if kept {
            place.best = Some((accuracy, loss));
            keep(job, classes, epoch, accuracy, weights)?;
        }
        (place.epoch, place.step, place.sums) = (epoch + 1, 0, Sums::default());
        place.adam_steps = learner.adamw.steps();
        place.history.finished = place.epoch > recipe.epochs;
        if !place.history.finished {
            state::save(&job.out, place, learner)?;
        }
        write_json(&job.out.join(HISTORY), &place.history)?;
    }
    bar.finish_and_clear();
    // The run is finished in its history: what goes on from it is not needed any more.
    let _ = std::fs::remove_file(job.out.join(STATE));
    Ok(())
}

/// What a run is a run of, by what decides its end.
fn identity(job: &Job, classes: &[String], train: &Dataset, validation: &Dataset) -> Value {
    let photos = |dataset: &Dataset| {
        let mut digest = Sha256::new();
        dataset.hashes.iter().for_each(|hash| digest.update(hash));
        let targets = Vec::<i64>::try_from(&dataset.targets).unwrap_or_default();
        targets
            .iter()
            .for_each(|target| digest.update(target.to_le_bytes()));
        hex(&digest.finalize())
    };
    let mut weights = Sha256::new();
    for (name, array) in &job.features {
        weights.update(name);
        array
            .data
            .iter()
            .for_each(|value| weights.update(value.to_le_bytes()));
    }
    json!({
        "backbone": job.backbone.name(),
        "classes": classes,
        "preprocess": job.preprocess,
        "recipe": job.recipe,
        "precision": format!("{:?}", job.precision),
        "teachers": job.teachers.digests(),
        "training photos": photos(train),
        "validation photos": photos(validation),
        "first weights": hex(&weights.finalize()),
    })
}

pub(super) fn hex(digest: &[u8]) -> String {
    digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
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
    Ok((train, validation))
}

/// The weights that a run begins with, and its place.
fn begin(
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
) -> Result<(super::probe::Head, f64)> {
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

/// Accuracy and loss of weights on the validation photos. In f32, as `evaluate` measures and the exporter writes it,
/// whatever trained it.
fn validate(
    job: &Job,
    weights: &Weights,
    validation: &Dataset,
    classes: &[String],
    epoch: usize,
) -> Result<(f64, f64)> {
    let recipe = &job.recipe;
    let size = job.preprocess.width as usize;
    let graph = job.backbone.classifier(size, classes.len(), recipe.dropout);
    let network = Network::new(graph, weights, job.device, Precision::F32)?;
    let augmented = recipe.augment_validation.then(|| {
        epoch::seed(recipe.seed, epoch, VALIDATION);
        let batches = (0..validation.len()).step_by(recipe.batch).map(|from| {
            let to = (from + recipe.batch).min(validation.len());
            let pixels = validation.slice(from, to).0.to_device(job.device);
            augment(&pixels, size, &recipe.augmentation).to_kind(tch::Kind::Uint8)
        });
        validation.with_pixels(Tensor::cat(&batches.collect::<Vec<_>>(), 0))
    });
    let photos = augmented.as_ref().unwrap_or(validation);
    let logits = outputs(&network, photos, job.backbone.normalization(), "validating")?;
    let accuracy = metrics(&logits, &photos.targets, classes)?.accuracy;
    Ok((accuracy, cross_entropy(&logits, &photos.targets)))
}

/// Writes the best weights so far.
fn keep(
    job: &Job,
    classes: &[String],
    epoch: usize,
    accuracy: f64,
    weights: Weights,
) -> Result<()> {
    let description = Description {
        backbone: job.backbone.name().to_owned(),
        classes: classes.to_vec(),
        preprocess: job.preprocess.clone(),
        epoch,
        validation_accuracy: accuracy,
        recipe: job.recipe.clone(),
    };
    let checkpoint = Checkpoint {
        description,
        weights,
    };
    checkpoint
        .save(&job.out.join(CHECKPOINT))
        .context("the best epoch cannot be kept")
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
