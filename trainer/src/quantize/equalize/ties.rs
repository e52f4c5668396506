//! Which channels can only be scaled together.
//!
//! A kernel writes channels that are its own. Whatever passes scales on hands them on as they are, a sum ties its terms,
//! a concatenation lines up channels of several ties. They end at the kernels that read them.

use std::collections::BTreeMap;

use crate::graph::{Graph, LayerId, Op};

/// Index of a [`Tie`] in [`Ties::all`].
pub type TieId = usize;

/// Channels of one number, scaled alike in every map that has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tie {
    /// How many there are.
    pub channels: usize,
    /// Whether kernels write them and nothing but kernels reads them.
    pub free: bool,
    /// Whether a ReLU6 is on the way.
    pub clipped: bool,
}

/// The ties of a network.
#[derive(Debug)]
pub struct Ties {
    /// Each of them.
    pub all: Vec<Tie>,
    /// For each layer those that its value consists of, one behind the other.
    maps: Vec<Vec<TieId>>,
}

impl Ties {
    /// Those of a folded network.
    pub fn of(graph: &Graph) -> Ties {
        let mut all: Vec<Tie> = Vec::new();
        let mut parents: Vec<TieId> = Vec::new();
        let mut maps: Vec<Vec<TieId>> = Vec::with_capacity(graph.layers.len());
        for (id, layer) in graph.layers.iter().enumerate() {
            let mut inputs = layer.inputs.iter().map(|&input| maps[input].clone());
            let map = match layer.op {
                Op::Concat => inputs.flatten().collect(),
                ref op if passes(op) => {
                    let first = inputs.next().unwrap_or_default();
                    for term in inputs {
                        tie(&mut parents, &mut all, &first, &term);
                    }
                    for &tie in first.iter().filter(|_| *op == Op::Relu6) {
                        all[tie].clipped = true;
                    }
                    first
                }
                ref op => {
                    let read = inputs.flatten().filter(|_| !is_kernel(op));
                    read.for_each(|tie| all[tie].free = false);
                    all.push(Tie {
                        channels: graph.shapes[id][2],
                        free: is_kernel(op),
                        clipped: false,
                    });
                    parents.push(parents.len());
                    vec![all.len() - 1]
                }
            };
            maps.push(map);
        }
        for &tie in &maps[graph.output()] {
            all[tie].free = false;
        }
        let (all, numbers) = united(&all, &parents);
        for map in &mut maps {
            map.iter_mut().for_each(|tie| *tie = numbers[*tie]);
        }
        Ties { all, maps }
    }

    /// The ties that the value of layer `id` consists of.
    pub fn of_map(&self, id: LayerId) -> &[TieId] {
        &self.maps[id]
    }

    /// Factors for each channel of the value of layer `id`, where each tie has `factors` for its own.
    pub fn spread(&self, id: LayerId, factors: &[Vec<f64>]) -> Vec<f64> {
        let ties = self.maps[id].iter();
        ties.flat_map(|&tie| factors[tie].iter().copied()).collect()
    }

    /// Where in the value of layer `id` the channels of `tie` stand.
    pub fn places(&self, id: LayerId, tie: TieId) -> Vec<usize> {
        let mut from = 0;
        let mut places = Vec::new();
        for &part in &self.maps[id] {
            let to = from + self.all[part].channels;
            if part == tie {
                places.extend(from..to);
            }
            from = to;
        }
        places
    }
}

/// Layers with weights, which take up factors on both sides.
pub fn is_kernel(op: &Op) -> bool {
    matches!(op, Op::Conv { .. } | Op::Dense { .. } | Op::Scale)
}

/// Whether scaled channels come out as channels scaled by the same factor.
pub fn passes(op: &Op) -> bool {
    matches!(
        op,
        Op::Relu
            | Op::Relu6
            | Op::Add
            | Op::Pad(_)
            | Op::Crop(_)
            | Op::MaxPool { .. }
            | Op::AveragePool { .. }
            | Op::GlobalAveragePool
    )
}

