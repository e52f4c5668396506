//! Which classes an answer names: the best few, those beyond a score, those that an app allows.
//!
//! A ranking hides classes and never touches a score: what is left does not become more likely because something
//! else was hidden.

use super::top_k;
use crate::error::{Error, ErrorKind, Result};

/// What is named of an answer. By default every class, best first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ranking {
    top: Option<usize>,
    minimum_score: f32,
    allowed: Option<Vec<usize>>,
    denied: Vec<usize>,
}

impl Ranking {
    /// The `k` best at most.
    #[must_use]
    pub fn top(mut self, k: usize) -> Ranking {
        self.top = Some(k);
        self
    }

    /// Only classes whose score is at least `score`.
    ///
    /// # Errors
    /// `InvalidArgument` where `score` is no number of 0 to 1.
    pub fn minimum_score(mut self, score: f32) -> Result<Ranking> {
        if !(0.0..=1.0).contains(&score) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("the minimum score is {score}; scores go from 0 to 1"),
            ));
        }
        self.minimum_score = score;
        Ok(self)
    }

    /// Only these classes, indices of the bundle's ([`super::class_named`] finds them).
    #[must_use]
    pub fn allow(mut self, classes: Vec<usize>) -> Ranking {
        self.allowed = Some(classes);
        self
    }

    /// None of these classes.
    #[must_use]
    pub fn deny(mut self, classes: Vec<usize>) -> Ranking {
        self.denied = classes;
        self
    }

    /// The classes that are named with their scores, best first; equal scores in the order of the classes.
    pub fn of(&self, scores: &[f32]) -> Vec<(usize, f32)> {
        let shown = |class: &usize| {
            let allowed = self.allowed.as_ref();
            allowed.is_none_or(|allowed| allowed.contains(class)) && !self.denied.contains(class)
        };
        top_k(scores, scores.len())
            .into_iter()
            .filter(shown)
            .filter_map(|class| Some((class, *scores.get(class)?)))
            .filter(|(_, score)| *score >= self.minimum_score)
            .take(self.top.unwrap_or(usize::MAX))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORES: [f32; 4] = [0.1, 0.5, 0.1, 0.3];

    fn classes(ranking: &Ranking) -> Vec<usize> {
        let ranked = ranking.of(&SCORES);
        assert!(ranked.iter().all(|&(class, score)| score == SCORES[class]));
        ranked.into_iter().map(|(class, _)| class).collect()
    }

    #[test]
    fn everything_by_default() {
        assert_eq!(classes(&Ranking::default()), [1, 3, 0, 2]);
    }

    #[test]
    fn what_is_hidden_leaves_scores_and_order_alone() {
        let ranking = Ranking::default();
        assert_eq!(classes(&ranking.clone().top(2)), [1, 3]);
        assert_eq!(classes(&ranking.clone().top(0)), [0; 0]);
        assert_eq!(classes(&ranking.clone().allow(vec![2, 3])), [3, 2]);
        assert_eq!(classes(&ranking.clone().allow(vec![])), [0; 0]);
        assert_eq!(classes(&ranking.clone().deny(vec![1])), [3, 0, 2]);
        assert_eq!(
            classes(&ranking.clone().allow(vec![1, 2]).deny(vec![1])),
            [2]
        );
        // The best two of those that are allowed, not the allowed ones of the best two.
        assert_eq!(classes(&ranking.clone().deny(vec![1]).top(2)), [3, 0]);
        let ranking = ranking.minimum_score(0.3).expect("a score");
        assert_eq!(classes(&ranking), [1, 3]);
    }

    #[test]
    fn a_minimum_that_is_no_score_is_refused() {
        for score in [-0.1, 1.1, f32::NAN] {
            let error = Ranking::default()
                .minimum_score(score)
                .expect_err("no score");
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        }
    }
}
