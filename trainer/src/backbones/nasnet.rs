//! NASNet-A, mobile and large: Zoph et al. 2018, "Learning Transferable Architectures for Scalable Image Recognition",
//! arXiv:1707.07012.
//!
//! Reference implementation: keras-applications' `nasnet.py`, with its names; Keras 2.2.4 and 3 have the same layers in
//! the same order (unnamed ones count from 1 there, from none here). A separable convolution is one layer with two
//! kernels. Pools that step by two read a map padded with zeros, which count as values: so Keras has it.

use super::layers::{AutoNames, conv, pad_for_stride_2, pointwise};
use crate::graph::{Connection, Graph, LayerId, Op, Padding};

/// Keras' batch-norm epsilon.
const EPSILON: f64 = 1e-3;

/// What tells one NASNet-A from another.
pub struct Settings {
    /// Channels of each branch in the first normal cells; they double at each reduction.
    filters: usize,
    /// Normal cells between reductions.
    cells: usize,
    /// Channels of the first convolution.
    stem: usize,
    /// Whether the cell behind a reduction reads the cell before the one that was reduced, instead of the latter.
    skip_reduction: bool,
}

/// NASNet-A (4 @ 1056).
pub const MOBILE: Settings = Settings {
    filters: 1056 / 24,
    cells: 4,
    stem: 32,
    skip_reduction: false,
};

/// NASNet-A (6 @ 4032).
pub const LARGE: Settings = Settings {
    filters: 4032 / 24,
    cells: 6,
    stem: 96,
    skip_reduction: true,
};

/// The network without top: `[size, size, 3]` in, a 32nd of the sides and `24 * filters` channels out.
pub fn features(settings: &Settings, size: usize) -> Graph {
    let &Settings { filters, cells, .. } = settings;
    let mut net = Builder {
        graph: Graph::new([size, size, 3]),
        names: AutoNames::default(),
    };
    let stem = Connection::Dense {
        filters: settings.stem,
    };
    let unpadded = Padding::default();
    let stem = conv(&mut net.graph, "stem_conv1", stem, 3, 2, unpadded, 0);
    let stem = net.norm("stem_bn1", stem);

    // Each cell reads the one before and the one before that.
    let mut last = net.reduction(stem, stem, filters / 4, "stem_1");
    let mut previous = stem;
    (last, previous) = (net.reduction(last, previous, filters / 2, "stem_2"), last);
    for stage in 0..3 {
        let filters = filters << stage;
        if stage > 0 {
            let reduced = net.reduction(
                last,
                previous,
                filters,
                &format!("reduce_{}", stage * cells),
            );
            if !settings.skip_reduction {
                previous = last;
            }
            last = reduced;
        }
        for cell in 0..cells {
            let number = stage * cells + cell + usize::from(stage > 0);
            let next = net.normal(last, previous, filters, &number.to_string());
            (last, previous) = (next, last);
        }
    }
    net.relu(last);
    net.graph.in_keras_order()
}

struct Builder {
    graph: Graph,
    names: AutoNames,
}

impl Builder {
    /// Figure 4 of the paper, left.
    fn normal(&mut self, input: LayerId, before: LayerId, filters: usize, id: &str) -> LayerId {
        let p = self.adjusted(before, input, filters, id);
        let h = self.squeezed("normal", input, filters, id);
        let left = self.separable(h, filters, 5, 1, &format!("normal_left1_{id}"));
        let right = self.separable(p, filters, 3, 1, &format!("normal_right1_{id}"));
        let x1 = self.add(format!("normal_add_1_{id}"), left, right);
        let left = self.separable(p, filters, 5, 1, &format!("normal_left2_{id}"));
        let right = self.separable(p, filters, 3, 1, &format!("normal_right2_{id}"));
        let x2 = self.add(format!("normal_add_2_{id}"), left, right);
        let mean = self.mean(format!("normal_left3_{id}"), h);
        let x3 = self.add(format!("normal_add_3_{id}"), mean, p);
        let left = self.mean(format!("normal_left4_{id}"), p);
        let right = self.mean(format!("normal_right4_{id}"), p);
        let x4 = self.add(format!("normal_add_4_{id}"), left, right);
        let left = self.separable(h, filters, 3, 1, &format!("normal_left5_{id}"));
        let x5 = self.add(format!("normal_add_5_{id}"), left, h);
        let name = format!("normal_concat_{id}");
        self.graph.join(name, Op::Concat, &[p, x1, x2, x3, x4, x5])
    }

