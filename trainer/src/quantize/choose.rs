//! The range of each stored value: by one method, or by whichever method changes the logits least.
//!
//! Of a value that is rectified wherever it matters, levels below zero are wasted. So, where the method is not given, less
//! of the range is tried on that side, and taken if the logits change less.
//!
//! What storing one tensor does to the logits is, in first order, the gradient times the error: for a random direction `v`
//! of the logits, `v·J e` is a sum over the tensor, and its square's mean over directions and photos is the squared change
//! of all logits (Hutchinson 1990's estimator). One backward pass serves all tensors and all candidates. What is clipped is
//! taken so. Values are rounded independently of each other, so the square of their sum is the sum of squares on average,
//! which scatters far less.

use std::collections::BTreeMap;
use std::iter;

use anyhow::{Context, Result};
use tch::{Kind, Tensor};

use super::Activation;
use super::observe::Observed;
use super::range::{Method, Range};
use crate::backbones::Normalization;
use crate::data::Dataset;
use crate::graph::{Graph, LayerId, Op};
use crate::network::{Mode, Network};
use crate::progress;
use crate::train::measure::normalize;

/// Photos by which methods are compared.
const PHOTOS: usize = 256;
/// Of these, at most so many a pass.
const BATCH: usize = 16;
/// Bytes that a pass may keep for its way back, and how many copies of a value: itself and its gradient.
const PASS_BYTES: usize = 1 << 29;
const COPIES: usize = 2;
/// Where directions come from.
const SEED: i64 = 1;
/// How much of a range below zero is tried.
const BELOW_ZERO: [f32; 5] = [0.85, 0.7, 0.5, 0.3, 0.15];

/// A tensor's range and how it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    /// The method.
    pub method: Method,
    /// How much of what it found below zero is kept.
    pub below_zero: f32,
    /// What is left of what it found.
    pub range: Range,
    /// The mean squared change of a logit by storing this tensor alone with this range, in first order.
    pub logit_error: f64,
}

impl Chosen {
    /// How the range was found, as reports say it.
    pub fn way(&self) -> String {
        match self.below_zero == 1.0 {
            true => self.method.to_string(),
            false => format!("{}, {} below zero", self.method, self.below_zero),
        }
    }

    /// With less below zero, where there is any and something above it; the error is to be found anew.
    fn less_below_zero(&self) -> impl Iterator<Item = Chosen> + '_ {
        let Range { low, high } = self.range;
        let shares = BELOW_ZERO
            .into_iter()
            .filter(move |_| low < 0.0 && high > 0.0);
        shares.map(move |below_zero| Chosen {
            below_zero,
            range: Range {
                low: low * below_zero,
                high,
            },
            ..*self
        })
    }
}

/// The ranges of all tensors that were observed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choices(BTreeMap<LayerId, Chosen>);

impl Choices {
    /// What was chosen for a tensor.
    pub fn get(&self, id: LayerId) -> Option<&Chosen> {
        self.0.get(&id)
    }

    /// The ranges alone.
    pub fn ranges(&self) -> BTreeMap<LayerId, Range> {
        let all = self.0.iter();
        all.map(|(&id, chosen)| (id, chosen.range)).collect()
    }

    /// Of each tensor's candidates the one of the least error, of equal ones the first.
    fn least_error(candidates: Candidates) -> Choices {
        let least = |(id, candidates): (LayerId, Vec<Chosen>)| {
            let candidates = candidates.into_iter();
            let best = candidates.min_by(|a, b| a.logit_error.total_cmp(&b.logit_error));
            best.map(|best| (id, best))
        };
        Choices(candidates.into_iter().filter_map(least).collect())
    }

    /// With ranges wider by a factor each, as far as values can go; errors stay those of the ranges as they were chosen.
    pub fn widened(&self, graph: &Graph, factor: impl Fn(LayerId) -> f32) -> Choices {
        let wider = |(&id, chosen): (&LayerId, &Chosen)| {
            let mut range = chosen.range.share(factor(id));
            if graph.layers[id].op == Op::Relu6 {
                range.high = range.high.min(chosen.range.high.max(6.0));
            }
            (id, Chosen { range, ..*chosen })
        };
        Choices(self.0.iter().map(wider).collect())
    }

