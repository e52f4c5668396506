//! ONNX to plan: the fusion pass.
//!
//! It reads the ONNX graph itself, not tract's typed one: there, the quantization nodes
//! are already casts and arithmetic, and some are folded wrongly. Nodes are visited in
//! order of their inputs; a DequantizeLinear is only a label on a tensor, an operation
//! on such labels is kept pending, and the QuantizeLinear behind it makes a step of the
//! two. What has no integer form becomes a step that tract runs.
//!
//! Pieces: [`value`] what a name stands for, [`nodes`], [`elementwise`] and [`shapes`] ONNX'
//! operators, [`joined`] concatenations, [`emit`] pending operations into steps,
//! [`leftover`] the rest, on tract.

mod attributes;
mod elementwise;
mod emit;
mod joined;
mod leftover;
mod nodes;
mod places;
mod shapes;
mod value;

use std::collections::HashMap;

use tract_onnx::pb::{GraphProto, NodeProto};

use self::value::{Constant, Layout, Value};
use super::onnx::{OnnxFile, failed};
use super::plan::{self, Kind, Op, Plan, Port, Step, TensorId, TensorInfo};
use super::tensor::TensorType;
use crate::error::{Error, Result};

/// Why a node was not fused.
enum Refusal {
    /// It has no integer form: tract may run it.
    Unmatched(String),
    /// It is wrong.
    Wrong(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::Wrong(error)
    }
}

type Fused<T> = std::result::Result<T, Refusal>;

fn unmatched<T>(why: impl Into<String>) -> Fused<T> {
    Err(Refusal::Unmatched(why.into()))
}

/// Makes the plan of an ONNX file, or says why there is none: `Ok(Err(why))` where the
/// network can only run on tract as a whole.
///
/// # Errors
/// `Model` where the network is wrong: the message names the node and the cause.
pub(super) fn import(file: &OnnxFile, bytes: &[u8]) -> Result<std::result::Result<Plan, String>> {
    let graph = file
        .model
        .graph
        .as_ref()
        .ok_or_else(|| failed("no graph"))?;
    let quantized =
        |node: &NodeProto| node.op_type == "QuantizeLinear" || node.op_type == "DequantizeLinear";
    if !graph.node.iter().any(quantized) {
        return Ok(Err("the network is not quantized".to_owned()));
    }
    let mut import = Import::new(file, bytes, graph)?;
    for node in in_order(graph)? {
        match import.node(node) {
            Ok(()) => {}
            Err(Refusal::Unmatched(why)) => {
                return Ok(Err(format!(
                    "node {:?} ({}): {why}",
                    node.name, node.op_type
                )));
            }
            Err(Refusal::Wrong(error)) => {
                return Err(error.context(format_args!("node {:?} ({})", node.name, node.op_type)));
            }
        }
    }
    match import.finish(&file.output_name) {
        Ok(plan) => Ok(Ok(plan)),
        Err(Refusal::Unmatched(why)) => Ok(Err(why)),
        Err(Refusal::Wrong(error)) => Err(error),
    }
}

/// A plan under construction.
struct Import<'a> {
    bytes: &'a [u8],
    values: HashMap<String, Value>,
    /// Which node makes a value, for those that tract is to compute after all.
    makers: HashMap<&'a str, &'a NodeProto>,
    /// Where initializers' bytes lie in the file.
    places: HashMap<String, usize>,
    opset: i64,
    model: &'a tract_onnx::pb::ModelProto,
    plan: Plan,
}

