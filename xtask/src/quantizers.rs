//! `cargo xtask quantizers -- …`: the trainer's int8 networks beside ONNX Runtime's `quantize_static`, from the same
//! checkpoints and photos (bench/quantizers.py, whose head says what is compared).

use std::process::Command;

use anyhow::Result;

use crate::bench::{build_etalase, build_trainer};
use crate::{report, root, setup};

/// Installs and builds what is missing, then runs the script.
pub fn run(arguments: &[String]) -> Result<()> {
    setup::system_packages()?;
    let (libtorch, python) = (setup::libtorch(setup::python)?, setup::bench_python()?);
    let mut command = Command::new(python);
    command
        .arg(root().join("bench/quantizers.py"))
        .args(arguments)
        .env("ETALASE_BIN", build_etalase()?)
        .env("ETALASE_TRAINER", build_trainer(&libtorch)?)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    libtorch.set_in(&mut command);
    report::run(&mut command)
}
