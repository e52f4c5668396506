//! Flags of a command that trains several backbones: which, from what weights, for how long.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use etalase_trainer::backbones::Backbone;

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
    /// Other numbers of epochs than the recipe's: nasnet_large=1,densenet121=2
    #[arg(long, value_name = "NAME=EPOCHS,…", value_delimiter = ',')]
    pub epochs_of: Vec<EpochsOf>,
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

/// `NAME=EPOCHS`.
#[derive(Clone, Debug, PartialEq)]
pub struct EpochsOf {
    backbone: Backbone,
    epochs: usize,
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

impl FromStr for EpochsOf {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<EpochsOf> {
        let named = text.split_once('=');
        let (name, epochs) = named.context("it is written NAME=EPOCHS")?;
        let epochs = epochs.parse().ok().filter(|&epochs| epochs > 0);
        Ok(EpochsOf {
            backbone: name.parse()?,
            epochs: epochs.context("epochs are a number from 1")?,
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

    /// The number of epochs of each backbone that has its own.
    pub fn epochs(&self) -> Result<BTreeMap<&'static str, usize>> {
        let mut own = BTreeMap::new();
        for &EpochsOf { backbone, epochs } in &self.epochs_of {
            check_trained(backbone, &self.backbones.0, "--epochs-of")?;
            let before = own.insert(backbone.name(), epochs);
            ensure!(before.is_none(), "--epochs-of names {backbone} twice");
        }
        Ok(own)
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

    fn several(backbones: &str, weights: &[&str], epochs_of: &[&str]) -> Several {
        Several {
            backbones: backbones.parse().unwrap(),
            weights: weights.iter().map(|text| text.parse().unwrap()).collect(),
            epochs_of: epochs_of.iter().map(|text| text.parse().unwrap()).collect(),
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
    fn epochs_may_differ() {
        let epochs = several("all", &[], &["nasnet_large=1", "densenet121=2"]);
        let epochs = epochs.epochs().unwrap();
        assert_eq!(epochs["nasnet_large"], 1);
        assert!(!epochs.contains_key("mobilenet_v1"));
        for wrong in [
            &["nasnet_large=1"][..],
            &["mobilenet_v1=1", "mobilenet_v1=2"],
        ] {
            assert!(several("mobilenet_v1", &[], wrong).epochs().is_err());
        }
        for wrong in ["nasnet_large", "nasnet_large=0", "nasnet=1"] {
            assert!(wrong.parse::<EpochsOf>().is_err(), "{wrong}");
        }
        assert!("mobilenet_v1,mobilenet_v1".parse::<Backbones>().is_err());
        assert!("mobilenet_v3".parse::<Backbones>().is_err());
    }
}
