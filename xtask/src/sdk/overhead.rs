//! `cargo xtask overhead`: what a call costs beyond decoding and running the network, from each language.
//!
//! Medians over a bundle's real network, which empties the caches before every call. They are times of this machine: of one
//! that does nothing else they say something.

use std::process::Command;

use anyhow::{Context, Result};

use super::native::{self, Flavour};
use super::{kotlin, swift};
use crate::{cargo, report, root, setup};

/// Calls of C and of Kotlin.
const CALLS: &str = "2000";

/// A language, and what a call from it may cost, in microseconds.
const AIMS: [(&str, f64); 3] = [("C", 2.0), ("Kotlin", 20.0), ("Swift", 20.0)];

/// Measures them one after the other and closes with a table.
pub fn run() -> Result<()> {
    setup::sdk_packages()?;
    let native = native::build(Flavour::Tested)?;
    let mut c = cargo();
    c.args(["run", "--release", "--locked", "--quiet"]);
    c.args(["-p", "etalase-ffi", "--example", "call_overhead"]);
    c.args(["--features", Flavour::Tested.features()]);
    c.env("CARGO_TARGET_DIR", native::target());
    c.arg("--")
        .arg(root().join("models/default.etalase"))
        .arg(CALLS);
    let mut kotlin = kotlin::command(&native, "test");
    kotlin.arg("-Dtest=OverheadTest");
    kotlin.arg(format!("-Detalase.calls={CALLS}"));
    let commands = [
        (Some(c), "the C ABI's part "),
        (Some(kotlin), "overhead of a call: median "),
        (swift::overhead(&native)?, "overhead of a call: median "),
    ];
    let mut lines = Vec::new();
    for ((language, aim), (command, marker)) in AIMS.into_iter().zip(commands) {
        let Some(mut command) = command else { continue };
        let median = median(&mut command, marker)?;
        lines.push(format!("{language:8} {median:6.1} us of {aim:2} us"));
    }
    println!("\nA call beyond core's own (Kotlin, Swift: beyond decode_ms and run_ms), medians:");
    println!("{}", lines.join("\n"));
    Ok(())
}

/// The microseconds that a program prints behind `marker`.
fn median(command: &mut Command, marker: &str) -> Result<f64> {
    let printed = report::output(command)?;
    let number = number_after(&printed, marker);
    number.with_context(|| {
        format!(
            "no {marker:?} in what it printed: {}",
            report::shown(command)
        )
    })
}

fn number_after(printed: &str, marker: &str) -> Option<f64> {
    let (_, rest) = printed.split_once(marker)?;
    rest.split_once(" us")?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_behind_their_markers() {
        let printed =
            "core 1.52 us, C 3.37 us; the C ABI's part 1.85 us; a cancelled call 0.21 us\n";
        assert_eq!(number_after(printed, "the C ABI's part "), Some(1.85));
        assert_eq!(number_after(printed, "Swift "), None);
    }
}
