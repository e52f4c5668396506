//! The default bundle on the sample photo, through core alone: what a newcomer's first command shows.

use etalase::{Bundle, Classifier, EngineOptions};

#[test]
fn the_sample_photo_is_a_t_shirt() {
    let bundle = Bundle::open(&etalase_tests::file("../models/default.etalase")).unwrap();
    let classes = bundle.manifest().classes.clone();
    let photo = std::fs::read(etalase_tests::file("data/sample.jpg")).unwrap();
    let classifier = Classifier::new(bundle, &EngineOptions::default()).unwrap();
    let answer = classifier.classify(&photo).unwrap();
    let (best, score) = answer.top(1)[0];
    assert_eq!(classes[best], "t-shirt", "{classes:?}: {:?}", answer.scores);
    assert!(score > 0.5, "{classes:?}: {:?}", answer.scores);
    let sum: f32 = answer.scores.iter().sum();
    assert!((sum - 1.0).abs() < 1e-5, "scores add up to {sum}");
}
