//! Fine-tuning: recipe, augmentation, optimizer, head probe, the loop, and how a trained network is measured and kept.

pub mod augment;
pub mod checkpoint;
pub mod fit;
pub mod measure;
pub mod optimizer;
pub mod probe;
pub mod recipe;
pub mod search;
