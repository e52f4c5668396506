//! `cargo xtask bench`: `etalase bench` beside other runtimes, on the same models, input and threads.
//!
//! Runs are interleaved: each round gives every runtime a short batch in turn, so that a slow
//! minute of the machine falls on all. The first run of a batch warms up and counts for nothing.
//! Every batch's top-1 is compared with what ONNX Runtime answers without its optimizer (with it, it
//! saturates on CPUs without VNNI): etalase differing is a failure, a peer differing is shown.
//! ncnn and MNN may be missing, or refuse a network: that is said, and a `-` in the table. ncnn runs
//! in float, since no package of it quantizes; the table and the CSV name each figure's precision.
//! Left out: accuracy (`etalase eval`), pre-processing, and times on arm64, where `--arm64` counts
//! executed instructions under qemu instead. `--training` compares training steps (see [`training`]).

mod arm64;
mod record;
mod runtime;
mod training;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::{data, report, setup};
pub use training::build_trainer;

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
const PEERS: [&str; 5] = ["onnxruntime", "openvino", "litert", "ncnn", "mnn"];
/// Those of bench/requirements-more.txt, which a benchmark can do without. Also bench/models.py's steps.
const MORE: [&str; 2] = ["ncnn", "mnn"];
const ENGINES: [&str; 2] = ["integer", "tract"];
/// Where `--rounds` does not say.
const ROUNDS: u32 = 12;
/// What one batch should take: long enough to settle, short beside the machine's moods.
const BATCH_MS: f64 = 100.0;

#[derive(clap::Args)]
pub struct Args {
    /// Networks to run [default: all but nasnet_large; --training: those that timm has too]
    #[arg(long, value_delimiter = ',', value_parser = NETWORKS)]
    networks: Vec<String>,
    /// Other runtimes to run beside; `none` for none
    #[arg(long, value_delimiter = ',', value_parser = [PEERS[0], PEERS[1], PEERS[2], PEERS[3], PEERS[4], "none"], default_values_t = PEERS.map(String::from))]
    peers: Vec<String>,
    /// Engines of etalase to run
    #[arg(long, value_delimiter = ',', value_parser = ENGINES, default_values_t = [ENGINES[0].to_string()])]
    engines: Vec<String>,
    /// Threads of every runtime
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Batches of every runtime [default: 12; --training: 4]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Write the numbers to this file too
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Count instructions under qemu at three arm64 CPUs instead of timing
    #[arg(long, conflicts_with_all = ["threads", "rounds", "etalase"])]
    arm64: bool,
    /// Time training steps beside PyTorch + timm instead
    #[arg(long, conflicts_with_all = ["arm64", "peers", "engines", "models", "etalase"])]
    training: bool,
    /// Folder of models, made by bench/models.py where they are missing [default: bench-models in the cache]
    #[arg(long, value_name = "FOLDER")]
    models: Option<PathBuf>,
    /// Python with bench/requirements.txt installed (--training: bench/requirements-training.txt),
    /// instead of the one that is made in the cache; ncnn and MNN are run by it too, if it has them
    #[arg(long, value_name = "PYTHON")]
    python: Option<PathBuf>,
    /// `etalase` command to time, instead of building it
    #[arg(long, value_name = "COMMAND")]
    etalase: Option<PathBuf>,
    /// `etalase-trainer` command to time, instead of building it
    #[arg(long, value_name = "COMMAND", requires = "training")]
    trainer: Option<PathBuf>,
}

impl Args {
    /// Those that are asked for, or these.
    fn networks(&self, default: &[&str]) -> Vec<String> {
        match self.networks.is_empty() {
            true => default.iter().map(ToString::to_string).collect(),
            false => self.networks.clone(),
        }
    }

    fn peers(&self) -> impl Iterator<Item = &str> {
        self.peers
            .iter()
            .map(String::as_str)
            .filter(|peer| *peer != "none")
    }

    /// Those that need bench/requirements-more.txt. `--arm64` runs no peers.
    fn more_peers(&self) -> Vec<&str> {
        let more = |peer: &&str| MORE.contains(peer) && !self.arm64;
        self.peers().filter(more).collect()
    }
}

