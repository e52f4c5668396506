//! AVX2: convolutions on VPMADDWD, everything else on vectors of bytes and floats.
//!
//! VPMADDUBSW multiplies twice as many bytes, but its pairs saturate (255·127·2 > 2^15),
//! which is why runtimes that use it answer differently on CPUs without VNNI. VPMADDWD on
//! 16-bit values is exact. On Zen 3 both come to the same: two multiplying ports, so
//! 32 multiply-adds a cycle either way, because VPMADDUBSW needs a VPMADDWD behind it.
//! Left out: AVX-512, which is another level's.

use std::arch::x86_64::*;
use std::ops::Range;

use super::scalar::{folded_bias, tapped};
use super::{
    Act, Add, Affine, Aligned, AveragePool, Clamp, Conv, ConvOutput, ConvWeights, Depthwise,
    GlobalAveragePool, Kernels, MaxPool, PackedConv, PackedDepthwise, Quantize, Shape, Window,
};
use super::{loops, means};

/// Output channels that a tile takes: two vectors of sums.
const TILE_CHANNELS: usize = 16;
/// Pixels that a tile takes: with two vectors of weights and one of activations, twelve
/// of sums fill the registers.
const TILE_PIXELS: usize = 6;
/// A block's widened activations stay in the second-level cache while all weights pass.
const BLOCK_BYTES: usize = 128 << 10;

/// The level of CPUs with AVX2 and FMA.
pub(super) struct Avx2(());

static AVX2: Avx2 = Avx2(());

/// The level, where this CPU has it.
pub(super) fn avx2() -> Option<&'static dyn Kernels> {
    let there = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    there.then_some(&AVX2 as &dyn Kernels)
}

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

impl Kernels for Avx2 {
    fn name(&self) -> &'static str {
        "avx2"
    }

    fn pack_conv(&self, shape: &Shape, window: &Window, of: &ConvWeights) -> PackedConv {
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
            bounded: false,
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

    fn conv_scratch_bytes(&self, shape: &Shape, window: &Window) -> usize {
        // Patches are written in whole vectors.
        block_pixels(shape, window) * depth(shape, window) * 2 + 64
    }

    fn conv_tiles(&self, shape: &Shape) -> usize {
        shape.channels_out.div_ceil(TILE_CHANNELS)
    }

    unsafe fn conv(&self, job: &Conv, pixels: Range<usize>, tiles: Range<usize>, scratch: *mut u8) {
        // SAFETY: `avx2` gave this level out, so the CPU has it; the rest is promised.
        unsafe { conv(job, pixels, tiles, scratch.cast()) }
    }

    fn pack_depthwise(&self, shape: &Shape, window: &Window, of: &ConvWeights) -> PackedDepthwise {
        let (kernel_h, kernel_w) = window.kernel;
        let channels = shape.channels_out.next_multiple_of(TILE_CHANNELS);
        let row_pairs = kernel_h.div_ceil(2);
        let mut packed = PackedDepthwise {
            // [16 channels][pair of rows][column][channel][row of the pair]
            weights: Aligned::zeroed(channels * row_pairs * kernel_w * 4),
            bias: vec![0; channels],
            multipliers: vec![0.0; channels],
            zero_point: of.zero_point,
            bounded: false,
        };
        packed.multipliers[..shape.channels_out].copy_from_slice(of.multipliers);
        let words = packed.weights.as_mut_slice();
        for (channel, weights) in of.weights.chunks_exact(kernel_h * kernel_w).enumerate() {
            packed.bias[channel] =
                folded_bias(of.bias[channel], of.zero_point, weights.iter().copied());
            let (block, lane) = (channel / TILE_CHANNELS, channel % TILE_CHANNELS);
            for (tap, &weight) in weights.iter().enumerate() {
                let (row, column) = (tap / kernel_w, tap % kernel_w);
                let vector = (block * row_pairs + row / 2) * kernel_w + column;
                let at = (vector * TILE_CHANNELS + lane) * 4 + row % 2 * 2;
                words[at..at + 2].copy_from_slice(&i16::from(weight).to_le_bytes());
            }
        }
        packed
    }

    fn depthwise_scratch_bytes(&self, shape: &Shape, window: &Window) -> usize {
        let line =
            line_pixels(shape, window) * shape.channels_out.next_multiple_of(TILE_CHANNELS) * 4;
        line * window.kernel.0 + 64
    }

    unsafe fn depthwise(&self, job: &Depthwise, rows: Range<usize>, scratch: *mut u8) {
        // SAFETY: as in `conv`.
        unsafe { depthwise(job, rows, scratch) }
    }

    unsafe fn quantize(&self, job: &Quantize, values: Range<usize>) {
        // SAFETY: as in `conv`.
        unsafe { quantize(job, values) }
    }

    unsafe fn add(&self, job: &Add, pixels: Range<usize>) {
        // SAFETY: as in `conv`.
        unsafe { add(job, pixels) }
    }

    unsafe fn affine(&self, job: &Affine, pixels: Range<usize>) {
        // SAFETY: as in `conv`.
        unsafe { affine(job, pixels) }
    }

    unsafe fn max_pool(&self, job: &MaxPool, rows: Range<usize>) {
        // SAFETY: as in `conv`.
        unsafe { max_pool(job, rows) }
    }

    fn average_pool_scratch_bytes(&self, shape: &Shape, window: &Window) -> usize {
        means::scratch_bytes(shape, window)
    }

    unsafe fn average_pool(&self, job: &AveragePool, rows: Range<usize>, scratch: *mut u8) {
        // SAFETY: as in `conv`.
        unsafe { average_pool(job, rows, scratch) }
    }

    unsafe fn global_average_pool(&self, job: &GlobalAveragePool, channels: Range<usize>) {
        // SAFETY: as in `conv`.
        unsafe { global_average_pool(job, channels) }
    }
}

