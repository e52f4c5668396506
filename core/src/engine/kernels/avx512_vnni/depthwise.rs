//! Depthwise convolutions, sixteen channels of some pixels at a time, on [`super::lines`].

use std::arch::x86_64::*;
use std::ops::Range;

use super::{first_lanes, requantize};
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
            interleave(job, &lines, rows, &padding, scratch.add(lines.at(line)));
        };
        let visit = |y: usize| {
            for block in 0..blocks {
                for pixels in pieces(job.shape.output.1, TILE_PIXELS) {
                    let at = (y, pixels.start, block);
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
    let channels = job.shape.channels_out;
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
        for x in left..right {
            let mut to = to.add(x * lines.pixel_bytes);
            let pixel = rows.map(|row| row.first.add((x - left) * row.pixel));
            for c in (0..channels).step_by(CHANNELS) {
                let read =
                    |row: usize| _mm_loadu_si128(pixel[row].add(c * rows[row].channel).cast());
                let [a, b, c, d] = [read(0), read(1), read(2), read(3)];
                let (ab, cd) = (_mm_unpacklo_epi8(a, b), _mm_unpacklo_epi8(c, d));
                _mm_store_si128(to.cast(), _mm_unpacklo_epi16(ab, cd));
                _mm_store_si128(to.add(16).cast(), _mm_unpackhi_epi16(ab, cd));
                let (ab, cd) = (_mm_unpackhi_epi8(a, b), _mm_unpackhi_epi8(c, d));
                _mm_store_si128(to.add(32).cast(), _mm_unpacklo_epi16(ab, cd));
                _mm_store_si128(to.add(48).cast(), _mm_unpackhi_epi16(ab, cd));
                to = to.add(BLOCK_BYTES);
            }
        }
    }
}

/// `R` pixels from `(y, x)` on, by one block of channels.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn tile<const R: usize>(
    job: &Depthwise,
    lines: &Lines,
    (y, x, block): (usize, usize, usize),
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
            let line = lines.at(y * window.stride.0 + group * ROWS);
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
        let mask = first_lanes(shape.channels_out - channel);
        for (r, sum) in sums.iter().enumerate() {
            let pixel = y * shape.output.1 + x + r;
            let to = output.pointer.add(pixel * output.stride + channel);
            _mm_mask_storeu_epi8(to.cast(), mask, requantize(*sum, scale, clamp));
        }
    }
}
