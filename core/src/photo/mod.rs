//! From a photo as phones make it to upright pixels of the size that the network wants.
//!
//! [`Photo`] takes a file's bytes or an app's pixels and brings them to size in one pass; phone, evaluation and
//! training all use it, so that all see the same pixels. [`measures`](Measures) says what can be said about the photo as a photo.

mod colour;
mod decode;
mod fit;
mod jpeg;
mod measures;
mod orientation;
mod pixels;
mod profile;
mod resize;
mod source;

pub use decode::{MAX_DECODER_BYTES, MAX_PIXELS, MAX_SIDE_PX, decode};
pub use fit::{Fit, fit};
pub use measures::Measures;
pub use orientation::Orientation;
pub use pixels::{PixelFormat, Pixels, YuvColours, YuvMatrix, YuvPlane, YuvRange};
pub use source::{Fitted, Note, Photo, Region};

use crate::error::{Error, ErrorKind, Result};

/// An upright photo: sRGB, `[height, width, 3]` u8, rows from the top, no padding.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

impl Image {
    /// Takes `[height, width, 3]` u8 sRGB pixels, rows from the top, no padding.
    ///
    /// # Errors
    /// `InvalidArgument` where a side is 0 or `pixels` has another length than
    /// `width · height · 3`; `PhotoTooLarge` beyond [`MAX_PIXELS`].
    pub fn from_rgb(width: u32, height: u32, pixels: Vec<u8>) -> Result<Image> {
        // Two sides of 32 bits: their product fits 64, three times it does not.
        let bytes = u128::from(width) * u128::from(height) * 3;
        if bytes == 0 || pixels.len() as u128 != bytes {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "{width}x{height} RGB pixels need {bytes} bytes (more than 0), got {}",
                    pixels.len()
                ),
            ));
        }
        decode::check_size(width, height)?;
        Ok(Image {
            width,
            height,
            pixels,
        })
    }

    /// Width in pixels, at least 1.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels, at least 1.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// `[height, width, 3]` u8, rows from the top.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The pixels without a copy, as [`Image::pixels`].
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({}x{})", self.width, self.height)
    }
}
