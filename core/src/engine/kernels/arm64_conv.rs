//! Convolutions on arm64: patches into panels, panels times weights by a level's tiles.
//!
//! A panel holds the patches of four pixels, one granule (what a multiply instruction takes
//! of a pixel: 4, 8 or 16 inputs) of each side by side. ST4 writes so: a panel costs a dozen
//! instructions for 64 inputs, a hundredth of the multiplications that follow, and makes
//! every window, stride and tail the same to the tiles. A tile takes up to three panels,
//! which alternate granule by granule: it reads one stream of pixels, one of weights.
//!
//! Tried and dropped: tiles that read a pointwise layer's input where it lies. Eight
//! pointers or loads by eight strides leave registers for fewer sums, and a tile with
//! fewer sums loads more for each multiplication than the panels cost.

use std::arch::aarch64::*;
use std::ops::Range;

use super::arm64::Multiply;
use super::arm64_store::{Rounding, store_some};
use super::scalar::tapped;
use super::{Conv, ConvOutput, ConvWeights, PackedConv, Shape, Window};

/// Pixels of a panel.
const PANEL: usize = 4;
/// Inputs of a pixel that are laid at a time.
const STEP: usize = 16;
/// A block's panels stay in the second-level cache while all weights pass.
const BLOCK_BYTES: usize = 64 << 10;
/// Channels of four vectors of bias.
const MOST_CHANNELS: usize = 8;

/// Equal tiles, one behind the other, and the weights of up to eight output channels.
pub(super) struct Tiles {
    pub(super) panels: *const i8,
    /// From one tile's panels to the next tile's.
    pub(super) tile_bytes: usize,
    pub(super) count: usize,
    /// Pixels of each tile; one that is not a multiple of four comes alone.
    pub(super) pixels: usize,
    /// Inputs of a pixel. Panels are filled up to whole granules with anything.
    pub(super) depth: usize,
    pub(super) weights: *const i8,
    /// Some products need a wider sum than usual, see [`Multiply::needs_care`].
    pub(super) careful: bool,
    /// Eight of each.
    pub(super) bias: *const i32,
    pub(super) scale: *const f32,
    pub(super) output: Output,
}

/// Where a tile's first pixel's first channel goes.
#[derive(Clone, Copy)]
pub(super) struct Output {
    /// Channels, at most eight.
    pub(super) channels: usize,
    stride: usize,
    to: Pointer,
}

#[derive(Clone, Copy)]
enum Pointer {
    Act(*mut i8, Rounding),
    F32(*mut f32),
}

impl Tiles {
    /// Fours of channels that have any.
    pub(super) fn quads(&self) -> usize {
        self.output.channels.div_ceil(4)
    }

    /// Stores a tile's sums, `P` panels of `L` pixels (4, or a single one), `Q` fours of
    /// channels each. `bytes` gives a panel's values out of its sums, in `Q` vectors with
    /// `4 Q` channels of a pixel after the other, unclamped; `words` its sums in order.
    #[inline(always)]
    pub(super) unsafe fn store<S: Copy, const P: usize, const Q: usize, const L: usize>(
        &self,
        tile: usize,
        sums: &[S; P],
        bytes: impl Fn(&S, Rounding) -> [int8x16_t; Q],
        words: impl Fn(&S) -> [[int32x4_t; Q]; 4],
    ) {
        let Output {
            channels,
            stride,
            to,
        } = self.output;
        let first = tile * self.pixels;
        // SAFETY: the output has these pixels and channels.
        unsafe {
            match to {
                Pointer::Act(to, rounding) => {
                    let mut vectors = [[vdupq_n_s8(0); Q]; P];
                    for (vectors, sums) in vectors.iter_mut().zip(sums) {
                        *vectors = bytes(sums, rounding);
                    }
                    if rounding.clamps {
                        for vector in vectors.as_flattened_mut() {
                            *vector = rounding.clamped(*vector);
                        }
                    }
                    let mut to = to.add(first * stride);
                    if self.pixels == P * L && channels == 4 * Q {
                        for vectors in &vectors {
                            store_panel::<Q, L>(to, stride, vectors);
                            to = to.wrapping_add(L * stride);
                        }
                    } else {
                        self.store_some(to, 4 * Q, vectors.as_flattened());
                    }
                }
                Pointer::F32(to) => {
                    let mut rows = [[[vdupq_n_s32(0); Q]; 4]; P];
                    for (rows, sums) in rows.iter_mut().zip(sums) {
                        *rows = words(sums);
                    }
                    let rows = rows.as_flattened().as_flattened();
                    self.store_floats(to.add(first * stride), Q, rows);
                }
            }
        }
    }

