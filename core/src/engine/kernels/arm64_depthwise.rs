//! Depthwise convolutions on arm64: input rows become lines, lines times weights become
//! output rows by a level's multiplications.
//!
//! A line is one row of the input with its padding, or four rows with a channel's four
//! values side by side, as SDOT wants them: `[block of channels][x][channel][row]`, so
//! that a block's columns follow each other. Lines of four rows begin at every second or
//! fourth row, not at every one: a kernel of three rows fits twice into four, in the first
//! three with a fourth weight of 0, or in the last three, and for both the line is made
//! once. A kernel of five rows takes two lines wherever it begins. Lines stay in a ring.
//! Left out: kernels of more than [`MOST_ROWS`] rows, which the specification runs.

use std::arch::aarch64::*;
use std::ops::Range;

use super::arm64::Multiply;
use super::arm64_store::Rounding;
use super::scalar;
use super::{ConvWeights, Depthwise, PackedConv, PackedDepthwise, Shape, Window};

/// Channels that are loaded at a time.
const STEP: usize = 16;
/// Rows of a kernel, and lines of a ring.
const MOST_ROWS: usize = 16;
/// Columns beyond the last window that a tile of seven pixels may read: of its last but
/// first ones, and of a kernel with its stride.
const TILE_PIXELS: usize = 7;

/// One output row.
pub(super) struct Row<'a> {
    /// The lines under it, in order.
    pub(super) lines: &'a [*const i8],
    /// Bytes from one block of channels to the next in a line.
    pub(super) block_bytes: usize,
    /// `[block][line][kernel_w][channel][row]`.
    pub(super) weights: *const i8,
    /// Padded to whole blocks.
    pub(super) bias: *const i32,
    pub(super) scale: *const f32,
    /// Some products need a wider sum than usual.
    pub(super) careful: bool,
    pub(super) kernel_w: usize,
    pub(super) stride: usize,
    pub(super) channels: usize,
    pub(super) width: usize,
    /// The row's first pixel, and how far it is to the next.
    pub(super) to: *mut i8,
    pub(super) to_stride: usize,
    pub(super) rounding: Rounding,
}

/// How lines lie.
struct Lines {
    /// Lines begin at multiples of this row, counted from the padding's first.
    spacing: usize,
    /// Lines under an output.
    groups: usize,
    /// Lines of the ring.
    slots: usize,
    /// Columns of a line that are filled.
    columns: usize,
    blocks: usize,
    block_bytes: usize,
}

impl Lines {
    fn new<M: Multiply>(shape: &Shape, window: &Window) -> Lines {
        let (kernel_h, kernel_w) = window.kernel;
        let groups = kernel_h.div_ceil(M::LINE_ROWS);
        // A kernel may begin so many rows below its first line without needing one more.
        let spare = groups * M::LINE_ROWS - kernel_h;
        let spacing = match (M::LINE_ROWS, spare) {
            (1, _) | (_, 0) => 1,
            (_, 1 | 2) => 2,
            _ => 4,
        };
        let along = |pixels: usize| (pixels - 1) * window.stride.1 + kernel_w;
        // Whole tiles are read.
        let allocated = along(shape.output.1.next_multiple_of(TILE_PIXELS));
        // Sixteen channels are laid at a time, which may be two blocks.
        let channels = shape.channels_out.next_multiple_of(STEP);
        Lines {
            spacing,
            groups,
            slots: (groups - 1) * M::LINE_ROWS / spacing + 1,
            columns: along(shape.output.1),
            blocks: channels / M::LINE_CHANNELS,
            block_bytes: allocated * M::LINE_CHANNELS * M::LINE_ROWS,
        }
    }

    fn line_bytes(&self) -> usize {
        self.blocks * self.block_bytes
    }

    /// Bytes of the weights for one place of the kernel within its lines.
    fn weight_bytes<M: Multiply>(&self, kernel_w: usize) -> usize {
        self.blocks * self.groups * kernel_w * M::LINE_CHANNELS * M::LINE_ROWS
    }
}

