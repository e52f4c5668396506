//! What was compared before training, as tables: one reader for each kind of search.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::files::read_json;
use crate::train::search::{FitResult, SEARCH};

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
const READERS: [Reader; 1] = [photo_fits];

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
