//! `etalase-trainer benchmark`: photos a second, training and inference, on random photos.

use std::time::Instant;

use anyhow::Result;
use clap::Args;
use clap::builder::RangedU64ValueParser;
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
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    compute: Compute,
    #[command(flatten)]
    recipe: RecipeFlags,
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
        let targets = Tensor::randint(10, [batch], (Kind::Int64, device));
        let normalization = self.backbone.normalization();
        let mut train = || -> Result<()> {
            let input = normalize(&augment(&photos, size, &recipe.augmentation), normalization);
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
        let training = self.photos_per_second(recipe.batch, &mut train)?;
        let still = photos.narrow(1, 0, size as i64).narrow(2, 0, size as i64);
        let mut infer = || -> Result<()> {
            let logits =
                no_grad(|| network.forward(&normalize(&still, normalization), Mode::Eval))?;
            logits.sum(Kind::Float).double_value(&[]);
            Ok(())
        };
        let inference = self.photos_per_second(recipe.batch, &mut infer)?;
        if self.json {
            let figures = json!({
                "backbone": self.backbone.name(), "batch": recipe.batch, "freeze_layers": frozen,
                "threads": tch::get_num_threads(), "device": format!("{device:?}"),
                "precision": format!("{:?}", self.compute.precision()),
                "training_photos_per_second": training, "inference_photos_per_second": inference,
            });
            output::line(figures)?;
        } else {
            output::line(format_args!(
                "{}: training {training:.1} photos/s, inference {inference:.1} photos/s",
                self.backbone
            ))?;
        }
        Ok(())
    }

    /// The median step's rate.
    fn photos_per_second(&self, batch: usize, step: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
        let mut seconds = Vec::new();
        for round in 0..self.steps.max(1) + 2 {
            let start = Instant::now();
            step()?;
            if round >= 2 {
                seconds.push(start.elapsed().as_secs_f64());
            }
        }
        seconds.sort_by(f64::total_cmp);
        Ok(batch as f64 / seconds[seconds.len() / 2])
    }
}
