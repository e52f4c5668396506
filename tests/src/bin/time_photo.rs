//! `time_photo BUNDLE PHOTO RUNS`: how long core takes from a photo to an answer, and from pixels to a tensor.
//!
//! One JSON object a line: `{"case", "ms": […], "label"}`, a run each. Cases: `jpeg` (the file's bytes to the
//! label), `rgba` (the photo as a bitmap in memory to u8 tensor), `nv21` (a frame of 1920x1080 px of it to u8 tensor).
//! Before them `{"case": "memory", "bytes"}`: what reading and classifying the file took beyond the opened
//! classifier, at the peak (Linux; elsewhere null). bench/photos.py runs it beside Pillow.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use etalase::photo::{self, Photo, PixelFormat, Pixels, YuvColours};
use etalase::{Bundle, Classifier, EngineOptions};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bundle, path, runs] = arguments.as_slice() else {
        bail!("usage: time_photo BUNDLE PHOTO RUNS");
    };
    let runs: usize = runs.parse().context("RUNS")?;
    let classifier = Classifier::new(Bundle::open(Path::new(bundle))?, &EngineOptions::default())?;
    let manifest = classifier.bundle().manifest();
    // A photo of a few pixels first: what the engine takes for itself is not the photo's.
    let small = etalase::Image::from_rgb(8, 8, vec![128; 192])?;
    classifier.classify_photo(&Photo::from(&small))?;
    let idle = peak_bytes();
    let bytes = std::fs::read(path).with_context(|| format!("{path}: cannot read"))?;

    let answer = classifier.classify(&bytes)?;
    let taken = peak_bytes().zip(idle).map(|(peak, idle)| peak - idle);
    let taken = taken.map_or("null".to_owned(), |bytes| bytes.to_string());
    println!("{{\"case\": \"memory\", \"bytes\": {taken}}}");
    let best = answer.top(1)[0].0;
    report("jpeg", Some(&manifest.classes[best]), runs, || {
        black_box(classifier.classify(&bytes).map(drop))
    })?;

    let image = photo::decode(&bytes)?;
    let (pixels, _) = image.pixels().as_chunks::<3>();
    let rgba: Vec<u8> = pixels
        .iter()
        .flat_map(|&[r, g, b]| [r, g, b, 255])
        .collect();
    let row_stride = image.width() as usize * 4;
    report("rgba", None, runs, || {
        let pixels = Pixels::packed(
            PixelFormat::Rgba,
            image.width(),
            image.height(),
            row_stride,
            &rgba,
        )?;
        let fitted = manifest.preprocess.fit(&Photo::from(pixels))?;
        black_box(manifest.preprocess.tensor(fitted.image).map(drop))
    })?;

    let (width, height) = (1920, 1080);
    // Grey is enough: times do not depend on colours.
    let small = photo::fit(&image, width, height, photo::Fit::CenterCrop, [0; 3])?;
    let mut nv21: Vec<u8> = small.pixels().iter().copied().step_by(3).collect();
    nv21.resize(nv21.len() * 3 / 2, 128);
    report("nv21", None, runs, || {
        let pixels = Pixels::nv21(width, height, width as usize, &nv21, YuvColours::JPEG)?;
        let fitted = manifest.preprocess.fit(&Photo::from(pixels))?;
        black_box(manifest.preprocess.tensor(fitted.image).map(drop))
    })
}

fn report(
    case: &str,
    label: Option<&str>,
    runs: usize,
    run: impl Fn() -> etalase::Result<()>,
) -> Result<()> {
    run()?;
    let mut ms = Vec::with_capacity(runs);
    for _ in 0..runs {
        let start = Instant::now();
        run()?;
        ms.push(format!("{:.4}", start.elapsed().as_secs_f64() * 1e3));
    }
    let label = label.map_or("null".to_owned(), |label| format!("{label:?}"));
    println!(
        "{{\"case\": \"{case}\", \"ms\": [{}], \"label\": {label}}}",
        ms.join(", ")
    );
    Ok(())
}

/// The most memory that this process has had so far.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
