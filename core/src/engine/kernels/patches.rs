//! What lies under a convolution's window, pixel after pixel, as rows of values that a
//! tile of products runs along: in place where the window is one pixel, else copied.

use std::ops::Range;

use super::{Act, Conv, Shape, Window};

/// What is copied at a time, and how far a copy may go beyond its patch.
pub(super) const STEP: usize = 16;
/// Patches of one block stay in the second-level cache while all weights pass.
const BLOCK_BYTES: usize = 64 << 10;
/// Blocks are multiples of this, though the last patches of one may not be laid.
const TILE_PIXELS: usize = 16;
/// The most pixels of a block.
const BLOCK_PIXELS: usize = 256;

/// Rows of values, one a pixel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<T> {
    pub(super) first: *const T,
    /// Values from one row to the next.
    pub(super) stride: usize,
}

/// Rows of activations.
pub(super) type Patches = Rows<Act>;

impl<T> Rows<T> {
    /// From row `row` on.
    ///
    /// # Safety
    /// There are as many.
    #[inline]
    pub(super) unsafe fn from(self, row: usize) -> Rows<T> {
        Rows {
            // SAFETY: the caller's.
            first: unsafe { self.first.add(row * self.stride) },
            ..self
        }
    }
}

/// Whether the patches are the input itself: a window of one pixel that visits all.
pub(super) fn in_place(shape: &Shape, window: &Window) -> bool {
    let one_by_one = (window.kernel, window.stride, window.pad) == ((1, 1), (1, 1), (0, 0));
    one_by_one && shape.input == shape.output
}

/// Values of a patch, in whole steps of `unit` inputs.
pub(super) fn depth(shape: &Shape, window: &Window, unit: usize) -> usize {
    (window.kernel.0 * window.kernel.1 * shape.channels_in).next_multiple_of(unit)
}

/// Pixels whose patches are laid at a time, in whole tiles of any level's.
fn block_pixels(shape: &Shape, window: &Window, unit: usize) -> usize {
    let most = BLOCK_BYTES / depth(shape, window, unit);
    (most / TILE_PIXELS * TILE_PIXELS).clamp(TILE_PIXELS, BLOCK_PIXELS)
}

