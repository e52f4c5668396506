//! The thresholds of verdicts: as low as the asked precision allows on declarations of photos with known answers.
//!
//! Each photo is declared twice, once rightly and once as the category that its own is most often taken for, which is
//! where sellers err and networks too.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use etalase::decision::{VerificationPolicy, top_k};

/// Categories are confusable where this share of the score of one's photos goes to the other.
const CONFUSABLE: f64 = 0.03;
/// Right and wrong declarations of a category from which on it gets a threshold of its own: a precision of 98 % then has
/// a standard error of less than a point.
const ENOUGH: usize = 300;

/// A match has at least this score: below a half another category may be likelier.
const LEAST_MATCH: f32 = 0.5;

/// A decision that could be made: by what score, whether it would be right, and what it weighs.
struct Decision {
    score: f32,
    right: bool,
    weight: f64,
}

/// Fits thresholds to calibrated scores with the photos' classes.
pub fn thresholds(
    photos: &[(usize, Vec<f32>)],
    classes: &[String],
    precision: f64,
) -> Result<VerificationPolicy> {
    let taken_for = taken_for(photos, classes)?;
    let decision = |score: f32, right: bool| Decision {
        score,
        right,
        weight: 1.0,
    };
    // Of each category: declarations of it.
    let mut declared: Vec<Vec<Decision>> = classes.iter().map(|_| Vec::new()).collect();
    let (mut ahead, mut ahead_confusable) = (Vec::new(), Vec::new());
    for (class, scores) in photos {
        let wrong = taken_for[*class][0];
        declared[*class].push(decision(scores[*class], true));
        declared[wrong].push(decision(scores[wrong], false));
        for as_what in [*class, wrong] {
            let best = best_but(scores, as_what);
            let distance = scores[best] - scores[as_what];
            ahead.push(decision(distance, as_what != *class));
            if taken_for[as_what].contains(&best) {
                ahead_confusable.push(decision(distance, as_what != *class));
            }
        }
    }
    let all: Vec<&Decision> = declared.iter().flatten().collect();
    let pooled = lowest(&all, precision);
    let match_from = classes.iter().zip(&mut declared).map(|(class, own)| {
        let rights = own.iter().filter(|decision| decision.right).count();
        let wrongs = own.len() - rights;
        let threshold = match rights >= ENOUGH && wrongs >= ENOUGH {
            true => {
                // Others are taken for some categories more often than those for others: half of the declarations are
                // wrong all the same.
                let wrong = own.iter_mut().filter(|decision| !decision.right);
                wrong.for_each(|decision| decision.weight = rights as f64 / wrongs as f64);
                lowest(&own.iter().collect::<Vec<_>>(), precision)
            }
            false => pooled,
        };
        (class.clone(), threshold.max(LEAST_MATCH))
    });
    let lowest_of =
        |decisions: &[Decision]| lowest(&decisions.iter().collect::<Vec<_>>(), precision);
    // Where every distance is precise enough, another category still has to be ahead.
    let mismatch_ahead = lowest_of(&ahead).max(0.0);
    let named = |class: &usize| classes[*class].clone();
    Ok(VerificationPolicy {
        precision,
        match_from: match_from.collect(),
        mismatch_ahead,
        // Never more lightly than for others.
        mismatch_ahead_confusable: lowest_of(&ahead_confusable).max(mismatch_ahead),
        confusable: classes
            .iter()
            .zip(&taken_for)
            .map(|(class, others)| (class.clone(), others.iter().map(named).collect()))
            .collect::<BTreeMap<_, _>>(),
    })
}

/// The best class but for one.
fn best_but(scores: &[f32], but: usize) -> usize {
    let two = top_k(scores, 2);
    if two[0] == but { two[1] } else { two[0] }
}

