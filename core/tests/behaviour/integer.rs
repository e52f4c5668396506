//! Quantized networks on integer kernels: plans, their safety, threads, cancelling, and
//! quantized graphs that are wrong.

use std::sync::atomic::AtomicBool;

use etalase::engine::plan_of;
use etalase::{Engine, EngineOptions, ErrorKind, Tensor, TensorData};
use sha2::{Digest, Sha256};
use tract_onnx::pb::tensor_proto::DataType;

use crate::support::onnx::{Network, shape};

/// Where a plan's encoded body begins, behind magic, version and two hashes.
const BODY_AT: usize = 76;

fn noise(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Weights from -7 to 7.
fn levels(seed: u32, length: usize) -> Vec<i8> {
    let bytes = noise(seed, length);
    bytes.iter().map(|byte| (byte % 15) as i8 - 7).collect()
}

fn photo(seed: u32) -> Tensor {
    Tensor::new(vec![1, 8, 8, 3], TensorData::U8(noise(seed, 192))).expect("a tensor")
}

/// One of each integer operation: stem, depthwise, pointwise, residual add, both pools,
/// multiply-add, concatenation, dense.
fn everything() -> Network {
    let mut network = Network::default()
        .input("photo", DataType::Uint8, shape(&[1, 8, 8, 3]))
        .floats("s", &[], &[1.0 / 16.0])
        .u8s("z", &[], &[128])
        .floats("ws", &[], &[1.0 / 32.0])
        .i8s("wz", &[], &[0])
        .i8s("stem_q", &[8, 3, 3, 3], &levels(1, 8 * 27))
        .i8s("depth_q", &[8, 1, 3, 3], &levels(2, 72))
        .i8s("point_q", &[8, 8, 1, 1], &levels(3, 64))
        .i8s("dense_q", &[16, 5], &levels(4, 80))
        .floats(
            "gain",
            &[1, 8, 1, 1],
            &[1.0, 0.5, -0.5, 2.0, 0.25, -1.0, 0.75, 1.5],
        )
        .floats(
            "shift",
            &[1, 8, 1, 1],
            &[0.5, -0.5, 0.0, 1.0, -1.0, 0.25, 2.0, -2.0],
        );
    for weights in ["stem", "depth", "point", "dense"] {
        network = network.node(
            "DequantizeLinear",
            &[&format!("{weights}_q"), "ws", "wz"],
            weights,
        );
    }
    let quantized = |network: Network, name: &str| {
        let bytes = format!("{name}_u8");
        network
            .node("QuantizeLinear", &[name, "s", "z"], &bytes)
            .node(
                "DequantizeLinear",
                &[&bytes, "s", "z"],
                &format!("{name}_r"),
            )
    };
    network = network
        .node_with(
            "Transpose",
            &["photo"],
            "planes",
            &[("perm", &[0, 3, 1, 2])],
        )
        .node("DequantizeLinear", &["planes", "s", "z"], "real")
        .node_with("Conv", &["real", "stem"], "a", &[("pads", &[1, 1, 1, 1])]);
    network = quantized(network, "a").node("Relu", &["a_r"], "b");
    network = quantized(network, "b").node_with(
        "Conv",
        &["b_r", "depth"],
        "c",
        &[("pads", &[1, 1, 1, 1]), ("group", &[8])],
    );
    network = quantized(network, "c").node("Conv", &["c_r", "point"], "d");
    network = quantized(network, "d").node("Add", &["d_r", "b_r"], "e");
    network = quantized(network, "e")
        .node("Mul", &["e_r", "gain"], "f0")
        .node("Add", &["f0", "shift"], "f");
    network = quantized(network, "f").node_with(
        "MaxPool",
        &["f_r"],
        "g",
        &[
            ("kernel_shape", &[3, 3]),
            ("strides", &[2, 2]),
            ("pads", &[1, 1, 1, 1]),
        ],
    );
    network = network.node_with(
        "AveragePool",
        &["e_r"],
        "h",
        &[("kernel_shape", &[2, 2]), ("strides", &[2, 2])],
    );
    network = quantized(network, "h").node_with("Concat", &["g", "h_r"], "i", &[("axis", &[1])]);
    network = quantized(network, "i").node("GlobalAveragePool", &["i_r"], "j");
    quantized(network, "j")
        .node_with("Flatten", &["j_r"], "k", &[("axis", &[1])])
        .node("MatMul", &["k", "dense"], "logits")
        .output("logits", &[1, 5])
}

fn open(network: Network) -> Engine {
    Engine::from_onnx(&network.bytes(), &EngineOptions::default()).expect("opens")
}

/// The engine's answers to photos are those of tract, run on the same file, up to `tolerance`.
fn agrees_with_tract(network: &Network, engine: &Engine, photos: u32, tolerance: f32) {
    let options = EngineOptions {
        backend: etalase::engine::Backend::Tract,
        ..EngineOptions::default()
    };
    let plain = Engine::from_onnx(&network.clone().bytes(), &options).expect("opens");
    for seed in 0..photos {
        let (ours, theirs) = (
            engine.run(&photo(seed)).expect("runs"),
            plain.run(&photo(seed)).expect("runs"),
        );
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert!((ours - theirs).abs() < tolerance, "{ours} and {theirs}");
        }
        assert!(ours.iter().any(|logit| logit.abs() > 0.01), "{ours:?}");
    }
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[test]
fn every_operation_is_fused_and_agrees_with_tract() {
    let network = everything();
    let engine = open(network.clone());
    let operations = engine.explain(&photo(1)).expect("runs").expect("fused");
    let kinds: Vec<&str> = operations.iter().map(|operation| operation.kind).collect();
    for kind in [
        "conv",
        "depthwise",
        "pointwise",
        "add",
        "affine",
        "max_pool",
        "average_pool",
    ] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    assert!(
        !kinds.contains(&"tract") && !kinds.contains(&"permute"),
        "{kinds:?}"
    );
    // Ties round differently in tract: a few levels of 1/16, times weights.
    agrees_with_tract(&network, &engine, 50, 0.2);
}

/// Two maps in other integers and one of the photo, joined without a QuantizeLinear behind them, twice: the first
/// concatenation is a part of the second, and a multiply-add per channel reads each.
fn segments() -> Network {
    let mut network = Network::default()
        .input("photo", DataType::Uint8, shape(&[1, 8, 8, 3]))
        .floats("ws", &[], &[1.0 / 32.0])
        .i8s("wz", &[], &[0])
        .i8s("first_q", &[4, 3, 1, 1], &levels(1, 12))
        .i8s("second_q", &[4, 7, 1, 1], &levels(2, 28))
        .i8s("dense_q", &[11, 5], &levels(3, 55))
        .floats(
            "gain_7",
            &[1, 7, 1, 1],
            &[1.0, 0.5, -0.5, 2.0, 0.25, -1.0, 0.75],
        )
        .floats(
            "shift_7",
            &[1, 7, 1, 1],
            &[0.5, -0.5, 0.0, 1.0, -1.0, 0.25, 2.0],
        )
        .floats(
            "gain_11",
            &[11, 1, 1],
            &[1.5, 0.5, -0.5, 2.0, 0.25, -1.0, 0.75, 1.0, -2.0, 0.3, 0.7],
        )
        .floats(
            "shift_11",
            &[11, 1, 1],
            &[0.5, -0.5, 0.1, 1.0, -1.0, 0.25, 0.2, 0.3, 0.4, 0.0, -0.5],
        );
    let quantized = |network: Network, name: &str, scale: f32, zero_point: u8| {
        let of = |suffix: &str| format!("{name}_{suffix}");
        let (scales, zeros, bytes) = (of("s"), of("z"), of("u8"));
        network
            .floats(&scales, &[], &[scale])
            .u8s(&zeros, &[], &[zero_point])
            .node("QuantizeLinear", &[name, &scales, &zeros], &bytes)
            .node("DequantizeLinear", &[&bytes, &scales, &zeros], &of("r"))
    };
    for weights in ["first", "second", "dense"] {
        let bytes = format!("{weights}_q");
        network = network.node("DequantizeLinear", &[&bytes, "ws", "wz"], weights);
    }
    network = network
        .floats("photo_s", &[], &[1.0 / 16.0])
        .u8s("photo_z", &[], &[128])
        .node_with(
            "Transpose",
            &["photo"],
            "planes",
            &[("perm", &[0, 3, 1, 2])],
        )
        .node(
            "DequantizeLinear",
            &["planes", "photo_s", "photo_z"],
            "real",
        )
        .node("Conv", &["real", "first"], "a");
    network = quantized(network, "a", 1.0 / 40.0, 140)
        .node_with("Concat", &["real", "a_r"], "b", &[("axis", &[1])])
        .node("Mul", &["b", "gain_7"], "c0")
        .node("Add", &["c0", "shift_7"], "c1")
        .node("Relu", &["c1"], "c");
    network = quantized(network, "c", 1.0 / 20.0, 0).node("Conv", &["c_r", "second"], "d");
    network = quantized(network, "d", 1.0 / 25.0, 90)
        .node_with("Concat", &["b", "d_r"], "e", &[("axis", &[1])])
        .node("Mul", &["e", "gain_11"], "f0")
        .node("Add", &["f0", "shift_11"], "f");
    network = quantized(network, "f", 1.0 / 12.0, 120).node("GlobalAveragePool", &["f_r"], "g");
    quantized(network, "g", 1.0 / 60.0, 100)
        .node_with("Flatten", &["g_r"], "h", &[("axis", &[1])])
        .node("MatMul", &["h", "dense"], "logits")
        .output("logits", &[1, 5])
}

#[test]
fn joined_maps_keep_their_integers_where_a_multiply_add_reads_them() {
    let network = segments();
    let engine = open(network.clone());
    let operations = engine.explain(&photo(1)).expect("runs").expect("fused");
    let kinds: Vec<&str> = operations.iter().map(|operation| operation.kind).collect();
    // The photo, which the concatenation reads, is copied; what convolutions write they write in place.
    let count = |kind: &str| kinds.iter().filter(|&&found| found == kind).count();
    assert_eq!(
        [
            count("affine"),
            count("copy"),
            count("lookup"),
            count("tract")
        ],
        [2, 1, 0, 0],
        "{kinds:?}"
    );
    agrees_with_tract(&network, &engine, 50, 0.02);
}

/// What has no integer form, and what has a QuantizeLinear, may read the same segments.
#[test]
fn joined_maps_are_read_by_anything() {
    let network = segments()
        .node("Abs", &["b"], "b_abs")
        .node_with("GlobalAveragePool", &["b_abs"], "b_mean", &[])
        .floats("whole_s", &[], &[1.0 / 16.0])
        .u8s("whole_z", &[], &[128])
        .node("QuantizeLinear", &["b", "whole_s", "whole_z"], "b_u8")
        .node("DequantizeLinear", &["b_u8", "whole_s", "whole_z"], "b_r")
        .node("GlobalAveragePool", &["b_r"], "b_r_mean")
        .node("Add", &["b_mean", "b_r_mean"], "b_sum")
        .node_with("Flatten", &["b_sum"], "seven", &[("axis", &[1])]);
    let network = network.retarget("seven", &[1, 7]);
    let engine = open(network.clone());
    agrees_with_tract(&network, &engine, 10, 0.02);
}

#[test]
fn a_plan_gives_the_same_bits_as_its_onnx() {
    let onnx = everything().bytes();
    let plan = plan_of(&onnx, &hash(&onnx))
        .expect("imports")
        .expect("fused");
    let options = EngineOptions::default();
    let engine = Engine::from_plan(&plan, &onnx, &hash(&onnx), &options)
        .expect("opens")
        .expect("same version");
    let imported = Engine::from_onnx(&onnx, &options).expect("opens");
    for seed in 0..20 {
        assert_eq!(
            engine.run(&photo(seed)).expect("runs"),
            imported.run(&photo(seed)).expect("runs")
        );
    }
    let other = hash(b"another file");
    let error = Engine::from_plan(&plan, &onnx, &other, &options).expect_err("not its file");
    assert!(error.to_string().contains("another ONNX file"), "{error}");
}

#[test]
fn a_plan_with_any_byte_changed_is_refused() {
    let onnx = everything().bytes();
    let sha256 = hash(&onnx);
    let plan = plan_of(&onnx, &sha256).expect("imports").expect("fused");
    for at in 0..plan.len() {
        let mut damaged = plan.clone();
        damaged[at] ^= 0x41;
        // A changed version is no damage: the plan is made again.
        match Engine::from_plan(&damaged, &onnx, &sha256, &EngineOptions::default()) {
            Ok(None) => assert!((8..12).contains(&at), "byte {at}"),
            Ok(Some(_)) => panic!("byte {at} went unnoticed"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Bundle, "{error}"),
        }
        let cut = &plan[..at];
        assert!(!matches!(
            Engine::from_plan(cut, &onnx, &sha256, &EngineOptions::default()),
            Ok(Some(_))
        ));
    }
}

/// A forged plan has right hashes: whatever it says, it is refused or runs within its
/// memory.
#[test]
fn a_forged_plan_does_no_harm() {
    let onnx = everything().bytes();
    let sha256 = hash(&onnx);
    let plan = plan_of(&onnx, &sha256).expect("imports").expect("fused");
    let (mut refused, mut ran) = (0, 0);
    for round in 0..6000_u32 {
        let mut forged = plan.clone();
        let random = noise(round, 8);
        for pair in random.chunks(2).take(1 + round as usize % 3) {
            let at =
                BODY_AT + (usize::from(pair[0]) * 257 + round as usize) % (plan.len() - BODY_AT);
            forged[at] = match pair[1] % 4 {
                0 => 0,
                1 => 255,
                2 => forged[at] ^ (1 << (pair[1] >> 5)),
                _ => pair[1],
            };
        }
        let body = hash(&forged[BODY_AT..]);
        forged[44..BODY_AT].copy_from_slice(&body);
        match Engine::from_plan(&forged, &onnx, &sha256, &EngineOptions::default()) {
            Err(_) | Ok(None) => refused += 1,
            Ok(Some(engine)) => {
                if engine.input_shape() == [1, 8, 8, 3] && engine.run(&photo(round)).is_ok() {
                    ran += 1;
                }
            }
        }
    }
    assert!(refused > 100 && ran > 100, "{refused} refused, {ran} ran");
}

#[test]
fn one_engine_serves_eight_threads() {
    let options = EngineOptions {
        threads: 2,
        ..EngineOptions::default()
    };
    let single = open(everything());
    let expected: Vec<Vec<f32>> = (0..8)
        .map(|seed| single.run(&photo(seed)).expect("runs"))
        .collect();
    for engine in [
        single,
        Engine::from_onnx(&everything().bytes(), &options).expect("opens"),
    ] {
        std::thread::scope(|scope| {
            for (seed, expected) in expected.iter().enumerate() {
                let engine = &engine;
                scope.spawn(move || {
                    let input = photo(seed as u32);
                    for _ in 0..1000 {
                        assert_eq!(&engine.run(&input).expect("runs"), expected);
                    }
                });
            }
        });
    }
}

/// Processor time of this process, in hundredths of a second.
#[cfg(target_os = "linux")]
fn ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux tells");
    let behind_name = stat.rsplit_once(')').expect("a name in parentheses").1;
    let fields = behind_name.split_whitespace().skip(11).take(2);
    fields
        .map(|field| field.parse::<u64>().expect("a number"))
        .sum()
}

