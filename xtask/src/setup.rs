//! Installs what the trainer and the tests need: system packages, Python packages, libtorch.
//!
//! Written for a fresh Debian 12 with Rust and python3; elsewhere it uses what is there and says
//! what is missing. Every part is checked first and done once; what is slow is kept under
//! ETALASE_CACHE (default ~/.cache/etalase) and shared by all checkouts.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::arm64;
use crate::report::{self, Report};

const REQUIREMENTS: &str = include_str!("../../tests/reference/requirements.txt");
const BENCH_REQUIREMENTS: &str = include_str!("../../bench/requirements.txt");
const MORE_REQUIREMENTS: &str = include_str!("../../bench/requirements-more.txt");
const TRAINING_REQUIREMENTS: &str = include_str!("../../bench/requirements-training.txt");
const SBOM_REQUIREMENTS: &str = include_str!("../sbom_requirements.txt");
const LIBTORCH_VERSION: &str = "2.11.0";

/// `cargo xtask setup`.
pub fn run() -> Result<ExitCode> {
    let mut report = Report::default();
    report.step("System packages", system_packages);
    if arm64::not_here().is_none() {
        report.step("arm64 compiler and qemu", arm64_packages);
    }
    let python = report.step("Python packages", python);
    report.step("libtorch", || libtorch(|| made(&python)).map(|_| ()));
    Ok(report.finish(false))
}

// --- system packages

struct Package {
    debian: &'static str,
    purpose: &'static str,
    present: fn() -> bool,
}

const PACKAGES: [Package; 5] = [
    Package {
        debian: "gcc",
        purpose: "C compiler",
        present: || succeeds("gcc", &["--version"]),
    },
    Package {
        debian: "g++",
        purpose: "C++ compiler, for tch",
        present: || succeeds("g++", &["--version"]),
    },
    Package {
        debian: "binutils",
        purpose: "ar and ld",
        present: || succeeds("ar", &["--version"]),
    },
    Package {
        debian: "libhdf5-dev",
        purpose: "HDF5, for Keras weight files",
        present: has_hdf5,
    },
    Package {
        debian: "python3-venv",
        purpose: "Python 3.11 or newer with venv, for the reference tests",
        present: || base_python().is_some(),
    },
];

const RUSTC_WEB: Package = Package {
    debian: "rustc-web",
    purpose: "Rust compiler that goes with Debian's standard libraries",
    present: || succeeds(arm64::RUSTC, &["--version"]),
};

const CLANG: Package = Package {
    debian: "clang",
    purpose: "second C and C++ compiler, and one for phones",
    present: || succeeds("clang++", &["--version"]),
};

/// What arm64 kernels are built with and run on, see [`crate::arm64`].
const ARM64_PACKAGES: [Package; 5] = [
    RUSTC_WEB,
    Package {
        debian: "libstd-rust-web-dev:arm64",
        purpose: "Rust's standard library for arm64",
        present: has_arm64_std,
    },
    Package {
        debian: "gcc-aarch64-linux-gnu",
        purpose: "linker for arm64",
        present: || succeeds(arm64::LINKER, &["--version"]),
    },
    Package {
        debian: "libc6-dev-arm64-cross",
        purpose: "C library for arm64",
        present: || Path::new("/usr/aarch64-linux-gnu/lib/libc.so.6").exists(),
    },
    Package {
        debian: "qemu-user",
        purpose: "runs arm64 programs",
        present: || succeeds(arm64::QEMU, &["--version"]),
    },
];

/// What C, C++ and Kotlin are tested with, see [`crate::sdk`].
const SDK_PACKAGES: [Package; 5] = [
    CLANG,
    Package {
        debian: "valgrind",
        purpose: "finds wrong memory accesses",
        present: || succeeds("valgrind", &["--version"]),
    },
    Package {
        debian: "pkg-config",
        purpose: "finds the installed library",
        present: || succeeds("pkg-config", &["--version"]),
    },
    Package {
        debian: "cmake",
        purpose: "finds the installed library",
        present: || succeeds("cmake", &["--version"]),
    },
    Package {
        debian: "maven",
        purpose: "builds and tests the Kotlin library",
        present: || succeeds("mvn", &["--version"]),
    },
];