/// For each class those that it is taken for, by the share of its photos' scores that goes to them, the largest first;
/// at least one. Whom a class names names it back.
fn taken_for(photos: &[(usize, Vec<f32>)], classes: &[String]) -> Result<Vec<Vec<usize>>> {
    let count = classes.len();
    let mut shares = vec![vec![0.0_f64; count]; count];
    let mut of_class = vec![0_usize; count];
    for (class, scores) in photos {
        of_class[*class] += 1;
        for (share, &score) in shares[*class].iter_mut().zip(scores) {
            *share += f64::from(score);
        }
    }
    if let Some(class) = of_class.iter().position(|&photos| photos == 0) {
        anyhow::bail!("there is no photo of {} to fit verdicts to", classes[class]);
    }
    ensure!(count > 1, "one class alone cannot be told from others");
    for (row, &photos) in shares.iter_mut().zip(&of_class) {
        row.iter_mut().for_each(|share| *share /= photos as f64);
    }
    let mut taken_for: Vec<Vec<usize>> = Vec::new();
    for (class, row) in shares.iter().enumerate() {
        let mut others: Vec<usize> = (0..count).filter(|&other| other != class).collect();
        others.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
        let often = others
            .iter()
            .filter(|&&other| row[other] >= CONFUSABLE)
            .count();
        others.truncate(often.max(1));
        taken_for.push(others);
    }
    for class in 0..count {
        for other in taken_for[class].clone() {
            if !taken_for[other].contains(&class) {
                taken_for[other].push(class);
            }
        }
    }
    Ok(taken_for)
}

/// The lowest score from which on the decisions are right with the asked precision; above 1 where there is none.
fn lowest(decisions: &[&Decision], precision: f64) -> f32 {
    const NEVER: f32 = 1.01;
    let mut sorted = decisions.to_vec();
    sorted.sort_by(|a, b| b.score.total_cmp(&a.score));
    let (mut right, mut all, mut found) = (0.0, 0.0, NEVER);
    for (at, decision) in sorted.iter().enumerate() {
        all += decision.weight;
        if decision.right {
            right += decision.weight;
        }
        // Equal scores are decided alike.
        let last = sorted
            .get(at + 1)
            .is_none_or(|next| next.score < decision.score);
        if last && right >= precision * all {
            found = decision.score;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes() -> Vec<String> {
        ["hat", "shirt", "t-shirt"].map(String::from).to_vec()
    }

    /// Shirts and T-shirts look alike, hats like nothing else.
    fn photos() -> Vec<(usize, Vec<f32>)> {
        let mut photos = Vec::new();
        for at in 0..400 {
            let x = 0.5 + 0.5 * (at as f32 / 400.0);
            // One in ten of these is of the other class, but none of those that are sure.
            let swapped = at % 10 == 0 && x < 0.8;
            let class = |class: usize| if swapped { 3 - class } else { class };
            photos.push((class(1), vec![0.0, x, 1.0 - x]));
            photos.push((class(2), vec![0.0, 1.0 - x, x]));
            photos.push((0, vec![0.9, 0.1, 0.0]));
        }
        photos
    }

    #[test]
    fn thresholds_are_as_low_as_the_precision_allows() {
        let policy = thresholds(&photos(), &classes(), 0.98).unwrap();
        let shirt = policy.match_from["shirt"];
        // Of the sure ones none is swapped; a few more are worth two wrong in a hundred.
        assert!((0.6..0.8).contains(&shirt), "{shirt}");
        // Whom hats are taken for names them back, behind its own.
        assert_eq!(policy.confusable["shirt"], ["t-shirt", "hat"]);
        assert_eq!(policy.confusable["t-shirt"], ["shirt"]);
        assert_eq!(policy.confusable["hat"], ["shirt"]);
        assert!(policy.mismatch_ahead <= policy.mismatch_ahead_confusable);
        let strict = thresholds(&photos(), &classes(), 1.0).unwrap();
        assert!(strict.match_from["shirt"] > shirt);
        let lax = thresholds(&photos(), &classes(), 0.8).unwrap();
        assert!(lax.match_from["shirt"] < shirt);
        // Half of all declarations are wrong, so that any distance would do.
        let any = thresholds(&photos(), &classes(), 0.5).unwrap();
        assert_eq!(any.mismatch_ahead, 0.0);
    }

    #[test]
    fn a_precision_that_nothing_reaches_matches_nothing() {
        let decisions: Vec<Decision> = (0..10)
            .map(|at| Decision {
                score: 0.1 * at as f32,
                right: at % 2 == 0,
                weight: 1.0,
            })
            .collect();
        let decisions: Vec<&Decision> = decisions.iter().collect();
        assert!(lowest(&decisions, 0.99) > 1.0);
        assert_eq!(lowest(&decisions, 0.5), 0.0);
    }

    #[test]
    fn a_class_without_photos_is_named() {
        let error = thresholds(&[(0, vec![1.0, 0.0, 0.0])], &classes(), 0.98).unwrap_err();
        assert!(error.to_string().contains("shirt"), "{error}");
    }
}
