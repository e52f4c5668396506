//! `etalase-trainer policy`: fits a bundle's policy and writes the bundle with it.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use etalase::bundle::{Bundle, BundleWriter};
use etalase::decision::{ClassMeans, Judge, POLICY_VERSION, Policy};
use etalase::evaluation::{Seen, Verification, verification};
use etalase::{Classifier, EngineOptions, Evidence};
use etalase_trainer::data;
use etalase_trainer::files;
use etalase_trainer::out_of_fold;
use etalase_trainer::pack::About;
use etalase_trainer::policy::{
    Known, VERIFICATION, class_means, evidence, familiarity, scored, temperature, thresholds,
};
use serde_json::{Value, json};

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

/// What the policy's verdicts on the validation photos are worth.
fn measure(judge: &Judge, unseen: &[(usize, Evidence)]) -> Result<Verification> {
    let seen = unseen
        .iter()
        .map(|(class, evidence)| Ok((*class, Seen::of(judge, evidence)?)));
    let seen = seen.collect::<Result<Vec<_>>>()?;
    Ok(verification(judge, &seen, &[])?)
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
        let known = |photos: &[(usize, Evidence)]| -> Vec<Known> {
            let each = photos.iter();
            each.map(|(class, seen)| Known::of(*class, seen)).collect()
        };
        let answers = known(&unseen);
        let of_bundle = temperature(&answers).context("the temperature")?;
        let fitted_on = match &out_of_fold {
            Some(answers) => format!("{} out-of-fold answers", answers.len()),
            None => format!("{} validation photos", answers.len()),
        };
        // Other networks' logits have a temperature of their own.
        let scored = match &out_of_fold {
            Some(answers) => scored(answers, temperature(answers)?)?,
            None => scored(&answers, of_bundle)?,
        };
        let verdicts = thresholds(&scored, classes, self.precision)?;
        let training = evidence(&classifier, &training, "training photos")?;
        let means = class_means(&known(&training), classes)?;
        let directions = ClassMeans::from_bytes(&means, classes.len())?;
        let familiar = familiarity(&answers, &directions, self.pass)?;
        let policy = Policy {
            version: POLICY_VERSION,
            advice: bundle.policy().advice,
            temperature: of_bundle,
            verification: Some(verdicts),
            familiarity: Some(familiar),
        };
        let mut card = bundle.card().clone();
        let mut writer = BundleWriter::from_bundle(bundle);
        if let Some(about) = about {
            overlay(&mut card, about.card());
            writer = writer.version(about.version);
        }
        let fitted = json!({
            "temperature_and_familiarity": format!("{} validation photos", answers.len()),
            "verdicts": fitted_on,
        });
        overlay(&mut card, json!({ "policy": fitted }));
        let written = writer.card(card).policy(&policy)?.class_means(means);
        let bytes = written.to_bytes()?;
        let judged = Bundle::from_bytes(bytes.clone())?;
        let figures = measure(judged.judge(), &unseen)?;
        files::write(&self.out, &bytes)?;
        files::write_json(&self.out.with_file_name(VERIFICATION), &figures)?;
        eprintln!(
            "{}: temperature {of_bundle:.3}, verdicts fitted to {fitted_on}",
            self.out.display()
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
