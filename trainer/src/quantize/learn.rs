//! Learned rounding (AdaRound: Nagel et al. 2020, "Up or Down? Adaptive Rounding for Post-Training Quantization",
//! arXiv:2004.10568): which of the two levels around each weight is best for its layer's outputs.
//!
//! What a layer's outputs lose is a quadratic form of the weights' errors, by the covariance of what its kernels read, so
//! no photo is needed again. Each weight lies between its levels by a share that a rectified sigmoid keeps from 0 to 1;
//! Adam moves the shares to where the form is least while a second term, weak at first, drives them to either end. As with
//! [`round_weights`](super::round_weights) the covariance is about the inputs' means.

use std::f64::consts::PI;

use anyhow::{Context, Result};
use tch::{Device, Kind, Tensor, no_grad};

use super::moments::Covariances;
use super::{Layer, Quantized, WEIGHT_LEVELS as LEVELS};
use crate::graph::Graph;
use crate::network::to_tensor;
use crate::progress;

/// Four times as many at a third of the rate come to the same in four times the time. A quarter at twice the rate: 25.3
/// instead of 25.7 dB (MobileNetV2 at 128 px; without, 24.8).
const STEPS: usize = 250;
const RATE: f64 = 0.06;
/// Kernels that read more, of which a step takes longest, take as many fewer steps, but so many at least: where 672 outputs
/// read 4,032 inputs (NASNetLarge), a step's matrix product alone takes 0.12 s on two cores.
const WIDE: usize = 1024;
const FEWEST_STEPS: usize = 62;
/// Of the term that drives shares to their ends, beside what outputs lose in parts of what nearest levels lose.
const DECIDEDNESS: f64 = 0.5;
/// Steps before that term counts, as a share of all.
const WARM_UP: f64 = 0.2;
/// That term's exponent falls from the first to the last: shares near an end are pushed first, then all.
const EXPONENTS: [f64; 2] = [20.0, 2.0];

