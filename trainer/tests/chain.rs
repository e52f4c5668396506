//! The whole trainer on a tiny data set made here: learns, repeats itself, exports what core can run.

use std::path::Path;

use etalase::photo::Fit;
use etalase::preprocess::Preprocess;
use etalase::{Engine, EngineOptions, Tensor as CoreTensor, TensorData};
use etalase_trainer::backbones::Backbone;
use etalase_trainer::data::{self, Dataset, Labelled};
use etalase_trainer::export::{float_model, int8_model};
use etalase_trainer::fold::fold;
use etalase_trainer::network::{Network, Precision};
use etalase_trainer::quantize::{calibrate, correct_biases, quantize};
use etalase_trainer::train::checkpoint::Checkpoint;
use etalase_trainer::train::fit::{CHECKPOINT, Job, fit};
use etalase_trainer::train::measure::outputs;
use etalase_trainer::train::recipe::Recipe;
use etalase_trainer::weights;
use tch::Device;

const SIZE: u32 = 64;

/// Photos of two classes, told apart by their stripes' direction.
fn photos(dir: &Path, count: u32) -> Vec<Labelled> {
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

fn job(dir: &Path, out: &str) -> Job {
    let backbone = Backbone::MobileNetV1;
    Job {
        backbone,
        features: weights::random(&backbone.features(SIZE as usize), 3),
        train: photos(&dir.join("train"), 12),
        validation: photos(&dir.join("validation"), 3),
        preprocess: Preprocess::u8_nhwc(SIZE, SIZE, Fit::Stretch),
        recipe: Recipe {
            epochs: 2,
            batch: 8,
            probe_steps: 20,
            ..Recipe::default()
        },
        device: Device::Cpu,
        precision: Precision::F32,
        out: dir.join(out),
    }
}

/// The validation photos must differ from the training photos.
fn distinct(job: &mut Job) {
    for photo in &job.validation {
        let mut picture = image::open(&photo.path).unwrap().to_rgb8();
        picture.put_pixel(0, 0, image::Rgb([1, 2, 3]));
        picture.save(&photo.path).unwrap();
    }
}

#[test]
fn the_same_seed_gives_the_same_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let run = |out: &str, seed: u64| {
        let mut job = job(dir.path(), out);
        distinct(&mut job);
        job.recipe.seed = seed;
        let best = fit(job).unwrap();
        let path = dir.path().join(out).join(CHECKPOINT);
        assert_eq!(Checkpoint::load(&path).unwrap(), best);
        std::fs::read(path).unwrap()
    };
    let first = run("a", 1);
    assert!(first == run("b", 1), "two runs with one seed differ");
    assert!(first != run("c", 2), "the seed changes nothing");
}

#[test]
fn a_photo_in_both_splits_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let message = format!("{:#}", fit(job(dir.path(), "run")).unwrap_err());
    assert!(
        message.contains("stand in the validation set too") && message.contains("00.png"),
        "{message}"
    );
}

#[test]
fn a_corrupt_photo_is_named_before_training() {
    let dir = tempfile::tempdir().unwrap();
    let mut job = job(dir.path(), "run");
    distinct(&mut job);
    std::fs::write(
        dir.path().join("train/down/07.png"),
        b"\x89PNG\r\n\x1a\nbroken",
    )
    .unwrap();
    let message = format!("{:#}", fit(job).unwrap_err());
    assert!(
        message.contains("photos that cannot be used: 1") && message.contains("07.png"),
        "{message}"
    );
}

