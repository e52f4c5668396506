//! Etalase tells a marketplace app what a seller's photo shows, on the phone.
//!
//! This crate holds all that runs there: [`photo`] decodes and resizes,
//! [`engine`] runs a network, [`decision`] turns its logits into scores and verdicts,
//! [`bundle`] is the one file that carries a network with everything it needs,
//! and [`Classifier`] puts them together. `evaluation` (a feature) measures a
//! classifier over folders of photos. Nothing here knows who calls it.

// Unsafe code is in `engine::kernels` and in the executor that calls them, nowhere else.
#![deny(unsafe_code)]

pub mod bundle;
pub mod classifier;
pub mod decision;
pub mod engine;
pub mod error;
#[cfg(feature = "evaluation")]
pub mod evaluation;
pub mod files;
pub mod photo;
pub mod preprocess;

pub use bundle::{Bundle, BundleWriter, Manifest};
pub use classifier::{Answer, Classifier, Evidence, Listing};
pub use decision::{Advice, Policy, Verdict, VerdictKind};
pub use engine::{Engine, EngineOptions, Tensor, TensorData, TensorType};
pub use error::{Error, ErrorKind, Result};
pub use photo::{Fit, Image, Photo, Pixels};
pub use preprocess::{Colour, InputType, Layout, Preprocess};
