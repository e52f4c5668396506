//! Convolutions: tiles of six pixels by 16 output channels, over patches.
//!
//! A tile takes four inputs at a time, one of two ways. Where no pair of its weights can bring
//! VPMADDUBSW beyond 16 bits, whatever the inputs, that multiplies bytes; such fours are
//! *narrow*. The others are *wide*: VPMADDWD multiplies inputs that were widened to 16 bits.
//! Which are which is known when weights are packed. In trained networks one to two pairs of a
//! hundred are too large, so that 18 to 47 fours of a hundred are wide, and 98.8 against 82
//! thousand million multiply-adds a second are what bare loops of either do on one Zen 3.

use std::arch::asm;
use std::arch::x86_64::*;
use std::ops::Range;

use super::{Requantize, TILE_CHANNELS, load};
use crate::engine::kernels::patches::{self, Patches, STEP};
use crate::engine::kernels::scalar::{bounded, folded_bias};
use crate::engine::kernels::{
    Act, Aligned, Conv, ConvOutput, ConvWeights, PackedConv, Shape, Target, Window,
};

/// Pixels that a tile takes: with two vectors of weights and one of activations, twelve
/// of sums fill the registers.
const TILE_PIXELS: usize = 6;
/// Inputs that are taken at a time.
const INPUTS: usize = 4;
/// A block's widened activations stay in the second-level cache while all weights pass.
const BLOCK_BYTES: usize = 128 << 10;
/// Bytes of the weights of a narrow four, and of a wide one.
const NARROW_BYTES: usize = TILE_CHANNELS * INPUTS;
const WIDE_BYTES: usize = 2 * NARROW_BYTES;
/// Bytes of a line of the cache.
const LINE: usize = 64;

/// What the packed weights begin with, once a tile: where the tile's are, and how many fours
/// of either kind it has. There stand the places of their inputs, narrow ones first, `u32`
/// each, and from the next line of the cache on their weights.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Fours {
    at: usize,
    narrow: usize,
    wide: usize,
}

impl Fours {
    /// Bytes of their places, and of all.
    fn places_bytes(self) -> usize {
        ((self.narrow + self.wide) * size_of::<u32>()).next_multiple_of(LINE)
    }

    fn bytes(self) -> usize {
        self.places_bytes() + self.narrow * NARROW_BYTES + self.wide * WIDE_BYTES
    }

    /// Of tile `n`.
    fn of(packed: &PackedConv, n: usize) -> Fours {
        debug_assert!((n + 1) * size_of::<Fours>() <= packed.weights.as_slice().len());
        // SAFETY: the weights begin with one of each tile.
        unsafe { packed.weights.as_ptr().cast::<Fours>().add(n).read() }
    }

    /// Writes tile `n`'s.
    fn write(self, n: usize, packed: &mut [u8]) {
        let to = packed[n * size_of::<Fours>()..].chunks_exact_mut(size_of::<usize>());
        for (to, number) in to.zip([self.at, self.narrow, self.wide]) {
            to.copy_from_slice(&number.to_ne_bytes());
        }
    }
}

/// Whether no inputs can bring a pair of these weights, one channel's, beyond 16 bits: 255
/// times 128 is within them.
fn is_narrow([a, b, c, d]: [i8; INPUTS]) -> bool {
    let fits = |a: i8, b: i8| (-128..=128).contains(&(i16::from(a) + i16::from(b)));
    fits(a, b) && fits(c, d)
}

/// One channel's weights by fours, the last with zeros behind it.
fn fours(weights: &[i8]) -> impl Iterator<Item = [i8; INPUTS]> {
    let (whole, rest) = weights.as_chunks::<INPUTS>();
    let last = (!rest.is_empty()).then(|| {
        let mut last = [0; INPUTS];
        last[..rest.len()].copy_from_slice(rest);
        last
    });
    whole.iter().copied().chain(last)
}

