//! Convolutions on VPMADDWD: patches of a block of pixels are widened to 16 bits, one behind
//! the other; then every 16 output channels pass over all of them. That is im2col, but of a
//! block that stays in the cache, and the widening has to be done once in any case.

use std::arch::asm;
use std::arch::x86_64::*;
use std::ops::Range;

use super::{Level, TILE_CHANNELS, load};
use crate::engine::kernels::patches::{STEP, lay};
use crate::engine::kernels::scalar::{bounded, folded_bias};
use crate::engine::kernels::{
    Aligned, Conv, ConvOutput, ConvWeights, PackedConv, Shape, Target, Window,
};

/// Pixels that a tile takes: with two vectors of weights and one of activations, twelve
/// of sums fill the registers.
const TILE_PIXELS: usize = 6;
/// A block's widened activations stay in the second-level cache while all weights pass.
const BLOCK_BYTES: usize = 128 << 10;

/// How far a patch is from the next in the block, in 16-bit values: the products are
/// taken in pairs.
fn depth(shape: &Shape, window: &Window) -> usize {
    (window.kernel.0 * window.kernel.1 * shape.channels_in).next_multiple_of(2)
}

/// Pixels whose patches are widened at a time.
fn block_pixels(shape: &Shape, window: &Window) -> usize {
    let fitting = BLOCK_BYTES / (depth(shape, window) * 2);
    (fitting / TILE_PIXELS * TILE_PIXELS).clamp(TILE_PIXELS, 96)
}

pub(super) fn pack(shape: &Shape, window: &Window, of: &ConvWeights) -> PackedConv {
    let taken = window.kernel.0 * window.kernel.1 * shape.channels_in;
    let (pairs, blocks) = (
        depth(shape, window) / 2,
        shape.channels_out.div_ceil(TILE_CHANNELS),
    );
    let mut packed = PackedConv {
        weights: Aligned::zeroed(blocks * pairs * TILE_CHANNELS * 4),
        bias: vec![0; blocks * TILE_CHANNELS],
        multipliers: vec![0.0; blocks * TILE_CHANNELS],
        zero_point: of.zero_point,
        bounded: bounded(of),
    };
    packed.multipliers[..shape.channels_out].copy_from_slice(of.multipliers);
    let words = packed.weights.as_mut_slice();
    for (channel, weights) in of.weights.chunks_exact(taken).enumerate() {
        packed.bias[channel] =
            folded_bias(of.bias[channel], of.zero_point, weights.iter().copied());
        let (block, lane) = (channel / TILE_CHANNELS, channel % TILE_CHANNELS);
        let base = (block * pairs * TILE_CHANNELS + lane) * 4;
        for (k, &weight) in weights.iter().enumerate() {
            let at = base + (k / 2) * TILE_CHANNELS * 4 + (k % 2) * 2;
            words[at..at + 2].copy_from_slice(&i16::from(weight).to_le_bytes());
        }
    }
    packed
}

pub(super) fn scratch_bytes(shape: &Shape, window: &Window) -> usize {
    // Patches are written in whole steps.
    (block_pixels(shape, window) * depth(shape, window) + STEP) * size_of::<i16>()
}

