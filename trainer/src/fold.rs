//! Folds batch norms into the convolutions before them and drops what only training needs.
//!
//! What comes out is the network as it is exported and quantized: convolutions with bias, activations, sums, pools,
//! dense. With `y = gamma * (conv(x) - mean) / sqrt(var + epsilon) + beta` a batch norm is a factor per output channel,
//! which the kernel takes up, and an offset, which becomes the bias; behind a concatenation of convolutions each takes
//! up its part. A batch norm that has no convolution of its own stays, as a multiply-add per channel; so does the sum
//! of a map with itself.
//! Convolutions take up explicit padding before them, 1×1 convolutions also the steps of a pool of single pixels; what
//! is computed twice from one map is computed once. A concatenation that only rectifiers read joins rectified parts:
//! what lies below zero is not stored. Layers stand one branch after the other.

use anyhow::{Context, Result, bail, ensure};

use crate::graph::{Connection, Graph, Layer, LayerId, Op, Padding};
use crate::weights::{Array, Weights, shapes};

/// Rewrites a trained network. The result computes what the original does in inference mode, up to rounding.
pub fn fold(graph: &Graph, weights: &Weights) -> Result<(Graph, Weights)> {
    let (folded, folded_weights, _) = fold_to(graph, weights, &[graph.output()])?;
    Ok((folded, folded_weights))
}

/// Rewrites a folded classifier to give its logits less their mean over the classes. Softmax is the same, so training does
/// not hold the mean anywhere, and a photo that is unlike all others can drive it far.
pub fn centre_logits(graph: &Graph, weights: &mut Weights) -> Result<()> {
    let output = &graph.layers[graph.output()];
    ensure!(
        matches!(output.op, Op::Dense { .. }),
        "{} gives no logits: it is no dense layer",
        output.name
    );
    for suffix in ["weight", "bias"] {
        let name = format!("{}.{suffix}", output.name);
        let array = weights.get_mut(&name);
        let array = array.with_context(|| format!("{name} is missing"))?;
        let classes = array.shape[0];
        let inputs = array.data.len() / classes;
        for input in 0..inputs {
            let of_class = array.data.iter().skip(input).step_by(inputs);
            let mean = of_class.map(|&value| f64::from(value)).sum::<f64>() / classes as f64;
            for value in array.data.iter_mut().skip(input).step_by(inputs) {
                *value = (f64::from(*value) - mean) as f32;
            }
        }
    }
    Ok(())
}

/// Rewrites the part of a network that the values of the layers `wanted` need. Gives with it where these values stand
/// in the result.
pub fn fold_to(
    graph: &Graph,
    weights: &Weights,
    wanted: &[LayerId],
) -> Result<(Graph, Weights, Vec<LayerId>)> {
    graph.check_weights(shapes(weights))?;
    let mut folding = Folding {
        graph,
        weights,
        wanted,
        readers: vec![Vec::new(); graph.layers.len()],
        folded: Graph::new(graph.input_shape()),
        folded_weights: Weights::new(),
        place: vec![0; graph.layers.len()],
        waiting: vec![Waiting::default(); graph.layers.len()],
    };
    let order = graph.depth_first(wanted);
    for &id in &order {
        for &input in &graph.layers[id].inputs {
            folding.readers[input].push(id);
        }
    }
    for id in order.into_iter().skip(1) {
        folding
            .layer(id)
            .with_context(|| format!("cannot fold {}", graph.layers[id].name))?;
    }
    let Folding {
        folded,
        folded_weights,
        place,
        ..
    } = folding;
    folded.check_weights(shapes(&folded_weights))?;
    let places: Vec<LayerId> = wanted.iter().map(|&id| place[id]).collect();
    let (folded, places) = folded.in_depth_first_order(&places);
    Ok((folded, folded_weights, places))
}

/// What a layer that is gone left to the convolutions behind it.
#[derive(Clone, Copy, PartialEq)]
struct Waiting {
    padding: Padding,
    stride: usize,
}

impl Default for Waiting {
    fn default() -> Waiting {
        Waiting {
            padding: Padding::default(),
            stride: 1,
        }
    }
}

struct Folding<'a> {
    graph: &'a Graph,
    weights: &'a Weights,
    /// Layers whose values are asked for, each as it is.
    wanted: &'a [LayerId],
    /// Which layers read each.
    readers: Vec<Vec<LayerId>>,
    folded: Graph,
    folded_weights: Weights,
    /// Where each original layer went.
    place: Vec<LayerId>,
    waiting: Vec<Waiting>,
}

