//! Cross-layer equalization (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
//! Correction", arXiv:1906.04721, section 4.1), turned to activations: channels that stay small share the levels of the
//! largest one and are rounded coarsely, so the layers that write a channel write it larger, and the layers that read it
//! read it smaller by the same factor.
//!
//! Channels belong together along everything that scaling passes through: rectifiers, pools, padding, and sums, whose
//! terms all have to be scaled alike. Kernels have a scale per output channel, so writing larger costs nothing, and neither
//! does reading smaller in a depthwise convolution. A dense one has one scale for all that an output channel reads: how far
//! channels are brought together is what leaves least noise of both kinds. A ReLU6 clips at one value for all channels;
//! before one, channels grow up to a little less than the largest, so that values that were not seen are not clipped
//! either.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use tch::{Kind, Tensor};

use super::observe::each_batch;
use super::stored::stored_values;
use crate::backbones::Normalization;
use crate::data::Dataset;
use crate::graph::{Connection, Graph, LayerId, Op};
use crate::network::Network;
use crate::weights::{Array, Weights};

/// How far channels are brought together: none, ..., all the way.
const EXTENTS: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];
/// Before a ReLU6 the largest value that was seen of a channel stays below the largest of all by this factor.
const HEADROOM: f64 = 1.25;
/// Channels grow by this much at most beside the largest; beyond, one is all but dead.
const LARGEST_GROWTH: f64 = 1e3;

/// The weights of the folded network `float` after equalization; what it computes on `photos` stays the same.
pub fn equalize(
    float: &Network,
    weights: &Weights,
    photos: &Dataset,
    normalization: Normalization,
) -> Result<Weights> {
    let graph = float.graph();
    let bundles = bundles(graph);
    let seen = observe(float, photos, normalization, &bundles)?;
    let mut equalized = weights.clone();
    for bundle in &bundles {
        let factors = bundle.factors(graph, weights, &seen)?;
        bundle
            .apply(graph, &mut equalized, &factors)
            .with_context(|| graph.layers[bundle.writers[0]].name.clone())?;
    }
    Ok(equalized)
}

/// Maps whose channels are scaled alike.
#[derive(Debug, Default, PartialEq)]
struct Bundle {
    /// Kernels that write them.
    writers: Vec<LayerId>,
    /// Where they are stored.
    values: Vec<LayerId>,
    /// Kernels that read them.
    readers: Vec<LayerId>,
    /// Whether a ReLU6 is on the way.
    clipped: bool,
}

/// What was seen of a map's channels.
struct Channels {
    low: Vec<f64>,
    high: Vec<f64>,
    mean_square: Vec<f64>,
}

/// Every bundle that begins and ends at kernels.
fn bundles(graph: &Graph) -> Vec<Bundle> {
    let mut readers: Vec<Vec<LayerId>> = vec![Vec::new(); graph.layers.len()];
    for (id, layer) in graph.layers.iter().enumerate() {
        for &input in &layer.inputs {
            readers[input].push(id);
        }
    }
    let stored: BTreeSet<LayerId> = stored_values(graph).into_iter().collect();
    let writes = |id: LayerId| matches!(graph.layers[id].op, Op::Conv { .. } | Op::Scale);
    let mut done: BTreeSet<LayerId> = BTreeSet::new();
    let mut found = Vec::new();
    for writer in (0..graph.layers.len()).filter(|&id| writes(id)) {
        if done.contains(&writer) {
            continue;
        }
        let mut bundle = Bundle::default();
        let (mut maps, mut waiting) = (BTreeSet::new(), vec![writer]);
        let mut whole = true;
        while let Some(id) = waiting.pop() {
            if !maps.insert(id) {
                continue;
            }
            // Where the map comes from.
            if writes(id) {
                bundle.writers.push(id);
            } else if passes(&graph.layers[id].op) {
                waiting.extend(&graph.layers[id].inputs);
            } else {
                whole = false;
            }
            if stored.contains(&id) {
                bundle.values.push(id);
            }
            bundle.clipped |= graph.layers[id].op == Op::Relu6;
            // Where it goes.
            whole &= !readers[id].is_empty();
            for &reader in &readers[id] {
                match graph.layers[reader].op {
                    Op::Conv { .. } | Op::Dense { .. } | Op::Scale => bundle.readers.push(reader),
                    ref op if passes(op) => waiting.push(reader),
                    _ => whole = false,
                }
            }
        }
        done.extend(&bundle.writers);
        if whole {
            found.push(bundle);
        }
    }
    found
}

