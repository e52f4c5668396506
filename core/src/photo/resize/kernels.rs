//! The loops of a resizing, compiled for the instruction sets that pay.
//!
//! Plain loops over slices that compilers turn into vectors: arm64's NEON and x86-64's SSE2 are always there,
//! AVX2 is asked for. All sums are of integers and exact, so the bits are the same.

#![allow(unsafe_code)]

use super::axis::{Axis, WEIGHT_BITS};

/// Sums of rows are split here, so that both halves fit into 16 bits: products of 16-bit numbers are
/// what processors add up fastest.
pub(super) const HIGH_SHIFT: u32 = WEIGHT_BITS + 8 - 15;
const LOW_MASK: i32 = (1 << HIGH_SHIFT) - 1;

/// What may be read behind the halves of a row, with weights of 0.
pub(super) const LANES: usize = 16;

/// The loops for one instruction set.
pub(super) struct Kernels {
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "tests name the levels that they ran")
    )]
    pub(super) name: &'static str,
    /// Sets `sums` to the weighted sum of `rows`, each as long.
    pub(super) add_rows: fn(sums: &mut [i32], rows: &[&[u8]], weights: &[i16]),
    /// Of every `stride`-th of `sums`: its high bits, its low bits.
    pub(super) split: fn(sums: &[i32], stride: usize, high: &mut [i16], low: &mut [i16]),
    /// The axis' results from a split row that begins with the axis' span.
    pub(super) dot: fn(high: &[i16], low: &[i16], axis: &Axis, results: &mut [u16]),
}

static BASELINE: Kernels = Kernels {
    name: if cfg!(target_arch = "aarch64") {
        "neon"
    } else {
        "baseline"
    },
    add_rows: |sums, rows, weights| add_rows(sums, rows, weights),
    split: |sums, stride, high, low| split(sums, stride, high, low),
    dot: |high, low, axis, results| dot(high, low, axis, results),
};

/// All that this CPU runs, best first.
pub(super) fn levels() -> Vec<&'static Kernels> {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        return vec![&avx2::KERNELS, &BASELINE];
    }
    vec![&BASELINE]
}

/// The best that this CPU runs.
pub(super) fn best() -> &'static Kernels {
    levels().first().copied().unwrap_or(&BASELINE)
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{Axis, Kernels};

    pub(super) static KERNELS: Kernels = Kernels {
        name: "avx2",
        // SAFETY, of the three: `levels` gives this table only where the CPU has AVX2.
        add_rows: |sums, rows, weights| unsafe { add_rows(sums, rows, weights) },
        split: |sums, stride, high, low| unsafe { split(sums, stride, high, low) },
        dot: |high, low, axis, results| unsafe { dot(high, low, axis, results) },
    };

    #[target_feature(enable = "avx2")]
    fn add_rows(sums: &mut [i32], rows: &[&[u8]], weights: &[i16]) {
        super::add_rows(sums, rows, weights);
    }

    #[target_feature(enable = "avx2")]
    fn split(sums: &[i32], stride: usize, high: &mut [i16], low: &mut [i16]) {
        super::split(sums, stride, high, low);
    }

    #[target_feature(enable = "avx2")]
    fn dot(high: &[i16], low: &[i16], axis: &Axis, results: &mut [u16]) {
        super::dot(high, low, axis, results);
    }
}

/// Rows that are summed at a time.
const TOGETHER: usize = 8;

#[inline(always)]
fn add_rows(sums: &mut [i32], rows: &[&[u8]], weights: &[i16]) {
    sums.fill(0);
    let mut rows = rows.chunks(TOGETHER).zip(weights.chunks(TOGETHER));
    for (rows, weights) in &mut rows {
        if let ([a, b, c, d, e, f, g, h], Ok(weights)) =
            (rows, <&[i16; TOGETHER]>::try_from(weights))
        {
            let w = weights.map(i32::from);
            let pairs = a.iter().zip(*b).zip(c.iter().zip(*d));
            let others = e.iter().zip(*f).zip(g.iter().zip(*h));
            for (sum, (((a, b), (c, d)), ((e, f), (g, h)))) in
                sums.iter_mut().zip(pairs.zip(others))
            {
                *sum += i32::from(*a) * w[0]
                    + i32::from(*b) * w[1]
                    + i32::from(*c) * w[2]
                    + i32::from(*d) * w[3]
                    + i32::from(*e) * w[4]
                    + i32::from(*f) * w[5]
                    + i32::from(*g) * w[6]
                    + i32::from(*h) * w[7];
            }
        } else {
            for (row, &weight) in rows.iter().zip(weights) {
                for (sum, &sample) in sums.iter_mut().zip(*row) {
                    *sum += i32::from(sample) * i32::from(weight);
                }
            }
        }
    }
}

#[inline(always)]
fn split(sums: &[i32], stride: usize, high: &mut [i16], low: &mut [i16]) {
    let halves = high.iter_mut().zip(low);
    let each = |(sum, (high, low)): (&i32, (&mut i16, &mut i16))| {
        *high = (sum >> HIGH_SHIFT) as i16;
        *low = (sum & LOW_MASK) as i16;
    };
    // Strides that are known let the compiler pick samples out of vectors.
    match stride {
        1 => sums.iter().zip(halves).for_each(each),
        2 => sums.iter().step_by(2).zip(halves).for_each(each),
        3 => sums.iter().step_by(3).zip(halves).for_each(each),
        4 => sums.iter().step_by(4).zip(halves).for_each(each),
        _ => sums.iter().step_by(stride).zip(halves).for_each(each),
    }
}

#[inline(always)]
fn dot(high: &[i16], low: &[i16], axis: &Axis, results: &mut [u16]) {
    let first = axis.span().start;
    for (window, result) in axis.windows().zip(results) {
        let start = window.start - first;
        let range = start..start + window.weights.len();
        let (high, low) = (high.get(range.clone()), low.get(range));
        let sum = |half: Option<&[i16]>| -> i32 {
            let products = half.unwrap_or_default().iter().zip(window.weights);
            products
                .map(|(&half, &weight)| i32::from(half) * i32::from(weight))
                .sum()
        };
        let whole = sum(high) + (sum(low) >> HIGH_SHIFT);
        *result = (whole >> (2 * WEIGHT_BITS - HIGH_SHIFT - super::FRACTION_BITS)) as u16;
    }
}
