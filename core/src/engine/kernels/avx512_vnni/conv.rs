//! Convolutions: tiles of pixels by vectors of output channels, over patches.

use std::arch::x86_64::*;
use std::ops::Range;

use super::{LANES, requantize};
use crate::engine::kernels::patches::{self, Patches, pieces};
use crate::engine::kernels::{Act, Conv, ConvOutput, ConvWeights, PackedConv, Shape, Window};

/// Inputs that one product takes.
const INPUTS: usize = 4;
/// The most vectors of channels that a tile is wide.
const TILE_VECTORS: usize = 4;

/// Weights in the order in which tiles read them.
pub(super) fn pack(shape: &Shape, window: &Window, of: &ConvWeights) -> PackedConv {
    pack_tiles(shape, window, of, TILE_VECTORS, INPUTS)
}

/// Weights for tiles of at most `most` vectors of channels and steps of `unit` inputs:
/// `[tile][step][vector of the tile][4 inputs of the step][channel][input of the four]`.
pub(super) fn pack_tiles(
    shape: &Shape,
    window: &Window,
    of: &ConvWeights,
    most: usize,
    unit: usize,
) -> PackedConv {
    let taken = window.kernel.0 * window.kernel.1 * shape.channels_in;
    let depth = patches::depth(shape, window, unit);
    let vectors = shape.channels_out.div_ceil(LANES);
    let padded = vectors * LANES;
    let mut packed = PackedConv::padded(of, padded * depth, padded);
    let bytes = packed.weights.as_mut_slice();
    for tile in pieces(vectors, most) {
        let step = tile.len() * LANES * unit;
        let bytes = &mut bytes[tile.start * LANES * depth..];
        let channels = tile.start * LANES..(tile.end * LANES).min(shape.channels_out);
        for (at, channel) in channels.enumerate() {
            let (vector, lane) = (at / LANES, at % LANES);
            let weights = &of.weights[channel * taken..][..taken];
            for (taken, to) in weights.chunks(unit).zip(bytes.chunks_mut(step)) {
                let to = &mut to[vector * LANES * unit + lane * INPUTS..];
                let (fours, rest) = taken.as_chunks::<INPUTS>();
                let places = to.chunks_mut(LANES * INPUTS);
                for (four, to) in fours.iter().zip(places) {
                    to[..INPUTS].copy_from_slice(&four.map(i8::cast_unsigned));
                }
                let at = fours.len() * LANES * INPUTS;
                for (weight, to) in rest.iter().zip(to.iter_mut().skip(at)) {
                    *to = weight.cast_unsigned();
                }
            }
        }
    }
    packed
}

pub(super) fn scratch_bytes(shape: &Shape, window: &Window) -> usize {
    patches::scratch_bytes(shape, window, INPUTS)
}

pub(super) fn tiles(shape: &Shape) -> usize {
    shape.channels_out.div_ceil(TILE_VECTORS * LANES)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) unsafe fn conv(job: &Conv, pixels: Range<usize>, tiles: Range<usize>, scratch: *mut u8) {
    let depth = patches::depth(&job.shape, &job.window, INPUTS);
    let vectors = job.shape.channels_out.div_ceil(LANES);
    let each = |pixels: Range<usize>, patches: Patches| {
        let taken = pieces(vectors, TILE_VECTORS).skip(tiles.start);
        for tile in taken.take(tiles.len()) {
            // SAFETY: weights, bias and multipliers are packed for these tiles; there is a
            // patch for every pixel.
            unsafe {
                match tile.len() {
                    1 => column::<1, 14>(job, tile.start, &pixels, patches, depth),
                    2 => column::<2, 12>(job, tile.start, &pixels, patches, depth),
                    3 => column::<3, 8>(job, tile.start, &pixels, patches, depth),
                    _ => column::<4, 6>(job, tile.start, &pixels, patches, depth),
                }
            }
        }
    };
    // SAFETY: the caller's promise.
    unsafe { patches::each_block(job, pixels, INPUTS, scratch, each) }
}

/// All pixels of a block by the `V` vectors of channels from vector `first` on, at most
/// `R` pixels at a time: with `V` registers of weights and one of activations, the `R * V`
/// of sums are as many as fit.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn column<const V: usize, const R: usize>(
    job: &Conv,
    first: usize,
    pixels: &Range<usize>,
    patches: Patches,
    depth: usize,
) {
    for rows in pieces(pixels.len(), R) {
        let pixel = pixels.start + rows.start;
        // SAFETY: the caller's.
        unsafe {
            let patch = patches.first.add(rows.start * patches.stride);
            let patches = Patches {
                first: patch,
                ..patches
            };
            macro_rules! tiles {
                ($($rows:literal)*) => {
                    match rows.len() {
                        $($rows if $rows <= R => tile::<V, $rows>(job, first, pixel, patches, depth),)*
                        _ => unreachable!(),
                    }
                };
            }
            tiles!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
        }
    }
}

