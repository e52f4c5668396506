//! `etalase pack`: a bundle from anybody's ONNX classifier. The bundle is tried
//! before it is written, and written whole or not at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use etalase::engine::without_softmax;
use etalase::{Bundle, BundleWriter, Classifier, Engine, EngineOptions, Manifest, Policy, files};
use serde::Deserialize;

use crate::preprocess_spec::{self, Spec};
use crate::{Outcome, output};

/// Make a bundle from an ONNX classifier
#[derive(clap::Args)]
pub struct Args {
    /// ONNX file with one image input and one output [1, classes] of logits; a final Softmax is left out
    #[arg(value_name = "MODEL.onnx")]
    model: PathBuf,
    /// Text file with a class a line, in the order of the outputs, or JSON {"classes": […], "languages":
    /// {"en": […], "id": […]}}
    #[arg(long, value_name = "FILE")]
    labels: PathBuf,
    /// How photos become the network's input, such as fit=stretch,input=u8 (more in --help)
    #[arg(long, value_name = "SPEC", long_help = preprocess_spec::HELP)]
    preprocess: String,
    /// Bundle to write
    #[arg(short, long, value_name = "B")]
    output: PathBuf,
    /// The network's name [default: the model file's]
    #[arg(long)]
    name: Option<String>,
    /// The network's version
    #[arg(long, default_value = "1")]
    version: String,
    /// The network's architecture
    #[arg(long, default_value = "unknown")]
    backbone: String,
    /// Model card: a JSON object of data, licences, accuracy as measured
    #[arg(long, value_name = "FILE.json")]
    card: Option<PathBuf>,
    /// Policy, JSON: {"version": 1, "advice": {"dark_below", "bright_above", "blurred_below", "small_below_px",
    /// "framed_above"}}; null for no such advice [default: as `etalase inspect --json` shows of a bundle without]
    #[arg(long, value_name = "FILE.json")]
    policy: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Labels {
    classes: Vec<String>,
    languages: Option<BTreeMap<String, Vec<String>>>,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let mut model = files::read(&args.model)?;
    let model_name = || args.model.display().to_string();
    let without = without_softmax(&model).map_err(|error| error.context(model_name()))?;
    if let Some(without) = without {
        // Scores are the softmax of a bundle's outputs: one of the two must go.
        output::complain(format!("{}: its final Softmax is left out", model_name()));
        model = without;
    }
    let options = EngineOptions::default();
    let engine =
        Engine::from_onnx(&model, &options).map_err(|error| error.context(model_name()))?;
    let labels = read_labels(&args.labels)?;
    if labels.classes.len() != engine.classes() {
        bail!(
            "{}: {} labels for the {} outputs of {}",
            args.labels.display(),
            labels.classes.len(),
            engine.classes(),
            model_name()
        );
    }
    let preprocess = Spec::read(&args.preprocess)?
        .complete(&engine)
        .with_context(model_name)?;
    let languages = labels
        .languages
        .unwrap_or_else(|| BTreeMap::from([("en".to_owned(), labels.classes.clone())]));
    let manifest = Manifest {
        name: args.name.clone().unwrap_or_else(|| stem(&args.model)),
        version: args.version.clone(),
        backbone: args.backbone.clone(),
        classes: labels.classes,
        preprocess,
    };
    let mut writer =
        BundleWriter::new(manifest, languages, read_card(args.card.as_deref())?, model);
    if let Some(path) = &args.policy {
        let policy: Policy = serde_json::from_slice(&files::read(path)?)
            .map_err(|error| anyhow!("{}: {error}", path.display()))?;
        writer = writer.policy(&policy)?;
    }
    let bytes = writer.to_bytes()?;
    Classifier::new(Bundle::from_bytes(bytes.clone())?, &options)
        .map_err(|error| error.context(model_name()))?;
    files::replace(&args.output, &bytes)?;
    output::complain(format!("{}: {} bytes", args.output.display(), bytes.len()));
    Ok(Outcome::Complete)
}

fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

/// Reads classes, and display names where the file has them.
fn read_labels(path: &Path) -> anyhow::Result<Labels> {
    let bytes = files::read(path)?;
    let text = String::from_utf8(bytes).map_err(|_| anyhow!("{}: is not text", path.display()))?;
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.starts_with('{') {
        return serde_json::from_str(text).map_err(|error| anyhow!("{}: {error}", path.display()));
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(Labels {
        classes: lines.map(str::to_owned).collect(),
        languages: None,
    })
}

fn read_card(path: Option<&Path>) -> anyhow::Result<serde_json::Value> {
    let Some(path) = path else {
        return Ok(serde_json::json!({}));
    };
    let card: serde_json::Value = serde_json::from_slice(&files::read(path)?)
        .map_err(|error| anyhow!("{}: {error}", path.display()))?;
    if !card.is_object() {
        bail!("{}: a model card is a JSON object", path.display());
    }
    Ok(card)
}
