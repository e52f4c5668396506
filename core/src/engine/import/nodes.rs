//! ONNX' arithmetic operators: what each makes of quantized inputs. Nothing is computed
//! here; results are pending until a QuantizeLinear asks for them. Operators that only
//! move values are in [`super::shapes`], sums and products in [`super::elementwise`].

use tract_onnx::pb::NodeProto;
use tract_onnx::pb::tensor_proto::DataType;

use super::super::onnx::failed;
use super::attributes::{axis, float, int, ints, pair, small, tensor, text};
use super::value::{
    Bias, Constant, Dequantized, Layout, Pending, PendingOp, Segmented, Stored, Value,
};
use super::{Fused, Import, unmatched};
use crate::engine::kernels::Window;
use crate::engine::plan::{Kind, Op, WeightOrder};

/// Height and width of a window's output, and its padding above and left.
type Placed = ((usize, usize), (usize, usize));

impl<'a> Import<'a> {
    /// What the node gives, where it can be had in integers.
    pub(super) fn fuse(&mut self, node: &'a NodeProto) -> Fused<Value> {
        if !(node.domain.is_empty() || node.domain == "ai.onnx") {
            return unmatched(format!("operators of {:?} are not known", node.domain));
        }
        match node.op_type.as_str() {
            "Constant" => match tensor(node, "value") {
                Some(tensor) => Ok(Value::Constant(Constant::new(&node.name, tensor)?)),
                None => unmatched("a constant without a tensor"),
            },
            "QuantizeLinear" => self.quantize_linear(node),
            "DequantizeLinear" => self.dequantize_linear(node),
            "Conv" => self.conv(node),
            "Gemm" => self.gemm(node),
            "MatMul" => self.mat_mul(node),
            "Add" | "Sub" => self.add(node),
            "Mul" => self.mul(node),
            "BatchNormalization" => self.batch_normalization(node),
            "Relu" => self.clamped(node, 0.0, f32::INFINITY),
            "Clip" => self.clip(node),
            "Concat" => self.concat(node),
            "MaxPool" => self.max_pool(node),
            "AveragePool" => self.average_pool(node),
            "GlobalAveragePool" => self.mean(node, &[2, 3], true),
            "ReduceMean" => self.reduce_mean(node),
            "Softmax" => self.softmax(node),
            _ => self.moved(node),
        }
    }

    /// Scales and zero points of a QuantizeLinear or DequantizeLinear, checked; zero
    /// points in the integers' own type.
    fn parameters(&self, node: &NodeProto) -> Fused<(Vec<f32>, Option<Constant>)> {
        let Value::Constant(scales) = self.input(node, 1)? else {
            return unmatched("its scale is computed");
        };
        let Some(values) = scales.floats() else {
            return unmatched("its scale is not f32");
        };
        if let Some(scale) = values
            .iter()
            .find(|scale| !(scale.is_finite() && **scale > 0.0))
        {
            return Err(failed(format!("scale {:?} is {scale}", scales.name)).into());
        }
        if values.is_empty() {
            return Err(failed(format!("scale {:?} is empty", scales.name)).into());
        }
        let zeros = match self.optional(node, 2)? {
            None => None,
            Some(Value::Constant(zeros)) => Some(zeros.clone()),
            Some(_) => return unmatched("its zero point is computed"),
        };
        if let Some(zeros) = &zeros {
            let range: std::ops::RangeInclusive<i64> =
                match DataType::try_from(zeros.tensor.data_type) {
                    Ok(DataType::Uint8) => 0..=255,
                    Ok(DataType::Int8) => -128..=127,
                    Ok(DataType::Int32) => 0..=0,
                    _ => return unmatched("its integers are neither i8, u8 nor i32"),
                };
            let integers = zeros.integers().unwrap_or_default();
            if let Some(zero) = integers.iter().find(|zero| !range.contains(*zero)) {
                return Err(failed(format!(
                    "zero point {:?} is {zero}, out of {range:?}",
                    zeros.name
                ))
                .into());
            }
            if integers.len() != values.len() {
                return Err(failed(format!(
                    "{} scales and {} zero points",
                    values.len(),
                    integers.len()
                ))
                .into());
            }
        }
        Ok((values, zeros))
    }

