//! Every photo of the photos folder, as it came from people's phones, is decoded (feature `data`).
//!
//! Decoders are strict in different ways; a photo that Pillow, browsers and phones show must not be
//! one that this SDK refuses.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use etalase::photo::{self, Fit};

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
                    let fitted = photo::decode(&bytes)
                        .and_then(|image| photo::fit(&image, 224, 224, Fit::Stretch, [128; 3]));
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
