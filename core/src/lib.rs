//! Etalase tells a marketplace app what a seller's photo shows, on the phone.
//!
//! This crate holds all that runs there: [`photo`] decodes and resizes,
//! [`engine`] runs a network, `decision` turns its logits into scores,
//! `bundle` is the one file that carries a network with everything it needs,
//! and `Classifier` puts them together. `evaluation` (a feature) measures a
//! classifier over folders of photos. Nothing here knows who calls it.

#![forbid(unsafe_code)]

pub mod decision;
pub mod engine;
pub mod error;
pub mod photo;
pub mod preprocess;

pub use engine::{Engine, EngineOptions, Tensor, TensorData, TensorType};
pub use error::{Error, ErrorKind, Result};
pub use photo::{Fit, Image};
pub use preprocess::{Colour, InputType, Layout, Preprocess};
