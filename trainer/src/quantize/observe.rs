//! What calibration sees of every stored value: its extremes and a histogram.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use tch::{Kind, Tensor, no_grad};

use super::range::Range;
use super::stored::{photos_at_once, stored_values};
use crate::backbones::Normalization;
use crate::data::Dataset;
use crate::graph::{Graph, LayerId};
use crate::network::{Mode, Network};
use crate::progress;
use crate::train::measure::normalize;

const BINS: i64 = 4096;
/// Photos a pass, where memory allows.
const BATCH: usize = 32;

/// What calibration knows of one tensor.
pub struct Observed {
    /// The smallest and the largest value.
    pub range: Range,
    /// Counts of values that are not zero, over `range`. Values that are exactly zero (half of all, after a ReLU) are
    /// always represented exactly and tell nothing.
    histogram: Vec<f64>,
}

impl Observed {
    /// The middle of each bin and how many values are in it.
    pub fn bins(&self) -> impl DoubleEndedIterator<Item = (f64, f64)> + '_ {
        let (low, width) = (f64::from(self.range.low), self.bin_width());
        let middle = move |bin: usize| low + (bin as f64 + 0.5) * width;
        let counts = self.histogram.iter().enumerate();
        counts.map(move |(bin, &count)| (middle(bin), count))
    }

    /// How many values are not zero.
    pub fn count(&self) -> f64 {
        self.histogram.iter().sum()
    }

    fn bin_width(&self) -> f64 {
        f64::from(self.range.high - self.range.low) / BINS as f64
    }

    fn add(&mut self, value: &Tensor) -> Result<()> {
        let flat = value.to_kind(Kind::Float).flatten(0, -1);
        let nonzero = flat.masked_select(&flat.not_equal(0.0));
        let bins = ((nonzero - f64::from(self.range.low)) / self.bin_width())
            .to_kind(Kind::Int64)
            .clamp(0, BINS - 1);
        let counts = bins.bincount::<Tensor>(None, BINS).to_kind(Kind::Double);
        for (all, new) in self.histogram.iter_mut().zip(Vec::<f64>::try_from(counts)?) {
            *all += new;
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn of(values: &[f32]) -> Observed {
        let bound = |pick: fn(f32, f32) -> f32| values.iter().copied().reduce(pick).unwrap();
        let mut observed = Observed {
            range: Range {
                low: bound(f32::min),
                high: bound(f32::max),
            },
            histogram: vec![0.0; BINS as usize],
        };
        observed.add(&Tensor::from_slice(values)).unwrap();
        observed
    }
}

/// Runs a folded network over `photos` twice: for the extremes of every stored value, then for histograms.
pub fn observe(
    network: &Network,
    photos: &Dataset,
    normalization: Normalization,
) -> Result<BTreeMap<LayerId, Observed>> {
    let stored: BTreeSet<LayerId> = stored_values(network.graph()).into_iter().collect();
    let mut observed: BTreeMap<LayerId, Observed> = BTreeMap::new();
    let mut extremes = |id: LayerId, value: &Tensor| {
        if stored.contains(&id) {
            let (low, high) = value.aminmax(None, false);
            let [low, high] = [low, high].map(|bound| bound.double_value(&[]) as f32);
            let range = Range { low, high };
            let histogram = vec![0.0; BINS as usize];
            let seen = observed.entry(id).or_insert(Observed { range, histogram });
            seen.range = Range {
                low: seen.range.low.min(low),
                high: seen.range.high.max(high),
            };
        }
        Ok(())
    };
    let what = "calibrating: ranges";
    each_batch(network, photos, normalization, what, &mut extremes)?;
    for (&id, Observed { range, .. }) in &observed {
        let name = &network.graph().layers[id].name;
        ensure!(
            range.low.is_finite() && range.high.is_finite(),
            "{name}: its values on the calibration photos are not finite"
        );
        ensure!(
            range.high > range.low,
            "{name}: it is {} on every calibration photo",
            range.high
        );
    }
    let mut histograms = |id: LayerId, value: &Tensor| match observed.get_mut(&id) {
        Some(tensor) => tensor.add(value),
        None => Ok(()),
    };
    let what = "calibrating: histograms";
    each_batch(network, photos, normalization, what, &mut histograms)?;
    Ok(observed)
}

/// Refuses photos that tell nothing of a network's values: none, or most of them of one colour.
pub(super) fn check_photos(
    graph: &Graph,
    photos: &Dataset,
    normalization: Normalization,
) -> Result<()> {
    ensure!(!photos.is_empty(), "there is no calibration photo");
    let blank = blank(photos, normalization.zero_point());
    ensure!(
        2 * blank <= photos.len(),
        "{}: {blank} of {} calibration photos are of one colour; their ranges would not be those of real photos",
        graph.layers[0].name,
        photos.len()
    );
    Ok(())
}

/// How many photos are of one colour, letterboxes of the grey level `around` aside.
fn blank(photos: &Dataset, around: u8) -> usize {
    /// Levels between the darkest and the brightest pixel of a photo that shows nothing.
    const FLAT: i64 = 2;
    let flat = |at: usize| {
        let pixels = photos
            .slice(at, at + 1)
            .0
            .reshape([-1, 3])
            .to_kind(Kind::Int);
        let inside = pixels.not_equal(i64::from(around)).any_dim(1, true);
        let darkest = pixels.where_scalarother(&inside, 255).amin(0_i64, false);
        let brightest = pixels.where_scalarother(&inside, 0).amax(0_i64, false);
        (brightest - darkest).max().int64_value(&[]) <= FLAT
    };
    (0..photos.len()).filter(|&at| flat(at)).count()
}

/// Runs a network over `photos` and hands every layer's value, `[n, c, h, w]`, to `see`.
pub(super) fn each_batch(
    network: &Network,
    photos: &Dataset,
    normalization: Normalization,
    what: &str,
    see: &mut dyn FnMut(LayerId, &Tensor) -> Result<()>,
) -> Result<()> {
    let bar = progress::bar(photos.len() as u64, what);
    let batch = photos_at_once(network.graph(), BATCH);
    for from in (0..photos.len()).step_by(batch) {
        let to = (from + batch).min(photos.len());
        let pixels = photos.slice(from, to).0.to_device(network.device());
        let input = normalize(&pixels, normalization);
        let mut seen = Ok(());
        no_grad(|| {
            network.forward_each(&input, Mode::Eval, |id, value| {
                if seen.is_ok() {
                    seen = see(id, &value);
                }
                value
            })
        })?;
        seen?;
        bar.inc((to - from) as u64);
    }
    bar.finish_and_clear();
    Ok(())
}
