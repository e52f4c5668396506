//! Ranges of activations from real photos: for each tensor the clipping that loses least, by mean squared error.
//!
//! Two passes. The first finds each tensor's extremes, the second its histogram. Then candidates between a quarter of
//! the range and all of it are weighed: wide ones round coarsely, narrow ones cut the tails. Values that are exactly
//! zero (half of all, after a ReLU) are always represented exactly and do not count as rounding.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use tch::{Kind, Tensor, no_grad};

use super::stored::{photos_at_once, stored_values};
use crate::backbones::Normalization;
use crate::data::Dataset;
use crate::graph::LayerId;
use crate::network::{Mode, Network};
use crate::progress;
use crate::train::measure::normalize;

const BINS: i64 = 4096;
const CANDIDATES: usize = 96;
/// Photos a pass, where memory allows.
const BATCH: usize = 32;

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
}

/// What calibration knows of one tensor.
struct Observed {
    range: Range,
    /// Counts of non-zero values over `range`.
    histogram: Tensor,
}

/// Runs a folded network over `photos` and chooses a range for every stored value.
pub fn calibrate(
    network: &Network,
    photos: &Dataset,
    normalization: Normalization,
) -> Result<BTreeMap<LayerId, Range>> {
    ensure!(!photos.is_empty(), "there is no calibration photo");
    let stored: BTreeSet<LayerId> = stored_values(network.graph()).into_iter().collect();
    let mut extremes: BTreeMap<LayerId, Range> = BTreeMap::new();
    each_batch(
        network,
        photos,
        normalization,
        "calibrating: ranges",
        |id, value| {
            if stored.contains(&id) {
                let (low, high) = (
                    value.min().double_value(&[]) as f32,
                    value.max().double_value(&[]) as f32,
                );
                let range = extremes.entry(id).or_insert(Range { low, high });
                *range = Range {
                    low: range.low.min(low),
                    high: range.high.max(high),
                };
            }
        },
    )?;
    for (id, range) in &extremes {
        let name = &network.graph().layers[*id].name;
        ensure!(
            range.low.is_finite() && range.high.is_finite(),
            "{name}: its values on the calibration photos are not finite"
        );
        ensure!(
            range.high > range.low,
            "{name}: it is {} on every calibration photo",
            range.high
        );
    }
    let mut observed: BTreeMap<LayerId, Observed> = extremes
        .into_iter()
        .map(|(id, range)| {
            (
                id,
                Observed {
                    range,
                    histogram: Tensor::zeros([BINS], (Kind::Double, tch::Device::Cpu)),
                },
            )
        })
        .collect();
    each_batch(
        network,
        photos,
        normalization,
        "calibrating: histograms",
        |id, value| {
            if let Some(tensor) = observed.get_mut(&id) {
                tensor.add(value);
            }
        },
    )?;
    observed
        .iter()
        .map(|(&id, tensor)| Ok((id, tensor.best_range()?)))
        .collect()
}

pub(super) fn each_batch(
    network: &Network,
    photos: &Dataset,
    normalization: Normalization,
    what: &str,
    mut see: impl FnMut(LayerId, &Tensor),
) -> Result<()> {
    let bar = progress::bar(photos.len() as u64, what);
    let batch = photos_at_once(network.graph(), BATCH);
    for from in (0..photos.len()).step_by(batch) {
        let to = (from + batch).min(photos.len());
        let pixels = photos.slice(from, to).0.to_device(network.device());
        let input = normalize(&pixels, normalization);
        no_grad(|| {
            network.forward_each(&input, Mode::Eval, |id, value| {
                see(id, &value);
                value
            })
        })?;
        bar.inc((to - from) as u64);
    }
    bar.finish_and_clear();
    Ok(())
}

impl Observed {
    fn add(&mut self, value: &Tensor) {
        let flat = value.to_kind(Kind::Float).flatten(0, -1);
        let nonzero = flat.masked_select(&flat.not_equal(0.0));
        let width = f64::from(self.range.high - self.range.low) / BINS as f64;
        let bins = ((nonzero - f64::from(self.range.low)) / width)
            .to_kind(Kind::Int64)
            .clamp(0, BINS - 1);
        self.histogram += bins
            .bincount::<Tensor>(None, BINS)
            .to_kind(Kind::Double)
            .to_device(tch::Device::Cpu);
    }

    /// The clipped range with the least expected squared error.
    fn best_range(&self) -> Result<Range> {
        let counts = Vec::<f64>::try_from(&self.histogram)?;
        let width = f64::from(self.range.high - self.range.low) / BINS as f64;
        let centre = |bin: usize| f64::from(self.range.low) + (bin as f64 + 0.5) * width;
        let error_of = |share: f64| {
            let (low, high) = (
                f64::from(self.range.low.min(0.0)) * share,
                f64::from(self.range.high.max(0.0)) * share,
            );
            let step = (high - low) / 255.0;
            let of_bin = |(bin, count): (usize, &f64)| {
                let value = centre(bin);
                let clipped = value - value.clamp(low, high);
                count
                    * (clipped * clipped
                        + if clipped == 0.0 {
                            step * step / 12.0
                        } else {
                            0.0
                        })
            };
            counts.iter().enumerate().map(of_bin).sum::<f64>()
        };
        let shares = (0..=CANDIDATES).map(|i| 0.25 + 0.75 * i as f64 / CANDIDATES as f64);
        let best = shares
            .map(|share| (error_of(share), share))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        let share = best.map_or(1.0, |(_, share)| share) as f32;
        Ok(Range {
            low: self.range.low.min(0.0) * share,
            high: self.range.high.max(0.0) * share,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn observed(values: &[f32], low: f32, high: f32) -> Observed {
        let range = Range { low, high };
        let mut o = Observed {
            range,
            histogram: Tensor::zeros([BINS], (Kind::Double, Device::Cpu)),
        };
        o.add(&Tensor::from_slice(values));
        o
    }

    #[test]
    fn an_outlier_is_clipped_and_a_uniform_range_is_not() {
        let uniform: Vec<f32> = (0..1_000_000).map(|i| i as f32 / 999_999.0).collect();
        assert!(observed(&uniform, 0.0, 1.0).best_range().unwrap().high > 0.98);
        // Cutting 1.5 to 1 costs 0.25 once; keeping it costs (1.5² - 1²) / 255² / 12 a million times, 1.6.
        let mut outlier = uniform.clone();
        outlier.push(1.5);
        let range = observed(&outlier, 0.0, 1.5).best_range().unwrap();
        assert!(range.high > 0.98 && range.high < 1.1, "{range:?}");
        // Zeros are exact however wide the range: a million of them must not narrow it.
        let mut sparse = vec![0.0_f32; 1_000_000];
        sparse.extend([0.5, 1.0, 1.5]);
        assert!(observed(&sparse, 0.0, 1.5).best_range().unwrap().high > 1.45);
    }
}
