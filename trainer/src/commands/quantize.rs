//! `etalase-trainer quantize`: an int8 ONNX model from a checkpoint and calibration photos.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use etalase_trainer::data::{self, Dataset, Labelled};
use etalase_trainer::files;
use etalase_trainer::quantize::{Folded, Method, Options, Outcome, Outlier, Report, Step};
use etalase_trainer::train::checkpoint::Checkpoint;
use tch::Device;

use super::export::Trained;
use super::source::Processor;

/// Calibrate on photos and write an int8 ONNX model.
#[derive(Args)]
pub struct Quantize {
    #[command(flatten)]
    trained: Trained,
    /// Calibration photos, a folder per class: the training photos
    #[arg(long, value_name = "DIR")]
    calibration: PathBuf,
    /// How many of them to use, spread evenly; 1024 where not given, and of networks of more than two thousand million
    /// multiply-adds as many fewer as they are larger
    #[arg(long, value_name = "N")]
    photos: Option<usize>,
    #[command(flatten)]
    processor: Processor,
    #[command(flatten)]
    how: How,
    /// Photos to compare the int8 network's answers with the float network's, a folder per class
    #[arg(long, value_name = "DIR")]
    validation: Option<PathBuf>,
    /// Write what was done and where the error comes from there, JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// The ONNX file to write
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
}

/// How a network is quantized.
#[derive(Args, Clone)]
pub struct How {
    /// Ways to choose the range of a tensor: min-max, percentile, entropy, squared-error. Of several, whichever changes
    /// the logits least is taken for each tensor
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', default_values_t = Method::ALL)]
    ranges: Vec<Method>,
    /// Steps that are not tried: bias-correction, equalization, feedback, learned-rounding, headroom, fine-tuning, float
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    without: Vec<Step>,
    /// Points of validation accuracy that int8 may cost at most. Until it does not cost more, other roundings and
    /// headrooms are tried that calibration photos found nearly as good, the network is fine-tuned, and as the last resort
    /// single values stay in float
    #[arg(long, value_name = "POINTS", value_parser = points)]
    max_drop: Option<f64>,
}

fn points(text: &str) -> Result<f64> {
    let points: f64 = text.parse()?;
    ensure!(
        points.is_finite() && points >= 0.0,
        "it is a number of points, 0 or more"
    );
    Ok(points)
}

impl How {
    fn options(&self) -> Options {
        Options {
            ranges: self.ranges.clone(),
            without: self.without.clone(),
            max_drop: self.max_drop,
        }
    }
}

impl Quantize {
    /// Runs it.
    pub fn run(self) -> Result<()> {
        ensure!(
            self.how.max_drop.is_none() || self.validation.is_some(),
            "--max-drop is measured on validation photos: --validation names them"
        );
        let photos = data::folders(&self.calibration)?;
        let checkpoint = self.trained.load()?;
        let validation = match &self.validation {
            Some(dir) => data::folders(dir)?,
            None => Vec::new(),
        };
        let device = self.processor.device();
        let picked = (photos.as_slice(), self.photos);
        let outcome = quantize(&checkpoint, picked, &validation, device, &self.how)?;
        tell(&outcome.report);
        files::write(&self.out, &outcome.model)?;
        if let Some(path) = &self.report {
            files::write_json(path, &outcome.report)?;
        }
        eprintln!("{}: {} bytes", self.out.display(), outcome.model.len());
        Ok(())
    }
}

/// Calibration photos of a network that is not large.
const CALIBRATION_PHOTOS: usize = 1024;
/// Multiply-adds of a network that is large, in millions.
const LARGE: usize = 2000;
/// Calibration photos at least.
const FEWEST: usize = 32;

/// The int8 network of a checkpoint, calibrated on so many of these photos, spread evenly, and compared with the float
/// network on the photos `validation`, if there are any.
pub fn quantize(
    checkpoint: &Checkpoint,
    (photos, count): (&[Labelled], Option<usize>),
    validation: &[Labelled],
    device: Device,
    how: &How,
) -> Result<Outcome> {
    let (classes, preprocess) = (
        &checkpoint.description.classes,
        &checkpoint.description.preprocess,
    );
    let millions = checkpoint.graph()?.multiply_adds() / 1_000_000;
    let usual = (CALIBRATION_PHOTOS * LARGE / millions.max(LARGE)).max(FEWEST);
    let count = count.unwrap_or(usual);
    // Calibration doesn't look at labels: photos of classes that the network doesn't know serve as well.
    let picked: Vec<Labelled> = data::evenly(photos.len(), count)
        .map(|i| photos[i].clone())
        .collect();
    let what = "decoding calibration photos";
    let photos = Dataset::load(&picked, &data::classes(&picked), preprocess, what)?;
    let validation = match validation.is_empty() {
        true => None,
        false => {
            let what = "decoding validation photos";
            Some(Dataset::load(validation, classes, preprocess, what)?)
        }
    };
    let validation = validation.as_ref().map(|photos| (photos, &classes[..]));
    Folded::of(checkpoint)?.quantize(&photos, validation, device, &how.options())
}

/// Says what the steps came to.
pub fn tell(report: &Report) {
    for outlier in &report.set_aside {
        let Outlier {
            photo,
            layer,
            times,
        } = outlier;
        eprintln!("{photo}: set aside: {layer} is {times:.0} times what other photos make it");
    }
    for gain in &report.steps {
        let decibels = format!("{:.1} dB", gain.signal_to_noise_db);
        let came_to = [vec![decibels], gain.remarks()].concat().join(", ");
        eprintln!("{}: {came_to}", gain.step);
    }
    if !report.in_float.is_empty() {
        eprintln!("left in float: {}", report.in_float.join(", "));
    }
    if let Some(found) = &report.validation {
        eprintln!(
            "{} validation photos: float {:.2} %, int8 {:.2} %, the same class on {:.2} %; logits {:.1} dB",
            found.photos,
            100.0 * found.float_accuracy,
            100.0 * found.int8_accuracy,
            100.0 * found.agreement,
            found.signal_to_noise_db
        );
    }
}
