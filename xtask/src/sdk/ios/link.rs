//! A program for iOS that takes every function of etalase.h: it shows that the module is one that Clang imports, that each function
//! is in the library, and how much an app links at most. On a Mac Xcode links it, elsewhere LLVM, against a stand-in for Apple's SDK.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{ON_MAC, Target, oldest, tool, write};
use crate::report;

/// Compiles, links and strips it. `missing`: what the library leaves to the system.
pub fn program(
    target: &Target,
    library: &Path,
    headers: &Path,
    missing: &BTreeSet<&str>,
) -> Result<PathBuf> {
    let file = |name: &str| target.folder().join(name);
    let (source, object, program) = (file("all.m"), file("all.o"), file("all"));
    let header = std::fs::read_to_string(headers.join("CEtalase/etalase.h"))?;
    write(&source, &source_with_all(&functions(&header)))?;
    let sdk = file("sdk");
    if !ON_MAC {
        write_stand_in(target, &sdk, missing)?;
    }
    let mut compiler = compiler(target, &sdk);
    compiler.args(["-fmodules", "-Werror"]);
    let cache = file("modules");
    compiler.arg(format!("-fmodules-cache-path={}", cache.display()));
    compiler.arg("-I").arg(headers);
    report::run(compiler.arg("-c").arg(&source).arg("-o").arg(&object))?;
    let mut linker = linker(target, &sdk);
    linker.arg(&object).arg(library).arg("-o").arg(&program);
    report::run(&mut linker)?;
    report::run(tool("strip")?.args(["-S", "-x"]).arg(&program))?;
    Ok(program)
}

fn compiler(target: &Target, sdk: &Path) -> Command {
    let mut compiler = if ON_MAC {
        xcode_clang(target)
    } else {
        let mut clang = Command::new("clang");
        // Its own headers are nearly all that there are.
        clang.arg("-ffreestanding").arg("-isysroot").arg(sdk);
        clang
    };
    compiler.arg("-target").arg(target.triple());
    compiler
}

fn linker(target: &Target, sdk: &Path) -> Command {
    if ON_MAC {
        let mut clang = compiler(target, sdk);
        clang.arg("-Wl,-dead_strip");
        return clang;
    }
    let oldest = oldest();
    let mut lld = Command::new("lld");
    lld.args(["-flavor", "darwin", "-dead_strip", "-lSystem"]);
    lld.args(["-arch", target.apple, "-platform_version"]);
    lld.args([platform(target), &oldest, &oldest]);
    lld.arg("-syslibroot").arg(sdk);
    lld
}

fn xcode_clang(target: &Target) -> Command {
    let sdk = match target.platform.simulator {
        true => "iphonesimulator",
        false => "iphoneos",
    };
    let mut clang = Command::new("xcrun");
    clang.args(["--sdk", sdk, "clang"]);
    clang
}

/// As linkers call it.
fn platform(target: &Target) -> &'static str {
    match target.platform.simulator {
        true => "ios-simulator",
        false => "ios",
    }
}

/// An SDK with what etalase.h includes and a libSystem that has what the library leaves to the system.
fn write_stand_in(target: &Target, sdk: &Path, missing: &BTreeSet<&str>) -> Result<()> {
    let string = "#include <stddef.h>\nvoid *memset(void *, int, size_t);\n";
    write(&sdk.join("usr/include/string.h"), string)?;
    // Besides what the library needs, what every program does.
    let mut symbols: BTreeSet<&str> = ["_memset", "dyld_stub_binder"].into();
    symbols.extend(missing);
    let name = format!("{}-{}", target.apple, platform(target));
    write(&sdk.join("usr/lib/libSystem.tbd"), &stub(&name, &symbols))
}

/// A dynamic library as a linker needs to know it.
fn stub(target: &str, symbols: &BTreeSet<&str>) -> String {
    let symbols: Vec<&str> = symbols.iter().copied().collect();
    format!(
        "--- !tapi-tbd\ntbd-version: 4\ntargets: [ {target} ]\ninstall-name: '/usr/lib/libSystem.B.dylib'\n\
         exports:\n  - targets: [ {target} ]\n    symbols: [ {} ]\n...\n",
        symbols.join(", ")
    )
}

/// The functions that a header declares or defines: names of ours before a parenthesis, outside of comments.
fn functions(header: &str) -> BTreeSet<&str> {
    let comment = |line: &str| {
        ["//", "/*", "*"]
            .iter()
            .any(|start| line.starts_with(start))
    };
    let code = header.lines().map(str::trim_start);
    let code = code.filter(|line| !comment(line));
    let called = code.flat_map(|line| {
        line.match_indices('(')
            .map(|(at, _)| last_word(&line[..at]))
    });
    called.filter(|name| name.starts_with("etalase_")).collect()
}

fn last_word(text: &str) -> &str {
    let start = text.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    &text[start.map_or(0, |at| at + 1)..]
}

fn source_with_all(functions: &BTreeSet<&str>) -> String {
    let mut text = "@import CEtalase;\n\nvoid *const functions[] = {\n".to_string();
    for name in functions {
        let _ = writeln!(text, "  (void *){name},");
    }
    let count = functions.len();
    // Chosen when it runs, so that no compiler does without any.
    let main = format!("return functions[count % {count}] == words[0];");
    let _ = writeln!(
        text,
        "}};\n\nint main(int count, char **words) {{\n  {main}\n}}"
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_those_of_the_code_and_not_of_comments() {
        let header = " * etalase_in_a_comment(1)\n// etalase_in_another()\nEtalaseStatus etalase_open(const char *path,\n\
                      const char *etalase_text(void);\nstatic inline int etalase_init(void) { memset(a, 0, etalase_b(1)); }\n";
        let names: Vec<_> = functions(header).into_iter().collect();
        let wanted = ["etalase_b", "etalase_init", "etalase_open", "etalase_text"];
        assert_eq!(names, wanted);
        let header = std::fs::read_to_string(crate::root().join("ffi/include/etalase.h")).unwrap();
        assert!(functions(&header).len() > 20);
    }
}
