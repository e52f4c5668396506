//! The default bundle's scores, to the last bit: the same on every instruction set, which
//! the tests under arm64 emulation run this for. The network is integer, the softmax our own.

use std::path::Path;

use etalase::bundle::Bundle;
use etalase::decision::softmax;
use etalase::{Classifier, EngineOptions, Tensor, TensorData};

/// Bits of the scores of the photo below, in the order of the classes. A new default bundle
/// has new ones: the failing test prints them.
const SCORES: [u32; 10] = [
    0x3c7d_bc64,
    0x3d8a_4b6a,
    0x3c9a_2416,
    0x3c22_4160,
    0x3dbe_3f21,
    0x3dbd_cfec,
    0x3e63_823b,
    0x3cae_7e39,
    0x3edc_f885,
    0x3ce2_5abe,
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
