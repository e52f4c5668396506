//! Convolutions on AMX: TDPBUSD adds the products of sixteen pixels by sixteen channels over
//! 64 inputs, 16,384 multiply-adds in sixteen cycles, eight times what VPDPBUSD does.
//!
//! A block is two tiles of pixels by two of channels: four products for four loads, of eight
//! cycles each. Sums go through memory, requantized as the VNNI level does it. Sixteen pixels
//! are a tile's least: a smaller image is the VNNI level's.

use std::arch::asm;
use std::arch::x86_64::*;
use std::ops::Range;

use super::conv::{pack_tiles, put_f32, store};
use super::{LANES, requantize};
use crate::engine::kernels::patches::{self, Patches, pieces};
use crate::engine::kernels::{
    Act, Clamp, Conv, ConvOutput, ConvWeights, PackedConv, Shape, Target, Window,
};

/// Pixels of a tile.
const PIXELS: usize = 16;
/// Inputs that one product takes: the bytes of a tile's row.
const INPUTS: usize = 64;
/// Tiles of pixels, and of channels, of a block.
const SIDE: usize = 2;
/// From one pixel's sums to the next.
const SUMS_STRIDE: usize = SIDE * LANES;
/// Weights that stay in the first-level cache while pixels pass.
const WEIGHTS_BYTES: usize = 32 << 10;
/// Bytes of a block's sums.
const SUMS_BYTES: usize = SIDE * PIXELS * SUMS_STRIDE * 4;

/// Whether this process may use the tiles: the CPU has them, and the kernel, which must keep
/// 8 KiB more for each thread, allows it.
pub(super) fn available() -> bool {
    const TILE: u32 = 1 << 24;
    const INT8: u32 = 1 << 25;
    let has = __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & (TILE | INT8) == TILE | INT8;
    has && permitted()
}

