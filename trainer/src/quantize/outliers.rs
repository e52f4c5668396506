//! Calibration photos of which a network computes far larger values than of all others.
//!
//! A deep network can answer one photo in hundreds by values that are a hundred times what it has elsewhere, layer after
//! layer, and still name a class. Ranges that hold such a photo leave the others a few levels, and what rounding does to
//! means and magnitudes would be that photo's alone. It is set aside, and the report names it. Where it explodes is kept in
//! mind: others will too, and where ranges get headroom these get more.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tch::Kind;

use super::observe::each_batch;
use super::stored::stored_values;
use crate::backbones::Normalization;
use crate::data::Dataset;
use crate::graph::LayerId;
use crate::network::Network;

/// The usual magnitude of a tensor is reached by all photos but one of so many.
const ONE_OF: usize = 20;
/// A photo that goes beyond the usual magnitude by this factor is set aside. Photos that calibrate well reach 10, those
/// that explode 22 to 200.
const FAR: f32 = 16.0;

/// A photo that says nothing of others, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outlier {
    /// The photo's file.
    pub photo: String,
    /// The layer where it is furthest from the others.
    pub layer: String,
    /// Its largest magnitude there, over the largest of the others but one in twenty.
    pub times: f32,
}

/// Photos with those set aside that explode.
pub struct SetAside {
    /// The photos to calibrate on.
    pub usual: Dataset,
    /// The others.
    pub outliers: Vec<Outlier>,
    /// How far these go beyond the usual magnitude of each stored value, where they do.
    pub beyond: BTreeMap<LayerId, f32>,
}

/// Sets photos aside.
pub fn set_aside(
    network: &Network,
    photos: &Dataset,
    normalization: Normalization,
) -> Result<SetAside> {
    let peaks = peaks(network, photos, normalization)?;
    let far: BTreeMap<usize, (LayerId, f32)> = furthest(&peaks, photos.len())
        .into_iter()
        .enumerate()
        .filter(|(_, (_, times))| *times > FAR)
        .collect();
    let outlier = |(&at, &(layer, times)): (&usize, &(LayerId, f32))| Outlier {
        photo: photos.paths[at].display().to_string(),
        layer: network.graph().layers[layer].name.clone(),
        times,
    };
    let outliers = far.iter().map(outlier).collect();
    let usual = (0..photos.len()).filter(|at| !far.contains_key(at));
    let beyond = |(&id, peaks): (&LayerId, &Vec<f32>)| {
        let outermost = far.keys().map(|&at| peaks[at]).reduce(f32::max)?;
        let times = outermost / usual_magnitude(peaks);
        (times.is_finite() && times > 1.0).then_some((id, times))
    };
    Ok(SetAside {
        usual: photos.those(&usual.collect::<Vec<usize>>()),
        outliers,
        beyond: peaks.iter().filter_map(beyond).collect(),
    })
}

/// What all photos but one of [`ONE_OF`] stay within.
fn usual_magnitude(peaks: &[f32]) -> f32 {
    let mut sorted = peaks.to_vec();
    sorted.sort_by(f32::total_cmp);
    sorted[peaks.len() - 1 - peaks.len() / ONE_OF]
}

/// The largest magnitude of each stored value on each photo.
fn peaks(
    network: &Network,
    photos: &Dataset,
    normalization: Normalization,
) -> Result<BTreeMap<LayerId, Vec<f32>>> {
    let stored = stored_values(network.graph());
    let mut peaks: BTreeMap<LayerId, Vec<f32>> =
        stored.into_iter().map(|id| (id, Vec::new())).collect();
    let what = "calibrating: looking for outliers";
    each_batch(network, photos, normalization, what, &mut |id, value| {
        if let Some(peaks) = peaks.get_mut(&id) {
            let of_each = value.abs().flatten(1, -1).amax(1_i64, false);
            peaks.extend(Vec::<f32>::try_from(of_each.to_kind(Kind::Float))?);
        }
        Ok(())
    })?;
    Ok(peaks)
}

