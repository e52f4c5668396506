//! The Kotlin library, built and tested by Maven on this machine's JVM.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::native::{self, Native};
use crate::report::{self, Tests};
use crate::root;

/// Compiles it, runs its tests, compares its public API with the one that is written down.
pub fn test(native: &Native, tests: &mut Tests) -> Result<()> {
    let mut maven = command(native, "verify");
    // 10,000 by default; enough to see a classifier that is not freed: one holds 5 MB.
    maven.arg("-Detalase.opens=1000");
    report::run_tests(&mut maven, tests)
}

/// Maven, to take the library through a phase with its tests.
pub fn command(native: &Native, phase: &str) -> Command {
    let root = root();
    let mut maven = Command::new("mvn");
    maven.args(["--batch-mode", "--no-transfer-progress"]);
    // Warnings, errors, and what the tests say.
    maven.args([
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-Dorg.slf4j.simpleLogger.log.org.apache.maven.plugin.surefire=info",
        "-f",
    ]);
    maven.arg(root.join("android/pom.xml")).arg(phase);
    for (name, path) in [
        ("library", native.shared()),
        ("conformance", root.join("tests/conformance")),
        ("bundle", root.join("models/default.etalase")),
        ("target", tested()),
    ] {
        maven.arg(format!("-Detalase.{name}={}", path.display()));
    }
    maven
}

/// Where [`test`] leaves its classes, the examples' among them.
pub fn tested() -> PathBuf {
    native::target().join("kotlin")
}

/// The library as a JAR; `natives`: a folder of native libraries for it to bring along, `<os>-<arch>/libetalase.so`.
pub fn jar(natives: Option<&Path>) -> Result<PathBuf> {
    let name = natives.map_or("kotlin-package", |_| "kotlin-with-natives");
    let folder = native::target().join(name);
    let mut maven = maven(&folder);
    if let Some(natives) = natives {
        maven.arg(format!("-Detalase.natives={}", natives.display()));
    }
    report::run(maven.args(["-Dmaven.test.skip=true", "package"]))?;
    Ok(folder.join(format!("etalase-{}.jar", env!("CARGO_PKG_VERSION"))))
}

/// The libraries that it needs, as Java's class path.
pub fn class_path() -> Result<String> {
    let folder = native::target().join("kotlin-package");
    let list = native::target().join("class-path.txt");
    let mut maven = maven(&folder);
    maven.args(["dependency:build-classpath", "-DincludeScope=runtime"]);
    report::run(maven.arg(format!("-Dmdep.outputFile={}", list.display())))?;
    Ok(std::fs::read_to_string(list)?)
}

fn maven(folder: &Path) -> Command {
    let mut maven = Command::new("mvn");
    maven.args(["--batch-mode", "--no-transfer-progress", "--quiet", "-f"]);
    maven.arg(root().join("android/pom.xml"));
    maven.arg(format!("-Detalase.target={}", folder.display()));
    maven
}
