//! Bundles as teachers: their answers are their network's, they change what is learned, and other classes are refused.

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use etalase::photo::Fit;
use etalase::preprocess::Preprocess;
use etalase_trainer::backbones::Backbone;
use etalase_trainer::data::Dataset;
use etalase_trainer::export::float_model;
use etalase_trainer::files::read_json;
use etalase_trainer::fold::fold;
use etalase_trainer::network::{Network, Precision};
use etalase_trainer::pack::{About, Accuracy, Measured, bundle};
use etalase_trainer::train::fit::{Job, Keep, fit};
use etalase_trainer::train::history::{HISTORY, History};
use etalase_trainer::train::measure::outputs;
use etalase_trainer::train::recipe::{Augmentation, Recipe};
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
    let validation = photos(&dir.join("validation"), 3);
    // They must differ from the training photos.
    for photo in &validation {
        let mut picture = image::open(&photo.path).unwrap().to_rgb8();
        picture.put_pixel(0, 0, image::Rgb([1, 2, 3]));
        picture.save(&photo.path).unwrap();
    }
    Job {
        backbone: BACKBONE,
        features: weights::random(&BACKBONE.features(SIZE as usize), 3),
        train: photos(&dir.join("train"), 8),
        validation,
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
    let run = |out: &str, teachers: &[PathBuf]| fit(job(dir, out, teachers));
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

/// Without anything random in them, views are what every epoch sees: photos, teachers' answers, validation.
#[test]
fn a_view_without_augmentation_teaches_what_the_photos_do() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let (path, _) = teacher(dir, &classes(&["across", "down"]));
    for (name, augment_validation) in [("still", false), ("drawn", true)] {
        let run = |views: usize| {
            let out = format!("{name}-{views}");
            let mut job = job(dir, &out, std::slice::from_ref(&path));
            job.recipe = Recipe {
                epochs: 3,
                freeze_layers: Some(75),
                views,
                dropout: 0.0,
                augment_validation,
                augmentation: Augmentation::NONE,
                ..job.recipe
            };
            let checkpoint = fit(job).unwrap();
            let history: History = read_json(&dir.join(out).join(HISTORY)).unwrap();
            (checkpoint, history.epochs)
        };
        let ((anew, anew_epochs), (kept, kept_epochs)) = (run(0), run(1));
        let first = weights::random(&BACKBONE.features(SIZE as usize), 3);
        let mut moved = 0;
        for (name, expected) in &anew.weights {
            let pairs = || expected.data.iter().zip(&kept.weights[name].data);
            let largest = expected.data.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
            let apart = pairs().fold(0.0_f32, |m, (a, b)| m.max((a - b).abs()));
            assert!(
                apart <= 1e-4 * largest + 1e-6,
                "{name}: {apart} of {largest}"
            );
            moved += usize::from(first.get(name).is_none_or(|array| array != expected));
        }
        assert!(moved > 10, "only {moved} tensors moved");
        for (a, b) in anew_epochs.iter().zip(&kept_epochs) {
            let near = |a: f64, b: f64| (a - b).abs() < 1e-4 * a.abs().max(1.0);
            assert!(near(a.train_loss, b.train_loss), "{a:?} {b:?}");
            assert!(near(a.validation_loss, b.validation_loss), "{a:?} {b:?}");
        }
    }
}
