//! Bias correction: what rounding does to the mean of each output channel, taken out through the biases (Nagel et al. 2019,
//! "Data-Free Quantization Through Weight Equalization and Bias Correction", arXiv:1906.04721, section 4.2).
//!
//! A rounded kernel shifts its channel by a constant that does not average out over pixels, and every later layer sees
//! the shift; so does an input that is clipped. Each layer answers for its own kernel and its own input alone, on the
//! float network's values: bringing its mean back on values that carry all earlier layers' rounding, as the paper's
//! empirical form does, fits the few photos that clip somewhere (MobileNetV2: 2 dB more noise in the logits).

use anyhow::{Context, Result};
use tch::{Kind, Tensor};

use super::moments::{AllMoments, Moments};
use super::{Layer, Quantized};
use crate::graph::Graph;
use crate::network::to_tensor;

/// Corrects the biases of `quantized`, the integer form of the network `graph`.
pub fn correct_biases(
    graph: &Graph,
    quantized: &mut Quantized,
    moments: &AllMoments,
) -> Result<()> {
    for (id, layer) in &mut quantized.layers {
        let read = moments
            .get(id)
            .context("a layer whose input was not seen")?;
        let shift = shift(layer, read).and_then(|shift| layer.shift_bias(&shift));
        shift.with_context(|| graph.layers[*id].name.clone())?;
    }
    Ok(())
}

/// By how much the means of a layer's outputs are too low.
fn shift(layer: &Layer, read: &Moments) -> Result<Vec<f64>> {
    let (groups, depth) = (read.mean.size()[0], read.mean.size()[1]);
    let times = |weight: Tensor, mean: &Tensor| {
        let weight = weight.to_kind(Kind::Double).reshape([groups, -1, depth]);
        weight.matmul(&mean.unsqueeze(2)).flatten(0, -1)
    };
    let wanted = times(to_tensor(&layer.exact), &read.mean);
    let found = times(to_tensor(&layer.real_weight()), &read.stored_mean);
    Ok(Vec::try_from(wanted - found)?)
}
