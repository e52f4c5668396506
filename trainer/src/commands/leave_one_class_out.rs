//! `etalase-trainer leave-one-class-out`: is a class that was not trained on unfamiliar?

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use etalase::decision::top_k;
use etalase::photo::Fit;
use etalase_trainer::data::{self, Dataset, Labelled};
use etalase_trainer::files::{self, write_json};
use etalase_trainer::left_out::{
    LEAVE_ONE_CLASS_OUT, LeaveOneClassOut as Figures, LeftOut, look, measure,
};
use etalase_trainer::network::{Network, Precision};
use etalase_trainer::policy::Known;
use etalase_trainer::train::checkpoint::Checkpoint;
use etalase_trainer::train::fit::fit;
use etalase_trainer::train::recipe::RecipeFlags;
use tch::Device;

use super::output;
use super::source::{RunFlags, Sides, Source};

/// Train on all classes but one, each in turn, fit familiarity to it as `policy` does, and measure how well that tells
/// photos of the class left out from validation photos of the others.
#[derive(Args)]
pub struct LeaveOneClassOut {
    #[command(flatten)]
    source: Source,
    /// How a photo fills the input: stretch, letterbox or center-crop
    #[arg(long, default_value = "letterbox")]
    fit: Fit,
    /// Folder for leave_one_class_out.json and a run's folder a class
    #[arg(short, long, value_name = "DIR", default_value = "out/run")]
    out: PathBuf,
    #[command(flatten)]
    run: RunFlags,
    #[command(flatten)]
    recipe: RecipeFlags,
}

impl LeaveOneClassOut {
    /// Runs it.
    pub fn run(self) -> Result<()> {
        ensure!(
            self.run.teacher.is_empty(),
            "--teacher: a bundle of all classes knows the one that is left out"
        );
        let recipe = self.recipe.resolve()?;
        let sides = self.source.photos.sides(&recipe)?;
        let classes = data::classes(&sides.training);
        ensure!(
            classes.len() > 2,
            "of {} classes none can be left out: two are needed to train",
            classes.len()
        );
        let _claim = files::claim(&self.out)?;
        let mut figures = Vec::new();
        for (at, class) in classes.iter().enumerate() {
            eprintln!("== without {class} ({} of {})", at + 1, classes.len());
            let (strangers, without) = leave_out(class, &sides);
            let (training, known) = (without.training.clone(), without.validation.clone());
            let folder = self.out.join(format!("without-{class}"));
            let job = self
                .source
                .job_on(without, self.fit, recipe.clone(), folder, &self.run)?;
            let checkpoint = fit(job)?;
            let network = Features::of(&checkpoint, self.source.compute.device())?;
            let known = network.look(&known, "validation photos")?;
            let training = network.look(&training, "training photos")?;
            let strangers = network.strangers(&strangers, class)?;
            figures.push(LeftOut {
                class: class.clone(),
                photos: strangers.len(),
                known: known.len(),
                accuracy: accuracy(&known),
                signs: measure(&training, &known, &strangers, &network.classes)?,
            });
        }
        let figures = Figures::of(figures)?;
        write_json(&self.out.join(LEAVE_ONE_CLASS_OUT), &figures)?;
        for left_out in &figures.classes {
            let signs = &left_out.signs;
            let (found, softmax) = (signs.familiarity.auroc, signs.softmax.auroc);
            let (class, photos) = (&left_out.class, left_out.photos);
            output::line(format_args!(
                "without {class}: AUROC of its {photos} photos {found:.4}, by a plain softmax {softmax:.4}"
            ))?;
        }
        output::line(format_args!(
            "{} classes left out: mean AUROC {:.4}, by a plain softmax {:.4}",
            figures.classes.len(),
            figures.mean.familiarity.auroc,
            figures.mean.softmax.auroc
        ))
    }
}

/// All photos of a class, and both sides without it.
fn leave_out(class: &str, sides: &Sides) -> (Vec<Labelled>, Sides) {
    let of = |photos: &[Labelled]| -> (Vec<Labelled>, Vec<Labelled>) {
        photos
            .iter()
            .cloned()
            .partition(|photo| photo.class == class)
    };
    let (trained, training) = of(&sides.training);
    let (validated, validation) = of(&sides.validation);
    let sides = Sides {
        training,
        validation,
    };
    ([trained, validated].concat(), sides)
}

fn accuracy(known: &[Known]) -> f64 {
    let right = known
        .iter()
        .filter(|seen| top_k(&seen.logits, 1) == [seen.class]);
    right.count() as f64 / known.len() as f64
}

/// A trained network in f32, its features apart from its head.
struct Features<'a> {
    network: Network,
    checkpoint: &'a Checkpoint,
    classes: Vec<String>,
}

impl Features<'_> {
    fn of(checkpoint: &Checkpoint, device: Device) -> Result<Features<'_>> {
        let graph = checkpoint.graph()?;
        let mut network = Network::new(graph, &checkpoint.weights, device, Precision::F32)?;
        network.freeze(checkpoint.backbone()?.frozen_below(0))?;
        Ok(Features {
            network,
            checkpoint,
            classes: checkpoint.description.classes.clone(),
        })
    }

    fn look(&self, photos: &[Labelled], what: &str) -> Result<Vec<Known>> {
        self.look_at(photos, &self.classes, what)
    }

    /// Photos of no class of the network's.
    fn strangers(&self, photos: &[Labelled], class: &str) -> Result<Vec<Known>> {
        self.look_at(photos, &[class.to_owned()], "photos of the class left out")
    }

    fn look_at(&self, photos: &[Labelled], classes: &[String], what: &str) -> Result<Vec<Known>> {
        let preprocess = &self.checkpoint.description.preprocess;
        let photos = Dataset::load(photos, classes, preprocess, what)?;
        let normalization = self.checkpoint.backbone()?.normalization();
        look(&self.network, &photos, normalization, what)
    }
}
