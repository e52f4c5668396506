//! The Swift package, tested on Linux.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::native::{self, Native};
use crate::report::{self, Tests};
use crate::root;
use crate::swift::{self, Swift};

/// The package's manifest selects 6. Given on the command line it would also hold for the runner that XCTest's generator
/// writes, which has warnings of its own.
const MODE_5: [&str; 4] = ["-Xswiftc", "-swift-version", "-Xswiftc", "5"];

/// Runs its tests and the sample app's in both language modes, warnings being errors, and the example.
pub fn test(native: &Native, tests: &mut Tests) -> Result<()> {
    let swift = swift::toolchain()?;
    let package = Package {
        swift: &swift,
        native,
    };
    // SwiftPM doesn't see that a library it linked has changed.
    let _ = std::fs::remove_dir_all(scratch());
    std::fs::create_dir_all(scratch())?;
    let mut test = package.command("ios", "test", "6");
    report::run_tests(&mut test, tests)?;
    let mut test = package.command("ios", "test", "5");
    // What a mode of the language changes is seen by compiling.
    report::run_tests(test.args(MODE_5).env("ETALASE_OPENS", "100"), tests)?;

    // The sample app without its views, which need Apple's frameworks.
    let mut test = package.command("examples/ios-app", "test", "sample-6");
    report::run_tests(&mut test, tests)?;
    let mut test = package.command("examples/ios-app", "test", "sample-5");
    report::run_tests(test.args(MODE_5), tests)?;

    report::run(&mut package.command("examples/swift", "build", "example"))?;
    let program = scratch().join("example/debug/Classify");
    let root = root();
    let mut example = swift.command(&program.to_string_lossy(), &root, &[]);
    example.args(["models/default.etalase", "tests/data/sample.jpg"]);
    report::run(&mut example)
}

/// The measurement of its calls, optimized as apps are; none where there is no Swift.
pub fn overhead(native: &Native) -> Result<Option<Command>> {
    if swift::not_here().is_some() {
        return Ok(None);
    }
    let swift = swift::toolchain()?;
    let package = Package {
        swift: &swift,
        native,
    };
    let _ = std::fs::remove_dir_all(scratch().join("release"));
    std::fs::create_dir_all(scratch())?;
    let mut test = package.command("ios", "test", "release");
    test.args(["-c", "release", "-Xswiftc", "-enable-testing"]);
    test.args(["--filter", "OverheadTests"]);
    Ok(Some(test))
}

fn scratch() -> PathBuf {
    native::target().join("swift")
}

struct Package<'a> {
    swift: &'a Swift,
    native: &'a Native,
}

impl Package<'_> {
    /// `swift SUBCOMMAND` of the package in `folder`, built in a folder named `build`.
    fn command(&self, folder: &str, subcommand: &str, build: &str) -> Command {
        let root = root();
        let mut command = self.swift.command("swift", &root.join(folder), &[&root]);
        command.arg(subcommand).arg("--scratch-path");
        command.arg(scratch().join(build));
        command.args(["-Xswiftc", "-warnings-as-errors"]);
        for (name, value) in [
            ("ETALASE_CONFORMANCE", root.join("tests/conformance")),
            ("ETALASE_BUNDLE", root.join("models/default.etalase")),
            ("ETALASE_LIBRARY_DIR", self.native.folder.join("static")),
        ] {
            command.env(name, value);
        }
        command.env("ETALASE_OPENS", OPENS);
        command
    }
}

/// Enough to see a classifier that is not freed: one holds 5 MB.
const OPENS: &str = "1000";
