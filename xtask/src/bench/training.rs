//! `cargo xtask bench --training`: steps of `etalase-trainer` beside PyTorch + timm, on the same backbone, batch, input
//! size, threads, number format and frozen layers.
//!
//! A step is what both sides have to do: photos as bytes to floats, forward with dropout, backward, AdamW. Neither
//! augments. Rounds are interleaved as for inference: a process of `etalase-trainer benchmark` a round, and one of
//! bench/training.py that lives through all of them; warm-up steps count for nothing. That both train the same is held
//! by the number of parameters that learn. Left out: NASNet (timm's is another network and has no mobile size), and
//! what training reaches, which `etalase-trainer fit` and its report tell.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::record::{Table, commit, cpu, percentile};
use super::runtime::{Talk, numbers, output};
use super::{Args, Found};
use crate::setup::Libtorch;
use crate::{report, setup, trainer};

/// As bench/training.py names them.
pub const NETWORKS: [&str; 3] = ["mobilenet_v1", "mobilenet_v2", "densenet121"];
const PRECISIONS: [&str; 2] = ["f32", "bf16"];
const BATCH: &str = "32";
/// A side of the input that all of them take.
const SIZE: &str = "224";
/// Steps a round, which a slow minute of the machine should not outlast.
const STEPS: usize = 3;
/// Rounds where `--rounds` does not say.
pub const ROUNDS: u32 = 4;

/// `frozen_layers`: the first layers, in Keras' order, that do not learn. `ratio`: of photos a second, to PyTorch's.
/// `warm_up`: steps before those that count, in every round of ours, once of PyTorch's. `p10`, `p90`: of steps' rates.
/// `settings`: the memory layout that was faster for PyTorch.
const CSV_COLUMNS: [&str; 16] = [
    "commit",
    "cpu",
    "framework",
    "version",
    "network",
    "precision",
    "frozen_layers",
    "trained_parameters",
    "batch",
    "threads",
    "warm_up",
    "photos_per_second",
    "p10",
    "p90",
    "ratio",
    "settings",
];

pub fn run(args: &Args, networks: &[String]) -> Result<Found> {
    if let Some(other) = networks
        .iter()
        .find(|name| !NETWORKS.contains(&name.as_str()))
    {
        bail!(
            "{other}: timm has no such network; both have {}",
            NETWORKS.join(", ")
        );
    }
    let python = match &args.python {
        Some(python) => python.clone(),
        None => setup::bench_training_python()?,
    };
    setup::system_packages()?;
    let libtorch = setup::libtorch(setup::python)?;
    let command = match &args.trainer {
        Some(command) => command.clone(),
        None => build_trainer(&libtorch)?,
    };
    let ours = Ours { command, libtorch };
    let (commit, cpu) = (commit(), cpu());
    let mut found = Found {
        csv: Table::new(&CSV_COLUMNS),
        shown: Table::new(&[
            "network",
            "framework",
            "precision",
            "frozen",
            "threads",
            "photos/s",
            "p10",
            "p90",
            "ratio",
        ]),
        wrong: Vec::new(),
    };
    for network in networks {
        for frozen in [false, true] {
            for precision in PRECISIONS {
                let case = Case {
                    network,
                    precision,
                    frozen,
                    threads: args.threads,
                };
                let sides = case.measure(&ours, &python, args.rounds.unwrap_or(ROUNDS))?;
                let theirs = sides[1].rate(0.5);
                let threads = args.threads.to_string();
                for side in &sides {
                    let [median, p10, p90] =
                        [0.5, 0.1, 0.9].map(|at| format!("{:.2}", side.rate(at)));
                    let ratio = format!("{:.3}", side.rate(0.5) / theirs);
                    let frozen = sides[0].frozen_layers.to_string();
                    found.shown.add([
                        network, side.name, precision, &frozen, &threads, &median, &p10, &p90,
                        &ratio,
                    ]);
                    found.csv.add([
                        &commit,
                        &cpu,
                        side.name,
                        &side.version,
                        network,
                        precision,
                        &frozen,
                        &side.trained_parameters.to_string(),
                        BATCH,
                        &threads,
                        "2",
                        &median,
                        &p10,
                        &p90,
                        &ratio,
                        &side.settings,
                    ]);
                }
            }
        }
        eprintln!("{network}: done");
    }
    Ok(found)
}

