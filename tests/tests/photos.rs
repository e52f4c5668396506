//! Every photo of the photos folder, as it came from people's phones, is decoded, and is the same photo
//! in whatever form an app has it (feature `data`).
//!
//! Decoders are strict in different ways; a photo that Pillow, browsers and phones show must not be
//! one that this SDK refuses.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use etalase::photo::{self, Fit, Photo, PixelFormat, Pixels, Region, YuvColours};
use etalase::{Bundle, Classifier, EngineOptions};

fn photos(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            photos(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "jpg") {
            found.push(path);
        }
    }
}

#[test]
fn every_photo_is_decoded_and_brought_to_size() {
    let mut paths = Vec::new();
    photos(
        &etalase_tests::data_folder().unwrap().join("data"),
        &mut paths,
    );
    // The two clothing splits alone hold 3,409.
    assert!(paths.len() >= 3_409, "{} photos", paths.len());

    let refused = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let bytes = std::fs::read(path).unwrap();
                    let fitted = Photo::encoded(&bytes).fit(224, 224, Fit::Stretch, [128; 3]);
                    if let Err(error) = fitted {
                        refused
                            .lock()
                            .unwrap()
                            .push(format!("{}: {error}", path.display()));
                    }
                }
            });
        }
    });
    println!("{} photos decoded", paths.len());
    let refused = refused.into_inner().unwrap();
    assert!(
        refused.is_empty(),
        "{} of {}: {refused:#?}",
        refused.len(),
        paths.len()
    );
}

/// A photo's even part as an NV21 frame, from the equations of JFIF (ITU-T T.871).
fn nv21(pixels: &[[u8; 3]], width: usize, even: (usize, usize)) -> Vec<u8> {
    let coded = |x: usize, y: usize| {
        let [r, g, b] = pixels[y * width + x].map(f64::from);
        let luma = 0.299 * r + 0.587 * g + 0.114 * b;
        [luma, 128.0 + (b - luma) / 1.772, 128.0 + (r - luma) / 1.402]
    };
    let mut frame = Vec::new();
    for y in 0..even.1 {
        frame.extend((0..even.0).map(|x| coded(x, y)[0].round() as u8));
    }
    for y in (0..even.1).step_by(2) {
        for x in (0..even.0).step_by(2) {
            let four = [(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)].map(|(x, y)| coded(x, y));
            let mean =
                |channel: usize| (four.iter().map(|c| c[channel]).sum::<f64>() / 4.0).round() as u8;
            frame.extend([mean(2), mean(1)]);
        }
    }
    frame
}

#[test]
fn a_photo_is_the_same_in_every_form() {
    let bundle = Bundle::open(&etalase_tests::file("../models/default.etalase")).unwrap();
    let classifier = Classifier::new(bundle, &EngineOptions::default()).unwrap();
    let mut paths = Vec::new();
    let validation = etalase_tests::data_folder()
        .unwrap()
        .join("data/clothing/validation");
    photos(&validation, &mut paths);
    paths.sort();
    assert!(paths.len() >= 300, "{} photos", paths.len());
    let (mut near, mut alike) = (0, 0);
    for path in &paths {
        let bytes = std::fs::read(path).unwrap();
        let image = photo::decode(&bytes).unwrap();
        let (width, height) = (image.width(), image.height());
        let region = Region {
            x: 0,
            y: 0,
            width: width & !1,
            height: height & !1,
        };
        let answer = |photo: Photo<'_>| classifier.classify_photo(&photo.region(region)).unwrap();
        let jpeg = answer(Photo::encoded(&bytes));

        let (pixels, _) = image.pixels().as_chunks::<3>();
        let rgba: Vec<u8> = pixels
            .iter()
            .flat_map(|&[r, g, b]| [r, g, b, 255])
            .collect();
        let rgba = Pixels::packed(PixelFormat::Rgba, width, height, width as usize * 4, &rgba)
            .map(|p| answer(p.into()));
        let row_stride = width as usize * 4 + 36;
        let mut bgra = Vec::new();
        for row in pixels.chunks(width as usize) {
            bgra.extend(row.iter().flat_map(|&[r, g, b]| [b, g, r, 255]));
            bgra.extend([0x5A; 36]);
        }
        let bgra = Pixels::packed(PixelFormat::Bgra, width, height, row_stride, &bgra)
            .map(|p| answer(p.into()));
        let frame = nv21(
            pixels,
            width as usize,
            (region.width as usize, region.height as usize),
        );
        let frame = Pixels::nv21(
            region.width,
            region.height,
            region.width as usize,
            &frame,
            YuvColours::JPEG,
        );
        let nv21 = classifier.classify_photo(&frame.unwrap().into()).unwrap();
        let (rgba, bgra) = (rgba.unwrap(), bgra.unwrap());

        assert_eq!(jpeg.scores, rgba.scores, "{}", path.display());
        assert_eq!(jpeg.scores, bgra.scores, "{}", path.display());
        let pairs = jpeg.scores.iter().zip(&nv21.scores);
        let off = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        near += usize::from(off <= 0.02);
        alike += usize::from(jpeg.top(1)[0].0 == nv21.top(1)[0].0);
    }
    // Coding a picture as 4:2:0 again moves its pixels by a level or so, as any camera's frame differs from its photo;
    // where two classes are nearly even, int8 tells that apart.
    let all = paths.len();
    println!("NV21: the same class on {alike} of {all}, scores within 0.02 on {near}");
    assert!(alike * 100 >= all * 98, "{alike} of {all}");
    assert!(near * 100 >= all * 85, "{near} of {all}");
}
