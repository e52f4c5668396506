//! What tests are made of: small ONNX networks whose answers can be worked out by
//! hand, and encoded photos. Shared by core's tests and example and the command
//! line's tests, each of which uses a part.

#![allow(dead_code, missing_docs)]

pub mod onnx;
pub mod photos;
