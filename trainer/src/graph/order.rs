//! The orders in which a graph's layers can stand, and who reads whom.

use super::{Graph, LayerId};

impl Graph {
    /// Number of layers that read each layer; one that reads it twice counts once.
    pub fn readers(&self) -> Vec<usize> {
        let mut readers = vec![0; self.layers.len()];
        for layer in &self.layers {
            for (at, &input) in layer.inputs.iter().enumerate() {
                if !layer.inputs[..at].contains(&input) {
                    readers[input] += 1;
                }
            }
        }
        readers
    }

    /// For each layer the last one that reads it, itself where none does.
    pub fn last_uses(&self) -> Vec<LayerId> {
        let mut last: Vec<LayerId> = (0..self.layers.len()).collect();
        for (id, layer) in self.layers.iter().enumerate() {
            for &input in &layer.inputs {
                last[input] = id;
            }
        }
        last
    }

    /// The largest number of values that are alive at once while the layers run in their order, for one photo.
    pub fn peak_values(&self) -> usize {
        let last = self.last_uses();
        let size = |id: LayerId| self.shapes[id].iter().product::<usize>();
        let (mut alive, mut peak) = (0, 0);
        for (id, layer) in self.layers.iter().enumerate() {
            alive += size(id);
            peak = peak.max(alive);
            for (at, &input) in layer.inputs.iter().enumerate() {
                if last[input] == id && !layer.inputs[..at].contains(&input) {
                    alive -= size(input);
                }
            }
        }
        peak
    }

    /// The layers as Keras numbers them, `model.layers`: by their longest way to the output, the furthest first; among
    /// those that are as far, in the order in which a walk from the output, inputs in their order, first meets them.
    pub fn in_keras_order(self) -> Graph {
        let mut met = vec![usize::MAX; self.layers.len()];
        let (mut count, mut waiting) = (0, vec![self.output()]);
        while let Some(id) = waiting.pop() {
            if met[id] == usize::MAX {
                met[id] = count;
                count += 1;
                waiting.extend(self.layers[id].inputs.iter().rev());
            }
        }
        let mut depths = vec![0; self.layers.len()];
        for (id, layer) in self.layers.iter().enumerate().rev() {
            for &input in &layer.inputs {
                depths[input] = depths[input].max(depths[id] + 1);
            }
        }
        let mut order: Vec<LayerId> = (0..self.layers.len()).collect();
        order.sort_by_key(|&id| (std::cmp::Reverse(depths[id]), met[id]));
        self.reordered(&order)
    }

    /// The layers in the order in which the values `wanted` first need them: one branch after the other, so that few
    /// values are alive at once. Layers that none of these needs are left out.
    pub fn depth_first(&self, wanted: &[LayerId]) -> Vec<LayerId> {
        let mut order = Vec::with_capacity(self.layers.len());
        let mut done = vec![false; self.layers.len()];
        // The input comes first even where a branch begins elsewhere.
        let mut waiting: Vec<_> = wanted.iter().rev().map(|&id| (id, false)).collect();
        waiting.push((0, false));
        while let Some((id, inputs_done)) = waiting.pop() {
            if done[id] {
                continue;
            }
            if inputs_done {
                done[id] = true;
                order.push(id);
                continue;
            }
            waiting.push((id, true));
            let inputs = self.layers[id].inputs.iter().rev();
            waiting.extend(inputs.map(|&input| (input, false)));
        }
        order
    }

    /// The network in that order, and where the values `wanted` stand in it.
    pub fn in_depth_first_order(self, wanted: &[LayerId]) -> (Graph, Vec<LayerId>) {
        let order = self.depth_first(wanted);
        let places = wanted
            .iter()
            .filter_map(|id| order.iter().position(|there| there == id));
        let places = places.collect();
        (self.reordered(&order), places)
    }

    /// The same network with its layers in `order`, each behind those that it reads.
    fn reordered(self, order: &[LayerId]) -> Graph {
        let mut places = vec![0; self.layers.len()];
        for (place, &id) in order.iter().enumerate() {
            places[id] = place;
        }
        let layers = order.iter().map(|&id| {
            let mut layer = self.layers[id].clone();
            layer.inputs.iter_mut().for_each(|i| *i = places[*i]);
            layer
        });
        Graph {
            layers: layers.collect(),
            shapes: order.iter().map(|&id| self.shapes[id]).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Op;

    /// A branch of one layer beside a branch of two.
    fn forked() -> Graph {
        let mut graph = Graph::new([4, 4, 8]);
        let short = graph.push("short", Op::Relu, 0);
        let long = graph.push("long_1", Op::Relu, 0);
        let long = graph.push("long_2", Op::Relu, long);
        graph.join("sum", Op::Add, &[short, long]);
        graph
    }

    fn names(graph: &Graph) -> Vec<&str> {
        graph.layers.iter().map(|l| l.name.as_str()).collect()
    }

    #[test]
    fn keras_sorts_by_depth() {
        let graph = forked().in_keras_order();
        assert_eq!(names(&graph), ["input", "long_1", "short", "long_2", "sum"]);
        assert_eq!(graph.layers[4].inputs, [2, 3]);
    }

    #[test]
    fn one_branch_after_the_other() {
        let graph = forked().in_keras_order();
        let order = graph.depth_first(&[graph.output()]);
        let order: Vec<&str> = order.iter().map(|&id| names(&graph)[id]).collect();
        assert_eq!(order, ["input", "short", "long_1", "long_2", "sum"]);
        let wanted = ["sum", "long_1"].map(|name| graph.find(name).unwrap());
        let (ordered, places) = graph.clone().in_depth_first_order(&wanted);
        assert_eq!(names(&ordered), order);
        assert_eq!(places, [4, 2]);
    }

    #[test]
    fn values_are_counted_until_their_last_reader() {
        let graph = forked();
        assert_eq!(graph.readers(), [2, 1, 1, 1, 0]);
        // The input, both branches, or the end of both and their sum.
        assert_eq!(graph.peak_values(), 3 * 4 * 4 * 8);
    }
}
