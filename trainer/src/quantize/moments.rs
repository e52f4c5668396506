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
use crate::graph::{Graph, LayerId, Op};
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
    let readers = readers(float.graph());
    // Kernels are linear: what they see of the mean photo is the mean of what they see.
    let over_photos =
        |x: &Tensor| x.sum_dim_intlist(0_i64, true, Kind::Double) / photos.len() as f64;
    let mut maps: BTreeMap<LayerId, [Tensor; 2]> = BTreeMap::new();
    let mut see = |id: LayerId, value: &Tensor| {
        if readers.contains_key(&id) {
            let exact = over_photos(value);
            // The photo is stored as it is.
            let stored = match activations.get(&id).filter(|_| id != 0) {
                Some(stored) => over_photos(&stored.round(value)),
                None => exact.shallow_clone(),
            };
            let both = match maps.remove(&id) {
                Some([before, stored_before]) => [before + exact, stored_before + stored],
                None => [exact, stored],
            };
            maps.insert(id, both);
        }
        Ok(())
    };
    each_batch(float, photos, normalization, "means", &mut see)?;
    let of_reader = |reader: LayerId, maps: &[Tensor; 2]| {
        let kernel = Kernel::of(float.graph(), reader);
        let [exact, stored] = maps.each_ref().map(|map| {
            let seen = kernel.everywhere(map);
            let mean = seen.mean_dim(2_i64, false, Kind::Double);
            mean.to_device(Device::Cpu)
        });
        (reader, Means { exact, stored })
    };
    let all = maps.iter().flat_map(|(id, maps)| {
        let readers = readers[id].iter();
        readers.map(move |&reader| of_reader(reader, maps))
    });
    Ok(all.collect())
}

/// Covariances of what every layer with weights reads, over `photos`.
pub fn covariances(
    float: &Network,
    photos: &Dataset,
    normalization: Normalization,
) -> Result<Covariances> {
    let readers = readers(float.graph());
    let mut sums: BTreeMap<LayerId, Sums> = BTreeMap::new();
    let mut see = |id: LayerId, value: &Tensor| {
        for &reader in readers.get(&id).into_iter().flatten() {
            let kernel = Kernel::of(float.graph(), reader);
            for part in value.split(kernel.photos_at_once(value), 0) {
                let new = Sums::of(&kernel.patches(&part, photos.len()));
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
    let covariances = sums.into_iter().map(|(id, sums)| (id, sums.covariance()));
    Ok(covariances.collect())
}

/// For each value the layers with weights that read it.
fn readers(graph: &Graph) -> BTreeMap<LayerId, Vec<LayerId>> {
    let mut readers: BTreeMap<LayerId, Vec<LayerId>> = BTreeMap::new();
    for (id, layer) in graph.layers.iter().enumerate() {
        if matches!(layer.op, Op::Conv { .. } | Op::Dense { .. }) {
            readers.entry(layer.inputs[0]).or_default().push(id);
        }
    }
    readers
}

/// Sums of patches and of their products, over the places where kernels read.
struct Sums {
    places: f64,
    patches: Tensor,
    products: Tensor,
}

impl Sums {
    /// Over the places of `[groups, in, places]`.
    fn of(patches: &Tensor) -> Sums {
        Sums {
            places: patches.size()[2] as f64,
            patches: patches.sum_dim_intlist(2_i64, false, Kind::Double),
            products: patches.matmul(&patches.transpose(1, 2)),
        }
    }

    fn add(&mut self, new: Sums) {
        self.places += new.places;
        self.patches += new.patches;
        self.products += new.products;
    }

    fn covariance(self) -> Tensor {
        let mean = self.patches / self.places;
        let around_mean = (mean.unsqueeze(2) * mean.unsqueeze(1)).to_kind(Kind::Float);
        (self.products / self.places - around_mean).to_device(Device::Cpu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbones::Backbone;
    use crate::graph::{Connection, Padding};
    use crate::network::{Mode, Precision};
    use crate::train::measure::normalize;
    use crate::weights::random;

    /// Kernels of every kind that read rounded values, against patches of all photos at once.
    #[test]
    fn means_are_those_of_what_kernels_see() {
        tch::manual_seed(4);
        let photos = Dataset::noise([40, 9, 8, 3]);
        let normalization = Backbone::MobileNetV1.normalization();
        let mut graph = Graph::new([9, 8, 3]);
        let conv = |connection, kernel, stride, padding| Op::Conv {
            connection,
            kernel,
            stride,
            padding,
            bias: true,
        };
        let dense = Connection::Dense { filters: 4 };
        let first = graph.push("first", conv(dense, 1, 1, Padding::default()), 0);
        let padding = Padding::same([9, 8, 4], 3, 2);
        graph.push(
            "depthwise",
            conv(Connection::Depthwise, 3, 2, padding),
            first,
        );
        graph.push("dense", conv(dense, 3, 1, Padding::all(1)), first);
        graph.push("pooled", Op::GlobalAveragePool, first);
        let float = Network::new(
            graph.clone(),
            &random(&graph, 5),
            Device::Cpu,
            Precision::F32,
        );
        let float = float.unwrap();
        let coarse = Activation {
            scale: 0.5,
            zero_point: 90,
        };
        let activations = BTreeMap::from([(first, coarse)]);
        let found = means(&float, &activations, &photos, normalization).unwrap();
        assert_eq!(found.len(), 3);

        let mut seen = BTreeMap::new();
        let input = normalize(&photos.pixels, normalization);
        let keep = |id: LayerId, value: Tensor| {
            seen.insert(id, value.shallow_clone());
            value
        };
        tch::no_grad(|| float.forward_each(&input, Mode::Eval, keep)).unwrap();
        for (&reader, means) in &found {
            let input = graph.layers[reader].inputs[0];
            let value = &seen[&input];
            let stored = match input {
                0 => value.shallow_clone(),
                _ => coarse.round(value),
            };
            for (found, value) in [(&means.exact, value), (&means.stored, &stored)] {
                let wanted = Kernel::of(&graph, reader).everywhere(value);
                let wanted = wanted.mean_dim(2_i64, false, Kind::Double);
                assert_eq!(found.size(), wanted.size());
                assert!((found - wanted).abs().max().double_value(&[]) < 1e-5);
            }
        }
    }

    #[test]
    fn covariances_are_those_of_all_batches() {
        tch::manual_seed(4);
        let patches = Tensor::randn([2, 3, 500], (Kind::Float, Device::Cpu)) + 2.0;
        let mut sums = Sums::of(&patches.narrow(2, 0, 200));
        sums.add(Sums::of(&patches.narrow(2, 200, 300)));
        let covariance = sums.covariance();
        assert_eq!(covariance.size(), [2, 3, 3]);
        for group in 0..2 {
            let wanted = patches.get(group).cov(0, None, None::<&Tensor>);
            let apart = (covariance.get(group) - wanted).abs().max();
            assert!(apart.double_value(&[]) < 1e-4);
        }
    }
}
