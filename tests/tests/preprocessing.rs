//! Core's decoding and resizing against Pillow's, without Python: the input of the MobileNetV1
//! golden is the sample photo as Pillow decoded and resized it.
//!
//! Bounds: resizing is within one level of Pillow's (tests/reference/test_photo.py shows that on
//! lossless files), JPEG decoders differ by a few levels where chroma is upsampled.

use etalase::photo::{self, Fit};

/// Mean and largest absolute difference, in grey levels.
fn difference(ours: &[u8], reference: &[u8]) -> (f64, u8) {
    assert_eq!(ours.len(), reference.len());
    let differences = || ours.iter().zip(reference).map(|(a, b)| a.abs_diff(*b));
    let sum: u64 = differences().map(u64::from).sum();
    (
        sum as f64 / ours.len() as f64,
        differences().max().unwrap_or(0),
    )
}

#[test]
fn the_sample_photo_is_seen_as_pillow_sees_it() {
    let golden = etalase_tests::file("goldens/mobilenet_v1/input.npy");
    let (shape, reference) = etalase_tests::read_npy(&golden).unwrap();
    assert_eq!(shape, [1, 224, 224, 3]);
    let bytes = std::fs::read(etalase_tests::file("data/sample.jpg")).unwrap();
    let photo = photo::decode(&bytes).unwrap();
    assert_eq!((photo.width(), photo.height()), (480, 640));

    let ours = photo::fit(&photo, 224, 224, Fit::Stretch, [0; 3]).unwrap();
    let (mean, largest) = difference(ours.pixels(), &reference);
    println!("mean {mean:.3}, largest {largest} levels");
    assert!(
        mean < 0.5 && largest <= 8,
        "mean {mean:.3}, largest {largest} levels"
    );

    // The bounds tell another preprocessing apart: a crop, and a shift by a few pixels.
    let crop = photo::fit(&photo, 224, 224, Fit::CenterCrop, [0; 3]).unwrap();
    assert!(difference(crop.pixels(), &reference).0 > 2.0);
    let (width, height) = (photo.width() as usize, photo.height() as usize);
    let rows = photo.pixels().chunks_exact(width * 3);
    let shifted: Vec<u8> = rows
        .flat_map(|row| [&row[12..], &row[..12]].concat())
        .collect();
    let shifted = etalase::Image::from_rgb(width as u32, height as u32, shifted).unwrap();
    let shifted = photo::fit(&shifted, 224, 224, Fit::Stretch, [0; 3]).unwrap();
    assert!(difference(shifted.pixels(), &reference).0 > 0.5);
}
