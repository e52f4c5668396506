//! A plan's steps as the executor wants them: weights packed by the level's kernels,
//! zero points in the stored domain, how far a step can be split.

use super::{MAX_MEMORY_BYTES, too_much};
use crate::engine::kernels::{
    ACT_OFFSET, Act, Clamp, ConvWeights, Kernels, PackedConv, PackedDepthwise, Shape, Table,
    Window, act,
};
use crate::engine::plan::{Convolution, Op, Place, Plan, Range, Step, WeightOrder};
use crate::error::Result;

/// One step, ready to run.
pub(super) struct Prepared {
    pub(super) work: Work,
    /// What threads share among them: pixels or rows of the output, or tiles of its channels.
    pub(super) units: usize,
    /// The least that is worth a kernel's call.
    pub(super) grain: usize,
    pub(super) scratch_bytes: usize,
}

/// What is the same in every run of a windowed step.
pub(super) struct Windowed {
    pub(super) shape: Shape,
    pub(super) window: Window,
    /// Of a convolution; `None` where it gives `f32`.
    pub(super) clamp: Option<Clamp>,
}

pub(super) enum Work {
    Conv {
        job: Windowed,
        packed: PackedConv,
        /// Whether threads share tiles of channels; else they share pixels.
        by_tiles: bool,
    },
    Depthwise {
        job: Windowed,
        clamp: Clamp,
        packed: PackedDepthwise,
    },
    Add {
        scales: [f32; 2],
        offset: f32,
        shift: i32,
        clamp: Clamp,
    },
    Lookup(Box<Table>),
    Affine {
        zero_point: i32,
        scale: Vec<f32>,
        offset: Vec<f32>,
        clamp: Clamp,
    },
    Copy,
    MaxPool {
        job: Windowed,
        pad_value: Option<Act>,
    },
    AveragePool {
        job: Windowed,
        zero_point: i32,
        scales: [f32; 2],
        shift: i32,
        count_padding: bool,
        clamp: Clamp,
    },
    GlobalAveragePool {
        pixels: usize,
        zero_point: i32,
        scale: f32,
        clamp: Clamp,
    },
    Pad {
        by: (isize, isize),
        value: Act,
    },
    Permute {
        sides: Vec<usize>,
        order: Vec<usize>,
    },
    Quantize {
        scale: f32,
        zero_point: i32,
    },
    Dequantize {
        scale: f32,
        zero_point: u8,
    },
    Softmax,
    #[cfg(feature = "onnx")]
    Tract(crate::engine::tract::TractNode),
}

impl Work {
    /// Memory that it holds as long as the network is open: weights and factors.
    fn bytes(&self) -> usize {
        match self {
            Work::Conv { packed, .. } => {
                packed.weights.len() + 4 * (packed.bias.len() + packed.multipliers.len())
            }
            Work::Depthwise { packed, .. } => {
                packed.weights.len() + 4 * (packed.bias.len() + packed.multipliers.len())
            }
            Work::Affine { scale, offset, .. } => 4 * (scale.len() + offset.len()),
            _ => 0,
        }
    }
}

/// Prepares all steps of a checked plan.
///
/// # Errors
/// `Model` where a step cannot be run, or weights take more than [`MAX_MEMORY_BYTES`]: steps may share
/// theirs in the file, so that a few bytes there are megabytes here.
pub(super) fn steps(
    plan: &Plan,
    model: &[u8],
    kernels: &dyn Kernels,
    threads: usize,
) -> Result<Vec<Prepared>> {
    let mut bytes = 0;
    let within = |bytes: usize| match bytes > MAX_MEMORY_BYTES {
        true => Err(too_much("the weights")),
        false => Ok(()),
    };
    let prepared = plan.steps.iter().map(|step| {
        let shape = shape(plan, step);
        let most = match &step.op {
            Op::Conv(conv) => conv_bytes_at_most(&shape, &conv.window),
            Op::Depthwise(conv) => depthwise_bytes_at_most(&shape, &conv.window),
            _ => 0,
        };
        within(most.saturating_add(bytes))?;
        let prepared = prepare(plan, step, shape, model, kernels, threads)?;
        bytes += prepared.work.bytes();
        within(bytes)?;
        Ok(prepared)
    });
    prepared.collect()
}

