//! What a name in an ONNX graph stands for while the graph is being fused: a constant,
//! a tensor in memory, or a real-valued result that waits for the QuantizeLinear behind
//! it to say in which integers it is wanted.

use std::rc::Rc;

use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::DataType;

use super::super::onnx::failed;
use crate::engine::kernels::Window;
use crate::engine::plan::{TensorId, WeightOrder};
use crate::error::Result;

/// A shape as ONNX sees it, and the order in which its sides lie in memory. Activations
/// are NHWC in memory whatever the graph says, so that a graph's own transpositions are
/// changes of this label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) sides: Vec<usize>,
    /// Sides (by index), outermost in memory first.
    pub(super) order: Vec<usize>,
}

impl Layout {
    pub(super) fn row_major(sides: Vec<usize>) -> Layout {
        let order = (0..sides.len()).collect();
        Layout { sides, order }
    }

    /// `[1, channels, height, width]`, NHWC in memory.
    pub(super) fn image(height: usize, width: usize, channels: usize) -> Layout {
        Layout {
            sides: vec![1, channels, height, width],
            order: vec![0, 2, 3, 1],
        }
    }

    /// Channels, height and width where this is an image that lies in memory as NHWC.
    pub(super) fn as_image(&self) -> Option<(usize, usize, usize)> {
        match self.sides.as_slice() {
            &[1, channels, height, width] if self.lies_as(&[0, 2, 3, 1]) => {
                Some((channels, height, width))
            }
            _ => None,
        }
    }

    /// Whether memory is in this order; sides of 1 lie anywhere.
    pub(super) fn lies_as(&self, order: &[usize]) -> bool {
        let long = |order: &[usize]| -> Vec<usize> {
            let sides = order.iter().copied();
            sides
                .filter(|&side| self.sides.get(side) != Some(&1))
                .collect()
        };
        long(&self.order) == long(order)
    }

    pub(super) fn is_row_major(&self) -> bool {
        let order: Vec<usize> = (0..self.sides.len()).collect();
        self.lies_as(&order)
    }

    /// Lengths in memory order.
    pub(super) fn memory_sides(&self) -> Vec<usize> {
        self.order
            .iter()
            .filter_map(|&side| self.sides.get(side).copied())
            .collect()
    }

    /// The label behind ONNX' Transpose: side `j` of the result is side `perm[j]`.
    pub(super) fn transposed(&self, perm: &[usize]) -> Option<Layout> {
        let sides = perm.iter().map(|&from| self.sides.get(from).copied());
        let order = self
            .order
            .iter()
            .map(|side| perm.iter().position(|from| from == side));
        Some(Layout {
            sides: sides.collect::<Option<_>>()?,
            order: order.collect::<Option<_>>()?,
        })
    }

    /// The side that is innermost in memory, if longer than 1.
    pub(super) fn innermost(&self) -> Option<usize> {
        let long = |side: &&usize| self.sides.get(**side) != Some(&1);
        self.order.iter().rev().find(long).copied()
    }

    pub(super) fn values(&self) -> usize {
        self.sides.iter().product()
    }
}

/// An initializer, or the value of a Constant node.
#[derive(Debug, Clone)]
pub(super) struct Constant {
    pub(super) name: String,
    pub(super) sides: Vec<usize>,
    pub(super) tensor: Rc<TensorProto>,
}

impl Constant {
    pub(super) fn new(name: &str, tensor: &TensorProto) -> Result<Constant> {
        let sides: Option<Vec<usize>> = tensor
            .dims
            .iter()
            .map(|&side| usize::try_from(side).ok())
            .collect();
        let sides = sides.ok_or_else(|| {
            failed(format!(
                "the shape {:?} of {name:?} is negative",
                tensor.dims
            ))
        })?;
        let values = sides
            .iter()
            .try_fold(1_usize, |product, &side| product.checked_mul(side));
        let Some(values) = values else {
            return Err(failed(format!("the shape {sides:?} of {name:?} overflows")));
        };
        let width = match tensor.data_type {
            kind if kind == DataType::Float as i32 || kind == DataType::Int32 as i32 => 4,
            kind if kind == DataType::Int64 as i32 || kind == DataType::Double as i32 => 8,
            kind if kind == DataType::Int8 as i32 || kind == DataType::Uint8 as i32 => 1,
            // Of other types nothing is read here.
            _ => 0,
        };
        let raw = tensor.raw_data.len();
        if width != 0 && raw != 0 && values.checked_mul(width) != Some(raw) {
            return Err(failed(format!(
                "{name:?} of shape {sides:?} takes {} bytes and holds {raw}",
                values.saturating_mul(width)
            )));
        }
        let listed = tensor
            .float_data
            .len()
            .max(tensor.int32_data.len())
            .max(tensor.int64_data.len());
        if width != 0 && raw == 0 && values != listed.max(tensor.double_data.len()) {
            return Err(failed(format!(
                "{name:?} of shape {sides:?} takes {values} values and holds {listed}"
            )));
        }
        Ok(Constant {
            name: name.to_owned(),
            sides,
            tensor: Rc::new(tensor.clone()),
        })
    }

