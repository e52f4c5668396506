//! THIRD_PARTY_NOTICES.md: who wrote what is linked, and the texts of their licences, each once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::crates::{self, Crate, Id};
use super::{Build, maven};

/// The document for one way to build.
pub fn made(build: &Build) -> Result<String> {
    let linked = crates::linked(build.features)?;
    let mut texts = Texts::default();
    let mut rows = String::new();
    for (id, one) in linked.iter().filter(|(_, one)| one.checksum.is_some()) {
        let numbers: BTreeSet<usize> = texts_of(one, &linked)
            .with_context(|| format!("crate {} {}", id.name, id.version))?
            .into_iter()
            .map(|text| texts.number(text))
            .collect();
        let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
        let (name, version, licence) = (&id.name, &id.version, &one.licence);
        let numbers = numbers.join(", ");
        writeln!(rows, "| {name} | {version} | {licence} | {numbers} |")?;
    }
    let mut document = HEAD.replace("@WHAT@", build.what);
    document += &rows;
    document += RUST;
    document += &kotlin(&texts)?;
    document += "\n## Texts\n";
    for (at, text) in texts.all.iter().enumerate() {
        write!(document, "\n### {}\n\n```text\n{text}\n```\n", at + 1)?;
    }
    Ok(document)
}

const HEAD: &str = "\
# Third-party notices

Of @WHAT@. Written by `cargo xtask release notices` from `Cargo.lock` and `android/pom.xml`, not by hand.
Etalase's own licences are in LICENSE-MIT and LICENSE-APACHE; where the default bundle's weights and photos come from, in NOTICE.md.

## Rust crates

In the native library. The last column has the numbers of their texts below.

| crate | version | licence | texts |
|---|---|---|---|
";

/// Versions follow the compiler, so none is named here; the bill of materials has it.
const RUST: &str = "
## Rust's standard library

In the native library: the standard library of the compiler that built it, by The Rust Project Developers (https://thanks.rust-lang.org) under MIT OR Apache-2.0,
with data of Unicode, Inc. under Unicode-3.0, and the crates that it is built from, under MIT, Apache-2.0 (some with the LLVM exception), Zlib or a choice of them. `share/doc/rust/COPYRIGHT-library.html` of
each Rust distribution has all their notices. On Android the NDK's unwinder is in it too: the LLVM Project's, under Apache-2.0 WITH LLVM-exception.
";
const KOTLIN: &str = "
## Libraries for Kotlin

Not in the packages: Maven and Gradle bring them along with the Kotlin library.

| library | version | by | licence | text |
|---|---|---|---|---|
";

fn kotlin(texts: &Texts) -> Result<String> {
    let apache = |text: &String| text.contains("END OF TERMS AND CONDITIONS");
    let apache = texts.all.iter().position(apache);
    let apache = apache.context("no crate brings the text of Apache-2.0")? + 1;
    let mut section = KOTLIN.to_owned();
    for library in maven::libraries()? {
        let name = format!("{}:{}", library.group, library.artifact);
        let (version, licence, by) = (&library.version, library.licence, library.authors);
        writeln!(
            section,
            "| {name} | {version} | {by} | {licence} | {apache} |"
        )?;
    }
    Ok(section)
}

/// Each once, numbered from 1.
#[derive(Default)]
struct Texts {
    all: Vec<String>,
    numbers: HashMap<String, usize>,
}

impl Texts {
    fn number(&mut self, text: String) -> usize {
        let next = self.all.len() + 1;
        let number = *self.numbers.entry(words(&text)).or_insert(next);
        if number == next {
            self.all.push(text);
        }
        number
    }
}

/// Texts that differ in their letters and digits differ; spaces, line ends and brackets don't count.
fn words(text: &str) -> String {
    let kept = text.chars().filter(|c| c.is_alphanumeric());
    kept.flat_map(char::to_lowercase).collect()
}

/// What is in a crate's own sources; crates that ship none are of a repository of which another one does.
fn texts_of(one: &Crate, linked: &BTreeMap<Id, Crate>) -> Result<Vec<String>> {
    let own = texts_in(&one.folder)?;
    if !own.is_empty() {
        return Ok(own);
    }
    let siblings = linked
        .values()
        .filter(|other| other.repository.is_some() && other.repository == one.repository);
    for sibling in siblings {
        let theirs = texts_in(&sibling.folder)?;
        if !theirs.is_empty() {
            return Ok(theirs);
        }
    }
    bail!("no licence text in its sources, nor in another linked crate's of its repository");
}

fn texts_in(folder: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in
        std::fs::read_dir(folder).with_context(|| format!("{}: cannot read", folder.display()))?
    {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_file() && is_notice(&name) {
            files.push(path);
        }
    }
    files.sort();
    let read = |path: &std::path::PathBuf| {
        let bytes =
            std::fs::read(path).with_context(|| format!("{}: cannot read", path.display()))?;
        Ok(tidy(&String::from_utf8_lossy(&bytes)))
    };
    files.iter().map(read).collect()
}

fn is_notice(name: &str) -> bool {
    let name = name.to_uppercase();
    let names = [
        "LICENSE",
        "LICENCE",
        "UNLICENSE",
        "COPYING",
        "COPYRIGHT",
        "NOTICE",
    ];
    names.iter().any(|start| name.starts_with(start))
}

/// Without spaces at line ends and empty lines around.
fn tidy(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_say_the_same_are_one() {
        let mut texts = Texts::default();
        let mut number = |text: &str| texts.number(tidy(text));
        let numbers = [
            number("Copyright (c) 2014 A\n\nPermission is"),
            number("Copyright (c) 2014 B\n\nPermission is"),
            number("\r\nCopyright (c) 2014 A \r\nPermission  is\r\n"),
        ];
        assert_eq!(numbers, [1, 2, 1]);
        assert_eq!(texts.all[0], "Copyright (c) 2014 A\n\nPermission is");
    }

    #[test]
    fn files_are_known_by_their_names() {
        for name in [
            "LICENSE-MIT",
            "license.md",
            "UNLICENSE",
            "COPYRIGHT-RUST.txt",
        ] {
            assert!(is_notice(name), "{name}");
        }
        for name in ["README.md", "Cargo.toml", "src"] {
            assert!(!is_notice(name), "{name}");
        }
    }
}
