//! Compares what was trained: one HTML page that opens offline, the same figures as JSON, and the summary as CSV.
//!
//! It is made from what the other steps left in a folder: a folder per backbone, or one run alone, and the searches'
//! results. [`gather`] reads and counts, `page` shows: what stands in the page stands in the JSON, thumbnails apart.

mod categories;
mod figures;
mod mistakes;
mod numbers;
mod page;
mod plots;
mod quantization;
mod run;
mod searches;
mod style;
mod summary;
mod verification;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::backbones::Backbone;
use crate::files::{self, write_json};
use crate::train::history::HISTORY;

pub use figures::{Cost, EVALUATION, Figures, Timing};
pub use run::Run;
pub use searches::{Cell, Table};
pub use summary::Row;

/// The page.
pub const REPORT: &str = "report.html";
/// Everything in the page.
pub const REPORT_JSON: &str = "report.json";
/// The summary, a row a backbone.
pub const REPORT_CSV: &str = "report.csv";

/// Everything that is shown.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The summary.
    pub summary: Vec<Row>,
    /// The row of the highest accuracy, of the int8 network where it was measured.
    pub best: Option<String>,
    /// Whether all rows were measured on the same validation photos.
    pub same_validation_photos: bool,
    /// What was compared before training.
    pub searches: Vec<Table>,
    /// Curves, categories and mistakes, a run each, in the order of the summary.
    pub runs: Vec<Run>,
}

/// Writes page, JSON and CSV of a folder into it.
pub fn write(dir: &Path) -> Result<()> {
    let report = gather(dir)?;
    // The page last: where it stands, so do the others.
    write_json(&dir.join(REPORT_JSON), &report)?;
    files::write(&dir.join(REPORT_CSV), &summary::csv(&report.summary)?)?;
    files::write(&dir.join(REPORT), page::html(&report)?.as_bytes())
}

/// Reads the runs of a folder.
pub fn gather(dir: &Path) -> Result<Report> {
    let folders = run_folders(dir);
    ensure!(
        !folders.is_empty(),
        "{} holds no run: neither {HISTORY} nor a backbone's folder with one",
        dir.display()
    );
    let runs = folders
        .iter()
        .map(|folder| Run::read(folder))
        .collect::<Result<Vec<_>>>()?;
    let summary: Vec<Row> = runs.iter().map(Row::of).collect();
    let best = summary
        .iter()
        .filter_map(|row| Some((row, row.int8_accuracy.or(row.float_accuracy)?)))
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
        .map(|(row, _)| row.backbone.clone());
    let photos: BTreeSet<&str> = runs
        .iter()
        .filter_map(|run| run.validation_photos.as_deref())
        .collect();
    Ok(Report {
        best,
        same_validation_photos: photos.len() < 2,
        searches: searches::read(dir)?,
        summary,
        runs,
    })
}

/// The folders that hold a run: the folder itself, or its backbones' in the order of reports.
fn run_folders(dir: &Path) -> Vec<PathBuf> {
    let holds_run = |folder: &PathBuf| folder.join(HISTORY).exists();
    let of_backbones = Backbone::ALL.map(|backbone| dir.join(backbone.name()));
    let found: Vec<PathBuf> = of_backbones.into_iter().filter(holds_run).collect();
    if found.is_empty() {
        return Some(dir.to_owned()).into_iter().filter(holds_run).collect();
    }
    found
}
