//! ONNX' operators that only move values: on quantized tensors they are new labels on
//! the same memory where its order allows it, and a step where it does not. And what
//! the arithmetic ones need first: a view without a border, an image that lies as NHWC.

use tract_onnx::pb::NodeProto;

use super::super::onnx::failed;
use super::attributes::{axis, int, ints, text};
use super::value::{Border, Dequantized, Layout, Pending, Value};
use super::{Fused, Import, in_memory, unmatched};
use crate::engine::plan::{Kind, Op, TensorId};

impl<'a> Import<'a> {
    pub(super) fn moved(&mut self, node: &NodeProto) -> Fused<Value> {
        match node.op_type.as_str() {
            "Identity" | "Dropout" => Ok(self.input(node, 0)?.clone()),
            "Transpose" => {
                let rank = self.input(node, 0)?.sides().len();
                let reversed: Vec<i64> = (0..rank as i64).rev().collect();
                let perm = ints(node, "perm").unwrap_or(&reversed);
                let perm = perm
                    .iter()
                    .map(|&side| axis(side, rank))
                    .collect::<Result<Vec<_>, _>>()?;
                self.relabelled(node, |layout| layout.transposed(&perm))
            }
            "Reshape" => {
                let wanted = match self.input(node, 1)? {
                    Value::Constant(shape) => shape.integers().unwrap_or_default(),
                    _ => return unmatched("its shape is computed"),
                };
                let sides = reshaped(self.input(node, 0)?.sides(), &wanted)?;
                self.reshaped(node, sides)
            }
            "Flatten" => {
                let sides = self.input(node, 0)?.sides().to_vec();
                let along = match int(node, "axis", 1) {
                    at if at == sides.len() as i64 => sides.len(),
                    at => axis(at, sides.len())?,
                };
                let (outer, inner) = sides.split_at(along);
                let flat = vec![outer.iter().product(), inner.iter().product()];
                self.reshaped(node, flat)
            }
            "Squeeze" | "Unsqueeze" => {
                let axes = match ints(node, "axes") {
                    Some(axes) => Some(axes.to_vec()),
                    None => match self.optional(node, 1)? {
                        Some(Value::Constant(axes)) => axes.integers(),
                        Some(_) => return unmatched("its axes are computed"),
                        None => None,
                    },
                };
                let sides = self.input(node, 0)?.sides().to_vec();
                let sides = if node.op_type == "Squeeze" {
                    squeezed(&sides, axes.as_deref())?
                } else {
                    unsqueezed(&sides, &axes.unwrap_or_default())?
                };
                self.reshaped(node, sides)
            }
            "Pad" => self.pad(node),
            "Slice" => self.slice(node),
            operator => unmatched(format!("no integer kernel for {operator}")),
        }
    }

    /// The same memory under another label.
    fn relabelled(
        &mut self,
        node: &NodeProto,
        label: impl Fn(&Layout) -> Option<Layout>,
    ) -> Fused<Value> {
        let value = match self.input(node, 0)?.clone() {
            Value::Dequantized(view) => Value::Dequantized(self.settled(&node.name, view)?),
            value => value,
        };
        let relabel = |layout: &Layout| match label(layout) {
            Some(layout) => Ok(layout),
            None => Err(failed(format!("doesn't fit a shape of {:?}", layout.sides))),
        };
        Ok(match value {
            Value::Bytes {
                tensor,
                layout,
                signed,
            } => Value::Bytes {
                tensor,
                layout: relabel(&layout)?,
                signed,
            },
            Value::Float { tensor, layout } => Value::Float {
                tensor,
                layout: relabel(&layout)?,
            },
            Value::Dequantized(view) => Value::Dequantized(Dequantized {
                layout: relabel(&view.layout)?,
                ..view
            }),
            _ => return unmatched("its input is neither quantized nor in memory"),
        })
    }

    /// The same values in row-major order under other sides.
    fn reshaped(&mut self, node: &NodeProto, sides: Vec<usize>) -> Fused<Value> {
        let flat = |this: &mut Self,
                    kind: Kind,
                    tensor: TensorId,
                    layout: &Layout|
         -> Fused<(TensorId, Layout)> {
            if layout.values() != sides.iter().product::<usize>() {
                return Err(failed(format!("{:?} cannot become {sides:?}", layout.sides)).into());
            }
            let row_major = Layout::row_major(sides.clone());
            let same_pixels = in_memory(&row_major).2 == this.plan.tensors[tensor].channels;
            if layout.is_row_major() && same_pixels {
                return Ok((tensor, row_major));
            }
            let order: Vec<usize> = (0..layout.sides.len()).collect();
            Ok((
                this.permuted(&node.name, kind, tensor, layout, &order, &row_major),
                row_major,
            ))
        };
        Ok(match self.input(node, 0)?.clone() {
            Value::Bytes {
                tensor,
                layout,
                signed,
            } => {
                let (tensor, layout) = flat(self, Kind::Byte, tensor, &layout)?;
                Value::Bytes {
                    tensor,
                    layout,
                    signed,
                }
            }
            Value::Float { tensor, layout } => {
                let (tensor, layout) = flat(self, Kind::Float, tensor, &layout)?;
                Value::Float { tensor, layout }
            }
            Value::Dequantized(view) => {
                let view = self.settled(&node.name, view)?;
                let (tensor, layout) = flat(self, Kind::Byte, view.tensor, &view.layout)?;
                Value::Dequantized(Dequantized {
                    tensor,
                    layout,
                    ..view
                })
            }
            // What waits for its QuantizeLinear can be waited for under another label.
            Value::Pending(pending) if pending.layout.is_row_major() => {
                let channels = in_memory(&pending.layout).2;
                let layout = Layout::row_major(sides);
                if in_memory(&layout).2 != channels || layout.values() != pending.layout.values() {
                    return unmatched("it reshapes a pending result");
                }
                Value::Pending(Pending { layout, ..pending })
            }
            _ => return unmatched("its input is neither quantized nor in memory"),
        })
    }