#[target_feature(enable = "avx2")]
pub(super) unsafe fn conv(
    job: &Conv,
    pixels: Range<usize>,
    tiles: Range<usize>,
    scratch: *mut i16,
) {
    let depth = depth(&job.shape, &job.window);
    let block = block_pixels(&job.shape, &job.window);
    let to = match job.output {
        ConvOutput::Act(target, clamp) => To::Act(target, Level::new(clamp, job.packed.bounded)),
        ConvOutput::F32(logits) => To::F32(logits),
    };
    let mut from = pixels.start;
    while from < pixels.end {
        let end = (from + block).min(pixels.end);
        // SAFETY: the block holds as many patches, and a step behind them.
        unsafe { lay(job, from..end, scratch, depth) };
        for n in tiles.clone() {
            let mut next = fetch(job, n + 1, depth, (end - from).div_ceil(TILE_PIXELS));
            for pixel in (from..end).step_by(TILE_PIXELS) {
                next.take();
                // SAFETY: patches `pixel - from` and those behind it are in the block.
                unsafe {
                    let patches = scratch.add((pixel - from) * depth);
                    match end - pixel {
                        1 => tile::<1>(job, &to, n, pixel, patches, depth),
                        2 => tile::<2>(job, &to, n, pixel, patches, depth),
                        3 => tile::<3>(job, &to, n, pixel, patches, depth),
                        4 => tile::<4>(job, &to, n, pixel, patches, depth),
                        5 => tile::<5>(job, &to, n, pixel, patches, depth),
                        _ => tile::<TILE_PIXELS>(job, &to, n, pixel, patches, depth),
                    }
                }
            }
        }
        from = end;
    }
}

/// [`ConvOutput`], with what its tiles share.
enum To {
    Act(Target, Level),
    F32(*mut f32),
}

/// Weights on their way into the first-level cache, some at a time.
struct Fetch {
    next: *const u8,
    left: usize,
    at_once: usize,
}

/// The next tile's weights while `times` tiles of this one's pass: they are used once an
/// answer, so that they come from the third level or from memory.
fn fetch(job: &Conv, n: usize, depth: usize, times: usize) -> Fetch {
    let bytes = TILE_CHANNELS * depth * 2;
    let all = job.packed.weights.as_slice();
    let left = if (n + 1) * bytes <= all.len() {
        bytes
    } else {
        0
    };
    Fetch {
        next: all.as_ptr().wrapping_add(n * bytes),
        left: left / LINE,
        at_once: (left / LINE).div_ceil(times.max(1)),
    }
}

/// Bytes of a line of the cache.
const LINE: usize = 64;

impl Fetch {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn take(&mut self) {
        for _ in 0..self.at_once.min(self.left) {
            _mm_prefetch::<_MM_HINT_T0>(self.next.cast());
            self.next = self.next.wrapping_add(LINE);
        }
        self.left = self.left.saturating_sub(self.at_once);
    }
}

/// Sums of `R` pixels by 16 channels.
#[target_feature(enable = "avx2")]
unsafe fn tile<const R: usize>(
    job: &Conv,
    to: &To,
    n: usize,
    pixel: usize,
    patches: *const i16,
    depth: usize,
) {
    let packed = job.packed;
    let first = n * TILE_CHANNELS;
    // SAFETY: bias, multipliers and weights are padded to whole blocks of channels; the
    // patches hold `depth` values each.
    unsafe {
        let bias = packed.bias.as_ptr().add(first);
        let start = [load(bias.cast()), load(bias.add(8).cast())];
        let mut sums = [start; R];
        let weights = packed.weights.as_ptr().add(first * depth * 2);
        match <&mut [_; TILE_PIXELS]>::try_from(&mut sums[..]) {
            Ok(sums) => multiply_full(sums, patches, depth, weights),
            Err(_) => multiply(&mut sums, patches, depth, weights),
        }
        let scale = packed.multipliers.as_ptr().add(first);
        let scale = [_mm256_loadu_ps(scale), _mm256_loadu_ps(scale.add(8))];
        let channels = (job.shape.channels_out - first).min(TILE_CHANNELS);
        match to {
            To::Act(target, level) => {
                let to = Target {
                    pointer: target.pointer.add(pixel * target.stride + first),
                    ..*target
                };
                level.store(&sums, scale, to, channels);
            }
            To::F32(logits) => {
                for (r, sums) in sums.iter().enumerate() {
                    let mut row = [0.0_f32; TILE_CHANNELS];
                    for half in 0..2 {
                        let value = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[half]), scale[half]);
                        _mm256_storeu_ps(row.as_mut_ptr().add(half * 8), value);
                    }
                    let to = logits.add((pixel + r) * job.shape.channels_out + first);
                    std::ptr::copy_nonoverlapping(row.as_ptr(), to, channels);
                }
            }
        }
    }
}

