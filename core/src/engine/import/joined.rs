//! Concatenations. Behind a QuantizeLinear all parts are brought to its scale; without one each part
//! keeps the integers it has, and a multiply-add per channel behind them takes up their scales.

use tract_onnx::pb::NodeProto;

use super::super::onnx::failed;
use super::attributes::{axis, int};
use super::emit::lookup;
use super::value::{Dequantized, Layout, Levels, Pending, PendingOp, Segmented, Value};
use super::{Fused, Import, in_memory, unmatched};
use crate::engine::plan::{Kind, Op, TensorId};

const OPEN: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);

impl Import<'_> {
    pub(super) fn concat(&mut self, node: &NodeProto) -> Fused<Value> {
        let mut parts = Vec::with_capacity(node.input.len());
        for index in 0..node.input.len() {
            let value = self.operand(node, index)?;
            parts.push(self.as_segmented(&node.name, value)?);
        }
        let Some(first) = parts.first().map(|part| part.layout.clone()) else {
            return Err(failed("it joins nothing").into());
        };
        let along = axis(int(node, "axis", 0), first.sides.len())?;
        let innermost = parts.iter().all(|part| {
            let sides = &part.layout.sides;
            part.layout.lies_as(&first.order)
                && part.layout.order.last() == Some(&along)
                && sides.len() == first.sides.len()
                && (0..sides.len()).all(|side| side == along || sides[side] == first.sides[side])
        });
        if !innermost {
            return unmatched("it joins along another side than the channels");
        }
        let mut layout = first;
        let channels = parts.iter().filter_map(|part| part.layout.sides.get(along));
        layout.sides[along] = channels.sum();
        let views: Option<Vec<Dequantized>> = parts.iter().map(Segmented::single).collect();
        match views {
            Some(views) => Ok(self.pending(node, layout, PendingOp::Concat(views))),
            None => Ok(self.side_by_side(&node.name, &parts, layout)),
        }
    }

    /// Input `index`; a concatenation that waits for its QuantizeLinear waits no longer.
    pub(super) fn operand(&mut self, node: &NodeProto, index: usize) -> Fused<Value> {
        let value = self.input(node, index)?.clone();
        let Value::Pending(Pending {
            op: PendingOp::Concat(parts),
            layout,
            low,
            high,
            ..
        }) = &value
        else {
            return Ok(value);
        };
        if (*low, *high) != OPEN {
            return Ok(value);
        }
        let mut segmented = Vec::with_capacity(parts.len());
        for part in parts {
            segmented.push(self.as_segmented(&node.name, Value::Dequantized(part.clone()))?);
        }
        let joined = self.side_by_side(&node.name, &segmented, layout.clone());
        // Whatever else reads it reads the same memory.
        if let Some(name) = node.input.get(index) {
            self.values.insert(name.clone(), joined.clone());
        }
        Ok(joined)
    }

    /// A quantized value in segments, though they be one.
    pub(super) fn as_segmented(&mut self, node: &str, value: Value) -> Fused<Segmented> {
        match value {
            Value::Segmented(whole) => Ok(whole),
            Value::Dequantized(view) => {
                let view = self.settled(node, view)?;
                let levels = Levels {
                    channels: in_memory(&view.layout).2,
                    scale: view.scale,
                    zero_point: view.zero_point,
                };
                Ok(Segmented {
                    tensor: view.tensor,
                    layout: view.layout,
                    segments: vec![levels],
                })
            }
            _ => unmatched("what it reads is not quantized"),
        }
    }

    /// Parts in one tensor, each in its own integers.
    fn side_by_side(&mut self, node: &str, parts: &[Segmented], layout: Layout) -> Value {
        let copied = parts
            .iter()
            .map(|part| (part.tensor, &part.layout, Op::Copy));
        let tensor = self.side_by_side_by(node, copied, &layout);
        let whole = Segmented {
            tensor,
            layout,
            segments: parts
                .iter()
                .flat_map(|part| part.segments.clone())
                .collect(),
        };
        match whole.single() {
            Some(view) => Value::Dequantized(view),
            None => Value::Segmented(whole),
        }
    }

    /// Parts in one tensor, all in the same integers.
    pub(super) fn joined(
        &mut self,
        node: &str,
        parts: &[Dequantized],
        layout: &Layout,
        (scale, zero_point): (f32, u8),
        bounds: (f32, f32),
    ) -> TensorId {
        let requantized = parts.iter().map(|part| {
            let same = (part.scale, part.zero_point) == (scale, zero_point) && bounds == OPEN;
            let op = if same {
                Op::Copy
            } else {
                lookup(part, |x| x.clamp(bounds.0, bounds.1), scale, zero_point)
            };
            (part.tensor, &part.layout, op)
        });
        self.side_by_side_by(node, requantized, layout)
    }

    /// A tensor of which each part is a segment, written from a tensor by an operation.
    fn side_by_side_by<'p>(
        &mut self,
        node: &str,
        parts: impl Iterator<Item = (TensorId, &'p Layout, Op)>,
        layout: &Layout,
    ) -> TensorId {
        let whole = self.tensor(Kind::Byte, layout);
        let mut channel = 0;
        for (from, layout, op) in parts {
            let segment = self.tensor(Kind::Byte, layout);
            self.plan.tensors[segment].segment_of = Some((whole, channel));
            channel += self.plan.tensors[segment].channels;
            self.step(node, &[from], segment, op);
        }
        whole
    }
}
