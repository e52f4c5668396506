//! The temperature: logits divided by it give scores under which the photos' classes are the least surprising
//! (Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv:1706.04599).

use anyhow::{Result, ensure};

use super::{Known, scored};

/// Where it is looked for, as powers of e.
const RANGE: (f64, f64) = (-3.0, 3.0);
const STEPS: usize = 60;

/// The best temperature.
pub fn temperature(answers: &[Known]) -> Result<f64> {
    ensure!(
        !answers.is_empty(),
        "there is no photo to fit the temperature to"
    );
    // The surprise is convex in 1 / T, so that it has one lowest place: golden-section search finds it.
    let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = RANGE;
    let at = |x: f64| surprise(answers, x.exp());
    let mut left = (high - golden * (high - low), 0.0);
    let mut right = (low + golden * (high - low), 0.0);
    (left.1, right.1) = (at(left.0)?, at(right.0)?);
    for _ in 0..STEPS {
        if left.1 < right.1 {
            high = right.0;
            right = left;
            left.0 = high - golden * (high - low);
            left.1 = at(left.0)?;
        } else {
            low = left.0;
            left = right;
            right.0 = low + golden * (high - low);
            right.1 = at(right.0)?;
        }
    }
    Ok(((low + high) / 2.0).exp())
}

/// Mean negative logarithm of the right class's score.
fn surprise(answers: &[Known], temperature: f64) -> Result<f64> {
    let sum: f64 = scored(answers, temperature)?
        .iter()
        .map(|(class, scores)| -f64::from(scores[*class].max(f32::MIN_POSITIVE)).ln())
        .sum();
    Ok(sum / answers.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two classes whose logits are right as often as `softmax(logits / 2)` says.
    #[test]
    fn logits_that_are_twice_too_bold_get_two() {
        let answers = (0..1000).flat_map(|at| {
            let gap = 0.02 * f64::from(at % 200);
            let share = 1.0 / (1.0 + (-gap).exp());
            let rights = (share * 100.0).round() as usize;
            (0..100).map(move |n| Known {
                class: usize::from(n >= rights),
                logits: vec![2.0 * gap as f32, 0.0],
                features: Vec::new(),
            })
        });
        let found = temperature(&answers.collect::<Vec<_>>()).unwrap();
        assert!((found - 2.0).abs() < 0.02, "{found}");
        assert!(temperature(&[]).is_err());
    }
}
