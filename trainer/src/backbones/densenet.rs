//! DenseNet121: Huang et al. 2017, "Densely Connected Convolutional Networks", arXiv:1608.06993.
//!
//! Reference implementation: keras-applications' `densenet.py`. Layer names and order are those of Keras 3; Keras 2.2.4
//! has the same 427 layers and writes some names with a slash (`conv1/bn`).

use super::layers::{AutoNames, conv, pointwise};
use crate::graph::{Connection, Graph, LayerId, Op, Padding};

/// Keras' batch-norm epsilon.
pub const EPSILON: f64 = 1.001e-5;

/// Channels that each layer of a dense block adds.
const GROWTH: usize = 32;

/// Layers of each dense block.
pub const BLOCKS: [usize; 4] = [6, 12, 24, 16];

/// The network without top: `[size, size, 3]` in, `[size / 32, size / 32, 1024]` out, rounded down.
pub fn features(size: usize) -> Graph {
    let mut graph = Graph::new([size, size, 3]);
    let mut names = AutoNames::default();
    let padded = graph.push(names.next("zero_padding2d"), Op::Pad(Padding::all(3)), 0);
    let stem = Connection::Dense { filters: 64 };
    let unpadded = Padding::default();
    let stem = conv(&mut graph, "conv1_conv", stem, 7, 2, unpadded, padded);
    let stem = norm_relu(&mut graph, "conv1_bn", "conv1_relu", stem);
    let padded = graph.push(names.next("zero_padding2d"), Op::Pad(Padding::all(1)), stem);
    let pool = Op::MaxPool {
        kernel: 3,
        stride: 2,
    };
    let mut x = graph.push("pool1", pool, padded);
    for (index, layers) in BLOCKS.into_iter().enumerate() {
        let stage = index + 2;
        if index > 0 {
            x = transition(&mut graph, &format!("pool{}", stage - 1), x);
        }
        for layer in 1..=layers {
            x = dense_layer(&mut graph, &format!("conv{stage}_block{layer}"), x);
        }
    }
    norm_relu(&mut graph, "bn", "relu", x);
    graph
}

/// Adds [`GROWTH`] channels to those that it reads.
fn dense_layer(graph: &mut Graph, name: &str, input: LayerId) -> LayerId {
    let part = |suffix: &str| format!("{name}_{suffix}");
    let x = norm_relu(graph, &part("0_bn"), &part("0_relu"), input);
    let x = pointwise(graph, &part("1_conv"), 4 * GROWTH, x);
    let x = norm_relu(graph, &part("1_bn"), &part("1_relu"), x);
    let connection = Connection::Dense { filters: GROWTH };
    let padding = Padding::same(graph.shapes[x], 3, 1);
    let x = conv(graph, &part("2_conv"), connection, 3, 1, padding, x);
    graph.join(part("concat"), Op::Concat, &[input, x])
}

/// Halves channels and sides.
fn transition(graph: &mut Graph, name: &str, input: LayerId) -> LayerId {
    let part = |suffix: &str| format!("{name}_{suffix}");
    let x = norm_relu(graph, &part("bn"), &part("relu"), input);
    let channels = graph.shapes[x][2];
    let x = pointwise(graph, &part("conv"), channels / 2, x);
    let pool = Op::AveragePool {
        kernel: 2,
        stride: 2,
        padding: Padding::default(),
    };
    graph.push(part("pool"), pool, x)
}

fn norm_relu(graph: &mut Graph, norm: &str, relu: &str, input: LayerId) -> LayerId {
    let x = graph.push(norm, Op::BatchNorm { epsilon: EPSILON }, input);
    graph.push(relu, Op::Relu, x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_parameters_and_layers_of_keras() {
        let graph = features(224);
        assert_eq!(graph.parameter_count(), 7_037_504);
        assert_eq!(graph.layers.len(), 427, "Keras numbers 427 layers");
        assert_eq!(graph.output_shape(), [7, 7, 1024]);
        assert_eq!(graph.multiply_adds(), 2_833_137_664);
        assert_eq!(features(32).output_shape(), [1, 1, 1024]);
    }
}
