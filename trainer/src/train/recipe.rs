//! The numbers of a training run, in one place.
//!
//! A recipe is a settings file: `recipes/best.toml` and `recipes/paper.toml` are built in, anybody's own is a file like
//! them. Each number is a flag as well. All of them go into the checkpoint and the model card, so that a run can be
//! repeated from what it left.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::backbones::Backbone;

/// The recipes that are built in, by name.
const BUILT_IN: [(&str, &str); 2] = [
    ("best", include_str!("../../recipes/best.toml")),
    ("paper", include_str!("../../recipes/paper.toml")),
];

/// What a fine-tuning run is made of. Each number is explained in `recipes/best.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Passes over the training photos.
    pub epochs: usize,
    /// Photos a step.
    pub batch: usize,
    /// Parts of a batch that go through one after the other, their gradients accumulated.
    // Left out where it is 1, as recipes did that knew no parts.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub accumulate: usize,
    /// Steps of fitting the new head alone on the frozen features before all layers train.
    pub probe_steps: usize,
    /// Peak learning rate of AdamW.
    pub learning_rate: f64,
    /// How the learning rate goes on after its rise.
    pub schedule: Schedule,
    /// The learning rate rises over so many epochs.
    pub warm_up_epochs: f64,
    /// Decoupled weight decay of kernels.
    pub weight_decay: f64,
    /// First layers, in Keras' order, that stay as they are.
    #[serde(default)]
    pub freeze_layers: Option<usize>,
    /// Instead: the last blocks that train.
    #[serde(default)]
    pub trained_blocks: Option<usize>,
    /// Share of the new batch in the running statistics of batch norms.
    pub batch_norm_momentum: f64,
    /// Dropout before the head.
    pub dropout: f64,
    /// Share of the target spread over all classes.
    pub label_smoothing: f64,
    /// Photos are mixed by twos, by a share drawn from Beta(x, x); 0: not.
    pub mixup: f64,
    /// Times that each photo is augmented in all, what frozen layers make of it being kept; 0: anew in every epoch.
    // Left out where it is 0, as recipes did that knew no views.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub views: usize,
    /// Decay a step of the averaged weights, which are validated and kept.
    pub averaging: f64,
    /// Share of the loss that asks for the teacher's answer, where there is one.
    pub teaching: f64,
    /// Temperature of both answers there.
    pub temperature: f64,
    /// Share of the training photos that are held out to choose by, where no validation photos are given.
    pub validation_split: f64,
    /// Whether validation photos are augmented as well.
    pub augment_validation: bool,
    /// Where every random number comes from.
    pub seed: u64,
    /// Random changes of photos.
    pub augmentation: Augmentation,
}

/// How the learning rate goes on after its rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// It stays.
    Constant,
    /// It is led to zero as a cosine.
    Cosine,
}

/// Random changes of photos; a range `x` is drawn from uniformly, `-x..x`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Augmentation {
    /// Rotation in degrees.
    pub rotation_degrees: f64,
    /// Shift in both directions, share of the side.
    pub shift: f64,
    /// Shear in degrees.
    pub shear_degrees: f64,
    /// Zoom of each axis: a factor from 1-x to 1+x.
    pub zoom: f64,
    /// Share of photos flipped left to right.
    pub flip: f64,
    /// Brightness, contrast and saturation: a factor from 1-x to 1+x each.
    pub colour: f64,
}

