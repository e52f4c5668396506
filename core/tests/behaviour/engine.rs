//! Networks whose logits are known, and files that are no classifiers.

use etalase::decision::softmax;
use etalase::engine::{Backend, isa, summarize, without_softmax};
use etalase::{Engine, EngineOptions, ErrorKind, Tensor, TensorData, TensorType};
use tract_onnx::pb::tensor_proto::DataType;

use crate::support::onnx::{Network, Side, plane_means, quadrants, shape};

fn open(network: Network) -> etalase::Result<Engine> {
    Engine::from_onnx(&network.bytes(), &EngineOptions::default())
}

fn refusal(onnx: &[u8]) -> String {
    let error = Engine::from_onnx(onnx, &EngineOptions::default()).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Model, "{error}");
    error.to_string()
}

/// 8 x 8 px RGB noise.
fn noise(seed: u32) -> Vec<u8> {
    let step = |state: &mut u32| {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some((*state >> 24) as u8)
    };
    std::iter::repeat_n((), 8 * 8 * 3)
        .scan(seed, |state, ()| step(state))
        .collect()
}

/// What `quadrants` must say.
fn quadrants_by_hand(pixels: &[u8]) -> [f32; 4] {
    let mut sums = [0_i32; 4];
    for (at, pixel) in pixels.chunks(3).enumerate() {
        let (y, x) = (at / 8, at % 8);
        let quarter = usize::from(y >= 4) * 2 + usize::from(x >= 4);
        sums[quarter] += pixel
            .iter()
            .map(|&value| i32::from(value) - 128)
            .sum::<i32>();
    }
    sums.map(|sum| sum as f32 / 64.0)
}

fn photo(pixels: &[u8]) -> Tensor {
    Tensor::new(vec![1, 8, 8, 3], TensorData::U8(pixels.to_vec())).expect("a tensor")
}

fn assert_close(logits: &[f32], wanted: &[f32]) {
    assert_eq!(logits.len(), wanted.len());
    for (logit, wanted) in logits.iter().zip(wanted) {
        let bound = 1e-4 + 1e-5 * wanted.abs();
        assert!((logit - wanted).abs() <= bound, "{logits:?} for {wanted}");
    }
}

#[test]
fn a_qdq_network_of_our_form() {
    let engine = open(quadrants()).expect("opens");
    assert_eq!(engine.input_shape(), [1, 8, 8, 3]);
    assert_eq!(engine.input_type(), TensorType::U8);
    assert_eq!(engine.classes(), 4);
    assert_eq!(engine.input_name(), "photo");
    for seed in 0..20 {
        let pixels = noise(seed);
        let logits = engine.run(&photo(&pixels)).expect("runs");
        assert_close(&logits, &quadrants_by_hand(&pixels));
    }
}

#[test]
fn a_float_network_with_an_open_batch() {
    let engine = open(plane_means(4)).expect("opens");
    assert_eq!(engine.input_shape(), [1, 3, 4, 4]);
    assert_eq!(engine.input_type(), TensorType::F32);
    let values: Vec<f32> = (0..48).map(|value| value as f32 / 7.0 - 3.0).collect();
    let means: Vec<f32> = values
        .chunks(16)
        .map(|plane| plane.iter().sum::<f32>() / 16.0)
        .collect();
    let input = Tensor::new(vec![1, 3, 4, 4], TensorData::F32(values)).expect("a tensor");
    assert_close(&engine.run(&input).expect("runs"), &means);
}

#[test]
fn an_output_of_rank_four_is_a_row_too() {
    let network = Network::default()
        .input("image", DataType::Float, shape(&[1, 3, 4, 4]))
        .node("GlobalAveragePool", &["image"], "logits")
        .output("logits", &[1, 3, 1, 1]);
    assert_eq!(open(network).expect("opens").classes(), 3);
}

#[test]
fn threads_change_nothing_but_time() {
    let engine = open(quadrants()).expect("opens");
    let options = EngineOptions {
        threads: 2,
        ..EngineOptions::default()
    };
    let threaded = Engine::from_onnx(&quadrants().bytes(), &options).expect("opens");
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let (engine, threaded) = (&engine, &threaded);
            scope.spawn(move || {
                let input = photo(&noise(seed));
                let expected = engine.run(&input).expect("runs");
                for _ in 0..50 {
                    assert_eq!(engine.run(&input).expect("runs"), expected);
                    assert_eq!(threaded.run(&input).expect("runs"), expected);
                }
            });
        }
    });
    for threads in [0, 257] {
        let options = EngineOptions {
            threads,
            ..EngineOptions::default()
        };
        let error = Engine::from_onnx(&quadrants().bytes(), &options).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}

