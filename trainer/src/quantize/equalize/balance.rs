//! How far channels are brought together: by what leaves least noise in what kernels give.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

use super::channels::{Channels, sum};
use super::ties::{TieId, Ties, is_kernel, passes};
use crate::graph::{Connection, Graph, LayerId, Op};
use crate::quantize::stored::{keeps_own, scale_groups, sources, stored_values};
use crate::weights::{Array, Weights};

/// How far channels are brought together, if they are: a quarter, ..., all the way.
const EXTENTS: [f64; 4] = [0.25, 0.5, 0.75, 1.0];
/// Before a ReLU6 the largest value that was seen of a channel stays below the largest of all by this factor.
const HEADROOM: f64 = 1.25;
/// Channels grow by this much at most beside the largest; beyond, one is all but dead.
const LARGEST_GROWTH: f64 = 1e3;
/// Passes over all ties: of those that share a scale in a concatenation, what is best for one depends on the others.
const ROUNDS: usize = 2;

/// What noise depends on.
pub struct Balance<'a> {
    graph: &'a Graph,
    ties: &'a Ties,
    seen: &'a BTreeMap<LayerId, Channels>,
    /// Where values come from, past what only moves them.
    sources: Vec<LayerId>,
    /// Values that are stored, by what shares a scale.
    groups: BTreeMap<LayerId, Vec<LayerId>>,
    /// For each tie the groups it has a part in.
    groups_of: Vec<BTreeSet<LayerId>>,
    /// Kernels that read.
    readers: Vec<Reader<'a>>,
    /// For each tie the readers of what shares a scale with it.
    readers_of: Vec<BTreeSet<usize>>,
}

/// A kernel that reads a map.
struct Reader<'a> {
    kernel: &'a Array,
    /// Whether each of its outputs reads all channels.
    dense: bool,
    /// What it reads.
    input: LayerId,
    /// Of the channels that it reads.
    mean_square: &'a [f64],
}

