//! A bundle: the one file that carries a network with all it needs, every byte
//! checked on opening.
//!
//! Reading is here; [`BundleWriter`] makes one. Whether the network itself agrees
//! with the manifest is [`crate::Classifier`]'s to say, which runs it.

mod format;
mod inspection;
mod manifest;
mod writer;

pub use format::{FORMAT_VERSION, Member};
pub use inspection::{Inspection, MemberSummary};
pub use manifest::Manifest;
pub use writer::BundleWriter;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use crate::decision::{Judge, POLICY_VERSION, Policy};
use crate::error::{Error, ErrorKind, Result};
use crate::files;

const MANIFEST: &str = "manifest.json";
const MODEL: &str = "model.onnx";
const PLAN: &str = "plan.bin";
const LABELS: &str = "labels.json";
const CARD: &str = "card.json";
const POLICY: &str = "policy.json";
const CLASS_MEANS: &str = "class_means.bin";

/// An opened bundle, checked: format, hashes, manifest, labels, policy. Immutable, and free
/// to be shared between threads.
pub struct Bundle {
    file: Cow<'static, [u8]>,
    format: u32,
    members: Vec<Member>,
    manifest: Manifest,
    labels: BTreeMap<String, Vec<String>>,
    card: serde_json::Value,
    policy: Policy,
    judge: Judge,
}

impl Bundle {
    /// Opens the bundle at `path`.
    ///
    /// # Errors
    /// `Io` where the file cannot be read; `Bundle` where it is cut short, changed or
    /// contradicts itself; `BundleTooNew` for a newer format. All name the file.
    pub fn open(path: &Path) -> Result<Bundle> {
        let bytes = files::read(path)?;
        Bundle::from_bytes(bytes).map_err(|error| error.context(path.display()))
    }

