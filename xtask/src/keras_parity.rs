//! What the trainer's backbones are held against: weights, inputs and features that Keras itself wrote
//! (tests/reference/write_keras_parity.py), made once and kept, in a folder named after the script.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{report, root, setup};

const SCRIPT: &str = "tests/reference/write_keras_parity.py";

/// The folder, written if it is missing.
pub fn folder() -> Result<PathBuf> {
    let script = root().join(SCRIPT);
    let text = std::fs::read_to_string(&script)
        .with_context(|| format!("{}: cannot read", script.display()))?;
    let name = format!("keras-parity-{:016x}", setup::fingerprint(&text));
    let folder = setup::cache()?.join(&name);
    if folder.is_dir() {
        println!("there: {}", folder.display());
        return Ok(folder);
    }
    // Written beside and renamed: what was cut short is never taken for whole.
    let part = setup::cache()?.join(format!("{name}.part-{}", std::process::id()));
    let mut write = Command::new(setup::bench_python()?);
    write
        .arg(&script)
        .arg("--out")
        .arg(&part)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    report::run(&mut write)?;
    std::fs::rename(&part, &folder)
        .with_context(|| format!("{}: cannot rename", part.display()))?;
    Ok(folder)
}
