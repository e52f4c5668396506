//! A node's attributes by name, with ONNX' defaults.

use tract_onnx::pb::{AttributeProto, NodeProto};

use super::super::onnx::failed;
use crate::error::Result;

fn find<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute
        .iter()
        .find(|attribute| attribute.name == name)
}

/// An integer attribute, or its default.
pub(super) fn int(node: &NodeProto, name: &str, default: i64) -> i64 {
    find(node, name).map_or(default, |attribute| attribute.i)
}

/// A float attribute, or its default.
pub(super) fn float(node: &NodeProto, name: &str, default: f32) -> f32 {
    find(node, name).map_or(default, |attribute| attribute.f)
}

/// A list of integers, or none.
pub(super) fn ints<'a>(node: &'a NodeProto, name: &str) -> Option<&'a [i64]> {
    find(node, name).map(|attribute| attribute.ints.as_slice())
}

/// A text attribute, or its default.
pub(super) fn text<'a>(node: &'a NodeProto, name: &str, default: &'a str) -> &'a str {
    find(node, name).map_or(default, |attribute| {
        std::str::from_utf8(&attribute.s).unwrap_or(default)
    })
}

/// A constant's tensor.
pub(super) fn tensor<'a>(
    node: &'a NodeProto,
    name: &str,
) -> Option<&'a tract_onnx::pb::TensorProto> {
    find(node, name).and_then(|attribute| attribute.t.as_ref())
}

/// Two small numbers such as strides.
pub(super) fn pair(node: &NodeProto, name: &str, default: usize) -> Result<(usize, usize)> {
    match ints(node, name) {
        None | Some([]) => Ok((default, default)),
        Some(&[a, b]) => match (small(a), small(b)) {
            (Some(a), Some(b)) => Ok((a, b)),
            _ => Err(failed(format!("{name} {a}, {b} cannot be meant"))),
        },
        Some(list) => Err(failed(format!(
            "{name} has {} numbers instead of 2",
            list.len()
        ))),
    }
}

/// Numbers of pixels beyond any photo would only serve to overflow.
pub(super) fn small(number: i64) -> Option<usize> {
    usize::try_from(number)
        .ok()
        .filter(|&number| number <= 1 << 16)
}

/// An axis, counted from the end where it is negative.
pub(super) fn axis(number: i64, rank: usize) -> Result<usize> {
    let rank_i64 = i64::try_from(rank).unwrap_or(i64::MAX);
    let from_start = if number < 0 {
        number.saturating_add(rank_i64)
    } else {
        number
    };
    usize::try_from(from_start)
        .ok()
        .filter(|&axis| axis < rank)
        .ok_or_else(|| failed(format!("axis {number} of {rank} sides")))
}
