//! One pass over the training photos: a lesson a step.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::average::Average;
use super::draw::Draw;
use super::fit::Job;
use super::lesson::{Lesson, Lessons};
use super::optimizer::{AdamW, Gradients};
use super::recipe::Recipe;
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

/// What looks at a run, with the number of steps done and the sums so far.
pub(super) struct Look<F> {
    /// How long a device works before its figures are read.
    pub(super) every: Duration,
    pub(super) at: F,
}

impl<F: FnMut(&Learner, usize, Sums) -> Result<()>> Look<F> {
    /// At a run on this device. Reading waits until a GPU has done all that it was given, and it has nothing to do then until
    /// it is given more.
    pub(super) fn on(device: Device, at: F) -> Look<F> {
        let every = match device {
            Device::Cpu => Duration::ZERO,
            _ => Duration::from_millis(250),
        };
        Look { every, at }
    }
}

/// Does the steps of an epoch that are left, and looks now and then and after the last.
pub(super) fn train_epoch(
    job: &Job,
    learner: &mut Learner,
    lessons: &mut Lessons,
    begun: Begun,
    mut look: Look<impl FnMut(&Learner, usize, Sums) -> Result<()>>,
) -> Result<Sums> {
    let recipe = &job.recipe;
    let Begun {
        epoch,
        step: first,
        mut sums,
    } = begun;
    let steps = lessons.steps();
    let mut since = Instant::now();
    lessons.begin(learner.network, epoch)?;
    let mut figures = Tensor::from_slice(&[sums.loss, sums.right]).to_device(job.device);
    for step in first..steps {
        let lesson = lessons.lesson(learner.network, epoch, step)?;
        Draw::Step { epoch, step }.seed(recipe.seed);
        let done = ((epoch - 1) * steps + step) as f64 / steps as f64;
        figures += learn(recipe, learner, lesson, recipe.learning_rate_after(done))?;
        let decay = recipe.averaging_decay(recipe.epochs * steps);
        learner.average.update(learner.network, decay);
        sums.seen += recipe.batch;
        if step + 1 < steps && since.elapsed() < look.every {
            continue;
        }
        let read = Vec::<f64>::try_from(&figures)?;
        (sums.loss, sums.right) = (read[0], read[1]);
        ensure!(
            sums.loss.is_finite(),
            "the loss became {} in epoch {epoch}; a lower learning rate may help",
            sums.loss
        );
        sums.seconds += since.elapsed().as_secs_f64();
        (look.at)(learner, step + 1, sums)?;
        since = Instant::now();
    }
    Ok(sums)
}

/// A step. Gives the loss and how many photos were classified rightly, `[2]` f64 on the device.
fn learn(
    recipe: &Recipe,
    learner: &mut Learner,
    lesson: Lesson,
    learning_rate: f64,
) -> Result<Tensor> {
    let mode = Mode::Train {
        momentum: recipe.batch_norm_momentum,
    };
    let mut gradients: Option<Gradients> = None;
    let mut figures: Option<Tensor> = None;
    for (part, share) in lesson.parts(recipe.accumulate) {
        let logits = learner.network.rest(&part.values, mode)?.flatten(1, -1);
        let loss = loss(recipe, &part, &logits) * share;
        let of_part = learner.adamw.gradients(&loss);
        match &mut gradients {
            None => gradients = Some(of_part),
            Some(gradients) => gradients.add(&of_part),
        }
        let right = logits
            .argmax(1, false)
            .eq_tensor(&part.targets.argmax(1, false));
        let of_part = [loss.detach(), right.sum(Kind::Float)].map(|one| one.to_kind(Kind::Double));
        let of_part = Tensor::stack(&of_part, 0);
        figures = Some(match figures {
            None => of_part,
            Some(figures) => figures + of_part,
        });
    }
    let (gradients, figures) = gradients.zip(figures).context("a batch without photos")?;
    learner.adamw.step(&gradients, learning_rate);
    Ok(figures)
}

