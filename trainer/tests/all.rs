//! `etalase-trainer all` on two backbones, from photos to the report; and what it refuses before it begins.

mod support;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use etalase::Bundle;
use etalase_trainer::backbones::Backbone;
use etalase_trainer::files::{self, read_json};
use etalase_trainer::weights;
use serde_json::Value;

/// A class whose name HTML would take for its own.
const CLASS: &str = "a<b & c";

/// Photos of two classes; the one that stands in both of the validation set's is mistaken once at least.
fn photos(dir: &Path) {
    support::photos(&dir.join("train"), 12);
    for photo in support::photos(&dir.join("validation"), 3) {
        let mut picture = image::open(&photo.path).unwrap().to_rgb8();
        picture.put_pixel(0, 0, image::Rgb([1, 2, 3]));
        picture.save(&photo.path).unwrap();
    }
    for split in ["train", "validation"] {
        fs::rename(dir.join(split).join("across"), dir.join(split).join(CLASS)).unwrap();
    }
    let validation = dir.join("validation");
    let twice = validation.join(CLASS).join("twice.png");
    fs::copy(validation.join("down/00.png"), twice).unwrap();
}

fn all(dir: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_etalase-trainer"));
    command.arg("all").stdin(Stdio::null());
    for flag in ["train", "validation", "out"] {
        command.arg(format!("--{flag}")).arg(dir.join(flag));
    }
    command.args(
        "--size 64 --batch 8 --epochs 2 --probe-steps 20 --threads 1 --precision f32".split(' '),
    );
    command.args(more).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn two_backbones_stand_in_one_report() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    photos(dir);
    let features = weights::random(&Backbone::MobileNetV1.features(64), 3);
    let file = dir.join("first.safetensors");
    weights::save(&file, &features, HashMap::new()).unwrap();
    let weights = format!("mobilenet_v1={}", file.display());
    let flags = [
        "--backbones",
        "mobilenet_v1,mobilenet_v2",
        "--weights",
        &weights,
        "--set",
        "mobilenet_v2.epochs=1,mobilenet_v2.accumulate=2",
    ];
    let output = all(dir, &flags);
    assert!(output.status.success(), "{}", said(&output));

    let out = dir.join("out");
    let report: Value = read_json(&out.join("report.json")).unwrap();
    let html = fs::read_to_string(out.join("report.html")).unwrap();
    let mut csv = csv::Reader::from_path(out.join("report.csv")).unwrap();
    let rows: Vec<HashMap<String, String>> = csv.deserialize().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 2);
    for (index, name) in ["mobilenet_v1", "mobilenet_v2"].into_iter().enumerate() {
        let (row, summary) = (&rows[index], &report["summary"][index]);
        let run = &report["runs"][index];
        assert_eq!(row["backbone"], name);
        for file in [
            "checkpoint.safetensors",
            "float.onnx",
            "int8.onnx",
            "predictions.csv",
            &format!("{name}.etalase"),
        ] {
            assert!(out.join(name).join(file).exists(), "{name}: {file}");
        }
        let figures: Value = read_json(&out.join(name).join("evaluation.json")).unwrap();
        for kind in ["float", "int8"] {
            let accuracy = figures[kind]["accuracy"].as_f64().unwrap();
            assert_eq!(run[kind]["accuracy"], accuracy);
            let recall = run[kind]["mean_by_photos"]["recall"].as_f64().unwrap();
            assert!((recall - accuracy).abs() < 1e-12, "{recall} {accuracy}");
            assert_eq!(run[kind]["confusion"], figures[kind]["confusion"]);
            let column = format!("{kind}_accuracy");
            assert_eq!(summary[&column], accuracy);
            assert_eq!(row[&column].parse::<f64>().unwrap(), accuracy);
            let shown = format!("{:.2}\u{a0}%", 100.0 * accuracy);
            assert!(html.contains(&shown), "{name}: {shown}");
        }
        for (column, of) in [
            ("parameters", &figures["cost"]["parameters"]),
            ("bundle_bytes", &figures["cost"]["bundle_bytes"]),
            ("device_ms", &figures["cost"]["timing"]["median_ms"]),
        ] {
            assert_eq!(summary[column], *of, "{column}");
            assert_eq!(row[column].parse::<f64>().ok(), of.as_f64(), "{column}");
        }
        let bundle = fs::metadata(out.join(name).join(format!("{name}.etalase"))).unwrap();
        assert_eq!(row["bundle_bytes"], bundle.len().to_string());
        assert!(!run["mistakes"].as_array().unwrap().is_empty());
        assert!(html.contains(&format!("<section id='{name}'>")));
        let quantization: Value = read_json(&out.join(name).join("quantization.json")).unwrap();
        assert_eq!(run["quantization"], quantization);
        let agreement = quantization["validation"]["agreement"].as_f64().unwrap();
        let shown = format!("on <b>{:.2}\u{a0}%</b> of", 100.0 * agreement);
        assert!(html.contains(&shown), "{name}: {shown}");
    }
    assert_eq!(html.matches("signal to noise of weights").count(), 4);
    assert_eq!(rows[0]["weights"], "first.safetensors");
    assert_eq!(rows[1]["weights"], "from scratch");
    assert_eq!((&*rows[0]["epochs"], &*rows[1]["epochs"]), ("2", "1"));
    // From scratch: nothing frozen, nothing probed.
    let recipe = &report["runs"][1]["history"]["identity"]["recipe"];
    assert_eq!(recipe["freeze_layers"], 0);
    assert_eq!(recipe["probe_steps"], 0);
    assert_eq!(report["same_validation_photos"], true);
    // Searched once, for the one with weights, and used for both.
    let fit = &report["searches"][0]["rows"][0][0];
    for run in report["runs"].as_array().unwrap() {
        assert_eq!(run["fit"], *fit);
    }

    assert!(html.contains("a&lt;b &amp; c") && !html.contains(CLASS));
    assert!(html.contains("<img ") && html.contains("src='data:image/jpeg;base64,/9j/"));
    let ours = html.replace("http://www.w3.org/2000/svg", "");
    for outside in ["http://", "https://", "<script", "<link"] {
        assert!(!ours.contains(outside), "{outside}");
    }

    // A policy is fitted to the validation photos, and the report tells what its verdicts are worth.
    assert_eq!(html.matches("<h3>Verdicts</h3>").count(), 2);
    let verdicts = out.join("mobilenet_v2/verification.json");
    let first: Value = read_json(&verdicts).unwrap();
    assert_eq!(report["runs"][1]["verification"], first);
    let bundle = out.join("mobilenet_v2/mobilenet_v2.etalase");
    let precision = || {
        let opened = Bundle::open(&bundle).unwrap();
        assert!(opened.judge().features() > 0);
        assert!(opened.card()["policy"]["verdicts"].is_string());
        opened.policy().verification.clone().unwrap().precision
    };
    assert_eq!(precision(), 0.98);

    // Another one takes its place, and its figures too, until the bundle is made again.
    let mut policy = Command::new(env!("CARGO_BIN_EXE_etalase-trainer"));
    policy.arg("policy").arg("--bundle").arg(&bundle);
    for flag in ["train", "validation"] {
        policy.arg(format!("--{flag}")).arg(dir.join(flag));
    }
    policy.args(["--precision", "0.6", "--out"]).arg(&bundle);
    let fitted = policy.output().unwrap();
    assert!(fitted.status.success(), "{}", said(&fitted));
    assert_eq!(precision(), 0.6);
    let mut report_again = Command::new(env!("CARGO_BIN_EXE_etalase-trainer"));
    let output = report_again.arg("report").arg(&out).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let again: Value = read_json(&out.join("report.json")).unwrap();
    let figures: Value = read_json(&verdicts).unwrap();
    assert_eq!(again["runs"][1]["verification"], figures);

    // What is trained is not trained again.
    let again = all(dir, &flags);
    assert!(said(&again).contains("--resume"), "{}", said(&again));
    let checkpoint = out.join("mobilenet_v2/checkpoint.safetensors");
    let written = || fs::metadata(&checkpoint).unwrap().modified().unwrap();
    let before = written();
    for (more, finished) in [("--resume", 2), ("--trained", 0)] {
        let output = all(dir, &[&flags[..], &[more]].concat());
        assert!(output.status.success(), "{}", said(&output));
        let found = said(&output).matches("holds this run, finished").count();
        assert_eq!((written(), found), (before, finished), "{more}");
        let again: Value = read_json(&out.join("report.json")).unwrap();
        assert_eq!(again["runs"][1]["int8"], report["runs"][1]["int8"]);
        assert_eq!(again["runs"][1]["weights"], "from scratch");
        assert_eq!(read_json::<Value>(&verdicts).unwrap(), first, "{more}");
        assert_eq!(precision(), 0.98, "{more}");
    }
}