impl<'a> Balance<'a> {
    /// For the folded network `graph`, `weights`, whose values were `seen`.
    pub fn new(
        graph: &'a Graph,
        weights: &'a Weights,
        ties: &'a Ties,
        seen: &'a BTreeMap<LayerId, Channels>,
    ) -> Result<Balance<'a>> {
        let of_layer = scale_groups(graph);
        let mut groups: BTreeMap<LayerId, Vec<LayerId>> = BTreeMap::new();
        let mut groups_of = vec![BTreeSet::new(); ties.all.len()];
        for id in stored_values(graph) {
            groups.entry(of_layer[id]).or_default().push(id);
            for &tie in ties.of_map(id) {
                groups_of[tie].insert(of_layer[id]);
            }
        }
        let mut readers = Vec::new();
        let mut reading = vec![BTreeSet::new(); ties.all.len()];
        for (id, layer) in graph.layers.iter().enumerate() {
            let input = match layer.inputs.first() {
                Some(&input) if is_kernel(&layer.op) => input,
                _ => continue,
            };
            let read = ties.of_map(input);
            if !read.iter().any(|&tie| ties.all[tie].free) {
                continue;
            }
            for &tie in read {
                reading[tie].insert(readers.len());
            }
            let name = format!("{}.weight", layer.name);
            let seen = seen.get(&input).context("a map that was not seen")?;
            readers.push(Reader {
                kernel: weights
                    .get(&name)
                    .with_context(|| format!("{name} is missing"))?,
                dense: !takes_channels_alone(graph, id),
                input,
                mean_square: &seen.mean_square,
            });
        }
        // A tie that grows can make the levels of its whole group larger.
        let readers_of = groups_of.iter().map(|of_tie| {
            let values = of_tie.iter().flat_map(|group| &groups[group]);
            let ties = values.flat_map(|&value| ties.of_map(value));
            ties.flat_map(|&tie| reading[tie].iter().copied()).collect()
        });
        Ok(Balance {
            graph,
            ties,
            seen,
            sources: sources(graph),
            readers_of: readers_of.collect(),
            groups,
            groups_of,
            readers,
        })
    }

    /// By what each tie's channels are divided where they are written.
    pub fn factors(&self) -> Vec<Vec<f64>> {
        let mut setting = self.plain();
        let ties = 0..self.ties.all.len();
        let candidates = ties.map(|tie| self.candidates(tie, &setting));
        let candidates: Vec<Vec<Vec<f64>>> = candidates.collect();
        for _ in 0..ROUNDS {
            for (tie, candidates) in candidates.iter().enumerate() {
                let noises = candidates.iter().map(|candidate| {
                    self.set(tie, candidate, &mut setting);
                    self.noise(tie, &setting)
                });
                let noises: Vec<f64> = noises.collect();
                let best = (0..noises.len()).min_by(|&a, &b| noises[a].total_cmp(&noises[b]));
                if let Some(best) = best {
                    self.set(tie, &candidates[best], &mut setting);
                }
            }
        }
        setting.factors
    }

    /// Without factors.
    fn plain(&self) -> Setting {
        let ones = self.ties.all.iter().map(|tie| vec![1.0; tie.channels]);
        let mut setting = Setting {
            factors: ones.collect(),
            bounds: vec![[0.0; 2]; self.graph.layers.len()],
        };
        for values in self.groups.values() {
            self.bound(values, &mut setting);
        }
        setting
    }

    /// Factors that a tie can have; none where it cannot have any but one.
    fn candidates(&self, tie: TieId, plain: &Setting) -> Vec<Vec<f64>> {
        let of = &self.ties.all[tie];
        if !of.free {
            return Vec::new();
        }
        // Each channel's part of what it shares a scale with: of the range, or of the strongest channel.
        let (mut by_range, mut by_power) = (vec![0.0_f64; of.channels], vec![0.0_f64; of.channels]);
        for values in self.groups_of[tie].iter().map(|group| &self.groups[group]) {
            let own = self.own_bounds(values, plain);
            let whole = union(&own);
            let powers = values.iter().flat_map(|id| &self.seen[id].mean_square);
            let most = powers.fold(f64::MIN_POSITIVE, |a, &b| a.max(b));
            for (&id, own) in values.iter().zip(own) {
                // What it is joined with may exceed what a ReLU6 lets through.
                let bounds = if of.clipped { own } else { whole };
                let value = &self.seen[&id];
                for (at, place) in self.ties.places(id, tie).into_iter().enumerate() {
                    let channel = at % of.channels;
                    let power = (value.mean_square[place] / most).sqrt();
                    by_range[channel] = by_range[channel].max(value.share(place, bounds));
                    by_power[channel] = by_power[channel].max(power);
                }
            }
        }
        let ways = match of.clipped {
            true => vec![by_range.iter().map(|share| share * HEADROOM).collect()],
            false => vec![by_range, by_power],
        };
        let to = |shares: &Vec<f64>, extent: f64| -> Vec<f64> {
            let bounded = shares.iter().map(|s| s.clamp(1.0 / LARGEST_GROWTH, 1.0));
            bounded.map(|share| share.powf(extent)).collect()
        };
        let mut candidates = vec![vec![1.0; of.channels]];
        for shares in &ways {
            candidates.extend(EXTENTS.map(|extent| to(shares, extent)));
        }
        candidates
    }

    fn set(&self, tie: TieId, factors: &[f64], setting: &mut Setting) {
        setting.factors[tie].copy_from_slice(factors);
        for group in &self.groups_of[tie] {
            self.bound(&self.groups[group], setting);
        }
    }

    /// Finds the bounds of values that share a scale.
    fn bound(&self, values: &[LayerId], setting: &mut Setting) {
        let own = self.own_bounds(values, setting);
        let whole = union(&own);
        for (&id, own) in values.iter().zip(own) {
            let op = &self.graph.layers[id].op;
            setting.bounds[id] = match keeps_own(op, [own, whole].map(width)) {
                true => own,
                false => whole,
            };
        }
    }

    /// The bounds that values would have by themselves.
    fn own_bounds(&self, values: &[LayerId], setting: &Setting) -> Vec<[f64; 2]> {
        let own = |&id: &LayerId| {
            let factors = self.ties.spread(id, &setting.factors);
            self.seen[&id].extremes(&factors)
        };
        values.iter().map(own).collect()
    }

    /// Noise in what kernels give that read a tie or what shares a scale with it, relative to the power of what they give.
    fn noise(&self, tie: TieId, setting: &Setting) -> f64 {
        let of_reader = |reader: &Reader| {
            let factors = self.ties.spread(reader.input, &setting.factors);
            reader.noise(&factors, &self.arriving(reader.input, setting))
        };
        let readers = self.readers_of[tie].iter();
        readers
            .map(|&reader| of_reader(&self.readers[reader]))
            .sum()
    }

    /// Squared levels by which each channel of a value was rounded since kernels wrote it, in the units of the value as it
    /// is without factors.
    fn arriving(&self, id: LayerId, setting: &Setting) -> Vec<f64> {
        let layer = &self.graph.layers[id];
        let rounding = |id: LayerId, bounds: [f64; 2]| -> Vec<f64> {
            let level = width(bounds) / 255.0;
            let factors = self.ties.spread(id, &setting.factors).into_iter();
            factors.map(|factor| (level * factor).powi(2)).collect()
        };
        let arriving = layer
            .inputs
            .iter()
            .map(|&input| self.arriving(input, setting));
        let bounds = setting.bounds[id];
        match layer.op {
            // Parts that have its scale are written in place.
            Op::Concat => {
                let parts = layer.inputs.iter().zip(arriving);
                let parts = parts.map(|(&part, arriving)| {
                    let there = setting.bounds[self.sources[part]] == bounds;
                    let again = if there { [0.0; 2] } else { bounds };
                    sum([arriving, rounding(part, again)])
                });
                parts.flatten().collect()
            }
            ref op if passes(op) => sum(arriving.chain([rounding(id, bounds)])),
            _ => rounding(id, bounds),
        }
    }
}

