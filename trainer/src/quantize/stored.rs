//! Which values of a folded network are stored as u8, and which of them share their integers.
//!
//! Rectifiers right behind what they read clamp it while it is stored; of a value that others read too they keep the
//! integers from zero on; pools of largest values, padding and crops move integers without changing what they stand for.
//! Parts of a concatenation are written in place, never copied: where
//! only multiply-adds per channel read it (DenseNet's batch norms), each part keeps integers of its own, which these
//! absorb; elsewhere the concatenation and what it joins share one scale, and a part that would use less than a quarter
//! of the shared levels keeps a scale of its own.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use super::Activation;
use super::range::Range;
use crate::backbones::Normalization;
use crate::graph::{Graph, LayerId, Op};

/// A part of a concatenation that spans less than this share of the whole is not stored with the whole's scale.
const SMALLEST_SHARE: f64 = 0.25;

/// Bytes that the values of one pass may take, for calibration and bias correction.
const PASS_BYTES: usize = 1 << 28;

/// Whether an operation gives values of its input unchanged: they keep its integers.
pub(super) fn moves(op: &Op) -> bool {
    matches!(op, Op::Pad(_) | Op::Crop(_) | Op::MaxPool { .. })
}

/// Whether each layer is a concatenation whose readers take each channel on its own, or join it to another such one.
fn segmented(graph: &Graph) -> Vec<bool> {
    let joins = |op: &Op| *op == Op::Concat;
    let mut segmented: Vec<bool> = graph.layers.iter().map(|l| joins(&l.op)).collect();
    segmented[graph.output()] = false;
    // From the end: a concatenation's readers come behind it.
    for (id, layer) in graph.layers.iter().enumerate().rev() {
        let absorbs = layer.op == Op::Scale || segmented[id];
        for &input in layer.inputs.iter().filter(|_| !absorbs) {
            segmented[input] = false;
        }
    }
    segmented
}

/// Whether a rectifier alone reads the value of each layer, which then is not stored.
fn rectified(graph: &Graph) -> Vec<bool> {
    let readers = graph.readers();
    let mut rectified = vec![false; graph.layers.len()];
    for layer in &graph.layers {
        if matches!(layer.op, Op::Relu | Op::Relu6) {
            let input = layer.inputs[0];
            let computed = !matches!(graph.layers[input].op, Op::Concat | Op::Relu | Op::Relu6);
            rectified[input] = readers[input] == 1 && computed;
        }
    }
    rectified
}

/// Whether each layer is a rectifier that keeps its input's integers, those below zero raised to it: no other scale would
/// bring back what storing the input has lost. One that is joined to others shares their scale instead.
fn keeps_from_zero(graph: &Graph) -> Vec<bool> {
    let (rectified, segmented, sources) = (rectified(graph), segmented(graph), sources(graph));
    let mut keeps: Vec<bool> = graph.layers.iter().map(|l| l.op == Op::Relu).collect();
    for (id, layer) in graph.layers.iter().enumerate() {
        match layer.op {
            Op::Relu => {
                let input = layer.inputs[0];
                keeps[id] &= sources[input] != 0 && !rectified[input] && !segmented[input];
            }
            Op::Concat => layer
                .inputs
                .iter()
                .for_each(|&part| keeps[sources[part]] = false),
            _ => (),
        }
    }
    keeps
}

/// Where the values of each layer come from, past what only moves them.
pub(super) fn sources(graph: &Graph) -> Vec<LayerId> {
    let mut sources: Vec<LayerId> = (0..graph.layers.len()).collect();
    for (id, layer) in graph.layers.iter().enumerate() {
        if moves(&layer.op) {
            sources[id] = sources[layer.inputs[0]];
        }
    }
    sources
}

/// The layers whose values get a range of their own: all but the input, the output, what only moves values, what a
/// rectifier alone reads, rectifiers of what is stored for others too, and concatenations whose parts keep their own.
pub fn stored_values(graph: &Graph) -> Vec<LayerId> {
    let (rectified, segmented) = (rectified(graph), segmented(graph));
    let keeps_from_zero = keeps_from_zero(graph);
    (1..graph.output())
        .filter(|&id| !rectified[id] && !segmented[id] && !keeps_from_zero[id])
        .filter(|&id| !moves(&graph.layers[id].op))
        .collect()
}

