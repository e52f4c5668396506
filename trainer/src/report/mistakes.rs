//! The worst mistakes: small pictures of the photos, inside the page.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use etalase::photo::{Fit, Photo};
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;

use super::numbers::{escape, percent};
use crate::predictions::Prediction;

/// Longer side of a picture.
const SIDE_PX: u32 = 112;
const JPEG_QUALITY: u8 = 80;

/// Pictures by photo, made once for all networks that mistake it; `None` where there is no photo any more.
#[derive(Default)]
pub struct Thumbnails {
    made: HashMap<String, Option<String>>,
}

impl Thumbnails {
    /// The photo as a `data:` address.
    fn of(&mut self, photo: &str) -> Option<&str> {
        let make = || picture(Path::new(photo)).ok();
        let made = self.made.entry(photo.to_owned()).or_insert_with(make);
        made.as_deref()
    }
}

/// A grid of pictures with what they show and what they were taken for.
pub fn grid(mistakes: &[Prediction], thumbnails: &mut Thumbnails) -> Result<String> {
    let mut html = String::from("<div class=mistakes>");
    for mistake in mistakes {
        let name = Path::new(&mistake.photo).file_name();
        let name = escape(name.unwrap_or_default().to_string_lossy());
        let picture = match thumbnails.of(&mistake.photo) {
            Some(address) => format!("<img loading=lazy alt='{name}' src='{address}'>"),
            None => "<span class=none>no photo</span>".to_owned(),
        };
        write!(
            html,
            "<figure title='{name}'><div>{picture}</div><figcaption><b>{}</b><br>{}<br>{}</figcaption></figure>",
            escape(&mistake.label),
            escape(&mistake.predicted),
            percent(f64::from(mistake.score))
        )?;
    }
    html.push_str("</div>");
    Ok(html)
}

fn picture(path: &Path) -> Result<String> {
    let bytes = etalase::files::read(path)?;
    let photo = Photo::encoded(&bytes);
    let (width, height) = photo.size()?;
    let longer = width.max(height).max(1);
    // 64 bits: a panorama's side times 112.
    let side = |px: u32| (u64::from(px) * u64::from(SIDE_PX) / u64::from(longer)).max(1) as u32;
    let (width, height) = (side(width), side(height));
    let small = photo.fit(width, height, Fit::Stretch, [0; 3])?.image;
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY).encode(
        small.pixels(),
        width,
        height,
        ExtendedColorType::Rgb8,
    )?;
    Ok(format!("data:image/jpeg;base64,{}", base64(&jpeg)))
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            if digit <= three.len() {
                text.push(char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize % 64]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_in_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn a_photo_that_is_gone_leaves_its_words() {
        let mistake = Prediction {
            photo: "nowhere/a&b.jpg".into(),
            label: "x<y".into(),
            predicted: "z".into(),
            score: 0.5,
        };
        let html = grid(&[mistake], &mut Thumbnails::default()).unwrap();
        for words in ["x&lt;y", "a&amp;b.jpg", "no photo"] {
            assert!(html.contains(words), "{html}");
        }
        assert!(!html.contains("<img"), "{html}");
    }
}
