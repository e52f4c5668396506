//! The frozen part of a network: folded, in the number format of activations, without gradients.
//!
//! Its batch norms run in inference mode, so that the convolutions before them take them up once (`fold`, in f32); only
//! then are kernels rounded to the format that they run in.

use std::collections::BTreeMap;

use anyhow::Result;
use tch::{Device, Kind, Tensor, no_grad};

use super::layers::Layers;
use super::{Mode, to_array, to_tensor};
use crate::fold::fold_to;
use crate::graph::{Cut, Graph, LayerId};
use crate::weights::Weights;

/// Photos that go through all layers of a trunk before the next ones do: their values stay in a processor's cache from
/// layer to layer, which takes MobileNetV1 from 172 ms to 131 for 32 photos.
const PHOTOS_A_THREAD: i64 = 4;

/// What runs before anything that trains.
pub(super) struct Trunk {
    cut: Cut,
    /// The folded layers, and where the values that are kept stand among them; none where nothing is frozen.
    folded: Option<(Layers, Vec<LayerId>)>,
}

impl Trunk {
    /// Of a network that trains as a whole: the photo alone.
    pub(super) fn none(graph: &Graph) -> Trunk {
        let mut cut = Cut {
            trunk: vec![false; graph.layers.len()],
            kept: vec![0],
        };
        cut.trunk[0] = true;
        Trunk { cut, folded: None }
    }

    /// Of a network whose first `frozen` layers do not train.
    pub(super) fn fold(
        layers: &Layers,
        frozen: usize,
        device: Device,
        kind: Kind,
    ) -> Result<Trunk> {
        let graph = &layers.graph;
        let cut = graph.cut(frozen);
        if cut.kept == [0] {
            return Ok(Trunk::none(graph));
        }
        let mut weights = Weights::new();
        for (name, tensor) in &layers.parameters {
            weights.insert(name.clone(), to_array(tensor)?);
        }
        let (graph, weights, kept) = fold_to(graph, &weights, &cut.kept)?;
        let mut parameters = BTreeMap::new();
        for (name, array) in &weights {
            let tensor = to_tensor(array).to_device(device).to_kind(kind);
            parameters.insert(name.clone(), tensor);
        }
        let folded = Layers { graph, parameters };
        Ok(Trunk {
            cut,
            folded: Some((folded, kept)),
        })
    }

    /// Where it ends.
    pub(super) fn cut(&self) -> &Cut {
        &self.cut
    }

    /// The values that are kept of a batch, `[n, c, h, w]`.
    pub(super) fn values(&self, input: Tensor) -> Result<Vec<Tensor>> {
        let Some((layers, kept)) = &self.folded else {
            return Ok(vec![input]);
        };
        let at_once = match input.device() {
            Device::Cpu => PHOTOS_A_THREAD * i64::from(tch::get_num_threads()),
            _ => input.size()[0],
        };
        let mut parts: Vec<Vec<Tensor>> = kept.iter().map(|_| Vec::new()).collect();
        for photos in input.split(at_once.max(1), 0) {
            let from = BTreeMap::from([(0, photos)]);
            let values = no_grad(|| layers.values(kept, from, |_| false, Mode::Eval))?;
            for (part, value) in parts.iter_mut().zip(values) {
                part.push(value);
            }
        }
        Ok(parts.iter().map(|parts| Tensor::cat(parts, 0)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbones::Backbone;
    use crate::network::{Network, Precision};
    use crate::weights::random;

    /// The largest difference between what a trunk keeps and what the layers give as they are described, as a share of
    /// the largest number.
    fn difference(backbone: Backbone, frozen: usize, precision: Precision) -> f64 {
        let graph = backbone.classifier(64, 3, 0.2);
        let weights = random(&graph, 7);
        let described = Network::new(graph.clone(), &weights, Device::Cpu, Precision::F32).unwrap();
        let mut network = Network::new(graph, &weights, Device::Cpu, precision).unwrap();
        network.freeze(frozen).unwrap();
        tch::manual_seed(5);
        // More than one part, the last of them smaller.
        let count = PHOTOS_A_THREAD * i64::from(tch::get_num_threads()) + 1;
        let photos = Tensor::rand([count, 64, 64, 3], (Kind::Float, Device::Cpu)) * 2.0 - 1.0;
        let ids = network.trunk.cut().kept.clone();
        let mut expected = BTreeMap::new();
        let see = |id, value: Tensor| {
            expected.insert(id, value.permute([0, 2, 3, 1]));
            value
        };
        no_grad(|| described.forward_each(&photos, Mode::Eval, see)).unwrap();
        let kept = network.trunk(&photos).unwrap();
        assert!(!ids.contains(&0) && ids.len() == kept.len(), "{backbone}");
        let of = |(id, value): (&LayerId, &Tensor)| {
            let scale = expected[id].abs().max().double_value(&[]);
            assert!(scale > 1e-3 && scale.is_finite(), "{backbone}: {scale}");
            assert!(!value.requires_grad());
            (&expected[id] - value).abs().max().double_value(&[]) / scale
        };
        ids.iter().zip(&kept).map(of).fold(0.0, f64::max)
    }

    #[test]
    fn it_computes_what_the_layers_do() {
        // NASNetLarge is NASNetMobile with more of each.
        let all = Backbone::ALL.into_iter();
        for backbone in all.filter(|&backbone| backbone != Backbone::NasNetLarge) {
            let whole = backbone.frozen_below(0);
            for frozen in [
                backbone.frozen_by_default(),
                backbone.frozen_below(2),
                whole,
            ] {
                let difference = difference(backbone, frozen, Precision::F32);
                println!("{backbone}, {frozen} layers: {difference:e}");
                assert!(difference < 1e-4, "{backbone}, {frozen}: {difference}");
            }
        }
        let rounded = difference(Backbone::MobileNetV1, 75, Precision::Bf16);
        println!("bf16: {rounded:e}");
        assert!(rounded < 0.05, "{rounded}");
    }
}
