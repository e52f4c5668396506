//! What goes into a network: a shape and its values, of three types.
//!
//! Outputs are plain `Vec<f32>` logits; a tensor type with views and strides is
//! left to the engine's own library.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// The type of a tensor's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum TensorType {
    /// Unsigned bytes: pixels as they are.
    U8,
    /// Signed bytes.
    I8,
    /// 32-bit floats.
    F32,
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            TensorType::U8 => "u8",
            TensorType::I8 => "i8",
            TensorType::F32 => "f32",
        })
    }
}

/// A tensor's values, row-major.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum TensorData {
    /// Unsigned bytes.
    U8(Vec<u8>),
    /// Signed bytes.
    I8(Vec<i8>),
    /// 32-bit floats.
    F32(Vec<f32>),
}

impl TensorData {
    /// The type of the values.
    pub fn kind(&self) -> TensorType {
        match self {
            TensorData::U8(_) => TensorType::U8,
            TensorData::I8(_) => TensorType::I8,
            TensorData::F32(_) => TensorType::F32,
        }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        match self {
            TensorData::U8(values) => values.len(),
            TensorData::I8(values) => values.len(),
            TensorData::F32(values) => values.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A shape and as many values, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: TensorData,
}

impl Tensor {
    /// Takes values in row-major order.
    ///
    /// # Errors
    /// `InvalidArgument` where `data` has another length than the product of `shape`.
    pub fn new(shape: Vec<usize>, data: TensorData) -> Result<Tensor> {
        let values = shape
            .iter()
            .try_fold(1_usize, |product, &side| product.checked_mul(side));
        if values != Some(data.len()) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "a tensor of shape {shape:?} cannot hold {} values",
                    data.len()
                ),
            ));
        }
        Ok(Tensor { shape, data })
    }

    /// The sides, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values, row-major.
    pub fn data(&self) -> &TensorData {
        &self.data
    }

    /// The values without a copy, row-major.
    pub fn into_data(self) -> TensorData {
        self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shape_and_values_agree() {
        assert!(Tensor::new(vec![1, 2, 3], TensorData::U8(vec![0; 6])).is_ok());
        assert!(Tensor::new(vec![], TensorData::F32(vec![1.0])).is_ok());
        for shape in [vec![1, 2], vec![usize::MAX, 2], vec![0]] {
            let error = Tensor::new(shape, TensorData::I8(vec![0; 6])).expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        }
    }
}
