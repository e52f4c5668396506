//! Fine-tuning: recipe, augmentation, optimizer, head probe, the loop, and how a trained network is measured and kept.

pub mod augment;
mod average;
mod begin;
pub mod checkpoint;
mod draw;
mod epoch;
pub mod fit;
pub mod history;
mod identity;
mod lesson;
pub mod measure;
pub mod optimizer;
pub mod probe;
pub mod recipe;
pub mod search;
pub mod state;
pub mod sweep;
pub mod teacher;
mod validation;
mod views;
mod writer;