    fn quantize_linear(&mut self, node: &'a NodeProto) -> Fused<Value> {
        let (scales, zeros) = self.parameters(node)?;
        let &[scale] = scales.as_slice() else {
            return unmatched("it quantizes activations per channel");
        };
        let signed = zeros.as_ref().is_some_and(|zeros| zeros.is(DataType::Int8));
        let zero = zeros
            .and_then(|zeros| zeros.integers()?.first().copied())
            .unwrap_or(0);
        let zero_point = shifted(zero, signed);
        let input = self.input(node, 0)?.clone();
        let (tensor, layout) = match input {
            Value::Dequantized(view) => self.requantized(&node.name, view, scale, zero_point)?,
            Value::Segmented(whole) => {
                let pending = untouched(&node.name, whole);
                self.emit(&pending, scale, zero_point, signed)?
            }
            Value::Pending(pending) => self.emit(&pending, scale, zero_point, signed)?,
            Value::Float { tensor, layout } => {
                let output = self.tensor(Kind::Byte, &layout);
                self.step(
                    &node.name,
                    &[tensor],
                    output,
                    Op::Quantize { scale, zero_point },
                );
                (output, layout)
            }
            Value::Constant(_) | Value::Stored(_) => return unmatched("it quantizes a constant"),
            Value::Bytes { .. } => return Err(failed("it quantizes integers").into()),
        };
        Ok(Value::Bytes {
            tensor,
            layout,
            signed,
        })
    }

    fn dequantize_linear(&mut self, node: &NodeProto) -> Fused<Value> {
        let (scales, zeros) = self.parameters(node)?;
        match self.input(node, 0)?.clone() {
            Value::Constant(constant) => {
                let along = axis_of(node, constant.sides.len(), scales.len())?;
                let side = constant.sides.get(along).copied().unwrap_or(1);
                if scales.len() != 1 && scales.len() != side {
                    return Err(
                        failed(format!("{} scales for a side of {side}", scales.len())).into(),
                    );
                }
                let zero_points = zeros.and_then(|zeros| zeros.integers());
                let zero_points = zero_points.unwrap_or_else(|| vec![0; scales.len()]);
                Ok(Value::Stored(Stored {
                    constant,
                    scales,
                    zero_points,
                    axis: along,
                }))
            }
            Value::Bytes {
                tensor,
                layout,
                signed,
            } => {
                let &[scale] = scales.as_slice() else {
                    return unmatched("it dequantizes activations per channel");
                };
                if zeros
                    .as_ref()
                    .is_some_and(|zeros| zeros.is(DataType::Int8) != signed)
                {
                    return Err(failed("its zero point is of another type than its input").into());
                }
                let zero = zeros
                    .and_then(|zeros| zeros.integers()?.first().copied())
                    .unwrap_or(0);
                Ok(Value::Dequantized(Dequantized {
                    tensor,
                    layout,
                    scale,
                    zero_point: shifted(zero, signed),
                    border: [0; 4],
                }))
            }
            _ => unmatched("its input is not a quantized tensor"),
        }
    }

    fn conv(&mut self, node: &NodeProto) -> Fused<Value> {
        let Value::Stored(weights) = self.input(node, 1)?.clone() else {
            return unmatched("its weights are not int8");
        };
        let input = self.view(node, 0)?;
        let &[out, per_group, kernel_h, kernel_w] = weights.constant.sides.as_slice() else {
            return unmatched("it is not two-dimensional");
        };
        let input = self.image(&node.name, input)?;
        let Some((channels, ..)) = input.layout.as_image() else {
            return unmatched("its input is not one image");
        };
        let group = int(node, "group", 1);
        let depthwise =
            channels > 1 && group == channels as i64 && per_group == 1 && out == channels;
        if !(depthwise || group == 1) {
            return unmatched(format!("{group} groups of {channels} channels"));
        }
        if !depthwise && per_group != channels {
            return Err(failed(format!("weights for {per_group} channels on {channels}")).into());
        }
        if pair(node, "dilations", 1)? != (1, 1) {
            return unmatched("it is dilated");
        }
        if ints(node, "kernel_shape")
            .is_some_and(|shape| shape != [kernel_h as i64, kernel_w as i64])
        {
            return Err(failed("its kernel_shape is not that of its weights").into());
        }
        if out == 0 || kernel_h == 0 || kernel_w == 0 {
            return Err(failed("its weights are empty").into());
        }
        let bias = self.bias(node, out)?;
        if weights.scales.len() != 1 && weights.axis != 0 {
            return unmatched(
                "its weights are quantized along another side than the output channels",
            );
        }
        let (window, (height, width)) = self.window(node, &input, (kernel_h, kernel_w))?;
        Ok(self.pending(
            node,
            Layout::image(height, width, out),
            PendingOp::Convolution {
                input,
                window,
                depthwise,
                weights,
                order: WeightOrder::OutIn,
                bias,
            },
        ))
    }