/// Factors, and what comes of them.
struct Setting {
    /// By what each tie's channels are divided.
    factors: Vec<Vec<f64>>,
    /// By layer the real values of the lowest and the highest level; zeros where nothing is stored with a range of its own.
    bounds: Vec<[f64; 2]>,
}

fn width([low, high]: [f64; 2]) -> f64 {
    high - low
}

fn union(bounds: &[[f64; 2]]) -> [f64; 2] {
    bounds.iter().fold([0.0_f64; 2], |[low, high], other| {
        [low.min(other[0]), high.max(other[1])]
    })
}

impl Reader<'_> {
    /// Noise in what it gives, relative to the power of what it gives, when channels are divided by `factors` before and
    /// arrive rounded by levels of these squares: of these levels, and of its own.
    fn noise(&self, factors: &[f64], arriving: &[f64]) -> f64 {
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
                let (mut most, mut energy) = (0.0_f32, 0.0_f32);
                for &value in values {
                    most = most.max(value.abs());
                    energy += value * value;
                }
                largest = largest.max(f64::from(most) * factor);
                read += f64::from(energy) * arriving[channel];
                signal += f64::from(energy) * square;
                power += taps as f64 * square / (factor * factor);
            }
            let own = largest / 127.0;
            let noise = (read + own * own * power) / 12.0;
            // What says nothing on the photos has nothing to lose.
            if signal > 0.0 { noise / signal } else { 0.0 }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Padding;

    fn seen(low: f64, high: &[f64]) -> Channels {
        Channels {
            low: vec![low; high.len()],
            high: high.to_vec(),
            mean: high.iter().map(|high| high / 4.0).collect(),
            mean_square: high.iter().map(|high| high * high / 4.0).collect(),
        }
    }

    fn conv(connection: Connection) -> Op {
        Op::Conv {
            connection,
            kernel: 1,
            stride: 1,
            padding: Padding::default(),
            bias: true,
        }
    }

    /// Two kernels side by side, of two outputs each, that one kernel reads.
    fn joined(reader: Connection) -> (Graph, Weights) {
        let mut graph = Graph::new([4, 4, 3]);
        let two = Connection::Dense { filters: 2 };
        let a = graph.push("a", conv(two), 0);
        let b = graph.push("b", conv(two), 0);
        let both = graph.join("both", Op::Concat, &[a, b]);
        let c = graph.push("c", conv(reader), both);
        graph.push("relu", Op::Relu, c);
        let kernel = graph.layer_parameters(c).remove(0);
        let values = vec![1.0; kernel.shape.iter().product()];
        let weights = [(kernel.name, Array::new(kernel.shape, values))];
        (graph, weights.into())
    }

    fn all_seen(graph: &Graph, a: [f64; 2], b: [f64; 2]) -> BTreeMap<LayerId, Channels> {
        let values = [
            ("a", a.to_vec()),
            ("b", b.to_vec()),
            ("both", [a, b].concat()),
        ];
        let mut all: BTreeMap<LayerId, Channels> = values
            .map(|(name, high)| (graph.find(name).unwrap(), seen(0.0, &high)))
            .into();
        let relu = graph.find("relu").unwrap();
        all.insert(relu, seen(0.0, &vec![1.0; graph.shapes[relu][2]]));
        all
    }

    fn assert_near(found: &[f64], wanted: &[f64]) {
        let pairs = found.iter().zip(wanted);
        let near = pairs.map(|(a, b)| (a - b).abs() < 1e-12 * b.abs());
        assert!(
            found.len() == wanted.len() && near.fold(true, |a, b| a & b),
            "{found:?} {wanted:?}"
        );
    }

    /// Factors of the channels of both parts, and the noise without and with them.
    fn balanced(reader: Connection, a: [f64; 2], b: [f64; 2]) -> (Vec<f64>, [f64; 2]) {
        let (graph, weights) = joined(reader);
        let seen = all_seen(&graph, a, b);
        let ties = Ties::of(&graph);
        let balance = Balance::new(&graph, &weights, &ties, &seen).unwrap();
        let (plain, mut balanced) = (balance.plain(), balance.plain());
        let parts = ["a", "b"].map(|name| ties.of_map(graph.find(name).unwrap())[0]);
        let factors = balance.factors();
        for tie in parts {
            balance.set(tie, &factors[tie], &mut balanced);
        }
        let noise = [&plain, &balanced].map(|setting| balance.noise(parts[0], setting));
        (parts.map(|tie| factors[tie].clone()).concat(), noise)
    }

    #[test]
    fn parts_of_a_concatenation_are_brought_together() {
        let growth = [1.0_f64, 16.0, 2.0, 2.0];
        // Reading channel by channel costs nothing; where all are read together half of the way pays.
        let one = Connection::Dense { filters: 1 };
        for (reader, extent) in [(one, 0.5), (Connection::Depthwise, 1.0)] {
            let (factors, [before, after]) = balanced(reader, [8.0, 0.5], [4.0, 4.0]);
            assert_near(&factors, &growth.map(|growth| growth.powf(-extent)));
            assert!(after < 0.8 * before, "{reader:?}: {before} to {after}");
        }
    }

    #[test]
    fn narrow_parts_and_dead_channels_are_not_in_the_way() {
        // So narrow that it would keep a scale of its own, and be rounded once more where it is joined.
        let (factors, [before, after]) = balanced(Connection::Depthwise, [8.0, 8.0], [1.0, 1.0]);
        assert_near(&factors, &[1.0, 1.0, 0.125, 0.125]);
        assert!(after < 0.1 * before, "{before} to {after}");
        let (factors, [before, after]) = balanced(Connection::Depthwise, [8.0, 0.0], [4.0, 4.0]);
        assert_near(&factors[2..], &[0.5, 0.5]);
        assert!(after < before && before.is_finite(), "{before} to {after}");
    }

    #[test]
    fn what_a_relu6_clips_stays_below_it() {
        let mut graph = Graph::new([4, 4, 3]);
        let two = Connection::Dense { filters: 2 };
        let a = graph.push("a", conv(two), 0);
        let a = graph.push("a6", Op::Relu6, a);
        let b = graph.push("b", conv(two), 0);
        let both = graph.join("both", Op::Concat, &[a, b]);
        let c = graph.push("c", conv(Connection::Depthwise), both);
        let relu = graph.push("relu", Op::Relu, c);
        let kernel = graph.layer_parameters(c).remove(0);
        let weights = [(kernel.name, Array::new(kernel.shape, vec![1.0; 4]))].into();
        let high = [[5.0, 1.0], [12.0, 12.0]];
        let values = [
            (a, high[0].to_vec()),
            (b, high[1].to_vec()),
            (both, high.concat()),
        ];
        let mut all = BTreeMap::from(values.map(|(id, high)| (id, seen(0.0, &high))));
        all.insert(relu, seen(0.0, &[1.0; 4]));
        let ties = Ties::of(&graph);
        let factors = Balance::new(&graph, &weights, &ties, &all)
            .unwrap()
            .factors();
        assert_near(&factors[ties.of_map(a)[0]], &[1.0, HEADROOM / 5.0]);
    }

    #[test]
    fn roundings_add_up_in_sums_and_count_once_in_concatenations() {
        let (mut graph, weights) = joined(Connection::Dense { filters: 1 });
        let [a, b, both] = ["a", "b", "both"].map(|name| graph.find(name).unwrap());
        let sum = graph.join("sum", Op::Add, &[a, b]);
        graph.push("pool", Op::GlobalAveragePool, sum);
        let mut all = all_seen(&graph, [8.0, 0.5], [4.0, 4.0]);
        all.insert(sum, seen(-1.0, &[9.0, 1.5]));
        let ties = Ties::of(&graph);
        let balance = Balance::new(&graph, &weights, &ties, &all).unwrap();
        let setting = balance.plain();
        let level = |width: f64| (width / 255.0).powi(2);
        assert_near(&balance.arriving(both, &setting), &[level(8.0); 4]);
        let summed = level(8.0) + level(8.0) + level(10.0);
        assert_near(&balance.arriving(sum, &setting), &[summed; 2]);
    }
}
