//! NEON with SDOT (Armv8.2 dotprod): four signed products and their sum in each of four
//! lanes, 16 multiply-adds an instruction.

use std::arch::aarch64::*;
use std::arch::asm;

use super::Kernels;
use super::arm64::{Level, Multiply};
use super::arm64_conv::Tiles;
use super::arm64_depthwise::Row;
use super::arm64_store::{Rounding, store_some};

/// The level of CPUs with SDOT.
pub(super) struct Dotprod;

static DOTPROD: Level<Dotprod> = Level::new();

/// The level, where this CPU has it.
pub(super) fn dotprod() -> Option<&'static dyn Kernels> {
    std::arch::is_aarch64_feature_detected!("dotprod").then_some(&DOTPROD as &dyn Kernels)
}

impl Multiply for Dotprod {
    const NAME: &'static str = "neon_dotprod";
    const GRANULE: usize = 4;
    const PANELS: usize = 3;
    const QUADS: usize = 2;

    /// `[4 inputs][channel][input]`.
    fn pack_tile(weights: &[&[i8]], quads: usize, to: &mut [u8]) {
        for (channel, weights) in weights.iter().enumerate() {
            let fours = to.chunks_exact_mut(quads * 16).zip(weights.chunks(4));
            for (four, weights) in fours {
                for (to, weight) in four[channel * 4..].iter_mut().zip(weights) {
                    *to = weight.cast_unsigned();
                }
            }
        }
    }