pub(super) fn pack(shape: &Shape, window: &Window, of: &ConvWeights) -> PackedConv {
    let taken = window.kernel.0 * window.kernel.1 * shape.channels_in;
    let tiles = || of.weights.chunks(taken * TILE_CHANNELS);
    let count = shape.channels_out.div_ceil(TILE_CHANNELS);
    // Which fours are wide, of each tile.
    let wide = tiles().map(|tile| {
        let mut wide = vec![false; taken.div_ceil(INPUTS)];
        for channel in tile.chunks_exact(taken) {
            for (wide, four) in wide.iter_mut().zip(fours(channel)) {
                *wide |= !is_narrow(four);
            }
        }
        wide
    });
    let wide: Vec<Vec<bool>> = wide.collect();
    let mut end = (count * size_of::<Fours>()).next_multiple_of(LINE);
    let heads = wide.iter().map(|wide| {
        let (at, all) = (end, wide.len());
        let wide = wide.iter().filter(|&&wide| wide).count();
        let narrow = all - wide;
        let head = Fours { at, narrow, wide };
        end += head.bytes();
        head
    });
    let heads: Vec<Fours> = heads.collect();
    let mut packed = PackedConv {
        weights: Aligned::zeroed(end),
        bias: vec![0; count * TILE_CHANNELS],
        multipliers: vec![0.0; count * TILE_CHANNELS],
        zero_point: of.zero_point,
        bounded: bounded(of),
    };
    packed.multipliers[..shape.channels_out].copy_from_slice(of.multipliers);
    for (channel, weights) in of.weights.chunks_exact(taken).enumerate() {
        packed.bias[channel] =
            folded_bias(of.bias[channel], of.zero_point, weights.iter().copied());
    }
    let bytes = packed.weights.as_mut_slice();
    for (n, ((tile, wide), head)) in tiles().zip(&wide).zip(&heads).enumerate() {
        head.write(n, bytes);
        let (places, weights) = bytes[head.at..][..head.bytes()].split_at_mut(head.places_bytes());
        // Where each four's weights begin.
        let mut next = [(0, 0), (head.narrow, head.narrow * NARROW_BYTES)];
        let begins = wide.iter().enumerate().map(|(four, &wide)| {
            let (number, begin) = next[usize::from(wide)];
            let place = (four * INPUTS) as u32;
            places[number * size_of::<u32>()..][..size_of::<u32>()]
                .copy_from_slice(&place.to_ne_bytes());
            let bytes = if wide { WIDE_BYTES } else { NARROW_BYTES };
            next[usize::from(wide)] = (number + 1, begin + bytes);
            begin
        });
        let begins: Vec<usize> = begins.collect();
        for (lane, channel) in tile.chunks_exact(taken).enumerate() {
            let at = |begin: usize| begin + lane * INPUTS;
            for ((four, &wide), &begin) in fours(channel).zip(wide).zip(&begins) {
                if wide {
                    // [pair of inputs][channel][input of the pair]
                    let [a, b, c, d] = four.map(|weight| i16::from(weight).to_le_bytes());
                    for (pair, [x, y]) in [[a, b], [c, d]].into_iter().enumerate() {
                        let to = &mut weights[at(begin) + pair * (WIDE_BYTES / 2)..][..INPUTS];
                        to.copy_from_slice(&[x[0], x[1], y[0], y[1]]);
                    }
                } else {
                    // [channel][input]
                    weights[at(begin)..][..INPUTS].copy_from_slice(&four.map(i8::cast_unsigned));
                }
            }
        }
    }
    packed
}

/// Values from one widened patch to the next.
fn widened(shape: &Shape, window: &Window) -> usize {
    patches::depth(shape, window, STEP)
}

/// Pixels whose patches are widened at a time.
fn block_pixels(shape: &Shape, window: &Window) -> usize {
    let fitting = BLOCK_BYTES / (widened(shape, window) * size_of::<i16>());
    (fitting / TILE_PIXELS * TILE_PIXELS).clamp(TILE_PIXELS, 96)
}

/// Where the widened patches begin in the scratch, behind the patches themselves.
fn widened_at(shape: &Shape, window: &Window) -> usize {
    patches::scratch_bytes(shape, window, INPUTS).next_multiple_of(LINE)
}

