//! AdamW (Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization").
//!
//! libtorch's own optimizer hides its moments from `tch`; here they are tensors of ours, which a checkpoint of a run can
//! hold. Kernels decay, vectors do not.

use anyhow::Result;
use tch::{Tensor, no_grad};

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// A learned tensor's place among the values of its group.
struct Slot {
    name: String,
    tensor: Tensor,
    from: i64,
}

/// Tensors that are updated alike, their values one behind the other.
struct Group {
    slots: Vec<Slot>,
    values: Tensor,
    mean: Tensor,
    square: Tensor,
    decay: f64,
}

/// AdamW over a list of tensors.
pub struct AdamW {
    groups: Vec<Group>,
    step: i32,
}

/// What a loss asks of every learned tensor.
pub struct Gradients(Vec<Tensor>);

impl AdamW {
    /// Over all tensors that want gradients, which then share their memory: a step is a few operations on all of them at
    /// once, not a few on each. Kernels (two dimensions and more) decay, vectors do not.
    pub fn new<'a>(
        tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
        weight_decay: f64,
    ) -> AdamW {
        let learned = tensors.into_iter().filter(|(_, t)| t.requires_grad());
        let (kernels, vectors) = learned.partition(|(_, t)| t.dim() > 1);
        let groups = [(kernels, weight_decay), (vectors, 0.0)];
        let groups = groups
            .into_iter()
            .filter(|(tensors, _): &(Vec<_>, f64)| !tensors.is_empty());
        AdamW {
            groups: groups
                .map(|(tensors, decay)| Group::new(&tensors, decay))
                .collect(),
            step: 0,
        }
    }

    /// Steps so far.
    pub fn steps(&self) -> i32 {
        self.step
    }

    /// Name, first and second moment of every tensor.
    pub fn moments(&self) -> impl Iterator<Item = (&str, Tensor, Tensor)> {
        self.groups.iter().flat_map(|group| {
            let slots = group.slots.iter();
            slots.map(|slot| {
                let [mean, square] = [&group.mean, &group.square].map(|all| slot.of(all));
                (slot.name.as_str(), mean, square)
            })
        })
    }

    /// Goes on after `steps` steps with the moments that `of` gives for each name.
    pub fn restore(
        &mut self,
        steps: i32,
        of: impl Fn(&str) -> Result<(Tensor, Tensor)>,
    ) -> Result<()> {
        for group in &self.groups {
            for slot in &group.slots {
                let (mean, square) = of(&slot.name)?;
                slot.of(&group.mean).f_copy_(&mean)?;
                slot.of(&group.square).f_copy_(&square)?;
            }
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
    pub fn gradients(&self, loss: &Tensor) -> Gradients {
        // Handed over instead of added to gradients that are zeroed for it.
        let slots = self.groups.iter().flat_map(|group| &group.slots);
        let learned: Vec<&Tensor> = slots.map(|slot| &slot.tensor).collect();
        let mut gradients = Tensor::run_backward(&[loss], &learned, false, false).into_iter();
        let of_groups = self
            .groups
            .iter()
            .map(|group| one_behind_the_other(gradients.by_ref().take(group.slots.len())));
        Gradients(of_groups.collect())
    }

    /// Applies gradients at `learning_rate`.
    pub fn step(&mut self, gradients: &Gradients, learning_rate: f64) {
        self.step += 1;
        let (correction_1, correction_2) =
            (1.0 - BETA_1.powi(self.step), 1.0 - BETA_2.powi(self.step));
        no_grad(|| {
            for (group, gradient) in self.groups.iter_mut().zip(&gradients.0) {
                if group.decay > 0.0 {
                    let _ = group
                        .values
                        .g_mul_scalar_(1.0 - learning_rate * group.decay);
                }
                let _ = group.mean.lerp_(gradient, 1.0 - BETA_1);
                let _ = group.square.lerp_(&gradient.square(), 1.0 - BETA_2);
                let divisor = (&group.square / correction_2).sqrt_() + EPSILON;
                let step = (&group.mean / divisor) * (-learning_rate / correction_1);
                let _ = group.values.g_add_(&step);
            }
        });
    }
}

impl Gradients {
    /// Adds those of another part of the batch.
    pub fn add(&mut self, other: &Gradients) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            let _ = mine.g_add_(theirs);
        }
    }
}

impl Group {
    fn new(tensors: &[(&str, &Tensor)], decay: f64) -> Group {
        let values = one_behind_the_other(tensors.iter().map(|(_, tensor)| tensor.detach()));
        let mut from = 0;
        let slots = tensors.iter().map(|&(name, tensor)| {
            let mut slot = Slot {
                name: name.to_owned(),
                tensor: tensor.shallow_clone(),
                from,
            };
            let place = slot.of(&values);
            slot.tensor.set_data(&place);
            from += tensor.numel() as i64;
            slot
        });
        Group {
            slots: slots.collect(),
            mean: values.zeros_like(),
            square: values.zeros_like(),
            values,
            decay,
        }
    }
}

impl Slot {
    /// This tensor's part of what stands one behind the other, in its shape.
    fn of(&self, all: &Tensor) -> Tensor {
        let length = self.tensor.numel() as i64;
        all.narrow(0, self.from, length).view_(self.tensor.size())
    }
}

/// All values of some tensors, in one row.
pub(super) fn one_behind_the_other(tensors: impl IntoIterator<Item = Tensor>) -> Tensor {
    let rows = tensors.into_iter().map(|tensor| tensor.reshape([-1]));
    Tensor::cat(&rows.collect::<Vec<_>>(), 0)
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
