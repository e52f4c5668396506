//! Nothing of a bundle can be changed, cut or added unnoticed.

use std::collections::BTreeMap;

use super::*;
use crate::photo::Fit;
use crate::preprocess::Preprocess;

fn manifest() -> Manifest {
    Manifest {
        name: "tiny".to_owned(),
        version: "1".to_owned(),
        backbone: "none".to_owned(),
        classes: vec!["hat".to_owned(), "shoe".to_owned()],
        preprocess: Preprocess::u8_nhwc(8, 8, Fit::Stretch),
    }
}

fn labels() -> BTreeMap<String, Vec<String>> {
    let names = |names: [&str; 2]| names.map(str::to_owned).to_vec();
    BTreeMap::from([
        ("en".to_owned(), names(["Hat", "Shoe"])),
        ("id".to_owned(), names(["Topi", "Sepatu"])),
    ])
}

fn writer() -> BundleWriter {
    let card = serde_json::json!({"data": "none"});
    BundleWriter::new(manifest(), labels(), card, b"not opened here".to_vec())
        .member("golden/1.bin", vec![7; 65])
}

fn tiny() -> Vec<u8> {
    writer().to_bytes().expect("a bundle")
}

#[test]
fn reads_what_was_written() {
    let bytes = tiny();
    let bundle = Bundle::from_bytes(bytes.clone()).expect("opens");
    assert_eq!(bundle.manifest(), &manifest());
    assert_eq!(bundle.labels(), &labels());
    assert_eq!(bundle.card(), &serde_json::json!({"data": "none"}));
    assert_eq!(bundle.model(), b"not opened here");
    assert_eq!(bundle.member("golden/1.bin"), Some(&[7; 65][..]));
    assert_eq!(bundle.member("golden/2.bin"), None);
    assert_eq!(bundle.format_version(), FORMAT_VERSION);
    assert_eq!(bundle.len_bytes(), bytes.len() as u64);
    let names: Vec<&str> = bundle.members().iter().map(|m| m.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "manifest.json",
            "labels.json",
            "card.json",
            "golden/1.bin",
            "model.onnx"
        ]
    );
    assert!(
        bundle
            .members()
            .iter()
            .all(|member| member.offset % 64 == 0)
    );
    assert_eq!(tiny(), bytes, "equal input, equal bytes");
}

#[test]
fn a_policy_is_read_and_a_newer_one_refused() {
    let default = Bundle::from_bytes(tiny()).expect("opens");
    assert_eq!(default.policy(), &Policy::default());
    let mut own = Policy::default();
    own.advice.dark_below = None;
    own.advice.small_below_px = Some(77);
    let written = writer()
        .policy(&Policy::default())
        .and_then(|writer| writer.policy(&own));
    let bytes = written
        .and_then(|writer| writer.to_bytes())
        .expect("a bundle");
    let bundle = Bundle::from_bytes(bytes).expect("opens");
    assert_eq!(bundle.policy(), &own);
    let again = BundleWriter::from_bundle(&bundle)
        .to_bytes()
        .expect("a bundle");
    assert_eq!(Bundle::from_bytes(again).expect("opens").policy(), &own);

    let with = |text: &str| writer().member("policy.json", text.into()).to_bytes();
    let newer = with(r#"{"version": 3, "listing": {}}"#).expect_err("refused");
    assert_eq!(newer.kind(), ErrorKind::BundleTooNew);
    let spread = r#"{"mean": 1, "deviation": 0.5}"#;
    let familiarity = format!(
        r#"{{"version": 2, "familiarity": {{"pass": 0.9, "threshold": -2, "largest_logit": {spread},
        "likeness": {spread}}}}}"#
    );
    for bad in [
        "{}",
        "[]",
        r#"{"version": 1, "advice": {"dark": 1}}"#,
        r#"{"version": 2, "verifications": {}}"#,
        r#"{"version": 2, "temperature": 0}"#,
        // Of labels that the bundle doesn't have.
        r#"{"version": 2, "verification": {"precision": 0.98, "match_from": {"sofa": 0.5}, "mismatch_ahead": 0.5,
        "mismatch_ahead_confusable": 0.9, "confusable": {}}}"#,
        // Without class_means.bin.
        &familiarity,
    ] {
        let error = with(bad).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Bundle, "{bad}");
        assert!(error.to_string().contains("policy.json"), "{error}");
    }
}

#[test]
fn every_changed_byte_is_noticed() {
    let bytes = tiny();
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xFF] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            assert!(Bundle::from_bytes(changed).is_err(), "byte {at} ^ {flip}");
        }
    }
}

