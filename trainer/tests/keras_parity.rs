//! MobileNetV1's forward pass against Keras', on the same imported ImageNet weights.
//!
//! Needs the weights: `ETALASE_DATA/weights/mobilenet_1_0_224_tf_no_top.h5`. The golden was made by
//! `tests/reference/make_mobilenet_v1_golden.py`, which wrote Keras' version beside it.

use std::path::{Path, PathBuf};

use etalase_trainer::backbones::Backbone;
use etalase_trainer::keras;
use etalase_trainer::network::{Mode, Network, Precision, to_array};
use tch::{Device, Kind, Tensor, no_grad};

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/goldens/mobilenet_v1")
}

fn weights_file() -> PathBuf {
    let data = std::env::var_os("ETALASE_DATA")
        .expect("ETALASE_DATA names the folder of photos and weights");
    Path::new(&data).join("weights/mobilenet_1_0_224_tf_no_top.h5")
}

#[test]
fn mobilenet_v1_equals_keras() {
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
    let input = photo.to_kind(Kind::Float) / 127.5 - 1.0;
    let network = Network::new(graph, &weights, Device::Cpu, Precision::F32).unwrap();
    let features = no_grad(|| network.forward(&input, Mode::Eval)).unwrap();
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
    let graph = Backbone::MobileNetV1.features(224);
    let normalization = Backbone::MobileNetV1.normalization();
    let weights = keras::import(&weights_file(), &graph).unwrap();
    let mut centred = weights.clone();
    keras::recentre(&mut centred, &graph, normalization).unwrap();
    let photo = Tensor::read_npy(goldens().join("input.npy"))
        .unwrap()
        .to_kind(Kind::Float);
    let stem = |weights, mean: f64| {
        let network = Network::new(graph.clone(), weights, Device::Cpu, Precision::F32).unwrap();
        let input = (&photo - mean) / f64::from(normalization.scale);
        let mut after_stem = None;
        let see = |id: usize, value: Tensor| {
            if graph.layers[id].name == "conv1_relu" {
                after_stem = Some(value.shallow_clone());
            }
            value
        };
        no_grad(|| network.forward_each(&input, Mode::Eval, see)).unwrap();
        // Without the last row and column, which see the padding.
        to_array(&after_stem.unwrap().narrow(2, 0, 111).narrow(3, 0, 111)).unwrap()
    };
    let (before, after) = (
        stem(&weights, 127.5),
        stem(&centred, f64::from(normalization.zero_point())),
    );
    let difference = before
        .data
        .iter()
        .zip(&after.data)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(before.data.iter().any(|v| *v > 0.5));
    assert!(difference < 1e-4, "{difference}");
}
