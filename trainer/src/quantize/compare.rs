//! How far the int8 network's answers are from the float network's.

use anyhow::{Result, ensure};
use etalase::{Engine, EngineOptions, Tensor as CoreTensor, TensorData};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::data::Dataset;
use crate::progress;

/// The logits of an int8 ONNX model for all photos, `[n, classes]`, as a phone computes them.
pub fn core_logits(model: &[u8], photos: &Dataset, what: &str) -> Result<Tensor> {
    let engine = Engine::from_onnx(model, &EngineOptions::default())?;
    let shape: Vec<usize> = engine.input_shape().to_vec();
    let bar = progress::bar(photos.len() as u64, what);
    let mut rows = Vec::with_capacity(photos.len() * engine.classes());
    for at in 0..photos.len() {
        let pixels = photos.slice(at, at + 1).0.flatten(0, -1);
        let input = CoreTensor::new(shape.clone(), TensorData::U8(Vec::try_from(pixels)?))?;
        rows.extend(engine.run(&input)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let sides = [photos.len() as i64, engine.classes() as i64];
    Ok(Tensor::from_slice(&rows).reshape(sides))
}

/// Answers of two networks to the same photos.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// How many photos.
    pub photos: usize,
    /// Share of photos that the float network gets right.
    pub float_accuracy: f64,
    /// Share of photos that the int8 network gets right.
    pub int8_accuracy: f64,
    /// Share of photos for which both name the same class.
    pub agreement: f64,
    /// Mean squared difference of the logits.
    pub mean_squared_error: f64,
    /// Power of the logits, without the mean of each class where there are several photos, over that of their
    /// differences, in decibels: a number, however small either is.
    pub signal_to_noise_db: f64,
    /// Where the two disagree, where that was asked for.
    #[serde(default)]
    pub categories: Vec<Disagreement>,
}

impl Comparison {
    /// Points of accuracy that int8 costs, the nearest number to what so many photos are.
    pub fn points_lost(&self) -> f64 {
        let lost = (self.float_accuracy - self.int8_accuracy) * self.photos as f64;
        100.0 * lost.round() / self.photos as f64
    }
}

/// Photos of one category that the two networks see differently.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Disagreement {
    /// The category.
    pub category: String,
    /// Its photos.
    pub photos: usize,
    /// For how many of them they name different classes.
    pub differ: usize,
    /// For how many of them only the float network is right.
    pub lost: usize,
    /// For how many of them only the int8 network is right.
    pub won: usize,
}

/// Where two networks' logits `[n, classes]` disagree, a row per class.
pub fn by_category(
    float: &Tensor,
    int8: &Tensor,
    targets: &Tensor,
    classes: &[String],
) -> Result<Vec<Disagreement>> {
    let top = |logits: &Tensor| Vec::<i64>::try_from(logits.argmax(1, false));
    let (float, int8, targets) = (top(float)?, top(int8)?, Vec::<i64>::try_from(targets)?);
    let rows = classes.iter().enumerate().map(|(class, category)| {
        let mut row = Disagreement {
            category: category.clone(),
            photos: 0,
            differ: 0,
            lost: 0,
            won: 0,
        };
        let answers = float.iter().zip(&int8).zip(&targets);
        for ((float, int8), &target) in answers.filter(|(_, target)| **target == class as i64) {
            row.photos += 1;
            row.differ += usize::from(float != int8);
            row.lost += usize::from(*float == target && *int8 != target);
            row.won += usize::from(*float != target && *int8 == target);
        }
        row
    });
    Ok(rows.collect())
}

/// Compares int8 logits `[n, classes]` with float ones.
pub fn compare(float: &Tensor, int8: &Tensor, targets: &Tensor) -> Result<Comparison> {
    ensure!(
        float.size() == int8.size(),
        "logits of shape {:?} and of {:?}",
        float.size(),
        int8.size()
    );
    let share = |same: Tensor| {
        same.to_kind(Kind::Double)
            .mean(Kind::Double)
            .double_value(&[])
    };
    let top = |logits: &Tensor| logits.argmax(1, false);
    let mean_of_squares = |x: Tensor| x.square().mean(Kind::Double).double_value(&[]);
    let error = mean_of_squares(int8 - float);
    let signal = mean_of_squares(match float.size()[0] {
        1 => float.shallow_clone(),
        _ => float - float.mean_dim(0_i64, true, Kind::Float),
    });
    let [signal, error_or_least] = [signal, error].map(|power| power.max(f64::MIN_POSITIVE));
    Ok(Comparison {
        photos: targets.size()[0] as usize,
        float_accuracy: share(top(float).eq_tensor(targets)),
        int8_accuracy: share(top(int8).eq_tensor(targets)),
        agreement: share(top(float).eq_tensor(&top(int8))),
        mean_squared_error: error,
        signal_to_noise_db: 10.0 * (signal.log10() - error_or_least.log10()),
        categories: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_a_small_case() {
        let float = Tensor::from_slice(&[3.0_f32, 1.0, -1.0, 1.0]).reshape([2, 2]);
        let int8 = Tensor::from_slice(&[3.0_f32, 1.2, 1.0, 0.9]).reshape([2, 2]);
        let targets = Tensor::from_slice(&[0_i64, 1]);
        let found = compare(&float, &int8, &targets).unwrap();
        assert_eq!(
            [found.float_accuracy, found.int8_accuracy, found.agreement],
            [1.0, 0.5, 0.5]
        );
        // 0, 0.2, 2, 0.1; the classes' means are 1 and 1, so the signal is 2, 0, 2, 0.
        let error = (0.04 + 4.0 + 0.01) / 4.0;
        assert!((found.mean_squared_error - error).abs() < 1e-6);
        let signal: f64 = (4.0 + 0.0 + 4.0 + 0.0) / 4.0;
        assert!((found.signal_to_noise_db - 10.0 * (signal / error).log10()).abs() < 1e-4);
        assert_eq!(found.points_lost(), 50.0);
        let classes = ["hat", "shoes"].map(String::from);
        let rows = by_category(&float, &int8, &targets, &classes).unwrap();
        let counts = |row: &Disagreement| [row.photos, row.differ, row.lost, row.won];
        assert_eq!(counts(&rows[0]), [1, 0, 0, 0]);
        assert_eq!(counts(&rows[1]), [1, 1, 1, 0]);
    }

    #[test]
    fn points_are_the_number_that_people_write() {
        for right in 3..=1000 {
            let found = Comparison {
                photos: 1000,
                float_accuracy: f64::from(right) / 1000.0,
                int8_accuracy: f64::from(right - 3) / 1000.0,
                agreement: 1.0,
                mean_squared_error: 0.0,
                signal_to_noise_db: 0.0,
                categories: Vec::new(),
            };
            assert_eq!(found.points_lost(), 0.3);
        }
    }

    #[test]
    fn one_photo_and_equal_logits_have_decibels_too() {
        let float = Tensor::from_slice(&[1.0_f32, 3.0]).reshape([1, 2]);
        let int8 = Tensor::from_slice(&[1.0_f32, 2.0]).reshape([1, 2]);
        let targets = Tensor::from_slice(&[0_i64]);
        let decibels = |int8| {
            let found = compare(&float, int8, &targets).unwrap();
            found.signal_to_noise_db
        };
        assert!((decibels(&int8) - 10.0).abs() < 1e-4);
        assert!(decibels(&float) > 1000.0 && decibels(&float).is_finite());
    }
}
