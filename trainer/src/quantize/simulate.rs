//! The int8 network computed in f32: weights as their integers stand for them, values rounded to their levels where they
//! are stored. Up to ties in rounding it gives what core gives, and every value on the way can be looked at.

use anyhow::Result;
use tch::{Device, Tensor, no_grad};

use super::Quantized;
use crate::graph::{Graph, LayerId};
use crate::network::{Mode, Network, Precision};

/// The network with its weights as the integers stand for them.
pub(super) fn rounded_network(
    graph: &Graph,
    quantized: &Quantized,
    device: Device,
) -> Result<Network> {
    let mut weights = quantized.floats.clone();
    for (&id, layer) in &quantized.layers {
        let name = &graph.layers[id].name;
        weights.insert(format!("{name}.weight"), layer.real_weight());
        weights.insert(format!("{name}.bias"), layer.real_bias());
    }
    Network::new(graph.clone(), &weights, device, Precision::F32)
}

/// Runs a batch, normalized, through `network`; `see` is given every value before it is rounded as `quantized` stores
/// it, and as it goes on.
pub(super) fn run_rounded(
    network: &Network,
    quantized: &Quantized,
    input: &Tensor,
    mut see: impl FnMut(LayerId, &Tensor, &Tensor),
) -> Result<()> {
    no_grad(|| {
        network.forward_each(input, Mode::Eval, |id, value| {
            let rounded = match quantized.activations.get(&id) {
                Some(activation) => activation.round(&value),
                None => value.shallow_clone(),
            };
            see(id, &value, &rounded);
            rounded
        })
    })
}
