//! How a network takes photos of a class that it has never seen: is it unfamiliar?
//!
//! Harder than photos of groceries or rooms: a class that is left out looks like those that are not. Nothing of it was
//! trained on or fitted to, so all its photos count.

use anyhow::{Context, Result, ensure};
use etalase::decision::{ClassMeans, softmax};
use etalase::evaluation::Separation;
use serde::{Deserialize, Serialize};
use tch::no_grad;

use crate::backbones::Normalization;
use crate::data::Dataset;
use crate::network::{Mode, Network};
use crate::policy::{Known, class_means, familiarity};
use crate::progress;
use crate::train::measure::{batch, normalize};

/// Name of the figures in a folder.
pub const LEAVE_ONE_CLASS_OUT: &str = "leave_one_class_out.json";

/// The share of known photos that the policy lets pass. Only its threshold depends on it, which no figure here does.
const PASS: f64 = 0.95;

/// The figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeaveOneClassOut {
    /// Each class's own.
    pub classes: Vec<LeftOut>,
    /// Their mean.
    pub mean: Signs,
}

/// The figures of the network that one class was left out of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The class.
    pub class: String,
    /// Its photos.
    pub photos: usize,
    /// Validation photos of the other classes, from which it is told.
    pub known: usize,
    /// The share of those whose best class is right.
    pub accuracy: f64,
    /// How well it is told.
    pub signs: Signs,
}

/// How well each sign tells photos of a class left out from those of the others.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signs {
    /// What a bundle's policy goes by: of the next two the smaller, each in its own spread.
    pub familiarity: Separation,
    /// The largest logit.
    pub largest_logit: Separation,
    /// The cosine to the nearest class's mean features.
    pub likeness: Separation,
    /// The best score of a plain softmax, to compare.
    pub softmax: Separation,
}

impl LeaveOneClassOut {
    /// Of each class's figures.
    ///
    /// Errors: no class.
    pub fn of(classes: Vec<LeftOut>) -> Result<LeaveOneClassOut> {
        ensure!(!classes.is_empty(), "no class was left out");
        let mean = |of: fn(&Signs) -> &Separation| {
            let sum = |value: fn(&Separation) -> f64| {
                let each = classes.iter().map(|class| value(of(&class.signs)));
                each.sum::<f64>() / classes.len() as f64
            };
            Separation {
                auroc: sum(|found| found.auroc),
                fpr95: sum(|found| found.fpr95),
            }
        };
        let mean = Signs {
            familiarity: mean(|signs| &signs.familiarity),
            largest_logit: mean(|signs| &signs.largest_logit),
            likeness: mean(|signs| &signs.likeness),
            softmax: mean(|signs| &signs.softmax),
        };
        Ok(LeaveOneClassOut { classes, mean })
    }
}

/// What a network answers to photos, and the features behind it, in its own number format. Its layers below the features
/// are to be frozen.
pub fn look(
    network: &Network,
    photos: &Dataset,
    normalization: Normalization,
    what: &str,
) -> Result<Vec<Known>> {
    let bar = progress::bar(photos.len() as u64, what);
    let mut seen = Vec::with_capacity(photos.len());
    let rows = |tensor: &tch::Tensor| Vec::<Vec<f32>>::try_from(tensor.flatten(1, -1));
    let batch = batch(network);
    for from in (0..photos.len()).step_by(batch) {
        let (pixels, classes) = photos.slice(from, (from + batch).min(photos.len()));
        let pixels = normalize(&pixels.to_device(network.device()), normalization);
        let (features, logits) = no_grad(|| {
            let features = network.trunk(&pixels)?;
            let logits = network.rest(&features, Mode::Eval)?;
            Ok::<_, anyhow::Error>((features, logits))
        })?;
        let [features] = features.as_slice() else {
            anyhow::bail!("the last layer reads {} values", features.len());
        };
        let classes = Vec::<i64>::try_from(&classes)?;
        let each = classes.iter().zip(rows(&logits)?).zip(rows(features)?);
        seen.extend(each.map(|((&class, logits), features)| Known {
            class: class as usize,
            logits,
            features,
        }));
        bar.inc(classes.len() as u64);
    }
    bar.finish_and_clear();
    Ok(seen)
}

/// Familiarity fitted as a bundle's is, on `training` and `known` photos of `classes`, and how well it tells `strangers`.
pub fn measure(
    training: &[Known],
    known: &[Known],
    strangers: &[Known],
    classes: &[String],
) -> Result<Signs> {
    let means = ClassMeans::from_bytes(&class_means(training, classes)?, classes.len())?;
    let policy = familiarity(known, &means, PASS)?;
    let apart = |sign: &dyn Fn(&Known) -> Result<f64>| -> Result<Separation> {
        let of = |photos: &[Known]| photos.iter().map(sign).collect::<Result<Vec<f64>>>();
        let found = Separation::of(&of(known)?, &of(strangers)?);
        found.context("there are no photos to tell apart")
    };
    Ok(Signs {
        familiarity: apart(&|seen| {
            let (largest, likeness) = seen.signs(&means);
            Ok(policy.spreads(largest, likeness))
        })?,
        largest_logit: apart(&|seen| Ok(seen.signs(&means).0))?,
        likeness: apart(&|seen| Ok(seen.signs(&means).1))?,
        softmax: apart(&|seen| {
            let scores = softmax(&seen.logits)?;
            Ok(f64::from(scores.into_iter().fold(0.0, f32::max)))
        })?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(class: usize, logits: [f32; 2], features: [f32; 2]) -> Known {
        Known {
            class,
            logits: logits.into(),
            features: features.into(),
        }
    }

    #[test]
    fn what_one_sign_misses_the_smaller_of_both_tells() {
        let classes = ["a", "b"].map(str::to_owned);
        let training = [
            seen(0, [9.0, 0.0], [1.0, 0.0]),
            seen(1, [0.0, 9.0], [0.0, 1.0]),
        ];
        let known: Vec<Known> = (0..20)
            .map(|at| {
                seen(
                    0,
                    [5.0 + 0.1 * at as f32, 0.0],
                    [1.0, 0.01 + 0.01 * at as f32],
                )
            })
            .collect();
        // One with small logits, sure as a softmax may be; one of features between both classes'.
        let strangers = [
            seen(0, [0.0, -9.0], [1.0, 0.0]),
            seen(0, [7.0, 0.0], [1.0, 1.0]),
        ];
        let signs = measure(&training, &known, &strangers, &classes).unwrap();
        assert_eq!(
            (signs.familiarity.auroc, signs.familiarity.fpr95),
            (1.0, 0.0)
        );
        assert_eq!(
            (signs.largest_logit.auroc, signs.likeness.auroc),
            (0.5, 0.5)
        );
        assert!(signs.softmax.auroc < 0.5);
        let class = |familiarity: f64| LeftOut {
            class: "c".into(),
            photos: 2,
            known: 20,
            accuracy: 1.0,
            signs: Signs {
                familiarity: Separation {
                    auroc: familiarity,
                    fpr95: 0.0,
                },
                ..signs
            },
        };
        let all = LeaveOneClassOut::of(vec![class(1.0), class(0.5)]).unwrap();
        assert_eq!(all.mean.familiarity.auroc, 0.75);
        assert_eq!(all.mean.softmax, signs.softmax);
        assert!(LeaveOneClassOut::of(Vec::new()).is_err());
    }
}
