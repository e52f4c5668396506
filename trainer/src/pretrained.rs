//! Reads ImageNet weights of a backbone without top: from Keras' `.h5`, from this trainer's own safetensors, and from
//! torchvision's or timm's safetensors where they hold the same network.
//!
//! DenseNet121 is the same network everywhere but for the batch norms' epsilon, which moves into the variances. The
//! MobileNets and NASNet pad otherwise there: they would load, and see every map a pixel off, so they are refused.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::backbones::{Backbone, HEAD, densenet};
use crate::graph::Graph;
use crate::keras;
use crate::weights::{self, Weights, shapes};

/// What is said of a network's first weights where no file gave them ([`weights::initial`]).
pub const FROM_SCRATCH: &str = "from scratch";

/// torch's epsilon of batch norms.
const TORCH_EPSILON: f64 = 1e-5;

/// The weights of `backbone`'s features, reading `(pixel - zero point) / scale` (see [`keras::recentre`]).
///
/// Errors: a size that the network cannot have, an unreadable file, one that does not fit (the first three names that
/// differ are told), torch weights of a network that pads otherwise.
pub fn load(backbone: Backbone, path: &Path, size: u32) -> Result<Weights> {
    backbone.check_size(size)?;
    let graph = backbone.features(size as usize);
    match path.extension().and_then(|e| e.to_str()) {
        Some("h5" | "hdf5") => {
            let mut weights = keras::import(path, &graph)?;
            keras::recentre(&mut weights, &graph, backbone.normalization())?;
            Ok(weights)
        }
        Some("safetensors") => {
            let (weights, _) = weights::load(path)?;
            from_safetensors(backbone, &graph, weights)
                .with_context(|| format!("cannot use the weights {}", path.display()))
        }
        _ => bail!(
            "{}: weights are .h5 (Keras) or .safetensors files",
            path.display()
        ),
    }
}

fn from_safetensors(backbone: Backbone, graph: &Graph, mut weights: Weights) -> Result<Weights> {
    let named = |begin: &str| weights.keys().any(|name| name.starts_with(begin));
    match backbone {
        Backbone::DenseNet121 if named("features.conv0.") => {
            let mut weights = densenet_from_torch(graph, weights)?;
            graph.check_weights(shapes(&weights))?;
            keras::recentre(&mut weights, graph, backbone.normalization())?;
            return Ok(weights);
        }
        Backbone::MobileNetV1 | Backbone::MobileNetV2
            if named("conv_stem.") || named("features.0.0.") =>
        {
            bail!(
                "torchvision's and timm's MobileNets pad one pixel on all sides where they step by two, Keras' only \
                 below and to the right: another network, which these weights were not trained for"
            );
        }
        Backbone::NasNetLarge | Backbone::NasNetMobile if named("cell_stem_0.") => {
            bail!(
                "timm's NASNet leaves the border out of its largest-value pools, Keras' counts it as zeros: another \
                 network, which these weights were not trained for"
            );
        }
        _ => {}
    }
    // A checkpoint of ours has a head, which belongs to other categories.
    weights.retain(|name, _| !name.starts_with(&format!("{HEAD}.")));
    graph.check_weights(shapes(&weights))?;
    Ok(weights)
}

/// Gives DenseNet121's weights our names, and its batch norms Keras' epsilon. Arrays unknown to the network keep their
/// names, for `check_weights` to report.
fn densenet_from_torch(graph: &Graph, theirs: Weights) -> Result<Weights> {
    let mut weights = Weights::new();
    for (name, mut array) in theirs {
        // Files of the first torchvision write `norm.1`.
        let name = ["norm.1", "norm.2", "conv.1", "conv.2"]
            .iter()
            .fold(name, |name, old| name.replace(old, &old.replace('.', "")));
        if name.starts_with("classifier.") {
            continue;
        }
        if name.ends_with(".running_var") {
            let more = TORCH_EPSILON - densenet::EPSILON;
            for value in &mut array.data {
                *value = (f64::from(*value) + more) as f32;
            }
        }
        weights.insert(name, array);
    }
    for parameter in graph.parameters() {
        let (layer, suffix) = parameter
            .name
            .rsplit_once('.')
            .context("a parameter without a layer")?;
        let theirs = format!("{}.{suffix}", torch_name(layer));
        if let Some(array) = weights.remove(&theirs) {
            weights.insert(parameter.name, array);
        }
    }
    Ok(weights)
}

