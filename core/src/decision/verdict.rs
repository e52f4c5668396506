//! Does the photo fit what its seller says it sells?
//!
//! Two thresholds on calibrated scores decide, fitted for a precision on photos of senders whom the network had not seen
//! (`etalase-trainer policy`). From the first on, the declared category's own score makes a match. Another category so
//! far ahead of the declared one as the second says makes a mismatch; further where the two are often taken for each
//! other. What lies between, and what the network does not know, is for a person.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::familiarity::is_familiar;
use super::top_k;
use crate::error::{Error, ErrorKind, Result};

/// Thresholds of verdicts; categories by their canonical names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerificationPolicy {
    /// The share of matches, and of mismatches, that was to be right.
    pub precision: f64,
    /// From this score on the declared category is a match; one for each category.
    pub match_from: BTreeMap<String, f32>,
    /// Another category's score is so much higher: a mismatch.
    pub mismatch_ahead: f32,
    /// The same for two categories that are often taken for each other.
    pub mismatch_ahead_confusable: f32,
    /// For each category, those it is taken for, the most frequent first. Whoever names another names it back.
    pub confusable: BTreeMap<String, Vec<String>>,
}

/// What a declaration deserves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum VerdictKind {
    /// The photo shows what was declared.
    Match,
    /// It shows another category.
    Mismatch,
    /// A person should look.
    Unsure,
}

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// The declared category's score is high enough.
    DeclaredIsLikely,
    /// Another category's score is far ahead.
    AnotherIsLikely,
    /// Neither is.
    CloseCall,
    /// The photo is unlike those that the network was trained on: its scores mean little.
    Unfamiliar,
}

/// The verdict on a declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// What it comes to.
    pub kind: VerdictKind,
    /// Why.
    pub reason: Reason,
    /// The best category, where that is another than the declared one and the photo is familiar: an index of the classes.
    pub suggested: Option<usize>,
}

impl VerdictKind {
    /// A stable name: `match`, `mismatch`, `unsure`.
    pub fn as_str(self) -> &'static str {
        match self {
            VerdictKind::Match => "match",
            VerdictKind::Mismatch => "mismatch",
            VerdictKind::Unsure => "unsure",
        }
    }
}

impl Reason {
    /// A stable name in snake case.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::DeclaredIsLikely => "declared_is_likely",
            Reason::AnotherIsLikely => "another_is_likely",
            Reason::CloseCall => "close_call",
            Reason::Unfamiliar => "unfamiliar",
        }
    }
}

/// The thresholds by the index of their class.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verifier {
    match_from: Vec<f32>,
    ahead: f32,
    ahead_confusable: f32,
    confusable: Vec<Vec<usize>>,
}

impl Verifier {
    /// Refuses names that are no class, classes without a threshold, and numbers that are no scores.
    pub(super) fn new(policy: &VerificationPolicy, classes: &[String]) -> Result<Verifier> {
        let index = |name: &String| {
            let found = classes.iter().position(|class| class == name);
            found.ok_or_else(|| wrong(format!("it names {name:?}, which is no class")))
        };
        for name in policy.match_from.keys() {
            index(name)?;
        }
        let match_from = classes.iter().map(|class| {
            let threshold = policy.match_from.get(class).copied();
            threshold.ok_or_else(|| wrong(format!("match_from has nothing for {class:?}")))
        });
        let match_from = match_from.collect::<Result<Vec<f32>>>()?;
        let mut confusable = vec![Vec::new(); classes.len()];
        for (name, others) in &policy.confusable {
            let others = others.iter().map(index).collect::<Result<Vec<usize>>>()?;
            if let Some(place) = confusable.get_mut(index(name)?) {
                *place = others;
            }
        }
        let distances = [policy.mismatch_ahead, policy.mismatch_ahead_confusable];
        let thresholds = match_from.iter().chain(&distances);
        if let Some(bad) = thresholds.into_iter().find(|x| !(0.0..=2.0).contains(*x)) {
            return Err(wrong(format!("{bad} is no threshold of scores")));
        }
        Ok(Verifier {
            match_from,
            ahead: policy.mismatch_ahead,
            ahead_confusable: policy.mismatch_ahead_confusable,
            confusable,
        })
    }

    /// The verdict on `declared`, a class, by calibrated scores.
    pub(super) fn verdict(
        &self,
        scores: &[f32],
        familiarity: Option<f32>,
        declared: usize,
    ) -> Verdict {
        let score = |class: usize| scores.get(class).copied().unwrap_or_default();
        if familiarity.is_some_and(|familiarity| !is_familiar(familiarity)) {
            return Verdict {
                kind: VerdictKind::Unsure,
                reason: Reason::Unfamiliar,
                suggested: None,
            };
        }
        let best = top_k(scores, 1).first().copied();
        let another = best.filter(|&best| best != declared);
        let of_verdict = |kind, reason| Verdict {
            kind,
            reason,
            suggested: another,
        };
        let threshold = self.match_from.get(declared).copied();
        if threshold.is_some_and(|threshold| score(declared) >= threshold) {
            return of_verdict(VerdictKind::Match, Reason::DeclaredIsLikely);
        }
        let far_ahead = another
            .is_some_and(|other| score(other) - score(declared) >= self.ahead(declared, other));
        match far_ahead {
            true => of_verdict(VerdictKind::Mismatch, Reason::AnotherIsLikely),
            false => of_verdict(VerdictKind::Unsure, Reason::CloseCall),
        }
    }