    /// Of pixels of `width` values each, those and the channels that the output has.
    #[cold]
    #[inline(never)]
    unsafe fn store_some(&self, to: *mut i8, width: usize, vectors: &[int8x16_t]) {
        let Output {
            channels, stride, ..
        } = self.output;
        let from = vectors.as_ptr().cast::<i8>();
        for r in 0..self.pixels {
            let mut row = [0_i8; 16];
            // SAFETY: the vectors hold `width` values of each pixel, 4 or 8.
            unsafe {
                from.add(r * width)
                    .copy_to_nonoverlapping(row.as_mut_ptr(), width);
                store_some(to.add(r * stride), vld1q_s8(row.as_ptr()), channels);
            }
        }
    }

    /// Of pixels of `quads` sums each, as floats.
    #[cold]
    #[inline(never)]
    unsafe fn store_floats(&self, to: *mut f32, quads: usize, sums: &[int32x4_t]) {
        let Output {
            channels, stride, ..
        } = self.output;
        for (r, sums) in sums.chunks_exact(quads).enumerate().take(self.pixels) {
            for c in 0..channels {
                // SAFETY: a vector is four sums; the output has these channels.
                unsafe {
                    let sum = *sums.as_ptr().cast::<i32>().add(c);
                    *to.add(r * stride + c) = sum as f32 * *self.scale.add(c);
                }
            }
        }
    }
}

/// `L` pixels of `4 Q` channels.
#[inline(always)]
unsafe fn store_panel<const Q: usize, const L: usize>(
    to: *mut i8,
    stride: usize,
    vectors: &[int8x16_t; Q],
) {
    // SAFETY: the caller has room for them.
    unsafe {
        if Q == 2 {
            vst1_s8(to, vget_low_s8(vectors[0]));
            if L == PANEL {
                let halves = |v: int8x16_t| vreinterpretq_s64_s8(v);
                vst1q_lane_s64::<1>(to.add(stride).cast(), halves(vectors[0]));
                vst1_s8(to.add(2 * stride), vget_low_s8(vectors[1]));
                vst1q_lane_s64::<1>(to.add(3 * stride).cast(), halves(vectors[1]));
            }
        } else {
            let fours = vreinterpretq_s32_s8(vectors[0]);
            vst1q_lane_s32::<0>(to.cast(), fours);
            if L == PANEL {
                vst1q_lane_s32::<1>(to.add(stride).cast(), fours);
                vst1q_lane_s32::<2>(to.add(2 * stride).cast(), fours);
                vst1q_lane_s32::<3>(to.add(3 * stride).cast(), fours);
            }
        }
    }
}

/// Inputs under one output.
fn depth(shape: &Shape, window: &Window) -> usize {
    window.kernel.0 * window.kernel.1 * shape.channels_in
}

/// Pixels of a block: whole tiles.
fn block_pixels<M: Multiply>(depth: usize) -> usize {
    let tile = M::PANELS * PANEL;
    let fitting = BLOCK_BYTES / depth.next_multiple_of(M::GRANULE);
    (fitting / tile * tile).clamp(tile, 20 * tile)
}

/// How patches become panels.
#[derive(Clone, Copy, PartialEq)]
enum Patches {
    /// A patch is a pixel of the input.
    Pixels,
    /// Each tap's channels are laid where they belong.
    Taps,
    /// Channels don't fill whole granules: a patch is gathered first, then laid.
    Gathered,
}

fn patches<M: Multiply>(shape: &Shape, window: &Window) -> Patches {
    match (window.kernel, window.stride, window.pad) {
        // An output of another size has padding behind the image.
        ((1, 1), (1, 1), (0, 0)) if shape.input == shape.output => Patches::Pixels,
        ((1, 1), ..) => Patches::Taps,
        _ if shape.channels_in.is_multiple_of(M::GRANULE) => Patches::Taps,
        _ => Patches::Gathered,
    }
}

