//! Commands that split photos themselves: no sender stands on both sides, and what they find is in the report.

mod support;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use etalase_trainer::backbones::Backbone;
use etalase_trainer::files::read_json;
use etalase_trainer::out_of_fold::{CROSS_VALIDATION, CrossValidation, OUT_OF_FOLD};
use etalase_trainer::train::recipe::Recipe;
use etalase_trainer::train::sweep::{SWEEP, Sweep, WINNER};
use etalase_trainer::weights;

const FAST: &str = "--size 64 --batch 8 --epochs 2 --probe-steps 20 --threads 1 --precision f32";

/// Photos of two classes by eight senders, one file name each.
fn photos(dir: &Path) {
    let mut senders = "image,sender_id\n".to_owned();
    for (i, photo) in support::photos(&dir.join("train"), 16).iter().enumerate() {
        let name = format!("{i}.png");
        fs::rename(&photo.path, photo.path.with_file_name(&name)).unwrap();
        writeln!(senders, "{name},{}", i % 8).unwrap();
    }
    fs::write(dir.join("senders.csv"), senders).unwrap();
    let features = weights::random(&Backbone::MobileNetV1.features(64), 3);
    weights::save(&dir.join("features.safetensors"), &features, HashMap::new()).unwrap();
}

fn trainer(dir: &Path, command: &str, more: &str) -> Command {
    let mut trainer = Command::new(env!("CARGO_BIN_EXE_etalase-trainer"));
    trainer.current_dir(dir).stdin(Stdio::null());
    trainer.args([command, "--train", "train", "--out", "out"]);
    trainer.args(["--weights", "features.safetensors"]);
    trainer.args(FAST.split(' ')).args(more.split_whitespace());
    trainer
}

fn succeeds(mut command: Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

fn refused(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn each_photo_is_answered_by_the_fold_that_left_its_sender_out() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    photos(dir);
    let said = refused(trainer(dir, "cross-validate", "--folds 2"));
    assert!(said.contains("--senders"), "{said}");
    let flags = "--folds 2 --senders senders.csv";
    succeeds(trainer(dir, "cross-validate", flags));

    let out = dir.join("out");
    let figures: CrossValidation = read_json(&out.join(CROSS_VALIDATION)).unwrap();
    let mut csv = csv::Reader::from_path(out.join(OUT_OF_FOLD)).unwrap();
    let rows: Vec<HashMap<String, String>> = csv.deserialize().map(Result::unwrap).collect();
    assert_eq!((rows.len(), figures.metrics.photos), (32, 32));
    let photos: BTreeSet<&str> = rows.iter().map(|row| row["photo"].as_str()).collect();
    assert_eq!(photos.len(), 32, "each photo once");
    let mut fold_of = BTreeMap::new();
    for row in &rows {
        let before = fold_of.insert(&row["sender"], &row["fold"]);
        assert!(
            before.is_none_or(|fold| fold == &row["fold"]),
            "{}",
            row["sender"]
        );
    }
    let right = |row: &&HashMap<String, String>| {
        let logit = |class: &str| row[class].parse::<f32>().unwrap();
        let predicted = match logit("across") > logit("down") {
            true => "across",
            false => "down",
        };
        predicted == row["label"]
    };
    let share = rows.iter().filter(right).count() as f64 / 32.0;
    assert_eq!(share, figures.accuracy);

    // Finished folds are not trained again.
    let checkpoint = out.join("fold-1/checkpoint.safetensors");
    let written = fs::metadata(&checkpoint).unwrap().modified().unwrap();
    succeeds(trainer(dir, "cross-validate", &format!("{flags} --resume")));
    let now = fs::metadata(&checkpoint).unwrap().modified().unwrap();
    assert_eq!(now, written);
}

#[test]
fn a_sweep_goes_on_after_its_end_and_leaves_a_recipe_and_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    photos(dir);
    let said = refused(trainer(dir, "sweep", "--validation train"));
    assert!(said.contains("--validation"), "{said}");
    let said = refused(trainer(dir, "sweep", "--validation-splits 0.2,1.5"));
    assert!(said.contains("validation_split is 1.5"), "{said}");

    let flags = "--senders senders.csv --learning-rates 1e-3,1e-4 --validation-splits 0.25,0.5 --blocks 0,2";
    let paper = format!("{flags} --recipe paper");
    let said = succeeds(trainer(dir, "sweep", &paper));
    assert!(said.contains("--recipe out/winner.toml"), "{said}");
    let out = dir.join("out");
    let sweep: Sweep = read_json(&out.join(SWEEP)).unwrap();
    // Two learning rates at the paper's split, two other splits, the other number of blocks.
    assert_eq!(sweep.trials.len(), 5);
    let winner = sweep.winner.unwrap();
    let best = sweep.trials.iter().find(|trial| trial.setting == winner);
    let trials = sweep.trials.iter();
    let comparable =
        trials.filter(|trial| trial.setting.validation_split == winner.validation_split);
    let highest = comparable.map(|trial| trial.accuracy).fold(0.0, f64::max);
    assert_eq!(best.unwrap().accuracy, highest);
    let recipe = Recipe::named(&out.join(WINNER).display().to_string()).unwrap();
    assert_eq!(recipe.learning_rate, winner.learning_rate);
    assert_eq!(recipe.trained_blocks, Some(winner.trained_blocks));

    let said = succeeds(trainer(dir, "sweep", &format!("{paper} --resume")));
    assert_eq!(
        said.matches("holds this run, finished").count(),
        5,
        "{said}"
    );

    // A run of the winner beside it, split the same way, and the table is in its report.
    let recipe = "--recipe out/winner.toml --senders senders.csv --fit stretch";
    succeeds(trainer(dir, "all", recipe));
    let report = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(report.contains("Learning rate, split, blocks") && report.contains("chosen"));
}
