//! Depthwise convolutions, sixteen channels of some pixels at a time, on [`super::lines`].

use std::arch::x86_64::*;
use std::ops::Range;

use super::requantize;
use crate::engine::kernels::lines::{self, BLOCK_BYTES, CHANNELS, Lines, ROWS, Row};
use crate::engine::kernels::patches::pieces;
use crate::engine::kernels::{Act, Depthwise};

/// The most pixels of a tile: enough sums to hide a product's latency.
const TILE_PIXELS: usize = 8;

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) unsafe fn depthwise(job: &Depthwise, rows: Range<usize>, scratch: *mut u8) {
    let lines = Lines::new(&job.shape, &job.window);
    let padding = [job.packed.zero_point as Act; CHANNELS];
    let blocks = job.shape.channels_out.div_ceil(CHANNELS);
    // SAFETY: lines reach as far as windows do; bias, multipliers and weights are padded
    // to whole blocks.
    unsafe {
        let make = |rows: [Row; ROWS], line: usize| {
            interleave(job, &lines, rows, &padding, scratch.add(line));
        };
        let tiles = pieces(job.shape.output.1, TILE_PIXELS);
        let visit = |y: usize, slot: usize| {
            for block in 0..blocks {
                for pixels in tiles.clone() {
                    let at = (y, slot, pixels.start, block);
                    match pixels.len() {
                        1 => tile::<1>(job, &lines, at, scratch),
                        2 => tile::<2>(job, &lines, at, scratch),
                        3 => tile::<3>(job, &lines, at, scratch),
                        4 => tile::<4>(job, &lines, at, scratch),
                        5 => tile::<5>(job, &lines, at, scratch),
                        6 => tile::<6>(job, &lines, at, scratch),
                        7 => tile::<7>(job, &lines, at, scratch),
                        _ => tile::<TILE_PIXELS>(job, &lines, at, scratch),
                    }
                }
            }
        };
        lines::each_row(job, rows, &padding, make, visit);
    }
}

/// Makes one line of its four rows, padding on both sides.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn interleave(
    job: &Depthwise,
    lines: &Lines,
    rows: [Row; ROWS],
    padding: &[Act; CHANNELS],
    to: *mut u8,
) {
    let blocks = lines.pixel_bytes / BLOCK_BYTES;
    let left = job.window.pad.1.min(lines.pixels);
    let right = (left + job.shape.input.1).min(lines.pixels);
    // SAFETY: sixteen bytes from the last block of the last pixel are at most fifteen
    // behind the input; a line holds every pixel's whole blocks.
    unsafe {
        let zero = _mm512_set1_epi8(padding[0] as i8);
        for x in (0..left).chain(right..lines.pixels) {
            let to = to.add(x * lines.pixel_bytes);
            for at in (0..lines.pixel_bytes).step_by(BLOCK_BYTES) {
                _mm512_store_si512(to.add(at).cast(), zero);
            }
        }
        // Hidden from the compiler, which knows the two shuffles as one and makes it of ten.
        let by_quarters = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        let by_quarters = std::hint::black_box(by_quarters);
        let by_channels = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        let by_channels = std::hint::black_box(_mm512_broadcast_i32x4(by_channels));
        let mut pixel = rows.map(|row| row.first);
        let mut to = to.add(left * lines.pixel_bytes);
        for _ in left..right {
            let mut from = pixel;
            for _ in 0..blocks {
                let four = _mm512_castsi128_si512(_mm_loadu_si128(from[0].cast()));
                let four = _mm512_inserti32x4::<1>(four, _mm_loadu_si128(from[1].cast()));
                let four = _mm512_inserti32x4::<2>(four, _mm_loadu_si128(from[2].cast()));
                let four = _mm512_inserti32x4::<3>(four, _mm_loadu_si128(from[3].cast()));
                // Four channels of all rows to a quarter, then the rows side by side.
                let four = _mm512_permutexvar_epi32(by_quarters, four);
                _mm512_store_si512(to.cast(), _mm512_shuffle_epi8(four, by_channels));
                to = to.add(BLOCK_BYTES);
                for (from, row) in from.iter_mut().zip(&rows) {
                    *from = from.add(row.block);
                }
            }
            for (pixel, row) in pixel.iter_mut().zip(&rows) {
                *pixel = pixel.add(row.pixel);
            }
        }
    }
}

/// `R` pixels from `(y, x)` on, by one block of channels; the lines begin in `slot`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn tile<const R: usize>(
    job: &Depthwise,
    lines: &Lines,
    (y, slot, x, block): (usize, usize, usize, usize),
    scratch: *const u8,
) {
    let Depthwise {
        shape,
        window,
        packed,
        output,
        clamp,
        ..
    } = *job;
    let kernel_w = window.kernel.1;
    let channel = block * CHANNELS;
    let step = window.stride.1 * lines.pixel_bytes;
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [_mm512_loadu_si512(packed.bias.as_ptr().add(channel).cast()); R];
        let weights = block * lines.groups * kernel_w * BLOCK_BYTES;
        let mut weights = packed.weights.as_ptr().add(weights);
        for group in 0..lines.groups {
            let line = lines.at(slot, group);
            let mut from = scratch.add(line + block * BLOCK_BYTES + x * step);
            for _ in 0..kernel_w {
                let w = _mm512_load_si512(weights.cast());
                weights = weights.add(BLOCK_BYTES);
                for (r, sum) in sums.iter_mut().enumerate() {
                    let x = _mm512_load_si512(from.add(r * step).cast());
                    *sum = _mm512_dpbusd_epi32(*sum, x, w);
                }
                from = from.add(lines.pixel_bytes);
            }
        }
        let scale = _mm512_loadu_ps(packed.multipliers.as_ptr().add(channel));
        let left = shape.channels_out - channel;
        let pixel = y * shape.output.1 + x;
        let to = output.pointer.add(pixel * output.stride + channel);
        for four in (0..R).step_by(4) {
            let of = [0, 1, 2, 3].map(|at| sums[(four + at).min(R - 1)]);
            let values = requantize(of, [scale; 4], clamp);
            macro_rules! put {
                ($($at:literal)*) => {$(
                    if four + $at < R {
                        let to = to.add((four + $at) * output.stride);
                        store(to, _mm512_extracti32x4_epi32::<$at>(values), left);
                    }
                )*};
            }
            put!(0 1 2 3);
        }
    }
}

/// The first `left` of sixteen values.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn store(to: *mut Act, values: __m128i, left: usize) {
    // SAFETY: `to` has room for as many.
    unsafe {
        if left >= CHANNELS {
            _mm_storeu_si128(to.cast(), values);
        } else {
            _mm_mask_storeu_epi8(to.cast(), (1 << left) - 1, values);
        }
    }
}