impl Folding<'_> {
    fn layer(&mut self, id: LayerId) -> Result<()> {
        let layer = &self.graph.layers[id];
        let input = *layer.inputs.first().context("it reads nothing")?;
        match layer.op {
            Op::Input => bail!("a network has one input"),
            Op::Dropout { .. } => {
                self.place[id] = self.place[input];
                self.waiting[id] = self.waiting[input];
                return Ok(());
            }
            Op::Pad(padding) if self.only_convolutions_read(id, false) => {
                let before = self.waiting[input];
                self.waiting[id] = Waiting {
                    padding: before.padding.plus(padding),
                    ..before
                };
                ensure!(
                    before.stride == 1,
                    "it pads between a step and its convolution"
                );
                self.place[id] = self.place[input];
                return Ok(());
            }
            // The mean of one pixel is that pixel.
            Op::AveragePool {
                kernel: 1,
                stride,
                padding,
            } if padding.is_none()
                && self.waiting[input] == Waiting::default()
                && self.only_convolutions_read(id, true) =>
            {
                self.waiting[id].stride = stride;
                self.place[id] = self.place[input];
                return Ok(());
            }
            _ => {}
        }
        let convolution = matches!(layer.op, Op::Conv { .. } | Op::SeparableConv { .. });
        ensure!(
            convolution || self.waiting[input] == Waiting::default(),
            "it follows a padding; only a convolution can take it up"
        );
        self.place[id] = match layer.op {
            Op::Conv {
                connection,
                kernel,
                stride,
                padding,
                bias,
            } => {
                let weight = self.stored(id, "weight")?.clone();
                let bias = match bias {
                    true => Some(self.stored(id, "bias")?.clone()),
                    false => None,
                };
                let shape = (connection, kernel, stride);
                self.convolution(layer.name.clone(), shape, padding, weight, bias, input)
            }
            Op::SeparableConv {
                filters,
                kernel,
                stride,
                padding,
            } => {
                let name = format!("{}.depthwise", layer.name);
                let weight = self.stored(id, "depthwise.weight")?.clone();
                let shape = (Connection::Depthwise, kernel, stride);
                let depthwise = self.convolution(name, shape, padding, weight, None, input);
                let weight = self.stored(id, "pointwise.weight")?.clone();
                let op = Op::Conv {
                    connection: Connection::Dense { filters },
                    kernel: 1,
                    stride: 1,
                    padding: Padding::default(),
                    bias: true,
                };
                self.push_convolution(
                    format!("{}.pointwise", layer.name),
                    op,
                    weight,
                    None,
                    depthwise,
                )
            }
            Op::BatchNorm { epsilon } => {
                let (factors, offsets) = self.factors_and_offsets(id, epsilon)?;
                if self.takes_up(input) {
                    self.scale(input, &factors, &offsets)?;
                    self.place[input]
                } else {
                    let single = |values: &[f64]| values.iter().map(|&v| v as f32).collect();
                    self.push_scale(&layer.name, single(&factors), single(&offsets), input)
                }
            }
            Op::Dense { .. } | Op::Scale => {
                for suffix in ["weight", "bias"] {
                    let array = self.stored(id, suffix)?.clone();
                    self.folded_weights
                        .insert(format!("{}.{suffix}", layer.name), array);
                }
                self.folded
                    .push(&layer.name, layer.op.clone(), self.place[input])
            }
            // A map added to itself.
            Op::Add
                if layer
                    .inputs
                    .iter()
                    .all(|&i| self.place[i] == self.place[input]) =>
            {
                let channels = self.graph.shapes[id][2];
                let factor = layer.inputs.len() as f32;
                self.push_scale(
                    &layer.name,
                    vec![factor; channels],
                    vec![0.0; channels],
                    input,
                )
            }
            Op::Concat if self.only_rectifiers_read(id) => {
                let parts = layer.inputs.iter();
                let parts: Vec<LayerId> = parts.map(|&part| self.rectified(part)).collect();
                self.once(&layer.name, &Op::Concat, &parts)
            }
            Op::Relu if self.is_rectified(self.place[input]) => self.place[input],
            _ => {
                let inputs: Vec<LayerId> = layer.inputs.iter().map(|&i| self.place[i]).collect();
                self.once(&layer.name, &layer.op, &inputs)
            }
        };
        Ok(())
    }

    /// What `op` makes of these layers of the folded network: a new layer, where none computes it already.
    fn once(&mut self, name: &str, op: &Op, inputs: &[LayerId]) -> LayerId {
        let same = |layer: &Layer| layer.op == *op && layer.inputs == inputs;
        match self.folded.layers.iter().position(same) {
            Some(there) => there,
            None => self.folded.join(name, op.clone(), inputs),
        }
    }

    /// The rectified value of a layer, in the folded network.
    fn rectified(&mut self, id: LayerId) -> LayerId {
        let place = self.place[id];
        if self.is_rectified(place) {
            return place;
        }
        let name = format!("{}.relu", self.folded.layers[place].name);
        self.once(&name, &Op::Relu, &[place])
    }

    /// Whether nothing below zero is in a layer's value, in the folded network.
    fn is_rectified(&self, place: LayerId) -> bool {
        let Layer { op, inputs, .. } = &self.folded.layers[place];
        match op {
            Op::Relu | Op::Relu6 => true,
            Op::Concat => inputs.iter().all(|&part| self.is_rectified(part)),
            _ => false,
        }
    }

    /// Whether rectifiers and nothing else read a layer, or the batch norm that it takes up.
    fn only_rectifiers_read(&self, id: LayerId) -> bool {
        let rectifies = |&reader: &LayerId| match self.graph.layers[reader].op {
            Op::Relu => true,
            Op::BatchNorm { .. } => self.takes_up(id) && self.only_rectifiers_read(reader),
            _ => false,
        };
        !self.wanted.contains(&id) && self.readers[id].iter().all(rectifies)
    }

    /// Whether all readers are convolutions that can take up a padding, or `steps`.
    fn only_convolutions_read(&self, id: LayerId, steps: bool) -> bool {
        let takes_it = |&reader: &LayerId| match self.graph.layers[reader].op {
            Op::Conv {
                kernel,
                stride,
                padding,
                ..
            } => !steps || (kernel == 1 && stride == 1 && padding.is_none()),
            Op::SeparableConv { .. } => !steps,
            _ => false,
        };
        !self.wanted.contains(&id) && self.readers[id].iter().all(takes_it)
    }

    fn stored(&self, id: LayerId, suffix: &str) -> Result<&Array> {
        let name = format!("{}.{suffix}", self.graph.layers[id].name);
        self.weights
            .get(&name)
            .with_context(|| format!("{name} is missing"))
    }

    /// A convolution that takes up what waits before it.
    fn convolution(
        &mut self,
        name: String,
        (connection, kernel, stride): (Connection, usize, usize),
        padding: Padding,
        weight: Array,
        bias: Option<Array>,
        input: LayerId,
    ) -> LayerId {
        let before = self.waiting[input];
        let op = Op::Conv {
            connection,
            kernel,
            stride: stride * before.stride,
            padding: padding.plus(before.padding),
            bias: true,
        };
        self.push_convolution(name, op, weight, bias, self.place[input])
    }

    fn push_convolution(
        &mut self,
        name: String,
        op: Op,
        weight: Array,
        bias: Option<Array>,
        input: LayerId,
    ) -> LayerId {
        let filters = weight.shape[0];
        let bias = bias.unwrap_or_else(|| Array::new([filters], vec![0.0; filters]));
        self.folded_weights.insert(format!("{name}.weight"), weight);
        self.folded_weights.insert(format!("{name}.bias"), bias);
        self.folded.push(name, op, input)
    }

    fn push_scale(
        &mut self,
        name: &str,
        factors: Vec<f32>,
        offsets: Vec<f32>,
        input: LayerId,
    ) -> LayerId {
        for (suffix, values) in [("weight", factors), ("bias", offsets)] {
            let array = Array::new([values.len()], values);
            self.folded_weights
                .insert(format!("{name}.{suffix}"), array);
        }
        self.folded.push(name, Op::Scale, self.place[input])
    }

    /// A batch norm as `x * factor + offset`, per channel.
    fn factors_and_offsets(&self, id: LayerId, epsilon: f64) -> Result<(Vec<f64>, Vec<f64>)> {
        let of = |suffix: &str| -> Result<Vec<f64>> {
            let values = self.stored(id, suffix)?.data.iter();
            Ok(values.map(|&v| f64::from(v)).collect())
        };
        let (gamma, beta) = (of("weight")?, of("bias")?);
        let (mean, var) = (of("running_mean")?, of("running_var")?);
        let channels = 0..gamma.len();
        let factors: Vec<f64> = channels
            .clone()
            .map(|c| gamma[c] / (var[c] + epsilon).sqrt())
            .collect();
        let offsets: Vec<f64> = channels.map(|c| beta[c] - mean[c] * factors[c]).collect();
        let finite = |c: &usize| factors[*c].is_finite() && offsets[*c].is_finite();
        if let Some(channel) = (0..factors.len()).find(|c| !finite(c)) {
            bail!("the batch norm of channel {channel} is not finite");
        }
        Ok((factors, offsets))
    }

    /// Whether a batch norm behind this layer, its only reader, can go into convolutions.
    fn takes_up(&self, id: LayerId) -> bool {
        let layer = &self.graph.layers[id];
        self.readers[id].len() == 1
            && !self.wanted.contains(&id)
            && match layer.op {
                Op::Conv { .. } | Op::SeparableConv { .. } => true,
                Op::Concat => layer.inputs.iter().all(|&part| self.takes_up(part)),
                _ => false,
            }
    }

    /// Scales and shifts the output channels of a layer that [`takes_up`](Self::takes_up).
    fn scale(&mut self, id: LayerId, factors: &[f64], offsets: &[f64]) -> Result<()> {
        let graph = self.graph;
        if graph.layers[id].op == Op::Concat {
            let mut from = 0;
            for &part in &graph.layers[id].inputs {
                let to = from + graph.shapes[part][2];
                self.scale(part, &factors[from..to], &offsets[from..to])?;
                from = to;
            }
            return Ok(());
        }
        let name = self.folded.layers[self.place[id]].name.clone();
        let weight = self
            .folded_weights
            .get_mut(&format!("{name}.weight"))
            .context("a convolution without weight")?;
        let taps = weight.data.len() / factors.len();
        for (kernel, factor) in weight.data.chunks_exact_mut(taps).zip(factors) {
            for value in kernel {
                *value = (f64::from(*value) * factor) as f32;
            }
        }
        let bias = self
            .folded_weights
            .get_mut(&format!("{name}.bias"))
            .context("a convolution without bias")?;
        for (c, value) in bias.data.iter_mut().enumerate() {
            *value = (f64::from(*value) * factors[c] + offsets[c]) as f32;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbones::Backbone;
    use crate::network::{Mode, Network, Precision};
    use crate::weights::random;
    use std::collections::BTreeSet;
    use tch::{Device, Kind, Tensor, no_grad};

    /// Largest difference between a network and its folded form, relative to the largest output, and the folded form.
    fn difference(backbone: Backbone) -> (f64, Graph) {
        let graph = backbone.classifier(64, 5, 0.2);
        let weights = random(&graph, 7);
        let (folded, folded_weights) = fold(&graph, &weights).unwrap();
        tch::manual_seed(5);
        let photo = Tensor::rand([2, 64, 64, 3], (Kind::Float, Device::Cpu)) * 2.0 - 1.0;
        let run = |graph: Graph, weights: &Weights| {
            let network = Network::new(graph, weights, Device::Cpu, Precision::F32).unwrap();
            no_grad(|| network.forward(&photo, Mode::Eval).unwrap())
        };
        let before = run(graph, &weights);
        let after = run(folded.clone(), &folded_weights);
        let scale = before.abs().max().double_value(&[]);
        assert!(scale > 1e-3 && scale.is_finite(), "{backbone}: {scale}");
        let difference = (before - after).abs().max().double_value(&[]);
        (difference / scale, folded)
    }

    /// NASNet's: a sum, and a map that is read as it is too, joined and rectified twice.
    #[test]
    fn concatenations_that_rectifiers_read_join_rectified_parts() {
        let mut graph = Graph::new([4, 4, 3]);
        let pool = Op::AveragePool {
            kernel: 1,
            stride: 1,
            padding: Padding::default(),
        };
        let a = graph.push("a", pool, 0);
        let sum = graph.join("sum", Op::Add, &[a, 0]);
        let relu = graph.push("relu", Op::Relu, a);
        let other = graph.join("other", Op::Add, &[relu, a]);
        let both = graph.join("both", Op::Concat, &[sum, other, a]);
        let first = graph.push("first", Op::Relu, both);
        let again = graph.push("again", Op::Relu, both);
        let joined = graph.join("joined", Op::Concat, &[sum, first, again]);
        graph.push("mean", Op::GlobalAveragePool, joined);
        let names = |graph: &Graph| -> Vec<String> {
            graph.layers.iter().map(|l| l.name.clone()).collect()
        };
        let (folded, _) = fold(&graph, &Weights::new()).unwrap();
        let rectified = ["sum.relu", "relu", "other", "other.relu", "both"];
        let wanted = [&["input", "a", "sum"][..], &rectified, &["joined", "mean"]].concat();
        assert_eq!(names(&folded), wanted);
        let inputs = |name: &str| -> Vec<&str> {
            let layer = &folded.layers[folded.find(name).unwrap()];
            let inputs = layer.inputs.iter();
            inputs.map(|&id| folded.layers[id].name.as_str()).collect()
        };
        assert_eq!(inputs("both"), ["sum.relu", "other.relu", "relu"]);
        assert_eq!(inputs("joined"), ["sum", "both", "both"]);
        // A value that is asked for is given as it is.
        let (folded, _, places) = fold_to(&graph, &Weights::new(), &[both, first]).unwrap();
        let asked_for = places.iter().map(|&id| names(&folded)[id].clone());
        assert_eq!(asked_for.collect::<Vec<_>>(), ["both", "first"]);
        assert!(folded.find("sum.relu").is_none());
    }

    #[test]
    fn the_folded_network_computes_the_same() {
        // Convolutions, multiply-adds per channel (batch norms that stay, and a sum in each normal cell) and pools.
        for (backbone, convolutions, scales, pools) in [
            (Backbone::MobileNetV1, 27, 0, 0),
            (Backbone::MobileNetV2, 52, 0, 0),
            (Backbone::NasNetMobile, 356, 12, 36),
            (Backbone::NasNetLarge, 488, 18, 48),
            (Backbone::DenseNet121, 120, 62, 4),
        ] {
            let (difference, folded) = difference(backbone);
            println!("{backbone}: folding changes {difference:e} of the largest logit");
            assert!(difference < 1e-4, "{backbone}: {difference}");
            let count =
                |is: &dyn Fn(&Op) -> bool| folded.layers.iter().filter(|l| is(&l.op)).count();
            let gone = |op: &Op| {
                matches!(
                    op,
                    Op::BatchNorm { .. } | Op::Dropout { .. } | Op::SeparableConv { .. }
                )
            };
            assert_eq!(count(&gone), 0, "{backbone}");
            let only_rectified = |id: LayerId| {
                let mut readers = folded.layers.iter().filter(|l| l.inputs.contains(&id));
                readers.all(|l| l.op == Op::Relu)
            };
            let mut layers = folded.layers.iter().enumerate();
            let wrong = layers.find(|&(id, l)| l.op == Op::Concat && only_rectified(id));
            assert_eq!(wrong, None, "{backbone}");
            let names: BTreeSet<&str> = folded.layers.iter().map(|l| l.name.as_str()).collect();
            assert_eq!(names.len(), folded.layers.len(), "{backbone}");
            let found = [
                count(&|op| matches!(op, Op::Conv { bias: true, .. })),
                count(&|op| *op == Op::Scale),
                count(&|op| matches!(op, Op::MaxPool { .. } | Op::AveragePool { .. })),
            ];
            assert_eq!(found, [convolutions, scales, pools], "{backbone}");
        }
    }

    #[test]
    fn logits_lose_what_they_have_in_common() {
        tch::manual_seed(6);
        let graph = Backbone::MobileNetV1.classifier(64, 5, 0.0);
        let (graph, weights) = fold(&graph, &random(&graph, 7)).unwrap();
        let mut centred = weights.clone();
        centre_logits(&graph, &mut centred).unwrap();
        let photo = Tensor::rand([2, 64, 64, 3], (Kind::Float, Device::Cpu)) * 2.0 - 1.0;
        let logits = |weights: &Weights| {
            let network = Network::new(graph.clone(), weights, Device::Cpu, Precision::F32);
            let network = network.unwrap();
            no_grad(|| network.forward(&photo, Mode::Eval).unwrap().flatten(1, -1))
        };
        let (before, after) = (logits(&weights), logits(&centred));
        let mean = before.mean_dim(1_i64, true, Kind::Float);
        let scale = before.abs().max().double_value(&[]);
        assert!(mean.abs().max().double_value(&[]) > 0.01 * scale);
        let apart = (before - mean - after).abs().max().double_value(&[]);
        assert!(apart < 1e-5 * scale, "{apart} of {scale}");
    }
}
