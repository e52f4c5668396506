//! What a run is a run of: only the same can go on with it ([`super::state`]).

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::draw;
use super::fit::Job;
use crate::data::Dataset;

/// What decides a run's end.
pub(super) fn identity(
    job: &Job,
    classes: &[String],
    train: &Dataset,
    validation: &Dataset,
) -> Value {
    let photos = |dataset: &Dataset| {
        let mut digest = Sha256::new();
        dataset.hashes.iter().for_each(|hash| digest.update(hash));
        let targets = Vec::<i64>::try_from(&dataset.targets).unwrap_or_default();
        targets
            .iter()
            .for_each(|target| digest.update(target.to_le_bytes()));
        hex(&digest.finalize())
    };
    let mut weights = Sha256::new();
    for (name, array) in &job.features {
        weights.update(name);
        array
            .data
            .iter()
            .for_each(|value| weights.update(value.to_le_bytes()));
    }
    json!({
        "backbone": job.backbone.name(),
        "classes": classes,
        "preprocess": job.preprocess,
        "recipe": job.recipe,
        "precision": format!("{:?}", job.precision),
        "teachers": job.teachers.digests(),
        "training photos": photos(train),
        "validation photos": photos(validation),
        "first weights": hex(&weights.finalize()),
        "random numbers": draw::SCHEME,
    })
}

/// The first 8 bytes of a digest.
pub(super) fn hex(digest: &[u8]) -> String {
    digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
