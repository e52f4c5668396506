//! The specification: every operation as plain loops, in the stored domain. Slow, and
//! what all other levels are tested against. It runs where no other level does.

use std::ops::Range;

use super::{
    Act, Add, Affine, AveragePool, Clamp, Conv, ConvOutput, ConvWeights, Depthwise,
    GlobalAveragePool, Kernels, Lookup, MaxPool, PackedConv, PackedDepthwise, Quantize, Shape,
    Source, Target, Window,
};

/// The level that every CPU has.
pub(crate) struct Scalar;

impl Kernels for Scalar {
    fn name(&self) -> &'static str {
        "scalar"
    }
}

impl Clamp {
    /// A result in units of the output's scale as a stored value.
    pub(crate) fn store(self, value: f32) -> Act {
        let low = (self.low - self.zero_point) as f32;
        let high = (self.high - self.zero_point) as f32;
        // The bounds are whole numbers: clamping first gives the same as clamping last,
        // and keeps the conversion in range.
        let rounded = value.max(low).min(high).round_ties_even() as i32;
        (rounded + self.zero_point) as Act
    }

    /// As [`Clamp::store`], with the zero point less `shift` added before the rounding: see
    /// [`AveragePool`].
    pub(crate) fn store_mean(self, mean: f32, shift: i32) -> Act {
        let [zero, low, high] =
            [self.zero_point, self.low, self.high].map(|level| (level - shift) as f32);
        let rounded = (mean + zero).max(low).min(high).round_ties_even() as i32;
        (rounded + shift) as Act
    }
}

impl Source {
    unsafe fn at(self, pixel: usize, channel: usize) -> i32 {
        // SAFETY: the kernel's caller promises the tensor.
        i32::from(unsafe { *self.pointer.add(pixel * self.stride + channel) })
    }
}

impl Target {
    unsafe fn put(self, pixel: usize, channel: usize, value: Act) {
        // SAFETY: the kernel's caller promises the tensor.
        unsafe { *self.pointer.add(pixel * self.stride + channel) = value }
    }
}

/// The input pixel under a window's tap, or `None` in the padding.
pub(super) fn tapped(
    shape: &Shape,
    window: &Window,
    (y, x): (usize, usize),
    (ky, kx): (usize, usize),
) -> Option<usize> {
    let y = (y * window.stride.0 + ky).checked_sub(window.pad.0)?;
    let x = (x * window.stride.1 + kx).checked_sub(window.pad.1)?;
    (y < shape.input.0 && x < shape.input.1).then(|| y * shape.input.1 + x)
}

/// Bias with the zero point folded in: the sum over `weights` (one output channel's) of
/// `(x - zero_point) * w` is the sum of `x * w` and this.
pub(super) fn folded_bias(bias: i32, zero_point: i32, weights: impl Iterator<Item = i8>) -> i32 {
    let sum = weights.fold(0_i32, |sum, weight| sum.wrapping_add(i32::from(weight)));
    bias.wrapping_sub(zero_point.wrapping_mul(sum))
}

/// Whether no sum times its multiplier can leave `i32`, whatever the input and the weights.
#[cfg(target_arch = "x86_64")]
pub(super) fn bounded(of: &ConvWeights) -> bool {
    let taps = of.weights.len() / of.bias.len();
    // Differences to the zero point are below 256, weights at most 128.
    let products = 256.0 * 128.0 * taps as f64;
    let mut channels = of.bias.iter().zip(of.multipliers);
    channels.all(|(bias, multiplier)| {
        let largest = products + f64::from(bias.unsigned_abs());
        largest * f64::from(*multiplier) < f64::from(i32::MAX - 256)
    })
}

pub(super) fn pack_conv(of: &ConvWeights) -> PackedConv {
    let mut packed = PackedConv::padded(of, of.weights.len(), of.bias.len());
    let to = packed.weights.as_mut_slice();
    for (to, weight) in to.iter_mut().zip(of.weights) {
        *to = weight.cast_unsigned();
    }
    packed
}

pub(super) unsafe fn conv(job: &Conv, pixels: Range<usize>) {
    let Conv {
        shape,
        window,
        packed,
        input,
        ..
    } = *job;
    let (kernel_h, kernel_w) = window.kernel;
    let depth = kernel_h * kernel_w * shape.channels_in;
    for pixel in pixels {
        let place = (pixel / shape.output.1, pixel % shape.output.1);
        for n in 0..shape.channels_out {
            let weights = &packed.weights.as_slice()[n * depth..][..depth];
            let mut sum = packed.bias[n];
            for ky in 0..kernel_h {
                for kx in 0..kernel_w {
                    let tap = &weights[(ky * kernel_w + kx) * shape.channels_in..];
                    let source = tapped(&shape, &window, place, (ky, kx));
                    for (c, &weight) in tap[..shape.channels_in].iter().enumerate() {
                        let x = match source {
                            // SAFETY: within the input.
                            Some(source) => unsafe { input.at(source, c) },
                            None => packed.zero_point,
                        };
                        sum = sum.wrapping_add(x * i32::from(weight as i8));
                    }
                }
            }
            let value = sum as f32 * packed.multipliers[n];
            match job.output {
                // SAFETY: within the output.
                ConvOutput::Act(target, clamp) => unsafe {
                    target.put(pixel, n, clamp.store(value));
                },
                // SAFETY: as above.
                ConvOutput::F32(logits) => unsafe {
                    *logits.add(pixel * shape.channels_out + n) = value;
                },
            }
        }
    }
}

