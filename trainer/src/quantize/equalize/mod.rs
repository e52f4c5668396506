//! Cross-layer equalization (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
//! Correction", arXiv:1906.04721, section 4.1), turned to activations: channels that stay small share the levels of the
//! largest one and are rounded coarsely, so the layers that write a channel write it larger, and the layers that read it
//! read it smaller by the same factor.
//!
//! Channels belong together along everything that scaling passes through: rectifiers, pools, padding, and sums, whose
//! terms all have to be scaled alike; concatenations line up such ties (`ties`). Kernels have a scale per output channel, so
//! writing larger costs nothing, and neither does reading smaller in a depthwise convolution. A dense one has one scale for
//! all that an output channel reads: how far channels are brought together is what leaves least noise of both kinds
//! (`balance`). A ReLU6 clips at one value for all channels; before one, channels grow up to a little less than the largest,
//! so that values that were not seen are not clipped either.
//!
//! Before that, channels are moved to the middle of their levels where kernels can take up a constant (`shift`).

mod balance;
mod channels;
mod shift;
mod ties;

use anyhow::{Context, Result};

use crate::backbones::Normalization;
use crate::data::Dataset;
use crate::graph::{Graph, LayerId};
use crate::network::Network;
use crate::weights::Weights;
use balance::Balance;
use channels::observe;
use shift::{lower, shifts};
use ties::{Ties, is_kernel};

/// The weights of the folded network `float` after equalization; what it computes on `photos` stays the same.
pub fn equalize(
    float: &Network,
    weights: &Weights,
    photos: &Dataset,
    normalization: Normalization,
) -> Result<Weights> {
    let (graph, mut equalized) = (float.graph(), weights.clone());
    let mut seen = observe(float, photos, normalization)?;
    let shifts = shifts(graph, &seen);
    lower(graph, &mut equalized, &shifts)?;
    for (&id, channels) in &mut seen {
        channels.lower_by(&shifts[id]);
    }
    let ties = Ties::of(graph);
    let factors = Balance::new(graph, weights, &ties, &seen)?.factors();
    for (id, layer) in graph.layers.iter().enumerate() {
        if is_kernel(&layer.op) {
            let written = ties.spread(id, &factors);
            let read = ties.spread(layer.inputs[0], &factors);
            scale(graph, &mut equalized, id, &written, &read)?;
        }
    }
    Ok(equalized)
}

/// Divides channels by `written` where a kernel writes them, multiplies them by `read` where it reads them.
fn scale(
    graph: &Graph,
    weights: &mut Weights,
    id: LayerId,
    written: &[f64],
    read: &[f64],
) -> Result<()> {
    for suffix in ["weight", "bias"] {
        let name = format!("{}.{suffix}", graph.layers[id].name);
        let array = weights.get_mut(&name);
        let array = array.with_context(|| format!("{name} is missing"))?;
        if suffix == "weight" {
            let taps: usize = array.shape.iter().skip(2).product();
            multiply(
                array.data.chunks_exact_mut(taps),
                read.iter().cycle().copied(),
            );
        }
        let row = array.data.len() / written.len();
        multiply(
            array.data.chunks_exact_mut(row),
            written.iter().map(|factor| 1.0 / factor),
        );
    }
    Ok(())
}

fn multiply<'a>(rows: impl Iterator<Item = &'a mut [f32]>, factors: impl Iterator<Item = f64>) {
    for (values, factor) in rows.zip(factors) {
        for value in values {
            *value = (f64::from(*value) * factor) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use crate::backbones::Backbone;
    use crate::fold::fold;
    use crate::graph::{LayerId, Op};
    use crate::network::Precision;
    use crate::quantize::stored::{scale_groups, stored_values};
    use crate::train::measure::outputs;
    use crate::weights::random;
    use tch::Device;

    #[test]
    fn the_network_computes_the_same_with_channels_of_one_magnitude() {
        tch::manual_seed(2);
        let photos = Dataset::noise([4, 64, 64, 3]);
        for backbone in [
            Backbone::MobileNetV2,
            Backbone::NasNetMobile,
            Backbone::DenseNet121,
        ] {
            let graph = backbone.classifier(64, 5, 0.0);
            let (graph, weights) = fold(&graph, &random(&graph, 9)).unwrap();
            let network = |weights: &Weights| {
                Network::new(graph.clone(), weights, Device::Cpu, Precision::F32).unwrap()
            };
            let (float, normalization) = (network(&weights), backbone.normalization());
            let equalized = equalize(&float, &weights, &photos, normalization).unwrap();
            let logits = |network: &Network| outputs(network, &photos, normalization, "").unwrap();
            let (before, after) = (logits(&float), logits(&network(&equalized)));
            let apart = (&before - after).abs().max() / before.abs().max();
            assert!(apart.double_value(&[]) < 1e-3, "{backbone}: {apart:?}");
            // How far channels that a constant can move lie off their middle, in parts of their range.
            let seen = observe(&float, &photos, normalization).unwrap();
            let lowered = shifts(&graph, &seen);
            let kernels = (0..lowered.len()).filter(|&id| is_kernel(&graph.layers[id].op));
            let moved = kernels.filter(|&id| lowered[id].iter().any(|&shift| shift != 0.0));
            let moved: Vec<LayerId> = moved.collect();
            let off_middle = |network: &Network| {
                let seen = observe(network, &photos, normalization).unwrap();
                let channels = moved
                    .iter()
                    .flat_map(|id| seen[id].low.iter().zip(&seen[id].high));
                let off = channels.map(|(low, high)| (low + high).abs() / (high - low).max(1e-9));
                let off: Vec<f64> = off.collect();
                off.iter().sum::<f64>() / off.len() as f64
            };
            let (before, after) = (off_middle(&float), off_middle(&network(&equalized)));
            assert!(
                before > 0.1 && after < 0.01,
                "{backbone}: {before} to {after}"
            );
            // How much of what they share a scale with channels take up: those of concatenations, where there are any.
            let groups = scale_groups(&graph);
            let joined = |id: &LayerId| {
                let mut joins = graph.layers.iter().filter(|l| l.op == Op::Concat);
                joins.any(|join| join.inputs.contains(id))
            };
            let mut parts = stored_values(&graph);
            if parts.iter().any(joined) {
                parts.retain(joined);
            }
            let filled = |network: &Network| {
                let seen = observe(network, &photos, normalization).unwrap();
                let mut bounds: BTreeMap<LayerId, [f64; 2]> = BTreeMap::new();
                for id in &parts {
                    let [low, high] = seen[id].extremes(&vec![1.0; seen[id].low.len()]);
                    let all = bounds.entry(groups[*id]).or_default();
                    *all = [all[0].min(low), all[1].max(high)];
                }
                let shares = parts.iter().flat_map(|id| {
                    let (value, bounds) = (&seen[id], bounds[&groups[*id]]);
                    (0..value.low.len()).map(move |channel| value.share(channel, bounds))
                });
                let shares: Vec<f64> = shares.collect();
                shares.iter().sum::<f64>() / shares.len() as f64
            };
            let (before, after) = (filled(&float), filled(&network(&equalized)));
            assert!(after > 1.1 * before, "{backbone}: {before} to {after}");
        }
    }
}
