//! `etalase-trainer quantize`: an int8 ONNX model from a checkpoint and calibration photos.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use etalase_trainer::data::{self, Dataset, Labelled};
use etalase_trainer::export::int8_model;
use etalase_trainer::files;
use etalase_trainer::fold::fold;
use etalase_trainer::network::{Network, Precision};
use etalase_trainer::quantize::{calibrate, correct_biases, quantize};
use etalase_trainer::train::checkpoint::Checkpoint;
use tch::Device;

use super::export::Trained;
use super::source::Processor;

/// Calibrate on photos and write an int8 ONNX model.
#[derive(Args)]
pub struct Quantize {
    #[command(flatten)]
    trained: Trained,
    /// Calibration photos, a folder per class: the training photos
    #[arg(long, value_name = "DIR")]
    calibration: PathBuf,
    /// How many of them to use, spread evenly
    #[arg(long, default_value_t = 512)]
    photos: usize,
    #[command(flatten)]
    processor: Processor,
    /// The ONNX file to write
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
}

impl Quantize {
    /// Runs it.
    pub fn run(self) -> Result<()> {
        let photos = data::folders(&self.calibration)?;
        let model = int8_onnx(
            &self.trained.load()?,
            &photos,
            self.photos,
            self.processor.device(),
        )?;
        files::write(&self.out, &model)?;
        eprintln!("{}: {} bytes", self.out.display(), model.len());
        Ok(())
    }
}

/// The int8 model of a checkpoint, calibrated on `count` of `photos`, spread evenly.
pub fn int8_onnx(
    checkpoint: &Checkpoint,
    photos: &[Labelled],
    count: usize,
    device: Device,
) -> Result<Vec<u8>> {
    let (graph, weights) = fold(&checkpoint.graph()?, &checkpoint.weights)?;
    let backbone = checkpoint.backbone()?;
    // Calibration doesn't look at labels: photos of classes that the network doesn't know serve as well.
    let picked: Vec<Labelled> = data::evenly(photos.len(), count)
        .map(|i| photos[i].clone())
        .collect();
    let classes = data::classes(&picked);
    let photos = Dataset::load(
        &picked,
        &classes,
        &checkpoint.description.preprocess,
        "decoding calibration photos",
    )?;
    let network = Network::new(graph.clone(), &weights, device, Precision::F32)?;
    let ranges = calibrate(&network, &photos, backbone.normalization())?;
    let mut quantized = quantize(&graph, &weights, backbone.normalization(), &ranges)?;
    correct_biases(&network, &mut quantized, &photos, backbone.normalization())?;
    int8_model(
        &graph,
        &quantized,
        backbone.normalization(),
        backbone.name(),
    )
}
