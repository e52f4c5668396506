//! Encoded bytes to an upright sRGB image: JPEG, PNG and WebP, told apart by
//! their content. EXIF orientation is obeyed, transparency is laid over white (a
//! shop's cut-out photos look as they do on a page), 16-bit samples are rounded to
//! 8, of an animation the first frame is taken. Colour profiles are ignored.
//!
//! Sizes are checked before memory is taken, so a header that announces a
//! gigantic picture costs nothing.

use std::io::Cursor;

use image::codecs::{jpeg::JpegDecoder, png::PngDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, Limits};

use super::{Image, jpeg_end};
use crate::error::{Error, ErrorKind, Result, catch_panic};

/// The largest photo that is decoded, width · height: 100 million pixels, beyond
/// what phones take (48 and 50 megapixels; 108 and 200 are binned by default).
pub const MAX_PIXELS: u64 = 100_000_000;

/// The longest side that is decoded, in pixels: JPEG's own limit.
pub const MAX_SIDE_PX: u32 = 65_535;

/// What a decoder may take before the photo's size is known: a PNG's colour profile
/// is unpacked while its header is read.
const MAX_HEADER_BYTES: u64 = 64 << 20;

/// Four 16-bit samples a pixel, the most that a PNG decodes to, and room for the
/// decoder's own tables.
const MAX_DECODER_BYTES: u64 = MAX_PIXELS * 8 + MAX_HEADER_BYTES;

/// Decodes a JPEG, PNG or WebP photo to upright sRGB pixels. Deterministic; any
/// thread.
///
/// # Errors
/// `Photo`: empty, of another format, damaged or cut short. `PhotoTooLarge`: more
/// than [`MAX_PIXELS`], or a side beyond [`MAX_SIDE_PX`]; nothing of that size is
/// allocated.
pub fn decode(bytes: &[u8]) -> Result<Image> {
    let format = sniff(bytes)?;
    // The decoders are well-kept safe Rust, but they index and unwrap.
    catch_panic(ErrorKind::Photo, "the decoder", || match format {
        Format::Jpeg => {
            jpeg_end::check(bytes)
                .map_err(|cause| photo(format!("the JPEG is cut short: {cause}")))?;
            finish(JpegDecoder::new(Cursor::new(bytes)), "JPEG")
        }
        Format::Png => finish(
            PngDecoder::with_limits(Cursor::new(bytes), limits(MAX_HEADER_BYTES)),
            "PNG",
        ),
        Format::WebP => {
            check_riff_length(bytes)?;
            finish(WebPDecoder::new(Cursor::new(bytes)), "WebP")
        }
    })
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
    let cut_short = [&[0xFF, 0xD8, 0xFF][..], b"\x89PNG\r\n\x1a\n", b"RIFF"]
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
                "a HEIC photo"
            }
            _ => "an MP4-like file",
        }
    } else if bytes.starts_with(b"GIF8") {
        "a GIF"
    } else if bytes.starts_with(b"BM") && bytes.len() >= 26 {
        "a BMP"
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
        "the file is {found}; JPEG, PNG and WebP photos are read"
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

/// The WebP decoder accepts files whose last chunk is cut; RIFF states its length.
fn check_riff_length(bytes: &[u8]) -> Result<()> {
    let announced = match bytes.get(4..8) {
        Some(&[a, b, c, d]) => u64::from(u32::from_le_bytes([a, b, c, d])) + 8,
        _ => return Err(photo("the WebP is cut short")),
    };
    if announced > bytes.len() as u64 {
        return Err(photo(format!(
            "the WebP is cut short: {} of {announced} bytes",
            bytes.len()
        )));
    }
    Ok(())
}

/// Memory only: `check_size` guards the sides, with a message that names them.
fn limits(bytes: u64) -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(bytes);
    limits
}

/// From an opened decoder (headers read, no pixel yet) to the upright image.
fn finish(
    decoder: std::result::Result<impl ImageDecoder, ImageError>,
    name: &str,
) -> Result<Image> {
    let failed = |error: ImageError| match error {
        ImageError::Limits(_) => Error::new(
            ErrorKind::PhotoTooLarge,
            format!("the {name} needs more memory than a photo of {MAX_PIXELS} pixels"),
        ),
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
    // Damaged EXIF is no reason to refuse a photo: it stays as it lies.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(failed)?;
    // Brought to 8-bit RGB first: turning moves 3 bytes a pixel instead of up to 8.
    image = DynamicImage::ImageRgb8(if image.color().has_alpha() {
        over_white(image.into_rgba8())
    } else {
        image.into_rgb8()
    });
    image.apply_orientation(orientation);
    let upright = image.into_rgb8();
    Image::from_rgb(upright.width(), upright.height(), upright.into_raw())
}

fn over_white(image: image::RgbaImage) -> image::RgbImage {
    let mut rgb = image::RgbImage::new(image.width(), image.height());
    for (to, from) in rgb.pixels_mut().zip(image.pixels()) {
        let [red, green, blue, alpha] = from.0;
        to.0 = [red, green, blue].map(|sample| {
            let alpha = u32::from(alpha);
            let sum = u32::from(sample) * alpha + 255 * (255 - alpha);
            // At most 255 · 255 + 127, so the rounded quotient fits.
            ((sum + 127) / 255) as u8
        });
    }
    rgb
}
