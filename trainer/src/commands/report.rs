//! `etalase-trainer report`: the page that compares a folder's runs.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use etalase_trainer::report::{self, REPORT, REPORT_CSV, REPORT_JSON};

/// Write the report of a folder's runs.
#[derive(Args)]
pub struct Report {
    /// What `all` wrote, or the folder of one run
    #[arg(value_name = "DIR", default_value = "out/run")]
    run: PathBuf,
}

impl Report {
    /// Runs it.
    pub fn run(self) -> Result<()> {
        report::write(&self.run)?;
        eprintln!(
            "the report is {}, with {REPORT_JSON} and {REPORT_CSV} beside",
            self.run.join(REPORT).display()
        );
        Ok(())
    }
}