    fn bias(&self, node: &NodeProto, channels: usize) -> Fused<Option<Bias>> {
        let bias = match self.optional(node, 2)? {
            None => return Ok(None),
            Some(Value::Stored(stored)) => Bias::Stored(stored.clone()),
            Some(Value::Constant(constant)) => match constant.floats() {
                Some(floats) => Bias::Floats(floats),
                None => return unmatched("its bias is not f32"),
            },
            Some(_) => return unmatched("its bias is computed"),
        };
        let length = match &bias {
            Bias::Stored(stored) => stored.constant.values(),
            Bias::Floats(floats) => floats.len(),
        };
        if length != channels {
            return unmatched(format!("{length} bias values for {channels} channels"));
        }
        Ok(Some(bias))
    }

    /// A window over an image, border included, and the size of what it gives.
    fn window(
        &self,
        node: &NodeProto,
        input: &Dequantized,
        kernel: (usize, usize),
    ) -> Fused<(Window, (usize, usize))> {
        let Some((_, height, width)) = input.layout.as_image() else {
            return unmatched("its input is not one image");
        };
        let stride = pair(node, "strides", 1)?;
        if stride.0 == 0 || stride.1 == 0 {
            return Err(failed("a stride of 0").into());
        }
        let pads = match ints(node, "pads") {
            None | Some([]) => [0; 4],
            Some(&[top, left, bottom, right]) => {
                let pads = [top, left, bottom, right].map(small);
                if pads.contains(&None) {
                    return unmatched("its padding is negative");
                }
                pads.map(|pad| pad.unwrap_or(0))
            }
            Some(_) => return Err(failed("its pads are not four").into()),
        };
        let ceil = int(node, "ceil_mode", 0) != 0;
        let along = |side: usize, kernel: usize, stride: usize, before: usize, after: usize| {
            let (before, after) = match text(node, "auto_pad", "NOTSET") {
                mode @ ("SAME_UPPER" | "SAME_LOWER") => {
                    let output = side.div_ceil(stride);
                    let all = ((output - 1) * stride + kernel).saturating_sub(side);
                    let less = all / 2;
                    if mode == "SAME_UPPER" {
                        (less, all - less)
                    } else {
                        (all - less, less)
                    }
                }
                "VALID" => (0, 0),
                _ => (before, after),
            };
            let room = (side + before + after).checked_sub(kernel)?;
            let steps = if ceil {
                room.div_ceil(stride)
            } else {
                room / stride
            };
            // A last window that would begin in the padding behind the image is left out.
            let outside = ceil && steps * stride >= side + before;
            Some((steps + usize::from(!outside), before))
        };
        let vertical = along(height, kernel.0, stride.0, pads[0], pads[2]);
        let horizontal = along(width, kernel.1, stride.1, pads[1], pads[3]);
        let (Some((height, top)), Some((width, left))) = (vertical, horizontal) else {
            return Err(failed("its window is larger than its input").into());
        };
        let placed: Placed = ((height, width), (top, left));
        Ok((
            Window {
                kernel,
                stride,
                pad: placed.1,
            },
            placed.0,
        ))
    }

    fn gemm(&mut self, node: &NodeProto) -> Fused<Value> {
        let plain = float(node, "alpha", 1.0) == 1.0 && float(node, "beta", 1.0) == 1.0;
        if !plain || int(node, "transA", 0) != 0 {
            return unmatched("it scales or transposes its input");
        }
        let order = match int(node, "transB", 0) {
            0 => WeightOrder::InOut,
            _ => WeightOrder::OutIn,
        };
        self.dense(node, order)
    }

    fn mat_mul(&mut self, node: &NodeProto) -> Fused<Value> {
        self.dense(node, WeightOrder::InOut)
    }

