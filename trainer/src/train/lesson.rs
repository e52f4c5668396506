//! What a step learns from: photos as the trained layers read them, their classes, and the teacher's answers.
//!
//! Photos are augmented anew in every epoch, or come from the views that are kept of them.

use anyhow::Result;
use tch::{Kind, Tensor};

use super::augment::augment;
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
    classes: usize,
    views: Option<Views>,
}

impl<'a> Lessons<'a> {
    /// Of these training photos.
    pub(super) fn new(job: &'a Job, photos: &'a Dataset, classes: usize) -> Lessons<'a> {
        Lessons {
            job,
            photos,
            classes,
            views: Views::of_training(&job.recipe),
        }
    }

    /// Number of photos.
    pub(super) fn photos(&self) -> usize {
        self.photos.len()
    }

    /// Makes ready what an epoch needs.
    pub(super) fn begin(&mut self, network: &Network, epoch: usize) -> Result<()> {
        match &mut self.views {
            Some(views) => views.make(epoch, self.job, network, self.photos),
            None => Ok(()),
        }
    }

    /// The lesson of the photos `picked` in an epoch that [`begin`](Lessons::begin) made ready.
    pub(super) fn lesson(
        &self,
        network: &Network,
        epoch: usize,
        picked: &Tensor,
    ) -> Result<Lesson> {
        let device = self.job.device;
        let shares = |targets: &Tensor| targets.onehot(self.classes as i64).to_kind(Kind::Float);
        if let Some(views) = &self.views {
            let (values, taught) = views.pick(epoch, picked, device)?;
            let targets = self
                .photos
                .targets
                .index_select(0, picked)
                .to_device(device);
            return Ok(Lesson {
                values,
                targets: shares(&targets),
                taught,
            });
        }
        let recipe = &self.job.recipe;
        let (pixels, targets) = self.photos.pick(picked, device);
        let targets = shares(&targets);
        let size = self.job.preprocess.width as usize;
        let photos = augment(&pixels, size, &recipe.augmentation);
        let (photos, targets) = mixed(photos, targets, recipe);
        let taught = match self.job.asks_teachers() {
            true => Some(self.job.teachers.logits(&photos)?.to_device(device)),
            false => None,
        };
        let values = network.trunk(&normalize(&photos, self.job.backbone.normalization()))?;
        Ok(Lesson {
            values,
            targets,
            taught,
        })
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
    use tch::Device;

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