/// What torchvision and timm call a layer of DenseNet121.
fn torch_name(layer: &str) -> String {
    let numbered =
        |text: &str, begin: &str| -> Option<usize> { text.strip_prefix(begin)?.parse().ok() };
    let name = match layer {
        "conv1_conv" => Some("conv0".to_owned()),
        "conv1_bn" => Some("norm0".to_owned()),
        "bn" => Some("norm5".to_owned()),
        _ => match *layer.split('_').collect::<Vec<_>>() {
            [stage, block, place, kind] => {
                let part = match (place, kind) {
                    ("0", "bn") => "norm1",
                    ("1", "conv") => "conv1",
                    ("1", "bn") => "norm2",
                    _ => "conv2",
                };
                let stage = numbered(stage, "conv");
                stage.zip(numbered(block, "block")).map(|(stage, layer)| {
                    format!("denseblock{}.denselayer{layer}.{part}", stage - 1)
                })
            }
            [pool, kind] => numbered(pool, "pool").map(|pool| {
                let part = if kind == "bn" { "norm" } else { "conv" };
                format!("transition{}.{part}", pool - 1)
            }),
            _ => None,
        },
    };
    format!("features.{}", name.unwrap_or_else(|| layer.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::{Array, random, save};
    use std::collections::HashMap;

    /// DenseNet121's weights with torch's names and epsilon.
    fn torch_weights(ours: &Weights) -> Weights {
        let renamed = ours.iter().map(|(name, array)| {
            let (layer, suffix) = name.rsplit_once('.').unwrap();
            let mut array = array.clone();
            if suffix == "running_var" {
                let more = (densenet::EPSILON - TORCH_EPSILON) as f32;
                array.data.iter_mut().for_each(|v| *v += more);
            }
            (format!("{}.{suffix}", torch_name(layer)), array)
        });
        renamed.collect()
    }

    fn written(weights: &Weights) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("theirs.safetensors");
        save(&path, weights, HashMap::new()).unwrap();
        (dir, path)
    }

    fn one_array(name: &str) -> Weights {
        Weights::from([(name.to_owned(), Array::new([1], vec![0.0]))])
    }

    #[test]
    fn torch_names_of_densenet_are_understood() {
        assert_eq!(
            torch_name("conv4_block13_1_bn"),
            "features.denseblock3.denselayer13.norm2"
        );
        assert_eq!(torch_name("pool3_conv"), "features.transition2.conv");
        let backbone = Backbone::DenseNet121;
        let graph = backbone.features(224);
        let ours = random(&graph, 9);
        let mut theirs = torch_weights(&ours);
        theirs.insert(
            "classifier.weight".into(),
            Array::new([2, 1024], vec![0.0; 2048]),
        );
        let (_dir, path) = written(&theirs);
        let loaded = load(backbone, &path, 224).unwrap();
        let mut expected = ours;
        keras::recentre(&mut expected, &graph, backbone.normalization()).unwrap();
        assert_eq!(loaded.len(), expected.len());
        for (name, array) in &expected {
            let same =
                |(a, b): (&f32, &f32)| a == b || name.ends_with("var") && (a - b).abs() < 1e-7 * a;
            let found = &loaded[name];
            assert_eq!(found.shape, array.shape, "{name}");
            assert!(found.data.iter().zip(&array.data).all(same), "{name}");
        }
        // What the first torchvision wrote.
        let old = |(name, array): (String, Array)| {
            let dotted = [("norm1.", "norm.1."), ("norm2.", "norm.2.")];
            let dotted = dotted
                .iter()
                .fold(name, |n, (new, old)| n.replace(new, old));
            (dotted, array)
        };
        let (_dir, path) = written(&theirs.into_iter().map(old).collect());
        assert_eq!(load(backbone, &path, 224).unwrap(), loaded);
    }

    #[test]
    fn our_own_files_are_read_without_their_head() {
        let backbone = Backbone::MobileNetV2;
        let weights = random(&backbone.classifier(64, 3, 0.0), 2);
        let (_dir, path) = written(&weights);
        let loaded = load(backbone, &path, 64).unwrap();
        assert_eq!(loaded.len() + 2, weights.len());
        assert!(loaded.iter().all(|(name, array)| weights[name] == *array));
    }

    #[test]
    fn what_is_another_network_is_refused_with_the_reason() {
        for (backbone, name, reason) in [
            (Backbone::MobileNetV1, "conv_stem.weight", "pad one pixel"),
            (
                Backbone::MobileNetV2,
                "features.0.0.weight",
                "pad one pixel",
            ),
            (
                Backbone::NasNetLarge,
                "cell_stem_0.conv_1x1.conv.weight",
                "largest-value pools",
            ),
        ] {
            let (_dir, path) = written(&one_array(name));
            let message = format!("{:#}", load(backbone, &path, 224).unwrap_err());
            assert!(
                message.contains(reason) && message.contains("theirs.safetensors"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_file_that_does_not_fit_is_refused_with_three_names() {
        let graph = Backbone::DenseNet121.features(224);
        let mut theirs = torch_weights(&random(&graph, 9));
        // DenseNet169 has 32 layers in its third block.
        theirs.insert(
            "features.denseblock3.denselayer25.norm1.weight".into(),
            Array::new([1], vec![0.0]),
        );
        theirs.remove("features.norm5.bias");
        let (_dir, path) = written(&theirs);
        let message = format!("{:#}", load(Backbone::DenseNet121, &path, 224).unwrap_err());
        for part in [
            "bn.bias [1024] is missing",
            "features.denseblock3.denselayer25.norm1.weight is not in the network",
        ] {
            assert!(message.contains(part), "{message}");
        }
        let (_dir, path) = written(&one_array("something.weight"));
        let message = format!(
            "{:#}",
            load(Backbone::NasNetMobile, &path, 224).unwrap_err()
        );
        assert!(
            message.contains("stem_conv1.weight [32, 3, 3, 3] is missing")
                && message.contains("more"),
            "{message}"
        );
        assert_eq!(message.matches("is missing").count(), 3, "{message}");
    }
}