pub(super) fn scratch_bytes(shape: &Shape, window: &Window) -> usize {
    let values = block_pixels(shape, window) * widened(shape, window);
    widened_at(shape, window) + (values + STEP) * size_of::<i16>()
}

#[target_feature(enable = "avx2")]
pub(super) unsafe fn conv(job: &Conv, pixels: Range<usize>, tiles: Range<usize>, scratch: *mut u8) {
    let (shape, window) = (&job.shape, &job.window);
    let most = block_pixels(shape, window);
    let words_stride = widened(shape, window);
    // SAFETY: the scratch holds both.
    let words = unsafe { scratch.add(widened_at(shape, window)) }.cast::<i16>();
    let to = match job.output {
        ConvOutput::Act(target, clamp) => {
            To::Act(target, Requantize::new(clamp, job.packed.bounded))
        }
        ConvOutput::F32(logits) => To::F32(logits),
    };
    let fours = || tiles.clone().map(|n| Fours::of(job.packed, n));
    let some_are_wide = fours().any(|fours| fours.wide > 0);
    if fours().all(|fours| fours.narrow == 0) {
        for from in pixels.clone().step_by(most) {
            let pixels = from..pixels.end.min(from + most);
            let rows = Rows {
                bytes: job.input.pointer, // Nothing reads them.
                bytes_stride: 0,
                words,
                words_stride,
            };
            // SAFETY: the block holds as many widened patches, and a step behind them.
            unsafe {
                patches::lay(job, pixels.clone(), words, words_stride);
                block(job, &to, pixels, tiles.clone(), rows);
            }
        }
        return;
    }
    let visit = |pixels: Range<usize>, patches: Patches| {
        for from in pixels.clone().step_by(most) {
            let end = pixels.end.min(from + most);
            // SAFETY: there is a patch for every pixel, and the block holds as many widened ones.
            unsafe {
                let rows = Rows {
                    bytes: patches.first.add((from - pixels.start) * patches.stride),
                    bytes_stride: patches.stride,
                    words,
                    words_stride,
                };
                if some_are_wide {
                    rows.widen(words, end - from);
                }
                block(job, &to, from..end, tiles.clone(), rows);
            }
        }
    };
    // SAFETY: the caller's promise.
    unsafe { patches::each_block(job, pixels, INPUTS, scratch, visit) }
}

/// Tiles of channels of a block of pixels, whose patches are `rows`.
#[target_feature(enable = "avx2")]
unsafe fn block(job: &Conv, to: &To, pixels: Range<usize>, tiles: Range<usize>, rows: Rows) {
    let end = pixels.end;
    for n in tiles {
        let mut next = Fetch::new(job.packed, n + 1, pixels.len().div_ceil(TILE_PIXELS));
        for pixel in pixels.clone().step_by(TILE_PIXELS) {
            next.take();
            // SAFETY: the rows of `pixel` and of those behind it.
            unsafe {
                let rows = rows.from(pixel - pixels.start);
                match end - pixel {
                    1 => tile::<1>(job, to, n, pixel, rows),
                    2 => tile::<2>(job, to, n, pixel, rows),
                    3 => tile::<3>(job, to, n, pixel, rows),
                    4 => tile::<4>(job, to, n, pixel, rows),
                    5 => tile::<5>(job, to, n, pixel, rows),
                    _ => tile::<TILE_PIXELS>(job, to, n, pixel, rows),
                }
            }
        }
    }
}

/// [`ConvOutput`], with what its tiles share.
enum To {
    Act(Target, Requantize),
    F32(*mut f32),
}

/// Patches as they are and widened, one row a pixel.
#[derive(Clone, Copy)]
struct Rows {
    bytes: *const Act,
    bytes_stride: usize,
    words: *const i16,
    /// In words.
    words_stride: usize,
}

