//! What a step learns from: photos as the trained layers read them, their classes, and the teacher's answers.
//!
//! Photos are augmented anew in every epoch, or come from the views that are kept of them.

use anyhow::{Context, Result};
use tch::{Device, Kind, Tensor};

use super::augment::augment;
use super::draw::Draw;
use super::fit::Job;
use super::measure::normalize;
use super::recipe::Recipe;
use super::teacher::Asked;
use super::views::Views;
use crate::data::Dataset;
use crate::network::Network;

/// A batch of photos and what is asked for them.
pub(super) struct Lesson {
    /// What the trained layers read ([`Network::trunk`]).
    pub(super) values: Vec<Tensor>,
    /// `[n, classes]` shares.
    pub(super) targets: Tensor,
    /// The teachers' logits, `[n, classes]`, where they are asked.
    pub(super) taught: Option<Tensor>,
}

impl Lesson {
    /// The lesson in `count` parts, nearly equal, and the share of the whole that each is.
    pub(super) fn parts(self, count: usize) -> Vec<(Lesson, f64)> {
        if count == 1 {
            return vec![(self, 1.0)];
        }
        let photos = self.targets.size()[0];
        let bound = |part: usize| photos * part as i64 / count as i64;
        let part = |from: i64, length: i64| {
            let narrow = |tensor: &Tensor| tensor.narrow(0, from, length);
            let lesson = Lesson {
                values: self.values.iter().map(narrow).collect(),
                targets: narrow(&self.targets),
                taught: self.taught.as_ref().map(narrow),
            };
            (lesson, length as f64 / photos as f64)
        };
        (0..count)
            .map(|at| part(bound(at), bound(at + 1) - bound(at)))
            .collect()
    }
}

/// Where lessons come from.
pub(super) struct Lessons<'a> {
    job: &'a Job,
    photos: &'a Dataset,
    /// The photos' classes, on the device.
    targets: Tensor,
    classes: i64,
    /// Of the epoch that is under way.
    order: Option<Order>,
    views: Option<Views>,
    /// Whether teachers are asked about the next step's photos while a GPU learns from this one's. On a processor they
    /// would take each other's cores.
    asks_ahead: bool,
    ahead: Option<Drawn>,
}

/// A step's photos, augmented and mixed.
struct Drawn {
    epoch: usize,
    step: usize,
    photos: Tensor,
    targets: Tensor,
    /// What teachers say to them, where they were asked ahead.
    asked: Option<Asked>,
}

/// The numbers of all photos as an epoch takes them, `[photos]`: copying some to a GPU would wait for its work.
struct Order {
    in_memory: Tensor,
    on_device: Tensor,
}

impl<'a> Lessons<'a> {
    /// Of these training photos.
    pub(super) fn new(job: &'a Job, photos: &'a Dataset, classes: &[String]) -> Lessons<'a> {
        Lessons {
            job,
            photos,
            targets: photos.targets.to_device(job.device),
            classes: classes.len() as i64,
            order: None,
            views: Views::of_training(&job.recipe),
            asks_ahead: job.asks_teachers() && job.device != Device::Cpu,
            ahead: None,
        }
    }

    /// Steps of an epoch.
    pub(super) fn steps(&self) -> usize {
        self.photos.len() / self.job.recipe.batch
    }

    /// Makes ready what an epoch needs.
    pub(super) fn begin(&mut self, network: &Network, epoch: usize) -> Result<()> {
        Draw::Order { epoch }.seed(self.job.recipe.seed);
        let photos = self.photos.len() as i64;
        let numbers = Tensor::randperm(photos, (Kind::Int64, Device::Cpu));
        self.order = Some(Order::of(numbers, self.job.device));
        match &mut self.views {
            Some(views) => views.make(epoch, self.job, network, self.photos),
            None => Ok(()),
        }
    }

    /// The lesson of a step in the epoch that [`begin`](Lessons::begin) made ready.
    pub(super) fn lesson(
        &mut self,
        network: &Network,
        epoch: usize,
        step: usize,
    ) -> Result<Lesson> {
        let job = self.job;
        let order = self.order.as_ref();
        let order = order.context("a lesson before its epoch is begun")?;
        if let Some(views) = &self.views {
            let picked = self.picked(&order.in_memory, step);
            let (values, taught) = views.pick(epoch, &picked, job.device)?;
            return Ok(Lesson {
                values,
                targets: self.targets(order, step),
                taught,
            });
        }
        let drawn = match self.ahead.take() {
            Some(drawn) if (drawn.epoch, drawn.step) == (epoch, step) => drawn,
            _ => self.draw(order, epoch, step),
        };
        let taught = match drawn.asked {
            Some(asked) => Some(asked.answer()?),
            None if job.asks_teachers() => {
                Some(job.teachers.logits(&drawn.photos)?.to_device(job.device))
            }
            None => None,
        };
        if self.asks_ahead && step + 1 < self.steps() {
            let mut next = self.draw(order, epoch, step + 1);
            next.asked = Some(job.teachers.ask(&next.photos)?);
            self.ahead = Some(next);
        }
        let photos = normalize(&drawn.photos, job.backbone.normalization());
        Ok(Lesson {
            values: network.trunk(&photos)?,
            targets: drawn.targets,
            taught,
        })
    }

    /// Draws a step's photos.
    fn draw(&self, order: &Order, epoch: usize, step: usize) -> Drawn {
        let (job, recipe) = (self.job, &self.job.recipe);
        Draw::Lesson { epoch, step }.seed(recipe.seed);
        let picked = self.picked(order.beside(&self.photos.pixels), step);
        let pixels = self.photos.pick(&picked).to_device(job.device);
        let size = job.preprocess.width as usize;
        let photos = augment(&pixels, size, &recipe.augmentation);
        let (photos, targets) = mixed(photos, self.targets(order, step), recipe);
        Drawn {
            epoch,
            step,
            photos,
            targets,
            asked: None,
        }
    }

    /// The classes' shares of a step's photos.
    fn targets(&self, order: &Order, step: usize) -> Tensor {
        let picked = self.picked(&order.on_device, step);
        let classes = self.targets.index_select(0, &picked);
        classes.onehot(self.classes).to_kind(Kind::Float)
    }

    /// A step's part of the order.
    fn picked(&self, order: &Tensor, step: usize) -> Tensor {
        let batch = self.job.recipe.batch as i64;
        order.narrow(0, step as i64 * batch, batch)
    }
}

