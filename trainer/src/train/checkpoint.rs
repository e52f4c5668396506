//! A trained network as one safetensors file: weights, and in its header all that is needed to use them.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use etalase::preprocess::Preprocess;
use serde::{Deserialize, Serialize};

use super::recipe::Recipe;
use crate::backbones::Backbone;
use crate::fold::{centre_logits, fold};
use crate::graph::Graph;
use crate::weights::{self, Weights, shapes};

/// Key of the description in the file's metadata.
const KEY: &str = "etalase";

/// What a checkpoint says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Backbone's name.
    pub backbone: String,
    /// Categories, in the order of the logits.
    pub classes: Vec<String>,
    /// How photos become the network's input.
    pub preprocess: Preprocess,
    /// Epoch that was kept, from 1; 0 before any training.
    pub epoch: usize,
    /// Accuracy on the validation photos then.
    pub validation_accuracy: f64,
    /// How it was trained.
    #[serde(deserialize_with = "Recipe::of_any_version")]
    pub recipe: Recipe,
}

/// A trained classifier. Its weights read `(pixel - zero point) / scale`, see [`crate::keras::recentre`].
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// What it is.
    pub description: Description,
    /// Its weights.
    pub weights: Weights,
}

impl Checkpoint {
    /// The backbone.
    pub fn backbone(&self) -> Result<Backbone> {
        self.description.backbone.parse()
    }

    /// The network that the weights belong to.
    pub fn graph(&self) -> Result<Graph> {
        let Description {
            preprocess,
            classes,
            recipe,
            ..
        } = &self.description;
        self.backbone()?.check_size(preprocess.width)?;
        Ok(self
            .backbone()?
            .classifier(preprocess.width as usize, classes.len(), recipe.dropout))
    }

    /// The network as it is exported and quantized: folded, its logits about their mean.
    pub fn folded(&self) -> Result<(Graph, Weights)> {
        let (graph, mut weights) = fold(&self.graph()?, &self.weights)?;
        centre_logits(&graph, &mut weights)?;
        Ok((graph, weights))
    }

    /// Writes the file, whole or not at all.
    pub fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string(&self.description)?;
        weights::save(path, &self.weights, HashMap::from([(KEY.to_owned(), text)]))
    }

    /// Reads a checkpoint and checks that its weights fit its network.
    pub fn load(path: &Path) -> Result<Checkpoint> {
        let (weights, metadata) = weights::load(path)?;
        let read = || -> Result<Checkpoint> {
            let text = metadata
                .get(KEY)
                .context("it was not written by this trainer")?;
            let description: Description =
                serde_json::from_str(text).context("its description is damaged")?;
            let checkpoint = Checkpoint {
                description,
                weights,
            };
            let input = &checkpoint.description.preprocess;
            input.check()?;
            ensure!(
                *input == Preprocess::u8_nhwc(input.width, input.width, input.fit),
                "its input is not square u8 NHWC"
            );
            checkpoint
                .graph()?
                .check_weights(shapes(&checkpoint.weights))?;
            Ok(checkpoint)
        };
        read().with_context(|| format!("{} is no usable checkpoint", path.display()))
    }
}
