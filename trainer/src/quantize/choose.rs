//! The range of each stored value: by one method, or by whichever method changes the logits least.
//!
//! What storing one tensor does to the logits is, in first order, the gradient times the error: for a random direction `v`
//! of the logits, `v·J e` is a sum over the tensor, and its square's mean over directions and photos is the squared change
//! of all logits (Hutchinson 1990's estimator). One backward pass serves all tensors and all methods. What is clipped is
//! taken so. Values are rounded independently of each other, so the square of their sum is the sum of squares on average,
//! which scatters far less.

use std::collections::BTreeMap;

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

/// A tensor's range and how it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    /// The method.
    pub method: Method,
    /// What it found.
    pub range: Range,
    /// The mean squared change of a logit by storing this tensor alone with this range, in first order.
    pub logit_error: f64,
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

    /// With ranges wider by this factor, as far as values can go; errors stay those of the ranges as they were chosen.
    pub fn widened(&self, graph: &Graph, factor: f32) -> Choices {
        let wider = |(&id, chosen): (&LayerId, &Chosen)| {
            let mut range = chosen.range.share(factor);
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

/// Ranges of all tensors that were observed, by the best of `methods` for each.
pub fn choose(
    network: &Network,
    photos: &Dataset,
    normalization: Normalization,
    observed: &BTreeMap<LayerId, Observed>,
    methods: &[Method],
) -> Result<Choices> {
    let candidates = observed.iter().map(|(&id, observed)| {
        let candidate = |&method: &Method| Chosen {
            method,
            range: method.range(observed),
            logit_error: 0.0,
        };
        (id, methods.iter().map(candidate).collect())
    });
    let mut candidates: BTreeMap<LayerId, Vec<Chosen>> = candidates.collect();
    add_errors(network, photos, normalization, &mut candidates)?;
    let best = |(id, candidates): (LayerId, Vec<Chosen>)| {
        let mut candidates = candidates.into_iter();
        let first = candidates.next()?;
        let best = candidates.fold(first, |best, other| {
            match other.logit_error < best.logit_error {
                true => other,
                false => best,
            }
        });
        Some((id, best))
    };
    Ok(Choices(candidates.into_iter().filter_map(best).collect()))
}

/// Fills in the error of each candidate of each tensor.
fn add_errors(
    network: &Network,
    photos: &Dataset,
    normalization: Normalization,
    candidates: &mut BTreeMap<LayerId, Vec<Chosen>>,
) -> Result<()> {
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
    use super::*;

    #[test]
    fn ranges_widen_as_far_as_values_go() {
        let mut graph = Graph::new([4, 4, 3]);
        let clipped = graph.push("clipped", Op::Relu6, 0);
        let open = graph.push("open", Op::Relu, clipped);
        let both_sides = graph.push("pool", Op::GlobalAveragePool, open);
        let chosen = |low, high| Chosen {
            method: Method::Percentile,
            range: Range { low, high },
            logit_error: 0.5,
        };
        let plain = [
            (clipped, chosen(0.0, 5.0)),
            (open, chosen(0.5, 5.0)),
            (both_sides, chosen(-2.0, 5.0)),
        ];
        let wider = Choices(plain.into()).widened(&graph, 2.0);
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