/// Scratch bytes that [`each_block`] wants.
pub(super) fn scratch_bytes(shape: &Shape, window: &Window, unit: usize) -> usize {
    if in_place(shape, window) {
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
    if in_place(shape, window) {
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
        // SAFETY: the block holds as many patches and a step behind them.
        unsafe { lay(job, from..to, first, depth) };
        let stride = depth;
        visit(from..to, Patches { first, stride });
        from = to;
    }
}

/// The patches of `pixels`, each `depth` values behind the one before, as activations or
/// widened.
///
/// # Safety
/// As for [`super::Kernels::conv`]; `to` has room for them and a [`STEP`] behind them.
#[inline(always)]
pub(super) unsafe fn lay<T: From<Act>>(job: &Conv, pixels: Range<usize>, to: *mut T, depth: usize) {
    let width = job.shape.output.1;
    let mut pixel = pixels.start;
    while pixel < pixels.end {
        let (y, x) = (pixel / width, pixel % width);
        let columns = x..width.min(x + pixels.end - pixel);
        // SAFETY: the caller's.
        unsafe {
            let to = to.add((pixel - pixels.start) * depth);
            lay_row(job, y, columns.clone(), to, depth);
        }
        pixel += columns.len();
    }
}

/// The patches of `columns` of output row `y`, each `depth` behind the one before.
#[inline(always)]
unsafe fn lay_row<T: From<Act>>(
    job: &Conv,
    y: usize,
    columns: Range<usize>,
    to: *mut T,
    depth: usize,
) {
    let Conv {
        shape,
        window,
        input,
        ..
    } = job;
    let channels = shape.channels_in;
    let row_length = shape.input.1 * channels;
    let run = window.kernel.1 * channels;
    let inside = whole_columns(shape, window, y, &columns).filter(|_| input.stride == channels);
    let inside = inside.unwrap_or(columns.start..columns.start);
    let at = |x: usize| (x - columns.start) * depth;
    // In order: what a copy writes beyond its patch is overwritten by the next.
    for x in columns.start..inside.start {
        // SAFETY: the caller's.
        unsafe { lay_one(job, (y, x), to.add(at(x))) };
    }
    for x in inside.clone() {
        // None of the window is padding, and each of its rows is one run.
        let left = x * window.stride.1 - window.pad.1;
        let top = y * window.stride.0 - window.pad.0;
        // SAFETY: as above; the window is within the input.
        unsafe {
            let from = input.pointer.add(top * row_length + left * channels);
            let mut to = to.add(at(x));
            for ky in 0..window.kernel.0 {
                to = copy(from.add(ky * row_length), to, run);
            }
        }
    }
    for x in inside.end..columns.end {
        // SAFETY: the caller's.
        unsafe { lay_one(job, (y, x), to.add(at(x))) };
    }
}

/// Those of `columns` whose windows are within the input, where row `y`'s are.
#[inline(always)]
fn whole_columns(
    shape: &Shape,
    window: &Window,
    y: usize,
    columns: &Range<usize>,
) -> Option<Range<usize>> {
    let top = (y * window.stride.0).checked_sub(window.pad.0)?;
    let last = (shape.input.1 + window.pad.1).checked_sub(window.kernel.1)? / window.stride.1;
    let inside =
        window.pad.1.div_ceil(window.stride.1).max(columns.start)..(last + 1).min(columns.end);
    (top + window.kernel.0 <= shape.input.0 && !inside.is_empty()).then_some(inside)
}

/// The inputs under the window of output `(y, x)`, `[ky][kx][channel]`.
#[inline(always)]
unsafe fn lay_one<T: From<Act>>(job: &Conv, (y, x): (usize, usize), mut to: *mut T) {
    let Conv {
        shape,
        window,
        input,
        ..
    } = job;
    let (kernel_h, kernel_w) = window.kernel;
    let channels = shape.channels_in;
    // Hidden from the compiler, which calls `memset` for a few bytes otherwise.
    let zero = std::hint::black_box([job.packed.zero_point as Act; STEP]);
    for ky in 0..kernel_h {
        let row = (y * window.stride.0 + ky).checked_sub(window.pad.0);
        let row = row.filter(|&row| row < shape.input.0);
        for kx in 0..kernel_w {
            let column = (x * window.stride.1 + kx).checked_sub(window.pad.1);
            let column = column.filter(|&column| column < shape.input.1);
            // SAFETY: within the input, the block and the step behind each.
            unsafe {
                to = match row.zip(column) {
                    Some((row, column)) => {
                        let pixel = row * shape.input.1 + column;
                        copy(input.pointer.add(pixel * input.stride), to, channels)
                    }
                    None => fill(zero, to, channels),
                };
            }
        }
    }
}

/// Writes `length` values in whole steps: what is too much is overwritten by what follows.
/// Gives the place behind them.
#[inline(always)]
unsafe fn copy<T: From<Act>>(from: *const Act, to: *mut T, length: usize) -> *mut T {
    const LONG: usize = 4 * STEP;
    let long = length / LONG * LONG;
    for at in (0..long).step_by(LONG) {
        // SAFETY: the caller's.
        unsafe {
            write::<T, LONG>(
                from.add(at).cast::<[Act; LONG]>().read_unaligned(),
                to.add(at),
            )
        };
    }
    for at in (long..length).step_by(STEP) {
        // SAFETY: the caller's.
        unsafe {
            write::<T, STEP>(
                from.add(at).cast::<[Act; STEP]>().read_unaligned(),
                to.add(at),
            )
        };
    }
    // SAFETY: the caller's.
    unsafe { to.add(length) }
}

/// As [`copy`], of one value.
#[inline(always)]
unsafe fn fill<T: From<Act>>(values: [Act; STEP], to: *mut T, length: usize) -> *mut T {
    for at in (0..length).step_by(STEP) {
        // SAFETY: the caller's.
        unsafe { write(values, to.add(at)) };
    }
    // SAFETY: the caller's.
    unsafe { to.add(length) }
}

#[inline(always)]
unsafe fn write<T: From<Act>, const N: usize>(values: [Act; N], to: *mut T) {
    // SAFETY: the caller's.
    unsafe { to.cast::<[T; N]>().write_unaligned(values.map(T::from)) };
}

/// `0..n` in as few pieces of at most `most` as will do, all as long as can be: a last
/// piece of one pixel would cost nearly what a full one does.
#[derive(Debug, Clone)]
pub(super) struct Pieces {
    next: usize,
    /// Length of the short ones, how many of these are left, and how many longer by one.
    short: usize,
    shorts: usize,
    longs: usize,
}

#[inline(always)]
pub(super) fn pieces(n: usize, most: usize) -> Pieces {
    let count = n.div_ceil(most).max(1);
    Pieces {
        next: 0,
        short: n / count,
        shorts: if n == 0 { 0 } else { count - n % count },
        longs: n % count,
    }
}

impl Iterator for Pieces {
    type Item = Range<usize>;

    #[inline(always)]
    fn next(&mut self) -> Option<Range<usize>> {
        let length = if self.longs > 0 {
            self.longs -= 1;
            self.short + 1
        } else {
            self.shorts = self.shorts.checked_sub(1)?;
            self.short
        };
        let from = self.next;
        self.next += length;
        Some(from..self.next)
    }
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
