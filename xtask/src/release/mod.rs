//! `cargo xtask release`: what goes with the packages besides code. Notices of third parties (committed, compared by the
//! tests), the bill of materials (SBOM), checksums of everything in the folder of packages.
//!
//! The packages themselves come from `cargo xtask package`, Maven and cargo; docs/releasing.md has the order.

mod crates;
mod maven;
mod notices;
mod sbom;
mod versions;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::{report, root, setup};

/// What is made, and where.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    part: Option<Part>,
    /// The folder of packages
    #[arg(long, value_name = "DIR", default_value = "target/packages")]
    out: PathBuf,
}

#[derive(clap::Subcommand)]
enum Part {
    /// Writes THIRD_PARTY_NOTICES.md and THIRD_PARTY_NOTICES_ONNX.md from Cargo.lock and android/pom.xml
    Notices {
        /// Compare instead of writing
        #[arg(long)]
        check: bool,
    },
    /// Validates the bill of materials by CycloneDX's official schema
    Validate,
}

/// A way to build the library, and the notices that go with it.
struct Build {
    features: &'static str,
    notices: &'static str,
    what: &'static str,
}

/// What apps link: all that Android, iOS and C programs get.
const APPS: Build = Build {
    features: "jni",
    notices: "THIRD_PARTY_NOTICES.md",
    what: "the library that apps link",
};
const WITH_ONNX: Build = Build {
    features: "jni,onnx",
    notices: "THIRD_PARTY_NOTICES_ONNX.md",
    what: "the library built with the feature `onnx` (`cargo xtask install --onnx`)",
};

/// The notices of a build with or without ONNX, to be packed as THIRD_PARTY_NOTICES.md.
pub fn notices_file(onnx: bool) -> PathBuf {
    let build = if onnx { WITH_ONNX } else { APPS };
    root().join(build.notices)
}

/// `cargo xtask release`.
pub fn run(args: &Args) -> Result<()> {
    match args.part {
        Some(Part::Notices { check }) => notices(check),
        Some(Part::Validate) => validate_sbom(),
        None => complete(&root().join(&args.out)),
    }
}

/// Adds to a folder of packages what goes with them, if everything is of one version.
fn complete(out: &Path) -> Result<()> {
    check()?;
    let version = env!("CARGO_PKG_VERSION");
    write_sbom(&out.join(format!("etalase-{version}.cdx.json")))?;
    write(
        &out.join(APPS.notices),
        &std::fs::read_to_string(notices_file(false))?,
    )?;
    let sums = checksums(out)?;
    write(&out.join(SUMS), &sums)?;
    print!("{sums}");
    if sums.contains("-link-checked-only") {
        println!("link-checked only: not to be published");
    }
    Ok(())
}

/// That the notices are those of Cargo.lock, and that every file names the same version.
pub fn check() -> Result<()> {
    versions::check()?;
    notices(true)
}

/// That the bill of materials is CycloneDX by its official schema.
pub fn validate_sbom() -> Result<()> {
    let python = setup::sbom_python()?;
    let sbom = root().join("target/sbom/etalase.cdx.json");
    write_sbom(&sbom)?;
    let mut validate = std::process::Command::new(python);
    validate.arg(root().join("xtask/validate_sbom.py"));
    report::run(validate.arg(sbom))
}

fn notices(check: bool) -> Result<()> {
    for build in [APPS, WITH_ONNX] {
        let path = root().join(build.notices);
        let made = notices::made(&build)?;
        if std::fs::read_to_string(&path).is_ok_and(|there| there == made) {
            continue;
        }
        if check {
            bail!(
                "{} is not what Cargo.lock and android/pom.xml make of it: cargo xtask release notices",
                path.display()
            );
        }
        write(&path, &made)?;
    }
    Ok(())
}

fn write_sbom(path: &Path) -> Result<()> {
    let sbom = sbom::made(&crates::linked(APPS.features)?, &maven::libraries()?)?;
    write(path, &format!("{sbom:#}\n"))
}

const SUMS: &str = "SHA256SUMS";

/// As `sha256sum` writes them, of all files in a folder, by name; `sha256sum --check` reads them.
fn checksums(folder: &Path) -> Result<String> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() && entry.file_name() != SUMS {
            files.push(entry.path());
        }
    }
    files.sort();
    let mut sums = String::new();
    for file in files {
        let bytes =
            std::fs::read(&file).with_context(|| format!("{}: cannot read", file.display()))?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        sums += &format!("{}  {name}\n", hexadecimal(&Sha256::digest(bytes)));
    }
    Ok(sums)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().context("no folder")?;
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(path, text))
        .with_context(|| format!("{}: cannot write", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_sha256sum() {
        let folder = std::env::temp_dir().join(format!("etalase-sums-{}", std::process::id()));
        for (name, text) in [("b", "abc"), ("a", ""), (SUMS, "old")] {
            write(&folder.join(name), text).unwrap();
        }
        let sums = checksums(&folder).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a";
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  b";
        assert_eq!(sums, format!("{empty}\n{abc}\n"));
    }
}
