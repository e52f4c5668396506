//! From a checkpoint and calibration photos to an int8 network, step by step; a step is kept where it pays.
//!
//! What costs minutes and nothing on the phone is always tried (`climb`): bias correction, equalization, rounding with
//! feedback, learned rounding, wider ranges (`headroom`). Each is judged by the logits of calibration photos that it is not
//! made from, computed as a phone computes them, beside the float network's (`judge`). A budget goes further where these
//! are not enough (`budget`): to what judges found as good, to fine-tuning, and as the last resort to values left in float.

mod budget;
mod climb;
mod folded;
mod headroom;
mod judge;
mod prepared;

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};

use super::range::Method;

pub use folded::{Folded, Outcome};

/// What can be done for an int8 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Biases take up what rounding does to the means of channels.
    Correct,
    /// Channels are brought to one magnitude and to the middle of their levels.
    Equalize,
    /// Weights are rounded with feedback instead of each to the nearest level.
    Feedback,
    /// Which of the two levels around each weight is taken is learned.
    Learn,
    /// Ranges are wider than calibration photos ask for: others go beyond them.
    Headroom,
    /// The int8 network learns the float network's logits. Only for a budget.
    FineTune,
    /// Single values stay in float. Only for a budget.
    Float,
}

impl Step {
    /// All of them, in their order.
    pub const ALL: [Step; 7] = [
        Step::Correct,
        Step::Equalize,
        Step::Feedback,
        Step::Learn,
        Step::Headroom,
        Step::FineTune,
        Step::Float,
    ];

    /// As the command line and reports say it.
    pub fn name(self) -> &'static str {
        match self {
            Step::Correct => "bias-correction",
            Step::Equalize => "equalization",
            Step::Feedback => "feedback",
            Step::Learn => "learned-rounding",
            Step::Headroom => "headroom",
            Step::FineTune => "fine-tuning",
            Step::Float => "float",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Step {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Step> {
        let known = Step::ALL.into_iter().find(|step| step.name() == name);
        match known {
            Some(step) => Ok(step),
            None => bail!(
                "{name:?} is no step; known: {}",
                Step::ALL.map(Step::name).join(", ")
            ),
        }
    }
}

/// Which steps are taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Ways to choose ranges; of several the best for each tensor.
    pub ranges: Vec<Method>,
    /// Steps that are not tried.
    pub without: Vec<Step>,
    /// How many points of validation accuracy int8 may cost; the steps that only a budget asks for are taken until it
    /// does not cost more.
    pub max_drop: Option<f64>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            ranges: Method::ALL.to_vec(),
            without: Vec::new(),
            max_drop: None,
        }
    }
}

impl Options {
    /// Plain rounding, ranges by one method.
    pub fn plain(method: Method) -> Options {
        Options {
            ranges: vec![method],
            without: Step::ALL.to_vec(),
            max_drop: None,
        }
    }

    fn tries(&self, step: Step) -> bool {
        !self.without.contains(&step)
    }
}
