//! Max pools on arm64, 16 channels at a time along an output row. Only columns inside the
//! image count, so windows at the border are the same loop with fewer of them.

use std::arch::aarch64::*;
use std::ops::Range;

use super::arm64_store::store_some;
use super::{MaxPool, Shape, Window};

/// Channels that are taken at a time.
const STEP: usize = 16;
/// The part of `0..size` that a window's `kernel` taps from `first` on see, `first` being
/// counted from the padding's first.
fn inside(first: usize, kernel: usize, pad: usize, size: usize) -> Range<usize> {
    let from = first.saturating_sub(pad).min(size);
    from..(first + kernel).saturating_sub(pad).min(size).max(from)
}

/// Rows and columns of the input under an output.
fn under(shape: &Shape, window: &Window, (y, x): (usize, usize)) -> (Range<usize>, Range<usize>) {
    (
        inside(
            y * window.stride.0,
            window.kernel.0,
            window.pad.0,
            shape.input.0,
        ),
        inside(
            x * window.stride.1,
            window.kernel.1,
            window.pad.1,
            shape.input.1,
        ),
    )
}

pub(super) unsafe fn max_pool(job: &MaxPool, rows: Range<usize>) {
    let MaxPool {
        shape,
        window,
        input,
        output,
        pad_value,
    } = *job;
    let taps = window.kernel.0 * window.kernel.1;
    let row = shape.input.1 * input.stride;
    for y in rows {
        for c in (0..shape.channels_out).step_by(STEP) {
            for x in 0..shape.output.1 {
                let (rows, columns) = under(&shape, &window, (y, x));
                // SAFETY: within both tensors, and a vector behind the input.
                unsafe {
                    let mut largest = vdupq_n_s8(i8::MIN);
                    if let Some(value) = pad_value
                        && rows.len() * columns.len() < taps
                    {
                        largest = vdupq_n_s8(value);
                    }
                    for at in rows {
                        let mut from = input
                            .pointer
                            .wrapping_add(at * row + columns.start * input.stride + c);
                        for _ in columns.clone() {
                            largest = vmaxq_s8(largest, vld1q_s8(from));
                            from = from.wrapping_add(input.stride);
                        }
                    }
                    let pixel = y * shape.output.1 + x;
                    let to = output.pointer.add(pixel * output.stride + c);
                    store_some(to, largest, shape.channels_out - c);
                }
            }
        }
    }
}
