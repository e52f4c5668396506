//! What a bundle wants to be made of its network's answers and of a photo's measures.
//!
//! The member `policy.json`: `{"version": 2, "advice": {"dark_below": 0.12, …}, "temperature": 0.74, "verification":
//! {…}, "familiarity": {…}}`. A bundle without one gets the default, a threshold of advice that is `null` gives none.

use serde::{Deserialize, Serialize};

use super::familiarity::FamiliarityPolicy;
use super::verdict::VerificationPolicy;
use crate::photo::Measures;

/// The newest version of `policy.json` that this library reads. Version 1 knew advice alone.
pub const POLICY_VERSION: u32 = 2;

/// How a bundle's answers are to be read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// At most [`POLICY_VERSION`].
    pub version: u32,
    /// When a photo deserves a remark.
    #[serde(default)]
    pub advice: AdvicePolicy,
    /// Logits are divided by it before softmax, so that scores hold as probabilities (Guo et al. 2017,
    /// arXiv:1706.04599).
    #[serde(default = "one")]
    pub temperature: f64,
    /// What verdicts go by; without, none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<VerificationPolicy>,
    /// What is familiar; without, nothing is said of it. Needs the bundle's member `class_means.bin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub familiarity: Option<FamiliarityPolicy>,
}

fn one() -> f64 {
    1.0
}

/// Thresholds of [`Measures`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdvicePolicy {
    /// Too dark below this brightness.
    pub dark_below: Option<f32>,
    /// Washed out above this share of highlights.
    pub bright_above: Option<f32>,
    /// Blurred below this sharpness.
    pub blurred_below: Option<f32>,
    /// Too small where the region's shorter side has fewer pixels.
    pub small_below_px: Option<u32>,
    /// Framed (a screenshot, a collage) above this share of uniform borders.
    pub framed_above: Option<f32>,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            version: POLICY_VERSION,
            advice: AdvicePolicy::default(),
            temperature: one(),
            verification: None,
            familiarity: None,
        }
    }
}

/// Of 3,068 clothing photos that people took of their own (the default bundle's training photos) fewer than 2 in
/// 1,000 deserve a remark by these, and those that do look it.
impl Default for AdvicePolicy {
    fn default() -> AdvicePolicy {
        AdvicePolicy {
            dark_below: Some(0.2),
            // Shops lay things on white: a share of highlights is no fault by itself.
            bright_above: None,
            blurred_below: Some(0.22),
            small_below_px: Some(160),
            framed_above: Some(0.3),
        }
    }
}

/// A remark about a photo, for its maker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Advice {
    /// Too little light.
    TooDark,
    /// Highlights without detail.
    TooBright,
    /// Out of focus, or moved.
    Blurred,
    /// Too few pixels.
    TooSmall,
    /// Much of the photo is a border of one colour.
    Framed,
}

impl Advice {
    /// A stable name in snake case, such as `too_dark`.
    pub fn name(self) -> &'static str {
        match self {
            Advice::TooDark => "too_dark",
            Advice::TooBright => "too_bright",
            Advice::Blurred => "blurred",
            Advice::TooSmall => "too_small",
            Advice::Framed => "framed",
        }
    }

    /// The remark in English, such as `too dark`.
    pub fn as_str(self) -> &'static str {
        match self {
            Advice::TooDark => "too dark",
            Advice::TooBright => "too bright",
            Advice::Blurred => "blurred",
            Advice::TooSmall => "too small",
            Advice::Framed => "framed by one colour",
        }
    }
}

impl Policy {
    /// The remarks that these measures deserve.
    pub fn advice(&self, measures: &Measures) -> Vec<Advice> {
        let policy = &self.advice;
        let below = |value: f32, limit: Option<f32>| limit.is_some_and(|limit| value < limit);
        let above = |value: f32, limit: Option<f32>| limit.is_some_and(|limit| value > limit);
        let shorter = measures.width_px.min(measures.height_px);
        let remarks = [
            (
                below(measures.brightness, policy.dark_below),
                Advice::TooDark,
            ),
            (
                above(measures.bright, policy.bright_above),
                Advice::TooBright,
            ),
            (
                below(measures.sharpness, policy.blurred_below),
                Advice::Blurred,
            ),
            (
                policy.small_below_px.is_some_and(|limit| shorter < limit),
                Advice::TooSmall,
            ),
            (
                above(measures.uniform_border, policy.framed_above),
                Advice::Framed,
            ),
        ];
        let deserved = remarks.into_iter().filter(|(deserved, _)| *deserved);
        deserved.map(|(_, advice)| advice).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::photo::{Fit, Image, Photo};

    fn measures(level: impl Fn(u32, u32) -> u8) -> Measures {
        let cells = (0..300).flat_map(|y| (0..300).map(move |x| (x, y)));
        let pixels = cells.flat_map(|(x, y)| [level(x, y); 3]).collect();
        let image = Image::from_rgb(300, 300, pixels).expect("an image");
        let photo = Photo::from(&image).fit(100, 100, Fit::Stretch, [0; 3]);
        photo.expect("fits").measures
    }

    #[test]
    fn remarks_follow_the_thresholds() {
        let policy = Policy::default();
        let checks = |low: u8, high: u8| {
            measures(move |x, y| {
                if (x / 30 + y / 30) % 2 == 0 {
                    low
                } else {
                    high
                }
            })
        };
        assert_eq!(policy.advice(&checks(40, 220)), []);
        assert_eq!(policy.advice(&checks(0, 40)), [Advice::TooDark]);
        let wave = measures(|x, y| (128.0 + 100.0 * (f64::from(x + y) / 30.0).sin()) as u8);
        assert_eq!(policy.advice(&wave), [Advice::Blurred]);
        let framed = measures(|x, y| {
            if (100..150).contains(&x) {
                (x * y) as u8
            } else {
                255
            }
        });
        assert_eq!(policy.advice(&framed), [Advice::Framed]);
        let strict = Policy {
            advice: AdvicePolicy {
                small_below_px: Some(301),
                bright_above: Some(0.4),
                framed_above: None,
                ..AdvicePolicy::default()
            },
            ..Policy::default()
        };
        assert_eq!(
            strict.advice(&framed),
            [Advice::TooBright, Advice::TooSmall]
        );
    }
}
