//! What quantization cost a network, and where.

use std::fmt::Write;

use anyhow::Result;

use super::numbers::{escape, percent};
use super::plots::{COLOURS, GREY, Line, Unit, figure, legend};
use crate::quantize::{Comparison, LayerNoise, Report};

/// Chart of all layers, pixels.
const WIDE: (u32, u32) = (780, 220);
/// Layers that are listed.
const WORST: usize = 8;

/// The part of a run's section.
pub fn section(report: &Report) -> Result<String> {
    let mut html = String::from("<h3>Quantization</h3>");
    if let Some(found) = &report.validation {
        write!(
            html,
            "<p>int8 and float name the same category on <b>{}</b> of {} photos · logits {:.1}\u{a0}dB over the \
             error · calibrated on {} photos</p>",
            percent(found.agreement),
            found.photos,
            found.signal_to_noise_db,
            report.calibration_photos
        )?;
    }
    for outlier in &report.set_aside {
        write!(
            html,
            "<p>Set aside for calibration: {}: {} is {:.0} times what other photos make it</p>",
            escape(&outlier.photo),
            escape(&outlier.layer),
            outlier.times
        )?;
    }
    if !report.in_float.is_empty() {
        write!(
            html,
            "<p>Left in float: {}</p>",
            escape(report.in_float.join(", "))
        )?;
    }
    let disagreement = match &report.validation {
        Some(found) if !found.categories.is_empty() => categories(found)?,
        _ => String::new(),
    };
    write!(
        html,
        "<div class=pair>{}{disagreement}</div>",
        steps(report)?
    )?;
    write!(
        html,
        "<details><summary>layer by layer</summary>{}{}</details>",
        curve(&report.layers)?,
        worst(&report.layers)?
    )?;
    Ok(html)
}

/// What each step came to.
fn steps(report: &Report) -> Result<String> {
    let mut html = String::from(
        "<div class=scroll><table><caption>Signal to noise of calibration photos' logits, step by step.</caption>\
         <thead><tr><th>step<th>dB<th>remarks</thead><tbody>",
    );
    for gain in &report.steps {
        write!(
            html,
            "<tr><th>{}<td>{:.1}<td>{}",
            escape(&gain.step),
            gain.signal_to_noise_db,
            gain.remarks().join(", ")
        )?;
    }
    html.push_str("</table></div>");
    Ok(html)
}

/// Where the two networks disagree.
fn categories(found: &Comparison) -> Result<String> {
    let mut html = String::from(
        "<div class=scroll><table><caption>Validation photos that int8 and float name differently.</caption>\
         <thead><tr><th>category<th>photos<th>differ<th>only float right<th>only int8 right</thead><tbody>",
    );
    for row in &found.categories {
        write!(
            html,
            "<tr><th>{}<td>{}<td>{}<td>{}<td>{}",
            escape(&row.category),
            row.photos,
            row.differ,
            row.lost,
            row.won
        )?;
    }
    html.push_str("</table></div>");
    Ok(html)
}

/// Noise along the network, of values that are stored and of weights.
fn curve(layers: &[LayerNoise]) -> Result<String> {
    let stored = || {
        layers
            .iter()
            .filter_map(|layer| Some((layer.rounding_db?, layer.cumulative_db?)))
    };
    let lines = [
        Line {
            name: "by storing it alone",
            colour: GREY,
            values: stored().map(|(alone, _)| alone).collect(),
        },
        Line {
            name: "by all up to it",
            colour: COLOURS[0],
            values: stored().map(|(_, all)| all).collect(),
        },
    ];
    let weights = [Line {
        name: "weights",
        colour: COLOURS[1],
        values: layers.iter().filter_map(|layer| layer.weights_db).collect(),
    }];
    let drawn = |title, lines: &[Line]| figure(title, "layer", Unit::Decibels, WIDE, lines);
    Ok(format!(
        "{}{}{}",
        drawn("signal to noise of stored values, dB", &lines)?,
        legend(&lines)?,
        drawn("signal to noise of weights, dB", &weights)?
    ))
}

/// The layers whose storing changes the logits most.
fn worst(layers: &[LayerNoise]) -> Result<String> {
    let error = |layer: &LayerNoise| layer.logit_error.unwrap_or(0.0);
    let total: f64 = layers.iter().map(error).sum();
    let mut sorted: Vec<&LayerNoise> = layers.iter().filter(|l| error(l) > 0.0).collect();
    sorted.sort_by(|a, b| error(b).total_cmp(&error(a)));
    let mut html = String::from(
        "<div class=scroll><table><caption>The values whose storing changes the logits most, in first order, by ranges before headroom.</caption>\
         <thead><tr><th>layer<th>share of the change<th>range by<th>clipped<th>alone, dB<th>up to it, dB\
         </thead><tbody>",
    );
    let decibels =
        |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.1}"));
    for layer in sorted.iter().take(WORST) {
        write!(
            html,
            "<tr><th>{}<td>{}<td>{}<td>{:.3}\u{a0}%<td>{}<td>{}",
            escape(&layer.layer),
            percent(error(layer) / total),
            escape(layer.range.as_deref().unwrap_or("–")),
            100.0 * layer.clipped,
            decibels(layer.rounding_db),
            decibels(layer.cumulative_db)
        )?;
    }
    html.push_str("</table></div>");
    Ok(html)
}
