//! `etalase classify`: what each photo shows. One that fails never stops the others.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use etalase::decision::is_familiar;
use etalase::photo::{Measures, Orientation, Photo, Region};
use etalase::{Advice, Answer, Classifier, Error, ErrorKind, Verdict, files};
use serde::Serialize;

use crate::bundle::BundleChoice;
use crate::labels::Label;
use crate::verdict::{Judged, declared, sentence};
use crate::{Outcome, labels, output};

/// Tell what photos show (JPEG, PNG, WebP, GIF, BMP)
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    bundle: BundleChoice,
    /// How many classes to name, best first
    #[arg(long, value_name = "K", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    top: u32,
    /// What the seller says the photos show, a canonical class name: tells whether they do
    #[arg(long, value_name = "LABEL")]
    declared: Option<String>,
    /// One JSON object a photo on stdout: {"photo", "labels": [{"label", "score"}, …], "familiarity", "verdict": {"kind",
    /// "reason", "suggested"}, "measures", "advice", "notes", "decode_ms", "run_ms"} or {"photo", "error"}; labels are
    /// canonical class names, "verdict" comes with --declared
    #[arg(long)]
    json: bool,
    /// Language of the names shown to people, such as en or id
    #[arg(long, value_name = "L", default_value = "en")]
    language: String,
    /// Quarter turns clockwise, in degrees, that bring the photos upright (after EXIF's orientation)
    #[arg(long, value_name = "DEGREES", default_value = "0", value_parser = ["0", "90", "180", "270"])]
    rotate: String,
    /// The part of the upright photos that counts: left, top, width and height, px
    #[arg(long, value_name = "X,Y,W,H", value_parser = region)]
    region: Option<Region>,
    /// Photos; - reads one from standard input
    #[arg(required = true, value_name = "PHOTO")]
    photos: Vec<PathBuf>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Line<'a> {
    Answer {
        photo: &'a str,
        labels: Vec<Label<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        familiarity: Option<f32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        verdict: Option<Judged<'a>>,
        measures: Measures,
        advice: &'a [Advice],
        notes: Vec<String>,
        decode_ms: f64,
        run_ms: f64,
    },
    Failure {
        photo: &'a str,
        error: String,
    },
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let classifier = args.bundle.classifier()?;
    let names = match args.json {
        true => classifier.bundle().manifest().classes.as_slice(),
        false => labels::display_names(classifier.bundle(), &args.language),
    };
    let classes = &classifier.bundle().manifest().classes;
    let declared = declared(args.declared.as_deref(), classes)?;
    let mut outcome = Outcome::Complete;
    for path in &args.photos {
        let photo = &*path.to_string_lossy();
        let answered = answer(&classifier, path, args).and_then(|answer| {
            let verdict = declared.map(|declared| classifier.verdict(&answer, declared));
            Ok((answer, verdict.transpose()?))
        });
        match answered {
            Ok((answer, verdict)) => {
                let labels = labels::best(&answer.scores, args.top, names);
                if args.json {
                    output::json(&Line::Answer {
                        photo,
                        labels,
                        familiarity: answer.familiarity,
                        verdict: verdict.map(|verdict| Judged::new(verdict, classes)),
                        measures: answer.measures,
                        advice: &answer.advice,
                        notes: answer.notes.iter().map(ToString::to_string).collect(),
                        decode_ms: answer.decode_ms,
                        run_ms: answer.run_ms,
                    })?;
                } else {
                    show(photo, &labels, &answer, verdict, names)?;
                }
            }
            Err(error) => {
                outcome = Outcome::Partial;
                output::complain(&error);
                if args.json {
                    let error = error.to_string();
                    output::json(&Line::Failure { photo, error })?;
                }
            }
        }
    }
    Ok(outcome)
}

/// Classifies the photo at `path`; errors name it.
fn answer(classifier: &Classifier, path: &Path, args: &Args) -> etalase::Result<Answer> {
    let is_stdin = path.as_os_str() == "-";
    let bytes = if is_stdin {
        read_stdin()?
    } else {
        files::read(path)?
    };
    let quarters = args.rotate.parse::<u32>().unwrap_or(0) / 90;
    let mut photo = Photo::encoded(&bytes).turned(Orientation::turned(quarters, false));
    if let Some(region) = args.region {
        photo = photo.region(region);
    }
    classifier
        .classify_photo(&photo)
        .map_err(|error| match is_stdin {
            true => error.context("standard input"),
            false => error.context(path.display()),
        })
}

fn region(text: &str) -> Result<Region, String> {
    let numbers: Result<Vec<u32>, _> = text.split(',').map(str::parse).collect();
    match numbers.as_deref() {
        Ok(&[x, y, width, height]) => Ok(Region {
            x,
            y,
            width,
            height,
        }),
        _ => Err("four whole numbers with commas between: left, top, width, height".into()),
    }
}

fn read_stdin() -> etalase::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut limited = io::stdin().lock().take(files::MAX_FILE_BYTES + 1);
    limited.read_to_end(&mut bytes).map_err(|error| {
        Error::new(ErrorKind::Io, "standard input: cannot be read").with_source(error)
    })?;
    if bytes.len() as u64 > files::MAX_FILE_BYTES {
        let message = format!(
            "standard input: larger than {} bytes",
            files::MAX_FILE_BYTES
        );
        return Err(Error::new(ErrorKind::Io, message));
    }
    Ok(bytes)
}

fn show(
    photo: &str,
    labels: &[Label<'_>],
    answer: &Answer,
    verdict: Option<Verdict>,
    names: &[String],
) -> anyhow::Result<()> {
    output::line(format_args!(
        "{photo}  (decoded in {:.1} ms, classified in {:.1} ms)",
        answer.decode_ms, answer.run_ms
    ))?;
    let width = output::width(names.iter().map(String::as_str));
    for Label { label, score } in labels {
        let percent = score * 100.0;
        let bar = output::bar(f64::from(*score), 24);
        output::line(
            format_args!("  {label:<width$}  {percent:5.1} %  {bar}")
                .to_string()
                .trim_end(),
        )?;
    }
    if let Some(verdict) = verdict {
        output::line(format_args!("  {}", sentence(verdict, names)))?;
    } else if answer.familiarity.is_some_and(|f| !is_familiar(f)) {
        output::line("  unlike the photos that the network knows: its answer means little")?;
    }
    if !answer.advice.is_empty() {
        let remarks: Vec<&str> = answer.advice.iter().map(|advice| advice.as_str()).collect();
        output::line(format_args!("  the photo is {}", remarks.join(", ")))?;
    }
    for note in &answer.notes {
        output::line(format_args!("  {note}"))?;
    }
    Ok(())
}
