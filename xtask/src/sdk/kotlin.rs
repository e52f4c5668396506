//! The Kotlin library, built and tested by Maven on this machine's JVM.

use std::process::Command;

use anyhow::Result;

use super::native::Native;
use crate::report::{self, Tests};
use crate::root;

/// Compiles it, runs its tests, compares its public API with the one that is written down.
pub fn test(native: &Native, tests: &mut Tests) -> Result<()> {
    let root = root();
    let mut maven = Command::new("mvn");
    maven.args(["--batch-mode", "--no-transfer-progress"]);
    // Warnings, errors, and what the tests say.
    maven.args([
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-Dorg.slf4j.simpleLogger.log.org.apache.maven.plugin.surefire=info",
        "-f",
    ]);
    maven.arg(root.join("android/pom.xml")).arg("verify");
    for (name, path) in [
        ("library", native.shared()),
        ("conformance", root.join("tests/conformance")),
        ("bundle", root.join("models/default.etalase")),
        ("target", root.join("target/sdk/kotlin")),
    ] {
        maven.arg(format!("-Detalase.{name}={}", path.display()));
    }
    // 10,000 by default; enough to see a classifier that is not freed: one holds 5 MB.
    maven.arg("-Detalase.opens=1000");
    report::run_tests(&mut maven, tests)
}
