//! The page: one HTML file with everything in it.

use std::fmt::Write;

use anyhow::Result;

use super::mistakes::{self, Thumbnails};
use super::numbers::{bytes, escape, percent};
use super::plots::{COLOURS, GREY, Line, Unit, figure, legend};
use super::run::{Quality, Run};
use super::searches::{Cell, Table};
use super::style::CSS;
use super::{Report, categories, quantization, summary, verification};
use crate::pretrained::FROM_SCRATCH;
use crate::train::history::Epoch;

/// Charts of all runs, pixels.
const LARGE: (u32, u32) = (430, 260);
/// Charts of one run, pixels.
const SMALL: (u32, u32) = (380, 200);

/// The whole page.
pub fn html(report: &Report) -> Result<String> {
    let mut html = format!(
        "<!doctype html><html lang=en><head><meta charset=utf-8>\
         <meta name=viewport content='width=device-width,initial-scale=1'>\
         <title>Etalase training report</title><style>{CSS}</style></head><body><main>\
         <h1>Etalase training report</h1>{}<section><h2>Summary</h2>{}{}</section>",
        introduction(report),
        summary::table(&report.summary)?,
        notes(report)?
    );
    if report.runs.len() > 1 {
        html.push_str(&comparison(&report.runs)?);
    }
    if !report.searches.is_empty() {
        html.push_str("<section><h2>Searches</h2>");
        for table in &report.searches {
            html.push_str(&search(table)?);
        }
        html.push_str("</section>");
    }
    let mut thumbnails = Thumbnails::default();
    for run in &report.runs {
        html.push_str(&section(run, &mut thumbnails)?);
    }
    html.push_str("</main></body></html>\n");
    Ok(html)
}

fn introduction(report: &Report) -> String {
    let mut parts = Vec::new();
    if let Some(Quality { metrics, .. }) = report.runs.iter().find_map(Run::shown) {
        parts.push(format!("{} validation photos", metrics.photos));
        parts.push(format!("{} categories", metrics.labels.len()));
    }
    let row = |name: &String| report.summary.iter().find(|row| row.backbone == *name);
    if let Some(row) = report.best.as_ref().and_then(row) {
        let int8 = row.int8_accuracy.map(|accuracy| (accuracy, "int8"));
        let float = row.float_accuracy.map(|accuracy| (accuracy, "float"));
        if let Some((accuracy, kind)) = int8.or(float) {
            let (name, accuracy) = (escape(&row.backbone), percent(accuracy));
            parts.push(format!("best: {name}, {accuracy} in {kind}"));
        }
    }
    format!("<p class=soft>{}</p>", parts.join(" · "))
}

/// What the numbers of the summary are.
fn notes(report: &Report) -> Result<String> {
    let mut html = String::from(
        "<p class=soft>Accuracy is the share of validation photos classified rightly, by which the epoch was chosen too: \
         expect a little less elsewhere. F1: of the int8 network, mean over categories. Training time and photos a \
         second: without validation.",
    );
    let timed = report.runs.iter().find_map(|run| run.cost.as_ref());
    if let Some(timing) = timed.map(|cost| &cost.timing) {
        let threads = match timing.threads {
            1 => "one thread".to_owned(),
            n => format!("{n} threads"),
        };
        write!(
            html,
            " One photo: the int8 network in core, {threads}, {}, decoding excluded, median.",
            escape(&timing.isa)
        )?;
    }
    let from_scratch = |run: &Run| run.weights.as_deref() == Some(FROM_SCRATCH);
    if report.runs.iter().any(from_scratch) {
        html.push_str(
            " What was trained from scratch began without ImageNet weights: it is not to be compared with what had them.",
        );
    }
    html.push_str("</p>");
    if !report.same_validation_photos {
        html.push_str(
            "<p><b>Not all rows were measured on the same photos: they do not compare.</b></p>",
        );
    }
    Ok(html)
}

fn values(run: &Run, of: fn(&Epoch) -> f64) -> Vec<f64> {
    run.history.epochs.iter().map(of).collect()
}

/// All runs in one chart each.
fn comparison(runs: &[Run]) -> Result<String> {
    let lines = |of: fn(&Epoch) -> f64| -> Vec<Line> {
        let mut lines = Vec::new();
        for (run, colour) in runs.iter().zip(COLOURS.into_iter().cycle()) {
            lines.push(Line {
                name: &run.backbone,
                colour,
                values: values(run, of),
            });
        }
        lines
    };
    let accuracy = lines(|e| e.validation_accuracy);
    let loss = lines(|e| e.validation_loss);
    Ok(format!(
        "<section><h2>Validation</h2><div class=charts>{}{}</div>{}</section>",
        figure("accuracy", "epoch", Unit::Share, LARGE, &accuracy)?,
        figure("loss", "epoch", Unit::Plain, LARGE, &loss)?,
        legend(&accuracy)?
    ))
}

