//! Writes what has to come out of tests/conformance/cases.txt.

#[path = "../tests/support/conformance.rs"]
mod conformance;

use conformance::{Runner, folder, rewritten};

fn main() -> anyhow::Result<()> {
    let path = folder().join("cases.txt");
    let runner = Runner::new()?;
    let text = rewritten(&std::fs::read_to_string(&path)?, |case| {
        // Core has no binding: that case says what bindings make of a panic of their own.
        match case.name == "panic_in_the_binding" {
            true => Ok(case.expected.clone()),
            false => runner.run(case),
        }
    })?;
    Ok(std::fs::write(path, text)?)
}
