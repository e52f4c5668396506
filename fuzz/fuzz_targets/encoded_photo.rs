//! Any bytes as an encoded photo. Held to be true:
//!
//! - an error of the two documented kinds, or exactly the pixels that were asked for;
//! - the same bytes give the same answer, measures and notes included;
//! - what is answered is within the documented limits, and was said by `Photo::size` before;
//! - what is readable in full is readable at a small size, which reads no more of the file;
//! - formats that are never reduced are readable at both sizes or at neither.
//!
//! A panic that core catches is a finding too: libFuzzer stops at it. That no allocation is beyond
//! `MAX_DECODER_BYTES` (827 MiB) is left to `-malloc_limit_mb`. Not held: that a JPEG readable at a small size is so
//! in full; whole scans of a progressive one are left unread.

#![no_main]

use etalase::photo::{Fitted, MAX_PIXELS, MAX_SIDE_PX, Photo, decode};
use etalase::{ErrorKind, Fit, Result};
use libfuzzer_sys::fuzz_target;

/// Small enough for a JPEG of a few blocks to be read at an eighth; sides of both parities.
const WIDTH: u32 = 3;
const HEIGHT: u32 = 2;
/// Beyond that a photo is not decoded in full, so that a run stays short.
const FULL_PIXELS: u64 = 1 << 19;

fuzz_target!(|bytes: &[u8]| {
    let photo = Photo::encoded(bytes);
    let mut small_ones = Vec::new();
    for fit in Fit::ALL {
        let small = expected(photo.fit(WIDTH, HEIGHT, fit, [7; 3]));
        if let Some(fitted) = &small {
            assert_eq!(
                (fitted.image.width(), fitted.image.height()),
                (WIDTH, HEIGHT)
            );
            assert_eq!(fitted.image.pixels().len(), (WIDTH * HEIGHT * 3) as usize);
        }
        small_ones.push(small);
    }
    let again: Option<Fitted> = expected(photo.fit(WIDTH, HEIGHT, Fit::Stretch, [7; 3]));
    assert!(again == small_ones[0], "another answer to the same bytes");
    // The fits want different boxes of the same photo.
    let is_jpeg = bytes.starts_with(&[0xFF, 0xD8]);
    if !is_jpeg {
        assert!(
            small_ones
                .iter()
                .all(|small| small.is_some() == again.is_some())
        );
    }

    let Some((width, height)) = expected(photo.size()) else {
        assert!(again.is_none(), "an answer without a size");
        return;
    };
    let pixels = u64::from(width) * u64::from(height);
    assert!(0 < pixels && pixels <= MAX_PIXELS && width.max(height) <= MAX_SIDE_PX);
    if let Some(fitted) = &again {
        let measured = (fitted.measures.width_px, fitted.measures.height_px);
        assert_eq!(measured, (width, height));
    }
    if pixels > FULL_PIXELS {
        return;
    }
    let whole = expected(decode(bytes));
    if let Some(image) = &whole {
        assert_eq!((image.width(), image.height()), (width, height));
        assert_eq!(image.pixels().len() as u64, pixels * 3);
        assert!(again.is_some(), "readable in full, but not at a small size");
    }
    assert!(is_jpeg || whole.is_some() == again.is_some());
});

/// The answer, or `None` for an error that a file can be to blame for.
fn expected<T>(result: Result<T>) -> Option<T> {
    result
        .inspect_err(|error| {
            let documented = [ErrorKind::Photo, ErrorKind::PhotoTooLarge];
            assert!(documented.contains(&error.kind()), "{error:?}");
        })
        .ok()
}