    /// A copy whose memory is in `order` (sides of `layout`), under the label `result`.
    pub(super) fn permuted(
        &mut self,
        node: &str,
        kind: Kind,
        tensor: TensorId,
        layout: &Layout,
        order: &[usize],
        result: &Layout,
    ) -> TensorId {
        let output = self.tensor(kind, result);
        let places = order
            .iter()
            .filter_map(|side| layout.order.iter().position(|at| at == side));
        let op = Op::Permute {
            sides: layout.memory_sides(),
            order: places.collect(),
        };
        self.step(node, &[tensor], output, op);
        output
    }

    /// Input `index` as a quantized view.
    pub(super) fn view(&mut self, node: &NodeProto, index: usize) -> Fused<Dequantized> {
        match self.operand(node, index)? {
            Value::Dequantized(view) => Ok(view),
            Value::Segmented(_) => unmatched("what it reads has several scales"),
            _ => unmatched("what it reads is not quantized"),
        }
    }

    /// A view whose border is in memory.
    pub(super) fn settled(&mut self, node: &str, view: Dequantized) -> Fused<Dequantized> {
        if view.border == [0; 4] {
            return Ok(view);
        }
        let output = self.tensor(Kind::Byte, &view.layout);
        let op = Op::Pad {
            top: view.border[0],
            left: view.border[1],
            value: view.zero_point,
        };
        self.step(node, &[view.tensor], output, op);
        Ok(Dequantized {
            tensor: output,
            border: [0; 4],
            ..view
        })
    }

    /// A view of an image that lies in memory as NHWC.
    pub(super) fn image(&mut self, node: &str, view: Dequantized) -> Fused<Dequantized> {
        let &[1, channels, height, width] = view.layout.sides.as_slice() else {
            return unmatched(format!(
                "its input of shape {:?} is not one image",
                view.layout.sides
            ));
        };
        let image = Layout::image(height, width, channels);
        let info = self.plan.tensors[view.tensor];
        if view.border != [0; 4]
            || (view.layout.lies_as(&image.order)
                && (info.height, info.width, info.channels) == (height, width, channels))
        {
            return Ok(Dequantized {
                layout: image,
                ..view
            });
        }
        let tensor = self.permuted(
            node,
            Kind::Byte,
            view.tensor,
            &view.layout,
            &image.order,
            &image,
        );
        Ok(Dequantized {
            tensor,
            layout: image,
            ..view
        })
    }

    fn pad(&mut self, node: &NodeProto) -> Fused<Value> {
        let view = self.view(node, 0)?;
        if text(node, "mode", "constant") != "constant" {
            return unmatched("it mirrors or repeats");
        }
        let pads = match ints(node, "pads") {
            Some(pads) => pads.to_vec(),
            None => match self.input(node, 1)? {
                Value::Constant(pads) => pads.integers().unwrap_or_default(),
                _ => return unmatched("its padding is computed"),
            },
        };
        let zero = match self.optional(node, 2)? {
            None => true,
            Some(Value::Constant(value)) => value.floats().is_some_and(|value| value == [0.0]),
            Some(Value::Stored(value)) => value.floats().is_some_and(|value| value == [0.0]),
            Some(_) => false,
        };
        if !zero || self.optional(node, 3)?.is_some() {
            return unmatched("it pads with another value than 0, or along chosen axes");
        }
        let &[0, 0, top, left, 0, 0, bottom, right] = pads.as_slice() else {
            return unmatched(format!("pads of {pads:?}"));
        };
        self.bordered(node, view, [top, left, bottom, right])
    }

