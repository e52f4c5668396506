//! How much a photo looks like those that the network was trained on: whether its answer is worth anything.
//!
//! Two signs, each counted in its own spread over photos that the network had not seen. The largest logit is small for
//! things of an unknown kind (Hendrycks et al. 2022, arXiv:1911.11132); the likeness, the cosine between the photo's
//! features and the nearest class's mean direction, is small for what is no such thing at all. The smaller of both
//! counts. Arithmetic is exact up to IEEE 754's roundings: the same on every platform.

use serde::{Deserialize, Serialize};

use super::exp;
use crate::error::{Error, ErrorKind, Result};

/// Of the logistic function: familiarity goes from a quarter to three quarters over 2.2 times as many spreads.
const WIDTH: f64 = 0.5;
/// What a photo at the threshold has.
const AT_THRESHOLD: f32 = 0.5;

/// What counts as familiar; fitted by `etalase-trainer policy`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FamiliarityPolicy {
    /// The share of photos of the bundle's categories that was to pass.
    pub pass: f64,
    /// From so many spreads off the mean on a photo is familiar.
    pub threshold: f64,
    /// Of the largest logit over photos that the network had not seen.
    pub largest_logit: Spread,
    /// Of the likeness over the same photos.
    pub likeness: Spread,
}

/// Mean and standard deviation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Standard deviation, above 0.
    pub deviation: f64,
}

impl Spread {
    fn of(&self, value: f64) -> f64 {
        (value - self.mean) / self.deviation
    }

    fn check(&self, name: &str) -> Result<()> {
        let sane = self.mean.is_finite() && self.deviation.is_finite() && self.deviation > 0.0;
        match sane {
            true => Ok(()),
            false => Err(wrong(format!(
                "{name} has mean {} and deviation {}",
                self.mean, self.deviation
            ))),
        }
    }
}

impl FamiliarityPolicy {
    pub(super) fn check(&self) -> Result<()> {
        self.largest_logit.check("familiarity.largest_logit")?;
        self.likeness.check("familiarity.likeness")?;
        let sane = self.threshold.is_finite() && (0.0..=1.0).contains(&self.pass);
        match sane {
            true => Ok(()),
            false => Err(wrong(format!(
                "familiarity has threshold {} and pass {}",
                self.threshold, self.pass
            ))),
        }
    }

    /// In spreads, the smaller of the two signs.
    pub fn spreads(&self, largest_logit: f64, likeness: f64) -> f64 {
        let (a, b) = (
            self.largest_logit.of(largest_logit),
            self.likeness.of(likeness),
        );
        a.min(b)
    }

    /// 0 (unfamiliar) to 1 (as in training).
    pub fn familiarity(&self, largest_logit: f64, likeness: f64) -> f32 {
        let from_threshold = self.spreads(largest_logit, likeness) - self.threshold;
        let x = from_threshold / WIDTH;
        // Of both forms of the logistic function the one whose power does not overflow.
        let power = exp(-x.abs());
        let share = match x < 0.0 {
            true => power / (1.0 + power),
            false => 1.0 / (1.0 + power),
        };
        share as f32
    }
}

/// Whether a photo of this familiarity is one that the network can say something about.
pub fn is_familiar(familiarity: f32) -> bool {
    familiarity >= AT_THRESHOLD
}

/// The classes' mean directions in the space of features: the member `class_means.bin`, `i8 [classes, features]`, each
/// row to a scale of its own.
#[derive(Clone, PartialEq)]
pub struct ClassMeans {
    rows: Vec<i8>,
    features: usize,
    lengths: Vec<f64>,
}

impl ClassMeans {
    /// From a row a class.
    ///
    /// # Errors
    /// `Bundle` where the bytes are no whole rows, or a row is zero.
    pub fn from_bytes(bytes: &[u8], classes: usize) -> Result<ClassMeans> {
        let features = bytes.len() / classes.max(1);
        if features == 0 || features * classes != bytes.len() {
            return Err(wrong_means(format!(
                "{} bytes are no row for each of {classes} classes",
                bytes.len()
            )));
        }
        let rows: Vec<i8> = bytes.iter().map(|byte| byte.cast_signed()).collect();
        let lengths: Vec<f64> = rows.chunks_exact(features).map(length).collect();
        match lengths.iter().position(|&length| length == 0.0) {
            Some(class) => Err(wrong_means(format!("the row of class {class} is zero"))),
            None => Ok(ClassMeans {
                rows,
                features,
                lengths,
            }),
        }
    }

