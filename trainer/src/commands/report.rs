//! `etalase-trainer report`: the HTML page of a run.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use etalase_trainer::report::{self, REPORT};

/// Write the HTML report of a run's folder.
#[derive(Args)]
pub struct Report {
    /// The run's folder
    #[arg(value_name = "DIR", default_value = "out/run")]
    run: PathBuf,
}

impl Report {
    /// Runs it.
    pub fn run(self) -> Result<()> {
        report::write(&self.run)?;
        eprintln!("the report is {}", self.run.join(REPORT).display());
        Ok(())
    }
}