/// Asks Linux for the tiles' registers (arch_prctl, ARCH_REQ_XCOMP_PERM); it keeps its answer
/// for the life of the process.
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    const ARCH_PRCTL: usize = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const XTILEDATA: usize = 18;
    let mut result = ARCH_PRCTL;
    // SAFETY: a system call that reads its two numbers; it changes what it returns in, and
    // RCX and R11.
    unsafe {
        asm!(
            "syscall",
            inout("rax") result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XTILEDATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result == 0
}

/// Other systems have their own ways.
#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}

/// Whether a convolution of this shape runs on tiles.
pub(super) fn takes(shape: &Shape) -> bool {
    shape.output.0 * shape.output.1 >= PIXELS
}

/// Weights in the order in which blocks read them:
/// `[block's tiles][64 inputs][tile of the block][4 inputs][channel][input of the four]`.
pub(super) fn pack(shape: &Shape, window: &Window, of: &ConvWeights) -> PackedConv {
    pack_tiles(shape, window, of, SIDE, INPUTS)
}

pub(super) fn scratch_bytes(shape: &Shape, window: &Window) -> usize {
    SUMS_BYTES + patches::scratch_bytes(shape, window, INPUTS)
}

/// Blocks of channels.
pub(super) fn tiles(shape: &Shape) -> usize {
    shape.channels_out.div_ceil(SIDE * LANES)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) unsafe fn conv(job: &Conv, pixels: Range<usize>, tiles: Range<usize>, scratch: *mut u8) {
    let depth = patches::depth(&job.shape, &job.window, INPUTS);
    let columns = pieces(job.shape.channels_out.div_ceil(LANES), SIDE);
    let columns = columns.skip(tiles.start).take(tiles.len());
    // A tile of an image that is read in place must not reach beyond it; patches lie in whole
    // tiles.
    let last = if patches::in_place(&job.shape, &job.window) {
        job.shape.output.0 * job.shape.output.1 - PIXELS
    } else {
        usize::MAX
    };
    // Of the two operands the one that stays in the first-level cache is read again.
    let few_weights = tiles.len() * SIDE * LANES * depth <= WEIGHTS_BYTES;
    let each = |pixels: Range<usize>, patches: Patches| {
        let rows = || pixels.clone().step_by(SIDE * PIXELS);
        let block = |columns: Range<usize>, from: usize| {
            let firsts = [from.min(last), (from + PIXELS).min(last)];
            let block = Block {
                channel: columns.start * LANES,
                pixels: from..pixels.end.min(from + SIDE * PIXELS),
                firsts,
            };
            // SAFETY: every row of both tiles is in the image or in the scratch memory for
            // patches; the weights are packed for these blocks.
            unsafe {
                let inputs = firsts.map(|first| {
                    let rows = first as isize - pixels.start as isize;
                    patches
                        .first
                        .wrapping_offset(rows * patches.stride as isize)
                });
                let (stride, steps) = (patches.stride, depth / INPUTS);
                match (block.pixels.len() > PIXELS, columns.len() == SIDE) {
                    (false, false) => block.multiply::<1, 1>(job, inputs, stride, steps, scratch),
                    (false, true) => block.multiply::<1, 2>(job, inputs, stride, steps, scratch),
                    (true, false) => block.multiply::<2, 1>(job, inputs, stride, steps, scratch),
                    (true, true) => block.multiply::<2, 2>(job, inputs, stride, steps, scratch),
                }
                if columns.len() == SIDE {
                    block.put::<2>(job, scratch);
                } else {
                    block.put::<1>(job, scratch);
                }
            }
        };
        if few_weights {
            rows().for_each(|from| columns.clone().for_each(|columns| block(columns, from)));
        } else {
            columns
                .clone()
                .for_each(|columns| rows().for_each(|from| block(columns.clone(), from)));
        }
    };
    // SAFETY: the caller's promise; the configuration is that of whole tiles of bytes.
    unsafe {
        configure();
        patches::each_block(job, pixels, INPUTS, scratch.add(SUMS_BYTES), each);
        asm!("tilerelease", options(nomem, nostack));
    }
}

/// All eight tiles: sixteen rows of 64 bytes.
unsafe fn configure() {
    #[repr(C, align(64))]
    struct Configuration {
        palette: u8,
        start_row: u8,
        reserved: [u8; 14],
        row_bytes: [u16; 16],
        rows: [u8; 16],
    }
    let mut configuration = Configuration {
        palette: 1,
        start_row: 0,
        reserved: [0; 14],
        row_bytes: [0; 16],
        rows: [0; 16],
    };
    configuration.row_bytes[..8].fill(INPUTS as u16);
    configuration.rows[..8].fill(PIXELS as u8);
    // SAFETY: a valid configuration; the compiler itself never uses tiles.
    unsafe {
        asm!("ldtilecfg [{}]", in(reg) &raw const configuration, options(nostack, readonly));
    }
}

/// One or two tiles of pixels by one or two of channels.
struct Block {
    /// The first.
    channel: usize,
    /// What the block is for: at most as many as two tiles have, perhaps only one's.
    pixels: Range<usize>,
    /// The pixels in the tiles' first rows. Beside those that the block is for, tiles may
    /// compute others.
    firsts: [usize; SIDE],
}

impl Block {
    /// The sums of `P` tiles of pixels by `V` of channels over `steps` times 64 inputs, into
    /// `sums`. Every tile of sums begins as the bias, a row that repeats by a stride of 0.
    #[inline]
    unsafe fn multiply<const P: usize, const V: usize>(
        &self,
        job: &Conv,
        inputs: [*const Act; SIDE],
        stride: usize,
        steps: usize,
        sums: *mut u8,
    ) {
        // SAFETY: the caller's; the tiles are configured.
        unsafe {
            let weights = job
                .packed
                .weights
                .as_ptr()
                .add(self.channel * steps * INPUTS);
            // Begins, loads and products, stores; the pointers move on in between.
            macro_rules! products {
                ($($begin:literal)*; $($step:literal)*; $bytes:literal; $($store:literal)*) => {
                    asm!(
                        $($begin,)*
                        "2:",
                        $($step,)*
                        "add {a0}, 64",
                        "add {a1}, 64",
                        concat!("add {weights}, ", $bytes),
                        "dec {steps}",
                        "jnz 2b",
                        $($store,)*
                        bias = in(reg) job.packed.bias.as_ptr().add(self.channel),
                        zero = in(reg) 0_usize,
                        a0 = inout(reg) inputs[0] => _,
                        a1 = inout(reg) inputs[1] => _,
                        stride = in(reg) stride,
                        weights = inout(reg) weights => _,
                        row = in(reg) INPUTS,
                        steps = inout(reg) steps => _,
                        sums = in(reg) sums,
                        out = in(reg) SUMS_STRIDE * 4,
                        out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                        out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                        options(nostack),
                    )
                };
            }
            match (P, V) {
                (1, 1) => products!(
                    "tileloadd tmm0, [{bias} + {zero}]";
                    "tileloadd tmm4, [{a0} + {stride}]"
                    "tileloadd tmm6, [{weights} + {row}]"
                    "tdpbusd tmm0, tmm4, tmm6";
                    "1024";
                    "tilestored [{sums} + {out}], tmm0"
                ),
                (1, _) => products!(
                    "tileloadd tmm0, [{bias} + {zero}]"
                    "tileloadd tmm1, [{bias} + {zero} + 64]";
                    "tileloadd tmm4, [{a0} + {stride}]"
                    "tileloadd tmm6, [{weights} + {row}]"
                    "tileloadd tmm7, [{weights} + {row} + 1024]"
                    "tdpbusd tmm0, tmm4, tmm6"
                    "tdpbusd tmm1, tmm4, tmm7";
                    "2048";
                    "tilestored [{sums} + {out}], tmm0"
                    "tilestored [{sums} + {out} + 64], tmm1"
                ),
                (_, 1) => products!(
                    "tileloadd tmm0, [{bias} + {zero}]"
                    "tileloadd tmm2, [{bias} + {zero}]";
                    "tileloadd tmm4, [{a0} + {stride}]"
                    "tileloadd tmm6, [{weights} + {row}]"
                    "tileloadd tmm5, [{a1} + {stride}]"
                    "tdpbusd tmm0, tmm4, tmm6"
                    "tdpbusd tmm2, tmm5, tmm6";
                    "1024";
                    "tilestored [{sums} + {out}], tmm0"
                    "tilestored [{sums} + {out} + 2048], tmm2"
                ),
                _ => products!(
                    "tileloadd tmm0, [{bias} + {zero}]"
                    "tileloadd tmm1, [{bias} + {zero} + 64]"
                    "tileloadd tmm2, [{bias} + {zero}]"
                    "tileloadd tmm3, [{bias} + {zero} + 64]";
                    "tileloadd tmm4, [{a0} + {stride}]"
                    "tileloadd tmm6, [{weights} + {row}]"
                    "tileloadd tmm7, [{weights} + {row} + 1024]"
                    "tileloadd tmm5, [{a1} + {stride}]"
                    "tdpbusd tmm0, tmm4, tmm6"
                    "tdpbusd tmm1, tmm4, tmm7"
                    "tdpbusd tmm2, tmm5, tmm6"
                    "tdpbusd tmm3, tmm5, tmm7";
                    "2048";
                    "tilestored [{sums} + {out}], tmm0"
                    "tilestored [{sums} + {out} + 64], tmm1"
                    "tilestored [{sums} + {out} + 2048], tmm2"
                    "tilestored [{sums} + {out} + 2112], tmm3"
                ),
            }
        }
    }

    /// Stores what the sums of `V` tiles of channels give.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn put<const V: usize>(&self, job: &Conv, sums: *const u8) {
        let sums = sums.cast::<i32>();
        for (tile, first) in self.firsts.into_iter().enumerate() {
            let from = self.pixels.start + tile * PIXELS;
            let to = self.pixels.end.min(from + PIXELS);
            if from >= to {
                continue;
            }
            // SAFETY: sums of these pixels are among the tile's.
            unsafe {
                let sums = sums.add((tile * PIXELS + from - first) * SUMS_STRIDE);
                match job.output {
                    ConvOutput::Act(target, clamp) => {
                        self.put_acts::<V>(job, from..to, sums, target, clamp);
                    }
                    ConvOutput::F32(logits) => {
                        for pixel in from..to {
                            let sums = sums.add((pixel - from) * SUMS_STRIDE);
                            let sums: [_; V] = std::array::from_fn(|v| {
                                _mm512_loadu_si512(sums.add(v * LANES).cast())
                            });
                            put_f32(job, self.channel, pixel, sums, logits);
                        }
                    }
                }
            }
        }
    }

    /// Stores pixels as activations, four vectors of sums at a time.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn put_acts<const V: usize>(
        &self,
        job: &Conv,
        pixels: Range<usize>,
        sums: *const i32,
        target: Target,
        clamp: Clamp,
    ) {
        let left = (job.shape.channels_out - self.channel).min(V * LANES);
        let bounded = job.packed.bounded;
        // SAFETY: the caller's; multipliers are padded to whole vectors.
        unsafe {
            let scales = job.packed.multipliers.as_ptr().add(self.channel);
            let scales = [0, 1, 2, 3].map(|at| _mm512_loadu_ps(scales.add(at % V * LANES)));
            let level = |rows: usize, row: usize| {
                let of = [0, 1, 2, 3].map(|at| {
                    let row = (row + at / V).min(rows - 1);
                    _mm512_load_si512(sums.add(row * SUMS_STRIDE + at % V * LANES).cast())
                });
                requantize(of, scales, clamp, bounded)
            };
            let to = target
                .pointer
                .add(pixels.start * target.stride + self.channel);
            if pixels.len() == PIXELS && left == V * LANES {
                // Counts that the compiler knows.
                for row in (0..PIXELS).step_by(4 / V) {
                    let to = to.add(row * target.stride);
                    put_rows::<V>(to, target.stride, 4 / V, left, level(PIXELS, row));
                }
            } else {
                for row in (0..pixels.len()).step_by(4 / V) {
                    let to = to.add(row * target.stride);
                    let rows = pixels.len() - row;
                    put_rows::<V>(to, target.stride, rows, left, level(pixels.len(), row));
                }
            }
        }
    }
}

/// The first `rows` of the pixels, `left` channels of each, that 64 values of `V` vectors a
/// pixel hold.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn put_rows<const V: usize>(
    to: *mut Act,
    stride: usize,
    rows: usize,
    left: usize,
    values: __m512i,
) {
    macro_rules! put {
        ($($row:literal $values:expr),*) => {$(
            if $row < 4 / V && $row < rows {
                // SAFETY: the caller's.
                unsafe { store::<V>(to.add($row * stride), $values, left) };
            }
        )*};
    }
    if V == 2 {
        let second = _mm512_extracti64x4_epi64::<1>(values);
        put!(0 values, 1 _mm512_castsi256_si512(second));
    } else {
        let of = |quarter| _mm512_castsi128_si512(quarter);
        put!(
            0 values,
            1 of(_mm512_extracti32x4_epi32::<1>(values)),
            2 of(_mm512_extracti32x4_epi32::<2>(values)),
            3 of(_mm512_extracti32x4_epi32::<3>(values))
        );
    }
}
