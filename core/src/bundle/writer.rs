//! Makes a bundle, checked by the reader before anybody else sees it.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Bundle, CARD, LABELS, MANIFEST, MODEL, Manifest, format};
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

    /// Adds a member beyond the four, such as `golden/1.png`.
    #[must_use]
    pub fn member(mut self, name: impl Into<String>, bytes: Vec<u8>) -> BundleWriter {
        self.more.push((name.into(), bytes));
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
        members.push((MODEL.to_owned(), self.model.clone()));
        let file = format::write(&members)?;
        // Whatever the reader would refuse must not be written.
        Ok(Bundle::from_bytes(file)?.file.into_owned())
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
