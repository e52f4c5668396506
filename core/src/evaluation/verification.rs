//! How good are a bundle's verdicts? Right and wrong declarations of photos whose category is known, photos of other
//! things, and the figures over them, each beside what a plain softmax of the same network gives.

use serde::{Deserialize, Serialize};

use crate::classifier::Evidence;
use crate::decision::{Judge, VerdictKind, is_familiar, softmax, top_k};
use crate::error::{Error, ErrorKind, Result};

/// Bins of equal mass, for calibration.
const BINS: usize = 15;
/// The share of known photos that passes, for the false positives among others.
const PASS: f64 = 0.95;

/// What a classifier said of a photo.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Calibrated scores.
    pub scores: Vec<f32>,
    /// The scores of a plain softmax.
    pub plain: Vec<f32>,
    /// As the answer has it.
    pub familiarity: Option<f32>,
}

impl Seen {
    /// What a judge makes of a network's evidence.
    ///
    /// # Errors
    /// `Model` where a logit is not finite.
    pub fn of(judge: &Judge, evidence: &Evidence) -> Result<Seen> {
        Ok(Seen {
            scores: judge.scores(&evidence.logits)?,
            plain: softmax(&evidence.logits)?,
            familiarity: judge.familiarity(&evidence.logits, &evidence.features),
        })
    }
}

/// Verdicts on declarations, half of them right, half wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Declarations {
    /// Of the right declarations, the share that got `match`.
    pub coverage: f64,
    /// Of the wrong ones, the share that got `mismatch`.
    pub mismatch_coverage: f64,
    /// Of all `match` and `mismatch`, the share that is right.
    pub precision: f64,
    /// Of `match` alone.
    pub match_precision: f64,
    /// Of `mismatch` alone.
    pub mismatch_precision: f64,
}

/// How well a sign tells known photos from others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Separation {
    /// The chance that a known photo's sign is above another's, ties as a half.
    pub auroc: f64,
    /// Of the others, the share that passes where 95 % of the known photos pass.
    pub fpr95: f64,
}

impl Separation {
    /// Of the signs of known photos and of others; `None` where either are none.
    pub fn of(known: &[f64], others: &[f64]) -> Option<Separation> {
        let enough = !known.is_empty() && !others.is_empty();
        enough.then(|| Separation {
            auroc: auroc(known, others),
            fpr95: passing(known, others),
        })
    }
}

/// One bin of the reliability diagram.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Photos in it.
    pub photos: usize,
    /// Their mean best score.
    pub score: f64,
    /// The share of them that the best class is right on.
    pub accuracy: f64,
}

/// The figures; as JSON, what `etalase eval --verify --json` prints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// Photos whose category is known.
    pub photos: usize,
    /// The share whose best class is right.
    pub accuracy: f64,
    /// Of right declarations, the share that gets `match`; wrong ones name the category that the photo's own is most
    /// often taken for.
    pub coverage: f64,
    /// Of `match` and `mismatch` on those declarations, the share that is right.
    pub verify_precision: f64,
    /// All figures of those declarations.
    pub declarations: Declarations,
    /// The same where each wrong declaration names the photo's own best wrong category: the hardest there is.
    pub hardest: Declarations,
    /// How well the declared category's score tells right from wrong, each photo declared as every category.
    pub mismatch_auroc: f64,
    /// The same by a plain softmax.
    pub mismatch_auroc_softmax: f64,
    /// Expected calibration error of the best score: 15 bins of equal mass, debiased (Kumar et al. 2019,
    /// arXiv:1909.10155, for the absolute error).
    pub ece: f64,
    /// The same by a plain softmax.
    pub ece_softmax: f64,
    /// The bins.
    pub reliability: Vec<ReliabilityBin>,
    /// Photos of other things.
    pub unfamiliar_photos: usize,
    /// How well familiarity tells known photos from those; `None` without such photos, or where the bundle doesn't tell.
    pub unfamiliar_auroc: Option<f64>,
    /// Of those, the share that passes where 95 % of the known photos pass.
    pub unfamiliar_fpr95: Option<f64>,
    /// AUROC by the best score of a plain softmax.
    pub unfamiliar_auroc_softmax: Option<f64>,
    /// The share that passes by it.
    pub unfamiliar_fpr95_softmax: Option<f64>,
    /// Of the known photos, the share that is familiar by the bundle's threshold.
    pub familiar: Option<f64>,
    /// The same of the others.
    pub unfamiliar_passing: Option<f64>,
}