/// What is compared at once.
struct Case<'a> {
    network: &'a str,
    precision: &'a str,
    /// The layers that are frozen by default, or none.
    frozen: bool,
    threads: u16,
}

/// What one framework took.
#[derive(Default)]
struct Side {
    name: &'static str,
    version: String,
    settings: String,
    trained_parameters: u64,
    frozen_layers: u64,
    /// Sorted.
    step_seconds: Vec<f64>,
}

impl Side {
    /// Photos a second below which this share of the steps is.
    fn rate(&self, fraction: f64) -> f64 {
        let batch: f64 = BATCH.parse().unwrap_or(f64::NAN);
        batch / percentile(&self.step_seconds, 1.0 - fraction)
    }
}

impl Case<'_> {
    /// Ours, then PyTorch's.
    fn measure(&self, ours: &Ours, python: &Path, rounds: u32) -> Result<[Side; 2]> {
        let mut command = Command::new(python);
        command
            .arg(crate::root().join("bench/training.py"))
            .arg(self.network)
            .args(["--precision", self.precision, "--batch", BATCH])
            .args(["--size", SIZE, "--threads", &self.threads.to_string()])
            // torch brings its own libraries; a libtorch of ours must not get between.
            .env_remove("LD_LIBRARY_PATH");
        if self.frozen {
            command.arg("--freeze");
        }
        let mut pytorch = Talk::start("bench/training.py", &mut command)?;
        let hello = pytorch.answer()?;
        let text = |key: &str| {
            let text = hello[key].as_str();
            text.map(String::from).with_context(|| format!("no {key}"))
        };
        let mut theirs = Side {
            name: "pytorch",
            version: text("version")?,
            settings: text("settings")?,
            trained_parameters: whole(&hello, "trained_parameters")?,
            ..Side::default()
        };
        let mut etalase = Side {
            name: "etalase",
            version: env!("CARGO_PKG_VERSION").into(),
            ..Side::default()
        };
        for _ in 0..rounds {
            let figures = ours.steps(self)?;
            etalase
                .step_seconds
                .extend(numbers(&figures, "step_seconds")?);
            etalase.trained_parameters = whole(&figures, "trained_parameters")?;
            etalase.frozen_layers = whole(&figures, "freeze_layers")?;
            let answer = pytorch.ask(&format!("run {STEPS}"))?;
            theirs
                .step_seconds
                .extend(numbers(&answer, "step_seconds")?);
        }
        if etalase.trained_parameters != theirs.trained_parameters {
            bail!(
                "{}: {} parameters learn here, {} in timm's",
                self.network,
                etalase.trained_parameters,
                theirs.trained_parameters
            );
        }
        let mut sides = [etalase, theirs];
        for side in &mut sides {
            side.step_seconds.sort_by(f64::total_cmp);
        }
        Ok(sides)
    }
}

/// The trainer's command and what it needs to run.
struct Ours {
    command: PathBuf,
    libtorch: Libtorch,
}

impl Ours {
    /// What `etalase-trainer benchmark --json` prints of a few steps.
    fn steps(&self, case: &Case) -> Result<Value> {
        let mut command = Command::new(&self.command);
        command
            .args(["benchmark", "--json", "--measure", "step"])
            .args(["--backbone", case.network, "--precision", case.precision])
            .args(["--batch", BATCH, "--size", SIZE])
            .args(["--threads", &case.threads.to_string()])
            .args(["--steps", &STEPS.to_string()]);
        if !case.frozen {
            command.args(["--freeze-layers", "0"]);
        }
        self.libtorch.set_in(&mut command);
        let text = output(&mut command)?;
        serde_json::from_str(&text)
            .with_context(|| format!("{}: no JSON: {text:?}", report::shown(&command)))
    }
}

pub fn build_trainer(libtorch: &Libtorch) -> Result<PathBuf> {
    let build = ["build", "--release", "--locked", "-p", "etalase-trainer"];
    report::run(&mut trainer::cargo_with(libtorch, &build))?;
    Ok(crate::release_dir()?.join("etalase-trainer"))
}

fn whole(value: &Value, key: &str) -> Result<u64> {
    value[key].as_u64().with_context(|| format!("no {key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_step_is_a_low_rate() {
        let side = Side {
            step_seconds: vec![1.0, 2.0, 4.0],
            ..Side::default()
        };
        assert_eq!([0.0, 0.5, 1.0].map(|at| side.rate(at)), [8.0, 16.0, 32.0]);
    }
}
