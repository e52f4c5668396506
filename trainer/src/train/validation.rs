//! Validation after each epoch: accuracy and loss of weights on the photos to choose by.
//!
//! In f32, as `evaluate` measures and the exporter writes it, whatever trained it.

use anyhow::Result;
use tch::{Device, Tensor, no_grad};

use super::augment::augment;
use super::draw::Draw;
use super::fit::Job;
use super::measure::{self, cross_entropy, metrics, outputs};
use super::views::Views;
use crate::data::Dataset;
use crate::network::{Mode, Network, Precision};
use crate::weights::Weights;

/// The photos to choose by.
pub(super) struct Validation<'a> {
    job: &'a Job,
    photos: &'a Dataset,
    classes: &'a [String],
    views: Option<Views>,
}

impl<'a> Validation<'a> {
    pub(super) fn new(job: &'a Job, photos: &'a Dataset, classes: &'a [String]) -> Validation<'a> {
        Validation {
            job,
            photos,
            classes,
            views: Views::of_validation(&job.recipe),
        }
    }

    /// Their classes.
    pub(super) fn classes(&self) -> &[String] {
        self.classes
    }

    /// Accuracy and loss of the weights that an epoch came to.
    pub(super) fn measure(&mut self, weights: &Weights, epoch: usize) -> Result<(f64, f64)> {
        let (job, recipe) = (self.job, &self.job.recipe);
        let size = job.preprocess.width as usize;
        let graph = job
            .backbone
            .classifier(size, self.classes.len(), recipe.dropout);
        let mut network = Network::new(graph, weights, job.device, Precision::F32)?;
        let logits = if let Some(views) = &mut self.views {
            network.freeze(recipe.frozen(job.backbone))?;
            views.make(epoch, job, &network, self.photos)?;
            from_views(views, epoch, &network, self.photos.len())?
        } else {
            // Nothing trains here.
            network.freeze(usize::MAX)?;
            let augmented = recipe.augment_validation.then(|| self.augmented(epoch));
            let photos = augmented.as_ref().unwrap_or(self.photos);
            outputs(&network, photos, job.backbone.normalization(), "validating")?
        };
        let targets = &self.photos.targets;
        let accuracy = metrics(&logits, targets, self.classes)?.accuracy;
        Ok((accuracy, cross_entropy(&logits, targets)))
    }

    /// The photos as an epoch draws them.
    fn augmented(&self, epoch: usize) -> Dataset {
        let (job, photos) = (self.job, self.photos);
        let (recipe, size) = (&job.recipe, job.preprocess.width as usize);
        Draw::Validation { epoch }.seed(recipe.seed);
        let batches = (0..photos.len()).step_by(recipe.batch).map(|from| {
            let to = (from + recipe.batch).min(photos.len());
            let pixels = photos.slice(from, to).0.to_device(job.device);
            augment(&pixels, size, &recipe.augmentation).to_kind(tch::Kind::Uint8)
        });
        photos.with_pixels(Tensor::cat(&batches.collect::<Vec<_>>(), 0))
    }
}

/// The network's outputs for all photos, `[n, outputs]` f32 on the CPU, from what its trunk made of them.
fn from_views(views: &Views, epoch: usize, network: &Network, photos: usize) -> Result<Tensor> {
    let mut all = Vec::new();
    let batch = measure::batch(network);
    for from in (0..photos).step_by(batch) {
        let to = (from + batch).min(photos);
        let picked = Tensor::arange_start(from as i64, to as i64, (tch::Kind::Int64, Device::Cpu));
        let (values, _) = views.pick(epoch, &picked, network.device())?;
        let output = no_grad(|| network.rest(&values, Mode::Eval))?;
        all.push(output.flatten(1, -1).to_device(Device::Cpu));
    }
    Ok(Tensor::cat(&all, 0))
}
