//! Flags of a command that trains several backbones: which, from what weights, by what numbers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use etalase_trainer::backbones::Backbone;
use etalase_trainer::train::recipe::Recipe;
use serde_json::{Value, json};

/// Which backbones, and what differs between them.
#[derive(Args, Clone)]
pub struct Several {
    /// Networks to train, one after the other: names with commas between, or all
    #[arg(long, value_name = "NAME,…", default_value = "mobilenet_v1")]
    pub backbones: Backbones,
    /// Weights to start from, without top: Keras' .h5, this trainer's .safetensors, or for densenet121 torchvision's or
    /// timm's .safetensors. A FILE where one backbone is trained, NAME=FILE each where several are. A backbone without
    /// is trained from scratch, all its layers
    #[arg(long, value_name = "FILE|NAME=FILE,…", value_delimiter = ',')]
    pub weights: Vec<WeightsOf>,
    /// Numbers of the recipe that are others for one network: nasnet_large.epochs=1,nasnet_large.accumulate=2
    #[arg(long, value_name = "NAME.NUMBER=VALUE,…", value_delimiter = ',')]
    pub set: Vec<Setting>,
}

/// Networks, each once.
#[derive(Clone, Debug, PartialEq)]
pub struct Backbones(pub Vec<Backbone>);

/// `FILE`, or `NAME=FILE`.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightsOf {
    backbone: Option<Backbone>,
    file: PathBuf,
}

/// `NAME.NUMBER=VALUE`.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    backbone: Backbone,
    /// As in a recipe's file.
    number: String,
    value: Value,
}

impl FromStr for Backbones {
    type Err = anyhow::Error;

    fn from_str(names: &str) -> Result<Backbones> {
        if names == "all" {
            return Ok(Backbones(Backbone::ALL.into()));
        }
        let mut backbones = Vec::new();
        for name in names.split(',') {
            let backbone: Backbone = name.trim().parse()?;
            ensure!(!backbones.contains(&backbone), "{backbone} is named twice");
            backbones.push(backbone);
        }
        Ok(Backbones(backbones))
    }
}

impl FromStr for WeightsOf {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<WeightsOf> {
        // A file's name may hold the sign too.
        let named = text
            .split_once('=')
            .and_then(|(name, file)| Some((name.parse().ok()?, file)));
        let (backbone, file) = match named {
            Some((backbone, file)) => (Some(backbone), file),
            None => (None, text),
        };
        ensure!(!file.is_empty(), "no file is named");
        Ok(WeightsOf {
            backbone,
            file: file.into(),
        })
    }
}

impl FromStr for Setting {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Setting> {
        let parts = text.split_once('=').and_then(|(place, value)| {
            let (name, number) = place.split_once('.')?;
            Some((name, number, value))
        });
        let (name, number, value) = parts.context("it is written NAME.NUMBER=VALUE")?;
        ensure!(
            !matches!(value, "" | "null"),
            "{name}.{number} is given no value"
        );
        Ok(Setting {
            backbone: name.parse()?,
            number: number.to_owned(),
            // What is no number or truth value is a name: schedule=cosine.
            value: serde_json::from_str(value).unwrap_or_else(|_| value.into()),
        })
    }
}

impl Several {
    /// The weights' file of each backbone that has one.
    ///
    /// Errors: a file without a name among several backbones, a name that is not trained or has two files.
    pub fn weights(&self) -> Result<BTreeMap<&'static str, PathBuf>> {
        let trained = self.backbones.0.as_slice();
        let mut files = BTreeMap::new();
        for WeightsOf { backbone, file } in &self.weights {
            let backbone = match (backbone, trained) {
                (Some(backbone), _) => *backbone,
                (None, [only]) => *only,
                (None, _) => bail!(
                    "--weights {}: several backbones are trained, whose are these? Write NAME={0}",
                    file.display()
                ),
            };
            check_trained(backbone, trained, "--weights")?;
            let before = files.insert(backbone.name(), file.clone());
            ensure!(before.is_none(), "--weights names two files for {backbone}");
        }
        Ok(files)
    }

    /// The recipe of each backbone: `recipe`, with the numbers that are others for it.
    pub fn recipes(&self, recipe: &Recipe) -> Result<BTreeMap<&'static str, Recipe>> {
        let trained = self.backbones.0.iter();
        let mut recipes: BTreeMap<&'static str, Recipe> =
            trained.map(|b| (b.name(), recipe.clone())).collect();
        for (at, setting) in self.set.iter().enumerate() {
            check_trained(setting.backbone, &self.backbones.0, "--set")?;
            let place = |s: &Setting| (s.backbone, s.number.clone());
            let before = self.set[..at].iter().any(|s| place(s) == place(setting));
            ensure!(
                !before,
                "--set names {}.{} twice",
                setting.backbone,
                setting.number
            );
            let Some(recipe) = recipes.get_mut(setting.backbone.name()) else {
                continue;
            };
            let Setting { number, value, .. } = setting;
            let nested = number.rsplit('.');
            let changes = nested.fold(value.clone(), |value, name| json!({ name: value }));
            *recipe = recipe
                .changed(changes)
                .with_context(|| format!("--set {}.{number}={value}", setting.backbone))?;
        }
        Ok(recipes)
    }
}