impl Rows {
    /// From pixel `pixel` on.
    #[inline]
    unsafe fn from(self, pixel: usize) -> Rows {
        // SAFETY: the caller's.
        unsafe {
            Rows {
                bytes: self.bytes.add(pixel * self.bytes_stride),
                words: self.words.add(pixel * self.words_stride),
                ..self
            }
        }
    }

    /// Makes `words` of the bytes of `pixels` pixels, in whole steps: what is behind a patch
    /// meets weights of 0.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn widen(self, words: *mut i16, pixels: usize) {
        for pixel in 0..pixels {
            for at in (0..self.words_stride).step_by(STEP) {
                // SAFETY: at most a step behind the patches, which may be read.
                unsafe {
                    let from = self.bytes.add(pixel * self.bytes_stride + at);
                    let values = _mm256_cvtepu8_epi16(_mm_loadu_si128(from.cast()));
                    let to = words.add(pixel * self.words_stride + at);
                    _mm256_storeu_si256(to.cast(), values);
                }
            }
        }
    }
}

/// A tile's weights on their way into the cache while the one before passes, some at a time: a
/// block uses them once, so that they come from the third level or from memory.
struct Fetch {
    next: *const u8,
    left: usize,
    at_once: usize,
}

impl Fetch {
    /// Of tile `n`, in `times` parts.
    fn new(packed: &PackedConv, n: usize, times: usize) -> Fetch {
        let fours = if n < packed.bias.len() / TILE_CHANNELS {
            Fours::of(packed, n)
        } else {
            Fours::default()
        };
        let lines = fours.bytes() / LINE;
        Fetch {
            next: packed.weights.as_ptr().wrapping_add(fours.at),
            left: lines,
            at_once: lines.div_ceil(times),
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn take(&mut self) {
        for _ in 0..self.at_once.min(self.left) {
            _mm_prefetch::<_MM_HINT_T0>(self.next.cast());
            self.next = self.next.wrapping_add(LINE);
        }
        self.left = self.left.saturating_sub(self.at_once);
    }
}

/// Sums of `R` pixels by 16 channels, stored.
#[target_feature(enable = "avx2")]
unsafe fn tile<const R: usize>(job: &Conv, to: &To, n: usize, pixel: usize, rows: Rows) {
    let packed = job.packed;
    let first = n * TILE_CHANNELS;
    let fours = Fours::of(packed, n);
    // SAFETY: bias, multipliers and weights are padded to whole blocks of channels; the rows
    // hold whole fours.
    unsafe {
        let bias = packed.bias.as_ptr().add(first);
        let start = [load(bias.cast()), load(bias.add(8).cast())];
        let mut sums = [start; R];
        let of_tile = packed.weights.as_ptr().add(fours.at);
        let (places, weights) = (of_tile.cast(), of_tile.add(fours.places_bytes()));
        let narrow = Taken {
            fours: fours.narrow,
            places,
            weights,
        };
        let wide = Taken {
            fours: fours.wide,
            places: places.add(fours.narrow),
            weights: weights.add(fours.narrow * NARROW_BYTES),
        };
        match <&mut [_; TILE_PIXELS]>::try_from(&mut sums[..]) {
            Ok(sums) => {
                if narrow.fours > 0 {
                    multiply_narrow_full(sums, rows, narrow);
                }
                if wide.fours > 0 {
                    multiply_wide_full(sums, rows, wide);
                }
            }
            Err(_) => {
                multiply_narrow(&mut sums, rows, narrow);
                multiply_wide(&mut sums, rows, wide);
            }
        }
        let scale = packed.multipliers.as_ptr().add(first);
        let scale = [_mm256_loadu_ps(scale), _mm256_loadu_ps(scale.add(8))];
        let channels = (job.shape.channels_out - first).min(TILE_CHANNELS);
        match to {
            To::Act(target, requantize) => {
                let to = Target {
                    pointer: target.pointer.add(pixel * target.stride + first),
                    ..*target
                };
                requantize.store(&sums, scale, to, channels);
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

/// Fours of one kind, the places of their inputs, and their weights.
#[derive(Clone, Copy)]
struct Taken {
    fours: usize,
    places: *const u32,
    weights: *const u8,
}

/// Adds the products of `R` pixels' narrow fours with 16 channels' weights.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn multiply_narrow<const R: usize>(sums: &mut [[__m256i; 2]; R], rows: Rows, taken: Taken) {
    let ones = _mm256_set1_epi16(1);
    for four in 0..taken.fours {
        // SAFETY: the caller's rows and weights.
        unsafe {
            let weights = taken.weights.add(four * NARROW_BYTES);
            let weights = [load(weights), load(weights.add(32))];
            let inputs = rows.bytes.add(taken.places.add(four).read() as usize);
            for (r, sums) in sums.iter_mut().enumerate() {
                let x = inputs.add(r * rows.bytes_stride).cast::<i32>();
                let x = _mm256_set1_epi32(x.read_unaligned());
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    let pairs = _mm256_maddubs_epi16(x, weights);
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
                }
            }
        }
    }
}

/// As [`multiply_narrow`], of wide fours.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn multiply_wide<const R: usize>(sums: &mut [[__m256i; 2]; R], rows: Rows, taken: Taken) {
    for pair in 0..taken.fours * 2 {
        // SAFETY: the caller's rows and weights.
        unsafe {
            let weights = taken.weights.add(pair * (WIDE_BYTES / 2));
            let weights = [load(weights), load(weights.add(32))];
            let inputs = taken.places.add(pair / 2).read() as usize + pair % 2 * 2;
            let inputs = rows.words.add(inputs);
            for (r, sums) in sums.iter_mut().enumerate() {
                let x = inputs.add(r * rows.words_stride).cast::<i32>();
                let x = _mm256_set1_epi32(x.read_unaligned());
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(x, weights));
                }
            }
        }
    }
}

/// The sums of a full tile, by name, as operands of `asm!`.
macro_rules! with_sums {
    ($sums:ident, $($asm:tt)*) => {{
        let [[a0, a1], [b0, b1], [c0, c1], [d0, d1], [e0, e1], [f0, f1]] = $sums;
        asm!(
            $($asm)*
            a0 = inout(ymm_reg) *a0, a1 = inout(ymm_reg) *a1,
            b0 = inout(ymm_reg) *b0, b1 = inout(ymm_reg) *b1,
            c0 = inout(ymm_reg) *c0, c1 = inout(ymm_reg) *c1,
            d0 = inout(ymm_reg) *d0, d1 = inout(ymm_reg) *d1,
            e0 = inout(ymm_reg) *e0, e1 = inout(ymm_reg) *e1,
            f0 = inout(ymm_reg) *f0, f1 = inout(ymm_reg) *f1,
            options(readonly, nostack),
        )
    }};
}

/// [`multiply_narrow`] of a full tile and at least one four. In assembly for the order of
/// instructions, a pixel's products before its sums, and for addresses from three registers.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn multiply_narrow_full(sums: &mut [[__m256i; 2]; TILE_PIXELS], rows: Rows, taken: Taken) {
    // A memory operand, for registers are full; within a line of the cache.
    #[repr(align(32))]
    struct Ones([i16; 16]);
    static ONES: Ones = Ones([1; 16]);
    macro_rules! pixel {
        ($at:literal, $sum0:literal, $sum1:literal) => {
            concat!(
                "vpbroadcastd {x}, dword ptr [",
                $at,
                "]\n",
                "vpmaddubsw {product}, {x}, {low}\n",
                "vpmaddubsw {x}, {x}, {high}\n",
                "vpmaddwd {product}, {product}, [{ones}]\n",
                "vpmaddwd {x}, {x}, [{ones}]\n",
                "vpaddd {",
                $sum0,
                "}, {",
                $sum0,
                "}, {product}\n",
                "vpaddd {",
                $sum1,
                "}, {",
                $sum1,
                "}, {x}\n",
            )
        };
    }
    // SAFETY: the caller's rows and weights.
    unsafe {
        with_sums!(
            sums,
            "2:",
            "mov {upper:e}, dword ptr [{places}]",
            "add {places}, 4",
            "lea {lower}, [{third} + {upper}]",
            "add {upper}, {first}",
            "vmovdqu {low}, [{weights}]",
            "vmovdqu {high}, [{weights} + 32]",
            "add {weights}, 64",
            pixel!("{upper}", "a0", "a1"),
            pixel!("{upper} + {row}", "b0", "b1"),
            pixel!("{upper} + {row} * 2", "c0", "c1"),
            pixel!("{lower}", "d0", "d1"),
            pixel!("{lower} + {row}", "e0", "e1"),
            pixel!("{lower} + {row} * 2", "f0", "f1"),
            "dec {fours}",
            "jnz 2b",
            first = in(reg) rows.bytes,
            third = in(reg) rows.bytes.add(3 * rows.bytes_stride),
            row = in(reg) rows.bytes_stride,
            ones = in(reg) ONES.0.as_ptr(),
            places = inout(reg) taken.places => _,
            weights = inout(reg) taken.weights => _,
            fours = inout(reg) taken.fours => _,
            upper = out(reg) _,
            lower = out(reg) _,
            low = out(ymm_reg) _,
            high = out(ymm_reg) _,
            x = out(ymm_reg) _,
            product = out(ymm_reg) _,
        );
    }
}

