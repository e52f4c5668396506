//! `etalase-trainer all`: from photos to the bundles that phones open, and one report that compares them.
//!
//! Whatever can be known to be wrong is found for all backbones before the first one trains, and the report is written
//! after each: what was done is there, whatever ends the rest.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use etalase::bundle::{Bundle, BundleWriter};
use etalase::evaluation::Metrics;
use etalase::photo::Fit;
use etalase::{Classifier, EngineOptions, Evidence};
use etalase_trainer::allocator;
use etalase_trainer::data::{self, Labelled};
use etalase_trainer::files::{self, read_json, write_json};
use etalase_trainer::pack::{About, Accuracy, Measured, bundle};
use etalase_trainer::policy::{self, Aims, Fitted, Known, VERIFICATION, evidence, measure};
use etalase_trainer::predictions::{self, PREDICTIONS};
use etalase_trainer::pretrained::FROM_SCRATCH;
use etalase_trainer::quantize::QUANTIZATION;
use etalase_trainer::report::{self, Cost, EVALUATION, Figures, REPORT};
use etalase_trainer::timing;
use etalase_trainer::train::checkpoint::Checkpoint;
use etalase_trainer::train::fit::{CHECKPOINT, fit};
use etalase_trainer::train::history::{HISTORY, History};
use etalase_trainer::train::recipe::{Recipe, RecipeFlags};
use etalase_trainer::train::search::{FitResult, SEARCH};
use etalase_trainer::train::state::STATE;
use serde_json::json;

use super::evaluate::evaluate;
use super::export::float_onnx;
use super::quantize::{How, quantize, tell};
use super::search::search;
use super::several::Several;
use super::source::{Compute, Photos, RunFlags, Source};

/// The whole chain, for each backbone: search, fit, evaluate, export, quantize, policy, pack, report.
#[derive(Args)]
pub struct All {
    #[command(flatten)]
    photos: Photos,
    #[command(flatten)]
    several: Several,
    /// Side of the networks' inputs in pixels; each backbone's own where not given: 224, nasnet_large 331
    #[arg(long, value_parser = clap::value_parser!(u32).range(32..=2048))]
    size: Option<u32>,
    /// How a photo fills the input: stretch, letterbox or center-crop. Where not given, a search with the first backbone
    /// that has weights decides; letterbox where none has
    #[arg(long)]
    fit: Option<Fit>,
    /// Go on from the checkpoints that stand in the folder, without search and fit
    #[arg(long)]
    trained: bool,
    /// Name, labels, data and licences for the bundles, JSON; plain ones where not given
    #[arg(long, value_name = "FILE")]
    about: Option<PathBuf>,
    /// Calibration photos, taken from the training photos; 1024 where not given, and of networks of more than two thousand
    /// million multiply-adds as many fewer as they are larger
    #[arg(long, value_name = "N")]
    calibration_photos: Option<usize>,
    #[command(flatten)]
    how: How,
    /// Folder for everything that comes out: the report, and a folder per backbone
    #[arg(short, long, value_name = "DIR", default_value = "out/run")]
    out: PathBuf,
    #[command(flatten)]
    compute: Compute,
    #[command(flatten)]
    run: RunFlags,
    #[command(flatten)]
    recipe: RecipeFlags,
}

/// One backbone's part.
struct Part {
    source: Source,
    recipe: Recipe,
    folder: PathBuf,
}

impl All {
    /// Runs it.
    pub fn run(self) -> Result<()> {
        let parts = self.parts()?;
        let about = self.about()?;
        for part in &parts {
            self.check(part)
                .with_context(|| part.source.backbone.to_string())?;
        }
        let _claim = files::claim(&self.out)?;
        let fit_mode = match self.trained {
            true => None,
            false => Some(self.fit_mode(&parts)?),
        };
        for part in &parts {
            let backbone = part.source.backbone;
            if parts.len() > 1 {
                eprintln!("== {backbone}");
            }
            // What the one before took is room for the next.
            allocator::give_back_freed_memory();
            self.chain(part, fit_mode, about.as_ref())
                .with_context(|| backbone.to_string())?;
            report::write(&self.out)?;
        }
        eprintln!("the report is {}", self.out.join(REPORT).display());
        Ok(())
    }