/// Where everything is that the benchmarks run.
struct Place {
    python: PathBuf,
    /// With bench/requirements-more.txt; `None` if that is not wanted or could not be installed.
    more: Option<PathBuf>,
    models: PathBuf,
}

/// What the model that a runtime is given computes in.
fn precision(runtime: &str) -> &'static str {
    match runtime {
        "ncnn" => "f32",
        _ => "int8",
    }
}

impl Place {
    /// The model that `runtime` runs, in the precision that [`precision`] tells.
    fn model(&self, network: &str, runtime: &str) -> PathBuf {
        self.models.join(match runtime {
            "litert" => format!("{network}_int8.tflite"),
            "ncnn" => format!("{network}_f32.ncnn.param"),
            "mnn" => format!("{network}_int8.mnn"),
            _ => format!("{network}_ort_u8.onnx"),
        })
    }

    /// The right answer: the class that exact arithmetic between the roundings names.
    fn reference(&self, network: &str) -> Result<usize> {
        let model = self.model(network, "reference");
        let reference = Peer::start(&self.python, "reference", &model, 1)?;
        Ok(reference.context("no ONNX Runtime")?.batch(1)?.top1)
    }

    /// bench/models.py's note of why there is no such model.
    fn refusal(&self, network: &str, runtime: &str) -> PathBuf {
        let mut path = self.model(network, runtime).into_os_string();
        path.push(".refused");
        path.into()
    }

    /// What ncnn's and MNN's models are made from.
    fn nchw(&self, network: &str) -> PathBuf {
        self.models.join(format!("{network}_nchw.onnx"))
    }

    /// `None` where the peer is one that may be missing and is, or refuses the network; that has been said.
    fn peer(&self, network: &str, name: &str, threads: u16) -> Result<Option<Peer>> {
        let model = self.model(network, name);
        if !MORE.contains(&name) {
            let peer = Peer::start(&self.python, name, &model, threads)?;
            return Ok(Some(peer.with_context(|| format!("{name} is missing"))?));
        }
        let Some(python) = &self.more else {
            return Ok(None);
        };
        if let Ok(reason) = std::fs::read_to_string(self.refusal(network, name)) {
            eprintln!("{network}: no {name}: {}", reason.trim_end());
            return Ok(None);
        }
        if !model.exists() {
            // bench/models.py ended well without it: what makes it is not installed, as it said.
            return Ok(None);
        }
        Peer::start(python, name, &model, threads)
    }