/// Whether scaled channels come out as channels scaled by the same factor.
fn passes(op: &Op) -> bool {
    matches!(
        op,
        Op::Relu
            | Op::Relu6
            | Op::Add
            | Op::Pad(_)
            | Op::Crop(_)
            | Op::MaxPool { .. }
            | Op::AveragePool { .. }
            | Op::GlobalAveragePool
    )
}

/// What the photos make of every channel that matters.
fn observe(
    float: &Network,
    photos: &Dataset,
    normalization: Normalization,
    bundles: &[Bundle],
) -> Result<BTreeMap<LayerId, Channels>> {
    let graph = float.graph();
    let read = bundles.iter().flat_map(|bundle| &bundle.readers);
    let inputs = read.map(|&reader| graph.layers[reader].inputs[0]);
    let values = bundles.iter().flat_map(|bundle| bundle.values.clone());
    let wanted: BTreeSet<LayerId> = values.chain(inputs).collect();
    let mut seen: BTreeMap<LayerId, [Tensor; 3]> = BTreeMap::new();
    let mut see = |id: LayerId, value: &Tensor| {
        if wanted.contains(&id) {
            let (over, n) = ([0_i64, 2, 3].as_slice(), value.size()[0] as f64);
            let squares = value.square().mean_dim(over, false, Kind::Float) * n;
            let new = [value.amin(over, false), value.amax(over, false), squares];
            let all = match seen.remove(&id) {
                None => new,
                Some([low, high, sum]) => {
                    let [new_low, new_high, new_sum] = new;
                    [
                        low.minimum(&new_low),
                        high.maximum(&new_high),
                        sum + new_sum,
                    ]
                }
            };
            seen.insert(id, all);
        }
        Ok(())
    };
    each_batch(float, photos, normalization, "equalization", &mut see)?;
    let channels = |(id, [low, high, sum]): (LayerId, [Tensor; 3])| {
        let numbers = |tensor: Tensor| Vec::<f64>::try_from(tensor.to_kind(Kind::Double));
        let channels = Channels {
            low: numbers(low.clamp_max(0.0))?,
            high: numbers(high.clamp_min(0.0))?,
            mean_square: numbers(sum / photos.len() as f64)?,
        };
        Ok((id, channels))
    };
    seen.into_iter().map(channels).collect()
}

impl Channels {
    /// The lowest and the highest value of all channels when each is divided by its factor.
    fn extremes(&self, factors: &[f64]) -> [f64; 2] {
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

    /// How much of all channels' range each takes up.
    fn shares(&self) -> Vec<f64> {
        let [lowest, highest] = self.extremes(&vec![1.0; self.low.len()]);
        let share = |value: f64, outermost: f64| match outermost == 0.0 {
            true => 0.0,
            false => value / outermost,
        };
        let each = self.low.iter().zip(&self.high);
        each.map(|(&low, &high)| share(low, lowest).max(share(high, highest)))
            .collect()
    }
}

impl Bundle {
    /// By what each channel is divided where it is written.
    fn factors(
        &self,
        graph: &Graph,
        weights: &Weights,
        seen: &BTreeMap<LayerId, Channels>,
    ) -> Result<Vec<f64>> {
        let of = |id: LayerId| seen.get(&id).context("a map that was not seen");
        let values = self.values.iter().map(|&id| of(id));
        let values = values.collect::<Result<Vec<&Channels>>>()?;
        let channels = graph.shapes[self.writers[0]][2];
        let readers = self.readers.iter().map(|&reader| {
            Ok(Reader {
                kernel: weight(weights, graph, reader)?,
                dense: !takes_channels_alone(graph, reader),
                mean_square: &of(graph.layers[reader].inputs[0])?.mean_square,
            })
        });
        let readers = readers.collect::<Result<Vec<Reader>>>()?;
        // Each channel's part of what it is shared with: of the range, or of the power.
        let largest = |of_value: &dyn Fn(&Channels) -> Vec<f64>| -> Vec<f64> {
            let mut all = vec![0.0_f64; channels];
            for value in &values {
                for (all, new) in all.iter_mut().zip(of_value(value)) {
                    *all = all.max(new);
                }
            }
            all
        };
        let by_range = largest(&Channels::shares);
        let by_power = largest(&|value: &Channels| {
            let most = value.mean_square.iter().fold(0.0_f64, |a, &b| a.max(b));
            let share = |&square: &f64| (square / most.max(f64::MIN_POSITIVE)).sqrt();
            value.mean_square.iter().map(share).collect()
        });
        let ways = match self.clipped {
            true => vec![by_range.iter().map(|share| share * HEADROOM).collect()],
            false => vec![by_range, by_power],
        };
        let to = |shares: &[f64], extent: f64| -> Vec<f64> {
            let bounded = shares.iter().map(|s| s.clamp(1.0 / LARGEST_GROWTH, 1.0));
            bounded.map(|share| share.powf(extent)).collect()
        };
        let candidates = ways
            .iter()
            .flat_map(|shares| EXTENTS.map(|extent| to(shares, extent)));
        let noise = |factors: &[f64]| -> f64 {
            let levels = values.iter().map(|value| {
                let [low, high] = value.extremes(factors);
                ((high - low) / 255.0).powi(2)
            });
            let levels: f64 = levels.sum();
            readers
                .iter()
                .map(|reader| reader.noise(factors, levels))
                .sum()
        };
        let best = candidates.min_by(|a, b| noise(a).total_cmp(&noise(b)));
        Ok(best.unwrap_or_else(|| vec![1.0; channels]))
    }

