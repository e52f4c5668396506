//! `etalase-trainer cross-validate`: how good a recipe is on senders that it was not trained on.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use etalase::photo::Fit;
use etalase_trainer::data::{self, Dataset, Labelled};
use etalase_trainer::files::{self, write_json};
use etalase_trainer::network::{Network, Precision};
use etalase_trainer::out_of_fold::{self, Answer, CROSS_VALIDATION, OUT_OF_FOLD};
use etalase_trainer::split::{self, Sender, Senders};
use etalase_trainer::train::checkpoint::Checkpoint;
use etalase_trainer::train::fit::{Keep, fit};
use etalase_trainer::train::measure::outputs;
use etalase_trainer::train::recipe::RecipeFlags;
use tch::Device;

use super::output;
use super::source::{RunFlags, Sides, Source};

/// Train on all senders but a fold's, fold by fold, and measure on those. The photos are those of --train and, where
/// given, --validation; --extra photos are only trained on. The last epoch counts, not the best: the photos that measure
/// must not choose.
#[derive(Args)]
pub struct CrossValidate {
    #[command(flatten)]
    source: Source,
    /// Parts that the senders are dealt into
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(2..=50))]
    folds: u8,
    /// How a photo fills the input: stretch, letterbox or center-crop
    #[arg(long, default_value = "letterbox")]
    fit: Fit,
    /// Folder for cross_validation.json, out_of_fold.csv and a run's folder a fold
    #[arg(short, long, value_name = "DIR", default_value = "out/run")]
    out: PathBuf,
    #[command(flatten)]
    run: RunFlags,
    #[command(flatten)]
    recipe: RecipeFlags,
}

impl CrossValidate {
    /// Runs it.
    pub fn run(self) -> Result<()> {
        let recipe = self.recipe.resolve()?;
        let photos = &self.source.photos;
        ensure!(
            !photos.senders.is_empty(),
            "--senders tells who sent which photo: without it a fold's photos may look like those trained on"
        );
        let senders = photos.senders()?;
        let mut pool = data::folders(&photos.train)?;
        if let Some(dir) = &photos.validation {
            pool.extend(data::folders(dir)?);
        }
        let more = photos.more()?;
        let classes = data::classes(&[pool.clone(), more.clone()].concat());
        let folds = usize::from(self.folds);
        let part_of = split::parts(&pool, &senders, &vec![1.0; folds], recipe.seed);

        let _claim = files::claim(&self.out)?;
        let mut answers = Vec::new();
        for fold in 0..folds {
            eprintln!("== fold {} of {folds}", fold + 1);
            let of_fold = |inside: bool| -> Vec<Labelled> {
                let both = pool.iter().zip(&part_of);
                let picked = both.filter(|(_, part)| (**part == fold) == inside);
                picked.map(|(photo, _)| photo.clone()).collect()
            };
            let held_out = of_fold(true);
            let more = split::without_senders_of(more.clone(), &held_out, &senders);
            let sides = Sides {
                training: [of_fold(false), more].concat(),
                validation: held_out.clone(),
            };
            let folder = self.out.join(format!("fold-{}", fold + 1));
            let mut job = self
                .source
                .job_on(sides, self.fit, recipe.clone(), folder, &self.run)?;
            job.keep = Keep::Last;
            let checkpoint = fit(job)?;
            let device = self.source.compute.device();
            answers.extend(answer(&checkpoint, &held_out, &senders, fold + 1, device)?);
        }
        let figures = out_of_fold::measure(&answers, &classes)?;
        out_of_fold::write(&self.out.join(OUT_OF_FOLD), &answers, &classes)?;
        write_json(&self.out.join(CROSS_VALIDATION), &figures)?;
        output::line(format_args!(
            "{} photos out of fold: accuracy {:.2} ± {:.2} %",
            answers.len(),
            100.0 * figures.accuracy,
            100.0 * figures.standard_error
        ))
    }
}

/// A fold's network on the photos that it has not seen, in f32.
fn answer(
    checkpoint: &Checkpoint,
    photos: &[Labelled],
    senders: &Senders,
    fold: usize,
    device: Device,
) -> Result<Vec<Answer>> {
    let description = &checkpoint.description;
    let dataset = Dataset::load(
        photos,
        &description.classes,
        &description.preprocess,
        "decoding the fold's photos",
    )?;
    let graph = checkpoint.graph()?;
    let network = Network::new(graph, &checkpoint.weights, device, Precision::F32)?;
    let normalization = checkpoint.backbone()?.normalization();
    let logits = outputs(&network, &dataset, normalization, "classifying the fold")?;
    let rows = Vec::<Vec<f32>>::try_from(&logits)?;
    let classes = Vec::<i64>::try_from(&dataset.targets)?;
    let each = photos.iter().zip(rows).zip(classes);
    Ok(each
        .map(|((photo, logits), class)| Answer {
            photo: photo.path.to_string_lossy().into_owned(),
            sender: match senders.of(&photo.path) {
                Sender::Known(sender) => sender.to_owned(),
                Sender::Of(path) => path.to_string_lossy().into_owned(),
            },
            class: class as usize,
            fold,
            logits,
        })
        .collect())
}
