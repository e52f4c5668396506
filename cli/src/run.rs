//! `etalase run`: any ONNX classifier on raw tensors, through the engine that runs
//! bundles. What other runtimes are compared with.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use etalase::{Engine, EngineOptions, Tensor, TensorData, TensorType, files};
use ndarray::{Array2, ArrayD};
use ndarray_npy::{ReadNpyError, ReadNpyExt, ReadableElement, WriteNpyExt};

use crate::{Outcome, bench};

/// Run an ONNX classifier on a tensor, without a bundle
#[derive(clap::Args)]
pub struct Args {
    /// ONNX file with one input and one output [1, classes]
    #[arg(value_name = "MODEL.onnx")]
    model: PathBuf,
    /// NumPy file of shape [N, …]: N inputs of the model's type (u8, i8 or f32)
    #[arg(long, value_name = "X.npy")]
    input: PathBuf,
    /// NumPy file to write: f32 [N, classes], the model's output for each input
    #[arg(long, value_name = "Y.npy")]
    output: PathBuf,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let engine = bench::open_onnx(&args.model, &EngineOptions::default())?;
    let inputs = read_inputs(&args.input, &engine)?;
    let mut logits = Vec::with_capacity(inputs.len() * engine.classes());
    for input in &inputs {
        logits.extend(engine.run(input)?);
    }
    let outputs = Array2::from_shape_vec((inputs.len(), engine.classes()), logits)?;
    let mut npy = Vec::new();
    outputs
        .write_npy(&mut npy)
        .with_context(|| format!("{}: cannot be written", args.output.display()))?;
    files::replace(&args.output, &npy)?;
    Ok(Outcome::Complete)
}

/// The file's N inputs, each in the shape that the engine takes.
fn read_inputs(path: &Path, engine: &Engine) -> anyhow::Result<Vec<Tensor>> {
    let bytes = files::read(path)?;
    let named = || path.display().to_string();
    match engine.input_type() {
        TensorType::U8 => split(
            npy(&bytes, "u8").with_context(named)?,
            TensorData::U8,
            engine,
        ),
        TensorType::I8 => split(
            npy(&bytes, "i8").with_context(named)?,
            TensorData::I8,
            engine,
        ),
        _ => split(
            npy(&bytes, "f32").with_context(named)?,
            TensorData::F32,
            engine,
        ),
    }
    .with_context(named)
}

fn npy<T: ReadableElement>(bytes: &[u8], wanted: &str) -> anyhow::Result<ArrayD<T>> {
    ArrayD::read_npy(bytes).map_err(|error| match error {
        ReadNpyError::WrongDescriptor(found) => {
            anyhow::anyhow!("holds {found}, the model takes {wanted}")
        }
        error => anyhow::anyhow!("cannot be read as a NumPy file: {error}"),
    })
}

fn split<T: Clone>(
    inputs: ArrayD<T>,
    wrap: impl Fn(Vec<T>) -> TensorData,
    engine: &Engine,
) -> anyhow::Result<Vec<Tensor>> {
    let wanted = engine.input_shape();
    let found = inputs.shape();
    // The engine takes one input at a time; the file's first side counts them.
    let (batch, one) = wanted.split_at(wanted.len().min(1));
    if batch != [1] || found.get(1..) != Some(one) || found.first() == Some(&0) {
        bail!("has shape {found:?}, the model takes {wanted:?} (the first side may be larger)");
    }
    inputs
        .outer_iter()
        // In row-major order, whatever the file's.
        .map(|input| Tensor::new(wanted.to_vec(), wrap(input.iter().cloned().collect())))
        .map(|tensor| tensor.map_err(anyhow::Error::from))
        .collect()
}
