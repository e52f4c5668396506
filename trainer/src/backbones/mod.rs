//! The backbones: each a settings table and small builders over [`Graph`](crate::graph::Graph), and the head they share.
//!
//! A backbone knows its network, its normalization and its name; it knows nothing of libtorch, files or categories.

mod mobilenet_v1;

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};

use crate::graph::{Graph, Op};

/// The networks that can be trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backbone {
    /// MobileNetV1, width 1.0.
    MobileNetV1,
}

/// How u8 pixels become the network's numbers: `(pixel - mean) / scale`, the same for all three channels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalization {
    /// Grey level that becomes zero.
    pub mean: f32,
    /// Grey levels a unit.
    pub scale: f32,
}

impl Normalization {
    /// The grey level of the padding, and the zero point of the exported input: the mean, rounded half up.
    pub fn zero_point(&self) -> u8 {
        (self.mean + 0.5).floor().clamp(0.0, 255.0) as u8
    }
}

impl Backbone {
    /// All of them, in the order of reports.
    pub const ALL: [Backbone; 1] = [Backbone::MobileNetV1];

    /// The name used on command lines, in checkpoints and in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Backbone::MobileNetV1 => "mobilenet_v1",
        }
    }

    /// The normalization that its ImageNet weights were trained with.
    pub fn normalization(self) -> Normalization {
        match self {
            Backbone::MobileNetV1 => Normalization {
                mean: 127.5,
                scale: 127.5,
            },
        }
    }

    /// The network without top: `[size, size, 3]` to its last feature map.
    pub fn features(self, size: usize) -> Graph {
        match self {
            Backbone::MobileNetV1 => mobilenet_v1::features(size),
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
