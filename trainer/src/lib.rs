//! The trainer: fine-tunes ImageNet backbones on folders of photos, quantizes them and packs what phones open.
//!
//! `etalase-trainer` is a thin command line over this library.

pub mod allocator;
pub mod backbones;
pub mod data;
pub mod export;
pub mod files;
pub mod fold;
pub mod graph;
pub mod keras;
pub mod left_out;
pub mod memory;
pub mod network;
pub mod out_of_fold;
pub mod pack;
pub mod policy;
pub mod predictions;
pub mod pretrained;
pub mod progress;
pub mod quantize;
pub mod report;
pub mod split;
pub mod timing;
pub mod train;
pub mod weights;
mod wording;