/// The integers of every value that is stored or moved.
pub(super) fn activations(
    graph: &Graph,
    normalization: Normalization,
    ranges: &BTreeMap<LayerId, Range>,
) -> Result<BTreeMap<LayerId, Activation>> {
    let mut own = BTreeMap::new();
    for id in stored_values(graph) {
        let name = &graph.layers[id].name;
        let range = *ranges
            .get(&id)
            .with_context(|| format!("{name} was not calibrated"))?;
        ensure!(
            range.low.is_finite() && range.high.is_finite() && range.high > range.low,
            "{name}: its values on the calibration photos span {} to {}; there is nothing to quantize",
            range.low,
            range.high
        );
        own.insert(id, range);
    }
    let groups = scale_groups(graph);
    let mut shared: BTreeMap<LayerId, Range> = BTreeMap::new();
    for (&id, &range) in &own {
        let whole = shared.entry(groups[id]).or_insert(range);
        *whole = Range {
            low: whole.low.min(range.low),
            high: whole.high.max(range.high),
        };
    }
    let keeps_from_zero = keeps_from_zero(graph);
    let mut activations: BTreeMap<LayerId, Activation> = BTreeMap::new();
    let photo = Activation {
        scale: 1.0 / normalization.scale,
        zero_point: normalization.zero_point(),
    };
    for (id, layer) in graph.layers.iter().enumerate() {
        if let Some(&range) = own.get(&id) {
            let whole = shared.get(&groups[id]).copied().unwrap_or(range);
            let widths = [range, whole].map(|range| f64::from(range.width()));
            let range = match keeps_own(&layer.op, widths) {
                true => range,
                false => whole,
            };
            activations.insert(id, Activation::covering(range));
        } else if moves(&layer.op) {
            let of_input = activations.get(&layer.inputs[0]).copied();
            activations.insert(id, of_input.unwrap_or(photo));
        } else if keeps_from_zero[id] {
            let of_input = activations.get(&layer.inputs[0]);
            let scale = of_input.context("a rectifier of what is not stored")?.scale;
            activations.insert(
                id,
                Activation {
                    scale,
                    zero_point: 0,
                },
            );
        }
    }
    Ok(activations)
}

/// Whether a value keeps a scale of its own: its range is `own` wide, that of all it is joined with `whole`.
pub(super) fn keeps_own(op: &Op, [own, whole]: [f64; 2]) -> bool {
    *op != Op::Concat && own < SMALLEST_SHARE * whole
}

/// For each layer one that stands for all that shares its scale.
pub(super) fn scale_groups(graph: &Graph) -> Vec<LayerId> {
    let (sources, segmented) = (sources(graph), segmented(graph));
    let mut parents: Vec<LayerId> = (0..graph.layers.len()).collect();
    fn root(parents: &[LayerId], mut id: LayerId) -> LayerId {
        while parents[id] != id {
            id = parents[id];
        }
        id
    }
    for (id, layer) in graph.layers.iter().enumerate() {
        if layer.op == Op::Concat && !segmented[id] {
            // The photo has integers of its own.
            let parts = layer.inputs.iter().map(|&part| sources[part]);
            for part in parts.filter(|&part| part != 0) {
                let (part, whole) = (root(&parents, part), root(&parents, id));
                parents[part] = whole;
            }
        }
    }
    (0..parents.len()).map(|id| root(&parents, id)).collect()
}

