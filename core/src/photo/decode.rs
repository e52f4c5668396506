//! Encoded photos: told apart by their content, their headers read, their pixels made available. JPEG is our
//! own ([`super::jpeg`]), PNG, WebP, GIF and BMP are the `image` crate's. Transparency is laid over white (a
//! shop's cut-out photos look as they do on a page), 16-bit samples are rounded to 8, of an animation the
//! first frame is taken.
//!
//! Sizes are checked before memory is taken, so a header that announces a
//! gigantic picture costs nothing.

use std::io::Cursor;

use image::codecs::{bmp::BmpDecoder, gif::GifDecoder, png::PngDecoder, webp::WebPDecoder};
use image::metadata::Orientation as ExifOrientation;
use image::{DynamicImage, ImageDecoder, ImageError, Limits};

use super::jpeg::{self, Jpeg, Reduction};
use super::orientation::Orientation;
use super::pixels::{PixelFormat, Pixels};
use super::{Image, Photo};
use crate::error::{Error, ErrorKind, Result};

/// The largest photo that is decoded, width · height: 100 million pixels, beyond
/// what phones take (48 and 50 megapixels; 108 and 200 are binned by default).
pub const MAX_PIXELS: u64 = 100_000_000;

/// The longest side that is decoded, in pixels: JPEG's own limit.
pub const MAX_SIDE_PX: u32 = 65_535;

/// What a decoder may take before the photo's size is known: a PNG's colour profile
/// is unpacked while its header is read.
const MAX_HEADER_BYTES: u64 = 64 << 20;

/// The most that decoding takes at once, bytes: four 16-bit samples a pixel, which is what a PNG may decode
/// to, and room for tables. What phones write takes far less: a 12-megapixel JPEG for an input of 224 px a megabyte.
pub const MAX_DECODER_BYTES: u64 = MAX_PIXELS * 8 + MAX_HEADER_BYTES;

/// Decodes a JPEG, PNG, WebP, GIF or BMP photo to upright sRGB pixels in its full size. Deterministic; any
/// thread. For a network's input [`Photo::fit`] is faster by far, since it reads no more than it needs.
///
/// # Errors
/// `Photo`: empty, of another format, damaged or cut short. `PhotoTooLarge`: more
/// than [`MAX_PIXELS`], or a side beyond [`MAX_SIDE_PX`]; nothing of that size is
/// allocated.
pub fn decode(bytes: &[u8]) -> Result<Image> {
    Photo::encoded(bytes).whole()
}

/// An encoded photo of which everything is known but what its pixels are at the size wanted.
pub(super) struct Encoded<'a> {
    /// As stored, px; within the limits.
    pub(super) size: (u32, u32),
    pub(super) orientation: Orientation,
    /// The colour profile's bytes.
    pub(super) profile: Option<Vec<u8>>,
    pub(super) picture: Picture<'a>,
}

pub(super) enum Picture<'a> {
    Jpeg(Box<Jpeg<'a>>),
    Raster(Raster),
}

/// Decoded pixels, without gaps.
pub(super) struct Raster {
    format: PixelFormat,
    width: u32,
    height: u32,
    data: Vec<u8>,
}

impl Raster {
    pub(super) fn pixels(&self) -> Result<Pixels<'_>> {
        let row_stride = self.width as usize * self.format.bytes();
        Pixels::packed(self.format, self.width, self.height, row_stride, &self.data)
    }
}

/// Reads headers; of formats that cannot be reduced the pixels too.
pub(super) fn open(bytes: &[u8]) -> Result<Encoded<'_>> {
    let cursor = || Cursor::new(bytes);
    match sniff(bytes)? {
        Format::Jpeg => open_jpeg(bytes),
        Format::Png => raster(
            PngDecoder::with_limits(cursor(), limits(MAX_HEADER_BYTES)),
            "PNG",
        ),
        Format::WebP => {
            check_riff(bytes)?;
            raster(WebPDecoder::new(cursor()), "WebP")
        }
        Format::Gif => raster(GifDecoder::new(cursor()), "GIF"),
        Format::Bmp => raster(BmpDecoder::new(cursor()), "BMP"),
    }
}