/// Patches of a block of pixels are widened to 16 bits, one behind the other; then every
/// 16 output channels pass over all of them. That is im2col, but of a block that stays
/// in the cache, and the widening has to be done once in any case.
#[target_feature(enable = "avx2")]
unsafe fn conv(job: &Conv, pixels: Range<usize>, tiles: Range<usize>, scratch: *mut i16) {
    let depth = depth(&job.shape, &job.window);
    let block = block_pixels(&job.shape, &job.window);
    let mut from = pixels.start;
    while from < pixels.end {
        let to = (from + block).min(pixels.end);
        for pixel in from..to {
            // SAFETY: the block holds as many patches, and a vector behind them.
            unsafe { widen_patch(job, pixel, scratch.add((pixel - from) * depth)) };
        }
        for n in tiles.clone() {
            let mut pixel = from;
            while pixel < to {
                // SAFETY: patches `pixel - from` and those behind it are in the block.
                unsafe {
                    let patches = scratch.add((pixel - from) * depth);
                    match to - pixel {
                        1 => tile::<1>(job, n, pixel, patches, depth),
                        2 => tile::<2>(job, n, pixel, patches, depth),
                        3 => tile::<3>(job, n, pixel, patches, depth),
                        4 => tile::<4>(job, n, pixel, patches, depth),
                        5 => tile::<5>(job, n, pixel, patches, depth),
                        _ => tile::<TILE_PIXELS>(job, n, pixel, patches, depth),
                    }
                }
                pixel += TILE_PIXELS;
            }
        }
        from = to;
    }
}

/// The inputs under one pixel's window as 16-bit values, `[ky][kx][channel]`. Written in
/// order, in whole vectors: what is too much is overwritten by what follows.
#[target_feature(enable = "avx2")]
unsafe fn widen_patch(job: &Conv, pixel: usize, mut to: *mut i16) {
    let Conv {
        shape,
        window,
        input,
        ..
    } = job;
    let (kernel_h, kernel_w) = window.kernel;
    let place = (pixel / shape.output.1, pixel % shape.output.1);
    let channels = shape.channels_in;
    let zero = _mm256_set1_epi16(job.packed.zero_point as i16);
    for ky in 0..kernel_h {
        // A row of the window lies in one run where nothing is between its pixels.
        let whole = input.stride == channels
            && tapped(shape, window, place, (ky, 0)).is_some()
            && tapped(shape, window, place, (ky, kernel_w - 1)).is_some();
        let (steps, length) = if whole {
            (1, kernel_w * channels)
        } else {
            (kernel_w, channels)
        };
        for kx in 0..steps {
            match tapped(shape, window, place, (ky, kx)) {
                Some(source) => {
                    for at in (0..length).step_by(16) {
                        // SAFETY: reads no more than a vector behind the input's end.
                        unsafe {
                            let bytes = _mm_loadu_si128(
                                input.pointer.add(source * input.stride + at).cast(),
                            );
                            _mm256_storeu_si256(to.add(at).cast(), _mm256_cvtepu8_epi16(bytes));
                        }
                    }
                }
                None => {
                    for at in (0..length).step_by(16) {
                        // SAFETY: within the block and the vector behind it.
                        unsafe { _mm256_storeu_si256(to.add(at).cast(), zero) };
                    }
                }
            }
            // SAFETY: as above.
            to = unsafe { to.add(length) };
        }
    }
    if (kernel_h * kernel_w * channels) % 2 == 1 {
        // The last pair's second weight is 0.
        // SAFETY: the depth is even, so the patch has room for it.
        unsafe { *to = 0 };
    }
}