    /// Divides the channels where they are written, multiplies them where they are read.
    fn apply(&self, graph: &Graph, weights: &mut Weights, factors: &[f64]) -> Result<()> {
        for &writer in &self.writers {
            for suffix in ["weight", "bias"] {
                let array = parameter(weights, graph, writer, suffix)?;
                let row = array.data.len() / factors.len();
                for (values, factor) in array.data.chunks_exact_mut(row).zip(factors) {
                    scale(values, 1.0 / factor);
                }
            }
        }
        for &reader in &self.readers {
            let array = parameter(weights, graph, reader, "weight")?;
            let taps: usize = array.shape.iter().skip(2).product();
            let channels = factors.iter().cycle();
            for (values, factor) in array.data.chunks_exact_mut(taps).zip(channels) {
                scale(values, *factor);
            }
        }
        Ok(())
    }
}

/// A kernel that reads a bundle.
struct Reader<'a> {
    kernel: &'a Array,
    /// Whether each of its outputs reads all channels.
    dense: bool,
    /// Of the channels that it reads.
    mean_square: &'a [f64],
}

impl Reader<'_> {
    /// Noise in what it gives, relative to the power of what it gives, when channels are divided by `factors` before and
    /// stored with levels whose squares sum up to `levels`: of these levels, and of its own.
    fn noise(&self, factors: &[f64], levels: f64) -> f64 {
        let taps: usize = self.kernel.shape.iter().skip(2).product();
        let row = match self.dense {
            true => taps * factors.len(),
            false => taps,
        };
        let of_row = |(first, row): (usize, &[f32])| {
            let (mut largest, mut read, mut power, mut signal) = (0.0_f64, 0.0, 0.0, 0.0);
            for (at, values) in row.chunks_exact(taps).enumerate() {
                let channel = match self.dense {
                    true => at,
                    false => first,
                };
                let (factor, square) = (factors[channel], self.mean_square[channel]);
                for &value in values {
                    let value = f64::from(value);
                    largest = largest.max(value.abs() * factor);
                    read += (value * factor).powi(2);
                    signal += value * value * square;
                }
                power += taps as f64 * square / (factor * factor);
            }
            let own = largest / 127.0;
            let noise = (levels * read + own * own * power) / 12.0;
            noise / signal.max(f64::MIN_POSITIVE)
        };
        self.kernel
            .data
            .chunks_exact(row)
            .enumerate()
            .map(of_row)
            .sum()
    }
}

/// Whether each output of a layer reads one channel.
fn takes_channels_alone(graph: &Graph, id: LayerId) -> bool {
    match graph.layers[id].op {
        Op::Conv { connection, .. } => connection == Connection::Depthwise,
        Op::Scale => true,
        _ => false,
    }
}

