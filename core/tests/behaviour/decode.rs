//! Every format, every orientation, and what is no photo.

use etalase::photo::{self, MAX_PIXELS};
use etalase::{ErrorKind, Image};
use image::{DynamicImage, GrayAlphaImage, GrayImage, ImageBuffer, Rgb, RgbaImage};

use crate::support::photos::{self, Format, encode, laid_down, png_chunk, quarters};

const FORMATS: [Format; 3] = [Format::Jpeg, Format::Png, Format::WebP];

fn decode(bytes: &[u8]) -> Image {
    photo::decode(bytes).expect("decodes")
}

fn refusal(bytes: &[u8]) -> etalase::Error {
    photo::decode(bytes).expect_err("refused")
}

fn assert_close(image: &Image, wanted: &DynamicImage, tolerance: u8, what: &str) {
    assert_eq!(
        (image.width(), image.height()),
        (wanted.width(), wanted.height()),
        "{what}"
    );
    let wanted = wanted.to_rgb8();
    let worst = image
        .pixels()
        .iter()
        .zip(wanted.as_raw())
        .map(|(a, b)| a.abs_diff(*b))
        .max();
    assert!(worst <= Some(tolerance), "{what}: off by {worst:?}");
}

#[test]
fn each_format_in_each_orientation_is_upright() {
    // Quarters of whole JPEG blocks, so that loss stays within them.
    let upright = quarters(64, 32);
    for format in FORMATS {
        let tolerance = if format == Format::Jpeg { 6 } else { 0 };
        let plain = encode(&upright, format, None);
        assert_close(&decode(&plain), &upright, tolerance, &format!("{format:?}"));
        for orientation in 1..=8 {
            let stored = laid_down(&upright, orientation);
            let bytes = encode(&stored, format, Some(orientation));
            let what = format!("{format:?}, orientation {orientation}");
            assert_close(&decode(&bytes), &upright, tolerance, &what);
        }
    }
}

#[test]
fn an_impossible_orientation_is_ignored() {
    let upright = quarters(64, 32);
    for orientation in [0, 9, 255] {
        let bytes = encode(&upright, Format::Png, Some(orientation));
        assert_close(&decode(&bytes), &upright, 0, "as it lies");
    }
}

#[test]
fn grey_and_16_bit_become_rgb() {
    let grey = GrayImage::from_fn(5, 3, |x, y| image::Luma([(x * 50 + y) as u8]));
    for format in FORMATS {
        let bytes = encode(&grey.clone().into(), format, None);
        let tolerance = if format == Format::Jpeg { 6 } else { 0 };
        assert_close(
            &decode(&bytes),
            &grey.clone().into(),
            tolerance,
            &format!("{format:?}"),
        );
    }
    let deep = ImageBuffer::from_fn(5, 3, |x, y| {
        Rgb([(x * 13_000) as u16, 0xFFFF, y as u16 * 257])
    });
    let image = decode(&encode(&DynamicImage::ImageRgb16(deep), Format::Png, None));
    assert_eq!(&image.pixels()[..6], [0, 255, 0, 51, 255, 0]);
    assert_eq!(&image.pixels()[30..33], [0, 255, 2]);
}

#[test]
fn transparency_is_laid_over_white() {
    let colours = [[200, 100, 0, 255], [200, 100, 0, 0], [200, 100, 0, 51]];
    let image = RgbaImage::from_fn(3, 1, |x, _| image::Rgba(colours[x as usize]));
    for format in [Format::Png, Format::WebP] {
        let image = decode(&encode(&image.clone().into(), format, None));
        // 51 is a fifth: 0.2 · 200 + 0.8 · 255 = 244, and so on.
        assert_eq!(
            image.pixels(),
            [200, 100, 0, 255, 255, 255, 244, 224, 204],
            "{format:?}"
        );
    }
    let grey = GrayAlphaImage::from_pixel(1, 1, image::LumaA([100, 51]));
    assert_eq!(
        decode(&encode(&grey.into(), Format::Png, None)).pixels(),
        [224; 3]
    );
}

#[test]
fn a_palette_png_with_transparency() {
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    png.extend(png_chunk(b"IHDR", &[0, 0, 0, 2, 0, 0, 0, 1, 8, 3, 0, 0, 0]));
    png.extend(png_chunk(b"PLTE", &[10, 20, 30, 200, 100, 0]));
    png.extend(png_chunk(b"tRNS", &[255, 51]));
    // One stored block of zlib: filter 0, then the indices 0 and 1; Adler-32.
    let zlib = [0x78, 0x01, 1, 3, 0, 0xFC, 0xFF, 0, 0, 1, 0, 5, 0, 2];
    png.extend(png_chunk(b"IDAT", &zlib));
    png.extend(png_chunk(b"IEND", &[]));
    assert_eq!(decode(&png).pixels(), [10, 20, 30, 244, 224, 204]);
}

