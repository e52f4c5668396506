//! `etalase-trainer benchmark`: photos a second, training and inference, on random photos.
//!
//! Training is timed twice: as it is, and as the bare step that other frameworks can be compared with (`cargo xtask bench
//! --training`): photos without augmentation, forward, backward, AdamW.

use std::time::Instant;

use anyhow::Result;
use clap::builder::RangedU64ValueParser;
use clap::{Args, ValueEnum};
use etalase_trainer::backbones::Backbone;
use etalase_trainer::network::{Mode, Network};
use etalase_trainer::train::augment::augment;
use etalase_trainer::train::measure::normalize;
use etalase_trainer::train::optimizer::AdamW;
use etalase_trainer::train::recipe::RecipeFlags;
use etalase_trainer::weights;
use serde_json::json;
use tch::{Kind, Tensor, no_grad};

use super::output;
use super::source::Compute;

/// Measure training and inference speed in photos a second.
#[derive(Args)]
pub struct Benchmark {
    /// Network to measure
    #[arg(long, default_value = "mobilenet_v1")]
    backbone: Backbone,
    /// Side of the network's input in pixels; the backbone's own where not given
    #[arg(long, value_parser = RangedU64ValueParser::<usize>::new().range(32..=2048))]
    size: Option<usize>,
    /// Steps to time, after two that are not counted
    #[arg(long, default_value_t = 8)]
    steps: usize,
    /// What to measure
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Measure::Training, Measure::Step, Measure::Inference])]
    measure: Vec<Measure>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    compute: Compute,
    #[command(flatten)]
    recipe: RecipeFlags,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Measure {
    /// Augmentation and a training step
    Training,
    /// A training step without augmentation
    Step,
    /// Forward without gradients
    Inference,
}

impl Benchmark {
    /// Runs it.
    pub fn run(self) -> Result<()> {
        let (device, recipe) = (self.compute.device(), self.recipe.resolve()?);
        let size = self.size.unwrap_or(self.backbone.default_size() as usize);
        let frozen = recipe.frozen(self.backbone);
        let graph = self.backbone.classifier(size, 10, recipe.dropout);
        let weights = weights::random(&graph, recipe.seed);
        let mut network = Network::new(graph, &weights, device, self.compute.precision())?;
        network.freeze(frozen)?;
        let mut adamw = AdamW::new(network.named(), recipe.weight_decay);
        let (batch, side) = (recipe.batch as i64, size as i64 * 5 / 4);
        let photos = Tensor::randint(256, [batch, side, side, 3], (Kind::Uint8, device));
        let still = photos.narrow(1, 0, size as i64).narrow(2, 0, size as i64);
        let still = still.contiguous();
        let targets = Tensor::randint(10, [batch], (Kind::Int64, device));
        let normalization = self.backbone.normalization();
        let mut train = |pixels: &Tensor| -> Result<()> {
            let input = normalize(pixels, normalization);
            let mode = Mode::Train {
                momentum: recipe.batch_norm_momentum,
            };
            let loss = network
                .forward(&input, mode)?
                .flatten(1, -1)
                .cross_entropy_for_logits(&targets);
            adamw.backward_step(&loss, recipe.learning_rate);
            loss.double_value(&[]); // waits for the device
            Ok(())
        };
        let training = self.seconds(Measure::Training, || {
            train(&augment(&photos, size, &recipe.augmentation))
        })?;
        let step = self.seconds(Measure::Step, || train(&still))?;
        let inference = self.seconds(Measure::Inference, || {
            let logits =
                no_grad(|| network.forward(&normalize(&still, normalization), Mode::Eval))?;
            logits.sum(Kind::Float).double_value(&[]);
            Ok(())
        })?;
        let rate = |seconds: &[f64]| median(seconds).map(|median| recipe.batch as f64 / median);
        let [training, bare, inference] = [&training, &step, &inference].map(|s| rate(s));
        if self.json {
            let learned = network.named().filter(|(_, tensor)| tensor.requires_grad());
            let figures = json!({
                "backbone": self.backbone.name(), "batch": recipe.batch, "size": size,
                "freeze_layers": frozen, "trained_parameters": learned.map(|(_, tensor)| tensor.numel()).sum::<usize>(),
                "threads": tch::get_num_threads(), "device": format!("{device:?}"),
                "precision": format!("{:?}", self.compute.precision()),
                "training_photos_per_second": training, "step_photos_per_second": bare,
                "inference_photos_per_second": inference, "step_seconds": step,
            });
            output::line(figures)?;
        } else {
            let figures = [
                ("training", training),
                ("training without augmentation", bare),
                ("inference", inference),
            ];
            let measured = figures
                .iter()
                .filter_map(|(what, rate)| rate.map(|rate| format!("{what} {rate:.1} photos/s")));
            let measured = measured.collect::<Vec<_>>().join(", ");
            output::line(format_args!("{}: {measured}", self.backbone))?;
        }
        Ok(())
    }

    /// Seconds of each step; none where that is not to be measured.
    fn seconds(&self, what: Measure, mut step: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
        let mut seconds = Vec::new();
        if !self.measure.contains(&what) {
            return Ok(seconds);
        }
        for round in 0..self.steps.max(1) + 2 {
            let start = Instant::now();
            step()?;
            if round >= 2 {
                seconds.push(start.elapsed().as_secs_f64());
            }
        }
        Ok(seconds)
    }
}

/// `None` of nothing.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}
