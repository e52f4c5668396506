//! What the documentation shows is what the tests compile and run.

/// The lines between `// snippet: start` and `// snippet: end`, without their common indentation.
fn snippet(file: &str) -> String {
    let path = etalase_tests::file("..").join(file);
    let source = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
    let lines = source.lines();
    let lines: Vec<&str> = lines
        .skip_while(|line| !line.contains("// snippet: start"))
        .skip(1)
        .take_while(|line| !line.contains("// snippet: end"))
        .collect();
    assert!(!lines.is_empty(), "{file} has no snippet");
    let filled = lines.iter().filter(|line| !line.trim().is_empty());
    let indentation = filled
        .map(|line| line.len() - line.trim_start().len())
        .min();
    let indentation = indentation.unwrap_or(0);
    let cut = lines
        .iter()
        .map(|line| line.get(indentation..).unwrap_or(""));
    cut.collect::<Vec<_>>().join("\n")
}

#[test]
fn pages_show_the_examples_as_they_are() {
    for (page, file) in [
        ("docs/c.md", "examples/c/classify.c"),
        ("docs/cpp.md", "examples/cpp/classify.cpp"),
        (
            "docs/kotlin.md",
            "examples/kotlin/src/main/kotlin/Classify.kt",
        ),
        (
            "docs/swift.md",
            "examples/swift/Sources/Classify/main.swift",
        ),
    ] {
        let text = std::fs::read_to_string(etalase_tests::file("..").join(page)).unwrap();
        let snippet = snippet(file);
        assert!(
            text.contains(&snippet),
            "{page} does not show {file}:\n{snippet}"
        );
    }
}
