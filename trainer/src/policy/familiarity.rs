//! Where the familiar ends: the classes' mean features over the training photos, and how both signs of familiarity are
//! spread over photos that the network was not trained on.

use anyhow::{Context, Result, ensure};
use etalase::decision::{ClassMeans, FamiliarityPolicy, Spread};

use super::Known;

/// The member `class_means.bin`: each class's mean of features that were made as long as 1.
pub fn class_means(training: &[Known], classes: &[String]) -> Result<Vec<u8>> {
    let features = training.first().map_or(0, |seen| seen.features.len());
    ensure!(
        features > 0,
        "the network's last layer reads no vector: it has no features"
    );
    let mut means = vec![vec![0.0_f64; features]; classes.len()];
    let mut photos = vec![0_usize; classes.len()];
    for seen in training {
        let squares = seen.features.iter().map(|&x| f64::from(x).powi(2));
        let length = squares.sum::<f64>().sqrt();
        if length > 0.0 {
            photos[seen.class] += 1;
            for (mean, &x) in means[seen.class].iter_mut().zip(&seen.features) {
                *mean += f64::from(x) / length;
            }
        }
    }
    if let Some(class) = photos.iter().position(|&count| count == 0) {
        anyhow::bail!("there is no training photo of {}", classes[class]);
    }
    for (mean, &count) in means.iter_mut().zip(&photos) {
        mean.iter_mut().for_each(|value| *value /= count as f64);
    }
    Ok(ClassMeans::bytes_of(&means))
}

/// The policy by which the share `pass` of `unseen` photos is familiar.
pub fn familiarity(unseen: &[Known], means: &ClassMeans, pass: f64) -> Result<FamiliarityPolicy> {
    let signs: Vec<(f64, f64)> = unseen.iter().map(|seen| seen.signs(means)).collect();
    let mut policy = FamiliarityPolicy {
        pass,
        threshold: 0.0,
        largest_logit: spread(signs.iter().map(|sign| sign.0))?,
        likeness: spread(signs.iter().map(|sign| sign.1))?,
    };
    let mut spreads: Vec<f64> = signs.iter().map(|&(a, b)| policy.spreads(a, b)).collect();
    spreads.sort_by(f64::total_cmp);
    let passing = (pass * spreads.len() as f64).ceil() as usize;
    let threshold = spreads.get(spreads.len() - passing.clamp(1, spreads.len()));
    policy.threshold = *threshold.context("no photo")?;
    Ok(policy)
}

fn spread(values: impl Iterator<Item = f64> + Clone) -> Result<Spread> {
    let count = values.clone().count() as f64;
    ensure!(
        count > 1.0,
        "familiarity needs photos that the network was not trained on"
    );
    let mean = values.clone().sum::<f64>() / count;
    let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    ensure!(variance > 0.0, "all photos are alike to the network");
    Ok(Spread {
        mean,
        deviation: variance.sqrt(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(class: usize, logit: f32, features: [f32; 2]) -> Known {
        Known {
            class,
            logits: vec![logit, 0.0],
            features: features.to_vec(),
        }
    }

    #[test]
    fn the_asked_share_passes_and_strangers_do_not() {
        let classes = ["a".to_owned(), "b".to_owned()];
        let training = [
            seen(0, 5.0, [1.0, 0.0]),
            seen(0, 5.0, [8.0, 1.0]),
            seen(1, 5.0, [0.0, 3.0]),
        ];
        let bytes = class_means(&training, &classes).unwrap();
        let means = ClassMeans::from_bytes(&bytes, 2).unwrap();
        let unseen: Vec<_> = (0..100)
            .map(|at| seen(0, 3.0 + 0.01 * at as f32, [10.0, at as f32 / 25.0]))
            .collect();
        let policy = familiarity(&unseen, &means, 0.9).unwrap();
        let familiar = |seen: &Known| {
            let (largest, likeness) = seen.signs(&means);
            policy.familiarity(largest, likeness) >= 0.5
        };
        let passed = unseen.iter().filter(|&seen| familiar(seen)).count();
        assert_eq!(passed, 90);
        assert!(!familiar(&seen(0, 3.5, [-1.0, -1.0])));
        assert!(!familiar(&seen(0, 0.1, [1.0, 0.0])));
        let missing = class_means(&training[..2], &classes).unwrap_err();
        assert!(missing.to_string().contains("no training photo of b"));
    }
}
