//! Quantization-aware fine-tuning (Jacob et al. 2018, arXiv:1712.05877, section 3; Nagel et al. 2021, arXiv:2106.08295,
//! section 4): the int8 network learns the float network's logits.
//!
//! Weights and values are rounded on the way forward and not on the way back (the straight-through estimator of Bengio et
//! al. 2013, arXiv:1308.3432); what is clipped has no gradient. The float network teaches, so labels are not needed. Weights
//! are learned in levels and biases in the levels of what they are added to, so that one rate fits all layers.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use tch::{Device, Kind, Tensor};

use super::{Activation, Layer, Quantized, WEIGHT_LEVELS as LEVELS};
use crate::backbones::Normalization;
use crate::data::Dataset;
use crate::graph::LayerId;
use crate::network::{Mode, Network, to_tensor};
use crate::progress;
use crate::train::measure::{normalize, outputs};
use crate::train::optimizer::AdamW;

const EPOCHS: usize = 2;
const BATCH: usize = 16;
/// Levels a step, at first; it falls to nothing as a cosine.
const LEARNING_RATE: f64 = 0.005;
/// Where the photos' order comes from.
const SEED: i64 = 1;

/// Teaches `quantized` the logits of the folded network `float` on `photos`; scales stay.
pub fn fine_tune(
    float: &Network,
    quantized: &mut Quantized,
    photos: &Dataset,
    normalization: Normalization,
) -> Result<()> {
    let (graph, device) = (float.graph(), float.device());
    let what = "fine-tuning: what to learn";
    let wanted = outputs(float, photos, normalization, what)?.to_device(device);
    let learned: BTreeMap<LayerId, Learned> = quantized
        .layers
        .iter()
        .map(|(&id, layer)| (id, Learned::of(layer, device)))
        .collect();
    let name = |id: LayerId, suffix: &str| format!("{}.{suffix}", graph.layers[id].name);
    let named: BTreeMap<String, &Tensor> = learned
        .iter()
        .flat_map(|(&id, layer)| {
            [
                (name(id, "weight"), &layer.weight),
                (name(id, "bias"), &layer.bias),
            ]
        })
        .collect();
    let mut optimizer = AdamW::new(
        named.iter().map(|(name, &tensor)| (name.as_str(), tensor)),
        0.0,
    );

    let batch = BATCH.min(photos.len());
    let (batches, steps) = (photos.len() / batch, EPOCHS * (photos.len() / batch));
    let bar = progress::bar(steps as u64, "fine-tuning");
    tch::manual_seed(SEED);
    let mut order = Vec::new();
    for step in 0..steps {
        if step % batches == 0 {
            let shuffled = Tensor::randperm(photos.len() as i64, (Kind::Int64, Device::Cpu));
            order = shuffled.split(batch as i64, 0);
        }
        let picked = &order[step % batches];
        let pixels = photos.pick(picked, device).0;
        let mut parameters = BTreeMap::new();
        for (&id, layer) in &learned {
            parameters.insert(name(id, "weight"), layer.real_weight());
            parameters.insert(name(id, "bias"), layer.real_bias());
        }
        let rounded = float.with(parameters);
        let mut logits = None;
        rounded.forward_each(
            &normalize(&pixels, normalization),
            Mode::Eval,
            |id, value| {
                let value = match quantized.activations.get(&id) {
                    Some(activation) if id != 0 => round_through(&value, activation),
                    _ => value,
                };
                if id == graph.output() {
                    logits = Some(value.flatten(1, -1));
                }
                value
            },
        )?;
        let logits = logits.context("a network without an output")?;
        let wanted = wanted.index_select(0, &picked.to_device(device));
        let loss = (logits - wanted).square().mean(Kind::Float);
        let progress = step as f64 / steps as f64;
        let rate = LEARNING_RATE * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
        optimizer.backward_step(&loss, rate);
        bar.inc(1);
    }
    bar.finish_and_clear();
    for (id, layer) in learned {
        let quantized = quantized.layers.get_mut(&id);
        let quantized = quantized.context("a layer without weights has learned")?;
        layer
            .store(quantized)
            .with_context(|| graph.layers[id].name.clone())?;
    }
    Ok(())
}

/// What is learned of one layer.
struct Learned {
    /// In levels.
    weight: Tensor,
    /// Added to the bias, in levels of the input times the largest weight.
    bias: Tensor,
    first_bias: Tensor,
    /// Size of a level, `[out, 1, …]`.
    scale: Tensor,
    /// Of what `bias` counts, `[out]`.
    bias_scale: Tensor,
}

impl Learned {
    fn of(layer: &Layer, device: Device) -> Learned {
        let shape: Vec<i64> = layer.shape.iter().map(|&d| d as i64).collect();
        let levels = Tensor::from_slice(&layer.weight).to_kind(Kind::Float);
        let scales = Tensor::from_slice(&layer.scales).to_device(device);
        let mut per_channel = vec![1; shape.len()];
        per_channel[0] = shape[0];
        let bias = to_tensor(&layer.real_bias()).to_device(device);
        Learned {
            weight: levels
                .reshape(shape)
                .to_device(device)
                .set_requires_grad(true),
            bias: bias.zeros_like().set_requires_grad(true),
            first_bias: bias,
            bias_scale: &scales * (LEVELS * f64::from(layer.input_scale)),
            scale: scales.reshape(per_channel),
        }
    }

    fn real_weight(&self) -> Tensor {
        let inside = self.weight.clamp(-LEVELS, LEVELS);
        straight_through(&inside, &inside.round()) * &self.scale
    }

    fn real_bias(&self) -> Tensor {
        &self.first_bias + &self.bias * &self.bias_scale
    }

    /// Writes what was learned into the layer.
    fn store(&self, layer: &mut Layer) -> Result<()> {
        let levels = self.weight.detach().clamp(-LEVELS, LEVELS).round();
        let levels = Vec::<f32>::try_from(levels.flatten(0, -1).to_device(Device::Cpu))?;
        let shift = (self.bias.detach() * &self.bias_scale).to_kind(Kind::Double);
        let shift = Vec::<f64>::try_from(shift.to_device(Device::Cpu))?;
        ensure!(
            levels.iter().all(|level| level.is_finite()),
            "fine-tuning made its weights not finite"
        );
        layer.weight = levels.iter().map(|&level| level as i8).collect();
        layer.shift_bias(&shift)
    }
}

/// A value as it is stored, with a gradient where it is not clipped.
fn round_through(value: &Tensor, activation: &Activation) -> Tensor {
    let [low, high] = activation.bounds();
    let inside = value.clamp(low, high);
    straight_through(&inside, &activation.round(&inside))
}

/// `rounded`, with the gradient of `value`.
fn straight_through(value: &Tensor, rounded: &Tensor) -> Tensor {
    value + (rounded - value).detach()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_clipped_has_no_gradient() {
        let activation = Activation {
            scale: 0.5,
            zero_point: 2,
        };
        let x = Tensor::from_slice(&[-9.0_f32, -1.0, 0.3, 126.0, 127.0]).set_requires_grad(true);
        let rounded = round_through(&x, &activation);
        let wanted = Tensor::from_slice(&[-1.0_f32, -1.0, 0.5, 126.0, 126.5]);
        assert_eq!(rounded, wanted);
        let sum = rounded.sum(Kind::Float);
        let gradient = Tensor::run_backward(&[sum], &[&x], false, false);
        assert_eq!(
            gradient[0],
            Tensor::from_slice(&[0.0_f32, 1.0, 1.0, 1.0, 0.0])
        );
    }
}
