//! Depthwise convolutions, a block of channels of some pixels at a time, on
//! [`super::lines`].

use std::arch::x86_64::*;
use std::ops::Range;

use super::{requantize, requantize_in_lanes};
use crate::engine::kernels::lines::{
    self, LANES, Lines, ROWS, Row, VECTOR_BYTES, WIDE, WIDE_CHANNELS,
};
use crate::engine::kernels::patches::pieces;
use crate::engine::kernels::{Act, Depthwise};

/// The most pixels of a tile: enough sums to hide a product's latency, as many as registers
/// hold.
const TILE_PIXELS: usize = 8;
const WIDE_TILE_PIXELS: usize = 6;

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) unsafe fn depthwise(job: &Depthwise, rows: Range<usize>, scratch: *mut u8) {
    let lines = Lines::new(&job.shape, &job.window);
    let padding = [job.packed.zero_point as Act; WIDE_CHANNELS];
    let wide = lines.blocks.vectors == WIDE;
    let most = if wide { WIDE_TILE_PIXELS } else { TILE_PIXELS };
    let tiles = pieces(job.shape.output.1, most);
    // SAFETY: lines reach as far as windows do; bias, multipliers and weights are padded
    // to whole blocks.
    unsafe {
        let make = |rows: [Row; ROWS], line: usize| {
            let line = scratch.add(line);
            pad(job, &lines, line);
            if wide {
                interleave_wide(job, &lines, rows, line);
            } else {
                interleave(job, &lines, rows, line);
            }
        };
        let visit = |y: usize, slot: usize| {
            for block in 0..lines.blocks.count {
                for pixels in tiles.clone() {
                    let at = (y, slot, pixels.start, block);
                    macro_rules! tiles {
                        ($($pixels:literal)*) => {
                            match (pixels.len(), wide) {
                                $(
                                    ($pixels, false) => tile::<$pixels>(job, &lines, at, scratch),
                                    ($pixels, true) if $pixels <= WIDE_TILE_PIXELS => {
                                        wide_tile::<$pixels>(job, &lines, at, scratch);
                                    }
                                )*
                                _ => unreachable!(),
                            }
                        };
                    }
                    tiles!(1 2 3 4 5 6 7 8);
                }
            }
        };
        lines::each_row(job, rows, &padding, make, visit);
    }
}

/// The pixels of a line that are the image's.
fn image(job: &Depthwise, lines: &Lines) -> Range<usize> {
    let left = job.window.pad.1.min(lines.pixels);
    left..(left + job.shape.input.1).min(lines.pixels)
}

/// Fills a line's padding on both sides.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn pad(job: &Depthwise, lines: &Lines, line: *mut u8) {
    let image = image(job, lines);
    let zero = _mm512_set1_epi8(job.packed.zero_point as i8);
    for x in (0..image.start).chain(image.end..lines.pixels) {
        for at in (0..lines.pixel_bytes).step_by(VECTOR_BYTES) {
            // SAFETY: a line holds every pixel's whole blocks.
            unsafe { _mm512_store_si512(line.add(x * lines.pixel_bytes + at).cast(), zero) };
        }
    }
}

/// Makes one line of its four rows, in blocks of one vector.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn interleave(job: &Depthwise, lines: &Lines, rows: [Row; ROWS], line: *mut u8) {
    let image = image(job, lines);
    // SAFETY: sixteen bytes from the last block of the last pixel are at most fifteen
    // behind the input; a line holds every pixel's whole blocks.
    unsafe {
        // Hidden from the compiler, which knows the two shuffles as one and makes it of ten.
        let by_quarters = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        let by_quarters = std::hint::black_box(by_quarters);
        let by_channels = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        let by_channels = std::hint::black_box(_mm512_broadcast_i32x4(by_channels));
        let mut pixel = rows.map(|row| row.first);
        let mut to = line.add(image.start * lines.pixel_bytes);
        for _ in image {
            let mut from = pixel;
            for _ in 0..lines.blocks.count {
                let four = _mm512_castsi128_si512(_mm_loadu_si128(from[0].cast()));
                let four = _mm512_inserti32x4::<1>(four, _mm_loadu_si128(from[1].cast()));
                let four = _mm512_inserti32x4::<2>(four, _mm_loadu_si128(from[2].cast()));
                let four = _mm512_inserti32x4::<3>(four, _mm_loadu_si128(from[3].cast()));
                // Four channels of all rows to a quarter, then the rows side by side.
                let four = _mm512_permutexvar_epi32(by_quarters, four);
                _mm512_store_si512(to.cast(), _mm512_shuffle_epi8(four, by_channels));
                to = to.add(VECTOR_BYTES);
                for (from, row) in from.iter_mut().zip(&rows) {
                    *from = from.add(row.channel * LANES);
                }
            }
            for (pixel, row) in pixel.iter_mut().zip(&rows) {
                *pixel = pixel.wrapping_add(row.pixel);
            }
        }
    }
}