/// Measures verdicts on `known` photos (with their class) and on `unfamiliar` ones.
///
/// # Errors
/// `InvalidArgument` where there is no known photo, a class is none, or the bundle gives no verdicts.
pub fn verification(
    judge: &Judge,
    known: &[(usize, Seen)],
    unfamiliar: &[Seen],
) -> Result<Verification> {
    let classes = known.first().map_or(0, |(_, seen)| seen.scores.len());
    let fits = |(class, seen): &(usize, Seen)| *class < classes && seen.scores.len() == classes;
    if classes < 2 || !known.iter().all(fits) {
        let cause = "there are no photos of known classes, or their scores don't fit";
        return Err(Error::new(ErrorKind::InvalidArgument, cause));
    }
    let most_confusable = |class: usize, seen: &Seen| {
        let learned = judge.most_confusable(class);
        learned.unwrap_or_else(|| best_other(&seen.scores, class))
    };
    let declarations = declarations(judge, known, most_confusable)?;
    let best = |scores: &[f32]| top_k(scores, 1).first().copied().unwrap_or_default();
    let top = |of: fn(&Seen) -> &[f32]| -> Vec<(f64, bool)> {
        let tops = known.iter().map(|(class, seen)| {
            let scores = of(seen);
            (score(scores, best(scores)), best(scores) == *class)
        });
        tops.collect()
    };
    let (calibrated, plain) = (top(|seen| &seen.scores), top(|seen| &seen.plain));
    let reliability = bins(&calibrated);
    let right = calibrated.iter().filter(|(_, right)| *right).count();
    let of_seen = |of: fn(&Seen) -> Option<f64>| {
        let known: Option<Vec<f64>> = known.iter().map(|(_, seen)| of(seen)).collect();
        let others: Option<Vec<f64>> = unfamiliar.iter().map(of).collect();
        known.zip(others).filter(|(_, others)| !others.is_empty())
    };
    let familiarity = of_seen(|seen| seen.familiarity.map(f64::from));
    let softmax = of_seen(|seen| {
        let most = seen.plain.iter().copied().fold(0.0, f32::max);
        Some(f64::from(most))
    });
    let apart = |(known, others): &(Vec<f64>, Vec<f64>)| Separation::of(known, others);
    let familiarity = familiarity.as_ref().and_then(apart);
    let softmax = softmax.as_ref().and_then(apart);
    Ok(Verification {
        photos: known.len(),
        accuracy: right as f64 / known.len() as f64,
        coverage: declarations.coverage,
        verify_precision: declarations.precision,
        declarations,
        hardest: self::declarations(judge, known, |class, seen| best_other(&seen.scores, class))?,
        mismatch_auroc: mismatch_auroc(known, |seen| &seen.scores),
        mismatch_auroc_softmax: mismatch_auroc(known, |seen| &seen.plain),
        ece: debiased_error(&reliability, known.len()),
        ece_softmax: debiased_error(&bins(&plain), known.len()),
        reliability,
        unfamiliar_photos: unfamiliar.len(),
        unfamiliar_auroc: familiarity.map(|found| found.auroc),
        unfamiliar_fpr95: familiarity.map(|found| found.fpr95),
        unfamiliar_auroc_softmax: softmax.map(|found| found.auroc),
        unfamiliar_fpr95_softmax: softmax.map(|found| found.fpr95),
        familiar: familiar(known.iter().map(|(_, seen)| seen)),
        unfamiliar_passing: familiar(unfamiliar.iter()),
    })
}

/// The share that is familiar; `None` of no photo, or where one's familiarity is not known.
fn familiar<'a>(photos: impl Iterator<Item = &'a Seen>) -> Option<f64> {
    let all: Option<Vec<f32>> = photos.map(|seen| seen.familiarity).collect();
    let all = all.filter(|all| !all.is_empty())?;
    let passed = all.iter().filter(|&&familiarity| is_familiar(familiarity));
    Some(passed.count() as f64 / all.len() as f64)
}

/// The best class but for one.
fn best_other(scores: &[f32], but: usize) -> usize {
    let two = top_k(scores, 2);
    two.into_iter().find(|&class| class != but).unwrap_or(but)
}

fn score(scores: &[f32], class: usize) -> f64 {
    f64::from(scores.get(class).copied().unwrap_or_default())
}

