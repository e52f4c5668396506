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
    PackedDepthwise, Shape, Window, lines, loops,
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

/// A mask of the first `n` lanes, all where there are more.
#[inline(always)]
fn first_lanes(n: usize) -> __mmask16 {
    if n >= LANES { !0 } else { (1 << n) - 1 }
}

/// Sixteen sums as stored values, see [`Clamp::store`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn requantize(sums: __m512i, scale: __m512, clamp: Clamp) -> __m128i {
    let high = _mm512_set1_ps((clamp.high - clamp.zero_point) as f32);
    let low = _mm512_set1_epi32(clamp.low);
    let value = _mm512_mul_ps(_mm512_cvtepi32_ps(sums), scale);
    // Rounds to nearest, ties to even: nothing here changes the rounding mode. Below, a
    // value out of range turns into the least integer, which the clamp takes up.
    let level = _mm512_cvtps_epi32(_mm512_min_ps(value, high));
    let level = _mm512_add_epi32(
        _mm512_max_epi32(
            level,
            _mm512_sub_epi32(low, _mm512_set1_epi32(clamp.zero_point)),
        ),
        _mm512_set1_epi32(clamp.zero_point),
    );
    _mm512_cvtepi32_epi8(level)
}
