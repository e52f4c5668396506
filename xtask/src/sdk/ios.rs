//! `cargo xtask package ios`: CEtalase.xcframework, which ios/Package.swift links, in a ZIP file that SwiftPM downloads.
//!
//! On a Mac Xcode's tools make it. Elsewhere LLVM's do: everything compiles, every object says that it is for iOS 15, and a
//! program that takes every function of etalase.h links, against a stand-in for Apple's libSystem; see cross.rs for what the
//! file's name then says. Left out: macOS, where ETALASE_LIBRARY_DIR names a library, and signing.
//!
//! It is named after the C module, as on Linux: `Etalase` is the module in Swift, and a package's targets have different names.

mod link;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use object::Architecture;
use sha2::{Digest as _, Sha256};

use super::macho::{self, Object, Platform};
use super::{cross, pack};
use crate::{release, report, root, setup};

/// What is packed, and where to.
#[derive(clap::Args)]
pub struct IosArgs {
    /// Rust's targets; all by default
    #[arg(long = "target", value_name = "TARGET", value_parser = TARGETS.map(|target| target.rust))]
    targets: Vec<String>,
    /// The folder that gets the ZIP file
    #[arg(long, value_name = "DIR", default_value = "target/packages")]
    out: PathBuf,
}

/// A processor of phones or of their simulator, as Rust and Apple call it.
struct Target {
    rust: &'static str,
    apple: &'static str,
    platform: Platform,
}

/// Without x86-64 no app builds for "any simulator", whatever the Mac.
const TARGETS: [Target; 3] = [
    Target {
        rust: "aarch64-apple-ios",
        apple: "arm64",
        platform: Platform {
            architecture: Architecture::Aarch64,
            simulator: false,
        },
    },
    Target {
        rust: "aarch64-apple-ios-sim",
        apple: "arm64",
        platform: Platform {
            architecture: Architecture::Aarch64,
            simulator: true,
        },
    },
    Target {
        rust: "x86_64-apple-ios",
        apple: "x86_64",
        platform: Platform {
            architecture: Architecture::X86_64,
            simulator: true,
        },
    },
];

/// Neither ONNX nor a bundle: see ARCHITECTURE.md.
pub const FEATURES: &str = "";
/// What Package.swift says, too.
const OLDEST: (u32, u32) = (15, 0);
const ON_MAC: bool = cfg!(target_os = "macos");

const LIBRARY: &str = "libetalase.a";
/// In a folder of its own: all XCFrameworks of an app have their headers copied to one place.
const MODULE_MAP: &str = "module CEtalase [system] {\n  header \"etalase.h\"\n  export *\n}\n";

/// Builds, checks and packs.
pub fn package(args: &IosArgs) -> Result<()> {
    if !ON_MAC {
        setup::cross_packages()?;
    }
    let staging = cross::target().join("xcframework");
    let _ = std::fs::remove_dir_all(&staging);
    let framework = staging.join("CEtalase.xcframework");
    let wanted = |target: &&Target| {
        args.targets.is_empty() || args.targets.iter().any(|name| name == target.rust)
    };
    let (simulators, phones): (Vec<_>, Vec<_>) = TARGETS
        .iter()
        .filter(wanted)
        .partition(|target| target.platform.simulator);
    let mut slices = Vec::new();
    for targets in [phones, simulators] {
        if !targets.is_empty() {
            let slice = Slice::new(&targets);
            slice.assemble(&targets, &framework.join(slice.identifier()))?;
            slices.push(slice);
        }
    }
    add_documents(&framework)?;
    write(&framework.join("Info.plist"), &plist(&slices))?;

    let name = cross::package_name("CEtalase", "xcframework.zip", ON_MAC);
    let zip = root().join(&args.out).join(&name);
    pack::pack(&staging, &zip)?;
    println!("{}", zip.display());
    print!("{}", binary_target(&name, &std::fs::read(&zip)?));
    if !ON_MAC {
        println!("link-checked only: a Mac makes one to ship");
    }
    Ok(())
}

