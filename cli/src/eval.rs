//! `etalase eval`: accuracy, calibration and confusion over a folder of photos per
//! class; with `--verify` how good verdicts are. Photos are classified on all cores;
//! figures don't depend on how many.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use etalase::evaluation::{
    Evaluation, LabelledPhoto, Metrics, Seen, Verification, photo_folders, photos_in, verification,
};
use etalase::photo::Photo;
use etalase::{Classifier, files};
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
    /// Measure verdicts on declarations instead: {"coverage", "verify_precision", "mismatch_auroc", "unfamiliar_auroc",
    /// "unfamiliar_fpr95", "ece", …}. Every photo is declared rightly, and as what its class is most often taken for
    #[arg(long)]
    verify: bool,
    /// With --verify: photos of other things, which should be unfamiliar; a folder of them, or a folder per kind
    #[arg(long, value_name = "DIR2", requires = "verify")]
    unfamiliar: Option<PathBuf>,
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

    let files: Vec<&Path> = photos
        .iter()
        .map(|(photo, _)| photo.path.as_path())
        .collect();
    if args.verify {
        let known: Vec<usize> = photos.iter().map(|(_, class)| *class).collect();
        return verify(args, &classifier, &files, &known, foreign.is_empty());
    }
    let answers = on_all_cores(&files, |photo| classifier.classify_photo(photo));
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

/// Measures verdicts on photos of known classes, and familiarity on others.
fn verify(
    args: &Args,
    classifier: &Classifier,
    photos: &[&Path],
    classes: &[usize],
    all_are_known: bool,
) -> anyhow::Result<Outcome> {
    let judge = classifier.bundle().judge();
    let see = |photos: &[&Path]| {
        on_all_cores(photos, |photo| {
            let evidence = classifier.evidence(photo)?;
            Seen::of(judge, &evidence)
        })
    };
    let mut outcome = match all_are_known {
        true => Outcome::Complete,
        false => Outcome::Partial,
    };
    let mut keep = |seen: etalase::Result<Seen>| match seen {
        Ok(seen) => Some(seen),
        Err(error) => {
            outcome = Outcome::Partial;
            output::complain(&error);
            None
        }
    };
    let known: Vec<(usize, Seen)> = classes
        .iter()
        .zip(see(photos))
        .filter_map(|(class, seen)| Some((*class, keep(seen)?)))
        .collect();
    let others = match &args.unfamiliar {
        Some(dir) => photos_below(dir)?,
        None => Vec::new(),
    };
    let others: Vec<&Path> = others.iter().map(PathBuf::as_path).collect();
    let others: Vec<Seen> = see(&others).into_iter().filter_map(keep).collect();
    let figures = verification(judge, &known, &others)?;
    if args.json {
        output::json(&figures)?;
    } else {
        show_verification(&figures)?;
    }
    Ok(outcome)
}

/// Photos of a folder, or of the folders in it.
fn photos_below(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let flat = photos_in(dir)?;
    if !flat.is_empty() {
        return Ok(flat);
    }
    let photos = photo_folders(dir)?;
    Ok(photos.into_iter().map(|photo| photo.path).collect())
}

fn show_verification(figures: &Verification) -> anyhow::Result<()> {
    let percent = |part: f64| format!("{:.2} %", part * 100.0);
    let lines = [
        ("photos", figures.photos.to_string()),
        ("accuracy", percent(figures.accuracy)),
        ("calibration", format!("{:.4} expected error", figures.ece)),
        ("  plain softmax", format!("{:.4}", figures.ece_softmax)),
        ("mismatch AUROC", format!("{:.4}", figures.mismatch_auroc)),
        (
            "  plain softmax",
            format!("{:.4}", figures.mismatch_auroc_softmax),
        ),
    ];
    for (name, value) in lines {
        output::line(format_args!("{name:<22}{value}"))?;
    }
    for (what, found) in [
        (
            "declared as what its class is taken for",
            &figures.declarations,
        ),
        ("declared as its own best wrong class", &figures.hardest),
    ] {
        output::line(format_args!("{what}:"))?;
        output::line(format_args!(
            "  match right {}, mismatch right {}; right declarations matched {}, wrong ones found {}",
            percent(found.match_precision),
            percent(found.mismatch_precision),
            percent(found.coverage),
            percent(found.mismatch_coverage)
        ))?;
    }
    for (name, share) in [
        ("familiar", figures.familiar),
        ("  of other things", figures.unfamiliar_passing),
    ] {
        if let Some(share) = share {
            output::line(format_args!("{name:<22}{}", percent(share)))?;
        }
    }
    let of = |auroc: Option<f64>, passing: Option<f64>| Some((auroc?, passing?));
    let ours = of(figures.unfamiliar_auroc, figures.unfamiliar_fpr95);
    let softmax = of(
        figures.unfamiliar_auroc_softmax,
        figures.unfamiliar_fpr95_softmax,
    );
    for (name, found) in [("unfamiliar AUROC", ours), ("  plain softmax", softmax)] {
        if let Some((auroc, passing)) = found {
            output::line(format_args!(
                "{name:<22}{auroc:.4}, {} pass where 95 % of the known do",
                percent(passing)
            ))?;
        }
    }
    Ok(())
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

/// What `of` makes of every photo, on all cores, with a progress bar on a terminal. Answers
/// come in the order of the photos, so that sums of floats don't depend on threads.
fn on_all_cores<T: Send + Sync>(
    photos: &[&Path],
    of: impl Fn(&Photo<'_>) -> etalase::Result<T> + Sync,
) -> Vec<etalase::Result<T>> {
    let style = "{bar:30} {pos}/{len} photos, {per_sec}, {eta} left";
    // indicatif draws on stderr, and nothing where that is no terminal.
    let progress = ProgressBar::new(photos.len() as u64)
        .with_style(ProgressStyle::with_template(style).unwrap_or(ProgressStyle::default_bar()));
    let next = AtomicUsize::new(0);
    let answers: Vec<OnceLock<etalase::Result<T>>> =
        photos.iter().map(|_| OnceLock::new()).collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores.min(photos.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let (Some(path), Some(place)) = (photos.get(index), answers.get(index)) else {
                        break;
                    };
                    let answer = files::read(path).and_then(|bytes| {
                        of(&Photo::encoded(&bytes)).map_err(|error| error.context(path.display()))
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
