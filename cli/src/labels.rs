//! Display names in the reader's language.

use etalase::Bundle;

use crate::output;

/// Display names for the classes: of `language`, else of a language that shares its
/// first part (`id` for `id-ID`), else the canonical names.
pub fn display_names<'a>(bundle: &'a Bundle, language: &str) -> &'a [String] {
    let labels = bundle.labels();
    let primary = language.split('-').next().unwrap_or(language);
    let found = labels.get(language).or_else(|| labels.get(primary));
    found.map_or_else(
        || {
            let known: Vec<&str> = labels.keys().map(String::as_str).collect();
            output::complain(format!(
                "no labels in {language:?} (there are: {}); showing canonical names",
                known.join(", ")
            ));
            bundle.manifest().classes.as_slice()
        },
        Vec::as_slice,
    )
}
