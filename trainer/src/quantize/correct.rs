//! Bias correction: what rounding does to the mean of each output channel, taken out through the biases (Nagel et al. 2019,
//! "Data-Free Quantization Through Weight Equalization and Bias Correction", arXiv:1906.04721, section 4.2).
//!
//! A rounded kernel shifts its channel by a constant that does not average out over pixels, and every later layer sees
//! the shift; so does an input that is clipped. Each layer answers for its own kernel and its own input alone, on the
//! float network's values: bringing its mean back on values that carry all earlier layers' rounding, as the paper's
//! empirical form does, fits the few photos that clip somewhere (MobileNetV2: 2 dB more noise in the logits).

use anyhow::{Context, Result};
use tch::{Kind, Tensor};

use super::moments::{AllMeans, Means};
use super::{Layer, Quantized};
use crate::graph::Graph;
use crate::network::to_tensor;

/// Corrects the biases of `quantized`, the integer form of the network `graph`.
pub fn correct_biases(graph: &Graph, quantized: &mut Quantized, means: &AllMeans) -> Result<()> {
    for (id, layer) in &mut quantized.layers {
        let read = means.get(id).context("a layer whose input was not seen")?;
        let shift = shift(layer, read).and_then(|shift| layer.shift_bias(&shift));
        shift.with_context(|| graph.layers[*id].name.clone())?;
    }
    Ok(())
}

/// By how much the means of a layer's outputs are too low.
fn shift(layer: &Layer, read: &Means) -> Result<Vec<f64>> {
    let (groups, depth) = (read.exact.size()[0], read.exact.size()[1]);
    let times = |weight: Tensor, mean: &Tensor| {
        let weight = weight.to_kind(Kind::Double).reshape([groups, -1, depth]);
        weight.matmul(&mean.unsqueeze(2)).flatten(0, -1)
    };
    let wanted = times(to_tensor(&layer.exact), &read.exact);
    let found = times(to_tensor(&layer.real_weight()), &read.stored);
    Ok(Vec::try_from(wanted - found)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::Array;

    /// Two outputs that read two inputs; the second input is clipped.
    #[test]
    fn a_layer_takes_out_what_it_and_its_input_lost() {
        let mut layer = Layer {
            shape: vec![2, 2],
            weight: vec![100, 3, -50, 127],
            scales: vec![0.01, 0.02],
            bias: vec![1000, -200],
            input_scale: 0.1,
            exact: Array::new([2, 2], vec![1.004, 0.026, -0.99, 2.54]).into(),
        };
        let row = |values: [f64; 2]| Tensor::from_slice(&values).reshape([1, 2]);
        let read = Means {
            exact: row([2.0, 5.0]),
            stored: row([2.0, 4.5]),
        };
        let shift = shift(&layer, &read).unwrap();
        let wanted = [
            (1.004 * 2.0 + 0.026 * 5.0) - (1.0 * 2.0 + 0.03 * 4.5),
            (-0.99 * 2.0 + 2.54 * 5.0) - (-2.0 + 2.54 * 4.5),
        ];
        for (shift, wanted) in shift.iter().zip(wanted) {
            assert!((shift - wanted).abs() < 1e-6, "{shift} {wanted}");
        }
        layer.shift_bias(&shift).unwrap();
        let levels = [0.001, 0.002].map(|size| f64::from(size as f32));
        assert_eq!(layer.bias[0], 1000 + (wanted[0] / levels[0]).round() as i32);
        assert_eq!(layer.bias[1], -200 + (wanted[1] / levels[1]).round() as i32);
    }
}
