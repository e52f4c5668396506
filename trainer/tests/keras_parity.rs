//! The backbones against Keras: layers in Keras' order, parameters, forward passes.
//!
//! What Keras computed comes from `tests/reference/write_keras_parity.py` (random weights, real sizes), which
//! `cargo xtask test` runs and names in `ETALASE_KERAS_PARITY`; and, on real ImageNet weights
//! (`ETALASE_DATA/weights/mobilenet_1_0_224_tf_no_top.h5`), from `tests/reference/make_mobilenet_v1_golden.py`.

use std::path::{Path, PathBuf};

use etalase_trainer::backbones::Backbone;
use etalase_trainer::graph::Graph;
use etalase_trainer::keras;
use etalase_trainer::network::{Mode, Network, Precision, to_array};
use etalase_trainer::weights::Weights;
use tch::{Device, Kind, Tensor, no_grad};

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/goldens/mobilenet_v1")
}

fn weights_file() -> PathBuf {
    let data = std::env::var_os("ETALASE_DATA")
        .expect("ETALASE_DATA names the folder of photos and weights");
    Path::new(&data).join("weights/mobilenet_1_0_224_tf_no_top.h5")
}

fn written_by_keras(file: &str) -> PathBuf {
    let folder = std::env::var_os("ETALASE_KERAS_PARITY").expect(
        "ETALASE_KERAS_PARITY names what tests/reference/write_keras_parity.py wrote; cargo xtask test sets it",
    );
    Path::new(&folder).join(file)
}

/// Grey levels as ImageNet weights expect them, colour by colour.
fn normalized(backbone: Backbone, pixels: &Tensor) -> Tensor {
    let normalization = backbone.normalization();
    (pixels.to_kind(Kind::Float) - Tensor::from_slice(&normalization.mean))
        / Tensor::from_slice(&normalization.deviation)
}

fn features(graph: Graph, weights: &Weights, input: &Tensor) -> Tensor {
    let network = Network::new(graph, weights, Device::Cpu, Precision::F32).unwrap();
    no_grad(|| network.forward(input, Mode::Eval)).unwrap()
}

#[test]
fn all_backbones_equal_keras() {
    for backbone in Backbone::ALL {
        let graph = backbone.features(backbone.default_size() as usize);
        let facts = std::fs::read(written_by_keras(&format!("{backbone}.json"))).unwrap();
        let facts: serde_json::Value = serde_json::from_slice(&facts).unwrap();
        assert_eq!(
            graph.parameter_count() as u64,
            facts["count_params"].as_u64().unwrap(),
            "{backbone}"
        );
        // Keras 2.2.4, whose order freezing counts by, has one layer more in front of the first convolution of both
        // MobileNets, and calls the input otherwise.
        let only_in_keras_2 = ["conv1_pad", "Conv1_pad"];
        let names = graph.layers.iter().skip(1).map(|l| l.name.as_str());
        let ours: Vec<&str> = names.filter(|n| !only_in_keras_2.contains(n)).collect();
        let layers = facts["layers"].as_array().unwrap().iter().skip(1);
        let theirs: Vec<&str> = layers.map(|name| name.as_str().unwrap()).collect();
        assert_eq!(ours, theirs, "{backbone}");

        let weights = keras::import(&written_by_keras(&format!("{backbone}.h5")), &graph).unwrap();
        let read = |what: &str| {
            Tensor::read_npy(written_by_keras(&format!("{backbone}_{what}.npy"))).unwrap()
        };
        let expected = read("features");
        let got = features(graph, &weights, &normalized(backbone, &read("input")));
        assert_eq!(got.size(), expected.size(), "{backbone}");
        let largest = expected.abs().max().double_value(&[]);
        let difference = (got - expected).abs().max().double_value(&[]) / largest;
        println!("{backbone}: max abs difference {difference:e} of the largest feature, {largest}");
        assert!(
            largest > 0.1 && difference <= 1e-4,
            "{backbone}: {difference}"
        );
    }
}

#[test]
fn mobilenet_v1_equals_keras_on_imagenet_weights() {
    let graph = Backbone::MobileNetV1.features(224);
    let golden: serde_json::Value =
        serde_json::from_slice(&std::fs::read(goldens().join("golden.json")).unwrap()).unwrap();
    assert_eq!(
        graph.parameter_count() as u64,
        golden["count_params"].as_u64().unwrap()
    );

    let weights = keras::import(&weights_file(), &graph).unwrap();
    let photo = Tensor::read_npy(goldens().join("input.npy")).unwrap();
    let expected = Tensor::read_npy(goldens().join("features.npy")).unwrap();
    assert_eq!(
        (photo.size(), photo.kind()),
        (vec![1, 224, 224, 3], Kind::Uint8)
    );

    // Keras pads with the mean itself, so the network is not centred on the phone's zero point here.
    let features = features(graph, &weights, &normalized(Backbone::MobileNetV1, &photo));
    assert_eq!(features.size(), expected.size());
    let difference = (&features - &expected).abs().max().double_value(&[]);
    println!(
        "max abs difference {difference:e}, largest feature {}",
        expected.max().double_value(&[])
    );
    assert!(difference <= 1e-4, "{difference}");
}

#[test]
fn centring_on_the_zero_point_changes_nothing_inside_the_photo() {
    for (backbone, after_stem, border) in [
        (Backbone::MobileNetV1, "conv1_relu", 1),
        (Backbone::MobileNetV2, "Conv1_relu", 1),
        // Nothing is padded there.
        (Backbone::NasNetMobile, "stem_bn1", 0),
        (Backbone::DenseNet121, "conv1_relu", 2),
    ] {
        let graph = backbone.features(224);
        let normalization = backbone.normalization();
        let weights = keras::import(&written_by_keras(&format!("{backbone}.h5")), &graph).unwrap();
        let mut centred = weights.clone();
        keras::recentre(&mut centred, &graph, normalization).unwrap();
        let photo = Tensor::read_npy(goldens().join("input.npy")).unwrap();
        let stem = |weights: &Weights, input: &Tensor| {
            let network =
                Network::new(graph.clone(), weights, Device::Cpu, Precision::F32).unwrap();
            let mut seen = None;
            let see = |id: usize, value: Tensor| {
                if graph.layers[id].name == after_stem {
                    seen = Some(value.shallow_clone());
                }
                value
            };
            no_grad(|| network.forward_each(input, Mode::Eval, see)).unwrap();
            // Without the rows and columns that see the padding.
            let map = seen.unwrap();
            let inner = map.size()[2] - 2 * border;
            to_array(&map.narrow(2, border, inner).narrow(3, border, inner)).unwrap()
        };
        let zero_point = f64::from(normalization.zero_point());
        let as_on_the_phone =
            (photo.to_kind(Kind::Float) - zero_point) / f64::from(normalization.scale);
        let before = stem(&weights, &normalized(backbone, &photo));
        let after = stem(&centred, &as_on_the_phone);
        let difference = before
            .data
            .iter()
            .zip(&after.data)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(before.data.iter().any(|v| *v > 0.5), "{backbone}");
        assert!(difference < 1e-4, "{backbone}: {difference}");
    }
}