    /// What each backbone is trained with, and where.
    fn parts(&self) -> Result<Vec<Part>> {
        let mut weights = self.several.weights()?;
        let mut recipes = self.several.recipes(&self.recipe.resolve()?)?;
        let mut parts = Vec::new();
        for &backbone in &self.several.backbones.0 {
            let recipe = recipes.remove(backbone.name());
            let recipe = recipe.context("a backbone without a recipe")?;
            let source = Source {
                photos: self.photos.clone(),
                backbone,
                weights: weights.remove(backbone.name()),
                size: self.size,
                compute: self.compute.clone(),
            };
            parts.push(Part {
                source,
                recipe,
                folder: self.out.join(backbone.name()),
            });
        }
        Ok(parts)
    }

    /// What the user says of the bundles, checked against the classes.
    fn about(&self) -> Result<Option<About>> {
        let classes = data::classes(&self.photos.all()?);
        let about = self.about.as_ref();
        about.map(|path| About::read(path, &classes)).transpose()
    }

    /// Refuses what would end the run when its turn comes: no checkpoint, a run that is in the way, unusable weights.
    fn check(&self, part: &Part) -> Result<()> {
        if self.trained {
            return Checkpoint::load(&part.folder.join(CHECKPOINT)).map(drop);
        }
        if !self.run.resume && !self.run.restart {
            let history = part.folder.join(HISTORY);
            let finished = history.exists() && read_json::<History>(&history)?.finished;
            if finished || part.folder.join(STATE).exists() {
                bail!(
                    "{} holds a run already: --resume goes on with it, --restart begins anew",
                    part.folder.display()
                );
            }
        }
        if part.source.weights.is_some() {
            part.source.features(part.recipe.seed)?;
        }
        Ok(())
    }

    /// How photos fill the input: as asked for, as this run has found before, or by a search.
    fn fit_mode(&self, parts: &[Part]) -> Result<Fit> {
        let path = self.out.join(SEARCH);
        let searcher = parts.iter().find(|part| part.source.weights.is_some());
        let (None, Some(searcher)) = (self.fit, searcher) else {
            // The table of an earlier search would speak of another run.
            let _ = std::fs::remove_file(&path);
            return Ok(self.fit.unwrap_or(Fit::Letterbox));
        };
        let results: Vec<FitResult> = if self.run.resume && path.exists() {
            read_json(&path)?
        } else {
            let results = search(&searcher.source, &searcher.recipe)?;
            write_json(&path, &results)?;
            results
        };
        Ok(results.first().context("nothing was searched")?.fit)
    }

