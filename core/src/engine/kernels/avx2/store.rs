//! How sums become what is stored: levels of eight bits, or logits.

use std::arch::x86_64::*;

use super::TILE_CHANNELS;
use crate::engine::kernels::{Act, Clamp, Conv, ConvOutput, Target, loops};

/// [`ConvOutput`], with what its tiles share.
pub(super) enum To {
    Act(Target, Requantize),
    F32(*mut f32),
}

impl To {
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn new(job: &Conv) -> To {
        match job.output {
            ConvOutput::Act(target, clamp) => {
                To::Act(target, Requantize::new(clamp, job.packed.bounded))
            }
            ConvOutput::F32(logits) => To::F32(logits),
        }
    }

    /// Stores the sums of `R` pixels, `pixel` and those behind it, by the channels of tile `n`.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn put<const R: usize>(
        &self,
        job: &Conv,
        sums: &[[__m256i; 2]; R],
        pixel: usize,
        n: usize,
    ) {
        let first = n * TILE_CHANNELS;
        let channels = (job.shape.channels_out - first).min(TILE_CHANNELS);
        // SAFETY: multipliers are padded to whole tiles; the pixels are within the output.
        unsafe {
            let scale = job.packed.multipliers.as_ptr().add(first);
            let scale = [_mm256_loadu_ps(scale), _mm256_loadu_ps(scale.add(8))];
            match self {
                To::Act(target, requantize) => {
                    let to = Target {
                        pointer: target.pointer.add(pixel * target.stride + first),
                        ..*target
                    };
                    requantize.store(sums, scale, to, channels);
                }
                To::F32(logits) => {
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
}

/// How `f32` values become stored ones, see [`Clamp::store`].
#[derive(Clone, Copy)]
pub(super) struct Requantize {
    /// The largest stored value, less the zero point.
    high: __m256,
    zero_point: __m256i,
    /// Of stored values.
    bounds: [__m256i; 2],
    /// Whether every value fits into `i32`.
    bounded: bool,
}

impl Requantize {
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn new(clamp: Clamp, bounded: bool) -> Requantize {
        let (_, high, zero_point) = loops::bounds(clamp);
        Requantize {
            high: _mm256_set1_ps(high),
            zero_point: _mm256_set1_epi16(zero_point as i16),
            bounds: [clamp.low, clamp.high].map(|bound| _mm256_set1_epi8(bound as u8 as i8)),
            bounded,
        }
    }

    /// Stores the sums of a tile, `R` pixels one behind the other, times `scale`: the first
    /// `channels` of each.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn store<const R: usize>(
        &self,
        sums: &[[__m256i; 2]; R],
        scale: [__m256; 2],
        to: Target,
        channels: usize,
    ) {
        let value =
            |r: usize, half: usize| _mm256_mul_ps(_mm256_cvtepi32_ps(sums[r][half]), scale[half]);
        for r in (0..R).step_by(2) {
            let second = (r + 1).min(R - 1);
            let values = [value(r, 0), value(r, 1), value(second, 0), value(second, 1)];
            let bytes = self.bytes(values);
            // SAFETY: the caller's.
            unsafe {
                let first = _mm256_castsi256_si128(bytes);
                store(to.pointer.add(r * to.stride), first, channels);
                if second > r {
                    let to = to.pointer.add(second * to.stride);
                    store(to, _mm256_extracti128_si256::<1>(bytes), channels);
                }
            }
        }
    }

    /// Of 32 values, in order. What is beyond `i32` below and what is no number becomes its
    /// least number, and so the least stored value; above is a bound.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn bytes(&self, values: [__m256; 4]) -> __m256i {
        let values = if self.bounded {
            values
        } else {
            // Of what is no number the second is taken.
            values.map(|value| _mm256_min_ps(self.high, value))
        };
        // Rounds to nearest, ties to even: nothing here changes the rounding mode. Packing
        // saturates.
        let [a, b, c, d] = values.map(|value| _mm256_cvtps_epi32(value));
        let words = [_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d)];
        let [low, high] = words.map(|words| _mm256_adds_epi16(words, self.zero_point));
        // It works within halves of a vector; the permutation puts fours in order.
        let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        let bytes = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(low, high), order);
        let [low, high] = self.bounds;
        _mm256_min_epu8(_mm256_max_epu8(bytes, low), high)
    }
}

/// The first `channels` of sixteen values.
#[inline]
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
