//! What each layer computes, in libtorch's terms, and the run through all of them.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use tch::{Device, Kind, Tensor};

use super::Mode;
use crate::graph::{Connection, Graph, LayerId, Op, Padding};

/// A graph with its tensors, in the number format that they are kept in.
pub(super) struct Layers {
    pub(super) graph: Graph,
    pub(super) parameters: BTreeMap<String, Tensor>,
}

impl Layers {
    /// A parameter by name (`conv1.weight`).
    pub(super) fn parameter(&self, name: &str) -> Result<&Tensor> {
        self.parameters
            .get(name)
            .with_context(|| format!("the network has no parameter {name}"))
    }

    /// Runs the layers `from` the values that are given, but for those that `without` names, and hands every value,
    /// `[n, c, h, w]`, to `see`; what that gives back goes on in its place.
    pub(super) fn run(
        &self,
        mut from: BTreeMap<LayerId, Tensor>,
        without: impl Fn(LayerId) -> bool,
        mode: Mode,
        mut see: impl FnMut(LayerId, Tensor) -> Tensor,
    ) -> Result<()> {
        let mut values: Vec<Option<Tensor>> = Vec::new();
        values.resize_with(self.graph.layers.len(), || None);
        let last_use = self.graph.last_uses();
        for (id, layer) in self.graph.layers.iter().enumerate() {
            let value = match from.remove(&id) {
                Some(given) => given,
                None if without(id) => continue,
                None => {
                    let inputs = layer.inputs.iter().map(|&input| {
                        values[input]
                            .as_ref()
                            .context("a layer reads one that comes later")
                    });
                    self.layer(id, &inputs.collect::<Result<Vec<_>>>()?, mode)?
                }
            };
            values[id] = Some(see(id, value));
            for &input in &layer.inputs {
                if last_use[input] == id {
                    values[input] = None; // Without gradients this frees the memory.
                }
            }
        }
        Ok(())
    }

