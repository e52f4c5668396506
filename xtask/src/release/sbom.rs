//! The bill of materials (SBOM) of what apps link, in CycloneDX 1.5's JSON: names, versions, licences, checksums, who uses
//! whom. The same bytes for the same sources and compiler: it has neither a serial number nor a time.
//!
//! <https://cyclonedx.org/docs/1.5/json/>; package URLs: <https://github.com/package-url/purl-spec>.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::crates::{Crate, Id};
use super::maven::{Library, USES};

const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

/// The document.
pub fn made(linked: &BTreeMap<Id, Crate>, libraries: &[Library]) -> Result<Value> {
    let repository = REPOSITORY.trim_start_matches("https://github.com/");
    let etalase = format!("pkg:github/{repository}@v{}", env!("CARGO_PKG_VERSION"));
    let std = compiler_version()?;
    let mut components = Vec::new();
    let mut dependencies = Vec::new();
    let mut direct = Vec::new();
    for (id, one) in linked {
        let mut uses: Vec<String> = one.uses.iter().map(cargo_purl).collect();
        if one.checksum.is_none() {
            // Ours alone says so: that every crate links the standard library goes without saying.
            uses.push(std_purl(&std));
        }
        if id.name == "etalase-ffi" {
            direct.push(cargo_purl(id));
        }
        components.push(component(id, one));
        dependencies.push(json!({"ref": cargo_purl(id), "dependsOn": uses}));
    }
    components.push(standard_library(&std));
    dependencies.push(json!({"ref": std_purl(&std)}));
    for library in libraries {
        let purl = maven_purl(library);
        if library.direct {
            direct.push(purl.clone());
        }
        components.push(json!({
            "type": "library", "bom-ref": purl, "purl": purl,
            "group": library.group, "name": library.artifact, "version": library.version,
            "licenses": [{"license": {"id": library.licence}}],
        }));
    }
    dependencies.extend(maven_graph(libraries));
    dependencies.insert(0, json!({"ref": etalase, "dependsOn": direct}));
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "cargo xtask release", "version": env!("CARGO_PKG_VERSION")}]},
            "component": {
                "type": "library", "bom-ref": etalase, "purl": etalase,
                "name": "etalase", "version": env!("CARGO_PKG_VERSION"),
                "licenses": [{"expression": env!("CARGO_PKG_LICENSE")}],
                "externalReferences": [{"type": "vcs", "url": REPOSITORY}],
            },
        },
        "components": components,
        "dependencies": dependencies,
    }))
}

fn component(id: &Id, one: &Crate) -> Value {
    let mut component = json!({
        "type": "library", "bom-ref": cargo_purl(id), "purl": cargo_purl(id),
        "name": id.name, "version": id.version,
        "licenses": [{"expression": one.licence}],
    });
    if let Some(checksum) = &one.checksum {
        component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
    }
    if let Some(repository) = &one.repository {
        component["externalReferences"] = json!([{"type": "vcs", "url": repository}]);
    }
    component
}

/// Which of the Kotlin library's dependencies use which others.
fn maven_graph(libraries: &[Library]) -> impl Iterator<Item = Value> {
    libraries.iter().map(|library| {
        let used =
            |other: &&Library| USES.contains(&(library.artifact.as_str(), other.artifact.as_str()));
        let uses: Vec<String> = libraries.iter().filter(used).map(maven_purl).collect();
        json!({"ref": maven_purl(library), "dependsOn": uses})
    })
}

fn cargo_purl(id: &Id) -> String {
    // '+' of a version's build part has to be escaped.
    let version = id.version.replace('+', "%2B");
    format!("pkg:cargo/{}@{version}", id.name)
}

fn maven_purl(library: &Library) -> String {
    let (group, artifact) = (&library.group, &library.artifact);
    format!("pkg:maven/{group}/{artifact}@{}", library.version)
}

fn std_purl(version: &str) -> String {
    format!("pkg:github/rust-lang/rust@{version}")
}

fn standard_library(version: &str) -> Value {
    json!({
        "type": "library", "bom-ref": std_purl(version), "purl": std_purl(version),
        "name": "Rust's standard library", "version": version,
        "cpe": format!("cpe:2.3:a:rust-lang:rust:{version}:*:*:*:*:*:*:*"),
        "licenses": [{"expression": "MIT OR Apache-2.0"}],
    })
}

/// Of the compiler that is on the path: the one that builds packages here.
fn compiler_version() -> Result<String> {
    let mut command = std::process::Command::new("rustc");
    let text = super::crates::output(command.arg("--version").current_dir(crate::root()))?;
    match text.split(' ').nth(1) {
        Some(version) => Ok(version.to_owned()),
        None => bail!("rustc --version: not understood: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::release::{APPS, crates, maven};

    fn of_apps() -> Value {
        let linked = crates::linked(APPS.features).unwrap();
        made(&linked, &maven::libraries().unwrap()).unwrap()
    }

    #[test]
    fn versions_with_build_parts_are_escaped_in_package_urls() {
        let id = Id {
            name: "wasi".into(),
            version: "0.11.1+wasi-snapshot-preview1".into(),
        };
        assert_eq!(
            cargo_purl(&id),
            "pkg:cargo/wasi@0.11.1%2Bwasi-snapshot-preview1"
        );
    }

    #[test]
    fn every_component_is_in_the_graph_and_reached_from_the_library() {
        let sbom = of_apps();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let components = sbom["components"].as_array().unwrap();
        let components: BTreeSet<String> =
            components.iter().map(|one| text(&one["bom-ref"])).collect();
        let graph: BTreeMap<String, Vec<String>> = sbom["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| {
                let uses = one["dependsOn"].as_array();
                (
                    text(&one["ref"]),
                    uses.into_iter().flatten().map(text).collect(),
                )
            })
            .collect();
        let root = text(&sbom["metadata"]["component"]["bom-ref"]);
        let mut reached = BTreeSet::from([root.clone()]);
        let mut next = vec![root.clone()];
        while let Some(one) = next.pop() {
            let uses = graph[&one].iter();
            next.extend(uses.filter(|used| reached.insert((*used).clone())).cloned());
        }
        reached.remove(&root);
        assert_eq!(reached, components);
    }

    #[test]
    fn it_is_the_same_twice() {
        assert_eq!(of_apps().to_string(), of_apps().to_string());
    }
}
