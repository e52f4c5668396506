//! Products of a tile of a convolution: rows of inputs by fours of weights ([`super::conv`]).
//!
//! Full tiles are in assembly, for the order of instructions (a pixel's products before its sums)
//! and for addresses from three registers. Bare loops of wide fours are 7 % faster so than with
//! products and sums in turns, whole layers 1 to 2 %.

use std::arch::asm;
use std::arch::x86_64::*;

use super::fours::{NARROW_BYTES, WIDE_BYTES};
use super::load;
use crate::engine::kernels::patches::{Patches, Rows, STEP};

/// Pixels that a tile takes: with two vectors of weights and one of activations, twelve
/// of sums fill the registers.
pub(super) const TILE_PIXELS: usize = 6;

/// Makes `words`, whole steps, of the patches of `pixels` pixels: what is behind a patch meets
/// weights of 0.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn widen(patches: Patches, pixels: usize, words: Rows<i16>) {
    for pixel in 0..pixels {
        for at in (0..words.stride).step_by(STEP) {
            // SAFETY: at most a step behind the patches, which may be read; the caller's words.
            unsafe {
                let from = patches.first.add(pixel * patches.stride + at);
                let values = _mm256_cvtepu8_epi16(_mm_loadu_si128(from.cast()));
                let to = words.first.add(pixel * words.stride + at);
                _mm256_storeu_si256(to.cast_mut().cast(), values);
            }
        }
    }
}

/// Fours of one kind, the places of their inputs, and their weights.
#[derive(Clone, Copy)]
pub(super) struct Taken {
    pub(super) fours: usize,
    pub(super) places: *const u32,
    pub(super) weights: *const u8,
}

/// Adds the products of `R` pixels' narrow fours with 16 channels' weights.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn multiply_narrow<const R: usize>(
    sums: &mut [[__m256i; 2]; R],
    rows: Patches,
    taken: Taken,
) {
    if taken.fours == 0 {
        return;
    }
    // SAFETY: the caller's.
    unsafe {
        match <&mut [_; TILE_PIXELS]>::try_from(&mut sums[..]) {
            Ok(sums) => multiply_narrow_full(sums, rows, taken),
            Err(_) => multiply_narrow_part(sums, rows, taken),
        }
    }
}

/// As [`multiply_narrow`], of wide fours.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn multiply_wide<const R: usize>(
    sums: &mut [[__m256i; 2]; R],
    rows: Rows<i16>,
    taken: Taken,
) {
    if taken.fours == 0 {
        return;
    }
    // SAFETY: the caller's.
    unsafe {
        match <&mut [_; TILE_PIXELS]>::try_from(&mut sums[..]) {
            Ok(sums) => multiply_wide_full(sums, rows, taken),
            Err(_) => multiply_wide_part(sums, rows, taken),
        }
    }
}

/// [`multiply_narrow`] of any tile.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn multiply_narrow_part<const R: usize>(
    sums: &mut [[__m256i; 2]; R],
    rows: Patches,
    taken: Taken,
) {
    let ones = _mm256_set1_epi16(1);
    for four in 0..taken.fours {
        // SAFETY: the caller's rows and weights.
        unsafe {
            let weights = taken.weights.add(four * NARROW_BYTES);
            let weights = [load(weights), load(weights.add(32))];
            let inputs = rows.first.add(taken.places.add(four).read() as usize);
            for (r, sums) in sums.iter_mut().enumerate() {
                let x = inputs.add(r * rows.stride).cast::<i32>();
                let x = _mm256_set1_epi32(x.read_unaligned());
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    let pairs = _mm256_maddubs_epi16(x, weights);
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
                }
            }
        }
    }
}

/// [`multiply_wide`] of any tile.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn multiply_wide_part<const R: usize>(
    sums: &mut [[__m256i; 2]; R],
    rows: Rows<i16>,
    taken: Taken,
) {
    for pair in 0..taken.fours * 2 {
        // SAFETY: the caller's rows and weights.
        unsafe {
            let weights = taken.weights.add(pair * (WIDE_BYTES / 2));
            let weights = [load(weights), load(weights.add(32))];
            let inputs = taken.places.add(pair / 2).read() as usize + pair % 2 * 2;
            let inputs = rows.first.add(inputs);
            for (r, sums) in sums.iter_mut().enumerate() {
                let x = inputs.add(r * rows.stride).cast::<i32>();
                let x = _mm256_set1_epi32(x.read_unaligned());
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(x, weights));
                }
            }
        }
    }
}

