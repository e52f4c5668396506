//! The backbones: each a settings table and small builders over [`Graph`](crate::graph::Graph), and the head they share.
//!
//! A backbone knows its network, its normalization and its name; it knows nothing of libtorch, files or categories.

pub mod densenet;
mod layers;
mod mobilenet_v1;
mod mobilenet_v2;
mod nasnet;

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail, ensure};

use crate::graph::{Graph, Op};

/// The networks that can be trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backbone {
    /// MobileNetV1, width 1.0.
    MobileNetV1,
    /// MobileNetV2, width 1.0.
    MobileNetV2,
    /// NASNet-A (4 @ 1056).
    NasNetMobile,
    /// NASNet-A (6 @ 4032).
    NasNetLarge,
    /// DenseNet121.
    DenseNet121,
}

/// How u8 pixels become the network's numbers.
///
/// ImageNet weights expect `(pixel - mean[c]) / deviation[c]`. The photo is one tensor with one zero point and one
/// scale, so a network here reads `(pixel - zero_point) / scale`; importing weights folds the difference into the first
/// convolution ([`crate::keras::recentre`]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalization {
    /// Grey level that the weights expect as zero, for red, green and blue.
    pub mean: [f32; 3],
    /// Grey levels a unit that the weights expect, for red, green and blue.
    pub deviation: [f32; 3],
    /// Grey levels a unit of the photo's tensor, the same for all three.
    pub scale: f32,
}

/// keras-applications' mode `tf`: -1 to 1.
const TF: Normalization = Normalization {
    mean: [127.5; 3],
    deviation: [127.5; 3],
    scale: 127.5,
};

/// keras-applications' mode `torch`, torchvision's too: mean and standard deviation of ImageNet, as shares of 255.
const TORCH: Normalization = Normalization {
    mean: [0.485 * 255.0, 0.456 * 255.0, 0.406 * 255.0],
    deviation: [0.229 * 255.0, 0.224 * 255.0, 0.225 * 255.0],
    scale: 0.226 * 255.0,
};

impl Normalization {
    /// The grey level of the padding, and the zero point of the exported input: the three means' mean, rounded half up.
    pub fn zero_point(&self) -> u8 {
        let mean = self.mean.iter().sum::<f32>() / 3.0;
        (mean + 0.5).floor().clamp(0.0, 255.0) as u8
    }
}

impl Backbone {
    /// All of them, in the order of reports.
    pub const ALL: [Backbone; 5] = [
        Backbone::MobileNetV1,
        Backbone::MobileNetV2,
        Backbone::NasNetMobile,
        Backbone::NasNetLarge,
        Backbone::DenseNet121,
    ];

