//! Runs a network: one small interface, and behind it today's only
//! implementation.

mod tensor;

pub use tensor::{Tensor, TensorData, TensorType};
