//! NEON with SMMLA (Armv8.6 i8mm): a 2x8 matrix times an 8x2 matrix, 32 multiply-adds an
//! instruction. Two pixels, eight inputs of each, by two output channels.
//! Depthwise convolutions have no matrices: they are SDOT's, which such CPUs have too.

use std::arch::aarch64::*;
use std::arch::asm;

use super::Kernels;
use super::arm64::{Level, Multiply};
use super::arm64_conv::Tiles;
use super::arm64_depthwise::Row;
use super::neon_dotprod::{self, Dotprod};

/// The level of CPUs with SMMLA and SDOT.
pub(super) struct I8mm;

static I8MM: Level<I8mm> = Level::new();

/// The level, where this CPU has it.
pub(super) fn i8mm() -> Option<&'static dyn Kernels> {
    let there = std::arch::is_aarch64_feature_detected!("i8mm")
        && std::arch::is_aarch64_feature_detected!("dotprod");
    there.then_some(&I8MM as &dyn Kernels)
}

impl Multiply for I8mm {
    const NAME: &'static str = "neon_i8mm";
    const GRANULE: usize = 8;
    const PANELS: usize = 3;
    const QUADS: usize = 2;

    /// `[8 inputs][channel][input]`.
    fn pack_tile(weights: &[&[i8]], quads: usize, to: &mut [u8]) {
        for (channel, weights) in weights.iter().enumerate() {
            let eights = to.chunks_exact_mut(quads * 32).zip(weights.chunks(8));
            for (eight, weights) in eights {
                for (to, weight) in eight[channel * 8..].iter_mut().zip(weights) {
                    *to = weight.cast_unsigned();
                }
            }
        }
    }

    fn tile_weight_bytes(depth: usize, quads: usize) -> usize {
        depth.next_multiple_of(8) * quads * 4
    }

    unsafe fn tiles(job: &Tiles) {
        // SAFETY: the caller's promise.
        unsafe {
            match (job.pixels, job.quads()) {
                (1, 2) => tiles::<1, 2, 1>(job),
                (1, _) => tiles::<1, 1, 1>(job),
                (2..=4, 2) => tiles::<1, 2, 4>(job),
                (2..=4, _) => tiles::<1, 1, 4>(job),
                (5..=8, 2) => tiles::<2, 2, 4>(job),
                (5..=8, _) => tiles::<2, 1, 4>(job),
                (_, 2) => tiles::<3, 2, 4>(job),
                _ => tiles::<3, 1, 4>(job),
            }
        }
    }

    const LINE_ROWS: usize = Dotprod::LINE_ROWS;
    const LINE_CHANNELS: usize = Dotprod::LINE_CHANNELS;

    unsafe fn row(job: &Row) {
        // SAFETY: the caller's promise.
        unsafe { neon_dotprod::row(job) }
    }
}

