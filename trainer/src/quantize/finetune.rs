//! Quantization-aware fine-tuning (Jacob et al. 2018, arXiv:1712.05877, section 3; Nagel et al. 2021, arXiv:2106.08295,
//! section 4): the int8 network learns the float network's logits.
//!
//! Values are rounded on the way forward and not on the way back (the straight-through estimator of Bengio et al. 2013,
//! arXiv:1308.3432); what is clipped has no gradient. The float network teaches, so labels are not needed. Biases learn, in
//! units of what they are added to, so that one rate fits all layers. Weights stay: in as many steps as a few hundred
//! photos are good for, none comes half a level far, and where those near the middle between two levels were let change
//! sides, most did so for nothing.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use tch::{Device, Kind, Tensor};

use super::choose::photos_with_gradients;
use super::simulate::rounded_network;
use super::{Activation, Layer, Quantized, WEIGHT_LEVELS};
use crate::backbones::Normalization;
use crate::data::Dataset;
use crate::graph::LayerId;
use crate::network::{Mode, Network, to_tensor};
use crate::progress;
use crate::train::measure::{normalize, outputs};
use crate::train::optimizer::{AdamW, Gradients};

const EPOCHS: usize = 2;
const BATCH: usize = 16;
/// Units a step, at first; it falls to nothing as a cosine.
const LEARNING_RATE: f64 = 0.005;
/// Bytes that a pass may keep for its way back, and how many copies of a value: before it is clamped, clamped, rounded.
const PASS_BYTES: usize = 1 << 32;
const COPIES: usize = 3;
/// Where the photos' order comes from.
const SEED: i64 = 1;

/// Teaches the biases of `quantized` the logits of the folded network `float` on `photos`.
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
    let name = |id: LayerId| format!("{}.bias", graph.layers[id].name);
    let named: Vec<(String, &Tensor)> = learned
        .iter()
        .map(|(&id, layer)| (name(id), &layer.shift))
        .collect();
    let named = named.iter().map(|(name, shift)| (name.as_str(), *shift));
    let mut optimizer = AdamW::new(named, 0.0);

    let rounded = rounded_network(graph, quantized, device)?;
    let batch = BATCH.min(photos.len());
    let part = photos_with_gradients(graph, COPIES, PASS_BYTES).min(batch);
    let (batches, steps) = (photos.len() / batch, EPOCHS * (photos.len() / batch));
    let bar = progress::bar(steps as u64, "fine-tuning");
    tch::manual_seed(SEED);
    let mut order = Vec::new();
    for step in 0..steps {
        if step % batches == 0 {
            let shuffled = Tensor::randperm(photos.len() as i64, (Kind::Int64, Device::Cpu));
            order = shuffled.split(batch as i64, 0);
        }
        let mut gradients: Option<Gradients> = None;
        for picked in order[step % batches].split(part as i64, 0) {
            let biases = learned.iter().map(|(&id, layer)| (name(id), layer.bias()));
            let network = rounded.with(biases.collect());
            let pixels = photos.pick(&picked.to_device(photos.pixels.device()));
            let pixels = normalize(&pixels.to_device(device), normalization);
            let logits = rounded_logits(&network, quantized, &pixels)?;
            let wanted = wanted.index_select(0, &picked.to_device(device));
            let share = wanted.size()[0] as f64 / batch as f64;
            let loss = (logits - wanted).square().mean(Kind::Float) * share;
            let of_part = optimizer.gradients(&loss);
            match &mut gradients {
                Some(all) => all.add(&of_part),
                None => gradients = Some(of_part),
            }
        }
        let gradients = gradients.context("a step without photos")?;
        let progress = step as f64 / steps as f64;
        let rate = LEARNING_RATE * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
        optimizer.step(&gradients, rate);
        bar.inc(1);
    }
    bar.finish_and_clear();
    for (id, layer) in learned {
        let quantized = quantized.layers.get_mut(&id);
        let quantized = quantized.context("a layer without weights has learned")?;
        let shift = (layer.shift.detach() * layer.unit).to_kind(Kind::Double);
        let shift = Vec::<f64>::try_from(shift.to_device(Device::Cpu))?;
        let shifted = quantized.shift_bias(&shift);
        shifted.with_context(|| graph.layers[id].name.clone())?;
    }
    Ok(())
}

/// The logits `[n, classes]` of a network whose stored values are rounded as `quantized` says, with gradients.
fn rounded_logits(network: &Network, quantized: &Quantized, input: &Tensor) -> Result<Tensor> {
    let mut logits = None;
    network.forward_each(input, Mode::Eval, |id, value| {
        let value = match quantized.activations.get(&id) {
            Some(activation) if id != 0 => round_through(&value, activation),
            _ => value,
        };
        if id == network.graph().output() {
            logits = Some(value.flatten(1, -1));
        }
        value
    })?;
    logits.context("a network without an output")
}

/// The biases of one layer as they are learned, `[out]`.
struct Learned {
    first: Tensor,
    /// Added to them, in units.
    shift: Tensor,
    /// A level of the input times the largest weight.
    unit: Tensor,
}

impl Learned {
    fn of(layer: &Layer, device: Device) -> Learned {
        let first = to_tensor(&layer.real_bias()).to_device(device);
        let scales = Tensor::from_slice(&layer.scales).to_device(device);
        Learned {
            shift: first.zeros_like().set_requires_grad(true),
            first,
            unit: scales * (WEIGHT_LEVELS * f64::from(layer.input_scale)),
        }
    }

    fn bias(&self) -> Tensor {
        &self.first + &self.shift * &self.unit
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
