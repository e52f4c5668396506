//! A network as a framework-free graph of layers, described once.
//!
//! A backbone builds one of these; libtorch runs it (`network`), the Keras importer names its weights (`keras`), the
//! folding pass rewrites it (`fold`) and the exporter writes it (`export`). Layers stand in topological order and carry
//! Keras' names, so that a weight file, a freeze index and a report all speak of the same thing. Shapes are
//! `[height, width, channels]`; the batch is nowhere in here.
//!
//! Pieces: `op` what layers compute, `order` how they stand, `cut` what stays the same while the others train.

mod cut;
mod op;
mod order;

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use crate::wording::first_three;

pub use cut::Cut;
pub use op::{Connection, Op, Padding, Shape};

/// Index of a layer in [`Graph::layers`].
pub type LayerId = usize;

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
    /// `layer.weight`, `layer.bias`, `layer.running_mean`, `layer.running_var`; the kernels of a separable convolution are
    /// `layer.depthwise.weight` and `layer.pointwise.weight`.
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
        self.join(name, op, &[input])
    }

    /// Appends a layer that reads all of `inputs`.
    pub fn join(&mut self, name: impl Into<String>, op: Op, inputs: &[LayerId]) -> LayerId {
        let shapes: Vec<Shape> = inputs.iter().map(|&input| self.shapes[input]).collect();
        self.shapes.push(op.output_shape(&shapes));
        self.layers.push(Layer {
            name: name.into(),
            op,
            inputs: inputs.to_vec(),
        });
        self.output()
    }

    /// The layer of this name.
    pub fn find(&self, name: &str) -> Option<LayerId> {
        self.layers.iter().position(|layer| layer.name == name)
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
            Op::SeparableConv {
                filters, kernel, ..
            } => vec![
                parameter("depthwise.weight", &[channels, 1, kernel, kernel], true),
                parameter("pointwise.weight", &[filters, channels, 1, 1], true),
            ],
            Op::Scale => vec![
                parameter("weight", &[channels], true),
                parameter("bias", &[channels], true),
            ],
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
            Op::Input
            | Op::Pad(_)
            | Op::Crop(_)
            | Op::Relu
            | Op::Relu6
            | Op::Add
            | Op::Concat
            | Op::MaxPool { .. }
            | Op::AveragePool { .. }
            | Op::GlobalAveragePool
            | Op::Dropout { .. } => Vec::new(),
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
            let [height, width, _] = self.shapes[id];
            let kernels = match self.layers[id].op {
                Op::Conv { .. } | Op::SeparableConv { .. } | Op::Dense { .. } => {
                    self.layer_parameters(id)
                }
                _ => Vec::new(),
            };
            // Every weight of a kernel is used once a pixel; biases cost no multiplication.
            let weights = kernels.iter().filter(|kernel| kernel.shape.len() > 1);
            let taps = weights.map(|kernel| kernel.shape.iter().product::<usize>());
            height * width * taps.sum::<usize>()
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
        bail!("the weights do not fit the network: {}", first_three(wrong))
    }
}
#[cfg(test)]
mod tests {
    use super::*;

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
