//! The quantizer as its users meet it: what it refuses, what a budget does, and what it writes down.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use etalase::photo::Fit;
use etalase::preprocess::Preprocess;
use etalase_trainer::backbones::Backbone;
use etalase_trainer::data::Dataset;
use etalase_trainer::files::read_json;
use etalase_trainer::fold::fold;
use etalase_trainer::network::{Network, Precision};
use etalase_trainer::quantize::{Folded, Method, Options, Report, Step, core_logits};
use etalase_trainer::train::checkpoint::{Checkpoint, Description};
use etalase_trainer::train::measure::outputs;
use etalase_trainer::train::recipe::Recipe;
use etalase_trainer::weights::{self, Weights};
use support::photos;
use tch::{Device, Kind};

const SIZE: u32 = 64;
const BACKBONE: Backbone = Backbone::MobileNetV1;

fn classes() -> Vec<String> {
    vec!["across".to_owned(), "down".to_owned()]
}

fn preprocess() -> Preprocess {
    Preprocess::u8_nhwc(SIZE, SIZE, Fit::Letterbox)
}

/// A network of random weights, as `change` makes them.
fn checkpoint(change: impl Fn(&mut Weights)) -> Checkpoint {
    let graph = BACKBONE.classifier(SIZE as usize, 2, 0.0);
    let mut weights = weights::random(&graph, 5);
    change(&mut weights);
    Checkpoint {
        description: Description {
            backbone: BACKBONE.name().to_owned(),
            classes: classes(),
            preprocess: preprocess(),
            epoch: 1,
            validation_accuracy: 0.5,
            recipe: Recipe::default(),
        },
        weights,
    }
}

/// Runs the command in `dir` over an `int8.onnx` that stands there, and returns what it said.
fn run(dir: &Path, checkpoint: &Checkpoint, calibration: &Path, more: &str) -> (bool, String) {
    let path = dir.join("checkpoint.safetensors");
    checkpoint.save(&path).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_etalase-trainer"))
        .args(["quantize", "--threads", "1", "--checkpoint"])
        .args([&path, Path::new("--calibration"), calibration])
        .args([Path::new("--out"), &dir.join("int8.onnx")])
        .args(more.split(' ').filter(|word| !word.is_empty()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.success(), said)
}

fn black(dir: &Path) -> PathBuf {
    for (class, sides) in [("across", (80, 60)), ("down", (60, 80))] {
        fs::create_dir_all(dir.join(class)).unwrap();
        for number in 0..3 {
            let photo = image::RgbImage::new(sides.0 + number, sides.1);
            photo
                .save(dir.join(class).join(format!("{number}.png")))
                .unwrap();
        }
    }
    dir.to_owned()
}

#[test]
fn what_cannot_be_quantized_is_named_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let striped = dir.join("striped");
    photos(&striped, 3);
    fs::create_dir_all(dir.join("empty")).unwrap();
    let plain = checkpoint(|_| {});
    let fill = |name: &'static str, value: f32| {
        move |weights: &mut Weights| weights.get_mut(name).unwrap().data.fill(value)
    };
    let dead = checkpoint(|weights| {
        fill("conv_pw_3_bn.weight", 0.0)(weights);
        fill("conv_pw_3_bn.bias", 0.0)(weights);
    });
    let infinite = checkpoint(fill("conv_pw_2.weight", f32::INFINITY));
    let black = black(&dir.join("black"));
    fs::write(dir.join("int8.onnx"), "the last good model").unwrap();
    for (checkpoint, calibration, wanted) in [
        (
            &plain,
            &dir.join("empty"),
            &["empty", "no class folders"][..],
        ),
        (&plain, &black, &["input", "6 of 6", "one colour"]),
        (
            &dead,
            &striped,
            &["conv_pw_3_relu", "0 on every calibration photo"],
        ),
        (&infinite, &striped, &["conv_pw_2", "not finite"]),
    ] {
        let (done, said) = run(dir, checkpoint, calibration, "");
        assert!(!done, "{wanted:?}");
        for word in wanted {
            assert!(said.contains(word), "{word:?} is not in {said}");
        }
        let kept = fs::read_to_string(dir.join("int8.onnx")).unwrap();
        assert_eq!(kept, "the last good model");
        let stray = fs::read_dir(dir).unwrap().filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_string_lossy().contains("onnx")
        });
        assert_eq!(stray.count(), 1, "{wanted:?}");
    }
    let (done, said) = run(dir, &plain, &striped, "--max-drop 0.3");
    assert!(!done && said.contains("--validation names them"), "{said}");
    let (done, said) = run(dir, &plain, &striped, "--max-drop NaN");
    assert!(!done && said.contains("0 or more"), "{said}");
    let (done, said) = run(dir, &plain, &striped, "--without rounding");
    assert!(!done && said.contains("bias-correction"), "{said}");
}

