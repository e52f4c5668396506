//! Packs a quantized model into the bundle that phones open, with display names and a model card.
//!
//! What people have to say of a bundle (names, data, licences, limits) comes from a JSON file of theirs; what was
//! measured comes from the run. The card holds both, each figure with the command that gives it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use etalase::bundle::{BundleWriter, Manifest};
use etalase::preprocess::Preprocess;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::files::read_json;

/// What a bundle says of itself beyond the network: a JSON file that the user writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// Name of the bundle.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it is for, a sentence or two.
    pub description: String,
    /// Display names by BCP 47 language, then by class.
    pub labels: BTreeMap<String, BTreeMap<String, String>>,
    /// Name of the validation photos, as the card's commands give it.
    pub validation: String,
    /// What it was trained on, each with its licence.
    pub data: Vec<Origin>,
    /// Where it should not be used, what it does not know.
    pub limits: Vec<String>,
    /// Licence of the bundle.
    pub licence: String,
}

/// Where photos or weights come from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// What it is.
    pub what: String,
    /// Where it is.
    pub origin: String,
    /// Under which licence.
    pub licence: String,
}

impl About {
    /// A minimal description, with the classes as their own English names.
    pub fn plain(name: &str, classes: &[String]) -> About {
        let english = classes
            .iter()
            .map(|class| (class.clone(), class.clone()))
            .collect();
        About {
            name: name.to_owned(),
            version: "1".to_owned(),
            description: String::new(),
            labels: BTreeMap::from([("en".to_owned(), english)]),
            validation: "VALIDATION".to_owned(),
            data: Vec::new(),
            limits: Vec::new(),
            licence: String::new(),
        }
    }

    /// Reads the user's file and checks it against the classes.
    pub fn read(path: &Path, classes: &[String]) -> Result<About> {
        let about: About = read_json(path)?;
        let checked = about.check(classes);
        checked.with_context(|| path.display().to_string())?;
        Ok(about)
    }

    /// The card's members that people write.
    pub fn card(&self) -> Value {
        json!({
            "description": self.description,
            "licence": self.licence,
            "data": self.data,
            "limits": self.limits,
        })
    }

    /// Refuses, before anything is trained, what could not be packed: a name that is no plain file name, a class
    /// without a display name.
    pub fn check(&self, classes: &[String]) -> Result<()> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        ensure!(
            self.name.chars().all(plain) && self.name.chars().any(|c| c.is_ascii_alphanumeric()),
            "the name {:?} becomes a file's: letters, digits, '-', '_' and '.'",
            self.name
        );
        self.labels(classes).map(|_| ())
    }

    /// Display names in the order of `classes`.
    fn labels(&self, classes: &[String]) -> Result<BTreeMap<String, Vec<String>>> {
        let of_language = |(language, names): (&String, &BTreeMap<String, String>)| {
            let name = |class: &String| {
                names
                    .get(class)
                    .cloned()
                    .with_context(|| format!("labels in {language:?} have no name for {class:?}"))
            };
            Ok((
                language.clone(),
                classes.iter().map(name).collect::<Result<Vec<_>>>()?,
            ))
        };
        ensure!(
            !self.labels.is_empty(),
            "there are no labels in any language"
        );
        self.labels.iter().map(of_language).collect()
    }
}

/// A figure of the model card with the command that gives it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Share of photos classified rightly, 0 to 1.
    pub accuracy: f64,
    /// Photos that it was measured on.
    pub photos: u64,
    /// Command that prints it.
    pub command: String,
}

/// What the card says of accuracy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Which photos, and what they were used for.
    pub photos: String,
    /// The float network in the trainer.
    pub float: Measured,
    /// The int8 network in core: what is shipped.
    pub int8: Option<Measured>,
}

/// The bundle, not yet written.
pub fn bundle(
    about: &About,
    backbone: &str,
    classes: &[String],
    preprocess: &Preprocess,
    accuracy: &Accuracy,
    training: Value,
    model: Vec<u8>,
) -> Result<BundleWriter> {
    let manifest = Manifest {
        name: about.name.clone(),
        version: about.version.clone(),
        backbone: backbone.to_owned(),
        classes: classes.to_vec(),
        preprocess: preprocess.clone(),
    };
    let mut card = about.card();
    card["accuracy"] = json!(accuracy);
    card["training"] = training;
    Ok(BundleWriter::new(
        manifest,
        about.labels(classes)?,
        card,
        model,
    ))
}
