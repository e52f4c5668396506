//! What a step learns from: photos as the trained layers read them, their classes, and the teacher's answers.
//!
//! Photos are augmented anew in every epoch, or come from the views that are kept of them.

use anyhow::Result;
use tch::{Device, Kind, Tensor};

use super::augment::augment;
use super::draw::Draw;
use super::fit::Job;
use super::measure::normalize;
use super::recipe::Recipe;
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
    /// The photos' classes, `[photos, classes]` shares, on the device.
    targets: Tensor,
    order: Order,
    views: Option<Views>,
}

/// The numbers of all photos as an epoch takes them, `[photos]`: copying some to a GPU would wait for its work.
struct Order {
    in_memory: Tensor,
    on_device: Tensor,
}

impl<'a> Lessons<'a> {
    /// Of these training photos.
    pub(super) fn new(job: &'a Job, photos: &'a Dataset, classes: &[String]) -> Lessons<'a> {
        let targets = photos.targets.onehot(classes.len() as i64);
        let numbers = Tensor::arange(photos.len() as i64, (Kind::Int64, Device::Cpu));
        Lessons {
            job,
            photos,
            targets: targets.to_kind(Kind::Float).to_device(job.device),
            order: Order::of(numbers, job.device),
            views: Views::of_training(&job.recipe),
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
        self.order = Order::of(numbers, self.job.device);
        match &mut self.views {
            Some(views) => views.make(epoch, self.job, network, self.photos),
            None => Ok(()),
        }
    }

    /// The lesson of a step in the epoch that [`begin`](Lessons::begin) made ready.
    pub(super) fn lesson(&self, network: &Network, epoch: usize, step: usize) -> Result<Lesson> {
        let (job, recipe) = (self.job, &self.job.recipe);
        let picked = |order: &Tensor| {
            let batch = recipe.batch as i64;
            order.narrow(0, step as i64 * batch, batch)
        };
        let targets = self.targets.index_select(0, &picked(&self.order.on_device));
        if let Some(views) = &self.views {
            let picked = picked(&self.order.in_memory);
            let (values, taught) = views.pick(epoch, &picked, job.device)?;
            return Ok(Lesson {
                values,
                targets,
                taught,
            });
        }
        let picked = picked(self.order.beside(&self.photos.pixels));
        let pixels = self.photos.pick(&picked).to_device(job.device);
        let size = job.preprocess.width as usize;
        let photos = augment(&pixels, size, &recipe.augmentation);
        let (photos, targets) = mixed(photos, targets, recipe);
        let taught = match job.asks_teachers() {
            true => Some(job.teachers.logits(&photos)?.to_device(job.device)),
            false => None,
        };
        let values = network.trunk(&normalize(&photos, job.backbone.normalization()))?;
        Ok(Lesson {
            values,
            targets,
            taught,
        })
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
