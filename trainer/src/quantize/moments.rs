//! Moments of what kernels read on real photos, in the float network: means, by which biases are corrected, and covariances,
//! by which weights are rounded. Outputs of one group read the same inputs: all of a dense kernel's do, each channel of a
//! depthwise one is a group.

use std::collections::BTreeMap;

use anyhow::Result;
use tch::{Device, Kind, Tensor};

use super::Activation;
use super::observe::each_batch;
use super::patches::Kernel;
use crate::backbones::Normalization;
use crate::data::Dataset;
use crate::graph::{LayerId, Op};
use crate::network::Network;

/// Means of what a layer's kernels read, `[groups, in]`.
pub struct Means {
    /// As the float network has it.
    pub exact: Tensor,
    /// As it is stored.
    pub stored: Tensor,
}

/// Of every layer with weights.
pub type AllMeans = BTreeMap<LayerId, Means>;

/// For every layer with weights the covariance of what its kernels read, `[groups, in, in]`.
pub type Covariances = BTreeMap<LayerId, Tensor>;

/// Means of what every layer with weights reads, over `photos`; `activations` say how values are stored.
pub fn means(
    float: &Network,
    activations: &BTreeMap<LayerId, Activation>,
    photos: &Dataset,
    normalization: Normalization,
) -> Result<AllMeans> {
    let of = |input: LayerId, kernel: &Kernel, value: &Tensor| {
        let patches = kernel.patches(value, photos.len());
        // The photo is stored as it is. Rounded before each value stands in as many patches as a kernel has taps.
        let stored = match activations.get(&input).filter(|_| input != 0) {
            Some(stored) => kernel.patches(&stored.round(value), photos.len()),
            None => patches.shallow_clone(),
        };
        Sums::of_both(&patches, &stored)
    };
    let sums = add_up(float, photos, normalization, "means", &of)?;
    let means = sums.into_iter().map(|(id, sums)| {
        let [exact, stored] = sums.means();
        (id, Means { exact, stored })
    });
    Ok(means.collect())
}

/// Covariances of what every layer with weights reads, over `photos`.
pub fn covariances(
    float: &Network,
    photos: &Dataset,
    normalization: Normalization,
) -> Result<Covariances> {
    let of = |_: LayerId, kernel: &Kernel, value: &Tensor| {
        Sums::of_products(&kernel.patches(value, photos.len()))
    };
    let sums = add_up(float, photos, normalization, "covariances", &of)?;
    Ok(sums
        .into_iter()
        .map(|(id, sums)| (id, sums.covariance()))
        .collect())
}

/// Adds up what `of` makes of the input of each layer with weights, by its number, its reader and parts of its value.
fn add_up(
    float: &Network,
    photos: &Dataset,
    normalization: Normalization,
    what: &str,
    of: &dyn Fn(LayerId, &Kernel, &Tensor) -> Sums,
) -> Result<BTreeMap<LayerId, Sums>> {
    let graph = float.graph();
    let mut readers: BTreeMap<LayerId, Vec<LayerId>> = BTreeMap::new();
    for (id, layer) in graph.layers.iter().enumerate() {
        if matches!(layer.op, Op::Conv { .. } | Op::Dense { .. }) {
            readers.entry(layer.inputs[0]).or_default().push(id);
        }
    }
    let mut sums: BTreeMap<LayerId, Sums> = BTreeMap::new();
    let mut see = |id: LayerId, value: &Tensor| {
        for &reader in readers.get(&id).into_iter().flatten() {
            let kernel = Kernel::of(graph, reader);
            for part in value.split(kernel.photos_at_once(value), 0) {
                let new = of(id, &kernel, &part);
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
    each_batch(float, photos, normalization, what, &mut see)?;
    Ok(sums)
}

/// Two sums over the places where kernels read.
struct Sums {
    places: f64,
    of: [Tensor; 2],
}

/// Over the places of `[groups, in, places]`.
fn sum(patches: &Tensor) -> Tensor {
    patches.sum_dim_intlist(2_i64, false, Kind::Double)
}

impl Sums {
    /// Of patches, and of the same as they are stored.
    fn of_both(patches: &Tensor, stored: &Tensor) -> Sums {
        Sums {
            places: patches.size()[2] as f64,
            of: [sum(patches), sum(stored)],
        }
    }

    /// Of patches and of their products.
    fn of_products(patches: &Tensor) -> Sums {
        Sums {
            places: patches.size()[2] as f64,
            of: [sum(patches), patches.matmul(&patches.transpose(1, 2))],
        }
    }

    fn add(&mut self, new: Sums) {
        self.places += new.places;
        for (sum, new) in self.of.iter_mut().zip(new.of) {
            *sum += new;
        }
    }

    fn means(self) -> [Tensor; 2] {
        self.of
            .map(|sum| (sum / self.places).to_device(Device::Cpu))
    }

    fn covariance(self) -> Tensor {
        let [mean, products] = self.means();
        products - (mean.unsqueeze(2) * mean.unsqueeze(1)).to_kind(Kind::Float)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_those_of_all_batches() {
        tch::manual_seed(4);
        let patches = Tensor::randn([2, 3, 500], (Kind::Float, Device::Cpu)) + 2.0;
        let halves = Activation {
            scale: 0.5,
            zero_point: 0,
        };
        let of = |from, count| {
            let part = patches.narrow(2, from, count);
            Sums::of_both(&part, &halves.round(&part))
        };
        let mut sums = of(0, 200);
        sums.add(of(200, 300));
        for (found, values) in sums.means().iter().zip([&patches, &halves.round(&patches)]) {
            let wanted = values.mean_dim(2_i64, false, Kind::Double);
            assert!((found - wanted).abs().max().double_value(&[]) < 1e-5);
        }
    }

    #[test]
    fn covariances_are_those_of_all_batches() {
        tch::manual_seed(4);
        let patches = Tensor::randn([2, 3, 500], (Kind::Float, Device::Cpu)) + 2.0;
        let mut sums = Sums::of_products(&patches.narrow(2, 0, 200));
        sums.add(Sums::of_products(&patches.narrow(2, 200, 300)));
        let covariance = sums.covariance();
        assert_eq!(covariance.size(), [2, 3, 3]);
        for group in 0..2 {
            let wanted = patches.get(group).cov(0, None, None::<&Tensor>);
            let apart = (covariance.get(group) - wanted).abs().max();
            assert!(apart.double_value(&[]) < 1e-4);
        }
    }
}
