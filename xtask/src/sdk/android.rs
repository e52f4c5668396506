//! `cargo xtask package android`: an AAR with the native library for every ABI, the Kotlin library's classes, its R8 rules.
//!
//! With ANDROID_NDK_HOME the NDK links. Without, LLVM does (see cross.rs), against empty stand-ins for Android's libraries,
//! which shows size and alignment, too; that is not to be shipped, for what unwinds panics on Android is the NDK's.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::kotlin;
use super::{cross, native, pack};
use crate::{report, root, setup};

/// What is packed, and where to.
#[derive(clap::Args)]
pub struct AndroidArgs {
    /// ABIs; all by default
    #[arg(long = "abi", value_name = "ABI", value_parser = ABIS.map(|abi| abi.name))]
    abis: Vec<String>,
    /// The folder that gets the AAR
    #[arg(long, value_name = "DIR", default_value = "target/packages")]
    out: PathBuf,
}

/// A processor as Android, Rust, clang and lld call it.
struct Abi {
    name: &'static str,
    target: &'static str,
    clang: &'static str,
    lld: &'static str,
}

const ABIS: [Abi; 3] = [
    Abi {
        name: "arm64-v8a",
        target: "aarch64-linux-android",
        clang: "aarch64-linux-android",
        lld: "aarch64elf",
    },
    Abi {
        name: "armeabi-v7a",
        target: "armv7-linux-androideabi",
        clang: "armv7a-linux-androideabi",
        lld: "armelf_linux_eabi",
    },
    Abi {
        name: "x86_64",
        target: "x86_64-linux-android",
        clang: "x86_64-linux-android",
        lld: "elf_x86_64",
    },
];

/// What the Kotlin library calls.
pub const FEATURES: &str = "jni";
/// Android 7.0.
const MIN_SDK: u32 = 24;
/// The most that a stripped library may have, without a model.
const MOST_BYTES: u64 = 5_000_000;
/// Devices with pages of 16 KB load nothing that is aligned to less.
const PAGE_BYTES: u64 = 16_384;
/// Libraries of Android's that ours links.
const SYSTEM: [&str; 5] = ["c", "m", "dl", "log", "jnigraphics"];

/// One ABI, to see that it links and keeps to size and alignment.
pub fn test() -> Result<()> {
    package(&AndroidArgs {
        abis: vec!["arm64-v8a".into()],
        out: cross::target().join("packages"),
    })
}

/// Builds, checks and packs.
pub fn package(args: &AndroidArgs) -> Result<()> {
    let ndk = std::env::var_os("ANDROID_NDK_HOME").filter(|folder| !folder.is_empty());
    let ndk = ndk
        .map(|folder| Ndk::find(Path::new(&folder)))
        .transpose()?;
    setup::sdk_packages()?;
    if ndk.is_none() {
        setup::cross_packages()?;
    }
    let staging = native::target().join("aar");
    let _ = std::fs::remove_dir_all(&staging);
    let wanted = |abi: &&Abi| args.abis.is_empty() || args.abis.iter().any(|name| name == abi.name);
    for abi in ABIS.iter().filter(wanted) {
        let built = match &ndk {
            Some(ndk) => ndk.build(abi)?,
            None => build_against_stubs(abi)?,
        };
        let library = staging.join("jni").join(abi.name).join("libetalase.so");
        cross::create_folder_of(&library)?;
        let strip = ndk
            .as_ref()
            .map_or("llvm-strip".into(), |ndk| ndk.tool("llvm-strip"));
        let mut command = Command::new(strip);
        report::run(command.arg("-o").arg(&library).arg(built))?;
        check(&library).with_context(|| format!("{}: {}", abi.name, library.display()))?;
    }

    let folder = root().join("android");
    cross::copy(&[
        (kotlin::jar(None)?, staging.join("classes.jar")),
        (
            folder.join("consumer-rules.pro"),
            staging.join("proguard.txt"),
        ),
    ])?;
    std::fs::write(staging.join("AndroidManifest.xml"), manifest())?;
    // No resources: the list of them is empty, but has to be there.
    std::fs::write(staging.join("R.txt"), "")?;

    let name = cross::package_name("etalase", "aar", ndk.is_some());
    let aar = root().join(&args.out).join(name);
    pack::pack(&staging, &aar)?;
    println!("{}", aar.display());
    if ndk.is_none() {
        println!("link-checked only: set ANDROID_NDK_HOME for one to ship");
    }
    Ok(())
}

/// Not among the sources: there Gradle takes the name and the version from build.gradle.kts, and refuses them here.
fn manifest() -> String {
    format!(
        "<manifest xmlns:android=\"http://schemas.android.com/apk/res/android\" package=\"io.github.etalase\">\n    \
         <uses-sdk android:minSdkVersion=\"{MIN_SDK}\" />\n</manifest>\n"
    )
}

/// Android's own compiler and linkers.
struct Ndk {
    bin: PathBuf,
}

impl Ndk {
    fn find(ndk: &Path) -> Result<Ndk> {
        let hosts = ndk.join("toolchains/llvm/prebuilt");
        let mut hosts = std::fs::read_dir(&hosts)
            .with_context(|| format!("ANDROID_NDK_HOME: {}: cannot be read", hosts.display()))?;
        let host = hosts.next().context("ANDROID_NDK_HOME: no toolchain")??;
        Ok(Ndk {
            bin: host.path().join("bin"),
        })
    }

