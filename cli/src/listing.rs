//! `etalase listing`: several photos of one listing as one answer, and which of them does not belong.

use std::path::PathBuf;

use etalase::{Answer, Classifier, files};
use serde::Serialize;

use crate::bundle::BundleChoice;
use crate::labels::Label;
use crate::verdict::{Judged, declared, sentence};
use crate::{Outcome, labels, output};

/// Tell what the photos of one listing show together
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    bundle: BundleChoice,
    /// What the seller says the photos show, a canonical class name: tells whether they do
    #[arg(long, value_name = "LABEL")]
    declared: Option<String>,
    /// How many classes to name, best first
    #[arg(long, value_name = "K", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    top: u32,
    /// One JSON object on stdout: {"photos": [{"photo", "label", "score", "familiarity"} or {"photo", "error"}, …],
    /// "labels": [{"label", "score"}, …], "familiarity", "verdict": {"kind", "reason", "suggested"}, "odd": [{"photo",
    /// "shows"}, …]}; labels are canonical class names, "shows" is null where a photo is unfamiliar
    #[arg(long)]
    json: bool,
    /// Language of the names shown to people, such as en or id
    #[arg(long, value_name = "L", default_value = "en")]
    language: String,
    /// Photos of the listing
    #[arg(required = true, value_name = "PHOTO")]
    photos: Vec<PathBuf>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum OfPhoto<'a> {
    Answer {
        photo: String,
        label: &'a str,
        score: f32,
        #[serde(skip_serializing_if = "Option::is_none")]
        familiarity: Option<f32>,
    },
    Failure {
        photo: String,
        error: String,
    },
}

#[derive(Serialize)]
struct Odd<'a> {
    photo: String,
    shows: Option<&'a str>,
}

#[derive(Serialize)]
struct Object<'a> {
    photos: Vec<OfPhoto<'a>>,
    labels: Vec<Label<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    familiarity: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Judged<'a>>,
    odd: Vec<Odd<'a>>,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let classifier = args.bundle.classifier()?;
    let classes = &classifier.bundle().manifest().classes;
    let declared = declared(args.declared.as_deref(), classes)?;
    let mut outcome = Outcome::Complete;
    let (mut answers, mut answered, mut of_photos) = (Vec::new(), Vec::new(), Vec::new());
    for path in &args.photos {
        let photo = path.to_string_lossy().into_owned();
        match answer(&classifier, path) {
            Ok(answer) => {
                if let Some(&(class, score)) = answer.top(1).first() {
                    of_photos.push(OfPhoto::Answer {
                        photo: photo.clone(),
                        label: classes.get(class).map_or("", String::as_str),
                        score,
                        familiarity: answer.familiarity,
                    });
                }
                answers.push(answer);
                answered.push(photo);
            }
            Err(error) => {
                outcome = Outcome::Partial;
                output::complain(&error);
                let error = error.to_string();
                of_photos.push(OfPhoto::Failure { photo, error });
            }
        }
    }
    // What is left of a listing after its broken photos still has an answer; nothing has none.
    let listing = classifier.listing(&answers, declared)?;
    let names = match args.json {
        true => classes.as_slice(),
        false => labels::display_names(classifier.bundle(), &args.language),
    };
    let name = |class: usize| names.get(class).map(String::as_str);
    let labels = labels::best(&listing.fused.scores, args.top, names);
    let odd: Vec<Odd<'_>> = listing
        .fused
        .odd
        .iter()
        .map(|odd| Odd {
            photo: answered.get(odd.photo).cloned().unwrap_or_default(),
            shows: odd.shows.and_then(name),
        })
        .collect();
    if args.json {
        output::json(&Object {
            photos: of_photos,
            labels,
            familiarity: listing.fused.familiarity,
            verdict: listing.verdict.map(|verdict| Judged::new(verdict, classes)),
            odd,
        })?;
        return Ok(outcome);
    }
    let width = output::width(labels.iter().map(|label| label.label));
    for Label { label, score } in &labels {
        output::line(format_args!("{label:<width$}  {:5.1} %", score * 100.0))?;
    }
    if let Some(verdict) = listing.verdict {
        output::line(sentence(verdict, names))?;
    }
    for Odd { photo, shows } in &odd {
        let what = shows.unwrap_or("nothing that the network knows");
        output::line(format_args!("{photo} does not belong: it shows {what}"))?;
    }
    Ok(outcome)
}

fn answer(classifier: &Classifier, path: &std::path::Path) -> etalase::Result<Answer> {
    let bytes = files::read(path)?;
    classifier
        .classify(&bytes)
        .map_err(|error| error.context(path.display()))
}
