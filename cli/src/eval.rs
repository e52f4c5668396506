//! `etalase eval`: accuracy, calibration and confusion over a folder of photos per
//! class. Photos are classified on all cores; figures don't depend on how many.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use etalase::evaluation::{Evaluation, LabelledPhoto, Metrics, photo_folders};
use etalase::{Answer, Classifier, files};
use indicatif::{ProgressBar, ProgressStyle};

use crate::bundle::BundleChoice;
use crate::{Outcome, output};

/// Measure a bundle over a folder of photos per class
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    bundle: BundleChoice,
    /// One JSON object on stdout: {"photos", "accuracy", "top3_accuracy", "ece", "labels", "per_class",
    /// "confusion" (rows true, columns predicted), "skipped"}
    #[arg(long)]
    json: bool,
    /// Also write photo,label,predicted,score for every photo that was classified
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Folder that holds a folder per class, named as the bundle names its classes
    dir: PathBuf,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let classifier = args.bundle.classifier()?;
    let classes = &classifier.bundle().manifest().classes;
    let (photos, foreign) = sort_out(photo_folders(&args.dir)?, classes);
    let mut evaluation = Evaluation::new(classes.clone());
    for (label, count) in &foreign {
        output::complain(format!(
            "{}: {label:?} is no class of the bundle; {count} photos skipped",
            args.dir.display()
        ));
        (0..*count).for_each(|_| evaluation.skip());
    }
    if photos.is_empty() {
        anyhow::bail!(
            "{}: no folder has the name of a class; the bundle's are {}",
            args.dir.display(),
            classes.join(", ")
        );
    }

    let answers = classify_all(&classifier, &photos);
    let mut csv = String::from("photo,label,predicted,score\n");
    let mut outcome = match foreign.is_empty() {
        true => Outcome::Complete,
        false => Outcome::Partial,
    };
    for ((photo, truth), answer) in photos.iter().zip(answers) {
        match answer {
            Ok(answer) => {
                evaluation.record(*truth, &answer.scores)?;
                if let Some((class, score)) = answer.top(1).first() {
                    let predicted = classes.get(*class).map_or("", String::as_str);
                    csv += &csv_row(photo, predicted, *score);
                }
            }
            Err(error) => {
                outcome = Outcome::Partial;
                evaluation.skip();
                output::complain(&error);
            }
        }
    }
    // The figures first: a CSV that cannot be written must not cost them.
    let metrics = evaluation.metrics();
    if args.json {
        output::json(&metrics)?;
    } else {
        show(&metrics)?;
    }
    if let Some(path) = &args.csv {
        files::replace(path, csv.as_bytes())?;
    }
    Ok(outcome)
}

/// Photos with the number of their class, and how many there are by each label that
/// is no class.
fn sort_out(
    photos: Vec<LabelledPhoto>,
    classes: &[String],
) -> (Vec<(LabelledPhoto, usize)>, BTreeMap<String, usize>) {
    let mut known = Vec::with_capacity(photos.len());
    let mut foreign = BTreeMap::new();
    for photo in photos {
        match classes.iter().position(|class| *class == photo.label) {
            Some(truth) => known.push((photo, truth)),
            None => *foreign.entry(photo.label).or_default() += 1,
        }
    }
    (known, foreign)
}

/// Classifies every photo, on all cores, with a progress bar on a terminal. Answers
/// come in the order of the photos, so that sums of floats don't depend on threads.
fn classify_all(
    classifier: &Classifier,
    photos: &[(LabelledPhoto, usize)],
) -> Vec<etalase::Result<Answer>> {
    let style = "{bar:30} {pos}/{len} photos, {per_sec}, {eta} left";
    // indicatif draws on stderr, and nothing where that is no terminal.
    let progress = ProgressBar::new(photos.len() as u64)
        .with_style(ProgressStyle::with_template(style).unwrap_or(ProgressStyle::default_bar()));
    let next = AtomicUsize::new(0);
    let answers: Vec<OnceLock<etalase::Result<Answer>>> =
        photos.iter().map(|_| OnceLock::new()).collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores.min(photos.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let (Some((photo, _)), Some(place)) = (photos.get(index), answers.get(index))
                    else {
                        break;
                    };
                    let answer = files::read(&photo.path).and_then(|bytes| {
                        classifier
                            .classify(&bytes)
                            .map_err(|error| error.context(photo.path.display()))
                    });
                    // Each place is visited once, so it is empty.
                    let _ = place.set(answer);
                    progress.inc(1);
                }
            });
        }
    });
    progress.finish_and_clear();
    answers
        .into_iter()
        .filter_map(OnceLock::into_inner)
        .collect()
}

fn csv_row(photo: &LabelledPhoto, predicted: &str, score: f32) -> String {
    let path = photo.path.to_string_lossy();
    let fields = [
        csv_field(&path),
        csv_field(&photo.label),
        csv_field(predicted),
    ];
    format!("{},{score}\n", fields.join(","))
}

/// Quoted where RFC 4180 wants it.
fn csv_field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

fn show(metrics: &Metrics) -> anyhow::Result<()> {
    let percent = |part: f64| format!("{:.2} %", part * 100.0);
    let Metrics {
        photos, skipped, ..
    } = metrics;
    output::line(format_args!("photos          {photos} ({skipped} skipped)"))?;
    output::line(format_args!(
        "accuracy        {}",
        percent(metrics.accuracy)
    ))?;
    output::line(format_args!(
        "top-3 accuracy  {}",
        percent(metrics.top3_accuracy)
    ))?;
    output::line(format_args!(
        "calibration     {:.4} expected error",
        metrics.ece
    ))?;

    let width = output::width(metrics.labels.iter().map(String::as_str)).max(5);
    output::line("")?;
    output::line(format_args!(
        "{:<width$}  precision  recall      f1  photos",
        "class"
    ))?;
    for label in &metrics.labels {
        if let Some(class) = metrics.per_class.get(label) {
            output::line(format_args!(
                "{label:<width$}  {:9.3}  {:6.3}  {:6.3}  {:6}",
                class.precision, class.recall, class.f1, class.support
            ))?;
        }
    }

    output::line("")?;
    output::line(
        "confusion: a row per true class, a column per predicted class in the same order",
    )?;
    let largest = metrics
        .confusion
        .iter()
        .flatten()
        .max()
        .copied()
        .unwrap_or(0);
    let cell = largest
        .to_string()
        .len()
        .max(metrics.labels.len().to_string().len());
    let numbers = (1..=metrics.labels.len()).map(|number| format!("  {number:>cell$}"));
    let header: String = numbers.collect();
    output::line(format_args!("{:<width$}     {header}", ""))?;
    for (number, (label, row)) in metrics.labels.iter().zip(&metrics.confusion).enumerate() {
        let cells: String = row
            .iter()
            .map(|count| format!("  {count:>cell$}"))
            .collect();
        output::line(format_args!("{label:<width$}  {:>3}{cells}", number + 1))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_fields_are_quoted_where_they_must() {
        assert_eq!(csv_field("a b"), "a b");
        assert_eq!(csv_field("a,b"), "\"a,b\"");
        assert_eq!(csv_field("a\"b"), "\"a\"\"b\"");
        assert_eq!(csv_field("a\nb"), "\"a\nb\"");
    }
}