    fn slice(&mut self, node: &NodeProto) -> Fused<Value> {
        let view = self.view(node, 0)?;
        let rank = view.layout.sides.len();
        let mut lists = Vec::with_capacity(4);
        for (index, default) in [(1, None), (2, None), (3, Some(0..rank as i64)), (4, None)] {
            let list = match self.optional(node, index)? {
                Some(Value::Constant(list)) => list.integers().unwrap_or_default(),
                Some(_) => return unmatched("its bounds are computed"),
                None => default.map(Iterator::collect).unwrap_or_default(),
            };
            lists.push(list);
        }
        let [starts, ends, axes, steps] = lists.as_slice() else {
            return unmatched("its bounds are computed");
        };
        if starts.len() != axes.len()
            || ends.len() != axes.len()
            || steps.iter().any(|&step| step != 1)
        {
            return unmatched("it has steps, or its bounds are attributes");
        }
        let mut border = [0_i64; 4];
        for ((&start, &end), &along) in starts.iter().zip(ends).zip(axes) {
            let along = axis(along, rank)?;
            let side = view.layout.sides[along] as i64;
            let within = |at: i64| {
                if at < 0 {
                    (at + side).max(0)
                } else {
                    at.min(side)
                }
            };
            let (start, end) = (within(start), within(end));
            match along {
                _ if (start, end) == (0, side) => {}
                2 => (border[0], border[2]) = (-start, end - side),
                3 => (border[1], border[3]) = (-start, end - side),
                _ => return unmatched("it cuts another side than height and width"),
            }
        }
        self.bordered(node, view, border)
    }

    /// More or less around an image; nothing is moved yet.
    fn bordered(&mut self, node: &NodeProto, view: Dequantized, by: [i64; 4]) -> Fused<Value> {
        let mut view = self.image(&node.name, view)?;
        if by.iter().any(|side| side.unsigned_abs() > 1 << 16) {
            return Err(failed(format!("pads of {by:?} cannot be meant")).into());
        }
        let by: Border = by.map(|side| side as isize);
        // To pad what was cropped is not to undo the crop.
        if view
            .border
            .iter()
            .zip(&by)
            .any(|(before, now)| before.signum() * now.signum() < 0)
        {
            view = self.settled(&node.name, view)?;
        }
        let Some((channels, height, width)) = view.layout.as_image() else {
            return unmatched("its input is not one image");
        };
        let height = height
            .checked_add_signed(by[0] + by[2])
            .filter(|&side| side > 0);
        let width = width
            .checked_add_signed(by[1] + by[3])
            .filter(|&side| side > 0);
        let (Some(height), Some(width)) = (height, width) else {
            return Err(failed("it leaves nothing of its input").into());
        };
        for (border, by) in view.border.iter_mut().zip(by) {
            *border += by;
        }
        view.layout = Layout::image(height, width, channels);
        Ok(Value::Dequantized(view))
    }
}

/// ONNX' Reshape: 0 keeps a side, -1 takes what is left.
fn reshaped(sides: &[usize], wanted: &[i64]) -> Fused<Vec<usize>> {
    let values: usize = sides.iter().product();
    let mut shape = Vec::with_capacity(wanted.len());
    for (at, &side) in wanted.iter().enumerate() {
        shape.push(match side {
            0 => sides.get(at).copied().unwrap_or(1),
            -1 => 1,
            side => usize::try_from(side).map_err(|_| failed(format!("a side of {side}")))?,
        });
    }
    if let Some(open) = wanted.iter().position(|&side| side == -1) {
        let others = shape
            .iter()
            .try_fold(1_usize, |product, &side| product.checked_mul(side));
        shape[open] = match others {
            Some(others) if others > 0 => values / others,
            _ => return Err(failed(format!("{sides:?} cannot become {wanted:?}")).into()),
        };
    }
    if shape
        .iter()
        .try_fold(1_usize, |product, &side| product.checked_mul(side))
        != Some(values)
    {
        return Err(failed(format!("{sides:?} cannot become {wanted:?}")).into());
    }
    Ok(shape)
}

fn squeezed(sides: &[usize], axes: Option<&[i64]>) -> Fused<Vec<usize>> {
    let axes = match axes {
        Some(axes) => axes
            .iter()
            .map(|&number| axis(number, sides.len()))
            .collect::<Result<Vec<_>, _>>()?,
        None => (0..sides.len()).filter(|&at| sides[at] == 1).collect(),
    };
    if axes.iter().any(|&at| sides[at] != 1) {
        return Err(failed(format!("{sides:?} has more than 1 in sides {axes:?}")).into());
    }
    let kept = sides
        .iter()
        .enumerate()
        .filter(|(at, _)| !axes.contains(at));
    Ok(kept.map(|(_, &side)| side).collect())
}

fn unsqueezed(sides: &[usize], axes: &[i64]) -> Fused<Vec<usize>> {
    let rank = sides.len() + axes.len();
    let axes = axes
        .iter()
        .map(|&number| axis(number, rank))
        .collect::<Result<Vec<_>, _>>()?;
    let mut rest = sides.iter().copied();
    Ok((0..rank)
        .filter_map(|at| {
            if axes.contains(&at) {
                Some(1)
            } else {
                rest.next()
            }
        })
        .collect())
}