/// Sides and channels of a step's first input and its output.
fn shape(plan: &Plan, step: &Step) -> Shape {
    let (input, output) = (&plan.tensors[step.inputs[0]], &plan.tensors[step.output]);
    Shape {
        input: (input.height, input.width),
        output: (output.height, output.width),
        channels_in: input.channels,
        channels_out: output.channels,
    }
}

/// More than what a convolution's weights take once packed, by any level: of a few channels that is many times what they
/// take in the file.
fn conv_bytes_at_most(shape: &Shape, window: &Window) -> usize {
    // AVX2 widens some weights to two bytes, and may transform those of such windows, to eight.
    let bytes_each = if window.kernel == (3, 3) { 9 } else { 3 };
    bytes_at_most(window, shape.channels_in, shape.channels_out, bytes_each)
}

/// As [`conv_bytes_at_most`], of a depthwise convolution. Levels pack its weights for each of the places that a kernel can
/// have in lines of rows: sixteen bytes for one of a single row on arm64.
fn depthwise_bytes_at_most(shape: &Shape, window: &Window) -> usize {
    bytes_at_most(window, 1, shape.channels_out, 24)
}

/// Of weights in whole tiles of channels and of inputs.
fn bytes_at_most(window: &Window, inputs: usize, outputs: usize, bytes_each: usize) -> usize {
    /// Every level's tiles are parts of as many.
    const TILE: usize = 64;
    let (height, width) = window.kernel;
    let taken = height.saturating_mul(width).saturating_mul(inputs);
    let padded = bytes_each * TILE * outputs.next_multiple_of(TILE);
    taken.div_ceil(TILE).saturating_mul(padded)
}