/// How many photos, `most` at most, go through the network at once: their values stay within a quarter of a gigabyte.
pub(super) fn photos_at_once(graph: &Graph, most: usize) -> usize {
    let bytes_each = graph.peak_values() * size_of::<f32>();
    (PASS_BYTES / bytes_each.max(1)).clamp(1, most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbones::Backbone;
    use crate::graph::Padding;

    fn conv(filters: usize) -> Op {
        Op::Conv {
            connection: crate::graph::Connection::Dense { filters },
            kernel: 1,
            stride: 1,
            padding: Padding::default(),
            bias: true,
        }
    }

    /// `relu(conv)` and a map padded and pooled, joined.
    fn joined() -> Graph {
        let mut graph = Graph::new([8, 8, 4]);
        let a = graph.push("a", conv(2), 0);
        let rectified = graph.push("a_relu", Op::Relu, a);
        let b = graph.push("b", conv(3), 0);
        let padded = graph.push("b_pad", Op::Pad(Padding::all(1)), b);
        let pool = Op::MaxPool {
            kernel: 3,
            stride: 1,
        };
        let pooled = graph.push("b_pool", pool, padded);
        let both = graph.join("both", Op::Concat, &[rectified, pooled]);
        graph.push("pool", Op::GlobalAveragePool, both);
        graph.push("logits", Op::Dense { units: 2 }, both);
        graph
    }

    #[test]
    fn what_is_joined_shares_its_integers_unless_that_wastes_them() {
        let graph = joined();
        let id = |name: &str| graph.find(name).unwrap();
        let stored = ["a_relu", "b", "both", "pool"].map(id);
        assert_eq!(stored_values(&graph), stored);
        let of = |a: (f32, f32), b: (f32, f32)| {
            let range = |(low, high)| Range { low, high };
            let whole = (a.0.min(b.0), a.1.max(b.1));
            let ranges = [a, b, whole, whole].map(range);
            let ranges = stored.into_iter().zip(ranges).collect();
            activations(&graph, Backbone::MobileNetV1.normalization(), &ranges).unwrap()
        };
        let shared = of((0.0, 2.0), (-1.0, 3.0));
        let whole = shared[&id("both")];
        assert_eq!(whole.scale, 4.0 / 255.0);
        for part in ["a_relu", "b", "b_pad", "b_pool"] {
            assert_eq!(shared[&id(part)], whole, "{part}");
        }
        let narrow = of((0.0, 0.5), (-1.0, 3.0));
        assert_eq!(narrow[&id("a_relu")].scale, 0.5 / 255.0);
        assert_eq!(narrow[&id("b_pool")], narrow[&id("both")]);
    }

    /// DenseNet's: a block's concatenations, each read by a batch norm and the next one.
    #[test]
    fn parts_that_multiply_adds_read_keep_their_integers() {
        let mut graph = Graph::new([8, 8, 4]);
        let a = graph.push("a", conv(2), 0);
        let b = graph.push("b", conv(3), 0);
        let first = graph.join("first", Op::Concat, &[a, b]);
        let scale = graph.push("scale", Op::Scale, first);
        let relu = graph.push("relu", Op::Relu, scale);
        let c = graph.push("c", conv(2), relu);
        let second = graph.join("second", Op::Concat, &[first, c]);
        let last = graph.push("last", Op::Scale, second);
        graph.push("pool", Op::GlobalAveragePool, last);
        graph.push("logits", Op::Dense { units: 2 }, last + 1);
        let id = |name: &str| graph.find(name).unwrap();
        let stored = ["a", "b", "relu", "c", "last", "pool"].map(id);
        assert_eq!(stored_values(&graph), stored);
        let range = |high: usize| Range {
            low: 0.0,
            high: high as f32,
        };
        let ranges = stored.iter().map(|&id| (id, range(id))).collect();
        let activations =
            activations(&graph, Backbone::MobileNetV1.normalization(), &ranges).unwrap();
        for (id, activation) in activations {
            assert_eq!(activation.scale, id as f32 / 255.0, "{id}");
        }
        // A convolution that reads a concatenation wants one scale.
        let mut read = graph.clone();
        read.push("d", conv(2), second);
        assert!(!segmented(&read)[second] && !segmented(&read)[first]);
    }

    /// NASNet's: a sum that is read as it is, rectified, and once more rectified for a concatenation.
    #[test]
    fn rectifiers_keep_the_integers_of_what_others_read_too() {
        let mut graph = Graph::new([8, 8, 4]);
        let a = graph.push("a", conv(2), 0);
        let relu = graph.push("relu", Op::Relu, a);
        let padded = graph.push("padded", Op::Pad(Padding::all(1)), relu);
        let b = graph.push("b", conv(2), padded);
        let again = graph.push("again", Op::Relu, a);
        let both = graph.join("both", Op::Concat, &[b, again]);
        graph.push("pool", Op::GlobalAveragePool, both);
        graph.push("logits", Op::Dense { units: 2 }, both + 1);
        let stored = stored_values(&graph);
        assert_eq!(stored, [a, b, again, both, both + 1]);
        let range = Range {
            low: -1.0,
            high: 3.0,
        };
        let ranges = stored.iter().map(|&id| (id, range)).collect();
        let normalization = Backbone::NasNetMobile.normalization();
        let activations = activations(&graph, normalization, &ranges).unwrap();
        assert_eq!(activations[&a].zero_point, 64);
        for id in [relu, padded] {
            assert_eq!(activations[&id].scale, activations[&a].scale);
            assert_eq!(activations[&id].zero_point, 0);
        }
        assert_eq!(activations[&again], activations[&both]);
        let values = tch::Tensor::linspace(-2.0, 4.0, 999, (tch::Kind::Float, tch::Device::Cpu));
        let rounded = activations[&a].round(&values).relu();
        assert_eq!(activations[&relu].round(&rounded), rounded);
    }

    #[test]
    fn large_networks_take_fewer_photos_at_once() {
        let mobile = Backbone::MobileNetV1.classifier(224, 10, 0.0);
        assert_eq!(photos_at_once(&mobile, 16), 16);
        let large = Backbone::NasNetLarge.classifier(331, 10, 0.0);
        assert!((1..16).contains(&photos_at_once(&large, 16)));
    }
}
