//! The numbers of a training run, in one place.
//!
//! Defaults stand here, each number is a flag that refuses what makes no sense, and all of them go into the checkpoint
//! and the model card, so that a run can be repeated from what it left.

use clap::Args;
use clap::builder::RangedU64ValueParser;
use serde::{Deserialize, Serialize};

use crate::backbones::Backbone;

/// Whole numbers from `low` to `high`.
fn whole(low: u64, high: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(low..=high)
}

/// Numbers from 0 to `HIGH`.
fn from_to<const HIGH: u32>(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if (0.0..=f64::from(HIGH)).contains(&value) {
        return Ok(value);
    }
    Err(format!("it goes from 0 to {HIGH}"))
}

/// What a fine-tuning run is made of.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Passes over the training photos
    #[arg(long, default_value_t = 10, value_parser = whole(1, 100_000))]
    pub epochs: usize,
    /// Photos a step
    #[arg(long, default_value_t = 32, value_parser = whole(2, 65_536))]
    pub batch: usize,
    /// Peak learning rate of AdamW (Loshchilov & Hutter 2019), reached after the first epoch and led to zero by a cosine
    #[arg(long, default_value_t = 3e-4, value_parser = from_to::<1>)]
    pub learning_rate: f64,
    /// Decoupled weight decay of kernels; biases and batch norms have none
    #[arg(long, default_value_t = 0.02, value_parser = from_to::<1>)]
    pub weight_decay: f64,
    /// Share of the target spread over all classes (Szegedy et al. 2016)
    #[arg(long, default_value_t = 0.1, value_parser = from_to::<1>)]
    pub label_smoothing: f64,
    /// Dropout before the head
    #[arg(long, default_value_t = 0.2, value_parser = from_to::<1>)]
    pub dropout: f64,
    /// Share of the new batch in the running statistics of batch norms
    #[arg(long, default_value_t = 0.05, value_parser = from_to::<1>)]
    pub batch_norm_momentum: f64,
    /// Decay a step of the averaged weights, which are what is validated and kept; short runs take less, so that the
    /// average never reaches further back than a tenth of the run
    #[arg(long, default_value_t = 0.99, value_parser = from_to::<1>)]
    pub averaging: f64,
    /// First layers, in Keras' order, that stay as they are. Where not given, the backbone's stem and first blocks
    /// (mobilenet_v1: 25 layers): edges and colours that need no fitting, and more than half of the time of a step
    #[arg(long, value_parser = whole(0, 100_000))]
    pub freeze_layers: Option<usize>,
    /// Steps of fitting the new head alone on the frozen features before all layers train (LP-FT, Kumar et al. 2022)
    #[arg(long, default_value_t = 600, value_parser = whole(1, 10_000_000))]
    pub probe_steps: usize,
    /// Augmentation
    #[command(flatten)]
    pub augmentation: Augmentation,
    /// Where every random number comes from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Random changes of training photos; a range `x` is drawn from uniformly, `-x..x`.
#[derive(Args, Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Augmentation {
    /// Rotation in degrees
    #[arg(long, default_value_t = 25.0, value_parser = from_to::<180>)]
    pub rotation_degrees: f64,
    /// Shift in both directions, share of the side
    #[arg(long, default_value_t = 0.1, value_parser = from_to::<1>)]
    pub shift: f64,
    /// Shear in degrees
    #[arg(long, default_value_t = 10.0, value_parser = from_to::<60>)]
    pub shear_degrees: f64,
    /// Zoom of each axis: a factor from 1-x to 1+x
    #[arg(long, default_value_t = 0.25, value_parser = from_to::<1>)]
    pub zoom: f64,
    /// Share of photos flipped left to right
    #[arg(long, default_value_t = 0.5, value_parser = from_to::<1>)]
    pub flip: f64,
    /// Brightness, contrast and saturation: a factor from 1-x to 1+x each
    #[arg(long, default_value_t = 0.3, value_parser = from_to::<1>)]
    pub colour: f64,
}

/// For the command line to parse a recipe on its own.
#[derive(clap::Parser)]
struct Flags {
    #[command(flatten)]
    recipe: Recipe,
}

impl Default for Recipe {
    /// The recipe without any flag.
    fn default() -> Recipe {
        <Flags as clap::Parser>::parse_from(["fit"]).recipe
    }
}

impl Recipe {
    /// How many first layers of this backbone stay as they are.
    pub fn frozen(&self, backbone: Backbone) -> usize {
        self.freeze_layers
            .unwrap_or_else(|| backbone.frozen_by_default())
    }

    /// The decay of the averaged weights in a run of `steps` steps.
    pub fn averaging_decay(&self, steps: usize) -> f64 {
        self.averaging.min(1.0 - 10.0 / steps.max(10) as f64)
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
