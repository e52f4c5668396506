//! Resizing against Pillow, and the geometry of the three ways to fit.
//!
//! The goldens are Pillow 13.0.0's `Image.resize(size, BILINEAR, box=…)` of the
//! pattern below; the letterbox is pasted at ((w - iw) // 2, (h - ih) // 2) on 128.

use etalase::photo::fit;
use etalase::{ErrorKind, Fit, Image};

#[rustfmt::skip]
const STRETCH: [u8; 90] = [
    33, 116, 198, 76, 159, 158, 124, 194, 58, 172, 132, 83, 176, 61, 131, 115, 91, 171, 60, 143,
    196, 113, 187, 80, 172, 122, 83, 161, 70, 144, 84, 120, 173, 93, 170, 131, 90, 172, 130,
    155, 159, 70, 165, 70, 138, 78, 129, 183, 118, 174, 101, 172, 121, 97, 120, 183, 73, 179,
    89, 107, 95, 110, 174, 114, 170, 112, 165, 100, 112, 108, 108, 171, 147, 165, 60, 151, 77,
    144, 84, 156, 141, 161, 131, 90, 107, 104, 171, 107, 177, 127,
];
#[rustfmt::skip]
const CENTER_CROP: [u8; 90] = [
    42, 125, 204, 85, 168, 136, 127, 195, 54, 170, 140, 80, 184, 60, 122, 131, 82, 164, 71, 154,
    179, 124, 192, 61, 176, 113, 87, 167, 67, 140, 92, 110, 177, 84, 161, 143, 104, 184, 95,
    167, 140, 78, 164, 67, 143, 76, 124, 187, 106, 176, 114, 164, 137, 87, 136, 176, 65, 181,
    72, 122, 85, 116, 179, 108, 175, 116, 168, 108, 99, 121, 97, 164, 165, 134, 76, 131, 81,
    160, 85, 162, 135, 162, 139, 84, 122, 92, 163, 93, 165, 151,
];
#[rustfmt::skip]
const LETTERBOX: [u8; 90] = [
    37, 120, 200, 82, 165, 143, 132, 185, 61, 176, 115, 92, 159, 69, 142, 104, 104, 172, 71,
    154, 174, 129, 183, 70, 178, 93, 104, 124, 90, 164, 88, 147, 148, 126, 164, 103, 109, 182,
    91, 173, 113, 92, 119, 92, 164, 94, 158, 145, 153, 135, 98, 144, 99, 146, 142, 168, 61, 158,
    78, 138, 84, 149, 148, 154, 141, 89, 120, 97, 162, 99, 166, 140, 128, 128, 128, 128, 128,
    128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128,
];
#[rustfmt::skip]
const ENLARGED: [u8; 63] = [
    0, 83, 166, 2, 85, 168, 6, 89, 172, 11, 94, 177, 16, 99, 182, 20, 103, 186, 22, 105, 188, 4,
    87, 170, 6, 89, 172, 10, 93, 176, 15, 98, 181, 20, 103, 186, 25, 108, 191, 27, 110, 193, 7,
    90, 173, 9, 92, 175, 14, 97, 180, 19, 102, 185, 24, 107, 190, 29, 112, 195, 31, 114, 197,
];

/// Pixel (x, y, c) is (11 x + 7 y + 83 c + x y) mod 256: no gradient, so that a
/// wrong filter or an offset of a fraction of a pixel shows.
fn pattern(width: u32, height: u32) -> Image {
    let mut pixels = Vec::new();
    for y in 0..height {
        for x in 0..width {
            pixels.extend((0..3).map(|c| ((x * 11 + y * 7 + c * 83 + x * y) % 256) as u8));
        }
    }
    Image::from_rgb(width, height, pixels).expect("an image")
}

fn assert_within_one(image: &Image, golden: &[u8]) {
    assert_eq!(image.pixels().len(), golden.len());
    for (at, (ours, pillow)) in image.pixels().iter().zip(golden).enumerate() {
        assert!(
            ours.abs_diff(*pillow) <= 1,
            "value {at}: {ours}, Pillow {pillow}"
        );
    }
}

#[test]
fn as_pillow_within_a_level() {
    let photo = pattern(23, 17);
    let fitted = |way| fit(&photo, 6, 5, way, [128; 3]).expect("fits");
    assert_within_one(&fitted(Fit::Stretch), &STRETCH);
    assert_within_one(&fitted(Fit::CenterCrop), &CENTER_CROP);
    assert_within_one(&fitted(Fit::Letterbox), &LETTERBOX);
    let small = pattern(3, 2);
    let enlarged = fit(&small, 7, 3, Fit::Stretch, [0; 3]).expect("fits");
    assert_within_one(&enlarged, &ENLARGED);
}

#[test]
fn a_photo_of_the_right_size_stays_as_it_is() {
    let photo = pattern(9, 7);
    for way in Fit::ALL {
        assert_eq!(
            fit(&photo, 9, 7, way, [0; 3]).expect("fits"),
            photo,
            "{way}"
        );
    }
}

#[test]
fn the_middle_is_kept_by_a_crop_and_framed_by_a_letterbox() {
    // Three vertical stripes of 8 px: red, green, blue.
    let stripe = |x: u32| [[255, 0, 0], [0, 255, 0], [0, 0, 255]][x as usize / 8];
    let pixels = (0..8).flat_map(|_| (0..24).flat_map(stripe)).collect();
    let photo = Image::from_rgb(24, 8, pixels).expect("an image");

    let crop = fit(&photo, 8, 8, Fit::CenterCrop, [9; 3]).expect("fits");
    assert!(crop.pixels().chunks(3).all(|pixel| pixel == [0, 255, 0]));

    let letterbox = fit(&photo, 24, 24, Fit::Letterbox, [7, 8, 9]).expect("fits");
    for (y, row) in letterbox.pixels().chunks(24 * 3).enumerate() {
        let framed = (8..16).contains(&y);
        let wanted = |x: u32| if framed { stripe(x) } else { [7, 8, 9] };
        let wanted: Vec<u8> = (0..24).flat_map(wanted).collect();
        assert_eq!(row, wanted, "row {y}");
    }
}

#[test]
fn extreme_proportions_keep_a_pixel() {
    for (width, height) in [(1, 1), (1, 5000), (5000, 1), (3, 4999)] {
        let photo = pattern(width, height);
        for way in Fit::ALL {
            let fitted = fit(&photo, 8, 6, way, [128; 3]).expect("fits");
            assert_eq!((fitted.width(), fitted.height()), (8, 6));
        }
    }
}

#[test]
fn no_size_is_refused() {
    let photo = pattern(4, 4);
    for (width, height) in [(0, 4), (4, 0)] {
        let error = fit(&photo, width, height, Fit::Stretch, [0; 3]).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
    let error = fit(&photo, 60_000, 60_000, Fit::Stretch, [0; 3]).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::PhotoTooLarge);
}

#[test]
fn names_read_as_they_are_written() {
    for way in Fit::ALL {
        assert_eq!(way.to_string().parse::<Fit>().expect("known"), way);
        let json = serde_json::to_string(&way).expect("JSON");
        assert_eq!(json, format!("\"{way}\""));
    }
    assert!("crop".parse::<Fit>().is_err());
}
