//! Depthwise convolutions on VPMADDWD: two rows of the input, a channel's two values side by
//! side and widened, are a line; line `n` holds rows `2n` and `2n + 1`. A kernel of three rows
//! reads two lines, from their first row on or from their second: weights are packed both ways,
//! with 0 for the row that is too much. So each line is made once, and read for several rows.

use std::arch::x86_64::*;
use std::ops::Range;

use super::{Requantize, TILE_CHANNELS, load};
use crate::engine::kernels::lines::{Row, WIDE_CHANNELS, row};
use crate::engine::kernels::patches::pieces;
use crate::engine::kernels::{
    Act, ConvWeights, Depthwise, PackedConv, PackedDepthwise, Shape, Target, Window,
};

/// The most pixels of a tile: as many sums as registers hold.
const TILE_PIXELS: usize = 6;
/// Rows of a line.
const ROWS: usize = 2;
/// Bytes of a block of channels of one pixel in a line.
const BLOCK_BYTES: usize = TILE_CHANNELS * ROWS * 2;
/// Lines of so many bytes stay in the first-level cache.
const CACHE_BYTES: usize = 32 << 10;
/// Bytes that are fetched at a time: fewer channels than these are read twice.
const FETCHED: usize = 64;

/// How a step's lines lie. The scratch memory keeps those that one row of outputs reads, line `n`
/// at place `n % count`.
struct Lines {
    /// Pixels of a line, padding included, as far as windows reach.
    pixels: usize,
    /// Blocks of channels that pass over the image at a time.
    blocks: usize,
    /// Lines that one output row reads.
    count: usize,
}

impl Lines {
    fn new(shape: &Shape, window: &Window) -> Lines {
        let pixels = (shape.output.1 - 1) * window.stride.1 + window.kernel.1;
        let count = (window.kernel.0 + beginnings(window) - 1).div_ceil(ROWS);
        let all = shape.channels_out.div_ceil(TILE_CHANNELS);
        let fitting = CACHE_BYTES / (pixels * BLOCK_BYTES * count);
        Lines {
            pixels,
            blocks: fitting.max(FETCHED / TILE_CHANNELS).min(all),
            count,
        }
    }

    /// From one pixel of a line to the next.
    fn pixel_bytes(&self) -> usize {
        self.blocks * BLOCK_BYTES
    }

    fn bytes(&self) -> usize {
        self.pixels * self.pixel_bytes()
    }
}

/// How many rows of a line windows may begin with: they begin at multiples of the stride, counted
/// from the padding's first row.
fn beginnings(window: &Window) -> usize {
    if window.stride.0.is_multiple_of(ROWS) {
        1
    } else {
        ROWS
    }
}

pub(super) fn scratch_bytes(shape: &Shape, window: &Window) -> usize {
    let lines = Lines::new(shape, window);
    lines.count * lines.bytes()
}

pub(super) fn pack(shape: &Shape, window: &Window, of: &ConvWeights) -> PackedDepthwise {
    let (kernel_h, kernel_w) = window.kernel;
    let channels = shape.channels_out.next_multiple_of(TILE_CHANNELS);
    let taps = Lines::new(shape, window).count * kernel_w;
    // [row it begins with][16 channels][line][column][channel][row of the line]
    let bytes = beginnings(window) * channels * taps * 4;
    let mut packed = PackedDepthwise::from(PackedConv::padded(of, bytes, channels));
    let words = packed.weights.as_mut_slice();
    for (channel, weights) in of.weights.chunks_exact(kernel_h * kernel_w).enumerate() {
        let (block, lane) = (channel / TILE_CHANNELS, channel % TILE_CHANNELS);
        for (beginning, words) in words.chunks_exact_mut(channels * taps * 4).enumerate() {
            for (tap, &weight) in weights.iter().enumerate() {
                let (row, column) = (tap / kernel_w + beginning, tap % kernel_w);
                let vector = block * taps + row / ROWS * kernel_w + column;
                let at = (vector * TILE_CHANNELS + lane) * 4 + row % ROWS * 2;
                words[at..at + 2].copy_from_slice(&i16::from(weight).to_le_bytes());
            }
        }
    }
    packed
}