#[test]
fn a_folder_that_another_run_writes_to_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    photos(dir);
    let out = dir.join("out");
    // The whole run's folder, and the folder of one network.
    for claimed in [out.clone(), out.join("mobilenet_v1")] {
        let claim = files::claim(&claimed).unwrap();
        let output = all(dir, &["--fit", "stretch"]);
        assert!(!output.status.success());
        let words = format!("another run is writing to {}", claimed.display());
        assert!(said(&output).contains(&words), "{}", said(&output));
        drop(claim);
    }
    assert!(!out.join("mobilenet_v1").join("history.json").exists());
}

#[test]
fn what_cannot_be_is_said_before_anything_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    photos(dir);
    fs::write(dir.join("broken.h5"), "no HDF5").unwrap();
    let broken = format!("mobilenet_v2={}", dir.join("broken.h5").display());
    for (flags, words) in [
        (["--weights", &broken], "broken.h5"),
        (["--weights", "some.h5"], "NAME=some.h5"),
        (["--set", "densenet121.epochs=1"], "densenet121"),
    ] {
        let flags = [&["--backbones", "mobilenet_v1,mobilenet_v2"], &flags[..]].concat();
        let output = all(dir, &flags);
        assert!(!output.status.success());
        assert!(said(&output).contains(words), "{}", said(&output));
    }
    assert!(!dir.join("out").exists());
}
