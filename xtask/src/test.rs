//! `cargo xtask test`: everything that CI runs, in the release profile, so that dependencies
//! compile once and tests see the code that ships.
//!
//! Tests that need photos or weights are targets of their own, behind the feature `data` of
//! etalase-tests and etalase-trainer (and the marker `data` in Python): without the folder they
//! are listed as not run, with `--require-data` its absence is a failure. A step that fails does
//! not keep the later ones from running.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::report::{self, Report};
use crate::setup::{self, Libtorch};
use crate::{agreement, arm64, cargo, data, keras_parity, release, release_dir, root, sdk};

const FORMAT: &str = "Format (cargo fmt)";
const BUILD: &str = "The command compiles without libtorch";
const PLAN_ONLY: &str = "Library without ONNX (plans only)";
const FUZZ: &str = "Fuzz targets compile";
const LINT: &str = "Lints (cargo clippy)";
const RUST: &str = "Rust tests: core, cli, xtask, tests, trainer";
const SBOM: &str = "Bill of materials by CycloneDX's schema";
const ARM64: &str = "arm64 kernels under qemu";
const PARITY: &str = "Keras' own passes of the five backbones";
const TRAINER: &str = "Rust tests: trainer";
const MODELS: &str = "Reference models (exported by the trainer)";
const PYTHON: &str = "Python reference tests";
const AGREEMENT: &str = "Backbones quantized by ONNX Runtime answer as in ONNX Runtime";
const WITH_DATA: &str = "Tests with photos and weights (feature data, marker data)";

/// Runs it all; `require_data`: no photos is a failure.
pub fn run(require_data: bool) -> Result<ExitCode> {
    let mut report = Report::default();
    let data = report.step("Photos and weights folder", || {
        let data = data::find()?;
        match &data {
            Some(folder) => println!("{}", folder.display()),
            None if require_data => bail!(
                "not found, and --require-data was given\n{}",
                data::HOW_TO_GET
            ),
            None => println!("not found; tests that need it will be listed as not run"),
        }
        Ok(data)
    });
    // A folder that is wanted but not whole: an hour of other tests would only hide that.
    let Some(data) = data else {
        return Ok(report.finish(true));
    };
    let data = data.as_deref();

    report.step("System packages", setup::system_packages);
    let python = report.step("Python packages", setup::python);
    let libtorch = report.step("libtorch", || setup::libtorch(|| setup::made(&python)));

    if component_missing("fmt") {
        report.not_run(
            FORMAT,
            "rustfmt is not installed: rustup component add rustfmt",
        );
    } else {
        report.step(FORMAT, || {
            report::run(cargo().args(["fmt", "--all", "--check"]))
        });
    }
    report.step(BUILD, || {
        let mut build = cargo();
        for name in [
            "LIBTORCH",
            "LIBTORCH_USE_PYTORCH",
            "LD_LIBRARY_PATH",
            "HDF5_DIR",
        ] {
            build.env_remove(name);
        }
        // Checked only: the tests build and link it, among all crates, which is another build of everything.
        report::run(build.args(["check", "--release", "--locked"]))
    });
    report.step(PLAN_ONLY, || {
        let mut check = cargo();
        check.args(["check", "--release", "--locked", "-p", "etalase"]);
        check.env("RUSTFLAGS", "-D warnings");
        // Other flags, other artefacts: in a folder of their own, they leave the rest alone.
        check.env("CARGO_TARGET_DIR", root().join("target").join("plan-only"));
        report::run(check.arg("--no-default-features"))
    });
    report.step(FUZZ, || {
        let mut check = cargo();
        check.args(["check", "--release", "--locked"]);
        check.args(["--manifest-path", "fuzz/Cargo.toml"]);
        check.env("RUSTFLAGS", "-D warnings");
        check.env("CARGO_TARGET_DIR", root().join("target").join("fuzz"));
        report::run(&mut check)
    });
    if component_missing("clippy") {
        report.not_run(LINT, "clippy is not installed: rustup component add clippy");
    } else {
        report.step(LINT, || {
            let mut lint = cargo();
            // --release shares the build scripts with what is tested.
            lint.args([
                "clippy",
                "--release",
                "--workspace",
                "--all-targets",
                "--all-features",
            ]);
            with_or_without_trainer(&mut lint, libtorch.as_ref());
            report::run(lint.args(["--", "-D", "warnings"]))
        });
    }

    // Where it fails, the trainer's tests say so again.
    let parity = data.and_then(|_| report.step(PARITY, keras_parity::folder));
    report.tests(RUST, |tests| {
        let mut command = cargo();
        // One build for all: another selection of crates would compile tract and whatever else it shares again.
        command.args(["test", "--release", "--workspace", "--no-fail-fast"]);
        with_or_without_trainer(&mut command, libtorch.as_ref());
        with_data(&mut command, data, libtorch.as_ref());
        // No level that this CPU has goes untested.
        command.env("ETALASE_REQUIRE_ISAS", crate::isa::levels().join(","));
        if let Some(folder) = &parity {
            command.env("ETALASE_KERAS_PARITY", folder);
        }
        report::run_tests(&mut command, tests)
    });
    if libtorch.is_none() {
        report.not_run(TRAINER, "libtorch could not be set up, see above");
    }
    sdk::test(&mut report, &[]);
    report.step(SBOM, release::validate_sbom);
    match arm64::not_here() {
        Some(why) if cfg!(target_arch = "aarch64") => report.not_run(ARM64, &why),
        // In CI, what is missing is a failure.
        Some(why) if !require_data && std::env::var_os("CI").is_none() => {
            report.not_run(ARM64, &why);
        }
        _ => report.tests(ARM64, arm64::test_kernels),
    }
    let models = release_dir()?.join("reference-models");
    if let (Some(libtorch), Some(data)) = (&libtorch, data) {
        report.step(MODELS, || export_reference_models(libtorch, data, &models));
    } else if data.is_some() {
        report.not_run(MODELS, "libtorch could not be set up, see above");
    }
    match &python {
        None => report.not_run(
            PYTHON,
            "the Python packages could not be installed, see above",
        ),
        Some(python) => report.tests(PYTHON, |tests| {
            let release = release_dir()?;
            let mut pytest = Command::new(python);
            pytest.args([
                "-m",
                "pytest",
                "-p",
                "no:cacheprovider",
                "-ra",
                "--durations=5",
                "tests/reference",
            ]);
            pytest
                .current_dir(root())
                .env("PYTHONDONTWRITEBYTECODE", "1");
            pytest
                .env("ETALASE_BIN", release.join("etalase"))
                .env("ETALASE_FIT_PHOTO", release.join("fit_photo"));
            match data {
                Some(data) => pytest
                    .env("ETALASE_DATA", data)
                    .env("ETALASE_MODELS", &models),
                None => pytest.env_remove("ETALASE_DATA").args(["-m", "not data"]),
            };
            report::run_tests(&mut pytest, tests)
        }),
    }
    if let Some(data) = data {
        report.step(AGREEMENT, || agreement::run(data));
    }
    if data.is_none() {
        report.not_run(
            WITH_DATA,
            &format!("no photos and weights folder here.\n{}", data::HOW_TO_GET),
        );
    }
    Ok(report.finish(true))
}