pub(super) fn pack_depthwise(of: &ConvWeights) -> PackedDepthwise {
    pack_conv(of).into()
}

pub(super) unsafe fn depthwise(job: &Depthwise, rows: Range<usize>) {
    let Depthwise {
        shape,
        window,
        packed,
        input,
        output,
        clamp,
    } = *job;
    let (kernel_h, kernel_w) = window.kernel;
    let taps = kernel_h * kernel_w;
    for y in rows {
        for x in 0..shape.output.1 {
            for c in 0..shape.channels_out {
                let weights = &packed.weights.as_slice()[c * taps..][..taps];
                let mut sum = packed.bias[c];
                for (tap, &weight) in weights.iter().enumerate() {
                    let source = tapped(&shape, &window, (y, x), (tap / kernel_w, tap % kernel_w));
                    let value = match source {
                        // SAFETY: within the input.
                        Some(source) => unsafe { input.at(source, c) },
                        None => packed.zero_point,
                    };
                    sum = sum.wrapping_add(value * i32::from(weight as i8));
                }
                let value = clamp.store(sum as f32 * packed.multipliers[c]);
                // SAFETY: within the output.
                unsafe { output.put(y * shape.output.1 + x, c, value) };
            }
        }
    }
}

pub(super) unsafe fn quantize(job: &Quantize, values: Range<usize>) {
    let whole = Clamp {
        zero_point: job.zero_point,
        low: i32::from(Act::MIN),
        high: i32::from(Act::MAX),
    };
    for at in values {
        // SAFETY: within both tensors.
        unsafe { *job.output.add(at) = whole.store(*job.input.add(at) / job.scale) };
    }
}

pub(super) unsafe fn add(job: &Add, pixels: Range<usize>) {
    for pixel in pixels {
        for c in 0..job.channels {
            // SAFETY: within the three tensors.
            unsafe {
                let a = (job.a.at(pixel, c) - job.shift) as f32;
                let b = (job.b.at(pixel, c) - job.shift) as f32;
                let sum = a.mul_add(job.scale_a, b.mul_add(job.scale_b, job.offset));
                job.output.put(pixel, c, job.clamp.store(sum));
            }
        }
    }
}

pub(super) unsafe fn lookup(job: &Lookup, pixels: Range<usize>) {
    for pixel in pixels {
        for c in 0..job.channels {
            // SAFETY: within both tensors.
            unsafe {
                let x = job.input.at(pixel, c) as u8;
                job.output.put(pixel, c, job.table.0[usize::from(x)]);
            }
        }
    }
}

pub(super) unsafe fn affine(job: &Affine, pixels: Range<usize>) {
    for pixel in pixels {
        for c in 0..job.channels {
            // SAFETY: within both tensors.
            unsafe {
                let x = (job.input.at(pixel, c) - job.zero_point) as f32;
                let value = x.mul_add(job.scale[c], job.offset[c]);
                job.output.put(pixel, c, job.clamp.store(value));
            }
        }
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
    let (kernel_h, kernel_w) = window.kernel;
    for y in rows {
        for x in 0..shape.output.1 {
            for c in 0..shape.channels_out {
                let mut largest = i32::from(Act::MIN);
                for tap in 0..kernel_h * kernel_w {
                    let source = tapped(&shape, &window, (y, x), (tap / kernel_w, tap % kernel_w));
                    let value = match (source, pad_value) {
                        // SAFETY: within the input.
                        (Some(source), _) => unsafe { input.at(source, c) },
                        (None, Some(value)) => i32::from(value),
                        (None, None) => continue,
                    };
                    largest = largest.max(value);
                }
                // SAFETY: within the output.
                unsafe { output.put(y * shape.output.1 + x, c, largest as Act) };
            }
        }
    }
}

pub(super) unsafe fn average_pool(job: &AveragePool, rows: Range<usize>) {
    let AveragePool {
        shape,
        window,
        input,
        output,
        ..
    } = *job;
    let (kernel_h, kernel_w) = window.kernel;
    for y in rows {
        for x in 0..shape.output.1 {
            let taps = (0..kernel_h * kernel_w).filter_map(|tap| {
                tapped(&shape, &window, (y, x), (tap / kernel_w, tap % kernel_w))
            });
            let n = if job.count_padding {
                kernel_h * kernel_w
            } else {
                taps.clone().count().max(1)
            };
            for c in 0..shape.channels_out {
                let real = |tap: usize| {
                    // SAFETY: within the input.
                    (unsafe { input.at(tap, c) } - job.zero_point) as f32 * job.scale_in
                };
                let sum = taps.clone().map(real).fold(0.0, |sum, real| sum + real);
                let mean = sum / n as f32 / job.scale_out;
                // SAFETY: within the output.
                unsafe {
                    output.put(
                        y * shape.output.1 + x,
                        c,
                        job.clamp.store_mean(mean, job.shift),
                    )
                };
            }
        }
    }
}

pub(super) unsafe fn global_average_pool(job: &GlobalAveragePool, channels: Range<usize>) {
    for c in channels {
        // SAFETY: within the input.
        let sum: i32 = (0..job.pixels)
            .map(|pixel| unsafe { job.input.at(pixel, c) })
            .sum();
        let difference = sum - job.pixels as i32 * job.zero_point;
        // SAFETY: within the output.
        unsafe {
            job.output
                .put(0, c, job.clamp.store(difference as f32 * job.scale))
        };
    }
}
