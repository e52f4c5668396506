//! What may depend on what: a plain build needs Rust and a C compiler, and core stays free of
//! what only desks need. Read from cargo itself, so a dependency's dependency counts too.

use std::collections::BTreeSet;
use std::process::Command;

/// Names of everything that building this package compiles or runs.
fn dependencies(package: &str) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["tree", "--edges", "normal,build", "--prefix", "none"])
        .args(["--package", package, "--format", "{p}"])
        .current_dir(etalase_tests::file(".."))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let names = text
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

fn assert_without(package: &str, unwanted: &[&str]) {
    let all = dependencies(package);
    // The listing is a real one.
    assert!(all.contains("tract-onnx"), "{package}: {all:?}");
    let found: Vec<_> = unwanted
        .iter()
        .filter(|name| all.contains(**name))
        .collect();
    assert!(found.is_empty(), "{package} depends on {found:?}");
}

#[test]
fn the_command_builds_with_rust_and_a_c_compiler() {
    let torch_and_hdf5 = ["tch", "torch-sys", "hdf5-metno", "hdf5-metno-sys"];
    let other_tools = [
        "cmake",
        "nasm-rs",
        "bindgen",
        "pkg-config",
        "protobuf-src",
        "prost-build",
    ];
    let own = ["etalase-trainer"];
    assert_without(
        "etalase-cli",
        &[&torch_and_hdf5[..], &other_tools, &own].concat(),
    );
}

#[test]
fn core_holds_only_what_runs_on_the_phone() {
    let desk = [
        "clap",
        "indicatif",
        "ndarray-npy",
        "plotters",
        "tch",
        "hdf5-metno",
    ];
    let own = ["etalase-cli", "etalase-trainer"];
    assert_without("etalase", &[&desk[..], &own].concat());
}
