//! The default bundle's scores, to the last bit: the same on every instruction set, which
//! the tests under arm64 emulation run this for. The network is integer, the softmax our own.

use std::path::Path;

use etalase::bundle::Bundle;
use etalase::decision::softmax;
use etalase::{Classifier, EngineOptions, Tensor, TensorData};

/// Bits of the scores of the photo below, in the order of the classes. A new default bundle
/// has new ones: the failing test prints them.
const SCORES: [u32; 10] = [
    0x3b35_e92e,
    0x3be6_60f5,
    0x3ccd_2d65,
    0x3aa9_2063,
    0x3cb7_a0fe,
    0x3b28_c12f,
    0x3bc3_d23e,
    0x3b6d_2972,
    0x3f6d_4757,
    0x3b1d_6b94,
];

#[test]
fn scores_are_the_same_bits_everywhere() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/default.etalase");
    let bundle = Bundle::open(&path).expect("opens");
    let classifier = Classifier::new(bundle, &EngineOptions::default()).expect("prepares");
    let engine = classifier.engine();
    // Waves of three lengths, so that neighbours resemble each other as in a photo.
    let value = |at: u32| {
        let (pixel, channel) = (at / 3, at % 3);
        let (y, x) = (pixel / 224, pixel % 224);
        ((x * (5 + channel) + y * (3 + 2 * channel)) ^ (x * y / 64)) as u8
    };
    let pixels = (0..224 * 224 * 3).map(value).collect();
    let photo = Tensor::new(vec![1, 224, 224, 3], TensorData::U8(pixels)).expect("a tensor");
    let scores = softmax(&engine.run(&photo).expect("runs")).expect("finite");
    let bits: Vec<u32> = scores.iter().map(|score| score.to_bits()).collect();
    println!("{}: {scores:?}", engine.isa());
    assert_eq!(bits, SCORES, "{bits:#010x?}");
}
