//! Post-training static quantization of a folded network: int8 weights symmetric per output channel, u8 activations per
//! tensor, i32 biases (Jacob et al. 2018, arXiv:1712.05877; Nagel et al. 2021, arXiv:2106.08295).
//!
//! The photo itself is already u8. Every value that is stored (`stored`) gets a range from real photos, those that the
//! network explodes at aside (`outliers`): its values are observed (`observe`), and of the ways to choose a range (`range`)
//! the one that changes the logits least is taken (`choose`). Then come the steps, each kept where it pays (`steps`): what
//! rounding does to the means of channels goes into the biases (`correct`), channels are brought to one magnitude where
//! convolutions can take that up (`equalize`), weights are rounded by what kernels read (`moments`, `round`, `learn`),
//! ranges get headroom for photos that were not seen, and where accuracy is still missing the int8 network learns from the
//! float one (`finetune`). The logits stay f32, and so do the factors of batch norms that have no convolution to go into.
//! Where the error comes from is looked up layer by layer (`noise`, on the int8 network computed in f32, `simulate`), what
//! is left of it by the logits (`compare`); both are written down (`report`).

mod choose;
mod compare;
mod correct;
mod equalize;
mod finetune;
mod learn;
mod moments;
mod noise;
mod observe;
mod outliers;
mod patches;
mod range;
mod report;
mod round;
mod simulate;
mod steps;
mod stored;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use tch::Tensor;

use crate::backbones::Normalization;
use crate::graph::{Graph, LayerId, Op};
use crate::weights::{Array, Weights};

pub use choose::{Choices, Chosen, choose};
pub use compare::{Comparison, Disagreement, compare, core_logits};
pub use correct::correct_biases;
pub use equalize::equalize;
pub use finetune::fine_tune;
pub use learn::learn_rounding;
pub use moments::{AllMeans, Covariances, Means, covariances, means};
pub use noise::{LayerNoise, layers};
pub use observe::{Observed, observe};
pub use outliers::Outlier;
pub use range::{Method, Range};
pub use report::{Gain, QUANTIZATION, Report};
pub use round::round_weights;
pub use steps::{Folded, Options, Outcome, Step};
pub use stored::stored_values;

/// Levels of a weight on each side of zero.
const WEIGHT_LEVELS: f64 = 127.0;

/// How a tensor of activations is stored: `real = scale * (level - zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Activation {
    /// Size of one level.
    pub scale: f32,
    /// The level of zero.
    pub zero_point: u8,
}

impl Activation {
    /// The levels that cover `range`; zero is always one of them.
    pub fn covering(range: Range) -> Activation {
        let (low, high) = (range.low.min(0.0), range.high.max(0.0));
        let scale = (high - low) / 255.0;
        let zero_point = (-low / scale).round().clamp(0.0, 255.0) as u8;
        Activation { scale, zero_point }
    }

    /// Real values as they come back from their levels.
    pub fn round(&self, values: &Tensor) -> Tensor {
        let (scale, zero_point) = (f64::from(self.scale), f64::from(self.zero_point));
        ((values / scale).round() + zero_point)
            .clamp(0.0, 255.0)
            .g_sub_scalar(zero_point)
            * scale
    }

    /// The real values of the lowest and the highest level.
    pub fn bounds(&self) -> [f64; 2] {
        let real = |level: f32| f64::from(self.scale * (level - f32::from(self.zero_point)));
        [real(0.0), real(255.0)]
    }

    /// True where no level lies outside `low..=high`, so that saturation does what a clamp would.
    pub fn clamps(&self, low: f32, high: f32) -> bool {
        let real = |level: f32| self.scale * (level - f32::from(self.zero_point));
        real(0.0) >= low && real(255.0) <= high * (1.0 + 1e-6)
    }
}

/// A convolution or dense layer in integers.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Dimensions of the weight, output channels first.
    pub shape: Vec<usize>,
    /// Levels -127..=127.
    pub weight: Vec<i8>,
    /// Size of one level of the weight, per output channel.
    pub scales: Vec<f32>,
    /// Levels of `input_scale * scales[c]`.
    pub bias: Vec<i32>,
    /// Size of one level of the input.
    pub input_scale: f32,
    /// The weight before it was rounded.
    pub exact: Arc<Array>,
}