/// Cross-entropy with the classes' shares, and with the teacher's answer where there is one.
fn loss(recipe: &Recipe, lesson: &Lesson, logits: &Tensor) -> Tensor {
    let cross_entropy = |logits: &Tensor, shares: &Tensor, smoothing: f64| {
        logits.cross_entropy_loss::<Tensor>(shares, None, tch::Reduction::Mean, -100, smoothing)
    };
    let own = cross_entropy(logits, &lesson.targets, recipe.label_smoothing);
    let Some(taught) = &lesson.taught else {
        return own;
    };
    let t = recipe.temperature;
    let softened = (taught / t).softmax(-1, Kind::Float);
    // Gradients of softened answers are smaller by the temperature's square.
    let teaching = cross_entropy(&(logits / t), &softened, 0.0) * (t * t);
    own * (1.0 - recipe.teaching) + teaching * recipe.teaching
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;
    use crate::graph::{Graph, Op};
    use crate::network::Precision;
    use crate::train::teacher::Teachers;
    use crate::weights::random;

    /// However often figures are read, an epoch comes to the same.
    #[test]
    fn figures_may_wait() {
        let recipe = Recipe {
            batch: 2,
            ..Recipe::default()
        };
        let job = Job::of_no_photos(recipe, Teachers::open(&[]).unwrap());
        tch::manual_seed(3);
        let photos = Dataset::noise([9, 40, 40, 3]);
        let classes = ["a", "b", "c"].map(str::to_owned);
        let graph = job.backbone.classifier(32, classes.len(), 0.1);
        let weights = random(&graph, 2);
        let run = |every: Duration| {
            let network = Network::new(graph.clone(), &weights, job.device, job.precision).unwrap();
            let mut learner = Learner {
                network: &network,
                adamw: AdamW::new(network.named(), 0.0),
                average: Average::new(&network),
            };
            let mut lessons = Lessons::new(&job, &photos, &classes);
            let mut looked = Vec::new();
            let at = |_: &Learner, step: usize, sums: Sums| {
                looked.push((step, sums.seen));
                Ok(())
            };
            let begun = Begun {
                epoch: 1,
                step: 0,
                sums: Sums::default(),
            };
            let look = Look { every, at };
            let sums = train_epoch(&job, &mut learner, &mut lessons, begun, look).unwrap();
            let sums = Sums {
                seconds: 0.0,
                ..sums
            };
            (sums, looked, learner.average.weights().unwrap())
        };
        let (often, seldom) = (run(Duration::ZERO), run(Duration::MAX));
        assert_eq!(often.1, [(1, 2), (2, 4), (3, 6), (4, 8)]);
        assert_eq!(seldom.1, [(4, 8)]);
        assert_eq!(often.0, seldom.0);
        assert_eq!(often.2, seldom.2);
        assert!(often.0.loss > 0.0 && often.0.seen == 8);
    }

    /// Without batch norms a step in parts is the step of the whole batch, and each part goes through by itself.
    #[test]
    fn a_step_in_parts_is_the_step_of_the_whole() {
        let mut graph = Graph::new([1, 1, 6]);
        graph.push("dense", Op::Dense { units: 3 }, 0);
        let weights = random(&graph, 1);
        let options = (Kind::Float, Device::Cpu);
        tch::manual_seed(7);
        let values = Tensor::randn([7, 1, 1, 6], options);
        let classes = Tensor::from_slice(&[0_i64, 1, 2, 0, 1, 2, 0]);
        let step = |accumulate: usize| {
            let network =
                Network::new(graph.clone(), &weights, Device::Cpu, Precision::F32).unwrap();
            let recipe = Recipe {
                batch: 7,
                accumulate,
                ..Recipe::default()
            };
            let mut learner = Learner {
                network: &network,
                adamw: AdamW::new(network.named(), 0.0),
                average: Average::new(&network),
            };
            let lesson = Lesson {
                values: vec![values.shallow_clone()],
                targets: classes.onehot(3),
                taught: None,
            };
            let figures = learn(&recipe, &mut learner, lesson, 1e-3).unwrap();
            let [loss, right] = [0, 1].map(|at| figures.double_value(&[at]));
            // The first moment is a tenth of the gradient.
            let moments = learner.adamw.moments();
            let gradients: Vec<Tensor> = moments.map(|(_, mean, _)| mean).collect();
            (loss, right, gradients)
        };
        let (whole, parts) = (step(1), step(3));
        assert!((whole.0 - parts.0).abs() < 1e-5, "{} {}", whole.0, parts.0);
        assert_eq!(whole.1, parts.1);
        for (whole, part) in whole.2.iter().zip(&parts.2) {
            let apart = (whole - part).abs().max() / whole.abs().max();
            assert!(apart.double_value(&[]) < 1e-5, "{apart:?}");
        }
    }
}