pub(super) fn scratch_bytes<M: Multiply>(shape: &Shape, window: &Window) -> usize {
    if window.kernel.0 > MOST_ROWS {
        return 0;
    }
    let lines = Lines::new::<M>(shape, window);
    // Behind the lines, a pixel of padding.
    lines.slots * lines.line_bytes() + shape.channels_out.next_multiple_of(STEP)
}

/// Weights for every place that a kernel can have within its lines:
/// `[place][block][line][kernel_w][channel][row]`, and a byte that says whether they need
/// care.
pub(super) fn pack<M: Multiply>(
    shape: &Shape,
    window: &Window,
    of: &ConvWeights,
) -> PackedDepthwise {
    let (kernel_h, kernel_w) = window.kernel;
    if kernel_h > MOST_ROWS {
        return scalar::pack_depthwise(of);
    }
    let lines = Lines::new::<M>(shape, window);
    let size = lines.weight_bytes::<M>(kernel_w);
    let padded = shape.channels_out.next_multiple_of(STEP);
    let bytes = lines.spacing * size + 1;
    let mut packed = PackedDepthwise::from(PackedConv::padded(of, bytes, padded));
    let bytes = packed.weights.as_mut_slice();
    for (channel, weights) in of.weights.chunks_exact(kernel_h * kernel_w).enumerate() {
        let (block, lane) = (channel / M::LINE_CHANNELS, channel % M::LINE_CHANNELS);
        for place in 0..lines.spacing {
            for (tap, &weight) in weights.iter().enumerate() {
                let (row, column) = (tap / kernel_w + place, tap % kernel_w);
                let line = block * lines.groups + row / M::LINE_ROWS;
                let vector = (line * kernel_w + column) * M::LINE_CHANNELS + lane;
                let at = place * size + vector * M::LINE_ROWS + row % M::LINE_ROWS;
                bytes[at] = weight.cast_unsigned();
            }
        }
        let care = M::depthwise_needs_care(weights, kernel_w);
        bytes[lines.spacing * size] |= u8::from(care);
    }
    packed
}

pub(super) unsafe fn depthwise<M: Multiply>(job: &Depthwise, rows: Range<usize>, scratch: *mut i8) {
    let Depthwise {
        shape,
        window,
        packed,
        output,
        clamp,
        ..
    } = job;
    if window.kernel.0 > MOST_ROWS {
        // SAFETY: the caller's promise; the weights were packed for the specification.
        return unsafe { scalar::depthwise(job, rows) };
    }
    let lines = Lines::new::<M>(shape, window);
    let weight_bytes = lines.weight_bytes::<M>(window.kernel.1);
    let careful = packed.weights.as_slice().last() == Some(&1);
    let rounding = Rounding::new(*clamp);
    // SAFETY: the ring has as many lines, and a pixel of padding behind them; bias,
    // multipliers and weights are padded to whole blocks.
    unsafe {
        let padding = scratch.add(lines.slots * lines.line_bytes());
        let channels = shape.channels_out.next_multiple_of(STEP);
        for c in (0..channels).step_by(STEP) {
            vst1q_s8(padding.add(c), vdupq_n_s8(packed.zero_point as i8));
        }
        let mut held = [usize::MAX; MOST_ROWS];
        for y in rows {
            let top = y * window.stride.0;
            let place = top % lines.spacing;
            let mut under = [std::ptr::null(); MOST_ROWS];
            for (group, under) in under.iter_mut().take(lines.groups).enumerate() {
                let line = top - place + group * M::LINE_ROWS;
                let slot = line / lines.spacing % lines.slots;
                let at = scratch.add(slot * lines.line_bytes());
                if held[slot] != line {
                    make::<M>(job, &lines, line, padding, at);
                    held[slot] = line;
                }
                *under = at.cast_const();
            }
            M::row(&Row {
                lines: &under[..lines.groups],
                block_bytes: lines.block_bytes,
                weights: packed
                    .weights
                    .as_ptr()
                    .cast::<i8>()
                    .add(place * weight_bytes),
                bias: packed.bias.as_ptr(),
                scale: packed.multipliers.as_ptr(),
                careful,
                kernel_w: window.kernel.1,
                stride: window.stride.1,
                channels: shape.channels_out,
                width: shape.output.1,
                to: output.pointer.add(y * shape.output.1 * output.stride),
                to_stride: output.stride,
                rounding,
            });
        }
    }
}

