//! Runs a [`Graph`] on libtorch, forward and backward.
//!
//! Feature maps are channels-last inside (a permuted view of NHWC data), which is what oneDNN and cuDNN like best for
//! depthwise networks; callers pass and receive NHWC. Weights stay f32; with [`Precision::Bf16`] convolutions and
//! activations run in bfloat16 and gradients return to the f32 weights.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use tch::{Device, Kind, Tensor};

use crate::graph::{Connection, Graph, LayerId, Op, Padding};
use crate::weights::{Array, Weights, shapes};

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
    graph: Graph,
    parameters: BTreeMap<String, Tensor>,
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
            graph,
            parameters,
            device,
            precision,
        })
    }

    /// The network's description.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Where it runs.
    pub fn device(&self) -> Device {
        self.device
    }

    /// A parameter by name (`conv1.weight`).
    pub fn parameter(&self, name: &str) -> Result<&Tensor> {
        self.parameters
            .get(name)
            .with_context(|| format!("the network has no parameter {name}"))
    }

    /// All stored tensors with their names, as an optimizer takes them.
    pub fn named(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.parameters
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// All stored tensors by name.
    pub fn parameters(&self) -> &BTreeMap<String, Tensor> {
        &self.parameters
    }

    /// Excludes the first `layers` layers from training: no gradient, and their batch norms run in inference mode.
    pub fn freeze(&mut self, layers: usize) {
        for id in 0..layers.min(self.graph.layers.len()) {
            for parameter in self.graph.layer_parameters(id) {
                if let Some(tensor) = self.parameters.get_mut(&parameter.name) {
                    let _ = tensor.set_requires_grad(false);
                }
            }
        }
    }

    /// Output for a batch: `[n, h, w, c]` f32, normalized, to `[n, h', w', c']` f32; a vector is `[n, 1, 1, c']`.
    pub fn forward(&self, photos: &Tensor, mode: Mode) -> Result<Tensor> {
        let mut output = None;
        self.forward_each(photos, mode, |id, value| {
            if id == self.graph.output() {
                output = Some(value.shallow_clone());
            }
            value
        })?;
        Ok(output
            .context("an empty network")?
            .to_kind(Kind::Float)
            .permute([0, 2, 3, 1]))
    }

    /// Runs a batch and hands every layer's value, `[n, c, h, w]`, to `see`; what that gives back goes on in its place.
    pub fn forward_each(
        &self,
        photos: &Tensor,
        mode: Mode,
        mut see: impl FnMut(LayerId, Tensor) -> Tensor,
    ) -> Result<()> {
        let mut values: Vec<Option<Tensor>> = Vec::with_capacity(self.graph.layers.len());
        let last_use = self.graph.last_uses();
        for (id, layer) in self.graph.layers.iter().enumerate() {
            let value = if layer.inputs.is_empty() {
                let kind = if self.precision == Precision::Bf16 {
                    Kind::BFloat16
                } else {
                    Kind::Float
                };
                photos.permute([0, 3, 1, 2]).to_kind(kind)
            } else {
                let inputs = layer.inputs.iter().map(|&input| {
                    values
                        .get(input)
                        .and_then(Option::as_ref)
                        .context("a layer reads one that comes later")
                });
                self.layer(id, &inputs.collect::<Result<Vec<_>>>()?, mode)?
            };
            values.push(Some(see(id, value)));
            for &input in &layer.inputs {
                if last_use[input] == id {
                    values[input] = None; // Without gradients this frees the memory.
                }
            }
        }
        Ok(())
    }

    fn layer(&self, id: LayerId, inputs: &[&Tensor], mode: Mode) -> Result<Tensor> {
        let layer = &self.graph.layers[id];
        let x = *inputs
            .first()
            .with_context(|| format!("{} reads nothing", layer.name))?;
        let parameter = |suffix: &str| self.parameter(&format!("{}.{suffix}", layer.name));
        let kind = x.kind();
        Ok(match layer.op {
            Op::Input => x.shallow_clone(),
            Op::Pad(p) => pad(x, p),
            Op::Crop(p) => {
                let [height, width] = [x.size()[2], x.size()[3]];
                x.narrow(2, p.top as i64, height - (p.top + p.bottom) as i64)
                    .narrow(3, p.left as i64, width - (p.left + p.right) as i64)
            }
            Op::Conv {
                connection,
                stride,
                padding,
                bias,
                ..
            } => {
                let weight = parameter("weight")?;
                let bias = if bias {
                    Some(parameter("bias")?.to_kind(kind))
                } else {
                    None
                };
                let groups = match connection {
                    Connection::Dense { .. } => 1,
                    Connection::Depthwise => weight.size()[0],
                };
                convolution(x, weight, bias, stride, padding, groups)
            }
            Op::SeparableConv {
                stride, padding, ..
            } => {
                let (depthwise, pointwise) = (
                    parameter("depthwise.weight")?,
                    parameter("pointwise.weight")?,
                );
                let groups = depthwise.size()[0];
                let x = convolution(x, depthwise, None, stride, padding, groups);
                convolution(&x, pointwise, None, 1, Padding::default(), 1)
            }
            Op::BatchNorm { epsilon } => {
                let weight = parameter("weight")?;
                // A frozen batch norm keeps the statistics it was trained with.
                let (training, momentum) = match mode {
                    Mode::Train { momentum } if weight.requires_grad() => (true, momentum),
                    _ => (false, 0.0),
                };
                let (bias, mean, var) = (
                    parameter("bias")?,
                    parameter("running_mean")?,
                    parameter("running_var")?,
                );
                x.batch_norm(
                    Some(weight),
                    Some(bias),
                    Some(mean),
                    Some(var),
                    training,
                    momentum,
                    epsilon,
                    true,
                )
            }
            Op::Scale => {
                let per_channel = |suffix: &str| -> Result<Tensor> {
                    Ok(parameter(suffix)?.to_kind(kind).reshape([1, -1, 1, 1]))
                };
                x * per_channel("weight")? + per_channel("bias")?
            }
            Op::Relu => x.relu(),
            Op::Relu6 => x.relu6(),
            Op::Add => inputs[1..]
                .iter()
                .fold(x.shallow_clone(), |sum, y| sum + *y),
            Op::Concat => Tensor::cat(inputs, 1),
            Op::MaxPool { kernel, stride } => x.max_pool2d(
                [kernel as i64; 2],
                [stride as i64; 2],
                [0, 0],
                [1, 1],
                false,
            ),
            Op::AveragePool {
                kernel,
                stride,
                padding,
            } => {
                let around = padding.symmetric().with_context(|| {
                    format!("{} pads its windows unevenly: {padding:?}", layer.name)
                })?;
                let (kernel, stride) = ([kernel as i64; 2], [stride as i64; 2]);
                let around = around.map(|pixels| pixels as i64);
                x.avg_pool2d(kernel, stride, around, false, false, None)
            }
            // Not the mean over two dimensions: its gradient comes as NCHW, and every layer before it pays for that.
            Op::GlobalAveragePool => {
                let window = [x.size()[2], x.size()[3]];
                let x = x.to_kind(Kind::Float);
                x.avg_pool2d(window, window, [0, 0], false, false, None)
            }
            Op::Dropout { rate } => x.dropout(rate, mode != Mode::Eval),
            Op::Dense { .. } => {
                let flat = x.flatten(1, -1);
                let y = flat.linear(
                    &parameter("weight")?.to_kind(kind),
                    Some(&parameter("bias")?.to_kind(kind)),
                );
                y.unsqueeze(-1).unsqueeze(-1)
            }
        })
    }
}

fn pad(x: &Tensor, p: Padding) -> Tensor {
    if p.is_none() {
        return x.shallow_clone();
    }
    x.constant_pad_nd([p.left as i64, p.right as i64, p.top as i64, p.bottom as i64])
}

/// A convolution in the number format of `x`.
fn convolution(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<Tensor>,
    stride: usize,
    padding: Padding,
    groups: i64,
) -> Tensor {
    let (x, around) = match padding.symmetric() {
        Some(around) => (x.shallow_clone(), around.map(|pixels| pixels as i64)),
        None => (pad(x, padding), [0, 0]),
    };
    let weight = weight.to_kind(x.kind());
    x.conv2d(&weight, bias, [stride as i64; 2], around, [1, 1], groups)
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
