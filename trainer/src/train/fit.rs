//! Fine-tuning: the new head first, on the frozen trunk's features, then all layers that are not frozen.
//!
//! What is validated and kept is the moving average of the weights; the best epoch by validation accuracy, then loss, is
//! written to disk as soon as it is reached. Every step draws its random numbers from the seed and its own number, and the
//! run's state is saved after epochs, as far as that takes little of the time, and every few minutes: a run that was ended in any way goes on to the same end.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use etalase::preprocess::Preprocess;
use tch::Device;

use super::average::Average;
use super::begin::{begin, load};
use super::checkpoint::{Checkpoint, Description};
use super::epoch::{Begun, Learner, Look, Sums, train_epoch};
use super::history::{Epoch, HISTORY, History};
use super::identity::identity;
use super::lesson::Lessons;
use super::optimizer::AdamW;
use super::recipe::Recipe;
use super::state::{self, Found, Place, STATE, Start, State};
use super::teacher::Teachers;
use super::validation::Validation;
use super::views;
use super::writer::Writer;
use crate::backbones::Backbone;
use crate::data::{self, Labelled};
use crate::files::{self, write_json};
use crate::network::{Network, Precision};
use crate::progress;
use crate::weights::{Weights, shapes};

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

impl Job {
    /// Whether the loss needs the teachers' answers.
    pub(super) fn asks_teachers(&self) -> bool {
        !self.teachers.is_empty() && self.recipe.teaching > 0.0
    }

    /// For tests of what is given photos by itself: MobileNetV1 at 32 pixels.
    #[cfg(test)]
    pub(super) fn of_no_photos(recipe: Recipe, teachers: Teachers) -> Job {
        Job {
            backbone: Backbone::MobileNetV1,
            features: Weights::new(),
            train: Vec::new(),
            validation: Vec::new(),
            preprocess: Preprocess::u8_nhwc(32, 32, etalase::photo::Fit::Stretch),
            recipe,
            teachers,
            device: Device::Cpu,
            precision: Precision::F32,
            out: PathBuf::new(),
            keep: Keep::Best,
            start: Start::New,
            save_every: Duration::ZERO,
        }
    }
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
    let _claim = files::claim(&job.out)?;
    state::check_folder(&job.out, job.start)?;
    data::check_classes(&job.validation, &classes, "validation set")?;
    job.teachers.check(&classes)?;
    let size = job.preprocess.width as usize;
    job.backbone
        .features(size)
        .check_weights(shapes(&job.features))?;
    let graph = job.backbone.classifier(size, classes.len(), recipe.dropout);
    let frozen = recipe.frozen(job.backbone);
    ensure!(
        frozen < graph.layers.len(),
        "{frozen} of {} layers are frozen: nothing is left to train",
        graph.layers.len()
    );
    views::check_trunk(recipe, job.backbone, &graph)?;
    let (train, validation) = load(&job, &classes)?;
    let identity = identity(&job, &classes, &train, &validation);
    let found = state::find(&job.out, job.start, &identity)?;
    if matches!(found, Found::Finished) {
        eprintln!("{} holds this run, finished", job.out.display());
        return Checkpoint::load(&job.out.join(CHECKPOINT));
    }
    eprintln!(
        "{}: {} parameters, {} million multiply-adds; {} training and {} validation photos of {} classes",
        job.backbone,
        graph.parameter_count(),
        graph.multiply_adds() / 1_000_000,
        train.len(),
        validation.len(),
        classes.len()
    );
    views::check_memory(&job, &graph, classes.len(), [train.len(), validation.len()])?;

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
    network.freeze(frozen)?;
    let mut learner = Learner {
        network: &network,
        adamw: AdamW::new(network.named(), recipe.weight_decay),
        average: Average::new(&network),
    };
    if let Some(state) = resumed {
        state.restore(&mut learner.adamw)?;
        learner.average = state.average(job.device);
    }
    let lessons = Lessons::new(&job, &train, &classes);
    let validation = Validation::new(&job, &validation, &classes);
    run(&job, &mut learner, &mut place, lessons, validation)?;
    Checkpoint::load(&job.out.join(CHECKPOINT))
}

