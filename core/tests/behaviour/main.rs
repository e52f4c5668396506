//! The library as its callers see it: photos, networks and answers whose right
//! values are known.

#[path = "../support/mod.rs"]
mod support;

mod classifier;
mod decode;
mod engine;
mod fit;
mod integer;
mod jpeg;
mod pixels;
mod preprocess;
