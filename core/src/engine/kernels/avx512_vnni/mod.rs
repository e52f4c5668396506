//! AVX-512 with VNNI: VPDPBUSD multiplies 64 unsigned by signed bytes and adds the
//! products by fours to sixteen sums, exactly. Convolutions and depthwise convolutions are
//! on it; the rest is on vectorized loops. Where the CPU has AMX, convolutions are on that
//! instead: a level of its own, `amx_int8`.
//!
//! Zen 5 starts two a cycle (128 multiply-adds), Ice Lake and later servers too. A tile
//! therefore needs ten sums to hide the latency and fewer loads than products.

mod amx;
mod conv;
mod depthwise;

use std::arch::x86_64::*;
use std::ops::Range;

use super::{
    Add, Affine, AveragePool, Clamp, Conv, ConvWeights, Depthwise, GlobalAveragePool, Kernels,
    Lookup, MaxPool, PackedConv, PackedDepthwise, Quantize, Shape, Window, lines, loops, means,
    scalar,
};

/// Values of a vector of sums.
const LANES: usize = 16;

/// The level of CPUs with AVX-512 F, BW, VL and VNNI.
pub(super) struct Avx512Vnni {
    /// Convolutions on AMX.
    amx: bool,
}

static AVX512_VNNI: Avx512Vnni = Avx512Vnni { amx: false };
static AMX_INT8: Avx512Vnni = Avx512Vnni { amx: true };

/// The level, where this CPU has it.
pub(super) fn avx512_vnni() -> Option<&'static dyn Kernels> {
    let there = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni");
    there.then_some(&AVX512_VNNI as &dyn Kernels)
}

/// The level with AMX, where this CPU has it and this process may use it.
pub(super) fn amx_int8() -> Option<&'static dyn Kernels> {
    let there = avx512_vnni().is_some() && amx::available();
    there.then_some(&AMX_INT8 as &dyn Kernels)
}

impl Avx512Vnni {
    /// Whether a convolution of this shape is on AMX.
    fn on_amx(&self, shape: &Shape) -> bool {
        self.amx && amx::takes(shape)
    }
}

