//! `cargo xtask …`: what CI and a newcomer call.
//!
//! `setup` installs what the trainer and the tests need on a fresh machine, `test` runs everything
//! that CI runs, `sdk` the part of it that is the native library in every language, `overhead` what calling it costs,
//! `install` and `package` put that library where programs and apps find it, `release` adds what goes with packages, `bench` compares speeds
//! with other runtimes', `quantizers` errors with another quantizer's, `photos` the way from a file to a label with
//! Pillow's, `trainer -- …` runs `etalase-trainer` with libtorch where it can find it.
//! Using the SDK or the `etalase` command needs none of this: `cargo run --release` is enough.

mod agreement;
mod arm64;
mod bench;
mod data;
mod header;
mod isa;
mod keras_parity;
mod photos;
mod quantizers;
mod release;
mod report;
mod sdk;
mod setup;
mod swift;
mod test;
mod trainer;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Set-up, tests and the trainer")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Installs what the trainer and the tests need: system packages, Python packages, libtorch
    Setup,
    /// Runs every test; tests that need photos run where ETALASE_DATA (or ../shared) holds them
    Test {
        /// Fail where the photos and weights folder is missing, instead of listing what did not run
        #[arg(long)]
        require_data: bool,
    },
    /// Writes ffi/include/etalase.h from the C ABI's sources
    Header {
        /// Compare instead of writing
        #[arg(long)]
        check: bool,
    },
    /// Builds the native library and tests it from C, C++, Kotlin and Swift
    Sdk {
        /// Languages to test; all by default
        languages: Vec<sdk::Language>,
    },
    /// Measures what a call costs beyond core's own, from C, Kotlin and Swift
    Overhead,
    /// Packs the library for a platform
    #[command(subcommand)]
    Package(sdk::Package),
    /// Installs library, headers, pkg-config file and CMake package
    Install(sdk::InstallArgs),
    /// Completes target/packages for a release: notices of third parties, bill of materials, checksums
    Release(release::Args),
    /// Times etalase beside other runtimes on the same models, outputs checked; --arm64: counts
    /// instructions
    Bench(bench::Args),
    /// Compares the trainer's int8 networks with ONNX Runtime's quantizer: cargo xtask quantizers -- --help
    Quantizers {
        /// Arguments of bench/quantizers.py
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Times photos of 12 megapixels beside Pillow and ONNX Runtime: cargo xtask photos -- --help
    Photos {
        /// Arguments of bench/photos.py
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Runs etalase-trainer (release) with libtorch set up: cargo xtask trainer -- fit --help
    Trainer {
        /// Arguments of etalase-trainer
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Setup => setup::run(),
        Task::Test { require_data } => test::run(require_data),
        Task::Header { check } => header::run(check).map(|()| ExitCode::SUCCESS),
        Task::Sdk { languages } => sdk::run(&languages),
        Task::Overhead => sdk::overhead().map(|()| ExitCode::SUCCESS),
        Task::Package(package) => sdk::package(&package).map(|()| ExitCode::SUCCESS),
        Task::Install(args) => sdk::install(&args).map(|()| ExitCode::SUCCESS),
        Task::Release(args) => release::run(&args).map(|()| ExitCode::SUCCESS),
        Task::Bench(args) => bench::run(&args),
        Task::Quantizers { arguments } => quantizers::run(&arguments).map(|()| ExitCode::SUCCESS),
        Task::Photos { arguments } => photos::run(&arguments).map(|()| ExitCode::SUCCESS),
        Task::Trainer { arguments } => trainer::run(&arguments),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// The workspace's root.
fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// The folder of release binaries, wherever CARGO_TARGET_DIR puts it.
fn release_dir() -> Result<PathBuf> {
    // xtask itself runs from there.
    let program = std::env::current_exe()?;
    Ok(program.parent().unwrap_or(&program).to_path_buf())
}

/// The cargo that started us.
fn cargo() -> std::process::Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = std::process::Command::new(program);
    command.current_dir(root());
    command
}