impl Layer {
    /// The weight as the integers stand for it.
    pub fn real_weight(&self) -> Array {
        let taps = self.weight.len() / self.scales.len();
        let rows = self.weight.chunks_exact(taps).zip(&self.scales);
        let data = rows.flat_map(|(row, scale)| row.iter().map(move |&v| f32::from(v) * scale));
        Array::new(self.shape.clone(), data.collect())
    }

    /// The bias as the integers stand for it.
    pub fn real_bias(&self) -> Array {
        let scales = self.bias_scales();
        let data = self
            .bias
            .iter()
            .zip(scales)
            .map(|(&v, scale)| (f64::from(v) * f64::from(scale)) as f32);
        Array::new([self.bias.len()], data.collect())
    }

    /// Adds real values to the biases.
    fn shift_bias(&mut self, shift: &[f64]) -> Result<()> {
        let scales = self.bias_scales();
        ensure!(
            shift.len() == scales.len() && shift.iter().all(|s| s.is_finite()),
            "its output is not finite on the calibration photos"
        );
        for ((bias, shift), scale) in self.bias.iter_mut().zip(shift).zip(scales) {
            // As f64: a bias may hold more digits than f32 has. The cast saturates.
            *bias = (f64::from(*bias) + (shift / f64::from(scale)).round()) as i32;
        }
        Ok(())
    }

    /// Size of one level of the bias and of the accumulator, per output channel.
    pub fn bias_scales(&self) -> Vec<f32> {
        self.scales
            .iter()
            .map(|scale| scale * self.input_scale)
            .collect()
    }
}

/// A network in integers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quantized {
    /// Layers with weights.
    pub layers: BTreeMap<LayerId, Layer>,
    /// Values that are stored as u8.
    pub activations: BTreeMap<LayerId, Activation>,
    /// What stays f32: the parameters of multiply-adds per channel, and of layers that read a value left in float.
    pub floats: Weights,
}

impl Quantized {
    /// Stores the value of layer `id` of the folded network `graph`, `weights`, in float; what reads it computes in float.
    fn leave_in_float(&mut self, graph: &Graph, weights: &Weights, id: LayerId) -> Result<()> {
        self.activations.remove(&id);
        for (reader, layer) in graph.layers.iter().enumerate() {
            if !layer.inputs.contains(&id) {
                continue;
            }
            if stored::moves(&layer.op) {
                self.leave_in_float(graph, weights, reader)?;
            }
            if self.layers.remove(&reader).is_some() {
                for parameter in graph.layer_parameters(reader) {
                    let array = weights.get(&parameter.name);
                    let array = array.with_context(|| format!("{} is missing", parameter.name))?;
                    self.floats.insert(parameter.name, array.clone());
                }
            }
        }
        Ok(())
    }
}

/// Quantizes a folded network with the ranges that calibration found.
pub fn quantize(
    graph: &Graph,
    weights: &Weights,
    normalization: Normalization,
    ranges: &BTreeMap<LayerId, Range>,
) -> Result<Quantized> {
    let mut quantized = Quantized {
        activations: stored::activations(graph, normalization, ranges)?,
        ..Quantized::default()
    };
    for (id, layer) in graph.layers.iter().enumerate() {
        if layer.op == Op::Scale {
            for parameter in graph.layer_parameters(id) {
                let array = weights.get(&parameter.name);
                let array = array.with_context(|| format!("{} is missing", parameter.name))?;
                quantized.floats.insert(parameter.name, array.clone());
            }
        }
        if !matches!(layer.op, Op::Conv { .. } | Op::Dense { .. }) {
            continue;
        }
        let get = |suffix: &str| {
            let name = format!("{}.{suffix}", layer.name);
            weights
                .get(&name)
                .with_context(|| format!("{name} is missing"))
        };
        let input_scale = match layer.inputs[0] {
            0 => 1.0 / normalization.scale,
            input => quantized
                .activations
                .get(&input)
                .map(|a| a.scale)
                .with_context(|| {
                    format!(
                        "{} reads {}, which is not stored as u8",
                        layer.name, graph.layers[input].name
                    )
                })?,
        };
        let integers = quantize_layer(get("weight")?, get("bias")?, input_scale)
            .with_context(|| layer.name.clone())?;
        quantized.layers.insert(id, integers);
    }
    Ok(quantized)
}

