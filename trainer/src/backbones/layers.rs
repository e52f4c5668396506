//! Small builders that several backbones share, and Keras' names for layers that a network does not name.

use std::collections::BTreeMap;

use crate::graph::{Connection, Graph, LayerId, Op, Padding, Shape};

/// A convolution without bias.
pub fn conv(
    graph: &mut Graph,
    name: &str,
    connection: Connection,
    kernel: usize,
    stride: usize,
    padding: Padding,
    input: LayerId,
) -> LayerId {
    let op = Op::Conv {
        connection,
        kernel,
        stride,
        padding,
        bias: false,
    };
    graph.push(name, op, input)
}

/// A 1×1 convolution without bias.
pub fn pointwise(graph: &mut Graph, name: &str, filters: usize, input: LayerId) -> LayerId {
    let connection = Connection::Dense { filters };
    conv(graph, name, connection, 1, 1, Padding::default(), input)
}

/// keras-applications' `correct_pad`: what it pads in front of a window that steps by two. TensorFlow's `same` padding.
pub fn pad_for_stride_2(shape: Shape, kernel: usize) -> Padding {
    let (before, after) = (|size: usize| kernel / 2 - (1 - size % 2), kernel / 2);
    Padding {
        top: before(shape[0]),
        left: before(shape[1]),
        bottom: after,
        right: after,
    }
}

/// Keras' names for unnamed layers: their kind, counted (`activation`, `activation_1`, …).
#[derive(Default)]
pub struct AutoNames {
    counts: BTreeMap<&'static str, usize>,
}

impl AutoNames {
    /// The name of the next layer of this kind.
    pub fn next(&mut self, kind: &'static str) -> String {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        match *count {
            1 => kind.to_owned(),
            n => format!("{kind}_{}", n - 1),
        }
    }
}
