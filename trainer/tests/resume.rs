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
    command.args(
        "--size 64 --batch 8 --epochs 3 --probe-steps 20 --mixup 0.2 --save-every 0".split(' '),
    );
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

#[test]
fn a_killed_run_comes_to_the_same_end() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    support::photos(&dir.join("train"), 12);
    for photo in support::photos(&dir.join("validation"), 3) {
        let mut picture = image::open(&photo.path).unwrap().to_rgb8();
        picture.put_pixel(0, 0, image::Rgb([1, 2, 3]));
        picture.save(&photo.path).unwrap();
    }
    let features = weights::random(&Backbone::MobileNetV1.features(64), 3);
    weights::save(&dir.join("features.safetensors"), &features, HashMap::new()).unwrap();

    assert!(fit(dir, "whole", &[]).status().unwrap().success());
    let whole = std::fs::read(dir.join("whole").join(CHECKPOINT)).unwrap();
    assert!(!dir.join("whole").join(STATE).exists());

    let mut killed = fit(dir, "cut", &[]).spawn().unwrap();
    let start = Instant::now();
    while !dir.join("cut").join(STATE).exists() {
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "no state was saved"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(
        dir.join("cut").join(STATE).exists(),
        "it was killed too late"
    );

    let said = refused(fit(dir, "cut", &[]));
    assert!(
        said.contains("unfinished") && said.contains("--resume"),
        "{said}"
    );
    let said = refused(fit(dir, "cut", &["--resume", "--dropout", "0.5"]));
    assert!(said.contains("recipe.dropout was 0.2, is 0.5"), "{said}");

    assert!(fit(dir, "cut", &["--resume"]).status().unwrap().success());
    let resumed = std::fs::read(dir.join("cut").join(CHECKPOINT)).unwrap();
    assert!(resumed == whole, "the resumed run came to another end");
    let losses = |out: &str| {
        let history: History = read_json(&dir.join(out).join(HISTORY)).unwrap();
        assert!(history.finished);
        let losses = history
            .epochs
            .iter()
            .map(|e| (e.train_loss, e.validation_loss));
        losses.collect::<Vec<_>>()
    };
    assert_eq!(losses("cut"), losses("whole"));
    assert_eq!(losses("cut").len(), 3);

    let said = refused(fit(dir, "whole", &[]));
    assert!(said.contains("a finished run"), "{said}");
    let again = fit(dir, "whole", &["--resume"]).output().unwrap();
    assert!(again.status.success());
    assert!(
        String::from_utf8(again.stderr)
            .unwrap()
            .contains("holds this run, finished")
    );
}