/// Which recipe, and the numbers that the command line changes in it.
#[derive(Args, Clone, Debug, Default, Serialize)]
#[command(next_help_heading = "Recipe")]
pub struct RecipeFlags {
    /// best, paper, or a file like those (trainer/recipes); the flags below change its numbers
    #[arg(long, value_name = "NAME|FILE", default_value = "best")]
    #[serde(skip)]
    pub recipe: String,
    /// Passes over the training photos
    #[arg(long)]
    pub epochs: Option<usize>,
    /// Photos a step
    #[arg(long)]
    pub batch: Option<usize>,
    /// Parts of a batch that go through one after the other, their gradients accumulated: less memory; batch norms see a
    /// part each
    #[arg(long)]
    pub accumulate: Option<usize>,
    /// Steps of fitting the new head alone on the frozen features before all layers train
    #[arg(long)]
    pub probe_steps: Option<usize>,
    /// Peak learning rate of AdamW
    #[arg(long)]
    pub learning_rate: Option<f64>,
    /// How the learning rate goes on after its rise
    #[arg(long, value_enum)]
    pub schedule: Option<Schedule>,
    /// The learning rate rises over so many epochs
    #[arg(long)]
    pub warm_up_epochs: Option<f64>,
    /// Decoupled weight decay of kernels; biases and batch norms have none
    #[arg(long)]
    pub weight_decay: Option<f64>,
    /// First layers, in Keras' order, that stay as they are
    #[arg(long, conflicts_with = "trained_blocks")]
    pub freeze_layers: Option<usize>,
    /// Instead: the last blocks that train
    #[arg(long)]
    pub trained_blocks: Option<usize>,
    /// Share of the new batch in the running statistics of batch norms
    #[arg(long)]
    pub batch_norm_momentum: Option<f64>,
    /// Dropout before the head
    #[arg(long)]
    pub dropout: Option<f64>,
    /// Share of the target spread over all classes
    #[arg(long)]
    pub label_smoothing: Option<f64>,
    /// Photos are mixed by twos, by a share drawn from Beta(x, x); 0: not
    #[arg(long)]
    pub mixup: Option<f64>,
    /// Times that each photo is augmented in all, what frozen layers make of it being kept in memory; 0: anew in every epoch
    #[arg(long)]
    pub views: Option<usize>,
    /// Decay a step of the averaged weights, which are validated and kept
    #[arg(long)]
    pub averaging: Option<f64>,
    /// Share of the loss that asks for the teacher's answer
    #[arg(long)]
    pub teaching: Option<f64>,
    /// Temperature of both answers there
    #[arg(long)]
    pub temperature: Option<f64>,
    /// Share of the training photos that are held out to choose by, where no validation photos are given
    #[arg(long)]
    pub validation_split: Option<f64>,
    /// Whether validation photos are augmented as well
    #[arg(long)]
    pub augment_validation: Option<bool>,
    /// Where every random number comes from
    #[arg(long)]
    pub seed: Option<u64>,
    /// Random changes of photos
    #[command(flatten)]
    pub augmentation: AugmentationFlags,
}

/// The numbers of [`Augmentation`] that the command line changes.
#[derive(Args, Clone, Debug, Default, Serialize)]
pub struct AugmentationFlags {
    /// Rotation in degrees, drawn from -x..x
    #[arg(long)]
    pub rotation_degrees: Option<f64>,
    /// Shift in both directions, share of the side
    #[arg(long)]
    pub shift: Option<f64>,
    /// Shear in degrees
    #[arg(long)]
    pub shear_degrees: Option<f64>,
    /// Zoom of each axis: a factor from 1-x to 1+x
    #[arg(long)]
    pub zoom: Option<f64>,
    /// Share of photos flipped left to right
    #[arg(long)]
    pub flip: Option<f64>,
    /// Brightness, contrast and saturation: a factor from 1-x to 1+x each
    #[arg(long)]
    pub colour: Option<f64>,
}

impl RecipeFlags {
    /// The recipe with the changed numbers, checked.
    pub fn resolve(&self) -> Result<Recipe> {
        let mut recipe = Recipe::named(&self.recipe)?;
        if self.freeze_layers.is_some() {
            recipe.trained_blocks = None;
        }
        if self.trained_blocks.is_some() {
            recipe.freeze_layers = None;
        }
        recipe.changed(serde_json::to_value(self)?)
    }
}

impl Default for Recipe {
    /// `best`, as it is built in.
    fn default() -> Recipe {
        Recipe::named(BUILT_IN[0].0).expect("the recipe that is built in, which a test reads")
    }
}