    fn build(&self, python: &Path, networks: &[&str], steps: Option<&str>) -> Result<()> {
        let data = data::find()?.with_context(|| {
            format!(
                "models to make ({}), but no photos and weights folder\n{}",
                networks.join(", "),
                data::HOW_TO_GET
            )
        })?;
        let mut command = Command::new(python);
        command.arg(crate::root().join("bench/models.py"));
        command.arg("--out").arg(&self.models);
        command.args(["--networks", &networks.join(",")]);
        if let Some(steps) = steps {
            command.args(["--steps", steps]);
        }
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        report::run(command.env("ETALASE_DATA", data))
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
    let report = if args.training {
        training::run(args, &args.networks(&training::NETWORKS))?
    } else {
        let networks = args.networks(&NETWORKS[..4]);
        let place = prepare(args, &networks)?;
        match args.arm64 {
            true => arm64::run(args, &networks, &place)?,
            false => time_all(args, &networks, &place)?,
        }
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

/// Makes the virtual environments and the models that are missing.
fn prepare(args: &Args, networks: &[String]) -> Result<Place> {
    let python = match &args.python {
        Some(python) => python.clone(),
        None => setup::bench_python()?,
    };
    let models = match &args.models {
        Some(folder) => folder.clone(),
        None => setup::cache()?.join("bench-models"),
    };
    let wanted = args.more_peers();
    let more = match &args.python {
        _ if wanted.is_empty() => None,
        Some(python) => Some(python.clone()),
        None => match setup::bench_more_python() {
            Ok(python) => Some(python),
            Err(error) if error.is::<setup::NotInstalled>() => {
                eprintln!("no {}: {error:#}", wanted.join(", no "));
                None
            }
            Err(error) => return Err(error),
        },
    };
    let place = Place {
        python,
        more,
        models,
    };
    let more_missing = |network: &&str| {
        let unknown = |runtime: &&str| {
            !place.model(network, runtime).exists() && !place.refusal(network, runtime).exists()
        };
        place.more.is_some() && wanted.iter().any(unknown)
    };
    let networks = || networks.iter().map(String::as_str);
    let missing = |network: &&str| {
        let mut runtimes = args.peers().filter(|peer| !MORE.contains(peer));
        !place.model(network, "etalase").exists()
            || runtimes.any(|runtime| !place.model(network, runtime).exists())
            || more_missing(network) && !place.nchw(network).exists()
    };
    let missing: Vec<_> = networks().filter(missing).collect();
    if !missing.is_empty() {
        place.build(&place.python, &missing, None)?;
    }
    let missing: Vec<_> = networks().filter(more_missing).collect();
    if let (Some(python), false) = (&place.more, missing.is_empty()) {
        place.build(python, &missing, Some(&wanted.join(",")))?;
    }
    Ok(place)
}

fn time_all(args: &Args, networks: &[String], place: &Place) -> Result<Found> {
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
            "precision",
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
    for network in networks {
        let reference = place.reference(network)?;
        let mut runtimes: Vec<Box<dyn Runtime>> = Vec::new();
        for engine in &args.engines {
            let model = place.model(network, "etalase");
            let engine = Etalase::new(&etalase, &model, engine, args.threads)?;
            runtimes.push(Box::new(engine));
        }
        let mut absent = Vec::new();
        for name in args.peers() {
            match place.peer(network, name, args.threads)? {
                Some(peer) => runtimes.push(Box::new(peer)),
                None => absent.push(name),
            }
        }
        let timings = interleave(&mut runtimes, args.rounds.unwrap_or(ROUNDS), reference)?;
        let best_peer = runtimes
            .iter()
            .zip(&timings)
            .filter(|(runtime, _)| PEERS.contains(&runtime.name()))
            .filter(|(runtime, _)| precision(runtime.name()) == "int8")
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
            let precision = precision(name);
            found.shown.add([
                network, name, precision, &threads, &median, &p10, &p90, &ratio, &open, answer,
            ]);
            let runs = timing.runs_ms.len().to_string();
            found.csv.add([
                &commit,
                &cpu,
                &timing.isa,
                name,
                runtime.version(),
                network,
                precision,
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
        for name in absent {
            let (precision, threads) = (precision(name), args.threads.to_string());
            found.shown.add([
                network, name, precision, &threads, "-", "-", "-", "-", "-", "-",
            ]);
        }
        eprintln!("{network}: done");
    }
    Ok(found)
}

/// `precision`: what the model computes in. `warm_up`: runs before those that count, in every batch.
/// `ratio`: of the median to the fastest int8 peer's. `open_ms`: from file to ready, the best of all
/// openings (peers open once). A peer that is missing has no row.
const CSV_COLUMNS: [&str; 16] = [
    "commit",
    "cpu",
    "isa",
    "runtime",
    "version",
    "network",
    "precision",
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

pub fn build_etalase() -> Result<PathBuf> {
    report::run(crate::cargo().args(["build", "--release", "--locked", "-p", "etalase-cli"]))?;
    Ok(crate::release_dir()?.join("etalase"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_in_float_are_called_so() {
        let place = Place {
            python: PathBuf::new(),
            more: None,
            models: PathBuf::new(),
        };
        for runtime in PEERS.iter().chain(&["etalase", "reference"]) {
            let model = place.model("n", runtime);
            let float = model.to_string_lossy().contains("_f32");
            assert_eq!(float, precision(runtime) == "f32", "{runtime}");
        }
        assert!(MORE.iter().all(|runtime| PEERS.contains(runtime)));
    }
}