/// Sums of `R` pixels by 16 channels: 2 loads of weights, `R` broadcasts and `2 R`
/// VPMADDWD a pair of inputs.
#[target_feature(enable = "avx2")]
unsafe fn tile<const R: usize>(
    job: &Conv,
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
        let mut weights = packed.weights.as_ptr().add(first * depth * 2);
        for pair in 0..depth / 2 {
            let (low, high) = (load(weights), load(weights.add(32)));
            weights = weights.add(64);
            for (r, sums) in sums.iter_mut().enumerate() {
                let x = patches
                    .add(r * depth + pair * 2)
                    .cast::<i32>()
                    .read_unaligned();
                let x = _mm256_set1_epi32(x);
                sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(x, low));
                sums[1] = _mm256_add_epi32(sums[1], _mm256_madd_epi16(x, high));
            }
        }
        let scale = packed.multipliers.as_ptr().add(first);
        let scale = [_mm256_loadu_ps(scale), _mm256_loadu_ps(scale.add(8))];
        let channels = (job.shape.channels_out - first).min(TILE_CHANNELS);
        match job.output {
            ConvOutput::Act(target, clamp) => {
                for (r, sums) in sums.iter().enumerate() {
                    let to = target.pointer.add((pixel + r) * target.stride + first);
                    store(to, requantize(*sums, scale, clamp), channels);
                }
            }
            ConvOutput::F32(logits) => {
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

#[target_feature(enable = "avx2")]
unsafe fn load(from: *const u8) -> __m256i {
    // SAFETY: the caller's.
    unsafe { _mm256_loadu_si256(from.cast()) }
}

/// Sixteen sums as stored values, see [`Clamp::store`].
#[target_feature(enable = "avx2")]
fn requantize(sums: [__m256i; 2], scale: [__m256; 2], clamp: Clamp) -> __m128i {
    let low = _mm256_set1_ps((clamp.low - clamp.zero_point) as f32);
    let high = _mm256_set1_ps((clamp.high - clamp.zero_point) as f32);
    let zero = _mm256_set1_epi32(clamp.zero_point);
    let level = |sum: __m256i, scale: __m256| {
        let value = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), scale);
        let value = _mm256_min_ps(_mm256_max_ps(value, low), high);
        // Rounds to nearest, ties to even: nothing here changes the rounding mode.
        _mm256_add_epi32(_mm256_cvtps_epi32(value), zero)
    };
    // Packing works within halves of a vector; the permutation puts them in order.
    let words = _mm256_packs_epi32(level(sums[0], scale[0]), level(sums[1], scale[1]));
    let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
    _mm_packus_epi16(
        _mm256_castsi256_si128(words),
        _mm256_extracti128_si256::<1>(words),
    )
}

/// The first `channels` of sixteen values.
#[target_feature(enable = "avx2")]
unsafe fn store(to: *mut Act, values: __m128i, channels: usize) {
    // SAFETY: `to` has room for `channels` values, at most sixteen.
    unsafe {
        if channels == TILE_CHANNELS {
            _mm_storeu_si128(to.cast(), values);
        } else {
            let mut row = [0_u8; TILE_CHANNELS];
            _mm_storeu_si128(row.as_mut_ptr().cast(), values);
            std::ptr::copy_nonoverlapping(row.as_ptr(), to, channels);
        }
    }
}

/// Pixels of an input row with its padding, as far as windows reach, and three more: tiles
/// are of four outputs.
fn line_pixels(shape: &Shape, window: &Window) -> usize {
    (shape.output.1.next_multiple_of(4) - 1) * window.stride.1 + window.kernel.1
}

