//! Brings a photo of any size to the network's: stretched, letterboxed or
//! centre-cropped, with anti-aliasing.
//!
//! The filter is Pillow's BILINEAR: a triangle whose support grows with the
//! reduction, so every source pixel counts. A plain bilinear look-up would skip
//! most of a 12-megapixel photo. `fast_image_resize` computes it in integers,
//! with the same bits on every instruction set; it is within one grey level of Pillow.

use std::fmt;
use std::str::FromStr;

use fast_image_resize::images::{Image as Target, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use serde::{Deserialize, Serialize};

use super::Image;
use crate::error::{Error, ErrorKind, Result};

/// How a photo is brought to the network's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Fit {
    /// The whole photo, its proportions given up.
    Stretch,
    /// The whole photo in its proportions, centred, the rest filled.
    Letterbox,
    /// The largest centred part that has the network's proportions.
    CenterCrop,
}

impl Fit {
    /// All of them, in the order in which they are documented.
    pub const ALL: [Fit; 3] = [Fit::Stretch, Fit::Letterbox, Fit::CenterCrop];

    /// `stretch`, `letterbox` or `center-crop`, as in a manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Fit::Stretch => "stretch",
            Fit::Letterbox => "letterbox",
            Fit::CenterCrop => "center-crop",
        }
    }
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Fit {
    type Err = Error;

    fn from_str(text: &str) -> Result<Fit> {
        Fit::ALL
            .into_iter()
            .find(|fit| fit.as_str() == text)
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::InvalidArgument,
                    format!("unknown fit {text:?}; it is stretch, letterbox or center-crop"),
                )
            })
    }
}

/// Resizes `image` to `width` x `height` px. `letterbox_fill` is the sRGB colour
/// beside a letterboxed photo; the other ways don't use it. Deterministic; any
/// thread.
///
/// # Errors
/// `InvalidArgument` where a side is 0; `PhotoTooLarge` beyond
/// [`crate::photo::MAX_PIXELS`].
pub fn fit(
    image: &Image,
    width: u32,
    height: u32,
    fit: Fit,
    letterbox_fill: [u8; 3],
) -> Result<Image> {
    if width == 0 || height == 0 {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("cannot resize to {width}x{height} px"),
        ));
    }
    super::decode::check_size(width, height)?;
    let (from_width, from_height) = (f64::from(image.width), f64::from(image.height));
    match fit {
        Fit::Stretch => resize(image, width, height, [0.0, 0.0, from_width, from_height]),
        Fit::CenterCrop => {
            // Crop and resize in one pass: the box may lie between pixels.
            let ratio = f64::from(width) / f64::from(height);
            let crop_width = from_width.min(from_height * ratio);
            let crop_height = from_height.min(from_width / ratio);
            let left = (from_width - crop_width) / 2.0;
            let top = (from_height - crop_height) / 2.0;
            resize(image, width, height, [left, top, crop_width, crop_height])
        }
        Fit::Letterbox => {
            let scale = (f64::from(width) / from_width).min(f64::from(height) / from_height);
            // A very long photo keeps at least one pixel of its short side.
            let side = |from: f64, to: u32| ((from * scale).round() as u32).clamp(1, to);
            let (inner_width, inner_height) = (side(from_width, width), side(from_height, height));
            let whole = [0.0, 0.0, from_width, from_height];
            let inner = resize(image, inner_width, inner_height, whole)?;
            let left = (width - inner_width) / 2;
            let top = (height - inner_height) / 2;
            lay_over(inner, width, height, left, top, letterbox_fill)
        }
    }
}

/// Resizes the box `[left, top, width, height]` (px, fractions allowed) of `image`.
fn resize(image: &Image, width: u32, height: u32, source: [f64; 4]) -> Result<Image> {
    let failed = |error: &dyn fmt::Display| {
        let (from_width, from_height) = (image.width, image.height);
        Error::new(
            ErrorKind::InvalidArgument,
            format!("cannot resize {from_width}x{from_height} px to {width}x{height} px: {error}"),
        )
    };
    let from = ImageRef::new(image.width, image.height, &image.pixels, PixelType::U8x3)
        .map_err(|error| failed(&error))?;
    let mut to = Target::new(width, height, PixelType::U8x3);
    let [left, top, box_width, box_height] = source;
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .crop(left, top, box_width, box_height);
    Resizer::new()
        .resize(&from, &mut to, &options)
        .map_err(|error| failed(&error))?;
    Image::from_rgb(width, height, to.into_vec())
}

/// `inner` with its top left corner at (`left`, `top`) of a filled canvas.
fn lay_over(
    inner: Image,
    width: u32,
    height: u32,
    left: u32,
    top: u32,
    fill: [u8; 3],
) -> Result<Image> {
    if (inner.width, inner.height) == (width, height) {
        return Ok(inner);
    }
    let mut canvas = fill.repeat(width as usize * height as usize);
    let rows = canvas
        .chunks_exact_mut(width as usize * 3)
        .skip(top as usize);
    for (to, from) in rows.zip(inner.pixels.chunks_exact(inner.width as usize * 3)) {
        let to = to.iter_mut().skip(left as usize * 3);
        to.zip(from).for_each(|(to, from)| *to = *from);
    }
    Image::from_rgb(width, height, canvas)
}
