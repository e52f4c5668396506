//! AdamW (Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization").
//!
//! libtorch's own optimizer hides its moments from `tch`; here they are tensors of ours, which a checkpoint of a run can
//! hold. Kernels decay, vectors do not.

use anyhow::Result;
use tch::{Tensor, no_grad};

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// One learned tensor with its moments.
struct Slot {
    name: String,
    tensor: Tensor,
    mean: Tensor,
    square: Tensor,
    decays: bool,
}

/// AdamW over a list of tensors.
pub struct AdamW {
    slots: Vec<Slot>,
    weight_decay: f64,
    step: i32,
}

impl AdamW {
    /// Over all tensors that want gradients. Kernels (two dimensions and more) decay, vectors do not.
    pub fn new<'a>(
        tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
        weight_decay: f64,
    ) -> AdamW {
        let slots = tensors
            .into_iter()
            .filter(|(_, t)| t.requires_grad())
            .map(|(name, t)| Slot {
                name: name.to_owned(),
                tensor: t.shallow_clone(),
                mean: t.zeros_like().detach(),
                square: t.zeros_like().detach(),
                decays: t.dim() > 1,
            });
        AdamW {
            slots: slots.collect(),
            weight_decay,
            step: 0,
        }
    }

    /// Steps so far.
    pub fn steps(&self) -> i32 {
        self.step
    }

    /// Name, first and second moment of every tensor.
    pub fn moments(&self) -> impl Iterator<Item = (&str, &Tensor, &Tensor)> {
        self.slots
            .iter()
            .map(|slot| (slot.name.as_str(), &slot.mean, &slot.square))
    }

    /// Goes on after `steps` steps with the moments that `of` gives for each name.
    pub fn restore(
        &mut self,
        steps: i32,
        of: impl Fn(&str) -> Result<(Tensor, Tensor)>,
    ) -> Result<()> {
        for slot in &mut self.slots {
            let (mean, square) = of(&slot.name)?;
            let device = slot.tensor.device();
            (slot.mean, slot.square) = (mean.to_device(device), square.to_device(device));
        }
        self.step = steps;
        Ok(())
    }

    /// Applies the gradients of `loss` at `learning_rate`.
    pub fn backward_step(&mut self, loss: &Tensor, learning_rate: f64) {
        let gradients = self.gradients(loss);
        self.step(&gradients, learning_rate);
    }

    /// The gradients of `loss`, for [`step`](AdamW::step).
    pub fn gradients(&self, loss: &Tensor) -> Vec<Tensor> {
        // Handed over instead of added to gradients that are zeroed for it.
        let learned: Vec<&Tensor> = self.slots.iter().map(|slot| &slot.tensor).collect();
        Tensor::run_backward(&[loss], &learned, false, false)
    }

    /// Applies gradients at `learning_rate`.
    pub fn step(&mut self, gradients: &[Tensor], learning_rate: f64) {
        self.step += 1;
        let (correction_1, correction_2) =
            (1.0 - BETA_1.powi(self.step), 1.0 - BETA_2.powi(self.step));
        no_grad(|| {
            for (slot, gradient) in self.slots.iter_mut().zip(gradients) {
                if slot.decays {
                    let _ = slot
                        .tensor
                        .g_mul_scalar_(1.0 - learning_rate * self.weight_decay);
                }
                let _ = slot.mean.lerp_(gradient, 1.0 - BETA_1);
                let _ = slot.square.lerp_(&gradient.square(), 1.0 - BETA_2);
                let divisor = (&slot.square / correction_2).sqrt_() + EPSILON;
                let step = (&slot.mean / divisor) * (-learning_rate / correction_1);
                let _ = slot.tensor.g_add_(&step);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, nn, nn::OptimizerConfig};

    /// The same steps as libtorch's own AdamW.
    #[test]
    fn agrees_with_libtorch() {
        let start = Tensor::arange(6, (Kind::Float, Device::Cpu)).reshape([2, 3]) - 2.5;
        let target = Tensor::ones([2, 3], (Kind::Float, Device::Cpu));
        let store = nn::VarStore::new(Device::Cpu);
        let theirs = store.root().var_copy("x", &start);
        let mut libtorch = nn::AdamW {
            wd: 0.1,
            ..Default::default()
        }
        .build(&store, 0.05)
        .unwrap();
        let ours = start.copy().set_requires_grad(true);
        let mut adamw = AdamW::new([("x", &ours)], 0.1);
        for _ in 0..20 {
            libtorch.backward_step(&(&theirs - &target).square().sum(Kind::Float));
            adamw.backward_step(&(&ours - &target).square().sum(Kind::Float), 0.05);
        }
        let difference = (&theirs - &ours).abs().max().double_value(&[]);
        assert!(difference < 1e-5, "{difference}");
        assert!(
            (&ours - &start).abs().max().double_value(&[]) > 0.5,
            "nothing moved"
        );
    }
}
