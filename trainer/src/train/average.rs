//! Exponential moving average of all stored tensors, running statistics included.

use std::collections::BTreeMap;

use anyhow::Result;
use tch::{Device, Tensor, no_grad};

use crate::network::{Network, to_array, to_tensor};
use crate::weights::Weights;

/// Averaged weights, on the network's device.
pub(super) struct Average {
    tensors: BTreeMap<String, Tensor>,
}

impl Average {
    /// Begins as the network is.
    pub(super) fn new(network: &Network) -> Average {
        let copy = |(name, tensor): (&String, &Tensor)| (name.clone(), tensor.detach().copy());
        Average {
            tensors: network.parameters().iter().map(copy).collect(),
        }
    }

    /// Goes on from weights that [`Average::weights`] gave.
    pub(super) fn from_weights(weights: &Weights, device: Device) -> Average {
        let tensors = weights
            .iter()
            .map(|(name, array)| (name.clone(), to_tensor(array).to_device(device)));
        Average {
            tensors: tensors.collect(),
        }
    }

    /// Takes in the network's weights; a decay of 0 makes them the average.
    pub(super) fn update(&mut self, network: &Network, decay: f64) {
        no_grad(|| {
            for (mine, theirs) in self.tensors.values_mut().zip(network.parameters().values()) {
                let _ = mine.lerp_(theirs, 1.0 - decay);
            }
        });
    }

    /// The average.
    pub(super) fn weights(&self) -> Result<Weights> {
        self.tensors
            .iter()
            .map(|(name, tensor)| Ok((name.clone(), to_array(tensor)?)))
            .collect()
    }
}