#[target_feature(enable = "avx2")]
pub(super) unsafe fn depthwise(job: &Depthwise, rows: Range<usize>, scratch: *mut u8) {
    let Depthwise { shape, window, .. } = *job;
    let lines = Lines::new(&shape, &window);
    let padding = [job.packed.zero_point as Act; WIDE_CHANNELS];
    let tiles = pieces(shape.output.1, TILE_PIXELS);
    let requantize = Requantize::new(job.clamp, job.packed.bounded);
    let all = shape.channels_out.div_ceil(TILE_CHANNELS);
    let mut first = 0;
    while first < all {
        let blocks = first..(first + lines.blocks).min(all);
        first = blocks.end;
        // Lines before this one were made in this pass, as far as they are read.
        let mut made = 0;
        for y in rows.clone() {
            let top = y * window.stride.0;
            let read = top / ROWS..top / ROWS + lines.count;
            let slot = read.start % lines.count;
            let line = |number: usize| {
                let slot = slot + number;
                let slot = if slot < lines.count {
                    slot
                } else {
                    slot - lines.count
                };
                // SAFETY: the scratch holds as many lines.
                unsafe { scratch.add(slot * lines.bytes()) }
            };
            for number in read.start.max(made)..read.end {
                let at = number * ROWS;
                let rows = [row(job, at, &padding), row(job, at + 1, &padding)];
                let line = line(number - read.start);
                // SAFETY: the line holds every pixel's blocks.
                unsafe { interleave(job, &lines, blocks.clone(), rows, line) };
            }
            made = read.end;
            let beginning = top % ROWS;
            for block in blocks.clone() {
                let within = (block - blocks.start) * BLOCK_BYTES;
                for pixels in tiles.clone() {
                    let x = pixels.start;
                    let at = x * window.stride.1 * lines.pixel_bytes() + within;
                    // SAFETY: lines reach as far as windows do.
                    let line = |number: usize| unsafe { line(number).add(at).cast_const() };
                    let to = (y * shape.output.1 + x, block);
                    let of_weights = beginning * all + block;
                    // SAFETY: as above.
                    unsafe {
                        match pixels.len() {
                            1 => tile::<1>(job, &lines, &requantize, line, of_weights, to),
                            2 => tile::<2>(job, &lines, &requantize, line, of_weights, to),
                            3 => tile::<3>(job, &lines, &requantize, line, of_weights, to),
                            4 => tile::<4>(job, &lines, &requantize, line, of_weights, to),
                            5 => tile::<5>(job, &lines, &requantize, line, of_weights, to),
                            _ => {
                                tile::<TILE_PIXELS>(job, &lines, &requantize, line, of_weights, to)
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Makes a line of two rows.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn interleave(
    job: &Depthwise,
    lines: &Lines,
    blocks: Range<usize>,
    rows: [Row; ROWS],
    line: *mut u8,
) {
    let left = job.window.pad.1.min(lines.pixels);
    let right = (left + job.shape.input.1).min(lines.pixels);
    let zero = _mm256_set1_epi16(i16::from(job.packed.zero_point as Act));
    for x in (0..left).chain(right..lines.pixels) {
        for at in (0..blocks.len() * BLOCK_BYTES).step_by(32) {
            // SAFETY: a line holds every pixel's blocks.
            unsafe { _mm256_storeu_si256(line.add(x * lines.pixel_bytes() + at).cast(), zero) };
        }
    }
    // SAFETY: sixteen bytes from the last block of the last pixel are at most fifteen behind
    // the input; a line holds every pixel's blocks.
    unsafe {
        let mut pixel = rows.map(|row| row.first.add(blocks.start * TILE_CHANNELS * row.channel));
        for x in left..right {
            let mut from = pixel;
            let mut to = line.add(x * lines.pixel_bytes());
            for _ in blocks.clone() {
                let a = _mm_loadu_si128(from[0].cast());
                let b = _mm_loadu_si128(from[1].cast());
                let low = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b));
                let high = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(a, b));
                _mm256_storeu_si256(to.cast(), low);
                _mm256_storeu_si256(to.add(32).cast(), high);
                to = to.add(BLOCK_BYTES);
                for (from, row) in from.iter_mut().zip(&rows) {
                    *from = from.add(row.channel * TILE_CHANNELS);
                }
            }
            for (pixel, row) in pixel.iter_mut().zip(&rows) {
                // Behind the last pixel it may point anywhere.
                *pixel = pixel.wrapping_add(row.pixel);
            }
        }
    }
}

/// A block of channels of `R` pixels, from output pixel `pixel` on, whose first columns lie at
/// `line` of each line, by block `of_weights` of the weights.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn tile<const R: usize>(
    job: &Depthwise,
    lines: &Lines,
    requantize: &Requantize,
    line: impl Fn(usize) -> *const u8,
    of_weights: usize,
    (pixel, block): (usize, usize),
) {
    let Depthwise {
        shape,
        window,
        packed,
        output,
        ..
    } = *job;
    let first = block * TILE_CHANNELS;
    let step = window.stride.1 * lines.pixel_bytes();
    // SAFETY: lines reach as far as windows do; bias, multipliers and weights are padded to
    // whole blocks.
    unsafe {
        let bias = packed.bias.as_ptr().add(first);
        let start = [load(bias.cast()), load(bias.add(8).cast())];
        let mut sums = [start; R];
        let taps = lines.count * window.kernel.1;
        let mut weights = packed.weights.as_ptr().add(of_weights * taps * BLOCK_BYTES);
        for number in 0..lines.count {
            let mut from = line(number);
            for _ in 0..window.kernel.1 {
                let (low, high) = (load(weights), load(weights.add(32)));
                weights = weights.add(64);
                for (r, sums) in sums.iter_mut().enumerate() {
                    let x = from.add(r * step);
                    sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(load(x), low));
                    sums[1] = _mm256_add_epi32(sums[1], _mm256_madd_epi16(load(x.add(32)), high));
                }
                from = from.add(lines.pixel_bytes());
            }
        }
        let scale = packed.multipliers.as_ptr().add(first);
        let scale = [_mm256_loadu_ps(scale), _mm256_loadu_ps(scale.add(8))];
        let channels = (shape.channels_out - first).min(TILE_CHANNELS);
        let to = Target {
            pointer: output.pointer.add(pixel * output.stride + first),
            ..output
        };
        requantize.store(&sums, scale, to, channels);
    }
}
