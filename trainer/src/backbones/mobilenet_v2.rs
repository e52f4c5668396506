//! MobileNetV2, width 1.0: Sandler et al. 2018, "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
//! arXiv:1801.04381.
//!
//! Reference implementation: keras-applications' `mobilenet_v2.py`. Layer names and order are those of Keras 2.2.4 (with
//! `Conv1_pad`, which Keras 3 expresses as `same` padding of `Conv1`: the same pixels, one layer less).

use super::layers::{conv, pad_for_stride_2, pointwise};
use crate::graph::{Connection, Graph, LayerId, Op, Padding};

/// Keras' batch-norm epsilon.
const EPSILON: f64 = 1e-3;

/// `(expansion, filters, repeats, stride of the first)`: table 2 of the paper.
const STAGES: [(usize, usize, usize, usize); 7] = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
];

/// The network without top: `[size, size, 3]` in, `[size / 32, size / 32, 1280]` out, rounded up.
pub fn features(size: usize) -> Graph {
    let mut graph = Graph::new([size, size, 3]);
    let padding = pad_for_stride_2(graph.input_shape(), 3);
    let padded = graph.push("Conv1_pad", Op::Pad(padding), 0);
    let stem = Connection::Dense { filters: 32 };
    let stem = conv(&mut graph, "Conv1", stem, 3, 2, Padding::default(), padded);
    let stem = batch_norm(&mut graph, "bn_Conv1", stem);
    let mut x = graph.push("Conv1_relu", Op::Relu6, stem);
    let mut number = 0;
    for (expansion, filters, repeats, stride) in STAGES {
        for repeat in 0..repeats {
            let stride = if repeat == 0 { stride } else { 1 };
            x = block(&mut graph, number, expansion, filters, stride, x);
            number += 1;
        }
    }
    let last = pointwise(&mut graph, "Conv_1", 1280, x);
    let last = batch_norm(&mut graph, "Conv_1_bn", last);
    graph.push("out_relu", Op::Relu6, last);
    graph
}

/// Expands by a 1×1 convolution, filters depthwise, projects to few channels without activation.
fn block(
    graph: &mut Graph,
    number: usize,
    expansion: usize,
    filters: usize,
    stride: usize,
    input: LayerId,
) -> LayerId {
    let prefix = match number {
        0 => "expanded_conv".to_owned(),
        _ => format!("block_{number}"),
    };
    let name = |part: &str| format!("{prefix}_{part}");
    let channels = graph.shapes[input][2];
    let mut x = input;
    if expansion > 1 {
        x = pointwise(graph, &name("expand"), expansion * channels, x);
        x = batch_norm(graph, &name("expand_BN"), x);
        x = graph.push(name("expand_relu"), Op::Relu6, x);
    }
    let mut padding = Padding::same(graph.shapes[x], 3, 1);
    if stride == 2 {
        let around = pad_for_stride_2(graph.shapes[x], 3);
        x = graph.push(name("pad"), Op::Pad(around), x);
        padding = Padding::default();
    }
    let depthwise = Connection::Depthwise;
    x = conv(graph, &name("depthwise"), depthwise, 3, stride, padding, x);
    x = batch_norm(graph, &name("depthwise_BN"), x);
    x = graph.push(name("depthwise_relu"), Op::Relu6, x);
    x = pointwise(graph, &name("project"), filters, x);
    x = batch_norm(graph, &name("project_BN"), x);
    if stride == 1 && channels == filters {
        x = graph.join(name("add"), Op::Add, &[input, x]);
    }
    x
}

fn batch_norm(graph: &mut Graph, name: &str, input: LayerId) -> LayerId {
    graph.push(name, Op::BatchNorm { epsilon: EPSILON }, input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_parameters_and_layers_of_keras() {
        let graph = features(224);
        assert_eq!(graph.parameter_count(), 2_257_984);
        assert_eq!(graph.layers.len(), 155, "Keras 2.2.4 numbers 155 layers");
        assert_eq!(graph.output_shape(), [7, 7, 1280]);
        assert_eq!(graph.multiply_adds(), 299_494_272);
        assert_eq!(features(193).output_shape(), [7, 7, 1280]);
    }
}
