//! `cargo xtask install`: library, headers, a pkg-config file and a CMake package under a prefix.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::native::{self, Flavour, Native, SYSTEM_LIBRARIES, soname};
use crate::{release, report, root};

/// What is installed, and where.
#[derive(clap::Args)]
pub struct InstallArgs {
    /// The folder that gets include, lib and share
    #[arg(long, value_name = "DIR", default_value = "/usr/local")]
    prefix: PathBuf,
    /// Put the default bundle (2.7 MB) into the library, for etalase_open_default
    #[arg(long)]
    default_bundle: bool,
    /// Let the library read ONNX models too, beside the plans that every bundle carries
    #[arg(long)]
    onnx: bool,
}

/// Builds and installs.
pub fn run(args: &InstallArgs) -> Result<()> {
    let native = native::build(Flavour::Installed {
        default_bundle: args.default_bundle,
        onnx: args.onnx,
    })?;
    let prefix = std::path::absolute(&args.prefix)?;
    install(&native, &prefix, args.onnx)?;
    println!("installed under {}", prefix.display());
    Ok(())
}

fn install(native: &Native, prefix: &Path, onnx: bool) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let include = prefix.join("include");
    let lib = prefix.join("lib");
    let headers = root().join("ffi/include");
    for header in ["etalase.h", "etalase.hpp"] {
        copy(&headers.join(header), &include.join(header))?;
    }
    copy(&native.archive(), &lib.join("libetalase.a"))?;
    copy(&native.shared(), &lib.join(soname()))?;
    let link = lib.join("libetalase.so");
    let _ = std::fs::remove_file(&link);
    #[cfg(unix)]
    std::os::unix::fs::symlink(soname(), &link)
        .with_context(|| format!("{}: cannot create", link.display()))?;

    let config = lib.join("cmake/Etalase");
    let templates = root().join("ffi/install");
    let private = SYSTEM_LIBRARIES.join(" ");
    let names: Vec<&str> = SYSTEM_LIBRARIES
        .iter()
        .map(|library| library.trim_start_matches("-l"))
        .collect();
    for (template, to) in [
        ("etalase.pc.in", lib.join("pkgconfig/etalase.pc")),
        ("EtalaseConfig.cmake.in", config.join("EtalaseConfig.cmake")),
        (
            "EtalaseConfigVersion.cmake.in",
            config.join("EtalaseConfigVersion.cmake"),
        ),
    ] {
        let path = templates.join(template);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("{}: cannot read", path.display()))?
            .replace("@VERSION@", version)
            .replace("@SONAME@", &soname())
            .replace("@SYSTEM_FLAGS@", &private)
            .replace("@SYSTEM_LIBRARIES@", &names.join(";"));
        write(&to, text.as_bytes())?;
    }
    let documents = prefix.join("share/doc/etalase");
    for licence in ["LICENSE-APACHE", "LICENSE-MIT", "NOTICE.md"] {
        copy(&root().join(licence), &documents.join(licence))?;
    }
    copy(
        &release::notices_file(onnx),
        &documents.join("THIRD_PARTY_NOTICES.md"),
    )
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let bytes = std::fs::read(from).with_context(|| format!("{}: cannot read", from.display()))?;
    write(to, &bytes)
}

/// Beside first, then renamed: a program that has the old library open keeps it whole.
fn write(to: &Path, bytes: &[u8]) -> Result<()> {
    let folder = to.parent().context("no folder")?;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{}: cannot create", folder.display()))?;
    let part = to.with_extension("part");
    std::fs::write(&part, bytes)
        .and_then(|()| std::fs::rename(&part, to))
        .with_context(|| format!("{}: cannot write", to.display()))
}

/// Installs, moves the folder, and builds the examples with what pkg-config and CMake find there.
pub fn test() -> Result<()> {
    let native = native::build(Flavour::Installed {
        default_bundle: false,
        onnx: false,
    })?;
    let out = native::target().join("installed");
    let _ = std::fs::remove_dir_all(&out);
    let first = out.join("first");
    install(&native, &first, false)?;
    // What was installed may be moved: a package's staging folder, an SDK in a home.
    let prefix = out.join("moved");
    std::fs::rename(&first, &prefix)?;

    let examples = root().join("examples");
    for (how, options) in [("shared", &[][..]), ("static", &["--static"][..])] {
        let flags = Command::new("pkg-config")
            .env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"))
            .args(["--define-prefix", "--cflags", "--libs", "etalase"])
            .args(options)
            .output()
            .context("pkg-config")?;
        let flags = String::from_utf8(flags.stdout)?;
        let program = out.join(format!("classify-{how}"));
        let mut compiler = Command::new("gcc");
        compiler
            .arg(examples.join("c/classify.c"))
            .arg("-o")
            .arg(&program);
        // With both libraries there a linker takes the shared one; the static one has to be named.
        let archive = prefix.join("lib/libetalase.a").display().to_string();
        compiler.args(flags.split_whitespace().map(|flag| match (how, flag) {
            ("static", "-letalase") => archive.as_str(),
            _ => flag,
        }));
        report::run(&mut compiler)?;
        report::run(&mut example(&program, &prefix))?;
    }

    let build = out.join("cmake");
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(&examples).arg("-B").arg(&build);
    configure.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display()));
    report::run(&mut configure)?;
    report::run(Command::new("cmake").arg("--build").arg(&build))?;
    for program in ["classify_c", "classify_cpp", "classify_c_static"] {
        report::run(&mut example(&build.join(program), &prefix))?;
    }
    Ok(())
}

fn example(program: &Path, prefix: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg(root().join("models/default.etalase"));
    command.arg(root().join("tests/data/sample.jpg"));
    command.env("LD_LIBRARY_PATH", prefix.join("lib"));
    command
}
