//! Exponential moving average of all stored tensors, running statistics included.

use anyhow::Result;
use tch::{Device, Tensor, no_grad};

use super::optimizer::one_behind_the_other;
use crate::network::{Network, to_array, to_tensor};
use crate::weights::Weights;

/// Averaged weights, on the network's device, one behind the other.
pub(super) struct Average {
    names: Vec<String>,
    shapes: Vec<Vec<i64>>,
    values: Tensor,
}

impl Average {
    /// Begins as the network is.
    pub(super) fn new(network: &Network) -> Average {
        Average::of(
            network
                .named()
                .map(|(name, tensor)| (name, tensor.detach())),
        )
    }

    /// Goes on from weights that [`Average::weights`] gave.
    pub(super) fn from_weights(weights: &Weights, device: Device) -> Average {
        let tensors = weights.iter();
        Average::of(
            tensors.map(|(name, array)| (name.as_str(), to_tensor(array).to_device(device))),
        )
    }

    fn of<'a>(named: impl Iterator<Item = (&'a str, Tensor)>) -> Average {
        let (names, tensors): (Vec<String>, Vec<Tensor>) = named
            .map(|(name, tensor)| (name.to_owned(), tensor))
            .unzip();
        Average {
            names,
            shapes: tensors.iter().map(Tensor::size).collect(),
            values: one_behind_the_other(tensors),
        }
    }

    /// Takes in the network's weights; a decay of 0 makes them the average.
    pub(super) fn update(&mut self, network: &Network, decay: f64) {
        no_grad(|| {
            let now = network.named().map(|(_, tensor)| tensor.shallow_clone());
            let _ = self.values.lerp_(&one_behind_the_other(now), 1.0 - decay);
        });
    }

    /// The average.
    pub(super) fn weights(&self) -> Result<Weights> {
        let values = self.values.to_device(Device::Cpu);
        let lengths: Vec<i64> = self
            .shapes
            .iter()
            .map(|shape| shape.iter().product())
            .collect();
        let parts = values.split_with_sizes(lengths, 0);
        let named = self.names.iter().zip(&self.shapes).zip(parts);
        named
            .map(|((name, shape), part)| Ok((name.clone(), to_array(&part.reshape(shape))?)))
            .collect()
    }
}
