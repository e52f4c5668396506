//! `etalase-trainer export`: a float ONNX model from a checkpoint, or from ImageNet weights under a random head.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use clap::builder::RangedU64ValueParser;
use etalase::photo::Fit;
use etalase::preprocess::Preprocess;
use etalase_trainer::backbones::{Backbone, HEAD};
use etalase_trainer::export::float_model;
use etalase_trainer::files;
use etalase_trainer::pretrained;
use etalase_trainer::train::checkpoint::{Checkpoint, Description};
use etalase_trainer::train::recipe::Recipe;
use etalase_trainer::weights;

/// Which trained network.
#[derive(Args)]
pub struct Trained {
    /// The checkpoint that fit wrote
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "weights",
        conflicts_with = "weights"
    )]
    checkpoint: Option<PathBuf>,
    /// Instead of a checkpoint: weights of the network without top, under a seeded random head
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// With --weights: the network
    #[arg(long, default_value = "mobilenet_v1", requires = "weights")]
    backbone: Backbone,
    /// With --weights: outputs of the random head
    #[arg(long, default_value_t = 10, requires = "weights", value_parser = RangedU64ValueParser::<usize>::new().range(2..=100_000))]
    classes: usize,
    /// With --weights: side of the input in pixels; the backbone's own where not given
    #[arg(long, requires = "weights", value_parser = clap::value_parser!(u32).range(32..=2048))]
    size: Option<u32>,
}

impl Trained {
    /// Loads or makes it.
    pub fn load(&self) -> Result<Checkpoint> {
        if let Some(path) = &self.checkpoint {
            return Checkpoint::load(path);
        }
        let path = self
            .weights
            .as_ref()
            .context("neither a checkpoint nor weights")?;
        let size = self.size.unwrap_or(self.backbone.default_size());
        let graph = self.backbone.classifier(size as usize, self.classes, 0.0);
        let mut weights = weights::random(&graph, 1);
        weights.retain(|name, _| name.starts_with(HEAD));
        weights.extend(pretrained::load(self.backbone, path, size)?);
        let description = Description {
            backbone: self.backbone.name().to_owned(),
            classes: (0..self.classes).map(|class| class.to_string()).collect(),
            preprocess: Preprocess::u8_nhwc(size, size, Fit::Stretch),
            epoch: 0,
            validation_accuracy: 0.0,
            recipe: Recipe::default(),
        };
        Ok(Checkpoint {
            description,
            weights,
        })
    }
}

/// Write a float ONNX model.
#[derive(Args)]
pub struct Export {
    #[command(flatten)]
    trained: Trained,
    /// The ONNX file to write
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
}

impl Export {
    /// Runs it.
    pub fn run(self) -> Result<()> {
        let model = float_onnx(&self.trained.load()?)?;
        files::write(&self.out, &model)?;
        eprintln!("{}: {} bytes", self.out.display(), model.len());
        Ok(())
    }
}

/// The float model of a checkpoint.
pub fn float_onnx(checkpoint: &Checkpoint) -> Result<Vec<u8>> {
    let (graph, weights) = checkpoint.folded()?;
    let backbone = checkpoint.backbone()?;
    float_model(&graph, &weights, backbone.normalization(), backbone.name())
}
