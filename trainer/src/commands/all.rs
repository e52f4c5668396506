//! `etalase-trainer all`: from photos to the bundle that phones open, in one command.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use etalase::bundle::Bundle;
use etalase::evaluation::Metrics;
use etalase::photo::Fit;
use etalase::{Classifier, EngineOptions};
use etalase_trainer::data;
use etalase_trainer::files::{self, read_json, write_json};
use etalase_trainer::pack::{About, Accuracy, Measured, bundle};
use etalase_trainer::report::{self, EVALUATION, Figures, REPORT};
use etalase_trainer::train::checkpoint::Checkpoint;
use etalase_trainer::train::fit::{CHECKPOINT, fit};
use etalase_trainer::train::measure::bundle_metrics;
use etalase_trainer::train::recipe::RecipeFlags;
use etalase_trainer::train::search::SEARCH;
use serde_json::json;

use super::evaluate::evaluate;
use super::export::float_onnx;
use super::quantize::int8_onnx;
use super::search::search;
use super::source::{RunFlags, Source};

/// The whole chain: search, fit, evaluate, export, quantize, pack, report.
#[derive(Args)]
pub struct All {
    #[command(flatten)]
    source: Source,
    /// How a photo fills the input: stretch, letterbox or center-crop; searched where not given
    #[arg(long)]
    fit: Option<Fit>,
    /// Go on from the checkpoint that stands in the folder, without search and fit
    #[arg(long)]
    trained: bool,
    /// Name, labels, data and licences for the bundle, JSON; plain ones where not given
    #[arg(long, value_name = "FILE")]
    about: Option<PathBuf>,
    /// Calibration photos, taken from the training photos
    #[arg(long, default_value_t = 512)]
    calibration_photos: usize,
    /// Folder for everything that comes out
    #[arg(short, long, value_name = "DIR", default_value = "out/run")]
    out: PathBuf,
    #[command(flatten)]
    run: RunFlags,
    #[command(flatten)]
    recipe: RecipeFlags,
}

impl All {
    /// Runs it.
    pub fn run(self) -> Result<()> {
        let about: Option<About> = self.about.as_deref().map(read_json).transpose()?;
        if let (Some(about), Some(path)) = (&about, &self.about) {
            let classes = data::classes(&self.source.training_photos()?);
            about
                .check(&classes)
                .with_context(|| path.display().to_string())?;
        }
        let checkpoint = if self.trained {
            Checkpoint::load(&self.out.join(CHECKPOINT))?
        } else {
            self.train()?
        };
        let description = &checkpoint.description;
        let about =
            about.unwrap_or_else(|| About::plain(&description.backbone, &description.classes));
        let device = self.source.compute.device();

        let float = evaluate(&checkpoint, &self.source.validation, device)?;
        eprintln!("float: accuracy {:.2} %", 100.0 * float.accuracy);
        files::write(&self.out.join("float.onnx"), &float_onnx(&checkpoint)?)?;
        let photos = data::folders(&self.source.train)?;
        let int8_model = int8_onnx(&checkpoint, &photos, self.calibration_photos, device)?;
        files::write(&self.out.join("int8.onnx"), &int8_model)?;

        // The card states int8 accuracy as core measures it, so a first bundle without that figure is measured.
        let pack = |accuracy: &Accuracy| {
            let training = json!({
                "epoch": description.epoch,
                "recipe": description.recipe,
                "calibration_photos": self.calibration_photos,
            });
            let Checkpoint { description: d, .. } = &checkpoint;
            bundle(
                &about,
                &d.backbone,
                &d.classes,
                &d.preprocess,
                accuracy,
                training,
                int8_model.clone(),
            )
        };
        let mut accuracy = accuracy_of(&float, &about.validation);
        let draft = Bundle::from_bytes(pack(&accuracy)?.to_bytes()?)?;
        let classifier = Classifier::new(draft, &EngineOptions::default())?;
        let int8 = bundle_metrics(&classifier, &data::folders(&self.source.validation)?)?;
        eprintln!("int8:  accuracy {:.2} %", 100.0 * int8.accuracy);
        accuracy.int8 = Some(Measured {
            accuracy: int8.accuracy,
            photos: int8.photos,
            command: format!(
                "etalase eval --bundle {}.etalase {}",
                about.name, about.validation
            ),
        });
        let path = self.out.join(format!("{}.etalase", about.name));
        pack(&accuracy)?.write_to(&path)?;

        let figures = Figures {
            float: Some(serde_json::to_value(&float)?),
            int8: Some(serde_json::to_value(&int8)?),
        };
        write_json(&self.out.join(EVALUATION), &figures)?;
        report::write(&self.out)?;
        let bytes = std::fs::metadata(&path)
            .with_context(|| path.display().to_string())?
            .len();
        eprintln!(
            "{}: {bytes} bytes; the report is {}",
            path.display(),
            self.out.join(REPORT).display()
        );
        Ok(())
    }

    fn train(&self) -> Result<Checkpoint> {
        let recipe = self.recipe.resolve()?;
        let fit_mode = match self.fit {
            Some(fit) => {
                // The table of an earlier search would speak of another run.
                let _ = std::fs::remove_file(self.out.join(SEARCH));
                fit
            }
            None => {
                let results = search(&self.source, &recipe)?;
                write_json(&self.out.join(SEARCH), &results)?;
                results.first().context("nothing was searched")?.fit
            }
        };
        fit(self
            .source
            .job(fit_mode, recipe, self.out.clone(), &self.run)?)
    }
}

/// What the card says of the float network; the int8 figure is added once core has measured it.
fn accuracy_of(float: &Metrics, validation: &str) -> Accuracy {
    Accuracy {
        photos: format!("{validation}, by which the epoch and the fit were chosen"),
        float: Measured {
            accuracy: float.accuracy,
            photos: float.photos,
            command: format!("etalase-trainer evaluate --checkpoint {CHECKPOINT} {validation}"),
        },
        int8: None,
    }
}