    /// One backbone, from photos to its bundle and its figures.
    fn chain(&self, part: &Part, fit_mode: Option<Fit>, about: Option<&About>) -> Result<()> {
        let Part { source, folder, .. } = part;
        let mut figures = Figures {
            weights: self.origin(part)?,
            ..Figures::default()
        };
        let checkpoint = match fit_mode {
            None => Checkpoint::load(&folder.join(CHECKPOINT))?,
            Some(mode) => {
                let (recipe, out) = (part.recipe.clone(), folder.clone());
                let job = source.job(mode, recipe, out, &self.run)?;
                // Figures of an earlier run are not this one's.
                write_json(&folder.join(EVALUATION), &figures)?;
                fit(job)?
            }
        };
        let description = &checkpoint.description;
        let plain = || About::plain(&description.backbone, &description.classes);
        let about = about.map_or_else(plain, About::clone);
        let device = self.compute.device();

        let sides = self.photos.sides(&part.recipe)?;
        let float = evaluate(&checkpoint, &sides.validation, device)?;
        eprintln!("float: accuracy {:.2} %", 100.0 * float.accuracy);
        let float_model = float_onnx(&checkpoint)?;
        files::write(&folder.join("float.onnx"), &float_model)?;
        // Training took more than this needs.
        allocator::give_back_freed_memory();
        let picked = (sides.training.as_slice(), self.calibration_photos);
        let outcome = quantize(&checkpoint, picked, &sides.validation, device, &self.how)?;
        tell(&outcome.report);
        write_json(&folder.join(QUANTIZATION), &outcome.report)?;
        // The verdicts of an earlier bundle, whose policy goes with it.
        let _ = std::fs::remove_file(folder.join(VERIFICATION));
        let int8_model = &outcome.model;
        files::write(&folder.join("int8.onnx"), int8_model)?;

        // The card states int8 accuracy as core measures it, so a first bundle without that figure is measured.
        let pack = |accuracy: &Accuracy| {
            let training = json!({
                "epoch": description.epoch,
                "recipe": description.recipe,
                "weights": self.origin(part)?,
                "teachers": self.run.teachers(),
                "calibration_photos": outcome.report.calibration_photos,
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
        let seen = evidence(&classifier, &sides.validation, "validation photos in core")?;
        let fitted = fit_policy(&classifier, &sides.training, &seen)?;
        let with_policy = |bundle: &Bundle| match &fitted {
            Some(fitted) => fitted.applied(bundle, bundle.card().clone()),
            None => Ok(BundleWriter::from_bundle(bundle)),
        };
        let judged = Bundle::from_bytes(with_policy(classifier.bundle())?.to_bytes()?)?;
        if fitted.is_some() {
            let worth = measure(judged.judge(), &seen)?;
            write_json(&folder.join(VERIFICATION), &worth)?;
        }
        let (int8, answers) = predictions::judged(&judged, &sides.validation, &seen)?;
        eprintln!("int8:  accuracy {:.2} %", 100.0 * int8.accuracy);
        predictions::write(&folder.join(PREDICTIONS), &answers)?;
        accuracy.int8 = Some(Measured {
            accuracy: int8.accuracy,
            photos: int8.photos,
            command: format!(
                "etalase eval --bundle {}.etalase {}",
                about.name, about.validation
            ),
        });
        let path = folder.join(format!("{}.etalase", about.name));
        let measured = Bundle::from_bytes(pack(&accuracy)?.to_bytes()?)?;
        with_policy(&measured)?.write_to(&path)?;
        let packed = Bundle::open(&path)?;
        eprintln!("{}: {} bytes", path.display(), packed.len_bytes());

        let graph = checkpoint.graph()?;
        figures.cost = Some(Cost {
            parameters: graph.parameter_count(),
            multiply_adds: graph.multiply_adds(),
            float_bytes: float_model.len(),
            int8_bytes: int8_model.len(),
            bundle_bytes: usize::try_from(packed.len_bytes())?,
            timing: timing::one_thread(packed)?,
        });
        (figures.float, figures.int8) = (Some(float), Some(int8));
        write_json(&folder.join(EVALUATION), &figures)
    }

    /// Where a network's first weights came from; what was trained before told so then.
    fn origin(&self, part: &Part) -> Result<Option<String>> {
        if let Some(file) = &part.source.weights {
            // A relative path tells which run's checkpoint it was; where else things lie on this machine tells nothing.
            let name = match (file.is_absolute(), file.file_name()) {
                (true, Some(name)) => Path::new(name),
                _ => file,
            };
            return Ok(Some(name.display().to_string()));
        }
        if !self.trained {
            return Ok(Some(FROM_SCRATCH.to_owned()));
        }
        match part.folder.join(EVALUATION) {
            path if path.exists() => Ok(read_json::<Figures>(&path)?.weights),
            _ => Ok(None),
        }
    }
}

/// The policy by validation photos; `etalase-trainer policy` fits another. A bundle without one still classifies.
fn fit_policy(
    classifier: &Classifier,
    training: &[Labelled],
    seen: &[(usize, Evidence)],
) -> Result<Option<Fitted>> {
    let training = Known::all(&evidence(classifier, training, "training photos in core")?);
    let bundle = classifier.bundle();
    match policy::fit(bundle, &training, &Known::all(seen), None, Aims::default()) {
        Ok(fitted) => Ok(Some(fitted)),
        Err(error) => {
            eprintln!("the bundle gives no verdicts: {error:#}");
            Ok(None)
        }
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
