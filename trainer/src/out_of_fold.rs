//! What networks answer to photos of senders that they were not trained on: out-of-fold predictions.
//!
//! Every photo is answered by the network of the one fold that left its sender out, so that all photos count as unseen,
//! not only those of one small split. Thresholds are fitted on these, too.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use etalase::decision::softmax;
use etalase::evaluation::{Evaluation, Metrics};
use serde::{Deserialize, Serialize};

use crate::files;
use crate::policy::Known;

/// Name of the figures in a folder.
pub const CROSS_VALIDATION: &str = "cross_validation.json";
/// Every photo's logits, beside them.
pub const OUT_OF_FOLD: &str = "out_of_fold.csv";

/// What stands before the logits.
const COLUMNS: [&str; 4] = ["photo", "sender", "fold", "label"];

/// The answer to one photo.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The file.
    pub photo: String,
    /// Who sent it.
    pub sender: String,
    /// What it shows, an index of the classes.
    pub class: usize,
    /// The fold that held it out, from 1.
    pub fold: usize,
    /// One a class.
    pub logits: Vec<f32>,
}

/// The figures.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CrossValidation {
    /// Each fold's own.
    pub folds: Vec<Fold>,
    /// Share of all photos answered rightly.
    pub accuracy: f64,
    /// Its standard error, with photos of one sender as one draw.
    pub standard_error: f64,
    /// Over all photos.
    pub metrics: Metrics,
}

/// One fold's figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fold {
    /// From 1.
    pub fold: usize,
    /// Photos held out.
    pub photos: usize,
    /// Share of them answered rightly.
    pub accuracy: f64,
}

impl Answer {
    fn is_right(&self) -> bool {
        let best = self.logits.iter().enumerate();
        best.max_by(|(_, a), (_, b)| a.total_cmp(b))
            .is_some_and(|(class, _)| class == self.class)
    }
}

/// Sums answers up.
pub fn measure(answers: &[Answer], classes: &[String]) -> Result<CrossValidation> {
    let mut evaluation = Evaluation::new(classes.to_vec());
    let mut folds: BTreeMap<usize, Vec<bool>> = BTreeMap::new();
    let mut senders: BTreeMap<&str, Vec<bool>> = BTreeMap::new();
    for answer in answers {
        evaluation.record(answer.class, &softmax(&answer.logits)?)?;
        let right = answer.is_right();
        folds.entry(answer.fold).or_default().push(right);
        senders.entry(&answer.sender).or_default().push(right);
    }
    let metrics = evaluation.metrics();
    let share = |right: &[bool]| right.iter().filter(|r| **r).count() as f64 / right.len() as f64;
    let off = |right: &Vec<bool>| (share(right) - metrics.accuracy) * right.len() as f64;
    let squares: f64 = senders.values().map(|right| off(right).powi(2)).sum();
    Ok(CrossValidation {
        folds: folds
            .iter()
            .map(|(&fold, right)| Fold {
                fold,
                photos: right.len(),
                accuracy: share(right),
            })
            .collect(),
        accuracy: metrics.accuracy,
        standard_error: squares.sqrt() / answers.len() as f64,
        metrics,
    })
}

/// Writes `photo,sender,fold,label` and a logit a class, a line a photo.
pub fn write(path: &Path, answers: &[Answer], classes: &[String]) -> Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(
        COLUMNS
            .into_iter()
            .chain(classes.iter().map(String::as_str)),
    )?;
    for answer in answers {
        let label = classes
            .get(answer.class)
            .context("a class without a name")?;
        let own = [
            answer.photo.clone(),
            answer.sender.clone(),
            answer.fold.to_string(),
            label.clone(),
        ];
        let logits = answer.logits.iter().map(f32::to_string);
        writer.write_record(own.into_iter().chain(logits))?;
    }
    let text = writer.into_inner();
    let text = text.with_context(|| format!("cannot write {}", path.display()))?;
    files::write(path, &text)
}

/// Reads the answers back, for these classes in this order.
pub fn read(path: &Path, classes: &[String]) -> Result<Vec<Known>> {
    let text = etalase::files::read(path)?;
    let name = || path.display().to_string();
    let mut reader = csv::Reader::from_reader(text.as_slice());
    let header = reader.headers().with_context(name)?.clone();
    let theirs: Vec<&str> = header.iter().skip(COLUMNS.len()).collect();
    ensure!(
        theirs == classes,
        "{} tells of the classes {}; the bundle's are {}",
        name(),
        theirs.join(", "),
        classes.join(", ")
    );
    let answer = |row: csv::Result<csv::StringRecord>| -> Result<Known> {
        let row = row?;
        let label = row.get(3).unwrap_or_default();
        let class = classes.iter().position(|class| class == label);
        let class = class.with_context(|| format!("{label:?} is no class"))?;
        let logits = row.iter().skip(COLUMNS.len()).map(str::parse);
        let logits = logits.collect::<std::result::Result<Vec<f32>, _>>()?;
        ensure!(
            logits.iter().all(|logit| logit.is_finite()),
            "a logit of {} is no number",
            row.get(0).unwrap_or_default()
        );
        Ok(Known {
            class,
            logits,
            features: Vec::new(),
        })
    };
    let answers = reader.records().map(answer).collect::<Result<Vec<_>>>();
    answers.with_context(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(sender: &str, fold: usize, class: usize, logits: [f32; 2]) -> Answer {
        Answer {
            photo: format!("{sender}.jpg"),
            sender: sender.into(),
            class,
            fold,
            logits: logits.into(),
        }
    }

    #[test]
    fn folds_add_up_and_a_sender_is_one_draw() {
        let classes = ["hat".to_owned(), "shoe".to_owned()];
        // Sender x: two right; sender y: two wrong; as good as two draws.
        let answers = [
            answer("x", 1, 0, [1.0, 0.0]),
            answer("x", 1, 1, [0.0, 2.0]),
            answer("y", 2, 0, [0.0, 1.0]),
            answer("y", 2, 1, [3.0, 1.0]),
        ];
        let all = measure(&answers, &classes).unwrap();
        assert_eq!((all.accuracy, all.metrics.photos), (0.5, 4));
        let accuracies: Vec<f64> = all.folds.iter().map(|fold| fold.accuracy).collect();
        assert_eq!(accuracies, [1.0, 0.0]);
        assert!((all.standard_error - (0.5_f64 * 0.5 / 2.0).sqrt()).abs() < 1e-12);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(OUT_OF_FOLD);
        write(&path, &answers, &classes).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("photo,sender,fold,label,hat,shoe\nx.jpg,x,1,hat,1,0\n"));
        let back = read(&path, &classes).unwrap();
        let first = Known {
            class: 0,
            logits: vec![1.0, 0.0],
            features: Vec::new(),
        };
        assert_eq!((back.len(), &back[0]), (4, &first));
        let swapped = [classes[1].clone(), classes[0].clone()];
        let error = read(&path, &swapped).unwrap_err().to_string();
        assert!(error.contains("the bundle's are shoe, hat"), "{error}");
    }
}
