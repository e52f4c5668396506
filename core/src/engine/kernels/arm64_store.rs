//! From sums to stored values on NEON, the last step of every operation.
//!
//! `value.round_ties_even() + zero_point`, clamped: FCVTNS saturates, narrowing saturates,
//! and the bounds are whole numbers within eight bits, so clamping behind the rounding
//! gives the same bytes as [`Clamp::store`], which clamps before it. (FCVTNS makes 0 of a
//! NaN, the specification makes `low`: finite multipliers never make one.)

use std::arch::aarch64::*;

use super::{Act, Clamp};

/// A [`Clamp`] in registers.
#[derive(Clone, Copy)]
pub(super) struct Rounding {
    zero: int16x8_t,
    low: int8x16_t,
    high: int8x16_t,
    /// Whether the bounds are tighter than eight bits.
    pub(super) clamps: bool,
}

impl Rounding {
    #[inline(always)]
    pub(super) fn new(clamp: Clamp) -> Rounding {
        // SAFETY: NEON is always there.
        unsafe {
            Rounding {
                zero: vdupq_n_s16(clamp.zero_point as i16),
                low: vdupq_n_s8(clamp.low as i8),
                high: vdupq_n_s8(clamp.high as i8),
                clamps: clamp.low > i32::from(Act::MIN) || clamp.high < i32::from(Act::MAX),
            }
        }
    }

    /// `sums * scale`, rounded, before clamping.
    #[inline(always)]
    pub(super) fn scaled(self, sums: [int32x4_t; 4], scale: [float32x4_t; 4]) -> int8x16_t {
        // SAFETY: NEON is always there.
        unsafe {
            self.rounded([
                vmulq_f32(vcvtq_f32_s32(sums[0]), scale[0]),
                vmulq_f32(vcvtq_f32_s32(sums[1]), scale[1]),
                vmulq_f32(vcvtq_f32_s32(sums[2]), scale[2]),
                vmulq_f32(vcvtq_f32_s32(sums[3]), scale[3]),
            ])
        }
    }

    /// Rounded, before clamping.
    #[inline(always)]
    pub(super) fn rounded(self, values: [float32x4_t; 4]) -> int8x16_t {
        // SAFETY: NEON is always there.
        unsafe {
            let words = |a: float32x4_t, b: float32x4_t| {
                let low = vqmovn_s32(vcvtnq_s32_f32(a));
                vqaddq_s16(vqmovn_high_s32(low, vcvtnq_s32_f32(b)), self.zero)
            };
            let low = vqmovn_s16(words(values[0], values[1]));
            vqmovn_high_s16(low, words(values[2], values[3]))
        }
    }

    #[inline(always)]
    pub(super) fn clamped(self, bytes: int8x16_t) -> int8x16_t {
        // SAFETY: NEON is always there.
        unsafe { vminq_s8(vmaxq_s8(bytes, self.low), self.high) }
    }
}

/// The first `count` of sixteen values.
#[inline(always)]
pub(super) unsafe fn store_some(to: *mut Act, bytes: int8x16_t, count: usize) {
    // SAFETY: the caller has room for `count` values.
    unsafe {
        if count >= 16 {
            vst1q_s8(to, bytes);
            return;
        }
        let (mut to, mut bytes) = (to, bytes);
        if count & 8 != 0 {
            vst1_s8(to, vget_low_s8(bytes));
            bytes = vextq_s8::<8>(bytes, bytes);
            to = to.add(8);
        }
        if count & 4 != 0 {
            vst1q_lane_s32::<0>(to.cast(), vreinterpretq_s32_s8(bytes));
            bytes = vextq_s8::<4>(bytes, bytes);
            to = to.add(4);
        }
        if count & 2 != 0 {
            vst1q_lane_s16::<0>(to.cast(), vreinterpretq_s16_s8(bytes));
            bytes = vextq_s8::<2>(bytes, bytes);
            to = to.add(2);
        }
        if count & 1 != 0 {
            vst1q_lane_s8::<0>(to, bytes);
        }
    }
}