/// `sums += x * wᵀ`: two pixels by two channels, row by row.
#[inline(always)]
fn smmla(sums: int32x4_t, x: int8x16_t, w: int8x16_t) -> int32x4_t {
    let mut sums = sums;
    // SAFETY: only reached by a level that is given out where the CPU has the instruction;
    // touches registers only.
    unsafe {
        asm!(
            ".arch_extension i8mm",
            "smmla {s:v}.4s, {x:v}.16b, {w:v}.16b",
            s = inout(vreg) sums,
            x = in(vreg) x,
            w = in(vreg) w,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sums
}

/// A panel's sums: `[pixels 0 and 2, 1 and 3][channels / 4][channels / 2 of them]`.
type Sums<const Q: usize> = [[[int32x4_t; 2]; Q]; 2];

/// Tiles of `P` panels by `Q` fours of channels. The largest, 12 pixels by 8 channels, has
/// 24 registers of sums. Of a single pixel (`L` = 1) only the panels' first pairs are taken.
unsafe fn tiles<const P: usize, const Q: usize, const L: usize>(job: &Tiles) {
    let eights = job.depth.div_ceil(8);
    // SAFETY: the panels and weights are as large as the depth says.
    unsafe {
        // In the order of sums: each two channels twice.
        let (mut bias, mut scale) = ([[vdupq_n_s64(0); 2]; Q], [[vdupq_n_f32(0.0); 2]; Q]);
        for q in 0..Q {
            let four = vreinterpretq_s64_s32(vld1q_s32(job.bias.add(q * 4)));
            bias[q] = [vzip1q_s64(four, four), vzip2q_s64(four, four)];
            let four = vreinterpretq_f64_f32(vld1q_f32(job.scale.add(q * 4)));
            scale[q] = [vzip1q_f64(four, four), vzip2q_f64(four, four)]
                .map(|two| vreinterpretq_f32_f64(two));
        }
        for tile in 0..job.count {
            let panels = job.panels.add(tile * job.tile_bytes);
            let start = bias.map(|bias| bias.map(|two| vreinterpretq_s32_s64(two)));
            let mut sums: [Sums<Q>; P] = [[start; 2]; P];
            if P == 3 && Q == 2 {
                let bias = bias.as_ptr().cast();
                let all = twelve_by_eight(panels, job.weights, bias, eights);
                let sums = sums.as_flattened_mut().as_flattened_mut();
                for (sum, all) in sums.as_flattened_mut().iter_mut().zip(all) {
                    *sum = all;
                }
            } else {
                for eight in 0..eights {
                    let panels = panels.add(eight * P * 32);
                    multiply::<P, Q, L>(&mut sums, panels, job.weights.add(eight * Q * 32));
                }
            }
            job.store::<_, P, Q, L>(
                tile,
                &sums,
                |panel, rounding| {
                    let mut bytes = [vdupq_n_s8(0); Q];
                    let fours = |a: [int32x4_t; 2], b: [int32x4_t; 2], q: usize, r: usize| {
                        let scale = [scale[q][0], scale[q][1], scale[r][0], scale[r][1]];
                        vreinterpretq_s16_s8(rounding.scaled([a[0], a[1], b[0], b[1]], scale))
                    };
                    // Of 16-bit pairs of channels, those of the first pixels, then those of
                    // the second.
                    if Q == 2 {
                        let a = fours(panel[0][0], panel[0][Q - 1], 0, Q - 1);
                        let mut b = a;
                        if L == 4 {
                            b = fours(panel[1][0], panel[1][Q - 1], 0, Q - 1);
                            bytes[Q - 1] = vreinterpretq_s8_s16(vuzp2q_s16(a, b));
                        }
                        bytes[0] = vreinterpretq_s8_s16(vuzp1q_s16(a, b));
                    } else {
                        let both = fours(panel[0][0], panel[1][0], 0, 0);
                        let (a, b) = (vuzp1q_s16(both, both), vuzp2q_s16(both, both));
                        let both = vcombine_s16(vget_low_s16(a), vget_low_s16(b));
                        bytes[0] = vreinterpretq_s8_s16(both);
                    }
                    bytes
                },
                |panel| {
                    let mut words = [[vdupq_n_s32(0); Q]; 4];
                    for (pair, sums) in panel.iter().enumerate() {
                        for (q, sums) in sums.iter().enumerate() {
                            let [a, b] = sums.map(|sums| vreinterpretq_s64_s32(sums));
                            words[pair][q] = vreinterpretq_s32_s64(vzip1q_s64(a, b));
                            words[pair + 2][q] = vreinterpretq_s32_s64(vzip2q_s64(a, b));
                        }
                    }
                    words
                },
            );
        }
    }
}

/// Eight inputs.
#[inline(always)]
unsafe fn multiply<const P: usize, const Q: usize, const L: usize>(
    sums: &mut [Sums<Q>; P],
    panels: *const i8,
    weights: *const i8,
) {
    // SAFETY: the caller's.
    unsafe {
        for q in 0..Q {
            let w = weights.add(q * 32);
            let w = [vld1q_s8(w), vld1q_s8(w.add(16))];
            for (p, sums) in sums.iter_mut().enumerate() {
                for (pair, sums) in sums.iter_mut().enumerate().take(L.min(2)) {
                    let x = vld1q_s8(panels.add(p * 32 + pair * 16));
                    sums[q][0] = smmla(sums[q][0], x, w[0]);
                    sums[q][1] = smmla(sums[q][1], x, w[1]);
                }
            }
        }
    }
}

/// Two pixels by eight channels: their register, and the sums by the weights in 0 to 3.
macro_rules! smmla_pair {
    ($x:literal: $a:literal $b:literal $c:literal $d:literal) => {
        concat!(
            "smmla v",
            $a,
            ".4s, v",
            $x,
            ".16b, v0.16b\n",
            "smmla v",
            $b,
            ".4s, v",
            $x,
            ".16b, v1.16b\n",
            "smmla v",
            $c,
            ".4s, v",
            $x,
            ".16b, v2.16b\n",
            "smmla v",
            $d,
            ".4s, v",
            $x,
            ".16b, v3.16b\n",
        )
    };
}

/// Twelve pixels by eight channels, eight inputs.
macro_rules! smmla_tile {
    () => {
        concat!(
            "ld1 {{v0.16b-v3.16b}}, [{weights}], #64\n",
            "ld1 {{v4.16b-v6.16b}}, [{panels}], #48\n",
            smmla_pair!(4: 8 9 10 11),
            smmla_pair!(5: 12 13 14 15),
            smmla_pair!(6: 16 17 18 19),
            "ld1 {{v4.16b-v6.16b}}, [{panels}], #48\n",
            smmla_pair!(4: 20 21 22 23),
            smmla_pair!(5: 24 25 26 27),
            smmla_pair!(6: 28 29 30 31),
        )
    };
}

/// The sums of three panels by eight channels, in the order of [`Sums`]. In one piece, as
/// SDOT's: for 8 inputs 3 loads and 24 SMMLA. `bias`: four vectors.
///
/// Cycles of the loop, 32 inputs, 96 SMMLA, by llvm-mca 14; the limit is its block throughput.
/// None of the three cores has SMMLA: a rough guide to cores that issue as they do.
///
/// | core | cycles | limit |
/// |---|---|---|
/// | Cortex-A55 | 206 | 96 |
/// | Cortex-A76 | 56 | 50 |
/// | Apple M1 | 40 | 32 |
#[inline(always)]
unsafe fn twelve_by_eight(
    panels: *const i8,
    weights: *const i8,
    bias: *const i32,
    eights: usize,
) -> [int32x4_t; 24] {
    let (
        s8,
        s9,
        s10,
        s11,
        s12,
        s13,
        s14,
        s15,
        s16,
        s17,
        s18,
        s19,
        s20,
        s21,
        s22,
        s23,
        s24,
        s25,
        s26,
        s27,
        s28,
        s29,
        s30,
        s31,
    );
    // SAFETY: as in `smmla`; reads `eights` granules of panels and weights.
    unsafe {
        asm!(
            ".arch_extension i8mm",
            "ldp q8, q9, [{bias}]",
            "ldp q10, q11, [{bias}, #32]",
            "ldp q12, q13, [{bias}]",
            "ldp q14, q15, [{bias}, #32]",
            "ldp q16, q17, [{bias}]",
            "ldp q18, q19, [{bias}, #32]",
            "ldp q20, q21, [{bias}]",
            "ldp q22, q23, [{bias}, #32]",
            "ldp q24, q25, [{bias}]",
            "ldp q26, q27, [{bias}, #32]",
            "ldp q28, q29, [{bias}]",
            "ldp q30, q31, [{bias}, #32]",
            "subs {eights}, {eights}, #4",
            "b.lt 3f",
            "2:",
            "subs {eights}, {eights}, #4",
            smmla_tile!(),
            smmla_tile!(),
            smmla_tile!(),
            smmla_tile!(),
            "b.ge 2b",
            "3:",
            "adds {eights}, {eights}, #4",
            "b.eq 5f",
            "4:",
            "subs {eights}, {eights}, #1",
            smmla_tile!(),
            "b.ne 4b",
            "5:",
            bias = in(reg) bias,
            weights = inout(reg) weights => _,
            panels = inout(reg) panels => _,
            eights = inout(reg) eights => _,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _,
            out("v8") s8, out("v9") s9, out("v10") s10, out("v11") s11,
            out("v12") s12, out("v13") s13, out("v14") s14, out("v15") s15,
            out("v16") s16, out("v17") s17, out("v18") s18, out("v19") s19,
            out("v20") s20, out("v21") s21, out("v22") s22, out("v23") s23,
            out("v24") s24, out("v25") s25, out("v26") s26, out("v27") s27,
            out("v28") s28, out("v29") s29, out("v30") s30, out("v31") s31,
            options(pure, readonly, nostack)
        );
    }
    [
        s8, s9, s10, s11, s12, s13, s14, s15, s16, s17, s18, s19, s20, s21, s22, s23, s24, s25,
        s26, s27, s28, s29, s30, s31,
    ]
}
