//! The crates that the library links, and what their authors and Cargo.lock say of them.
//!
//! `cargo tree` tells which, since `cargo metadata` joins the features of the whole workspace and would list tract; the
//! latter tells the rest. Macros that only run while compiling are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{cargo, report, root};

/// The platforms that packages are made for. No crate is linked on others of the same systems only.
const TARGETS: [&str; 9] = [
    "aarch64-linux-android",
    "armv7-linux-androideabi",
    "x86_64-linux-android",
    "aarch64-apple-ios",
    "aarch64-apple-ios-sim",
    "x86_64-apple-ios",
    "aarch64-apple-darwin",
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
];

/// What is linked may be under these; of a choice one is enough. All of them let an app's code be anything.
const ALLOWED: [&str; 9] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Zlib",
];

/// Name and version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    pub name: String,
    pub version: String,
}

pub struct Crate {
    /// An SPDX expression.
    pub licence: String,
    pub repository: Option<String>,
    pub folder: PathBuf,
    /// SHA-256 of the packed sources in hexadecimal; none of this workspace's own crates.
    pub checksum: Option<String>,
    pub uses: BTreeSet<Id>,
}

/// The crates of etalase-ffi with these features on all platforms, itself and etalase included.
///
/// # Errors
/// Where a licence is not allowed; the message names the crate.
pub fn linked(features: &str) -> Result<BTreeMap<Id, Crate>> {
    let checksums = checksums(&std::fs::read_to_string(root().join("Cargo.lock"))?)?;
    let mut described = described()?;
    let mut linked = BTreeMap::new();
    for (id, uses) in tree(&output(&mut tree_command(features))?)? {
        let package = described
            .remove(&id)
            .with_context(|| format!("{} {}: not in cargo's metadata", id.name, id.version))?;
        let text = |field: &str| package[field].as_str().map(str::to_owned);
        let licence = text("license").unwrap_or_default();
        let manifest = PathBuf::from(text("manifest_path").unwrap_or_default());
        let found = Crate {
            licence: allowed(&licence)
                .with_context(|| format!("crate {} {}", id.name, id.version))?,
            repository: text("repository"),
            folder: manifest.parent().unwrap_or(Path::new("")).to_path_buf(),
            checksum: checksums.get(&id).cloned(),
            uses,
        };
        linked.insert(id, found);
    }
    Ok(linked)
}

fn tree_command(features: &str) -> Command {
    let mut command = cargo();
    command.args(["tree", "--locked", "-p", "etalase-ffi"]);
    command.args(["--features", features]);
    command.args(["--edges", "normal,no-proc-macro"]);
    command.args(["--prefix", "depth", "--format", "{p}"]);
    command.args(TARGETS.iter().flat_map(|target| ["--target", target]));
    command
}

pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("could not start: {}", report::shown(command)))?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}", report::shown(command), error.trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Lines such as `2serde v1.0.229 (*)`: depth, name, version. What has (*) shows its own lines elsewhere.
fn tree(text: &str) -> Result<BTreeMap<Id, BTreeSet<Id>>> {
    let mut all: BTreeMap<Id, BTreeSet<Id>> = BTreeMap::new();
    let mut above: Vec<Id> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let package = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let depth = line[..line.len() - package.len()].parse();
        let mut words = package.split(' ');
        let (Ok(depth), Some(name), Some(version)) = (depth, words.next(), words.next()) else {
            bail!("cargo tree: not understood: {line}");
        };
        let id = Id {
            name: name.into(),
            version: version.trim_start_matches('v').into(),
        };
        above.truncate(depth);
        if let Some(user) = above.last() {
            all.entry(user.clone()).or_default().insert(id.clone());
        }
        all.entry(id.clone()).or_default();
        above.push(id);
    }
    Ok(all)
}

/// What cargo knows of every package of the workspace that one of the platforms may need.
fn described() -> Result<BTreeMap<Id, Value>> {
    let mut command = cargo();
    command.args(["metadata", "--locked", "--all-features"]);
    command.args(["--format-version", "1"]);
    command.args(
        TARGETS
            .iter()
            .flat_map(|target| ["--filter-platform", target]),
    );
    let metadata: Value = serde_json::from_str(&output(&mut command)?)?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let known = packages.filter_map(|package| {
        let id = Id {
            name: package["name"].as_str()?.into(),
            version: package["version"].as_str()?.into(),
        };
        Some((id, package.clone()))
    });
    Ok(known.collect())
}

