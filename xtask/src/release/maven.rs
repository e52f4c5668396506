//! What the Kotlin library asks for at run time: read from android/pom.xml, never part of a package of ours.

use anyhow::{Context, Result, bail};

use crate::root;

pub struct Library {
    pub group: String,
    pub artifact: String,
    pub version: String,
    pub licence: &'static str,
    pub authors: &'static str,
    /// The pom names it; otherwise it is behind one that does.
    pub direct: bool,
}

/// Which of them use which others, by artifact.
pub const USES: [(&str, &str); 2] = [
    ("kotlin-stdlib", "annotations"),
    ("kotlinx-coroutines-core", "kotlin-stdlib"),
];

/// Who makes what of which licence; a pom says nothing of its dependencies'.
const LICENCES: [(&str, &str, &str); 2] = [
    (
        "org.jetbrains.kotlin",
        "Apache-2.0",
        "JetBrains s.r.o. and Kotlin Programming Language contributors",
    ),
    (
        "org.jetbrains.kotlinx",
        "Apache-2.0",
        "JetBrains s.r.o. and contributors",
    ),
];

/// The libraries that apps link with ours.
pub fn libraries() -> Result<Vec<Library>> {
    let path = root().join("android/pom.xml");
    let pom = std::fs::read_to_string(&path)
        .with_context(|| format!("{}: cannot read", path.display()))?;
    let mut libraries = named(&pom).context("android/pom.xml")?;
    // What `mvn dependency:list -DincludeScope=runtime` lists besides: kotlin-stdlib's only dependency, the same for years.
    libraries.push(Library {
        group: "org.jetbrains".into(),
        artifact: "annotations".into(),
        version: "13.0".into(),
        licence: "Apache-2.0",
        authors: "JetBrains s.r.o.",
        direct: false,
    });
    Ok(libraries)
}

/// The dependencies without a scope (of tests, or provided by the platform).
fn named(pom: &str) -> Result<Vec<Library>> {
    let blocks = pom.split("<dependency>").skip(1);
    let blocks = blocks.filter_map(|block| Some(block.split_once("</dependency>")?.0));
    blocks
        .filter(|block| element(block, "scope").is_none())
        .map(|block| library(pom, block))
        .collect()
}

fn library(pom: &str, block: &str) -> Result<Library> {
    let [group, artifact, version] = ["groupId", "artifactId", "version"]
        .map(|name| element(block, name).with_context(|| format!("a dependency without {name}")));
    let (group, artifact, mut version) = (group?, artifact?, version?);
    if let Some(property) = version
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
    {
        version = element(pom, property).with_context(|| format!("no property {property}"))?;
    }
    let Some((_, licence, authors)) = LICENCES.iter().find(|(of, ..)| *of == group) else {
        bail!("{group}:{artifact}: its licence is not in xtask/src/release/maven.rs");
    };
    Ok(Library {
        group: group.into(),
        artifact: artifact.into(),
        version: version.into(),
        licence,
        authors,
        direct: true,
    })
}

fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    Some(rest.split_once("</")?.0.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POM: &str = "<kotlin.version>2.4.21</kotlin.version>\
        <dependency><groupId>org.jetbrains.kotlin</groupId><artifactId>kotlin-stdlib</artifactId>\
        <version>${kotlin.version}</version></dependency>\
        <dependency><groupId>org.junit</groupId><artifactId>junit</artifactId><version>6</version>\
        <scope>test</scope></dependency>";

    #[test]
    fn what_tests_ask_for_is_left_out_and_versions_are_looked_up() {
        let found = named(POM).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|library| (library.artifact.as_str(), library.version.as_str()))
            .collect();
        assert_eq!(found, [("kotlin-stdlib", "2.4.21")]);
    }

    #[test]
    fn a_licence_that_nobody_looked_up_is_an_error() {
        let error = named(&POM.replace("<scope>test</scope>", ""))
            .err()
            .unwrap();
        assert!(
            format!("{error:#}").contains("org.junit:junit"),
            "{error:#}"
        );
    }
}
