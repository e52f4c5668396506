//! Where the int8 network's error comes from, layer by layer.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, no_grad};

use super::Quantized;
use super::choose::{Choices, Chosen};
use super::simulate::{rounded_network, run_rounded};
use crate::backbones::Normalization;
use crate::data::Dataset;
use crate::graph::LayerId;
use crate::network::{Mode, Network};
use crate::progress;
use crate::train::measure::normalize;
use crate::weights::Weights;

/// Photos a pass: two networks' values are kept.
const BATCH: usize = 4;

/// One layer of the int8 network beside the float one. Signal-to-noise ratios are in decibels; `None` where there is no
/// noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerNoise {
    /// Its name.
    pub layer: String,
    /// Of its weights, rounded.
    pub weights_db: Option<f64>,
    /// Of its value, by rounding it alone.
    pub rounding_db: Option<f64>,
    /// Of its value, by all that was rounded up to here.
    pub cumulative_db: Option<f64>,
    /// Share of its values that lie outside its levels.
    pub clipped: f64,
    /// How its range was chosen, where it has one of its own.
    pub range: Option<String>,
    /// The mean squared change of a logit by storing this value alone, in first order.
    pub logit_error: Option<f64>,
}

/// Squares summed over all photos.
#[derive(Clone, Copy, Default)]
struct Sums {
    signal: f64,
    rounding: f64,
    cumulative: f64,
    outside: f64,
    values: f64,
}

/// What every layer of a folded network adds. `float` and `weights`: the network that was quantized; `choices`: how its
/// ranges were found.
pub fn layers(
    float: &Network,
    weights: &Weights,
    quantized: &Quantized,
    choices: &Choices,
    photos: &Dataset,
    normalization: Normalization,
) -> Result<Vec<LayerNoise>> {
    let graph = float.graph();
    let rounded = rounded_network(graph, quantized, float.device())?;
    let mut sums: BTreeMap<LayerId, Sums> = BTreeMap::new();
    let bar = progress::bar(photos.len() as u64, "noise by layer");
    for from in (0..photos.len()).step_by(BATCH) {
        let to = (from + BATCH).min(photos.len());
        let pixels = photos.slice(from, to).0.to_device(float.device());
        let input = normalize(&pixels, normalization);
        let mut exact: BTreeMap<LayerId, Tensor> = BTreeMap::new();
        no_grad(|| {
            float.forward_each(&input, Mode::Eval, |id, value| {
                exact.insert(id, value.shallow_clone());
                value
            })
        })?;
        run_rounded(&rounded, quantized, &input, |id, before, after| {
            let Some(exact) = exact.remove(&id) else {
                return;
            };
            let sum = |x: Tensor| x.sum(Kind::Double).double_value(&[]);
            let all = sums.entry(id).or_default();
            all.signal += sum(exact.square());
            all.cumulative += sum((after - &exact).square());
            all.values += exact.numel() as f64;
            if let Some(activation) = quantized.activations.get(&id) {
                all.rounding += sum((after - before).square());
                let [low, high] = activation.bounds();
                let outside = before.lt(low).logical_or(&before.gt(high));
                all.outside += sum(outside.to_kind(Kind::Float));
            }
        })?;
        bar.inc((to - from) as u64);
    }
    bar.finish_and_clear();
    let decibels = |signal: f64, noise: f64| {
        (noise > 0.0 && signal > 0.0).then(|| 10.0 * (signal / noise).log10())
    };
    let of_layer = |(id, sums): (LayerId, Sums)| {
        let name = &graph.layers[id].name;
        let weights_db = match quantized.layers.get(&id) {
            None => None,
            Some(layer) => {
                let name = format!("{name}.weight");
                let exact = weights.get(&name);
                let exact = exact.with_context(|| format!("{name} is missing"))?;
                let (mut signal, mut noise) = (0.0, 0.0);
                for (exact, rounded) in exact.data.iter().zip(&layer.real_weight().data) {
                    signal += f64::from(*exact).powi(2);
                    noise += f64::from(exact - rounded).powi(2);
                }
                decibels(signal, noise)
            }
        };
        let chosen = choices
            .get(id)
            .filter(|_| quantized.activations.contains_key(&id));
        Ok(LayerNoise {
            layer: name.clone(),
            weights_db,
            rounding_db: decibels(sums.signal, sums.rounding),
            cumulative_db: decibels(sums.signal, sums.cumulative),
            clipped: sums.outside / sums.values,
            range: chosen.map(Chosen::way),
            logit_error: chosen.map(|chosen| chosen.logit_error),
        })
    };
    sums.into_iter().map(of_layer).collect()
}
