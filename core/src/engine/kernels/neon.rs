//! Plain NEON (Armv8.0): products of bytes are 16 bits wide, two of them fit a 16-bit sum,
//! and a third instruction adds those to 32 bits. Convolutions take SMULL, SMLAL2 and
//! SADALP for 16 multiply-adds; depthwise convolutions SMULL, SMLAL and SADDW.
//!
//! Two products fit unless all four factors are -128: 2 * 128 * 128 = 2^15. Layers with two
//! weights of -128 that meet in a sum are found when they are packed, and take one product
//! at a time. Widening the inputs to 16 bits first, as others do, costs a quarter more.

use std::arch::aarch64::*;

use super::Kernels;
use super::arm64::{Level, Multiply};
use super::arm64_conv::Tiles;
use super::arm64_depthwise::Row;
use super::arm64_store::store_some;

/// The level of every arm64 CPU.
pub(super) struct Neon;

static NEON: Level<Neon> = Level::new();

/// The level, where this CPU has it: on arm64 anywhere.
pub(super) fn neon() -> Option<&'static dyn Kernels> {
    std::arch::is_aarch64_feature_detected!("neon").then_some(&NEON as &dyn Kernels)
}

/// Channels of a tile.
const CHANNELS: usize = 4;
/// Inputs that are multiplied at a time.
const STEP: usize = 16;

impl Multiply for Neon {
    const NAME: &'static str = "neon";
    const GRANULE: usize = STEP;
    const PANELS: usize = 1;
    const QUADS: usize = 1;

    /// `[16 inputs][channel][input]`.
    fn pack_tile(weights: &[&[i8]], _quads: usize, to: &mut [u8]) {
        for (channel, weights) in weights.iter().enumerate() {
            let steps = to.chunks_exact_mut(CHANNELS * STEP);
            for (step, weights) in steps.zip(weights.chunks(STEP)) {
                for (to, weight) in step[channel * STEP..].iter_mut().zip(weights) {
                    *to = weight.cast_unsigned();
                }
            }
        }
    }

    fn tile_weight_bytes(depth: usize, _quads: usize) -> usize {
        depth.next_multiple_of(STEP) * CHANNELS
    }

    /// Weights that meet are eight apart.
    fn needs_care(weights: &[i8]) -> bool {
        weights.chunks(STEP).any(|step| {
            let (low, high) = step.split_at(step.len().min(8));
            low.iter().zip(high).any(|pair| pair == (&-128, &-128))
        })
    }

    unsafe fn tiles(job: &Tiles) {
        // SAFETY: the caller's promise.
        unsafe {
            match (job.pixels, job.careful) {
                (1, false) => tiles::<1, false>(job),
                (1, true) => tiles::<1, true>(job),
                (_, false) => tiles::<4, false>(job),
                (_, true) => tiles::<4, true>(job),
            }
        }
    }

    const LINE_ROWS: usize = 1;
    const LINE_CHANNELS: usize = 16;

    /// Weights that meet are neighbours in a row, from its first on.
    fn depthwise_needs_care(weights: &[i8], kernel_w: usize) -> bool {
        let mut rows = weights.chunks_exact(kernel_w);
        rows.any(|row| row.chunks_exact(2).any(|pair| pair == [-128, -128]))
    }

    unsafe fn row(job: &Row) {
        // SAFETY: the caller's promise.
        unsafe {
            match (job.kernel_w, job.stride, job.careful) {
                (3, 1, false) => row::<3, 1>(job),
                (3, _, false) => row::<3, 0>(job),
                (5, 1, false) => row::<5, 1>(job),
                (5, _, false) => row::<5, 0>(job),
                (7, 1, false) => row::<7, 1>(job),
                (7, _, false) => row::<7, 0>(job),
                _ => row::<0, 0>(job),
            }
        }
    }
}

/// Tiles of `L` pixels (4 or 1) by 4 channels: for 16 inputs 8 registers are loaded, and
/// 16 times three instructions multiply.
///
/// Cycles of the loop, 32 inputs, 96 multiplying instructions, by llvm-mca 14; the limit is its
/// block throughput:
///
/// | core | cycles | limit |
/// |---|---|---|
/// | Cortex-A55 | 130 | 96 |
/// | Cortex-A76 | 64 | 64 |
/// | Apple M1 | 48 | 48 |
unsafe fn tiles<const L: usize, const CAREFUL: bool>(job: &Tiles) {
    let whole = job.depth / STEP;
    let rest = job.depth % STEP;
    // SAFETY: the panels and weights are as large as the depth says.
    unsafe {
        let (bias, scale) = (vld1q_s32(job.bias), vld1q_f32(job.scale));
        for tile in 0..job.count {
            let mut panels = job.panels.add(tile * job.tile_bytes);
            let mut weights = job.weights;
            let mut sums = [[vdupq_n_s32(0); CHANNELS]; L];
            for _ in 0..whole / 2 {
                multiply::<L, CAREFUL, true>(&mut sums, panels, weights);
                let (panel, weight) = (panels.add(4 * STEP), weights.add(CHANNELS * STEP));
                multiply::<L, CAREFUL, true>(&mut sums, panel, weight);
                panels = panels.add(8 * STEP);
                weights = weights.add(2 * CHANNELS * STEP);
            }
            if whole % 2 == 1 {
                multiply::<L, CAREFUL, true>(&mut sums, panels, weights);
                panels = panels.add(4 * STEP);
                weights = weights.add(CHANNELS * STEP);
            }
            if rest > 8 {
                multiply::<L, CAREFUL, true>(&mut sums, panels, weights);
            } else if rest > 0 {
                multiply::<L, CAREFUL, false>(&mut sums, panels, weights);
            }
            // Each sum has been four; now they lie as the level's bias does.
            let mut pixels = [bias; 4];
            for (pixel, [a, b, c, d]) in pixels.iter_mut().zip(sums) {
                *pixel = vaddq_s32(bias, vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d)));
            }
            job.store::<_, 1, 1, L>(
                tile,
                &[pixels],
                |pixels, rounding| [rounding.scaled(*pixels, [scale; 4])],
                |pixels| pixels.map(|sums| [sums]),
            );
        }
    }
}

