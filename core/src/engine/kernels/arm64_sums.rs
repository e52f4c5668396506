//! Sums of two tensors, multiply-adds per channel and tables on arm64, 16 values at a time.
//!
//! By hand, because the compiler widens bytes to 32 bits before it subtracts the zero
//! point: SSUBL does both in 16 bits and saves four instructions in sixteen.

use std::arch::aarch64::*;
use std::ops::Range;

use super::arm64_store::{Rounding, store_some};
use super::loops::runs;
use super::{Add, Affine, Lookup};

/// Values that are taken at a time.
const STEP: usize = 16;

/// The next place in a run of `length`: the last one ends where the run does, and overlaps
/// the one before. A run of less than a step has one place.
#[inline(always)]
fn next(at: usize, length: usize) -> usize {
    let next = at + STEP;
    if next < length && next + STEP > length {
        length - STEP
    } else {
        next
    }
}

/// Differences to the zero point (all lanes of `zero`).
#[inline(always)]
unsafe fn real(x: int8x16_t, zero: int8x16_t) -> [float32x4_t; 4] {
    // SAFETY: NEON is always there.
    unsafe {
        let low = vsubl_s8(vget_low_s8(x), vget_low_s8(zero));
        let high = vsubl_high_s8(x, zero);
        [
            vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))),
            vcvtq_f32_s32(vmovl_high_s16(low)),
            vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))),
            vcvtq_f32_s32(vmovl_high_s16(high)),
        ]
    }
}

pub(super) unsafe fn add(job: &Add, pixels: Range<usize>) {
    let rounding = Rounding::new(job.clamp);
    let strides = [job.a.stride, job.b.stride, job.output.stride];
    let (runs, length) = runs(&pixels, job.channels, &strides);
    // SAFETY: within the three tensors, and a vector behind the inputs.
    unsafe {
        let (shift, offset) = (vdupq_n_s8(job.shift as i8), vdupq_n_f32(job.offset));
        let (scale_a, scale_b) = (vdupq_n_f32(job.scale_a), vdupq_n_f32(job.scale_b));
        for pixel in pixels.start..pixels.start + runs {
            let a = job.a.pointer.add(pixel * job.a.stride);
            let b = job.b.pointer.add(pixel * job.b.stride);
            let to = job.output.pointer.add(pixel * job.output.stride);
            let mut at = 0;
            while at < length {
                let a = real(vld1q_s8(a.add(at)), shift);
                let b = real(vld1q_s8(b.add(at)), shift);
                let sum = |i: usize| vfmaq_f32(vfmaq_f32(offset, b[i], scale_b), a[i], scale_a);
                let bytes = rounding.rounded([sum(0), sum(1), sum(2), sum(3)]);
                store(to.add(at), rounding.clamped(bytes), length - at);
                at = next(at, length);
            }
        }
    }
}

#[inline(always)]
unsafe fn store(to: *mut i8, bytes: int8x16_t, left: usize) {
    // SAFETY: the caller has room for what is left.
    unsafe {
        if left >= STEP {
            vst1q_s8(to, bytes);
        } else {
            store_some(to, bytes, left);
        }
    }
}

pub(super) unsafe fn affine(job: &Affine, pixels: Range<usize>) {
    // SAFETY: the caller's promise.
    unsafe {
        match (job.channels >= STEP, Rounding::new(job.clamp).clamps) {
            (false, _) => affine_channels::<false, true>(job, pixels),
            (true, true) => affine_channels::<true, true>(job, pixels),
            (true, false) => affine_channels::<true, false>(job, pixels),
        }
    }
}

#[inline(always)]
unsafe fn multiply_add<const CLAMPS: bool>(
    x: [float32x4_t; 4],
    scale: [float32x4_t; 4],
    offset: [float32x4_t; 4],
    rounding: Rounding,
) -> int8x16_t {
    // SAFETY: NEON is always there.
    let value = |i: usize| unsafe { vfmaq_f32(offset[i], x[i], scale[i]) };
    let bytes = rounding.rounded([value(0), value(1), value(2), value(3)]);
    if CLAMPS {
        rounding.clamped(bytes)
    } else {
        bytes
    }
}

/// Channels outside, pixels inside: scale and offset stay in registers. `WHOLE`: there are
/// sixteen channels or more.
unsafe fn affine_channels<const WHOLE: bool, const CLAMPS: bool>(
    job: &Affine,
    pixels: Range<usize>,
) {
    let rounding = Rounding::new(job.clamp);
    let mut at = 0;
    while at < job.channels {
        // SAFETY: within both tensors, and a vector behind the input.
        unsafe {
            let zero = vdupq_n_s8(job.zero_point as i8);
            let scale = some_floats(job.scale, at);
            let offset = some_floats(job.offset, at);
            let mut from = job.input.pointer.add(pixels.start * job.input.stride + at);
            let mut to = job
                .output
                .pointer
                .add(pixels.start * job.output.stride + at);
            for _ in pixels.clone() {
                let x = real(vld1q_s8(from), zero);
                let bytes = multiply_add::<CLAMPS>(x, scale, offset, rounding);
                if WHOLE {
                    vst1q_s8(to, bytes);
                } else {
                    store_some(to, bytes, job.channels);
                }
                from = from.wrapping_add(job.input.stride);
                to = to.wrapping_add(job.output.stride);
            }
        }
        at = next(at, job.channels);
    }
}

/// Sixteen bytes through a table, for 7 instructions.
pub(super) unsafe fn lookup(job: &Lookup, pixels: Range<usize>) {
    let strides = [job.input.stride, job.output.stride];
    let (runs, length) = runs(&pixels, job.channels, &strides);
    // SAFETY: within both tensors, and a vector behind the input.
    unsafe {
        let [a, b, c, d] = [0, 64, 128, 192].map(|at| vld1q_s8_x4(job.table.0.as_ptr().add(at)));
        let quarter = vdupq_n_u8(64);
        for pixel in pixels.start..pixels.start + runs {
            let from = job.input.pointer.add(pixel * job.input.stride);
            let to = job.output.pointer.add(pixel * job.output.stride);
            let mut at = 0;
            while at < length {
                // An index beyond a table's 64 results leaves what was there.
                let x = vreinterpretq_u8_s8(vld1q_s8(from.add(at)));
                let bytes = vqtbl4q_s8(a, x);
                let x = vsubq_u8(x, quarter);
                let bytes = vqtbx4q_s8(bytes, b, x);
                let x = vsubq_u8(x, quarter);
                let bytes = vqtbx4q_s8(bytes, c, x);
                let x = vsubq_u8(x, quarter);
                store(to.add(at), vqtbx4q_s8(bytes, d, x), length - at);
                at = next(at, length);
            }
        }
    }
}

/// Sixteen values from `at` on, with zeros behind the last.
unsafe fn some_floats(values: &[f32], at: usize) -> [float32x4_t; 4] {
    let mut some = [0.0; STEP];
    for (some, value) in some.iter_mut().zip(&values[at..]) {
        *some = *value;
    }
    // SAFETY: four times four values.
    unsafe { [0, 4, 8, 12].map(|i| vld1q_f32(some.as_ptr().add(i))) }
}
