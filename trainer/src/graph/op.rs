//! What a layer computes, and the shape that comes of it.

/// `[height, width, channels]`; a vector is `[1, 1, channels]`.
pub type Shape = [usize; 3];

/// Pixels around a feature map: of zeros where it is padding, of the map itself where it is a crop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Padding {
    /// Rows above.
    pub top: usize,
    /// Columns to the left.
    pub left: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the right.
    pub right: usize,
}

impl Padding {
    /// TensorFlow's `same` padding of one axis: the odd pixel goes to the end.
    fn same_axis(size: usize, kernel: usize, stride: usize) -> (usize, usize) {
        let total = ((size.div_ceil(stride) - 1) * stride + kernel).saturating_sub(size);
        (total / 2, total - total / 2)
    }

    /// TensorFlow's `same` padding for a feature map of `[height, width, _]`.
    pub fn same(shape: Shape, kernel: usize, stride: usize) -> Padding {
        let (top, bottom) = Self::same_axis(shape[0], kernel, stride);
        let (left, right) = Self::same_axis(shape[1], kernel, stride);
        Padding {
            top,
            left,
            bottom,
            right,
        }
    }

    /// As many pixels on all four sides.
    pub fn all(pixels: usize) -> Padding {
        Padding {
            top: pixels,
            left: pixels,
            bottom: pixels,
            right: pixels,
        }
    }

    /// True where nothing is padded.
    pub fn is_none(&self) -> bool {
        *self == Padding::default()
    }

    /// The same above and below, and the same left and right: what libtorch's operations take.
    pub fn symmetric(&self) -> Option<[usize; 2]> {
        (self.top == self.bottom && self.left == self.right).then_some([self.top, self.left])
    }

    /// One around the other.
    pub fn plus(self, other: Padding) -> Padding {
        Padding {
            top: self.top + other.top,
            left: self.left + other.left,
            bottom: self.bottom + other.bottom,
            right: self.right + other.right,
        }
    }
}

/// How a convolution connects channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Every output channel reads every input channel.
    Dense {
        /// Output channels.
        filters: usize,
    },
    /// Output channel `c` reads input channel `c` alone.
    Depthwise,
}

/// What a layer computes.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The photo, normalized.
    Input,
    /// Explicit zero padding.
    Pad(Padding),
    /// Takes rows and columns away.
    Crop(Padding),
    /// k×k convolution with zero padding.
    Conv {
        /// Dense or depthwise.
        connection: Connection,
        /// Kernel height and width.
        kernel: usize,
        /// Step in both directions.
        stride: usize,
        /// Zero padding.
        padding: Padding,
        /// Whether it has a bias.
        bias: bool,
    },
    /// A depthwise convolution and a 1×1 convolution behind it, without biases: one layer in Keras, two kernels.
    SeparableConv {
        /// Output channels.
        filters: usize,
        /// Height and width of the depthwise kernel.
        kernel: usize,
        /// Step of the depthwise convolution in both directions.
        stride: usize,
        /// Zero padding of the depthwise convolution.
        padding: Padding,
    },
    /// Batch normalization over channels.
    BatchNorm {
        /// Added to the variance.
        epsilon: f64,
    },
    /// `x * weight + bias` per channel: what is left of a batch norm that has no convolution of its own.
    Scale,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// Sum of two maps.
    Add,
    /// Maps side by side along their channels.
    Concat,
    /// Largest value of each window; windows lie inside the map.
    MaxPool {
        /// Window height and width.
        kernel: usize,
        /// Step in both directions.
        stride: usize,
    },
    /// Mean of each window, padding not counted.
    AveragePool {
        /// Window height and width.
        kernel: usize,
        /// Step in both directions.
        stride: usize,
        /// How far windows reach over the border.
        padding: Padding,
    },
    /// Mean over height and width.
    GlobalAveragePool,
    /// Active in training only.
    Dropout {
        /// Share of values set to zero.
        rate: f64,
    },
    /// Fully connected, with bias.
    Dense {
        /// Outputs.
        units: usize,
    },
}

impl Op {
    /// The shape after this operation on maps of these shapes.
    pub(super) fn output_shape(&self, inputs: &[Shape]) -> Shape {
        let [height, width, channels] = inputs.first().copied().unwrap_or_default();
        let windows = |kernel: usize, stride: usize, p: Padding| {
            let along = |size: usize, pad: usize| (size + pad).saturating_sub(kernel) / stride + 1;
            [
                along(height, p.top + p.bottom),
                along(width, p.left + p.right),
            ]
        };
        match *self {
            Op::Input
            | Op::BatchNorm { .. }
            | Op::Scale
            | Op::Relu
            | Op::Relu6
            | Op::Add
            | Op::Dropout { .. } => [height, width, channels],
            Op::Pad(p) => [
                height + p.top + p.bottom,
                width + p.left + p.right,
                channels,
            ],
            Op::Crop(p) => [
                height.saturating_sub(p.top + p.bottom),
                width.saturating_sub(p.left + p.right),
                channels,
            ],
            Op::Conv {
                connection,
                kernel,
                stride,
                padding,
                ..
            } => {
                let [height, width] = windows(kernel, stride, padding);
                match connection {
                    Connection::Dense { filters } => [height, width, filters],
                    Connection::Depthwise => [height, width, channels],
                }
            }
            Op::SeparableConv {
                filters,
                kernel,
                stride,
                padding,
            } => {
                let [height, width] = windows(kernel, stride, padding);
                [height, width, filters]
            }
            Op::Concat => [height, width, inputs.iter().map(|shape| shape[2]).sum()],
            Op::MaxPool { kernel, stride } => {
                let [height, width] = windows(kernel, stride, Padding::default());
                [height, width, channels]
            }
            Op::AveragePool {
                kernel,
                stride,
                padding,
            } => {
                let [height, width] = windows(kernel, stride, padding);
                [height, width, channels]
            }
            Op::GlobalAveragePool => [1, 1, channels],
            Op::Dense { units } => [1, 1, units],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_puts_the_odd_pixel_last() {
        let p = Padding::same([224, 224, 3], 3, 2);
        assert_eq!((p.top, p.bottom, p.left, p.right), (0, 1, 0, 1));
        let p = Padding::same([7, 7, 3], 3, 1);
        assert_eq!((p.top, p.bottom, p.left, p.right), (1, 1, 1, 1));
    }
}
