//! Weights as a level's kernels read them: packed once, when a network is opened.

use super::ConvWeights;
#[cfg(target_arch = "x86_64")]
use super::scalar::bounded;
use super::scalar::folded_bias;

/// Bytes at a 64-byte boundary.
#[derive(Debug, Default)]
pub(crate) struct Aligned {
    lines: Vec<Line>,
    bytes: usize,
}

#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

impl Aligned {
    /// As many zeros.
    pub(crate) fn zeroed(bytes: usize) -> Aligned {
        Aligned {
            lines: vec![Line([0; 64]); bytes.div_ceil(64)],
            bytes,
        }
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    /// The first byte, for a kernel.
    pub(crate) fn as_ptr(&self) -> *const u8 {
        self.lines.as_ptr().cast()
    }

    /// The first byte, to be written through.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.lines.as_mut_ptr().cast()
    }

    /// The bytes.
    pub(crate) fn as_slice(&self) -> &[u8] {
        // SAFETY: `lines` holds at least `bytes` initialized bytes without padding.
        unsafe { std::slice::from_raw_parts(self.as_ptr(), self.bytes) }
    }

    /// The bytes, to be written.
    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_slice`, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr(), self.bytes) }
    }
}

/// A convolution's weights. The level that packed them alone knows their order; bias
/// (with the input's zero point folded in: `bias - zero_point * sum of weights`) and
/// multipliers may be padded with zeros to whole tiles.
#[derive(Debug)]
pub(crate) struct PackedConv {
    pub(crate) weights: Aligned,
    pub(crate) bias: Vec<i32>,
    pub(crate) multipliers: Vec<f32>,
    /// The input's zero point in the stored domain: what padding counts as.
    pub(crate) zero_point: i32,
    /// Whether no sum times its multiplier can leave `i32`.
    #[cfg(target_arch = "x86_64")]
    pub(crate) bounded: bool,
    /// Whether AVX2 multiplies transformed weights by transformed inputs.
    #[cfg(target_arch = "x86_64")]
    pub(crate) transformed: bool,
}

impl PackedConv {
    /// Bias and multipliers for `channels`, which may be more than there are, and room for the
    /// weights.
    pub(super) fn padded(of: &ConvWeights, weight_bytes: usize, channels: usize) -> PackedConv {
        let taken = of.weights.len() / of.bias.len();
        let filters = of.weights.chunks_exact(taken).zip(of.bias);
        let bias = filters
            .map(|(weights, &bias)| folded_bias(bias, of.zero_point, weights.iter().copied()));
        let mut packed = PackedConv {
            weights: Aligned::zeroed(weight_bytes),
            bias: bias.collect(),
            multipliers: of.multipliers.to_vec(),
            zero_point: of.zero_point,
            #[cfg(target_arch = "x86_64")]
            bounded: bounded(of),
            #[cfg(target_arch = "x86_64")]
            transformed: false,
        };
        packed.bias.resize(channels, 0);
        packed.multipliers.resize(channels, 0.0);
        packed
    }
}

/// A depthwise convolution's weights, as [`PackedConv`].
#[derive(Debug)]
pub(crate) struct PackedDepthwise {
    pub(crate) weights: Aligned,
    pub(crate) bias: Vec<i32>,
    pub(crate) multipliers: Vec<f32>,
    /// The input's zero point in the stored domain: what padding counts as.
    pub(crate) zero_point: i32,
    /// Whether no sum times its multiplier can leave `i32`.
    #[cfg(target_arch = "x86_64")]
    pub(crate) bounded: bool,
}

impl From<PackedConv> for PackedDepthwise {
    fn from(packed: PackedConv) -> PackedDepthwise {
        PackedDepthwise {
            weights: packed.weights,
            bias: packed.bias,
            multipliers: packed.multipliers,
            zero_point: packed.zero_point,
            #[cfg(target_arch = "x86_64")]
            bounded: packed.bounded,
        }
    }
}
