//! How a photo of any size is brought to the network's: stretched, letterboxed or centre-cropped.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Image, Photo};
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

    /// Where the box `[left, top, width, height]` of a photo goes on a canvas of `width` x `height` px.
    pub(super) fn place(self, region: [f64; 4], width: u32, height: u32) -> Placement {
        let [left, top, from_width, from_height] = region;
        let whole = Placement {
            source: region,
            size: (width, height),
            at: (0, 0),
        };
        match self {
            Fit::Stretch => whole,
            Fit::CenterCrop => {
                // The box may lie between pixels.
                let ratio = f64::from(width) / f64::from(height);
                let crop_width = from_width.min(from_height * ratio);
                let crop_height = from_height.min(from_width / ratio);
                Placement {
                    source: [
                        left + (from_width - crop_width) / 2.0,
                        top + (from_height - crop_height) / 2.0,
                        crop_width,
                        crop_height,
                    ],
                    ..whole
                }
            }
            Fit::Letterbox => {
                let scale = (f64::from(width) / from_width).min(f64::from(height) / from_height);
                // A very long photo keeps at least one pixel of its short side.
                let side = |from: f64, to: u32| ((from * scale).round() as u32).clamp(1, to);
                let size = (side(from_width, width), side(from_height, height));
                Placement {
                    size,
                    at: ((width - size.0) / 2, (height - size.1) / 2),
                    ..whole
                }
            }
        }
    }
}

/// What of a photo goes where.
pub(super) struct Placement {
    /// `[left, top, width, height]` of the photo, px.
    pub(super) source: [f64; 4],
    /// Its size on the canvas, px, and where its corner is.
    pub(super) size: (u32, u32),
    pub(super) at: (u32, u32),
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
/// As [`Photo::fit`].
pub fn fit(
    image: &Image,
    width: u32,
    height: u32,
    fit: Fit,
    letterbox_fill: [u8; 3],
) -> Result<Image> {
    let fitted = Photo::from(image).fit(width, height, fit, letterbox_fill)?;
    Ok(fitted.image)
}
