//! Integer kernels: what an int8 network spends its time in, once per instruction set.
//!
//! [`scalar`] is the specification: every method of [`Kernels`] has its meaning written
//! there as plain loops, and every other level gives the same bytes. A level overrides
//! what it does faster and inherits the rest. [`dispatch`] picks the level at run time.
//! Kernels know pointers, strides and ranges; lifetimes and threads are the executor's.
//!
//! Activations are 8-bit, NHWC. Arm's SDOT multiplies signed by signed bytes and x86's
//! PMADDUBSW unsigned by signed ones, so a value is stored as `i8` on aarch64 and as
//! `u8` elsewhere ([`Act`]); a plan speaks of `u8` and [`act`] converts at its edges.

#[cfg(target_arch = "aarch64")]
mod arm64;
#[cfg(target_arch = "aarch64")]
mod arm64_conv;
#[cfg(target_arch = "aarch64")]
mod arm64_depthwise;
#[cfg(target_arch = "aarch64")]
mod arm64_max_pool;
#[cfg(target_arch = "aarch64")]
mod arm64_store;
#[cfg(target_arch = "aarch64")]
mod arm64_sums;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512_vnni;
mod dispatch;
#[cfg(target_arch = "x86_64")]
mod lines;
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
mod loops;
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
mod means;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_dotprod;
#[cfg(target_arch = "aarch64")]
mod neon_i8mm;
mod packed;
#[cfg(target_arch = "x86_64")]
mod patches;
mod scalar;
#[cfg(test)]
mod tests;

#[cfg(feature = "onnx")]
pub(crate) use dispatch::pays;
pub(crate) use dispatch::{best, levels};
pub(crate) use packed::{Aligned, PackedConv, PackedDepthwise};

use std::ops::Range;

/// One stored activation.
#[cfg(target_arch = "aarch64")]
pub(crate) type Act = i8;
/// One stored activation.
#[cfg(not(target_arch = "aarch64"))]
pub(crate) type Act = u8;

/// What is added to a plan's `u8` value to give the stored one.
pub(crate) const ACT_OFFSET: i32 = Act::MIN as i32;

/// Bytes behind any activation tensor that a kernel may read (never use, never write).
pub(crate) const OVERREAD_BYTES: usize = 64;

/// A plan's value as it is stored.
pub(crate) fn act(value: u8) -> Act {
    (i32::from(value) + ACT_OFFSET) as Act
}

/// Where a convolution or a pool looks: output `(y, x)` reads the inputs
/// `(y * stride.0 + ky - pad.0, x * stride.1 + kx - pad.1)`. What lies outside the
/// image is padding; how much of it follows the image, the output's size tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Window {
    /// Height and width of the kernel.
    pub(crate) kernel: (usize, usize),
    pub(crate) stride: (usize, usize),
    /// Padding above and left of the image.
    pub(crate) pad: (usize, usize),
}

/// Height and width of input and output, and their channels (equal but for [`Kernels::conv`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) input: (usize, usize),
    pub(crate) output: (usize, usize),
    pub(crate) channels_in: usize,
    pub(crate) channels_out: usize,
}

/// The last step of every integer operation, `f32` to stored value: round to nearest,
/// ties to even, add `zero_point`, clamp to `low..=high`.
///
/// All three are in the stored domain and within [`Act`]; `low <= high`. A fused ReLU is
/// a `low` at the zero point, a fused ReLU6 a `high` as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clamp {
    pub(crate) zero_point: i32,
    pub(crate) low: i32,
    pub(crate) high: i32,
}

/// An NHWC tensor to read: channel `c` of pixel `p` (row-major over height and width)
/// lies at `pointer + p * stride + c`. A stride beyond the channels is a segment of a
/// concatenation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    pub(crate) pointer: *const Act,
    /// Values from one pixel to the next.
    pub(crate) stride: usize,
}

/// An NHWC tensor to write, addressed as [`Source`] is. Bytes between the channels of
/// one pixel and those of the next belong to others and are never written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) pointer: *mut Act,
    pub(crate) stride: usize,
}

/// Where a convolution's result goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ConvOutput {
    /// `clamp(acc * multiplier[n])`, see [`Clamp`].
    Act(Target, Clamp),
    /// `acc * multiplier[n]` as `f32`: logits. Pixel `p` starts at `p * channels_out`.
    F32(*mut f32),
}

