//! A plan: what a fused network computes, step by step, the same for every instruction
//! set. Import makes one of an ONNX graph, a bundle carries it (`plan.bin`), an
//! executor packs its weights for this CPU and runs it.
//!
//! Numbers are in the `u8` domain: an `i8` activation is shifted by 128 on import.
//! Tensors are NHWC of batch 1. Weights are not repeated: a plan points into the ONNX
//! file that it was made from. [`check`] stands between a plan from a file and anything
//! that trusts it; how a kernel orders its weights is left to the executor.

mod check;
mod file;
// Only import makes plans.
#[cfg(feature = "onnx")]
mod segments;

#[cfg(feature = "onnx")]
pub(crate) use check::fits;
pub(crate) use check::{MAX_RANK, check};
pub(crate) use file::read;
#[cfg(feature = "onnx")]
pub(crate) use file::write;
#[cfg(feature = "onnx")]
pub(crate) use segments::{drop_unused, join_in_place};

use serde::{Deserialize, Serialize};

pub(crate) use super::kernels::Window;
use super::tensor::TensorType;

/// Index of a tensor in [`Plan::tensors`].
pub(crate) type TensorId = usize;

/// A fused network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) input: Port,
    /// The only output: logits or scores, `Float`.
    pub(crate) output: TensorId,
    pub(crate) tensors: Vec<TensorInfo>,
    pub(crate) steps: Vec<Step>,
    /// Weights that do not stand in the ONNX file as plain bytes.
    pub(crate) inline: Vec<u8>,
}

/// The network's input as a caller sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Port {
    pub(crate) name: String,
    /// Batch 1 included.
    pub(crate) shape: Vec<usize>,
    pub(crate) kind: TensorType,
    pub(crate) tensor: TensorId,
}

/// What a tensor's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// Quantized activations, one byte each.
    Byte,
    /// `f32`.
    Float,
}

/// An NHWC tensor of batch 1. What has no image in it is `1 × 1 × n` or the like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TensorInfo {
    pub(crate) kind: Kind,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
    /// These are channels of another tensor, from the given one on: a segment of a
    /// concatenation.
    pub(crate) segment_of: Option<(TensorId, usize)>,
}

impl TensorInfo {
    pub(crate) fn pixels(&self) -> usize {
        self.height * self.width
    }

    pub(crate) fn values(&self) -> usize {
        self.pixels() * self.channels
    }
}

/// One operation: reads tensors, writes one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// The ONNX node that gave it its name, for errors and `explain`.
    pub(crate) node: String,
    pub(crate) inputs: Vec<TensorId>,
    pub(crate) output: TensorId,
    pub(crate) op: Op,
}

/// The zero point of a step's output and the values between which it stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Range {
    pub(crate) zero_point: u8,
    pub(crate) low: u8,
    pub(crate) high: u8,
}

/// Where weights lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Place {
    /// Bytes of the ONNX file, from this one on.
    Model(usize),
    /// Bytes of [`Plan::inline`], from this one on.
    Inline(usize),
}

/// In which order weights lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum WeightOrder {
    /// `[out, in, height, width]`, as ONNX' Conv has it, and Gemm with `transB`.
    OutIn,
    /// `[in, out]`, as ONNX' MatMul has it.
    InOut,
}

/// A convolution of either kind, or a dense layer (a 1×1 window on one pixel).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Convolution {
    pub(crate) window: Window,
    pub(crate) weights: Place,
    pub(crate) order: WeightOrder,
    /// Per output channel, in units of input scale times weight scale.
    pub(crate) bias: Vec<i32>,
    /// Per output channel, see [`super::kernels::ConvWeights`].
    pub(crate) multipliers: Vec<f32>,
    pub(crate) input_zero_point: u8,
    /// `None`: the result stays `f32`.
    pub(crate) output: Option<Range>,
}

