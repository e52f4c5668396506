//! Sums, multiply-adds and max pools as loops that the compiler turns into vectors: a level
//! inlines them into functions of its own instruction set. They read and write runs of
//! channels; arithmetic is the specification's, in an order that vectors keep.
//! arm64 has all but [`quantize`] by hand. Left out: convolutions, which each level writes by hand; [`super::means`].

use std::ops::Range;

use super::{Act, Clamp, Quantize};
#[cfg(target_arch = "x86_64")]
use super::{Add, Affine, MaxPool, scalar::tapped};

/// [`Clamp::store`] in a form that the compiler turns into vectors: the bounds have been
/// applied, so the conversion needs no checks.
#[inline(always)]
pub(super) fn level(value: f32, low: f32, high: f32, zero_point: i32) -> Act {
    let rounded = value.max(low).min(high).round_ties_even();
    // SAFETY: between the bounds, which are of eight bits; `max` turns NaN into `low`.
    (unsafe { rounded.to_int_unchecked::<i32>() } + zero_point) as Act
}

pub(super) fn bounds(clamp: Clamp) -> (f32, f32, i32) {
    let low = (clamp.low - clamp.zero_point) as f32;
    (
        low,
        (clamp.high - clamp.zero_point) as f32,
        clamp.zero_point,
    )
}

/// Where nothing lies between pixels, all of them are one run: `(runs, length)`.
pub(super) fn runs(pixels: &Range<usize>, channels: usize, strides: &[usize]) -> (usize, usize) {
    if strides.iter().all(|&stride| stride == channels) {
        (1, pixels.len() * channels)
    } else {
        (pixels.len(), channels)
    }
}

/// Division by the same number over and over: a quotient from the reciprocal, twice corrected
/// by its remainder. The first correction makes it one of the two neighbours of the true
/// value, the second the one to which that rounds (Markstein 1990, "Computation of elementary
/// functions on the IBM RISC System/6000 processor"): the bits of a division in a quarter of
/// its time.
struct Quotient {
    divisor: f32,
    reciprocal: f32,
    /// Quotients beyond it saturate in any case.
    limit: f32,
    /// Whether remainders are exact: nothing near a bound between levels underflows.
    exact: bool,
}

impl Quotient {
    fn new(divisor: f32) -> Quotient {
        const LARGEST: f32 = (1_u64 << 40) as f32;
        Quotient {
            divisor,
            reciprocal: 1.0 / divisor,
            limit: 1024.0 * divisor,
            exact: (1.0 / LARGEST..LARGEST).contains(&divisor),
        }
    }

    /// `x / divisor`, bounded; NaN gives the lower bound.
    #[inline(always)]
    fn of(&self, x: f32) -> f32 {
        let x = x.max(-self.limit).min(self.limit);
        let quotient = x * self.reciprocal;
        let remainder = (-quotient).mul_add(self.divisor, x);
        let quotient = remainder.mul_add(self.reciprocal, quotient);
        let remainder = (-quotient).mul_add(self.divisor, x);
        remainder.mul_add(self.reciprocal, quotient)
    }
}

