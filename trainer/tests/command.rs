//! The command line as a shell meets it.

use std::process::{Command, Stdio};

fn trainer(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_etalase-trainer"));
    command.args(arguments.split(' ')).stdin(Stdio::null());
    command
}

#[test]
fn a_reader_that_goes_is_no_failure() {
    let mut command = trainer("benchmark --size 32 --batch 2 --steps 1 --threads 1 --json");
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn evaluating_measures_in_f32_and_takes_no_precision() {
    let output = trainer("evaluate --precision bf16 --checkpoint x y").output();
    let said = String::from_utf8(output.unwrap().stderr).unwrap();
    assert!(said.contains("--precision"), "{said}");
}

#[test]
fn numbers_of_a_recipe_are_refused_by_name() {
    let output = trainer("benchmark --dropout 2").output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("dropout is 2; it goes from 0 to 0.99"),
        "{said}"
    );
}

#[test]
fn a_budget_wants_photos_to_measure_by_before_anything_is_read() {
    let missing = "quantize --max-drop 0.3 --checkpoint none --calibration none --out none.onnx";
    let output = trainer(missing).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("--max-drop") && said.contains("--validation"),
        "{said}"
    );
}
