//! What lies under a convolution's window, pixel after pixel, as rows of bytes that a
//! tile of products runs along: in place where the window is one pixel, else copied.
//! Left out: levels that widen activations, which lay their own.

use std::ops::Range;

use super::scalar::tapped;
use super::{Act, Conv, Shape, Window};

/// What is copied at a time, and how far a copy may go beyond its patch.
pub(super) const STEP: usize = 16;
/// Patches of one block stay in the second-level cache while all weights pass.
const BLOCK_BYTES: usize = 64 << 10;
/// The most pixels of a block.
const BLOCK_PIXELS: usize = 256;

/// Rows of activations, one a pixel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patches {
    pub(super) first: *const Act,
    /// From one row to the next.
    pub(super) stride: usize,
}

/// Whether the patches are the input itself: a window of one pixel that visits all.
fn in_place(window: &Window) -> bool {
    (window.kernel, window.stride, window.pad) == ((1, 1), (1, 1), (0, 0))
}

/// Values of a patch, in whole steps of `unit` inputs.
pub(super) fn depth(shape: &Shape, window: &Window, unit: usize) -> usize {
    (window.kernel.0 * window.kernel.1 * shape.channels_in).next_multiple_of(unit)
}

/// Pixels whose patches are laid at a time.
fn block_pixels(shape: &Shape, window: &Window, unit: usize) -> usize {
    (BLOCK_BYTES / depth(shape, window, unit)).clamp(STEP, BLOCK_PIXELS)
}

/// Scratch bytes that [`each_block`] wants.
pub(super) fn scratch_bytes(shape: &Shape, window: &Window, unit: usize) -> usize {
    if in_place(window) {
        return 0;
    }
    // Patches are written in whole steps.
    block_pixels(shape, window, unit) * depth(shape, window, unit) + STEP
}

/// Calls `visit` with pixels and their patches until `pixels` are through. A row holds
/// [`depth`] values; those behind the inputs may be anything and meet weights of 0.
///
/// # Safety
/// As for [`super::Kernels::conv`]; `scratch` holds [`scratch_bytes`].
#[inline(always)]
pub(super) unsafe fn each_block(
    job: &Conv,
    pixels: Range<usize>,
    unit: usize,
    scratch: *mut u8,
    mut visit: impl FnMut(Range<usize>, Patches),
) {
    let Conv {
        shape,
        window,
        input,
        ..
    } = job;
    if in_place(window) {
        // SAFETY: within the input.
        let first = unsafe { input.pointer.add(pixels.start * input.stride) };
        let stride = input.stride;
        return visit(pixels, Patches { first, stride });
    }
    let depth = depth(shape, window, unit);
    let first = scratch.cast::<Act>();
    let mut from = pixels.start;
    while from < pixels.end {
        let to = (from + block_pixels(shape, window, unit)).min(pixels.end);
        for pixel in from..to {
            // SAFETY: the block holds as many patches and a step behind them.
            unsafe { lay(job, pixel, first.add((pixel - from) * depth)) };
        }
        let stride = depth;
        visit(from..to, Patches { first, stride });
        from = to;
    }
}

/// The inputs under one pixel's window, `[ky][kx][channel]`. Written in order, in whole
/// steps: what is too much is overwritten by what follows.
#[inline(always)]
unsafe fn lay(job: &Conv, pixel: usize, mut to: *mut Act) {
    let Conv {
        shape,
        window,
        input,
        ..
    } = job;
    let (kernel_h, kernel_w) = window.kernel;
    let channels = shape.channels_in;
    let place = (pixel / shape.output.1, pixel % shape.output.1);
    let zero = [job.packed.zero_point as Act; STEP];
    for ky in 0..kernel_h {
        // A row of the window lies in one run where nothing is between its pixels.
        let whole = input.stride == channels
            && tapped(shape, window, place, (ky, 0)).is_some()
            && tapped(shape, window, place, (ky, kernel_w - 1)).is_some();
        let (steps, length) = if whole {
            (1, kernel_w * channels)
        } else {
            (kernel_w, channels)
        };
        for kx in 0..steps {
            let source = tapped(shape, window, place, (ky, kx));
            for at in (0..length).step_by(STEP) {
                // SAFETY: reads no more than a step behind the input's end; writes within
                // the block and the step behind it.
                unsafe {
                    let bytes = match source {
                        Some(source) => input
                            .pointer
                            .add(source * input.stride + at)
                            .cast::<[Act; STEP]>()
                            .read_unaligned(),
                        None => zero,
                    };
                    to.add(at).cast::<[Act; STEP]>().write_unaligned(bytes);
                }
            }
            // SAFETY: as above.
            to = unsafe { to.add(length) };
        }
    }
}

/// `0..n` in as few pieces of at most `most` as will do, all as long as can be: a last
/// piece of one pixel would cost nearly what a full one does.
#[inline(always)]
pub(super) fn pieces(n: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let count = n.div_ceil(most);
    (0..count).map(move |piece| n * piece / count..n * (piece + 1) / count)
}

#[cfg(test)]
mod tests {
    use super::pieces;

    #[test]
    fn pieces_are_even_and_cover_everything() {
        for (n, most, longest) in [(49, 6, 6), (1, 6, 1), (7, 6, 4), (196, 12, 12), (0, 3, 0)] {
            let all: Vec<_> = pieces(n, most).collect();
            assert_eq!(
                all.iter().map(ExactSizeIterator::len).max().unwrap_or(0),
                longest
            );
            assert_eq!(
                all.iter().flat_map(Clone::clone).collect::<Vec<_>>(),
                (0..n).collect::<Vec<_>>()
            );
        }
    }
}