/// What the library for phones is compiled and linked with where there is neither NDK nor Xcode, see [`crate::sdk`].
const CROSS_PACKAGES: [Package; 5] = [
    RUSTC_WEB,
    CLANG,
    Package {
        debian: "rust-web-src",
        purpose: "Rust's standard library to compile",
        present: || Path::new("/usr/lib/rustlib/src/rust/library/Cargo.toml").exists(),
    },
    Package {
        debian: "lld",
        purpose: "linker for Android and iOS",
        present: || succeeds("ld.lld", &["--version"]),
    },
    Package {
        debian: "llvm",
        purpose: "llvm-ar, llvm-lipo and llvm-strip",
        present: || succeeds("llvm-strip", &["--version"]),
    },
];

/// What brings another Debian's Swift and runs it, see [`crate::swift`].
const SWIFT_PACKAGES: [Package; 2] = [
    Package {
        debian: "mmdebstrap",
        purpose: "extracts packages of another Debian into a folder",
        present: || succeeds("mmdebstrap", &["--version"]),
    },
    Package {
        debian: "bubblewrap",
        purpose: "runs programs with a root of their own",
        present: || succeeds("bwrap", &["--version"]),
    },
];

/// What does bubblewrap's work where mounting is not permitted.
const PROOT: [Package; 1] = [Package {
    debian: "proot",
    purpose: "runs programs with a root of their own, without mounting",
    present: || succeeds("proot", &["--version"]),
}];

/// Installs the packages that are missing, with apt where there is one.
pub fn system_packages() -> Result<()> {
    install_missing(&PACKAGES, None)
}

/// As [`system_packages`], for arm64's kernels. Debian's packages of another architecture have
/// to be asked for first.
pub fn arm64_packages() -> Result<()> {
    install_missing(&ARM64_PACKAGES, Some("arm64"))
}

/// As [`system_packages`], for [`crate::sdk`].
pub fn sdk_packages() -> Result<()> {
    install_missing(&SDK_PACKAGES, None)
}

/// As [`system_packages`], for phones without NDK and Xcode.
pub fn cross_packages() -> Result<()> {
    install_missing(&CROSS_PACKAGES, None)
}

/// As [`system_packages`], for [`crate::swift`].
pub fn swift_packages() -> Result<()> {
    install_missing(&SWIFT_PACKAGES, None)
}

/// As [`swift_packages`], where mounting is not permitted.
pub fn proot() -> Result<()> {
    install_missing(&PROOT, None)
}

/// Whether [`arm64_packages`] has nothing to do.
pub fn arm64_complete() -> bool {
    ARM64_PACKAGES.iter().all(|package| (package.present)())
}

/// Whether [`cross_packages`] has nothing to do.
pub fn cross_complete() -> bool {
    CROSS_PACKAGES.iter().all(|package| (package.present)())
}

/// Whether apt gives Debian's packages here.
pub fn is_debian() -> bool {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    release.lines().any(|line| line == "ID=debian") && succeeds("apt-get", &["--version"])
}

fn install_missing(packages: &[Package], architecture: Option<&str>) -> Result<()> {
    let missing: Vec<&Package> = packages
        .iter()
        .filter(|package| !(package.present)())
        .collect();
    if missing.is_empty() {
        let names: Vec<&str> = packages.iter().map(|package| package.debian).collect();
        eprintln!("all there: {}", names.join(", "));
        return Ok(());
    }
    let what = missing
        .iter()
        .map(|p| format!("{} ({})", p.debian, p.purpose))
        .collect::<Vec<_>>()
        .join(", ");
    println!("missing: {what}");
    if !succeeds("apt-get", &["--version"]) {
        bail!(
            "missing: {what}; there is no apt-get here, so install these with your own package manager"
        );
    }
    let names: Vec<&str> = missing.iter().map(|package| package.debian).collect();
    let add = architecture.map(|name| format!("dpkg --add-architecture {name} && "));
    let manually = format!(
        "{}apt-get update && apt-get install -y {}",
        add.unwrap_or_default(),
        names.join(" ")
    );
    let prefix: &[&str] = if is_root() {
        &[]
    } else if !succeeds("sudo", &["--version"]) {
        bail!("missing: {what}; neither root nor sudo here, so run as root: {manually}");
    } else if std::io::stdin().is_terminal() {
        &["sudo"]
    } else {
        // Nobody is there to type a password: fail instead of waiting for one.
        &["sudo", "-n"]
    };
    let as_root = |words: &[&str]| {
        let words = [prefix, words].concat();
        report::run(Command::new(words[0]).args(&words[1..]))
    };
    let apt = |arguments: &[&str]| {
        let apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"];
        as_root(&[&apt, arguments].concat())
    };
    let updated = match architecture {
        Some(name) => as_root(&["dpkg", "--add-architecture", name]),
        None => Ok(()),
    }
    .and_then(|()| apt(&["update", "-q"]));
    let installed = updated.and_then(|()| {
        let mut arguments = vec!["install", "-y", "-q", "--no-install-recommends"];
        arguments.extend(&names);
        apt(&arguments)
    });
    installed.with_context(|| format!("could not install; by hand, as root: {manually}"))?;
    match missing.iter().find(|package| !(package.present)()) {
        None => Ok(()),
        Some(package) => {
            bail!(
                "{} is installed, yet {} is not found (see PATH)",
                package.debian,
                package.purpose
            )
        }
    }
}