fn weight<'a>(weights: &'a Weights, graph: &Graph, id: LayerId) -> Result<&'a Array> {
    let name = format!("{}.weight", graph.layers[id].name);
    weights
        .get(&name)
        .with_context(|| format!("{name} is missing"))
}

fn parameter<'a>(
    weights: &'a mut Weights,
    graph: &Graph,
    id: LayerId,
    suffix: &str,
) -> Result<&'a mut Array> {
    let name = format!("{}.{suffix}", graph.layers[id].name);
    let array = weights.get_mut(&name);
    array.with_context(|| format!("{name} is missing"))
}

fn scale(values: &mut [f32], factor: f64) {
    for value in values {
        *value = (f64::from(*value) * factor) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbones::Backbone;
    use crate::fold::fold;
    use crate::network::Precision;
    use crate::train::measure::outputs;
    use crate::weights::random;
    use tch::Device;

    fn conv(filters: usize) -> Op {
        Op::Conv {
            connection: Connection::Dense { filters },
            kernel: 1,
            stride: 1,
            padding: crate::graph::Padding::default(),
            bias: true,
        }
    }

    #[test]
    fn sums_scale_all_their_terms_alike() {
        let mut graph = Graph::new([4, 4, 3]);
        let a = graph.push("a", conv(2), 0);
        let b = graph.push("b", conv(2), a);
        let sum = graph.join("sum", Op::Add, &[a, b]);
        let relu = graph.push("relu", Op::Relu, sum);
        let c = graph.push("c", conv(3), relu);
        let pool = graph.push("pool", Op::GlobalAveragePool, c);
        let logits = graph.push("logits", Op::Dense { units: 2 }, pool);
        let found = bundles(&graph);
        assert_eq!(found.len(), 2);
        assert_eq!(
            (&found[0].writers, &found[0].readers.len()),
            (&vec![a, b], &2)
        );
        assert!(found[0].readers.contains(&b) && found[0].readers.contains(&c));
        assert_eq!(
            (&found[1].writers, &found[1].readers),
            (&vec![c], &vec![logits])
        );
        // Two maps side by side are not scaled.
        let mut joined = graph.clone();
        joined.join("joined", Op::Concat, &[sum, c]);
        assert_eq!(bundles(&joined), []);
    }

    #[test]
    fn the_network_computes_the_same_with_channels_of_one_magnitude() {
        let options = (Kind::Uint8, Device::Cpu);
        tch::manual_seed(2);
        let photos = Dataset {
            pixels: Tensor::randint(256, [4, 64, 64, 3], options),
            targets: Tensor::zeros([4], (Kind::Int64, Device::Cpu)),
            hashes: vec![[0; 32]; 4],
            paths: vec![std::path::PathBuf::new(); 4],
        };
        for backbone in [
            Backbone::MobileNetV2,
            Backbone::NasNetMobile,
            Backbone::DenseNet121,
        ] {
            let graph = backbone.classifier(64, 5, 0.0);
            let (graph, weights) = fold(&graph, &random(&graph, 9)).unwrap();
            let network = |weights: &Weights| {
                Network::new(graph.clone(), weights, Device::Cpu, Precision::F32).unwrap()
            };
            let (float, normalization) = (network(&weights), backbone.normalization());
            let equalized = equalize(&float, &weights, &photos, normalization).unwrap();
            let logits = |network: &Network| outputs(network, &photos, normalization, "").unwrap();
            let (before, after) = (logits(&float), logits(&network(&equalized)));
            let apart = (&before - after).abs().max() / before.abs().max();
            assert!(apart.double_value(&[]) < 1e-3, "{backbone}: {apart:?}");
            let found = bundles(&graph);
            let seen =
                |network: &Network| observe(network, &photos, normalization, &found).unwrap();
            let filled = |seen: BTreeMap<LayerId, Channels>| {
                let shares = seen.values().flat_map(Channels::shares);
                let shares: Vec<f64> = shares.collect();
                shares.iter().sum::<f64>() / shares.len() as f64
            };
            let (before, after) = (filled(seen(&float)), filled(seen(&network(&equalized))));
            assert!(after > 1.1 * before, "{backbone}: {before} to {after}");
        }
    }
}
