//! Depthwise convolutions on dot products of four bytes. Four rows of the input, a
//! channel's four values side by side, are a line; `line[y]` holds rows `y` to `y + 3`. A
//! kernel of three rows is one product a column, its fourth weight 0; one of five or seven
//! rows is two.
//!
//! Here is what is the same on every instruction set: which lines there are, what order
//! weights take, which rows a line is made of. A level interleaves and multiplies.

use std::ops::Range;

use super::scalar::folded_bias;
use super::{Act, Aligned, ConvWeights, Depthwise, PackedDepthwise, Shape, Window};

/// Channels of a block: each level's sums of one pixel.
pub(super) const CHANNELS: usize = 16;
/// Rows of a line.
pub(super) const ROWS: usize = 4;
/// Bytes of one block of one pixel in a line.
pub(super) const BLOCK_BYTES: usize = CHANNELS * ROWS;

/// Where a step's lines lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lines {
    /// Pixels of a line, padding included, as far as windows reach.
    pub(super) pixels: usize,
    /// From one pixel of a line to the next.
    pub(super) pixel_bytes: usize,
    /// Lines that one output row reads, four rows of the kernel each.
    pub(super) groups: usize,
}

impl Lines {
    pub(super) fn new(shape: &Shape, window: &Window) -> Lines {
        Lines {
            pixels: (shape.output.1 - 1) * window.stride.1 + window.kernel.1,
            pixel_bytes: shape.channels_out.next_multiple_of(CHANNELS) * ROWS,
            groups: window.kernel.0.div_ceil(ROWS),
        }
    }

    fn bytes(self) -> usize {
        self.pixels * self.pixel_bytes
    }

    /// How many lines are kept: those between the first and the last that a row reads.
    fn kept(self) -> usize {
        ROWS * (self.groups - 1) + 1
    }

    /// The place in which line `line` is kept, counted from the first row of the padding.
    fn slot(self, line: usize) -> usize {
        if self.groups == 1 {
            0
        } else {
            line % self.kept()
        }
    }

    /// The first byte of the line that is `group` groups below the one in `slot`.
    #[inline(always)]
    pub(super) fn at(self, slot: usize, group: usize) -> usize {
        let slot = slot + group * ROWS;
        let slot = if slot >= self.kept() {
            slot - self.kept()
        } else {
            slot
        };
        slot * self.bytes()
    }
}

pub(super) fn scratch_bytes(shape: &Shape, window: &Window) -> usize {
    let lines = Lines::new(shape, window);
    lines.kept() * lines.bytes()
}

pub(super) fn pack(shape: &Shape, window: &Window, of: &ConvWeights) -> PackedDepthwise {
    let (kernel_h, kernel_w) = window.kernel;
    let channels = shape.channels_out.next_multiple_of(CHANNELS);
    let groups = kernel_h.div_ceil(ROWS);
    let mut packed = PackedDepthwise {
        // [block of channels][group of rows][column][channel][row of the group]
        weights: Aligned::zeroed(channels * groups * kernel_w * ROWS),
        bias: vec![0; channels],
        multipliers: vec![0.0; channels],
        zero_point: of.zero_point,
    };
    packed.multipliers[..shape.channels_out].copy_from_slice(of.multipliers);
    let bytes = packed.weights.as_mut_slice();
    for (channel, weights) in of.weights.chunks_exact(kernel_h * kernel_w).enumerate() {
        packed.bias[channel] =
            folded_bias(of.bias[channel], of.zero_point, weights.iter().copied());
        let (block, lane) = (channel / CHANNELS, channel % CHANNELS);
        for (tap, weight) in weights.iter().enumerate() {
            let (row, column) = (tap / kernel_w, tap % kernel_w);
            let vector = (block * groups + row / ROWS) * kernel_w + column;
            bytes[(vector * CHANNELS + lane) * ROWS + row % ROWS] = weight.cast_unsigned();
        }
    }
    packed
}

/// One of the rows that a line is made of: the input's, or all padding.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) first: *const Act,
    /// From one pixel to the next, and from one block of channels to the next.
    pub(super) pixel: usize,
    pub(super) block: usize,
}

/// For every output row in `rows`, calls `make` for the lines that it reads and no row
/// before has, then `visit`. `make` gets the line's four rows and the line's first byte in
/// the scratch memory; `visit` the row and the slot of its first line, see [`Lines::at`].
///
/// # Safety
/// As for [`super::Kernels::depthwise`]; `scratch` holds [`scratch_bytes`], `padding` a
/// block of the zero point.
#[inline(always)]
pub(super) unsafe fn each_row(
    job: &Depthwise,
    rows: Range<usize>,
    padding: &[Act; CHANNELS],
    mut make: impl FnMut([Row; ROWS], usize),
    mut visit: impl FnMut(usize, usize),
) {
    let Depthwise {
        shape,
        window,
        input,
        ..
    } = job;
    let lines = Lines::new(shape, window);
    let stride = window.stride.0;
    for y in rows.clone() {
        let top = y * stride;
        // All lines but the last were read by the row that begins four lines above.
        let kept = ROWS.is_multiple_of(stride) && y - rows.start >= ROWS / stride;
        let first = if kept { lines.groups - 1 } else { 0 };
        for group in first..lines.groups {
            let line = top + group * ROWS;
            let rows = [0, 1, 2, 3].map(|at| {
                let row = (line + at).checked_sub(window.pad.0);
                match row.filter(|&row| row < shape.input.0) {
                    Some(row) => Row {
                        // SAFETY: within the input.
                        first: unsafe { input.pointer.add(row * shape.input.1 * input.stride) },
                        pixel: input.stride,
                        block: CHANNELS,
                    },
                    None => Row {
                        first: padding.as_ptr(),
                        pixel: 0,
                        block: 0,
                    },
                }
            });
            make(rows, lines.at(lines.slot(top), group));
        }
        visit(y, lines.slot(top));
    }
}
