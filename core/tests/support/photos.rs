//! Makes encoded photos.

use image::codecs::{jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder};
use image::{DynamicImage, ImageEncoder, RgbImage};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Jpeg,
    Png,
    WebP,
}

/// An EXIF block that says nothing but the orientation.
pub fn exif(orientation: u8) -> Vec<u8> {
    let mut tiff = b"II*\0\x08\0\0\0\x01\0".to_vec();
    // Tag 0x0112, type SHORT, one value; then no further directory.
    tiff.extend([0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0]);
    tiff.extend([0; 4]);
    tiff
}

/// Encodes; JPEG at quality 95, the others without loss.
pub fn encode(image: &DynamicImage, format: Format, orientation: Option<u8>) -> Vec<u8> {
    fn write(mut to: impl ImageEncoder, image: &DynamicImage, orientation: Option<u8>) {
        if let Some(orientation) = orientation {
            to.set_exif_metadata(exif(orientation)).expect("takes EXIF");
        }
        image.write_with_encoder(to).expect("encodes");
    }
    let mut bytes = Vec::new();
    match format {
        Format::Jpeg => write(
            JpegEncoder::new_with_quality(&mut bytes, 95),
            image,
            orientation,
        ),
        Format::Png => write(PngEncoder::new(&mut bytes), image, orientation),
        Format::WebP => write(WebPEncoder::new_lossless(&mut bytes), image, orientation),
    }
    bytes
}

/// A photo that looks different under every rotation and mirroring, of `width` x
/// `height` px: four quarters of different colours.
pub fn quarters(width: u32, height: u32) -> DynamicImage {
    RgbImage::from_fn(width, height, |x, y| {
        image::Rgb(match (x < width / 2, y < height / 2) {
            (true, true) => [250, 250, 250],
            (false, true) => [200, 40, 40],
            (true, false) => [30, 60, 200],
            (false, false) => [10, 10, 10],
        })
    })
    .into()
}

/// Lays an upright image down as a camera that notes `orientation` stores it: the
/// inverse of what EXIF 2.32, tag 0x0112, asks a viewer to do.
pub fn laid_down(upright: &DynamicImage, orientation: u8) -> DynamicImage {
    match orientation {
        2 => upright.fliph(),
        3 => upright.rotate180(),
        4 => upright.flipv(),
        // 5 is shown mirrored along the diagonal, which is its own inverse.
        5 => upright.rotate90().fliph(),
        6 => upright.rotate270(),
        7 => upright.rotate270().fliph(),
        8 => upright.rotate90(),
        _ => upright.clone(),
    }
}

/// CRC-32 as PNG has it.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

pub fn png_chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut chunk = (content.len() as u32).to_be_bytes().to_vec();
    let body = [&kind[..], content].concat();
    chunk.extend(&body);
    chunk.extend(crc32(&body).to_be_bytes());
    chunk
}

/// A PNG that announces `width` x `height` RGBA px and holds next to nothing.
pub fn png_bomb(width: u32, height: u32) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([8, 6, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    png.extend(png_chunk(b"IHDR", &header));
    png.extend(png_chunk(b"IDAT", &[0x78, 0x9C, 0x63, 0, 0, 0, 1, 0, 1]));
    png.extend(png_chunk(b"IEND", &[]));
    png
}

/// A JPEG whose frame header announces another size.
pub fn jpeg_announcing(width: u16, height: u16) -> Vec<u8> {
    let mut jpeg = encode(&quarters(16, 16), Format::Jpeg, None);
    let frame = jpeg
        .windows(2)
        .position(|pair| pair == [0xFF, 0xC0])
        .expect("a baseline frame");
    jpeg[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    jpeg[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    jpeg
}
