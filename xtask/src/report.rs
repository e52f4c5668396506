//! Runs steps one after the other, says what each does and how long it took, and closes with a
//! table of what ran, what did not and why.
//!
//! Numbers of tests are read from what `cargo test` and pytest print, so the closing line counts
//! tests that were really executed. A step that fails without naming a failed test (a build, a
//! format check) counts as one failure: a red run never reads "0 failed".

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// Numbers of tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tests {
    pub passed: usize,
    pub failed: usize,
    /// Ignored or skipped.
    pub skipped: usize,
    /// What was said of those that failed, a line each.
    pub failures: Vec<String>,
}

impl Tests {
    fn add(&mut self, other: Tests) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.failures.extend(other.failures);
    }
}

struct Row {
    name: String,
    result: String,
    seconds: Option<f64>,
    /// Shown below the table: why it failed, why it did not run.
    remark: Option<String>,
}

/// The steps so far.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
    tests: Tests,
    broken_steps: usize,
}

impl Report {
    /// Runs a step that counts no tests; `None` if it failed.
    pub fn step<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Option<T> {
        let mut value = None;
        self.tests(name, |_| {
            value = Some(work()?);
            Ok(())
        });
        value
    }

    /// Runs a step that counts tests into what it is given.
    pub fn tests(&mut self, name: &str, work: impl FnOnce(&mut Tests) -> Result<()>) {
        println!("\n=== {name}");
        let _ = std::io::stdout().flush();
        let start = Instant::now();
        let mut tests = Tests::default();
        let outcome = work(&mut tests);
        let seconds = start.elapsed().as_secs_f64();
        let failed = outcome.is_err() || tests.failed > 0;
        if failed && tests.failed == 0 {
            self.broken_steps += 1;
        }
        let mut result = if failed { "FAILED" } else { "ok" }.to_string();
        if tests != Tests::default() {
            let _ = write!(result, ", {} passed", tests.passed);
        }
        if tests.failed > 0 {
            let _ = write!(result, ", {} failed", tests.failed);
        }
        let mut remark = outcome.err().map(|error| {
            let mut lines = tests.failures.clone();
            lines.push(format!("{error:#}"));
            lines.join("\n")
        });
        if tests.skipped > 0 {
            let _ = write!(result, ", {} not run", tests.skipped);
            remark.get_or_insert_with(|| format!("{} marked as ignored or skipped", tests.skipped));
        }
        if let Some(remark) = &remark {
            println!("{remark}");
        }
        println!("--- {name}: {result} ({seconds:.1} s)");
        self.tests.add(tests);
        self.rows.push(Row {
            name: name.into(),
            result,
            seconds: Some(seconds),
            remark,
        });
    }

    /// Notes a step that cannot run, and why.
    pub fn not_run(&mut self, name: &str, why: &str) {
        println!("\n=== {name}: not run: {why}");
        self.rows.push(Row {
            name: name.into(),
            result: "not run".into(),
            seconds: None,
            remark: Some(why.into()),
        });
    }

