//! What tract runs: float networks as a whole, and single nodes of a quantized one that
//! have no integer kernel.
//!
//! tract computes QDQ convolutions in float between explicit quantize and dequantize
//! nodes: an int8 network is correct here and no faster than float, so it comes here
//! only where no plan can be made of it, or to be compared with.

use std::sync::Arc;

use tract_linalg::multithread::Executor;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::runtime::RunOptions;

use super::onnx::{self, failed};
use super::{EngineOptions, Tensor, TensorData, TensorType, softmax};
use crate::error::{Error, ErrorKind, Result, catch_panic};

/// A network, optimized for this CPU, with its weights. Immutable and shared:
/// every run brings its own scratch memory.
pub(super) struct TractEngine {
    plan: Arc<TypedRunnableModel>,
    pub(super) input_name: String,
    pub(super) input_type: TensorType,
    pub(super) input_shape: Vec<usize>,
    pub(super) classes: usize,
    /// How many features a run gives beside the scores; 0: none.
    pub(super) features: usize,
}

/// The longest text taken over from tract: it may hold a whole node's dump.
const MAX_CAUSE_CHARS: usize = 300;

impl TractEngine {
    pub(super) fn from_onnx(bytes: &[u8], options: &EngineOptions) -> Result<TractEngine> {
        let mut file = onnx::read(bytes)?;
        let features_name = onnx::features_name(&file);
        if let Some(graph) = &mut file.model.graph {
            softmax::disarm(graph)?;
        }
        catch_panic(ErrorKind::Model, "the optimizer", || {
            let importer = tract_onnx::onnx()
                // Hints made for a symbolic batch would contradict the bound one.
                .with_ignore_value_info(true);
            check_operators(&importer, &file.model)?;
            let mut parsed = importer
                .parse(&file.model, None)
                .map_err(|error| refused("the network cannot be read", &error))?;
            if let Some(name) = parsed.unresolved_inputs.first() {
                return Err(failed(format!("tensor {name:?} comes from no node")));
            }
            if let Some(features) = &features_name
                && let Some(outlet) = parsed.model.find_outlet_label(features)
            {
                parsed.model.outputs.push(outlet);
            }
            let model = parsed
                .model
                .into_optimized()
                .map_err(|error| refused("the network cannot be prepared", &error))?;
            let classes = classes(&model, &file.output_name)?;
            let features = features(&model);
            let mut run_options = RunOptions::default();
            if options.threads > 1 {
                run_options.executor = Some(Executor::multithread(options.threads));
            }
            let plan = model
                .into_runnable_with_options(&run_options)
                .map_err(|error| refused("the network cannot be planned", &error))?;
            Ok(TractEngine {
                plan,
                input_name: file.input_name,
                input_type: file.input_type,
                input_shape: file.input_shape,
                classes,
                features,
            })
        })
    }

    /// Runs on a tensor that was checked against the input's type and shape; gives the scores, and the features into
    /// `features` unless that is empty.
    pub(super) fn run(&self, input: &Tensor, features: &mut [f32]) -> Result<Vec<f32>> {
        catch_panic(ErrorKind::Model, "the network", || {
            let failed_to_run = |error: &TractError| refused("the network failed", error);
            let shape = input.shape();
            let input = match input.data() {
                TensorData::U8(values) => tract_onnx::prelude::Tensor::from_shape(shape, values),
                TensorData::I8(values) => tract_onnx::prelude::Tensor::from_shape(shape, values),
                TensorData::F32(values) => tract_onnx::prelude::Tensor::from_shape(shape, values),
            }
            .map_err(|error| failed_to_run(&error))?;
            let outputs = self
                .plan
                .run(tvec!(input.into_tvalue()))
                .map_err(|error| failed_to_run(&error))?;
            let output = outputs
                .first()
                .ok_or_else(|| failed("the network gave no output"))?;
            let logits = output
                .to_plain_array_view::<f32>()
                .map_err(|error| failed_to_run(&error))?;
            let logits: Vec<f32> = logits.iter().copied().collect();
            if logits.len() != self.classes {
                return Err(failed(format!(
                    "the network gave {} scores instead of {}",
                    logits.len(),
                    self.classes
                )));
            }
            if let (false, Some(read)) = (features.is_empty(), outputs.get(1)) {
                let read = read
                    .to_plain_array_view::<f32>()
                    .map_err(|error| failed_to_run(&error))?;
                features
                    .iter_mut()
                    .zip(read.iter())
                    .for_each(|(to, &from)| *to = from);
            }
            Ok(logits)
        })
    }
}

/// One node of a quantized network, on `f32` tensors.
pub(super) struct TractNode {
    plan: Arc<TypedRunnableModel>,
    shapes: Vec<Vec<usize>>,
}

