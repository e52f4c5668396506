//! What a bundle says of its network: the member `manifest.json`.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::preprocess::Preprocess;

/// Name, classes and preprocessing of a network. Unknown fields are ignored, except
/// in `preprocess`: what is not understood there would change answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The network's name, as its maker calls it.
    pub name: String,
    /// The network's version, as its maker counts.
    pub version: String,
    /// The architecture, such as `mobilenet_v1`.
    pub backbone: String,
    /// Canonical class names, in the order of the logits.
    pub classes: Vec<String>,
    /// How a photo becomes the network's input.
    pub preprocess: Preprocess,
}

impl Manifest {
    /// Whether the values can be meant.
    pub(super) fn check(&self) -> Result<()> {
        for (field, value) in [
            ("name", &self.name),
            ("version", &self.version),
            ("backbone", &self.backbone),
        ] {
            if value.trim().is_empty() || value.chars().any(char::is_control) {
                return Err(wrong(format!("the {field} is {value:?}")));
            }
        }
        if self.classes.len() < 2 {
            return Err(wrong(format!("{} classes", self.classes.len())));
        }
        let mut seen = HashSet::new();
        for class in &self.classes {
            check_label(class, "class")?;
            if !seen.insert(class.as_str()) {
                return Err(wrong(format!("class {class:?} stands twice")));
            }
        }
        self.preprocess
            .check()
            .map_err(|error| wrong(error.to_string()))
    }
}

/// Display names: as many in each language as there are classes.
pub(super) fn check_labels(labels: &BTreeMap<String, Vec<String>>, classes: usize) -> Result<()> {
    for (language, names) in labels {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if language.is_empty() || !language.chars().all(plain) {
            return Err(wrong_labels(format!("{language:?} is no BCP 47 language")));
        }
        if names.len() != classes {
            return Err(wrong_labels(format!(
                "language {language:?} has {} labels for {classes} classes",
                names.len()
            )));
        }
        for name in names {
            check_label(name, "label")?;
        }
    }
    Ok(())
}

fn check_label(label: &str, what: &str) -> Result<()> {
    if label.trim().is_empty() || label.chars().any(char::is_control) {
        return Err(wrong(format!("a {what} is {label:?}")));
    }
    Ok(())
}

fn wrong(cause: String) -> Error {
    Error::new(ErrorKind::Bundle, cause).context("manifest.json")
}

fn wrong_labels(cause: String) -> Error {
    Error::new(ErrorKind::Bundle, cause).context("labels.json")
}
