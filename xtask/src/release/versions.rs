//! Files that name the version by hand, and that all of them name the one of Cargo.toml.

use anyhow::{Context, Result, bail};

use crate::root;

/// What a file has to say; VERSION and MAJOR.MINOR stand for the numbers.
const NAMED: [(&str, &str); 9] = [
    ("CHANGELOG.md", "\n## VERSION"),
    (
        "Cargo.toml",
        "etalase = { path = \"core\", version = \"VERSION\" }",
    ),
    ("android/build.gradle.kts", "\nversion = \"VERSION\""),
    (
        "android/pom.xml",
        "<artifactId>etalase</artifactId>\n  <version>VERSION</version>",
    ),
    ("docs/c.md", "libetalase.so.MAJOR.MINOR`"),
    ("docs/c.md", "find_package(Etalase MAJOR.MINOR "),
    ("docs/kotlin.md", "io.github.etalase:etalase:VERSION\""),
    ("docs/versions.md", "`VERSION`"),
    (
        "examples/CMakeLists.txt",
        "find_package(Etalase MAJOR.MINOR ",
    ),
];

/// That they agree.
///
/// # Errors
/// Names all files that don't.
pub fn check() -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let mut wrong = Vec::new();
    for (file, wanted) in NAMED {
        let path = root().join(file);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("{}: cannot read", path.display()))?;
        let wanted = with_numbers(wanted, version);
        if !text.contains(&wanted) {
            wrong.push(format!("{file}: no {:?}", wanted.trim()));
        }
    }
    if !wrong.is_empty() {
        bail!(
            "not of version {version} (Cargo.toml):\n{}",
            wrong.join("\n")
        );
    }
    Ok(())
}

fn with_numbers(wanted: &str, version: &str) -> String {
    let major_minor = version.rsplit_once('.').map_or(version, |(first, _)| first);
    wanted
        .replace("MAJOR.MINOR", major_minor)
        .replace("VERSION", version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_are_of_one_version() {
        check().unwrap();
    }

    #[test]
    fn numbers_take_the_places_of_their_names() {
        assert_eq!(with_numbers("so.MAJOR.MINOR", "1.20.3"), "so.1.20");
        assert_eq!(with_numbers("## VERSION", "1.20.3"), "## 1.20.3");
    }
}