    /// As [`ClassMeans::from_bytes`] takes them: each class's mean of features that were made as long as 1.
    pub fn bytes_of(means: &[Vec<f64>]) -> Vec<u8> {
        let row = |mean: &Vec<f64>| {
            let largest = mean
                .iter()
                .fold(0.0_f64, |most, value| most.max(value.abs()));
            let scale = if largest > 0.0 { 127.0 / largest } else { 0.0 };
            let levels: Vec<u8> = mean
                .iter()
                .map(|value| ((value * scale).round() as i8).cast_unsigned())
                .collect();
            levels
        };
        means.iter().flat_map(row).collect()
    }

    /// How many features a row holds.
    pub fn features(&self) -> usize {
        self.features
    }

    /// The cosine between `features` and the nearest row, -1 to 1; 0 where all features are 0.
    pub fn likeness(&self, features: &[f32]) -> f64 {
        let squares: f64 = features.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        if squares == 0.0 {
            return 0.0;
        }
        let rows = self.rows.chunks_exact(self.features).zip(&self.lengths);
        let products = rows.map(|(row, length)| {
            let product: f64 = row
                .iter()
                .zip(features)
                .map(|(&mean, &x)| f64::from(mean) * f64::from(x))
                .sum();
            product / length
        });
        products.fold(f64::NEG_INFINITY, f64::max) / squares.sqrt()
    }
}

impl std::fmt::Debug for ClassMeans {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClassMeans({} x {})", self.lengths.len(), self.features)
    }
}

fn length(row: &[i8]) -> f64 {
    let squares: f64 = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    squares.sqrt()
}

fn wrong(cause: String) -> Error {
    Error::new(ErrorKind::Bundle, cause)
}

fn wrong_means(cause: String) -> Error {
    wrong(cause).context("class_means.bin")
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: FamiliarityPolicy = FamiliarityPolicy {
        pass: 0.95,
        threshold: -2.0,
        largest_logit: Spread {
            mean: 4.0,
            deviation: 1.0,
        },
        likeness: Spread {
            mean: 0.8,
            deviation: 0.1,
        },
    };

    #[test]
    fn the_smaller_sign_counts_and_the_threshold_is_a_half() {
        assert_eq!(POLICY.familiarity(2.0, 0.8), 0.5);
        assert_eq!(POLICY.familiarity(4.0, 0.6), 0.5);
        assert!(POLICY.familiarity(4.0, 0.8) > 0.98);
        assert!(POLICY.familiarity(4.0, 0.1) < 0.001);
        assert!(POLICY.familiarity(9.0, 0.55) < 0.5);
        assert_eq!(POLICY.familiarity(-1e9, 0.8), 0.0);
        assert_eq!(POLICY.familiarity(1e9, 1e9), 1.0);
    }

    #[test]
    fn likeness_is_the_cosine_to_the_nearest_class() {
        let bytes = ClassMeans::bytes_of(&[vec![1.0, 0.0, 0.0], vec![0.0, 0.5, 0.5]]);
        assert_eq!(bytes, [127, 0, 0, 0, 127, 127]);
        let means = ClassMeans::from_bytes(&bytes, 2).expect("two rows");
        assert_eq!(means.features(), 3);
        assert!((means.likeness(&[0.0, 3.0, 3.0]) - 1.0).abs() < 1e-12);
        assert!((means.likeness(&[1.0, 1.0, 0.0]) - 0.5_f64.sqrt()).abs() < 1e-12);
        assert!((means.likeness(&[-2.0, 0.0, 0.0]) - 0.0).abs() < 1e-12);
        assert_eq!(means.likeness(&[0.0; 3]), 0.0);
    }

    #[test]
    fn rows_that_do_not_fit_are_refused() {
        for (bytes, cause) in [
            (&[1_u8, 2, 3][..], "3 bytes"),
            (&[], "0 bytes"),
            (&[1, 0], "class 1 is zero"),
        ] {
            let error = ClassMeans::from_bytes(bytes, 2).expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::Bundle);
            assert!(error.to_string().contains(cause), "{error}");
        }
    }
}