/// Each photo declared as its own class, and as what `wrongly` says.
fn declarations(
    judge: &Judge,
    known: &[(usize, Seen)],
    wrongly: impl Fn(usize, &Seen) -> usize,
) -> Result<Declarations> {
    // By whether the declaration is right: matches and mismatches.
    let (mut matches, mut mismatches) = ([0_usize; 2], [0_usize; 2]);
    for (class, seen) in known {
        for (right, declared) in [(1, *class), (0, wrongly(*class, seen))] {
            let verdict = judge.verdict(&seen.scores, seen.familiarity, declared)?;
            match verdict.kind {
                VerdictKind::Match => matches[right] += 1,
                VerdictKind::Mismatch => mismatches[right] += 1,
                VerdictKind::Unsure => {}
            }
        }
    }
    let share = |part: usize, of: usize| part as f64 / of.max(1) as f64;
    let [wrong_matches, right_matches] = matches;
    let [right_mismatches, wrong_mismatches] = mismatches;
    let matched = right_matches + wrong_matches;
    let mismatched = right_mismatches + wrong_mismatches;
    Ok(Declarations {
        coverage: share(right_matches, known.len()),
        mismatch_coverage: share(right_mismatches, known.len()),
        precision: share(right_matches + right_mismatches, matched + mismatched),
        match_precision: share(right_matches, matched),
        mismatch_precision: share(right_mismatches, mismatched),
    })
}

/// Each photo declared as every class, by the declared class's score.
fn mismatch_auroc(known: &[(usize, Seen)], scores: fn(&Seen) -> &[f32]) -> f64 {
    let (mut right, mut wrong) = (Vec::new(), Vec::new());
    for (class, seen) in known {
        for (declared, &score) in scores(seen).iter().enumerate() {
            let side = if declared == *class {
                &mut right
            } else {
                &mut wrong
            };
            side.push(f64::from(score));
        }
    }
    auroc(&right, &wrong)
}

/// The chance that one of `high` is above one of `low`, ties as a half.
fn auroc(high: &[f64], low: &[f64]) -> f64 {
    let mut low = low.to_vec();
    low.sort_by(f64::total_cmp);
    let above = high.iter().map(|value| {
        let below = low.partition_point(|other| other < value);
        let not_above = low.partition_point(|other| other <= value);
        (below + not_above) as f64 / 2.0
    });
    above.sum::<f64>() / (high.len() as f64 * low.len() as f64)
}

/// Of `others`, the share at or above the value that [`PASS`] of `known` reach.
fn passing(known: &[f64], others: &[f64]) -> f64 {
    let mut sorted = known.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let last = (known.len() as f64 * PASS).ceil() as usize;
    let Some(&threshold) = sorted.get(last.saturating_sub(1)) else {
        return 0.0;
    };
    let passed = others.iter().filter(|&&value| value >= threshold).count();
    passed as f64 / others.len() as f64
}

/// Best scores with whether they are right, in bins of equal mass.
fn bins(tops: &[(f64, bool)]) -> Vec<ReliabilityBin> {
    let mut sorted = tops.to_vec();
    sorted.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let bound = |bin: usize| sorted.len() * bin / BINS;
    let bin = |at: usize| {
        let inside = sorted.get(bound(at)..bound(at + 1)).unwrap_or_default();
        let photos = inside.len();
        let count = photos.max(1) as f64;
        ReliabilityBin {
            photos,
            score: inside.iter().map(|(score, _)| score).sum::<f64>() / count,
            accuracy: inside.iter().filter(|(_, right)| *right).count() as f64 / count,
        }
    };
    (0..BINS).map(bin).filter(|bin| bin.photos > 0).collect()
}

/// The mean distance of score and accuracy, less what chance adds to it: were each bin's accuracy drawn again around
/// itself, the distance would grow by about as much as it has grown already.
fn debiased_error(bins: &[ReliabilityBin], photos: usize) -> f64 {
    let error = |bin: &ReliabilityBin| {
        let distance = (bin.score - bin.accuracy).abs();
        let deviation = (bin.accuracy * (1.0 - bin.accuracy) / bin.photos as f64).sqrt();
        let again = mean_of_folded_normal(distance, deviation);
        bin.photos as f64 / photos as f64 * (2.0 * distance - again)
    };
    bins.iter().map(error).sum::<f64>().max(0.0)
}

/// The mean of |x| for x drawn from a normal distribution.
fn mean_of_folded_normal(mean: f64, deviation: f64) -> f64 {
    if deviation == 0.0 {
        return mean.abs();
    }
    let z = mean / deviation;
    let spread = deviation * (2.0 / std::f64::consts::PI).sqrt() * (-z * z / 2.0).exp();
    spread + mean * error_function(z / std::f64::consts::SQRT_2)
}