fn open_jpeg(bytes: &[u8]) -> Result<Encoded<'_>> {
    let jpeg = Jpeg::open(bytes).map_err(refused)?;
    let (width, height) = jpeg.size();
    // JPEG states its sides in 16 bits.
    let size = (width as u32, height as u32);
    check_size(size.0, size.1)?;
    // Damaged EXIF is no reason to refuse a photo: it stays as it lies.
    let orientation = jpeg.exif().and_then(ExifOrientation::from_exif_chunk);
    Ok(Encoded {
        size,
        orientation: upright(orientation),
        profile: jpeg.profile(),
        picture: Picture::Jpeg(Box::new(jpeg)),
    })
}

/// The colour planes of a JPEG, each as much smaller as `reduction` says by its scale across and down.
pub(super) fn planes(
    mut jpeg: Jpeg<'_>,
    reduction: impl Fn((f64, f64)) -> Reduction,
) -> Result<Vec<jpeg::Plane>> {
    jpeg.reduce(reduction);
    if jpeg.bytes() > MAX_DECODER_BYTES {
        return Err(needs_too_much("JPEG"));
    }
    jpeg.decode().map_err(refused)
}

fn refused(cause: String) -> Error {
    photo(format!("the JPEG {cause}"))
}

fn needs_too_much(name: &str) -> Error {
    Error::new(
        ErrorKind::PhotoTooLarge,
        format!("the {name} needs more memory than a photo of {MAX_PIXELS} pixels"),
    )
}

fn upright(orientation: Option<ExifOrientation>) -> Orientation {
    orientation
        .and_then(|orientation| Orientation::from_exif(orientation.to_exif()))
        .unwrap_or_default()
}

/// Fails where `width` x `height` exceeds what is decoded.
pub(super) fn check_size(width: u32, height: u32) -> Result<()> {
    let too_many = u64::from(width) * u64::from(height) > MAX_PIXELS;
    if too_many || width > MAX_SIDE_PX || height > MAX_SIDE_PX {
        return Err(Error::new(
            ErrorKind::PhotoTooLarge,
            format!(
                "the photo announces {width}x{height} px; at most {} million pixels and \
                 {MAX_SIDE_PX} px a side are decoded",
                MAX_PIXELS / 1_000_000
            ),
        ));
    }
    Ok(())
}

enum Format {
    Jpeg,
    Png,
    WebP,
    Gif,
    Bmp,
}

fn photo(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Photo, message)
}

/// Tells the format by its first bytes; what we don't read gets its name said.
fn sniff(bytes: &[u8]) -> Result<Format> {
    let riff = |form: &[u8]| bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(form);
    if bytes.starts_with(&[0xFF, 0xD8, 0xFF]) {
        return Ok(Format::Jpeg);
    }
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Ok(Format::Png);
    }
    if riff(b"WEBP") {
        return Ok(Format::WebP);
    }
    if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
        return Ok(Format::Gif);
    }
    // The length of the header that follows tells a BMP from a text that begins with "BM".
    if bytes.starts_with(b"BM") && matches!(bytes.get(14..18), Some([12..=124, 0, 0, 0])) {
        return Ok(Format::Bmp);
    }
    let cut_short = [
        &[0xFF, 0xD8, 0xFF][..],
        b"\x89PNG\r\n\x1a\n",
        b"RIFF",
        b"GIF8",
    ]
    .iter()
    .any(|magic| magic.starts_with(bytes));
    let found = if bytes.is_empty() {
        return Err(photo("the file is empty"));
    } else if cut_short {
        return Err(photo(format!(
            "the photo is cut short: only {} bytes",
            bytes.len()
        )));
    } else if bytes.get(4..8) == Some(b"ftyp") {
        match bytes.get(8..12) {
            Some(b"avif" | b"avis") => "an AVIF photo",
            Some(b"heic" | b"heix" | b"hevc" | b"heim" | b"heis" | b"mif1" | b"msf1") => {
                return Err(photo(
                    "the file is a HEIC photo, which is not decoded here: let the phone's own decoder \
                     read it, and pass its pixels",
                ));
            }
            _ => "an MP4-like file",
        }
    } else if bytes.starts_with(b"II*\0") || bytes.starts_with(b"MM\0*") {
        "a TIFF or camera raw file"
    } else if bytes.starts_with(b"\xFF\x0A") || bytes.starts_with(b"\0\0\0\x0CJXL ") {
        "a JPEG XL photo"
    } else if bytes.starts_with(b"%PDF") {
        "a PDF"
    } else if is_text(bytes) {
        "text"
    } else {
        "of an unknown format"
    };
    Err(photo(format!(
        "the file is {found}; JPEG, PNG, WebP, GIF and BMP photos are read"
    )))
}

