//! A photo as an app has it, and its one way to the network's size.
//!
//! What is needed of it is found out first: which box of the stored pixels, for how many results. Then
//! the pixels are read once ([`super::resize`]); profiles are followed and the picture is turned upright
//! when it is small, and a frame's colours are converted there.

use super::decode::{self, Picture, check_size};
use super::fit::{Fit, Placement};
use super::jpeg::{self, Reduction};
use super::measures::{self, Measures};
use super::orientation::Orientation;
use super::pixels::Pixels;
use super::profile::{self, Profile};
use super::resize::{Axis, Samples};
use super::{Image, colour};
use crate::error::{Error, ErrorKind, Result, catch_panic};

/// A photo: an encoded file, or pixels; with how it is to be turned, and which part of it counts.
#[derive(Debug, Clone)]
pub struct Photo<'a> {
    content: Content<'a>,
    orientation: Orientation,
    region: Option<Region>,
}

#[derive(Debug, Clone)]
enum Content<'a> {
    Encoded(&'a [u8]),
    Pixels(Pixels<'a>),
}

/// A part of a photo, in px of the upright one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Region {
    /// Left edge, from the photo's left.
    pub x: u32,
    /// Upper edge, from the photo's top.
    pub y: u32,
    /// Width, at least 1.
    pub width: u32,
    /// Height, at least 1.
    pub height: u32,
}

/// A photo at the size that was asked for, with what was seen on the way.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Fitted {
    /// Upright sRGB pixels of the size that was asked for.
    pub image: Image,
    /// Measures of the photo.
    pub measures: Measures,
    /// What the caller might want to know.
    pub notes: Vec<Note>,
}

/// Something about a photo that did not keep it from being read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// The photo's colour profile, by its name, is neither sRGB nor Display P3; its
    /// colours were taken as sRGB.
    ProfileIgnored(String),
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Note::ProfileIgnored(name) => {
                write!(
                    f,
                    "the colour profile ({name}) is ignored: colours are taken as sRGB"
                )
            }
        }
    }
}

impl<'a> From<Pixels<'a>> for Photo<'a> {
    fn from(pixels: Pixels<'a>) -> Photo<'a> {
        Photo {
            content: Content::Pixels(pixels),
            orientation: Orientation::UPRIGHT,
            region: None,
        }
    }
}

impl<'a> From<&'a Image> for Photo<'a> {
    fn from(image: &'a Image) -> Photo<'a> {
        Pixels::from(image).into()
    }
}

impl<'a> Photo<'a> {
    /// A file's bytes: JPEG, PNG, WebP, GIF (its first frame) or BMP. EXIF orientation is obeyed.
    pub fn encoded(bytes: &'a [u8]) -> Photo<'a> {
        Photo {
            content: Content::Encoded(bytes),
            orientation: Orientation::UPRIGHT,
            region: None,
        }
    }

    /// Whether it is an encoded photo of these bytes.
    #[cfg(feature = "panic-on-demand")]
    pub(crate) fn is_encoded(&self, wanted: &[u8]) -> bool {
        matches!(self.content, Content::Encoded(bytes) if bytes == wanted)
    }

    /// How the pixels have to be turned to stand upright; of an encoded photo, what is left to do
    /// after EXIF's orientation.
    #[must_use]
    pub fn turned(mut self, orientation: Orientation) -> Photo<'a> {
        self.orientation = orientation;
        self
    }

