//! Fits the head alone on the frozen trunk's features, computed once: seconds instead of an epoch.
//!
//! It gives fine-tuning a head that already points the right way, so that the first steps do not tear up the trunk
//! (Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution",
//! arXiv:2202.10054), and it compares choices that the trunk is not trained for, such as how photos are fitted.

use anyhow::Result;
use tch::{Device, Kind, Tensor};

use super::optimizer::AdamW;
use crate::network::{to_array, to_tensor};
use crate::weights::Array;

/// Peak learning rate; the features are batch-normed and of order one.
const LEARNING_RATE: f64 = 3e-3;
const WEIGHT_DECAY: f64 = 0.05;
const BATCH: i64 = 256;

/// A dense layer.
pub struct Head {
    /// `[classes, features]`.
    pub weight: Array,
    /// `[classes]`.
    pub bias: Array,
}

impl Head {
    /// Logits `[n, classes]` of features `[n, channels]`.
    pub fn logits(&self, features: &Tensor) -> Tensor {
        features.linear(&to_tensor(&self.weight), Some(&to_tensor(&self.bias)))
    }
}

/// A head that knows nothing yet: uniform by Glorot & Bengio 2010, bias 0, as Keras begins.
pub fn initial_head(channels: usize, classes: usize, seed: u64) -> Result<Head> {
    tch::manual_seed(seed as i64);
    let limit = (6.0 / (channels + classes) as f64).sqrt();
    let shape = [classes as i64, channels as i64];
    let weight = (Tensor::rand(shape, (Kind::Float, Device::Cpu)) * 2.0 - 1.0) * limit;
    Ok(Head {
        weight: to_array(&weight)?,
        bias: Array::new([classes], vec![0.0; classes]),
    })
}

/// Fits a softmax regression of `targets` on `features` (`[n, channels]`), starting from zero.
pub fn fit_head(
    features: &Tensor,
    targets: &Tensor,
    classes: usize,
    steps: usize,
    smoothing: f64,
    seed: u64,
) -> Result<Head> {
    tch::manual_seed(seed as i64);
    let (n, channels) = (features.size()[0], features.size()[1]);
    let options = (Kind::Float, Device::Cpu);
    let weight = Tensor::zeros([classes as i64, channels], options).set_requires_grad(true);
    let bias = Tensor::zeros([classes as i64], options).set_requires_grad(true);
    let mut adamw = AdamW::new([("weight", &weight), ("bias", &bias)], WEIGHT_DECAY);
    for step in 0..steps {
        let picked = Tensor::randint(n, [BATCH.min(n)], (Kind::Int64, Device::Cpu));
        let logits = features
            .index_select(0, &picked)
            .linear(&weight, Some(&bias));
        let loss = logits.cross_entropy_loss::<Tensor>(
            &targets.index_select(0, &picked),
            None,
            tch::Reduction::Mean,
            -100,
            smoothing,
        );
        let progress = step as f64 / steps as f64;
        adamw.backward_step(
            &loss,
            LEARNING_RATE * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
        );
    }
    Ok(Head {
        weight: to_array(&weight)?,
        bias: to_array(&bias)?,
    })
}
