//! Reads an ONNX file and says what stands at its ends, before anything heavy
//! touches it: one image in, one row of logits out.
//!
//! Errors are made here, in the file's own names, because the runtime's speak of
//! its internal graph. What lies between the ends is checked only as far as a
//! hostile or half-written file could do harm.

use std::collections::HashSet;

use prost::Message;
use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::tensor_shape_proto::dimension;

use super::TensorType;
use crate::error::{Error, ErrorKind, Result};

/// More values than any photo classifier takes; a shape beyond would only serve to
/// exhaust memory.
const MAX_INPUT_VALUES: usize = 1 << 26;

/// A parsed file and its one input, batch bound to 1.
pub(super) struct OnnxFile {
    pub(super) model: pb::ModelProto,
    pub(super) input_name: String,
    pub(super) input_type: TensorType,
    pub(super) input_shape: Vec<usize>,
    pub(super) output_name: String,
}

pub(super) fn failed(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Model, message)
}

/// Parses the protobuf, and no more than that: has it a graph with nodes?
pub(super) fn parse(bytes: &[u8]) -> Result<pb::ModelProto> {
    if bytes.is_empty() {
        return Err(failed("not an ONNX model: the file is empty"));
    }
    let model = pb::ModelProto::decode(bytes)
        .map_err(|error| failed("not an ONNX model, or cut short").with_source(error))?;
    let Some(graph) = &model.graph else {
        // Protobuf has no magic number: many short files parse as an empty model.
        return Err(failed("not an ONNX model: it holds no graph"));
    };
    if graph.node.is_empty() {
        return Err(failed("the ONNX graph has no nodes"));
    }
    // It stands behind the graph, so a file cut between the two shows here.
    let standard = |domain: &str| domain.is_empty() || domain == "ai.onnx";
    if !model.opset_import.iter().any(|set| standard(&set.domain)) {
        return Err(failed(
            "the ONNX model names no operator set, or is cut short",
        ));
    }
    Ok(model)
}

/// Parses the file and checks its ends.
pub(super) fn read(bytes: &[u8]) -> Result<OnnxFile> {
    let mut model = parse(bytes)?;
    let graph = model.graph.as_mut().ok_or_else(|| failed("no graph"))?;
    check_tensors(graph)?;

    let stored: HashSet<&str> = graph
        .initializer
        .iter()
        .map(|tensor| tensor.name.as_str())
        .collect();
    // Before IR version 4, initializers are listed among the inputs.
    let inputs: Vec<&str> = graph
        .input
        .iter()
        .map(|input| input.name.as_str())
        .filter(|name| !stored.contains(name))
        .collect();
    let input_name = match inputs.as_slice() {
        &[name] => name.to_owned(),
        _ => return Err(not_a_classifier("input", "one image", &inputs)),
    };
    let outputs: Vec<&str> = graph.output.iter().map(|o| o.name.as_str()).collect();
    let output_name = match outputs.as_slice() {
        &[name] => name.to_owned(),
        _ => return Err(not_a_classifier("output", "one row of scores", &outputs)),
    };
    let made_somewhere = graph
        .node
        .iter()
        .any(|node| node.output.contains(&output_name));
    if !made_somewhere {
        return Err(failed(format!("output {output_name:?} comes from no node")));
    }

    let input = graph
        .input
        .iter_mut()
        .find(|input| input.name == input_name)
        .ok_or_else(|| failed("no input"))?;
    let (input_type, input_shape) = bind_input(input)?;
    Ok(OnnxFile {
        model,
        input_name,
        input_type,
        input_shape,
        output_name,
    })
}