fn prepare(
    plan: &Plan,
    step: &Step,
    shape: Shape,
    model: &[u8],
    kernels: &dyn Kernels,
    threads: usize,
) -> Result<Prepared> {
    let (input, output) = (&plan.tensors[step.inputs[0]], &plan.tensors[step.output]);
    let windowed = |window: &Window| Windowed {
        shape,
        window: *window,
        clamp: None,
    };
    let mut scratch_bytes = 0;
    // By rows, by pixels, or not at all.
    let (rows, pixels, once) = ((output.height, 1), (output.pixels(), 4), (1, 1));
    let (work, (units, grain)) = match &step.op {
        Op::Conv(conv) => {
            let weights = in_kernel_order(plan, conv, model, &shape);
            let packed = kernels.pack_conv(&shape, &conv.window, &of(conv, &weights));
            scratch_bytes = kernels.conv_scratch_bytes(&shape, &conv.window);
            let job = Windowed {
                clamp: conv.output.map(clamp),
                ..windowed(&conv.window)
            };
            let tiles = kernels.conv_tiles(&shape);
            let by_tiles = shares_tiles(&shape, &conv.window, tiles, threads);
            let units = match by_tiles {
                true => (tiles, 1),
                false => (output.pixels(), kernels.conv_grain(&shape, &packed)),
            };
            let work = Work::Conv {
                job,
                packed,
                by_tiles,
            };
            (work, units)
        }
        Op::Depthwise(conv) => {
            let single = Shape {
                channels_in: 1,
                ..shape
            };
            let weights = in_kernel_order(plan, conv, model, &single);
            let packed = kernels.pack_depthwise(&shape, &conv.window, &of(conv, &weights));
            scratch_bytes = kernels.depthwise_scratch_bytes(&shape, &conv.window);
            let everything = Range {
                zero_point: 0,
                low: 0,
                high: 255,
            };
            let clamp = clamp(conv.output.unwrap_or(everything));
            (
                Work::Depthwise {
                    job: windowed(&conv.window),
                    clamp,
                    packed,
                },
                rows,
            )
        }
        Op::Add {
            scales,
            offset,
            shift,
            output,
        } => {
            let work = Work::Add {
                scales: *scales,
                offset: *offset,
                shift: stored(*shift),
                clamp: clamp(*output),
            };
            (work, pixels)
        }
        Op::Lookup { table } => {
            let mut by_bits = Table([0; 256]);
            for (x, &value) in (0..=u8::MAX).zip(table) {
                by_bits.0[usize::from(act(x) as u8)] = act(value);
            }
            (Work::Lookup(Box::new(by_bits)), pixels)
        }
        Op::Affine {
            zero_point,
            scale,
            offset,
            output: range,
        } => {
            let widened = |values: &[f32]| match values {
                [one] => vec![*one; output.channels],
                values => values.to_vec(),
            };
            let work = Work::Affine {
                zero_point: stored(*zero_point),
                scale: widened(scale),
                offset: widened(offset),
                clamp: clamp(*range),
            };
            (work, pixels)
        }
        Op::Copy => (Work::Copy, pixels),
        Op::MaxPool { window, pad_value } => (
            Work::MaxPool {
                job: windowed(window),
                pad_value: pad_value.map(act),
            },
            rows,
        ),
        Op::AveragePool {
            window,
            zero_point,
            scales,
            shift,
            count_padding,
            output,
        } => {
            scratch_bytes = kernels.average_pool_scratch_bytes(&shape, window);
            let work = Work::AveragePool {
                job: windowed(window),
                zero_point: stored(*zero_point),
                scales: *scales,
                shift: stored(*shift),
                count_padding: *count_padding,
                clamp: clamp(*output),
            };
            (work, rows)
        }
        Op::GlobalAveragePool {
            zero_point,
            scale,
            output: range,
        } => {
            let work = Work::GlobalAveragePool {
                pixels: input.pixels(),
                zero_point: stored(*zero_point),
                scale: *scale,
                clamp: clamp(*range),
            };
            (work, (output.channels, 64))
        }
        Op::Pad { top, left, value } => (
            Work::Pad {
                by: (*top, *left),
                value: act(*value),
            },
            once,
        ),
        Op::Permute { sides, order } => (
            Work::Permute {
                sides: sides.clone(),
                order: order.clone(),
            },
            once,
        ),
        Op::Quantize { scale, zero_point } => (
            Work::Quantize {
                scale: *scale,
                zero_point: stored(*zero_point),
            },
            (output.values(), 1024),
        ),
        Op::Dequantize { scale, zero_point } => (
            Work::Dequantize {
                scale: *scale,
                zero_point: *zero_point,
            },
            once,
        ),
        Op::Softmax => (Work::Softmax, once),
        #[cfg(feature = "onnx")]
        Op::Tract { model, shapes, .. } => {
            let node = crate::engine::tract::TractNode::new(model, shapes, output.values());
            (
                Work::Tract(
                    node.map_err(|error| error.context(format_args!("node {:?}", step.node)))?,
                ),
                once,
            )
        }
        #[cfg(not(feature = "onnx"))]
        Op::Tract { why, .. } => {
            return Err(crate::error::Error::new(
                crate::error::ErrorKind::Model,
                format!(
                    "node {:?} ({why}): this library was built without ONNX, which alone could run it",
                    step.node
                ),
            ));
        }
    };
    Ok(Prepared {
        work,
        units,
        grain,
        scratch_bytes,
    })
}

/// Whether threads should share a convolution's tiles of channels instead of its pixels: where
/// the weights are many times the input, each thread then reads its share of them alone (but
/// half of the input from the other's cache, and so does the step behind). Tiles must be many
/// enough to share evenly, or pixels too few.
fn shares_tiles(shape: &Shape, window: &Window, tiles: usize, threads: usize) -> bool {
    let depth = window.kernel.0 * window.kernel.1 * shape.channels_in;
    let inputs = shape.input.0 * shape.input.1 * shape.channels_in;
    let pixels = shape.output.0 * shape.output.1;
    let even = tiles >= 4 * threads || pixels < threads;
    threads > 1 && even && shape.channels_out * depth > 8 * inputs
}

fn stored(zero_point: u8) -> i32 {
    i32::from(zero_point) + ACT_OFFSET
}

