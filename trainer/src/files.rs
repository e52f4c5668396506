//! The trainer's files: whole or not there, JSON indented, folders made as needed.
//!
//! Reading, and writing beside and renaming, are core's.

use std::path::Path;

use anyhow::{Context, Result};
use etalase::files;
use serde::Serialize;

/// Writes a file as a whole, with the folders that lead to it.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    Ok(files::replace(path, bytes)?)
}

/// Writes a value as indented JSON.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    write(path, &text)
}

/// Reads a value from a JSON file.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = files::read(path)?;
    serde_json::from_slice(&text)
        .with_context(|| format!("{} is not what it should be", path.display()))
}
