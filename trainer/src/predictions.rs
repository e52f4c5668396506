//! What a bundle answers to each photo: the figures over all, and `predictions.csv` beside them, in the form of
//! `etalase eval --csv`.

use std::path::Path;

use anyhow::{Context, Result};
use etalase::Evidence;
use etalase::bundle::Bundle;
use etalase::decision::top_k;
use etalase::evaluation::{Evaluation, Metrics};
use serde::{Deserialize, Serialize};

use crate::data::Labelled;
use crate::files;

/// Name of the answers in a run's folder.
pub const PREDICTIONS: &str = "predictions.csv";

/// The answer to one photo.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// The file.
    pub photo: String,
    /// What it shows.
    pub label: String,
    /// What it was taken for.
    pub predicted: String,
    /// The score of that, 0 to 1.
    pub score: f32,
}

/// The answers of a bundle whose network has seen labelled photos, and their figures: `seen` is in the photos' order.
pub fn judged(
    bundle: &Bundle,
    photos: &[Labelled],
    seen: &[(usize, Evidence)],
) -> Result<(Metrics, Vec<Prediction>)> {
    let classes = &bundle.manifest().classes;
    let mut evaluation = Evaluation::new(classes.clone());
    let mut predictions = Vec::with_capacity(photos.len());
    for (photo, (class, evidence)) in photos.iter().zip(seen) {
        let scores = bundle.judge().scores(&evidence.logits)?;
        evaluation.record(*class, &scores)?;
        if let Some(&best) = top_k(&scores, 1).first() {
            predictions.push(Prediction {
                photo: photo.path.to_string_lossy().into_owned(),
                label: photo.class.clone(),
                predicted: classes[best].clone(),
                score: scores[best],
            });
        }
    }
    Ok((evaluation.metrics(), predictions))
}

/// Writes `photo,label,predicted,score`, a line a photo.
pub fn write(path: &Path, predictions: &[Prediction]) -> Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for prediction in predictions {
        writer.serialize(prediction)?;
    }
    let written = writer.into_inner();
    let text = written.with_context(|| format!("cannot write {}", path.display()))?;
    files::write(path, &text)
}

/// Reads it back.
pub fn read(path: &Path) -> Result<Vec<Prediction>> {
    let text = etalase::files::read(path)?;
    let mut reader = csv::Reader::from_reader(text.as_slice());
    let rows: csv::Result<Vec<Prediction>> = reader.deserialize().collect();
    rows.with_context(|| format!("{} holds no predictions", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_back_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(PREDICTIONS);
        let prediction = Prediction {
            photo: "a, \"b\".jpg".into(),
            label: "a<b & c".into(),
            predicted: "d".into(),
            score: 0.123_456_79,
        };
        write(&path, std::slice::from_ref(&prediction)).unwrap();
        assert_eq!(read(&path).unwrap(), [prediction]);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("photo,label,predicted,score\n"), "{text}");
    }
}