/// What a convolution is made of, before a level packs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConvWeights<'a> {
    /// `[channels_out, kernel height, kernel width, channels_in]`; for a depthwise
    /// convolution `[channels, kernel height, kernel width]`.
    pub(crate) weights: &'a [i8],
    /// Per output channel, in units of input scale times weight scale.
    pub(crate) bias: &'a [i32],
    /// Per output channel: input scale * weight scale / output scale; finite, positive.
    pub(crate) multipliers: &'a [f32],
    /// The input's zero point in the stored domain.
    pub(crate) zero_point: i32,
}

/// A convolution over one image. Padding counts as the input's zero point.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conv<'a> {
    pub(crate) shape: Shape,
    pub(crate) window: Window,
    pub(crate) packed: &'a PackedConv,
    pub(crate) input: Source,
    pub(crate) output: ConvOutput,
}

/// A depthwise convolution (multiplier 1) over one image. Padding counts as the input's
/// zero point.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Depthwise<'a> {
    pub(crate) shape: Shape,
    pub(crate) window: Window,
    pub(crate) packed: &'a PackedDepthwise,
    pub(crate) input: Source,
    pub(crate) output: Target,
    pub(crate) clamp: Clamp,
}

/// A sum of two tensors: `clamp(a * scale_a + (b * scale_b + offset))`, `a` and `b` as the
/// graph has them (stored values less `shift`), each product and sum rounded once (fused).
/// ONNX Runtime's QLinearAdd rounds so on x86.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Add {
    pub(crate) channels: usize,
    pub(crate) a: Source,
    pub(crate) b: Source,
    pub(crate) output: Target,
    pub(crate) scale_a: f32,
    pub(crate) scale_b: f32,
    pub(crate) offset: f32,
    /// What stored values are higher than the graph's.
    pub(crate) shift: i32,
    pub(crate) clamp: Clamp,
}

/// A function of single values, as a table: `table[x]`, `x` as unsigned. A requantization,
/// a ReLU between other scales.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lookup<'a> {
    pub(crate) channels: usize,
    pub(crate) input: Source,
    pub(crate) output: Target,
    pub(crate) table: &'a Table,
}

/// What each of the 256 stored values becomes, by its bits.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(crate) struct Table(pub(crate) [Act; 256]);

/// A multiply-add per channel: `clamp((x - zero_point) as f32 * scale[c] + offset[c])`,
/// rounded to `f32` once (fused). A batch norm that could not be folded, or one half of it.
/// The difference comes first, as an integer: it is the same in both stored domains.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Affine<'a> {
    pub(crate) channels: usize,
    pub(crate) input: Source,
    pub(crate) output: Target,
    /// In the stored domain.
    pub(crate) zero_point: i32,
    /// One per channel.
    pub(crate) scale: &'a [f32],
    pub(crate) offset: &'a [f32],
    pub(crate) clamp: Clamp,
}

/// `f32` to stored values, one after the other: `x / scale`, rounded to even, plus the zero
/// point, saturated. NaN becomes the least value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quantize {
    pub(crate) input: *const f32,
    pub(crate) output: *mut Act,
    /// Finite, positive.
    pub(crate) scale: f32,
    /// In the stored domain.
    pub(crate) zero_point: i32,
}

/// A max pool. Padding never wins, unless `pad_value` is set and takes part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MaxPool {
    pub(crate) shape: Shape,
    pub(crate) window: Window,
    pub(crate) input: Source,
    pub(crate) output: Target,
    pub(crate) pad_value: Option<Act>,
}

/// An average pool: the mean of the real values `(x - zero_point) as f32 * scale_in` inside
/// the image, summed row by row as `f32`, divided by their number (by the window's area with
/// `count_padding`), divided by `scale_out`; the zero point of the graph's own integers is
/// added (the clamp's less `shift`), and the sum is rounded to even and clamped. Means of a few values often fall
/// between two levels; this is ONNX Runtime's way, which decides to which side.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AveragePool {
    pub(crate) shape: Shape,
    pub(crate) window: Window,
    pub(crate) input: Source,
    pub(crate) output: Target,
    pub(crate) zero_point: i32,
    pub(crate) scale_in: f32,
    pub(crate) scale_out: f32,
    /// What stored values are higher than the graph's.
    pub(crate) shift: i32,
    pub(crate) count_padding: bool,
    pub(crate) clamp: Clamp,
}

/// The mean of a whole image, per channel: `clamp((sum - pixels * zero_point) as f32 * scale)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GlobalAveragePool {
    pub(crate) pixels: usize,
    pub(crate) input: Source,
    pub(crate) output: Target,
    pub(crate) zero_point: i32,
    /// Input scale over output scale and number of pixels.
    pub(crate) scale: f32,
    pub(crate) clamp: Clamp,
}