    /// Opens a bundle in memory and keeps it.
    ///
    /// # Errors
    /// As [`Bundle::open`], without `Io`.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Bundle> {
        Bundle::from_file(Cow::Owned(bytes))
    }

    /// Opens a bundle that is part of the program; its bytes are not copied.
    ///
    /// # Errors
    /// As [`Bundle::from_bytes`].
    pub fn from_static(bytes: &'static [u8]) -> Result<Bundle> {
        Bundle::from_file(Cow::Borrowed(bytes))
    }

    /// The bundle that comes with this library.
    ///
    /// # Errors
    /// `Bundle` where the library was built with a damaged file.
    #[cfg(feature = "default-bundle")]
    pub fn default_bundle() -> Result<Bundle> {
        // A link to models/default.etalase, so that the published crate has it.
        static DEFAULT: &[u8] = include_bytes!("../../default.etalase");
        const {
            let path_only = "core/default.etalase holds a path: this checkout needs symbolic links";
            assert!(DEFAULT.len() > 1_000, "{}", path_only);
        }
        Bundle::from_static(DEFAULT).map_err(|error| error.context("the default bundle"))
    }

    fn from_file(file: Cow<'static, [u8]>) -> Result<Bundle> {
        let (format, members) = format::read(&file)?;
        let manifest: Manifest = json(&file, &members, MANIFEST)?;
        manifest.check()?;
        let labels = json(&file, &members, LABELS)?;
        manifest::check_labels(&labels, manifest.classes.len())?;
        let card = json(&file, &members, CARD)?;
        let policy = policy(&file, &members)?;
        let means = members.iter().find(|member| member.name == CLASS_MEANS);
        let means = means
            .map(|means| format::member(&file, means))
            .transpose()?;
        let judge =
            Judge::new(&policy, &manifest.classes, means).map_err(|error| error.context(POLICY))?;
        required(&file, &members, MODEL)?;
        Ok(Bundle {
            file,
            format,
            members,
            manifest,
            labels,
            card,
            policy,
            judge,
        })
    }

    /// Name, classes and preprocessing.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Display names by BCP 47 language, each in the order of the classes.
    pub fn labels(&self) -> &BTreeMap<String, Vec<String>> {
        &self.labels
    }

    /// The language of [`Bundle::labels`] that serves `language`, a BCP 47 tag: itself, else one that shares its first part
    /// (`id` for `id-ID`).
    ///
    /// # Errors
    /// `InvalidArgument` where there is none, with the languages that there are.
    pub fn language(&self, language: &str) -> Result<&str> {
        let primary = language.split('-').next().unwrap_or(language);
        let found = [language, primary]
            .into_iter()
            .find_map(|wanted| self.labels.get_key_value(wanted));
        if let Some((found, _)) = found {
            return Ok(found);
        }
        let known: Vec<&str> = self.labels.keys().map(String::as_str).collect();
        let known = match known.is_empty() {
            true => "none".to_owned(),
            false => known.join(", "),
        };
        Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("no labels in {language:?} (there are: {known})"),
        ))
    }

    /// Display names in [`Bundle::language`], in the order of the classes.
    ///
    /// # Errors
    /// As [`Bundle::language`].
    pub fn names_in(&self, language: &str) -> Result<&[String]> {
        let found = self.language(language)?;
        Ok(self.labels.get(found).map_or(&[], Vec::as_slice))
    }

    /// The model card: data, licences, accuracy as measured.
    pub fn card(&self) -> &serde_json::Value {
        &self.card
    }

    /// What is to be made of answers and measures: `policy.json`, or the default where there is none.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The policy, ready to be applied to this bundle's classes.
    pub fn judge(&self) -> &Judge {
        &self.judge
    }

    /// The network, an ONNX file's bytes.
    pub fn model(&self) -> &[u8] {
        self.member(MODEL).unwrap_or_default()
    }

    /// The network's plan, where the bundle carries one: what [`crate::Engine::from_plan`]
    /// opens in milliseconds.
    pub fn plan(&self) -> Option<&[u8]> {
        self.member(PLAN)
    }

    /// SHA-256 of [`Bundle::model`].
    pub fn model_sha256(&self) -> [u8; 32] {
        let member = self.members.iter().find(|member| member.name == MODEL);
        let digits = member.map_or("", |member| member.sha256.as_str());
        // Checked on opening: 64 hexadecimal digits.
        std::array::from_fn(|at| {
            let pair = digits.get(2 * at..2 * at + 2).unwrap_or_default();
            u8::from_str_radix(pair, 16).unwrap_or_default()
        })
    }

    /// All members in file order, also those that this library doesn't know.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// A member's bytes, or `None` where there is none of that name.
    pub fn member(&self, name: &str) -> Option<&[u8]> {
        let member = self.members.iter().find(|member| member.name == name)?;
        format::member(&self.file, member).ok()
    }

    /// The format version in the file, at most [`FORMAT_VERSION`].
    pub fn format_version(&self) -> u32 {
        self.format
    }

    /// What is in it, to be written as JSON.
    pub fn inspect(&self) -> Inspection<'_> {
        Inspection::new(self)
    }

    /// The whole file's length in bytes.
    pub fn len_bytes(&self) -> u64 {
        self.file.len() as u64
    }
}

impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, version) = (&self.manifest.name, &self.manifest.version);
        write!(f, "Bundle({name} {version}, {} bytes)", self.file.len())
    }
}

fn required<'a>(file: &'a [u8], members: &[Member], name: &str) -> Result<&'a [u8]> {
    let member = members.iter().find(|member| member.name == name);
    let member = member.ok_or_else(|| {
        Error::new(
            ErrorKind::Bundle,
            format!("the bundle has no member {name}"),
        )
    })?;
    format::member(file, member)
}

/// The version is read before anything else: a newer policy may say what this library doesn't know.
fn policy(file: &[u8], members: &[Member]) -> Result<Policy> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        version: u32,
    }
    if !members.iter().any(|member| member.name == POLICY) {
        return Ok(Policy::default());
    }
    let Versioned { version } = json(file, members, POLICY)?;
    if version > POLICY_VERSION {
        return Err(Error::new(
            ErrorKind::BundleTooNew,
            format!("{POLICY} has version {version}, this library reads up to {POLICY_VERSION}"),
        ));
    }
    json(file, members, POLICY)
}

fn json<T: serde::de::DeserializeOwned>(file: &[u8], members: &[Member], name: &str) -> Result<T> {
    serde_json::from_slice(required(file, members, name)?).map_err(|error| {
        Error::new(ErrorKind::Bundle, format!("{name} cannot be read")).with_source(error)
    })
}

#[cfg(test)]
mod tests;