    fn dense(&mut self, node: &NodeProto, order: WeightOrder) -> Fused<Value> {
        let Value::Stored(weights) = self.input(node, 1)?.clone() else {
            return unmatched("its weights are not int8");
        };
        let input = self.view(node, 0)?;
        let &[rows, columns] = weights.constant.sides.as_slice() else {
            return unmatched("its weights are not a matrix");
        };
        let (depth, out, out_axis) = match order {
            WeightOrder::OutIn => (columns, rows, 0),
            WeightOrder::InOut => (rows, columns, 1),
        };
        if input.layout.values() != depth || input.layout.sides.last() != Some(&depth) {
            return unmatched(format!(
                "its input of shape {:?} is not one row",
                input.layout.sides
            ));
        }
        if weights.scales.len() != 1 && weights.axis != out_axis {
            return unmatched("its weights are quantized along another side than the outputs");
        }
        let bias = self.bias(node, out)?;
        let input = self.settled(&node.name, input)?;
        let mut sides = input.layout.sides.clone();
        if let Some(last) = sides.last_mut() {
            *last = out;
        }
        Ok(self.pending(
            node,
            Layout::row_major(sides),
            PendingOp::Convolution {
                input,
                window: Window {
                    kernel: (1, 1),
                    stride: (1, 1),
                    pad: (0, 0),
                },
                depthwise: false,
                weights,
                order,
                bias,
            },
        ))
    }

    fn clip(&mut self, node: &'a NodeProto) -> Fused<Value> {
        let bound = |index: usize, name: &str, open: f32| -> Fused<f32> {
            if self.opset < 11 {
                return Ok(float(node, name, open));
            }
            match self.optional(node, index)? {
                None => Ok(open),
                Some(value) => match constant_floats(value).as_deref() {
                    Some(&[bound]) if !bound.is_nan() => Ok(bound),
                    _ => unmatched("its bounds are computed"),
                },
            }
        };
        let (low, high) = (
            bound(1, "min", f32::NEG_INFINITY)?,
            bound(2, "max", f32::INFINITY)?,
        );
        self.clamped(node, low, high)
    }

    fn clamped(&mut self, node: &NodeProto, low: f32, high: f32) -> Fused<Value> {
        let mut pending = match self.input(node, 0)?.clone() {
            Value::Pending(pending) => pending,
            value @ (Value::Dequantized(_) | Value::Segmented(_)) => {
                untouched("", self.as_segmented(&node.name, value)?)
            }
            _ => return unmatched("its input is not a quantized tensor"),
        };
        pending.low = pending.low.max(low);
        pending.high = pending.high.min(high);
        if pending.low > pending.high {
            return unmatched("nothing lies between its bounds");
        }
        pending.node.clone_from(&node.name);
        Ok(Value::Pending(pending))
    }

    fn max_pool(&mut self, node: &NodeProto) -> Fused<Value> {
        let view = self.view(node, 0)?;
        let kernel = pair(node, "kernel_shape", 0)?;
        if pair(node, "dilations", 1)? != (1, 1) || kernel.0 == 0 || kernel.1 == 0 {
            return unmatched("it is dilated, or not two-dimensional");
        }
        if node.output.iter().skip(1).any(|name| !name.is_empty()) {
            return unmatched("its indices are asked for");
        }
        let mut view = self.image(&node.name, view)?;
        let (mut window, (height, width)) = self.window(node, &view, kernel)?;
        // A border of zeros takes part in the maximum, ONNX' own padding does not.
        let bordered = view.border.iter().any(|&side| side != 0);
        let mut pad_value = None;
        if bordered && (window.pad != (0, 0) || view.border.iter().any(|&side| side < 0)) {
            view = self.settled(&node.name, view)?;
        } else if bordered {
            window.pad = (view.border[0].unsigned_abs(), view.border[1].unsigned_abs());
            pad_value = Some(view.zero_point);
        }
        let Some((channels, ..)) = view.layout.as_image() else {
            return unmatched("its input is not one image");
        };
        let layout = Layout::image(height, width, channels);
        let output = self.tensor(Kind::Byte, &layout);
        self.step(
            &node.name,
            &[view.tensor],
            output,
            Op::MaxPool { window, pad_value },
        );
        Ok(Value::Dequantized(Dequantized {
            tensor: output,
            layout,
            border: [0; 4],
            ..view
        }))
    }

    fn average_pool(&mut self, node: &NodeProto) -> Fused<Value> {
        let view = self.view(node, 0)?;
        let kernel = pair(node, "kernel_shape", 0)?;
        if pair(node, "dilations", 1)? != (1, 1) || kernel.0 == 0 || kernel.1 == 0 {
            return unmatched("it is dilated, or not two-dimensional");
        }
        let mut count_padding = int(node, "count_include_pad", 0) != 0;
        if int(node, "ceil_mode", 0) != 0 {
            return unmatched("it rounds its output's size up");
        }
        let mut input = self.image(&node.name, view)?;
        let (mut window, (height, width)) = self.window(node, &input, kernel)?;
        if input.border.iter().any(|&side| side != 0) {
            if window.pad == (0, 0)
                && input.border.iter().all(|&side| side >= 0)
                && ints(node, "pads").is_none()
            {
                window.pad = (
                    input.border[0].unsigned_abs(),
                    input.border[1].unsigned_abs(),
                );
                count_padding = true;
            } else {
                input = self.settled(&node.name, input)?;
            }
        }
        let Some((channels, ..)) = input.layout.as_image() else {
            return unmatched("its input is not one image");
        };
        let layout = Layout::image(height, width, channels);
        Ok(self.pending(
            node,
            layout,
            PendingOp::AveragePool {
                input,
                window,
                count_padding,
            },
        ))
    }

