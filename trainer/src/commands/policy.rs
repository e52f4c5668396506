//! `etalase-trainer policy`: fits a bundle's policy and writes the bundle with it.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use etalase::bundle::Bundle;
use etalase::{Classifier, EngineOptions};
use etalase_trainer::data;
use etalase_trainer::files;
use etalase_trainer::out_of_fold;
use etalase_trainer::pack::About;
use etalase_trainer::policy::{Aims, Known, VERIFICATION, evidence, fit, measure};
use serde_json::Value;

/// Fit what a bundle's policy says of answers: the temperature of its scores, the thresholds of verdicts, what is
/// familiar; and write the bundle with it.
#[derive(Args)]
pub struct PolicyOf {
    /// The bundle
    #[arg(long, value_name = "B")]
    bundle: PathBuf,
    /// The photos that it was trained on, a folder per class: what is familiar
    #[arg(long, value_name = "DIR")]
    train: PathBuf,
    /// Photos that it was not trained on, a folder per class: temperature, and how far the familiar goes
    #[arg(long, value_name = "DIR")]
    validation: PathBuf,
    /// What `cross-validate` wrote as out_of_fold.csv: the thresholds of verdicts. Without, the validation photos serve
    #[arg(long, value_name = "FILE")]
    out_of_fold: Option<PathBuf>,
    /// The share of matches, and of mismatches, that is to be right
    #[arg(long, value_name = "SHARE", default_value_t = 0.98, value_parser = share)]
    precision: f64,
    /// The share of photos of the bundle's categories that is to be familiar
    #[arg(long, value_name = "SHARE", default_value_t = 0.95, value_parser = share)]
    pass: f64,
    /// Version, description, data, limits and licence of the bundle to write, JSON as `all` takes it; as they were where
    /// not given
    #[arg(long, value_name = "FILE")]
    about: Option<PathBuf>,
    /// The bundle to write; the same file is replaced. What its verdicts are worth is written beside, verification.json:
    /// in a run's folder the report shows it
    #[arg(short, long, value_name = "B")]
    out: PathBuf,
}

fn share(text: &str) -> Result<f64> {
    let share: f64 = text.parse()?;
    ensure!(share > 0.0 && share < 1.0, "it is a share between 0 and 1");
    Ok(share)
}

/// Puts the members of one JSON object into another.
fn overlay(card: &mut Value, members: Value) {
    if let (Value::Object(card), Value::Object(members)) = (card, members) {
        card.extend(members);
    }
}

impl PolicyOf {
    /// Runs it.
    pub fn run(self) -> Result<()> {
        let classifier = Classifier::new(Bundle::open(&self.bundle)?, &EngineOptions::default())?;
        let bundle = classifier.bundle();
        let classes = &bundle.manifest().classes;
        let out_of_fold = match &self.out_of_fold {
            Some(path) => Some(out_of_fold::read(path, classes)?),
            None => None,
        };
        let about = self.about.as_ref();
        let about = about.map(|path| About::read(path, classes)).transpose()?;
        let (training, unseen) = (
            data::folders(&self.train)?,
            data::folders(&self.validation)?,
        );
        data::check_classes(&training, classes, "training set")?;
        data::check_classes(&unseen, classes, "validation set")?;
        let unseen = evidence(&classifier, &unseen, "validation photos")?;
        let training = evidence(&classifier, &training, "training photos")?;
        let aims = Aims {
            precision: self.precision,
            pass: self.pass,
        };
        let (known, answers) = (Known::all(&training), Known::all(&unseen));
        let fitted = fit(bundle, &known, &answers, out_of_fold.as_deref(), aims)?;
        let mut card = bundle.card().clone();
        if let Some(about) = &about {
            overlay(&mut card, about.card());
        }
        let mut written = fitted.applied(bundle, card)?;
        if let Some(about) = about {
            written = written.version(about.version);
        }
        let bytes = written.to_bytes()?;
        let judged = Bundle::from_bytes(bytes.clone())?;
        let figures = measure(judged.judge(), &unseen)?;
        files::write(&self.out, &bytes)?;
        files::write_json(&self.out.with_file_name(VERIFICATION), &figures)?;
        eprintln!(
            "{}: temperature {:.3}, verdicts fitted to {}",
            self.out.display(),
            fitted.policy.temperature,
            fitted.verdicts
        );
        eprintln!(
            "{} validation photos: {:.2} % of right declarations matched, {:.2} % of verdicts right; expected \
             calibration error {:.3}",
            figures.photos,
            100.0 * figures.coverage,
            100.0 * figures.verify_precision,
            figures.ece
        );
        Ok(())
    }
}