impl Recipe {
    /// One that is built in, or the one in a file.
    pub fn named(name: &str) -> Result<Recipe> {
        if let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) {
            return Recipe::parse(text).with_context(|| format!("the recipe {name}"));
        }
        let path = Path::new(name);
        if !path.exists() {
            let known = BUILT_IN.map(|(name, _)| name).join(" and ");
            bail!("no recipe {name:?}: there are {known}, and any file like those");
        }
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
        Recipe::parse(&text).with_context(|| format!("{name} is no recipe"))
    }

    /// As a settings file.
    pub fn to_toml(&self) -> Result<String> {
        Ok(toml::to_string(self)?)
    }

    fn parse(text: &str) -> Result<Recipe> {
        let recipe: Recipe = toml::from_str(text)?;
        recipe.check()?;
        Ok(recipe)
    }

    /// This recipe with the numbers that `changes` holds; `null` changes nothing.
    pub fn changed(&self, changes: Value) -> Result<Recipe> {
        let mut all = serde_json::to_value(self)?;
        overlay(&mut all, changes);
        let recipe: Recipe = serde_json::from_value(all)?;
        recipe.check()?;
        Ok(recipe)
    }

    /// Refuses numbers that make no sense, by name.
    pub fn check(&self) -> Result<()> {
        let a = &self.augmentation;
        let whole = [
            ("epochs", self.epochs, 1, 100_000),
            ("batch", self.batch, 2, 65_536),
            ("accumulate", self.accumulate, 1, self.batch / 2),
            ("probe_steps", self.probe_steps, 0, 10_000_000),
            ("freeze_layers", self.freeze_layers.unwrap_or(0), 0, 100_000),
            ("trained_blocks", self.trained_blocks.unwrap_or(0), 0, 2),
            ("views", self.views, 0, 100_000),
        ];
        for (name, value, low, high) in whole {
            ensure!(
                (low..=high).contains(&value),
                "{name} is {value}; it goes from {low} to {high}"
            );
        }
        let real = [
            ("learning_rate", self.learning_rate, 0.0, 1.0),
            ("warm_up_epochs", self.warm_up_epochs, 0.0, 1000.0),
            ("weight_decay", self.weight_decay, 0.0, 1.0),
            ("batch_norm_momentum", self.batch_norm_momentum, 0.0, 1.0),
            ("dropout", self.dropout, 0.0, 0.99),
            ("label_smoothing", self.label_smoothing, 0.0, 1.0),
            ("mixup", self.mixup, 0.0, 10.0),
            ("averaging", self.averaging, 0.0, 0.999_999),
            ("teaching", self.teaching, 0.0, 1.0),
            ("temperature", self.temperature, 0.1, 100.0),
            ("validation_split", self.validation_split, 0.01, 0.9),
            ("rotation_degrees", a.rotation_degrees, 0.0, 180.0),
            ("shift", a.shift, 0.0, 1.0),
            ("shear_degrees", a.shear_degrees, 0.0, 60.0),
            ("zoom", a.zoom, 0.0, 0.9),
            ("flip", a.flip, 0.0, 1.0),
            ("colour", a.colour, 0.0, 1.0),
        ];
        for (name, value, low, high) in real {
            ensure!(
                (low..=high).contains(&value),
                "{name} is {value}; it goes from {low} to {high}"
            );
        }
        ensure!(
            self.freeze_layers.is_none() || self.trained_blocks.is_none(),
            "freeze_layers and trained_blocks say the same; give one"
        );
        ensure!(
            self.views == 0 || self.mixup == 0.0,
            "views is {} and mixup {}: what frozen layers make of two mixed photos is not the mix of what they make of \
             each, so that what is kept of views cannot be mixed; set one of them to 0",
            self.views,
            self.mixup
        );
        Ok(())
    }

    /// How many first layers of this backbone stay as they are.
    pub fn frozen(&self, backbone: Backbone) -> usize {
        match (self.freeze_layers, self.trained_blocks) {
            (Some(layers), _) => layers,
            (None, Some(blocks)) => backbone.frozen_below(blocks),
            (None, None) => backbone.frozen_by_default(),
        }
    }

    /// The learning rate after `done` epochs, a fraction among them.
    pub fn learning_rate_after(&self, done: f64) -> f64 {
        let rise = match self.warm_up_epochs {
            0.0 => 1.0,
            epochs => (done / epochs).clamp(0.01, 1.0),
        };
        let rest = match self.schedule {
            Schedule::Constant => 1.0,
            Schedule::Cosine => {
                let progress = done / self.epochs as f64;
                0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
            }
        };
        self.learning_rate * rise * rest
    }

    /// The decay of the averaged weights in a run of `steps` steps.
    pub fn averaging_decay(&self, steps: usize) -> f64 {
        self.averaging.min(1.0 - 10.0 / steps.max(10) as f64)
    }

    /// Reads a recipe of any version: what an older one did not know is as in `best`, which had no other way then.
    pub(crate) fn of_any_version<'de, D: Deserializer<'de>>(from: D) -> Result<Recipe, D::Error> {
        let stored = Value::deserialize(from)?;
        let quiet = Recipe {
            mixup: 0.0,
            teaching: 0.0,
            ..Recipe::default()
        };
        quiet.changed(stored).map_err(serde::de::Error::custom)
    }
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

fn is_one(number: &usize) -> bool {
    *number == 1
}

fn one() -> usize {
    1
}

/// Puts what `changes` holds, but for `null`, in the place of what `all` holds.
fn overlay(all: &mut Value, changes: Value) {
    match (all, changes) {
        (Value::Object(all), Value::Object(changes)) => {
            for (name, value) in changes.into_iter().filter(|(_, value)| !value.is_null()) {
                overlay(all.entry(name).or_insert(Value::Null), value);
            }
        }
        (all, value) => *all = value,
    }
}