    /// All tensors, those that change the logits most first.
    pub fn worst_first(&self) -> Vec<LayerId> {
        let mut ids: Vec<LayerId> = self.0.keys().copied().collect();
        ids.sort_by(|a, b| self.0[b].logit_error.total_cmp(&self.0[a].logit_error));
        ids
    }
}

/// Ranges of all tensors that were observed, by the best of `methods` for each; of several methods' also with less below
/// zero.
pub fn choose(
    network: &Network,
    photos: &Dataset,
    normalization: Normalization,
    observed: &BTreeMap<LayerId, Observed>,
    methods: &[Method],
) -> Result<Choices> {
    let best = |mut candidates: Candidates| -> Result<Choices> {
        add_errors(network, photos, normalization, &mut candidates)?;
        Ok(Choices::least_error(candidates))
    };
    let of_methods = observed.iter().map(|(&id, observed)| {
        let candidate = |&method: &Method| Chosen {
            method,
            below_zero: 1.0,
            range: method.range(observed),
            logit_error: 0.0,
        };
        (id, methods.iter().map(candidate).collect())
    });
    let mut chosen = best(of_methods.collect())?;
    if methods.len() > 1 {
        let less = chosen.0.iter().map(|(&id, chosen)| {
            let whole = iter::once(chosen.clone());
            (id, whole.chain(chosen.less_below_zero()).collect())
        });
        let less = less.filter(|(_, candidates): &(_, Vec<Chosen>)| candidates.len() > 1);
        let less = best(less.collect())?;
        chosen.0.extend(less.0);
    }
    Ok(chosen)
}

/// Ranges to choose from, for each tensor.
type Candidates = BTreeMap<LayerId, Vec<Chosen>>;

/// Sets the error of each candidate.
fn add_errors(
    network: &Network,
    photos: &Dataset,
    normalization: Normalization,
    candidates: &mut Candidates,
) -> Result<()> {
    if candidates.is_empty() {
        return Ok(());
    }
    for candidate in candidates.values_mut().flatten() {
        candidate.logit_error = 0.0;
    }
    let photos = photos.take_evenly(PHOTOS);
    let batch = photos_with_gradients(network.graph(), COPIES, PASS_BYTES).min(BATCH);
    let logits = photos.len() * network.graph().output_shape()[2];
    let bar = progress::bar(photos.len() as u64, "calibrating: choosing ranges");
    tch::manual_seed(SEED);
    for from in (0..photos.len()).step_by(batch) {
        let to = (from + batch).min(photos.len());
        let pixels = photos.slice(from, to).0.to_device(network.device());
        let input = normalize(&pixels, normalization);
        let (mut values, mut along) = (Vec::new(), None);
        network.forward_each(&input, Mode::Eval, |id, value| {
            if candidates.contains_key(&id) {
                values.push((id, value.shallow_clone()));
            }
            if id == network.graph().output() {
                along = Some((value.randn_like() * &value).sum(Kind::Float));
            }
            value
        })?;
        let along = along.context("a network without an output")?;
        let wanted: Vec<&Tensor> = values.iter().map(|(_, value)| value).collect();
        let gradients = Tensor::run_backward(&[along], &wanted, false, false);
        for ((id, value), gradient) in values.iter().zip(&gradients) {
            let value = value.detach();
            for candidate in candidates.get_mut(id).into_iter().flatten() {
                let stored = Activation::covering(candidate.range);
                let [low, high] = stored.bounds();
                let clipped = value.clamp(low, high);
                let rounding = (stored.round(&value) - &clipped) * gradient;
                let clipping = ((clipped - &value) * gradient).flatten(1, -1);
                let clipping = clipping.sum_dim_intlist(1_i64, false, Kind::Double);
                let squares =
                    rounding.square().sum(Kind::Double) + clipping.square().sum(Kind::Double);
                candidate.logit_error += squares.double_value(&[]) / logits as f64;
            }
        }
        bar.inc((to - from) as u64);
    }
    bar.finish_and_clear();
    Ok(())
}

