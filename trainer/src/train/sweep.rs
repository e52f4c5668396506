//! The search of the paper: learning rate, validation split and trained blocks, one at a time or every combination.
//!
//! A factor at a time: its values are tried with the others as they are, the best stays, the next factor follows. A
//! setting that comes up twice is trained once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::recipe::Recipe;

/// Name of the results in a folder.
pub const SWEEP: &str = "sweep.json";
/// The winner as a recipe, beside them.
pub const WINNER: &str = "winner.toml";

/// What is varied, as it stands in one run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Share of the photos that are held out.
    pub validation_split: f64,
    /// Last blocks that train.
    pub trained_blocks: usize,
}

/// The values of each factor.
#[derive(Clone, Debug, PartialEq)]
pub struct Space {
    /// Learning rates.
    pub learning_rates: Vec<f64>,
    /// Validation splits.
    pub validation_splits: Vec<f64>,
    /// Numbers of trained blocks.
    pub trained_blocks: Vec<usize>,
}

/// A setting, trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// What was trained.
    pub setting: Setting,
    /// Validation accuracy of the best epoch.
    pub accuracy: f64,
    /// Its cross-entropy.
    pub loss: f64,
    /// Its number, from 1.
    pub epoch: usize,
    /// Photos held out.
    pub validation_photos: usize,
    /// Seconds of training.
    pub seconds: f64,
}

impl Trial {
    /// By accuracy, then by loss.
    fn beats(&self, other: &Trial) -> bool {
        (self.accuracy, -self.loss) > (other.accuracy, -other.loss)
    }
}

/// All that was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// What the settings change.
    pub recipe: Recipe,
    /// Every combination, or a factor at a time.
    pub grid: bool,
    /// In the order they were trained.
    pub trials: Vec<Trial>,
    /// The best, once all are trained.
    pub winner: Option<Setting>,
}

impl Setting {
    /// What a recipe holds itself; two blocks where it freezes by layers or by default.
    pub fn of(recipe: &Recipe) -> Setting {
        Setting {
            learning_rate: recipe.learning_rate,
            validation_split: recipe.validation_split,
            trained_blocks: recipe.trained_blocks.unwrap_or(2),
        }
    }

    /// The recipe with this setting.
    pub fn in_recipe(&self, recipe: &Recipe) -> Recipe {
        Recipe {
            learning_rate: self.learning_rate,
            validation_split: self.validation_split,
            trained_blocks: Some(self.trained_blocks),
            freeze_layers: None,
            ..recipe.clone()
        }
    }

    /// Name of its run's folder.
    pub fn name(&self) -> String {
        format!(
            "rate-{:e}_split-{}_blocks-{}",
            self.learning_rate, self.validation_split, self.trained_blocks
        )
    }
}

impl Space {
    /// Every combination.
    pub fn grid(&self) -> Vec<Setting> {
        let mut all = Vec::new();
        for &learning_rate in &self.learning_rates {
            for &validation_split in &self.validation_splits {
                for &trained_blocks in &self.trained_blocks {
                    all.push(Setting {
                        learning_rate,
                        validation_split,
                        trained_blocks,
                    });
                }
            }
        }
        all
    }

    /// Refuses values that no recipe takes, before the first run.
    pub fn check(&self, recipe: &Recipe) -> Result<()> {
        for setting in self.grid() {
            setting.in_recipe(recipe).check()?;
        }
        Ok(())
    }

    /// The most runs that a search of this space takes.
    pub fn most_runs(&self, grid: bool) -> usize {
        let sizes = [
            self.learning_rates.len(),
            self.validation_splits.len(),
            self.trained_blocks.len(),
        ];
        match grid {
            true => sizes.iter().product(),
            // The best of a factor stands for itself in the next.
            false => sizes.iter().sum::<usize>(),
        }
    }
}

/// Trains what the search asks for, `train` called once a setting, and returns the best.
pub fn search(
    space: &Space,
    base: Setting,
    grid: bool,
    mut train: impl FnMut(Setting) -> Result<Trial>,
) -> Result<Setting> {
    let mut trials: BTreeMap<String, Trial> = BTreeMap::new();
    let mut best_of = |settings: Vec<Setting>| -> Result<Setting> {
        for &setting in &settings {
            if let Entry::Vacant(place) = trials.entry(setting.name()) {
                place.insert(train(setting)?);
            }
        }
        let of = |setting: &Setting| &trials[&setting.name()];
        // The first of equals: the list's order is a preference.
        let better = |best, next| {
            if of(&next).beats(of(&best)) {
                next
            } else {
                best
            }
        };
        let best = settings.into_iter().reduce(better);
        best.context("a factor has no value to try")
    };
    if grid {
        return best_of(space.grid());
    }
    let mut around = base;
    let rates = space.learning_rates.iter();
    around = best_of(
        rates
            .map(|&learning_rate| Setting {
                learning_rate,
                ..around
            })
            .collect(),
    )?;
    let splits = space.validation_splits.iter();
    around = best_of(
        splits
            .map(|&validation_split| Setting {
                validation_split,
                ..around
            })
            .collect(),
    )?;
    let blocks = space.trained_blocks.iter();
    best_of(
        blocks
            .map(|&trained_blocks| Setting {
                trained_blocks,
                ..around
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paper() -> Space {
        Space {
            learning_rates: vec![1e-3, 1e-4, 1e-5],
            validation_splits: vec![0.20, 0.25, 0.30],
            trained_blocks: vec![0, 1, 2],
        }
    }

    /// Best at 1e-4, 0.25 and one block, each on its own.
    fn answer(setting: Setting) -> Result<Trial> {
        let off = (setting.learning_rate.log10() + 4.0).abs()
            + (setting.validation_split - 0.25).abs()
            + (setting.trained_blocks as f64 - 1.0).abs();
        Ok(Trial {
            setting,
            accuracy: 0.9 - off / 100.0,
            loss: off,
            epoch: 1,
            validation_photos: 100,
            seconds: 1.0,
        })
    }

    #[test]
    fn a_factor_at_a_time_trains_seven_and_a_grid_all() {
        let base = Setting::of(&Recipe::named("paper").unwrap());
        assert_eq!(base.name(), "rate-1e-4_split-0.2_blocks-2");
        for (grid, runs) in [(false, 7), (true, 27)] {
            let mut asked = 0;
            let count = |setting| {
                asked += 1;
                answer(setting)
            };
            let winner = search(&paper(), base, grid, count).unwrap();
            assert_eq!(asked, runs);
            assert!(asked <= paper().most_runs(grid));
            assert_eq!(winner.name(), "rate-1e-4_split-0.25_blocks-1");
            let recipe = winner.in_recipe(&Recipe::named("paper").unwrap());
            assert_eq!(
                (recipe.trained_blocks, recipe.validation_split),
                (Some(1), 0.25)
            );
        }
    }

    #[test]
    fn equal_accuracy_goes_by_loss_and_then_by_order() {
        let base = Setting::of(&Recipe::named("paper").unwrap());
        let flat = |loss: fn(Setting) -> f64| {
            move |setting| {
                Ok(Trial {
                    accuracy: 0.5,
                    loss: loss(setting),
                    ..answer(setting).unwrap()
                })
            }
        };
        let first = search(&paper(), base, true, flat(|_| 1.0)).unwrap();
        assert_eq!(first.name(), "rate-1e-3_split-0.2_blocks-0");
        let low = search(&paper(), base, true, flat(|s| s.learning_rate)).unwrap();
        assert_eq!(low.name(), "rate-1e-5_split-0.2_blocks-0");
    }
}
