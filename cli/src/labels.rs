//! Classes by name: display names in the reader's language, the best with their scores.

use etalase::Bundle;
use etalase::decision::top_k;
use serde::Serialize;

use crate::output;

/// Display names for the classes in `language`, else the canonical names.
pub fn display_names<'a>(bundle: &'a Bundle, language: &str) -> &'a [String] {
    bundle.names_in(language).unwrap_or_else(|error| {
        output::complain(format!("{error}; showing canonical names"));
        bundle.manifest().classes.as_slice()
    })
}

/// A class with its score, by the name that was asked for.
#[derive(Serialize)]
pub struct Label<'a> {
    pub label: &'a str,
    pub score: f32,
}

/// The `k` best classes, best first.
pub fn best<'a>(scores: &[f32], k: u32, names: &'a [String]) -> Vec<Label<'a>> {
    let classes = top_k(scores, k as usize).into_iter();
    let labels = classes.filter_map(|class| {
        let (label, &score) = (names.get(class)?, scores.get(class)?);
        Some(Label { label, score })
    });
    labels.collect()
}
