//! Views: what the frozen trunk makes of augmented photos, computed once and kept.
//!
//! A frozen trunk does the same with the same pixels in every epoch, and so do teachers. Where the recipe says so
//! (`views`), each photo is augmented that many times in all, and each of these views passes trunk and teachers once, in
//! the first epoch that asks for it; later epochs train on what is kept of it. Epochs take the views in turn, so that no
//! photo shows one of them again before it has shown all. They are not saved: a run that goes on draws them again, to
//! the same bits.
//!
//! Views cannot be mixed (`mixup`): a trunk's answer to the mean of two photos is not the mean of its answers.

use anyhow::{Context, Result, bail, ensure};
use tch::{Device, Kind, Tensor};

use super::augment::augment;
use super::draw::Draw;
use super::fit::Job;
use super::measure::normalize;
use super::recipe::{Augmentation, Recipe};
use crate::backbones::Backbone;
use crate::data::Dataset;
use crate::graph::{Graph, Op};
use crate::network::{Network, Precision};
use crate::progress;
use crate::{allocator, memory};

/// The views of a set of photos.
pub(super) struct Views {
    /// Which photos these are.
    photos: &'static str,
    /// Photos are taken as they are where it is none.
    augmentation: Option<Augmentation>,
    /// Whether teachers are asked, where there are any.
    taught: bool,
    kept: Vec<Option<View>>,
}

/// One view of every photo, in their order, in the computer's memory.
struct View {
    /// What the trained layers read ([`Network::trunk`]).
    values: Vec<Tensor>,
    /// The teachers' logits, `[photos, classes]`.
    taught: Option<Tensor>,
}

impl Views {
    /// Those of the training photos, none where the recipe keeps none.
    pub(super) fn of_training(recipe: &Recipe) -> Option<Views> {
        Some(Views {
            photos: "training photos",
            augmentation: Some(recipe.augmentation),
            taught: true,
            kept: places(recipe.views)?,
        })
    }

    /// Those of the validation photos; one where these are not augmented.
    pub(super) fn of_validation(recipe: &Recipe) -> Option<Views> {
        let augmentation = recipe.augment_validation.then_some(recipe.augmentation);
        Some(Views {
            photos: "validation photos",
            augmentation,
            taught: false,
            kept: places(validation_views(recipe))?,
        })
    }

    /// Makes the view that an epoch takes, unless it is there.
    pub(super) fn make(
        &mut self,
        epoch: usize,
        job: &Job,
        network: &Network,
        photos: &Dataset,
    ) -> Result<()> {
        let view = self.at(epoch);
        if self.kept[view].is_none() {
            self.kept[view] = Some(self.view(view, job, network, photos)?);
        }
        Ok(())
    }

    /// What an epoch reads of the photos `picked`, and what teachers answered to them.
    pub(super) fn pick(
        &self,
        epoch: usize,
        picked: &Tensor,
        device: Device,
    ) -> Result<(Vec<Tensor>, Option<Tensor>)> {
        let view = self.kept[self.at(epoch)].as_ref();
        let view = view.context("a view is read before it is made")?;
        let pick = |all: &Tensor| all.index_select(0, picked).to_device(device);
        Ok((
            view.values.iter().map(pick).collect(),
            view.taught.as_ref().map(pick),
        ))
    }

    /// Which view an epoch takes.
    fn at(&self, epoch: usize) -> usize {
        (epoch - 1) % self.kept.len()
    }

    fn view(&self, view: usize, job: &Job, network: &Network, photos: &Dataset) -> Result<View> {
        let (recipe, size) = (&job.recipe, job.preprocess.width as usize);
        let what = format!("{}, view {} of {}", self.photos, view + 1, self.kept.len());
        let bar = progress::bar(photos.len() as u64, &what);
        let (mut values, mut taught) = (Vec::new(), Vec::new());
        for (batch, from) in (0..photos.len()).step_by(recipe.batch).enumerate() {
            let to = (from + recipe.batch).min(photos.len());
            let draw = Draw::View {
                photos: self.photos,
                view,
                batch,
            };
            draw.seed(recipe.seed);
            let pixels = photos.slice(from, to).0.to_device(job.device);
            let pixels = match &self.augmentation {
                Some(augmentation) => augment(&pixels, size, augmentation),
                None => pixels.to_kind(Kind::Float),
            };
            let read = network.trunk(&normalize(&pixels, job.backbone.normalization()))?;
            if values.is_empty() {
                values = read.iter().map(|one| room(one, photos.len())).collect();
            }
            for (all, some) in values.iter().zip(&read) {
                let mut place: Tensor = all.narrow(0, from as i64, (to - from) as i64);
                place.copy_(some);
            }
            if self.taught && job.asks_teachers() {
                taught.push(job.teachers.logits(&pixels)?);
            }
            bar.inc((to - from) as u64);
        }
        bar.finish_and_clear();
        let taught = (!taught.is_empty()).then(|| Tensor::cat(&taught, 0));
        Ok(View { values, taught })
    }
}

/// Places for `count` views.
fn places(count: usize) -> Option<Vec<Option<View>>> {
    (count > 0).then(|| (0..count).map(|_| None).collect())
}

fn validation_views(recipe: &Recipe) -> usize {
    match recipe.augment_validation {
        true => recipe.views,
        false => recipe.views.min(1),
    }
}

/// Room for `count` of what `some`, `[n, h, w, c]`, holds n of.
fn room(some: &Tensor, count: usize) -> Tensor {
    let mut shape = some.size();
    shape[0] = count as i64;
    Tensor::empty(&shape, (some.kind(), Device::Cpu))
}

