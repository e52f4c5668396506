//! Every backbone through folding, export and quantization, at a small size with random weights: core runs the float
//! model as libtorch does, and the int8 model on integer kernels alone, close to it.

mod support;

use etalase::engine::summarize;
use etalase::photo::Fit;
use etalase::preprocess::Preprocess;
use etalase::{Engine, EngineOptions, Tensor as CoreTensor, TensorData};
use etalase_trainer::backbones::Backbone;
use etalase_trainer::data::Dataset;
use etalase_trainer::export::float_model;
use etalase_trainer::fold::fold;
use etalase_trainer::network::{Network, Precision};
use etalase_trainer::quantize::{Folded, Method, Options, Step};
use etalase_trainer::train::measure::outputs;
use etalase_trainer::weights;
use support::photos;
use tch::Device;

const SIZE: u32 = 64;

fn photo(photos: &Dataset, i: usize) -> CoreTensor {
    let pixels = photos.slice(i, i + 1).0.flatten(0, -1);
    let pixels = TensorData::U8(Vec::try_from(pixels).unwrap());
    CoreTensor::new(vec![1, SIZE as usize, SIZE as usize, 3], pixels).unwrap()
}

/// The int8 network runs on integer kernels alone.
fn check_explained(backbone: Backbone, model: &[u8], input: &CoreTensor) {
    let summary = summarize(model).unwrap();
    assert_eq!(
        summary.convolutions, summary.convolutions_int8,
        "{backbone}"
    );
    let engine = Engine::from_onnx(model, &EngineOptions::default()).unwrap();
    let operations = engine.explain(input).unwrap();
    let operations = operations.unwrap_or_else(|why| panic!("{backbone}: all on tract: {why}"));
    println!(
        "{backbone}: {} convolutions, all int8; {} operations",
        summary.convolutions,
        operations.len()
    );
    for operation in operations {
        assert_eq!(operation.not_fused, None, "{backbone}: {}", operation.node);
    }
}

fn check(backbone: Backbone, decibels: f64) {
    let dir = tempfile::tempdir().unwrap();
    let normalization = backbone.normalization();
    let graph = backbone.classifier(SIZE as usize, 4, 0.2);
    let classes = vec!["across".to_owned(), "down".to_owned()];
    let preprocess = Preprocess::u8_nhwc(SIZE, SIZE, Fit::Letterbox);
    let photos = Dataset::load(&photos(dir.path(), 8), &classes, &preprocess, "test").unwrap();
    let weights = weights::random(&graph, 11);
    let network = Network::new(graph.clone(), &weights, Device::Cpu, Precision::F32).unwrap();
    let expected = outputs(&network, &photos, normalization, "test").unwrap();
    let expected = Vec::<Vec<f32>>::try_from(expected).unwrap();

    let (folded, folded_weights) = fold(&graph, &weights).unwrap();
    let float = float_model(&folded, &folded_weights, normalization, "test").unwrap();
    let folded = Folded {
        graph: folded,
        weights: folded_weights,
        normalization,
        name: "test".to_owned(),
    };
    let int8 = |options: Options| {
        let outcome = folded.quantize(&photos, None, Device::Cpu, &options);
        outcome.unwrap().model
    };
    let rounded = int8(Options::plain(Method::SquaredError));
    // Minutes for NASNetLarge, whose kernels are NASNetMobile's, wider.
    let without = match backbone {
        Backbone::NasNetLarge => vec![Step::Learn],
        _ => Vec::new(),
    };
    let corrected = int8(Options {
        without,
        ..Options::default()
    });
    assert!(
        corrected.len() < float.len() / 3,
        "{backbone}: {} bytes",
        corrected.len()
    );
    check_explained(backbone, &corrected, &photo(&photos, 0));

    let run = |model: &[u8]| -> Vec<Vec<f32>> {
        let engine = Engine::from_onnx(model, &EngineOptions::default()).unwrap();
        (0..photos.len())
            .map(|i| engine.run(&photo(&photos, i)).unwrap())
            .collect()
    };
    let errors = |logits: &[Vec<f32>]| -> Vec<f32> {
        let pairs = logits.iter().flatten().zip(expected.iter().flatten());
        pairs.map(|(a, b)| (a - b).abs()).collect()
    };
    let largest = |values: &[f32]| values.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    let square = |values: &[f32]| values.iter().map(|v| f64::from(v * v)).sum::<f64>();
    let logits = expected.concat();
    let scale = largest(&logits);
    assert!(scale > 0.1, "{backbone} says nothing");
    // tract takes a minute over NASNetLarge's 85 million parameters; its cells are NASNetMobile's.
    if backbone != Backbone::NasNetLarge {
        let difference = largest(&errors(&run(&float)));
        println!("{backbone}: float {difference:e} of {scale}");
        assert!(
            difference < 1e-4 * scale.max(1.0),
            "{backbone}: {difference} of {scale}"
        );
    }
    // Noise of the int8 logits below the float ones, in decibels.
    let below =
        |logits_int8: &[Vec<f32>]| 10.0 * (square(&logits) / square(&errors(logits_int8))).log10();
    let (before, after) = (below(&run(&rounded)), below(&run(&corrected)));
    println!("{backbone}: int8 {before:.1} dB, by all steps {after:.1} dB");
    assert!(
        after > decibels,
        "{backbone}: {before} dB became {after} dB"
    );
}

// Random weights are harder than trained ones.

#[test]
fn mobilenet_v1() {
    check(Backbone::MobileNetV1, 25.0);
}

#[test]
fn mobilenet_v2() {
    check(Backbone::MobileNetV2, 15.0);
}

#[test]
fn nasnet_mobile() {
    check(Backbone::NasNetMobile, 20.0);
}

#[test]
fn nasnet_large() {
    check(Backbone::NasNetLarge, 12.0);
}

#[test]
fn densenet121() {
    check(Backbone::DenseNet121, 25.0);
}
