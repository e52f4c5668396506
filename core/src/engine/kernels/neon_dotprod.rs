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
/// 24 registers of sums; for 16 inputs it loads 20 registers, as 10 pairs, and takes 96
/// SDOT. Of a single pixel (`L` = 1) only the panels' first lanes are taken.
unsafe fn tiles<const P: usize, const Q: usize, const L: usize>(job: &Tiles) {
    let groups = job.depth.div_ceil(4);
    // SAFETY: the panels and weights are as large as the depth says.
    unsafe {
        let (mut bias, mut scale) = ([vdupq_n_s32(0); Q], [vdupq_n_f32(0.0); Q]);
        for q in 0..Q {
            bias[q] = vld1q_s32(job.bias.add(q * 4));
            scale[q] = vld1q_f32(job.scale.add(q * 4));
        }
        for tile in 0..job.count {
            let mut sums = [[bias; 4]; P];
            let mut panels = job.panels.add(tile * job.tile_bytes);
            let mut weights = job.weights;
            for _ in 0..groups / 4 {
                eight::<P, Q, L>(&mut sums, panels, weights);
                eight::<P, Q, L>(&mut sums, panels.add(32), weights.add(Q * 32));
                panels = panels.add(P * 64);
                weights = weights.add(Q * 64);
            }
            for _ in 0..groups % 4 {
                let mut x = [vdupq_n_s8(0); P];
                for (p, x) in x.iter_mut().enumerate() {
                    *x = vld1q_s8(panels.add(p * 64));
                }
                four::<P, Q, L>(&mut sums, &x, weights);
                panels = panels.add(16);
                weights = weights.add(Q * 16);
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

/// Eight inputs: a panel's two vectors are loaded as a pair.
#[inline(always)]
unsafe fn eight<const P: usize, const Q: usize, const L: usize>(
    sums: &mut [[[int32x4_t; Q]; 4]; P],
    panels: *const i8,
    weights: *const i8,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut x = [[vdupq_n_s8(0); P]; 2];
        for p in 0..P {
            x[0][p] = vld1q_s8(panels.add(p * 64));
            x[1][p] = vld1q_s8(panels.add(p * 64 + 16));
        }
        four::<P, Q, L>(sums, &x[0], weights);
        four::<P, Q, L>(sums, &x[1], weights.add(Q * 16));
    }
}

/// Four inputs.
#[inline(always)]
unsafe fn four<const P: usize, const Q: usize, const L: usize>(
    sums: &mut [[[int32x4_t; Q]; 4]; P],
    x: &[int8x16_t; P],
    weights: *const i8,
) {
    let mut w = [x[0]; Q];
    for (q, w) in w.iter_mut().enumerate() {
        // SAFETY: the caller's.
        *w = unsafe { vld1q_s8(weights.add(q * 16)) };
    }
    for (sums, &x) in sums.iter_mut().zip(x) {
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
