//! `leave-one-class-out`: each class is trained without once, its photos are strangers, and what was found is in the report.

mod support;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use etalase_trainer::backbones::Backbone;
use etalase_trainer::files::read_json;
use etalase_trainer::left_out::{LEAVE_ONE_CLASS_OUT, LeaveOneClassOut};
use etalase_trainer::train::checkpoint::Checkpoint;
use etalase_trainer::weights;

const FLAGS: &str =
    "--size 64 --batch 8 --epochs 2 --probe-steps 20 --threads 1 --precision f32 --fit stretch";

/// Of each class.
const PHOTOS: u32 = 22;
const HELD_OUT: u32 = 6;

fn trainer(dir: &Path, command: &str, more: &str) -> Output {
    let mut trainer = Command::new(env!("CARGO_BIN_EXE_etalase-trainer"));
    trainer.current_dir(dir).stdin(Stdio::null());
    trainer.args([command, "--train", "train", "--validation", "validation"]);
    trainer.args(["--out", "out", "--weights", "features.safetensors"]);
    trainer.args(FLAGS.split(' ')).args(more.split_whitespace());
    trainer.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A third class.
fn squares(dir: &Path) {
    let folder = dir.join("train/squares");
    fs::create_dir_all(&folder).unwrap();
    for number in 0..PHOTOS {
        let photo = image::RgbImage::from_fn(80, 96, |x, y| {
            let side = 6 + number % 5;
            let level = match (x / side + y / side) % 2 {
                0 => 30 + number as u8,
                _ => 220,
            };
            image::Rgb([level; 3])
        });
        photo.save(folder.join(format!("{number:02}.png"))).unwrap();
    }
}

/// The last photos of a class are those to choose by.
fn hold_out(dir: &Path, class: &str) {
    let (from, to) = (
        dir.join("train").join(class),
        dir.join("validation").join(class),
    );
    fs::create_dir_all(&to).unwrap();
    for number in PHOTOS - HELD_OUT..PHOTOS {
        let name = format!("{number:02}.png");
        fs::rename(from.join(&name), to.join(&name)).unwrap();
    }
}

#[test]
fn each_class_is_left_out_once() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    support::photos(&dir.join("train"), PHOTOS);
    hold_out(dir, "across");
    hold_out(dir, "down");
    let features = weights::random(&Backbone::MobileNetV1.features(64), 3);
    weights::save(&dir.join("features.safetensors"), &features, HashMap::new()).unwrap();

    let two = trainer(dir, "leave-one-class-out", "");
    assert!(!two.status.success());
    assert!(said(&two).contains("of 2 classes"), "{}", said(&two));
    let taught = trainer(dir, "leave-one-class-out", "--teacher other.etalase");
    assert!(!taught.status.success());
    assert!(said(&taught).contains("--teacher"), "{}", said(&taught));

    squares(dir);
    hold_out(dir, "squares");
    let output = trainer(dir, "leave-one-class-out", "");
    assert!(output.status.success(), "{}", said(&output));
    let out = dir.join("out");
    let figures: LeaveOneClassOut = read_json(&out.join(LEAVE_ONE_CLASS_OUT)).unwrap();
    let classes: Vec<&str> = figures.classes.iter().map(|c| c.class.as_str()).collect();
    assert_eq!(classes, ["across", "down", "squares"]);
    for left_out in &figures.classes {
        // All of the class's photos are strangers, validation photos of both others are known.
        assert_eq!(
            (left_out.photos, left_out.known),
            (PHOTOS as usize, 2 * HELD_OUT as usize)
        );
        let run = out.join(format!("without-{}", left_out.class));
        let checkpoint = Checkpoint::load(&run.join("checkpoint.safetensors")).unwrap();
        let trained: Vec<&str> = classes
            .iter()
            .copied()
            .filter(|class| *class != left_out.class)
            .collect();
        assert_eq!(checkpoint.description.classes, trained);
    }
    let printed = String::from_utf8(output.stdout).unwrap();
    let mean = format!("mean AUROC {:.4}", figures.mean.familiarity.auroc);
    assert!(printed.contains(&mean), "{printed}");

    let all = trainer(dir, "all", "--restart");
    assert!(all.status.success(), "{}", said(&all));
    let report = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(report.contains("Leave one class out") && report.contains("squares"));
}
