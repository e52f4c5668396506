//! The `etalase` command: what a product photo shows, how good a model is, and
//! what is in a bundle.
//!
//! Its output is a contract. With `--json` stdout carries exactly one JSON object a
//! line; everything else goes to stderr. Exit status: 0 all answered, 1 something
//! failed, 2 wrong usage.

#![forbid(unsafe_code)]

mod bench;
mod bundle;
mod classify;
mod eval;
mod inspect;
mod labels;
mod listing;
mod output;
mod pack;
mod preprocess_spec;
mod repack;
mod run;
mod verdict;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tells what a product photo shows, on this machine, without a network.
#[derive(Parser)]
#[command(name = "etalase", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Classify(classify::Args),
    Listing(listing::Args),
    Eval(eval::Args),
    Bench(bench::Args),
    Run(run::Args),
    Inspect(inspect::Args),
    Pack(pack::Args),
    Repack(repack::Args),
}

/// How a command ended that said all it had to say.
enum Outcome {
    /// Everything was answered.
    Complete,
    /// Something failed, and was named.
    Partial,
}

fn main() -> ExitCode {
    // clap ends wrong usage itself, with status 2.
    let result = match Cli::parse().command {
        Command::Classify(args) => classify::run(&args),
        Command::Listing(args) => listing::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Pack(args) => pack::run(&args),
        Command::Repack(args) => repack::run(&args),
    };
    match result {
        Ok(Outcome::Complete) => ExitCode::SUCCESS,
        Ok(Outcome::Partial) => ExitCode::FAILURE,
        Err(error) => {
            // A reader that has seen enough (`| head`) is no failure to talk about.
            if !output::is_broken_pipe(&error) {
                output::complain(format_args!("{error:#}"));
            }
            ExitCode::FAILURE
        }
    }
}
