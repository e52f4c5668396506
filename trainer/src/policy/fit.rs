//! A whole policy, from what a bundle answers to photos.

use anyhow::{Context, Result};
use etalase::Evidence;
use etalase::bundle::{Bundle, BundleWriter};
use etalase::decision::{ClassMeans, Judge, POLICY_VERSION, Policy};
use etalase::evaluation::{Seen, Verification, verification};
use serde_json::{Value, json};

use super::{Known, class_means, familiarity, scored, temperature, thresholds};

/// What a policy is to hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aims {
    /// The share of matches, and of mismatches, that is to be right.
    pub precision: f64,
    /// The share of photos of the bundle's classes that is to be familiar.
    pub pass: f64,
}

impl Default for Aims {
    fn default() -> Aims {
        Aims {
            precision: 0.98,
            pass: 0.95,
        }
    }
}

/// A policy, and what goes into the bundle with it.
pub struct Fitted {
    /// The policy.
    pub policy: Policy,
    /// What the thresholds of verdicts were fitted to, in words.
    pub verdicts: String,
    class_means: Vec<u8>,
    card: Value,
}

/// Fits the policy of a bundle to its answers to the photos that it was trained on and to `unseen` ones; the thresholds of
/// verdicts to out-of-fold answers, where there are some.
///
/// Errors: no photo of a class, features that tell nothing.
pub fn fit(
    bundle: &Bundle,
    training: &[Known],
    unseen: &[Known],
    out_of_fold: Option<&[Known]>,
    aims: Aims,
) -> Result<Fitted> {
    let classes = &bundle.manifest().classes;
    let of_bundle = temperature(unseen).context("the temperature")?;
    // Other networks' logits have a temperature of their own.
    let (scored, verdicts) = match out_of_fold {
        Some(answers) => (
            scored(answers, temperature(answers)?)?,
            format!("{} out-of-fold answers", answers.len()),
        ),
        None => (
            scored(unseen, of_bundle)?,
            format!("{} validation photos", unseen.len()),
        ),
    };
    let class_means = class_means(training, classes)?;
    let directions = ClassMeans::from_bytes(&class_means, classes.len())?;
    let policy = Policy {
        version: POLICY_VERSION,
        advice: bundle.policy().advice,
        temperature: of_bundle,
        verification: Some(thresholds(&scored, classes, aims.precision)?),
        familiarity: Some(familiarity(unseen, &directions, aims.pass)?),
    };
    let card = json!({
        "temperature_and_familiarity": format!("{} validation photos", unseen.len()),
        "verdicts": verdicts,
    });
    Ok(Fitted {
        policy,
        verdicts,
        class_means,
        card,
    })
}

impl Fitted {
    /// The bundle with this policy, which its card, made of `card`, tells of.
    pub fn applied(&self, bundle: &Bundle, mut card: Value) -> Result<BundleWriter> {
        if let Value::Object(members) = &mut card {
            members.insert("policy".into(), self.card.clone());
        }
        let writer = BundleWriter::from_bundle(bundle).card(card);
        Ok(writer
            .policy(&self.policy)?
            .class_means(self.class_means.clone()))
    }
}

/// What a policy's verdicts on photos of known classes are worth.
pub fn measure(judge: &Judge, photos: &[(usize, Evidence)]) -> Result<Verification> {
    let seen = photos
        .iter()
        .map(|(class, evidence)| Ok((*class, Seen::of(judge, evidence)?)));
    let seen = seen.collect::<Result<Vec<_>>>()?;
    Ok(verification(judge, &seen, &[])?)
}
