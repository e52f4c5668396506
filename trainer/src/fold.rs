//! Folds batch norms into the convolutions before them and drops what only training needs.
//!
//! What comes out is the network as it is exported and quantized: convolutions with bias, activations, pools, dense.
//! With `y = gamma * (conv(x) - mean) / sqrt(var + epsilon) + beta` a batch norm is a factor per output channel, which
//! the kernel takes up, and an offset, which becomes the bias. Explicit padding goes into the convolution as well.

use anyhow::{Context, Result, bail, ensure};

use crate::graph::{Graph, LayerId, Op, Padding};
use crate::weights::{Array, Weights, shapes};

/// Rewrites a trained network. The result computes what the original does in inference mode, up to rounding.
pub fn fold(graph: &Graph, weights: &Weights) -> Result<(Graph, Weights)> {
    graph.check_weights(shapes(weights))?;
    let mut folded = Graph::new(graph.input_shape());
    let mut folded_weights = Weights::new();
    // Where each original layer went, and the padding that waits for the convolution after it.
    let mut place: Vec<LayerId> = vec![0; graph.layers.len()];
    let mut waiting: Vec<Padding> = vec![Padding::default(); graph.layers.len()];
    for (id, layer) in graph.layers.iter().enumerate().skip(1) {
        let input = *layer
            .inputs
            .first()
            .with_context(|| format!("{} reads nothing", layer.name))?;
        let get = |suffix: &str| {
            let name = format!("{}.{suffix}", layer.name);
            weights
                .get(&name)
                .with_context(|| format!("{name} is missing"))
        };
        let no_padding_waits = || {
            ensure!(
                waiting[input].is_none(),
                "{} follows a padding; only a convolution can take it up",
                layer.name
            );
            Ok(())
        };
        place[id] = match layer.op {
            Op::Input => bail!("{}: a network has one input", layer.name),
            Op::Dropout { .. } => place[input],
            Op::Pad(padding) => {
                waiting[id] = padding;
                place[input]
            }
            Op::Conv {
                connection,
                kernel,
                stride,
                padding,
                bias,
            } => {
                let around = sum(padding, waiting[input]);
                let op = Op::Conv {
                    connection,
                    kernel,
                    stride,
                    padding: around,
                    bias: true,
                };
                let weight = get("weight")?.clone();
                let bias = if bias {
                    get("bias")?.clone()
                } else {
                    Array::new([weight.shape[0]], vec![0.0; weight.shape[0]])
                };
                folded_weights.insert(format!("{}.weight", layer.name), weight);
                folded_weights.insert(format!("{}.bias", layer.name), bias);
                folded.push(&layer.name, op, place[input])
            }
            Op::BatchNorm { epsilon } => {
                no_padding_waits()?;
                let conv = &folded.layers[place[input]];
                let single_reader = graph
                    .layers
                    .iter()
                    .filter(|l| l.inputs.contains(&input))
                    .count()
                    == 1;
                ensure!(
                    matches!(conv.op, Op::Conv { .. }) && single_reader,
                    "{} does not follow a convolution of its own",
                    layer.name
                );
                let name = conv.name.clone();
                scale_channels(
                    &mut folded_weights,
                    &name,
                    get("weight")?,
                    get("bias")?,
                    get("running_mean")?,
                    get("running_var")?,
                    epsilon,
                )?;
                place[input]
            }
            Op::Dense { .. } => {
                for suffix in ["weight", "bias"] {
                    folded_weights.insert(format!("{}.{suffix}", layer.name), get(suffix)?.clone());
                }
                folded.push(&layer.name, layer.op.clone(), place[input])
            }
            Op::Relu6 | Op::GlobalAveragePool => {
                no_padding_waits()?;
                folded.push(&layer.name, layer.op.clone(), place[input])
            }
        };
    }
    folded.check_weights(shapes(&folded_weights))?;
    Ok((folded, folded_weights))
}

fn sum(a: Padding, b: Padding) -> Padding {
    Padding {
        top: a.top + b.top,
        left: a.left + b.left,
        bottom: a.bottom + b.bottom,
        right: a.right + b.right,
    }
}

fn scale_channels(
    weights: &mut Weights,
    conv: &str,
    gamma: &Array,
    beta: &Array,
    mean: &Array,
    var: &Array,
    epsilon: f64,
) -> Result<()> {
    let factors: Vec<f64> = gamma
        .data
        .iter()
        .zip(&var.data)
        .map(|(&gamma, &var)| f64::from(gamma) / (f64::from(var) + epsilon).sqrt())
        .collect();
    if let Some(channel) = factors.iter().position(|f| !f.is_finite()) {
        bail!("{conv}: the batch norm of channel {channel} is not finite");
    }
    let weight = weights
        .get_mut(&format!("{conv}.weight"))
        .context("a convolution without weight")?;
    let taps = weight.data.len() / factors.len();
    for (kernel, factor) in weight.data.chunks_exact_mut(taps).zip(&factors) {
        for value in kernel {
            *value = (f64::from(*value) * factor) as f32;
        }
    }
    let bias = weights
        .get_mut(&format!("{conv}.bias"))
        .context("a convolution without bias")?;
    for (c, value) in bias.data.iter_mut().enumerate() {
        *value = ((f64::from(*value) - f64::from(mean.data[c])) * factors[c]
            + f64::from(beta.data[c])) as f32;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbones::Backbone;
    use crate::network::{Mode, Network, Precision};
    use crate::weights::random;
    use tch::{Device, Kind, Tensor, no_grad};

    #[test]
    fn the_folded_network_computes_the_same() {
        let graph = Backbone::MobileNetV1.classifier(64, 5, 0.2);
        let weights = random(&graph, 7);
        let (folded, folded_weights) = fold(&graph, &weights).unwrap();
        let kinds = |f: &dyn Fn(&Op) -> bool| folded.layers.iter().filter(|l| f(&l.op)).count();
        assert_eq!(
            kinds(&|op| matches!(op, Op::BatchNorm { .. } | Op::Pad(_) | Op::Dropout { .. })),
            0
        );
        assert_eq!(kinds(&|op| matches!(op, Op::Conv { bias: true, .. })), 27);
        tch::manual_seed(5);
        let photo = Tensor::rand([2, 64, 64, 3], (Kind::Float, Device::Cpu)) * 2.0 - 1.0;
        let run = |graph: Graph, weights: &Weights| {
            let network = Network::new(graph, weights, Device::Cpu, Precision::F32).unwrap();
            no_grad(|| network.forward(&photo, Mode::Eval).unwrap())
        };
        let (before, after) = (run(graph, &weights), run(folded, &folded_weights));
        let scale = before.abs().max().double_value(&[]);
        let difference = (before - after).abs().max().double_value(&[]);
        assert!(
            scale > 1e-3 && difference < 1e-4 * scale,
            "{difference} of {scale}"
        );
    }
}