/// Bytes behind the panels: four patches, or one pixel of padding.
fn gathered_bytes<M: Multiply>(shape: &Shape, window: &Window) -> usize {
    let one = match patches::<M>(shape, window) {
        Patches::Pixels => 0,
        Patches::Taps => shape.channels_in,
        Patches::Gathered => PANEL * depth(shape, window),
    };
    (one + STEP).next_multiple_of(STEP)
}

/// Bytes of a block's panels, and of the rest of a step behind the last.
fn panel_bytes<M: Multiply>(depth: usize) -> usize {
    block_pixels::<M>(depth) * depth.next_multiple_of(M::GRANULE) + M::PANELS * PANEL * STEP
}

pub(super) fn scratch_bytes<M: Multiply>(shape: &Shape, window: &Window) -> usize {
    let depth = depth(shape, window);
    panel_bytes::<M>(depth) + gathered_bytes::<M>(shape, window)
}

/// Weights tile by tile, and behind them a byte that says whether they need care.
pub(super) fn pack<M: Multiply>(shape: &Shape, window: &Window, of: &ConvWeights) -> PackedConv {
    let depth = depth(shape, window);
    let rows: Vec<&[i8]> = of.weights.chunks_exact(depth).collect();
    let tiles: Vec<&[&[i8]]> = rows.chunks(M::QUADS * 4).collect();
    let sizes = tiles.iter().map(|rows| {
        let quads = rows.len().div_ceil(4);
        M::tile_weight_bytes(depth, quads)
    });
    let padded = shape.channels_out.next_multiple_of(MOST_CHANNELS);
    let bytes = sizes.clone().sum::<usize>() + 1;
    let mut packed = PackedConv::padded(of, bytes, padded);
    let mut at = 0;
    for (rows, size) in tiles.iter().zip(sizes) {
        let to = &mut packed.weights.as_mut_slice()[at..at + size];
        M::pack_tile(rows, rows.len().div_ceil(4), to);
        at += size;
    }
    packed.weights.as_mut_slice()[at] = u8::from(rows.iter().any(|row| M::needs_care(row)));
    packed
}

/// Tiles of channels.
pub(super) fn tiles<M: Multiply>(shape: &Shape) -> usize {
    shape.channels_out.div_ceil(M::QUADS * 4)
}

pub(super) unsafe fn conv<M: Multiply>(
    job: &Conv,
    pixels: Range<usize>,
    tiles: Range<usize>,
    scratch: *mut i8,
) {
    let Conv {
        shape,
        window,
        packed,
        ..
    } = job;
    let depth = depth(shape, window);
    let (tile, block) = (M::PANELS * PANEL, block_pixels::<M>(depth));
    let padded = depth.next_multiple_of(M::GRANULE);
    let careful = packed.weights.as_slice().last() == Some(&1);
    // SAFETY: the scratch holds a block's panels, then what patches are gathered in; bias,
    // multipliers and weights are padded to whole tiles.
    unsafe {
        let gathered = scratch.add(panel_bytes::<M>(depth));
        let layer = Layer::new::<M>(job, gathered);
        let mut from = pixels.start;
        while from < pixels.end {
            let taken = (pixels.end - from).min(block);
            let (whole, rest) = (taken / tile, taken % tile);
            for at in (0..taken).step_by(tile) {
                layer.lay::<M>(from + at, (taken - at).min(tile), scratch.add(at * padded));
            }
            let skipped = tiles.start * M::tile_weight_bytes(depth, M::QUADS);
            let mut weights = packed.weights.as_ptr().cast::<i8>().add(skipped);
            for first in tiles.clone().map(|tile| tile * M::QUADS * 4) {
                let channels = (shape.channels_out - first).min(M::QUADS * 4);
                let run = |at: usize, count: usize, pixels: usize| Tiles {
                    panels: scratch.add(at * padded),
                    tile_bytes: tile * padded,
                    count,
                    pixels,
                    depth,
                    weights,
                    careful,
                    bias: packed.bias.as_ptr().add(first),
                    scale: packed.multipliers.as_ptr().add(first),
                    output: output(job, from + at, first, channels),
                };
                if whole > 0 {
                    M::tiles(&run(0, whole, tile));
                }
                if rest > 0 {
                    M::tiles(&run(whole * tile, 1, rest));
                }
                weights = weights.add(M::tile_weight_bytes(depth, channels.div_ceil(4)));
            }
            from += taken;
        }
    }
}