/// Adds the products of `R` patches of `depth` values, one behind the other, with 16
/// channels' weights: 2 loads of weights, `R` broadcasts and `2 R` VPMADDWD a pair of inputs.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn multiply<const R: usize>(
    sums: &mut [[__m256i; 2]; R],
    patches: *const i16,
    depth: usize,
    mut weights: *const u8,
) {
    for pair in 0..depth / 2 {
        // SAFETY: the caller's patches and weights.
        unsafe {
            let (low, high) = (load(weights), load(weights.add(32)));
            weights = weights.add(64);
            for (r, sums) in sums.iter_mut().enumerate() {
                let x = patches.add(r * depth + pair * 2).cast::<i32>();
                let x = _mm256_set1_epi32(x.read_unaligned());
                sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(x, low));
                sums[1] = _mm256_add_epi32(sums[1], _mm256_madd_epi16(x, high));
            }
        }
    }
}

/// [`multiply`] of a full tile. In assembly for the order of instructions: a pixel's two
/// products before its two sums, and addresses from three registers. On Zen 3 that is 25.4
/// multiply-adds a cycle (26 without any load; the products alone could be 32).
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn multiply_full(
    sums: &mut [[__m256i; 2]; TILE_PIXELS],
    patches: *const i16,
    depth: usize,
    weights: *const u8,
) {
    let [[a0, a1], [b0, b1], [c0, c1], [d0, d1], [e0, e1], [f0, f1]] = sums;
    macro_rules! pixel {
        ($at:literal, $sum0:literal, $sum1:literal) => {
            concat!(
                "vpbroadcastd {x}, dword ptr [",
                $at,
                "]\n",
                "vpmaddwd {product}, {x}, {low}\n",
                "vpmaddwd {x}, {x}, {high}\n",
                "vpaddd {",
                $sum0,
                "}, {",
                $sum0,
                "}, {product}\n",
                "vpaddd {",
                $sum1,
                "}, {",
                $sum1,
                "}, {x}\n",
            )
        };
    }
    // SAFETY: the caller's patches and weights; there is at least one pair.
    unsafe {
        asm!(
            "2:",
            "vmovdqu {low}, [{weights}]",
            "vmovdqu {high}, [{weights} + 32]",
            "add {weights}, 64",
            pixel!("{upper}", "a0", "a1"),
            pixel!("{upper} + {row}", "b0", "b1"),
            pixel!("{upper} + {row} * 2", "c0", "c1"),
            pixel!("{lower}", "d0", "d1"),
            pixel!("{lower} + {row}", "e0", "e1"),
            pixel!("{lower} + {row} * 2", "f0", "f1"),
            "add {upper}, 4",
            "add {lower}, 4",
            "dec {pairs}",
            "jnz 2b",
            upper = inout(reg) patches => _,
            lower = inout(reg) patches.add(3 * depth) => _,
            row = in(reg) depth * 2,
            weights = inout(reg) weights => _,
            pairs = inout(reg) depth / 2 => _,
            low = out(ymm_reg) _,
            high = out(ymm_reg) _,
            x = out(ymm_reg) _,
            product = out(ymm_reg) _,
            a0 = inout(ymm_reg) *a0, a1 = inout(ymm_reg) *a1,
            b0 = inout(ymm_reg) *b0, b1 = inout(ymm_reg) *b1,
            c0 = inout(ymm_reg) *c0, c1 = inout(ymm_reg) *c1,
            d0 = inout(ymm_reg) *d0, d1 = inout(ymm_reg) *d1,
            e0 = inout(ymm_reg) *e0, e1 = inout(ymm_reg) *e1,
            f0 = inout(ymm_reg) *f0, f1 = inout(ymm_reg) *f1,
            options(readonly, nostack),
        );
    }
}
