//! Writes a bundle of a few kilobytes whose answers can be worked out by hand: it
//! says which quarter of a photo is brightest. For trying the command line, and
//! every other caller, without a trained model.
//!
//! `cargo run -p etalase --example tiny_bundle -- FILE.etalase`

use std::collections::BTreeMap;
use std::path::Path;

use etalase::{BundleWriter, Error, ErrorKind, Fit, Manifest, Preprocess};

#[path = "../tests/support/mod.rs"]
mod support;

use support::onnx::{QUADRANTS, quadrants};

fn main() -> etalase::Result<()> {
    let path = std::env::args_os().nth(1).ok_or_else(|| {
        Error::new(
            ErrorKind::InvalidArgument,
            "usage: tiny_bundle FILE.etalase",
        )
    })?;
    let classes = QUADRANTS.map(str::to_owned).to_vec();
    let english = classes.iter().map(|class| class.replace('-', " "));
    let labels = BTreeMap::from([("en".to_owned(), english.collect())]);
    let manifest = Manifest {
        name: "tiny".to_owned(),
        version: "1".to_owned(),
        backbone: "none".to_owned(),
        classes,
        preprocess: Preprocess::u8_nhwc(8, 8, Fit::Stretch),
    };
    let card = serde_json::json!({"data": "none: the weights are written by hand"});
    BundleWriter::new(manifest, labels, card, quadrants().bytes()).write_to(Path::new(&path))
}
