//! `etalase bench`: how long a network takes to open and to run, here. Outputs are
//! checked while timing: a fast wrong answer is no measurement.

use std::path::{Path, PathBuf};
use std::time::Instant;

use etalase::engine::isa;
use etalase::{Engine, EngineOptions, Tensor, TensorData, TensorType, files};
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
    /// One JSON object on stdout: {"isa", "threads", "open_ms", "first_run_ms", "median_ms", "min_ms",
    /// "peak_rss_bytes"}
    #[arg(long)]
    json: bool,
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
    /// Of the whole process; null where the system doesn't tell.
    peak_rss_bytes: Option<u64>,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let options = EngineOptions {
        threads: usize::from(args.threads),
    };
    let start = Instant::now();
    let engine = match &args.onnx {
        Some(path) => open_onnx(path, &options)?,
        None => {
            let path = args.bundle.as_deref();
            let bundle = bundle::open(path)?;
            Engine::from_onnx(bundle.model(), &options)
                .map_err(|error| error.context(bundle::name(path)))?
        }
    };
    let open_ms = ms(start);

    let input = made_up(&engine)?;
    let start = Instant::now();
    let expected = engine.run(&input)?;
    let first_run_ms = ms(start);
    let mut times = Vec::with_capacity(args.runs as usize);
    for number in 1..=args.runs {
        let start = Instant::now();
        let logits = engine.run(&input)?;
        times.push(ms(start));
        // Bits, because NaN equals nothing.
        if !logits
            .iter()
            .map(|x| x.to_bits())
            .eq(expected.iter().map(|x| x.to_bits()))
        {
            anyhow::bail!("run {number} gave other logits than the first on the same input");
        }
    }
    times.sort_by(f64::total_cmp);
    let timing = Timing {
        isa: isa(),
        threads: args.threads,
        open_ms,
        first_run_ms,
        median_ms: median(&times),
        min_ms: times.first().copied().unwrap_or(0.0),
        peak_rss_bytes: peak_rss_bytes(),
    };
    if args.json {
        output::json(&timing)?;
    } else {
        show(&timing, args.runs)?;
    }
    Ok(Outcome::Complete)
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
fn made_up(engine: &Engine) -> etalase::Result<Tensor> {
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