/// The line that begins at `first`, counted from the padding's first row.
unsafe fn make<M: Multiply>(
    job: &Depthwise,
    lines: &Lines,
    first: usize,
    padding: *const i8,
    to: *mut i8,
) {
    let Depthwise {
        shape,
        window,
        input,
        ..
    } = job;
    let (pad_h, pad_w) = window.pad;
    // Columns `..left` and `right..` are padding.
    let left = pad_w.min(lines.columns);
    let right = (pad_w + shape.input.1).min(lines.columns);
    for c in (0..shape.channels_out).step_by(STEP) {
        // SAFETY: sixteen bytes from the last channels of the last pixel are at most
        // fifteen behind the input; the line holds every column's padded channels.
        unsafe {
            let to = to.add(c / M::LINE_CHANNELS * lines.block_bytes);
            // Every row's first pixel and the way to its next: a row of padding is one
            // pixel that stays.
            let (mut from, mut stride) = ([padding.add(c); 4], [0; 4]);
            for (at, (from, stride)) in from.iter_mut().zip(&mut stride).enumerate() {
                let row = (first + at).wrapping_sub(pad_h);
                if row < shape.input.0 {
                    *from = input.pointer.add(row * shape.input.1 * input.stride + c);
                    *stride = input.stride;
                }
            }
            let none = [padding.add(c); 4];
            lay::<M>(none, [0; 4], 0..left, lines, to);
            lay::<M>(from, stride, left..right, lines, to);
            lay::<M>(none, [0; 4], right..lines.columns, lines, to);
        }
    }
}

/// Sixteen channels of some columns, from pixels that follow each other.
#[inline(always)]
unsafe fn lay<M: Multiply>(
    mut from: [*const i8; 4],
    stride: [usize; 4],
    columns: Range<usize>,
    lines: &Lines,
    to: *mut i8,
) {
    // SAFETY: the caller's.
    unsafe {
        let column = M::LINE_CHANNELS * M::LINE_ROWS;
        let mut to = to.add(columns.start * column);
        for _ in columns {
            if M::LINE_ROWS == 1 {
                vst1q_s8(to, vld1q_s8(from[0]));
                from[0] = from[0].wrapping_add(stride[0]);
            } else {
                let [a, b, c, d] = from.map(|from| vld1q_s8(from));
                for (from, stride) in from.iter_mut().zip(stride) {
                    *from = from.wrapping_add(stride);
                }
                let words = |v: int8x16_t| vreinterpretq_s16_s8(v);
                let bytes = |v: int16x8_t| vreinterpretq_s8_s16(v);
                let (ab, cd) = (words(vzip1q_s8(a, b)), words(vzip1q_s8(c, d)));
                vst1q_s8(to, bytes(vzip1q_s16(ab, cd)));
                vst1q_s8(to.add(16), bytes(vzip2q_s16(ab, cd)));
                let (ab, cd) = (words(vzip2q_s8(a, b)), words(vzip2q_s8(c, d)));
                let next = to.add(lines.block_bytes);
                vst1q_s8(next, bytes(vzip1q_s16(ab, cd)));
                vst1q_s8(next.add(16), bytes(vzip2q_s16(ab, cd)));
            }
            to = to.add(column);
        }
    }
}