impl TractNode {
    /// Prepares an ONNX model of one node, for inputs of these shapes, which gives
    /// `values` values.
    pub(super) fn new(model: &[u8], shapes: &[Vec<usize>], values: usize) -> Result<TractNode> {
        let model = onnx::parse(model)?;
        catch_panic(ErrorKind::Model, "the optimizer", || {
            let cannot = |error: &TractError| refused("cannot be prepared", error);
            let optimized = tract_onnx::onnx()
                .parse(&model, None)
                .and_then(|parsed| parsed.model.into_optimized())
                .map_err(|error| cannot(&error))?;
            let fact = optimized.output_fact(0).map_err(|error| cannot(&error))?;
            let shape = fact.shape.as_concrete().unwrap_or_default();
            if fact.datum_type != f32::datum_type() || shape.iter().product::<usize>() != values {
                return Err(failed(format!(
                    "gives {shape:?} instead of {values} values"
                )));
            }
            if optimized.inputs.len() != shapes.len() {
                return Err(failed("takes another number of inputs"));
            }
            Ok(TractNode {
                plan: optimized.into_runnable().map_err(|error| cannot(&error))?,
                shapes: shapes.to_vec(),
            })
        })
    }

    /// Runs on row-major values of the shapes that it was made for.
    pub(super) fn run(&self, inputs: &[&[f32]], output: &mut [f32]) -> Result<()> {
        catch_panic(ErrorKind::Model, "a node on tract", || {
            let cannot = |error: &TractError| refused("a node failed", error);
            let tensors = inputs.iter().zip(&self.shapes).map(|(values, shape)| {
                tract_onnx::prelude::Tensor::from_shape(shape, values).map(IntoTValue::into_tvalue)
            });
            let tensors = tensors
                .collect::<TractResult<_>>()
                .map_err(|error| cannot(&error))?;
            let results = self.plan.run(tensors).map_err(|error| cannot(&error))?;
            let result = results
                .first()
                .ok_or_else(|| failed("a node gave no output"))?;
            let view = result
                .to_plain_array_view::<f32>()
                .map_err(|error| cannot(&error))?;
            if view.len() != output.len() {
                return Err(failed("a node gave another number of values"));
            }
            output
                .iter_mut()
                .zip(view.iter())
                .for_each(|(to, &from)| *to = from);
            Ok(())
        })
    }
}

/// An operator that tract doesn't know would surface later, as a dump of its node.
fn check_operators(importer: &tract_onnx::Onnx, model: &tract_onnx::pb::ModelProto) -> Result<()> {
    let nodes = model.graph.iter().flat_map(|graph| &graph.node);
    for node in nodes {
        if !importer.op_register.0.contains_key(&node.op_type) {
            return Err(failed(format!(
                "node {:?}: operator {:?} is not supported",
                node.name, node.op_type
            )));
        }
    }
    Ok(())
}

/// How many scores the only output holds: `[1, C]`, or `[1, C, 1, 1]` and the like.
fn classes(model: &TypedModel, name: &str) -> Result<usize> {
    let fact = model
        .output_fact(0)
        .map_err(|error| refused("no output", &error))?;
    let Some(shape) = fact.shape.as_concrete() else {
        return Err(failed(format!(
            "output {name:?} has no fixed shape ({:?})",
            fact.shape
        )));
    };
    if fact.datum_type != f32::datum_type() {
        return Err(failed(format!(
            "not a classifier: output {name:?} is of type {:?}; logits are f32",
            fact.datum_type
        )));
    }
    let classes = shape.iter().copied().max().unwrap_or(0);
    let row = shape.first() == Some(&1) && shape.iter().filter(|&&side| side != 1).count() == 1;
    if !row || classes < 2 {
        return Err(failed(format!(
            "not a classifier: output {name:?} has shape {shape:?}, not [1, classes] with at \
             least 2 classes"
        )));
    }
    Ok(classes)
}

/// How many values the second output holds, where it is a vector.
fn features(model: &TypedModel) -> usize {
    let second = model.outputs.get(1);
    let Some(fact) = second.and_then(|_| model.output_fact(1).ok()) else {
        return 0;
    };
    let shape = fact.shape.as_concrete().unwrap_or_default();
    let vector = shape.iter().filter(|&&side| side != 1).count() <= 1;
    match vector && fact.datum_type == f32::datum_type() {
        true => shape.iter().product(),
        false => 0,
    }
}

/// tract's error as ours: its chain of contexts in one line of bounded length.
pub(super) fn refused(doing: &str, error: &TractError) -> Error {
    let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
    let mut cause: String = chain
        .join(": ")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    if let Some((cut, _)) = cause.char_indices().nth(MAX_CAUSE_CHARS) {
        cause.truncate(cut);
        cause.push('…');
    }
    failed(format!("{doing}: {cause}"))
}