fn check_trained(backbone: Backbone, trained: &[Backbone], flag: &str) -> Result<()> {
    let names: Vec<&str> = trained.iter().map(|b| b.name()).collect();
    ensure!(
        trained.contains(&backbone),
        "{flag} names {backbone}, --backbones does not: {}",
        names.join(",")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn several(backbones: &str, weights: &[&str], set: &[&str]) -> Several {
        Several {
            backbones: backbones.parse().unwrap(),
            weights: weights.iter().map(|text| text.parse().unwrap()).collect(),
            set: set.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn weights_belong_to_the_one_that_is_named_or_alone() {
        let one = several("mobilenet_v2", &["a=b.h5"], &[]);
        assert_eq!(
            one.weights().unwrap()["mobilenet_v2"],
            PathBuf::from("a=b.h5")
        );
        let two = several("all", &["mobilenet_v1=a.h5", "nasnet_large=b.h5"], &[]);
        let weights = two.weights().unwrap();
        assert_eq!(weights.len(), 2);
        assert_eq!(weights["nasnet_large"], PathBuf::from("b.h5"));
        let said = |flags: Several| flags.weights().unwrap_err().to_string();
        assert!(said(several("all", &["a.h5"], &[])).contains("NAME=a.h5"));
        assert!(said(several("mobilenet_v1", &["densenet121=a.h5"], &[])).contains("densenet121"));
        assert!(said(several("mobilenet_v1", &["a.h5", "b.h5"], &[])).contains("two files"));
    }

    #[test]
    fn numbers_may_differ() {
        let plain = Recipe::default();
        let of = |settings: &[&str]| several("all", &[], settings).recipes(&plain);
        let recipes = of(&[
            "nasnet_large.epochs=1",
            "nasnet_large.accumulate=2",
            "densenet121.schedule=constant",
            "densenet121.augmentation.zoom=0.5",
        ]);
        let recipes = recipes.unwrap();
        let large = &recipes["nasnet_large"];
        assert_eq!((large.epochs, large.accumulate), (1, 2));
        assert_eq!(recipes["densenet121"].augmentation.zoom, 0.5);
        assert_eq!(recipes["mobilenet_v1"], plain);
        let said = |setting: &str| format!("{:#}", of(&[setting]).unwrap_err());
        let unknown = said("nasnet_large.epoks=1");
        assert!(
            unknown.contains("--set nasnet_large.epoks=1") && unknown.contains("unknown field")
        );
        assert!(said("nasnet_large.epochs=0").contains("epochs is 0"));
        let twice = of(&["densenet121.epochs=1", "densenet121.epochs=2"]);
        assert!(
            twice
                .unwrap_err()
                .to_string()
                .contains("densenet121.epochs twice")
        );
        let one = several("mobilenet_v1", &[], &["nasnet_large.epochs=1"]);
        assert!(
            one.recipes(&plain)
                .unwrap_err()
                .to_string()
                .contains("--set names nasnet_large")
        );
        for wrong in [
            "nasnet_large",
            "nasnet_large.epochs",
            "nasnet_large.epochs=",
            "nasnet_large.epochs=null",
            "nasnet.epochs=1",
        ] {
            assert!(wrong.parse::<Setting>().is_err(), "{wrong}");
        }
        assert!("mobilenet_v1,mobilenet_v1".parse::<Backbones>().is_err());
        assert!("mobilenet_v3".parse::<Backbones>().is_err());
    }
}