fn clamp(range: Range) -> Clamp {
    Clamp {
        zero_point: stored(range.zero_point),
        low: stored(range.low),
        high: stored(range.high),
    }
}

fn of<'a>(conv: &'a Convolution, weights: &'a [i8]) -> ConvWeights<'a> {
    ConvWeights {
        weights,
        bias: &conv.bias,
        multipliers: &conv.multipliers,
        zero_point: stored(conv.input_zero_point),
    }
}

/// Weights as kernels take them, `[out, height, width, in]`.
fn in_kernel_order(plan: &Plan, conv: &Convolution, model: &[u8], shape: &Shape) -> Vec<i8> {
    let area = conv.window.kernel.0 * conv.window.kernel.1;
    let (outputs, inputs) = (shape.channels_out, shape.channels_in);
    let length = outputs * inputs * area;
    let bytes = match conv.weights {
        Place::Model(at) => &model[at..at + length],
        Place::Inline(at) => &plan.inline[at..at + length],
    };
    let signed = |&byte: &u8| byte.cast_signed();
    match conv.order {
        WeightOrder::OutIn if area == 1 || inputs == 1 => bytes.iter().map(signed).collect(),
        WeightOrder::OutIn => {
            let mut ordered = vec![0; length];
            let filters = bytes
                .chunks_exact(inputs * area)
                .zip(ordered.chunks_exact_mut(inputs * area));
            for (from, to) in filters {
                for (channel, plane) in from.chunks_exact(area).enumerate() {
                    for (tap, weight) in plane.iter().enumerate() {
                        to[tap * inputs + channel] = signed(weight);
                    }
                }
            }
            ordered
        }
        WeightOrder::InOut => {
            let mut ordered = vec![0; length];
            // Some outputs at a time, so that each is written in order.
            const TOGETHER: usize = 16;
            for (block, ordered) in ordered.chunks_mut(TOGETHER * inputs).enumerate() {
                for (input, row) in bytes.chunks_exact(outputs).enumerate() {
                    let weights = row[block * TOGETHER..].iter();
                    for (weight, output) in weights.zip(ordered.chunks_exact_mut(inputs)) {
                        output[input] = signed(weight);
                    }
                }
            }
            ordered
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::kernels::levels;

    #[test]
    fn weights_take_no_more_than_they_are_allowed() {
        for level in levels() {
            for (kernel, inputs, outputs) in [
                ((1, 1), 1, 1),
                ((1, 1), 64, 64),
                ((1, 1), 1056, 17),
                ((3, 3), 64, 64),
                ((3, 3), 48, 17),
                ((1, 3), 64, 128),
                ((1, 64), 1, 64),
                ((7, 7), 3, 64),
            ] {
                let window = Window {
                    kernel,
                    stride: (1, 1),
                    pad: (kernel.0 / 2, kernel.1 / 2),
                };
                let shape = Shape {
                    input: (20, 20),
                    output: (20, 20),
                    channels_in: inputs,
                    channels_out: outputs,
                };
                let taps = kernel.0 * kernel.1;
                // Wide ones for AVX2, and narrow ones that it transforms.
                for weight in [127, 1] {
                    let weights = vec![weight; taps * inputs * outputs];
                    let of = ConvWeights {
                        weights: &weights,
                        bias: &vec![0; outputs],
                        multipliers: &vec![1.0; outputs],
                        zero_point: 0,
                    };
                    let what = format!("{} {kernel:?} {inputs} {outputs}", level.name());
                    let packed = level.pack_conv(&shape, &window, &of);
                    let bytes = packed.weights.len() + 8 * packed.bias.len();
                    assert!(bytes <= conv_bytes_at_most(&shape, &window), "{what}");
                    let of = ConvWeights {
                        weights: &weights[..taps * outputs],
                        ..of
                    };
                    let packed = level.pack_depthwise(&shape, &window, &of);
                    let bytes = packed.weights.len() + 8 * packed.bias.len();
                    assert!(bytes <= depthwise_bytes_at_most(&shape, &window), "{what}");
                }
            }
        }
    }
}