/// Rounds the weights of `quantized`, the integer form of the network `graph`, anew; scales stay.
pub fn learn_rounding(
    graph: &Graph,
    quantized: &mut Quantized,
    covariances: &Covariances,
    device: Device,
) -> Result<()> {
    let bar = progress::bar(quantized.layers.len() as u64, "learning to round");
    for (id, layer) in &mut quantized.layers {
        let covariance = covariances
            .get(id)
            .context("a layer whose input was not seen")?;
        learn(layer, &covariance.to_device(device))
            .with_context(|| graph.layers[*id].name.clone())?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// Rounds one layer's weights; `covariance` of what its kernels read, `[groups, in, in]`.
fn learn(layer: &mut Layer, covariance: &Tensor) -> Result<()> {
    let (groups, depth) = (covariance.size()[0], covariance.size()[1]);
    let device = covariance.device();
    let weight = to_tensor(&layer.exact).to_device(device);
    let scales = Tensor::from_slice(&layer.scales).to_device(device);
    let exact = weight.reshape([groups, -1, depth]) / scales.reshape([groups, -1, 1]);
    let levels = up_or_down(&exact, covariance);
    let levels = Vec::<f32>::try_from(levels.flatten(0, -1).to_device(Device::Cpu))?;
    layer.weight = levels.iter().map(|&level| level as i8).collect();
    Ok(())
}

/// The levels of weights `[groups, out, in]`, which are in levels themselves.
fn up_or_down(exact: &Tensor, covariance: &Tensor) -> Tensor {
    let below = exact.floor();
    let nearest = exact.round();
    // Of a kernel whose inputs do not vary nothing is lost, whatever it is rounded to.
    let least = f64::from(f32::MIN_POSITIVE) * 1e6;
    let nearest_loses = loss(&(&nearest - exact), covariance).clamp_min(least);
    let mut shares = Shares::at(&(exact - &below));
    let depth = exact.size()[2] as usize;
    let steps = (STEPS * WIDE / depth).clamp(FEWEST_STEPS, STEPS);
    let rate = RATE * (STEPS as f64 / steps as f64).sqrt();
    no_grad(|| {
        for step in 0..steps {
            let done = step as f64 / steps as f64;
            let share = shares.values();
            let errors = &below + &share - exact;
            let mut slope = errors.matmul(covariance) * 2.0 / &nearest_loses;
            if done >= WARM_UP {
                let along = (done - WARM_UP) / (1.0 - WARM_UP);
                slope += indecision_slope(&share, along) / depth as f64;
            }
            shares.step(&slope, rate);
        }
    });
    let learned = (&below + shares.values().round()).clamp(-LEVELS, LEVELS);
    // A kernel that learned nothing keeps its nearest levels.
    let better = loss(&(&learned - exact), covariance).le_tensor(&nearest_loses);
    learned.where_self(&better, &nearest)
}

/// The derivative of `DECIDEDNESS * (1 - |2 share - 1|^exponent)`, which is least at both ends; `along` from 0 to 1, the
/// exponent falls as a cosine.
fn indecision_slope(share: &Tensor, along: f64) -> Tensor {
    let [first, last] = EXPONENTS;
    let exponent = last + 0.5 * (first - last) * (1.0 + (PI * along).cos());
    let from_middle: Tensor = share * 2.0 - 1.0;
    let steepness = from_middle.abs().pow_tensor_scalar(exponent - 1.0);
    from_middle.sign() * steepness * (-2.0 * exponent * DECIDEDNESS)
}

/// What outputs lose by errors `[groups, out, in]` of their weights, `[groups, out, 1]`.
fn loss(errors: &Tensor, covariance: &Tensor) -> Tensor {
    (errors.matmul(covariance) * errors).sum_dim_intlist(2_i64, true, Kind::Float)
}

/// Shares from 0 to 1 as they are learned: rectified sigmoids, moved by Adam (Kingma & Ba 2015, arXiv:1412.6980).
struct Shares {
    free: Tensor,
    mean: Tensor,
    square: Tensor,
    steps: i32,
}

/// How far a sigmoid is stretched beyond 0 and 1, so that ends are reached.
const STRETCH: f64 = 0.1;

impl Shares {
    fn at(shares: &Tensor) -> Shares {
        let sigmoid = (shares + STRETCH) / (1.0 + 2.0 * STRETCH);
        Shares {
            free: sigmoid.logit(None),
            mean: shares.zeros_like(),
            square: shares.zeros_like(),
            steps: 0,
        }
    }

    fn values(&self) -> Tensor {
        (self.free.sigmoid() * (1.0 + 2.0 * STRETCH) - STRETCH).clamp(0.0, 1.0)
    }

    /// Moves them against `slope`, the loss's derivative by each share.
    fn step(&mut self, slope: &Tensor, rate: f64) {
        const BETA: [f64; 2] = [0.9, 0.999];
        let sigmoid = self.free.sigmoid();
        let steepness: Tensor = &sigmoid * (1.0 - &sigmoid) * (1.0 + 2.0 * STRETCH);
        let slope = slope * steepness;
        self.steps += 1;
        self.mean = &self.mean * BETA[0] + &slope * (1.0 - BETA[0]);
        self.square = &self.square * BETA[1] + slope.square() * (1.0 - BETA[1]);
        let mean = &self.mean / (1.0 - BETA[0].powi(self.steps));
        let square = &self.square / (1.0 - BETA[1].powi(self.steps));
        self.free -= mean * rate / (square.sqrt() + 1e-12);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_learned_where_inputs_go_together() {
        tch::manual_seed(5);
        let options = (Kind::Float, Device::Cpu);
        let (depth, places) = (100, 2000);
        // Every input is mostly one of ten hidden ones.
        let hidden = Tensor::randn([10, places], options).repeat([10, 1]);
        let x = hidden + Tensor::randn([depth, places], options) * 0.1;
        let exact = Tensor::randn([1, 6, depth], options) * 40.0;
        let covariance = x.matmul(&x.transpose(0, 1)).unsqueeze(0) / places as f64;
        let learned = up_or_down(&exact, &covariance);
        assert!((&learned - &exact).abs().max().double_value(&[]) <= 1.0);
        let lost = |levels: &Tensor| loss(&(levels - &exact), &covariance).sum(Kind::Double);
        let (before, after) = (lost(&exact.round()), lost(&learned));
        let (before, after) = (before.double_value(&[]), after.double_value(&[]));
        assert!(after < 0.3 * before, "{before} to {after}");
    }
}