    /// Figure 4 of the paper, right: halves the sides.
    fn reduction(&mut self, input: LayerId, before: LayerId, filters: usize, id: &str) -> LayerId {
        let p = self.adjusted(before, input, filters, id);
        let h = self.squeezed("reduction", input, filters, id);
        let padding = pad_for_stride_2(self.graph.shapes[h], 3);
        let name = format!("reduction_pad_1_{id}");
        let padded = self.graph.push(name, Op::Pad(padding), h);
        let (max, mean) = (
            Op::MaxPool {
                kernel: 3,
                stride: 2,
            },
            Op::AveragePool {
                kernel: 3,
                stride: 2,
                padding: Padding::default(),
            },
        );
        let left = self.separable(h, filters, 5, 2, &format!("reduction_left1_{id}"));
        let right = self.separable(p, filters, 7, 2, &format!("reduction_right1_{id}"));
        let x1 = self.add(format!("reduction_add_1_{id}"), left, right);
        let name = format!("reduction_left2_{id}");
        let left = self.graph.push(name, max.clone(), padded);
        let right = self.separable(p, filters, 7, 2, &format!("reduction_right2_{id}"));
        let x2 = self.add(format!("reduction_add_2_{id}"), left, right);
        let name = format!("reduction_left3_{id}");
        let left = self.graph.push(name, mean, padded);
        let right = self.separable(p, filters, 5, 2, &format!("reduction_right3_{id}"));
        let x3 = self.add(format!("reduction_add3_{id}"), left, right);
        let left = self.mean(format!("reduction_left4_{id}"), x1);
        let name = self.names.next("add");
        let x4 = self.add(name, x2, left);
        let left = self.separable(x1, filters, 3, 1, &format!("reduction_left4_{id}"));
        let name = format!("reduction_right5_{id}");
        let right = self.graph.push(name, max, padded);
        let x5 = self.add(format!("reduction_add4_{id}"), left, right);
        let name = format!("reduction_concat_{id}");
        self.graph.join(name, Op::Concat, &[x2, x3, x4, x5])
    }

    /// The cell before the input, brought to the input's sides or to as many channels as a branch has.
    fn adjusted(&mut self, p: LayerId, input: LayerId, filters: usize, id: &str) -> LayerId {
        if p == input {
            return p;
        }
        let (p_shape, input_shape) = (self.graph.shapes[p], self.graph.shapes[input]);
        let norm = format!("adjust_bn_{id}");
        if p_shape[1] != input_shape[1] {
            // Every second pixel twice, the second time shifted by one, so that none is lost.
            let every_second = Op::AveragePool {
                kernel: 1,
                stride: 2,
                padding: Padding::default(),
            };
            let graph = &mut self.graph;
            let p = graph.push(format!("adjust_relu_1_{id}"), Op::Relu, p);
            let name = format!("adjust_avg_pool_1_{id}");
            let even = graph.push(name, every_second.clone(), p);
            let name = format!("adjust_conv_1_{id}");
            let even = pointwise(graph, &name, filters / 2, even);
            let behind = Padding {
                bottom: 1,
                right: 1,
                ..Padding::default()
            };
            let before = Padding {
                top: 1,
                left: 1,
                ..Padding::default()
            };
            let name = self.names.next("zero_padding2d");
            let odd = graph.push(name, Op::Pad(behind), p);
            let odd = graph.push(self.names.next("cropping2d"), Op::Crop(before), odd);
            let odd = graph.push(format!("adjust_avg_pool_2_{id}"), every_second, odd);
            let odd = pointwise(graph, &format!("adjust_conv_2_{id}"), filters / 2, odd);
            let name = self.names.next("concatenate");
            let both = graph.join(name, Op::Concat, &[even, odd]);
            return self.norm(&norm, both);
        }
        if p_shape[2] != filters {
            let p = self.relu(p);
            let name = format!("adjust_conv_projection_{id}");
            let p = pointwise(&mut self.graph, &name, filters, p);
            return self.norm(&norm, p);
        }
        p
    }

