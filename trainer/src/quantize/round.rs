//! Weights rounded with feedback (GPTQ: Frantar et al. 2022, arXiv:2210.17323, after Hassibi & Stork 1993's Optimal Brain
//! Surgeon).
//!
//! Rounding each weight to the nearest level is best only where a layer's inputs are independent. They are not: with
//! their covariance over real photos, an error made in one weight is taken back by those that are not rounded yet. The
//! covariance is about the inputs' means, since what rounding does to the means of outputs goes into the biases
//! ([`correct_biases`](super::correct_biases)). It costs nothing on the phone.

use anyhow::{Context, Result, ensure};
use tch::{Kind, Tensor};

use super::moments::Covariances;
use super::{Layer, Quantized, WEIGHT_LEVELS as LEVELS};
use crate::graph::Graph;
use crate::network::to_tensor;
use crate::progress;

/// Added to the covariance's diagonal, as a share of its mean: inputs that hardly vary hold no error.
const RIDGE: f64 = 0.01;
/// Columns that are rounded before what they leave is spread over the rest.
const BLOCK: i64 = 64;

/// Rounds the weights of `quantized`, the integer form of the network `graph`, anew; scales stay.
pub fn round_weights(
    graph: &Graph,
    quantized: &mut Quantized,
    covariances: &Covariances,
) -> Result<()> {
    let bar = progress::bar(quantized.layers.len() as u64, "rounding weights");
    for (id, layer) in &mut quantized.layers {
        let covariance = covariances
            .get(id)
            .context("a layer whose input was not seen")?;
        round(layer, covariance).with_context(|| graph.layers[*id].name.clone())?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// Rounds one layer's weights; `covariance` of what its kernels read, `[groups, in, in]`.
fn round(layer: &mut Layer, covariance: &Tensor) -> Result<()> {
    let (groups, depth) = (covariance.size()[0], covariance.size()[1]);
    let covariance = covariance.to_kind(Kind::Double);
    let weight = to_tensor(&layer.exact).to_kind(Kind::Double);
    let weight = weight.reshape([groups, -1, depth]);
    let scales = Tensor::from_slice(&layer.scales).to_kind(Kind::Double);
    let power = covariance.diagonal(0, 1, 2);
    let ridge = power.mean_dim(1_i64, true, Kind::Double) * RIDGE;
    let identity = Tensor::eye(depth, (Kind::Double, weight.device()));
    let kept_apart = covariance + ridge.clamp_min(1e-12).unsqueeze(-1) * identity;
    let levels = feedback(weight, &scales.reshape([groups, -1, 1]), &kept_apart);
    let levels = Vec::<f64>::try_from(levels.flatten(0, -1).contiguous())?;
    ensure!(
        levels.len() == layer.weight.len() && levels.iter().all(|level| level.is_finite()),
        "its inputs on the calibration photos are not finite"
    );
    layer.weight = levels.iter().map(|&level| level as i8).collect();
    Ok(())
}

/// Rounds `[groups, out, in]` to levels of `scale`, one input after the other; what each loses is taken back by those
/// behind it as the inputs' covariance `[groups, in, in]` says.
fn feedback(weight: Tensor, scale: &Tensor, covariance: &Tensor) -> Tensor {
    let depth = weight.size()[2];
    let upper = factor_of_inverse(covariance);
    let levels = weight.zeros_like();
    let weight = weight.copy();
    for from in (0..depth).step_by(BLOCK as usize) {
        let length = BLOCK.min(depth - from);
        let block = weight.narrow(2, from, length);
        let losses = block.zeros_like();
        for at in 0..length {
            let column = block.narrow(2, at, 1);
            let level = (&column / scale).round().clamp(-LEVELS, LEVELS);
            let row = upper.narrow(1, from + at, 1);
            let loss = (&column - &level * scale) / row.narrow(2, from + at, 1);
            levels.narrow(2, from + at, 1).copy_(&level);
            losses.narrow(2, at, 1).copy_(&loss);
            let rest = length - at - 1;
            if rest > 0 {
                let mut behind = block.narrow(2, at + 1, rest);
                behind -= &loss * row.narrow(2, from + at + 1, rest);
            }
        }
        let rest = depth - from - length;
        if rest > 0 {
            let rows = upper.narrow(1, from, length).narrow(2, from + length, rest);
            let mut behind = weight.narrow(2, from + length, rest);
            behind -= losses.matmul(&rows);
        }
    }
    levels
}

/// The upper triangular factor of each group's inverse covariance. Where inputs vary by less than their sums are exact (a
/// channel that is dead or always clipped) there is none, and nothing to take back.
fn factor_of_inverse(covariance: &Tensor) -> Tensor {
    let (inverse, _) = Tensor::linalg_inv_ex(covariance, false);
    let (factor, failed_at) = inverse.linalg_cholesky_ex(true, false);
    let usable = failed_at
        .eq(0)
        .logical_and(&factor.isfinite().flatten(1, 2).all_dim(1, false))
        .reshape([-1, 1, 1]);
    let depth = covariance.size()[1];
    let apart = Tensor::eye(depth, (Kind::Double, covariance.device()));
    factor.where_self(&usable, &apart)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn feedback_takes_errors_back_where_inputs_go_together() {
        tch::manual_seed(5);
        let options = (Kind::Double, Device::Cpu);
        let (depth, places) = (100, 2000);
        // Every input is mostly one of ten hidden ones.
        let hidden = Tensor::randn([10, places], options).repeat([10, 1]);
        let x = hidden + Tensor::randn([depth, places], options) * 0.1;
        let weight = Tensor::randn([1, 6, depth], options);
        let covariance = x.matmul(&x.transpose(0, 1)).unsqueeze(0) / places as f64;
        let scale = weight.abs().amax([2_i64].as_slice(), true) / LEVELS;
        let levels = feedback(weight.copy(), &scale, &covariance);
        assert!(levels.abs().max().double_value(&[]) <= LEVELS);
        let nearest = (&weight / &scale).round();
        let error = |levels: &Tensor| {
            let rounded = (levels * &scale - &weight).matmul(&x);
            rounded.square().mean(Kind::Double).double_value(&[])
        };
        let (before, after) = (error(&nearest), error(&levels));
        assert!(after < 0.3 * before, "{before} to {after}");
    }
    /// A covariance that is rounding noise has no Cholesky factor.
    #[test]
    fn weights_of_inputs_that_do_not_vary_go_to_the_nearest_level() {
        let options = (Kind::Double, Device::Cpu);
        let noise = Tensor::from_slice(&[1e-9, 3e-9, 3e-9, 1e-9]).reshape([1, 2, 2]);
        let nothing = Tensor::zeros([1, 2, 2], options);
        let real = Tensor::from_slice(&[1.0, 0.9, 0.9, 1.0]).reshape([1, 2, 2]);
        let weight = Tensor::from_slice(&[0.4, 0.4])
            .reshape([1, 1, 2])
            .repeat([3, 1, 1]);
        let scale = Tensor::ones([3, 1, 1], options);
        let levels = feedback(weight, &scale, &Tensor::cat(&[noise, nothing, real], 0));
        let levels = Vec::<f64>::try_from(levels.flatten(0, -1)).unwrap();
        assert_eq!(levels, [0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    }
}