#[test]
fn the_report_tells_of_steps_layers_and_categories() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let striped = dir.join("striped");
    photos(&striped, 5);
    let report = dir.join("report.json");
    let more = format!(
        "--validation {0} --report {1}",
        striped.display(),
        report.display()
    );
    let (done, said) = run(dir, &checkpoint(|_| {}), &striped, &more);
    assert!(done, "{said}");
    let report: Report = read_json(&report).unwrap();
    assert_eq!(report.calibration_photos, 10);
    assert_eq!(report.steps[0].step, "nearest level");
    for step in ["feedback", "learned-rounding", "headroom 1.1"] {
        assert!(
            report.steps.iter().any(|gain| gain.step.starts_with(step)),
            "{step}"
        );
    }
    // What is kept is better than what was before; headroom may cost a little.
    let kept: Vec<f64> = report
        .steps
        .iter()
        .filter(|g| g.kept && !g.step.starts_with("headroom"))
        .map(|g| g.signal_to_noise_db)
        .collect();
    assert!(kept.is_sorted() && kept.len() > 1, "{:?}", report.steps);
    let headroom = report
        .steps
        .iter()
        .filter(|g| g.step.starts_with("headroom"));
    // One that costs too much is the last.
    let mut before = headroom.clone().rev().skip(1);
    assert!(before.all(|gain| gain.kept), "{:?}", report.steps);
    for gain in headroom.filter(|gain| gain.kept) {
        let best = kept[kept.len() - 1];
        assert!(gain.signal_to_noise_db >= best - 0.5, "{gain:?}");
    }
    let layer = |name: &str| report.layers.iter().find(|l| l.layer == name).unwrap();
    let (conv, relu) = (layer("conv_pw_4"), layer("conv_pw_4_relu"));
    assert!(conv.weights_db.unwrap() > 30.0, "{conv:?}");
    assert!(
        relu.rounding_db.unwrap() > relu.cumulative_db.unwrap(),
        "{relu:?}"
    );
    assert!(relu.logit_error.unwrap() > 0.0 && relu.range.is_some());
    assert!((0.0..0.01).contains(&relu.clipped));
    let found = report.validation.unwrap();
    assert_eq!((found.photos, found.categories.len()), (10, 2));
    let differ: usize = found.categories.iter().map(|row| row.differ).sum();
    assert_eq!(found.agreement, 1.0 - differ as f64 / 10.0);
}

#[test]
fn a_photo_that_explodes_is_set_aside_and_named() {
    let dir = tempfile::tempdir().unwrap();
    // Without constants, values are as large as what is on a photo.
    let checkpoint = checkpoint(|weights| {
        for (name, array) in weights {
            if name.ends_with("bias") || name.ends_with("running_mean") {
                array.data.fill(0.0);
            }
        }
    });
    let folded = Folded::of(&checkpoint).unwrap();
    let photos = photos(dir.path(), 12);
    let photos = Dataset::load(&photos, &classes(), &preprocess(), "test").unwrap();
    let grey = f64::from(folded.normalization.zero_point());
    let faint = ((&photos.pixels.to_kind(Kind::Float) - grey) / 32.0 + grey).round();
    let faint = photos.with_pixels(faint.to_kind(Kind::Uint8));
    faint.pixels.get(3).copy_(&photos.pixels.get(3));
    let options = Options::plain(Method::MinMax);
    let outcome = folded
        .quantize(&faint, None, Device::Cpu, &options)
        .unwrap();
    let [outlier] = &outcome.report.set_aside[..] else {
        panic!("{:?}", outcome.report.set_aside);
    };
    assert_eq!(outlier.photo, photos.paths[3].display().to_string());
    assert_eq!(outcome.report.calibration_photos, photos.len() - 1);
}

