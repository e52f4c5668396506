//! `etalase-trainer fit`: fine-tunes a backbone and keeps the best epoch.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use etalase::photo::Fit as PhotoFit;
use etalase::preprocess::Preprocess;
use etalase_trainer::data;
use etalase_trainer::train::fit::{CHECKPOINT, Job, fit};
use etalase_trainer::train::recipe::Recipe;

use super::source::Source;

/// Fine-tune a backbone on a folder of photos per class.
#[derive(Args)]
pub struct Fit {
    #[command(flatten)]
    source: Source,
    /// How a photo fills the input: stretch, letterbox or center-crop
    #[arg(long, default_value = "stretch")]
    fit: PhotoFit,
    /// Folder for the checkpoint and the curve
    #[arg(short, long, value_name = "DIR", default_value = "out/run")]
    out: PathBuf,
    #[command(flatten)]
    recipe: Recipe,
}

impl Fit {
    /// Runs it.
    pub fn run(self) -> Result<()> {
        let out = self.out.clone();
        let checkpoint = fit(self.job()?)?;
        eprintln!(
            "best: epoch {} with validation accuracy {:.2} %, kept as {}",
            checkpoint.description.epoch,
            100.0 * checkpoint.description.validation_accuracy,
            out.join(CHECKPOINT).display()
        );
        Ok(())
    }

    fn job(self) -> Result<Job> {
        let source = &self.source;
        Ok(Job {
            backbone: source.backbone,
            features: source.features()?,
            train: source.training_photos()?,
            validation: data::folders(&source.validation)?,
            preprocess: Preprocess::u8_nhwc(source.size, source.size, self.fit),
            recipe: self.recipe,
            device: source.compute.device(),
            precision: source.compute.precision(),
            out: self.out,
        })
    }
}
