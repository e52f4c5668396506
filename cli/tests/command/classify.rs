//! `etalase classify`.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use crate::support::photos::{Format, encode, laid_down, quarters};
use crate::{Desk, Ended, command, etalase};

#[test]
fn json_is_one_object_a_photo() {
    let desk = Desk::new();
    let a = desk.write("a.png", encode(&quarters(40, 30), Format::Png, None));
    let b = desk.write(
        "b.webp",
        encode(&quarters(40, 30).fliph(), Format::WebP, None),
    );
    let ended = desk.with_bundle("classify", &[Path::new("--json"), &a, &b]);
    assert_eq!(ended.status, 0, "{}", ended.stderr);
    assert_eq!(ended.stderr, "");
    let lines = ended.json_lines();
    assert_eq!(lines.len(), 2);
    for (line, (path, best)) in lines.iter().zip([(&a, "top-left"), (&b, "top-right")]) {
        assert_eq!(line["photo"], path.to_str().expect("UTF-8"));
        let labels = line["labels"].as_array().expect("labels");
        assert_eq!(labels.len(), 3, "top 3 by default");
        assert_eq!(labels[0]["label"], best, "canonical names");
        let scores: Vec<f64> = labels
            .iter()
            .filter_map(|label| label["score"].as_f64())
            .collect();
        assert!(
            scores.is_sorted_by(|a, b| a >= b) && scores.len() == 3,
            "{scores:?}"
        );
        assert!(line["decode_ms"].as_f64() > Some(0.0) && line["run_ms"].as_f64() > Some(0.0));
        assert!(line.get("error").is_none());
    }
}

#[test]
fn orientation_is_obeyed() {
    let desk = Desk::new();
    for orientation in 1..=8 {
        let stored = laid_down(&quarters(64, 48), orientation);
        let photo = desk.write("p.jpg", encode(&stored, Format::Jpeg, Some(orientation)));
        let ended = desk.with_bundle("classify", &[Path::new("--json"), &photo]);
        assert_eq!(
            ended.json()["labels"][0]["label"],
            "top-left",
            "orientation {orientation}"
        );
    }
}

#[test]
fn standard_input_is_a_photo_too() {
    let desk = Desk::new();
    let mut child = command()
        .args(["classify", "--json", "--top", "1", "--bundle"])
        .arg(desk.bundle())
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let photo = encode(&quarters(40, 30), Format::Png, None);
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(&photo).expect("written");
    drop(stdin);
    let ended = Ended::from(child.wait_with_output().expect("ends"));
    let line = ended.json();
    assert_eq!(line["photo"], "-");
    assert_eq!(line["labels"].as_array().map(Vec::len), Some(1));
    assert_eq!(line["labels"][0]["label"], "top-left");
}

#[test]
fn people_read_names_in_their_language() {
    let desk = Desk::new();
    let photo = desk.write("p.png", encode(&quarters(40, 30), Format::Png, None));
    for (language, name, warned) in [
        ("en", "top left", false),
        ("id", "kiri atas", false),
        ("id-ID", "kiri atas", false),
        ("fr", "top-left", true),
    ] {
        let args = [Path::new("--language"), Path::new(language), &photo];
        let ended = desk.with_bundle("classify", &args);
        assert_eq!(ended.status, 0);
        assert!(ended.stdout.contains(name), "{}", ended.stdout);
        assert!(ended.stdout.contains('%'), "{}", ended.stdout);
        assert_eq!(ended.stderr.contains("\"fr\""), warned, "{}", ended.stderr);
    }
}

#[test]
fn the_bundle_inside_answers_too() {
    let desk = Desk::new();
    let photo = desk.write("p.png", encode(&quarters(40, 30), Format::Png, None));
    let ended = etalase([Path::new("classify"), Path::new("--json"), &photo]);
    assert!(ended.json()["labels"][0]["label"].is_string());
}

#[test]
fn wrong_usage_is_status_2() {
    for args in [
        &["classify"][..],
        &["classify", "--top", "0", "p.jpg"],
        &["classify", "--unknown", "p.jpg"],
        &["bench", "--threads", "0"],
        &["bench", "--runs", "many"],
        &["bench", "--onnx", "m.onnx", "--bundle", "b.etalase"],
        &["run", "m.onnx"],
        &["pack", "m.onnx"],
        &["eval"],
        &["transmogrify"],
        &[],
    ] {
        let ended = etalase(args);
        assert_eq!(ended.status, 2, "{args:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{args:?}");
    }
    assert_eq!(etalase(["--help"]).status, 0);
    assert_eq!(etalase(["--version"]).status, 0);
}