fn quantize_layer(weight: &Array, bias: &Array, input_scale: f32) -> Result<Layer> {
    // A bias of more levels than this could overflow the accumulator once products are added.
    const MAX_BIAS: f32 = (1 << 30) as f32;
    let mut layer = Layer {
        shape: weight.shape.clone(),
        weight: Vec::new(),
        scales: Vec::new(),
        bias: Vec::new(),
        input_scale,
        exact: Arc::new(weight.clone()),
    };
    for channel in 0..weight.shape[0] {
        let (kernel, bias) = (weight.row(channel), bias.data[channel]);
        if kernel.iter().chain([&bias]).any(|v| !v.is_finite()) {
            bail!("output channel {channel} has weights that are not finite");
        }
        let largest = kernel.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        let scale = (largest / 127.0)
            .max(bias.abs() / (MAX_BIAS * input_scale))
            .max(f32::MIN_POSITIVE * 1e6);
        layer.weight.extend(
            kernel
                .iter()
                .map(|v| (v / scale).round().clamp(-127.0, 127.0) as i8),
        );
        layer.scales.push(scale);
        layer
            .bias
            .push((bias / (scale * input_scale)).round() as i32);
    }
    Ok(layer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_come_back_within_half_a_level() {
        let weight = Array::new([2, 3], vec![0.5, -1.27, 0.003, 40.0, 0.0, -13.0]);
        let bias = Array::new([2], vec![0.25, -3.0]);
        let layer = quantize_layer(&weight, &bias, 0.02).unwrap();
        for (i, value) in weight.data.iter().enumerate() {
            let scale = layer.scales[i / 3];
            assert!((f32::from(layer.weight[i]) * scale - value).abs() <= 0.5001 * scale);
        }
        for (c, value) in bias.data.iter().enumerate() {
            assert!(
                (layer.bias[c] as f32 * layer.bias_scales()[c] - value).abs()
                    <= 0.5001 * layer.bias_scales()[c]
            );
        }
        assert_eq!(layer.weight[1], -127);
    }

    #[test]
    fn a_dead_channel_keeps_its_bias() {
        let layer = quantize_layer(
            &Array::new([1, 2], vec![0.0, 0.0]),
            &Array::new([1], vec![1.5]),
            0.02,
        )
        .unwrap();
        assert_eq!(layer.weight, [0, 0]);
        assert!((layer.bias[0] as f32 * layer.bias_scales()[0] - 1.5).abs() < 1e-5);
    }

    #[test]
    fn zero_is_a_level() {
        for (low, high) in [(0.0, 6.0), (-1.0, 3.0), (-2.0, -1.0), (0.5, 1.0)] {
            let a = Activation::covering(Range { low, high });
            assert!(a.scale > 0.0);
            assert!(a.scale * (255.0 - f32::from(a.zero_point)) >= high - a.scale);
        }
        assert!(
            Activation::covering(Range {
                low: 0.0,
                high: 6.0
            })
            .clamps(0.0, 6.0)
        );
        assert!(
            !Activation::covering(Range {
                low: 0.0,
                high: 6.5
            })
            .clamps(0.0, 6.0)
        );
        assert!(
            !Activation::covering(Range {
                low: -0.1,
                high: 5.0
            })
            .clamps(0.0, 6.0)
        );
    }

    #[test]
    fn infinite_weights_are_named() {
        let bias = Array::new([1], vec![0.0]);
        let error =
            quantize_layer(&Array::new([1, 1], vec![f32::INFINITY]), &bias, 1.0).unwrap_err();
        assert!(error.to_string().contains("channel 0"));
    }
}
