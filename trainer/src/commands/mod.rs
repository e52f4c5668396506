//! The subcommands: each parses its flags, calls the library and prints what came of it.

mod all;
mod benchmark;
mod cross_validate;
mod evaluate;
mod export;
mod fit;
mod leave_one_class_out;
pub mod output;
mod policy;
mod quantize;
mod report;
mod search;
mod several;
mod source;
mod sweep;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Fine-tunes, compares, quantizes and exports the networks that Etalase ships.
#[derive(Parser)]
#[command(name = "etalase-trainer", version, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fine-tune a backbone on a folder of photos per class
    Fit(fit::Fit),
    /// Compare ways of fitting photos into the input, by a probe on the frozen trunk
    Search(search::Search),
    /// Search learning rate, validation split and trained blocks, each by training
    Sweep(sweep::Sweep),
    /// Train on all senders but a fold's, fold by fold, and measure on those
    CrossValidate(cross_validate::CrossValidate),
    /// Train on all classes but one, each in turn, and measure how unfamiliar the one is
    LeaveOneClassOut(leave_one_class_out::LeaveOneClassOut),
    /// Measure a checkpoint's float network on a folder of photos per class
    Evaluate(evaluate::Evaluate),
    /// Write a float ONNX model
    Export(export::Export),
    /// Calibrate on photos and write an int8 ONNX model
    Quantize(quantize::Quantize),
    /// Fit what a bundle's policy says of answers: temperature, thresholds of verdicts, what is familiar
    Policy(policy::PolicyOf),
    /// Write the report of a folder's runs: HTML, JSON, CSV
    Report(report::Report),
    /// Measure training and inference speed in photos a second
    Benchmark(benchmark::Benchmark),
    /// The whole chain for one backbone or several: search, fit, evaluate, export, quantize, policy, pack, report
    All(all::All),
}

/// Runs the command line.
pub fn run() -> Result<()> {
    match Cli::parse().command {
        Command::Fit(command) => command.run(),
        Command::Search(command) => command.run(),
        Command::Sweep(command) => command.run(),
        Command::CrossValidate(command) => command.run(),
        Command::LeaveOneClassOut(command) => command.run(),
        Command::Evaluate(command) => command.run(),
        Command::Export(command) => command.run(),
        Command::Quantize(command) => command.run(),
        Command::Policy(command) => command.run(),
        Command::Report(command) => command.run(),
        Command::Benchmark(command) => command.run(),
        Command::All(command) => command.run(),
    }
}
