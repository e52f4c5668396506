//! Pools on arm64, 16 channels at a time along an output row.
//!
//! A column's sum (or maximum) is taken once, in 16 bits, and added to the windows that
//! hold it: three loads and six additions for 16 channels of a 3x3 window, not nine and
//! eighteen. Only columns inside the image count, so windows at the border are the same
//! loop with fewer of them.

use std::arch::aarch64::*;
use std::ops::Range;

use super::arm64_store::{Rounding, store_some};
use super::{AveragePool, MaxPool, Shape, Window, scalar};

/// Channels that are taken at a time.
const STEP: usize = 16;
/// Sums of so many bytes are within 16 bits.
const MOST_TAPS: usize = 255;
/// Columns of a window that are kept.
const MOST_COLUMNS: usize = 16;

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

pub(super) unsafe fn average_pool(job: &AveragePool, rows: Range<usize>) {
    let AveragePool {
        shape,
        window,
        input,
        output,
        zero_point,
        ratio,
        count_padding,
        clamp,
    } = *job;
    let (kernel_h, kernel_w) = window.kernel;
    if kernel_h * kernel_w > MOST_TAPS {
        // SAFETY: the caller's promise.
        return unsafe { scalar::average_pool(job, rows) };
    }
    let rounding = Rounding::new(clamp);
    let row = shape.input.1 * input.stride;
    for y in rows {
        for c in (0..shape.channels_out).step_by(STEP) {
            // SAFETY: within both tensors, and a vector behind the input.
            unsafe {
                let mut kept = [[vdupq_n_s16(0); 2]; MOST_COLUMNS];
                let mut known = 0;
                for x in 0..shape.output.1 {
                    let (rows, columns) = under(&shape, &window, (y, x));
                    let column = |column: usize| {
                        let from = input
                            .pointer
                            .add(rows.start * row + column * input.stride + c);
                        column_sum(from, row, rows.len())
                    };
                    let mut sums = [vdupq_n_s16(0); 2];
                    for at in columns.clone() {
                        let sum = if kernel_w > MOST_COLUMNS || window.stride.1 >= kernel_w {
                            column(at)
                        } else {
                            if at >= known {
                                kept[at % MOST_COLUMNS] = column(at);
                                known = at + 1;
                            }
                            kept[at % MOST_COLUMNS]
                        };
                        sums = [vaddq_s16(sums[0], sum[0]), vaddq_s16(sums[1], sum[1])];
                    }
                    let seen = rows.len() * columns.len();
                    let n = if count_padding {
                        kernel_h * kernel_w
                    } else {
                        seen.max(1)
                    };
                    let scale = vdupq_n_f32(ratio / n as f32);
                    // 255 taps times 128: the difference is up to 17 bits with its sign.
                    let nothing = vdupq_n_s32(seen as i32 * zero_point);
                    let value = |words: int32x4_t| {
                        vmulq_f32(vcvtq_f32_s32(vsubq_s32(words, nothing)), scale)
                    };
                    let bytes = rounding.rounded([
                        value(vmovl_s16(vget_low_s16(sums[0]))),
                        value(vmovl_high_s16(sums[0])),
                        value(vmovl_s16(vget_low_s16(sums[1]))),
                        value(vmovl_high_s16(sums[1])),
                    ]);
                    let pixel = y * shape.output.1 + x;
                    let to = output.pointer.add(pixel * output.stride + c);
                    store_some(to, rounding.clamped(bytes), shape.channels_out - c);
                }
            }
        }
    }
}

/// The sum of `count` pixels, `row` apart.
#[inline(always)]
unsafe fn column_sum(from: *const i8, row: usize, count: usize) -> [int16x8_t; 2] {
    // SAFETY: the caller's.
    unsafe {
        let mut sum = [vdupq_n_s16(0); 2];
        let mut from = from;
        for _ in 0..count {
            let x = vld1q_s8(from);
            sum = [vaddw_s8(sum[0], vget_low_s8(x)), vaddw_high_s8(sum[1], x)];
            from = from.wrapping_add(row);
        }
        sum
    }
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
