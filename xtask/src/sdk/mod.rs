//! The native library and what is around it in each language: built, tested, installed.

mod android;
mod c;
mod cross;
mod install;
mod ios;
mod jar;
mod kotlin;
mod macho;
mod native;
mod overhead;
mod pack;
mod swift;

use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;

pub use install::{InstallArgs, run as install};
pub use overhead::run as overhead;

use self::android::AndroidArgs;
use self::ios::IosArgs;
use self::jar::JarArgs;
use self::native::Flavour;
use crate::report::Report;
use crate::{cargo, header, release, report, setup};

const PACKAGES: &str = "Packages for C, C++ and Kotlin";
const NATIVE: &str = "Native library for tests of all languages";
const RUST: &str = "The C ABI and the conformance list in Rust";
const HEADER: &str = "etalase.h is what the sources make of it";
const NOTICES: &str = "Third-party notices and versions are those of Cargo.lock and Cargo.toml";
const C: &str = "C and C++";
const INSTALLED: &str = "Installed library, by pkg-config and CMake";
const KOTLIN: &str = "Kotlin on the JVM";
const JAR: &str = "JAR with the native library";
const SWIFT: &str = "Swift on Linux";
const AAR: &str = "Library for arm64 Android: links, size, alignment";
const TARGETS: &str = "Everything that apps link compiles for every phone";

/// A language of the SDK.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    Rust,
    /// And C++.
    C,
    Kotlin,
    Swift,
}

/// A package of a platform's.
#[derive(clap::Subcommand)]
pub enum Package {
    /// An AAR: for apps with ANDROID_NDK_HOME set, otherwise to see that everything compiles and links
    Android(AndroidArgs),
    /// An XCFramework: for apps on a Mac, otherwise to see that everything compiles and links
    Ios(IosArgs),
    /// A JAR with the native library for this machine, for servers and for tests on a JVM
    Jar(JarArgs),
}

/// `cargo xtask package`.
pub fn package(package: &Package) -> Result<()> {
    match package {
        Package::Android(args) => android::package(args),
        Package::Ios(args) => ios::package(args),
        Package::Jar(args) => jar::package(args),
    }
}

/// `cargo xtask sdk`.
pub fn run(languages: &[Language]) -> Result<ExitCode> {
    let mut report = Report::default();
    test(&mut report, languages);
    Ok(report.finish(true))
}

/// Builds the library and tests it from these languages; none: all.
pub fn test(report: &mut Report, languages: &[Language]) {
    let wanted = |language| languages.is_empty() || languages.contains(&language);
    report.step(PACKAGES, setup::sdk_packages);
    report.step(HEADER, || header::run(true));
    report.step(NOTICES, release::check);
    if wanted(Language::Rust) {
        report.tests(RUST, |tests| {
            let mut command = cargo();
            // Without ONNX, as apps link it; the workspace's tests have it.
            command.args([
                "test",
                "--release",
                "--locked",
                "-p",
                "etalase",
                "-p",
                "etalase-ffi",
            ]);
            command.args(["--no-default-features", "--lib", "--test", "conformance"]);
            command.args(["--features", "etalase/panic-on-demand"]);
            let features = Flavour::Tested.features().split(',');
            for feature in features {
                command.args(["--features", &format!("etalase-ffi/{feature}")]);
            }
            command.env("CARGO_TARGET_DIR", native::target());
            report::run_tests(&mut command, tests)
        });
    }
    if languages.is_empty() {
        match cross::not_here() {
            Some(why) => report.not_run(TARGETS, &why),
            None => {
                report.step(TARGETS, cross::check);
                report.step(AAR, android::test);
            }
        }
    }
    let Some(native) = report.step(NATIVE, || native::build(Flavour::Tested)) else {
        return;
    };
    if wanted(Language::C) {
        report.tests(C, |tests| c::test(&native, tests));
        report.step(INSTALLED, install::test);
    }
    if wanted(Language::Kotlin) {
        report.tests(KOTLIN, |tests| kotlin::test(&native, tests));
        report.step(JAR, || jar::test(&native));
    }
    if wanted(Language::Swift) {
        match crate::swift::not_here() {
            Some(why) => report.not_run(SWIFT, &why),
            None => report.tests(SWIFT, |tests| swift::test(&native, tests)),
        }
    }
}
