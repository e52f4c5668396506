//! AVX-512 with VNNI: VPDPBUSD multiplies 64 unsigned by signed bytes and adds the
//! products by fours to sixteen sums, exactly. Convolutions and depthwise convolutions are
//! on it; the rest is on vectorized loops.
//!
//! Zen 5 starts two a cycle (128 multiply-adds), Ice Lake and later servers too. A tile
//! therefore needs ten sums to hide the latency and fewer loads than products.
//! Left out: AMX.

mod conv;
mod depthwise;

use std::arch::x86_64::*;
use std::ops::Range;

use super::{
    Add, Affine, AveragePool, Clamp, Conv, ConvWeights, Depthwise, Kernels, MaxPool, PackedConv,
    PackedDepthwise, Quantize, Shape, Window, lines, loops,
};

/// Values of a vector of sums.
const LANES: usize = 16;

/// The level of CPUs with AVX-512 F, BW, VL and VNNI.
pub(super) struct Avx512Vnni(());

static AVX512_VNNI: Avx512Vnni = Avx512Vnni(());

/// The level, where this CPU has it.
pub(super) fn avx512_vnni() -> Option<&'static dyn Kernels> {
    let there = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni");
    there.then_some(&AVX512_VNNI as &dyn Kernels)
}

impl Kernels for Avx512Vnni {
    fn name(&self) -> &'static str {
        "avx512_vnni"
    }

    fn pack_conv(&self, shape: &Shape, window: &Window, of: &ConvWeights) -> PackedConv {
        conv::pack(shape, window, of)
    }

    fn conv_scratch_bytes(&self, shape: &Shape, window: &Window) -> usize {
        conv::scratch_bytes(shape, window)
    }

    unsafe fn conv(&self, job: &Conv, pixels: Range<usize>, scratch: *mut u8) {
        // SAFETY: `avx512_vnni` gave this level out, so the CPU has it; the rest is promised.
        unsafe { conv::conv(job, pixels, scratch) }
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

    unsafe fn affine(&self, job: &Affine, pixels: Range<usize>) {
        // SAFETY: as in `conv`.
        unsafe { affine(job, pixels) }
    }

    unsafe fn max_pool(&self, job: &MaxPool, rows: Range<usize>) {
        // SAFETY: as in `conv`.
        unsafe { max_pool(job, rows) }
    }

    unsafe fn average_pool(&self, job: &AveragePool, rows: Range<usize>) {
        // SAFETY: as in `conv`.
        unsafe { average_pool(job, rows) }
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
unsafe fn average_pool(job: &AveragePool, rows: Range<usize>) {
    // SAFETY: the caller's promise.
    unsafe { loops::average_pool(job, rows) }
}

/// Four vectors of sums as 64 stored values in the order of their lanes, see
/// [`Clamp::store`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn requantize(sums: [__m512i; 4], scales: [__m512; 4], clamp: Clamp) -> __m512i {
    let high = _mm512_set1_ps((clamp.high - clamp.zero_point) as f32);
    let level = |v: usize| {
        let value = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[v]), scales[v]);
        // Rounds to nearest, ties to even: nothing here changes the rounding mode. What is
        // too small for an integer becomes the least one, and saturates below.
        _mm512_cvtps_epi32(_mm512_min_ps(value, high))
    };
    let zero = _mm512_set1_epi16(clamp.zero_point as i16);
    let words =
        |a: usize, b: usize| _mm512_adds_epi16(_mm512_packs_epi32(level(a), level(b)), zero);
    // Packing works within quarters of a vector; the permutation puts them in order.
    let bytes = _mm512_packus_epi16(words(0, 1), words(2, 3));
    let bytes = _mm512_max_epu8(bytes, _mm512_set1_epi8(clamp.low as u8 as i8));
    let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_permutexvar_epi32(order, bytes)
}