/// One instruction set's kernels.
///
/// # Safety
/// For all methods with a range: tensors are valid for reading or writing at every place
/// that the shape and strides name, inputs for [`OVERREAD_BYTES`] more; outputs do not
/// overlap inputs (they may interleave with them, as segments of one concatenation);
/// `scratch` holds as many bytes as the level asked for, 64-byte aligned, for this call
/// alone; the packed weights come from this level; the CPU has the level's features.
/// Two calls whose ranges do not overlap may run at the same time.
pub(crate) trait Kernels: Sync {
    /// The level's name, as measurements report it.
    fn name(&self) -> &'static str;

    /// Weights in the order in which [`Kernels::conv`] reads them.
    fn pack_conv(&self, _shape: &Shape, _window: &Window, weights: &ConvWeights) -> PackedConv {
        scalar::pack_conv(weights)
    }

    /// Scratch bytes of a [`Kernels::conv`].
    fn conv_scratch_bytes(&self, _shape: &Shape, _window: &Window) -> usize {
        0
    }

    /// Pixels that ranges of a [`Kernels::conv`] are best multiples of: the least that is worth
    /// a call.
    fn conv_grain(&self, _shape: &Shape, _packed: &PackedConv) -> usize {
        4
    }

    /// How many tiles of output channels a convolution has, for threads to share among them
    /// where sharing pixels would send all of the weights through each.
    fn conv_tiles(&self, _shape: &Shape) -> usize {
        1
    }

    /// Output pixels `pixels` (row-major) of the tiles `tiles` of a convolution, see
    /// [`Kernels::conv_tiles`].
    unsafe fn conv(
        &self,
        job: &Conv,
        pixels: Range<usize>,
        _tiles: Range<usize>,
        _scratch: *mut u8,
    ) {
        // SAFETY: the caller's promise is passed on.
        unsafe { scalar::conv(job, pixels) }
    }

    /// Weights in the order in which [`Kernels::depthwise`] reads them.
    fn pack_depthwise(
        &self,
        _shape: &Shape,
        _window: &Window,
        weights: &ConvWeights,
    ) -> PackedDepthwise {
        scalar::pack_depthwise(weights)
    }

    /// Scratch bytes of a [`Kernels::depthwise`].
    fn depthwise_scratch_bytes(&self, _shape: &Shape, _window: &Window) -> usize {
        0
    }

    /// Output rows `rows` of a depthwise convolution.
    unsafe fn depthwise(&self, job: &Depthwise, rows: Range<usize>, _scratch: *mut u8) {
        // SAFETY: the caller's promise is passed on.
        unsafe { scalar::depthwise(job, rows) }
    }

    /// Values `values` of a quantization.
    unsafe fn quantize(&self, job: &Quantize, values: Range<usize>) {
        // SAFETY: the caller's promise is passed on.
        unsafe { scalar::quantize(job, values) }
    }

    /// Pixels `pixels` of a sum.
    unsafe fn add(&self, job: &Add, pixels: Range<usize>) {
        // SAFETY: the caller's promise is passed on.
        unsafe { scalar::add(job, pixels) }
    }

    /// Pixels `pixels` through a table.
    unsafe fn lookup(&self, job: &Lookup, pixels: Range<usize>) {
        // SAFETY: the caller's promise is passed on.
        unsafe { scalar::lookup(job, pixels) }
    }

    /// Pixels `pixels` of a multiply-add.
    unsafe fn affine(&self, job: &Affine, pixels: Range<usize>) {
        // SAFETY: the caller's promise is passed on.
        unsafe { scalar::affine(job, pixels) }
    }

    /// Output rows `rows` of a max pool.
    unsafe fn max_pool(&self, job: &MaxPool, rows: Range<usize>) {
        // SAFETY: the caller's promise is passed on.
        unsafe { scalar::max_pool(job, rows) }
    }

    /// Scratch bytes of a [`Kernels::average_pool`].
    fn average_pool_scratch_bytes(&self, _shape: &Shape, _window: &Window) -> usize {
        0
    }

    /// Output rows `rows` of an average pool.
    unsafe fn average_pool(&self, job: &AveragePool, rows: Range<usize>, _scratch: *mut u8) {
        // SAFETY: the caller's promise is passed on.
        unsafe { scalar::average_pool(job, rows) }
    }

    /// Channels `channels` of a global average pool.
    unsafe fn global_average_pool(&self, job: &GlobalAveragePool, channels: Range<usize>) {
        // SAFETY: the caller's promise is passed on.
        unsafe { scalar::global_average_pool(job, channels) }
    }
}