/// Refuses views of a network without a frozen trunk.
pub(super) fn check_trunk(recipe: &Recipe, backbone: Backbone, graph: &Graph) -> Result<()> {
    let frozen = recipe.frozen(backbone);
    ensure!(
        recipe.views == 0 || graph.cut(frozen).kept != [0],
        "views is {}: they are what frozen layers make of photos, and the first {frozen} layers of {backbone} make nothing; \
         freeze more (freeze_layers, trained_blocks) or set views to 0",
        recipe.views
    );
    Ok(())
}

/// Says how much memory the views take, and refuses those that do not fit.
pub(super) fn check_memory(
    job: &Job,
    graph: &Graph,
    classes: usize,
    [training, validation]: [usize; 2],
) -> Result<()> {
    let recipe = &job.recipe;
    if recipe.views == 0 {
        return Ok(());
    }
    let frozen = recipe.frozen(job.backbone);
    let answers = if job.asks_teachers() { 4 * classes } else { 0 };
    let training_view = training * (bytes_a_photo(graph, frozen, job.precision) + answers);
    let validation_view = validation * bytes_a_photo(graph, frozen, Precision::F32);
    // Later views are never made.
    let (made, validated) = (
        recipe.views.min(recipe.epochs),
        validation_views(recipe).min(recipe.epochs),
    );
    let needed = made * training_view + validated * validation_view;
    // An earlier run of this process may have left the room that it took.
    allocator::give_back_freed_memory();
    let available = memory::available();
    eprintln!(
        "views: {made} of {training} training photos and {validated} of {validation} validation photos, {} in memory{}",
        memory::in_words(needed),
        available.map_or(String::new(), |bytes| format!(
            " ({} are available)",
            memory::in_words(bytes)
        ))
    );
    fits(recipe.views, needed, available)
}

fn fits(views: usize, needed: usize, available: Option<usize>) -> Result<()> {
    let Some(available) = available.filter(|&available| available < needed) else {
        return Ok(());
    };
    bail!(
        "views is {views}: they take {needed} bytes ({}), and {available} bytes ({}) of memory are available; \
         fewer views fit, or more frozen layers, whose values are smaller",
        memory::in_words(needed),
        memory::in_words(available)
    )
}

/// Bytes of what is kept of one photo.
fn bytes_a_photo(graph: &Graph, frozen: usize, precision: Precision) -> usize {
    let kept = graph.cut(frozen).kept;
    let bytes = |&id: &usize| {
        let each = match (&graph.layers[id].op, precision) {
            // The global mean is f32 in both.
            (Op::GlobalAveragePool, _) | (_, Precision::F32) => 4,
            (_, Precision::Bf16) => 2,
        };
        each * graph.count(&[id])
    };
    kept.iter().map(bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_take_the_views_in_turn() {
        let recipe = Recipe {
            views: 3,
            ..Recipe::default()
        };
        let training = Views::of_training(&recipe).unwrap();
        assert_eq!(
            [1, 2, 3, 4, 7].map(|epoch| training.at(epoch)),
            [0, 1, 2, 0, 0]
        );
        // Photos that are not augmented look the same in all.
        let validation = Views::of_validation(&recipe).unwrap();
        assert_eq!([1, 2, 3].map(|epoch| validation.at(epoch)), [0; 3]);
        assert!(Views::of_training(&Recipe::default()).is_none());
    }

    #[test]
    fn views_that_do_not_fit_are_refused_with_the_bytes() {
        assert!(fits(10, 5_000_000_000, Some(5_000_000_000)).is_ok());
        assert!(fits(10, 5_000_000_000, None).is_ok());
        let said = fits(10, 5_000_000_001, Some(5_000_000_000)).unwrap_err();
        let said = said.to_string();
        assert!(said.contains("5000000001 bytes (5.0 GB)"), "{said}");
        assert!(said.contains("and 5000000000 bytes"), "{said}");
    }

    #[test]
    fn bytes_are_those_of_the_values() {
        for (backbone, frozen) in [(Backbone::MobileNetV1, 75), (Backbone::MobileNetV2, 155)] {
            let graph = backbone.classifier(64, 3, 0.0);
            let weights = crate::weights::random(&graph, 1);
            for precision in [Precision::F32, Precision::Bf16] {
                let network = Network::new(graph.clone(), &weights, Device::Cpu, precision);
                let mut network = network.unwrap();
                network.freeze(frozen).unwrap();
                let photo = Tensor::zeros([1, 64, 64, 3], (Kind::Float, Device::Cpu));
                let kept = network.trunk(&photo).unwrap();
                let bytes = kept
                    .iter()
                    .map(|v| v.numel() * v.kind().elt_size_in_bytes());
                assert_eq!(
                    bytes_a_photo(&graph, frozen, precision),
                    bytes.sum::<usize>()
                );
            }
        }
    }

    #[test]
    fn views_of_nothing_frozen_are_refused() {
        let backbone = Backbone::MobileNetV1;
        let recipe = |views, frozen| Recipe {
            views,
            freeze_layers: Some(frozen),
            ..Recipe::default()
        };
        let graph = backbone.classifier(64, 3, 0.0);
        assert!(check_trunk(&recipe(0, 0), backbone, &graph).is_ok());
        assert!(check_trunk(&recipe(4, 5), backbone, &graph).is_ok());
        // Two layers are the photo and its border.
        for frozen in [0, 2] {
            let said = check_trunk(&recipe(4, frozen), backbone, &graph).unwrap_err();
            assert!(said.to_string().contains("views is 4"), "{said}");
        }
    }
}
