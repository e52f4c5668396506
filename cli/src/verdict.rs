//! Verdicts on declarations, as JSON and in words.

use etalase::Verdict;
use etalase::decision::{Reason, VerdictKind, class_named};
use serde::Serialize;

/// The class that `--declared` names.
pub fn declared(label: Option<&str>, classes: &[String]) -> etalase::Result<Option<usize>> {
    label.map(|label| class_named(label, classes)).transpose()
}

/// A verdict with the suggested class by its canonical name.
#[derive(Serialize)]
pub struct Judged<'a> {
    kind: VerdictKind,
    reason: Reason,
    suggested: Option<&'a str>,
}

impl<'a> Judged<'a> {
    /// Of a bundle with these classes.
    pub fn new(verdict: Verdict, classes: &'a [String]) -> Judged<'a> {
        let suggested = verdict.suggested.and_then(|class| classes.get(class));
        Judged {
            kind: verdict.kind,
            reason: verdict.reason,
            suggested: suggested.map(String::as_str),
        }
    }
}

/// The verdict for people, with display names.
pub fn sentence(verdict: Verdict, names: &[String]) -> String {
    let suggested = verdict.suggested.and_then(|class| names.get(class));
    let why = match (verdict.reason, suggested) {
        (Reason::DeclaredIsLikely, _) => "it shows what was declared".to_owned(),
        (Reason::AnotherIsLikely, Some(name)) => format!("it shows {name}"),
        (Reason::CloseCall, Some(name)) => format!("perhaps {name}"),
        (Reason::Unfamiliar, _) => "unlike the photos that the network knows".to_owned(),
        _ => "too close to call".to_owned(),
    };
    format!("{}: {why}", verdict.kind.as_str())
}
