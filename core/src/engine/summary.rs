//! Counts a network's convolutions, and how many of them are int8, from the ONNX
//! file alone: quick, and independent of what an optimizer makes of it.

use std::collections::HashMap;

use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;

use super::onnx;
use crate::error::Result;

/// What a network is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetworkSummary {
    /// Convolutions of any kind (`Conv`, `QLinearConv`, `ConvInteger`).
    pub convolutions: usize,
    /// Those that take 8-bit integers for both image and weights: a `Conv` whose
    /// two come from `DequantizeLinear` (QDQ), or an integer operator.
    pub convolutions_int8: usize,
}

/// Reads the network's summary from an ONNX file's bytes, without preparing it to
/// run. Any thread.
///
/// # Errors
/// `Model` where the bytes are not an ONNX model.
pub fn summarize(onnx: &[u8]) -> Result<NetworkSummary> {
    let model = onnx::parse(onnx)?;
    let Some(graph) = &model.graph else {
        return Ok(NetworkSummary {
            convolutions: 0,
            convolutions_int8: 0,
        });
    };
    let origins = Origins::of(graph);
    let mut summary = NetworkSummary {
        convolutions: 0,
        convolutions_int8: 0,
    };
    for node in &graph.node {
        let int8 = match node.op_type.as_str() {
            "QLinearConv" | "ConvInteger" => true,
            "Conv" => {
                let mut operands = node.input.iter().take(2);
                operands.len() == 2 && operands.all(|name| origins.is_int8(name))
            }
            _ => continue,
        };
        summary.convolutions += 1;
        summary.convolutions_int8 += usize::from(int8);
    }
    Ok(summary)
}

/// Which node makes a tensor, and the types of the stored ones.
struct Origins<'a> {
    nodes: HashMap<&'a str, &'a pb::NodeProto>,
    stored: HashMap<&'a str, i32>,
}

impl<'a> Origins<'a> {
    fn of(graph: &'a pb::GraphProto) -> Origins<'a> {
        let outputs = |node: &'a pb::NodeProto| node.output.iter().map(move |name| (&**name, node));
        let stored = graph.initializer.iter();
        Origins {
            nodes: graph.node.iter().flat_map(outputs).collect(),
            stored: stored
                .map(|tensor| (&*tensor.name, tensor.data_type))
                .collect(),
        }
    }

    /// Whether `name` is a dequantized 8-bit tensor, seen through operators that
    /// only move values.
    fn is_int8(&self, name: &'a str) -> bool {
        let mut name = name;
        // Bounded, because a damaged graph may run in a circle.
        for _ in 0..=self.nodes.len() {
            let Some(node) = self.nodes.get(name) else {
                return false;
            };
            let Some(input) = node.input.first() else {
                return false;
            };
            match node.op_type.as_str() {
                "DequantizeLinear" => {
                    // Computed integers (the photo, a QuantizeLinear) are 8-bit in
                    // every opset that the runtime takes; stored ones tell.
                    return self.stored.get(input.as_str()).is_none_or(|&kind| {
                        kind == DataType::Int8 as i32 || kind == DataType::Uint8 as i32
                    });
                }
                "Transpose" | "Pad" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze"
                | "Identity" | "Slice" | "MaxPool" => name = input,
                _ => return false,
            }
        }
        false
    }
}
