//! A run that is under way, on disk: what going on takes after a power cut, a kill or Ctrl-C.
//!
//! One safetensors file beside the checkpoint: weights, their average, the optimizer's moments, and in its header where
//! the run stands and what it is a run of. It is written beside its place and renamed, so that whatever ends the process
//! leaves the last one whole. Random numbers need no place in it: every step draws from the seed and its own number.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tch::Device;

use super::average::Average;
use super::epoch::{Learner, Sums};
use super::history::{HISTORY, History};
use super::optimizer::AdamW;
use crate::files::read_json;
use crate::network::{to_array, to_tensor};
use crate::weights::{self, Array, Weights};
use crate::wording::first_three;

/// Name of the file in a run's folder.
pub const STATE: &str = "state.safetensors";
/// Key of the header's description.
const KEY: &str = "etalase-run";

/// What to do where a folder holds a run already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// Say so and do nothing.
    #[default]
    New,
    /// Go on with it; begin where there is none.
    Resume,
    /// Begin anew, what is there goes.
    Restart,
}

/// Where a run stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Place {
    /// What it is a run of: only the same can go on.
    pub(super) identity: Value,
    /// The epoch that is under way, from 1.
    pub(super) epoch: usize,
    /// The steps that it has done.
    pub(super) step: usize,
    /// What they summed up to.
    pub(super) sums: Sums,
    /// Steps of the optimizer.
    pub(super) adam_steps: i32,
    /// The epochs that are done.
    pub(super) history: History,
    /// Accuracy and loss of the checkpoint that was kept.
    pub(super) best: Option<(f64, f64)>,
}

/// A run's place and tensors.
pub(super) struct State {
    pub(super) place: Place,
    tensors: Weights,
}

/// What of a run's folder a new start finds.
pub(super) enum Found {
    Nothing,
    Unfinished(Box<State>),
    Finished,
}

/// Whether the folder holds a finished run.
fn finished(out: &Path) -> Result<Option<History>> {
    let path = out.join(HISTORY);
    if !path.exists() {
        return Ok(None);
    }
    let history: History = read_json(&path)?;
    Ok(history.finished.then_some(history))
}

/// Refuses a folder that holds a run already, where nothing says what to do with it: before any photo is decoded.
pub(super) fn check_folder(out: &Path, start: Start) -> Result<()> {
    if start != Start::New {
        return Ok(());
    }
    let held = match finished(out)? {
        Some(_) => "a finished",
        None if out.join(STATE).exists() => "an unfinished",
        None => return Ok(()),
    };
    bail!(
        "{} holds {held} run: --resume goes on with it, --restart begins anew",
        out.display()
    )
}

/// What a run with this identity finds in its folder; one of something else cannot be resumed.
pub(super) fn find(out: &Path, start: Start, identity: &Value) -> Result<Found> {
    let state = out.join(STATE);
    match start {
        Start::New => Ok(Found::Nothing),
        Start::Restart => {
            for path in [&state, &out.join(HISTORY)] {
                if path.exists() {
                    std::fs::remove_file(path)
                        .with_context(|| format!("cannot remove {}", path.display()))?;
                }
            }
            Ok(Found::Nothing)
        }
        Start::Resume => {
            if let Some(history) = finished(out)? {
                same(&history.identity, identity, out)?;
                return Ok(Found::Finished);
            }
            if !state.exists() {
                return Ok(Found::Nothing);
            }
            let found = State::load(&state)?;
            same(&found.place.identity, identity, out)?;
            Ok(Found::Unfinished(Box::new(found)))
        }
    }
}

/// Refuses to go on with a run of something else, naming what differs.
fn same(theirs: &Value, ours: &Value, out: &Path) -> Result<()> {
    let mut different = Vec::new();
    differences("", theirs, ours, &mut different);
    if different.is_empty() {
        return Ok(());
    }
    bail!(
        "the run in {} is another one, it cannot be resumed so: {}",
        out.display(),
        first_three(different)
    )
}

fn differences(name: &str, theirs: &Value, ours: &Value, all: &mut Vec<String>) {
    match (theirs, ours) {
        (Value::Object(a), Value::Object(b)) => {
            let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in names {
                let at =
                    |of: &serde_json::Map<String, Value>| of.get(key).cloned().unwrap_or_default();
                let name = if name.is_empty() {
                    key.clone()
                } else {
                    format!("{name}.{key}")
                };
                differences(&name, &at(a), &at(b), all);
            }
        }
        (a, b) if a == b => {}
        (a, b) => all.push(format!("{name} was {a}, is {b}")),
    }
}

impl State {
    /// A copy of where a run stands.
    pub(super) fn of_run(place: &Place, learner: &Learner) -> Result<State> {
        let mut tensors = Weights::new();
        for (name, tensor) in learner.network.named() {
            tensors.insert(format!("weight/{name}"), to_array(tensor)?);
        }
        for (name, array) in learner.average.weights()? {
            tensors.insert(format!("average/{name}"), array);
        }
        for (name, mean, square) in learner.adamw.moments() {
            tensors.insert(format!("mean/{name}"), to_array(&mean)?);
            tensors.insert(format!("square/{name}"), to_array(&square)?);
        }
        let place = place.clone();
        Ok(State { place, tensors })
    }

    /// Writes it into a run's folder.
    pub(super) fn save(&self, out: &Path) -> Result<()> {
        let metadata = HashMap::from([(KEY.to_owned(), serde_json::to_string(&self.place)?)]);
        weights::save(&out.join(STATE), &self.tensors, metadata)
    }

    fn load(path: &Path) -> Result<State> {
        let (tensors, metadata) = weights::load(path)?;
        let place = metadata
            .get(KEY)
            .and_then(|text| serde_json::from_str(text).ok());
        let place = place.with_context(|| {
            format!(
                "{} is not the state of a run of this version: --restart begins anew",
                path.display()
            )
        })?;
        Ok(State { place, tensors })
    }

    /// The tensors of one kind.
    fn of(&self, kind: &str) -> Weights {
        let named = |(name, array): (&String, &Array)| {
            let name = name.strip_prefix(kind)?.strip_prefix('/')?;
            Some((name.to_owned(), array.clone()))
        };
        self.tensors.iter().filter_map(named).collect()
    }

    /// The weights as the last step left them.
    pub(super) fn weights(&self) -> Weights {
        self.of("weight")
    }

    /// Their average.
    pub(super) fn average(&self, device: Device) -> Average {
        Average::from_weights(&self.of("average"), device)
    }

    /// The optimizer as the last step left it.
    pub(super) fn restore(&self, adamw: &mut AdamW) -> Result<()> {
        adamw.restore(self.place.adam_steps, |name| {
            let moment = |kind: &str| {
                let array = self.tensors.get(&format!("{kind}/{name}"));
                array
                    .map(to_tensor)
                    .with_context(|| format!("{STATE} lacks the {kind} of {name}"))
            };
            Ok((moment("mean")?, moment("square")?))
        })
    }
}
