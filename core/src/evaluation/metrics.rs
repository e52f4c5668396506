//! The figures over an evaluation: accuracy, calibration, and who is taken for whom.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::decision::top_k;
use crate::error::{Error, ErrorKind, Result};

/// Bins of the expected calibration error.
const ECE_BINS: usize = 15;

/// One class's figures, each 0 to 1, and 0 where it has no denominator.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClassMetrics {
    /// Of the photos taken for this class, the part that is of it.
    pub precision: f64,
    /// Of the photos of this class, the part that was taken for it.
    pub recall: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// Photos of this class.
    pub support: u64,
}

/// The figures over an evaluation; as JSON, what `etalase eval --json` prints.
/// Ratios are 0 where nothing was recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Photos that were classified.
    pub photos: u64,
    /// Part whose best class is the right one.
    pub accuracy: f64,
    /// Part whose three best classes hold the right one.
    pub top3_accuracy: f64,
    /// Expected calibration error: mean distance of score and accuracy, over 15
    /// equal bins of the best score (Guo et al. 2017, "On Calibration of Modern
    /// Neural Networks", eq. 3).
    pub ece: f64,
    /// The classes, in the order of `confusion`.
    pub labels: Vec<String>,
    /// Figures by class.
    pub per_class: BTreeMap<String, ClassMetrics>,
    /// Photos by true class (row) and predicted class (column).
    pub confusion: Vec<Vec<u64>>,
    /// Photos that could not be classified.
    pub skipped: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Bin {
    photos: u64,
    right: u64,
    score_sum: f64,
}

/// Collects answers, photo by photo.
#[derive(Debug, Clone)]
pub struct Evaluation {
    labels: Vec<String>,
    confusion: Vec<Vec<u64>>,
    right_in_three: u64,
    bins: [Bin; ECE_BINS],
    skipped: u64,
}

impl Evaluation {
    /// An empty evaluation over `labels`, in the order of the scores.
    pub fn new(labels: Vec<String>) -> Evaluation {
        let classes = labels.len();
        Evaluation {
            labels,
            confusion: vec![vec![0; classes]; classes],
            right_in_three: 0,
            bins: [Bin::default(); ECE_BINS],
            skipped: 0,
        }
    }

