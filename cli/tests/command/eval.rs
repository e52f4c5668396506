//! `etalase eval`.

use std::path::Path;

use crate::Desk;
use crate::support::onnx::QUADRANTS;
use crate::support::photos::{Format, encode, quarters};

/// Three photos of each quarter, of which one of the last is filed wrongly.
fn collection(desk: &Desk) {
    let upright = quarters(40, 40);
    let pictures = [
        upright.clone(),
        upright.rotate90(),
        upright.rotate270(),
        upright.rotate180(),
    ];
    for (class, picture) in QUADRANTS.iter().zip(&pictures) {
        for number in 0..3 {
            let wrong = *class == "bottom-right" && number == 2;
            let label = if wrong { "top-left" } else { class };
            let name = format!("set/{label}/{class}, {number}.png");
            desk.write(&name, encode(picture, Format::Png, None));
        }
    }
}

#[test]
fn figures_and_csv() {
    let desk = Desk::new();
    collection(&desk);
    let (set, csv) = (desk.path("set"), desk.path("out.csv"));
    let args = [Path::new("--json"), Path::new("--csv"), &csv, &set];
    let ended = desk.with_bundle("eval", &args);
    let metrics = ended.json();
    assert_eq!(metrics["photos"], 12);
    assert_eq!(metrics["skipped"], 0);
    assert_eq!(metrics["accuracy"], 11.0 / 12.0);
    assert_eq!(
        metrics["top3_accuracy"]
            .as_f64()
            .map(|part| part >= 11.0 / 12.0),
        Some(true)
    );
    assert!(metrics["ece"].as_f64() < Some(0.2));
    assert_eq!(metrics["labels"], serde_json::json!(QUADRANTS));
    let expected = serde_json::json!([[3, 0, 0, 1], [0, 3, 0, 0], [0, 0, 3, 0], [0, 0, 0, 2]]);
    assert_eq!(metrics["confusion"], expected);
    let class = &metrics["per_class"]["top-left"];
    assert_eq!(class["precision"], 1.0);
    assert_eq!(class["recall"], 0.75);
    assert_eq!(class["support"], 4);
    let f1 = class["f1"].as_f64().expect("a number");
    assert!((f1 - 2.0 * 0.75 / 1.75).abs() < 1e-12);

    let csv = std::fs::read_to_string(csv).expect("read");
    let rows: Vec<&str> = csv.lines().collect();
    assert_eq!(rows[0], "photo,label,predicted,score");
    assert_eq!(rows.len(), 13);
    assert!(rows[1].starts_with('"') && rows[1].contains(", 0.png\",bottom-left,bottom-left,"));
    assert_eq!(csv.matches(",top-left,bottom-right,").count(), 1);
    assert!(
        std::fs::read_dir(desk.folder.path())
            .expect("listed")
            .all(|entry| {
                !entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .ends_with(".part")
            })
    );

    let ended = desk.with_bundle("eval", &[&set]);
    assert_eq!(ended.status, 0);
    for part in ["91.67 %", "precision", "confusion", "bottom-right"] {
        assert!(ended.stdout.contains(part), "{}", ended.stdout);
    }
}

#[test]
fn what_cannot_be_read_is_skipped_and_named() {
    let desk = Desk::new();
    collection(&desk);
    desk.write("set/top-left/broken.jpg", b"text");
    desk.write("set/hats/1.png", encode(&quarters(8, 8), Format::Png, None));
    desk.write("set/hats/2.png", encode(&quarters(8, 8), Format::Png, None));
    let ended = desk.with_bundle("eval", &[Path::new("--json"), &desk.path("set")]);
    assert_eq!(ended.status, 1);
    let metrics = ended.json_lines().remove(0);
    assert_eq!(metrics["photos"], 12);
    assert_eq!(metrics["skipped"], 3);
    assert!(
        ended.stderr.contains("broken.jpg: the file is text"),
        "{}",
        ended.stderr
    );
    assert_eq!(
        ended.stderr.matches("\"hats\"").count(),
        1,
        "{}",
        ended.stderr
    );
}

#[test]
fn nothing_to_evaluate_is_an_error() {
    let desk = Desk::new();
    std::fs::create_dir(desk.path("none")).expect("made");
    desk.write(
        "foreign/hats/1.png",
        encode(&quarters(8, 8), Format::Png, None),
    );
    for (folder, cause) in [
        ("none", "no class folders"),
        ("foreign", "no folder has the name of a class"),
        ("missing", "cannot be read"),
    ] {
        let folder = desk.path(folder);
        let ended = desk.with_bundle("eval", &[Path::new("--json"), &folder]);
        assert_eq!(ended.status, 1);
        assert_eq!(ended.stdout, "");
        assert!(ended.stderr.contains(cause), "{}", ended.stderr);
        assert!(
            ended.stderr.contains(folder.to_str().expect("UTF-8")),
            "{}",
            ended.stderr
        );
    }
}