#[test]
fn every_cut_and_every_addition_is_noticed() {
    let bytes = tiny();
    for length in 0..bytes.len() {
        let error = Bundle::from_bytes(bytes[..length].to_vec()).expect_err("cut");
        assert_eq!(error.kind(), ErrorKind::Bundle, "cut at {length}");
        let said = error.to_string();
        assert!(
            said.contains("cut short") || said.contains("empty"),
            "{length}: {said}"
        );
    }
    for more in [vec![0], vec![0; 64], vec![1]] {
        let longer = [bytes.clone(), more].concat();
        assert!(Bundle::from_bytes(longer).is_err());
    }
}

#[test]
fn a_newer_format_says_both_versions() {
    let mut bytes = tiny();
    bytes[8] = 9;
    let error = Bundle::from_bytes(bytes).expect_err("too new");
    assert_eq!(error.kind(), ErrorKind::BundleTooNew);
    let said = error.to_string();
    assert!(
        said.contains("version 9") && said.contains("up to 1"),
        "{said}"
    );
}

#[test]
fn other_files_are_no_bundles() {
    for other in [&b"hello"[..], b"PK\x03\x04", b"ETALASE", &[0; 200]] {
        let error = Bundle::from_bytes(other.to_vec()).expect_err("no bundle");
        assert_eq!(error.kind(), ErrorKind::Bundle);
    }
}

/// A file whose hashes are right and whose table is hostile.
fn with_table(table: &str, rest: &[u8]) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let mut file = b"ETALASE\0".to_vec();
    file.extend(1_u32.to_le_bytes());
    file.extend((table.len() as u32).to_le_bytes());
    let hash = Sha256::digest([&file, table.as_bytes()].concat());
    file.extend(hash);
    file.extend(table.as_bytes());
    file.extend(rest);
    file
}

#[test]
fn hostile_tables_are_refused() {
    let entry = |name: &str, offset: u64, bytes: u64| {
        format!(r#"{{"name":"{name}","offset":{offset},"bytes":{bytes},"sha256":""}}"#)
    };
    for entries in [
        entry("a", 0, 4),
        entry("a", u64::MAX - 63, 64),
        entry("a", 192, u64::MAX),
        entry("../a", 192, 0),
        entry("/a", 192, 0),
        entry("", 192, 0),
        entry("a\\\\b", 192, 0),
        entry("a", 192, 1 << 40),
    ] {
        let file = with_table(&format!(r#"{{"members":[{entries}]}}"#), &[0; 64]);
        let error = Bundle::from_bytes(file).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Bundle, "{entries}: {error}");
    }
    for table in ["", "{}", "[]", "null", r#"{"members":[]}"#, "\u{0}"] {
        assert!(
            Bundle::from_bytes(with_table(table, &[])).is_err(),
            "{table}"
        );
    }
    let mut huge = with_table("{}", &[]);
    huge[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(Bundle::from_bytes(huge).is_err());
}

#[test]
fn contradictions_are_not_written() {
    let refused = |manifest: Manifest, labels: BTreeMap<_, _>, part: &str| {
        let writer = BundleWriter::new(manifest, labels, serde_json::Value::Null, vec![1]);
        let error = writer.to_bytes().expect_err("refused").to_string();
        assert!(error.contains(part), "{error}");
    };
    let with_classes = |classes: &[&str]| Manifest {
        classes: classes.iter().map(|class| (*class).to_owned()).collect(),
        ..manifest()
    };
    refused(
        with_classes(&["hat", "shoe", "bag"]),
        labels(),
        "2 labels for 3 classes",
    );
    refused(with_classes(&["hat", "hat"]), labels(), "stands twice");
    refused(with_classes(&["hat", ""]), labels(), "class is \"\"");
    refused(with_classes(&["hat"]), labels(), "1 classes");
    let sizeless = Manifest {
        preprocess: Preprocess::u8_nhwc(0, 8, Fit::Stretch),
        ..manifest()
    };
    refused(sizeless, labels(), "0x8");

    let twice = writer().member("card.json", vec![]);
    assert!(
        twice
            .to_bytes()
            .expect_err("twice")
            .to_string()
            .contains("twice")
    );
    let climbing = writer().member("../x", vec![]);
    assert!(climbing.to_bytes().is_err());
}

#[test]
fn writing_is_all_or_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("b.etalase");
    writer().write_to(&path).expect("written");
    let bundle = Bundle::open(&path).expect("opens");
    assert_eq!(bundle.manifest().name, "tiny");
    let before = std::fs::read(&path).expect("read");
    assert!(writer().member("../x", vec![]).write_to(&path).is_err());
    assert_eq!(std::fs::read(&path).expect("read"), before);
    assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 1);
}
