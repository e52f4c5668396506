//! ONNX' sums and products: of two tensors, or of a tensor and a constant per channel.

use tract_onnx::pb::NodeProto;

use super::super::onnx::failed;
use super::attributes::float;
use super::nodes::constant_floats;
use super::value::{Layout, Pending, PendingOp, Stored, Value};
use super::{Fused, Import, unmatched};

impl Import<'_> {
    pub(super) fn add(&mut self, node: &NodeProto) -> Fused<Value> {
        let sign = if node.op_type == "Sub" { -1.0 } else { 1.0 };
        let (left, right) = (self.operand(node, 0)?, self.operand(node, 1)?);
        let (value, other, swapped) = match (constant_floats(&left), constant_floats(&right)) {
            (None, Some(floats)) => (left, Some((floats, right.sides().to_vec())), false),
            (Some(floats), None) => (right, Some((floats, left.sides().to_vec())), true),
            (None, None) => (left, None, false),
            (Some(_), Some(_)) => return unmatched("it adds constants"),
        };
        if let Some((floats, sides)) = other {
            if swapped && sign < 0.0 {
                return unmatched("it subtracts from a constant");
            }
            let constant = if swapped {
                self.input(node, 0)?
            } else {
                self.input(node, 1)?
            };
            let stored = Stored::offset_of(constant).filter(|_| sign > 0.0);
            let alone = matches!(value, Value::Dequantized(_));
            let floats = floats.iter().map(|value| value * sign).collect();
            let mut sum = self.affine(node, value, (vec![1.0], vec![1]), (floats, sides))?;
            if let Value::Pending(Pending {
                op: PendingOp::Affine { stored: of, .. },
                ..
            }) = &mut sum
            {
                *of = stored.filter(|_| alone);
            }
            return Ok(sum);
        }
        if sign < 0.0 {
            return unmatched("it subtracts tensors");
        }
        let (a, b) = (self.view(node, 0)?, self.view(node, 1)?);
        if a.layout.sides != b.layout.sides {
            return unmatched("its inputs differ in shape");
        }
        let (a, b) = (self.settled(&node.name, a)?, self.settled(&node.name, b)?);
        if a.layout.memory_sides() != b.layout.memory_sides() || !a.layout.lies_as(&b.layout.order)
        {
            return unmatched("its inputs lie in different orders");
        }
        let layout = a.layout.clone();
        Ok(self.pending(node, layout, PendingOp::Add(Box::new([a, b]))))
    }

    pub(super) fn mul(&mut self, node: &NodeProto) -> Fused<Value> {
        let (left, right) = (self.operand(node, 0)?, self.operand(node, 1)?);
        let (value, floats, sides) = match (constant_floats(&left), constant_floats(&right)) {
            (None, Some(floats)) => (left, floats, right.sides().to_vec()),
            (Some(floats), None) => (right, floats, left.sides().to_vec()),
            _ => return unmatched("it multiplies tensors"),
        };
        self.affine(node, value, (floats, sides), (vec![0.0], vec![1]))
    }

    pub(super) fn batch_normalization(&mut self, node: &NodeProto) -> Fused<Value> {
        let mut parameters = Vec::with_capacity(4);
        for index in 1..5 {
            match constant_floats(self.input(node, index)?) {
                Some(floats) => parameters.push(floats),
                None => return unmatched("its parameters are computed"),
            }
        }
        let epsilon = f64::from(float(node, "epsilon", 1e-5));
        let [gamma, beta, mean, variance] = parameters.as_slice() else {
            return unmatched("it has other than four parameters");
        };
        let channels = gamma.len();
        if [beta, mean, variance]
            .iter()
            .any(|values| values.len() != channels)
        {
            return Err(failed("its parameters differ in length").into());
        }
        let scale: Vec<f32> = (0..channels)
            .map(|c| (f64::from(gamma[c]) / (f64::from(variance[c]) + epsilon).sqrt()) as f32)
            .collect();
        let offset = (0..channels)
            .map(|c| (f64::from(beta[c]) - f64::from(mean[c]) * f64::from(scale[c])) as f32)
            .collect();
        let value = self.operand(node, 0)?;
        let mut sides = vec![1; value.sides().len()];
        if let Some(side) = sides.get_mut(1) {
            *side = channels;
        }
        self.affine(node, value, (scale, sides.clone()), (offset, sides))
    }

    /// `value * scale + offset`, each a constant with its shape.
    fn affine(
        &mut self,
        node: &NodeProto,
        value: Value,
        scale: (Vec<f32>, Vec<usize>),
        offset: (Vec<f32>, Vec<usize>),
    ) -> Fused<Value> {
        if scale
            .0
            .iter()
            .chain(&offset.0)
            .any(|value| !value.is_finite())
        {
            return Err(failed("a constant is not finite").into());
        }
        // Mul and Add of one batch norm, with nothing between them, are one step.
        let (input, before) = match value {
            value @ (Value::Dequantized(_) | Value::Segmented(_)) => {
                let input = self.as_segmented(&node.name, value)?;
                (input, (vec![1.0], vec![0.0]))
            }
            Value::Pending(Pending {
                op:
                    PendingOp::Affine {
                        input,
                        scale,
                        offset,
                        ..
                    },
                low,
                high,
                ..
            }) if low == f32::NEG_INFINITY && high == f32::INFINITY => (input, (scale, offset)),
            _ => return unmatched("its input is not a quantized tensor"),
        };
        let (Some(scale), Some(offset)) = (
            per_channel(&scale.0, &scale.1, &input.layout),
            per_channel(&offset.0, &offset.1, &input.layout),
        ) else {
            return unmatched("its constant is not one value per channel");
        };
        let channels = [&scale, &offset, &before.0, &before.1]
            .iter()
            .map(|v| v.len())
            .max()
            .unwrap_or(1);
        let composed_scale = (0..channels)
            .map(|c| of_channel(&before.0, c) * of_channel(&scale, c))
            .collect();
        let composed_offset = (0..channels)
            .map(|c| of_channel(&before.1, c) * of_channel(&scale, c) + of_channel(&offset, c))
            .collect();
        let layout = input.layout.clone();
        Ok(self.pending(
            node,
            layout,
            PendingOp::Affine {
                input,
                scale: composed_scale,
                offset: composed_offset,
                stored: None,
            },
        ))
    }
}

/// A channel's value of constants that are one per channel, or one for all.
pub(super) fn of_channel(values: &[f32], channel: usize) -> f32 {
    let value = values.get(channel).or(values.first());
    value.copied().unwrap_or(0.0)
}

/// A constant as one value per innermost side of `layout`, or one for all.
fn per_channel(values: &[f32], sides: &[usize], layout: &Layout) -> Option<Vec<f32>> {
    if values.len() == 1 {
        return Some(values.to_vec());
    }
    // Shapes are aligned at their last sides.
    let missing = layout.sides.len().checked_sub(sides.len())?;
    let mut long = sides.iter().enumerate().filter(|(_, side)| **side != 1);
    let (at, &length) = long.next()?;
    let innermost = layout.innermost()?;
    let fits =
        long.next().is_none() && missing + at == innermost && layout.sides[innermost] == length;
    fits.then(|| values.to_vec())
}
