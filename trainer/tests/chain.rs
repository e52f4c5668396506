//! The whole trainer on a tiny data set made here: learns, repeats itself, refuses what would spoil a run.

mod support;

use std::path::Path;
use std::time::Duration;

use etalase::photo::Fit;
use etalase::preprocess::Preprocess;
use etalase_trainer::backbones::Backbone;
use etalase_trainer::data::Dataset;
use etalase_trainer::fold::fold;
use etalase_trainer::network::{Network, Precision};
use etalase_trainer::quantize::observe;
use etalase_trainer::train::checkpoint::Checkpoint;
use etalase_trainer::train::fit::{CHECKPOINT, Job, Keep, fit};
use etalase_trainer::train::recipe::Recipe;
use etalase_trainer::train::state::Start;
use etalase_trainer::train::teacher::Teachers;
use etalase_trainer::weights;
use support::photos;
use tch::Device;

const SIZE: u32 = 64;

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
        teachers: Teachers::open(&[]).unwrap(),
        device: Device::Cpu,
        precision: Precision::F32,
        out: dir.join(out),
        keep: Keep::Best,
        start: Start::New,
        save_every: Duration::ZERO,
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
        observe(&network, &photos, Backbone::MobileNetV1.normalization())
            .err()
            .unwrap()
    );
    assert!(message.contains("conv_pw_3_relu"), "{message}");
}
