//! The conformance list through Rust's own interface.

#[path = "support/conformance.rs"]
mod conformance;

use conformance::{Runner, folder, parse};

#[test]
fn every_case_comes_out_as_it_is_written() {
    let text = std::fs::read_to_string(folder().join("cases.txt")).unwrap();
    let cases = parse(&text).unwrap();
    assert!(cases.len() > 50, "{} cases", cases.len());
    let runner = Runner::new().unwrap();
    for case in &cases {
        assert!(!case.expected.is_empty(), "{}: expects nothing", case.name);
        // A panic of a binding is what core has none of.
        if case.name != "panic_in_the_binding" {
            assert_eq!(runner.run(case).unwrap(), case.expected, "{}", case.name);
        }
    }
}