#[test]
fn another_type_or_shape_is_named() {
    let engine = open(quadrants()).expect("opens");
    let inputs = [
        (vec![1, 8, 8, 3], TensorData::F32(vec![0.0; 192]), "f32"),
        (vec![1, 8, 8, 3], TensorData::I8(vec![0; 192]), "i8"),
        (
            vec![1, 3, 8, 8],
            TensorData::U8(vec![0; 192]),
            "[1, 3, 8, 8]",
        ),
        (vec![8, 8, 3], TensorData::U8(vec![0; 192]), "[8, 8, 3]"),
    ];
    for (shape, data, got) in inputs {
        let input = Tensor::new(shape, data).expect("a tensor");
        let error = engine.run(&input).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        let said = error.to_string();
        assert!(
            said.contains("u8 [1, 8, 8, 3]") && said.contains(got),
            "{said}"
        );
    }
}

#[test]
fn bytes_that_are_no_onnx() {
    assert!(refusal(b"").contains("empty"));
    assert!(refusal(b"a text file\n").contains("not an ONNX model"));
    assert!(refusal(&[0; 64]).contains("not an ONNX model"));
    let whole = quadrants().bytes();
    for length in 0..whole.len() {
        refusal(&whole[..length]);
    }
    let mut state = 7_u32;
    for length in [1, 10, 100, 1000] {
        for _ in 0..200 {
            let random = (0..length).map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            });
            refusal(&random.collect::<Vec<u8>>());
        }
    }
}

#[test]
fn networks_that_are_no_classifiers() {
    let image = || Network::default().input("image", DataType::Float, shape(&[1, 3, 4, 4]));
    let to_image = image()
        .node("Relu", &["image"], "same")
        .output("same", &[1, 3, 4, 4]);
    let two_outputs = plane_means(4).output("flat", &[1, 3]);
    let two_inputs = plane_means(4).input("mask", DataType::Float, shape(&[1, 4]));
    let text = Network::default()
        .input("tokens", DataType::Int64, shape(&[1, 128]))
        .node("Identity", &["tokens"], "logits")
        .output("logits", &[1, 128]);
    let strings = Network::default()
        .input("words", DataType::String, shape(&[1]))
        .node("Identity", &["words"], "logits")
        .output("logits", &[1]);
    let one_class = Network::default()
        .input("image", DataType::Float, shape(&[1, 1, 4, 4]))
        .node("GlobalAveragePool", &["image"], "price")
        .output("price", &[1, 1, 1, 1]);
    let any_size = vec![Side::Is(1), Side::Is(3), Side::Open("H"), Side::Open("W")];
    let any_size = Network::default()
        .input("image", DataType::Float, any_size)
        .node("GlobalAveragePool", &["image"], "logits")
        .output("logits", &[1, 3, 1, 1]);
    let fixed_batch = Network::default()
        .input("image", DataType::Float, shape(&[8, 3, 4, 4]))
        .node("GlobalAveragePool", &["image"], "logits")
        .output("logits", &[8, 3, 1, 1]);
    let unknown = image()
        .node("Sorcery", &["image"], "logits")
        .output("logits", &[1, 3]);
    let dangling = image()
        .node("Relu", &["elsewhere"], "logits")
        .output("logits", &[1, 3]);
    let unmade = image()
        .node("Relu", &["image"], "other")
        .output("logits", &[1, 3]);
    let gigantic = Network::default()
        .input("image", DataType::Float, shape(&[1, 3, 1 << 40, 1 << 40]))
        .node("GlobalAveragePool", &["image"], "logits")
        .output("logits", &[1, 3, 1, 1]);
    let outside = plane_means(4).floats("more", &[1], &[1.0]).moved_out();
    let impossible = image()
        .floats("matrix", &[7, 5], &[0.0; 35])
        .node("MatMul", &["image", "matrix"], "logits")
        .output("logits", &[1, 3]);
    let cases: [(Network, &[&str]); 14] = [
        (to_image, &["not a classifier", "same", "[1, 3, 4, 4]"]),
        (two_outputs, &["not a classifier", "2 (logits, flat)"]),
        (two_inputs, &["not a classifier", "2 (image, mask)"]),
        (text, &["tokens", "int64"]),
        (strings, &["words", "string"]),
        (one_class, &["not a classifier", "price"]),
        (any_size, &["side 2", "image"]),
        (fixed_batch, &["batch", "[8, 3, 4, 4]"]),
        (unknown, &["make_logits", "Sorcery"]),
        (dangling, &["elsewhere"]),
        (unmade, &["logits"]),
        (gigantic, &["image", "beyond"]),
        (outside, &["more", "another file"]),
        (impossible, &["make_logits"]),
    ];
    for (network, parts) in cases {
        let said = refusal(&network.bytes());
        for part in parts {
            assert!(said.contains(part), "{said} should say {part}");
        }
        assert!(said.len() < 600, "{said}");
    }
}

/// With a softmax of its logits behind.
fn with_softmax(network: Network) -> Network {
    network.node_with("Softmax", &["logits"], "scores", &[("axis", &[1])])
}