/// Sums of `R` pixels by `V` vectors of channels: for four inputs `V` loads of weights, `R`
/// broadcasts and `R * V` products.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn tile<const V: usize, const R: usize>(
    job: &Conv,
    first: usize,
    pixel: usize,
    patches: Patches,
    depth: usize,
) {
    let packed = job.packed;
    let channel = first * LANES;
    // SAFETY: the caller's.
    unsafe {
        let bias = packed.bias.as_ptr().add(channel);
        let mut sums = [[_mm512_setzero_si512(); V]; R];
        for v in 0..V {
            let bias = _mm512_loadu_si512(bias.add(v * LANES).cast());
            for sums in &mut sums {
                sums[v] = bias;
            }
        }
        let mut weights = packed.weights.as_ptr().add(channel * depth);
        for at in (0..depth).step_by(INPUTS) {
            let mut w = [_mm512_setzero_si512(); V];
            for (v, w) in w.iter_mut().enumerate() {
                *w = _mm512_load_si512(weights.add(v * LANES * INPUTS).cast());
            }
            weights = weights.add(V * LANES * INPUTS);
            for (r, sums) in sums.iter_mut().enumerate() {
                let x = patches.first.add(r * patches.stride + at);
                let x = _mm512_set1_epi32(x.cast::<i32>().read_unaligned());
                for (sum, w) in sums.iter_mut().zip(w) {
                    *sum = _mm512_dpbusd_epi32(*sum, x, w);
                }
            }
        }
        // Rows by number, not in a loop: sums that are indexed by a variable would live in
        // memory.
        macro_rules! rows {
            ($($r:literal)*) => {$(
                if $r < R {
                    put::<V>(job, channel, pixel + $r, sums[$r]);
                }
            )*};
        }
        rows!(0 1 2 3 4 5 6 7 8 9 10 11 12 13);
    }
}

/// One pixel's sums as what the convolution gives.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn put<const V: usize>(job: &Conv, channel: usize, pixel: usize, sums: [__m512i; V]) {
    let left = (job.shape.channels_out - channel).min(V * LANES);
    // SAFETY: within the output; multipliers are padded to whole vectors.
    unsafe {
        let scales = job.packed.multipliers.as_ptr().add(channel);
        let scales = [0, 1, 2, 3].map(|v| _mm512_loadu_ps(scales.add(v.min(V - 1) * LANES)));
        match job.output {
            ConvOutput::Act(target, clamp) => {
                let to = target.pointer.add(pixel * target.stride + channel);
                let sums = [0, 1, 2, 3].map(|v| sums[v.min(V - 1)]);
                store::<V>(
                    to,
                    requantize(sums, scales, clamp, job.packed.bounded),
                    left,
                );
            }
            ConvOutput::F32(logits) => put_f32(job, channel, pixel, sums, logits),
        }
    }
}

/// One pixel's sums as `f32`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) unsafe fn put_f32<const V: usize>(
    job: &Conv,
    channel: usize,
    pixel: usize,
    sums: [__m512i; V],
    logits: *mut f32,
) {
    let left = (job.shape.channels_out - channel).min(V * LANES);
    // SAFETY: within the output; multipliers are padded to whole vectors.
    unsafe {
        let scales = job.packed.multipliers.as_ptr().add(channel);
        let to = logits.add(pixel * job.shape.channels_out + channel);
        for (v, &sums) in sums.iter().enumerate() {
            let scale = _mm512_loadu_ps(scales.add(v * LANES));
            let value = _mm512_mul_ps(_mm512_cvtepi32_ps(sums), scale);
            let mask = first_lanes(left - v * LANES);
            _mm512_mask_storeu_ps(to.add(v * LANES), mask, value);
        }
    }
}

/// The first `left` values of `V` vectors' 64.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) unsafe fn store<const V: usize>(to: *mut Act, values: __m512i, left: usize) {
    // SAFETY: `to` has room for `left` values, at most `V * LANES`.
    unsafe {
        match V {
            _ if left < V * LANES => {
                _mm512_mask_storeu_epi8(to.cast(), (1 << left) - 1, values);
            }
            1 => _mm_storeu_si128(to.cast(), _mm512_castsi512_si128(values)),
            2 => _mm256_storeu_si256(to.cast(), _mm512_castsi512_si256(values)),
            3 => _mm512_mask_storeu_epi8(to.cast(), (1 << 48) - 1, values),
            _ => _mm512_storeu_si512(to.cast(), values),
        }
    }
}

/// A mask of the first `n` lanes, all where there are more.
fn first_lanes(n: usize) -> __mmask16 {
    if n >= LANES { !0 } else { (1 << n) - 1 }
}
