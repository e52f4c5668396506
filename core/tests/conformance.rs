//! The conformance list through Rust's own interface.

#[path = "support/conformance.rs"]
mod conformance;

use conformance::{Runner, folder, parse, rewritten};

#[test]
fn every_case_comes_out_as_it_is_written() {
    let text = std::fs::read_to_string(folder().join("cases.txt")).unwrap();
    let cases = parse(&text).unwrap();
    assert!(cases.len() > 50, "{} cases", cases.len());
    let runner = Runner::new().unwrap();
    let again = rewritten(&text, |case| {
        // A panic of a binding is what core has none of.
        if case.name == "panic_in_the_binding" {
            return Ok(case.expected.clone());
        }
        let told = runner.run(case)?;
        assert_eq!(told, case.expected, "{}", case.name);
        Ok(told)
    });
    assert_eq!(again.unwrap(), text, "write_conformance would change it");
}
