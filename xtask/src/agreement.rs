//! The engine's answers beside ONNX Runtime's, on networks that ONNX Runtime quantized: builds the
//! models that are missing (bench/models.py) and compares (bench/agreement.py).

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::{release_dir, report, root, setup};

/// Runs both; needs the photos and weights folder and a built `etalase`.
pub fn run(data: &Path) -> Result<()> {
    let python = setup::bench_python()?;
    let models = setup::cache()?.join("bench-models");
    let script = |name: &str| {
        let mut command = Command::new(&python);
        command.arg(root().join("bench").join(name));
        command
            .env("ETALASE_DATA", data)
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
    };
    let mut build = script("models.py");
    build.arg("--out").arg(&models);
    report::run(build.args(["--steps", "onnx,u8,s8"]))?;
    let mut compare = script("agreement.py");
    compare.env("ETALASE_BIN", release_dir()?.join("etalase"));
    report::run(compare.arg(&models))
}