/// Within 1.5e-7 (Abramowitz & Stegun, 7.1.26).
fn error_function(x: f64) -> f64 {
    const TERMS: [f64; 5] = [
        0.254_829_592,
        -0.284_496_736,
        1.421_413_741,
        -1.453_152_027,
        1.061_405_429,
    ];
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let sum = TERMS.iter().rev().fold(0.0, |sum, term| (sum + term) * t);
    (1.0 - sum * (-x * x).exp()).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{Policy, VerificationPolicy};

    fn seen(scores: [f32; 3], familiarity: f32) -> Seen {
        Seen {
            scores: scores.to_vec(),
            plain: scores.to_vec(),
            familiarity: Some(familiarity),
        }
    }

    fn judge() -> Judge {
        let classes = ["a", "b", "c"].map(String::from);
        let policy = Policy {
            verification: Some(VerificationPolicy {
                precision: 0.98,
                match_from: classes.iter().map(|class| (class.clone(), 0.6)).collect(),
                mismatch_ahead: 0.5,
                mismatch_ahead_confusable: 0.5,
                confusable: [("a".to_owned(), vec!["c".to_owned()])].into(),
            }),
            ..Policy::default()
        };
        Judge::new(&policy, &classes, None).expect("a judge")
    }

    #[test]
    fn figures_by_hand() {
        let known = [
            // Matches as a; as c, which a is taken for, a mismatch; so too as b, its best other.
            (0, seen([0.7, 0.2, 0.1], 0.9)),
            // Taken for b: as b, which b's list doesn't tell and is its best other, a wrong match; as a a wrong mismatch.
            (0, seen([0.1, 0.8, 0.1], 0.8)),
            // Unfamiliar: nothing is said.
            (2, seen([0.0, 0.1, 0.9], 0.2)),
        ];
        let others = [seen([0.4, 0.3, 0.3], 0.1), seen([0.9, 0.0, 0.1], 0.85)];
        let found = verification(&judge(), &known, &others).expect("figures");
        assert_eq!(found.photos, 3);
        assert!((found.accuracy - 2.0 / 3.0).abs() < 1e-9);
        assert!((found.coverage - 1.0 / 3.0).abs() < 1e-9);
        // One match, right; mismatches: as c right twice (a is no c), as a wrong once.
        assert_eq!(found.declarations.match_precision, 1.0);
        assert!((found.declarations.mismatch_precision - 2.0 / 3.0).abs() < 1e-9);
        assert!((found.verify_precision - 3.0 / 4.0).abs() < 1e-9);
        assert!((found.hardest.match_precision - 0.5).abs() < 1e-9);
        // 0.9, 0.8 and 0.2 against 0.1 and 0.85.
        assert_eq!(found.unfamiliar_auroc, Some(4.0 / 6.0));
        assert_eq!(found.unfamiliar_fpr95, Some(0.5));
        assert_eq!(found.unfamiliar_auroc_softmax, Some(3.5 / 6.0));
        assert_eq!(found.familiar, Some(2.0 / 3.0));
        assert_eq!(found.unfamiliar_passing, Some(0.5));
    }

    #[test]
    fn calibrated_scores_have_no_error_and_bold_ones_have() {
        // In each bin of a hundred the share that is right is the score.
        let scores = (0..1500).map(|at| (0.5 + f64::from(at / 100) / 30.0, at));
        let tops: Vec<(f64, bool)> = scores
            .map(|(score, at)| (score, f64::from(at % 100) < score * 100.0))
            .collect();
        assert!(debiased_error(&bins(&tops), tops.len()) < 0.01);
        let bold: Vec<(f64, bool)> = tops.iter().map(|&(_, right)| (1.0, right)).collect();
        let error = debiased_error(&bins(&bold), bold.len());
        assert!((error - 0.27).abs() < 0.02, "{error}");
    }

    #[test]
    fn the_error_function_and_the_folded_mean() {
        assert!((error_function(1.0) - 0.842_700_79).abs() < 2e-7);
        assert!((error_function(-0.5) + 0.520_499_88).abs() < 2e-7);
        assert!((mean_of_folded_normal(0.0, 1.0) - 0.797_884_56).abs() < 1e-7);
        assert!((mean_of_folded_normal(3.0, 0.1) - 3.0).abs() < 1e-7);
    }

    #[test]
    fn ties_count_half() {
        assert_eq!(auroc(&[1.0, 2.0], &[1.0, 0.0]), 0.875);
    }
}
