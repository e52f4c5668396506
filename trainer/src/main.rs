//! The `etalase-trainer` command.

mod commands;

use std::process::ExitCode;

fn main() -> ExitCode {
    etalase_trainer::allocator::keep_freed_memory();
    match commands::run() {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads has seen enough.
        Err(error) if commands::output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
