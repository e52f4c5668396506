//! Pending operations into steps: here the scales on both sides of an operation meet,
//! and become the multipliers, biases and clamps of its integer form.

use super::super::onnx::failed;
use super::elementwise::of_channel;
use super::value::{Bias, Dequantized, Layout, Levels, Pending, PendingOp, Segmented, Stored};
use super::{Fused, Import, in_memory, unmatched};
use crate::engine::kernels::Window;
use crate::engine::plan::{Convolution, Kind, Op, Place, Range, TensorId, WeightOrder, fits};

/// A convolution as its node describes it.
struct Described<'a> {
    input: &'a Dequantized,
    window: Window,
    depthwise: bool,
    weights: &'a Stored,
    order: WeightOrder,
    bias: Option<&'a Bias>,
}

impl Import<'_> {
    /// A step that computes `pending` in integers of this scale and zero point; `signed`:
    /// the graph has them 128 lower.
    pub(super) fn emit(
        &mut self,
        pending: &Pending,
        scale: f32,
        zero_point: u8,
        signed: bool,
    ) -> Fused<(TensorId, Layout)> {
        let (node, layout) = (pending.node.as_str(), &pending.layout);
        let bounds = (pending.low, pending.high);
        let output = range(bounds, scale, zero_point);
        // Sums are rounded with their zero point, in the graph's own integers.
        let shift = if signed { 128 } else { 0 };
        let in_graph = |level: u8| f32::from(level) - f32::from(shift);
        let rounded_last = Range {
            zero_point: shift,
            ..output
        };
        let (inputs, op) = match &pending.op {
            PendingOp::Convolution {
                input,
                window,
                depthwise,
                weights,
                order,
                bias,
            } => {
                let described = Described {
                    input,
                    window: *window,
                    depthwise: *depthwise,
                    weights,
                    order: *order,
                    bias: bias.as_ref(),
                };
                return self.convolution(node, &described, layout, Some((scale, output)));
            }
            PendingOp::Add(inputs) => {
                let [a, b] = inputs.as_ref();
                let scales = [a.scale / scale, b.scale / scale];
                let zeros = [a.zero_point, b.zero_point].map(in_graph);
                let op = Op::Add {
                    scales,
                    offset: sum_offset(scales, zeros, in_graph(zero_point)),
                    shift,
                    output: rounded_last,
                };
                (vec![a.tensor, b.tensor], op)
            }
            PendingOp::Affine {
                input,
                scale: factors,
                offset,
                stored,
            } => {
                let single = input.single();
                let op = match (&single, factors.as_slice(), offset.as_slice(), stored) {
                    (Some(input), &[factor], &[offset], _) => {
                        let of = |x: f32| (x * factor + offset).clamp(bounds.0, bounds.1);
                        lookup(input, of, scale, zero_point)
                    }
                    (Some(input), _, _, Some(added)) => {
                        let scales = [input.scale / scale, added.scale / scale];
                        let zeros = [in_graph(input.zero_point), added.zero_point];
                        let offset = sum_offset(scales, zeros, in_graph(zero_point));
                        let sum = |&integer: &f32| integer.mul_add(scales[1], offset);
                        Op::Affine {
                            zero_point: shift,
                            scale: vec![scales[0]],
                            offset: added.integers.iter().map(sum).collect(),
                            output: rounded_last,
                        }
                    }
                    (Some(input), ..) => Op::Affine {
                        zero_point: input.zero_point,
                        scale: factors
                            .iter()
                            .map(|factor| input.scale * factor / scale)
                            .collect(),
                        offset: offset
                            .iter()
                            .map(|offset| offset / scale + in_graph(zero_point))
                            .collect(),
                        output: rounded_last,
                    },
                    (None, ..) => {
                        let (scale, offset) =
                            absorbed(input, (factors, offset), scale, in_graph(zero_point));
                        Op::Affine {
                            zero_point: 0,
                            scale,
                            offset,
                            output: rounded_last,
                        }
                    }
                };
                (vec![input.tensor], op)
            }
            PendingOp::Concat(parts) => {
                let whole = self.joined(node, parts, layout, (scale, zero_point), bounds);
                return Ok((whole, layout.clone()));
            }
            PendingOp::AveragePool {
                input,
                window,
                count_padding,
            } => {
                let op = Op::AveragePool {
                    window: *window,
                    zero_point: input.zero_point,
                    scales: [input.scale, scale],
                    shift,
                    count_padding: *count_padding,
                    output,
                };
                (vec![input.tensor], op)
            }
            PendingOp::GlobalAveragePool(input) => {
                let pixels = self.plan.tensors[input.tensor].pixels();
                let op = Op::GlobalAveragePool {
                    zero_point: input.zero_point,
                    scale: input.scale / scale / pixels as f32,
                    output,
                };
                (vec![input.tensor], op)
            }
            PendingOp::Softmax(input) => {
                let dequantized = self.dequantized_step(node, input);
                let scores = self.tensor(Kind::Float, layout);
                self.step(node, &[dequantized], scores, Op::Softmax);
                (vec![scores], Op::Quantize { scale, zero_point })
            }
        };
        let tensor = self.tensor(Kind::Byte, layout);
        self.step(node, &inputs, tensor, op);
        Ok((tensor, layout.clone()))
    }

    /// A quantized tensor in other integers, or itself where they are the same.
    pub(super) fn requantized(
        &mut self,
        node: &str,
        view: Dequantized,
        scale: f32,
        zero_point: u8,
    ) -> Fused<(TensorId, Layout)> {
        let view = self.settled(node, view)?;
        if (view.scale, view.zero_point) == (scale, zero_point) {
            return Ok((view.tensor, view.layout));
        }
        let layout = view.layout.clone();
        let op = lookup(&view, |x| x, scale, zero_point);
        let tensor = self.tensor(Kind::Byte, &layout);
        self.step(node, &[view.tensor], tensor, op);
        Ok((tensor, layout))
    }

    pub(super) fn dequantized_step(&mut self, node: &str, view: &Dequantized) -> TensorId {
        let output = self.tensor(Kind::Float, &view.layout);
        let op = Op::Dequantize {
            scale: view.scale,
            zero_point: view.zero_point,
        };
        self.step(node, &[view.tensor], output, op);
        output
    }

    /// A convolution without a QuantizeLinear behind it, such as the last one: in `f32`.
    pub(super) fn emit_floats(&mut self, pending: &Pending) -> Fused<Option<(TensorId, Layout)>> {
        let open = pending.low == f32::NEG_INFINITY && pending.high == f32::INFINITY;
        let PendingOp::Convolution {
            input,
            window,
            depthwise: false,
            weights,
            order,
            bias,
        } = &pending.op
        else {
            return Ok(None);
        };
        if !open {
            return Ok(None);
        }
        let described = Described {
            input,
            window: *window,
            depthwise: false,
            weights,
            order: *order,
            bias: bias.as_ref(),
        };
        self.convolution(&pending.node, &described, &pending.layout, None)
            .map(Some)
    }

    fn convolution(
        &mut self,
        node: &str,
        of: &Described,
        layout: &Layout,
        output: Option<(f32, Range)>,
    ) -> Fused<(TensorId, Layout)> {
        let channels = in_memory(layout).2;
        let mut window = of.window;
        let mut input = of.input.clone();
        // A border of zeros around the input is padding of the convolution.
        let info = self.plan.tensors[input.tensor];
        let (height, width, _) = in_memory(layout);
        let padded = Window {
            pad: (
                window.pad.0 + input.border[0].unsigned_abs(),
                window.pad.1 + input.border[1].unsigned_abs(),
            ),
            ..window
        };
        if input.border.iter().all(|&side| side >= 0)
            && fits(&padded, (info.height, info.width), (height, width))
        {
            window = padded;
        } else {
            input = self.settled(node, input)?;
        }
        let weight_scale = |n: usize| {
            of.weights
                .scales
                .get(n)
                .or(of.weights.scales.first())
                .copied()
                .unwrap_or(1.0)
        };
        let accumulator = |n: usize| input.scale * weight_scale(n);
        let multipliers: Vec<f32> = (0..channels)
            .map(|n| output.map_or(accumulator(n), |(scale, _)| accumulator(n) / scale))
            .collect();
        if let Some(bad) = multipliers
            .iter()
            .find(|value| !(value.is_finite() && **value > 0.0))
        {
            return Err(failed(format!("its scales multiply to {bad}")).into());
        }
        let bias = match of.bias {
            None => vec![0; channels],
            Some(bias) => self.integer_bias(bias, channels, accumulator)?,
        };
        let weights = self.place(of.weights)?;
        let convolution = Convolution {
            window,
            weights,
            order: of.order,
            bias,
            multipliers,
            input_zero_point: input.zero_point,
            output: output.map(|(_, range)| range),
        };
        let kind = if output.is_some() {
            Kind::Byte
        } else {
            Kind::Float
        };
        let tensor = self.tensor(kind, layout);
        let op = if of.depthwise {
            Op::Depthwise(convolution)
        } else {
            Op::Conv(convolution)
        };
        self.step(node, &[input.tensor], tensor, op);
        Ok((tensor, layout.clone()))
    }

    fn integer_bias(
        &self,
        bias: &Bias,
        channels: usize,
        unit: impl Fn(usize) -> f32,
    ) -> Fused<Vec<i32>> {
        if let Bias::Stored(stored) = bias {
            let close = |n: usize| {
                let scale = stored
                    .scales
                    .get(n)
                    .or(stored.scales.first())
                    .copied()
                    .unwrap_or(0.0);
                (f64::from(scale) / f64::from(unit(n)) - 1.0).abs() < 1e-5
            };
            let plain = stored.zero_points.iter().all(|&zero| zero == 0);
            if plain && (0..channels).all(close) {
                let integers = stored.constant.integers().unwrap_or_default();
                let fits = integers
                    .iter()
                    .map(|&value| i32::try_from(value).ok())
                    .collect::<Option<Vec<_>>>();
                if let Some(integers) = fits {
                    return Ok(integers);
                }
            }
        }
        let floats = match bias {
            Bias::Stored(stored) => stored.floats().unwrap_or_default(),
            Bias::Floats(floats) => floats.clone(),
        };
        if floats.len() != channels || floats.iter().any(|value| !value.is_finite()) {
            return Err(failed("its bias has a value that is not finite").into());
        }
        let rounded = |(n, &value): (usize, &f32)| {
            // Saturates: a bias beyond 2^31 levels clamps the output anyway.
            (f64::from(value) / f64::from(unit(n))).round_ties_even() as i32
        };
        Ok(floats.iter().enumerate().map(rounded).collect())
    }

    /// Where the weights' bytes lie; unsigned ones around 128 become signed.
    fn place(&mut self, weights: &Stored) -> Fused<Place> {
        use tract_onnx::pb::tensor_proto::DataType;
        let constant = &weights.constant;
        let zero = match DataType::try_from(constant.tensor.data_type) {
            Ok(DataType::Int8) => 0,
            Ok(DataType::Uint8) => 128,
            _ => return unmatched("its weights are neither i8 nor u8"),
        };
        if weights.zero_points.iter().any(|&point| point != zero) {
            return unmatched("its weights are not symmetric");
        }
        let raw = &constant.tensor.raw_data;
        if zero == 0
            && !raw.is_empty()
            && let Some(&at) = self.places.get(&constant.name)
            && self.bytes.get(at..at + raw.len()) == Some(raw.as_slice())
        {
            return Ok(Place::Model(at));
        }
        let at = self.plan.inline.len();
        let integers = constant.integers().unwrap_or_default();
        let shifted = integers
            .iter()
            .map(|&value| i8::try_from(value - zero).ok());
        let Some(shifted) = shifted.collect::<Option<Vec<i8>>>() else {
            return Err(failed("a weight is out of the range of its type").into());
        };
        self.plan
            .inline
            .extend(shifted.iter().map(|weight| weight.cast_unsigned()));
        Ok(Place::Inline(at))
    }
}