    /// The part of the upright photo that counts; all of it by default.
    #[must_use]
    pub fn region(mut self, region: Region) -> Photo<'a> {
        self.region = Some(region);
        self
    }

    /// The photo at `width` x `height` px; `letterbox_fill` is the sRGB colour beside a letterboxed one, the
    /// other ways don't use it. A JPEG is decoded no larger than twice that size asks for, pixels are read in
    /// place. Deterministic, with the same bits on every instruction set; any thread.
    ///
    /// # Errors
    /// `Photo`: empty, of another format, damaged or cut short. `PhotoTooLarge`: more than
    /// [`super::MAX_PIXELS`], or a side beyond [`super::MAX_SIDE_PX`]; nothing of that size is allocated.
    /// `InvalidArgument`: a side of 0, a region beside the photo.
    pub fn fit(
        &self,
        width: u32,
        height: u32,
        fit: Fit,
        letterbox_fill: [u8; 3],
    ) -> Result<Fitted> {
        if width == 0 || height == 0 {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("cannot resize to {width}x{height} px"),
            ));
        }
        check_size(width, height)?;
        self.fit_to(|_| (width, height), fit, letterbox_fill)
    }

    /// The photo upright in its own size, or its region's.
    pub(super) fn whole(&self) -> Result<Image> {
        let fitted = self.fit_to(|region| (region.width, region.height), Fit::Stretch, [0; 3])?;
        Ok(fitted.image)
    }

    /// The photo at the size that `target` makes of its region.
    fn fit_to(
        &self,
        target: impl FnOnce(Region) -> (u32, u32),
        fit: Fit,
        letterbox_fill: [u8; 3],
    ) -> Result<Fitted> {
        // Decoders are well-kept safe Rust, ours too, but they index.
        catch_panic(ErrorKind::Photo, "reading the photo", || {
            let opened = self.open()?;
            let region = self.checked_region(opened.upright_size())?;
            let (width, height) = target(region);
            let placement = fit.place(region.edges(), width, height);
            let orientation = opened.orientation;
            let (stored, notes) = opened.read(&placement)?;
            // Turned before it is measured: rows and columns are not measured alike.
            let inner = orientation.upright(stored);
            let measures = measures::measure(&inner, region.width, region.height);
            let mut image = Image {
                width,
                height,
                pixels: letterbox_fill.repeat(width as usize * height as usize),
            };
            let (left, top) = placement.at;
            Orientation::UPRIGHT.lay_into(&inner, &mut image, left as usize, top as usize);
            Ok(Fitted {
                image,
                measures,
                notes,
            })
        })
    }

    /// Width and height of the upright photo, its region aside, px.
    ///
    /// # Errors
    /// As [`Photo::fit`].
    pub fn size(&self) -> Result<(u32, u32)> {
        catch_panic(ErrorKind::Photo, "reading the photo", || {
            Ok(self.open()?.upright_size())
        })
    }

    fn open(&self) -> Result<Opened<'_>> {
        let mut opened = match &self.content {
            Content::Encoded(bytes) => {
                let encoded = decode::open(bytes)?;
                Opened {
                    size: encoded.size,
                    orientation: encoded.orientation,
                    profile: encoded.profile.as_deref().map(profile::recognize),
                    content: Stored::Encoded(encoded.picture),
                }
            }
            Content::Pixels(pixels) => Opened {
                size: (pixels.width(), pixels.height()),
                orientation: Orientation::UPRIGHT,
                profile: None,
                content: Stored::Pixels(pixels),
            },
        };
        opened.orientation = opened.orientation.then(self.orientation);
        Ok(opened)
    }

    /// The region that was asked for, inside an upright photo of `size`; by default all of it.
    fn checked_region(&self, (width, height): (u32, u32)) -> Result<Region> {
        let Some(region) = self.region else {
            return Ok(Region {
                x: 0,
                y: 0,
                width,
                height,
            });
        };
        let inside = |at: u32, length: u32, whole: u32| {
            length > 0 && at.checked_add(length).is_some_and(|end| end <= whole)
        };
        if inside(region.x, region.width, width) && inside(region.y, region.height, height) {
            return Ok(region);
        }
        Err(Error::new(
            ErrorKind::InvalidArgument,
            format!(
                "the region of {}x{} px at ({}, {}) is empty or not inside the upright photo of {width}x{height} px",
                region.width, region.height, region.x, region.y
            ),
        ))
    }
}

impl Region {
    /// `[left, top, width, height]`.
    fn edges(self) -> [f64; 4] {
        [self.x, self.y, self.width, self.height].map(f64::from)
    }
}

/// A photo of which everything but its pixels is known.
struct Opened<'a> {
    /// As stored.
    size: (u32, u32),
    orientation: Orientation,
    profile: Option<Profile>,
    content: Stored<'a>,
}

enum Stored<'a> {
    Encoded(Picture<'a>),
    Pixels(&'a Pixels<'a>),
}

/// A reduced JPEG keeps at least this many times the pixels of a side that are wanted: the rest is left to the
/// anti-aliased filter, which is closer to having decoded in full than a block's mean (Pillow's `reducing_gap`).
const GAP: f64 = 2.0;

/// As [`GAP`], where a colour is stored smaller than the photo: it is a mean of pixels already.
const SUBSAMPLED_GAP: f64 = 1.0;

