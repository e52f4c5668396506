//! AVX2: convolutions on VPMADDUBSW and VPMADDWD, everything else on vectors of bytes and
//! floats.
//!
//! VPMADDUBSW multiplies twice as many bytes, but its pairs saturate (255·127·2 > 2^15), which
//! is why runtimes that use it for all weights answer differently on CPUs without VNNI. It is
//! used where no pair can; VPMADDWD on 16-bit values is exact everywhere. Zen 3 has two
//! multiplying ports, which bound both at 32 multiply-adds a cycle, because VPMADDUBSW needs a
//! VPMADDWD behind it. With loads and sums, of which it needs one for two, bare loops of it do
//! 1.2 times what those of VPMADDWD alone do.
//! Left out: AVX-512, which is another level's.
//!
//! Pieces: `conv` with its weights (`fours`) and what multiplies (`products`), `winograd`, which
//! does with fewer products, `depthwise`, how sums become stored values (`store`); here is all
//! else.

mod conv;
mod depthwise;
mod fours;
mod products;
mod store;
mod winograd;

use std::arch::x86_64::*;
use std::ops::Range;

use self::store::Requantize;
use super::{
    Add, Affine, AveragePool, Conv, ConvWeights, Depthwise, GlobalAveragePool, Kernels, Lookup,
    MaxPool, PackedConv, PackedDepthwise, Quantize, Shape, Window,
};
use super::{loops, means};

/// Output channels that a tile takes: two vectors of sums.
const TILE_CHANNELS: usize = 16;

/// The level of CPUs with AVX2 and FMA.
pub(super) struct Avx2(());

static AVX2: Avx2 = Avx2(());

/// The level, where this CPU has it.
pub(super) fn avx2() -> Option<&'static dyn Kernels> {
    let there = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    there.then_some(&AVX2 as &dyn Kernels)
}

impl Kernels for Avx2 {
    fn name(&self) -> &'static str {
        "avx2"
    }

    fn pack_conv(&self, shape: &Shape, window: &Window, of: &ConvWeights) -> PackedConv {
        winograd::pack(shape, window, of).unwrap_or_else(|| fours::pack(shape, window, of))
    }

    fn conv_scratch_bytes(&self, shape: &Shape, window: &Window) -> usize {
        let transformed = winograd::scratch_bytes(shape, window);
        conv::scratch_bytes(shape, window).max(transformed)
    }

    fn conv_grain(&self, shape: &Shape, packed: &PackedConv) -> usize {
        match packed.transformed {
            true => winograd::grain(shape),
            false => products::TILE_PIXELS,
        }
    }

    fn conv_tiles(&self, shape: &Shape) -> usize {
        shape.channels_out.div_ceil(TILE_CHANNELS)
    }

    unsafe fn conv(&self, job: &Conv, pixels: Range<usize>, tiles: Range<usize>, scratch: *mut u8) {
        // SAFETY: `avx2` gave this level out, so the CPU has it; the rest is promised.
        unsafe {
            match job.packed.transformed {
                true => winograd::conv(job, pixels, tiles, scratch),
                false => conv::conv(job, pixels, tiles, scratch),
            }
        }
    }

    fn pack_depthwise(&self, shape: &Shape, window: &Window, of: &ConvWeights) -> PackedDepthwise {
        depthwise::pack(shape, window, of)
    }

    fn depthwise_scratch_bytes(&self, shape: &Shape, window: &Window) -> usize {
        depthwise::scratch_bytes(shape, window)
    }

    unsafe fn depthwise(&self, job: &Depthwise, rows: Range<usize>, scratch: *mut u8) {
        // SAFETY: as in `conv`.
        unsafe { depthwise::depthwise(job, rows, scratch) }
    }

    unsafe fn quantize(&self, job: &Quantize, values: Range<usize>) {
        // SAFETY: as in `conv`.
        unsafe { quantize(job, values) }
    }

    unsafe fn add(&self, job: &Add, pixels: Range<usize>) {
        // SAFETY: as in `conv`.
        unsafe { add(job, pixels) }
    }

    unsafe fn lookup(&self, job: &Lookup, pixels: Range<usize>) {
        // SAFETY: as in `conv`.
        unsafe { lookup(job, pixels) }
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

#[target_feature(enable = "avx2")]
unsafe fn load(from: *const u8) -> __m256i {
    // SAFETY: the caller's.
    unsafe { _mm256_loadu_si256(from.cast()) }
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

/// A table is sixteen of sixteen bytes: VPSHUFB looks up four bits in one of them, and gives 0
/// for bytes that are another's, whose highest bit is set before.
#[target_feature(enable = "avx2")]
unsafe fn lookup(job: &Lookup, pixels: Range<usize>) {
    const BYTES: usize = 32;
    let strides = [job.input.stride, job.output.stride];
    let (runs, length) = loops::runs(&pixels, job.channels, &strides);
    let table = &job.table.0;
    let others = _mm256_set1_epi8(0x70);
    for pixel in pixels.start..pixels.start + runs {
        // SAFETY: within both tensors; the table has sixteen parts.
        unsafe {
            let from = job.input.pointer.add(pixel * job.input.stride);
            let to = job.output.pointer.add(pixel * job.output.stride);
            let whole = length / BYTES * BYTES;
            for at in (0..whole).step_by(BYTES) {
                let x = load(from.add(at));
                let mut found = _mm256_setzero_si256();
                for part in 0..16 {
                    let entries = _mm_load_si128(table.as_ptr().add(part * 16).cast());
                    let entries = _mm256_broadcastsi128_si256(entries);
                    let within = _mm256_xor_si256(x, _mm256_set1_epi8((part << 4) as u8 as i8));
                    let within = _mm256_adds_epu8(within, others);
                    found = _mm256_or_si256(found, _mm256_shuffle_epi8(entries, within));
                }
                _mm256_storeu_si256(to.add(at).cast(), found);
            }
            for at in whole..length {
                *to.add(at) = table[usize::from(*from.add(at))];
            }
        }
    }
}

#[target_feature(enable = "avx2,fma")]
unsafe fn affine(job: &Affine, pixels: Range<usize>) {
    const CHANNELS: usize = 32;
    if !job.channels.is_multiple_of(CHANNELS) {
        // SAFETY: the caller's promise.
        return unsafe { loops::affine(job, pixels) };
    }
    let requantize = Requantize::new(job.clamp, false);
    let zero_point = _mm256_set1_epi32(job.zero_point);
    for pixel in pixels {
        // SAFETY: within both tensors; scales and offsets are as many as channels.
        unsafe {
            let from = job.input.pointer.add(pixel * job.input.stride);
            let to = job.output.pointer.add(pixel * job.output.stride);
            for channel in (0..job.channels).step_by(CHANNELS) {
                let values = [0, 8, 16, 24].map(|within| {
                    let channel = channel + within;
                    let x = _mm_loadl_epi64(from.add(channel).cast());
                    let x = _mm256_sub_epi32(_mm256_cvtepu8_epi32(x), zero_point);
                    let scale = _mm256_loadu_ps(job.scale.as_ptr().add(channel));
                    let offset = _mm256_loadu_ps(job.offset.as_ptr().add(channel));
                    _mm256_fmadd_ps(_mm256_cvtepi32_ps(x), scale, offset)
                });
                _mm256_storeu_si256(to.add(channel).cast(), requantize.bytes(values));
            }
        }
    }
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