/// Sixteen inputs, or the first eight of them.
#[inline(always)]
unsafe fn multiply<const L: usize, const CAREFUL: bool, const BOTH: bool>(
    sums: &mut [[int32x4_t; CHANNELS]; L],
    panels: *const i8,
    weights: *const i8,
) {
    // SAFETY: the caller's.
    unsafe {
        let w = vld1q_s8_x4(weights);
        let w = [w.0, w.1, w.2, w.3];
        let mut x = [w[0]; L];
        if L == 4 {
            let four = vld1q_s8_x4(panels);
            x.copy_from_slice(&[four.0, four.1, four.2, four.3][..L]);
        } else {
            x[0] = vld1q_s8(panels);
        }
        for (sums, x) in sums.iter_mut().zip(x) {
            for (sum, w) in sums.iter_mut().zip(w) {
                let mut products = vmull_s8(vget_low_s8(x), vget_low_s8(w));
                if BOTH && CAREFUL {
                    *sum = vpadalq_s16(*sum, products);
                    products = vmull_high_s8(x, w);
                } else if BOTH {
                    products = vmlal_high_s8(products, x, w);
                }
                *sum = vpadalq_s16(*sum, products);
            }
        }
    }
}

/// Pixels of a depthwise tile.
const PIXELS: usize = 4;

/// One output row of a depthwise convolution, on lines of single rows: 16 channels at a
/// time of four pixels, whose last four overlap the ones before, or of single ones. For
/// kernels `KW` wide, or any (0); stride `S`, or any (0).
unsafe fn row<const KW: usize, const S: usize>(job: &Row) {
    for first in (0..job.channels).step_by(16) {
        let mut x = 0;
        while x < job.width {
            // SAFETY: lines reach as far as windows do; weights, bias and multipliers are
            // padded to whole blocks.
            unsafe {
                if KW != 0 && job.width >= PIXELS {
                    tile::<KW, S, PIXELS>(job, first, x.min(job.width - PIXELS));
                    x += PIXELS;
                } else {
                    tile::<KW, S, 1>(job, first, x);
                    x += 1;
                }
            }
        }
    }
}

unsafe fn tile<const KW: usize, const S: usize, const PX: usize>(
    job: &Row,
    first: usize,
    x: usize,
) {
    let stride = if S == 0 { job.stride } else { S };
    // SAFETY: the caller's.
    unsafe {
        let four = |from: *const i32| [0, 4, 8, 12].map(|at| vld1q_s32(from.add(at)));
        let scale = [0, 4, 8, 12].map(|at| vld1q_f32(job.scale.add(first + at)));
        let mut sums = [four(job.bias.add(first)); PX];
        let mut weights = job.weights.add(first * job.lines.len() * job.kernel_w);
        for line in job.lines {
            let from = line.add(first / 16 * job.block_bytes + x * stride * 16);
            if KW == 0 {
                for column in 0..job.kernel_w {
                    let w = vld1q_s8(weights.add(column * 16));
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let x = vld1q_s8(from.add((r * stride + column) * 16));
                        add_wide(
                            sums,
                            vmull_s8(vget_low_s8(x), vget_low_s8(w)),
                            vmull_high_s8(x, w),
                        );
                    }
                }
            } else {
                for (r, sums) in sums.iter_mut().enumerate() {
                    columns::<KW>(sums, from.add(r * stride * 16), weights);
                }
            }
            weights = weights.add(job.kernel_w * 16);
        }
        let channels = job.channels - first;
        for (r, sums) in sums.iter().enumerate() {
            let mut bytes = job.rounding.scaled(*sums, scale);
            if job.rounding.clamps {
                bytes = job.rounding.clamped(bytes);
            }
            store_some(job.to.add((x + r) * job.to_stride + first), bytes, channels);
        }
    }
}

/// A line's columns, in pairs as far as they go.
#[inline(always)]
unsafe fn columns<const KW: usize>(sums: &mut [int32x4_t; 4], from: *const i8, weights: *const i8) {
    for column in (0..KW).step_by(2) {
        // SAFETY: the caller's.
        unsafe {
            let (x, w) = (
                vld1q_s8(from.add(column * 16)),
                vld1q_s8(weights.add(column * 16)),
            );
            let mut low = vmull_s8(vget_low_s8(x), vget_low_s8(w));
            let mut high = vmull_high_s8(x, w);
            if column + 1 < KW {
                let (from, weights) = (from.add(column * 16 + 16), weights.add(column * 16 + 16));
                let (x, w) = (vld1q_s8(from), vld1q_s8(weights));
                low = vmlal_s8(low, vget_low_s8(x), vget_low_s8(w));
                high = vmlal_high_s8(high, x, w);
            }
            add_wide(sums, low, high);
        }
    }
}

#[inline(always)]
fn add_wide(sums: &mut [int32x4_t; 4], low: int16x8_t, high: int16x8_t) {
    // SAFETY: NEON is always there.
    unsafe {
        sums[0] = vaddw_s16(sums[0], vget_low_s16(low));
        sums[1] = vaddw_high_s16(sums[1], low);
        sums[2] = vaddw_s16(sums[2], vget_low_s16(high));
        sums[3] = vaddw_high_s16(sums[3], high);
    }
}