impl<'a> Import<'a> {
    fn new(file: &'a OnnxFile, bytes: &'a [u8], graph: &'a GraphProto) -> Result<Import<'a>> {
        let opset = file.model.opset_import.iter();
        let opset = opset.filter(|set| set.domain.is_empty() || set.domain == "ai.onnx");
        let mut import = Import {
            bytes,
            values: HashMap::new(),
            makers: HashMap::new(),
            places: places::of_raw_data(bytes),
            opset: opset.map(|set| set.version).max().unwrap_or(0),
            model: &file.model,
            plan: Plan {
                input: Port {
                    name: file.input_name.clone(),
                    shape: file.input_shape.clone(),
                    kind: file.input_type,
                    tensor: 0,
                },
                output: 0,
                tensors: Vec::new(),
                steps: Vec::new(),
                inline: Vec::new(),
            },
        };
        for tensor in &graph.initializer {
            let constant = Constant::new(&tensor.name, tensor)?;
            import
                .values
                .insert(tensor.name.clone(), Value::Constant(constant));
        }
        for node in &graph.node {
            import
                .makers
                .extend(node.output.iter().map(|name| (name.as_str(), node)));
        }
        let layout = Layout::row_major(file.input_shape.clone());
        let value = match file.input_type {
            TensorType::F32 => Value::Float {
                tensor: import.tensor(Kind::Float, &layout),
                layout,
            },
            kind => Value::Bytes {
                tensor: import.tensor(Kind::Byte, &layout),
                layout,
                signed: kind == TensorType::I8,
            },
        };
        import.values.insert(file.input_name.clone(), value);
        Ok(import)
    }

    /// A new tensor for values of this layout.
    fn tensor(&mut self, kind: Kind, layout: &Layout) -> TensorId {
        let (height, width, channels) = in_memory(layout);
        self.plan.tensors.push(TensorInfo {
            kind,
            height,
            width,
            channels,
            segment_of: None,
        });
        self.plan.tensors.len() - 1
    }

    fn step(&mut self, node: &str, inputs: &[TensorId], output: TensorId, op: Op) {
        self.plan.steps.push(Step {
            node: node.to_owned(),
            inputs: inputs.to_vec(),
            output,
            op,
        });
    }

    fn node(&mut self, node: &'a NodeProto) -> Fused<()> {
        let value = match self.fuse(node) {
            Ok(value) => value,
            Err(Refusal::Unmatched(why)) => self.leftover(node, why)?,
            Err(wrong) => return Err(wrong),
        };
        match node.output.first() {
            Some(name) => self.values.insert(name.clone(), value),
            None => return Err(failed("has no output").into()),
        };
        Ok(())
    }

    /// The value of input `index`; an absent optional one has an empty name.
    fn input(&self, node: &NodeProto, index: usize) -> Fused<&Value> {
        match self.optional(node, index)? {
            Some(value) => Ok(value),
            None => Err(failed(format!("input {index} is missing")).into()),
        }
    }

    fn optional(&self, node: &NodeProto, index: usize) -> Fused<Option<&Value>> {
        match node.input.get(index).map(String::as_str) {
            None | Some("") => Ok(None),
            Some(name) => match self.values.get(name) {
                Some(value) => Ok(Some(value)),
                None => Err(failed(format!("input {name:?} comes from no node")).into()),
            },
        }
    }

    fn finish(mut self, output: &str) -> Fused<Plan> {
        let (tensor, layout) = self.float(output)?;
        let row = layout.sides.first() == Some(&1)
            && layout.sides.iter().filter(|&&side| side != 1).count() == 1;
        if !row {
            return Err(failed(format!(
                "not a classifier: output {output:?} has shape {:?}, not [1, classes] with at \
                 least 2 classes",
                layout.sides
            ))
            .into());
        }
        self.plan.output = tensor;
        plan::join_in_place(&mut self.plan);
        plan::drop_unused(&mut self.plan);
        Ok(self.plan)
    }
}

/// Height, width and channels of a layout in memory: what has other than four sides is
/// one row of pixels.
fn in_memory(layout: &Layout) -> (usize, usize, usize) {
    match layout.memory_sides().as_slice() {
        [1, height, width, channels] => (*height, *width, *channels),
        [outer @ .., channels] if layout.values() != *channels => {
            (1, outer.iter().product(), *channels)
        }
        _ => (1, 1, layout.values()),
    }
}

/// The nodes, each behind those that make its inputs.
fn in_order(graph: &GraphProto) -> Result<Vec<&NodeProto>> {
    let mut makers: HashMap<&str, usize> = HashMap::new();
    for (at, node) in graph.node.iter().enumerate() {
        for output in node.output.iter().filter(|name| !name.is_empty()) {
            if makers.insert(output, at).is_some() {
                return Err(failed(format!("tensor {output:?} comes from two nodes")));
            }
        }
    }
    let mut waits: Vec<usize> = Vec::with_capacity(graph.node.len());
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); graph.node.len()];
    for (at, node) in graph.node.iter().enumerate() {
        let made = node
            .input
            .iter()
            .filter_map(|name| makers.get(name.as_str()));
        let mut count = 0;
        for &maker in made {
            readers[maker].push(at);
            count += 1;
        }
        waits.push(count);
    }
    let mut ready: std::collections::VecDeque<usize> =
        (0..waits.len()).filter(|&at| waits[at] == 0).collect();
    let mut order = Vec::with_capacity(waits.len());
    while let Some(at) = ready.pop_front() {
        order.push(at);
        for &reader in &readers[at] {
            waits[reader] -= 1;
            if waits[reader] == 0 {
                ready.push_back(reader);
            }
        }
    }
    if let Some(at) = waits.iter().position(|&count| count > 0) {
        let name = &graph.node[at].name;
        return Err(failed(format!(
            "node {name:?} waits for its own result: the graph has a cycle"
        )));
    }
    // The file's own order, where it is one, keeps memory use as its maker meant it.
    let in_place: Vec<usize> = (0..graph.node.len()).collect();
    let mut seen = vec![false; order.len()];
    let sorted = graph.node.iter().enumerate().all(|(at, node)| {
        seen[at] = true;
        let mut made = node
            .input
            .iter()
            .filter_map(|name| makers.get(name.as_str()));
        made.all(|&maker| seen[maker])
    });
    let order = if sorted { in_place } else { order };
    Ok(order.into_iter().map(|at| &graph.node[at]).collect())
}