#[cfg(target_os = "linux")]
#[test]
fn idle_threads_sleep() {
    let options = EngineOptions {
        threads: 4,
        ..EngineOptions::default()
    };
    let engine = Engine::from_onnx(&everything().bytes(), &options).expect("opens");
    engine.run(&photo(1)).expect("runs");
    let before = ticks();
    std::thread::sleep(std::time::Duration::from_millis(500));
    // One thread that spins would take 50.
    assert!(
        ticks() - before <= 10,
        "{} ticks in half a second",
        ticks() - before
    );
}

#[test]
fn a_cancelled_run_says_so_and_the_next_is_right() {
    for threads in [1, 3] {
        let options = EngineOptions {
            threads,
            ..EngineOptions::default()
        };
        let engine = Engine::from_onnx(&everything().bytes(), &options).expect("opens");
        let expected = engine.run(&photo(1)).expect("runs");
        let mut logits = vec![0.0; engine.classes()];
        let cancel = AtomicBool::new(true);
        let error = engine
            .run_into(&photo(1), &mut logits, Some(&cancel))
            .expect_err("cancelled");
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        cancel.store(false, std::sync::atomic::Ordering::Relaxed);
        engine
            .run_into(&photo(1), &mut logits, Some(&cancel))
            .expect("runs");
        assert_eq!(logits, expected);
        assert!(engine.run_into(&photo(1), &mut [0.0; 3], None).is_err());
    }
}