fn add_documents(framework: &Path) -> Result<()> {
    let beside = |name: &str| framework.join(name);
    cross::copy(&[
        (root().join("LICENSE-APACHE"), beside("LICENSE-APACHE")),
        (root().join("LICENSE-MIT"), beside("LICENSE-MIT")),
        (
            release::notices_file(false),
            beside("THIRD_PARTY_NOTICES.md"),
        ),
        // The Swift package brings it as a resource. Xcode takes none from a static library: this one is for apps that link
        // the XCFramework by itself.
        (
            root().join("ios/Sources/Etalase/PrivacyInfo.xcprivacy"),
            beside("PrivacyInfo.xcprivacy"),
        ),
    ])
}

/// A library of an XCFramework: one platform, all its processors.
struct Slice {
    simulator: bool,
    architectures: Vec<&'static str>,
}

impl Slice {
    fn new(targets: &[&Target]) -> Slice {
        Slice {
            simulator: targets.iter().any(|target| target.platform.simulator),
            architectures: targets.iter().map(|target| target.apple).collect(),
        }
    }

    /// The name that Xcode gives its folder.
    fn identifier(&self) -> String {
        let variant = if self.simulator { "-simulator" } else { "" };
        format!("ios-{}{variant}", self.architectures.join("_"))
    }

    fn assemble(&self, targets: &[&Target], folder: &Path) -> Result<()> {
        let headers = folder.join("Headers");
        let module = headers.join("CEtalase");
        let header = root().join("ffi/include/etalase.h");
        cross::copy(&[(header, module.join("etalase.h"))])?;
        write(&module.join("module.modulemap"), MODULE_MAP)?;
        let mut libraries = Vec::new();
        for target in targets {
            let library = target.build()?;
            target.check(&library, &headers)?;
            libraries.push(library);
        }
        let library = folder.join(LIBRARY);
        match &libraries[..] {
            [only] => cross::copy(&[(only.clone(), library)]),
            all => {
                let mut lipo = tool("lipo")?;
                lipo.arg("-create").args(all).arg("-output").arg(library);
                report::run(&mut lipo)
            }
        }
    }
}

impl Target {
    /// As Apple's compiler calls it.
    fn triple(&self) -> String {
        let variant = if self.platform.simulator {
            "-simulator"
        } else {
            ""
        };
        format!("{}-apple-ios{}{variant}", self.apple, oldest())
    }

    /// The static library, without debug information.
    fn build(&self) -> Result<PathBuf> {
        let mut command = cross::library("rustc", self.rust, FEATURES);
        command.args(["--crate-type", "staticlib"]);
        command.env("IPHONEOS_DEPLOYMENT_TARGET", oldest());
        if ON_MAC {
            cross::add_to_rustup(self.rust)?;
        } else {
            cross::with_standard_library(&mut command, self.rust)?;
        }
        report::run(&mut command)?;
        let library = self.folder().join(LIBRARY);
        cross::create_folder_of(&library)?;
        let mut strip = tool("strip")?;
        strip.arg("-S").arg("-o").arg(&library);
        report::run(strip.arg(cross::built(self.rust, "libetalase_ffi.a")))?;
        Ok(library)
    }

    fn check(&self, library: &Path, headers: &Path) -> Result<()> {
        let objects = macho::objects(library)?;
        check_objects(&objects, self.platform)?;
        let missing = macho::missing(&objects);
        check_missing(&missing)?;
        let program = link::program(self, library, headers, &missing)?;
        println!(
            "{}: {} objects, {} bytes; a program with every function: {} bytes",
            self.rust,
            objects.len(),
            std::fs::metadata(library)?.len(),
            std::fs::metadata(program)?.len()
        );
        Ok(())
    }

    fn folder(&self) -> PathBuf {
        cross::target().join("apple").join(self.rust)
    }
}

fn oldest() -> String {
    let (major, minor) = OLDEST;
    format!("{major}.{minor}")
}

