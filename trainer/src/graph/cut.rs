//! Where a partly frozen network comes apart: the trunk, which does the same with a photo whatever is learned, and the
//! rest, which trains.
//!
//! The trunk may end in one value or in several: a dense block or a cell reads many layers before it.

use super::{Graph, LayerId, Op};

/// The trunk of a graph and what the rest reads of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// For each layer, whether it belongs to the trunk.
    pub trunk: Vec<bool>,
    /// The trunk's layers whose values are read outside it, or are the network's output.
    pub kept: Vec<LayerId>,
}

impl Graph {
    /// Cuts behind the layers that depend on the photo alone where the first `frozen` are frozen: those without
    /// parameters that train, not behind one with such, and not random. A layer without parameters goes to the rest where the values that are kept are smaller for it: a border is made
    /// anew rather than kept.
    pub fn cut(&self, frozen: usize) -> Cut {
        let mut trunk = vec![false; self.layers.len()];
        for (id, layer) in self.layers.iter().enumerate() {
            let trains = id >= frozen && !self.layer_parameters(id).is_empty();
            let random = matches!(layer.op, Op::Dropout { .. });
            trunk[id] = !trains && !random && layer.inputs.iter().all(|&input| trunk[input]);
        }
        let mut kept = self.read_outside(&trunk);
        for id in (1..trunk.len()).rev() {
            if !kept.contains(&id) || !self.layer_parameters(id).is_empty() {
                continue;
            }
            let mut smaller = trunk.clone();
            smaller[id] = false;
            let without = self.read_outside(&smaller);
            let alone = self.readers_within(id, &trunk) == 0;
            if alone && self.count(&without) < self.count(&kept) {
                (trunk, kept) = (smaller, without);
            }
        }
        Cut { trunk, kept }
    }

    /// Numbers in the values of these layers, for one photo.
    pub fn count(&self, layers: &[LayerId]) -> usize {
        let count = |&id: &LayerId| self.shapes[id].iter().product::<usize>();
        layers.iter().map(count).sum()
    }

    fn readers_within(&self, id: LayerId, trunk: &[bool]) -> usize {
        let within = self.layers.iter().zip(trunk).filter(|(_, within)| **within);
        within
            .filter(|(layer, _)| layer.inputs.contains(&id))
            .count()
    }

    fn read_outside(&self, trunk: &[bool]) -> Vec<LayerId> {
        let mut read = vec![false; trunk.len()];
        read[self.output()] = true;
        for (id, layer) in self.layers.iter().enumerate() {
            if !trunk[id] {
                layer.inputs.iter().for_each(|&input| read[input] = true);
            }
        }
        (0..trunk.len())
            .filter(|&id| trunk[id] && read[id])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbones::Backbone;

    /// Names of what is kept where the first layers are frozen.
    fn kept(backbone: Backbone, frozen: usize) -> Vec<String> {
        let graph = backbone.classifier(224, 10, 0.0);
        let cut = graph.cut(frozen);
        for (id, layer) in graph.layers.iter().enumerate() {
            assert!(!cut.trunk[id] || layer.inputs.iter().all(|&i| cut.trunk[i]));
        }
        let names = cut.kept.iter().map(|&id| graph.layers[id].name.clone());
        names.collect()
    }

    #[test]
    fn the_smallest_values_at_the_border_are_kept() {
        for (backbone, frozen, expected) in [
            // Not the photo's border, not block 12's.
            (Backbone::MobileNetV1, 0, &["input"][..]),
            (Backbone::MobileNetV1, 2, &["input"]),
            (Backbone::MobileNetV1, 75, &["conv_pw_11_relu"]),
            (Backbone::MobileNetV2, 28, &["block_2_add"]),
            (Backbone::MobileNetV2, 135, &["block_14_add"]),
            // A cell reads the two before it.
            (
                Backbone::NasNetMobile,
                724,
                &["activation_175", "activation_176"],
            ),
            (Backbone::DenseNet121, 411, &["conv5_block14_concat"]),
        ] {
            assert_eq!(kept(backbone, frozen), expected, "{backbone}");
        }
    }

    #[test]
    fn the_mean_is_the_trunk_where_only_the_head_trains() {
        for backbone in Backbone::ALL {
            assert_eq!(kept(backbone, backbone.frozen_below(0)), ["pool"]);
        }
    }

    #[test]
    fn what_is_read_within_the_trunk_stays_in_it() {
        // Both an activation and what it reads are kept; one made anew would be smaller, were it not read again.
        let mut graph = Graph::new([4, 4, 8]);
        let rectified = graph.push("relu", Op::Relu, 0);
        let dense = graph.push("dense", Op::Dense { units: 2 }, rectified);
        let trained = graph.push("trained", Op::BatchNorm { epsilon: 1e-3 }, rectified);
        graph.join("both", Op::Concat, &[0, trained]);
        let cut = graph.cut(trained);
        assert!(cut.trunk[rectified] && cut.trunk[dense]);
        assert_eq!(cut.kept, [0, rectified]);
    }
}
