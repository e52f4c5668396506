//! Runs a [`Graph`] on libtorch, forward and backward.
//!
//! Feature maps are channels-last inside (a permuted view of NHWC data), which is what oneDNN and cuDNN like best for
//! depthwise networks; callers pass and receive NHWC. Weights stay f32; with [`Precision::Bf16`] convolutions and
//! activations run in bfloat16 and gradients return to the f32 weights.
//!
//! Pieces: `layers` what each layer computes, `trunk` the frozen part, which runs without gradients.

mod layers;
mod trunk;

use std::collections::BTreeMap;

use anyhow::Result;
use tch::{Device, Kind, Tensor};

use crate::graph::{Cut, Graph, LayerId};
use crate::weights::{Array, Weights, shapes};
use layers::Layers;
pub(crate) use layers::pad;
use trunk::Trunk;

/// Number format of activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// f32 throughout.
    F32,
    /// Convolutions in bfloat16, sums and statistics in f32.
    Bf16,
}

/// Whether batch norms use the batch and dropout drops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// Batch statistics, updating the running ones by this share of each batch; dropout active.
    Train {
        /// Share of the new batch in the running statistics.
        momentum: f64,
    },
    /// Running statistics, no dropout.
    Eval,
}

/// A graph with its weights on a device.
pub struct Network {
    layers: Layers,
    trunk: Trunk,
    device: Device,
    precision: Precision,
}

impl Network {
    /// Puts `weights` on `device`; all learned parameters want gradients.
    pub fn new(
        graph: Graph,
        weights: &Weights,
        device: Device,
        precision: Precision,
    ) -> Result<Network> {
        graph.check_weights(shapes(weights))?;
        let mut parameters = BTreeMap::new();
        for parameter in graph.parameters() {
            let tensor = to_tensor(&weights[&parameter.name]).to_device(device);
            parameters.insert(parameter.name, tensor.set_requires_grad(parameter.learned));
        }
        Ok(Network {
            trunk: Trunk::none(&graph),
            layers: Layers { graph, parameters },
            device,
            precision,
        })
    }

    /// The same network with other tensors in place of these: on its device, with gradients to what they came from.
    pub fn with(&self, parameters: BTreeMap<String, Tensor>) -> Network {
        let own = self.layers.parameters.iter();
        let mut all: BTreeMap<String, Tensor> = own
            .map(|(name, tensor)| (name.clone(), tensor.shallow_clone()))
            .collect();
        all.extend(parameters);
        Network {
            trunk: Trunk::none(self.graph()),
            layers: Layers {
                graph: self.graph().clone(),
                parameters: all,
            },
            device: self.device,
            precision: self.precision,
        }
    }

    /// The network's description.
    pub fn graph(&self) -> &Graph {
        &self.layers.graph
    }

    /// Where it runs.
    pub fn device(&self) -> Device {
        self.device
    }

    /// A parameter by name (`conv1.weight`).
    pub fn parameter(&self, name: &str) -> Result<&Tensor> {
        self.layers.parameter(name)
    }

    /// All stored tensors with their names, as an optimizer takes them.
    pub fn named(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        let all = self.layers.parameters.iter();
        all.map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// All stored tensors by name.
    pub fn parameters(&self) -> &BTreeMap<String, Tensor> {
        &self.layers.parameters
    }

    /// Excludes the first `layers` layers from training: no gradient, their batch norms run in inference mode, and what
    /// of them nothing trained stands before is folded into a trunk.
    pub fn freeze(&mut self, layers: usize) -> Result<()> {
        let graph = &self.layers.graph;
        for id in 0..layers.min(graph.layers.len()) {
            for parameter in graph.layer_parameters(id) {
                if let Some(tensor) = self.layers.parameters.get_mut(&parameter.name) {
                    let _ = tensor.set_requires_grad(false);
                }
            }
        }
        self.trunk = Trunk::fold(&self.layers, layers, self.device, self.kind())?;
        Ok(())
    }

    /// Output for a batch: `[n, h, w, c]` f32, normalized, to `[n, h', w', c']` f32; a vector is `[n, 1, 1, c']`.
    pub fn forward(&self, photos: &Tensor, mode: Mode) -> Result<Tensor> {
        self.rest(&self.trunk(photos)?, mode)
    }

    /// The first half of [`forward`](Network::forward): what the frozen layers make of a batch, without gradients. The
    /// values that the other layers read of them, `[n, h, w, c]` in the activations' format; the batch itself where no
    /// layer is frozen.
    pub fn trunk(&self, photos: &Tensor) -> Result<Vec<Tensor>> {
        let input = self.input(photos);
        let values = self.trunk.values(input)?;
        Ok(values.iter().map(nhwc).collect())
    }

    /// The second half: from the values that [`trunk`](Network::trunk) gave to the output.
    pub fn rest(&self, kept: &[Tensor], mode: Mode) -> Result<Tensor> {
        let Cut { trunk, kept: ids } = self.trunk.cut();
        let kept = kept.iter().map(|value| value.permute([0, 3, 1, 2]));
        let from = ids.iter().copied().zip(kept).collect();
        let output = [self.layers.graph.output()];
        let values = self.layers.values(&output, from, |id| trunk[id], mode)?;
        Ok(nhwc(&values[0]).to_kind(Kind::Float))
    }

    /// Runs a batch through all layers as they are described and hands every layer's value, `[n, c, h, w]`, to `see`;
    /// what that gives back goes on in its place.
    pub fn forward_each(
        &self,
        photos: &Tensor,
        mode: Mode,
        see: impl FnMut(LayerId, Tensor) -> Tensor,
    ) -> Result<()> {
        let from = BTreeMap::from([(0, self.input(photos))]);
        self.layers.run(from, |_| false, mode, see)
    }

    /// Photos `[n, h, w, c]` as the layers read them.
    fn input(&self, photos: &Tensor) -> Tensor {
        photos.permute([0, 3, 1, 2]).to_kind(self.kind())
    }

    /// Number format of activations.
    fn kind(&self) -> Kind {
        match self.precision {
            Precision::F32 => Kind::Float,
            Precision::Bf16 => Kind::BFloat16,
        }
    }
}

fn nhwc(value: &Tensor) -> Tensor {
    value.permute([0, 2, 3, 1])
}

/// An array as a CPU tensor.
pub fn to_tensor(array: &Array) -> Tensor {
    let shape: Vec<i64> = array.shape.iter().map(|&d| d as i64).collect();
    Tensor::from_slice(&array.data).reshape(shape)
}

/// A tensor as an array.
pub fn to_array(tensor: &Tensor) -> Result<Array> {
    let shape: Vec<usize> = tensor.size().iter().map(|&d| d as usize).collect();
    let flat = tensor
        .detach()
        .to_device(Device::Cpu)
        .to_kind(Kind::Float)
        .contiguous()
        .flatten(0, -1);
    Ok(Array::new(shape, Vec::<f32>::try_from(flat)?))
}