/// `asm!` with what both kinds of full tiles have: sums by name, what is taken, and registers for
/// two places, two vectors of weights, an input and a product.
macro_rules! with_tile {
    ($sums:ident, $taken:ident, $($asm:tt)*) => {{
        let [[a0, a1], [b0, b1], [c0, c1], [d0, d1], [e0, e1], [f0, f1]] = $sums;
        asm!(
            $($asm)*
            places = inout(reg) $taken.places => _,
            weights = inout(reg) $taken.weights => _,
            fours = inout(reg) $taken.fours => _,
            upper = out(reg) _,
            lower = out(reg) _,
            low = out(ymm_reg) _,
            high = out(ymm_reg) _,
            x = out(ymm_reg) _,
            product = out(ymm_reg) _,
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

/// The assembly of six pixels: each one's input, its products by `low` and `high` in `product` and
/// `x`, and their sums. `$offset` is where the input is behind its place.
macro_rules! six_pixels {
    ($products:literal, $offset:literal) => {
        concat!(
            six_pixels!("{upper}", $offset, $products, "a0", "a1"),
            six_pixels!("{upper} + {row}", $offset, $products, "b0", "b1"),
            six_pixels!("{upper} + {row} * 2", $offset, $products, "c0", "c1"),
            six_pixels!("{lower}", $offset, $products, "d0", "d1"),
            six_pixels!("{lower} + {row}", $offset, $products, "e0", "e1"),
            six_pixels!("{lower} + {row} * 2", $offset, $products, "f0", "f1"),
        )
    };
    ($at:literal, $offset:literal, $products:literal, $a:literal, $b:literal) => {
        concat!(
            concat!("vpbroadcastd {x}, dword ptr [", $at, $offset, "]\n"),
            $products,
            concat!("vpaddd {", $a, "}, {", $a, "}, {product}\n"),
            concat!("vpaddd {", $b, "}, {", $b, "}, {x}\n"),
        )
    };
}

/// [`multiply_narrow`] of a full tile and at least one four.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn multiply_narrow_full(
    sums: &mut [[__m256i; 2]; TILE_PIXELS],
    rows: Patches,
    taken: Taken,
) {
    // A memory operand, for registers are full; within a line of the cache.
    #[repr(align(32))]
    struct Ones([i16; 16]);
    static ONES: Ones = Ones([1; 16]);
    // SAFETY: the caller's rows and weights.
    unsafe {
        with_tile!(
            sums,
            taken,
            "2:",
            "mov {upper:e}, dword ptr [{places}]",
            "add {places}, 4",
            "lea {lower}, [{third} + {upper}]",
            "add {upper}, {first}",
            "vmovdqu {low}, [{weights}]",
            "vmovdqu {high}, [{weights} + 32]",
            "add {weights}, 64",
            six_pixels!(
                "vpmaddubsw {product}, {x}, {low}
                vpmaddubsw {x}, {x}, {high}
                vpmaddwd {product}, {product}, [{ones}]
                vpmaddwd {x}, {x}, [{ones}]\n",
                ""
            ),
            "dec {fours}",
            "jnz 2b",
            first = in(reg) rows.first,
            third = in(reg) rows.first.add(3 * rows.stride),
            row = in(reg) rows.stride,
            ones = in(reg) ONES.0.as_ptr(),
        );
    }
}

/// [`multiply_wide`] of a full tile and at least one four, as [`multiply_narrow_full`].
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn multiply_wide_full(
    sums: &mut [[__m256i; 2]; TILE_PIXELS],
    rows: Rows<i16>,
    taken: Taken,
) {
    macro_rules! pair_of_inputs {
        ($offset:literal) => {
            six_pixels!(
                "vpmaddwd {product}, {x}, {low}
                vpmaddwd {x}, {x}, {high}\n",
                $offset
            )
        };
    }
    // SAFETY: the caller's rows and weights.
    unsafe {
        with_tile!(
            sums,
            taken,
            "2:",
            "mov {lower:e}, dword ptr [{places}]",
            "add {places}, 4",
            "lea {upper}, [{first} + {lower} * 2]",
            "lea {lower}, [{third} + {lower} * 2]",
            "vmovdqu {low}, [{weights}]",
            "vmovdqu {high}, [{weights} + 32]",
            pair_of_inputs!(""),
            "vmovdqu {low}, [{weights} + 64]",
            "vmovdqu {high}, [{weights} + 96]",
            "add {weights}, 128",
            pair_of_inputs!(" + 4"),
            "dec {fours}",
            "jnz 2b",
            first = in(reg) rows.first,
            third = in(reg) rows.first.add(3 * rows.stride),
            row = in(reg) rows.stride * size_of::<i16>(),
        );
    }
}
