//! The trainer's files: whole or not there, JSON indented, folders made as needed.
//!
//! Reading, and writing beside and renaming, are core's.

use std::fs::{File, TryLockError};
use std::path::Path;

use anyhow::{Context, Result, bail};
use etalase::files;
use serde::Serialize;

/// Writes a file as a whole, with the folders that lead to it.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    Ok(files::replace(path, bytes)?)
}

/// Keeps other processes of the trainer from writing to `folder`, which is made as needed, until it is dropped or the
/// process ends in any way.
#[must_use]
pub struct Claim {
    _file: File,
}

/// Takes a folder for one's own; an error where another process has it.
pub fn claim(folder: &Path) -> Result<Claim> {
    make_folder(folder)?;
    let path = folder.join(".lock");
    let file =
        File::create(&path).with_context(|| format!("{} cannot be written", path.display()))?;
    // A file system without locks claims nothing.
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        bail!("another run is writing to {}", folder.display());
    }
    Ok(Claim { _file: file })
}

fn make_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_claimed_once() {
        let folder = std::env::temp_dir().join(format!("etalase-claim-{}", std::process::id()));
        let first = claim(&folder).unwrap();
        let error = claim(&folder).err().unwrap().to_string();
        assert!(error.starts_with("another run is writing to"), "{error}");
        drop(first);
        drop(claim(&folder).unwrap());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
