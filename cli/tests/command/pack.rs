//! `etalase pack`: bundles from anybody's classifier.

use std::path::{Path, PathBuf};

use crate::support::onnx::{QUADRANTS, plane_means, quadrants};
use crate::support::photos::{Format, encode};
use crate::{Desk, Ended, etalase};

fn pack(model: &Path, labels: &Path, spec: &str, to: &Path, more: &[&str]) -> Ended {
    let first = [Path::new("pack"), model, Path::new("--labels"), labels];
    let rest = [
        Path::new("--preprocess"),
        Path::new(spec),
        Path::new("-o"),
        to,
    ];
    etalase(
        first
            .iter()
            .chain(&rest)
            .copied()
            .chain(more.iter().map(Path::new)),
    )
}

/// A photo that is mostly of one colour.
fn coloured(desk: &Desk, rgb: [u8; 3]) -> PathBuf {
    let image = image::RgbImage::from_pixel(30, 20, image::Rgb(rgb));
    desk.write("coloured.png", encode(&image.into(), Format::Png, None))
}

#[test]
fn a_float_nchw_classifier() {
    let desk = Desk::new();
    let model = desk.write("planes.onnx", plane_means(16).bytes());
    let labels = desk.write("labels.txt", "\u{feff}red\r\n green \n\nblue\n");
    let bundle = desk.path("planes.etalase");
    let spec = "fit=center-crop,input=f32,mean=0.485:0.456:0.406,std=0.229:0.224:0.225,layout=nchw";
    let ended = pack(&model, &labels, spec, &bundle, &["--version", "3"]);
    assert_eq!((ended.status, &*ended.stdout), (0, ""), "{}", ended.stderr);

    let args = [Path::new("inspect"), Path::new("--json"), &bundle];
    let inspection = etalase(args).json();
    assert_eq!(inspection["name"], "planes");
    assert_eq!(inspection["version"], "3");
    assert_eq!(
        inspection["classes"],
        serde_json::json!(["red", "green", "blue"])
    );
    assert_eq!(inspection["labels"]["en"], inspection["classes"]);
    assert_eq!(inspection["input"], serde_json::json!([16, 16, 3]));
    assert_eq!(inspection["preprocess"]["fit"], "center-crop");
    assert_eq!(inspection["preprocess"]["layout"], "nchw");
    let length = std::fs::metadata(&bundle).expect("there").len();
    assert_eq!(inspection["bytes"], length);
    let members = inspection["members"].as_object().expect("members");
    assert_eq!(members.len(), 4);
    assert_eq!(
        members["model.onnx"]["bytes"],
        plane_means(16).bytes().len()
    );
    assert_eq!(
        members["model.onnx"]["sha256"].as_str().map(str::len),
        Some(64)
    );

    for (rgb, name) in [
        ([200, 10, 10], "red"),
        ([10, 200, 10], "green"),
        ([9, 9, 200], "blue"),
    ] {
        let photo = coloured(&desk, rgb);
        let args = ["classify", "--json", "--bundle"].map(Path::new);
        let ended = etalase(args.iter().chain(&[bundle.as_path(), &photo]));
        assert_eq!(ended.json()["labels"][0]["label"], name);
    }
}