    /// How far `other` must be ahead of `declared`.
    pub(super) fn ahead(&self, declared: usize, other: usize) -> f32 {
        let confusable = self.confusable.get(declared);
        match confusable.is_some_and(|all| all.contains(&other)) {
            true => self.ahead_confusable,
            false => self.ahead,
        }
    }

    /// The class that `class` is most often taken for.
    pub(super) fn most_confusable(&self, class: usize) -> Option<usize> {
        self.confusable.get(class)?.first().copied()
    }
}

/// The class that `label` names.
///
/// # Errors
/// `InvalidArgument` where it names none, with the nearest ones.
pub fn class_named(label: &str, classes: &[String]) -> Result<usize> {
    if let Some(class) = classes.iter().position(|class| class == label) {
        return Ok(class);
    }
    let mut near: Vec<(f64, &String)> = classes
        .iter()
        .map(|class| {
            let alike = strsim::jaro_winkler(&label.to_lowercase(), &class.to_lowercase());
            (alike, class)
        })
        .collect();
    near.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let near: Vec<&str> = near
        .iter()
        .take(3)
        .map(|(_, class)| class.as_str())
        .collect();
    Err(Error::new(
        ErrorKind::InvalidArgument,
        format!(
            "{label:?} is no class of the bundle; the nearest are {}",
            near.join(", ")
        ),
    ))
}

fn wrong(cause: String) -> Error {
    Error::new(ErrorKind::Bundle, cause).context("verification")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes() -> Vec<String> {
        ["hat", "shirt", "t-shirt"].map(String::from).to_vec()
    }

    fn policy() -> VerificationPolicy {
        let thresholds = [("hat", 0.5), ("shirt", 0.8), ("t-shirt", 0.7)];
        let pair = |a: &str, b: &str| (a.to_owned(), vec![b.to_owned()]);
        VerificationPolicy {
            precision: 0.98,
            match_from: thresholds.map(|(name, x)| (name.to_owned(), x)).into(),
            mismatch_ahead: 0.4,
            mismatch_ahead_confusable: 0.9,
            confusable: [pair("shirt", "t-shirt"), pair("t-shirt", "shirt")].into(),
        }
    }

    fn verdict(scores: [f32; 3], declared: usize) -> (VerdictKind, Reason, Option<usize>) {
        let verifier = Verifier::new(&policy(), &classes()).expect("a policy");
        let Verdict {
            kind,
            reason,
            suggested,
        } = verifier.verdict(&scores, Some(0.9), declared);
        (kind, reason, suggested)
    }

    #[test]
    fn thresholds_decide_and_confusable_pairs_need_more() {
        use Reason::{AnotherIsLikely, CloseCall, DeclaredIsLikely};
        use VerdictKind::{Match, Mismatch, Unsure};
        let cases = [
            ([0.5, 0.3, 0.2], 0, (Match, DeclaredIsLikely, None)),
            ([0.49, 0.31, 0.2], 0, (Unsure, CloseCall, None)),
            ([0.1, 0.85, 0.05], 0, (Mismatch, AnotherIsLikely, Some(1))),
            ([0.35, 0.6, 0.05], 0, (Unsure, CloseCall, Some(1))),
            // As far ahead, but the two are often taken for each other.
            ([0.1, 0.85, 0.05], 2, (Unsure, CloseCall, Some(1))),
            ([0.01, 0.97, 0.02], 2, (Mismatch, AnotherIsLikely, Some(1))),
        ];
        for (scores, declared, wanted) in cases {
            assert_eq!(verdict(scores, declared), wanted, "{scores:?} {declared}");
        }
    }

    #[test]
    fn nothing_is_said_of_what_is_unfamiliar() {
        let verifier = Verifier::new(&policy(), &classes()).expect("a policy");
        let verdict = verifier.verdict(&[1.0, 0.0, 0.0], Some(0.49), 0);
        assert_eq!(
            (verdict.kind, verdict.reason, verdict.suggested),
            (VerdictKind::Unsure, Reason::Unfamiliar, None)
        );
        let unknown = verifier.verdict(&[1.0, 0.0, 0.0], None, 0);
        assert_eq!(unknown.kind, VerdictKind::Match);
    }

    #[test]
    fn policies_of_other_classes_are_refused() {
        let changed = |change: fn(&mut VerificationPolicy)| {
            let mut policy = policy();
            change(&mut policy);
            let error = Verifier::new(&policy, &classes()).expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::Bundle);
            error.to_string()
        };
        let missing = changed(|p| p.match_from.retain(|name, _| name != "hat"));
        assert!(missing.contains("nothing for \"hat\""), "{missing}");
        let foreign = changed(|p| p.match_from.extend([("sofa".to_owned(), 0.5)]));
        assert!(foreign.contains("\"sofa\""), "{foreign}");
        let foreign = changed(|p| {
            p.confusable
                .extend([("hat".to_owned(), vec!["sofa".to_owned()])])
        });
        assert!(foreign.contains("\"sofa\""), "{foreign}");
        let senseless = changed(|p| p.mismatch_ahead = f32::NAN);
        assert!(senseless.contains("NaN"), "{senseless}");
    }

    #[test]
    fn an_unknown_label_is_answered_with_near_ones() {
        assert_eq!(class_named("shirt", &classes()).expect("known"), 1);
        let error = class_named("T-Shirts", &classes()).expect_err("unknown");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("nearest are t-shirt"), "{error}");
    }
}