impl Kernels for Avx512Vnni {
    fn name(&self) -> &'static str {
        if self.amx { "amx_int8" } else { "avx512_vnni" }
    }

    fn pack_conv(&self, shape: &Shape, window: &Window, of: &ConvWeights) -> PackedConv {
        if self.on_amx(shape) {
            amx::pack(shape, window, of)
        } else {
            conv::pack(shape, window, of)
        }
    }

    fn conv_scratch_bytes(&self, shape: &Shape, window: &Window) -> usize {
        if self.on_amx(shape) {
            amx::scratch_bytes(shape, window)
        } else {
            conv::scratch_bytes(shape, window)
        }
    }

    fn conv_tiles(&self, shape: &Shape) -> usize {
        if self.on_amx(shape) {
            amx::tiles(shape)
        } else {
            conv::tiles(shape)
        }
    }

    unsafe fn conv(&self, job: &Conv, pixels: Range<usize>, tiles: Range<usize>, scratch: *mut u8) {
        // SAFETY: `avx512_vnni` gave this level out, so the CPU has it; the rest is promised.
        unsafe {
            if self.on_amx(&job.shape) {
                amx::conv(job, pixels, tiles, scratch);
            } else {
                conv::conv(job, pixels, tiles, scratch);
            }
        }
    }

    fn pack_depthwise(&self, shape: &Shape, window: &Window, of: &ConvWeights) -> PackedDepthwise {
        lines::pack(shape, window, of)
    }

    fn depthwise_scratch_bytes(&self, shape: &Shape, window: &Window) -> usize {
        lines::scratch_bytes(shape, window)
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
        if is_x86_feature_detected!("avx512vbmi") {
            // SAFETY: as in `conv`, and the CPU has VBMI.
            unsafe { lookup(job, pixels) }
        } else {
            // SAFETY: the caller's promise is passed on.
            unsafe { scalar::lookup(job, pixels) }
        }
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

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn quantize(job: &Quantize, values: Range<usize>) {
    // SAFETY: the caller's promise.
    unsafe { loops::quantize(job, values) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn add(job: &Add, pixels: Range<usize>) {
    // SAFETY: the caller's promise.
    unsafe { loops::add(job, pixels) }
}

/// A table is four registers: VPERMI2B looks up seven bits in two of them.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
unsafe fn lookup(job: &Lookup, pixels: Range<usize>) {
    let strides = [job.input.stride, job.output.stride];
    let (runs, length) = loops::runs(&pixels, job.channels, &strides);
    // SAFETY: within both tensors; loads and stores leave out what is behind them.
    unsafe {
        let table = job.table.0.as_ptr();
        let quarter = |at: usize| _mm512_load_si512(table.add(at * 64).cast());
        let table = [quarter(0), quarter(1), quarter(2), quarter(3)];
        let of = |x: __m512i| {
            let low = _mm512_permutex2var_epi8(table[0], x, table[1]);
            let high = _mm512_permutex2var_epi8(table[2], x, table[3]);
            _mm512_mask_blend_epi8(_mm512_movepi8_mask(x), low, high)
        };
        for pixel in pixels.start..pixels.start + runs {
            let from = job.input.pointer.add(pixel * job.input.stride).cast::<i8>();
            let to = job
                .output
                .pointer
                .add(pixel * job.output.stride)
                .cast::<i8>();
            let whole = length / 64 * 64;
            for at in (0..whole).step_by(64) {
                let x = _mm512_loadu_si512(from.add(at).cast());
                _mm512_storeu_si512(to.add(at).cast(), of(x));
            }
            if whole < length {
                let mask = (1 << (length - whole)) - 1;
                let x = _mm512_maskz_loadu_epi8(mask, from.add(whole));
                _mm512_mask_storeu_epi8(to.add(whole), mask, of(x));
            }
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn affine(job: &Affine, pixels: Range<usize>) {
    // SAFETY: the caller's promise.
    unsafe { loops::affine(job, pixels) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn max_pool(job: &MaxPool, rows: Range<usize>) {
    // SAFETY: the caller's promise.
    unsafe { loops::max_pool(job, rows) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn average_pool(job: &AveragePool, rows: Range<usize>, scratch: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe { means::average_pool(job, rows, scratch) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn global_average_pool(job: &GlobalAveragePool, channels: Range<usize>) {
    // SAFETY: the caller's promise.
    unsafe { means::global_average_pool(job, channels) }
}

/// Four vectors of sums as 64 stored values in the order of their lanes, see
/// [`Clamp::store`]; `bounded` as in [`PackedConv`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn requantize(sums: [__m512i; 4], scales: [__m512; 4], clamp: Clamp, bounded: bool) -> __m512i {
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_permutexvar_epi32(order, requantize_in_lanes(sums, scales, clamp, bounded))
}

/// As [`requantize`], in the order of packing: of each quarter of the result the first four
/// values are from the first vector's quarter, the next from the second's, and so on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn requantize_in_lanes(
    sums: [__m512i; 4],
    scales: [__m512; 4],
    clamp: Clamp,
    bounded: bool,
) -> __m512i {
    let mut values = [_mm512_setzero_ps(); 4];
    for ((value, sums), scale) in values.iter_mut().zip(sums).zip(scales) {
        *value = _mm512_mul_ps(_mm512_cvtepi32_ps(sums), scale);
    }
    if !bounded {
        // What is too large for an integer would become the least one. What is too small
        // does, and saturates below.
        let high = _mm512_set1_ps((clamp.high - clamp.zero_point) as f32);
        values = values.map(|value| _mm512_min_ps(value, high));
    }
    // Rounds to nearest, ties to even: nothing here changes the rounding mode.
    let levels = values.map(|value| _mm512_cvtps_epi32(value));
    let zero = _mm512_set1_epi16(clamp.zero_point as i16);
    let words = |a, b| _mm512_adds_epi16(_mm512_packs_epi32(a, b), zero);
    let [a, b, c, d] = levels;
    let bytes = _mm512_packus_epi16(words(a, b), words(c, d));
    let bytes = _mm512_max_epu8(bytes, _mm512_set1_epi8(clamp.low as u8 as i8));
    _mm512_min_epu8(bytes, _mm512_set1_epi8(clamp.high as u8 as i8))
}
