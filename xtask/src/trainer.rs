//! `cargo xtask trainer -- …`: `etalase-trainer` in release, with libtorch where it is looked for.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::{data, report, setup};

/// `cargo VERB …` for the trainer crate, libtorch in its environment.
pub fn cargo_with(libtorch: &setup::Libtorch, arguments: &[&str]) -> Command {
    let mut command = crate::cargo();
    command.args(arguments);
    libtorch.set_in(&mut command);
    command
}

/// Installs what is missing, then runs the trainer; its exit status is ours.
pub fn run(arguments: &[String]) -> Result<ExitCode> {
    setup::system_packages()?;
    let libtorch = setup::libtorch(setup::python)?;
    let mut command = cargo_with(
        &libtorch,
        &["run", "--release", "-p", "etalase-trainer", "--"],
    );
    command
        .args(arguments)
        .current_dir(std::env::current_dir()?);
    if let Some(folder) = data::find()? {
        command.env("ETALASE_DATA", folder);
    }
    let status = command
        .status()
        .with_context(|| format!("could not start: {}", report::shown(&command)))?;
    Ok(ExitCode::from(
        status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(1),
    ))
}
