//! What a bundle answers to each photo: the figures over all, and `predictions.csv` beside them, in the form of
//! `etalase eval --csv`.

use std::path::Path;

use anyhow::{Context, Result};
use etalase::Classifier;
use etalase::evaluation::{Evaluation, Metrics};
use serde::{Deserialize, Serialize};

use crate::data::Labelled;
use crate::files;
use crate::progress;

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

/// Runs a bundle over labelled photos through core, exactly as a phone would, and measures its answers.
pub fn classify(
    classifier: &Classifier,
    photos: &[Labelled],
) -> Result<(Metrics, Vec<Prediction>)> {
    let classes = &classifier.bundle().manifest().classes;
    let mut evaluation = Evaluation::new(classes.clone());
    let mut predictions = Vec::with_capacity(photos.len());
    let bar = progress::bar(photos.len() as u64, "classifying with core");
    for photo in photos {
        let bytes = etalase::files::read(&photo.path)?;
        let answer = classifier
            .classify(&bytes)
            .map_err(|e| e.context(photo.path.display()))?;
        let truth = classes.iter().position(|class| *class == photo.class);
        evaluation.record(
            truth.with_context(|| format!("{:?} is no class of the bundle", photo.class))?,
            &answer.scores,
        )?;
        if let Some(&(class, score)) = answer.top(1).first() {
            predictions.push(Prediction {
                photo: photo.path.to_string_lossy().into_owned(),
                label: photo.class.clone(),
                predicted: classes.get(class).cloned().unwrap_or_default(),
                score,
            });
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
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