/// Ties the channels of two terms of a sum. Where concatenations of other widths are added they stay as they are.
fn tie(parents: &mut [TieId], all: &mut [Tie], first: &[TieId], second: &[TieId]) {
    let widths = |map: &[TieId]| -> Vec<usize> { map.iter().map(|&t| all[t].channels).collect() };
    if widths(first) == widths(second) {
        for (&a, &b) in first.iter().zip(second) {
            let (a, b) = (root(parents, a), root(parents, b));
            parents[b] = a;
        }
    } else {
        for &tie in first.iter().chain(second) {
            all[tie].free = false;
        }
    }
}

/// One tie for all that were tied, which has what any of them has, and where each went.
fn united(all: &[Tie], parents: &[TieId]) -> (Vec<Tie>, Vec<TieId>) {
    let mut found: Vec<Tie> = Vec::new();
    let mut places: BTreeMap<TieId, TieId> = BTreeMap::new();
    let mut place = |id: TieId| {
        let place = *places.entry(root(parents, id)).or_insert_with(|| {
            found.push(all[id]);
            found.len() - 1
        });
        found[place].free &= all[id].free;
        found[place].clipped |= all[id].clipped;
        place
    };
    let places = (0..all.len()).map(&mut place).collect();
    (found, places)
}

fn root(parents: &[TieId], mut tie: TieId) -> TieId {
    while parents[tie] != tie {
        tie = parents[tie];
    }
    tie
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Connection, Padding};

    fn conv(filters: usize) -> Op {
        Op::Conv {
            connection: Connection::Dense { filters },
            kernel: 1,
            stride: 1,
            padding: Padding::default(),
            bias: true,
        }
    }

    #[test]
    fn sums_scale_all_their_terms_alike() {
        let mut graph = Graph::new([4, 4, 3]);
        let a = graph.push("a", conv(2), 0);
        let b = graph.push("b", conv(2), a);
        let sum = graph.join("sum", Op::Add, &[a, b]);
        let relu = graph.push("relu", Op::Relu6, sum);
        let c = graph.push("c", conv(3), relu);
        let pool = graph.push("pool", Op::GlobalAveragePool, c);
        graph.push("logits", Op::Dense { units: 2 }, pool);
        let ties = Ties::of(&graph);
        for id in [b, sum, relu] {
            assert_eq!(ties.of_map(id), ties.of_map(a));
        }
        let of = |id: LayerId| &ties.all[ties.of_map(id)[0]];
        assert!(of(a).free && of(a).clipped);
        assert_eq!(ties.of_map(pool), ties.of_map(c));
        assert!(of(c).free && !of(c).clipped);
        // The photo and the logits are what they are.
        assert!(!of(0).free && !of(graph.output()).free);
    }

    #[test]
    fn concatenations_line_up_channels() {
        let mut graph = Graph::new([4, 4, 3]);
        let a = graph.push("a", conv(2), 0);
        let b = graph.push("b", conv(3), a);
        let both = graph.join("both", Op::Concat, &[a, b, a]);
        let relu = graph.push("relu", Op::Relu, both);
        let c = graph.push("c", conv(3), relu);
        let ties = Ties::of(&graph);
        let mut factors: Vec<Vec<f64>> = ties.all.iter().map(|t| vec![1.0; t.channels]).collect();
        factors[ties.of_map(a)[0]] = vec![2.0, 3.0];
        factors[ties.of_map(b)[0]] = vec![4.0, 5.0, 6.0];
        assert_eq!(
            ties.spread(relu, &factors),
            [2.0, 3.0, 4.0, 5.0, 6.0, 2.0, 3.0]
        );
        assert_eq!(ties.places(relu, ties.of_map(a)[0]), [0, 1, 5, 6]);
        assert!(ties.all[ties.of_map(b)[0]].free);
        // A sum of concatenations of other widths ties nothing and is not scaled.
        let other = graph.join("other", Op::Concat, &[b, c, c]);
        let one = graph.join("one", Op::Concat, &[b, b, c]);
        let sum = graph.join("sum", Op::Add, &[other, one]);
        let twice = graph.join("twice", Op::Concat, &[both, a]);
        let uneven = graph.join("uneven", Op::Add, &[sum, twice]);
        graph.push("d", conv(1), uneven);
        let ties = Ties::of(&graph);
        assert_eq!(ties.of_map(b), ties.of_map(c));
        assert!([a, b].iter().all(|&id| !ties.all[ties.of_map(id)[0]].free));
    }
}
