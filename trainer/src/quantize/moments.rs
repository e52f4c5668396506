//! What kernels read on real photos: means, and the covariance of the inputs of one output.

use std::collections::BTreeMap;

use anyhow::Result;
use tch::{Device, Kind, Tensor};

use super::Activation;
use super::observe::each_batch;
use crate::backbones::Normalization;
use crate::data::Dataset;
use crate::graph::{Connection, Graph, LayerId, Op, Padding};
use crate::network::{Network, pad};

/// Places of a map that count, of all photos, at most.
const PLACES: usize = 1 << 17;
/// Bytes that patches may take at once.
const PATCH_BYTES: i64 = 1 << 26;

/// Moments of what a layer's kernels read in the float network. Outputs of one group read the same inputs: all of a
/// dense kernel's do, each channel of a depthwise one is a group.
pub struct Moments {
    /// `[groups, in]`.
    pub mean: Tensor,
    /// The mean of the inputs as they are stored.
    pub stored_mean: Tensor,
    /// `[groups, in, in]`.
    pub covariance: Tensor,
}

/// Of every layer with weights.
pub type AllMoments = BTreeMap<LayerId, Moments>;

/// Moments of every layer with weights, over `photos`; `activations` say how values are stored.
pub fn moments(
    float: &Network,
    activations: &BTreeMap<LayerId, Activation>,
    photos: &Dataset,
    normalization: Normalization,
) -> Result<AllMoments> {
    let graph = float.graph();
    let mut readers: BTreeMap<LayerId, Vec<LayerId>> = BTreeMap::new();
    for (id, layer) in graph.layers.iter().enumerate() {
        if matches!(layer.op, Op::Conv { .. } | Op::Dense { .. }) {
            readers.entry(layer.inputs[0]).or_default().push(id);
        }
    }
    let mut sums: BTreeMap<LayerId, Sums> = BTreeMap::new();
    let mut see = |id: LayerId, value: &Tensor| {
        // The photo is stored as it is.
        let stored = activations.get(&id).filter(|_| id != 0);
        for &reader in readers.get(&id).into_iter().flatten() {
            let kernel = Kernel::of(graph, reader);
            for part in value.split(kernel.photos_at_once(value), 0) {
                let patches = kernel.patches(&part, photos.len());
                // Rounded before each value stands in as many patches as a kernel has taps.
                let rounded = stored.map(|a| kernel.patches(&a.round(&part), photos.len()));
                let new = Sums::of(&patches, rounded.as_ref().unwrap_or(&patches));
                match sums.get_mut(&reader) {
                    Some(sums) => sums.add(new),
                    None => {
                        sums.insert(reader, new);
                    }
                }
            }
        }
        Ok(())
    };
    each_batch(float, photos, normalization, "covariances", &mut see)?;
    let moments = sums.into_iter().map(|(id, sums)| (id, sums.moments()));
    Ok(moments.collect())
}

/// Sums over what kernels read.
struct Sums {
    places: f64,
    /// `[groups, in]`.
    sum: Tensor,
    stored_sum: Tensor,
    /// `[groups, in, in]`.
    products: Tensor,
}

impl Sums {
    /// Of `[groups, in, places]`, and of the same as they are stored.
    fn of(patches: &Tensor, stored: &Tensor) -> Sums {
        let sum = |x: &Tensor| x.sum_dim_intlist(2_i64, false, Kind::Double);
        let products = patches.matmul(&patches.transpose(1, 2));
        Sums {
            places: patches.size()[2] as f64,
            sum: sum(patches),
            stored_sum: sum(stored),
            products,
        }
    }

    fn add(&mut self, new: Sums) {
        self.places += new.places;
        self.sum += new.sum;
        self.stored_sum += new.stored_sum;
        self.products += new.products;
    }

    fn moments(self) -> Moments {
        let mean_of = |sum: Tensor| (sum / self.places).to_device(Device::Cpu);
        let mean = mean_of(self.sum);
        Moments {
            stored_mean: mean_of(self.stored_sum),
            covariance: mean_of(self.products)
                - (mean.unsqueeze(2) * mean.unsqueeze(1)).to_kind(Kind::Float),
            mean,
        }
    }
}

/// How a layer with weights reads its input.
struct Kernel {
    side: i64,
    stride: i64,
    padding: Padding,
    depthwise: bool,
}

impl Kernel {
    fn of(graph: &Graph, id: LayerId) -> Kernel {
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
    fn photos_at_once(&self, x: &Tensor) -> i64 {
        let map = x.size().iter().skip(1).product::<i64>();
        let taps = self.side * self.side / (self.stride * self.stride).min(self.side * self.side);
        let bytes = map * taps * size_of::<f32>() as i64;
        (PATCH_BYTES / bytes.max(1)).max(1)
    }

    /// What the kernels see of a batch of `photos` in all, `[groups, inputs of a kernel, places]`; of large maps not every
    /// place.
    fn patches(&self, x: &Tensor, photos: usize) -> Tensor {
        let (batch, channels) = (x.size()[0], x.size()[1]);
        let x = pad(x, self.padding);
        let steps = |size: i64| ((size - self.side) / self.stride + 1) as usize;
        let places = steps(x.size()[2]) * steps(x.size()[3]) * photos;
        let every = step(places.div_ceil(PLACES), steps(x.size()[3])) as i64;
        let columns = match self.side {
            1 => x
                .slice(2, 0, None, self.stride)
                .slice(3, 0, None, self.stride)
                .flatten(2, -1),
            side => x.im2col([side; 2], [1, 1], [0, 0], [self.stride; 2]),
        };
        let places = columns.size()[2];
        let columns = columns
            .permute([1, 0, 2])
            .reshape([-1, batch * places])
            .slice(1, 0, None, every);
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

    #[test]
    fn moments_are_those_of_all_batches() {
        tch::manual_seed(4);
        let patches = Tensor::randn([2, 3, 500], (Kind::Float, Device::Cpu)) + 2.0;
        let halves = Activation {
            scale: 0.5,
            zero_point: 0,
        };
        let of = |from, count| {
            let part = patches.narrow(2, from, count);
            Sums::of(&part, &halves.round(&part))
        };
        let mut sums = of(0, 200);
        sums.add(of(200, 300));
        let Moments {
            mean,
            stored_mean,
            covariance,
        } = sums.moments();
        assert_eq!(covariance.size(), [2, 3, 3]);
        let apart = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]);
        let mean_of = |x: &Tensor| x.mean_dim(2_i64, false, Kind::Double);
        assert!(apart(&mean, &mean_of(&patches)) < 1e-5);
        assert!(apart(&stored_mean, &mean_of(&halves.round(&patches))) < 1e-5);
        for group in 0..2 {
            let wanted = patches.get(group).cov(0, None, None::<&Tensor>);
            assert!(apart(&covariance.get(group), &wanted) < 1e-4);
        }
    }
}
