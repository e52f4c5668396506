//! `cargo xtask photos -- …`: photos of 12 megapixels, from the file to the label, beside Pillow and ONNX
//! Runtime (bench/photos.py, whose head says what is compared).

use std::process::Command;

use anyhow::Result;

use crate::{cargo, release_dir, report, root, setup};

/// Installs and builds what is missing, then runs the script.
pub fn run(arguments: &[String]) -> Result<()> {
    setup::system_packages()?;
    let python = setup::python()?;
    report::run(cargo().args([
        "build",
        "--release",
        "--locked",
        "-p",
        "etalase-tests",
        "--bins",
    ]))?;
    report::run(
        Command::new(python)
            .arg(root().join("bench/photos.py"))
            .args(arguments)
            .env("ETALASE_TIME_PHOTO", release_dir()?.join("time_photo"))
            .env("PYTHONDONTWRITEBYTECODE", "1"),
    )
}
