//! A run that is killed goes on to the end that it would have come to, bit for bit.

mod support;

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use etalase_trainer::backbones::Backbone;
use etalase_trainer::files::read_json;
use etalase_trainer::train::fit::CHECKPOINT;
use etalase_trainer::train::history::{HISTORY, History};
use etalase_trainer::train::state::STATE;
use etalase_trainer::weights;

fn fit(dir: &Path, out: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_etalase-trainer"));
    let path = |name: &str| dir.join(name).display().to_string();
    command.arg("fit");
    for (flag, value) in [
        ("--train", path("train")),
        ("--validation", path("validation")),
        ("--weights", path("features.safetensors")),
        ("--out", path(out)),
    ] {
        command.args([flag, &value]);
    }
    command.args("--size 64 --batch 8 --epochs 3 --probe-steps 20 --save-every 0".split(' '));
    command
        .args(["--threads", "1", "--precision", "f32"])
        .args(more);
    command.stdin(Stdio::null());
    command
}

fn refused(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

/// Photos and weights to train with.
fn prepare(dir: &Path) {
    support::photos(&dir.join("train"), 12);
    for photo in support::photos(&dir.join("validation"), 3) {
        let mut picture = image::open(&photo.path).unwrap().to_rgb8();
        picture.put_pixel(0, 0, image::Rgb([1, 2, 3]));
        picture.save(&photo.path).unwrap();
    }
    let features = weights::random(&Backbone::MobileNetV1.features(64), 3);
    weights::save(&dir.join("features.safetensors"), &features, HashMap::new()).unwrap();
}

/// Begins a run and kills it as soon as `until` holds.
fn kill(mut run: Command, until: impl Fn() -> bool) {
    let mut killed = run.spawn().unwrap();
    let start = Instant::now();
    while !until() {
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "the run does not get that far"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
}

/// The epochs that a run has done.
fn epochs(out: &Path) -> usize {
    match out.join(HISTORY).exists() {
        true => read_json::<History>(&out.join(HISTORY))
            .unwrap()
            .epochs
            .len(),
        false => 0,
    }
}

/// Compares two finished runs: checkpoints byte for byte, and the losses of all epochs.
fn assert_the_same_end(a: &Path, b: &Path) {
    let checkpoints = [a, b].map(|out| std::fs::read(out.join(CHECKPOINT)).unwrap());
    assert!(
        checkpoints[0] == checkpoints[1],
        "the resumed run came to another end"
    );
    let losses = [a, b].map(|out| {
        let history: History = read_json(&out.join(HISTORY)).unwrap();
        assert!(history.finished);
        let epochs = history.epochs.iter();
        epochs
            .map(|e| (e.train_loss, e.validation_loss))
            .collect::<Vec<_>>()
    });
    assert_eq!(losses[0], losses[1]);
    assert_eq!(losses[0].len(), 3);
}

#[test]
fn a_killed_run_comes_to_the_same_end() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    prepare(dir);
    let mixed = ["--mixup", "0.2"];

    assert!(fit(dir, "whole", &mixed).status().unwrap().success());
    assert!(!dir.join("whole").join(STATE).exists());

    let state = dir.join("cut").join(STATE);
    kill(fit(dir, "cut", &mixed), || state.exists());
    assert!(state.exists(), "it was killed too late");

    let said = refused(fit(dir, "cut", &mixed));
    assert!(
        said.contains("unfinished") && said.contains("--resume"),
        "{said}"
    );
    let other = ["--mixup", "0.2", "--resume", "--dropout", "0.5"];
    let said = refused(fit(dir, "cut", &other));
    assert!(said.contains("recipe.dropout was 0.2, is 0.5"), "{said}");
    let said = refused(fit(dir, "cut", &["--views", "2", "--resume"]));
    assert!(said.contains("recipe.views was null, is 2"), "{said}");

    let resume = ["--mixup", "0.2", "--resume"];
    assert!(fit(dir, "cut", &resume).status().unwrap().success());
    assert_the_same_end(&dir.join("whole"), &dir.join("cut"));

    let said = refused(fit(dir, "whole", &mixed));
    assert!(said.contains("a finished run"), "{said}");
    let again = fit(dir, "whole", &resume).output().unwrap();
    assert!(again.status.success());
    assert!(
        String::from_utf8(again.stderr)
            .unwrap()
            .contains("holds this run, finished")
    );
}

#[test]
fn views_are_made_again_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    prepare(dir);
    // The last epoch takes the first view again, which a run that goes on has not seen.
    let views = ["--views", "2", "--augment-validation", "true"];
    assert!(fit(dir, "whole", &views).status().unwrap().success());
    let cut = dir.join("cut");
    kill(fit(dir, "cut", &views), || epochs(&cut) == 2);
    assert!(cut.join(STATE).exists(), "it was killed too late");
    let resume = [&views[..], &["--resume"]].concat();
    assert!(fit(dir, "cut", &resume).status().unwrap().success());
    assert_the_same_end(&dir.join("whole"), &dir.join("cut"));
}