/// The float network is taken at its word, so that every photo which int8 names otherwise costs accuracy.
#[test]
fn a_budget_climbs_until_it_is_met() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = checkpoint(|_| {});
    let mut folded = Folded::of(&checkpoint).unwrap();
    // What logits have in common is lost too, so that there is more to gain.
    folded.weights = fold(&checkpoint.graph().unwrap(), &checkpoint.weights)
        .unwrap()
        .1;
    let photos = photos(dir.path(), 20);
    let mut photos = Dataset::load(&photos, &classes(), &preprocess(), "test").unwrap();
    let (graph, weights) = (folded.graph.clone(), &mut folded.weights);
    let head = format!("{}.bias", graph.layers[graph.output()].name);
    let float = Network::new(graph, weights, Device::Cpu, Precision::F32).unwrap();
    let wanted = outputs(&float, &photos, folded.normalization, "test").unwrap();
    // Each class for half of the photos.
    let middle = wanted.median_dim(0, true).0;
    let bias = weights.get_mut(&head).unwrap();
    for (bias, middle) in bias
        .data
        .iter_mut()
        .zip(Vec::<f32>::try_from(middle.flatten(0, -1)).unwrap())
    {
        *bias -= middle;
    }
    photos.targets = (wanted - middle).argmax(1, false);
    let plain = Options::plain(Method::MinMax);
    let quantize = |options: &Options| {
        folded.quantize(&photos, Some((&photos, &classes())), Device::Cpu, options)
    };
    let before = quantize(&plain).unwrap().report.validation.unwrap();
    let lost = 100.0 * (before.float_accuracy - before.int8_accuracy);
    assert!(lost > 3.0, "nothing to gain: {before:?}");

    let budget = |without: &[Step]| Options {
        max_drop: Some(lost - 2.0),
        without: without.to_vec(),
        ..plain.clone()
    };
    let cheap = [
        Step::Correct,
        Step::Equalize,
        Step::Feedback,
        Step::Learn,
        Step::Headroom,
    ];
    let unmeasured = folded.quantize(&photos, None, Device::Cpu, &budget(&Step::ALL));
    let unmeasured = unmeasured.err().unwrap().to_string();
    assert!(unmeasured.contains("no validation photos"), "{unmeasured}");
    let unmet = quantize(&budget(&Step::ALL)).err().unwrap().to_string();
    assert!(unmet.contains("points of validation accuracy"), "{unmet}");

    let learned = quantize(&budget(&cheap)).unwrap();
    let steps = &learned.report.steps;
    let tuned = steps
        .iter()
        .find(|gain| gain.step == "fine-tuning")
        .unwrap();
    assert!(
        tuned.kept && learned.report.in_float.is_empty(),
        "{steps:?}"
    );
    assert!(tuned.points_lost < steps[0].points_lost, "{steps:?}");
    // On photos that it has not learned from.
    assert!(
        tuned.signal_to_noise_db > steps[0].signal_to_noise_db + 1.0,
        "{steps:?}"
    );
    let allowed = 1.0 - (lost - 2.0) / 100.0;
    assert!(learned.report.validation.unwrap().int8_accuracy >= allowed);

    let without = [&cheap[..], &[Step::FineTune]].concat();
    let mixed = quantize(&budget(&without)).unwrap();
    let in_float = &mixed.report.in_float;
    assert!(!in_float.is_empty());
    let last = mixed.report.steps.last().unwrap();
    assert!(last.step.starts_with("float") && last.points_lost <= Some(lost - 2.0));
    // Their readers have float weights, and core runs both kinds in one network.
    assert!(mixed.model.len() > quantize(&plain).unwrap().model.len());
    let found = core_logits(&mixed.model, &photos, "test").unwrap();
    let right = found.argmax(1, false).eq_tensor(&photos.targets);
    let right = right.to_kind(Kind::Double).mean(Kind::Double);
    assert!(right.double_value(&[]) >= allowed);
}