fn checksums(lock: &str) -> Result<BTreeMap<Id, String>> {
    let lock: toml::Table = lock.parse().context("Cargo.lock")?;
    let packages = lock.get("package").and_then(toml::Value::as_array);
    let sums = packages.into_iter().flatten().filter_map(|package| {
        let text = |field: &str| Some(package.get(field)?.as_str()?.to_owned());
        let id = Id {
            name: text("name")?,
            version: text("version")?,
        };
        Some((id, text("checksum")?))
    });
    Ok(sums.collect())
}

/// The expression as SPDX writes it, if what it asks for is allowed.
fn allowed(licence: &str) -> Result<String> {
    // Cargo's old way to say OR.
    let alternatives: Vec<&str> = licence.split('/').map(str::trim).collect();
    let licence = alternatives.join(" OR ");
    let expression = spdx::Expression::parse(&licence).map_err(|error| {
        anyhow::anyhow!("no licence in SPDX's words: {licence:?}: {}", error.reason)
    })?;
    let fine = expression.evaluate(|asked| {
        let id = asked.license.id();
        asked.addition.is_none() && id.is_some_and(|id| ALLOWED.contains(&id.name))
    });
    if !fine {
        bail!("its licence, {licence}, is none of {}", ALLOWED.join(", "));
    }
    Ok(licence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str, version: &str) -> Id {
        Id {
            name: name.into(),
            version: version.into(),
        }
    }

    #[test]
    fn one_of_a_choice_is_enough_and_all_of_a_conjunction_are_asked_for() {
        for (licence, normal) in [
            ("MIT", "MIT"),
            ("Unlicense/MIT", "Unlicense OR MIT"),
            ("MIT / Apache-2.0", "MIT OR Apache-2.0"),
            ("GPL-3.0-only OR Zlib", "GPL-3.0-only OR Zlib"),
            (
                "(MIT OR Apache-2.0) AND Unicode-3.0",
                "(MIT OR Apache-2.0) AND Unicode-3.0",
            ),
        ] {
            assert_eq!(allowed(licence).unwrap(), normal);
        }
        for licence in [
            "",
            "LGPL-2.1-or-later",
            "MIT AND GPL-2.0-only",
            "Apache-2.0 WITH LLVM-exception",
            "LicenseRef-Mine",
            "My own",
            "MIT OR",
        ] {
            assert!(allowed(licence).is_err(), "{licence}");
        }
    }

    #[test]
    fn a_tree_is_read_by_its_depths() {
        let text = "0a v0.1.0 (/x y/a)\n1b v1.0.0\n2c v2.0.0\n1c v1.0.0\n\n0a v0.1.0 (/x y/a)\n1d v1.0.0+x (*)\n";
        let tree = tree(text).unwrap();
        let uses = |name, version| tree[&id(name, version)].iter().cloned().collect::<Vec<_>>();
        let of_a = [id("b", "1.0.0"), id("c", "1.0.0"), id("d", "1.0.0+x")];
        assert_eq!(uses("a", "0.1.0"), of_a);
        assert_eq!(uses("b", "1.0.0"), [id("c", "2.0.0")]);
        assert!(uses("c", "1.0.0").is_empty());
        assert!(super::tree("none").is_err());
    }

    #[test]
    fn what_apps_link_is_found_with_checksums_and_sources() {
        let linked = linked("jni").unwrap();
        let names: BTreeSet<&str> = linked.keys().map(|id| id.name.as_str()).collect();
        assert!(names.is_superset(&BTreeSet::from(["etalase", "jni", "libc", "png"])));
        for stranger in ["tract-onnx", "serde_derive", "clap"] {
            assert!(!names.contains(stranger), "{stranger}");
        }
        for (id, one) in &linked {
            let own = id.name.starts_with("etalase");
            assert_eq!(one.checksum.is_none(), own, "{}", id.name);
            assert!(one.folder.join("Cargo.toml").exists(), "{}", id.name);
        }
    }
}
