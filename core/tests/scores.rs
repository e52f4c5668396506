//! The default bundle's decisions, to the last bit: the same on every instruction set, which
//! the tests under arm64 emulation run this for. The network is integer, softmax and
//! familiarity use only what IEEE 754 fixes.

use std::path::Path;

use etalase::bundle::Bundle;
use etalase::decision::{Reason, VerdictKind};
use etalase::{Classifier, EngineOptions, Image, Photo};

/// Bits of the scores of the photo below, in the order of the classes. A new default bundle
/// has new ones: the failing test prints them.
const SCORES: [u32; 10] = [
    0x3bcd_c51b,
    0x3d3a_08f9,
    0x3c05_a76b,
    0x3b61_adea,
    0x3d8e_c8ca,
    0x3d8e_58af,
    0x3e66_6b3d,
    0x3c1d_e3ad,
    0x3f0c_9525,
    0x3c5f_fa24,
];

/// Bits of its familiarity.
const FAMILIARITY: u32 = 0x395d_7d2d;

/// Waves of three lengths, so that neighbours resemble each other as in a photo.
fn picture() -> Image {
    let value = |at: u32| {
        let (pixel, channel) = (at / 3, at % 3);
        let (y, x) = (pixel / 224, pixel % 224);
        ((x * (5 + channel) + y * (3 + 2 * channel)) ^ (x * y / 64)) as u8
    };
    let pixels = (0..224 * 224 * 3).map(value).collect();
    Image::from_rgb(224, 224, pixels).expect("an image")
}

fn default_bundle(options: &EngineOptions) -> Classifier {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/default.etalase");
    let bundle = Bundle::open(&path).expect("opens");
    Classifier::new(bundle, options).expect("prepares")
}

#[test]
fn decisions_are_the_same_bits_everywhere() {
    let classifier = default_bundle(&EngineOptions::default());
    let picture = picture();
    let answer = classifier
        .classify_photo(&Photo::from(&picture))
        .expect("runs");
    let bits: Vec<u32> = answer.scores.iter().map(|score| score.to_bits()).collect();
    println!("{}: {answer:?}", classifier.engine().isa());
    assert_eq!(bits, SCORES, "{bits:#010x?}");
    let familiarity = answer.familiarity.expect("the default bundle tells");
    assert_eq!(
        familiarity.to_bits(),
        FAMILIARITY,
        "{:#010x}",
        familiarity.to_bits()
    );
    // Waves are no clothes.
    let verdict = classifier.verdict(&answer, 0).expect("a verdict");
    assert_eq!(
        (verdict.kind, verdict.reason),
        (VerdictKind::Unsure, Reason::Unfamiliar)
    );
}

/// What reads no bytes of ours, tract, has the same features up to a factor. It comes with ONNX.
#[cfg(feature = "onnx")]
#[test]
fn features_do_not_depend_on_the_backend() {
    use etalase::engine::Backend;
    let features = |backend| {
        let options = EngineOptions {
            backend,
            ..EngineOptions::default()
        };
        let (classifier, picture) = (default_bundle(&options), picture());
        let evidence = classifier.evidence(&Photo::from(&picture)).expect("runs");
        evidence.features
    };
    let (ours, tract) = (features(Backend::Auto), features(Backend::Tract));
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let lengths = (product(&ours, &ours) * product(&tract, &tract)).sqrt();
    assert_eq!(ours.len(), 1280);
    assert!(product(&ours, &tract) / lengths > 0.999);
}
