//! The `etalase` command as other programs call it: its output forms, its exit
//! status, and what it says of bad input.

#[path = "../../../core/tests/support/mod.rs"]
mod support;

mod bad_input;
mod classify;
mod eval;
mod pack;
mod tools;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use etalase::{BundleWriter, Fit, Manifest, Preprocess};
use support::onnx::{QUADRANTS, quadrants};

/// How the command ended.
struct Ended {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Ended {
    /// Stdout's lines, each of which must be a JSON object.
    fn json_lines(&self) -> Vec<serde_json::Value> {
        let parse = |line: &str| {
            let value: serde_json::Value = serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{line:?} is no JSON: {error}"));
            assert!(value.is_object(), "{line}");
            value
        };
        self.stdout.lines().map(parse).collect()
    }

    /// Stdout's only line, a JSON object.
    fn json(&self) -> serde_json::Value {
        assert_eq!(self.status, 0, "{}", self.stderr);
        let mut lines = self.json_lines();
        assert_eq!(lines.len(), 1, "{}", self.stdout);
        lines.remove(0)
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Ended {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Ended {
            status: output.status.code().expect("not killed"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_etalase"));
    command.stdin(Stdio::null());
    command
}

/// Runs `etalase` with these arguments.
fn etalase<A: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = A>) -> Ended {
    command().args(args).output().expect("starts").into()
}

/// A folder that disappears with the test, a bundle that says which quarter of a
/// photo is brightest, and room for photos.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Desk {
        let desk = Desk {
            folder: tempfile::tempdir().expect("a folder"),
        };
        writer().write_to(&desk.bundle()).expect("written");
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn bundle(&self) -> PathBuf {
        self.path("quadrants.etalase")
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(&path, bytes).expect("written");
        path
    }

    /// `etalase SUBCOMMAND --bundle QUADRANTS ARGS…`
    fn with_bundle(&self, subcommand: &str, args: &[&Path]) -> Ended {
        let bundle = self.bundle();
        let first = [Path::new(subcommand), Path::new("--bundle"), &bundle];
        etalase(first.iter().chain(args))
    }
}

/// The bundle of [`Desk`].
fn writer() -> BundleWriter {
    let classes = QUADRANTS.map(str::to_owned).to_vec();
    let english = classes.iter().map(|class| class.replace('-', " "));
    let indonesian = ["kiri atas", "kanan atas", "kiri bawah", "kanan bawah"];
    let labels = BTreeMap::from([
        ("en".to_owned(), english.collect()),
        ("id".to_owned(), indonesian.map(str::to_owned).to_vec()),
    ]);
    let manifest = Manifest {
        name: "quadrants".to_owned(),
        version: "7".to_owned(),
        backbone: "none".to_owned(),
        classes,
        preprocess: Preprocess::u8_nhwc(8, 8, Fit::Stretch),
    };
    let card = serde_json::json!({"data": "none"});
    BundleWriter::new(manifest, labels, card, quadrants().bytes())
}
