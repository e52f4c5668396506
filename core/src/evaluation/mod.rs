//! How good is a classifier? Folders of labelled photos, and the figures over them.
//! For desks: a feature of the crate, so that no phone carries it.

mod dataset;
mod metrics;
mod verification;

pub use dataset::{LabelledPhoto, photo_folders, photos_in};
pub use metrics::{ClassMetrics, Evaluation, Metrics};
pub use verification::{
    Declarations, ReliabilityBin, Seen, Separation, Verification, verification,
};
