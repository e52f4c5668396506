//! One HTML file, readable offline, that shows a run: the curve, the figures, who is taken for whom.
//!
//! It is made from what the other steps left in the run's folder (`history.json`, and where they are there
//! `evaluation.json` and `search.json`). Nothing is computed here.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use plotters::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::files::{self, read_json};
use crate::train::history::{Epoch, HISTORY, History};
use crate::train::search::{FitResult, SEARCH};

/// Name of the figures in a run's folder.
pub const EVALUATION: &str = "evaluation.json";
/// Name of the report in a run's folder.
pub const REPORT: &str = "report.html";

/// The figures of a run on its validation photos, as they stand in `evaluation.json`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Figures {
    /// Of the float network, in the form of `etalase eval --json`.
    pub float: Option<Value>,
    /// Of the int8 network in core, same form.
    pub int8: Option<Value>,
}

/// Writes `report.html` from `history.json` and `evaluation.json` of a run's folder.
pub fn write(run: &Path) -> Result<()> {
    let history: History = read_json(&run.join(HISTORY))?;
    let figures: Figures = match run.join(EVALUATION) {
        path if path.exists() => read_json(&path)?,
        _ => Figures::default(),
    };
    let mut html = String::from(HEAD);
    write!(html, "<h1>Etalase training report</h1>")?;
    if let Some(accuracy) = history.probe_validation_accuracy {
        write!(
            html,
            "<p>Head alone on the frozen trunk: {:.2} % of the validation photos.</p>",
            100.0 * accuracy
        )?;
    }
    html.push_str("<p>Averaged weights are what is validated; the training loss includes label smoothing and teaching.</p>");
    if run.join(SEARCH).exists() {
        let results: Vec<FitResult> = read_json(&run.join(SEARCH))?;
        html.push_str(&search_table(&results)?);
    }
    let series = |f: fn(&Epoch) -> f64| history.epochs.iter().map(f).collect::<Vec<_>>();
    let accuracy = [
        ("training", series(|e| e.train_accuracy)),
        ("validation", series(|e| e.validation_accuracy)),
    ];
    let loss = [
        ("training", series(|e| e.train_loss)),
        ("validation", series(|e| e.validation_loss)),
    ];
    write!(
        html,
        "<figure>{}{}</figure>",
        curve("accuracy", SeriesLabelPosition::LowerRight, &accuracy)?,
        curve("loss", SeriesLabelPosition::UpperRight, &loss)?
    )?;
    for (name, metrics) in [
        ("float, in the trainer", &figures.float),
        ("int8, in core", &figures.int8),
    ] {
        if let Some(metrics) = metrics {
            write!(html, "{}", section(name, metrics)?)?;
        }
    }
    html.push_str("</main></html>\n");
    files::write(&run.join(REPORT), html.as_bytes())
}

