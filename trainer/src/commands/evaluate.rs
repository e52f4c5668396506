//! `etalase-trainer evaluate`: a checkpoint's float network, measured.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use etalase::evaluation::Metrics;
use etalase_trainer::data::{self, Dataset, Labelled};
use etalase_trainer::network::{Network, Precision};
use etalase_trainer::train::checkpoint::Checkpoint;
use etalase_trainer::train::measure::{metrics, outputs};
use tch::Device;

use super::output;
use super::source::Processor;

/// Measure a checkpoint's float network on a folder of photos per class.
#[derive(Args)]
pub struct Evaluate {
    /// The checkpoint that fit wrote
    #[arg(long, value_name = "FILE")]
    checkpoint: PathBuf,
    /// Print all figures as one JSON object, in the form of `etalase eval --json`
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    processor: Processor,
    /// Photos, a folder per class
    #[arg(value_name = "DIR")]
    photos: PathBuf,
}

impl Evaluate {
    /// Runs it.
    pub fn run(self) -> Result<()> {
        let checkpoint = Checkpoint::load(&self.checkpoint)?;
        let metrics = evaluate(
            &checkpoint,
            &data::folders(&self.photos)?,
            self.processor.device(),
        )?;
        if self.json {
            output::line(serde_json::to_string(&metrics)?)?;
        } else {
            output::line(format_args!(
                "{} photos: accuracy {:.2} %, top-3 {:.2} %, expected calibration error {:.3}",
                metrics.photos,
                100.0 * metrics.accuracy,
                100.0 * metrics.top3_accuracy,
                metrics.ece
            ))?;
        }
        Ok(())
    }
}

/// Measures in f32, whatever the network was trained in.
pub fn evaluate(checkpoint: &Checkpoint, photos: &[Labelled], device: Device) -> Result<Metrics> {
    let description = &checkpoint.description;
    let photos = Dataset::load(
        photos,
        &description.classes,
        &description.preprocess,
        "decoding photos",
    )?;
    let network = Network::new(
        checkpoint.graph()?,
        &checkpoint.weights,
        device,
        Precision::F32,
    )?;
    let logits = outputs(
        &network,
        &photos,
        checkpoint.backbone()?.normalization(),
        "classifying in float",
    )?;
    metrics(&logits, &photos.targets, &description.classes)
}
