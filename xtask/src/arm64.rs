//! arm64 on an x86-64 machine: Debian's cross compiler and qemu-user, for the tests of kernels and
//! photos of `cargo xtask test` and the counts of `cargo xtask bench --arm64`.
//!
//! Left out: time, which qemu cannot tell, and other systems than Debian, whose compilers lack
//! the arm64 standard library or lie elsewhere.

use std::process::Command;

use anyhow::Result;

use crate::report::{self, Tests};
use crate::{cargo, root, setup};

pub const TARGET: &str = "aarch64-unknown-linux-gnu";
/// Debian's compiler: its sysroot has the arm64 standard library, and goes with no other rustc.
pub const RUSTC: &str = "/usr/bin/rustc";
pub const LINKER: &str = "aarch64-linux-gnu-gcc";
pub const QEMU: &str = "qemu-aarch64";

/// A CPU and the kernel levels that it has.
pub struct Cpu {
    pub name: &'static str,
    /// What qemu calls it.
    pub qemu: &'static str,
    levels: &'static str,
}

/// Plain NEON, dot products, int8 matrix products (without SVE, which phones lack, and with the
/// quick stand-in for pointer authentication).
pub const CPUS: [Cpu; 3] = [
    Cpu {
        name: "cortex-a72",
        qemu: "cortex-a72",
        levels: "neon",
    },
    Cpu {
        name: "cortex-a76",
        qemu: "cortex-a76",
        levels: "neon_dotprod,neon",
    },
    Cpu {
        name: "max",
        qemu: "max,sve=off,sme=off,pauth-impdef=on",
        levels: "neon_i8mm,neon_dotprod,neon",
    },
];

impl Cpu {
    /// What starts an arm64 program: words, the program to follow. Both the loader and the
    /// libraries are the cross packages': where Debian's own for arm64 are there as well, a
    /// loader of one version with a C library of another starts no threads.
    pub fn runner(&self) -> [&'static str; 7] {
        let libraries = "/usr/aarch64-linux-gnu";
        let path = "LD_LIBRARY_PATH=/usr/aarch64-linux-gnu/lib";
        [QEMU, "-cpu", self.qemu, "-L", libraries, "-E", path]
    }
}

/// `cargo` with the cross compiler.
pub fn cross_cargo() -> Command {
    let mut command = cargo();
    command
        .env("RUSTC", RUSTC)
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER);
    command
}

/// Why the kernel tests are not to be run here, if they are not.
pub fn not_here() -> Option<String> {
    if cfg!(target_arch = "aarch64") {
        return Some("this is an arm64 machine: the Rust tests above ran its kernels".into());
    }
    if setup::arm64_complete() || setup::is_debian() {
        return None;
    }
    Some(format!(
        "set up by itself on Debian 12 only; elsewhere it needs {RUSTC} with the standard library \
         for {TARGET}, {LINKER} and {QEMU}"
    ))
}

/// The kernel tests of the library without ONNX, which compiles in a minute, on every CPU, and the
/// default bundle's scores. Each must have the levels that are expected of it.
pub fn test_kernels(tests: &mut Tests) -> Result<()> {
    setup::arm64_packages()?;
    let of_the_library = |subcommand: &str| {
        let mut command = cross_cargo();
        command.args([subcommand, "--release", "--locked", "-p", "etalase"]);
        command.args(["--no-default-features", "--target", TARGET]);
        // Another compiler and other flags, other artefacts: in a folder of their own.
        command.env("CARGO_TARGET_DIR", root().join("target").join("arm64"));
        command.env("RUSTFLAGS", "-D warnings");
        command
    };
    report::run(of_the_library("check").arg("--lib"))?;
    for cpu in CPUS {
        println!("{}: {}", cpu.name, cpu.levels);
        for which in [
            &["--lib", "kernels"][..],
            &["--lib", "photo"],
            &["--test", "scores"],
        ] {
            let mut test = of_the_library("test");
            let runner = cpu.runner().join(" ");
            test.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", runner)
                .env("ETALASE_REQUIRE_ISAS", cpu.levels)
                .env_remove("ETALASE_ISA");
            report::run_tests(test.args(which).args(["--", "--nocapture"]), tests)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runner_is_words_without_spaces() {
        // Cargo splits it at spaces.
        for cpu in CPUS {
            assert!(cpu.runner().iter().all(|word| !word.contains(' ')));
        }
    }
}
