//! `etalase-trainer sweep`: the paper's search over learning rate, validation split and trained blocks.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use etalase::photo::Fit;
use etalase_trainer::files::{self, read_json, write_json};
use etalase_trainer::train::fit::fit;
use etalase_trainer::train::history::{HISTORY, History};
use etalase_trainer::train::recipe::{Recipe, RecipeFlags};
use etalase_trainer::train::sweep::{self, SWEEP, Setting, Space, Trial, WINNER};

use super::source::{RunFlags, Source};

/// Search learning rate, validation split and trained blocks: each setting is a run, the best by validation accuracy is
/// written as a recipe for the other backbones.
#[derive(Args)]
pub struct Sweep {
    #[command(flatten)]
    source: Source,
    /// How a photo fills the input: stretch, letterbox or center-crop
    #[arg(long, default_value = "letterbox")]
    fit: Fit,
    /// Learning rates to try
    #[arg(
        long,
        value_name = "RATE,…",
        value_delimiter = ',',
        default_value = "1e-3,1e-4,1e-5"
    )]
    learning_rates: Vec<f64>,
    /// Validation splits to try
    #[arg(
        long,
        value_name = "SHARE,…",
        value_delimiter = ',',
        default_value = "0.20,0.25,0.30"
    )]
    validation_splits: Vec<f64>,
    /// Numbers of trained blocks to try
    #[arg(
        long,
        value_name = "BLOCKS,…",
        value_delimiter = ',',
        default_value = "0,1,2"
    )]
    blocks: Vec<usize>,
    /// Every combination, instead of one factor after the other
    #[arg(long)]
    grid: bool,
    /// Folder for sweep.json, winner.toml and, under sweep/, a run's folder a setting
    #[arg(short, long, value_name = "DIR", default_value = "out/run")]
    out: PathBuf,
    #[command(flatten)]
    run: RunFlags,
    #[command(flatten)]
    recipe: RecipeFlags,
}

impl Sweep {
    /// Runs it.
    pub fn run(self) -> Result<()> {
        ensure!(
            self.source.photos.validation.is_none(),
            "the search splits the training photos itself: leave --validation out"
        );
        let recipe = self.recipe.resolve()?;
        let space = Space {
            learning_rates: self.learning_rates.clone(),
            validation_splits: self.validation_splits.clone(),
            trained_blocks: self.blocks.clone(),
        };
        space.check(&recipe)?;
        let mut found = sweep::Sweep {
            recipe: recipe.clone(),
            grid: self.grid,
            trials: Vec::new(),
            winner: None,
        };
        let _claim = files::claim(&self.out)?;
        let results = self.out.join(SWEEP);
        let most = space.most_runs(self.grid);
        let train = |setting: Setting| {
            eprintln!(
                "== run {} of at most {most}: learning rate {:e}, validation split {}, trained blocks {}",
                found.trials.len() + 1,
                setting.learning_rate,
                setting.validation_split,
                setting.trained_blocks
            );
            let trial = self
                .train(setting, &recipe)
                .with_context(|| setting.name())?;
            found.trials.push(trial.clone());
            write_json(&results, &found)?;
            Ok(trial)
        };
        let winner = sweep::search(&space, Setting::of(&recipe), self.grid, train)?;
        found.winner = Some(winner);
        let text = winner.in_recipe(&recipe).to_toml()?;
        files::write(&self.out.join(WINNER), text.as_bytes())?;
        write_json(&results, &found)?;
        eprintln!(
            "best: learning rate {:e}, validation split {}, trained blocks {}; for the others: --recipe {}",
            winner.learning_rate,
            winner.validation_split,
            winner.trained_blocks,
            self.out.join(WINNER).display()
        );
        Ok(())
    }

    /// One run, in a folder of its own.
    fn train(&self, setting: Setting, recipe: &Recipe) -> Result<Trial> {
        let folder = self.out.join("sweep").join(setting.name());
        let recipe = setting.in_recipe(recipe);
        let sides = self.source.photos.sides(&recipe)?;
        let validation_photos = sides.validation.len();
        let job = self
            .source
            .job_on(sides, self.fit, recipe, folder.clone(), &self.run)?;
        let kept = fit(job)?.description;
        let history: History = read_json(&folder.join(HISTORY))?;
        let at = history.epochs.iter().find(|e| e.epoch == kept.epoch);
        Ok(Trial {
            setting,
            accuracy: kept.validation_accuracy,
            loss: at
                .context("its history lacks the epoch that was kept")?
                .validation_loss,
            epoch: kept.epoch,
            validation_photos,
            seconds: history.training_seconds,
        })
    }
}
