//! `cargo xtask bench`: `etalase bench` beside other runtimes, on the same models, input and threads.
//!
//! Runs are interleaved: each round gives every runtime a short batch in turn, so that a slow
//! minute of the machine falls on all. The first run of a batch warms up and counts for nothing.
//! Every batch's top-1 is compared with what ONNX Runtime answers without its optimizer (with it, it
//! saturates on CPUs without VNNI): etalase differing is a failure, a peer differing is shown.
//! Left out: accuracy (`etalase eval`), pre-processing, and times on arm64, where `--arm64` counts
//! executed instructions under qemu instead.

mod arm64;
mod record;
mod runtime;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::{data, report, setup};
use record::{Table, commit, cpu, percentile};
use runtime::{Etalase, Peer, Runtime};

/// As bench/models.py names them; it leaves the last out unless asked.
const NETWORKS: [&str; 5] = [
    "mobilenet_v1",
    "mobilenet_v2",
    "nasnet_mobile",
    "densenet121",
    "nasnet_large",
];
/// As bench/peers.py names them.
const PEERS: [&str; 3] = ["onnxruntime", "openvino", "litert"];
const ENGINES: [&str; 2] = ["integer", "tract"];
/// What one batch should take: long enough to settle, short beside the machine's moods.
const BATCH_MS: f64 = 100.0;

#[derive(clap::Args)]
pub struct Args {
    /// Networks to run
    #[arg(long, value_delimiter = ',', value_parser = NETWORKS, default_values_t = NETWORKS[..4].iter().map(ToString::to_string))]
    networks: Vec<String>,
    /// Other runtimes to run beside; `none` for none
    #[arg(long, value_delimiter = ',', value_parser = [PEERS[0], PEERS[1], PEERS[2], "none"], default_values_t = PEERS.map(String::from))]
    peers: Vec<String>,
    /// Engines of etalase to run
    #[arg(long, value_delimiter = ',', value_parser = ENGINES, default_values_t = [ENGINES[0].to_string()])]
    engines: Vec<String>,
    /// Threads of every runtime
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Batches of every runtime
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Write the numbers to this file too
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Count instructions under qemu at three arm64 CPUs instead of timing
    #[arg(long, conflicts_with_all = ["threads", "rounds", "etalase"])]
    arm64: bool,
    /// Folder of models, made by bench/models.py where they are missing [default: bench-models in the cache]
    #[arg(long, value_name = "FOLDER")]
    models: Option<PathBuf>,
    /// Python with bench/requirements.txt installed, instead of the one that is made in the cache
    #[arg(long, value_name = "PYTHON")]
    python: Option<PathBuf>,
    /// `etalase` command to time, instead of building it
    #[arg(long, value_name = "COMMAND")]
    etalase: Option<PathBuf>,
}

impl Args {
    fn peers(&self) -> impl Iterator<Item = &str> {
        self.peers
            .iter()
            .map(String::as_str)
            .filter(|peer| *peer != "none")
    }
}

/// Where everything is that the benchmarks run.
struct Place {
    python: PathBuf,
    models: PathBuf,
}

impl Place {
    /// The quantized model that `runtime` runs.
    fn model(&self, network: &str, runtime: &str) -> PathBuf {
        self.models.join(match runtime {
            "litert" => format!("{network}_int8.tflite"),
            _ => format!("{network}_ort_u8.onnx"),
        })
    }

    /// The right answer: the class that exact arithmetic between the roundings names.
    fn reference(&self, network: &str) -> Result<usize> {
        let model = self.model(network, "reference");
        Ok(Peer::start(&self.python, "reference", &model, 1)?
            .batch(1)?
            .top1)
    }
}

/// What one runtime took on one network.
#[derive(Default)]
struct Timing {
    isa: String,
    /// Sorted.
    runs_ms: Vec<f64>,
    open_ms: Vec<f64>,
    wrong: bool,
}

impl Timing {
    fn at(&self, fraction: f64) -> f64 {
        percentile(&self.runs_ms, fraction)
    }

    fn open_ms(&self) -> f64 {
        self.open_ms.iter().copied().fold(f64::INFINITY, f64::min)
    }
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let place = prepare(args)?;
    let report = if args.arm64 {
        arm64::run(args, &place)?
    } else {
        time_all(args, &place)?
    };
    println!("\n{}", report.shown.aligned());
    if let Some(path) = &args.csv {
        std::fs::write(path, report.csv.csv())
            .with_context(|| format!("{}: cannot write", path.display()))?;
        println!("{}", path.display());
    }
    if report.wrong.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    bail!("etalase answers wrongly: {}", report.wrong.join(", "))
}

/// What a benchmark found.
struct Found {
    csv: Table,
    shown: Table,
    /// Networks on which etalase names another class than the reference.
    wrong: Vec<String>,
}