fn component_missing(subcommand: &str) -> bool {
    !cargo()
        .args([subcommand, "--version"])
        .output()
        .is_ok_and(|output| output.status.success())
}

fn with_or_without_trainer(command: &mut Command, libtorch: Option<&Libtorch>) {
    match libtorch {
        Some(libtorch) => libtorch.set_in(command),
        None => {
            command.args(["--exclude", "etalase-trainer"]);
        }
    }
}

fn with_data(command: &mut Command, data: Option<&Path>, libtorch: Option<&Libtorch>) {
    let Some(folder) = data else {
        command.env_remove("ETALASE_DATA");
        return;
    };
    let features = match libtorch {
        Some(_) => "etalase-tests/data,etalase-trainer/data",
        None => "etalase-tests/data",
    };
    command.args(["--features", features]);
    command.env("ETALASE_DATA", folder);
}

/// A classifier fitted here on the training photos (the head alone, one pass), float and int8: the
/// trainer's own chain on real photos, and a network that tells photos apart, for runtimes to agree on.
fn export_reference_models(libtorch: &Libtorch, data: &Path, out: &Path) -> Result<()> {
    std::fs::create_dir_all(out).with_context(|| format!("{}: cannot create", out.display()))?;
    let photos = data.join("data/clothing");
    let train = photos.join("train");
    // The program that the trainer's tests have just built: `cargo run` would build its dependencies
    // again, without what dev-dependencies switch on in them.
    let program = release_dir()?.join("etalase-trainer");
    let trainer = |subcommand: &str| {
        let mut command = Command::new(&program);
        libtorch.set_in(&mut command);
        command.current_dir(root()).arg(subcommand);
        command
    };
    let weights = data.join("weights/mobilenet_1_0_224_tf_no_top.h5");
    let mut fit = trainer("fit");
    fit.arg("--train").arg(&train);
    fit.arg("--validation").arg(photos.join("validation"));
    fit.arg("--weights").arg(weights).arg("--out").arg(out);
    // 87 layers: all of MobileNetV1's.
    report::run(fit.args([
        "--fit",
        "letterbox",
        "--epochs",
        "1",
        "--freeze-layers",
        "87",
        "--restart",
    ]))?;
    let from = |subcommand: &str, file: &str| {
        let mut command = trainer(subcommand);
        command
            .arg("--checkpoint")
            .arg(out.join("checkpoint.safetensors"));
        command.arg("--out").arg(out.join(file));
        command
    };
    report::run(&mut from("export", "mobilenet_v1_float.onnx"))?;
    let mut quantize = from("quantize", "mobilenet_v1_int8.onnx");
    report::run(
        quantize
            .arg("--calibration")
            .arg(train)
            .args(["--photos", "128"]),
    )
}
