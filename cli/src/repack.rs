//! `etalase repack`: a bundle with this version's plan. Members, manifest and answers
//! stay what they are; only `plan.bin` is made again, so that a newer library opens an
//! older bundle as fast as its own.

use std::path::PathBuf;

use etalase::{Bundle, BundleWriter, Classifier, EngineOptions, files};

use crate::{Outcome, bundle, output};

/// Rewrite a bundle with this version's plan, for a fast start
#[derive(clap::Args)]
pub struct Args {
    /// Bundle to read
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// Bundle to write; may be the same file
    #[arg(short, long, value_name = "B")]
    output: PathBuf,
}

pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let old = bundle::open(Some(&args.bundle))?;
    let bytes = BundleWriter::from_bundle(&old)
        .to_bytes()
        .map_err(|error| error.context(args.bundle.display()))?;
    Classifier::new(
        Bundle::from_bytes(bytes.clone())?,
        &EngineOptions::default(),
    )
    .map_err(|error| error.context(args.bundle.display()))?;
    files::replace(&args.output, &bytes)?;
    output::complain(format!("{}: {} bytes", args.output.display(), bytes.len()));
    Ok(Outcome::Complete)
}
