//! MobileNetV1, width 1.0: Howard et al. 2017, "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
//! Applications", arXiv:1704.04861.
//!
//! Reference implementation: keras-applications' `mobilenet.py`. Layer names and order are those of Keras 2.2.4 (with
//! `conv1_pad`, which Keras 3 expresses as `same` padding of `conv1`: the same pixels, one layer less).

use crate::graph::{Connection, Graph, LayerId, Op, Padding};

/// Keras' batch-norm epsilon.
const EPSILON: f64 = 1e-3;

/// `(filters, stride)` of the thirteen depthwise-separable blocks.
const BLOCKS: [(usize, usize); 13] = [
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
];

/// The network without top: `[size, size, 3]` in, `[size / 32, size / 32, 1024]` out.
pub fn features(size: usize) -> Graph {
    let mut graph = Graph::new([size, size, 3]);
    let padded = pad_for_stride_2(&mut graph, "conv1_pad", 0);
    let stem = Connection::Dense { filters: 32 };
    let mut x = conv_bn_relu6(&mut graph, "conv1", stem, 3, 2, false, padded);
    for (index, (filters, stride)) in BLOCKS.into_iter().enumerate() {
        let number = index + 1;
        if stride == 2 {
            x = pad_for_stride_2(&mut graph, &format!("conv_pad_{number}"), x);
        }
        x = conv_bn_relu6(
            &mut graph,
            &format!("conv_dw_{number}"),
            Connection::Depthwise,
            3,
            stride,
            stride == 1,
            x,
        );
        x = conv_bn_relu6(
            &mut graph,
            &format!("conv_pw_{number}"),
            Connection::Dense { filters },
            1,
            1,
            true,
            x,
        );
    }
    graph
}

fn pad_for_stride_2(graph: &mut Graph, name: &str, input: LayerId) -> LayerId {
    graph.push(
        name,
        Op::Pad(Padding {
            bottom: 1,
            right: 1,
            ..Padding::default()
        }),
        input,
    )
}

fn conv_bn_relu6(
    graph: &mut Graph,
    name: &str,
    connection: Connection,
    kernel: usize,
    stride: usize,
    same: bool,
    input: LayerId,
) -> LayerId {
    let padding = if same {
        Padding::same(graph.shapes[input], kernel, stride)
    } else {
        Padding::default()
    };
    let conv = graph.push(
        name,
        Op::Conv {
            connection,
            kernel,
            stride,
            padding,
            bias: false,
        },
        input,
    );
    let bn = graph.push(
        format!("{name}_bn"),
        Op::BatchNorm { epsilon: EPSILON },
        conv,
    );
    graph.push(format!("{name}_relu"), Op::Relu6, bn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_parameters_and_layers_of_keras() {
        let graph = features(224);
        assert_eq!(graph.parameter_count(), 3_228_864);
        assert_eq!(graph.layers.len(), 87, "Keras 2.2.4 numbers 87 layers");
        assert_eq!(graph.output_shape(), [7, 7, 1024]);
        assert_eq!(graph.multiply_adds(), 567_716_352);
    }
}
