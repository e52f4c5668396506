//! The values that a tensor's 256 levels cover, chosen from what calibration saw of it.
//!
//! Wide ranges round coarsely, narrow ones cut the tails; the methods weigh the two differently. All keep zero among
//! their levels, and cut both ends by the same share.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};

use super::observe::Observed;

/// The values that the u8 levels of a tensor should cover.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Smallest.
    pub low: f32,
    /// Largest.
    pub high: f32,
}

impl Range {
    /// From the smallest value to the largest, zero included.
    pub(super) fn width(&self) -> f32 {
        self.high.max(0.0) - self.low.min(0.0)
    }

    /// This share of it, zero included.
    pub(super) fn share(&self, share: f32) -> Range {
        Range {
            low: self.low.min(0.0) * share,
            high: self.high.max(0.0) * share,
        }
    }
}

/// How a range is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// All that was seen.
    MinMax,
    /// All but the outermost ten-thousandth of the values that are not zero.
    Percentile,
    /// The least Kullback-Leibler divergence between the values and their levels (Migacz 2017, "8-bit inference with
    /// TensorRT").
    Entropy,
    /// The least expected squared error.
    SquaredError,
}

impl Method {
    /// All of them.
    pub const ALL: [Method; 4] = [
        Method::MinMax,
        Method::Percentile,
        Method::Entropy,
        Method::SquaredError,
    ];