#[test]
fn quantized_graphs_that_are_wrong_are_named() {
    let refused = |network: Network, parts: &[&str]| {
        let error =
            Engine::from_onnx(&network.bytes(), &EngineOptions::default()).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Model);
        let said = error.to_string();
        for part in parts {
            assert!(said.contains(part), "{said} should say {part}");
        }
    };
    let scaled = |scale: f32| {
        everything()
            .floats("bad", &[], &[scale])
            .rename_input("make_a_u8", "s", "bad")
    };
    for (scale, said) in [
        (0.0, "0"),
        (-1.0, "-1"),
        (f32::NAN, "NaN"),
        (f32::INFINITY, "inf"),
    ] {
        refused(scaled(scale), &["make_a_u8", "bad", said]);
    }
    for (kind, zero) in [
        (DataType::Uint8, 300),
        (DataType::Uint8, -1),
        (DataType::Int8, 128),
    ] {
        let outside =
            everything()
                .listed("outside", kind, &[zero])
                .rename_input("make_a_u8", "z", "outside");
        refused(
            outside,
            &["make_a_u8", "outside", &zero.to_string(), "out of"],
        );
    }
    let circle = everything().rename_input("make_c", "b_r", "e_r");
    refused(circle, &["cycle"]);
    let missing = everything().rename_input("make_c", "depth", "nowhere");
    refused(missing, &["make_c", "nowhere"]);
    let short = everything()
        .i8s("few", &[8, 8, 1, 1], &[1; 60])
        .rename_input("make_point", "point_q", "few");
    refused(short, &["few", "60"]);
    let overflowing = everything()
        .i8s("huge", &[1 << 40, 1 << 40, 1, 1], &[1; 64])
        .rename_input("make_point", "point_q", "huge");
    refused(overflowing, &["huge", "overflows"]);
    let misfit = everything()
        .i8s("other", &[8, 4, 1, 1], &[1; 32])
        .rename_input("make_point", "point_q", "other");
    refused(misfit, &["make_d", "4 channels"]);
    let unknown = everything()
        .node("Sorcery", &["e_r"], "spell")
        .rename_input("make_g", "f_r", "spell");
    refused(unknown, &["Sorcery"]);
    let giant_pads = everything().node_with(
        "Conv",
        &["b_r", "depth"],
        "wide",
        &[("pads", &[1 << 40, 1, 1, 1]), ("group", &[8])],
    );
    let giant_pads = giant_pads.rename_input("make_c_u8", "c", "wide");
    assert!(Engine::from_onnx(&giant_pads.bytes(), &EngineOptions::default()).is_err());
}

#[test]
fn what_has_no_integer_form_runs_on_tract() {
    // A Sigmoid between quantized tensors.
    let network = everything()
        .node("Sigmoid", &["e_r"], "odd")
        .node("QuantizeLinear", &["odd", "s", "z"], "odd_u8")
        .node("DequantizeLinear", &["odd_u8", "s", "z"], "odd_r")
        .rename_input("make_h", "e_r", "odd_r");
    let engine = open(network);
    let operations = engine.explain(&photo(1)).expect("runs").expect("fused");
    let left: Vec<_> = operations
        .iter()
        .filter(|operation| operation.kind == "tract")
        .collect();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].node, "make_odd");
    assert!(
        left[0]
            .not_fused
            .as_deref()
            .is_some_and(|why| why.contains("Sigmoid"))
    );
}
