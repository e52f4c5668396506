//! What photos make of every channel of a network's values.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use tch::{Kind, Tensor};

use super::ties::is_kernel;
use crate::backbones::Normalization;
use crate::data::Dataset;
use crate::graph::LayerId;
use crate::network::Network;
use crate::quantize::observe::each_batch;
use crate::quantize::stored::stored_values;

/// What was seen of a map's channels.
pub struct Channels {
    /// The lowest value of each.
    pub low: Vec<f64>,
    /// The highest one.
    pub high: Vec<f64>,
    /// The mean.
    pub mean: Vec<f64>,
    /// The mean of squares.
    pub mean_square: Vec<f64>,
}

/// The channels of every value that is stored or that kernels read.
pub fn observe(
    float: &Network,
    photos: &Dataset,
    normalization: Normalization,
) -> Result<BTreeMap<LayerId, Channels>> {
    let graph = float.graph();
    let kernels = graph.layers.iter().filter(|layer| is_kernel(&layer.op));
    let read = kernels.map(|kernel| kernel.inputs[0]);
    let wanted: BTreeSet<LayerId> = read.chain(stored_values(graph)).collect();
    let mut seen: BTreeMap<LayerId, [Tensor; 4]> = BTreeMap::new();
    let mut see = |id: LayerId, value: &Tensor| {
        if wanted.contains(&id) {
            let (over, n) = ([0_i64, 2, 3].as_slice(), value.size()[0] as f64);
            let sum = |x: &Tensor| x.mean_dim(over, false, Kind::Float) * n;
            let new = [
                value.amin(over, false),
                value.amax(over, false),
                sum(value),
                sum(&value.square()),
            ];
            let all = match seen.remove(&id) {
                None => new,
                Some([low, high, sum, squares]) => [
                    low.minimum(&new[0]),
                    high.maximum(&new[1]),
                    sum + &new[2],
                    squares + &new[3],
                ],
            };
            seen.insert(id, all);
        }
        Ok(())
    };
    each_batch(float, photos, normalization, "equalization", &mut see)?;
    let channels = |(id, [low, high, sum, squares]): (LayerId, [Tensor; 4])| {
        let numbers = |tensor: Tensor| Vec::<f64>::try_from(tensor.to_kind(Kind::Double));
        let channels = Channels {
            low: numbers(low)?,
            high: numbers(high)?,
            mean: numbers(sum / photos.len() as f64)?,
            mean_square: numbers(squares / photos.len() as f64)?,
        };
        Ok((id, channels))
    };
    seen.into_iter().map(channels).collect()
}

impl Channels {
    /// The lowest and the highest value of all channels, and of zero, when each is divided by its factor.
    pub fn extremes(&self, factors: &[f64]) -> [f64; 2] {
        let outermost = |values: &[f64], pick: fn(f64, f64) -> f64| {
            let scaled = values
                .iter()
                .zip(factors)
                .map(|(value, factor)| value / factor);
            scaled.fold(0.0, pick)
        };
        [
            outermost(&self.low, f64::min),
            outermost(&self.high, f64::max),
        ]
    }

    /// How much of the range from `lowest`, at most zero, to `highest`, zero at least, a channel takes up, on the side where
    /// it takes more.
    pub fn share(&self, channel: usize, [lowest, highest]: [f64; 2]) -> f64 {
        let share = |value: f64, outermost: f64| match outermost == 0.0 {
            true => 0.0,
            false => value / outermost,
        };
        share(self.low[channel], lowest)
            .max(share(self.high[channel], highest))
            .max(0.0)
    }

    /// Lowers each channel by its shift.
    pub fn lower_by(&mut self, shift: &[f64]) {
        for (channel, &shift) in shift.iter().enumerate() {
            self.low[channel] -= shift;
            self.high[channel] -= shift;
            self.mean_square[channel] += shift * (shift - 2.0 * self.mean[channel]);
            self.mean[channel] -= shift;
        }
    }
}

/// The sum of what several maps have for each channel.
pub fn sum(maps: impl IntoIterator<Item = Vec<f64>>) -> Vec<f64> {
    let add = |sum: Vec<f64>, map: Vec<f64>| sum.iter().zip(map).map(|(a, b)| a + b).collect();
    maps.into_iter().reduce(add).unwrap_or_default()
}
