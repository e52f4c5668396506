//! One pass over the training photos: pick, augment, mix, ask the teacher, step.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};

use super::augment::augment;
use super::average::Average;
use super::fit::Job;
use super::measure::normalize;
use super::optimizer::AdamW;
use crate::data::Dataset;
use crate::network::{Mode, Network};

/// What the steps of an epoch sum up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sums {
    /// Of the steps' losses.
    pub(super) loss: f64,
    /// Photos classified rightly.
    pub(super) right: f64,
    /// Photos seen.
    pub(super) seen: usize,
    /// Time taken.
    pub(super) seconds: f64,
}

/// An epoch, perhaps under way.
#[derive(Clone, Copy)]
pub(super) struct Begun {
    /// From 1.
    pub(super) epoch: usize,
    /// The steps that it has done.
    pub(super) step: usize,
    /// What they summed up to.
    pub(super) sums: Sums,
}

/// What a step changes.
pub(super) struct Learner<'a> {
    pub(super) network: &'a Network,
    pub(super) adamw: AdamW,
    pub(super) average: Average,
}

/// Photos of a step and what is asked for them, `[n, classes]` shares.
struct Lesson {
    /// `[n, size, size, 3]` f32, whole grey levels.
    photos: Tensor,
    targets: Tensor,
}

/// Seeds libtorch's generator for one step of one epoch, so that a run can go on in the middle.
pub(super) fn seed(seed: u64, epoch: usize, step: usize) {
    let digest = Sha256::digest(format!("{seed} {epoch} {step}"));
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest[..8]);
    // Non-negative: libtorch takes an i64.
    tch::manual_seed((u64::from_le_bytes(bytes) >> 1) as i64);
}

/// The place of things that are drawn once an epoch among its steps.
pub(super) const ORDER: usize = usize::MAX;
/// The place of the augmented validation photos.
pub(super) const VALIDATION: usize = usize::MAX - 1;

/// Does the steps of an epoch that are left. Calls `rest` after each with the number of steps done and the sums so far.
pub(super) fn train_epoch(
    job: &Job,
    learner: &mut Learner,
    train: &Dataset,
    classes: usize,
    begun: Begun,
    mut rest: impl FnMut(&Learner, usize, Sums) -> Result<()>,
) -> Result<Sums> {
    let recipe = &job.recipe;
    let Begun {
        epoch,
        step: first,
        mut sums,
    } = begun;
    let steps = train.len() / recipe.batch;
    seed(recipe.seed, epoch, ORDER);
    let order = Tensor::randperm(train.len() as i64, (Kind::Int64, Device::Cpu));
    let mut busy = Duration::ZERO;
    for step in first..steps {
        let start = Instant::now();
        seed(recipe.seed, epoch, step);
        let picked = order.narrow(0, (step * recipe.batch) as i64, recipe.batch as i64);
        let lesson = lesson(job, train, &picked, classes);
        let mode = Mode::Train {
            momentum: recipe.batch_norm_momentum,
        };
        let input = normalize(&lesson.photos, job.backbone.normalization());
        let logits = learner.network.forward(&input, mode)?.flatten(1, -1);
        let loss = loss(job, &lesson, &logits)?;
        let done = ((epoch - 1) * steps + step) as f64 / steps as f64;
        learner
            .adamw
            .backward_step(&loss, recipe.learning_rate_after(done));
        let decay = recipe.averaging_decay(recipe.epochs * steps);
        learner.average.update(learner.network, decay);
        let value = loss.double_value(&[]);
        ensure!(
            value.is_finite(),
            "the loss became {value} in epoch {epoch}; a lower learning rate may help"
        );
        let right = logits
            .argmax(1, false)
            .eq_tensor(&lesson.targets.argmax(1, false));
        sums.loss += value;
        sums.right += right.sum(Kind::Float).double_value(&[]);
        sums.seen += recipe.batch;
        busy += start.elapsed();
        let so_far = Sums {
            seconds: sums.seconds + busy.as_secs_f64(),
            ..sums
        };
        rest(learner, step + 1, so_far)?;
    }
    sums.seconds += busy.as_secs_f64();
    Ok(sums)
}

/// Augmented photos, mixed by twos where the recipe says so, with the shares of their classes.
fn lesson(job: &Job, train: &Dataset, picked: &Tensor, classes: usize) -> Lesson {
    let recipe = &job.recipe;
    let pixels = train.pixels.index_select(0, picked).to_device(job.device);
    let targets = train.targets.index_select(0, picked).to_device(job.device);
    let size = job.preprocess.width as usize;
    let lesson = Lesson {
        photos: augment(&pixels, size, &recipe.augmentation),
        targets: targets.onehot(classes as i64).to_kind(Kind::Float),
    };
    if recipe.mixup == 0.0 {
        return lesson;
    }
    let shares = Tensor::from_slice(&[recipe.mixup as f32; 2]).internal_sample_dirichlet();
    let share = shares.max().double_value(&[]);
    let partner = Tensor::randperm(recipe.batch as i64, (Kind::Int64, job.device));
    let mix = |a: &Tensor| a * share + a.index_select(0, &partner) * (1.0 - share);
    Lesson {
        // Whole grey levels, as a phone's.
        photos: mix(&lesson.photos).round(),
        targets: mix(&lesson.targets),
    }
}

/// Cross-entropy with the classes' shares, and with the teacher's answer where there is one.
fn loss(job: &Job, lesson: &Lesson, logits: &Tensor) -> Result<Tensor> {
    let recipe = &job.recipe;
    let cross_entropy = |logits: &Tensor, shares: &Tensor, smoothing: f64| {
        logits.cross_entropy_loss::<Tensor>(shares, None, tch::Reduction::Mean, -100, smoothing)
    };
    let own = cross_entropy(logits, &lesson.targets, recipe.label_smoothing);
    if job.teachers.is_empty() || recipe.teaching == 0.0 {
        return Ok(own);
    }
    let t = recipe.temperature;
    let taught =
        (job.teachers.logits(&lesson.photos)?.to_device(job.device) / t).softmax(-1, Kind::Float);
    // Gradients of softened answers are smaller by the temperature's square.
    let teaching = cross_entropy(&(logits / t), &taught, 0.0) * (t * t);
    Ok(own * (1.0 - recipe.teaching) + teaching * recipe.teaching)
}