/// `of` over all real values that a tensor's integers stand for, in integers of `scale` and
/// `zero_point`: rounded as DequantizeLinear and QuantizeLinear define it.
pub(super) fn lookup(
    view: &Dequantized,
    of: impl Fn(f32) -> f32,
    scale: f32,
    zero_point: u8,
) -> Op {
    let level = |x: u8| {
        let real = f32::from(i16::from(x) - i16::from(view.zero_point)) * view.scale;
        // `as` saturates.
        ((of(real) / scale).round_ties_even() + f32::from(zero_point)) as u8
    };
    Op::Lookup {
        table: (0..=u8::MAX).map(level).collect(),
    }
}

/// The factors and offsets of a multiply-add per channel that takes up the scale and zero point of
/// each of its input's segments; `zero_point` is the result's.
fn absorbed(
    input: &Segmented,
    (factors, offsets): (&[f32], &[f32]),
    scale: f32,
    zero_point: f32,
) -> (Vec<f32>, Vec<f32>) {
    let multiply_add = |(channel, levels): (usize, &Levels)| {
        let factor = levels.scale * of_channel(factors, channel) / scale;
        let zeros = f64::from(factor) * f64::from(levels.zero_point);
        let offset = f64::from(of_channel(offsets, channel) / scale + zero_point) - zeros;
        (factor, offset as f32)
    };
    input.channels().enumerate().map(multiply_add).unzip()
}

/// What is left of a sum of quantized values when the values themselves have gone in with
/// their zero points: rounded as ONNX Runtime's QLinearAdd does on x86, so that sums that
/// fall between two levels fall to the same side.
fn sum_offset(scales: [f32; 2], zeros: [f32; 2], zero_point: f32) -> f32 {
    zero_point - scales[0].mul_add(zeros[0], scales[1] * zeros[1])
}

/// Real bounds as bounds in integers.
fn range((low, high): (f32, f32), scale: f32, zero_point: u8) -> Range {
    let level = |bound: f32| (bound / scale).round_ties_even() + f32::from(zero_point);
    // `as` saturates, also at the infinities that stand for no bound.
    Range {
        zero_point,
        low: level(low) as u8,
        high: level(high) as u8,
    }
}
