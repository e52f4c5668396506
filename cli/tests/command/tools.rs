//! `etalase run` and `etalase bench`.

use std::path::{Path, PathBuf};

use ndarray::{Array, Array2, ArrayD, IxDyn};
use ndarray_npy::{ReadNpyExt, WriteNpyExt};

use crate::support::onnx::{plane_means, quadrants};
use crate::{Desk, Ended, etalase};

fn run(model: &Path, input: &Path, output: &Path) -> Ended {
    let [command, x, y] = ["run", "--input", "--output"].map(Path::new);
    etalase([command, model, x, input, y, output])
}

fn npy<T: ndarray_npy::WritableElement>(desk: &Desk, name: &str, array: ArrayD<T>) -> PathBuf {
    let mut bytes = Vec::new();
    array.write_npy(&mut bytes).expect("NumPy");
    desk.write(name, bytes)
}

#[test]
fn each_row_is_an_inputs_logits() {
    let desk = Desk::new();
    let model = desk.write("planes.onnx", plane_means(4).bytes());
    let values = Array::from_shape_fn(IxDyn(&[5, 3, 4, 4]), |at| (at[0] * 10 + at[1]) as f32);
    let y = desk.path("y.npy");
    // Both orders in which NumPy writes.
    let fortran = {
        let mut reversed = values
            .clone()
            .reversed_axes()
            .as_standard_layout()
            .into_owned();
        reversed = reversed.reversed_axes();
        assert!(!reversed.is_standard_layout());
        reversed
    };
    for input in [values, fortran] {
        let x = npy(&desk, "x.npy", input);
        let ended = run(&model, &x, &y);
        assert_eq!((ended.status, &*ended.stdout), (0, ""), "{}", ended.stderr);
        let file = std::fs::read(&y).expect("written");
        let logits = Array2::<f32>::read_npy(&*file).expect("f32 [N, classes]");
        assert_eq!(logits.dim(), (5, 3));
        for ((row, class), logit) in logits.indexed_iter() {
            let wanted = (row * 10 + class) as f32;
            assert!((logit - wanted).abs() < 1e-4, "{row} {class}: {logit}");
        }
    }
}

#[test]
fn bytes_run_too() {
    let desk = Desk::new();
    let model = desk.write("q.onnx", quadrants().bytes());
    let x = npy(
        &desk,
        "x.npy",
        Array::from_elem(IxDyn(&[2, 8, 8, 3]), 129_u8),
    );
    let y = desk.path("y.npy");
    let ended = run(&model, &x, &y);
    assert_eq!(ended.status, 0, "{}", ended.stderr);
    let file = std::fs::read(&y).expect("written");
    let logits = Array2::<f32>::read_npy(&*file).expect("f32 [N, classes]");
    // 16 pixels of 3 channels, each 1 above 128, over 64.
    assert!(
        logits.iter().all(|logit| (logit - 0.75).abs() < 1e-5),
        "{logits}"
    );
}

#[test]
fn an_input_that_does_not_fit_is_named() {
    let desk = Desk::new();
    let model = desk.write("planes.onnx", plane_means(4).bytes());
    let zeros = |shape: &[usize]| Array::from_elem(IxDyn(shape), 0_f32);
    let whole = std::fs::read(npy(&desk, "a.npy", zeros(&[1, 3, 4, 4]))).expect("read");
    let cases = [
        (
            npy(&desk, "shape.npy", zeros(&[1, 4, 4, 3])),
            "[1, 4, 4, 3]",
        ),
        (npy(&desk, "rank.npy", zeros(&[3, 4, 4])), "[3, 4, 4]"),
        (npy(&desk, "none.npy", zeros(&[0, 3, 4, 4])), "[0, 3, 4, 4]"),
        (
            npy(
                &desk,
                "u8.npy",
                Array::from_elem(IxDyn(&[1, 3, 4, 4]), 0_u8),
            ),
            "takes f32",
        ),
        (desk.write("text.npy", b"words"), "NumPy"),
        (desk.write("cut.npy", &whole[..whole.len() - 4]), "NumPy"),
        (desk.path("missing.npy"), "No such file"),
    ];
    let y = desk.path("y.npy");
    for (x, cause) in cases {
        let ended = run(&model, &x, &y);
        assert_eq!(ended.status, 1);
        let said = &ended.stderr;
        let name = x.to_str().expect("UTF-8");
        assert!(
            said.contains(name) && said.contains(cause),
            "{said} should say {cause}"
        );
        assert!(!y.exists());
    }
}

#[test]
fn bench_tells_times_and_memory() {
    let desk = Desk::new();
    let model = desk.write("planes.onnx", plane_means(64).bytes());
    let onnx = ["--onnx", model.to_str().expect("UTF-8")];
    let bundle = desk.bundle();
    let bundle = ["--bundle", bundle.to_str().expect("UTF-8")];
    for (source, threads) in [
        (&onnx[..], 1),
        (&onnx[..], 2),
        (&bundle[..], 2),
        (&[][..], 1),
    ] {
        let threads_text = threads.to_string();
        let args = ["bench", "--json", "--runs", "5", "--threads", &threads_text];
        let timing = etalase(args.iter().chain(source)).json();
        assert_eq!(timing["threads"], threads);
        assert!(timing["isa"].is_string());
        let number = |key: &str| timing[key].as_f64().expect("a number");
        assert!(number("open_ms") > 0.0 && number("first_run_ms") > 0.0);
        assert!(number("min_ms") > 0.0 && number("median_ms") >= number("min_ms"));
        // A process of a few MB at least, and not counted in a wrong unit.
        let peak = number("peak_rss_bytes");
        assert!((1e6..1e10).contains(&peak), "{peak}");
    }
    let shown = etalase(["bench", "--runs", "3"]);
    assert_eq!(shown.status, 0);
    assert!(shown.stdout.contains("median"), "{}", shown.stdout);
}
