//! Channels in the middle of their levels (Wei et al. 2023, "Outlier Suppression+", arXiv:2304.09145).
//!
//! One channel lies above zero, another one below: what they share has to cover both, and each uses half of it. A kernel
//! writes its channels lower by a constant, and the kernels that read them add it again, both in their biases. That takes
//! readers that see nothing but these channels: no padding, whose zeros stay zeros, and no rectifier on the way. So it is
//! between the two kernels of a separable convolution, at linear bottlenecks, and before a batch norm that stays.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::channels::{Channels, sum};
use super::ties::is_kernel;
use crate::graph::{Graph, LayerId, Op};
use crate::weights::Weights;

/// For each layer by how much each channel of its value can be lower: where kernels write it by the middle of what was
/// `seen`, behind them by what comes of that, and by zero where a reader does not take it up.
pub fn shifts(graph: &Graph, seen: &BTreeMap<LayerId, Channels>) -> Vec<Vec<f64>> {
    let taken_up = taken_up(graph);
    let mut shifts: Vec<Vec<f64>> = Vec::with_capacity(graph.layers.len());
    for (id, layer) in graph.layers.iter().enumerate() {
        let inputs = layer.inputs.iter().map(|&input| shifts[input].clone());
        let shift = match layer.op {
            _ if !taken_up[id] => vec![0.0; graph.shapes[id][2]],
            Op::Concat => inputs.flatten().collect(),
            ref op if is_kernel(op) => match seen.get(&id) {
                Some(seen) => seen
                    .low
                    .iter()
                    .zip(&seen.high)
                    .map(|(a, b)| (a + b) / 2.0)
                    .collect(),
                None => vec![0.0; graph.shapes[id][2]],
            },
            _ => sum(inputs),
        };
        shifts.push(shift);
    }
    shifts
}

/// Whether all that reads each layer takes up a constant per channel.
fn taken_up(graph: &Graph) -> Vec<bool> {
    let mut taken_up = vec![true; graph.layers.len()];
    taken_up[graph.output()] = false;
    // The photo is what it is.
    taken_up[0] = false;
    for (id, layer) in graph.layers.iter().enumerate().rev() {
        let takes = match layer.op {
            Op::Conv { padding, .. } => padding.is_none(),
            Op::Dense { .. } | Op::Scale => true,
            Op::AveragePool { padding, .. } => padding.is_none() && taken_up[id],
            Op::Add | Op::Concat | Op::Crop(_) | Op::MaxPool { .. } | Op::GlobalAveragePool => {
                taken_up[id]
            }
            _ => false,
        };
        for &input in layer.inputs.iter().filter(|_| !takes) {
            taken_up[input] = false;
        }
    }
    taken_up
}

/// Lets kernels write values lower by `shifts`, and read them so.
pub fn lower(graph: &Graph, weights: &mut Weights, shifts: &[Vec<f64>]) -> Result<()> {
    for (id, layer) in graph.layers.iter().enumerate() {
        if !is_kernel(&layer.op) {
            continue;
        }
        let named = |suffix: &str| format!("{}.{suffix}", layer.name);
        let missing = |suffix: &str| format!("{} is missing", named(suffix));
        let read = &shifts[layer.inputs[0]];
        let weight = weights
            .get(&named("weight"))
            .with_context(|| missing("weight"))?;
        let taps: usize = weight.shape.iter().skip(2).product();
        let added = read.iter().cycle().zip(weight.data.chunks_exact(taps));
        let added =
            added.map(|(shift, taps)| shift * taps.iter().map(|&w| f64::from(w)).sum::<f64>());
        let added: Vec<f64> = added.collect();
        let kernels = added.chunks_exact(added.len() / shifts[id].len());
        let sums: Vec<f64> = kernels.map(|kernel| kernel.iter().sum()).collect();
        let bias = weights
            .get_mut(&named("bias"))
            .with_context(|| missing("bias"))?;
        for ((bias, added), written) in bias.data.iter_mut().zip(sums).zip(&shifts[id]) {
            *bias = (f64::from(*bias) + added - written) as f32;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Connection, Padding};

    fn conv(connection: Connection, kernel: usize, padding: Padding) -> Op {
        Op::Conv {
            connection,
            kernel,
            stride: 1,
            padding,
            bias: true,
        }
    }

    #[test]
    fn constants_pass_where_all_readers_take_them_up() {
        let two = Connection::Dense { filters: 2 };
        let none = Padding::default();
        let mut graph = Graph::new([4, 4, 3]);
        let a = graph.push("a", conv(two, 1, none), 0);
        let b = graph.push("b", conv(Connection::Depthwise, 3, Padding::all(1)), a);
        let c = graph.push("c", conv(two, 1, none), b);
        let sum = graph.join("sum", Op::Add, &[b, c]);
        let d = graph.push("d", conv(Connection::Depthwise, 3, none), sum);
        let relu = graph.push("relu", Op::Relu, d);
        let e = graph.push("e", conv(two, 1, none), relu);
        graph.join("both", Op::Concat, &[e, relu]);
        let seen = |low: [f64; 2], high: [f64; 2]| Channels {
            low: low.to_vec(),
            high: high.to_vec(),
            mean: vec![0.0; 2],
            mean_square: vec![1.0; 2],
        };
        let all = [a, b, c, sum, d, relu, e].map(|id| (id, seen([-1.0, 0.0], [3.0, id as f64])));
        let shifts = shifts(&graph, &all.into());
        // Padding before `b`, a rectifier behind `d`, the network's end behind `e`.
        for id in [a, d, relu, e] {
            assert_eq!(shifts[id], [0.0, 0.0], "{}", graph.layers[id].name);
        }
        assert_eq!(shifts[b], [1.0, b as f64 / 2.0]);
        assert_eq!(shifts[c], [1.0, c as f64 / 2.0]);
        assert_eq!(shifts[sum], [2.0, (b + c) as f64 / 2.0]);
    }
}