#[inline(always)]
pub(super) unsafe fn quantize(job: &Quantize, values: Range<usize>) {
    let (low, high, zero) = bounds(Clamp {
        zero_point: job.zero_point,
        low: i32::from(Act::MIN),
        high: i32::from(Act::MAX),
    });
    // SAFETY: within both tensors, which do not overlap.
    let (from, to) = unsafe {
        (
            std::slice::from_raw_parts(job.input.add(values.start), values.len()),
            std::slice::from_raw_parts_mut(job.output.add(values.start), values.len()),
        )
    };
    let quotient = Quotient::new(job.scale);
    if quotient.exact {
        for (to, &x) in to.iter_mut().zip(from) {
            *to = level(quotient.of(x), low, high, zero);
        }
    } else {
        for (to, &x) in to.iter_mut().zip(from) {
            *to = level(x / job.scale, low, high, zero);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) unsafe fn add(job: &Add, pixels: Range<usize>) {
    let (low, high, zero) = bounds(job.clamp);
    let (runs, length) = runs(
        &pixels,
        job.channels,
        &[job.a.stride, job.b.stride, job.output.stride],
    );
    for pixel in pixels.start..pixels.start + runs {
        // SAFETY: within the three tensors.
        let (a, b, to) = unsafe {
            (
                std::slice::from_raw_parts(job.a.pointer.add(pixel * job.a.stride), length),
                std::slice::from_raw_parts(job.b.pointer.add(pixel * job.b.stride), length),
                std::slice::from_raw_parts_mut(
                    job.output.pointer.add(pixel * job.output.stride),
                    length,
                ),
            )
        };
        for ((to, &a), &b) in to.iter_mut().zip(a).zip(b) {
            let [a, b] = [a, b].map(|x| (i32::from(x) - job.shift) as f32);
            let sum = a.mul_add(job.scale_a, b.mul_add(job.scale_b, job.offset));
            *to = level(sum, low, high, zero);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) unsafe fn affine(job: &Affine, pixels: Range<usize>) {
    let (low, high, zero) = bounds(job.clamp);
    for pixel in pixels {
        // SAFETY: within both tensors.
        let (from, to) = unsafe {
            let from = job.input.pointer.add(pixel * job.input.stride);
            let to = job.output.pointer.add(pixel * job.output.stride);
            (
                std::slice::from_raw_parts(from, job.channels),
                std::slice::from_raw_parts_mut(to, job.channels),
            )
        };
        let factors = job.scale.iter().zip(job.offset);
        for ((to, &x), (&scale, &offset)) in to.iter_mut().zip(from).zip(factors) {
            let x = (i32::from(x) - job.zero_point) as f32;
            *to = level(x.mul_add(scale, offset), low, high, zero);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) unsafe fn max_pool(job: &MaxPool, rows: Range<usize>) {
    let MaxPool {
        shape,
        window,
        input,
        output,
        pad_value,
    } = *job;
    let (kernel_h, kernel_w) = window.kernel;
    let channels = shape.channels_out;
    for y in rows {
        for x in 0..shape.output.1 {
            let pixel = y * shape.output.1 + x;
            // SAFETY: within the output.
            let to = unsafe {
                std::slice::from_raw_parts_mut(output.pointer.add(pixel * output.stride), channels)
            };
            let mut filled = false;
            for tap in 0..kernel_h * kernel_w {
                match (
                    tapped(&shape, &window, (y, x), (tap / kernel_w, tap % kernel_w)),
                    pad_value,
                ) {
                    (Some(source), _) => {
                        // SAFETY: within the input, which doesn't overlap the output.
                        let from = unsafe {
                            std::slice::from_raw_parts(
                                input.pointer.add(source * input.stride),
                                channels,
                            )
                        };
                        if filled {
                            to.iter_mut()
                                .zip(from)
                                .for_each(|(to, &x)| *to = (*to).max(x));
                        } else {
                            to.copy_from_slice(from);
                        }
                        filled = true;
                    }
                    (None, Some(value)) => {
                        if filled {
                            to.iter_mut().for_each(|to| *to = (*to).max(value));
                        } else {
                            to.fill(value);
                        }
                        filled = true;
                    }
                    (None, None) => {}
                }
            }
            if !filled {
                to.fill(Act::MIN);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Quotient;

    /// Where a wrong last bit would change the level: around the halves, and anywhere.
    #[test]
    fn quotients_are_those_of_a_division() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 24) as f32
        };
        for _ in 0..2_000 {
            let divisor = (random() * 40.0 - 30.0).exp2();
            let quotient = Quotient::new(divisor);
            assert!(quotient.exact);
            for halves in -520..520 {
                let near = halves as f32 * 0.5 * divisor;
                let any = (random() - 0.5) * 600.0 * divisor;
                for x in [near, near.next_up(), near.next_down(), any] {
                    let (ours, theirs) = (quotient.of(x), x / divisor);
                    let small = theirs.abs() < 0.25;
                    assert!(
                        ours == theirs || small && ours.abs() < 0.5,
                        "{x} / {divisor}"
                    );
                }
            }
        }
        let quotient = Quotient::new(0.1);
        assert_eq!(quotient.of(f32::NAN), quotient.of(f32::NEG_INFINITY));
        assert!(quotient.of(f32::INFINITY) > 1000.0);
    }
}