    /// The input, brought to as many channels as a branch has.
    fn squeezed(&mut self, cell: &str, input: LayerId, filters: usize, id: &str) -> LayerId {
        let x = self.relu(input);
        let name = format!("{cell}_conv_1_{id}");
        let x = pointwise(&mut self.graph, &name, filters, x);
        self.norm(&format!("{cell}_bn_1_{id}"), x)
    }

    /// Two times ReLU, separable convolution and batch norm; the first one steps.
    fn separable(
        &mut self,
        input: LayerId,
        filters: usize,
        kernel: usize,
        stride: usize,
        id: &str,
    ) -> LayerId {
        let mut x = self.relu(input);
        let mut padding = Padding::same(self.graph.shapes[x], kernel, 1);
        if stride == 2 {
            let around = pad_for_stride_2(self.graph.shapes[x], kernel);
            let name = format!("separable_conv_1_pad_{id}");
            x = self.graph.push(name, Op::Pad(around), x);
            padding = Padding::default();
        }
        for (number, stride) in [(1, stride), (2, 1)] {
            if number == 2 {
                x = self.relu(x);
                padding = Padding::same(self.graph.shapes[x], kernel, 1);
            }
            let op = Op::SeparableConv {
                filters,
                kernel,
                stride,
                padding,
            };
            let name = format!("separable_conv_{number}_{id}");
            x = self.graph.push(name, op, x);
            x = self.norm(&format!("separable_conv_{number}_bn_{id}"), x);
        }
        x
    }

    /// Means of 3×3 windows.
    fn mean(&mut self, name: String, input: LayerId) -> LayerId {
        let op = Op::AveragePool {
            kernel: 3,
            stride: 1,
            padding: Padding::same(self.graph.shapes[input], 3, 1),
        };
        self.graph.push(name, op, input)
    }

    fn add(&mut self, name: String, left: LayerId, right: LayerId) -> LayerId {
        self.graph.join(name, Op::Add, &[left, right])
    }

    fn norm(&mut self, name: &str, input: LayerId) -> LayerId {
        self.graph
            .push(name, Op::BatchNorm { epsilon: EPSILON }, input)
    }

    fn relu(&mut self, input: LayerId) -> LayerId {
        let name = self.names.next("activation");
        self.graph.push(name, Op::Relu, input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn have_the_parameters_and_layers_of_keras() {
        let mobile = features(&MOBILE, 224);
        assert_eq!(mobile.parameter_count(), 4_269_716);
        assert_eq!(mobile.layers.len(), 769, "Keras numbers 769 layers");
        assert_eq!(mobile.output_shape(), [7, 7, 1056]);
        let large = features(&LARGE, 331);
        assert_eq!(large.parameter_count(), 84_916_818);
        assert_eq!(large.layers.len(), 1039, "Keras numbers 1039 layers");
        assert_eq!(large.output_shape(), [11, 11, 4032]);
    }

    #[test]
    fn branches_meet_in_one_size_at_every_input_size() {
        for size in 32..400 {
            for settings in [&MOBILE, &LARGE] {
                let graph = features(settings, size);
                for layer in &graph.layers {
                    if matches!(layer.op, Op::Add | Op::Concat) {
                        let side = |id: &LayerId| graph.shapes[*id][..2].to_vec();
                        let first = side(&layer.inputs[0]);
                        assert!(
                            layer.inputs.iter().all(|id| side(id) == first),
                            "{} at {size} px",
                            layer.name
                        );
                    }
                }
            }
        }
    }
}
