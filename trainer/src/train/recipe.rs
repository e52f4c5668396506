//! The numbers of a training run, in one place: defaults here, each of them a flag, all of them in the checkpoint.

use clap::Args;
use serde::{Deserialize, Serialize};

/// What a fine-tuning run is made of.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Passes over the training photos
    #[arg(long, default_value_t = 10)]
    pub epochs: usize,
    /// Photos a step
    #[arg(long, default_value_t = 32)]
    pub batch: usize,
    /// Peak learning rate of AdamW (Loshchilov & Hutter 2019), reached after the first epoch and led to zero by a cosine
    #[arg(long, default_value_t = 3e-4)]
    pub learning_rate: f64,
    /// Decoupled weight decay of kernels; biases and batch norms have none
    #[arg(long, default_value_t = 0.02)]
    pub weight_decay: f64,
    /// Share of the target spread over all classes (Szegedy et al. 2016)
    #[arg(long, default_value_t = 0.1)]
    pub label_smoothing: f64,
    /// Dropout before the head
    #[arg(long, default_value_t = 0.2)]
    pub dropout: f64,
    /// Share of the new batch in the running statistics of batch norms
    #[arg(long, default_value_t = 0.05)]
    pub batch_norm_momentum: f64,
    /// Decay a step of the averaged weights, which are what is validated and kept
    #[arg(long, default_value_t = 0.99)]
    pub averaging: f64,
    /// First layers, in Keras' order, that stay as they are. The default is MobileNetV1's stem and first three blocks:
    /// edges and colours that need no fitting, and more than half of the time of a step
    #[arg(long, default_value_t = 25)]
    pub freeze_layers: usize,
    /// Steps of fitting the new head alone on the frozen features before all layers train (LP-FT, Kumar et al. 2022)
    #[arg(long, default_value_t = 600)]
    pub probe_steps: usize,
    /// Augmentation
    #[command(flatten)]
    pub augmentation: Augmentation,
    /// Where every random number comes from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Random changes of training photos; each is drawn uniformly from `-x..x`.
#[derive(Args, Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Augmentation {
    /// Rotation in degrees
    #[arg(long, default_value_t = 25.0)]
    pub rotation_degrees: f64,
    /// Shift in both directions, share of the side
    #[arg(long, default_value_t = 0.1)]
    pub shift: f64,
    /// Shear in degrees
    #[arg(long, default_value_t = 10.0)]
    pub shear_degrees: f64,
    /// Zoom of each axis: a factor from 1-x to 1+x
    #[arg(long, default_value_t = 0.25)]
    pub zoom: f64,
    /// Share of photos flipped left to right
    #[arg(long, default_value_t = 0.5)]
    pub flip: f64,
    /// Brightness, contrast and saturation: a factor from 1-x to 1+x each
    #[arg(long, default_value_t = 0.3)]
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