    fn tool(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    fn build(&self, abi: &Abi) -> Result<PathBuf> {
        cross::add_to_rustup(abi.target)?;
        let mut command = build_command(abi);
        let linker = self.tool(&format!("{}{MIN_SDK}-clang", abi.clang));
        command.env(linker_variable(abi), linker);
        report::run(&mut command)?;
        Ok(built(abi))
    }
}

/// Builds without the NDK, and links against stand-ins.
fn build_against_stubs(abi: &Abi) -> Result<PathBuf> {
    let stubs = stubs(abi)?;
    let mut command = build_command(abi);
    command.env(linker_variable(abi), "clang");
    cross::with_standard_library(&mut command, abi.target)?.arg("--");
    command.arg("-L").arg(format!("native={}", stubs.display()));
    let mut link = |argument: String| {
        command.arg("-C").arg(format!("link-arg={argument}"));
    };
    link(format!("--target={}{MIN_SDK}", abi.clang));
    link("-fuse-ld=lld".into());
    link("-nostdlib".into());
    link(format!("-L{}", stubs.display()));
    link("-Wl,--unresolved-symbols=ignore-all".into());
    link("-Wl,--no-as-needed".into());
    for library in SYSTEM {
        link(format!("-l{library}"));
    }
    report::run(&mut command)?;
    Ok(built(abi))
}

fn build_command(abi: &Abi) -> Command {
    let mut command = cross::library("rustc", abi.target, FEATURES);
    command.args(["--crate-type", "cdylib"]);
    command
}

fn built(abi: &Abi) -> PathBuf {
    cross::built(abi.target, "libetalase_ffi.so")
}

fn linker_variable(abi: &Abi) -> String {
    let target = abi.target.to_uppercase().replace('-', "_");
    format!("CARGO_TARGET_{target}_LINKER")
}

/// Android's libraries by name, with nothing in them.
fn stubs(abi: &Abi) -> Result<PathBuf> {
    let folder = cross::target().join("stubs").join(abi.name);
    std::fs::create_dir_all(&folder)?;
    let (source, object) = (folder.join("empty.c"), folder.join("empty.o"));
    std::fs::write(&source, "")?;
    let mut compiler = Command::new("clang");
    compiler.arg(format!("--target={}{MIN_SDK}", abi.clang));
    report::run(compiler.arg("-c").arg(&source).arg("-o").arg(&object))?;
    for library in SYSTEM {
        let name = format!("lib{library}.so");
        let mut linker = Command::new("ld.lld");
        linker.args(["-m", abi.lld, "-shared", "-soname", &name]);
        report::run(linker.arg("-o").arg(folder.join(&name)).arg(&object))?;
    }
    for archive in ["libunwind.a", "libgcc.a"] {
        report::run(Command::new("llvm-ar").arg("crs").arg(folder.join(archive)))?;
    }
    Ok(folder)
}

/// Size, and the alignment of everything that is loaded.
fn check(library: &Path) -> Result<()> {
    let bytes = std::fs::metadata(library)?.len();
    println!("{}: {bytes} bytes", library.display());
    if bytes > MOST_BYTES {
        bail!("{bytes} bytes; at most {MOST_BYTES} are allowed");
    }
    let output = Command::new("readelf")
        .args(["--program-headers", "--wide"])
        .arg(library)
        .output()
        .context("readelf")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let alignments = alignments(&text);
    if alignments.is_empty() || alignments.iter().any(|alignment| *alignment < PAGE_BYTES) {
        bail!("segments are aligned to {alignments:?} bytes; {PAGE_BYTES} are needed");
    }
    Ok(())
}

/// The alignment of each LOAD segment in readelf's table.
fn alignments(table: &str) -> Vec<u64> {
    let segments = table.lines().filter(|line| line.trim().starts_with("LOAD"));
    let last = segments.filter_map(|line| line.split_whitespace().last());
    last.filter_map(|hexadecimal| {
        u64::from_str_radix(hexadecimal.trim_start_matches("0x"), 16).ok()
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alignments_are_read_from_readelf() {
        let table = "  Type  Offset  Align\n  PHDR 0x40 0x8\n  LOAD 0x0 0x06e60c R   0x4000\n  LOAD 0x1 RW  0x1000\n";
        assert_eq!(alignments(table), [0x4000, 0x1000]);
    }

    #[test]
    fn the_package_says_what_gradle_says() {
        let gradle = std::fs::read_to_string(root().join("android/build.gradle.kts")).unwrap();
        assert!(gradle.contains("namespace = \"io.github.etalase\""));
        assert!(gradle.contains(&format!("minSdk = {MIN_SDK}\n")));
        assert!(manifest().contains("package=\"io.github.etalase\""));
    }

    #[test]
    fn cargo_finds_a_linker_by_its_target() {
        assert_eq!(
            linker_variable(&ABIS[0]),
            "CARGO_TARGET_AARCH64_LINUX_ANDROID_LINKER"
        );
    }
}