/// What a step does. Formulas stand at the kernels' jobs of the same name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Op {
    Conv(Convolution),
    Depthwise(Convolution),
    Add {
        /// Input scales over the output's.
        scales: [f32; 2],
        /// What the zero points come to.
        offset: f32,
        /// By how much values are higher than the graph's.
        shift: u8,
        output: Range,
    },
    /// What each of the 256 values becomes.
    Lookup {
        table: Vec<u8>,
    },
    /// `(x - zero_point) * scale + offset` per channel (or one of each for all).
    Affine {
        zero_point: u8,
        scale: Vec<f32>,
        offset: Vec<f32>,
        output: Range,
    },
    /// The same bytes in another place.
    Copy,
    MaxPool {
        window: Window,
        pad_value: Option<u8>,
    },
    AveragePool {
        window: Window,
        zero_point: u8,
        /// Of the input and of the output.
        scales: [f32; 2],
        /// By how much the output's integers are higher than the graph's.
        shift: u8,
        count_padding: bool,
        output: Range,
    },
    GlobalAveragePool {
        zero_point: u8,
        /// Input scale over the output's and over the number of pixels.
        scale: f32,
        output: Range,
    },
    /// Moves the image by `top` and `left` pixels (a negative number crops) and fills
    /// what is left of the output with `value`.
    Pad {
        top: isize,
        left: isize,
        value: u8,
    },
    /// The values in another order: side `i` of the result is side `order[i]` of the
    /// input, whose sides are `sides`. Of either kind.
    Permute {
        sides: Vec<usize>,
        order: Vec<usize>,
    },
    /// `f32` to bytes: `round(x / scale) + zero_point`, saturated.
    Quantize {
        scale: f32,
        zero_point: u8,
    },
    /// Bytes to `f32`: `(x - zero_point) * scale`.
    Dequantize {
        scale: f32,
        zero_point: u8,
    },
    /// Over each pixel's channels, `f32` to `f32`, with the project's own `exp`.
    Softmax,
    /// A node that has no integer kernel, as an ONNX model of its own, run by tract on
    /// `f32` tensors.
    Tract {
        model: Vec<u8>,
        /// Of each input, as the node wants it.
        shapes: Vec<Vec<usize>>,
        why: String,
    },
}

impl Op {
    /// What the operation is called in reports.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Op::Conv(conv) if conv.window.kernel == (1, 1) => "pointwise",
            Op::Conv(_) => "conv",
            Op::Depthwise(_) => "depthwise",
            Op::Add { .. } => "add",
            Op::Lookup { .. } => "lookup",
            Op::Affine { .. } => "affine",
            Op::Copy => "copy",
            Op::MaxPool { .. } => "max_pool",
            Op::AveragePool { .. } => "average_pool",
            Op::GlobalAveragePool { .. } => "global_average_pool",
            Op::Pad { .. } => "pad",
            Op::Permute { .. } => "permute",
            Op::Quantize { .. } => "quantize",
            Op::Dequantize { .. } => "dequantize",
            Op::Softmax => "softmax",
            Op::Tract { .. } => "tract",
        }
    }
}

impl Op {
    /// Why tract runs it, where it does.
    pub(crate) fn why(&self) -> Option<&str> {
        match self {
            Op::Tract { why, .. } => Some(why),
            _ => None,
        }
    }
}

impl Plan {
    /// The tensor whose memory `tensor` lies in, and its first channel there.
    pub(crate) fn root(&self, tensor: TensorId) -> (TensorId, usize) {
        let (mut tensor, mut channel) = (tensor, 0);
        while let Some((parent, first)) = self.tensors[tensor].segment_of {
            (tensor, channel) = (parent, channel + first);
        }
        (tensor, channel)
    }

    /// What the last layer with weights reads, where that is a vector of bytes, and its zero point: the features that the
    /// network tells its classes by.
    pub(crate) fn features(&self) -> Option<(TensorId, u8)> {
        let (step, layer) = self.steps.iter().rev().find_map(|step| match &step.op {
            Op::Conv(layer) => Some((step, layer)),
            _ => None,
        })?;
        let tensor = *step.inputs.first()?;
        let info = self.tensors.get(tensor)?;
        let is_vector = info.pixels() == 1 && info.kind == Kind::Byte;
        is_vector.then_some((tensor, layer.input_zero_point))
    }

    /// How many scores the output holds.
    pub(crate) fn classes(&self) -> usize {
        self.tensors[self.output].values()
    }
}
