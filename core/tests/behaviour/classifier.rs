//! From encoded photo to answer, and bundles whose parts don't fit together.

use std::collections::BTreeMap;

use etalase::{
    Bundle, BundleWriter, Classifier, EngineOptions, ErrorKind, Fit, Image, Manifest, Photo,
    Preprocess,
};

use crate::support::onnx::{Network, QUADRANTS, plane_means, quadrants};
use crate::support::photos::{Format, encode, laid_down, quarters};

fn bundle(network: Network, classes: &[&str], preprocess: Preprocess) -> Bundle {
    let manifest = Manifest {
        name: "test".to_owned(),
        version: "1".to_owned(),
        backbone: "none".to_owned(),
        classes: classes.iter().map(|class| (*class).to_owned()).collect(),
        preprocess,
    };
    let card = serde_json::json!({});
    let writer = BundleWriter::new(manifest, BTreeMap::new(), card, network.bytes());
    Bundle::from_bytes(writer.to_bytes().expect("writes")).expect("opens")
}

fn quadrants_bundle() -> Bundle {
    bundle(
        quadrants(),
        &QUADRANTS,
        Preprocess::u8_nhwc(8, 8, Fit::Stretch),
    )
}

fn classifier() -> Classifier {
    Classifier::new(quadrants_bundle(), &EngineOptions::default()).expect("prepares")
}

#[test]
fn the_bright_quarter_is_found_in_every_orientation() {
    let classifier = classifier();
    let upright = quarters(64, 48);
    for format in [Format::Jpeg, Format::Png, Format::WebP] {
        for orientation in 1..=8 {
            let stored = laid_down(&upright, orientation);
            let bytes = encode(&stored, format, Some(orientation));
            let answer = classifier.classify(&bytes).expect("answers");
            let (class, score) = answer.top(1)[0];
            assert_eq!(QUADRANTS[class], "top-left", "{format:?} {orientation}");
            assert!(score > 0.9);
            assert!((answer.scores.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            assert!(answer.decode_ms >= 0.0 && answer.run_ms >= 0.0);
        }
    }
}

#[test]
fn pixels_and_files_get_the_same_answer() {
    let classifier = classifier();
    let picture = quarters(30, 20).rotate90();
    let file = classifier
        .classify(&encode(&picture, Format::Png, None))
        .expect("answers");
    let (width, height) = (picture.width(), picture.height());
    let image = Image::from_rgb(width, height, picture.into_rgb8().into_raw()).expect("an image");
    let pixels = classifier
        .classify_photo(&Photo::from(&image))
        .expect("answers");
    assert_eq!(file.scores, pixels.scores);
    assert_eq!(pixels.top(9).len(), 4);
}

#[test]
fn one_classifier_serves_many_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    let classifier = classifier();
    shared(&classifier);
    let bytes = encode(&quarters(64, 48), Format::Jpeg, None);
    let expected = classifier.classify(&bytes).expect("answers").scores;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert_eq!(
                        classifier.classify(&bytes).expect("answers").scores,
                        expected
                    );
                }
            });
        }
    });
}

#[test]
fn a_bad_photo_is_a_photo_error() {
    let classifier = classifier();
    let error = classifier.classify(b"no photo").expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Photo);
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let u8_nhwc = |side| Preprocess::u8_nhwc(side, side, Fit::Stretch);
    let cases = [
        (
            bundle(quadrants(), &["a", "b", "c"], u8_nhwc(8)),
            "4 scores for 3 classes",
        ),
        (bundle(quadrants(), &QUADRANTS, u8_nhwc(9)), "[1, 9, 9, 3]"),
        (
            bundle(plane_means(8), &["a", "b", "c"], u8_nhwc(8)),
            "f32 [1, 3, 8, 8]",
        ),
    ];
    for (bundle, part) in cases {
        let error = Classifier::new(bundle, &EngineOptions::default()).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Bundle);
        assert!(error.to_string().contains(part), "{error}");
    }
    let broken = Network::default().node("Relu", &["x"], "y");
    let broken = bundle(broken, &["a", "b"], u8_nhwc(8));
    let error = Classifier::new(broken, &EngineOptions::default()).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Model);
    assert!(error.to_string().starts_with("model.onnx: "), "{error}");
}
