//! Bad input: a message that names file and cause, status 1, nothing but JSON on
//! stdout, and the other photos still answered.

use std::path::{Path, PathBuf};

use crate::support::onnx::{Network, shape};
use crate::support::photos::{Format, encode, jpeg_announcing, png_bomb, quarters};
use crate::{Desk, etalase, writer};
use tract_onnx::pb::tensor_proto::DataType;

#[test]
fn bad_photos_are_named_and_the_others_answered() {
    let desk = Desk::new();
    let good = desk.write("good.png", encode(&quarters(40, 30), Format::Png, None));
    let jpeg = encode(&quarters(64, 64), Format::Jpeg, None);
    let folder = desk.path("folder.jpg");
    std::fs::create_dir(&folder).expect("made");
    let bad: [(PathBuf, &str); 9] = [
        (desk.write("empty.jpg", b""), "empty"),
        (desk.write("text.jpg", b"not a photo at all\n"), "text"),
        (desk.write("cut.jpg", &jpeg[..jpeg.len() / 2]), "cut short"),
        (
            desk.write("nearly.jpg", &jpeg[..jpeg.len() - 1]),
            "cut short",
        ),
        (
            desk.write("bomb.png", png_bomb(100_000, 100_000)),
            "100000x100000",
        ),
        (
            desk.write("bomb.jpg", jpeg_announcing(65_500, 65_500)),
            "65500x65500",
        ),
        (
            desk.write("phone.heic", b"\0\0\0\x18ftypheic\0\0\0\0"),
            "HEIC",
        ),
        (desk.path("missing.jpg"), "No such file"),
        (folder, "folder"),
    ];
    let mut args = vec![Path::new("--json"), &good];
    args.extend(bad.iter().map(|(path, _)| path.as_path()));
    args.push(&good);
    let ended = desk.with_bundle("classify", &args);
    assert_eq!(ended.status, 1);
    let lines = ended.json_lines();
    assert_eq!(lines.len(), bad.len() + 2);
    for line in [&lines[0], &lines[bad.len() + 1]] {
        assert_eq!(line["labels"][0]["label"], "top-left");
    }
    for (line, (path, cause)) in lines[1..].iter().zip(&bad) {
        let path = path.to_str().expect("UTF-8");
        assert_eq!(line["photo"], path);
        let error = line["error"].as_str().expect("an error");
        assert!(error.contains(path) && error.contains(cause), "{error}");
        assert!(ended.stderr.contains(error), "{}", ended.stderr);
        assert_eq!(line.as_object().map(serde_json::Map::len), Some(2));
    }

    // And for people: the good ones on stdout, the bad ones on stderr.
    let ended = desk.with_bundle("classify", &args[1..]);
    assert_eq!(ended.status, 1);
    assert_eq!(ended.stdout.matches("good.png").count(), 2);
    assert_eq!(ended.stderr.lines().count(), bad.len(), "{}", ended.stderr);
}

/// A photo that cannot be read for want of permission. Root may read everything,
/// so this says nothing there.
#[cfg(unix)]
#[test]
fn an_unreadable_photo_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let desk = Desk::new();
    let photo = desk.write("secret.png", encode(&quarters(40, 30), Format::Png, None));
    let mode = std::fs::Permissions::from_mode(0o000);
    std::fs::set_permissions(&photo, mode).expect("set");
    let readable = std::fs::read(&photo).is_ok();
    let ended = desk.with_bundle("classify", &[Path::new("--json"), &photo]);
    assert_eq!(ended.status, i32::from(!readable), "{}", ended.stderr);
    assert_eq!(ended.json_lines().len(), 1);
}

/// The bomb must not cost memory: the command runs with 600 MB of address space,
/// the picture would be 40 GB.
#[cfg(target_os = "linux")]
#[test]
fn a_bomb_costs_no_memory() {
    let desk = Desk::new();
    let bomb = desk.write("bomb.png", png_bomb(100_000, 100_000));
    let script = "ulimit -v 600000 && exec \"$0\" \"$@\"";
    let output = std::process::Command::new("sh")
        .args([
            "-c",
            script,
            env!("CARGO_BIN_EXE_etalase"),
            "classify",
            "--bundle",
        ])
        .args([&desk.bundle(), &bomb])
        .output()
        .expect("starts");
    let ended = crate::Ended::from(output);
    assert_eq!(ended.status, 1);
    assert!(ended.stderr.contains("100000x100000"), "{}", ended.stderr);
}

