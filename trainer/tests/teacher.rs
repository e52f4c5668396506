//! Bundles as teachers: their answers are their network's, they change what is learned, and other classes are refused.

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use etalase::photo::Fit;
use etalase::preprocess::Preprocess;
use etalase_trainer::backbones::Backbone;
use etalase_trainer::data::Dataset;
use etalase_trainer::export::float_model;
use etalase_trainer::fold::fold;
use etalase_trainer::network::{Network, Precision};
use etalase_trainer::pack::{About, Accuracy, Measured, bundle};
use etalase_trainer::train::fit::{Job, Keep, fit};
use etalase_trainer::train::measure::outputs;
use etalase_trainer::train::recipe::Recipe;
use etalase_trainer::train::state::Start;
use etalase_trainer::train::teacher::Teachers;
use etalase_trainer::weights::{self, Weights};
use support::photos;
use tch::{Device, Kind};

const BACKBONE: Backbone = Backbone::MobileNetV1;
const SIZE: u32 = 64;

fn preprocess() -> Preprocess {
    Preprocess::u8_nhwc(SIZE, SIZE, Fit::Stretch)
}

/// A float network as a bundle of these classes, with its weights.
fn teacher(dir: &Path, classes: &[String]) -> (PathBuf, Weights) {
    let graph = BACKBONE.classifier(SIZE as usize, classes.len(), 0.0);
    let weights = weights::random(&graph, 21);
    let (folded, folded_weights) = fold(&graph, &weights).unwrap();
    let name = BACKBONE.name();
    let model = float_model(&folded, &folded_weights, BACKBONE.normalization(), name).unwrap();
    let measured = Measured {
        accuracy: 0.5,
        photos: 6,
        command: "none".into(),
    };
    let accuracy = Accuracy {
        photos: "made up".into(),
        float: measured,
        int8: None,
    };
    let about = About::plain("teacher", classes);
    let training = serde_json::json!({});
    let packed = bundle(
        &about,
        name,
        classes,
        &preprocess(),
        &accuracy,
        training,
        model,
    )
    .unwrap();
    let path = dir.join(format!("{}.etalase", classes.join("-")));
    packed.write_to(&path).unwrap();
    (path, weights)
}

fn classes(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn a_teacher_answers_as_its_network_does() {
    let dir = tempfile::tempdir().unwrap();
    let classes = classes(&["across", "down"]);
    let (path, weights) = teacher(dir.path(), &classes);
    let photos = photos(&dir.path().join("photos"), 4);
    let photos = Dataset::load(&photos, &classes, &preprocess(), "test").unwrap();
    let graph = BACKBONE.classifier(SIZE as usize, classes.len(), 0.0);
    let network = Network::new(graph, &weights, Device::Cpu, Precision::F32).unwrap();
    let expected = outputs(&network, &photos, BACKBONE.normalization(), "test").unwrap();
    let teachers = Teachers::open(&[path.clone(), path]).unwrap();
    let answers = teachers
        .logits(&photos.pixels.to_kind(Kind::Float))
        .unwrap();
    let difference = (&answers - &expected).abs().max().double_value(&[]);
    let scale = expected.abs().max().double_value(&[]);
    assert!(
        scale > 1e-3 && difference < 1e-3 * scale,
        "{difference} of {scale}"
    );
}

fn job(dir: &Path, out: &str, teachers: &[PathBuf]) -> Job {
    Job {
        backbone: BACKBONE,
        features: weights::random(&BACKBONE.features(SIZE as usize), 3),
        train: photos(&dir.join("train"), 8),
        validation: photos(&dir.join("validation"), 3),
        preprocess: preprocess(),
        recipe: Recipe {
            epochs: 1,
            batch: 8,
            probe_steps: 0,
            augment_validation: true,
            ..Recipe::default()
        },
        teachers: Teachers::open(teachers).unwrap(),
        device: Device::Cpu,
        precision: Precision::F32,
        out: dir.join(out),
        keep: Keep::Best,
        start: Start::New,
        save_every: Duration::from_secs(600),
    }
}

#[test]
fn what_is_taught_is_learned_and_other_classes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let make_distinct = |job: &mut Job| {
        for photo in &job.validation {
            let mut picture = image::open(&photo.path).unwrap().to_rgb8();
            picture.put_pixel(0, 0, image::Rgb([1, 2, 3]));
            picture.save(&photo.path).unwrap();
        }
    };
    let run = |out: &str, teachers: &[PathBuf]| {
        let mut job = job(dir, out, teachers);
        make_distinct(&mut job);
        fit(job)
    };
    let (path, _) = teacher(dir, &classes(&["across", "down"]));
    let alone = run("alone", &[]).unwrap();
    let taught = run("taught", &[path]).unwrap();
    assert!(
        alone.weights != taught.weights,
        "the teacher changed nothing"
    );
    let (other, _) = teacher(dir, &classes(&["across", "up"]));
    let said = format!("{:#}", run("other", &[other]).unwrap_err());
    assert!(
        said.contains("across-up.etalase") && said.contains("up;"),
        "{said}"
    );
}
