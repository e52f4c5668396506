//! C and C++: the header under strict compilers, the programs of `tests/c` and `tests/cpp`, plain, under
//! AddressSanitizer and under valgrind, and the examples.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::native::{Native, SYSTEM_LIBRARIES};
use crate::report::{self, Tests};
use crate::root;

const STRICT: [&str; 5] = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-O1"];
const SANITIZED: [&str; 3] = [
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover",
    "-g",
];

/// How often tests/c/threads.c opens a classifier to see whether memory grows.
const OPENINGS: &str = "10000";
const FEW_OPENINGS: &str = "0";

/// A language as a compiler takes it.
struct Language {
    name: &'static str,
    compilers: [&'static str; 2],
    options: &'static [&'static str],
}

const C: Language = Language {
    name: "C99",
    compilers: ["gcc", "clang"],
    options: &["-std=c99", "-D_POSIX_C_SOURCE=200809L", "-x", "c"],
};
const CPP: Language = Language {
    name: "C++17",
    compilers: ["g++", "clang++"],
    options: &["-std=c++17", "-x", "c++"],
};

/// A program of the tests: its source, what it is compiled as, and what it is started with.
struct Program {
    source: &'static str,
    languages: &'static [Language],
    arguments: Vec<PathBuf>,
}

/// Compiles and runs everything, with a library of the tested flavour.
pub fn test(native: &Native, tests: &mut Tests) -> Result<()> {
    let root = root();
    let bundle = root.join("models/default.etalase");
    let sample = root.join("tests/data/sample.jpg");
    let conformance = vec![root.join("tests/conformance"), bundle.clone()];
    let programs = [
        Program {
            source: "tests/c/misuse.c",
            languages: &[C, CPP],
            arguments: vec![bundle.clone()],
        },
        Program {
            source: "tests/c/conformance.c",
            languages: &[C],
            arguments: conformance.clone(),
        },
        Program {
            source: "tests/cpp/conformance.cpp",
            languages: &[CPP],
            arguments: conformance,
        },
        Program {
            source: "tests/c/threads.c",
            languages: &[C],
            arguments: vec![bundle.clone(), sample.clone(), OPENINGS.into()],
        },
        Program {
            source: "examples/c/classify.c",
            languages: &[C],
            arguments: vec![bundle.clone(), sample.clone()],
        },
        Program {
            source: "examples/cpp/classify.cpp",
            languages: &[CPP],
            arguments: vec![bundle, sample],
        },
    ];
    for program in &programs {
        // Thousands of openings once are enough; a sanitizer's own bookkeeping grows with each.
        let quick = with_few_openings(program);
        for language in program.languages {
            let [first, second] = language.compilers;
            let source = program.source;
            let mut attempt = |how: &str, work: &dyn Fn() -> Result<()>| {
                let what = format!("{source} as {}, {how}", language.name);
                count(tests, &what, work());
            };
            attempt(first, &|| {
                let built = compile(native, source, language, first, &[], Link::Static)?;
                run(&built, program)
            });
            attempt(second, &|| {
                let built = compile(native, source, language, second, &[], Link::Shared)?;
                run(&built, &quick)
            });
            attempt("AddressSanitizer", &|| {
                let built = compile(native, source, language, first, &SANITIZED, Link::Static)?;
                run(&built, &quick)
            });
            attempt("valgrind", &|| {
                let built = compile(native, source, language, first, &["-g"], Link::Static)?;
                run_under_valgrind(&built, &quick)
            });
        }
    }
    // Times mean nothing under a tool.
    let overhead = Program {
        source: "tests/c/overhead.c",
        languages: &[C],
        arguments: vec![root.join("models/default.etalase")],
    };
    let built = compile(
        native,
        overhead.source,
        &C,
        C.compilers[0],
        &[],
        Link::Static,
    );
    let ran = built.and_then(|built| run(&built, &overhead));
    count(tests, overhead.source, ran);
    count(tests, "exported symbols", exported_symbols(native));
    Ok(())
}

fn count(tests: &mut Tests, what: &str, outcome: Result<()>) {
    match outcome {
        Ok(()) => tests.passed += 1,
        Err(error) => {
            println!("FAILED: {what}: {error:#}");
            tests.failed += 1;
        }
    }
}

fn with_few_openings(program: &Program) -> Program {
    let fewer = |argument: &PathBuf| match argument == Path::new(OPENINGS) {
        true => FEW_OPENINGS.into(),
        false => argument.clone(),
    };
    Program {
        arguments: program.arguments.iter().map(fewer).collect(),
        ..*program
    }
}

/// Which library a program is linked to.
#[derive(Clone, Copy)]
enum Link {
    Static,
    Shared,
}

fn compile(
    native: &Native,
    source: &str,
    language: &Language,
    compiler: &str,
    options: &[&str],
    link: Link,
) -> Result<PathBuf> {
    let out = native.folder.join("programs");
    std::fs::create_dir_all(&out)?;
    let name = Path::new(source).file_stem().context("a source")?;
    let program = out.join(name);
    let mut command = Command::new(compiler);
    command.args(STRICT).args(options).args(language.options);
    command.arg("-I").arg(root().join("ffi/include"));
    command.arg(root().join(source)).args(["-x", "none"]);
    command.arg(match link {
        Link::Shared => native.folder.join(super::native::soname()),
        Link::Static => native.archive(),
    });
    command.args(SYSTEM_LIBRARIES).arg("-o").arg(&program);
    command.arg(format!("-Wl,-rpath,{}", native.folder.display()));
    report::run(&mut command)?;
    Ok(program)
}

fn run(built: &Path, program: &Program) -> Result<()> {
    report::run(quiet(&mut Command::new(built)).args(&program.arguments))
}

fn run_under_valgrind(built: &Path, program: &Program) -> Result<()> {
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--error-exitcode=9", "--leak-check=full"]);
    report::run(quiet(&mut command).arg(built).args(&program.arguments))
}

/// Panics on demand tell where they were without their whole way there.
fn quiet(command: &mut Command) -> &mut Command {
    command.env("RUST_BACKTRACE", "0")
}

/// The shared library shows what is ours and nothing else.
fn exported_symbols(native: &Native) -> Result<()> {
    let output = Command::new("nm")
        .args(["--dynamic", "--defined-only", "--format=posix"])
        .arg(native.shared())
        .output()
        .context("nm")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let names = text
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let names: Vec<&str> = names.collect();
    if !names.contains(&"etalase_classify") {
        bail!("etalase_classify is not exported");
    }
    let ours = |name: &str| {
        name.starts_with("etalase_") || name.starts_with("Java_") || name.starts_with("JNI_")
    };
    match names.iter().find(|name| !ours(name)) {
        Some(other) => bail!("{other} is exported"),
        None => Ok(()),
    }
}