/// Makes one line of its four rows, in wide blocks.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn interleave_wide(job: &Depthwise, lines: &Lines, rows: [Row; ROWS], line: *mut u8) {
    let image = image(job, lines);
    // SAFETY: blocks end with the channels; a line holds every pixel's whole blocks.
    unsafe {
        let mut pixel = rows.map(|row| row.first);
        let mut to = line.add(image.start * lines.pixel_bytes);
        for _ in image {
            for block in 0..lines.blocks.count {
                let first = lines.blocks.first(block);
                let row =
                    |at: usize| _mm512_loadu_si512(pixel[at].add(first * rows[at].channel).cast());
                let [a, b, c, d] = [row(0), row(1), row(2), row(3)];
                let pairs = [
                    (_mm512_unpacklo_epi8(a, b), _mm512_unpacklo_epi8(c, d)),
                    (_mm512_unpackhi_epi8(a, b), _mm512_unpackhi_epi8(c, d)),
                ];
                for (half, (upper, lower)) in pairs.into_iter().enumerate() {
                    let to = to.add(2 * half * VECTOR_BYTES);
                    let second = to.add(VECTOR_BYTES);
                    _mm512_store_si512(to.cast(), _mm512_unpacklo_epi16(upper, lower));
                    _mm512_store_si512(second.cast(), _mm512_unpackhi_epi16(upper, lower));
                }
                to = to.add(WIDE * VECTOR_BYTES);
            }
            for (pixel, row) in pixel.iter_mut().zip(&rows) {
                *pixel = pixel.wrapping_add(row.pixel);
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
    at: (usize, usize, usize, usize),
    scratch: *const u8,
) {
    let Depthwise {
        shape,
        packed,
        output,
        clamp,
        ..
    } = *job;
    let (y, _, x, block) = at;
    // SAFETY: the caller's.
    unsafe {
        let sums = sums::<1, R>(job, lines, at, scratch);
        let channel = block * LANES;
        let scale = _mm512_loadu_ps(packed.multipliers.as_ptr().add(channel));
        let left = shape.channels_out - channel;
        let pixel = y * shape.output.1 + x;
        let to = output.pointer.add(pixel * output.stride + channel);
        for four in (0..R).step_by(4) {
            let of = [0, 1, 2, 3].map(|at| sums[(four + at).min(R - 1)][0]);
            let values = requantize(of, [scale; 4], clamp, packed.bounded);
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

/// As [`tile`], by one wide block.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn wide_tile<const R: usize>(
    job: &Depthwise,
    lines: &Lines,
    at: (usize, usize, usize, usize),
    scratch: *const u8,
) {
    let (y, _, x, block) = at;
    // SAFETY: the caller's.
    unsafe {
        let sums = sums::<WIDE, R>(job, lines, at, scratch);
        let scales = job.packed.multipliers.as_ptr().add(block * WIDE_CHANNELS);
        let scales = [0, 1, 2, 3].map(|v| _mm512_loadu_ps(scales.add(v * LANES)));
        let pixel = y * job.shape.output.1 + x;
        let first = pixel * job.output.stride + lines.blocks.first(block);
        let to = job.output.pointer.add(first);
        for (r, &sums) in sums.iter().enumerate() {
            let values = requantize_in_lanes(sums, scales, job.clamp, job.packed.bounded);
            _mm512_storeu_si512(to.add(r * job.output.stride).cast(), values);
        }
    }
}

/// Sums of `R` pixels by the `V` vectors of a block.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn sums<const V: usize, const R: usize>(
    job: &Depthwise,
    lines: &Lines,
    (_, slot, x, block): (usize, usize, usize, usize),
    scratch: *const u8,
) -> [[__m512i; V]; R] {
    let (window, packed) = (job.window, job.packed);
    let step = window.stride.1 * lines.pixel_bytes;
    let first = block * V * VECTOR_BYTES;
    // SAFETY: the caller's.
    unsafe {
        let bias = packed.bias.as_ptr().add(block * V * LANES);
        let mut bias_of = [_mm512_setzero_si512(); V];
        for (v, of) in bias_of.iter_mut().enumerate() {
            *of = _mm512_loadu_si512(bias.add(v * LANES).cast());
        }
        let mut sums = [bias_of; R];
        let mut weights = packed.weights.as_ptr();
        weights = weights.add(first * lines.groups * window.kernel.1);
        for group in 0..lines.groups {
            let line = lines.at(slot, group);
            let mut from = scratch.add(line + first + x * step);
            for _ in 0..window.kernel.1 {
                let mut w = [_mm512_setzero_si512(); V];
                for (v, w) in w.iter_mut().enumerate() {
                    *w = _mm512_load_si512(weights.add(v * VECTOR_BYTES).cast());
                }
                weights = weights.add(V * VECTOR_BYTES);
                for (r, sums) in sums.iter_mut().enumerate() {
                    for (v, (sum, w)) in sums.iter_mut().zip(w).enumerate() {
                        let x = _mm512_load_si512(from.add(r * step + v * VECTOR_BYTES).cast());
                        *sum = _mm512_dpbusd_epi32(*sum, x, w);
                    }
                }
                from = from.add(lines.pixel_bytes);
            }
        }
        sums
    }
}

/// The first `left` of sixteen values.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn store(to: *mut Act, values: __m128i, left: usize) {
    // SAFETY: `to` has room for as many.
    unsafe {
        if left >= LANES {
            _mm_storeu_si128(to.cast(), values);
        } else {
            _mm_mask_storeu_epi8(to.cast(), (1 << left) - 1, values);
        }
    }
}
