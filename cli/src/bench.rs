//! `etalase bench`: how long a network takes to open and to run, here. Outputs are
//! checked while timing: a fast wrong answer is no measurement.

use std::path::{Path, PathBuf};
use std::time::Instant;

use etalase::decision;
use etalase::engine::Backend;
use etalase::{Classifier, Engine, EngineOptions, Tensor, TensorData, TensorType, files};
use serde::Serialize;

use crate::{Outcome, bundle, output};

/// Time a network on a made-up photo
#[derive(clap::Args)]
pub struct Args {
    /// Bundle to time instead of the built-in one
    #[arg(long, value_name = "B", conflicts_with = "onnx")]
    bundle: Option<PathBuf>,
    /// ONNX classifier to time, outside any bundle
    #[arg(long, value_name = "M.onnx")]
    onnx: Option<PathBuf>,
    /// Threads for one run
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Timed runs, after one to warm up
    #[arg(long, value_name = "R", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    runs: u32,
    /// What runs it: integer kernels where the network is quantized, or tract alone
    #[arg(long, value_enum, default_value_t = Runs::Integer)]
    engine: Runs,
    /// Calls getppid() before each timed run and behind the last: a mark for tools that
    /// count instructions between system calls
    #[arg(long)]
    mark: bool,
    /// One JSON object on stdout: {"isa", "threads", "open_ms", "first_run_ms", "median_ms", "min_ms", "runs_ms",
    /// "top1", "activation_bytes", "peak_rss_bytes"}
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Runs {
    Integer,
    Tract,
}

#[derive(Serialize)]
struct Timing {
    isa: &'static str,
    threads: u16,
    /// From the file to a network ready to run.
    open_ms: f64,
    first_run_ms: f64,
    median_ms: f64,
    min_ms: f64,
    /// Every timed run, in order.
    runs_ms: Vec<f64>,
    /// The best class of the made-up photo.
    top1: usize,
    /// Memory for activations; 0 where tract decides.
    activation_bytes: usize,
    /// Of the whole process; null where the system doesn't tell.
    peak_rss_bytes: Option<u64>,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let options = EngineOptions {
        threads: usize::from(args.threads),
        backend: match args.engine {
            Runs::Integer => Backend::Auto,
            Runs::Tract => Backend::Tract,
        },
    };
    let start = Instant::now();
    let opened = match &args.onnx {
        Some(path) => Opened::Onnx(open_onnx(path, &options)?),
        None => {
            let path = args.bundle.as_deref();
            let classifier = Classifier::new(bundle::open(path)?, &options)
                .map_err(|error| error.context(bundle::name(path)))?;
            Opened::Bundle(Box::new(classifier))
        }
    };
    let engine = opened.engine();
    let open_ms = ms(start);

    let input = made_up(engine)?;
    let start = Instant::now();
    let expected = engine.run(&input)?;
    let first_run_ms = ms(start);
    let mut runs_ms = Vec::with_capacity(args.runs as usize);
    let mut logits = vec![0.0; engine.classes()];
    for number in 1..=args.runs {
        mark(args.mark);
        let start = Instant::now();
        engine.run_into(&input, &mut logits, None)?;
        runs_ms.push(ms(start));
        // Bits, because NaN equals nothing.
        if !logits
            .iter()
            .map(|x| x.to_bits())
            .eq(expected.iter().map(|x| x.to_bits()))
        {
            anyhow::bail!("run {number} gave other logits than the first on the same input");
        }
    }
    mark(args.mark);
    let mut times = runs_ms.clone();
    times.sort_by(f64::total_cmp);
    let timing = Timing {
        isa: engine.isa(),
        threads: args.threads,
        open_ms,
        first_run_ms,
        median_ms: median(&times),
        min_ms: times.first().copied().unwrap_or(0.0),
        runs_ms,
        top1: decision::top_k(&expected, 1).first().copied().unwrap_or(0),
        activation_bytes: engine.activation_bytes(),
        peak_rss_bytes: peak_rss_bytes(),
    };
    if args.json {
        output::json(&timing)?;
    } else {
        show(&timing, args.runs)?;
    }
    Ok(Outcome::Complete)
}

/// What is timed.
enum Opened {
    Onnx(Engine),
    Bundle(Box<Classifier>),
}

impl Opened {
    fn engine(&self) -> &Engine {
        match self {
            Opened::Onnx(engine) => engine,
            Opened::Bundle(classifier) => classifier.engine(),
        }
    }
}

/// A system call without effect, where it was asked for.
fn mark(wanted: bool) {
    #[cfg(unix)]
    if wanted {
        std::hint::black_box(std::os::unix::process::parent_id());
    }
    #[cfg(not(unix))]
    let _ = wanted;
}

/// Opens an ONNX classifier; errors name the file.
pub fn open_onnx(path: &Path, options: &EngineOptions) -> etalase::Result<Engine> {
    let bytes = files::read(path)?;
    Engine::from_onnx(&bytes, options).map_err(|error| error.context(path.display()))
}

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

/// Of sorted times.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    let at = |index: usize| sorted.get(index).copied().unwrap_or(0.0);
    if sorted.len() % 2 == 1 {
        at(middle)
    } else {
        (at(middle.saturating_sub(1)) + at(middle)) / 2.0
    }
}

/// The same noise on every machine: neither zeros, which some kernels skip, nor
/// anything that a network could find easy.
pub fn made_up(engine: &Engine) -> etalase::Result<Tensor> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut noise = || {
        // Marsaglia's xorshift64.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[4]
    };
    let shape = engine.input_shape().to_vec();
    let values: usize = shape.iter().product();
    let data = match engine.input_type() {
        TensorType::I8 => TensorData::I8((0..values).map(|_| noise().cast_signed()).collect()),
        TensorType::F32 => {
            let float = |byte: u8| f32::from(byte) / 127.5 - 1.0;
            TensorData::F32((0..values).map(|_| float(noise())).collect())
        }
        _ => TensorData::U8((0..values).map(|_| noise()).collect()),
    };
    Tensor::new(shape, data)
}

#[cfg(unix)]
fn peak_rss_bytes() -> Option<u64> {
    use nix::sys::resource::{UsageWho, getrusage};
    let peak = u64::try_from(getrusage(UsageWho::RUSAGE_SELF).ok()?.max_rss()).ok()?;
    // Apple counts bytes, the others KiB.
    let unit = if cfg!(target_vendor = "apple") {
        1
    } else {
        1024
    };
    Some(peak * unit)
}

#[cfg(not(unix))]
fn peak_rss_bytes() -> Option<u64> {
    None
}

fn show(timing: &Timing, runs: u32) -> anyhow::Result<()> {
    let Timing { isa, threads, .. } = timing;
    output::line(format_args!("instruction set  {isa}"))?;
    output::line(format_args!("threads          {threads}"))?;
    output::line(format_args!("open             {:.1} ms", timing.open_ms))?;
    output::line(format_args!(
        "first run        {:.2} ms",
        timing.first_run_ms
    ))?;
    output::line(format_args!(
        "median           {:.2} ms of {runs} runs",
        timing.median_ms
    ))?;
    output::line(format_args!("minimum          {:.2} ms", timing.min_ms))?;
    if let Some(bytes) = timing.peak_rss_bytes {
        let mib = bytes as f64 / f64::from(1 << 20);
        output::line(format_args!("peak memory      {mib:.1} MiB"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_and_even() {
        assert_eq!(median(&[1.0, 2.0, 9.0]), 2.0);
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), 3.0);
        assert_eq!(median(&[]), 0.0);
    }
}
