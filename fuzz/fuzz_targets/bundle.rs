//! Any bytes as a bundle, opened as apps do, without ONNX. Bytes that begin as a bundle are taken as they are;
//! others describe one, which is put together with all its hashes right: a plan that mostly passes the
//! check, or the default bundle, each with some bytes of its members or of its table changed. Held to be true:
//!
//! - an error of the documented kinds, or a classifier;
//! - a grey photo gives finite scores, one a class, that sum to 1 within 1e-3, or the documented error of a network whose logits
//!   are no numbers; never a panic, caught or not;
//! - the same photo gives the same answer.
//!
//! Memory is left to `-rss_limit_mb`: core allows 1 GiB for a run and as much for packed weights.

#![no_main]

mod plan;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use arbitrary::{Arbitrary, Result, Unstructured};
use etalase::photo::{Photo, PixelFormat, Pixels};
use etalase::{Bundle, Classifier, EngineOptions, ErrorKind};
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const MAGIC: &[u8] = b"ETALASE\0";

const MODEL: &str = "model.onnx";
const PLAN: &str = "plan.bin";

/// Name and content.
type Member = (String, Vec<u8>);

/// What the default bundle holds.
static DEFAULT: LazyLock<Vec<Member>> = LazyLock::new(|| {
    let file: &'static [u8] = include_bytes!("../../models/default.etalase");
    let bundle = Bundle::from_static(file).expect("the default bundle");
    let names = bundle.members().iter().map(|member| member.name.clone());
    names
        .filter_map(|name| Some((name.clone(), bundle.member(&name)?.to_vec())))
        .collect()
});

/// Bytes of a member that are replaced, or put in between.
#[derive(Arbitrary, Debug)]
struct Edit {
    at: u32,
    removed: u8,
    put: Vec<u8>,
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let at = self.at as usize % (bytes.len() + 1);
        let end = at
            .saturating_add(usize::from(self.removed))
            .min(bytes.len());
        bytes.splice(at..end, self.put.iter().copied());
    }
}

fuzz_target!(
    init: {
        for opens in [members(&plan::plain()), DEFAULT.clone()] {
            let bundle = Bundle::from_bytes(container(&opens, &[])).expect("a bundle");
            Classifier::new(bundle, &EngineOptions::default())
                .expect("a plan of this version: fuzz_targets/plan.rs mirrors core's types");
        }
    },
    |bytes: &[u8]| -> Corpus {
        let file = match bytes.starts_with(MAGIC) {
            true => bytes.to_vec(),
            false => match described(&mut Unstructured::new(bytes)) {
                Ok(file) => file,
                Err(_) => return Corpus::Reject,
            },
        };
        check(file);
        Corpus::Keep
    }
);

fn check(file: Vec<u8>) {
    let bundle = match Bundle::from_bytes(file) {
        Ok(bundle) => bundle,
        Err(error) => {
            return documented(error.kind(), &[ErrorKind::Bundle, ErrorKind::BundleTooNew]);
        }
    };
    let classifier = match Classifier::new(bundle, &EngineOptions::default()) {
        Ok(classifier) => classifier,
        Err(error) => return documented(error.kind(), &[ErrorKind::Bundle, ErrorKind::Model]),
    };
    let grey = [128; 64];
    let photo = Photo::from(Pixels::packed(PixelFormat::Grey, 8, 8, 8, &grey).expect("pixels"));
    let answer = match classifier.classify_photo(&photo) {
        Ok(answer) => answer,
        Err(error) => return documented(error.kind(), &[ErrorKind::Model]),
    };
    let classes = classifier.bundle().manifest().classes.len();
    assert_eq!(answer.scores.len(), classes);
    assert!(
        answer
            .scores
            .iter()
            .all(|score| (0.0..=1.0).contains(score)),
        "{:?}",
        answer.scores
    );
    let sum: f32 = answer.scores.iter().sum();
    assert!((sum - 1.0).abs() <= 1e-3, "scores sum to {sum}");
    let familiarity = answer.familiarity.unwrap_or(0.0);
    assert!(
        (0.0..=1.0).contains(&familiarity),
        "familiarity {familiarity}"
    );
    let again = classifier.classify_photo(&photo).expect("answered before");
    assert_eq!(again.scores, answer.scores);
    assert_eq!(again.familiarity, answer.familiarity);
}

fn documented(kind: ErrorKind, kinds: &[ErrorKind]) {
    assert!(kinds.contains(&kind), "{kind}");
}

