//! Steps that a network spends little time in, the same code on every CPU: padding,
//! permutations, the way back from bytes to `f32`, softmax.

use crate::decision;
use crate::engine::kernels::{Act, Source, Target, act};
use crate::engine::plan::{MAX_RANK, TensorInfo};

/// `(x - zero_point) * scale`.
pub(super) fn dequantize(from: &[Act], to: &mut [f32], scale: f32, zero_point: u8) {
    let zero = i32::from(act(zero_point));
    for (to, &from) in to.iter_mut().zip(from) {
        *to = (i32::from(from) - zero) as f32 * scale;
    }
}

/// Over rows of `channels` values.
pub(super) fn softmax(from: &[f32], to: &mut [f32], channels: usize) {
    for (from, to) in from
        .chunks_exact(channels)
        .zip(to.chunks_exact_mut(channels))
    {
        decision::softmax_into(from, to);
    }
}

/// The values in another order, see `Op::Permute`.
pub(super) fn permute<T: Copy>(from: &[T], to: &mut [T], sides: &[usize], order: &[usize]) {
    // Not on the heap: a plan's check bounds the rank.
    let (mut steps, mut index) = ([1; MAX_RANK], [0; MAX_RANK]);
    for at in (1..sides.len()).rev() {
        steps[at - 1] = steps[at] * sides[at];
    }
    let mut source = 0;
    for to in to {
        *to = from[source];
        // The next index, as an odometer counts.
        for (at, &side) in order.iter().enumerate().rev() {
            index[at] += 1;
            source += steps[side];
            if index[at] < sides[side] {
                break;
            }
            source -= steps[side] * sides[side];
            index[at] = 0;
        }
    }
}

/// Moves an image and fills around it, see `Op::Pad`.
///
/// # Safety
/// The tensors are valid at every pixel of their shapes and do not overlap.
pub(super) unsafe fn pad(
    (from, input): (Source, &TensorInfo),
    (to, output): (Target, &TensorInfo),
    (top, left): (isize, isize),
    value: Act,
) {
    let inside = |at: usize, by: isize, side: usize| {
        at.checked_add_signed(-by).filter(|&source| source < side)
    };
    for y in 0..output.height {
        let row = inside(y, top, input.height);
        for x in 0..output.width {
            // SAFETY: pixel and channels are within the output.
            let pixel = unsafe { to.pointer.add((y * output.width + x) * to.stride) };
            match row.zip(inside(x, left, input.width)) {
                // SAFETY: `row` and column are within the input, and both have as many
                // channels.
                Some((row, column)) => unsafe {
                    let source = from.pointer.add((row * input.width + column) * from.stride);
                    std::ptr::copy_nonoverlapping(source, pixel, output.channels);
                },
                // SAFETY: as above.
                None => {
                    unsafe { std::slice::from_raw_parts_mut(pixel, output.channels) }.fill(value)
                }
            }
        }
    }
}

/// The same bytes in another place.
///
/// # Safety
/// Both tensors are valid at every pixel and do not overlap.
pub(super) unsafe fn copy(
    from: Source,
    to: Target,
    pixels: std::ops::Range<usize>,
    channels: usize,
) {
    for pixel in pixels {
        // SAFETY: the caller's promise.
        unsafe {
            std::ptr::copy_nonoverlapping(
                from.pointer.add(pixel * from.stride),
                to.pointer.add(pixel * to.stride),
                channels,
            );
        }
    }
}
