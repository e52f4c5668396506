//! `cargo xtask package jar`: the Kotlin library with the native library for this machine inside, for servers and tests on a JVM.
//!
//! A JAR for each kind of machine, named as Maven names such variants. The native library lies where the Kotlin library's
//! loader looks, `natives/<os>-<arch>/`, so that JARs of several machines may be on one class path.

use std::env::consts::{ARCH, DLL_SUFFIX, OS};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::native::{self, Flavour, Native};
use super::{cross, kotlin};
use crate::{report, root, setup};

/// What is packed, and where to.
#[derive(clap::Args)]
pub struct JarArgs {
    /// Put the default bundle (2.7 MB) into the library, for Classifier.openDefault
    #[arg(long)]
    default_bundle: bool,
    /// The folder that gets the JAR
    #[arg(long, value_name = "DIR", default_value = "target/packages")]
    out: PathBuf,
}

/// Builds and packs.
pub fn package(args: &JarArgs) -> Result<()> {
    setup::sdk_packages()?;
    let native = native::build(Flavour::Jvm {
        default_bundle: args.default_bundle,
    })?;
    let jar = pack(&native, &root().join(&args.out))?;
    println!("{}", jar.display());
    Ok(())
}

fn pack(native: &Native, out: &Path) -> Result<PathBuf> {
    let natives = native.folder.join("natives");
    let library = natives
        .join(format!("{OS}-{ARCH}"))
        .join(format!("libetalase{DLL_SUFFIX}"));
    cross::create_folder_of(&library)?;
    let mut strip = Command::new("strip");
    strip.args(["-S", "-x", "-o"]).arg(&library);
    report::run(strip.arg(native.shared()))?;
    let version = env!("CARGO_PKG_VERSION");
    let jar = out.join(format!("etalase-{version}-{OS}-{ARCH}.jar"));
    cross::copy(&[(kotlin::jar(Some(&natives))?, jar.clone())])?;
    Ok(jar)
}

/// The example, as anybody starts a program: nothing but JARs tells it where the native library is. [`kotlin::test`] has
/// compiled it.
pub fn test(native: &Native) -> Result<()> {
    let jar = pack(native, &native.folder)?;
    let classes = kotlin::tested().join("test-classes");
    let mut java = Command::new("java");
    java.arg("-cp").arg(format!(
        "{}:{}:{}",
        jar.display(),
        classes.display(),
        kotlin::class_path()?.trim()
    ));
    java.arg("ClassifyKt");
    java.arg(root().join("models/default.etalase"));
    java.arg(root().join("tests/data/sample.jpg"));
    report::run(&mut java)
}
