//! What was compared before training, as tables: one reader for each kind of search.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::files::read_json;
use crate::left_out::{LEAVE_ONE_CLASS_OUT, LeaveOneClassOut, Signs};
use crate::out_of_fold::{CROSS_VALIDATION, CrossValidation};
use crate::train::search::{FitResult, SEARCH};
use crate::train::sweep::{SWEEP, Sweep, Trial};

/// A table of a search, as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Table {
    /// What was searched.
    pub title: String,
    /// How.
    pub note: String,
    /// What the columns hold.
    pub columns: Vec<String>,
    /// The rows, the best first.
    pub rows: Vec<Vec<Cell>>,
}

/// What stands in a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Cell {
    /// Words.
    Text(String),
    /// 0 to 1, shown in per cent.
    Share(f64),
    /// Shown with four digits behind the point.
    Number(f64),
    /// Nothing known.
    Missing,
}

/// Reads the results of one kind of search, where a folder holds them.
type Reader = fn(&Path) -> Result<Option<Table>>;

/// Every kind, in the order of the page.
const READERS: [Reader; 4] = [photo_fits, sweep, out_of_fold, left_out];

/// The tables of all searches that left results in a folder.
pub fn read(dir: &Path) -> Result<Vec<Table>> {
    let mut tables = Vec::new();
    for reader in READERS {
        tables.extend(reader(dir)?);
    }
    Ok(tables)
}

/// How the ways of fitting a photo into the input compare.
fn photo_fits(dir: &Path) -> Result<Option<Table>> {
    let path = dir.join(SEARCH);
    if !path.exists() {
        return Ok(None);
    }
    let results: Vec<FitResult> = read_json(&path)?;
    let row = |result: &FitResult| {
        vec![
            Cell::Text(result.fit.to_string()),
            Cell::Share(result.accuracy),
            Cell::Number(result.loss),
        ]
    };
    let columns = ["fit", "accuracy", "cross-entropy"];
    Ok(Some(Table {
        title: "Photo into input".into(),
        note: "A head fitted on the frozen trunk, by validation photos.".into(),
        columns: columns.map(str::to_owned).into(),
        rows: results.iter().map(row).collect(),
    }))
}

/// How learning rates, validation splits and trained blocks compare.
fn sweep(dir: &Path) -> Result<Option<Table>> {
    let path = dir.join(SWEEP);
    if !path.exists() {
        return Ok(None);
    }
    let sweep: Sweep = read_json(&path)?;
    let mut trials: Vec<&Trial> = sweep.trials.iter().collect();
    trials.sort_by(|a, b| {
        b.accuracy
            .total_cmp(&a.accuracy)
            .then(a.loss.total_cmp(&b.loss))
    });
    let row = |trial: &&Trial| {
        let chosen = sweep.winner == Some(trial.setting);
        vec![
            Cell::Text(format!("{:e}", trial.setting.learning_rate)),
            Cell::Text(format!("{:.2}", trial.setting.validation_split)),
            Cell::Text(trial.setting.trained_blocks.to_string()),
            Cell::Share(trial.accuracy),
            Cell::Number(trial.loss),
            Cell::Text(format!("{} of {}", trial.epoch, sweep.recipe.epochs)),
            Cell::Text(trial.validation_photos.to_string()),
            Cell::Text(if chosen { "chosen" } else { "" }.into()),
        ]
    };
    let columns = [
        "learning rate",
        "validation split",
        "trained blocks",
        "accuracy",
        "cross-entropy",
        "best epoch",
        "photos",
        "",
    ];
    let order = match sweep.grid {
        true => "Every combination was trained.",
        false => {
            "One factor after the other: the best learning rate stays while splits are compared, and so on; \
             the last factor's best is chosen."
        }
    };
    Ok(Some(Table {
        title: "Learning rate, split, blocks".into(),
        note: format!("{order} Each split has its own validation photos."),
        columns: columns.map(str::to_owned).into(),
        rows: trials.iter().map(row).collect(),
    }))
}

/// What a recipe reaches on senders that it was not trained on.
fn out_of_fold(dir: &Path) -> Result<Option<Table>> {
    let path = dir.join(CROSS_VALIDATION);
    if !path.exists() {
        return Ok(None);
    }
    let all: CrossValidation = read_json(&path)?;
    let row = |name: String, photos: u64, accuracy: f64| {
        let photos = Cell::Text(photos.to_string());
        vec![Cell::Text(name), photos, Cell::Share(accuracy)]
    };
    let mut rows = vec![row("all".into(), all.metrics.photos, all.accuracy)];
    let each = all.folds.iter();
    rows.extend(each.map(|fold| row(fold.fold.to_string(), fold.photos as u64, fold.accuracy)));
    Ok(Some(Table {
        title: "Out of fold".into(),
        note: format!(
            "Each fold's senders were left out of training and answered by its last epoch, in float. \
             Standard error over all senders: {:.2} points.",
            100.0 * all.standard_error
        ),
        columns: ["fold", "photos", "accuracy"].map(str::to_owned).into(),
        rows,
    }))
}

/// How unfamiliar each class is to a network that was trained without it.
fn left_out(dir: &Path) -> Result<Option<Table>> {
    let path = dir.join(LEAVE_ONE_CLASS_OUT);
    if !path.exists() {
        return Ok(None);
    }
    let all: LeaveOneClassOut = read_json(&path)?;
    let row = |name: &str, photos: String, signs: &Signs| {
        let aurocs = [
            signs.familiarity,
            signs.softmax,
            signs.largest_logit,
            signs.likeness,
        ];
        let aurocs = aurocs.map(|found| Cell::Number(found.auroc));
        let passing = [signs.familiarity, signs.softmax].map(|found| Cell::Share(found.fpr95));
        let names = [Cell::Text(name.to_owned()), Cell::Text(photos)];
        names.into_iter().chain(aurocs).chain(passing).collect()
    };
    let mut rows = vec![row("mean", String::new(), &all.mean)];
    let each = all.classes.iter();
    rows.extend(each.map(|class| row(&class.class, class.photos.to_string(), &class.signs)));
    let columns = [
        "left out",
        "photos",
        "AUROC by familiarity",
        "plain softmax",
        "largest logit",
        "likeness",
        "passing by familiarity",
        "plain softmax",
    ];
    Ok(Some(Table {
        title: "Leave one class out".into(),
        note: "Trained without a class, in float: how well its photos are told from validation photos of the others, \
               and how many of them pass where 95 % of those do."
            .into(),
        columns: columns.map(str::to_owned).into(),
        rows,
    }))
}