#[test]
fn core_computes_what_libtorch_does() {
    let dir = tempfile::tempdir().unwrap();
    let backbone = Backbone::MobileNetV1;
    let normalization = backbone.normalization();
    let graph = backbone.classifier(SIZE as usize, 4, 0.2);
    let weights = weights::random(&graph, 11);
    let classes = vec!["across".to_owned(), "down".to_owned()];
    let preprocess = Preprocess::u8_nhwc(SIZE, SIZE, Fit::Letterbox);
    let photos = Dataset::load(&photos(dir.path(), 8), &classes, &preprocess, "test").unwrap();
    let network = Network::new(graph.clone(), &weights, Device::Cpu, Precision::F32).unwrap();
    let expected = outputs(&network, &photos, normalization, "test").unwrap();
    let expected = Vec::<Vec<f32>>::try_from(expected).unwrap();

    let (folded, folded_weights) = fold(&graph, &weights).unwrap();
    let float = float_model(&folded, &folded_weights, normalization, "test").unwrap();
    let network =
        Network::new(folded.clone(), &folded_weights, Device::Cpu, Precision::F32).unwrap();
    let ranges = calibrate(&network, &photos, normalization).unwrap();
    let mut quantized = quantize(&folded, &folded_weights, normalization, &ranges).unwrap();
    let rounded = int8_model(&folded, &quantized, normalization, "test").unwrap();
    correct_biases(&network, &mut quantized, &photos, normalization).unwrap();
    let corrected = int8_model(&folded, &quantized, normalization, "test").unwrap();
    assert!(
        corrected.len() < float.len() / 3,
        "{} bytes",
        corrected.len()
    );

    let run = |model: &[u8]| -> Vec<Vec<f32>> {
        let engine = Engine::from_onnx(model, &EngineOptions::default()).unwrap();
        let photo = |i: usize| {
            let pixels = photos.slice(i, i + 1).0.flatten(0, -1);
            let pixels = TensorData::U8(Vec::try_from(pixels).unwrap());
            CoreTensor::new(vec![1, SIZE as usize, SIZE as usize, 3], pixels).unwrap()
        };
        (0..photos.len())
            .map(|i| engine.run(&photo(i)).unwrap())
            .collect()
    };
    let errors = |logits: &[Vec<f32>]| -> Vec<f32> {
        let pairs = logits.iter().flatten().zip(expected.iter().flatten());
        pairs.map(|(a, b)| (a - b).abs()).collect()
    };
    let largest = |values: &[f32]| values.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    let square = |values: &[f32]| values.iter().map(|v| f64::from(v * v)).sum::<f64>();
    let logits = expected.concat();
    assert!(largest(&logits) > 0.1, "the network says nothing");
    assert!(largest(&errors(&run(&float))) < 1e-4 * largest(&logits).max(1.0));
    let (before, after) = (
        square(&errors(&run(&rounded))),
        square(&errors(&run(&corrected))),
    );
    // Random weights are harder than trained ones: 15 dB here.
    assert!(
        after < before,
        "bias correction made it worse: {before} became {after}"
    );
    assert!(
        after < 0.03 * square(&logits),
        "error {after} of {}",
        square(&logits)
    );
}

#[test]
fn nothing_to_calibrate_on_is_an_error_that_names_the_layer() {
    let graph = Backbone::MobileNetV1.classifier(SIZE as usize, 2, 0.0);
    let mut weights = weights::random(&graph, 2);
    // A layer that gives zero whatever the photo.
    for suffix in ["weight", "bias"] {
        weights
            .get_mut(&format!("conv_pw_3_bn.{suffix}"))
            .unwrap()
            .data
            .fill(0.0);
    }
    let (folded, folded_weights) = fold(&graph, &weights).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let classes = vec!["across".to_owned(), "down".to_owned()];
    let preprocess = Preprocess::u8_nhwc(SIZE, SIZE, Fit::Stretch);
    let photos = Dataset::load(&photos(dir.path(), 1), &classes, &preprocess, "test").unwrap();
    let network = Network::new(folded, &folded_weights, Device::Cpu, Precision::F32).unwrap();
    let message = format!(
        "{:#}",
        calibrate(&network, &photos, Backbone::MobileNetV1.normalization()).unwrap_err()
    );
    assert!(message.contains("conv_pw_3_relu"), "{message}");
}
