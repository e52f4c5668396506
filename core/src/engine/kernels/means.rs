//! Average pools as loops that the compiler turns into vectors, as [`super::loops`] are.
//!
//! Rows of the input become real numbers once and are kept as long as windows reach them;
//! a tap of the window then adds one long run of a row to the sums of a row of outputs.

use std::ops::Range;

use super::loops::{bounds, level};
use super::{AveragePool, Clamp, GlobalAveragePool, Shape, Window};

/// Channels of a global pool that are summed at a time.
const CHUNK: usize = 64;

/// Rows of the input that are kept.
fn kept(shape: &Shape, window: &Window) -> usize {
    window.kernel.0.min(shape.input.0)
}

/// Values of a row, of the input or of sums.
fn row_values(shape: &Shape) -> usize {
    (shape.input.1.max(shape.output.1) * shape.channels_out).next_multiple_of(16)
}

pub(super) fn scratch_bytes(shape: &Shape, window: &Window) -> usize {
    (kept(shape, window) + 1) * row_values(shape) * size_of::<f32>()
}

#[inline(always)]
pub(super) unsafe fn average_pool(job: &AveragePool, rows: Range<usize>, scratch: *mut u8) {
    let AveragePool {
        shape,
        window,
        output,
        ..
    } = *job;
    let (channels, width) = (shape.channels_out, row_values(&shape));
    let kept = kept(&shape, &window);
    // SAFETY: the scratch memory is that long, aligned and this call's alone.
    let scratch = unsafe { std::slice::from_raw_parts_mut(scratch.cast(), (kept + 1) * width) };
    let (sums, ring) = scratch.split_at_mut(width);
    let sums = &mut sums[..shape.output.1 * channels];
    let Clamp {
        zero_point,
        low,
        high,
    } = job.clamp;
    let [zero, low, high] = [zero_point, low, high].map(|level| (level - job.shift) as f32);
    let mut made = 0;
    for y in rows {
        let below = y * window.stride.0 + window.kernel.0;
        let first = (y * window.stride.0).saturating_sub(window.pad.0);
        let end = below.saturating_sub(window.pad.0).min(shape.input.0);
        for row in first.max(made)..end {
            // SAFETY: the row is within the input.
            unsafe { real_row(job, row, &mut ring[row % kept * width..][..width]) };
        }
        made = end.max(made);
        sums.fill(0.0);
        for row in first..end {
            add_row(&shape, &window, &ring[row % kept * width..][..width], sums);
        }
        for (x, sums) in sums.chunks_exact(channels).enumerate() {
            let n = if job.count_padding {
                window.kernel.0 * window.kernel.1
            } else {
                let left = (x * window.stride.1).saturating_sub(window.pad.1);
                let right = (x * window.stride.1 + window.kernel.1).saturating_sub(window.pad.1);
                end.saturating_sub(first) * right.min(shape.input.1).saturating_sub(left)
            };
            let n = n.max(1) as f32;
            let pixel = y * shape.output.1 + x;
            // SAFETY: within the output.
            let to = unsafe {
                std::slice::from_raw_parts_mut(output.pointer.add(pixel * output.stride), channels)
            };
            for (to, sum) in to.iter_mut().zip(sums) {
                *to = level(sum / n / job.scale_out + zero, low, high, job.shift);
            }
        }
    }
}

/// Row `row` of the input as real numbers.
#[inline(always)]
unsafe fn real_row(job: &AveragePool, row: usize, to: &mut [f32]) {
    let (channels, width, input) = (job.shape.channels_out, job.shape.input.1, job.input);
    let (runs, length) = if input.stride == channels {
        (1, width * channels)
    } else {
        (width, channels)
    };
    for (run, to) in to.chunks_exact_mut(length).take(runs).enumerate() {
        // SAFETY: the caller's.
        let from = unsafe {
            let from = input.pointer.add((row * width + run) * input.stride);
            std::slice::from_raw_parts(from, length)
        };
        for (to, &x) in to.iter_mut().zip(from) {
            *to = (i32::from(x) - job.zero_point) as f32 * job.scale_in;
        }
    }
}

/// Adds one row of the input to the sums of all outputs of a row, one tap after the other.
#[inline(always)]
fn add_row(shape: &Shape, window: &Window, row: &[f32], sums: &mut [f32]) {
    let (stride, pad, channels) = (window.stride.1, window.pad.1, shape.channels_out);
    for kx in 0..window.kernel.1 {
        // The outputs whose tap is inside the image.
        let first = pad.saturating_sub(kx).div_ceil(stride);
        let end = (shape.input.1 + pad).saturating_sub(kx).div_ceil(stride);
        let end = end.min(shape.output.1);
        if first >= end {
            continue;
        }
        let from = (first * stride + kx - pad) * channels;
        let sums = &mut sums[first * channels..end * channels];
        if stride == 1 {
            for (sum, x) in sums.iter_mut().zip(&row[from..]) {
                *sum += x;
            }
        } else {
            let pixels = row[from..].chunks(stride * channels);
            for (sums, pixel) in sums.chunks_exact_mut(channels).zip(pixels) {
                for (sum, x) in sums.iter_mut().zip(pixel) {
                    *sum += x;
                }
            }
        }
    }
}

#[inline(always)]
pub(super) unsafe fn global_average_pool(job: &GlobalAveragePool, channels: Range<usize>) {
    let (low, high, zero) = bounds(job.clamp);
    let nothing = job.pixels as i32 * job.zero_point;
    for first in channels.clone().step_by(CHUNK) {
        let length = (channels.end - first).min(CHUNK);
        let mut sums = [0_i32; CHUNK];
        for pixel in 0..job.pixels {
            // SAFETY: within the input.
            let from = unsafe {
                let from = job.input.pointer.add(pixel * job.input.stride + first);
                std::slice::from_raw_parts(from, length)
            };
            for (sum, &x) in sums.iter_mut().zip(from) {
                *sum += i32::from(x);
            }
        }
        // SAFETY: within the output.
        let to = unsafe { std::slice::from_raw_parts_mut(job.output.pointer.add(first), length) };
        for (to, &sum) in to.iter_mut().zip(&sums) {
            *to = level((sum - nothing) as f32 * job.scale, low, high, zero);
        }
    }
}
