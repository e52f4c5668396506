//! Makes a bundle, checked by the reader before anybody else sees it.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Bundle, CARD, CLASS_MEANS, LABELS, MANIFEST, MODEL, Manifest, PLAN, POLICY, format};
use crate::decision::Policy;
use crate::error::{Error, ErrorKind, Result};
use crate::files;

/// Collects a bundle's members and writes them as one file.
#[derive(Debug, Clone)]
pub struct BundleWriter {
    manifest: Manifest,
    labels: BTreeMap<String, Vec<String>>,
    card: serde_json::Value,
    model: Vec<u8>,
    more: Vec<(String, Vec<u8>)>,
}

impl BundleWriter {
    /// A bundle of the four members that each has. `labels` are display names by
    /// BCP 47 language, in the order of the manifest's classes; `model_onnx` is an
    /// ONNX file's bytes, with logits as its only output.
    pub fn new(
        manifest: Manifest,
        labels: BTreeMap<String, Vec<String>>,
        card: serde_json::Value,
        model_onnx: Vec<u8>,
    ) -> BundleWriter {
        BundleWriter {
            manifest,
            labels,
            card,
            model: model_onnx,
            more: Vec::new(),
        }
    }

    /// All that a bundle holds, to be written again, its plan made anew.
    pub fn from_bundle(bundle: &Bundle) -> BundleWriter {
        let fixed = [MANIFEST, LABELS, CARD, MODEL, PLAN];
        let more = bundle
            .members()
            .iter()
            .filter(|member| !fixed.contains(&member.name.as_str()));
        let more = more.filter_map(|member| {
            Some((member.name.clone(), bundle.member(&member.name)?.to_vec()))
        });
        BundleWriter {
            manifest: bundle.manifest().clone(),
            labels: bundle.labels().clone(),
            card: bundle.card().clone(),
            model: bundle.model().to_vec(),
            more: more.collect(),
        }
    }

    /// Adds a member beyond the four, such as `golden/1.png`.
    #[must_use]
    pub fn member(mut self, name: impl Into<String>, bytes: Vec<u8>) -> BundleWriter {
        self.more.push((name.into(), bytes));
        self
    }

    /// Sets what is to be made of answers and measures; without, readers use their default.
    ///
    /// # Errors
    /// `Bundle` where it cannot be written as JSON.
    pub fn policy(self, policy: &Policy) -> Result<BundleWriter> {
        let bytes = json(policy)?;
        Ok(self.instead(POLICY, bytes))
    }

    /// Sets the classes' mean features, as [`crate::decision::ClassMeans::bytes_of`] gives them; a policy of familiarity
    /// needs them.
    #[must_use]
    pub fn class_means(self, bytes: Vec<u8>) -> BundleWriter {
        self.instead(CLASS_MEANS, bytes)
    }

    fn instead(mut self, name: &str, bytes: Vec<u8>) -> BundleWriter {
        self.more.retain(|(member, _)| member != name);
        self.more.push((name.to_owned(), bytes));
        self
    }

    /// Sets the bundle's version.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> BundleWriter {
        self.manifest.version = version.into();
        self
    }

    /// Sets the model card.
    #[must_use]
    pub fn card(mut self, card: serde_json::Value) -> BundleWriter {
        self.card = card;
        self
    }

    /// The whole file. Equal input gives equal bytes.
    ///
    /// # Errors
    /// `Bundle` where manifest and labels contradict each other, a class or a member
    /// stands twice, or a name cannot be used.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        // Small members first, so that `inspect` over a network reads one page.
        let mut members = vec![
            (MANIFEST.to_owned(), json(&self.manifest)?),
            (LABELS.to_owned(), json(&self.labels)?),
            (CARD.to_owned(), json(&self.card)?),
        ];
        members.extend(self.more.iter().cloned());
        #[cfg(feature = "onnx")]
        if let Some(plan) = self.plan() {
            members.push((PLAN.to_owned(), plan));
        }
        members.push((MODEL.to_owned(), self.model.clone()));
        let file = format::write(&members)?;
        // Whatever the reader would refuse must not be written.
        Ok(Bundle::from_bytes(file)?.file.into_owned())
    }

    /// The model's plan. A model that cannot be fused, or not even be read, goes without:
    /// whether it can run is said by what runs it.
    #[cfg(feature = "onnx")]
    fn plan(&self) -> Option<Vec<u8>> {
        use sha2::{Digest, Sha256};
        let sha256 = Sha256::digest(&self.model).into();
        crate::engine::plan_of(&self.model, &sha256).ok().flatten()
    }

    /// Writes the file beside `path` and renames it: nobody ever sees a part of it.
    ///
    /// # Errors
    /// As [`BundleWriter::to_bytes`]; `Io` where it cannot be written.
    pub fn write_to(&self, path: &Path) -> Result<()> {
        let bytes = self
            .to_bytes()
            .map_err(|error| error.context(path.display()))?;
        files::replace(path, &bytes)
    }
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(|error| {
        Error::new(ErrorKind::Bundle, "cannot be written as JSON").with_source(error)
    })
}