#[test]
fn bad_bundles_are_named() {
    let desk = Desk::new();
    let photo = desk.write("good.png", encode(&quarters(40, 30), Format::Png, None));
    let good = writer().to_bytes().expect("a bundle");
    let changed = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x40;
        bytes
    };
    let mut newer = good.clone();
    newer[8] = 2;
    let other_network = Network::default()
        .input("image", DataType::Uint8, shape(&[1, 8, 8, 3]))
        .node("Identity", &["image"], "same")
        .output("same", &[1, 8, 8, 3]);
    let manifest = etalase::Bundle::from_bytes(good.clone())
        .expect("opens")
        .manifest()
        .clone();
    let unfit = etalase::BundleWriter::new(
        manifest,
        Default::default(),
        serde_json::json!({}),
        other_network.bytes(),
    );
    let bad: [(PathBuf, &str); 9] = [
        (desk.write("empty.etalase", b""), "empty"),
        (desk.write("text.etalase", b"not a bundle"), "not a bundle"),
        (desk.write("head.etalase", &good[..20]), "cut short"),
        (
            desk.write("cut.etalase", &good[..good.len() - 100]),
            "cut short",
        ),
        (desk.write("table.etalase", changed(60)), "damaged"),
        (
            desk.write("model.etalase", changed(good.len() - 50)),
            "SHA-256 of model.onnx",
        ),
        (desk.write("newer.etalase", newer), "version 2"),
        (
            desk.write("unfit.etalase", unfit.to_bytes().expect("a bundle")),
            "not a classifier",
        ),
        (desk.path("missing.etalase"), "No such file"),
    ];
    for (path, cause) in &bad {
        let name = path.to_str().expect("UTF-8");
        let first = ["classify", "--json", "--bundle", name].map(Path::new);
        let classify = etalase(first.iter().chain(&[photo.as_path()]));
        let eval = etalase(["eval", "--json", "--bundle", name, "."].map(Path::new));
        let bench = etalase(["bench", "--json", "--bundle", name].map(Path::new));
        for ended in [&classify, &eval, &bench] {
            assert_eq!(ended.status, 1, "{name}: {}", ended.stderr);
            assert_eq!(ended.stdout, "", "{name}");
            let said = &ended.stderr;
            assert!(
                said.contains(name) && said.contains(cause),
                "{said} should say {cause}"
            );
        }
    }
    // A bundle that cannot run can still be looked into, all others not even that.
    for (path, cause) in &bad {
        let ended = etalase([Path::new("inspect"), Path::new("--json"), path]);
        let expected = i32::from(!path.ends_with("unfit.etalase"));
        assert_eq!(ended.status, expected, "{cause}: {}", ended.stderr);
    }
}

#[test]
fn an_onnx_file_that_is_no_classifier_is_named() {
    let desk = Desk::new();
    let image = || Network::default().input("image", DataType::Float, shape(&[1, 3, 4, 4]));
    let to_image = image()
        .node("Relu", &["image"], "same")
        .output("same", &[1, 3, 4, 4]);
    let two = image()
        .node("GlobalAveragePool", &["image"], "pooled")
        .output("pooled", &[1, 3, 1, 1])
        .output("image", &[1, 3, 4, 4]);
    let labels = desk.write("labels.txt", "a\nb\nc\n");
    let input = desk.write("x.npy", b"");
    let (y, b) = (desk.path("y.npy"), desk.path("b.etalase"));
    for (path, cause) in [
        (desk.write("empty.onnx", b""), "empty"),
        (
            desk.write("text.onnx", b"hello, this is text"),
            "not an ONNX model",
        ),
        (desk.write("zeros.onnx", [0; 100]), "not an ONNX model"),
        (
            desk.write("image.onnx", to_image.bytes()),
            "not a classifier",
        ),
        (desk.write("two.onnx", two.bytes()), "not a classifier"),
        (desk.path("missing.onnx"), "No such file"),
    ] {
        let name = path.to_str().expect("UTF-8");
        let run = ["run", name, "--input"].map(Path::new);
        let run = etalase(run.iter().chain(&[&input, Path::new("--output"), &y]));
        let pack = ["pack", name, "--preprocess", "fit=stretch", "--labels"].map(Path::new);
        let pack = etalase(pack.iter().chain(&[&labels, Path::new("-o"), &b]));
        let bench = etalase(["bench", "--json", "--onnx", name]);
        for ended in [run, pack, bench] {
            assert_eq!(ended.status, 1);
            assert_eq!(ended.stdout, "");
            let said = &ended.stderr;
            assert!(
                said.contains(name) && said.contains(cause),
                "{said} should say {cause}"
            );
        }
    }
    assert!(!y.exists() && !b.exists());
}
