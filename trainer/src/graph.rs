//! A network as a framework-free graph of layers, described once.
//!
//! A backbone builds one of these; libtorch runs it (`network`), the Keras importer names its weights (`keras`), the
//! folding pass rewrites it (`fold`) and the exporter writes it (`export`). Layers stand in topological order and carry
//! Keras' names, so that a weight file, a freeze index and a report all speak of the same thing. Shapes are
//! `[height, width, channels]`; the batch is nowhere in here.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

/// Index of a layer in [`Graph::layers`].
pub type LayerId = usize;

/// Zero padding around a feature map, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Columns to the left.
    pub left: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the right.
    pub right: usize,
}

impl Padding {
    /// TensorFlow's `same` padding of one axis: the odd pixel goes to the end.
    fn same_axis(size: usize, kernel: usize, stride: usize) -> (usize, usize) {
        let total = ((size.div_ceil(stride) - 1) * stride + kernel).saturating_sub(size);
        (total / 2, total - total / 2)
    }

    /// TensorFlow's `same` padding for a feature map of `[height, width, _]`.
    pub fn same(shape: Shape, kernel: usize, stride: usize) -> Padding {
        let (top, bottom) = Self::same_axis(shape[0], kernel, stride);
        let (left, right) = Self::same_axis(shape[1], kernel, stride);
        Padding {
            top,
            left,
            bottom,
            right,
        }
    }

    /// True where nothing is padded.
    pub fn is_none(&self) -> bool {
        *self == Padding::default()
    }
}

/// `[height, width, channels]`; a vector is `[1, 1, channels]`.
pub type Shape = [usize; 3];

/// How a convolution connects channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Every output channel reads every input channel.
    Dense {
        /// Output channels.
        filters: usize,
    },
    /// Output channel `c` reads input channel `c` alone.
    Depthwise,
}

/// What a layer computes.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The photo, normalized.
    Input,
    /// Explicit zero padding.
    Pad(Padding),
    /// k×k convolution with zero padding.
    Conv {
        /// Dense or depthwise.
        connection: Connection,
        /// Kernel height and width.
        kernel: usize,
        /// Step in both directions.
        stride: usize,
        /// Zero padding.
        padding: Padding,
        /// Whether it has a bias.
        bias: bool,
    },
    /// Batch normalization over channels.
    BatchNorm {
        /// Added to the variance.
        epsilon: f64,
    },
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// Mean over height and width.
    GlobalAveragePool,
    /// Active in training only.
    Dropout {
        /// Share of values set to zero.
        rate: f64,
    },
    /// Fully connected, with bias.
    Dense {
        /// Outputs.
        units: usize,
    },
}

/// One node of the graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Keras' name of the layer.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// The layers it reads.
    pub inputs: Vec<LayerId>,
}

/// A stored tensor of a layer. Layouts are libtorch's and ONNX': convolutions `[out, in / groups, k, k]`, dense `[out, in]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// `layer.weight`, `layer.bias`, `layer.running_mean`, `layer.running_var`.
    pub name: String,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// False for the running statistics of a batch norm, which no gradient moves.
    pub learned: bool,
}

/// A network: layers in topological order, the last one is the output.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// The layers; the first is the only [`Op::Input`].
    pub layers: Vec<Layer>,
    /// Shape after each layer.
    pub shapes: Vec<Shape>,
}

impl Graph {
    /// A graph that holds its input alone.
    pub fn new(input: Shape) -> Graph {
        let layer = Layer {
            name: "input".into(),
            op: Op::Input,
            inputs: Vec::new(),
        };
        Graph {
            layers: vec![layer],
            shapes: vec![input],
        }
    }

    /// Shape of the input, `[height, width, channels]`.
    pub fn input_shape(&self) -> Shape {
        self.shapes[0]
    }

    /// The output layer.
    pub fn output(&self) -> LayerId {
        self.layers.len() - 1
    }

    /// Shape of the output.
    pub fn output_shape(&self) -> Shape {
        self.shapes[self.output()]
    }

    /// Appends a layer that reads `input`.
    pub fn push(&mut self, name: impl Into<String>, op: Op, input: LayerId) -> LayerId {
        self.shapes.push(output_shape(&op, self.shapes[input]));
        self.layers.push(Layer {
            name: name.into(),
            op,
            inputs: vec![input],
        });
        self.output()
    }