    fn reduce_mean(&mut self, node: &NodeProto) -> Fused<Value> {
        let axes = match ints(node, "axes") {
            Some(axes) => axes.to_vec(),
            None => match self.optional(node, 1)? {
                Some(Value::Constant(axes)) => axes.integers().unwrap_or_default(),
                _ => return unmatched("its axes are computed"),
            },
        };
        self.mean(node, &axes, int(node, "keepdims", 1) != 0)
    }

    /// The mean over an image's height and width.
    fn mean(&mut self, node: &NodeProto, axes: &[i64], keep: bool) -> Fused<Value> {
        let view = self.view(node, 0)?;
        let input = self.settled(&node.name, view)?;
        let rank = input.layout.sides.len();
        let mut axes = axes
            .iter()
            .map(|&number| axis(number, rank))
            .collect::<Result<Vec<_>, _>>()?;
        axes.sort_unstable();
        let (&[first, height, width, channels], 4) = (input.layout.order.as_slice(), rank) else {
            return unmatched("its input is not one image");
        };
        let mut spatial = vec![height, width];
        spatial.sort_unstable();
        if input.layout.sides[first] != 1 || axes != spatial {
            return unmatched("it averages over other sides than height and width");
        }
        let mut layout = input.layout.clone();
        layout.sides[height] = 1;
        layout.sides[width] = 1;
        if !keep {
            layout = Layout::row_major(vec![1, layout.sides[channels]]);
        }
        Ok(self.pending(node, layout, PendingOp::GlobalAveragePool(input)))
    }

    fn softmax(&mut self, node: &'a NodeProto) -> Fused<Value> {
        let value = self.input(node, 0)?.clone();
        let sides = value.sides().to_vec();
        let default = if self.opset < 13 { 1 } else { -1 };
        let along = axis(int(node, "axis", default), sides.len())?;
        if sides.iter().product::<usize>() != sides[along] {
            return unmatched("it is over more than one row");
        }
        if let Value::Dequantized(view) = value {
            let input = self.settled(&node.name, view)?;
            let layout = input.layout.clone();
            return Ok(self.pending(node, layout, PendingOp::Softmax(input)));
        }
        let name = node.input.first().map(String::as_str).unwrap_or_default();
        let (tensor, layout) = self.float(name)?;
        let output = self.tensor(Kind::Float, &layout);
        self.step(&node.name, &[tensor], output, Op::Softmax);
        Ok(Value::Float {
            tensor: output,
            layout,
        })
    }

    pub(super) fn pending(&self, node: &NodeProto, layout: Layout, op: PendingOp) -> Value {
        Value::Pending(Pending {
            node: node.name.clone(),
            op,
            layout,
            low: f32::NEG_INFINITY,
            high: f32::INFINITY,
        })
    }
}

/// A quantized tensor as a pending result: itself.
fn untouched(node: &str, input: Segmented) -> Pending {
    Pending {
        node: node.to_owned(),
        layout: input.layout.clone(),
        op: PendingOp::Affine {
            input,
            scale: vec![1.0],
            offset: vec![0.0],
            stored: None,
        },
        low: f32::NEG_INFINITY,
        high: f32::INFINITY,
    }
}

/// A zero point in the `u8` domain.
fn shifted(zero: i64, signed: bool) -> u8 {
    let shifted = if signed { zero + 128 } else { zero };
    u8::try_from(shifted).unwrap_or(0)
}

fn axis_of(node: &NodeProto, rank: usize, scales: usize) -> Fused<usize> {
    if scales == 1 {
        return Ok(0);
    }
    Ok(axis(int(node, "axis", 1), rank)?)
}

/// A constant's real values, stored in whatever way.
pub(super) fn constant_floats(value: &Value) -> Option<Vec<f32>> {
    match value {
        Value::Constant(constant) => constant.floats(),
        Value::Stored(stored) => stored.floats(),
        _ => None,
    }
}