    /// Records a photo of class `truth` and the scores it got (0 to 1, one per
    /// class).
    ///
    /// # Errors
    /// `InvalidArgument` where `truth` is no class or `scores` are not one per class.
    pub fn record(&mut self, truth: usize, scores: &[f32]) -> Result<()> {
        let best = top_k(scores, 3);
        let classes = self.labels.len();
        let cell = best
            .first()
            .filter(|_| scores.len() == classes)
            .and_then(|&predicted| {
                let score = *scores.get(predicted)?;
                let count = self.confusion.get_mut(truth)?.get_mut(predicted)?;
                Some((predicted, score, count))
            });
        let Some((predicted, score, count)) = cell else {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "class {truth} and {} scores don't fit {classes} classes",
                    scores.len()
                ),
            ));
        };
        *count += 1;
        self.right_in_three += u64::from(best.contains(&truth));
        // Bin m holds scores in ((m - 1) / 15, m / 15], as in the paper.
        let bin = (f64::from(score) * ECE_BINS as f64).ceil() as usize;
        let bin = bin.clamp(1, ECE_BINS) - 1;
        if let Some(bin) = self.bins.get_mut(bin) {
            bin.photos += 1;
            bin.right += u64::from(predicted == truth);
            bin.score_sum += f64::from(score);
        }
        Ok(())
    }

    /// Counts a photo that could not be classified.
    pub fn skip(&mut self) {
        self.skipped += 1;
    }

    /// The figures over what was recorded so far.
    pub fn metrics(&self) -> Metrics {
        let photos: u64 = self.confusion.iter().flatten().sum();
        let diagonal = |(class, row): (usize, &Vec<u64>)| row.get(class).copied().unwrap_or(0);
        let right: u64 = self.confusion.iter().enumerate().map(diagonal).sum();
        let ece = self
            .bins
            .iter()
            .map(|bin| (bin.score_sum - bin.right as f64).abs())
            .sum::<f64>();
        let per_class = self.labels.iter().enumerate().map(|(class, label)| {
            let row = self.confusion.get(class).map_or(&[][..], Vec::as_slice);
            let support = row.iter().sum();
            let hits = row.get(class).copied().unwrap_or(0);
            let column = self.confusion.iter().filter_map(|row| row.get(class));
            let (precision, recall) = (ratio(hits, column.sum()), ratio(hits, support));
            let both = precision + recall;
            let f1 = if both > 0.0 {
                2.0 * precision * recall / both
            } else {
                0.0
            };
            (
                label.clone(),
                ClassMetrics {
                    precision,
                    recall,
                    f1,
                    support,
                },
            )
        });
        Metrics {
            photos,
            accuracy: ratio(right, photos),
            top3_accuracy: ratio(self.right_in_three, photos),
            // Each bin weighs as many photos as it holds, so the counts cancel.
            ece: if photos > 0 { ece / photos as f64 } else { 0.0 },
            labels: self.labels.clone(),
            per_class: per_class.collect(),
            confusion: self.confusion.clone(),
            skipped: self.skipped,
        }
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluation() -> Evaluation {
        Evaluation::new(["a", "b", "c", "d"].map(str::to_owned).to_vec())
    }

    #[test]
    fn figures_by_hand() {
        let mut evaluation = evaluation();
        let mut record = |truth, scores: [f32; 4]| evaluation.record(truth, &scores).expect("fits");
        record(0, [0.75, 0.25, 0.0, 0.0]); // right
        record(0, [0.25, 0.75, 0.0, 0.0]); // taken for b, second
        record(1, [0.0, 0.75, 0.25, 0.0]); // right
        record(2, [0.5, 0.25, 0.0, 0.25]); // taken for a, last: not in the best three
        evaluation.skip();
        let metrics = evaluation.metrics();
        assert_eq!(metrics.photos, 4);
        assert_eq!(metrics.skipped, 1);
        assert_eq!(metrics.accuracy, 0.5);
        assert_eq!(metrics.top3_accuracy, 0.75);
        assert_eq!(
            metrics.confusion,
            [[1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
        );
        // Bin of 0.75: 3 photos, 2 right; bin of 0.5: 1 photo, 0 right.
        let ece = (0.75_f64 * 3.0 - 2.0).abs() / 4.0 + 0.5 / 4.0;
        assert!((metrics.ece - ece).abs() < 1e-12, "{}", metrics.ece);
        let class = |precision, recall, f1, support| ClassMetrics {
            precision,
            recall,
            f1,
            support,
        };
        assert_eq!(metrics.per_class["a"], class(0.5, 0.5, 0.5, 2));
        assert_eq!(metrics.per_class["b"], class(0.5, 1.0, 2.0 / 3.0, 1));
        assert_eq!(metrics.per_class["c"], class(0.0, 0.0, 0.0, 1));
        assert_eq!(metrics.per_class["d"], class(0.0, 0.0, 0.0, 0));
    }

    #[test]
    fn nothing_recorded_is_zero_and_not_nan() {
        let metrics = evaluation().metrics();
        assert_eq!(
            (metrics.photos, metrics.accuracy, metrics.ece),
            (0, 0.0, 0.0)
        );
    }

    #[test]
    fn perfect_scores_are_calibrated() {
        let mut evaluation = evaluation();
        for truth in 0..4 {
            let mut scores = [0.0; 4];
            scores[truth] = 1.0;
            evaluation.record(truth, &scores).expect("fits");
        }
        let metrics = evaluation.metrics();
        assert_eq!((metrics.accuracy, metrics.ece), (1.0, 0.0));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut evaluation = evaluation();
        assert!(evaluation.record(4, &[0.25; 4]).is_err());
        assert!(evaluation.record(0, &[0.5; 2]).is_err());
        assert!(evaluation.record(0, &[]).is_err());
        assert_eq!(evaluation.metrics().photos, 0);
    }
}