    /// Runs as [`run`](Layers::run) does, and returns the values of the layers `wanted`.
    pub(super) fn values(
        &self,
        wanted: &[LayerId],
        from: BTreeMap<LayerId, Tensor>,
        without: impl Fn(LayerId) -> bool,
        mode: Mode,
    ) -> Result<Vec<Tensor>> {
        let mut found = BTreeMap::new();
        self.run(from, without, mode, |id, value| {
            if wanted.contains(&id) {
                found.insert(id, value.shallow_clone());
            }
            value
        })?;
        let found = wanted
            .iter()
            .map(|id| found.get(id).map(Tensor::shallow_clone));
        found
            .collect::<Option<_>>()
            .context("a layer that is not there")
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
            Op::Concat => {
                let parts = layer.inputs.iter().zip(inputs);
                let parts: Vec<Tensor> = parts.map(|(&id, part)| self.part(id, part)).collect();
                Tensor::cat(&parts, 1)
            }
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

    /// A part of a concatenation. Its gradient is a slice of the whole's, over which a batch norm takes libtorch's slow way;
    /// where one waits behind a sum the gradient is made dense, by a factor that changes nothing (NASNetMobile, all layers:
    /// 11 to 16 % faster).
    fn part(&self, id: LayerId, value: &Tensor) -> Tensor {
        let normed = |&id: &LayerId| matches!(self.graph.layers[id].op, Op::BatchNorm { .. });
        let layer = &self.graph.layers[id];
        match layer.op == Op::Add && layer.inputs.iter().any(normed) {
            true if value.requires_grad() => value * 1.0,
            _ => value.shallow_clone(),
        }
    }
}

/// A map with zeros around.
pub(crate) fn pad(x: &Tensor, p: Padding) -> Tensor {
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
    let kind = x.kind();
    // oneDNN's gradient to the input of a strided depthwise convolution takes in bfloat16 up to a hundred times as long
    // as in f32 (32 photos of 512 channels, 15 px: 264 ms to 2.4).
    let slow = x.device() == Device::Cpu && kind == Kind::BFloat16 && x.requires_grad();
    let computed_in = match slow && groups > 1 && stride > 1 {
        true => Kind::Float,
        false => kind,
    };
    let bias = bias.map(|bias| bias.to_kind(computed_in));
    let (x, weight) = (x.to_kind(computed_in), weight.to_kind(computed_in));
    let stride = [stride as i64; 2];
    let of = |weight: &Tensor| x.conv2d(weight, bias.as_ref(), stride, around, [1, 1], groups);
    // Without gradients a view of a weight that learns does not.
    let learns = x.device() == Device::Cpu && weight.alias().requires_grad();
    let y = match learns && groups > 1 && weight.size()[2] > SMALL {
        true => of(&weight.detach()) + zero_with_gradient(&x, &weight, stride, around, groups),
        false => of(&weight),
    };
    y.to_kind(kind)
}

/// The largest depthwise kernel for whose gradient oneDNN has code of its own.
const SMALL: i64 = 3;

/// Zeros of a depthwise convolution's shape, with the convolution's gradient to its weight.
///
/// oneDNN's gradient to the weight of a depthwise convolution beyond 3×3 takes about fifty times as long as of a 3×3 one
/// (16 photos of 44 channels, 28 px, bfloat16: 17.9 ms to 0.34). A larger kernel is a sum of 3×3 ones on shifted inputs: these are
/// run for their gradients alone, and what they give is taken off again.
fn zero_with_gradient(
    x: &Tensor,
    weight: &Tensor,
    stride: [i64; 2],
    around: [i64; 2],
    groups: i64,
) -> Tensor {
    let [vertical, horizontal] = around;
    let x = x.detach();
    let x = x.constant_pad_nd([horizontal, horizontal, vertical, vertical]);
    let side = weight.size()[2];
    let along = |size: i64, stride: i64| (size - side) / stride * stride + SMALL;
    let (height, width) = (along(x.size()[2], stride[0]), along(x.size()[3], stride[1]));
    // Where each part begins, and the first of its three taps that no part before it has.
    let parts = (0..side).step_by(SMALL as usize);
    let parts: Vec<(i64, i64)> = parts
        .map(|tap| (tap.min(side - SMALL), (tap + SMALL - side).max(0)))
        .collect();
    let part = |&(top, first_row): &(i64, i64), &(left, first_column): &(i64, i64)| {
        let seen = x.narrow(2, top, height).narrow(3, left, width);
        let taps = weight
            .narrow(2, top + first_row, SMALL - first_row)
            .narrow(3, left + first_column, SMALL - first_column)
            .constant_pad_nd([first_column, 0, first_row, 0]);
        let none: Option<&Tensor> = None;
        seen.conv2d(&taps, none, stride, [0, 0], [1, 1], groups)
    };
    let rows = parts.iter();
    let whole: Tensor = rows
        .flat_map(|row| parts.iter().map(|column| part(row, column)))
        .sum();
    &whole - whole.detach()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values and gradients of large depthwise kernels are the plain convolution's.
    #[test]
    fn large_depthwise_kernels_have_the_plain_gradients() {
        tch::manual_seed(1);
        for (side, stride, padding) in [
            (5, 1, Padding::all(2)),
            (7, 1, Padding::all(3)),
            (5, 2, Padding::default()),
            (7, 2, Padding::default()),
        ] {
            let options = (Kind::Float, Device::Cpu);
            let x = Tensor::randn([2, 11, 17, 15], options).set_requires_grad(true);
            let weight = Tensor::randn([11, 1, side, side], options).set_requires_grad(true);
            let pad = padding.symmetric().unwrap().map(|pixels| pixels as i64);
            let none: Option<&Tensor> = None;
            let plain = x.conv2d(&weight, none, [stride as i64; 2], pad, [1, 1], 11);
            let ours = convolution(&x, &weight, None, stride, padding, 11);
            assert_eq!(ours, plain);
            let along = plain.randn_like();
            let gradients = |y: &Tensor| {
                let loss = (y * &along).sum(Kind::Float);
                Tensor::run_backward(&[loss], &[&x, &weight], false, false)
            };
            for (ours, plain) in gradients(&ours).iter().zip(&gradients(&plain)) {
                let apart = (ours - plain).abs().max() / plain.abs().max();
                assert!(apart.double_value(&[]) < 1e-5, "{side} {stride}: {apart:?}");
            }
        }
    }

    /// The way by f32 gives bfloat16's values, and gradients in the weights' and the input's own formats.
    #[test]
    fn strided_depthwise_convolutions_agree_in_both_formats() {
        tch::manual_seed(1);
        let options = (Kind::Float, Device::Cpu);
        let x = Tensor::randn([2, 8, 9, 9], options).to_kind(Kind::BFloat16);
        let weight = Tensor::randn([8, 1, 3, 3], options).to_kind(Kind::BFloat16);
        let run = |kind: Kind| {
            let x = x.to_kind(kind).detach().set_requires_grad(true);
            let weight = weight.to_kind(Kind::Float).set_requires_grad(true);
            let y = convolution(&x, &weight, None, 2, Padding::default(), 8);
            assert_eq!(y.kind(), kind);
            let loss = y.square().sum(Kind::Float);
            let gradients = Tensor::run_backward(&[loss], &[&x, &weight], false, false);
            let kinds = [gradients[0].kind(), gradients[1].kind()];
            assert_eq!(kinds, [kind, Kind::Float]);
            [&y, &gradients[0], &gradients[1]].map(|tensor| tensor.detach().to_kind(Kind::Float))
        };
        for (bf16, f32) in run(Kind::BFloat16).iter().zip(&run(Kind::Float)) {
            let apart = (bf16 - f32).abs().max() / f32.abs().max();
            assert!(apart.double_value(&[]) < 1e-2, "{apart:?}");
        }
    }
}