    /// The name used on command lines, in checkpoints and in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Backbone::MobileNetV1 => "mobilenet_v1",
            Backbone::MobileNetV2 => "mobilenet_v2",
            Backbone::NasNetMobile => "nasnet_mobile",
            Backbone::NasNetLarge => "nasnet_large",
            Backbone::DenseNet121 => "densenet121",
        }
    }

    /// The normalization that its ImageNet weights were trained with.
    pub fn normalization(self) -> Normalization {
        match self {
            Backbone::DenseNet121 => TORCH,
            _ => TF,
        }
    }

    /// Side of the input that its ImageNet weights were trained on, in pixels.
    pub fn default_size(self) -> u32 {
        match self {
            Backbone::NasNetLarge => 331,
            _ => 224,
        }
    }

    /// First layers, in Keras' order, that stay as they are where nothing else is asked for: edges and colours that need
    /// no fitting, and a large part of the time of a step.
    pub fn frozen_by_default(self) -> usize {
        match self {
            Backbone::MobileNetV1 => 25,   // stem and three blocks
            Backbone::MobileNetV2 => 28,   // stem and three blocks
            Backbone::NasNetMobile => 111, // both stem cells
            Backbone::NasNetLarge => 111,  // both stem cells
            Backbone::DenseNet121 => 53,   // stem and first dense block, transition included
        }
    }

    /// First layers, in Keras 2.2.4's order, that stay as they are where the last `blocks` blocks train: none, one, or
    /// the paper's two. What the paper froze leaves NASNetMobile one cell for both.
    pub fn frozen_below(self, blocks: usize) -> usize {
        let [none, one, two] = match self {
            Backbone::MobileNetV1 => [87, 81, 75],
            Backbone::MobileNetV2 => [155, 144, 135],
            Backbone::NasNetMobile => [769, 724, 724],
            Backbone::NasNetLarge => [1039, 994, 950],
            Backbone::DenseNet121 => [427, 418, 411],
        };
        match blocks {
            0 => none,
            1 => one,
            _ => two,
        }
    }

    /// Refuses sizes of input that the network cannot have.
    pub fn check_size(self, size: u32) -> Result<()> {
        ensure!(
            size >= SMALLEST_SIZE,
            "{self} halves its input five times: {size} px would leave nothing, the smallest input is {SMALLEST_SIZE} px"
        );
        Ok(())
    }

    /// The network without top: `[size, size, 3]` to its last feature map. `size` is one that
    /// [`check_size`](Backbone::check_size) accepts.
    pub fn features(self, size: usize) -> Graph {
        match self {
            Backbone::MobileNetV1 => mobilenet_v1::features(size),
            Backbone::MobileNetV2 => mobilenet_v2::features(size),
            Backbone::NasNetMobile => nasnet::features(&nasnet::MOBILE, size),
            Backbone::NasNetLarge => nasnet::features(&nasnet::LARGE, size),
            Backbone::DenseNet121 => densenet::features(size),
        }
    }

    /// The trunk as the head sees it: features and their global average, `[1, 1, channels]`.
    pub fn pooled(self, size: usize) -> Graph {
        let mut graph = self.features(size);
        graph.push("pool", Op::GlobalAveragePool, graph.output());
        graph
    }

    /// The whole classifier: features, global average pool, dropout, dense. Its output are logits.
    pub fn classifier(self, size: usize, classes: usize, dropout: f64) -> Graph {
        let mut graph = self.pooled(size);
        let dropped = graph.push("dropout", Op::Dropout { rate: dropout }, graph.output());
        graph.push(HEAD, Op::Dense { units: classes }, dropped);
        graph
    }
}

/// Smallest side of an input in pixels, as in Keras.
pub const SMALLEST_SIZE: u32 = 32;

/// Name of the head's dense layer.
pub const HEAD: &str = "logits";

impl fmt::Display for Backbone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Backbone {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Backbone> {
        match Backbone::ALL.iter().find(|b| b.name() == name) {
            Some(&backbone) => Ok(backbone),
            None => bail!(
                "no backbone {name:?}; there are: {}",
                Backbone::ALL.map(Backbone::name).join(", ")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frozen_by_default_are_whole_blocks() {
        for (backbone, last) in [
            (Backbone::MobileNetV1, "conv_pad_4"),
            (Backbone::MobileNetV2, "block_2_add"),
            (Backbone::NasNetMobile, "reduction_concat_stem_2"),
            (Backbone::NasNetLarge, "reduction_concat_stem_2"),
            (Backbone::DenseNet121, "pool2_pool"),
        ] {
            let graph = backbone.features(64);
            let at = graph.find(last).unwrap();
            assert_eq!(backbone.frozen_by_default(), at + 1, "{backbone}");
        }
    }

    #[test]
    fn trained_blocks_begin_where_blocks_do() {
        for (backbone, first) in [
            (Backbone::MobileNetV1, "conv_dw_13"),
            (Backbone::MobileNetV2, "block_16_expand"),
            (Backbone::DenseNet121, "conv5_block16_0_bn"),
        ] {
            let graph = backbone.features(64);
            assert_eq!(graph.layers[backbone.frozen_below(1)].name, first);
        }
        for backbone in Backbone::ALL {
            let layers = backbone.features(64).layers.len();
            assert_eq!(backbone.frozen_below(0), layers, "{backbone}");
        }
    }

    #[test]
    fn every_layer_has_a_name_of_its_own() {
        for backbone in Backbone::ALL {
            let graph = backbone.classifier(96, 10, 0.1);
            let names: std::collections::BTreeSet<&str> =
                graph.layers.iter().map(|l| l.name.as_str()).collect();
            assert_eq!(names.len(), graph.layers.len(), "{backbone}");
        }
    }

    #[test]
    fn inputs_too_small_are_refused() {
        assert!(Backbone::NasNetLarge.check_size(32).is_ok());
        let message = Backbone::DenseNet121
            .check_size(31)
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("densenet121") && message.contains("32 px"),
            "{message}"
        );
    }
}
