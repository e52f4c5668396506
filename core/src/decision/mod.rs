//! From logits to what an app can act on: scores that hold as probabilities, whether a photo fits what its seller
//! declared ([`Verdict`]), whether the network knows such photos at all (familiarity), several photos of one listing
//! ([`Fused`]). [`Policy`] is what the bundle wants to be made of all this; [`Judge`] applies it.
//!
//! Softmax is ours, not the network's, for two reasons: tract 0.23.9 quantizes it
//! wrongly, and our `exp` uses only operations that IEEE 754 fixes to the last bit,
//! so equal logits give equal scores on every platform.

mod familiarity;
mod judge;
mod listing;
mod policy;
mod ranking;
mod verdict;

pub use familiarity::{ClassMeans, FamiliarityPolicy, Spread, is_familiar};
pub use judge::Judge;
pub use listing::{Fused, Odd, Said};
pub use policy::{Advice, AdvicePolicy, POLICY_VERSION, Policy};
pub use ranking::Ranking;
pub use verdict::{Reason, Verdict, VerdictKind, VerificationPolicy, class_named};

use crate::error::{Error, ErrorKind, Result};

/// Softmax: scores of 0 to 1 that sum to 1, in the order of `logits`.
///
/// # Errors
/// `InvalidArgument` where `logits` is empty; `Model` where one is not finite.
pub fn softmax(logits: &[f32]) -> Result<Vec<f32>> {
    if logits.is_empty() {
        return Err(Error::new(ErrorKind::InvalidArgument, "no logits"));
    }
    if let Some((class, logit)) = logits.iter().enumerate().find(|(_, x)| !x.is_finite()) {
        return Err(Error::new(
            ErrorKind::Model,
            format!("the network's logit {class} is {logit}"),
        ));
    }
    let mut scores = vec![0.0; logits.len()];
    softmax_into(logits, &mut scores);
    Ok(scores)
}

/// Softmax of finite `logits` into as many `scores`, without a heap allocation.
pub(crate) fn softmax_into(logits: &[f32], scores: &mut [f32]) {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    // In f64, so that neither the sum of many classes nor the quotient adds error.
    let power = |logit: f32| exp(f64::from(logit) - f64::from(max));
    let sum: f64 = logits.iter().map(|&logit| power(logit)).sum();
    for (score, &logit) in scores.iter_mut().zip(logits) {
        *score = (power(logit) / sum) as f32;
    }
}

/// The indices of the `k` largest scores (all, where there are fewer), best first;
/// equal scores in the order of their index.
pub fn top_k(scores: &[f32], k: usize) -> Vec<usize> {
    let mut ranked: Vec<(usize, f32)> = scores.iter().copied().enumerate().collect();
    // A stable sort keeps the order of equal ones.
    ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    ranked.into_iter().take(k).map(|(index, _)| index).collect()
}

/// `e^x` for `x` ≤ 0, within a few units of the last place of f64.
///
/// Written as 2^n · e^r with |r| ≤ ln 2 / 2, and e^r by its Taylor polynomial (14
/// terms: the remainder is below 2^-55). `f64::exp` would call the platform's
/// library, and those differ in the last bits.
fn exp(x: f64) -> f64 {
    // ln 2 in two parts, the first short enough for n · LN2_HIGH to be exact.
    const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    // What has no digits behind the point: adding it rounds to whole numbers.
    const WHOLE: f64 = 1.5 * (1_u64 << 52) as f64;
    let bounded = x.max(-700.0);
    let n = (bounded * std::f64::consts::LOG2_E + WHOLE) - WHOLE;
    let r = (bounded - n * LN2_HIGH) - n * LN2_LOW;
    let polynomial = TAYLOR.iter().rev().fold(0.0, |sum, term| sum * r + term);
    // n is in -1010..=0, so the biased exponent is positive.
    let power = polynomial * f64::from_bits(((n as i64 + 1023) as u64) << 52);
    if x < -700.0 { 0.0 } else { power }
}

/// 1 / k! for k from 0 to 14.
const TAYLOR: [f64; 15] = {
    let (mut terms, mut factorial, mut k) = ([1.0; 15], 1.0, 1);
    while k < terms.len() {
        factorial *= k as f64;
        terms[k] = 1.0 / factorial;
        k += 1;
    }
    terms
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_exact_to_f64() {
        for step in 0..70_000 {
            let x = -f64::from(step) / 100.0;
            let (ours, theirs) = (exp(x), x.exp());
            let error = (ours - theirs).abs() / theirs;
            assert!(error < 4.0 * f64::EPSILON, "exp({x}): {ours} and {theirs}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-1e9), 0.0);
    }

    #[test]
    fn softmax_by_hand() {
        // e^0 : e^(ln 2) : e^(ln 5) = 1 : 2 : 5
        let scores = softmax(&[0.0, 2.0_f32.ln(), 5.0_f32.ln()]).expect("finite");
        for (score, wanted) in scores.iter().zip([0.125, 0.25, 0.625]) {
            assert!((score - wanted).abs() < 1e-6, "{score} for {wanted}");
        }
    }

    #[test]
    fn softmax_keeps_to_its_range() {
        for logits in [
            [f32::MAX, f32::MIN, 0.0],
            [1e4, -1e4, 9e3],
            [-3.0, -3.0, -3.0],
        ] {
            let scores = softmax(&logits).expect("finite");
            assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)));
            assert!((scores.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn softmax_refuses_what_is_no_number() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let error = softmax(&[0.0, bad]).expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::Model);
            assert!(error.to_string().contains("logit 1"), "{error}");
        }
        let error = softmax(&[]).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }

    #[test]
    fn top_k_is_best_first_and_stable() {
        assert_eq!(top_k(&[0.1, 0.4, 0.4, 0.05], 3), [1, 2, 0]);
        assert_eq!(top_k(&[0.5, 0.5], 9), [0, 1]);
        assert_eq!(top_k(&[0.5, 0.5], 0), [] as [usize; 0]);
        assert_eq!(top_k(&[], 3), [] as [usize; 0]);
    }
}
