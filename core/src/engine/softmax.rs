//! Softmax at a network's end, and around QuantizeLinear.
//!
//! tract 0.23.9 folds `DequantizeLinear → Softmax → QuantizeLinear` into a look-up
//! table, as if softmax were element-wise: every score comes out as 1. So the pair
//! that quantizes a final softmax is taken out before tract sees it (what remains is
//! exact), and a quantized softmax anywhere else is refused. For bundles, whose
//! scores are computed by `decision`, the final softmax goes too.

use prost::Message;
use tract_onnx::pb;

use super::onnx::{self, failed};
use crate::error::Result;

/// The ONNX file without its final softmax, so that it ends at its logits, or `None`
/// where it has none. The output keeps its name.
///
/// # Errors
/// `Model` where the bytes are not an ONNX model, or end in scores that cannot be
/// turned back into logits by leaving one node out.
pub fn without_softmax(onnx: &[u8]) -> Result<Option<Vec<u8>>> {
    let mut model = onnx::parse(onnx)?;
    let Some(graph) = &mut model.graph else {
        return Ok(None);
    };
    let cut = cut_end(graph, Keep::Nothing);
    if let Some(node) = score_node(graph) {
        return Err(failed(format!(
            "node {:?}: the network ends in the scores of a {}, not in logits; export it \
             without that node",
            node.name, node.op_type
        )));
    }
    Ok(cut.then(|| model.encode_to_vec()))
}

/// The node that makes scores of logits on the straight way to the output, if any.
fn score_node(graph: &pb::GraphProto) -> Option<&pb::NodeProto> {
    let mut tensor = &graph.output.first()?.name;
    // Bounded, because a damaged graph may run in a circle.
    for _ in 0..graph.node.len() {
        let node = graph
            .node
            .iter()
            .find(|node| node.output.contains(tensor))?;
        match node.op_type.as_str() {
            "Softmax" | "Sigmoid" | "HardSigmoid" => return Some(node),
            "Identity" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Clip" | "Cast"
            | "Transpose" | "QuantizeLinear" | "DequantizeLinear" => tensor = node.input.first()?,
            _ => return None,
        }
    }
    None
}

/// Makes the graph one that tract computes rightly, or says why it cannot.
pub(super) fn disarm(graph: &mut pb::GraphProto) -> Result<()> {
    cut_end(graph, Keep::Softmax);
    let armed = graph.node.iter().find(|softmax| {
        let quantized = |node: &pb::NodeProto| {
            node.op_type == "QuantizeLinear" && node.input.first() == softmax.output.first()
        };
        softmax.op_type == "Softmax" && graph.node.iter().any(quantized)
    });
    match armed {
        Some(node) => Err(failed(format!(
            "node {:?}: a quantized Softmax inside the network is not supported",
            node.name
        ))),
        None => Ok(()),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Softmax,
    Nothing,
}

/// Takes the nodes between the final softmax and the output out of the graph, and
/// the softmax itself unless it is to be kept. Gives whether there was anything to
/// take; a graph that uses one of the nodes elsewhere stays as it is.
fn cut_end(graph: &mut pb::GraphProto, keep: Keep) -> bool {
    let Some(output) = graph.output.first().map(|output| output.name.clone()) else {
        return false;
    };
    let mut end = Vec::new();
    let mut tensor = output.clone();
    let softmax = loop {
        let made = |node: &pb::NodeProto| node.output.contains(&tensor);
        let Some(at) = graph.node.iter().position(made) else {
            return false;
        };
        // A damaged graph may run in a circle.
        if end.contains(&at) {
            return false;
        }
        let Some(node) = graph.node.get(at) else {
            return false;
        };
        match (node.op_type.as_str(), node.input.first()) {
            ("Softmax", Some(_)) => break at,
            ("QuantizeLinear" | "DequantizeLinear" | "Identity", Some(input)) => {
                end.push(at);
                tensor.clone_from(input);
            }
            _ => return false,
        }
    };
    if keep == Keep::Nothing {
        end.push(softmax);
        let input = graph.node.get(softmax).and_then(|node| node.input.first());
        tensor = input.cloned().unwrap_or_default();
    }
    let removed: Vec<&String> = end
        .iter()
        .filter_map(|&at| graph.node.get(at))
        .flat_map(|node| &node.output)
        .collect();
    let used_elsewhere = graph.node.iter().enumerate().any(|(at, node)| {
        !end.contains(&at) && node.input.iter().any(|input| removed.contains(&input))
    });
    if end.is_empty() || used_elsewhere {
        return false;
    }
    let mut at = 0;
    graph.node.retain(|_| {
        at += 1;
        !end.contains(&(at - 1))
    });
    graph.node.push(pb::NodeProto {
        op_type: "Identity".to_owned(),
        name: format!("{output}/end"),
        input: vec![tensor],
        output: vec![output],
        ..Default::default()
    });
    true
}
