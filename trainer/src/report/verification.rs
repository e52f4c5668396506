//! What a bundle's verdicts are worth: right and wrong declarations, calibration, and what is unfamiliar.

use std::fmt::Write;

use anyhow::Result;
use etalase::evaluation::{Declarations, Verification};

use super::numbers::{or_dash, percent};
use super::plots::shares_against_shares;

/// Pixels of the diagram.
const SIZE: (u32, u32) = (400, 360);

/// The part of a run's section.
pub fn section(found: &Verification) -> Result<String> {
    Ok(format!(
        "<h3>Verdicts</h3><p>{} photos, each declared rightly and once wrongly: <b>{}</b> of the right declarations \
         get a match, and <b>{}</b> of matches and mismatches are right.</p><div class=pair>{}{}</div>{}",
        found.photos,
        percent(found.coverage),
        percent(found.verify_precision),
        declarations(found)?,
        signs(found)?,
        reliability(found)?
    ))
}

fn declarations(found: &Verification) -> Result<String> {
    let mut html = String::from(
        "<div class=scroll><table><caption>Verdicts on declarations.</caption><thead><tr><th>declared wrongly as\
         <th>match right<th>mismatch right<th>right ones matched<th>wrong ones found</thead><tbody>",
    );
    let mut row = |name: &str, row: &Declarations| {
        write!(
            html,
            "<tr><th>{name}<td>{}<td>{}<td>{}<td>{}",
            percent(row.match_precision),
            percent(row.mismatch_precision),
            percent(row.coverage),
            percent(row.mismatch_coverage)
        )
    };
    row("what its category is taken for", &found.declarations)?;
    row("its own best wrong category", &found.hardest)?;
    html.push_str("</table></div>");
    Ok(html)
}

/// Figures without a threshold, beside a plain softmax's.
fn signs(found: &Verification) -> Result<String> {
    let mut html = String::from(
        "<div class=scroll><table><caption>How well they are told, without a threshold.</caption><thead><tr><th><th>by \
         the policy<th>by a plain softmax</thead><tbody>",
    );
    let four = |value: f64| format!("{value:.4}");
    let rows = [
        (
            "expected calibration error",
            Some(four(found.ece)),
            Some(four(found.ece_softmax)),
        ),
        (
            "AUROC, right declarations",
            Some(four(found.mismatch_auroc)),
            Some(four(found.mismatch_auroc_softmax)),
        ),
        (
            "AUROC, other things",
            found.unfamiliar_auroc.map(four),
            found.unfamiliar_auroc_softmax.map(four),
        ),
        (
            "other things where 95 % pass",
            found.unfamiliar_fpr95.map(percent),
            found.unfamiliar_fpr95_softmax.map(percent),
        ),
    ];
    for (name, ours, plain) in rows {
        let [ours, plain] = [ours, plain].map(|shown| or_dash(shown, |shown| shown));
        write!(html, "<tr><th>{name}<td>{ours}<td>{plain}")?;
    }
    html.push_str("</table></div>");
    Ok(html)
}

/// The reliability diagram: scores that hold lie on the line.
fn reliability(found: &Verification) -> Result<String> {
    let bins = found.reliability.iter();
    let points: Vec<(f64, f64)> = bins.map(|bin| (bin.score, bin.accuracy)).collect();
    let chart = shares_against_shares(
        "Reliability, by fifteenths of the photos",
        ["mean best score", "photos that it is right on"],
        &points,
        SIZE,
    )?;
    Ok(format!("<div class=pair>{chart}</div>"))
}
