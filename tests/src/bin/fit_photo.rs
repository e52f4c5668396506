//! `fit_photo PHOTO WIDTH HEIGHT FIT OUT.npy`: what the network would be given, for other tools to look at.
//!
//! Decodes a photo and brings it to size with core's own code, and writes the pixels as u8
//! `[1, height, width, 3]`. WIDTH and HEIGHT 0: decoded only. The Python tests hold it against
//! Pillow.

use std::path::Path;

use anyhow::{Context, Result, bail};
use etalase::photo::{self, Fit, Photo};

/// Grey level beside a letterboxed photo.
const FILL: [u8; 3] = [128; 3];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, width, height, fit, out] = arguments.as_slice() else {
        bail!("usage: fit_photo PHOTO WIDTH HEIGHT stretch|letterbox|center-crop OUT.npy");
    };
    let bytes = std::fs::read(path).with_context(|| format!("{path}: cannot read"))?;
    let (width, height) = (width.parse()?, height.parse()?);
    let image = match (width, height) {
        (0, 0) => photo::decode(&bytes).with_context(|| path.clone())?,
        _ => {
            let fit: Fit = fit.parse()?;
            let fitted = Photo::encoded(&bytes).fit(width, height, fit, FILL);
            fitted.with_context(|| path.clone())?.image
        }
    };
    let shape = [1, image.height() as usize, image.width() as usize, 3];
    etalase_tests::write_npy(Path::new(out), &shape, image.pixels())
}