/// The epochs that are left, from `place` on.
fn run(
    job: &Job,
    learner: &mut Learner,
    place: &mut Place,
    mut lessons: Lessons,
    mut validation: Validation,
) -> Result<()> {
    let recipe = &job.recipe;
    let steps = lessons.steps();
    let bar = progress::bar((recipe.epochs * steps * recipe.batch) as u64, "fine-tuning");
    let mut saves = Saves::new(job)?;
    while place.epoch <= recipe.epochs {
        let begun = Begun {
            epoch: place.epoch,
            step: place.step,
            sums: place.sums,
        };
        let epoch = begun.epoch;
        let at = |learner: &Learner, step: usize, sums: Sums| -> Result<()> {
            saves.writer.check()?;
            (place.step, place.sums) = (step, sums);
            place.adam_steps = learner.adamw.steps();
            if saves.are_due_within_an_epoch() && step < steps {
                saves.save(place, learner)?;
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
        let look = Look::on(job.device, at);
        let sums = train_epoch(job, learner, &mut lessons, begun, look)?;
        let weights = learner.average.weights()?;
        let (accuracy, loss) = validation.measure(&weights, epoch)?;
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
            let best = checkpoint(job, validation.classes(), epoch, accuracy, weights);
            saves.keep(best)?;
        }
        (place.epoch, place.step, place.sums) = (epoch + 1, 0, Sums::default());
        place.adam_steps = learner.adamw.steps();
        place.history.finished = place.epoch > recipe.epochs;
        if !place.history.finished && saves.are_due_after_an_epoch() {
            saves.save(place, learner)?;
        }
        saves.tell(&place.history)?;
    }
    bar.finish_and_clear();
    saves.writer.finish()?;
    // The run is finished in its history: what goes on from it is not needed any more.
    let _ = std::fs::remove_file(job.out.join(STATE));
    Ok(())
}

/// What a run leaves on disk, written while it goes on: its state, its best weights, its history.
struct Saves<'a> {
    job: &'a Job,
    writer: Writer,
    state: Arc<Mutex<Saved>>,
}

/// The state that was saved last.
struct Saved {
    at: Instant,
    /// How long writing it took.
    took: Duration,
    /// The next one is being written.
    is_busy: bool,
}

impl<'a> Saves<'a> {
    /// Writing the state takes one part in so many of the time at most, where epochs are short: on a GPU, that of a large
    /// network takes as long to write as an epoch takes to train.
    const SHARE: u32 = 20;

    fn new(job: &'a Job) -> Result<Saves<'a>> {
        let none = Saved {
            at: Instant::now(),
            took: Duration::ZERO,
            is_busy: false,
        };
        Ok(Saves {
            job,
            writer: Writer::beside(job.device)?,
            state: Arc::new(Mutex::new(none)),
        })
    }

    fn are_due_within_an_epoch(&self) -> bool {
        let saved = locked(&self.state);
        !saved.is_busy && saved.at.elapsed() >= self.job.save_every
    }

    fn are_due_after_an_epoch(&self) -> bool {
        let saved = locked(&self.state);
        let most = self.job.save_every.min(saved.took * Self::SHARE);
        !saved.is_busy && saved.at.elapsed() >= most
    }

    /// Saves the state.
    fn save(&mut self, place: &Place, learner: &Learner) -> Result<()> {
        let state = State::of_run(place, learner)?;
        let (out, saved) = (self.job.out.clone(), Arc::clone(&self.state));
        locked(&saved).is_busy = true;
        self.writer.write(move || {
            let start = Instant::now();
            state.save(&out)?;
            *locked(&saved) = Saved {
                at: Instant::now(),
                took: start.elapsed(),
                is_busy: false,
            };
            Ok(())
        })
    }

    /// Writes the best weights so far.
    fn keep(&mut self, checkpoint: Checkpoint) -> Result<()> {
        let path = self.job.out.join(CHECKPOINT);
        let kept = move || checkpoint.save(&path);
        self.writer
            .write(move || kept().context("the best epoch cannot be kept"))
    }

    /// Writes the history so far.
    fn tell(&mut self, history: &History) -> Result<()> {
        let (path, history) = (self.job.out.join(HISTORY), history.clone());
        self.writer.write(move || write_json(&path, &history))
    }
}

/// Nobody panics while it is locked.
fn locked(state: &Mutex<Saved>) -> MutexGuard<'_, Saved> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An epoch's weights with all that is needed to use them.
fn checkpoint(
    job: &Job,
    classes: &[String],
    epoch: usize,
    accuracy: f64,
    weights: Weights,
) -> Checkpoint {
    let description = Description {
        backbone: job.backbone.name().to_owned(),
        classes: classes.to_vec(),
        preprocess: job.preprocess.clone(),
        epoch,
        validation_accuracy: accuracy,
        recipe: job.recipe.clone(),
    };
    Checkpoint {
        description,
        weights,
    }
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
