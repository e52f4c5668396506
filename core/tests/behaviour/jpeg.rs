//! JPEG files of every kind that phones and apps write, and profiles in them.

use std::path::Path;

use etalase::photo::{self, Note, Photo};
use etalase::{ErrorKind, Fit, Image};
use moxcms::ColorProfile;

use crate::support::photos::{Format, encode, quarters};

fn file(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/jpeg");
    std::fs::read(folder.join(name)).expect(name)
}

fn mean_difference(a: &Image, b: &Image) -> f64 {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    let pairs = a.pixels().iter().zip(b.pixels());
    let sum: u64 = pairs.map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.pixels().len() as f64
}

/// Luma in all three channels.
fn grey(image: &Image) -> Image {
    let (pixels, _) = image.pixels().as_chunks::<3>();
    let luma = |&[r, g, b]: &[u8; 3]| {
        ((299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b)) / 1000) as u8
    };
    let pixels = pixels.iter().flat_map(|pixel| [luma(pixel); 3]).collect();
    Image::from_rgb(image.width(), image.height(), pixels).expect("an image")
}

/// One picture in several ways; its pixels are held against Pillow's in tests/reference.
const WAYS: [&str; 7] = [
    "sampling-422.jpg",
    "sampling-440.jpg",
    "sampling-411.jpg",
    "sampling-410.jpg",
    "progressive.jpg",
    "restarts.jpg",
    "separate-scans.jpg",
];

#[test]
fn one_picture_in_every_way() {
    let wanted = photo::decode(&file("sampling-422.jpg")).expect("decodes");
    for way in WAYS {
        let image = photo::decode(&file(way)).expect(way);
        // Coarser chroma costs colour, never luma.
        let off = mean_difference(&image, &wanted);
        let of_luma = mean_difference(&grey(&image), &grey(&wanted));
        assert!(off < 4.0 && of_luma < 1.0, "{way}: {off}, luma {of_luma}");
    }
    // The same coefficients in another order are the same picture.
    assert!(
        photo::decode(&file("restarts.jpg")).expect("decodes")
            == photo::decode(&file("progressive.jpg")).expect("decodes")
    );
    assert!(
        photo::decode(&file("separate-scans.jpg")).expect("decodes")
            == photo::decode(&file("progressive.jpg")).expect("decodes")
    );
}

#[test]
fn a_smaller_picture_is_the_mean_of_the_full_one() {
    for way in WAYS {
        let bytes = file(way);
        let image = photo::decode(&bytes).expect(way);
        let eighth = Photo::encoded(&bytes)
            .fit(4, 5, Fit::Stretch, [0; 3])
            .expect(way)
            .image;
        let turned = eighth.pixels().chunks(3).rev().flatten().copied().collect();
        let turned = Image::from_rgb(4, 5, turned).expect("an image");
        assert!(
            mean_difference(&turned, &eighth) > 10.0,
            "the bounds below mean something"
        );
        // Half, a quarter and an eighth of 75x93, and one that the filter alone makes.
        for (width, height) in [(19, 23), (9, 11), (4, 5), (60, 70)] {
            let reduced = Photo::encoded(&bytes)
                .fit(width, height, Fit::Stretch, [0; 3])
                .expect(way)
                .image;
            let wanted = photo::fit(&image, width, height, Fit::Stretch, [0; 3]).expect("fits");
            // A colour of a quarter is 10x12 samples here, of an eighth 5x6.
            let bound = if width < 19 { 5.0 } else { 1.5 };
            // In blocks that hang over the edge the file's padding counts, a share of 4x5 px. Chroma is stored smaller, so that what is left of it is nearer to the size wanted.
            let off = mean_difference(&reduced, &wanted);
            let of_luma = mean_difference(&grey(&reduced), &grey(&wanted));
            println!("{way} at {width}x{height}: {off:.2} levels, luma {of_luma:.2}");
            assert!(
                off < bound && of_luma < 2.0,
                "{way} at {width}x{height}: {off}, luma {of_luma}"
            );
        }
    }
}

#[test]
fn inks_are_converted() {
    let image = photo::decode(&file("cmyk.jpg")).expect("decodes");
    let wanted = photo::decode(&file("sampling-422.jpg")).expect("decodes");
    assert!(mean_difference(&image, &wanted) < 4.0);
}

#[test]
fn what_is_not_read_says_so() {
    let error = photo::decode(&file("arithmetic.jpg")).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Photo);
    assert!(error.to_string().contains("arithmetic"), "{error}");
    let mut deep = file("sampling-422.jpg");
    let frame = deep
        .windows(2)
        .position(|bytes| bytes == [0xFF, 0xC0])
        .expect("a frame");
    deep[frame + 4] = 12;
    let error = photo::decode(&deep).expect_err("refused");
    assert!(error.to_string().contains("12 bits"), "{error}");
}

#[test]
fn every_cut_of_every_way_is_an_error() {
    for way in WAYS {
        let bytes = file(way);
        for length in 0..bytes.len() {
            for size in [75, 8] {
                let fitted = Photo::encoded(&bytes[..length]).fit(size, size, Fit::Stretch, [0; 3]);
                let error = fitted.expect_err(way);
                assert_eq!(
                    error.kind(),
                    ErrorKind::Photo,
                    "{way} cut at {length}: {error}"
                );
            }
        }
    }
}

/// The JPEG with a colour profile in two parts, the second one first.
fn with_profile(jpeg: &[u8], profile: &[u8]) -> Vec<u8> {
    let (first, second) = profile.split_at(profile.len() / 2);
    let mut bytes = jpeg[..2].to_vec();
    for (number, part) in [(2, second), (1, first)] {
        bytes.extend([0xFF, 0xE2]);
        bytes.extend((part.len() as u16 + 16).to_be_bytes());
        bytes.extend(b"ICC_PROFILE\0");
        bytes.extend([number, 2]);
        bytes.extend(part);
    }
    bytes.extend(&jpeg[2..]);
    bytes
}

#[test]
fn profiles_are_followed_or_named() {
    let jpeg = encode(&quarters(64, 32), Format::Jpeg, None);
    let read = |profile: ColorProfile| {
        let bytes = with_profile(&jpeg, &profile.encode().expect("encodes"));
        Photo::encoded(&bytes)
            .fit(64, 32, Fit::Stretch, [0; 3])
            .expect("fits")
    };
    let plain = photo::decode(&jpeg).expect("decodes");
    let srgb = read(ColorProfile::new_srgb());
    assert!(srgb.image == plain && srgb.notes.is_empty());
    let p3 = read(ColorProfile::new_display_p3());
    assert!(p3.notes.is_empty());
    assert!(
        mean_difference(&p3.image, &plain) > 0.5,
        "colours are converted"
    );
    let adobe = read(ColorProfile::new_adobe_rgb());
    assert!(adobe.image == plain);
    let [Note::ProfileIgnored(name)] = adobe.notes.as_slice() else {
        panic!("{:?}", adobe.notes);
    };
    assert!(name.contains("Adobe"), "{name}");
}