unsafe fn output(job: &Conv, pixel: usize, first: usize, channels: usize) -> Output {
    // SAFETY: within the output.
    let (stride, to) = unsafe {
        match job.output {
            ConvOutput::Act(target, clamp) => {
                let to = target.pointer.add(pixel * target.stride + first);
                (target.stride, Pointer::Act(to, Rounding::new(clamp)))
            }
            ConvOutput::F32(logits) => {
                let stride = job.shape.channels_out;
                (stride, Pointer::F32(logits.add(pixel * stride + first)))
            }
        }
    };
    Output {
        channels,
        stride,
        to,
    }
}

/// A layer's input, to be laid into panels.
struct Layer<'a> {
    job: &'a Conv<'a>,
    patches: Patches,
    /// Four patches, or one pixel of padding.
    gathered: *mut i8,
}

impl<'a> Layer<'a> {
    unsafe fn new<M: Multiply>(job: &'a Conv<'a>, gathered: *mut i8) -> Layer<'a> {
        let patches = patches::<M>(&job.shape, &job.window);
        if patches == Patches::Taps {
            // SAFETY: there is room for one pixel and a vector.
            unsafe { fill(gathered, job.packed.zero_point as i8, job.shape.channels_in) };
        }
        Layer {
            job,
            patches,
            gathered,
        }
    }

    /// The panels of `count` pixels from `first` on, at most a tile. Where four pixels are
    /// not to be had, the last one is laid again.
    unsafe fn lay<M: Multiply>(&self, first: usize, count: usize, to: *mut i8) {
        let Conv {
            shape,
            window,
            input,
            ..
        } = self.job;
        let panels = count.div_ceil(PANEL);
        let channels = shape.channels_in;
        for panel in 0..panels {
            let pixels = [0, 1, 2, 3].map(|r| first + (panel * PANEL + r).min(count - 1));
            // SAFETY: pixels are the output's, and reads end at most a vector behind the
            // input; the panels hold the patches in whole steps.
            unsafe {
                let mut to = to.add(panel * PANEL * M::GRANULE);
                let step = panels * PANEL * M::GRANULE;
                match self.patches {
                    Patches::Pixels => {
                        let from = pixels.map(|pixel| input.pointer.add(pixel * input.stride));
                        lay::<M>(from, channels, to, step);
                    }
                    Patches::Taps => {
                        let places = pixels.map(|pixel| self.corner(pixel));
                        for ky in 0..window.kernel.0 {
                            for kx in 0..window.kernel.1 {
                                let from = places.map(|(y, x)| self.tap(y + ky, x + kx));
                                lay::<M>(from, channels, to, step);
                                to = to.add(channels / M::GRANULE * step);
                            }
                        }
                    }
                    Patches::Gathered => {
                        let depth = depth(shape, window);
                        let patches = [0, 1, 2, 3].map(|r| self.gathered.add(r * depth));
                        for (pixel, patch) in pixels.into_iter().zip(patches) {
                            self.gather(pixel, patch);
                        }
                        lay::<M>(patches.map(<*mut i8>::cast_const), depth, to, step);
                    }
                }
            }
        }
    }

    /// The place of an output's first tap, counted from the padding's first row and column.
    fn corner(&self, pixel: usize) -> (usize, usize) {
        let (width, stride) = (self.job.shape.output.1, self.job.window.stride);
        (pixel / width * stride.0, pixel % width * stride.1)
    }

    /// The channels of a place, or padding.
    unsafe fn tap(&self, y: usize, x: usize) -> *const i8 {
        let Conv {
            shape,
            window,
            input,
            ..
        } = self.job;
        // What is before the image wraps around to far behind it.
        let (y, x) = (y.wrapping_sub(window.pad.0), x.wrapping_sub(window.pad.1));
        if y < shape.input.0 && x < shape.input.1 {
            // SAFETY: within the input.
            unsafe { input.pointer.add((y * shape.input.1 + x) * input.stride) }
        } else {
            self.gathered
        }
    }

    /// The inputs under one pixel's window, `[ky][kx][channel]`. Written in order, in whole
    /// vectors: what is too much is overwritten by what follows, or meets weights of 0.
    unsafe fn gather(&self, pixel: usize, mut to: *mut i8) {
        let Conv {
            shape,
            window,
            input,
            packed,
            ..
        } = self.job;
        let (kernel_h, kernel_w) = window.kernel;
        let channels = shape.channels_in;
        let (y, x) = self.corner(pixel);
        let (y, x) = (y.wrapping_sub(window.pad.0), x.wrapping_sub(window.pad.1));
        let inside = y.saturating_add(kernel_h) <= shape.input.0
            && x.saturating_add(kernel_w) <= shape.input.1;
        // SAFETY: reads no more than a vector behind the input's end; writes within the
        // patches and the vector behind them.
        unsafe {
            if inside && input.stride == channels {
                // Nothing lies between pixels: a row of the window is one run.
                let length = kernel_w * channels;
                let row = shape.input.1 * channels;
                let mut from = input.pointer.add(y * row + x * channels);
                for _ in 0..kernel_h {
                    let mut at = 0;
                    while at < length {
                        vst1q_s8(to.add(at), vld1q_s8(from.add(at)));
                        at += STEP;
                    }
                    from = from.wrapping_add(row);
                    to = to.add(length);
                }
                return;
            }
            let place = (pixel / shape.output.1, pixel % shape.output.1);
            for tap in 0..kernel_h * kernel_w {
                match tapped(shape, window, place, (tap / kernel_w, tap % kernel_w)) {
                    Some(source) => {
                        let from = input.pointer.add(source * input.stride);
                        for at in (0..channels).step_by(STEP) {
                            vst1q_s8(to.add(at), vld1q_s8(from.add(at)));
                        }
                    }
                    None => fill(to, packed.zero_point as i8, channels),
                }
                to = to.add(channels);
            }
        }
    }
}

