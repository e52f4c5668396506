//! Depthwise convolutions on dot products of four bytes. Four rows of the input, a
//! channel's four values side by side, are a line; `line[y]` holds rows `y` to `y + 3`. A
//! kernel of three rows is one product a column, its fourth weight 0; one of five or seven
//! rows is two.
//!
//! Here is which lines there are, what order weights take, which rows a line is made of;
//! interleaving and multiplying are [`super::avx512_vnni`]'s. [`super::avx2`], whose lines are
//! of two rows, takes [`row`] from here.

use std::ops::Range;

use super::scalar::{bounded, folded_bias};
use super::{Act, Aligned, ConvWeights, Depthwise, PackedDepthwise, Shape, Window};

/// Channels of a vector of sums.
pub(super) const LANES: usize = 16;
/// Rows of a line.
pub(super) const ROWS: usize = 4;
/// Bytes of one vector's channels of one pixel in a line.
pub(super) const VECTOR_BYTES: usize = LANES * ROWS;
/// Vectors of a wide block: what unpacking four rows of 64 bytes gives.
pub(super) const WIDE: usize = 4;
/// The most channels of a block.
pub(super) const WIDE_CHANNELS: usize = WIDE * LANES;

/// How channels are cut into blocks, each of one vector or of [`WIDE`]. The last wide block
/// begins so early that it ends with the channels: what it shares with the one before is
/// computed twice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blocks {
    channels: usize,
    /// Vectors of each.
    pub(super) vectors: usize,
    pub(super) count: usize,
}

impl Blocks {
    fn new(channels: usize) -> Blocks {
        let vectors = if channels >= WIDE_CHANNELS { WIDE } else { 1 };
        Blocks {
            channels,
            vectors,
            count: channels.div_ceil(vectors * LANES),
        }
    }

    /// The first channel of a block.
    pub(super) fn first(self, block: usize) -> usize {
        let first = block * self.vectors * LANES;
        if self.vectors == WIDE {
            first.min(self.channels - WIDE_CHANNELS)
        } else {
            first
        }
    }

    /// The channel in a lane of a block's vector. Unpacking works within quarters of a
    /// vector: of each sixteen channels a wide block's vector has four.
    fn channel(self, block: usize, vector: usize, lane: usize) -> usize {
        let within = if self.vectors == WIDE {
            lane / 4 * LANES + vector * 4 + lane % 4
        } else {
            lane
        };
        self.first(block) + within
    }
}

/// Where a step's lines lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lines {
    pub(super) blocks: Blocks,
    /// Pixels of a line, padding included, as far as windows reach.
    pub(super) pixels: usize,
    /// From one pixel of a line to the next.
    pub(super) pixel_bytes: usize,
    /// Lines that one output row reads, four rows of the kernel each.
    pub(super) groups: usize,
}

impl Lines {
    pub(super) fn new(shape: &Shape, window: &Window) -> Lines {
        let blocks = Blocks::new(shape.channels_out);
        Lines {
            blocks,
            pixels: (shape.output.1 - 1) * window.stride.1 + window.kernel.1,
            pixel_bytes: blocks.count * blocks.vectors * VECTOR_BYTES,
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
    let taps = kernel_h * kernel_w;
    let blocks = Blocks::new(shape.channels_out);
    let vectors = blocks.count * blocks.vectors;
    let groups = kernel_h.div_ceil(ROWS);
    let mut packed = PackedDepthwise {
        // [block of channels][group of rows][column][vector][lane][row of the group]
        weights: Aligned::zeroed(vectors * VECTOR_BYTES * groups * kernel_w),
        // [block of channels][vector][lane]
        bias: vec![0; vectors * LANES],
        multipliers: vec![0.0; vectors * LANES],
        zero_point: of.zero_point,
        bounded: bounded(of),
    };
    let bytes = packed.weights.as_mut_slice();
    for at in 0..vectors * LANES {
        let (block, vector, lane) = (
            at / LANES / blocks.vectors,
            at / LANES % blocks.vectors,
            at % LANES,
        );
        let channel = blocks.channel(block, vector, lane);
        if channel >= shape.channels_out {
            continue;
        }
        let weights = &of.weights[channel * taps..][..taps];
        packed.multipliers[at] = of.multipliers[channel];
        packed.bias[at] = folded_bias(of.bias[channel], of.zero_point, weights.iter().copied());
        for (tap, weight) in weights.iter().enumerate() {
            let (row, column) = (tap / kernel_w, tap % kernel_w);
            let column = (block * groups + row / ROWS) * kernel_w + column;
            let vector = column * blocks.vectors + vector;
            bytes[(vector * LANES + lane) * ROWS + row % ROWS] = weight.cast_unsigned();
        }
    }
    packed
}

/// One of the rows that a line is made of: the input's, or all padding.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) first: *const Act,
    /// From one pixel to the next, and from one channel to the next.
    pub(super) pixel: usize,
    pub(super) channel: usize,
}

/// A row, counted from the first of the padding.
#[inline(always)]
pub(super) fn row(job: &Depthwise, row: usize, padding: &[Act; WIDE_CHANNELS]) -> Row {
    let Depthwise {
        shape,
        window,
        input,
        ..
    } = job;
    match row
        .checked_sub(window.pad.0)
        .filter(|&row| row < shape.input.0)
    {
        Some(row) => Row {
            // SAFETY: within the input.
            first: unsafe { input.pointer.add(row * shape.input.1 * input.stride) },
            pixel: input.stride,
            channel: 1,
        },
        None => Row {
            first: padding.as_ptr(),
            pixel: 0,
            channel: 0,
        },
    }
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
    padding: &[Act; WIDE_CHANNELS],
    mut make: impl FnMut([Row; ROWS], usize),
    mut visit: impl FnMut(usize, usize),
) {
    let Depthwise { shape, window, .. } = job;
    let lines = Lines::new(shape, window);
    let stride = window.stride.0;
    for y in rows.clone() {
        let top = y * stride;
        // All lines but the last were read by the row that begins four lines above.
        let kept = ROWS.is_multiple_of(stride) && y - rows.start >= ROWS / stride;
        let first = if kept { lines.groups - 1 } else { 0 };
        for group in first..lines.groups {
            let line = top + group * ROWS;
            let rows = [0, 1, 2, 3].map(|at| row(job, line + at, padding));
            make(rows, lines.at(lines.slot(top), group));
        }
        visit(y, lines.slot(top));
    }
}