/// Two rows of the input, a channel's two values side by side and widened, are what
/// VPMADDWD wants: `line[y]` holds rows `y` and `y + 1`. A kernel of three rows reads
/// lines 0 and 2, the second with weights of 0 for its second row. Lines are made once
/// and kept in a ring as long as the kernel is high.
#[target_feature(enable = "avx2")]
unsafe fn depthwise(job: &Depthwise, rows: Range<usize>, scratch: *mut u8) {
    let Depthwise {
        shape,
        window,
        packed,
        output,
        clamp,
        ..
    } = *job;
    let (kernel_h, kernel_w) = window.kernel;
    let channels = shape.channels_out.next_multiple_of(TILE_CHANNELS);
    let line_bytes = line_pixels(&shape, &window) * channels * 4;
    let row_pairs = kernel_h.div_ceil(2);
    // Lines are counted from the padding's first row.
    let mut made = rows.start * window.stride.0;
    for y in rows {
        let top = y * window.stride.0;
        for line in made.max(top)..top + kernel_h {
            // SAFETY: the ring has `kernel_h` lines.
            unsafe {
                interleave(
                    job,
                    line,
                    scratch.add(line % kernel_h * line_bytes),
                    channels,
                )
            };
        }
        made = top + kernel_h;
        for block in 0..channels / TILE_CHANNELS {
            let first = block * TILE_CHANNELS;
            let taken = (shape.channels_out - first).min(TILE_CHANNELS);
            for x in (0..shape.output.1).step_by(4) {
                // SAFETY: lines reach as far as whole tiles do; bias, multipliers and
                // weights are padded to whole blocks.
                unsafe {
                    let bias = packed.bias.as_ptr().add(first);
                    let start = [load(bias.cast()), load(bias.add(8).cast())];
                    let mut sums = [start; 4];
                    let mut weights = packed
                        .weights
                        .as_ptr()
                        .add(first * row_pairs * kernel_w * 4);
                    for pair in 0..row_pairs {
                        let line =
                            scratch.add((top + pair * 2) % kernel_h * line_bytes + first * 4);
                        for column in 0..kernel_w {
                            let (low, high) = (load(weights), load(weights.add(32)));
                            weights = weights.add(64);
                            for (r, sums) in sums.iter_mut().enumerate() {
                                let at = ((x + r) * window.stride.1 + column) * channels * 4;
                                let from = line.add(at);
                                sums[0] =
                                    _mm256_add_epi32(sums[0], _mm256_madd_epi16(load(from), low));
                                sums[1] = _mm256_add_epi32(
                                    sums[1],
                                    _mm256_madd_epi16(load(from.add(32)), high),
                                );
                            }
                        }
                    }
                    let scale = packed.multipliers.as_ptr().add(first);
                    let scale = [_mm256_loadu_ps(scale), _mm256_loadu_ps(scale.add(8))];
                    for (r, sums) in sums.iter().enumerate().take(shape.output.1 - x) {
                        let pixel = y * shape.output.1 + x + r;
                        let to = output.pointer.add(pixel * output.stride + first);
                        store(to, requantize(*sums, scale, clamp), taken);
                    }
                }
            }
        }
    }
}

/// Line `line`: input rows `line - pad` and the one below, padded with the zero point,
/// each channel's two values side by side as 16 bits.
#[target_feature(enable = "avx2")]
unsafe fn interleave(job: &Depthwise, line: usize, to: *mut u8, channels: usize) {
    let Depthwise {
        shape,
        window,
        input,
        packed,
        ..
    } = *job;
    let row = |line: usize| {
        line.checked_sub(window.pad.0)
            .filter(|&row| row < shape.input.0)
    };
    let (upper, lower) = (row(line), row(line + 1));
    let zero = _mm_set1_epi8(packed.zero_point as u8 as i8);
    for x in 0..line_pixels(&shape, &window) {
        let column = x
            .checked_sub(window.pad.1)
            .filter(|&column| column < shape.input.1);
        // SAFETY: sixteen bytes from the last channel block of the last pixel are at most
        // fifteen behind the input; the line holds every pixel's padded channels.
        unsafe {
            let pixel = |row: Option<usize>| {
                row.zip(column).map(|(row, column)| {
                    input
                        .pointer
                        .add((row * shape.input.1 + column) * input.stride)
                })
            };
            let (upper, lower) = (pixel(upper), pixel(lower));
            for c in (0..channels).step_by(TILE_CHANNELS) {
                let read = |pixel: Option<*const Act>| match pixel {
                    Some(pixel) => _mm_loadu_si128(pixel.add(c).cast()),
                    None => zero,
                };
                let (a, b) = (read(upper), read(lower));
                let to = to.add((x * channels + c) * 4);
                _mm256_storeu_si256(to.cast(), _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b)));
                _mm256_storeu_si256(
                    to.add(32).cast(),
                    _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(a, b)),
                );
            }
        }
    }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn quantize(job: &Quantize, values: Range<usize>) {
    // SAFETY: the caller's promise.
    unsafe { loops::quantize(job, values) }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn add(job: &Add, pixels: Range<usize>) {
    // SAFETY: the caller's promise.
    unsafe { loops::add(job, pixels) }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn affine(job: &Affine, pixels: Range<usize>) {
    // SAFETY: the caller's promise.
    unsafe { loops::affine(job, pixels) }
}

#[target_feature(enable = "avx2")]
unsafe fn max_pool(job: &MaxPool, rows: Range<usize>) {
    // SAFETY: the caller's promise.
    unsafe { loops::max_pool(job, rows) }
}

#[target_feature(enable = "avx2")]
unsafe fn average_pool(job: &AveragePool, rows: Range<usize>, scratch: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe { means::average_pool(job, rows, scratch) }
}

#[target_feature(enable = "avx2")]
unsafe fn global_average_pool(job: &GlobalAveragePool, channels: Range<usize>) {
    // SAFETY: the caller's promise.
    unsafe { means::global_average_pool(job, channels) }
}