const HEAD: &str = "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>
<title>Etalase training report</title><style>
body{font:15px/1.5 system-ui,sans-serif;margin:0;background:#fafafa;color:#222}main{max-width:62rem;margin:auto;padding:1.5rem}
table{border-collapse:collapse;margin:1rem 0;font-variant-numeric:tabular-nums}th,td{padding:.25rem .6rem;text-align:right}
th:first-child{text-align:left}thead th{border-bottom:1px solid #888;font-weight:600}figure{margin:1rem 0;display:flex;flex-wrap:wrap;gap:1rem}
svg{background:#fff;border:1px solid #ddd;max-width:100%;height:auto}.heat td{min-width:2.2rem;text-align:center}
.scroll{overflow-x:auto}</style><main>";

/// How the ways of fitting a photo into the input compare.
fn search_table(results: &[FitResult]) -> Result<String> {
    let mut html = String::from(
        "<h2>Photo into input</h2><p>A head fitted on the frozen trunk, by validation photos; the best first.</p>\
         <table><thead><tr><th>fit<th>accuracy<th>cross-entropy</thead>",
    );
    for result in results {
        let (fit, accuracy, loss) = (result.fit, 100.0 * result.accuracy, result.loss);
        write!(html, "<tr><th>{fit}<td>{accuracy:.2} %<td>{loss:.4}")?;
    }
    html.push_str("</table><h2>Fine-tuning</h2>");
    Ok(html)
}

/// A line chart over epochs.
fn curve(title: &str, corner: SeriesLabelPosition, lines: &[(&str, Vec<f64>)]) -> Result<String> {
    let failed = |e: &dyn std::fmt::Display| anyhow!("cannot draw the curve of {title}: {e}");
    let epochs = lines
        .iter()
        .map(|(_, values)| values.len())
        .max()
        .unwrap_or(0)
        .max(2);
    let all = || lines.iter().flat_map(|(_, values)| values.iter().copied());
    let (low, high) = (
        all().fold(f64::INFINITY, f64::min),
        all().fold(f64::NEG_INFINITY, f64::max),
    );
    let margin = ((high - low) * 0.08).max(0.005);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (460, 300)).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 16))
            .margin(8)
            .x_label_area_size(32)
            .y_label_area_size(48)
            .build_cartesian_2d(1.0..epochs as f64, (low - margin)..(high + margin))
            .map_err(|e| failed(&e))?;
        let whole = |x: &f64| format!("{x:.0}");
        let mesh = chart
            .configure_mesh()
            .x_desc("epoch")
            .x_labels(epochs.min(12))
            .x_label_formatter(&whole)
            .light_line_style(WHITE)
            .draw();
        mesh.map_err(|e| failed(&e))?;
        for ((name, values), colour) in lines
            .iter()
            .zip([RGBColor(150, 150, 150), RGBColor(0, 90, 180)])
        {
            let points = values.iter().enumerate().map(|(i, &y)| ((i + 1) as f64, y));
            let drawn = chart
                .draw_series(LineSeries::new(points, colour.stroke_width(2)))
                .map_err(|e| failed(&e))?;
            drawn.label(*name).legend(move |(x, y)| {
                PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2))
            });
        }
        let legend = chart
            .configure_series_labels()
            .position(corner)
            .background_style(WHITE.mix(0.8))
            .border_style(TRANSPARENT)
            .draw();
        legend.map_err(|e| failed(&e))?;
        area.present().map_err(|e| failed(&e))?;
    }
    Ok(svg)
}

/// Summary, per-class table and confusion matrix of one network.
fn section(name: &str, metrics: &Value) -> Result<String> {
    let number = |key: &str| {
        metrics[key]
            .as_f64()
            .with_context(|| format!("{EVALUATION} lacks {key}"))
    };
    let labels: Vec<&str> = metrics["labels"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut html = format!(
        "<h2>{}</h2><p>{} photos · accuracy <b>{:.2} %</b> · top-3 {:.2} % · expected calibration error {:.3}</p>",
        escape(name),
        number("photos")?,
        100.0 * number("accuracy")?,
        100.0 * number("top3_accuracy")?,
        number("ece")?
    );
    html.push_str("<table><thead><tr><th>category<th>precision<th>recall<th>F1<th>photos</thead>");
    for label in &labels {
        let of = |key: &str| metrics["per_class"][label][key].as_f64().unwrap_or(0.0);
        let (precision, recall, f1) = (of("precision"), of("recall"), of("f1"));
        let label = escape(label);
        write!(
            html,
            "<tr><th>{label}<td>{precision:.3}<td>{recall:.3}<td>{f1:.3}<td>{}",
            of("support")
        )?;
    }
    html.push_str("</table><p>Rows: what it is. Columns: what it was taken for.</p><div class=scroll><table class=heat><thead><tr><th>");
    for label in &labels {
        write!(html, "<th>{}", escape(label))?;
    }
    html.push_str("</thead>");
    for (row, label) in labels.iter().enumerate() {
        let counts: Vec<f64> = metrics["confusion"][row]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_f64)
            .collect();
        let total = counts.iter().sum::<f64>().max(1.0);
        write!(html, "<tr><th>{}", escape(label))?;
        for (column, count) in counts.iter().enumerate() {
            let hue = if row == column {
                "0,90,180"
            } else {
                "200,60,0"
            };
            let shade = (count / total).sqrt() * 0.8;
            let ink = if shade > 0.5 { "#fff" } else { "#222" };
            let shown = if *count > 0.0 {
                count.to_string()
            } else {
                String::new()
            };
            write!(
                html,
                "<td style='background:rgba({hue},{shade:.2});color:{ink}'>{shown}"
            )?;
        }
    }
    html.push_str("</table></div>");
    Ok(html)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