    /// Prints the table; the exit status tells whether all that ran is well.
    pub fn finish(self, closing_line: bool) -> ExitCode {
        let width = self
            .rows
            .iter()
            .map(|row| row.name.len())
            .max()
            .unwrap_or(0);
        println!("\n=== Summary");
        for row in &self.rows {
            let seconds = row
                .seconds
                .map_or("-".into(), |seconds| format!("{seconds:.1} s"));
            println!("{:width$}  {:>9}  {}", row.name, seconds, row.result);
        }
        for row in &self.rows {
            if let Some(remark) = &row.remark {
                println!(
                    "\n{}: {}\n  {}",
                    row.name,
                    row.result,
                    remark.replace('\n', "\n  ")
                );
            }
        }
        let failed = self.tests.failed + self.broken_steps;
        if closing_line {
            println!("\n{} passed, {failed} failed", self.tests.passed);
        }
        if failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

/// A command as one would type it, environment changes included.
pub fn shown(command: &Command) -> String {
    let (mut removed, mut line) = (String::new(), String::new());
    for (name, value) in command.get_envs() {
        let name = name.to_string_lossy();
        let _ = match value {
            Some(value) => write!(line, "{name}={} ", quoted(&value.to_string_lossy())),
            None => write!(removed, "-u {name} "),
        };
    }
    if !removed.is_empty() {
        line.insert_str(0, &format!("env {removed}"));
    }
    line.push_str(&quoted(&command.get_program().to_string_lossy()));
    for argument in command.get_args() {
        let _ = write!(line, " {}", quoted(&argument.to_string_lossy()));
    }
    line
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Runs a command in sight of the user; the error names it.
pub fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", shown(command));
    let status = command
        .status()
        .with_context(|| format!("could not start: {}", shown(command)))?;
    if !status.success() {
        bail!("{status}: {}", shown(command));
    }
    Ok(())
}

/// Runs a command in sight of the user; what it printed.
pub fn output(command: &mut Command) -> Result<String> {
    let mut printed = String::new();
    each_line(command, |line| {
        printed.push_str(line);
        printed.push('\n');
    })?;
    Ok(printed)
}

/// Runs a command in sight of the user and counts the tests that its output reports.
pub fn run_tests(command: &mut Command, tests: &mut Tests) -> Result<()> {
    each_line(command, |line| {
        tests.add(counts(line));
        tests.failures.extend(failure(line));
    })
}

/// Runs a command in sight of the user; `see` is given every line that it prints.
fn each_line(command: &mut Command, mut see: impl FnMut(&str)) -> Result<()> {
    println!("$ {}", shown(command));
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("could not start: {}", shown(command)))?;
    if let Some(output) = child.stdout.take() {
        // By bytes: a test may print what is no UTF-8.
        for line in BufReader::new(output).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            println!("{line}");
            see(&line);
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{status}: {}", shown(command));
    }
    Ok(())
}

/// The test that failed, if a line says so: one of `cargo test`'s, of pytest's or surefire's closing lists, of XCTest's.
fn failure(line: &str) -> Option<String> {
    let cargo = || line.strip_prefix("test ")?.strip_suffix(" ... FAILED");
    let pytest = || {
        let test = line.strip_prefix("FAILED ")?;
        test.contains("::").then_some(test)
    };
    // "[ERROR]   FramesTest.name:62 what was expected"
    let surefire = || {
        line.strip_prefix("[ERROR]   ")
            .filter(|text| text.contains("Test."))
    };
    let xctest = || {
        line.strip_prefix("Test Case '")?
            .split_once("' failed")
            .map(|(test, _)| test)
    };
    let test = cargo().or_else(pytest).or_else(surefire).or_else(xctest)?;
    Some(test.trim().to_string())
}

/// What a line of output reports, if it is one of `cargo test`'s or pytest's closing lines.
fn counts(line: &str) -> Tests {
    let line = line.trim();
    if let Some(tests) = xctest(line).or_else(|| surefire(line)) {
        return tests;
    }
    let cargo = line
        .strip_prefix("test result: ")
        .and_then(|rest| rest.split_once(". "))
        .map(|(_, numbers)| numbers);
    // "===== 5 passed, 1 skipped in 3.20s =====", or without the bars under -q.
    let pytest = line
        .trim_matches(['=', ' '])
        .rsplit_once(" in ")
        .map(|(numbers, _)| numbers);
    let mut tests = Tests::default();
    for part in cargo.or(pytest).unwrap_or_default().split([';', ',']) {
        let Some((number, word)) = part.trim().split_once(' ') else {
            return Tests::default();
        };
        let Ok(number) = number.parse::<usize>() else {
            // cargo's line ends with the time; any other line with such a part is none of ours.
            if cargo.is_some() {
                continue;
            }
            return Tests::default();
        };
        match word {
            "passed" => tests.passed += number,
            "failed" | "error" | "errors" => tests.failed += number,
            "ignored" | "skipped" | "xfailed" => tests.skipped += number,
            // Filtered out, measured, deselected, warnings: of another step's choosing.
            _ => {}
        }
    }
    tests
}

/// "Test Case 'ConformanceTests.testList' passed (0.3 seconds)": its closing lines come once a suite.
fn xctest(line: &str) -> Option<Tests> {
    let (_, outcome) = line.strip_prefix("Test Case '")?.rsplit_once("' ")?;
    let mut tests = Tests::default();
    match outcome.split_once(' ')?.0 {
        "passed" => tests.passed = 1,
        "failed" => tests.failed = 1,
        "skipped" => tests.skipped = 1,
        _ => return None,
    }
    Some(tests)
}

/// "[INFO] Tests run: 8, Failures: 0, Errors: 0, Skipped: 0"; with the time elapsed it is of one class only.
fn surefire(line: &str) -> Option<Tests> {
    let (_, numbers) = line.split_once("Tests run: ")?;
    if numbers.contains("Time elapsed") {
        return None;
    }
    let mut numbers = numbers.split(", ").map(|part| {
        let digits = part.trim_start_matches(|c: char| !c.is_ascii_digit());
        let end = digits.find(|c: char| !c.is_ascii_digit());
        let digits = &digits[..end.unwrap_or(digits.len())];
        digits.parse::<usize>().ok()
    });
    let mut next = || numbers.next().flatten();
    let (run, failures, errors, skipped) = (next()?, next()?, next()?, next()?);
    let failed = failures + errors;
    Some(Tests {
        passed: run.saturating_sub(failed + skipped),
        failed,
        skipped,
        ..Tests::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_of_surefire_and_cases_of_xctest_are_counted() {
        let line = "[INFO] Tests run: 13, Failures: 1, Errors: 2, Skipped: 3\u{1b}[0m";
        let tests = counts(line);
        assert_eq!((tests.passed, tests.failed, tests.skipped), (7, 3, 3));
        let of_a_class =
            "[INFO] Tests run: 5, Failures: 0, Errors: 0, Skipped: 0, Time elapsed: 1.2 s -- in A";
        assert_eq!(counts(of_a_class), Tests::default());
        let tests = counts("Test Case 'OneTests.testTwo' passed (0.01 seconds)");
        assert_eq!((tests.passed, tests.failed), (1, 0));
        assert_eq!(
            counts("Test Case 'OneTests.testTwo' failed (0.01 seconds)").failed,
            1
        );
        let closing = "Executed 7 tests, with 0 failures (0 unexpected) in 0.016 (0.016) seconds";
        assert_eq!(counts(closing), Tests::default());
    }

    #[test]
    fn closing_lines_of_cargo_and_pytest_are_counted() {
        let line = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s";
        assert_eq!(
            counts(line),
            Tests {
                passed: 12,
                failed: 0,
                skipped: 1,
                ..Tests::default()
            }
        );
        let line = "test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s";
        assert_eq!(
            counts(line),
            Tests {
                passed: 2,
                failed: 3,
                skipped: 0,
                ..Tests::default()
            }
        );
        let line = "==== 1 failed, 5 passed, 2 skipped, 1 warning, 1 error in 3.20s (0:00:03) ====";
        assert_eq!(
            counts(line),
            Tests {
                passed: 5,
                failed: 2,
                skipped: 2,
                ..Tests::default()
            }
        );
        assert_eq!(
            counts("7 passed, 4 deselected in 0.51s"),
            Tests {
                passed: 7,
                failed: 0,
                skipped: 0,
                ..Tests::default()
            }
        );
    }

    #[test]
    fn tests_that_failed_are_named() {
        for (line, named) in [
            (
                "test data::tests::whole ... FAILED",
                Some("data::tests::whole"),
            ),
            (
                "FAILED tests/python/test_a.py::test_b[1] - assert 1 == 2",
                Some("tests/python/test_a.py::test_b[1] - assert 1 == 2"),
            ),
            (
                "[ERROR]   FramesTest.stale frames are dropped:62 expected: <1> but was: <2>",
                Some("FramesTest.stale frames are dropped:62 expected: <1> but was: <2>"),
            ),
            (
                "Test Case 'OneTests.testTwo' failed (0.1 seconds)",
                Some("OneTests.testTwo"),
            ),
            ("test data::tests::whole ... ok", None),
            ("[ERROR] Failures: ", None),
            ("test result: FAILED. 2 passed; 1 failed", None),
            ("FAILED to read", None),
        ] {
            assert_eq!(failure(line).as_deref(), named, "{line}");
        }
    }

    #[test]
    fn other_lines_count_nothing() {
        for line in [
            "",
            "running 12 tests",
            "3 photos passed in review",
            "test a::b ... ok",
            "read 4 files, 2 passed",
        ] {
            assert_eq!(counts(line), Tests::default(), "{line}");
        }
    }

    #[test]
    fn a_step_that_breaks_counts_as_a_failure() {
        let mut report = Report::default();
        assert!(report.step("good", || Ok(1)).is_some());
        assert!(
            report
                .step("bad", || -> Result<()> { bail!("no") })
                .is_none()
        );
        report.tests("tests", |tests| {
            tests.add(Tests {
                passed: 3,
                failed: 1,
                ..Tests::default()
            });
            bail!("exit status: 101")
        });
        // One broken step and one failed test; the tests' own exit status is not counted again.
        assert_eq!(
            (
                report.broken_steps,
                report.tests.failed,
                report.tests.passed
            ),
            (1, 1, 3)
        );
    }

    #[test]
    fn commands_are_shown_as_typed() {
        let mut command = Command::new("apt-get");
        command.args(["install", "-y", "a b"]).env("X", "1");
        assert_eq!(shown(&command), "X=1 apt-get install -y 'a b'");
        command.env_remove("Z");
        assert_eq!(shown(&command), "env -u Z X=1 apt-get install -y 'a b'");
    }
}
