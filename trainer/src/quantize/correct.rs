//! Bias correction: what rounding and clipping do to the mean of each output channel, taken out through the biases
//! (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", arXiv:1906.04721,
//! section 4.2, in its empirical form).
//!
//! A rounded kernel shifts its channel by a constant that does not average out over pixels, and every later layer sees
//! the shift. Layer by layer, with all earlier layers already rounded and corrected, the channel means over real photos
//! are brought back to those of the float network. It costs two runs over the photos, and nothing on the phone.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use tch::{Device, Kind, Tensor, no_grad};

use super::calibrate::each_batch;
use super::stored::photos_at_once;
use super::{Layer, Quantized};
use crate::backbones::Normalization;
use crate::data::Dataset;
use crate::graph::{Graph, LayerId};
use crate::network::{Mode, Network, Precision};
use crate::train::measure::normalize;

/// Photos that the rounded network sees: they go through it as one batch, as many as memory allows.
const PHOTOS: usize = 128;

/// Corrects the biases of `quantized`, the integer form of the folded network `float`.
pub fn correct_biases(
    float: &Network,
    quantized: &mut Quantized,
    photos: &Dataset,
    normalization: Normalization,
) -> Result<()> {
    ensure!(!photos.is_empty(), "there is no calibration photo");
    let photos = photos.take_evenly(photos_at_once(float.graph(), PHOTOS));
    let wanted = float_means(float, quantized, &photos, normalization)?;
    let rounded = rounded_network(float.graph(), quantized, float.device())?;
    let input = normalize(&photos.pixels.to_device(float.device()), normalization);
    let mut shifts: BTreeMap<LayerId, Tensor> = BTreeMap::new();
    no_grad(|| {
        rounded.forward_each(&input, Mode::Eval, |id, value| {
            let value = match wanted.get(&id) {
                Some(wanted) => {
                    let shift = wanted - channel_means(&value);
                    shifts.insert(id, shift.copy());
                    value + shift.reshape([1, -1, 1, 1])
                }
                None => value,
            };
            match quantized.activations.get(&id) {
                Some(activation) => activation.round(&value),
                None => value,
            }
        })
    })?;
    for (id, shift) in shifts {
        let layer = quantized
            .layers
            .get_mut(&id)
            .context("a correction of a layer without weights")?;
        correct(layer, &Vec::<f32>::try_from(&shift)?)
            .with_context(|| float.graph().layers[id].name.clone())?;
    }
    Ok(())
}

/// Means of each weighted layer's output channels in the float network.
fn float_means(
    float: &Network,
    quantized: &Quantized,
    photos: &Dataset,
    normalization: Normalization,
) -> Result<BTreeMap<LayerId, Tensor>> {
    let mut sums: BTreeMap<LayerId, Tensor> = BTreeMap::new();
    each_batch(
        float,
        photos,
        normalization,
        "bias correction",
        |id, value| {
            if quantized.layers.contains_key(&id) {
                let sum = channel_means(value) * value.size()[0] as f64;
                let total = sums
                    .remove(&id)
                    .map_or_else(|| sum.copy(), |total| total + &sum);
                sums.insert(id, total);
            }
        },
    )?;
    Ok(sums
        .into_iter()
        .map(|(id, sum)| (id, sum / photos.len() as f64))
        .collect())
}

fn channel_means(value: &Tensor) -> Tensor {
    value.mean_dim([0, 2, 3].as_slice(), false, Kind::Float)
}

/// The network with its weights as the integers stand for them.
fn rounded_network(graph: &Graph, quantized: &Quantized, device: Device) -> Result<Network> {
    let mut weights = quantized.floats.clone();
    for (&id, layer) in &quantized.layers {
        let name = &graph.layers[id].name;
        weights.insert(format!("{name}.weight"), layer.real_weight());
        weights.insert(format!("{name}.bias"), layer.real_bias());
    }
    Network::new(graph.clone(), &weights, device, Precision::F32)
}

fn correct(layer: &mut Layer, shift: &[f32]) -> Result<()> {
    let scales = layer.bias_scales();
    ensure!(
        shift.len() == scales.len() && shift.iter().all(|s| s.is_finite()),
        "its output is not finite on the calibration photos"
    );
    for ((bias, shift), scale) in layer.bias.iter_mut().zip(shift).zip(scales) {
        // As f64: a bias may hold more digits than f32 has. The cast saturates.
        *bias = (f64::from(*bias) + (f64::from(*shift) / f64::from(scale)).round()) as i32;
    }
    Ok(())
}