/// How many photos go through the network at once when so many copies of all its values are kept for the way back.
pub(super) fn photos_with_gradients(graph: &Graph, copies: usize, bytes: usize) -> usize {
    let shapes = graph.shapes.iter();
    let values: usize = shapes.map(|s| s.iter().product::<usize>()).sum();
    (bytes / (copies * values * size_of::<f32>()).max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::backbones::Backbone;
    use crate::graph::{Connection, Padding};
    use crate::network::Precision;
    use crate::quantize::observe;
    use crate::weights::random;

    #[test]
    fn levels_below_zero_go_where_nothing_reads_them() {
        let conv = |filters, bias| Op::Conv {
            connection: Connection::Dense { filters },
            kernel: 1,
            stride: 1,
            padding: Padding::default(),
            bias,
        };
        let mut graph = Graph::new([8, 8, 3]);
        let both = graph.push("both", conv(4, false), 0);
        let rectified = graph.push("rectified", Op::Relu, both);
        let raw = graph.push("raw", conv(4, false), both);
        let sum = graph.join("sum", Op::Add, &[rectified, raw]);
        let mean = graph.push("mean", Op::GlobalAveragePool, sum);
        graph.push("logits", Op::Dense { units: 3 }, mean);
        let photos = Dataset::noise([8, 8, 8, 3]);
        let normalization = Backbone::MobileNetV1.normalization();
        let chosen = |raw: f32, methods: &[Method]| {
            let mut weights = random(&graph, 3);
            let kernel = weights.get_mut("raw.weight").unwrap();
            kernel.data.iter_mut().for_each(|weight| *weight *= raw);
            let network = Network::new(graph.clone(), &weights, Device::Cpu, Precision::F32);
            let network = network.unwrap();
            let observed = observe(&network, &photos, normalization).unwrap();
            let choices = choose(&network, &photos, normalization, &observed, methods).unwrap();
            choices.get(both).unwrap().clone()
        };
        let deaf = chosen(1e-6, &Method::ALL);
        assert_eq!(deaf.below_zero, 0.15);
        assert!(deaf.range.low < 0.0, "{deaf:?}");
        assert!(deaf.way().ends_with(", 0.15 below zero"), "{}", deaf.way());
        let heard = chosen(10.0, &Method::ALL);
        assert!(heard.below_zero > 0.5, "{heard:?}");
        // A method that was asked for is not changed.
        let asked = chosen(1e-6, &[Method::Percentile]);
        assert_eq!(
            (asked.below_zero, asked.way().as_str()),
            (1.0, "percentile")
        );
    }

    #[test]
    fn ranges_widen_as_far_as_values_go() {
        let mut graph = Graph::new([4, 4, 3]);
        let clipped = graph.push("clipped", Op::Relu6, 0);
        let open = graph.push("open", Op::Relu, clipped);
        let both_sides = graph.push("pool", Op::GlobalAveragePool, open);
        let chosen = |low, high| Chosen {
            method: Method::Percentile,
            below_zero: 1.0,
            range: Range { low, high },
            logit_error: 0.5,
        };
        let plain = [
            (clipped, chosen(0.0, 5.0)),
            (open, chosen(0.5, 5.0)),
            (both_sides, chosen(-2.0, 5.0)),
        ];
        let wider = Choices(plain.into()).widened(&graph, |_| 2.0);
        let wanted = [
            (clipped, [0.0, 6.0]),
            (open, [0.0, 10.0]),
            (both_sides, [-4.0, 10.0]),
        ];
        for (id, [low, high]) in wanted {
            assert_eq!(wider.get(id), Some(&chosen(low, high)));
        }
    }
}