impl Opened<'_> {
    fn upright_size(&self) -> (u32, u32) {
        self.orientation.size(self.size)
    }

    /// What `placement` asks for, turned as it is stored, in sRGB.
    fn read(self, placement: &Placement) -> Result<(Image, Vec<Note>)> {
        let stored = (f64::from(self.size.0), f64::from(self.size.1));
        let area = self.orientation.stored_box(placement.source, stored);
        let (width, height) = self.orientation.size(placement.size);
        let target = (width as usize, height as usize);
        let mut pixels = match self.content {
            Stored::Pixels(pixels) => resize(&pixels.planes, pixels.meaning, area, target),
            Stored::Encoded(Picture::Raster(raster)) => {
                let pixels = raster.pixels()?;
                resize(&pixels.planes, pixels.meaning, area, target)
            }
            Stored::Encoded(Picture::Jpeg(jpeg)) => {
                let meaning = jpeg.meaning();
                let planes = decode::planes(*jpeg, |scale| reduction(area, target, scale))?;
                match planes.as_slice() {
                    [grey] => resize(&[grey.samples()], colour::Meaning::Grey, area, target),
                    [first, ..] => {
                        let rgb = jpeg::to_rgb(&planes, meaning);
                        resize(&[first.rgb(&rgb)], colour::Meaning::Rgb, area, target)
                    }
                    [] => Vec::new(),
                }
            }
        };
        let mut notes = Vec::new();
        match self.profile {
            Some(Profile::DisplayP3) => colour::display_p3_to_srgb(&mut pixels),
            Some(Profile::Other(name)) => notes.push(Note::ProfileIgnored(name)),
            Some(Profile::Srgb) | None => {}
        }
        let image = Image {
            width,
            height,
            pixels,
        };
        Ok((image, notes))
    }
}

/// The most that a plane of a JPEG, stored at `scale` of the photo, may be reduced for `area` to become `target` px.
fn reduction(area: [f64; 4], target: (usize, usize), scale: (f64, f64)) -> Reduction {
    let [_, _, width, height] = area;
    let enough = |length: f64, target: usize, scale: f64, reduction: Reduction| {
        let left = length * scale * reduction.samples() as f64 / 8.0;
        left >= target as f64 * if scale < 1.0 { SUBSAMPLED_GAP } else { GAP }
    };
    Reduction::ALL
        .into_iter()
        .find(|&reduction| {
            enough(width, target.0, scale.0, reduction)
                && enough(height, target.1, scale.1, reduction)
        })
        .unwrap_or(Reduction::None)
}

/// RGB pixels of the box `area` of a picture, which each plane covers at its own scale.
fn resize(
    planes: &[Samples<'_>],
    meaning: colour::Meaning,
    area: [f64; 4],
    target: (usize, usize),
) -> Vec<u8> {
    let [left, top, width, height] = area;
    let mut levels = Vec::with_capacity(planes.len());
    for plane in planes {
        let (across, down) = (plane.scale.0, plane.scale.1);
        let columns = Axis::new(
            plane.width,
            left * across,
            width * across,
            target.0,
            plane.spread.0,
        );
        let rows = Axis::new(
            plane.height,
            top * down,
            height * down,
            target.1,
            plane.spread.1,
        );
        levels.extend(plane.resize(&columns, &rows));
    }
    colour::to_rgb(&levels, meaning)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    /// Whatever the CPU, the network sees the same bits: this test runs on x86-64 and on arm64.
    #[test]
    fn a_photo_has_the_same_bits_on_every_cpu() {
        let sample: &[u8] = include_bytes!("../../../tests/data/sample.jpg");
        let progressive: &[u8] = include_bytes!("../../../tests/data/jpeg/progressive.jpg");
        let inks: &[u8] = include_bytes!("../../../tests/data/jpeg/cmyk.jpg");
        let mut hash = Sha256::new();
        for (bytes, sides) in [
            (sample, [224, 90, 30, 500]),
            (progressive, [75, 30, 15, 4]),
            (inks, [50, 20, 9, 4]),
        ] {
            for (side, fit) in sides.into_iter().zip(Fit::ALL.into_iter().cycle()) {
                let fitted = Photo::encoded(bytes)
                    .fit(side, side, fit, [9; 3])
                    .expect("fits");
                let mut pixels = fitted.image.into_pixels();
                hash.update(&pixels);
                colour::display_p3_to_srgb(&mut pixels);
                hash.update(&pixels);
            }
        }
        let hash: String = hash
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            hash,
            "54ab157dd32fca6b8ab8eb64ca5c462fc840af7875a3b29d2b694153067c3a72"
        );
    }
}