/// Makes the virtual environment and the models that are missing.
fn prepare(args: &Args) -> Result<Place> {
    let python = match &args.python {
        Some(python) => python.clone(),
        None => setup::bench_python()?,
    };
    let models = match &args.models {
        Some(folder) => folder.clone(),
        None => setup::cache()?.join("bench-models"),
    };
    let place = Place { python, models };
    let needed = |network: &&String| {
        let mut runtimes = args.peers().chain(["etalase"]);
        runtimes.any(|runtime| !place.model(network, runtime).exists())
    };
    let missing: Vec<_> = args.networks.iter().filter(needed).cloned().collect();
    if !missing.is_empty() {
        let data = data::find()?.with_context(|| {
            format!(
                "models to make ({}), but no photos and weights folder\n{}",
                missing.join(", "),
                data::HOW_TO_GET
            )
        })?;
        report::run(
            Command::new(&place.python)
                .arg(crate::root().join("bench/models.py"))
                .arg("--out")
                .arg(&place.models)
                .args(["--networks", &missing.join(",")])
                .env("ETALASE_DATA", data),
        )?;
    }
    Ok(place)
}

fn time_all(args: &Args, place: &Place) -> Result<Found> {
    let etalase = match &args.etalase {
        Some(command) => command.clone(),
        None => build_etalase()?,
    };
    let (commit, cpu) = (commit(), cpu());
    let mut found = Found {
        csv: Table::new(&CSV_COLUMNS),
        shown: Table::new(&[
            "network",
            "runtime",
            "threads",
            "median ms",
            "p10",
            "p90",
            "ratio",
            "open ms",
            "answer",
        ]),
        wrong: Vec::new(),
    };
    for network in &args.networks {
        let reference = place.reference(network)?;
        let mut runtimes: Vec<Box<dyn Runtime>> = Vec::new();
        for engine in &args.engines {
            let model = place.model(network, "etalase");
            let engine = Etalase::new(&etalase, &model, engine, args.threads)?;
            runtimes.push(Box::new(engine));
        }
        for peer in args.peers() {
            let model = place.model(network, peer);
            let peer = Peer::start(&place.python, peer, &model, args.threads)?;
            runtimes.push(Box::new(peer));
        }
        let timings = interleave(&mut runtimes, args.rounds, reference)?;
        let best_peer = runtimes
            .iter()
            .zip(&timings)
            .filter(|(runtime, _)| PEERS.contains(&runtime.name()))
            .map(|(_, timing)| timing.at(0.5))
            .min_by(f64::total_cmp);
        for (runtime, timing) in runtimes.iter().zip(&timings) {
            let [median, p10, p90] = [0.5, 0.1, 0.9].map(|at| format!("{:.3}", timing.at(at)));
            let ratio = best_peer.map_or(String::new(), |best| {
                format!("{:.3}", timing.at(0.5) / best)
            });
            let open = format!("{:.1}", timing.open_ms());
            let answer = if timing.wrong { "differs" } else { "ok" };
            if timing.wrong && runtime.name() == "etalase" {
                found.wrong.push(network.clone());
            }
            let (name, threads) = (runtime.name(), args.threads.to_string());
            found.shown.add([
                network, name, &threads, &median, &p10, &p90, &ratio, &open, answer,
            ]);
            let runs = timing.runs_ms.len().to_string();
            found.csv.add([
                &commit,
                &cpu,
                &timing.isa,
                name,
                runtime.version(),
                network,
                &threads,
                "1",
                &median,
                &p10,
                &p90,
                &ratio,
                &open,
                &runs,
                answer,
            ]);
        }
        eprintln!("{network}: done");
    }
    Ok(found)
}

/// `warm_up`: runs before those that count, in every batch. `ratio`: of the median to the fastest
/// peer's. `open_ms`: from file to ready, the best of all openings (peers open once).
const CSV_COLUMNS: [&str; 15] = [
    "commit",
    "cpu",
    "isa",
    "runtime",
    "version",
    "network",
    "threads",
    "warm_up",
    "median_ms",
    "p10_ms",
    "p90_ms",
    "ratio",
    "open_ms",
    "runs",
    "answer",
];

/// Gives each runtime a batch a round.
fn interleave(
    runtimes: &mut [Box<dyn Runtime>],
    rounds: u32,
    reference: usize,
) -> Result<Vec<Timing>> {
    let mut plans = Vec::new();
    for runtime in runtimes.iter_mut() {
        let first = runtime.batch(4)?;
        let fastest = first.runs_ms.iter().copied().fold(f64::INFINITY, f64::min);
        // As many as fill the time, yet enough of a slow network and not thousands of a quick one.
        plans.push((BATCH_MS / fastest).clamp(3.0, 50.0) as u32);
    }
    let mut timings: Vec<Timing> = plans.iter().map(|_| Timing::default()).collect();
    for _ in 0..rounds {
        for ((runtime, runs), timing) in runtimes.iter_mut().zip(&plans).zip(&mut timings) {
            let batch = runtime.batch(*runs)?;
            timing.runs_ms.extend(batch.runs_ms);
            timing.open_ms.push(batch.open_ms);
            timing.wrong |= batch.top1 != reference;
            timing.isa = batch.isa;
        }
    }
    for timing in &mut timings {
        timing.runs_ms.sort_by(f64::total_cmp);
    }
    Ok(timings)
}

fn build_etalase() -> Result<PathBuf> {
    report::run(crate::cargo().args(["build", "--release", "--locked", "-p", "etalase-cli"]))?;
    Ok(crate::release_dir()?.join("etalase"))
}