    pub(super) fn values(&self) -> usize {
        self.sides.iter().product()
    }

    pub(super) fn is(&self, kind: DataType) -> bool {
        self.tensor.data_type == kind as i32
    }

    /// The values, where they are `f32`.
    pub(super) fn floats(&self) -> Option<Vec<f32>> {
        if !self.is(DataType::Float) {
            return None;
        }
        if self.tensor.raw_data.is_empty() {
            return Some(self.tensor.float_data.clone());
        }
        let words = self.tensor.raw_data.chunks_exact(4);
        Some(
            words
                .filter_map(|word| Some(f32::from_le_bytes(word.try_into().ok()?)))
                .collect(),
        )
    }

    /// The values, where they are integers of any width up to 64 bits.
    pub(super) fn integers(&self) -> Option<Vec<i64>> {
        let raw = &self.tensor.raw_data;
        let listed = || {
            self.tensor
                .int32_data
                .iter()
                .map(|&value| i64::from(value))
                .collect()
        };
        match DataType::try_from(self.tensor.data_type).ok()? {
            DataType::Int8 if !raw.is_empty() => Some(
                raw.iter()
                    .map(|&byte| i64::from(byte.cast_signed()))
                    .collect(),
            ),
            DataType::Uint8 if !raw.is_empty() => {
                Some(raw.iter().map(|&byte| i64::from(byte)).collect())
            }
            DataType::Int32 if !raw.is_empty() => {
                let words = raw.chunks_exact(4);
                words
                    .map(|word| Some(i64::from(i32::from_le_bytes(word.try_into().ok()?))))
                    .collect()
            }
            DataType::Int8 | DataType::Uint8 | DataType::Int32 => Some(listed()),
            DataType::Int64 if !raw.is_empty() => {
                let words = raw.chunks_exact(8);
                words
                    .map(|word| Some(i64::from_le_bytes(word.try_into().ok()?)))
                    .collect()
            }
            DataType::Int64 => Some(self.tensor.int64_data.clone()),
            _ => None,
        }
    }
}

/// Stored integers behind a DequantizeLinear: weights or a bias.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) constant: Constant,
    /// One, or one for each index along `axis`.
    pub(super) scales: Vec<f32>,
    pub(super) zero_points: Vec<i64>,
    pub(super) axis: usize,
}

impl Stored {
    /// The real values.
    pub(super) fn floats(&self) -> Option<Vec<f32>> {
        let inner: usize = self.constant.sides.iter().skip(self.axis + 1).product();
        let side = self.constant.sides.get(self.axis).copied().unwrap_or(1);
        let values = self.constant.integers()?;
        let of = |at: usize| {
            if self.scales.len() == 1 {
                0
            } else {
                at / inner.max(1) % side.max(1)
            }
        };
        values
            .iter()
            .enumerate()
            .map(|(at, &value)| {
                let (scale, zero) = (self.scales.get(of(at))?, self.zero_points.get(of(at))?);
                Some((value - zero) as f32 * scale)
            })
            .collect()
    }
}

/// A constant summand, `(x - zero_point) * scale`.
#[derive(Debug, Clone)]
pub(super) struct StoredOffset {
    pub(super) integers: Vec<f32>,
    pub(super) zero_point: f32,
    pub(super) scale: f32,
}

impl Stored {
    /// The constant behind a name, where one scale holds for all of it.
    pub(super) fn offset_of(value: &Value) -> Option<StoredOffset> {
        let Value::Stored(stored) = value else {
            return None;
        };
        let (&[scale], &[zero_point]) = (stored.scales.as_slice(), stored.zero_points.as_slice())
        else {
            return None;
        };
        let integers = stored.constant.integers()?;
        Some(StoredOffset {
            integers: integers.iter().map(|&value| value as f32).collect(),
            zero_point: zero_point as f32,
            scale,
        })
    }
}