/// [`multiply_wide`] of a full tile and at least one four, as [`multiply_narrow_full`].
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn multiply_wide_full(sums: &mut [[__m256i; 2]; TILE_PIXELS], rows: Rows, taken: Taken) {
    macro_rules! pixel {
        ($at:literal, $sum0:literal, $sum1:literal) => {
            concat!(
                "vpbroadcastd {x}, dword ptr [",
                $at,
                "]\n",
                "vpmaddwd {product}, {x}, {low}\n",
                "vpmaddwd {x}, {x}, {high}\n",
                "vpaddd {",
                $sum0,
                "}, {",
                $sum0,
                "}, {product}\n",
                "vpaddd {",
                $sum1,
                "}, {",
                $sum1,
                "}, {x}\n",
            )
        };
    }
    // SAFETY: the caller's rows and weights.
    unsafe {
        with_sums!(
            sums,
            "2:",
            "mov {lower:e}, dword ptr [{places}]",
            "add {places}, 4",
            "lea {upper}, [{first} + {lower} * 2]",
            "lea {lower}, [{third} + {lower} * 2]",
            "vmovdqu {low}, [{weights}]",
            "vmovdqu {high}, [{weights} + 32]",
            pixel!("{upper}", "a0", "a1"),
            pixel!("{upper} + {row}", "b0", "b1"),
            pixel!("{upper} + {row} * 2", "c0", "c1"),
            pixel!("{lower}", "d0", "d1"),
            pixel!("{lower} + {row}", "e0", "e1"),
            pixel!("{lower} + {row} * 2", "f0", "f1"),
            "vmovdqu {low}, [{weights} + 64]",
            "vmovdqu {high}, [{weights} + 96]",
            "add {weights}, 128",
            pixel!("{upper} + 4", "a0", "a1"),
            pixel!("{upper} + {row} + 4", "b0", "b1"),
            pixel!("{upper} + {row} * 2 + 4", "c0", "c1"),
            pixel!("{lower} + 4", "d0", "d1"),
            pixel!("{lower} + {row} + 4", "e0", "e1"),
            pixel!("{lower} + {row} * 2 + 4", "f0", "f1"),
            "dec {fours}",
            "jnz 2b",
            first = in(reg) rows.words,
            third = in(reg) rows.words.add(3 * rows.words_stride),
            row = in(reg) rows.words_stride * size_of::<i16>(),
            places = inout(reg) taken.places => _,
            weights = inout(reg) taken.weights => _,
            fours = inout(reg) taken.fours => _,
            upper = out(reg) _,
            lower = out(reg) _,
            low = out(ymm_reg) _,
            high = out(ymm_reg) _,
            x = out(ymm_reg) _,
            product = out(ymm_reg) _,
        );
    }
}