/// Whole vectors of `value`, `length` values or some more.
unsafe fn fill(to: *mut i8, value: i8, length: usize) {
    for at in (0..length).step_by(STEP) {
        // SAFETY: the caller's.
        unsafe { vst1q_s8(to.add(at), vdupq_n_s8(value)) };
    }
}

/// Lays `length` inputs of four pixels into a panel, in steps: what is too much is
/// overwritten by what follows. `step`: bytes from one granule to the next.
#[inline(always)]
unsafe fn lay<M: Multiply>(from: [*const i8; 4], length: usize, mut to: *mut i8, step: usize) {
    let mut at = 0;
    while at < length {
        // SAFETY: the caller's.
        unsafe {
            let x = from.map(|from| vld1q_s8(from.add(at)));
            match M::GRANULE {
                4 => {
                    let x = x.map(|x| vreinterpretq_s32_s8(x));
                    let x = int32x4x4_t(x[0], x[1], x[2], x[3]);
                    vst4q_lane_s32::<0>(to.cast(), x);
                    to = to.wrapping_add(step);
                    vst4q_lane_s32::<1>(to.cast(), x);
                    to = to.wrapping_add(step);
                    vst4q_lane_s32::<2>(to.cast(), x);
                    to = to.wrapping_add(step);
                    vst4q_lane_s32::<3>(to.cast(), x);
                }
                8 => {
                    // Pixels 0 and 2, then 1 and 3: of results in pairs of pixels, one UZP
                    // makes pixels in order.
                    let x = x.map(|x| vreinterpretq_s64_s8(x));
                    let x = int64x2x4_t(x[0], x[2], x[1], x[3]);
                    vst4q_lane_s64::<0>(to.cast(), x);
                    to = to.wrapping_add(step);
                    vst4q_lane_s64::<1>(to.cast(), x);
                }
                _ => vst1q_s8_x4(to, int8x16x4_t(x[0], x[1], x[2], x[3])),
            }
            to = to.wrapping_add(step);
        }
        at += STEP;
    }
}