/// Where each photo is furthest beyond the usual magnitude, and by which factor.
fn furthest(peaks: &BTreeMap<LayerId, Vec<f32>>, photos: usize) -> Vec<(LayerId, f32)> {
    let mut furthest = vec![(0, 0.0); photos];
    for (&id, peaks) in peaks {
        let usual = usual_magnitude(peaks);
        // Of a value that most photos leave at zero nothing is usual.
        for (furthest, peak) in furthest.iter_mut().zip(peaks).filter(|_| usual > 0.0) {
            // Infinite over infinite is not far; infinite over a usual value is, and JSON has no number for it.
            if peak / usual > furthest.1 {
                *furthest = (id, (peak / usual).min(f32::MAX));
            }
        }
    }
    furthest
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::backbones::Backbone;
    use crate::graph::{Connection, Graph, Op, Padding};
    use crate::network::Precision;
    use crate::weights::random;

    #[test]
    fn a_photo_that_explodes_is_set_aside() {
        // All photos are nearly grey, but for one.
        let noise = Dataset::noise([40, 4, 4, 3]);
        let pixels = &noise.pixels;
        let normalization = Backbone::MobileNetV1.normalization();
        let faint = pixels.remainder(2) + i64::from(normalization.zero_point());
        let photos = noise.with_pixels(faint.to_kind(Kind::Uint8));
        photos.pixels.get(7).copy_(&pixels.get(7));
        let mut graph = Graph::new([4, 4, 3]);
        let conv = Op::Conv {
            connection: Connection::Dense { filters: 4 },
            kernel: 1,
            stride: 1,
            padding: Padding::default(),
            bias: false,
        };
        let conv = graph.push("conv", conv, 0);
        graph.push("relu", Op::Relu, conv);
        graph.push("last", Op::GlobalAveragePool, 2);
        let weights = random(&graph, 1);
        let network = Network::new(graph, &weights, Device::Cpu, Precision::F32).unwrap();
        let apart = set_aside(&network, &photos, normalization).unwrap();
        assert_eq!(apart.usual.len(), 39);
        assert_eq!(apart.outliers.len(), 1);
        assert_eq!(apart.outliers[0].layer, "relu");
        assert!(apart.outliers[0].times > FAR);
        let furthest = apart.beyond.values().copied().fold(0.0, f32::max);
        assert_eq!(furthest, apart.outliers[0].times);
        // Without it there is nothing to go beyond.
        let again = set_aside(&network, &apart.usual, normalization).unwrap();
        assert!(again.outliers.is_empty() && again.beyond.is_empty());
    }

    #[test]
    fn photos_are_as_far_as_where_they_are_furthest() {
        // One of twenty may be anything, two are usual.
        let mut one = vec![1.0; 40];
        (one[3], one[7]) = (90.0, 100.0);
        let mut three = vec![2.0; 40];
        (three[3], three[8], three[9]) = (60.0, 30.0, 20.0);
        let dead = (0..40).map(|at| if at == 5 { 1.0 } else { 0.0 }).collect();
        let found = furthest(&BTreeMap::from([(4, one), (6, three), (9, dead)]), 40);
        assert_eq!(found[3], (4, 90.0));
        assert_eq!(found[7], (4, 100.0));
        assert_eq!(found[8], (6, 1.5));
        assert_eq!(found[5], (4, 1.0));
    }

    #[test]
    fn where_all_is_infinite_no_photo_is_far() {
        let mut one = vec![1.0; 40];
        one[3] = f32::INFINITY;
        let all = vec![f32::INFINITY; 40];
        let found = furthest(&BTreeMap::from([(0, all), (1, one)]), 40);
        assert_eq!(found[3], (1, f32::MAX));
        assert_eq!(found[4], (1, 1.0));
    }

    #[test]
    fn few_photos_are_all_usual() {
        let mut peaks = vec![1.0; 19];
        peaks[2] = 1000.0;
        let found = furthest(&BTreeMap::from([(0, peaks)]), 19);
        assert!(found.iter().all(|(_, times)| *times <= 1.0));
    }
}