    /// The stored tensors of one layer.
    pub fn layer_parameters(&self, id: LayerId) -> Vec<Parameter> {
        let layer = &self.layers[id];
        let channels = layer.inputs.first().map_or(0, |&i| self.shapes[i][2]);
        let parameter = |suffix: &str, shape: &[usize], learned| Parameter {
            name: format!("{}.{suffix}", layer.name),
            shape: shape.to_vec(),
            learned,
        };
        match layer.op {
            Op::Conv {
                connection,
                kernel,
                bias,
                ..
            } => {
                let (out, per_group) = match connection {
                    Connection::Dense { filters } => (filters, channels),
                    Connection::Depthwise => (channels, 1),
                };
                let mut all = vec![parameter("weight", &[out, per_group, kernel, kernel], true)];
                if bias {
                    all.push(parameter("bias", &[out], true));
                }
                all
            }
            Op::BatchNorm { .. } => vec![
                parameter("weight", &[channels], true),
                parameter("bias", &[channels], true),
                parameter("running_mean", &[channels], false),
                parameter("running_var", &[channels], false),
            ],
            Op::Dense { units } => {
                vec![
                    parameter("weight", &[units, channels], true),
                    parameter("bias", &[units], true),
                ]
            }
            Op::Input | Op::Pad(_) | Op::Relu6 | Op::GlobalAveragePool | Op::Dropout { .. } => {
                Vec::new()
            }
        }
    }

    /// All stored tensors, in the order of the layers.
    pub fn parameters(&self) -> Vec<Parameter> {
        (0..self.layers.len())
            .flat_map(|id| self.layer_parameters(id))
            .collect()
    }

    /// Number of stored values, running statistics included: what Keras prints as "Total params".
    pub fn parameter_count(&self) -> usize {
        self.parameters()
            .iter()
            .map(|p| p.shape.iter().product::<usize>())
            .sum()
    }

    /// Multiply-adds of convolutions and dense layers for one photo.
    pub fn multiply_adds(&self) -> usize {
        let one = |id: LayerId| {
            let [height, width, channels] = self.shapes[id];
            let taps = match self.layers[id].op {
                Op::Conv { .. } | Op::Dense { .. } => self.layer_parameters(id)[0].shape[1..]
                    .iter()
                    .product::<usize>(),
                _ => 0,
            };
            height * width * channels * taps
        };
        (0..self.layers.len()).map(one).sum()
    }

    /// Refuses weights that do not fit, naming the first three that differ.
    pub fn check_weights<'a>(
        &self,
        found: impl IntoIterator<Item = (&'a str, &'a [usize])>,
    ) -> Result<()> {
        let found: BTreeMap<&str, &[usize]> = found.into_iter().collect();
        let mut wrong: Vec<String> = Vec::new();
        let wanted = self.parameters();
        for parameter in &wanted {
            match found.get(parameter.name.as_str()) {
                None => wrong.push(format!(
                    "{} {:?} is missing",
                    parameter.name, parameter.shape
                )),
                Some(shape) if **shape != *parameter.shape => {
                    wrong.push(format!(
                        "{} is {shape:?}, the network needs {:?}",
                        parameter.name, parameter.shape
                    ));
                }
                Some(_) => {}
            }
        }
        for name in found
            .keys()
            .filter(|name| !wanted.iter().any(|p| p.name == **name))
        {
            wrong.push(format!("{name} is not in the network"));
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let more = wrong.len().saturating_sub(3);
        wrong.truncate(3);
        let tail = if more > 0 {
            format!("; and {more} more")
        } else {
            String::new()
        };
        bail!(
            "the weights do not fit the network: {}{tail}",
            wrong.join("; ")
        )
    }
}

fn output_shape(op: &Op, [height, width, channels]: Shape) -> Shape {
    match *op {
        Op::Input | Op::BatchNorm { .. } | Op::Relu6 | Op::Dropout { .. } => {
            [height, width, channels]
        }
        Op::Pad(p) => [
            height + p.top + p.bottom,
            width + p.left + p.right,
            channels,
        ],
        Op::Conv {
            connection,
            kernel,
            stride,
            padding: p,
            ..
        } => {
            let out = match connection {
                Connection::Dense { filters } => filters,
                Connection::Depthwise => channels,
            };
            let size = |size: usize, pad: usize| (size + pad - kernel) / stride + 1;
            [
                size(height, p.top + p.bottom),
                size(width, p.left + p.right),
                out,
            ]
        }
        Op::GlobalAveragePool => [1, 1, channels],
        Op::Dense { units } => [1, 1, units],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_puts_the_odd_pixel_last() {
        let p = Padding::same([224, 224, 3], 3, 2);
        assert_eq!((p.top, p.bottom, p.left, p.right), (0, 1, 0, 1));
        let p = Padding::same([7, 7, 3], 3, 1);
        assert_eq!((p.top, p.bottom, p.left, p.right), (1, 1, 1, 1));
    }

    #[test]
    fn misfits_are_named_three_at_most() {
        let mut graph = Graph::new([1, 1, 4]);
        graph.push("a", Op::Dense { units: 2 }, 0);
        graph.push("b", Op::Dense { units: 3 }, 1);
        let found: [(&str, &[usize]); 2] = [("a.weight", &[2, 5]), ("c.bias", &[1])];
        let message = graph.check_weights(found).unwrap_err().to_string();
        assert!(
            message.contains("a.weight is [2, 5], the network needs [2, 4]"),
            "{message}"
        );
        assert!(message.contains("a.bias [2] is missing"), "{message}");
        assert!(message.ends_with("and 2 more"), "{message}");
    }
}