#[test]
fn of_an_animated_webp_the_first_frame() {
    let image = quarters(16, 16);
    let still = encode(&image, Format::WebP, None);
    let chunk = |kind: &[u8; 4], content: &[u8]| {
        let mut chunk = kind.to_vec();
        chunk.extend((content.len() as u32).to_le_bytes());
        chunk.extend(content);
        chunk
    };
    // Both chunks of a still file's body are even, so there is no padding.
    let body = &still[12..];
    let frame = |duration: u8, body: &[u8]| {
        let head = [0, 0, 0, 0, 0, 0, 15, 0, 0, 15, 0, 0, duration, 0, 0, 0];
        chunk(b"ANMF", &[&head[..], body].concat())
    };
    let other = encode(&quarters(16, 16).rotate180(), Format::WebP, None);
    let parts = [
        chunk(b"VP8X", &[2, 0, 0, 0, 15, 0, 0, 15, 0, 0]),
        chunk(b"ANIM", &[0; 6]),
        frame(100, body),
        frame(100, &other[12..]),
    ]
    .concat();
    let mut file = b"RIFF".to_vec();
    file.extend((parts.len() as u32 + 4).to_le_bytes());
    file.extend(b"WEBP");
    file.extend(parts);
    // The decoder blends frames in integers, which costs a level.
    assert_close(&decode(&file), &image, 1, "first frame");
}

#[test]
fn what_is_no_photo_gets_its_name_said() {
    let heic = b"\0\0\0\x18ftypheic\0\0\0\0";
    let avif = b"\0\0\0\x18ftypavif\0\0\0\0";
    let bmp = [&b"BM"[..], &[0; 60]].concat();
    let cases: [(&[u8], &str); 11] = [
        (b"", "empty"),
        (b"just some words\n", "text"),
        ("tulisan \u{e9}\n".as_bytes(), "text"),
        (heic, "HEIC"),
        (heic, "pass its pixels"),
        (avif, "AVIF"),
        (b"GIF89a\x01\0\x01\0", "GIF"),
        (&bmp, "BMP"),
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b"%PDF-1.7\n", "PDF"),
        (&[0, 1, 2, 3, 250, 251, 252, 253], "unknown format"),
    ];
    for (bytes, part) in cases {
        let error = refusal(bytes);
        assert_eq!(error.kind(), ErrorKind::Photo);
        assert!(
            error.to_string().contains(part),
            "{error} should say {part}"
        );
    }
}

#[test]
fn a_bomb_is_refused_by_its_header() {
    let bombs = [
        photos::png_bomb(100_000, 100_000),
        photos::png_bomb(20_000, 20_000),
        photos::png_bomb(70_000, 10),
        photos::jpeg_announcing(65_500, 65_500),
    ];
    for bomb in bombs {
        let error = refusal(&bomb);
        assert_eq!(error.kind(), ErrorKind::PhotoTooLarge, "{error}");
    }
    let said = refusal(&photos::png_bomb(100_000, 100_000)).to_string();
    assert!(said.contains("100000x100000"), "{said}");
    assert!(
        said.contains(&(MAX_PIXELS / 1_000_000).to_string()),
        "{said}"
    );
    assert_eq!(refusal(&photos::png_bomb(0, 10)).kind(), ErrorKind::Photo);
}

#[test]
fn a_cut_photo_is_refused_wherever_it_is_cut() {
    for format in FORMATS {
        let bytes = encode(&quarters(64, 32), format, None);
        let whole = decode(&bytes);
        for length in 0..bytes.len() {
            match photo::decode(&bytes[..length]) {
                Err(error) => assert_eq!(error.kind(), ErrorKind::Photo, "{format:?} {length}"),
                // A PNG may lose its empty end chunk, but never a pixel.
                Ok(image) => {
                    assert_eq!(format, Format::Png, "cut at {length} of {}", bytes.len());
                    assert_eq!(image, whole);
                }
            }
        }
    }
}

#[test]
fn a_damaged_photo_never_panics() {
    for format in FORMATS {
        let bytes = encode(&quarters(32, 32), format, Some(6));
        for at in 0..bytes.len() {
            for flip in [0x01, 0x10, 0xFF] {
                let mut damaged = bytes.clone();
                damaged[at] ^= flip;
                // Either way is right: some bytes are metadata.
                let _ = photo::decode(&damaged);
            }
        }
    }
}

#[test]
fn trailing_bytes_after_a_jpeg_are_ignored() {
    // Phones append a second picture or a video.
    let image = quarters(64, 32);
    let mut bytes = encode(&image, Format::Jpeg, None);
    let whole = decode(&bytes);
    bytes.extend(b"\0\0\0\x18ftypmp42 and so on");
    assert_eq!(decode(&bytes), whole);
}

#[test]
fn pixels_are_checked() {
    assert!(Image::from_rgb(2, 1, vec![0; 6]).is_ok());
    for (width, height, bytes) in [(2, 1, 5), (0, 1, 0), (1, 0, 0), (u32::MAX, u32::MAX, 3)] {
        let error = Image::from_rgb(width, height, vec![0; bytes]).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}