/// The tensor that the last node with weights reads: between it and the output only the shape or the number format
/// changes.
pub(super) fn features_name(file: &OnnxFile) -> Option<String> {
    let graph = file.model.graph.as_ref()?;
    let mut wanted = &file.output_name;
    // As many steps as there are nodes: a file may hold a circle.
    for _ in &graph.node {
        let maker = graph.node.iter().find(|n| n.output.contains(wanted))?;
        let input = maker.input.first()?;
        match maker.op_type.as_str() {
            "Gemm" | "MatMul" | "Conv" => return Some(input.clone()),
            "Add" | "Flatten" | "Reshape" | "Squeeze" | "QuantizeLinear" | "DequantizeLinear"
            | "Identity" | "Softmax" => wanted = input,
            _ => return None,
        }
    }
    None
}

fn not_a_classifier(what: &str, wanted: &str, names: &[&str]) -> Error {
    let list = match names {
        [] => "none".to_owned(),
        [first @ .., _] if names.len() > 4 => {
            let first: Vec<&str> = first.iter().take(4).copied().collect();
            format!("{} ({}, …)", names.len(), first.join(", "))
        }
        _ => format!("{} ({})", names.len(), names.join(", ")),
    };
    failed(format!(
        "not a classifier: it must have one {what} ({wanted}), and has {list}"
    ))
}

/// The input's type and shape. A batch without a number becomes 1, in the file too,
/// so that shape inference starts from numbers.
fn bind_input(input: &mut pb::ValueInfoProto) -> Result<(TensorType, Vec<usize>)> {
    let name = &input.name;
    let Some(pb::type_proto::Value::TensorType(tensor)) =
        input.r#type.as_mut().and_then(|kind| kind.value.as_mut())
    else {
        return Err(failed(format!("input {name:?} is not a tensor")));
    };
    let kind = match DataType::try_from(tensor.elem_type) {
        Ok(DataType::Uint8) => TensorType::U8,
        Ok(DataType::Int8) => TensorType::I8,
        Ok(DataType::Float) => TensorType::F32,
        Ok(other) => {
            return Err(failed(format!(
                "not a photo classifier: input {name:?} is of type {}; u8, i8 or f32 is taken",
                other.as_str_name().to_lowercase()
            )));
        }
        Err(_) => return Err(failed(format!("input {name:?} is of an unknown type"))),
    };
    let Some(shape) = tensor.shape.as_mut() else {
        return Err(failed(format!("input {name:?} has no shape")));
    };
    let rank = shape.dim.len();
    let mut sides = Vec::with_capacity(rank);
    for (axis, side) in shape.dim.iter_mut().enumerate() {
        let number = match &side.value {
            Some(dimension::Value::DimValue(number)) if *number > 0 => Some(*number),
            _ => None,
        };
        let number = match number {
            Some(number) => number,
            None if axis == 0 => 1,
            None => {
                return Err(failed(format!(
                    "side {axis} of input {name:?} has no number: export the model with a \
                     fixed image size (only the batch may stay open)"
                )));
            }
        };
        side.value = Some(dimension::Value::DimValue(number));
        sides.push(usize::try_from(number).unwrap_or(usize::MAX));
    }
    if rank == 4 && sides.first() != Some(&1) {
        return Err(failed(format!(
            "input {name:?} has shape {sides:?}: export the model with a batch of 1, or an open one"
        )));
    }
    let values = sides
        .iter()
        .try_fold(1_usize, |product, &side| product.checked_mul(side));
    if values.is_none_or(|values| values > MAX_INPUT_VALUES) {
        return Err(failed(format!(
            "input {name:?} of shape {sides:?} is beyond {MAX_INPUT_VALUES} values"
        )));
    }
    Ok((kind, sides))
}

/// Weights must be in the file: one that points to other files would make opening a
/// bundle read whatever lies at those paths.
fn check_tensors(graph: &pb::GraphProto) -> Result<()> {
    let attributes = graph.node.iter().flat_map(|node| &node.attribute);
    let constants = attributes.filter_map(|attribute| attribute.t.as_ref());
    for tensor in graph.initializer.iter().chain(constants) {
        if tensor.data_location == Some(DataLocation::External as i32) {
            return Err(failed(format!(
                "the weights of {:?} are in another file: save the model as a single file",
                tensor.name
            )));
        }
    }
    Ok(())
}