/// One of Xcode's tools, or LLVM's that does the same.
fn tool(name: &str) -> Result<Command> {
    if ON_MAC {
        let mut command = Command::new("xcrun");
        command.arg(name);
        return Ok(command);
    }
    // Debian puts some of them on PATH, and not llvm-lipo.
    let output = Command::new("llvm-config").arg("--bindir").output();
    let folder = String::from_utf8(output.context("llvm-config")?.stdout)?;
    let program = Path::new(folder.trim()).join(format!("llvm-{name}"));
    Ok(Command::new(program))
}

/// Every object runs on what the package asks for, and what ours show to C begins with `etalase_`.
fn check_objects(objects: &[Object], platform: Platform) -> Result<()> {
    if objects.is_empty() {
        bail!("the library has no objects");
    }
    for object in objects {
        let name = &object.name;
        if object.platform != platform {
            bail!("{name} is for {:?}, not {platform:?}", object.platform);
        }
        if object.oldest > OLDEST {
            bail!(
                "{name} needs iOS {:?}; {OLDEST:?} was asked for",
                object.oldest
            );
        }
        let other = |symbol: &&String| {
            !symbol.starts_with("_etalase_") && !mangled(symbol) && name.starts_with("etalase")
        };
        if let Some(symbol) = object.public.iter().find(other) {
            bail!("{name} exports {symbol}");
        }
    }
    Ok(())
}

/// A name of Rust's own, which no other language uses.
fn mangled(symbol: &str) -> bool {
    symbol.starts_with("__R") || symbol.starts_with("__ZN")
}

/// All that is left to the system is in libSystem, which every program links.
fn check_missing(missing: &BTreeSet<&str>) -> Result<()> {
    const OF_FRAMEWORKS: [&str; 5] = ["_CF", "_NS", "_OBJC_", "_Sec", "_objc_"];
    for symbol in missing {
        if mangled(symbol) || symbol.starts_with("_etalase_") {
            bail!("{symbol} is used and not there");
        }
        if OF_FRAMEWORKS
            .iter()
            .any(|prefix| symbol.starts_with(prefix))
        {
            bail!("{symbol} is of a framework, which ios/Package.swift does not link");
        }
    }
    Ok(())
}

/// Info.plist as Xcode 15 and later write it.
fn plist(slices: &[Slice]) -> String {
    let libraries: String = slices.iter().map(library_entry).collect();
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>AvailableLibraries</key>
	<array>
{libraries}	</array>
	<key>CFBundlePackageType</key>
	<string>XFWK</string>
	<key>XCFrameworkFormatVersion</key>
	<string>1.0</string>
</dict>
</plist>
"#
    )
}

fn library_entry(slice: &Slice) -> String {
    let string = |key: &str, value: &str| {
        format!("\t\t\t<key>{key}</key>\n\t\t\t<string>{value}</string>\n")
    };
    let architecture = |name: &&str| format!("\t\t\t\t<string>{name}</string>\n");
    let architectures: String = slice.architectures.iter().map(architecture).collect();
    let variant = match slice.simulator {
        true => string("SupportedPlatformVariant", "simulator"),
        false => String::new(),
    };
    [
        "\t\t<dict>\n",
        &string("BinaryPath", LIBRARY),
        &string("HeadersPath", "Headers"),
        &string("LibraryIdentifier", &slice.identifier()),
        &string("LibraryPath", LIBRARY),
        "\t\t\t<key>SupportedArchitectures</key>\n\t\t\t<array>\n",
        &architectures,
        "\t\t\t</array>\n",
        &string("SupportedPlatform", "ios"),
        &variant,
        "\t\t</dict>\n",
    ]
    .concat()
}

/// What stands in a Package.swift that has it downloaded; the checksum is that of `swift package compute-checksum`.
fn binary_target(name: &str, zip: &[u8]) -> String {
    let mut checksum = String::new();
    for byte in Sha256::digest(zip) {
        let _ = write!(checksum, "{byte:02x}");
    }
    let (repository, version) = (env!("CARGO_PKG_REPOSITORY"), env!("CARGO_PKG_VERSION"));
    format!(
        ".binaryTarget(\n    name: \"CEtalase\",\n    url: \"{repository}/releases/download/v{version}/{name}\",\n    \
         checksum: \"{checksum}\"\n)\n"
    )
}

