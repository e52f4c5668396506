//! `etalase inspect`: what is in a bundle; with `--explain`, what its network is made
//! of on this machine, which operations run on integer kernels, and what each costs.

use std::path::PathBuf;

use etalase::bundle::Inspection;
use etalase::engine::summarize;
use etalase::{Bundle, Engine, EngineOptions};
use serde::Serialize;

use crate::{Outcome, bench, bundle, output};

/// Show what is in a bundle
#[derive(clap::Args)]
pub struct Args {
    /// Bundle to inspect instead of the built-in one
    #[arg(value_name = "B")]
    bundle: Option<PathBuf>,
    /// One JSON object on stdout: {"name", "version", "format", "backbone", "input": [h, w, c], "labels",
    /// "classes", "bytes", "members", "convolutions", "convolutions_int8", "preprocess", "policy", "card"}
    #[arg(long)]
    json: bool,
    /// Every operation of the network: what runs it, what was not fused and why, time on a made-up photo
    #[arg(long)]
    explain: bool,
    /// ONNX classifier to explain, outside any bundle
    #[arg(
        long,
        value_name = "M.onnx",
        requires = "explain",
        conflicts_with = "bundle"
    )]
    onnx: Option<PathBuf>,
}

#[derive(Serialize)]
struct Inspected<'a> {
    #[serde(flatten)]
    bundle: Inspection<'a>,
    convolutions: usize,
    convolutions_int8: usize,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    if args.explain {
        return explain(args);
    }
    let path = args.bundle.as_deref();
    let bundle = bundle::open(path)?;
    let network = summarize(bundle.model())
        .map_err(|error| error.context("model.onnx").context(bundle::name(path)))?;
    if args.json {
        output::json(&Inspected {
            bundle: bundle.inspect(),
            convolutions: network.convolutions,
            convolutions_int8: network.convolutions_int8,
        })?;
    } else {
        show(&bundle, network.convolutions, network.convolutions_int8)?;
    }
    Ok(Outcome::Complete)
}

#[derive(Serialize)]
struct Explanation<'a> {
    isa: &'static str,
    /// Why tract runs the network as a whole, where it does.
    not_fused: Option<&'a str>,
    operations: Vec<Explained<'a>>,
}

#[derive(Serialize)]
struct Explained<'a> {
    node: &'a str,
    kind: &'static str,
    /// Height, width, channels.
    output: [usize; 3],
    not_fused: Option<&'a str>,
    time_ms: f64,
}

fn explain(args: &Args) -> anyhow::Result<Outcome> {
    let options = EngineOptions::default();
    let path = args.bundle.as_deref();
    let name = args
        .onnx
        .as_deref()
        .map_or_else(|| bundle::name(path), |onnx| onnx.display().to_string());
    let engine = match &args.onnx {
        Some(onnx) => bench::open_onnx(onnx, &options)?,
        None => Engine::from_onnx(bundle::open(path)?.model(), &options)
            .map_err(|error| error.context("model.onnx").context(&name))?,
    };
    let explained = engine.explain(&bench::made_up(&engine)?)?;
    let (operations, whole) = match &explained {
        Ok(operations) => (operations.as_slice(), None),
        Err(why) => (&[][..], Some(why.as_str())),
    };
    if args.json {
        let operations = operations.iter().map(|operation| Explained {
            node: &operation.node,
            kind: operation.kind,
            output: operation.output,
            not_fused: operation.not_fused.as_deref(),
            time_ms: operation.time_ms,
        });
        output::json(&Explanation {
            isa: engine.isa(),
            not_fused: whole,
            operations: operations.collect(),
        })?;
        return Ok(Outcome::Complete);
    }
    if let Some(why) = whole {
        output::line(format_args!("{name}: tract runs the whole network: {why}"))?;
        return Ok(Outcome::Complete);
    }
    output::line(format_args!("{name} on {}", engine.isa()))?;
    output::line("       ms  operation     output             node")?;
    for operation in operations {
        let [height, width, channels] = operation.output;
        let size = format!("{height} x {width} x {channels}");
        let (node, kind, time_ms) = (&operation.node, operation.kind, operation.time_ms);
        output::line(format_args!(
            "{time_ms:9.4}  {kind:<12}  {size:<17}  {node}"
        ))?;
        if let Some(why) = &operation.not_fused {
            output::line(format_args!("           not fused: {why}"))?;
        }
    }
    let total: f64 = operations.iter().map(|operation| operation.time_ms).sum();
    let left = operations
        .iter()
        .filter(|operation| operation.not_fused.is_some())
        .count();
    output::line(format_args!(
        "{total:9.4}  all; {} operations, {left} of them on tract",
        operations.len()
    ))?;
    Ok(Outcome::Complete)
}

fn show(bundle: &Bundle, convolutions: usize, int8: usize) -> anyhow::Result<()> {
    let manifest = bundle.manifest();
    let preprocess = &manifest.preprocess;
    output::line(format_args!("{} {}", manifest.name, manifest.version))?;
    output::line(format_args!("  backbone      {}", manifest.backbone))?;
    output::line(format_args!(
        "  input         {}x{} px, {}",
        preprocess.width, preprocess.height, preprocess.fit
    ))?;
    output::line(format_args!(
        "  convolutions  {convolutions}, {int8} of them int8"
    ))?;
    output::line(format_args!(
        "  file          {} bytes, format {}",
        bundle.len_bytes(),
        bundle.format_version()
    ))?;

    output::line("\nclasses")?;
    let width = output::width(manifest.classes.iter().map(String::as_str));
    for (index, class) in manifest.classes.iter().enumerate() {
        let names: Vec<String> = bundle
            .labels()
            .iter()
            .filter_map(|(language, names)| Some(format!("{language}: {}", names.get(index)?)))
            .collect();
        let text = format!("  {class:<width$}  {}", names.join(", "));
        output::line(text.trim_end())?;
    }

    output::line("\nmembers")?;
    let width = output::width(bundle.members().iter().map(|member| member.name.as_str()));
    for member in bundle.members() {
        let (name, bytes, sha256) = (&member.name, member.bytes, &member.sha256);
        output::line(format_args!(
            "  {name:<width$}  {bytes:>10} bytes  sha256 {sha256}"
        ))?;
    }

    show_json("policy", bundle.policy())?;
    show_json("model card", bundle.card())
}

fn show_json(title: &str, value: &impl Serialize) -> anyhow::Result<()> {
    output::line(format_args!("\n{title}"))?;
    for line in serde_json::to_string_pretty(value)?.lines() {
        output::line(format_args!("  {line}"))?;
    }
    Ok(())
}