fn has_arm64_std() -> bool {
    let folder = Command::new(arm64::RUSTC)
        .args(["--print", "target-libdir", "--target", arm64::TARGET])
        .output();
    folder.is_ok_and(|output| {
        let folder = String::from_utf8_lossy(&output.stdout);
        Path::new(folder.trim()).is_dir()
    })
}

fn has_hdf5() -> bool {
    let headers = [
        "/usr/include/hdf5/serial/hdf5.h",
        "/usr/include/hdf5.h",
        "/usr/local/include/hdf5.h",
        "/opt/homebrew/include/hdf5.h",
    ];
    std::env::var_os("HDF5_DIR").is_some()
        || headers.iter().any(|header| Path::new(header).exists())
        || succeeds("pkg-config", &["--exists", "hdf5"])
}

fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

// --- Python

/// The folder of what is slow to get.
pub fn cache() -> Result<PathBuf> {
    let folder = match (std::env::var_os("ETALASE_CACHE"), std::env::var_os("HOME")) {
        (Some(folder), _) if !folder.is_empty() => std::path::absolute(PathBuf::from(folder))?,
        (_, Some(home)) => PathBuf::from(home).join(".cache").join("etalase"),
        _ => bail!("neither ETALASE_CACHE nor HOME is set: no folder to install into"),
    };
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("{}: cannot create", folder.display()))?;
    Ok(folder)
}

/// A Python that can make a virtual environment. /usr/bin's is tried too: a version manager's
/// python3 may come first on PATH and lack venv, and apt only helps the system's.
fn base_python() -> Option<&'static str> {
    let able = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))";
    ["python3", "/usr/bin/python3"]
        .into_iter()
        .find(|python| succeeds(python, &["-c", able]))
}

/// The interpreter of the tests' virtual environment, made if it is missing.
pub fn python() -> Result<PathBuf> {
    let modules = "numpy, onnxruntime, pytest";
    environment(
        "tests/reference/requirements.txt",
        REQUIREMENTS,
        modules,
        &[],
        None,
    )
}

/// As [`python`], for the benchmarks: with the runtimes to compare with and what makes their models.
pub fn bench_python() -> Result<PathBuf> {
    let modules = "numpy, onnxruntime, openvino, ai_edge_litert, tf2onnx";
    environment(
        "bench/requirements.txt",
        BENCH_REQUIREMENTS,
        modules,
        &[],
        None,
    )
}

/// As [`bench_python`], with the runtimes that a benchmark can do without: [`NotInstalled`] where
/// there are no packages for this machine. The file says why it is installed without dependencies.
pub fn bench_more_python() -> Result<PathBuf> {
    environment(
        "bench/requirements-more.txt",
        MORE_REQUIREMENTS,
        "numpy, PIL, ncnn, MNN, _tools",
        &["--no-deps"],
        None,
    )
}

/// PyTorch + timm, to compare training with. The file says why it is installed without dependencies.
pub fn bench_training_python() -> Result<PathBuf> {
    environment(
        "bench/requirements-training.txt",
        TRAINING_REQUIREMENTS,
        "torch, timm",
        &["--no-deps"],
        Some("bench/torch_without_cuda.py"),
    )
}

/// CycloneDX's schemas, in an environment of their own: small, so that a new version doesn't remake a large one.
pub fn sbom_python() -> Result<PathBuf> {
    let modules = "cyclonedx, jsonschema";
    let file = "xtask/sbom_requirements.txt";
    environment(file, SBOM_REQUIREMENTS, modules, &["--no-deps"], None)
}

/// pip could not bring an environment's packages.
#[derive(Debug)]
pub struct NotInstalled(String);

impl std::fmt::Display for NotInstalled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "packages of {} not installed", self.0)
    }
}

