//! The summary: a row a backbone, as CSV and as the page's first table.

use std::fmt::Write;

use anyhow::{Result, anyhow};
use serde::Serialize;

use super::numbers::{bytes, count, duration, escape, milliseconds, or_dash, percent, rate, share};
use super::run::Run;

/// One backbone's row. Sizes in bytes, times in the unit that the name tells, shares 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The network.
    pub backbone: String,
    /// Where its first weights came from.
    pub weights: Option<String>,
    /// Side of the input.
    pub input_px: Option<u64>,
    /// How a photo fills it.
    pub fit: Option<String>,
    /// Epochs that were trained.
    pub epochs: usize,
    /// The epoch that was kept.
    pub kept_epoch: Option<usize>,
    /// Validation photos.
    pub photos: Option<u64>,
    /// Of the float network.
    pub float_accuracy: Option<f64>,
    /// Of the int8 network.
    pub int8_accuracy: Option<f64>,
    /// Mean over categories, of the int8 network.
    pub int8_precision: Option<f64>,
    /// Mean over categories, of the int8 network.
    pub int8_recall: Option<f64>,
    /// Mean over categories, of the int8 network.
    pub int8_f1: Option<f64>,
    /// Stored values.
    pub parameters: Option<usize>,
    /// For one photo.
    pub multiply_adds: Option<usize>,
    /// Of the float ONNX model.
    pub float_bytes: Option<usize>,
    /// Of the int8 ONNX model.
    pub int8_bytes: Option<usize>,
    /// Of the bundle.
    pub bundle_bytes: Option<usize>,
    /// Validation excluded.
    pub training_seconds: Option<f64>,
    /// Validation excluded.
    pub training_photos_per_second: Option<f64>,
    /// Median of the int8 network in core.
    pub device_ms: Option<f64>,
    /// Threads of that.
    pub device_threads: Option<usize>,
    /// Instruction set of that.
    pub device_isa: Option<String>,
}

impl Row {
    /// What a run's folder told.
    pub fn of(run: &Run) -> Row {
        let cost = run.cost.as_ref();
        let timing = cost.map(|cost| &cost.timing);
        let int8 = run.int8.as_ref();
        let seconds = run.history.training_seconds;
        Row {
            backbone: run.backbone.clone(),
            weights: run.weights.clone(),
            input_px: run.input_px,
            fit: run.fit.clone(),
            epochs: run.history.epochs.len(),
            kept_epoch: run.kept_epoch,
            photos: run.shown().map(|quality| quality.metrics.photos),
            float_accuracy: run.float.as_ref().map(|quality| quality.metrics.accuracy),
            int8_accuracy: int8.map(|quality| quality.metrics.accuracy),
            int8_precision: int8.map(|quality| quality.mean.precision),
            int8_recall: int8.map(|quality| quality.mean.recall),
            int8_f1: int8.map(|quality| quality.mean.f1),
            parameters: cost.map(|cost| cost.parameters),
            multiply_adds: cost.map(|cost| cost.multiply_adds),
            float_bytes: cost.map(|cost| cost.float_bytes),
            int8_bytes: cost.map(|cost| cost.int8_bytes),
            bundle_bytes: cost.map(|cost| cost.bundle_bytes),
            training_seconds: (seconds > 0.0).then_some(seconds),
            training_photos_per_second: run.training_photos_per_second,
            device_ms: timing.map(|timing| timing.median_ms),
            device_threads: timing.map(|timing| timing.threads),
            device_isa: timing.map(|timing| timing.isa.clone()),
        }
    }
}

/// A header and a line a row; plain numbers, empty where nothing is known.
pub fn csv(rows: &[Row]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row)?;
    }
    writer
        .into_inner()
        .map_err(|error| anyhow!("cannot write the summary: {error}"))
}

/// The page's table.
pub fn table(rows: &[Row]) -> Result<String> {
    let mut html = String::from(
        "<div class=scroll><table class=summary><thead>\
         <tr><th rowspan=2>network<th colspan=2>accuracy<th rowspan=2>F1<th rowspan=2>para-<br>meters\
         <th rowspan=2>multiply-<br>adds<th colspan=2>model<th colspan=3>training<th rowspan=2>one photo,<br>int8\
         <tr><th>float<th>int8<th>float<th>int8<th>epochs<th>time<th>photos/s</thead><tbody>",
    );
    for row in rows {
        let name = escape(&row.backbone);
        write!(html, "<tr><th><a href='#{name}'>{name}</a>")?;
        if let Some(weights) = &row.weights {
            let weights = escape(weights);
            write!(html, "<small title='{weights}'>{weights}</small>")?;
        }
        for cell in [
            or_dash(row.float_accuracy, percent),
            or_dash(row.int8_accuracy, percent),
            or_dash(row.int8_f1, share),
            or_dash(row.parameters, count),
            or_dash(row.multiply_adds, count),
            or_dash(row.float_bytes, bytes),
            or_dash(row.int8_bytes, bytes),
            row.epochs.to_string(),
            or_dash(row.training_seconds, duration),
            or_dash(row.training_photos_per_second, rate),
            or_dash(row.device_ms, milliseconds),
        ] {
            write!(html, "<td>{cell}")?;
        }
    }
    html.push_str("</table></div>");
    Ok(html)
}