/// A bundle's file by its description.
fn described(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut members = match u.ratio(1, 16)? {
        true => DEFAULT.clone(),
        false => members(&plan::any(u)?),
    };
    let mut edits: Vec<(u8, Edit)> = Vec::new();
    // What is left of the bytes are edits; most bundles have none.
    while u.len() > 4 && edits.len() < 4 {
        edits.push(u.arbitrary()?);
    }
    let mut table_edits = Vec::new();
    for (place, edit) in &edits {
        match place % 16 {
            8..=11 => {
                if let Some(plan) = content(&mut members, PLAN) {
                    plan::edit(plan, |body| edit.apply(body));
                }
            }
            12..=13 => {
                if let Some(model) = content(&mut members, MODEL) {
                    edit.apply(model);
                    let sha256 = Sha256::digest(&*model).into();
                    content(&mut members, PLAN).map(|plan| plan::belongs_to(plan, &sha256));
                }
            }
            14..=15 => table_edits.push(edit),
            member => {
                if let Some((_, content)) = members.get_mut(usize::from(member)) {
                    edit.apply(content);
                }
            }
        }
    }
    Ok(container(&members, &table_edits))
}

fn content<'a>(members: &'a mut [Member], name: &str) -> Option<&'a mut Vec<u8>> {
    members
        .iter_mut()
        .find(|(member, _)| member == name)
        .map(|(_, content)| content)
}

/// All that a bundle of this plan has: names and contents.
fn members(plan: &plan::Plan) -> Vec<Member> {
    let classes: Vec<String> = (0..plan.tensors[plan.output].channels)
        .map(|class| format!("c{class}"))
        .collect();
    let [_, height, width, _] = plan.input.shape[..] else {
        unreachable!("an image");
    };
    let input = match plan.input.kind {
        plan::TensorType::F32 => json!({"f32": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}}),
        _ => json!("u8"),
    };
    let manifest = json!({
        "name": "n", "version": "1", "backbone": "b", "classes": classes,
        "preprocess": {
            "width": width, "height": height, "fit": "letterbox", "fill": 128,
            "colour": "rgb", "layout": "nhwc", "input": input,
        },
    });
    let match_from: BTreeMap<&String, f32> = classes.iter().map(|class| (class, 0.5)).collect();
    let policy = json!({
        "version": 2,
        "temperature": 1.5,
        "advice": {"dark_below": 0.1},
        "verification": {
            "precision": 0.98, "match_from": match_from, "mismatch_ahead": 0.5,
            "mismatch_ahead_confusable": 0.9, "confusable": {},
        },
    });
    let text = |value: Value| value.to_string().into_bytes();
    let model: Vec<u8> = (0..plan::MODEL_BYTES)
        .map(|at| (at * 31 % 251) as u8)
        .collect();
    let plan = plan::bytes(plan, &Sha256::digest(&model).into());
    let members = [
        ("manifest.json", text(manifest)),
        ("policy.json", text(policy)),
        ("labels.json", text(json!({"en": classes}))),
        ("card.json", text(json!({}))),
        (MODEL, model),
        (PLAN, plan),
    ];
    members
        .map(|(name, content)| (name.to_owned(), content))
        .to_vec()
}

/// The file: ARCHITECTURE.md, "The bundle: one file". By this file's own arithmetic: what core would refuse to write is wanted here.
fn container(members: &[Member], table_edits: &[&Edit]) -> Vec<u8> {
    let hex = |bytes: &[u8]| {
        Sha256::digest(bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    // Room for the table, which spaces fill up.
    let table_bytes = 48_usize + 208 * members.len();
    let mut at = 48 + table_bytes;
    let mut entries = Vec::new();
    for (name, content) in members {
        at = at.next_multiple_of(64);
        entries.push(
            json!({"name": name, "offset": at, "bytes": content.len(), "sha256": hex(content)}),
        );
        at += content.len();
    }
    let mut table = json!({"members": entries}).to_string().into_bytes();
    assert!(table.len() <= table_bytes);
    table.resize(table_bytes, b' ');
    table_edits.iter().for_each(|edit| edit.apply(&mut table));
    let head = [
        MAGIC,
        &1_u32.to_le_bytes(),
        &(table.len() as u32).to_le_bytes(),
    ]
    .concat();
    let mut hash = Sha256::new();
    hash.update(&head);
    hash.update(&table);
    let mut file = [&head[..], &hash.finalize(), &table].concat();
    for (_, content) in members {
        file.resize(file.len().next_multiple_of(64), 0);
        file.extend(content);
    }
    file
}
