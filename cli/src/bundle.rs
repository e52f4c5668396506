//! Which bundle a command works with: the one given, or the one inside.

use std::path::{Path, PathBuf};

use etalase::{Bundle, Classifier, EngineOptions};

/// The choice that most commands share.
#[derive(clap::Args)]
pub struct BundleChoice {
    /// Bundle to use instead of the built-in one
    #[arg(long, value_name = "B")]
    pub bundle: Option<PathBuf>,
}

impl BundleChoice {
    /// Opens the bundle and prepares its network, on one thread.
    pub fn classifier(&self) -> etalase::Result<Classifier> {
        let path = self.bundle.as_deref();
        Classifier::new(open(path)?, &EngineOptions::default())
            .map_err(|error| error.context(name(path)))
    }
}

/// Opens the bundle at `path`, or the built-in one.
pub fn open(path: Option<&Path>) -> etalase::Result<Bundle> {
    match path {
        Some(path) => Bundle::open(path),
        None => Bundle::default_bundle(),
    }
}

/// What messages call it.
pub fn name(path: Option<&Path>) -> String {
    match path {
        Some(path) => path.display().to_string(),
        None => "the default bundle".to_owned(),
    }
}
