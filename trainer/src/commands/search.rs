//! `etalase-trainer search`: which way of fitting photos into the input suits these photos.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use etalase::photo::Fit;
use etalase_trainer::files::write_json;
use etalase_trainer::train::recipe::{Recipe, RecipeFlags};
use etalase_trainer::train::search::{FitResult, SEARCH, compare_fits};

use super::source::Source;

/// Compare ways of fitting photos into the input.
#[derive(Args)]
pub struct Search {
    #[command(flatten)]
    source: Source,
    /// Folder for search.json
    #[arg(short, long, value_name = "DIR", default_value = "out/run")]
    out: PathBuf,
    #[command(flatten)]
    recipe: RecipeFlags,
}

impl Search {
    /// Runs it.
    pub fn run(self) -> Result<()> {
        let results = search(&self.source, &self.recipe.resolve()?)?;
        write_json(&self.out.join(SEARCH), &results)?;
        eprintln!(
            "best: --fit {}; the table is {}",
            results[0].fit.as_str(),
            self.out.join(SEARCH).display()
        );
        Ok(())
    }
}

/// Probes all ways of fitting, the best first.
pub fn search(source: &Source, recipe: &Recipe) -> Result<Vec<FitResult>> {
    let sides = source.photos.sides(recipe)?;
    compare_fits(
        source.backbone,
        &source.features(recipe.seed)?,
        &sides.training,
        &sides.validation,
        source.size(),
        &Fit::ALL,
        recipe,
        source.compute.device(),
        source.compute.precision(),
    )
}