/// Whether the beginning reads as UTF-8 without control characters.
fn is_text(bytes: &[u8]) -> bool {
    let head = bytes.get(..512).unwrap_or(bytes);
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character may be cut at the end of the head.
        Err(error) if error.error_len().is_none() => {
            let valid = head.get(..error.valid_up_to()).unwrap_or_default();
            std::str::from_utf8(valid).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.is_empty() && !text.chars().any(|c| c.is_control() && !c.is_whitespace())
}

/// The WebP decoder accepts files whose last chunk is cut, and believes the length that a chunk states.
fn check_riff(bytes: &[u8]) -> Result<()> {
    let length_at = |at: usize| match bytes.get(at..at + 4) {
        Some(&[a, b, c, d]) => Ok(u64::from(u32::from_le_bytes([a, b, c, d]))),
        _ => Err(photo("the WebP is cut short")),
    };
    let end = length_at(4)? + 8;
    if end > bytes.len() as u64 {
        return Err(photo(format!(
            "the WebP is cut short: {} of {end} bytes",
            bytes.len()
        )));
    }
    let mut at = 12;
    while at + 8 <= end {
        // Chunks of odd lengths are padded.
        at += 8 + length_at(at as usize + 4)?.next_multiple_of(2);
    }
    if at > end + 1 {
        return Err(photo(
            "the WebP is cut short: a part of it reaches beyond its end",
        ));
    }
    Ok(())
}

/// Memory only: `check_size` guards the sides, with a message that names them.
fn limits(bytes: u64) -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(bytes);
    limits
}

/// From an opened decoder (headers read, no pixel yet) to pixels.
fn raster<'a>(
    decoder: std::result::Result<impl ImageDecoder, ImageError>,
    name: &str,
) -> Result<Encoded<'a>> {
    let failed = |error: ImageError| match error {
        ImageError::Limits(_) => needs_too_much(name),
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            photo(format!("the {name} is cut short")).with_source(error)
        }
        error => photo(format!("the {name} is damaged")).with_source(error),
    };
    let mut decoder = decoder.map_err(failed)?;
    let (width, height) = decoder.dimensions();
    check_size(width, height)?;
    if width == 0 || height == 0 {
        return Err(photo(format!(
            "the {name} has no pixels ({width}x{height})"
        )));
    }
    decoder
        .set_limits(limits(MAX_DECODER_BYTES))
        .map_err(failed)?;
    // Damaged metadata are no reason to refuse a photo.
    let orientation = decoder.orientation().ok();
    let profile = decoder.icc_profile().ok().flatten();
    let image = DynamicImage::from_decoder(decoder).map_err(failed)?;
    let (format, data) = match image {
        DynamicImage::ImageLuma8(image) => (PixelFormat::Grey, image.into_raw()),
        image if image.color().has_alpha() => (PixelFormat::Rgba, image.into_rgba8().into_raw()),
        image => (PixelFormat::Rgb, image.into_rgb8().into_raw()),
    };
    Ok(Encoded {
        size: (width, height),
        orientation: upright(orientation),
        profile,
        picture: Picture::Raster(Raster {
            format,
            width,
            height,
            data,
        }),
    })
}