    fn tile_weight_bytes(depth: usize, quads: usize) -> usize {
        depth.next_multiple_of(4) * quads * 4
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

    const LINE_ROWS: usize = 4;
    const LINE_CHANNELS: usize = 8;

    unsafe fn row(job: &Row) {
        // SAFETY: the caller's promise.
        unsafe { row(job) }
    }
}

/// `sums += ` in each lane the four products of `weights` and lane `LANE` of `x`.
#[inline(always)]
fn sdot_lane<const LANE: usize>(sums: int32x4_t, weights: int8x16_t, x: int8x16_t) -> int32x4_t {
    let mut sums = sums;
    // SAFETY: only reached by a level that is given out where the CPU has the instruction;
    // touches registers only.
    unsafe {
        asm!(
            ".arch_extension dotprod",
            "sdot {s:v}.4s, {w:v}.16b, {x:v}.4b[{lane}]",
            s = inout(vreg) sums,
            w = in(vreg) weights,
            x = in(vreg) x,
            lane = const LANE,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sums
}

/// `sums += ` in each lane the four products of the same lanes.
#[inline(always)]
fn sdot(sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    let mut sums = sums;
    // SAFETY: as in `sdot_lane`.
    unsafe {
        asm!(
            ".arch_extension dotprod",
            "sdot {s:v}.4s, {a:v}.16b, {b:v}.16b",
            s = inout(vreg) sums,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sums
}

/// Tiles of `P` panels by `Q` fours of channels. The largest, 12 pixels by 8 channels, has
/// 24 registers of sums. Of a single pixel (`L` = 1) only the panels' first lanes are taken.
unsafe fn tiles<const P: usize, const Q: usize, const L: usize>(job: &Tiles) {
    let fours = job.depth.div_ceil(4);
    // SAFETY: the panels and weights are as large as the depth says.
    unsafe {
        let mut scale = [vdupq_n_f32(0.0); Q];
        for (q, scale) in scale.iter_mut().enumerate() {
            *scale = vld1q_f32(job.scale.add(q * 4));
        }
        for tile in 0..job.count {
            let panels = job.panels.add(tile * job.tile_bytes);
            let mut sums = [[[vdupq_n_s32(0); Q]; 4]; P];
            if P == 3 && Q == 2 {
                let all = twelve_by_eight(panels, job.weights, job.bias, fours);
                for (sum, all) in sums
                    .as_flattened_mut()
                    .as_flattened_mut()
                    .iter_mut()
                    .zip(all)
                {
                    *sum = all;
                }
            } else {
                for (q, &sum) in [0, 4].iter().enumerate().take(Q) {
                    let bias = vld1q_s32(job.bias.add(sum));
                    sums.as_flattened_mut()
                        .iter_mut()
                        .for_each(|sums| sums[q] = bias);
                }
                for four in 0..fours {
                    let panels = panels.add(four * P * 16);
                    multiply::<P, Q, L>(&mut sums, panels, job.weights.add(four * Q * 16));
                }
            }
            job.store::<_, P, Q, L>(
                tile,
                &sums,
                |panel, rounding| {
                    let mut bytes = [vdupq_n_s8(0); Q];
                    if Q == 2 {
                        let scale = [scale[0], scale[Q - 1], scale[0], scale[Q - 1]];
                        let [a, b, c, d] = *panel;
                        bytes[0] = rounding.scaled([a[0], a[Q - 1], b[0], b[Q - 1]], scale);
                        if L == 4 {
                            bytes[Q - 1] = rounding.scaled([c[0], c[Q - 1], d[0], d[Q - 1]], scale);
                        }
                    } else {
                        bytes[0] = rounding.scaled(panel.map(|sums| sums[0]), [scale[0]; 4]);
                    }
                    bytes
                },
                |panel| *panel,
            );
        }
    }
}

/// Four inputs.
#[inline(always)]
unsafe fn multiply<const P: usize, const Q: usize, const L: usize>(
    sums: &mut [[[int32x4_t; Q]; 4]; P],
    panels: *const i8,
    weights: *const i8,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut w = [vdupq_n_s8(0); Q];
        for (q, w) in w.iter_mut().enumerate() {
            *w = vld1q_s8(weights.add(q * 16));
        }
        for (p, sums) in sums.iter_mut().enumerate() {
            let x = vld1q_s8(panels.add(p * 16));
            for (q, &w) in w.iter().enumerate() {
                sums[0][q] = sdot_lane::<0>(sums[0][q], w, x);
                if L == 4 {
                    sums[1][q] = sdot_lane::<1>(sums[1][q], w, x);
                    sums[2][q] = sdot_lane::<2>(sums[2][q], w, x);
                    sums[3][q] = sdot_lane::<3>(sums[3][q], w, x);
                }
            }
        }
    }
}

/// Four pixels by eight channels, four inputs: the panel's register, the weights' two, and
/// for both the sums of the four pixels.
macro_rules! sdot_panel {
    ($x:literal, $($w:literal: $a:literal $b:literal $c:literal $d:literal),+) => { concat!($(
        "sdot v", $a, ".4s, v", $w, ".16b, v", $x, ".4b[0]\n",
        "sdot v", $b, ".4s, v", $w, ".16b, v", $x, ".4b[1]\n",
        "sdot v", $c, ".4s, v", $w, ".16b, v", $x, ".4b[2]\n",
        "sdot v", $d, ".4s, v", $w, ".16b, v", $x, ".4b[3]\n",
    )+) };
}

/// Twelve pixels by eight channels, four inputs; weights in two given registers.
macro_rules! sdot_tile {
    ($low:literal, $high:literal) => {
        concat!(
            sdot_panel!(4, $low: 8 10 12 14, $high: 9 11 13 15),
            sdot_panel!(5, $low: 16 18 20 22, $high: 17 19 21 23),
            sdot_panel!(6, $low: 24 26 28 30, $high: 25 27 29 31),
        )
    };
}

/// The sums of three panels by eight channels, `[pixel][channels / 4]`. In one piece,
/// because loads of three and four registers at once want registers in a row, which the
/// compiler gets by copying: for 8 inputs 3 loads and 48 SDOT.
///
/// Cycles of the loop, 32 inputs, 192 SDOT, by llvm-mca 14; the limit is its block throughput,
/// without latencies and order:
///
/// | core | cycles | limit |
/// |---|---|---|
/// | Cortex-A55 | 206 | 109 |
/// | Cortex-A76 | 96 | 96 |
/// | Apple M1 | 64 | 64 |
#[inline(always)]
unsafe fn twelve_by_eight(
    panels: *const i8,
    weights: *const i8,
    bias: *const i32,
    fours: usize,
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
    // SAFETY: as in `sdot_lane`; reads `fours` granules of panels and weights.
    unsafe {
        asm!(
            ".arch_extension dotprod",
            "ldp q8, q9, [{bias}]",
            "ldp q10, q11, [{bias}]",
            "ldp q12, q13, [{bias}]",
            "ldp q14, q15, [{bias}]",
            "ldp q16, q17, [{bias}]",
            "ldp q18, q19, [{bias}]",
            "ldp q20, q21, [{bias}]",
            "ldp q22, q23, [{bias}]",
            "ldp q24, q25, [{bias}]",
            "ldp q26, q27, [{bias}]",
            "ldp q28, q29, [{bias}]",
            "ldp q30, q31, [{bias}]",
            "subs {fours}, {fours}, #8",
            "b.lt 3f",
            "2:",
            "ld1 {{v0.16b-v3.16b}}, [{weights}], #64",
            "ld1 {{v4.16b-v6.16b}}, [{panels}], #48",
            "subs {fours}, {fours}, #8",
            sdot_tile!(0, 1),
            "ld1 {{v4.16b-v6.16b}}, [{panels}], #48",
            sdot_tile!(2, 3),
            "ld1 {{v0.16b-v3.16b}}, [{weights}], #64",
            "ld1 {{v4.16b-v6.16b}}, [{panels}], #48",
            sdot_tile!(0, 1),
            "ld1 {{v4.16b-v6.16b}}, [{panels}], #48",
            sdot_tile!(2, 3),
            "ld1 {{v0.16b-v3.16b}}, [{weights}], #64",
            "ld1 {{v4.16b-v6.16b}}, [{panels}], #48",
            sdot_tile!(0, 1),
            "ld1 {{v4.16b-v6.16b}}, [{panels}], #48",
            sdot_tile!(2, 3),
            "ld1 {{v0.16b-v3.16b}}, [{weights}], #64",
            "ld1 {{v4.16b-v6.16b}}, [{panels}], #48",
            sdot_tile!(0, 1),
            "ld1 {{v4.16b-v6.16b}}, [{panels}], #48",
            sdot_tile!(2, 3),
            "b.ge 2b",
            "3:",
            "adds {fours}, {fours}, #8",
            "b.eq 5f",
            "4:",
            "ldp q0, q1, [{weights}], #32",
            "ld1 {{v4.16b-v6.16b}}, [{panels}], #48",
            "subs {fours}, {fours}, #1",
            sdot_tile!(0, 1),
            "b.ne 4b",
            "5:",
            bias = in(reg) bias,
            weights = inout(reg) weights => _,
            panels = inout(reg) panels => _,
            fours = inout(reg) fours => _,
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

/// Pixels of a depthwise tile: widths of networks for photos of 224 pixels are multiples.
const PIXELS: usize = 7;

/// One output row of a depthwise convolution, on lines of four rows.
pub(super) unsafe fn row(job: &Row) {
    // SAFETY: the caller's promise.
    unsafe {
        match (job.kernel_w, job.stride, job.lines.len()) {
            (3, 1, 1) => row_of::<3, 1>(job),
            (3, 2, 1) => row_of::<3, 2>(job),
            (5, 1, _) => row_of::<5, 1>(job),
            (5, 2, _) => row_of::<5, 2>(job),
            (7, 1, _) => row_of::<7, 1>(job),
            (7, 2, _) => row_of::<7, 2>(job),
            _ => row_any(job),
        }
    }
}

type Sums = [[int32x4_t; 2]; PIXELS];

/// Tiles of 7 pixels by 8 channels, for kernels `KW` wide. A column is loaded once and
/// meets all weights that it has among the seven pixels; a line's weights are in registers.
/// Of a line and a kernel of three columns, 42 SDOT and 9 pairs of loads written down in this
/// order, llvm-mca 14 gives cycles (block throughput): Cortex-A55 90 (54), A76 25 (23), M1 14 (14).
unsafe fn row_of<const KW: usize, const S: usize>(job: &Row) {
    let line_weights = KW * 32;
    let one = job.lines.len() == 1;
    // SAFETY: lines reach as far as whole tiles do; weights are padded to whole blocks.
    unsafe {
        for block in 0..job.channels.div_ceil(8) {
            let end = Block::new(job, block);
            let weights = job.weights.add(block * job.lines.len() * line_weights);
            let mut w = load_weights::<KW>(weights);
            for x in (0..job.width).step_by(PIXELS) {
                let mut sums = [end.bias; PIXELS];
                for (group, line) in job.lines.iter().enumerate() {
                    if !one {
                        w = load_weights::<KW>(weights.add(group * line_weights));
                    }
                    let from = line.add(block * job.block_bytes + x * S * 32);
                    columns::<KW, S>(&mut sums, from, &w);
                }
                end.store(job, x, &sums);
            }
        }
    }
}

#[inline(always)]
unsafe fn load_weights<const KW: usize>(from: *const i8) -> [[int8x16_t; 2]; KW] {
    // SAFETY: the caller's.
    unsafe {
        let mut weights = [[vdupq_n_s8(0); 2]; KW];
        for (column, w) in weights.iter_mut().enumerate() {
            *w = [
                vld1q_s8(from.add(column * 32)),
                vld1q_s8(from.add(column * 32 + 16)),
            ];
        }
        weights
    }
}

#[inline(always)]
unsafe fn columns<const KW: usize, const S: usize>(
    sums: &mut Sums,
    from: *const i8,
    weights: &[[int8x16_t; 2]; KW],
) {
    macro_rules! columns {
        ($($column:literal)*) => {$(
            if $column < (PIXELS - 1) * S + KW {
                // SAFETY: the caller's.
                let x = unsafe { [
                    vld1q_s8(from.add($column * 32)),
                    vld1q_s8(from.add($column * 32 + 16)),
                ] };
                for (r, sums) in sums.iter_mut().enumerate() {
                    if $column >= r * S && $column < r * S + KW {
                        let w = &weights[$column - r * S];
                        sums[0] = sdot(sums[0], x[0], w[0]);
                        sums[1] = sdot(sums[1], x[1], w[1]);
                    }
                }
            }
        )*};
    }
    columns!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18);
}

/// As [`row_of`], for any kernel and stride.
unsafe fn row_any(job: &Row) {
    let line_weights = job.kernel_w * 32;
    // SAFETY: as in `row_of`.
    unsafe {
        for block in 0..job.channels.div_ceil(8) {
            let end = Block::new(job, block);
            let weights = job.weights.add(block * job.lines.len() * line_weights);
            for x in (0..job.width).step_by(PIXELS) {
                let mut sums = [end.bias; PIXELS];
                for (group, line) in job.lines.iter().enumerate() {
                    let from = line.add(block * job.block_bytes + x * job.stride * 32);
                    for column in 0..job.kernel_w {
                        let w = weights.add(group * line_weights + column * 32);
                        let w = [vld1q_s8(w), vld1q_s8(w.add(16))];
                        for (r, sums) in sums.iter_mut().enumerate() {
                            let x = from.add((r * job.stride + column) * 32);
                            sums[0] = sdot(sums[0], vld1q_s8(x), w[0]);
                            sums[1] = sdot(sums[1], vld1q_s8(x.add(16)), w[1]);
                        }
                    }
                }
                end.store(job, x, &sums);
            }
        }
    }
}

/// What eight channels begin and end with.
struct Block {
    bias: [int32x4_t; 2],
    scale: [float32x4_t; 4],
    channels: usize,
    to: *mut i8,
    rounding: Rounding,
}

impl Block {
    #[inline(always)]
    unsafe fn new(job: &Row, block: usize) -> Block {
        let first = block * 8;
        // SAFETY: bias and multipliers are padded to whole blocks.
        unsafe {
            let (bias, scale) = (job.bias.add(first), job.scale.add(first));
            let scale = [vld1q_f32(scale), vld1q_f32(scale.add(4))];
            Block {
                bias: [vld1q_s32(bias), vld1q_s32(bias.add(4))],
                scale: [scale[0], scale[1], scale[0], scale[1]],
                channels: (job.channels - first).min(8),
                to: job.to.add(first),
                rounding: job.rounding,
            }
        }
    }

    /// Stores the pixels from `x` on, as many as the row has.
    #[inline(always)]
    unsafe fn store(&self, job: &Row, x: usize, sums: &Sums) {
        // SAFETY: within the output.
        unsafe {
            let stride = job.to_stride;
            let to = self.to.add(x * stride);
            let pair = |a: &[int32x4_t; 2], b: &[int32x4_t; 2]| {
                self.rounding.scaled([a[0], a[1], b[0], b[1]], self.scale)
            };
            let mut bytes = [
                pair(&sums[0], &sums[1]),
                pair(&sums[2], &sums[3]),
                pair(&sums[4], &sums[5]),
                pair(&sums[6], &sums[6]),
            ];
            if self.rounding.clamps {
                bytes = bytes.map(|bytes| self.rounding.clamped(bytes));
            }
            if self.channels == 8 && x + PIXELS <= job.width {
                for (r, &bytes) in bytes.iter().enumerate() {
                    let to = to.add(2 * r * stride);
                    vst1_s8(to, vget_low_s8(bytes));
                    if r < 3 {
                        vst1q_lane_s64::<1>(to.add(stride).cast(), vreinterpretq_s64_s8(bytes));
                    }
                }
            } else {
                for r in 0..(job.width - x).min(PIXELS) {
                    let both = bytes[r / 2];
                    let row = if r % 2 == 0 {
                        both
                    } else {
                        vextq_s8::<8>(both, both)
                    };
                    store_some(to.add(r * stride), row, self.channels);
                }
            }
        }
    }
}