    /// As the command line and reports say it.
    pub fn name(self) -> &'static str {
        match self {
            Method::MinMax => "min-max",
            Method::Percentile => "percentile",
            Method::Entropy => "entropy",
            Method::SquaredError => "squared-error",
        }
    }

    /// The range that this method finds best.
    pub fn range(self, observed: &Observed) -> Range {
        let seen = observed.range;
        match self {
            Method::MinMax => seen.share(1.0),
            Method::Percentile => percentile(observed),
            Method::Entropy => least(seen, |range| divergence(observed, range)),
            Method::SquaredError => least(seen, |range| squared_error(observed, range)),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Method {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Method> {
        let known = Method::ALL.into_iter().find(|method| method.name() == name);
        match known {
            Some(method) => Ok(method),
            None => bail!(
                "{name:?} is no way to choose ranges; known: {}",
                Method::ALL.map(Method::name).join(", ")
            ),
        }
    }
}

/// Levels of a tensor.
const LEVELS: usize = 256;
/// Ranges that are weighed, from a quarter of what was seen to all of it.
const CANDIDATES: usize = 96;
/// Share of the values that are not zero outside a percentile range.
const OUTSIDE: f64 = 1e-4;

/// The candidate of the least cost.
fn least(seen: Range, cost: impl Fn(Range) -> f64) -> Range {
    let shares = (0..=CANDIDATES).map(|i| 0.25 + 0.75 * i as f32 / CANDIDATES as f32);
    let costs = shares.map(|share| seen.share(share));
    costs
        .map(|range| (cost(range), range))
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map_or(seen.share(1.0), |(_, range)| range)
}

/// What rounding and clipping to this range cost, summed over all values.
fn squared_error(observed: &Observed, range: Range) -> f64 {
    let (low, high) = (f64::from(range.low), f64::from(range.high));
    let step = (high - low) / (LEVELS - 1) as f64;
    let of_bin = |(value, count): (f64, f64)| {
        let clipped = value - value.clamp(low, high);
        match clipped == 0.0 {
            true => count * step * step / 12.0,
            false => count * clipped * clipped,
        }
    };
    observed.bins().map(of_bin).sum()
}

/// Kullback-Leibler divergence of what the levels make of the values' distribution, its tails on the outermost levels.
fn divergence(observed: &Observed, range: Range) -> f64 {
    let (low, high) = (f64::from(range.low), f64::from(range.high));
    let step = (high - low) / (LEVELS - 1) as f64;
    let level = |value: f64| (((value - low) / step).round().max(0.0) as usize).min(LEVELS - 1);
    // Of each level: the count of the values that it stands for, tails included, and over how many bins they spread.
    let mut inside: Vec<(f64, f64)> = Vec::with_capacity(LEVELS);
    inside.resize(LEVELS, (0.0, 0.0));
    let (mut below, mut above) = (0.0, 0.0);
    for (value, count) in observed.bins().filter(|(_, count)| *count > 0.0) {
        if value < low {
            below += count;
        } else if value > high {
            above += count;
        } else {
            let (sum, bins) = &mut inside[level(value)];
            (*sum, *bins) = (*sum + count, *bins + 1.0);
        }
    }
    let (kept, total): (f64, f64) = (inside.iter().map(|(sum, _)| sum).sum(), observed.count());
    if kept == 0.0 {
        return f64::INFINITY;
    }
    // The reference has the tails in its outermost bins, the levels know nothing of them.
    let within = |(value, count): &(f64, f64)| *count > 0.0 && (low..=high).contains(value);
    let mut inner: Vec<(f64, f64)> = observed.bins().filter(within).collect();
    if let Some(first) = inner.first_mut() {
        first.1 += below;
    }
    if let Some(last) = inner.last_mut() {
        last.1 += above;
    }
    let share = |(value, count): (f64, f64)| {
        let (sum, bins) = inside[level(value)];
        let (p, q) = (count / total, sum / bins / kept);
        p * (p / q).ln()
    };
    inner.into_iter().map(share).sum()
}

/// Without the outermost values on each side.
fn percentile(observed: &Observed) -> Range {
    let outside = OUTSIDE * observed.count();
    let bins: Vec<(f64, f64)> = observed.bins().collect();
    fn reached<'a>(bins: impl Iterator<Item = &'a (f64, f64)>, outside: f64) -> f32 {
        let mut seen = 0.0;
        let mut bins = bins.skip_while(|(_, count)| {
            seen += count;
            seen < outside
        });
        bins.next().map_or(0.0, |(value, _)| *value as f32)
    }
    let (low, high) = (
        reached(bins.iter(), outside),
        reached(bins.iter().rev(), outside),
    );
    let range = Range { low, high };
    // A tensor of which nearly all is zero, or on one side, still has a range.
    match range.width() > 0.0 {
        true => range.share(1.0),
        false => observed.range.share(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uniform() -> Vec<f32> {
        (0..100_000).map(|i| i as f32 / 99_999.0).collect()
    }

    #[test]
    fn an_outlier_is_clipped_and_a_uniform_range_is_not() {
        let plain = Observed::of(&uniform());
        for method in Method::ALL {
            assert!(method.range(&plain).high > 0.97, "{method}");
        }
        let mut outlier = uniform();
        outlier.push(3.0);
        let outlier = Observed::of(&outlier);
        assert_eq!(Method::MinMax.range(&outlier).high, 3.0);
        // Keeping it costs (3² - 1²) / 255² / 12 a hundred thousand times, 1.03; cutting it to 1 costs 4.
        let high = Method::SquaredError.range(&outlier).high;
        assert!((1.0..3.0).contains(&high), "{high}");
        for method in [Method::Percentile, Method::Entropy] {
            let high = method.range(&outlier).high;
            assert!((0.9..1.1).contains(&high), "{method}: {high}");
        }
    }

    #[test]
    fn zeros_do_not_narrow_a_range() {
        // They are exact however wide it is.
        let mut sparse = vec![0.0_f32; 100_000];
        sparse.extend([0.5, 1.0, 1.5]);
        let sparse = Observed::of(&sparse);
        for method in [Method::MinMax, Method::Percentile, Method::SquaredError] {
            assert!(method.range(&sparse).high > 1.45, "{method}");
        }
    }

    #[test]
    fn both_ends_are_cut_and_zero_stays() {
        let values: Vec<f32> = uniform().iter().map(|v| v * 4.0 - 1.0).collect();
        let signed = Observed::of(&values);
        for method in Method::ALL {
            let range = method.range(&signed);
            assert!(
                range.low <= -0.9 && range.high >= 2.7,
                "{method}: {range:?}"
            );
        }
        let away: Vec<f32> = uniform().iter().map(|v| v + 2.0).collect();
        for method in Method::ALL {
            assert_eq!(method.range(&Observed::of(&away)).low, 0.0, "{method}");
        }
    }

    #[test]
    fn names_are_read_back() {
        for method in Method::ALL {
            assert_eq!(method.name().parse::<Method>().unwrap(), method);
        }
        let error = "kl".parse::<Method>().unwrap_err().to_string();
        assert!(error.contains("entropy"), "{error}");
    }
}