/// Pixels around an image that a Pad node or a Slice put there or took away
/// (negative): top, left, bottom, right.
pub(super) type Border = [isize; 4];

/// A quantized tensor seen as real numbers, `(x - zero_point) * scale`.
#[derive(Debug, Clone)]
pub(super) struct Dequantized {
    pub(super) tensor: TensorId,
    pub(super) layout: Layout,
    pub(super) scale: f32,
    /// In the `u8` domain.
    pub(super) zero_point: u8,
    /// Of real zeros, not in memory yet; part of `layout`.
    pub(super) border: Border,
}

/// Integers of channels that lie side by side, `(x - zero_point) * scale`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Levels {
    pub(super) channels: usize,
    pub(super) scale: f32,
    /// In the `u8` domain.
    pub(super) zero_point: u8,
}

/// A quantized tensor whose innermost side is in segments, each in integers of its own.
#[derive(Debug, Clone)]
pub(super) struct Segmented {
    pub(super) tensor: TensorId,
    pub(super) layout: Layout,
    pub(super) segments: Vec<Levels>,
}

impl Segmented {
    /// The same as one view, where all segments are in the same integers.
    pub(super) fn single(&self) -> Option<Dequantized> {
        let first = self.segments.first()?;
        let same =
            |levels: &Levels| (levels.scale, levels.zero_point) == (first.scale, first.zero_point);
        self.segments.iter().all(same).then(|| Dequantized {
            tensor: self.tensor,
            layout: self.layout.clone(),
            scale: first.scale,
            zero_point: first.zero_point,
            border: [0; 4],
        })
    }

    /// The integers of every channel.
    pub(super) fn channels(&self) -> impl Iterator<Item = &Levels> {
        self.segments
            .iter()
            .flat_map(|levels| std::iter::repeat_n(levels, levels.channels))
    }
}

/// A real-valued result that no step computes yet.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) node: String,
    pub(super) op: PendingOp,
    pub(super) layout: Layout,
    /// A ReLU or Clip behind it.
    pub(super) low: f32,
    pub(super) high: f32,
}

// There are a few hundred of these at a time, for milliseconds.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone)]
pub(super) enum PendingOp {
    Convolution {
        input: Dequantized,
        window: Window,
        depthwise: bool,
        weights: Stored,
        order: WeightOrder,
        bias: Option<Bias>,
    },
    Add(Box<[Dequantized; 2]>),
    /// `x * scale + offset`, per innermost side or one for all.
    Affine {
        input: Segmented,
        scale: Vec<f32>,
        offset: Vec<f32>,
        /// The offset as the graph stores it, where the operation is its sum and no more.
        stored: Option<StoredOffset>,
    },
    /// Along the innermost side.
    Concat(Vec<Dequantized>),
    AveragePool {
        input: Dequantized,
        window: Window,
        count_padding: bool,
    },
    GlobalAveragePool(Dequantized),
    Softmax(Dequantized),
}

/// A convolution's bias.
#[derive(Debug, Clone)]
pub(super) enum Bias {
    Stored(Stored),
    Floats(Vec<f32>),
}

/// What a name stands for.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone)]
pub(super) enum Value {
    Constant(Constant),
    Stored(Stored),
    /// 8-bit integers, shifted by 128 where ONNX has them signed.
    Bytes {
        tensor: TensorId,
        layout: Layout,
        signed: bool,
    },
    Dequantized(Dequantized),
    /// Of other integers from channel to channel; [`Value::Dequantized`] where they are not.
    Segmented(Segmented),
    Pending(Pending),
    /// `f32` in memory.
    Float {
        tensor: TensorId,
        layout: Layout,
    },
}

impl Value {
    /// The shape as ONNX sees it.
    pub(super) fn sides(&self) -> &[usize] {
        match self {
            Value::Constant(constant) => &constant.sides,
            Value::Stored(stored) => &stored.constant.sides,
            Value::Bytes { layout, .. } | Value::Float { layout, .. } => &layout.sides,
            Value::Dequantized(view) => &view.layout.sides,
            Value::Segmented(whole) => &whole.layout.sides,
            Value::Pending(pending) => &pending.layout.sides,
        }
    }
}
