//! The native library, in the flavours that are needed.

use std::env::consts::DLL_SUFFIX;
use std::path::PathBuf;

use anyhow::Result;

use crate::{cargo, report, root};

/// What is compiled into the library.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// For C and C++: plans only and no bundle inside, unless wished.
    Installed { default_bundle: bool, onnx: bool },
    /// For a JVM that is not Android's: plans only and no bundle inside, unless wished.
    Jvm { default_bundle: bool },
    /// For tests of all languages: the default bundle inside, what the JVM calls, and photos that make it panic.
    Tested,
}

impl Flavour {
    /// Cargo's features, with commas between.
    pub fn features(self) -> &'static str {
        match self {
            Flavour::Tested => "jni,default-bundle,panic-on-demand",
            Flavour::Jvm {
                default_bundle: false,
            } => "jni",
            Flavour::Jvm {
                default_bundle: true,
            } => "jni,default-bundle",
            Flavour::Installed {
                default_bundle,
                onnx,
            } => match (default_bundle, onnx) {
                (false, false) => "",
                (true, false) => "default-bundle",
                (false, true) => "onnx",
                (true, true) => "default-bundle,onnx",
            },
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Flavour::Tested => "tested",
            Flavour::Jvm { .. } => "jvm",
            Flavour::Installed { .. } => "installed-from",
        }
    }
}

/// A library that was built, in a folder of its own, under the names that programs link.
pub struct Native {
    pub folder: PathBuf,
}

impl Native {
    /// Alone in its folder: where both are, a linker takes the shared one.
    pub fn archive(&self) -> PathBuf {
        self.folder.join("static").join("libetalase.a")
    }

    pub fn shared(&self) -> PathBuf {
        self.folder.join(format!("libetalase{DLL_SUFFIX}"))
    }
}

/// What a program links besides the static library, as `rustc --print native-static-libs` tells.
pub const SYSTEM_LIBRARIES: [&str; 6] = ["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl"];

/// Where it is built: features of its own make artefacts of their own, which in a folder of their own leave the
/// command's alone.
pub fn target() -> PathBuf {
    root().join("target").join("sdk")
}

/// Builds the library for this machine.
pub fn build(flavour: Flavour) -> Result<Native> {
    let target = target();
    let mut command = cargo();
    command.args(["build", "--release", "--locked", "-p", "etalase-ffi"]);
    command.args(["--features", flavour.features()]);
    command.env("CARGO_TARGET_DIR", &target);
    report::run(&mut command)?;
    let folder = target.join(flavour.folder());
    let native = Native { folder };
    std::fs::create_dir_all(native.folder.join("static"))?;
    let built = target.join("release");
    std::fs::copy(built.join("libetalase_ffi.a"), native.archive())?;
    let shared = format!("libetalase_ffi{DLL_SUFFIX}");
    std::fs::copy(built.join(shared), native.shared())?;
    // The name that programs linked to it look for.
    let versioned = native.folder.join(soname());
    let _ = std::fs::remove_file(&versioned);
    std::fs::copy(native.shared(), versioned)?;
    Ok(native)
}

/// The shared library's name to the loader, as ffi/build.rs sets it.
pub fn soname() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let major_minor = version.rsplit_once('.').map_or(version, |(first, _)| first);
    format!("libetalase.so.{major_minor}")
}
