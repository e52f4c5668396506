//! Where the familiar ends: the classes' mean features over the training photos, and how both signs of familiarity are
//! spread over photos that the network was not trained on.

use anyhow::{Context, Result, ensure};
use etalase::Evidence;
use etalase::decision::{ClassMeans, FamiliarityPolicy, Spread};

/// The member `class_means.bin`: each class's mean of features that were made as long as 1.
pub fn class_means(training: &[(usize, Evidence)], classes: &[String]) -> Result<Vec<u8>> {
    let features = training.first().map_or(0, |(_, seen)| seen.features.len());
    ensure!(
        features > 0,
        "the network's last layer reads no vector: it has no features"
    );
    let mut means = vec![vec![0.0_f64; features]; classes.len()];
    let mut photos = vec![0_usize; classes.len()];
    for (class, evidence) in training {
        let squares = evidence.features.iter().map(|&x| f64::from(x).powi(2));
        let length = squares.sum::<f64>().sqrt();
        if length > 0.0 {
            photos[*class] += 1;
            for (mean, &x) in means[*class].iter_mut().zip(&evidence.features) {
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
pub fn familiarity(
    unseen: &[(usize, Evidence)],
    means: &ClassMeans,
    pass: f64,
) -> Result<FamiliarityPolicy> {
    let signs: Vec<(f64, f64)> = unseen
        .iter()
        .map(|(_, evidence)| {
            let largest = evidence
                .logits
                .iter()
                .copied()
                .fold(f32::NEG_INFINITY, f32::max);
            (f64::from(largest), means.likeness(&evidence.features))
        })
        .collect();
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
    use etalase::photo::{Fit, Image, Photo};

    fn seen(class: usize, logit: f32, features: [f32; 2]) -> (usize, Evidence) {
        let image = Image::from_rgb(1, 1, vec![0; 3]).unwrap();
        let fitted = Photo::from(&image).fit(1, 1, Fit::Stretch, [0; 3]).unwrap();
        let evidence = Evidence {
            logits: vec![logit, 0.0],
            features: features.to_vec(),
            measures: fitted.measures,
            notes: Vec::new(),
            decode_ms: 0.0,
            run_ms: 0.0,
        };
        (class, evidence)
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
        let familiar = |(_, seen): &(usize, Evidence)| {
            let largest = f64::from(seen.logits[0]);
            policy.familiarity(largest, means.likeness(&seen.features)) >= 0.5
        };
        let passed = unseen.iter().filter(|&seen| familiar(seen)).count();
        assert_eq!(passed, 90);
        assert!(!familiar(&seen(0, 3.5, [-1.0, -1.0])));
        assert!(!familiar(&seen(0, 0.1, [1.0, 0.0])));
        let missing = class_means(&training[..2], &classes).unwrap_err();
        assert!(missing.to_string().contains("no training photo of b"));
    }
}