/// A virtual environment's interpreter. Its folder is named after the requirements, so that
/// checkouts that want different versions do not undo each other's. It is done when it has run the
/// script `finish`.
fn environment(
    file: &str,
    requirements: &str,
    modules: &str,
    pip_options: &[&str],
    finish: Option<&str>,
) -> Result<PathBuf> {
    let folder = cache()?.join(format!("python-{:016x}", fingerprint(requirements)));
    let interpreter = folder.join("bin").join("python");
    let stamp = folder.join("requirements.txt");
    // Written last, so an interrupted installation is started again.
    if std::fs::read_to_string(&stamp).is_ok_and(|text| text == requirements)
        && succeeds(
            &interpreter.to_string_lossy(),
            &["-c", &format!("import {modules}")],
        )
    {
        eprintln!("there: {}", folder.display());
        return Ok(interpreter);
    }
    let base = base_python().context("no python3 of version 3.11 or newer with venv")?;
    println!(
        "making a virtual environment of {file}: {}",
        folder.display()
    );
    report::run(
        Command::new(base)
            .args(["-m", "venv", "--clear"])
            .arg(&folder),
    )?;
    report::run(
        Command::new(&interpreter)
            .args([
                "-m",
                "pip",
                "install",
                "--disable-pip-version-check",
                "--only-binary=:all:",
                "--progress-bar=off",
            ])
            .args(pip_options)
            .arg("-r")
            .arg(crate::root().join(file)),
    )
    .with_context(|| NotInstalled(file.into()))?;
    if let Some(script) = finish {
        report::run(Command::new(&interpreter).arg(crate::root().join(script)))?;
    }
    std::fs::write(&stamp, requirements)
        .with_context(|| format!("{}: cannot write", stamp.display()))?;
    Ok(interpreter)
}

/// The virtual environment that an earlier step made, or could not make.
pub fn made(python: &Option<PathBuf>) -> Result<PathBuf> {
    python
        .clone()
        .context("the virtual environment could not be made, see above")
}

/// FNV-1a: names a folder, protects nothing.
pub fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

// --- libtorch

/// A libtorch that tch can compile against and run on.
pub enum Libtorch {
    /// The folder that holds `include` and `lib`.
    Folder(PathBuf),
    /// LIBTORCH_USE_PYTORCH: tch asks Python for it, and its libraries are found by the user's own means.
    Pytorch,
}

impl Libtorch {
    /// Lets a command's build script, and the program it starts, find it.
    pub fn set_in(&self, command: &mut Command) {
        let Libtorch::Folder(folder) = self else {
            return;
        };
        let mut path = vec![folder.join("lib")];
        if let Some(inherited) = std::env::var_os("LD_LIBRARY_PATH") {
            path.extend(std::env::split_paths(&inherited));
        }
        command.env("LIBTORCH", folder);
        if let Ok(path) = std::env::join_paths(path) {
            command.env("LD_LIBRARY_PATH", path);
        }
    }
}

/// The user's own libtorch, or the one kept in the cache.
fn existing_libtorch() -> Result<Option<Libtorch>> {
    if std::env::var_os("LIBTORCH_USE_PYTORCH").is_some() {
        eprintln!("PyTorch's, as LIBTORCH_USE_PYTORCH asks");
        return Ok(Some(Libtorch::Pytorch));
    }
    if let Some(folder) = std::env::var_os("LIBTORCH").filter(|folder| !folder.is_empty()) {
        let folder = PathBuf::from(folder);
        if !folder.join("lib").is_dir() {
            bail!("LIBTORCH={}: holds no folder lib", folder.display());
        }
        eprintln!("LIBTORCH is set: {}", folder.display());
        return Ok(Some(Libtorch::Folder(folder)));
    }
    let folder = libtorch_folder()?;
    // Renamed into place when whole, so being there means being whole.
    if folder.join("build-version").is_file() {
        eprintln!("there: {}", folder.display());
        return Ok(Some(Libtorch::Folder(folder)));
    }
    Ok(None)
}

fn libtorch_folder() -> Result<PathBuf> {
    Ok(cache()?.join(format!("libtorch-{LIBTORCH_VERSION}")))
}