impl Order {
    fn of(in_memory: Tensor, device: Device) -> Order {
        Order {
            on_device: in_memory.to_device(device),
            in_memory,
        }
    }

    /// Where these values are.
    fn beside(&self, values: &Tensor) -> &Tensor {
        match values.device() {
            Device::Cpu => &self.in_memory,
            _ => &self.on_device,
        }
    }
}

/// Photos and their classes' shares, mixed by twos where the recipe says so.
fn mixed(photos: Tensor, targets: Tensor, recipe: &Recipe) -> (Tensor, Tensor) {
    if recipe.mixup == 0.0 {
        return (photos, targets);
    }
    let shares = Tensor::from_slice(&[recipe.mixup as f32; 2]).internal_sample_dirichlet();
    let share = shares.max().double_value(&[]);
    let partner = Tensor::randperm(photos.size()[0], (Kind::Int64, photos.device()));
    let mix = |a: &Tensor| a * share + a.index_select(0, &partner) * (1.0 - share);
    // Whole grey levels, as a phone's.
    (mix(&photos).round(), mix(&targets))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::teacher::Teachers;
    use crate::weights;
    use std::path::Path;

    #[test]
    fn teachers_that_are_asked_ahead_say_the_same_of_the_same_photos() {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
        let teachers = Teachers::open(&[models.join("default.etalase")]).unwrap();
        let recipe = Recipe {
            batch: 2,
            mixup: 0.5,
            teaching: 0.5,
            ..Recipe::default()
        };
        let job = Job::of_no_photos(recipe, teachers);
        let graph = job.backbone.classifier(32, 10, 0.0);
        let weights = weights::random(&graph, 1);
        let network = Network::new(graph, &weights, job.device, job.precision).unwrap();
        tch::manual_seed(4);
        let photos = Dataset::noise([7, 40, 40, 3]);
        let classes: Vec<String> = (0..10).map(|class| class.to_string()).collect();
        let lessons = |asks_ahead: bool| {
            let mut lessons = Lessons::new(&job, &photos, &classes);
            lessons.asks_ahead = asks_ahead;
            lessons.begin(&network, 1).unwrap();
            let each = (0..lessons.steps()).map(|step| {
                let lesson = lessons.lesson(&network, 1, step).unwrap();
                let _ = Tensor::rand([5], (Kind::Float, Device::Cpu)); // As dropout draws.
                let ahead = lessons.ahead.as_ref().map(|next| next.step);
                assert_eq!(ahead, (asks_ahead && step < 2).then_some(step + 1));
                lesson
            });
            each.collect::<Vec<_>>()
        };
        let (plain, ahead) = (lessons(false), lessons(true));
        assert_eq!(plain.len(), 3);
        for (plain, ahead) in plain.iter().zip(&ahead) {
            assert_eq!(plain.values, ahead.values);
            assert_eq!(plain.targets, ahead.targets);
            assert_eq!(plain.taught, ahead.taught);
            assert_eq!(plain.taught.as_ref().unwrap().size(), [2, 10]);
        }
        assert_ne!(plain[0].taught, plain[1].taught);
    }

    #[test]
    fn parts_are_the_whole_in_order() {
        let rows = Tensor::arange(14, (Kind::Float, Device::Cpu)).reshape([7, 2]);
        let lesson = Lesson {
            values: vec![rows.shallow_clone()],
            targets: &rows + 1.0,
            taught: Some(&rows + 2.0),
        };
        let parts = lesson.parts(3);
        let shares: Vec<f64> = parts.iter().map(|(_, share)| share * 7.0).collect();
        assert_eq!(shares, [2.0, 2.0, 3.0]);
        let joined = |of: fn(&Lesson) -> &Tensor| {
            let tensors: Vec<&Tensor> = parts.iter().map(|(part, _)| of(part)).collect();
            Tensor::cat(&tensors, 0)
        };
        assert_eq!(joined(|part| &part.values[0]), rows);
        assert_eq!(joined(|part| &part.targets), &rows + 1.0);
        assert_eq!(joined(|part| part.taught.as_ref().unwrap()), &rows + 2.0);
    }
}