impl Augmentation {
    /// No change at all.
    pub const NONE: Augmentation = Augmentation {
        rotation_degrees: 0.0,
        shift: 0.0,
        shear_degrees: 0.0,
        zoom: 0.0,
        flip: 0.0,
        colour: 0.0,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags() -> RecipeFlags {
        RecipeFlags {
            recipe: "paper".into(),
            ..RecipeFlags::default()
        }
    }

    #[test]
    fn the_paper_freezes_what_it_says() {
        let paper = Recipe::named("paper").unwrap();
        let frozen = Backbone::ALL.map(|backbone| paper.frozen(backbone));
        assert_eq!(frozen, [75, 135, 724, 950, 411]);
        assert_eq!((paper.epochs, paper.learning_rate), (100, 1e-4));
    }

    #[test]
    fn flags_change_numbers_and_no_others() {
        let changed = RecipeFlags {
            epochs: Some(3),
            freeze_layers: Some(10),
            augmentation: AugmentationFlags {
                zoom: Some(0.1),
                ..AugmentationFlags::default()
            },
            ..flags()
        };
        let (plain, changed) = (flags().resolve().unwrap(), changed.resolve().unwrap());
        assert_eq!(
            (changed.epochs, changed.frozen(Backbone::MobileNetV1)),
            (3, 10)
        );
        assert_eq!(changed.augmentation.zoom, 0.1);
        assert_eq!(changed.augmentation.shift, plain.augmentation.shift);
        assert_eq!(changed.batch, plain.batch);
    }

    #[test]
    fn senseless_numbers_and_unknown_names_are_named() {
        let refused = |flags: RecipeFlags| format!("{:#}", flags.resolve().unwrap_err());
        let flat = RecipeFlags {
            dropout: Some(1.5),
            ..flags()
        };
        assert!(refused(flat).contains("dropout is 1.5"));
        let nothing = RecipeFlags {
            recipe: "sorcery".into(),
            ..flags()
        };
        assert!(refused(nothing).contains("best and paper"));
        let mixed = RecipeFlags {
            views: Some(10),
            mixup: Some(0.2),
            ..flags()
        };
        let said = refused(mixed);
        assert!(said.contains("views is 10 and mixup 0.2"), "{said}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mine.toml");
        let text = BUILT_IN[1].1.replace("epochs", "epoks");
        std::fs::write(&path, text).unwrap();
        let mine = RecipeFlags {
            recipe: path.display().to_string(),
            ..flags()
        };
        let said = refused(mine);
        assert!(
            said.contains("mine.toml") && said.contains("epoks"),
            "{said}"
        );
    }

    #[test]
    fn a_recipe_is_written_as_a_file_that_reads_the_same() {
        for name in ["best", "paper"] {
            let recipe = Recipe::named(name).unwrap();
            let text = recipe.to_toml().unwrap();
            assert_eq!(Recipe::parse(&text).unwrap(), recipe);
        }
    }

    #[test]
    fn learning_rates_rise_stay_and_fall() {
        let cosine = Recipe {
            epochs: 10,
            learning_rate: 1.0,
            warm_up_epochs: 1.0,
            schedule: Schedule::Cosine,
            ..Recipe::default()
        };
        assert!(cosine.learning_rate_after(0.0) < 0.02);
        assert!(cosine.learning_rate_after(1.0) > 0.9);
        assert!(cosine.learning_rate_after(5.0) < cosine.learning_rate_after(3.0));
        assert!(cosine.learning_rate_after(10.0) < 1e-9);
        let paper = Recipe::named("paper").unwrap();
        for done in [0.0, 0.5, 99.5] {
            assert_eq!(paper.learning_rate_after(done), 1e-4);
        }
    }

    #[test]
    fn a_recipe_without_views_is_written_as_before_there_were_any() {
        let text = |views| {
            let recipe = Recipe {
                views,
                ..Recipe::default()
            };
            serde_json::to_string(&recipe).unwrap()
        };
        assert!(!text(0).contains("views") && text(3).contains("\"views\":3"));
        assert_eq!(serde_json::from_str::<Recipe>(&text(0)).unwrap().views, 0);
    }

    #[test]
    fn recipes_of_older_checkpoints_are_read() {
        #[derive(Deserialize)]
        struct Old {
            #[serde(deserialize_with = "Recipe::of_any_version")]
            recipe: Recipe,
        }
        let old =
            r#"{"recipe": {"epochs": 7, "freeze_layers": 25, "augmentation": {"zoom": 0.5}}}"#;
        let Old { recipe } = serde_json::from_str(old).unwrap();
        assert_eq!((recipe.epochs, recipe.mixup, recipe.views), (7, 0.0, 0));
        assert_eq!(
            (recipe.freeze_layers, recipe.augmentation.zoom),
            (Some(25), 0.5)
        );
    }
}
