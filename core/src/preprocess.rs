//! What stands between a photo and a network's input tensor: size, fit, colour
//! order, layout and number type. It is part of a bundle's manifest, so that a
//! network is never fed otherwise than it was trained.
//!
//! Our own networks take u8 NHWC pixels as they are (normalization is folded into
//! their first convolution); float inputs are for classifiers made elsewhere.

use serde::{Deserialize, Serialize};

use crate::engine::{Tensor, TensorData};
use crate::error::{Error, ErrorKind, Result};
use crate::photo::{Fit, Fitted, Image, Photo};

/// The order of a pixel's channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Colour {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red, as OpenCV and Caffe have it.
    Bgr,
}

/// The order of a tensor's sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Layout {
    /// `[1, height, width, 3]`.
    Nhwc,
    /// `[1, 3, height, width]`.
    Nchw,
}

/// The type of the network's input and how pixels become it. In JSON: `"u8"`, or
/// `{"f32": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}}`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
#[non_exhaustive]
pub enum InputType {
    /// Pixels as they are, 0 to 255.
    U8,
    /// `(pixel / 255 − mean) / std`, as torchvision's `ToTensor` and `Normalize`
    /// do. Keras' −1…1 is mean 0.5 and std 0.5; plain 0…255 is mean 0 and
    /// std 0.003921569 (1 / 255).
    F32 {
        /// Subtracted; in the order of the tensor's channels (see [`Colour`]).
        mean: [f32; 3],
        /// Divided by; in the order of the tensor's channels.
        std: [f32; 3],
    },
}

/// How a photo becomes the network's input tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// Width of the network's input, px.
    pub width: u32,
    /// Height of the network's input, px.
    pub height: u32,
    /// How the photo is brought to that size.
    pub fit: Fit,
    /// Grey level beside a letterboxed photo, 0 to 255.
    pub fill: u8,
    /// Order of the channels.
    pub colour: Colour,
    /// Order of the tensor's sides.
    pub layout: Layout,
    /// Number type and normalization.
    pub input: InputType,
}

/// The longest side of a network's input, px. Far beyond any classifier, and
/// small enough that a manifest cannot ask for memory that a phone doesn't have.
const MAX_INPUT_SIDE_PX: u32 = 4096;

impl Preprocess {
    /// `[1, height, width, 3]` RGB u8, letterboxed (where it is) on grey 128: what
    /// our own networks take.
    pub fn u8_nhwc(width: u32, height: u32, fit: Fit) -> Preprocess {
        Preprocess {
            width,
            height,
            fit,
            fill: 128,
            colour: Colour::Rgb,
            layout: Layout::Nhwc,
            input: InputType::U8,
        }
    }

    /// Whether the values can be meant: what a manifest from elsewhere must pass.
    ///
    /// # Errors
    /// `InvalidArgument` where a side is 0 or above 4096 px, a mean is not finite
    /// or a std is not finite and positive.
    pub fn check(&self) -> Result<()> {
        let invalid = |message: String| Err(Error::new(ErrorKind::InvalidArgument, message));
        for side in [self.width, self.height] {
            if side == 0 || side > MAX_INPUT_SIDE_PX {
                return invalid(format!(
                    "an input of {}x{} px; each side is 1 to {MAX_INPUT_SIDE_PX} px",
                    self.width, self.height
                ));
            }
        }
        if let InputType::F32 { mean, std } = self.input {
            if !mean.iter().all(|value| value.is_finite()) {
                return invalid(format!("mean {mean:?} is not finite"));
            }
            if !std.iter().all(|value| value.is_finite() && *value > 0.0) {
                return invalid(format!("std {std:?} is not finite and positive"));
            }
        }
        Ok(())
    }

    /// The shape of the tensor: `[1, height, width, 3]` or `[1, 3, height, width]`.
    pub fn shape(&self) -> [usize; 4] {
        let (height, width) = (self.height as usize, self.width as usize);
        match self.layout {
            Layout::Nhwc => [1, height, width, 3],
            Layout::Nchw => [1, 3, height, width],
        }
    }

    /// The photo at the network's size, RGB: all of preprocessing but the number
    /// type, the channel order and the layout.
    ///
    /// # Errors
    /// As [`Preprocess::check`] and [`Photo::fit`].
    pub fn fit(&self, photo: &Photo<'_>) -> Result<Fitted> {
        self.check()?;
        photo.fit(self.width, self.height, self.fit, [self.fill; 3])
    }

    /// The network's input for a photo that [`Preprocess::fit`] brought to size, of shape
    /// [`Preprocess::shape`].
    ///
    /// # Errors
    /// As [`Preprocess::check`]; `InvalidArgument` where `fitted` has another size.
    pub fn tensor(&self, fitted: Image) -> Result<Tensor> {
        self.check()?;
        if (fitted.width(), fitted.height()) != (self.width, self.height) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("{fitted:?} is not {}x{} px", self.width, self.height),
            ));
        }
        let mut pixels = fitted.into_pixels();
        if self.colour == Colour::Bgr {
            for pixel in pixels.chunks_exact_mut(3) {
                pixel.reverse();
            }
        }
        if self.layout == Layout::Nchw {
            pixels = (0..3)
                .flat_map(|channel| pixels.iter().skip(channel).step_by(3).copied())
                .collect();
        }
        let data = match self.input {
            InputType::U8 => TensorData::U8(pixels),
            InputType::F32 { mean, std } => {
                let plane = pixels.len() / 3;
                let normalize =
                    |pixel: u8, mean: f32, std: f32| (f32::from(pixel) / 255.0 - mean) / std;
                TensorData::F32(match self.layout {
                    Layout::Nhwc => {
                        let scales = mean.into_iter().zip(std).cycle();
                        let values = pixels.iter().zip(scales);
                        values
                            .map(|(&pixel, (mean, std))| normalize(pixel, mean, std))
                            .collect()
                    }
                    Layout::Nchw => {
                        let planes = pixels.chunks_exact(plane).zip(mean.into_iter().zip(std));
                        planes
                            .flat_map(|(plane, (mean, std))| {
                                plane.iter().map(move |&pixel| normalize(pixel, mean, std))
                            })
                            .collect()
                    }
                })
            }
        };
        Tensor::new(self.shape().to_vec(), data)
    }
}
