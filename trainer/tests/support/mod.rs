//! Photos made up for tests.

use std::path::Path;

use etalase_trainer::data::{self, Labelled};

/// `count` photos of each of two classes, told apart by their stripes' direction.
pub fn photos(dir: &Path, count: u32) -> Vec<Labelled> {
    for class in ["across", "down"] {
        std::fs::create_dir_all(dir.join(class)).unwrap();
        for number in 0..count {
            let photo = image::RgbImage::from_fn(80, 96, |x, y| {
                let along = if class == "down" { x } else { y };
                let level = if (along / (3 + number % 4)) % 2 == 0 {
                    40 + number as u8 * 7
                } else {
                    210
                };
                image::Rgb([level, level.wrapping_add((x ^ y) as u8 % 9), level])
            });
            photo
                .save(dir.join(class).join(format!("{number:02}.png")))
                .unwrap();
        }
    }
    data::folders(dir).unwrap()
}