/// Finds libtorch, or assembles the CPU library from the official wheels (x86-64 Linux).
///
/// PyPI's torch wheel is the CUDA build, 0.5 GB; its CPU half runs alone given two small CUDA
/// libraries, so the gigabytes that the wheel depends on are never downloaded. `python` is asked for
/// its virtual environment only where there is something to download.
pub fn libtorch(python: impl FnOnce() -> Result<PathBuf>) -> Result<Libtorch> {
    if let Some(libtorch) = existing_libtorch()? {
        return Ok(libtorch);
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        bail!(
            "libtorch is set up by itself on x86-64 Linux only: set LIBTORCH to a libtorch {LIBTORCH_VERSION}, \
             or LIBTORCH_USE_PYTORCH=1 with torch {LIBTORCH_VERSION} in the active Python"
        );
    }
    let python = python()?;
    let folder = libtorch_folder()?;
    let part = cache()?.join(format!(
        "libtorch-{LIBTORCH_VERSION}.part-{}",
        std::process::id()
    ));
    println!(
        "assembling libtorch {LIBTORCH_VERSION} (CPU; a download of 0.55 GB, once) in {}",
        folder.display()
    );
    let assembled = assemble(&python, &part).and_then(|()| {
        match std::fs::rename(part.join("libtorch"), &folder) {
            // Another run was faster; its result is as good.
            Err(_) if folder.join("build-version").is_file() => Ok(()),
            renamed => {
                renamed.with_context(|| format!("{}: cannot rename into place", folder.display()))
            }
        }
    });
    let _ = std::fs::remove_dir_all(&part);
    assembled?;
    Ok(Libtorch::Folder(folder))
}

fn assemble(python: &Path, part: &Path) -> Result<()> {
    let (wheels, out) = (part.join("wheels"), part.join("libtorch"));
    std::fs::create_dir_all(&wheels)
        .with_context(|| format!("{}: cannot create", wheels.display()))?;
    let sources = crate::root().join("xtask");
    // For one Python, whatever the host's: only headers and libraries are taken, and hashes are pinned.
    let mut download = Command::new(python);
    download.args([
        "-m",
        "pip",
        "download",
        "--disable-pip-version-check",
        "--no-cache-dir",
        "--progress-bar=off",
    ]);
    download.args(["--no-deps", "--require-hashes", "--only-binary=:all:"]);
    download.args(["--implementation", "cp", "--python-version", "3.12"]);
    for platform in [
        "manylinux_2_28",
        "manylinux_2_25",
        "manylinux_2_17",
        "manylinux2014",
    ] {
        download.args(["--platform", &format!("{platform}_x86_64")]);
    }
    report::run(
        download
            .arg("-d")
            .arg(&wheels)
            .arg("-r")
            .arg(sources.join("libtorch.txt")),
    )?;
    report::run(
        Command::new(python)
            .arg(sources.join("unpack_libtorch.py"))
            .arg(&wheels)
            .arg(&out),
    )?;
    std::fs::remove_dir_all(&wheels)?;
    // tch links to -ltorch; the real one would pull in libtorch_cuda.so.
    let lib = out.join("lib");
    report::run(
        Command::new("gcc")
            .args(["-shared", "-x", "c", "/dev/null", "-o"])
            .arg(lib.join("libtorch.so"))
            .args(["-Wl,-soname,libtorch.so", "-Wl,--no-as-needed"])
            .arg(format!("-L{}", lib.display()))
            .args(["-ltorch_cpu", "-lc10", "-Wl,-rpath,$ORIGIN"]),
    )?;
    // What tch's build script compares with the version it expects.
    std::fs::write(out.join("build-version"), format!("{LIBTORCH_VERSION}\n"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_all_pinned() {
        let lines = REQUIREMENTS
            .lines()
            .chain(BENCH_REQUIREMENTS.lines())
            .chain(MORE_REQUIREMENTS.lines())
            .chain(TRAINING_REQUIREMENTS.lines())
            .chain(SBOM_REQUIREMENTS.lines())
            .filter(|line| !line.starts_with('#') && !line.is_empty());
        for line in lines {
            assert!(
                line.split_once("==")
                    .is_some_and(|(_, version)| !version.is_empty()),
                "{line}: no exact version"
            );
        }
        assert_ne!(fingerprint("numpy==1"), fingerprint("numpy==2"));
    }

    #[test]
    fn the_wheels_are_of_the_version_that_is_named() {
        let wheels = include_str!("../libtorch.txt");
        assert!(wheels.contains(&format!("torch=={LIBTORCH_VERSION} --hash=sha256:")));
        let compared = format!("torch=={LIBTORCH_VERSION}");
        assert!(TRAINING_REQUIREMENTS.lines().any(|line| line == compared));
    }

    #[test]
    fn libtorch_comes_before_what_is_inherited() {
        let mut command = Command::new("true");
        Libtorch::Folder("/opt/libtorch".into()).set_in(&mut command);
        let path = command
            .get_envs()
            .find(|(name, _)| *name == "LD_LIBRARY_PATH")
            .and_then(|(_, value)| value)
            .unwrap();
        assert_eq!(
            std::env::split_paths(path).next(),
            Some("/opt/libtorch/lib".into())
        );
    }
}
