//! A policy made ready for a network: names resolved, numbers checked.

use super::familiarity::{ClassMeans, FamiliarityPolicy};
use super::listing::{self, Fused, Said};
use super::verdict::{Verdict, Verifier};
use super::{Policy, softmax};
use crate::error::{Error, ErrorKind, Result};

/// How far another class must be ahead in a photo of a listing to make it odd, where the policy doesn't say.
const AHEAD: f32 = 0.5;

/// Applies a policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Judge {
    temperature: f64,
    verifier: Option<Verifier>,
    familiarity: Option<(FamiliarityPolicy, ClassMeans)>,
}

impl Judge {
    /// Of a policy, for these classes; `means` as [`ClassMeans::from_bytes`] takes them.
    ///
    /// # Errors
    /// `Bundle` where the policy's labels are not the classes, a number makes no sense, or the means are missing.
    pub fn new(policy: &Policy, classes: &[String], means: Option<&[u8]>) -> Result<Judge> {
        let refused = |cause: String| Error::new(ErrorKind::Bundle, cause);
        let temperature = policy.temperature;
        if !(temperature.is_finite() && temperature > 0.0) {
            return Err(refused(format!("the temperature is {temperature}")));
        }
        let verifier = policy.verification.as_ref();
        let verifier = verifier.map(|policy| Verifier::new(policy, classes));
        let familiarity = match &policy.familiarity {
            None => None,
            Some(familiarity) => {
                familiarity.check()?;
                let means = means.ok_or_else(|| {
                    refused("familiarity needs the member class_means.bin".to_owned())
                })?;
                Some((*familiarity, ClassMeans::from_bytes(means, classes.len())?))
            }
        };
        Ok(Judge {
            temperature,
            verifier: verifier.transpose()?,
            familiarity,
        })
    }

    /// How many features of the network it reads; 0: none.
    pub fn features(&self) -> usize {
        let familiarity = self.familiarity.as_ref();
        familiarity.map_or(0, |(_, means)| means.features())
    }

    /// Calibrated scores, 0 to 1, summing to 1.
    ///
    /// # Errors
    /// As [`softmax`].
    pub fn scores(&self, logits: &[f32]) -> Result<Vec<f32>> {
        if self.temperature == 1.0 {
            return softmax(logits);
        }
        // What is no number stays none, which softmax refuses by its place.
        let divided = |&logit: &f32| (f64::from(logit) / self.temperature) as f32;
        softmax(&logits.iter().map(divided).collect::<Vec<_>>())
    }

    /// How familiar a photo is, 0 to 1; `None` where the policy doesn't tell or there are no features.
    pub fn familiarity(&self, logits: &[f32], features: &[f32]) -> Option<f32> {
        let (policy, means) = self.familiarity.as_ref()?;
        if features.len() != means.features() {
            return None;
        }
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        Some(policy.familiarity(f64::from(largest), means.likeness(features)))
    }

    /// The verdict on a declared class, by calibrated scores.
    ///
    /// # Errors
    /// `InvalidArgument` where the policy has no thresholds for verdicts.
    pub fn verdict(
        &self,
        scores: &[f32],
        familiarity: Option<f32>,
        declared: usize,
    ) -> Result<Verdict> {
        let verifier = self.verifier.as_ref().ok_or_else(no_thresholds)?;
        Ok(verifier.verdict(scores, familiarity, declared))
    }

    /// The class that photos of `class` are most often taken for, where the policy tells.
    pub fn most_confusable(&self, class: usize) -> Option<usize> {
        self.verifier.as_ref()?.most_confusable(class)
    }

    /// What the photos of a listing say together.
    ///
    /// # Errors
    /// `InvalidArgument` where there is no photo, or one has another number of scores.
    pub fn fuse(&self, photos: &[Said<'_>]) -> Result<Fused> {
        let verifier = self.verifier.as_ref();
        listing::fuse(photos, |declared, other| {
            verifier.map_or(AHEAD, |verifier| verifier.ahead(declared, other))
        })
    }
}

fn no_thresholds() -> Error {
    let cause =
        "the bundle's policy has no thresholds for verdicts: etalase-trainer policy fits them";
    Error::new(ErrorKind::InvalidArgument, cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(temperature: f64) -> Result<Judge> {
        let policy = Policy {
            temperature,
            ..Policy::default()
        };
        Judge::new(&policy, &["a".to_owned(), "b".to_owned()], None)
    }

    #[test]
    fn a_temperature_below_one_sharpens() {
        let scores = judge(0.5).and_then(|judge| judge.scores(&[1.0, 0.0]));
        assert_eq!(
            scores.expect("scores"),
            softmax(&[2.0, 0.0]).expect("scores")
        );
        let plain = judge(1.0).and_then(|judge| judge.scores(&[0.3, 0.1]));
        assert_eq!(
            plain.expect("scores"),
            softmax(&[0.3, 0.1]).expect("scores")
        );
    }

    #[test]
    fn numbers_that_are_none_are_never_an_answer() {
        let judge = judge(0.5).expect("a judge");
        for bad in [f32::NAN, f32::INFINITY] {
            let error = judge.scores(&[0.0, bad]).expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::Model);
        }
    }

    #[test]
    fn senseless_policies_are_refused() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = judge(bad).expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::Bundle);
        }
        let none = judge(1.0).expect("a judge").verdict(&[0.5, 0.5], None, 0);
        let error = none.expect_err("no thresholds");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}