#[test]
fn labels_in_languages_and_a_card() {
    let desk = Desk::new();
    let model = desk.write("q.onnx", quadrants().bytes());
    let labels = serde_json::json!({
        "classes": QUADRANTS,
        "languages": {"en": ["A", "B", "C", "D"], "id": ["a", "b", "c", "d"]},
    });
    let labels = desk.write("labels.json", labels.to_string());
    let card = desk.write("card.json", r#"{"licence": "CC0"}"#);
    let spec = desk.write("spec.json", r#"{"fit": "letterbox", "input": "u8"}"#);
    let bundle = desk.path("q.etalase");
    let more = [
        "--name",
        "Q",
        "--backbone",
        "none",
        "--card",
        card.to_str().expect("UTF-8"),
    ];
    let ended = pack(
        &model,
        &labels,
        spec.to_str().expect("UTF-8"),
        &bundle,
        &more,
    );
    assert_eq!(ended.status, 0, "{}", ended.stderr);
    let inspection = etalase([Path::new("inspect"), Path::new("--json"), &bundle]).json();
    assert_eq!(inspection["name"], "Q");
    assert_eq!(inspection["backbone"], "none");
    assert_eq!(inspection["format"], 1);
    assert_eq!(
        inspection["labels"]["id"],
        serde_json::json!(["a", "b", "c", "d"])
    );
    assert_eq!(inspection["card"]["licence"], "CC0");
    assert_eq!(inspection["convolutions"], 1);
    assert_eq!(inspection["convolutions_int8"], 1);
    assert_eq!(inspection["preprocess"]["layout"], "nhwc");
    let shown = etalase([Path::new("inspect"), &bundle]);
    for part in ["Q 1", "8x8 px, letterbox", "id: a", "model.onnx", "CC0"] {
        assert!(shown.stdout.contains(part), "{}", shown.stdout);
    }
}

#[test]
fn a_final_softmax_is_left_out() {
    let desk = Desk::new();
    let network = plane_means(16)
        .node_with("Softmax", &["logits"], "scores", &[("axis", &[1])])
        .without_output()
        .output("scores", &[1, 3]);
    let labels = desk.write("labels.txt", "red\ngreen\nblue\n");
    let mut answers = Vec::new();
    for (name, network) in [("logits", plane_means(16)), ("scores", network)] {
        let model = desk.write(&format!("{name}.onnx"), network.bytes());
        let bundle = desk.path("b.etalase");
        let ended = pack(&model, &labels, "fit=stretch,mean=0,std=0.1", &bundle, &[]);
        assert_eq!(ended.status, 0, "{}", ended.stderr);
        assert_eq!(
            ended.stderr.contains("Softmax"),
            name == "scores",
            "{}",
            ended.stderr
        );
        let photo = coloured(&desk, [200, 100, 50]);
        let args = ["classify", "--json", "--bundle"].map(Path::new);
        let ended = etalase(args.iter().chain(&[bundle.as_path(), &photo]));
        answers.push(ended.json()["labels"].clone());
    }
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_written() {
    let desk = Desk::new();
    let float = desk.write("planes.onnx", plane_means(16).bytes());
    let bytes = desk.write("q.onnx", quadrants().bytes());
    let three = desk.write("three.txt", "a\nb\nc\n");
    let twice = desk.write("twice.txt", "a\nb\na\n");
    let four = desk.write("four.txt", "a\nb\nc\nd\n");
    let json = desk.write("bad.json", r#"{"classes": ["a"], "colours": 3}"#);
    let uneven = desk.write(
        "uneven.json",
        r#"{"classes": ["a", "b", "c"], "languages": {"en": ["A"]}}"#,
    );
    let binary = desk.write("binary.txt", [0xFF, 0xFE, 0]);
    let normal = "fit=stretch,mean=0,std=1";
    let bundle = desk.write("kept.etalase", b"what was there before");
    for (model, labels, spec, part) in [
        (&float, &four, normal, "4 labels for the 3 outputs"),
        (&float, &twice, normal, "twice"),
        (&float, &json, normal, "colours"),
        (&float, &uneven, normal, "1 labels for 3 classes"),
        (&float, &binary, normal, "not text"),
        (&float, &three, "mean=0,std=1", "say how photos"),
        (&float, &three, "fit=stretch", "say mean and std"),
        (
            &float,
            &three,
            "fit=stretch,input=u8",
            "the network takes f32",
        ),
        (
            &float,
            &three,
            "fit=stretch,mean=0,std=1,width=17",
            "[1, 3, 16, 17]",
        ),
        (
            &float,
            &three,
            "fit=stretch,mean=0,std=1,layout=nhwc",
            "the network takes f32",
        ),
        (&float, &three, "fit=stretch,mean=0,std=0", "std"),
        (&float, &three, "fit=round", "round"),
        (&float, &three, "no-such-file.json", "no-such-file.json"),
        (&bytes, &four, normal, "the network takes u8"),
    ] {
        let ended = pack(model, labels, spec, &bundle, &[]);
        assert_eq!(ended.status, 1, "{spec}: {}", ended.stderr);
        assert!(
            ended.stderr.contains(part),
            "{} should say {part}",
            ended.stderr
        );
        assert_eq!(ended.stdout, "");
        assert_eq!(
            std::fs::read(&bundle).expect("kept"),
            b"what was there before"
        );
    }
    let nowhere = desk.path("no/such/folder/b.etalase");
    let ended = pack(&float, &three, normal, &nowhere, &[]);
    assert_eq!(ended.status, 1);
    assert!(ended.stderr.contains("b.etalase"), "{}", ended.stderr);
}

#[test]
fn help_shows_an_example() {
    let help = etalase(["pack", "--help"]).stdout;
    assert!(
        help.contains("fit=center-crop,input=f32,mean=0.485:0.456:0.406"),
        "{help}"
    );
}
