//! Convolutions: tiles of six pixels by 16 output channels, over patches.
//!
//! A tile takes four inputs at a time, one of two ways. Where no pair of its weights can bring
//! VPMADDUBSW beyond 16 bits, whatever the inputs, that multiplies bytes; such fours are
//! *narrow*. The others are *wide*: VPMADDWD multiplies inputs that were widened to 16 bits.
//! Which are which is known when weights are packed. In trained networks one to two pairs of a
//! hundred are too large, so that 18 to 50 fours of a hundred are wide.

use std::arch::x86_64::*;
use std::ops::Range;

use super::fours::{Fours, INPUTS, LINE};
use super::products::{TILE_PIXELS, Taken, multiply_narrow, multiply_wide, widen};
use super::store::To;
use super::{TILE_CHANNELS, load};
use crate::engine::kernels::patches::{self, Patches, Rows, STEP};
use crate::engine::kernels::{Conv, PackedConv, Shape, Window};

/// A block's widened activations stay in the second-level cache while all weights pass.
const BLOCK_BYTES: usize = 128 << 10;

/// Values from one widened patch to the next.
fn depth(shape: &Shape, window: &Window) -> usize {
    patches::depth(shape, window, STEP)
}

/// Pixels whose patches are widened at a time.
fn block_pixels(shape: &Shape, window: &Window) -> usize {
    let fitting = BLOCK_BYTES / (depth(shape, window) * size_of::<i16>());
    (fitting / TILE_PIXELS * TILE_PIXELS).clamp(TILE_PIXELS, 96)
}

/// Where the widened patches begin in the scratch, behind the patches themselves.
fn widened_at(shape: &Shape, window: &Window) -> usize {
    patches::scratch_bytes(shape, window, INPUTS).next_multiple_of(LINE)
}

pub(super) fn scratch_bytes(shape: &Shape, window: &Window) -> usize {
    let values = block_pixels(shape, window) * depth(shape, window);
    widened_at(shape, window) + (values + STEP) * size_of::<i16>()
}

#[target_feature(enable = "avx2")]
pub(super) unsafe fn conv(job: &Conv, pixels: Range<usize>, tiles: Range<usize>, scratch: *mut u8) {
    let (shape, window) = (&job.shape, &job.window);
    let most = block_pixels(shape, window);
    // SAFETY: the scratch holds both.
    let words = unsafe { scratch.add(widened_at(shape, window)) }.cast::<i16>();
    let widened = Rows {
        first: words.cast_const(),
        stride: depth(shape, window),
    };
    let to = To::new(job);
    let fours = || tiles.clone().map(|n| Fours::of(job.packed, n));
    let some_are_wide = fours().any(|fours| fours.wide > 0);
    if fours().all(|fours| fours.narrow == 0) {
        for from in pixels.clone().step_by(most) {
            let pixels = from..pixels.end.min(from + most);
            // Nothing reads them.
            let patches = Patches {
                first: job.input.pointer,
                stride: 0,
            };
            // SAFETY: the block holds as many widened patches, and a step behind them.
            unsafe {
                patches::lay(job, pixels.clone(), words, widened.stride);
                block(job, &to, pixels, tiles.clone(), (patches, widened));
            }
        }
        return;
    }
    let visit = |pixels: Range<usize>, patches: Patches| {
        for from in pixels.clone().step_by(most) {
            let end = pixels.end.min(from + most);
            // SAFETY: there is a patch for every pixel, and the block holds as many widened ones.
            unsafe {
                let patches = patches.from(from - pixels.start);
                if some_are_wide {
                    widen(patches, end - from, widened);
                }
                block(job, &to, from..end, tiles.clone(), (patches, widened));
            }
        }
    };
    // SAFETY: the caller's promise.
    unsafe { patches::each_block(job, pixels, INPUTS, scratch, visit) }
}

/// The patches of some pixels, as they are and widened.
type Inputs = (Patches, Rows<i16>);

/// Tiles of channels of a block of pixels.
#[target_feature(enable = "avx2")]
unsafe fn block(
    job: &Conv,
    to: &To,
    pixels: Range<usize>,
    tiles: Range<usize>,
    (patches, widened): Inputs,
) {
    let (end, behind) = (pixels.end, tiles.end);
    for n in tiles {
        let next = if n + 1 < behind {
            Fours::of(job.packed, n + 1)
        } else {
            Fours::default()
        };
        let mut next = Fetch::new(job.packed, next, pixels.len().div_ceil(TILE_PIXELS));
        let of_tile = Fours::of(job.packed, n).taken(job.packed);
        for pixel in pixels.clone().step_by(TILE_PIXELS) {
            next.take();
            // SAFETY: the rows of `pixel` and of those behind it.
            unsafe {
                let at = pixel - pixels.start;
                let inputs = (patches.from(at), widened.from(at));
                match end - pixel {
                    1 => tile::<1>(job, to, (n, of_tile), pixel, inputs),
                    2 => tile::<2>(job, to, (n, of_tile), pixel, inputs),
                    3 => tile::<3>(job, to, (n, of_tile), pixel, inputs),
                    4 => tile::<4>(job, to, (n, of_tile), pixel, inputs),
                    5 => tile::<5>(job, to, (n, of_tile), pixel, inputs),
                    _ => tile::<TILE_PIXELS>(job, to, (n, of_tile), pixel, inputs),
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
    /// In `times` parts.
    fn new(packed: &PackedConv, fours: Fours, times: usize) -> Fetch {
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

/// Sums of `R` pixels by the channels of tile `n`, whose fours are `narrow` and `wide`, stored.
#[target_feature(enable = "avx2")]
unsafe fn tile<const R: usize>(
    job: &Conv,
    to: &To,
    (n, [narrow, wide]): (usize, [Taken; 2]),
    pixel: usize,
    (patches, widened): Inputs,
) {
    // SAFETY: bias and weights are padded to whole tiles; the rows hold whole fours.
    unsafe {
        let bias = job.packed.bias.as_ptr().add(n * TILE_CHANNELS);
        let start = [load(bias.cast()), load(bias.add(8).cast())];
        let mut sums = [start; R];
        multiply_narrow(&mut sums, patches, narrow);
        multiply_wide(&mut sums, widened, wide);
        to.put(job, &sums, pixel, n);
    }
}
