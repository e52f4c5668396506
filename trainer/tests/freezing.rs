//! A training step moves what is not frozen, and nothing else: weights and running statistics, of every backbone, with
//! as many layers frozen as the paper froze.

use etalase_trainer::backbones::{Backbone, HEAD};
use etalase_trainer::graph::Graph;
use etalase_trainer::network::{Mode, Network, Precision};
use etalase_trainer::train::optimizer::AdamW;
use etalase_trainer::weights;
use tch::{Device, Kind, Tensor};

/// Layers whose stored values one step moved, and those that it left.
fn step(graph: &Graph, frozen: usize) -> (Vec<usize>, Vec<usize>) {
    let before = weights::random(graph, 3);
    let mut network = Network::new(graph.clone(), &before, Device::Cpu, Precision::F32).unwrap();
    network.freeze(frozen).unwrap();
    let mut adamw = AdamW::new(network.named(), 0.02);
    tch::manual_seed(4);
    let photos = Tensor::rand([4, 64, 64, 3], (Kind::Float, Device::Cpu)) * 2.0 - 1.0;
    let mode = Mode::Train { momentum: 0.1 };
    let logits = network.forward(&photos, mode).unwrap().flatten(1, -1);
    let loss = logits.cross_entropy_for_logits(&Tensor::from_slice(&[0_i64, 1, 2, 0]));
    adamw.backward_step(&loss, 1e-3);
    let (mut moved, mut left) = (Vec::new(), Vec::new());
    for id in 0..graph.layers.len() {
        for parameter in graph.layer_parameters(id) {
            let after = network.parameter(&parameter.name).unwrap();
            let after = Vec::<f32>::try_from(after.detach().flatten(0, -1)).unwrap();
            let same = before[&parameter.name].data == after;
            if same { &mut left } else { &mut moved }.push(id);
        }
    }
    (moved, left)
}

#[test]
fn one_step_moves_only_what_is_not_frozen() {
    for (backbone, frozen) in [
        (Backbone::MobileNetV1, 75),
        (Backbone::MobileNetV2, 135),
        (Backbone::NasNetMobile, 724),
        (Backbone::NasNetLarge, 950),
        (Backbone::DenseNet121, 411),
    ] {
        let graph = backbone.classifier(64, 3, 0.0);
        let (moved, left) = step(&graph, frozen);
        let name = |id: &usize| graph.layers[*id].name.clone();
        let thawed: Vec<String> = moved.iter().filter(|id| **id < frozen).map(name).collect();
        assert!(
            thawed.is_empty(),
            "{backbone}: frozen, but moved: {thawed:?}"
        );
        let stuck: Vec<String> = left.iter().filter(|id| **id >= frozen).map(name).collect();
        assert!(
            stuck.is_empty(),
            "{backbone}: not frozen, but left: {stuck:?}"
        );
        assert_eq!(moved.last(), graph.find(HEAD).as_ref(), "{backbone}");
    }
}

#[test]
fn nothing_is_frozen_by_itself() {
    for backbone in [Backbone::MobileNetV2, Backbone::NasNetMobile] {
        let graph = backbone.classifier(64, 3, 0.0);
        let (moved, left) = step(&graph, 0);
        assert!(left.is_empty() && !moved.is_empty(), "{backbone}");
    }
}
