//! `etalase-trainer fit`: fine-tunes a backbone and keeps the best epoch.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use etalase::photo::Fit as PhotoFit;
use etalase_trainer::train::fit::{CHECKPOINT, fit};
use etalase_trainer::train::recipe::RecipeFlags;

use super::source::{RunFlags, Source};

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
    run: RunFlags,
    #[command(flatten)]
    recipe: RecipeFlags,
}

impl Fit {
    /// Runs it.
    pub fn run(self) -> Result<()> {
        let recipe = self.recipe.resolve()?;
        let job = self
            .source
            .job(self.fit, recipe, self.out.clone(), &self.run)?;
        let checkpoint = fit(job)?;
        eprintln!(
            "best: epoch {} with validation accuracy {:.2} %, kept as {}",
            checkpoint.description.epoch,
            100.0 * checkpoint.description.validation_accuracy,
            self.out.join(CHECKPOINT).display()
        );
        Ok(())
    }
}
