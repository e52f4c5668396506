//! What is done until int8 costs no more accuracy than a budget allows.
//!
//! First others of the climb are tried that judges found nearly as close as the one it ended with, then fine-tuning, and
//! values are left in float one by one. Of the [`Prepared`] only the network, its weights and the errors of what was chosen
//! count here: an attempt can be of other ranges.

use std::mem;

use anyhow::{Result, ensure};

use super::Step;
use super::climb::Climb;
use super::judge::{Attempt, Judge};
use super::prepared::Prepared;
use crate::quantize::fine_tune;
use crate::quantize::report::Gain;

/// Decibels on the judges below the network that the climb ended with, within which another may be the closer one on
/// other photos.
const AS_GOOD_DB: f64 = 0.5;
/// Values that may be left in float.
const MOST_IN_FLOAT: usize = 8;

/// How many points of validation accuracy int8 may cost, and the photos to measure it on.
pub struct Budget<'a> {
    pub most: f64,
    pub validation: &'a Judge<'a>,
}

/// A network and the points of validation accuracy that it costs.
struct Costed {
    attempt: Attempt,
    points: f64,
}

impl Budget<'_> {
    fn cost(&self, attempt: Attempt) -> Result<Costed> {
        let points = self.validation.compare(&attempt.model)?.points_lost();
        Ok(Costed { attempt, points })
    }

    fn is_met_by(&self, costed: &Costed) -> bool {
        costed.points <= self.most
    }
}

impl Climb<'_> {
    /// Goes on from `best` until the budget is met, or says that it is not.
    pub fn meet(&mut self, budget: &Budget, prepared: &Prepared, best: Attempt) -> Result<Attempt> {
        let mut best = budget.cost(best)?;
        if let Some(gain) = self.gains.iter_mut().rfind(|gain| gain.kept) {
            gain.points_lost = Some(best.points);
        }
        best = self.as_good(budget, best)?;
        if !budget.is_met_by(&best) && self.options.tries(Step::FineTune) {
            best = self.fine_tuned(budget, prepared, best)?;
        }
        if self.options.tries(Step::Float) {
            best = self.partly_in_float(budget, prepared, best)?;
        }
        ensure!(
            budget.is_met_by(&best),
            "int8 costs {:.2} points of validation accuracy, {} at most are allowed: after {}",
            best.points,
            budget.most,
            self.gains
                .iter()
                .map(|gain| gain.step.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        );
        Ok(best.attempt)
    }

    /// What was put by and is nearly as close to the judges: it is there already, and which of two such networks has a
    /// photo more right is chance's to say.
    fn as_good(&mut self, budget: &Budget, mut best: Costed) -> Result<Costed> {
        let mut others = mem::take(&mut self.spare);
        others.retain(|other| other.decibels >= best.attempt.decibels - AS_GOOD_DB);
        others.sort_by(|a, b| b.decibels.total_cmp(&a.decibels));
        for other in others {
            if budget.is_met_by(&best) {
                break;
            }
            let step = format!("instead: {}", other.step);
            let other = budget.cost(Attempt { step, ..other })?;
            let kept = other.points < best.points;
            self.note_costed(&other, kept);
            if kept {
                best = other;
            }
        }
        Ok(best)
    }

    fn fine_tuned(&mut self, budget: &Budget, prepared: &Prepared, best: Costed) -> Result<Costed> {
        let mut quantized = best.attempt.quantized.clone();
        fine_tune(
            &prepared.network,
            &mut quantized,
            self.photos,
            self.folded.normalization,
        )?;
        let new = budget.cost(self.judge.attempt(Step::FineTune.name(), quantized)?)?;
        let closer = new.attempt.decibels > best.attempt.decibels;
        let kept = new.points < best.points || new.points == best.points && closer;
        self.note_costed(&new, kept);
        Ok(if kept { new } else { best })
    }

    /// One value after the other in float, those first whose rounding changes the logits most, by ranges before headroom.
    fn partly_in_float(
        &mut self,
        budget: &Budget,
        prepared: &Prepared,
        mut best: Costed,
    ) -> Result<Costed> {
        let graph = &self.folded.graph;
        let worst_first = prepared.levels.choices.worst_first();
        for id in worst_first.into_iter().take(MOST_IN_FLOAT) {
            if budget.is_met_by(&best) {
                break;
            }
            let mut quantized = best.attempt.quantized.clone();
            quantized.leave_in_float(graph, &prepared.weights, id)?;
            let name = graph.layers[id].name.clone();
            let step = format!("{} {name}", Step::Float);
            let mut new = self.judge.attempt(step, quantized)?;
            new.in_float = [best.attempt.in_float, vec![name]].concat();
            best = budget.cost(new)?;
            self.note_costed(&best, true);
        }
        Ok(best)
    }

    /// Writes down what a step of a budget came to.
    fn note_costed(&mut self, new: &Costed, kept: bool) {
        self.gains.push(Gain {
            points_lost: Some(new.points),
            ..new.attempt.gain(kept)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::climb::tests::{climb, near_and_far};
    use super::super::{Options, Step};
    use super::*;
    use crate::quantize::core_logits;

    /// The float network is taken to say what the well rounded one does.
    #[test]
    fn a_budget_comes_back_to_what_judges_found_as_good() {
        let options = Options {
            without: vec![Step::FineTune, Step::Float],
            max_drop: Some(0.0),
            ..Options::default()
        };
        let (folded, mut photos, prepared, [near, far]) = near_and_far(&options);
        let [near, far] = [("near", near), ("far", far)].map(|(name, quantized)| {
            let model = folded.model(&quantized).unwrap();
            let logits = core_logits(&model, &photos, "test").unwrap();
            (name, quantized, logits)
        });
        photos.targets = near.2.argmax(1, false);
        assert_ne!(photos.targets, far.2.argmax(1, false));
        let budget = Budget {
            most: 0.0,
            validation: &Judge {
                folded: &folded,
                photos: &photos,
                float: near.2,
            },
        };
        for (decibels, as_good) in [(29.6, true), (29.4, false)] {
            let mut climb = climb(&folded, &photos, &prepared, &options);
            let [near, mut far] = [(near.0, &near.1), (far.0, &far.1)].map(|(name, quantized)| {
                let attempt = climb.judge.attempt(name, quantized.clone());
                attempt.unwrap()
            });
            far.decibels = 30.0;
            // As near and as bad, and one that is not needed any more.
            for (step, decibels) in [("worse", 29.9), ("needless", 29.55)] {
                climb.put_by(Attempt {
                    step: step.to_owned(),
                    quantized: far.quantized.clone(),
                    model: far.model.clone(),
                    decibels,
                    in_float: Vec::new(),
                });
            }
            climb.put_by(Attempt { decibels, ..near });
            let met = climb.meet(&budget, &prepared, far);
            match as_good {
                true => {
                    assert_eq!(met.unwrap().step, "instead: near");
                    let gains: Vec<_> = climb.gains.iter().map(|g| (&g.step[..], g.kept)).collect();
                    assert_eq!(gains, [("instead: worse", false), ("instead: near", true)]);
                    assert!(climb.gains[0].points_lost > Some(0.0));
                    assert_eq!(climb.gains[1].points_lost, Some(0.0));
                    assert_eq!(climb.gains[1].remarks(), ["0.00 points of accuracy lost"]);
                }
                false => {
                    assert!(met.is_err());
                    assert!(climb.gains.iter().all(|gain| !gain.kept));
                }
            }
        }
    }
}