/// A search's table.
fn search(table: &Table) -> Result<String> {
    let mut html = format!(
        "<h3>{}</h3><p class=soft>{}</p><div class=scroll><table><thead><tr>",
        escape(&table.title),
        escape(&table.note)
    );
    for column in &table.columns {
        write!(html, "<th>{}", escape(column))?;
    }
    html.push_str("</thead><tbody>");
    for row in &table.rows {
        html.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            let tag = if column == 0 { "th" } else { "td" };
            let shown = match cell {
                Cell::Text(text) => escape(text),
                Cell::Share(share) => percent(*share),
                Cell::Number(number) => format!("{number:.4}"),
                Cell::Missing => "–".into(),
            };
            write!(html, "<{tag}>{shown}")?;
        }
    }
    html.push_str("</table></div>");
    Ok(html)
}

/// One run.
fn section(run: &Run, thumbnails: &mut Thumbnails) -> Result<String> {
    let name = escape(&run.backbone);
    let mut html = format!(
        "<section id='{name}'><h2>{name}</h2><p class=soft>{}</p>",
        facts(run).join(" · ")
    );
    if !run.history.epochs.is_empty() {
        html.push_str(&curves(run)?);
    }
    if let Some(int8) = &run.int8 {
        write!(html, "<h3>int8, in core</h3>{}", figures(int8)?)?;
    }
    if let Some(float) = &run.float {
        let title = "float, in the trainer";
        let figures = figures(float)?;
        if run.int8.is_some() {
            write!(
                html,
                "<details><summary>{title}: {}</summary>{figures}</details>",
                percent(float.metrics.accuracy)
            )?;
        } else {
            write!(html, "<h3>{title}</h3>{figures}")?;
        }
    }
    if let Some(report) = &run.quantization {
        html.push_str(&quantization::section(report)?);
    }
    if let Some(found) = &run.verification {
        html.push_str(&verification::section(found)?);
    }
    if !run.mistakes.is_empty() {
        write!(
            html,
            "<h3>Worst mistakes</h3><p class=soft>What it is, in bold, and what the int8 network took it for; \
             the most confident first.</p>{}",
            mistakes::grid(&run.mistakes, thumbnails)?
        )?;
    }
    html.push_str("</section>");
    Ok(html)
}

/// How it was trained, in a line.
fn facts(run: &Run) -> Vec<String> {
    let mut facts = Vec::new();
    if let Some(weights) = &run.weights {
        facts.push(match weights.as_str() {
            FROM_SCRATCH => escape(weights),
            file => format!("from {}", escape(file)),
        });
    }
    facts.extend(run.input_px.map(|px| format!("{px}\u{a0}px")));
    facts.extend(run.fit.as_ref().map(escape));
    if let Some(accuracy) = run.history.probe_validation_accuracy {
        let accuracy = percent(accuracy);
        facts.push(format!("head alone on the frozen trunk {accuracy}"));
    }
    if let Some(epoch) = run.kept_epoch {
        let epochs = run.history.epochs.len();
        facts.push(format!("epoch {epoch} of {epochs} kept"));
    }
    if let (false, Some(planned)) = (run.history.finished, run.planned_epochs) {
        facts.push(format!("not finished: {planned} epochs were planned"));
    }
    if let Some(cost) = &run.cost {
        facts.push(format!("bundle {}", bytes(cost.bundle_bytes)));
    }
    facts
}

/// Training and validation in one chart each.
fn curves(run: &Run) -> Result<String> {
    let lines = |train: fn(&Epoch) -> f64, validation: fn(&Epoch) -> f64| {
        [
            Line {
                name: "training, augmented",
                colour: GREY,
                values: values(run, train),
            },
            Line {
                name: "validation",
                colour: COLOURS[0],
                values: values(run, validation),
            },
        ]
    };
    let accuracy = lines(|e| e.train_accuracy, |e| e.validation_accuracy);
    let loss = lines(|e| e.train_loss, |e| e.validation_loss);
    Ok(format!(
        "<div class='charts small'>{}{}</div>{}",
        figure("accuracy", "epoch", Unit::Share, SMALL, &accuracy)?,
        figure("loss", "epoch", Unit::Plain, SMALL, &loss)?,
        legend(&accuracy)?
    ))
}

/// A network's figures: a line, then tables.
fn figures(quality: &Quality) -> Result<String> {
    let metrics = &quality.metrics;
    Ok(format!(
        "<p>{} photos · accuracy <b>{}</b> · top-3 {} · expected calibration error {:.3}</p>{}",
        metrics.photos,
        percent(metrics.accuracy),
        percent(metrics.top3_accuracy),
        metrics.ece,
        categories::tables(quality)?
    ))
}
