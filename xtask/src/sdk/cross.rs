//! The native library for phones: what android.rs and ios.rs share, and the check that it compiles for every target.
//!
//! What ships is built with rustup's standard libraries for phones, and linked by Android's NDK or by Xcode. Where these are
//! not, LLVM's tools take their place, and where rustup cannot help, Debian's compiler compiles the standard library too: that
//! shows that everything compiles and links, and a package's name says that it is no more than that.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{android, ios};
use crate::{arm64, cargo, report, root, setup};

/// What ships must unwind, so that a panic ends a call and not an app.
const STD: &str = "-Zbuild-std=std,panic_unwind";
/// In the names of packages that are not to be shipped.
const CHECKED_ONLY: &str = "-link-checked-only";

/// What is checked, with the features that ship there. The simulator on x86-64 has no lines that these lack.
const CHECKED: [(&str, &str); 5] = [
    ("aarch64-linux-android", android::FEATURES),
    ("armv7-linux-androideabi", android::FEATURES),
    ("x86_64-linux-android", android::FEATURES),
    ("aarch64-apple-ios", ios::FEATURES),
    ("aarch64-apple-ios-sim", ios::FEATURES),
];

/// A folder of its own: other compilers, other artefacts.
pub fn target() -> PathBuf {
    root().join("target").join("cross")
}

/// What cargo built for a target.
pub fn built(target_name: &str, file: &str) -> PathBuf {
    target().join(target_name).join("release").join(file)
}

/// `cargo SUBCOMMAND` of the C ABI for a target; `features`: with commas between.
pub fn library(subcommand: &str, target_name: &str, features: &str) -> Command {
    let mut command = cargo();
    command.args([subcommand, "--release", "--locked", "-p", "etalase-ffi"]);
    command.args(["--lib", "--features", features, "--target", target_name]);
    command.env("CARGO_TARGET_DIR", target());
    command
}

/// Has rustup fetch a target's standard library.
pub fn add_to_rustup(target_name: &str) -> Result<()> {
    report::run(Command::new("rustup").args(["target", "add", target_name]))
}

/// With rustup's standard library for the target; where rustup is not there or cannot fetch it, by Debian's compiler, which
/// compiles one.
pub fn with_standard_library<'a>(
    command: &'a mut Command,
    target_name: &str,
) -> Result<&'a mut Command> {
    if add_to_rustup(target_name).is_ok() {
        return Ok(command);
    }
    setup::cross_packages()?;
    command
        .env("RUSTC", arm64::RUSTC)
        // Building the standard library is not stable; Debian's stable compiler can.
        .env("RUSTC_BOOTSTRAP", "1");
    Ok(command.arg(STD))
}

/// `etalase-0.1.0.aar`, or the name of one that is not to be shipped.
pub fn package_name(name: &str, extension: &str, ships: bool) -> String {
    let mark = if ships { "" } else { CHECKED_ONLY };
    format!("{name}-{}{mark}.{extension}", env!("CARGO_PKG_VERSION"))
}

pub fn create_folder_of(file: &Path) -> Result<()> {
    let folder = file.parent().context("no folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("{}: cannot create", folder.display()))
}

/// Copies files to where they are packed from.
pub fn copy(files: &[(PathBuf, PathBuf)]) -> Result<()> {
    for (from, to) in files {
        create_folder_of(to)?;
        std::fs::copy(from, to).with_context(|| format!("{}: cannot copy", from.display()))?;
    }
    Ok(())
}

/// Why the targets are not to be checked here, if they are not.
pub fn not_here() -> Option<String> {
    let rustup = Command::new("rustup").arg("--version").output();
    let rustup = rustup.is_ok_and(|output| output.status.success());
    if rustup || setup::cross_complete() || setup::is_debian() {
        return None;
    }
    Some(format!(
        "set up by itself on Debian or by rustup; elsewhere it needs {} with its library's sources",
        arm64::RUSTC
    ))
}

/// Compiles what apps link for every target, without warnings, so that no platform's own lines rot. No code is generated.
pub fn check() -> Result<()> {
    let mut outcomes = Vec::new();
    let mut failed = Vec::new();
    for (target, features) in CHECKED {
        let mut command = library("check", target, features);
        // Cargo caps the warnings of dependencies: this means ours alone.
        command.env("RUSTFLAGS", "-D warnings");
        // Also keeps what is made here apart from what packages are made of.
        command.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0");
        let outcome = match report::run(with_standard_library(&mut command, target)?) {
            Ok(()) => "ok",
            Err(_) => {
                failed.push(target);
                "FAILED"
            }
        };
        outcomes.push(format!("{target}: {outcome}"));
    }
    println!("{}", outcomes.join("\n"));
    if !failed.is_empty() {
        bail!("does not compile without warnings: {}", failed.join(", "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_is_not_to_be_shipped_says_so() {
        let version = env!("CARGO_PKG_VERSION");
        let name = package_name("etalase", "aar", true);
        assert_eq!(name, format!("etalase-{version}.aar"));
        let name = package_name("etalase", "aar", false);
        assert_eq!(name, format!("etalase-{version}-link-checked-only.aar"));
    }
}
