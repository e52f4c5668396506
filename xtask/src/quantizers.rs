//! `cargo xtask quantizers -- …`: the trainer's int8 networks beside ONNX Runtime's `quantize_static`, from the same
//! checkpoints and photos (bench/quantizers.py, whose head says what is compared).

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::{release_dir, report, root, setup, trainer};

/// Installs and builds what is missing, then runs the script; its exit status is ours.
pub fn run(arguments: &[String]) -> Result<ExitCode> {
    setup::system_packages()?;
    let (libtorch, python) = (setup::libtorch(setup::python)?, setup::bench_python()?);
    for package in ["etalase-cli", "etalase-trainer"] {
        let build = ["build", "--release", "--locked", "-p", package];
        report::run(&mut trainer::cargo_with(&libtorch, &build))?;
    }
    let release = release_dir()?;
    let mut command = Command::new(python);
    command
        .arg(root().join("bench/quantizers.py"))
        .args(arguments)
        .env("ETALASE_BIN", release.join("etalase"))
        .env("ETALASE_TRAINER", release.join("etalase-trainer"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    libtorch.set_in(&mut command);
    let status = command
        .status()
        .with_context(|| format!("could not start: {}", report::shown(&command)))?;
    Ok(match status.success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
