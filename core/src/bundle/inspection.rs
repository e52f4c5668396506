//! What is in a bundle, for people and programs: the JSON of `etalase inspect` and of the bindings.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Bundle;
use crate::decision::Policy;
use crate::preprocess::Preprocess;

/// A bundle's content; serializes to one JSON object.
#[derive(Debug, Serialize)]
pub struct Inspection<'a> {
    /// The network's name.
    pub name: &'a str,
    /// The network's version, as its maker counts.
    pub version: &'a str,
    /// The bundle's format version.
    pub format: u32,
    /// The architecture.
    pub backbone: &'a str,
    /// Height, width, channels.
    pub input: [u32; 3],
    /// Display names by language, in the order of the classes.
    pub labels: &'a BTreeMap<String, Vec<String>>,
    /// Canonical names, in the order of the scores.
    pub classes: &'a [String],
    /// The whole file's length.
    pub bytes: u64,
    /// The file's members by name.
    pub members: BTreeMap<&'a str, MemberSummary<'a>>,
    /// How a photo becomes the network's input.
    pub preprocess: &'a Preprocess,
    /// What is made of answers and measures.
    pub policy: &'a Policy,
    /// The model card.
    pub card: &'a serde_json::Value,
}

/// A member of a bundle.
#[derive(Debug, Serialize)]
pub struct MemberSummary<'a> {
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, hexadecimal.
    pub sha256: &'a str,
}

impl<'a> Inspection<'a> {
    pub(super) fn new(bundle: &'a Bundle) -> Inspection<'a> {
        let manifest = bundle.manifest();
        let members = bundle.members().iter().map(|member| {
            let (bytes, sha256) = (member.bytes, member.sha256.as_str());
            (member.name.as_str(), MemberSummary { bytes, sha256 })
        });
        Inspection {
            name: &manifest.name,
            version: &manifest.version,
            format: bundle.format_version(),
            backbone: &manifest.backbone,
            input: [manifest.preprocess.height, manifest.preprocess.width, 3],
            labels: bundle.labels(),
            classes: &manifest.classes,
            bytes: bundle.len_bytes(),
            members: members.collect(),
            preprocess: &manifest.preprocess,
            policy: bundle.policy(),
            card: bundle.card(),
        }
    }
}