#[test]
fn a_final_softmax_is_right_also_when_quantized() {
    // What tract 0.23.9 makes of the quantized one by itself is 1, 1, 1, 1.
    let plain = with_softmax(quadrants())
        .without_output()
        .output("scores", &[1, 4]);
    let quantized = with_softmax(quadrants().floats("step", &[], &[0.25]).u8s(
        "middle",
        &[],
        &[128],
    ));
    // DQ → Softmax → Q → DQ, as quantizers write it.
    let quantized = quantized
        .rename_input("make_scores", "logits", "logits_dq")
        .node("QuantizeLinear", &["logits", "step", "middle"], "logits_q")
        .node(
            "DequantizeLinear",
            &["logits_q", "step", "middle"],
            "logits_dq",
        )
        .floats("part", &[], &[1.0 / 256.0])
        .u8s("nought", &[], &[0])
        .node("QuantizeLinear", &["scores", "part", "nought"], "scores_q")
        .node(
            "DequantizeLinear",
            &["scores_q", "part", "nought"],
            "answer",
        )
        .without_output()
        .output("answer", &[1, 4]);
    let rounded = |logit: f32| (logit / 0.25).round_ties_even() * 0.25;
    for (network, is_quantized) in [(plain, false), (quantized, true)] {
        let engine = open(network.clone()).expect("opens");
        let bytes = without_softmax(&network.bytes())
            .expect("an ONNX")
            .expect("a softmax");
        let cut = Engine::from_onnx(&bytes, &EngineOptions::default()).expect("opens");
        assert!(without_softmax(&bytes).expect("an ONNX").is_none());
        for seed in 0..10 {
            let input = photo(&noise(seed));
            let logits = quadrants_by_hand(&noise(seed));
            let logits = if is_quantized {
                logits.map(rounded)
            } else {
                logits
            };
            let wanted = softmax(&logits).expect("scores");
            // What the quantized one answers is whole levels.
            let levels = |score: f32| (score * 256.0).round_ties_even().min(255.0) / 256.0;
            let scores = engine.run(&input).expect("runs");
            let again = softmax(&cut.run(&input).expect("runs")).expect("scores");
            for ((score, again), wanted) in scores.iter().zip(again).zip(wanted) {
                let answer = if is_quantized { levels(wanted) } else { wanted };
                assert!((score - answer).abs() < 1e-4, "{scores:?} for {answer}");
                assert!((again - wanted).abs() < 1e-4, "{again} for {wanted}");
            }
        }
    }
    assert!(
        without_softmax(&quadrants().bytes())
            .expect("an ONNX")
            .is_none()
    );
}

#[test]
fn scores_that_cannot_become_logits_are_refused() {
    let behind = |scores: Network, last: &str| {
        let network = scores.node(last, &["scores"], "answer").without_output();
        network.output("answer", &[1, 4])
    };
    let sigmoid = quadrants().node("Sigmoid", &["logits"], "scores");
    for (network, what) in [
        (behind(with_softmax(quadrants()), "Flatten"), "Softmax"),
        (behind(sigmoid, "Identity"), "Sigmoid"),
    ] {
        let error = without_softmax(&network.bytes()).expect_err("not logits");
        let said = error.to_string();
        assert!(
            said.contains(what) && said.contains("not in logits"),
            "{said}"
        );
    }
}

#[test]
fn a_quantized_softmax_inside_is_computed() {
    let network = with_softmax(quadrants())
        .floats("part", &[], &[1.0 / 256.0])
        .u8s("nought", &[], &[0])
        .node("QuantizeLinear", &["scores", "part", "nought"], "scores_q")
        .node(
            "DequantizeLinear",
            &["scores_q", "part", "nought"],
            "scores_dq",
        )
        .node("Relu", &["scores_dq"], "answer")
        .without_output()
        .output("answer", &[1, 4]);
    let engine = open(network.clone()).expect("opens");
    let scores = engine.run(&photo(&noise(3))).expect("runs");
    let sum: f32 = scores.iter().sum();
    assert!((sum - 1.0).abs() < 4.0 / 256.0, "{scores:?}");
    // Plain tract would fold it wrongly, so there it is refused.
    let plain = EngineOptions {
        backend: Backend::Tract,
        ..EngineOptions::default()
    };
    let error = Engine::from_onnx(&network.bytes(), &plain).expect_err("refused");
    assert!(error.to_string().contains("make_scores"), "{error}");
}

#[test]
fn convolutions_are_counted() {
    let count = |network: Network| {
        let summary = summarize(&network.bytes()).expect("a summary");
        (summary.convolutions, summary.convolutions_int8)
    };
    assert_eq!(count(plane_means(4)), (0, 0));
    assert_eq!(count(quadrants()), (1, 1));
    let more = quadrants().floats("one", &[4, 4, 1, 1], &[1.0; 16]).node(
        "Conv",
        &["sums", "one"],
        "again",
    );
    assert_eq!(count(more), (2, 1));
    let circle = quadrants()
        .node("Identity", &["b"], "a")
        .node("Identity", &["a"], "b")
        .node("Conv", &["a", "weights"], "never");
    assert_eq!(count(circle), (2, 1));
    assert!(summarize(b"text").is_err());
}

#[test]
fn the_instruction_set_has_a_known_name() {
    let known = [
        "amx_int8",
        "avx512_vnni",
        "avx2",
        "neon_i8mm",
        "neon_dotprod",
        "neon",
        std::env::consts::ARCH,
    ];
    println!("instruction set: {}", isa());
    assert!(known.contains(&isa()));
}
