//! `ffi/include/etalase.h`, made from the C ABI's sources by cbindgen: their comments are the manual.
//!
//! It is committed, so that a change of the ABI is seen in a review and integrators need no Rust; `--check` compares.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::root;

/// Writes the header, or with `check` compares it with the one there.
pub fn run(check: bool) -> Result<()> {
    let ffi = root().join("ffi");
    let path = ffi.join("include/etalase.h");
    let made = made(&ffi)?;
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    if there == made {
        return Ok(());
    }
    if check {
        bail!(
            "{} is not what the sources make of it: cargo xtask header",
            path.display()
        );
    }
    std::fs::write(&path, made).with_context(|| format!("{}: cannot write", path.display()))
}

fn made(ffi: &Path) -> Result<String> {
    let part = |name: &str| {
        let path = ffi.join("include").join(name);
        std::fs::read_to_string(&path).with_context(|| format!("{}: cannot read", path.display()))
    };
    let mut config = cbindgen::Config::from_file(ffi.join("cbindgen.toml"))
        .map_err(|error| anyhow::anyhow!("ffi/cbindgen.toml: {error}"))?;
    config.header = Some(part("overview.h.in")?);
    config.after_includes = Some(version_macros());
    config.trailer = None;
    let header = cbindgen::Builder::new()
        .with_crate(ffi)
        .with_config(config)
        .generate()
        .context("the C ABI's sources cannot be read")?;
    let mut text = Vec::new();
    header.write(&mut text);
    let text = without_safety(&String::from_utf8(text)?);
    // Inside of extern "C", where cbindgen's own trailer would be outside.
    let end = "#ifdef __cplusplus\n}  // extern \"C\"";
    let Some(at) = text.rfind(end) else {
        bail!("the header has no end of extern \"C\"");
    };
    Ok(format!(
        "{}{}\n{}",
        &text[..at],
        part("inline.h.in")?,
        &text[at..]
    ))
}

fn version_macros() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut numbers = version.split('.');
    let mut macros = String::from("\n// Of this header; etalase_version() tells the library's.\n");
    for name in ["MAJOR", "MINOR", "PATCH"] {
        let number = numbers.next().unwrap_or("0");
        macros.push_str(&format!("#define ETALASE_VERSION_{name} {number}\n"));
    }
    macros.push_str(
        "#define ETALASE_VERSION \\\n  \
         ((ETALASE_VERSION_MAJOR << 16) | (ETALASE_VERSION_MINOR << 8) | ETALASE_VERSION_PATCH)\n",
    );
    macros
}

/// Rust's `# Safety` sections say in Rust's words what the overview says in C's: out with them, and with the
/// brackets of links.
fn without_safety(header: &str) -> String {
    let mut kept: Vec<String> = Vec::new();
    let mut in_safety = false;
    for line in header.lines() {
        if line.trim() == "// # Safety" {
            in_safety = true;
            if kept.last().is_some_and(|line| line.trim() == "//") {
                kept.pop();
            }
        }
        in_safety &= line.trim_start().starts_with("//");
        if !in_safety {
            kept.push(match line.trim_start().starts_with("//") {
                true => line.replace("[`", "").replace("`]", ""),
                false => line.to_owned(),
            });
        }
    }
    kept.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn safety_sections_are_left_out() {
        let header = "// One [`Two`].\n//\n// # Safety\n// Pointers.\nint f(void);\n";
        assert_eq!(without_safety(header), "// One Two.\nint f(void);\n");
    }
}
