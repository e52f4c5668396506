//! Patches: what the kernels of a convolution see of a map.

use tch::Tensor;

use crate::graph::{Connection, Graph, LayerId, Op, Padding};
use crate::network::pad;

/// Places of a map that count, of all photos, at most.
const PLACES: usize = 1 << 17;
/// Bytes that patches may take at once.
const PATCH_BYTES: i64 = 1 << 26;

/// How a layer with weights reads its input.
pub(super) struct Kernel {
    side: i64,
    stride: i64,
    padding: Padding,
    depthwise: bool,
}

impl Kernel {
    /// Of a layer with weights.
    pub fn of(graph: &Graph, id: LayerId) -> Kernel {
        match graph.layers[id].op {
            Op::Conv {
                connection,
                kernel,
                stride,
                padding,
                ..
            } => Kernel {
                side: kernel as i64,
                stride: stride as i64,
                padding,
                depthwise: connection == Connection::Depthwise,
            },
            _ => Kernel {
                side: 1,
                stride: 1,
                padding: Padding::default(),
                depthwise: false,
            },
        }
    }

    /// How many photos' patches stay within [`PATCH_BYTES`].
    pub fn photos_at_once(&self, x: &Tensor) -> i64 {
        let map = x.size().iter().skip(1).product::<i64>();
        let taps = self.side * self.side / (self.stride * self.stride).min(self.side * self.side);
        let bytes = map * taps * size_of::<f32>() as i64;
        (PATCH_BYTES / bytes.max(1)).max(1)
    }

    /// What the kernels see of a batch, `[groups, inputs of a kernel, places]`.
    pub fn everywhere(&self, x: &Tensor) -> Tensor {
        self.grouped(x.size()[1], &self.columns(&pad(x, self.padding)))
    }

    /// As [`everywhere`](Self::everywhere), of a batch of `photos` in all; of large maps not every place.
    pub fn patches(&self, x: &Tensor, photos: usize) -> Tensor {
        let channels = x.size()[1];
        let x = pad(x, self.padding);
        let steps = |size: i64| ((size - self.side) / self.stride + 1) as usize;
        let places = steps(x.size()[2]) * steps(x.size()[3]) * photos;
        let every = step(places.div_ceil(PLACES), steps(x.size()[3])) as i64;
        self.grouped(channels, &self.columns(&x).slice(1, 0, None, every))
    }

    /// Of a padded batch, `[channels · taps, places]`.
    fn columns(&self, x: &Tensor) -> Tensor {
        let columns = match self.side {
            1 => x
                .slice(2, 0, None, self.stride)
                .slice(3, 0, None, self.stride)
                .flatten(2, -1),
            side => x.im2col([side; 2], [1, 1], [0, 0], [self.stride; 2]),
        };
        columns.permute([1, 0, 2]).flatten(1, 2)
    }

    fn grouped(&self, channels: i64, columns: &Tensor) -> Tensor {
        match self.depthwise {
            true => columns.reshape([channels, self.side * self.side, -1]),
            false => columns.unsqueeze(0),
        }
    }
}

/// The first step from `least` on that comes by every column of rows of `width` places.
fn step(least: usize, width: usize) -> usize {
    fn common(a: usize, b: usize) -> usize {
        match b {
            0 => a,
            _ => common(b, a % b),
        }
    }
    (least..)
        .find(|&step| common(step, width) == 1)
        .unwrap_or(least)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    /// A convolution is its kernels times what they see.
    #[test]
    fn patches_are_what_kernels_see() {
        tch::manual_seed(3);
        for (connection, kernel, stride, padding) in [
            (
                Connection::Dense { filters: 5 },
                3,
                2,
                Padding::same([9, 8, 4], 3, 2),
            ),
            (Connection::Dense { filters: 5 }, 1, 1, Padding::default()),
            (Connection::Depthwise, 5, 1, Padding::all(2)),
        ] {
            let mut graph = Graph::new([9, 8, 4]);
            let op = Op::Conv {
                connection,
                kernel,
                stride,
                padding,
                bias: true,
            };
            let id = graph.push("conv", op, 0);
            let parameters = graph.layer_parameters(id);
            let x = Tensor::randn([3, 4, 9, 8], (Kind::Float, Device::Cpu));
            let shape: Vec<i64> = parameters[0].shape.iter().map(|&d| d as i64).collect();
            let weight = Tensor::randn(&shape, (Kind::Float, Device::Cpu));
            let groups = if connection == Connection::Depthwise {
                4
            } else {
                1
            };
            let none: Option<&Tensor> = None;
            let stride = [stride as i64; 2];
            let wanted = pad(&x, padding).conv2d(&weight, none, stride, [0, 0], [1, 1], groups);
            let patches = Kernel::of(&graph, id).patches(&x, 3);
            let (groups, depth) = (patches.size()[0], patches.size()[1]);
            let found = weight.reshape([groups, -1, depth]).matmul(&patches);
            // [channels, photos · places]
            let wanted = wanted.permute([1, 0, 2, 3]).flatten(1, -1);
            let apart = (found.flatten(0, 1) - wanted).abs().max().double_value(&[]);
            assert!(apart < 1e-4, "{connection:?}: {apart}");
        }
    }

    #[test]
    fn steps_come_by_every_column() {
        assert_eq!([step(1, 56), step(7, 56), step(8, 15)], [1, 9, 8]);
    }
}