fn write(path: &Path, text: &str) -> Result<()> {
    cross::create_folder_of(path)?;
    std::fs::write(path, text).with_context(|| format!("{}: cannot write", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_have_the_names_that_xcode_gives() {
        let [phone, arm64, x86_64] = &TARGETS;
        assert_eq!(Slice::new(&[phone]).identifier(), "ios-arm64");
        let simulator = Slice::new(&[arm64, x86_64]);
        assert_eq!(simulator.identifier(), "ios-arm64_x86_64-simulator");
    }

    #[test]
    fn a_property_list_names_every_library() {
        let [phone, arm64, x86_64] = &TARGETS;
        let text = plist(&[Slice::new(&[phone]), Slice::new(&[arm64, x86_64])]);
        // Python reads it as Apple's tools do.
        let script = "import plistlib, sys, json; print(json.dumps(plistlib.loads(sys.stdin.buffer.read())))";
        let mut python = Command::new("python3")
            .args(["-c", script])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut python.stdin.take().unwrap(), text.as_bytes()).unwrap();
        let output = python.wait_with_output().unwrap();
        let read: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let library = |identifier: &str, architectures: &[&str]| {
            serde_json::json!({
                "BinaryPath": "libetalase.a", "HeadersPath": "Headers", "LibraryPath": "libetalase.a",
                "LibraryIdentifier": identifier, "SupportedArchitectures": architectures, "SupportedPlatform": "ios",
            })
        };
        let mut simulator = library("ios-arm64_x86_64-simulator", &["arm64", "x86_64"]);
        simulator["SupportedPlatformVariant"] = "simulator".into();
        let wanted = serde_json::json!({
            "AvailableLibraries": [library("ios-arm64", &["arm64"]), simulator],
            "CFBundlePackageType": "XFWK", "XCFrameworkFormatVersion": "1.0",
        });
        assert_eq!(read, wanted);
    }

    #[test]
    fn what_only_a_framework_has_is_refused() {
        assert!(check_missing(&["_malloc", "__NSGetArgc"].into()).is_ok());
        for other in ["_SecRandomCopyBytes", "_etalase_classify", "__RNvC4core"] {
            let error = check_missing(&["_malloc", other].into()).unwrap_err();
            assert!(error.to_string().contains(other), "{error}");
        }
    }

    #[test]
    fn an_object_is_for_the_right_system_and_shows_only_the_c_interface() {
        let platform = TARGETS[0].platform;
        let object = |public: &str, oldest| Object {
            name: "etalase_ffi.o".into(),
            platform,
            oldest,
            public: vec![public.into()],
            defined: BTreeSet::new(),
            undefined: BTreeSet::new(),
        };
        assert!(check_objects(&[object("_etalase_classify", (12, 0))], platform).is_ok());
        assert!(check_objects(&[object("__RNvC7etalase4open", (15, 0))], platform).is_ok());
        assert!(check_objects(&[], platform).is_err());
        let error = |object, platform| check_objects(&[object], platform).unwrap_err().to_string();
        assert!(error(object("_classify", (15, 0)), platform).contains("_classify"));
        assert!(error(object("_etalase_classify", (16, 2)), platform).contains("(16, 2)"));
        let simulator = TARGETS[1].platform;
        assert!(error(object("_etalase_classify", (15, 0)), simulator).contains("simulator: true"));
    }

    #[test]
    fn what_swiftpm_downloads_is_named_with_its_checksum() {
        let text = binary_target("CEtalase.zip", b"");
        assert!(text.contains("/CEtalase.zip\","), "{text}");
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert!(text.contains(&format!("checksum: \"{empty}\"")), "{text}");
    }

    #[test]
    fn the_package_asks_for_the_same_system() {
        let package = std::fs::read_to_string(root().join("ios/Package.swift")).unwrap();
        assert!(package.contains(&format!(".iOS(.v{})", OLDEST.0)));
    }
}
