//! Ranges wider than calibration photos ask for: others go beyond them.

use std::mem;

use anyhow::{Context, Result};

use super::Step;
use super::climb::{Climb, NamedRounding};
use super::judge::Attempt;
use super::prepared::{Levels, Prepared, Rounding};

/// How much wider than what was chosen ranges are tried, one after the other while they are kept.
const HEADROOMS: [f32; 5] = [1.1, 1.2, 1.4, 1.6, 2.0];
/// Decibels that headroom may cost on the photos that judge: too few to have those in their midst that need it.
const MOST_FOR_HEADROOM_DB: f64 = 0.5;
/// Where photos that were set aside go beyond others by more than this factor, headroom is more by a power of it.
const EXPLODES: f32 = 2.0;
const POWER_OF_EXPLOSION: f32 = 0.3;

/// By how much a range is widened when others are by `factor`. `beyond`: how many times the usual magnitude photos have
/// there that were set aside.
fn headroom(factor: f32, beyond: Option<f32>) -> f32 {
    match beyond {
        Some(times) if times > EXPLODES => factor * times.powf(POWER_OF_EXPLOSION),
        _ => factor,
    }
}

impl Climb<'_> {
    /// Widens ranges where that costs little, weights rounded as in one of `roundings`.
    pub fn widen(
        &mut self,
        prepared: &mut Prepared,
        mut best: Attempt,
        roundings: &[NamedRounding],
    ) -> Result<Attempt> {
        let chosen = prepared.levels.choices.clone();
        let mut closest = best.decibels;
        for factor in HEADROOMS {
            let wider = |id| headroom(factor, self.beyond.get(&id).copied());
            let levels = Levels::new(
                self.folded,
                &prepared.network,
                &prepared.weights,
                chosen.widened(&self.folded.graph, wider),
                self.photos,
                self.options,
            )?;
            let before = mem::replace(&mut prepared.levels, levels);
            let new = self.closest(prepared, roundings, factor)?;
            let kept = new.decibels >= closest - MOST_FOR_HEADROOM_DB;
            self.note(&new, kept);
            if !kept {
                self.put_by(new);
                prepared.levels = before;
                break;
            }
            closest = closest.max(new.decibels);
            self.put_by(mem::replace(&mut best, new));
        }
        Ok(best)
    }

    /// The best of a network's roundings.
    fn closest(
        &mut self,
        prepared: &Prepared,
        roundings: &[NamedRounding],
        factor: f32,
    ) -> Result<Attempt> {
        let correct = self.options.tries(Step::Correct);
        let mut closest: Option<Attempt> = None;
        for (name, rounding) in roundings {
            let step = format!("{} {factor}, {name}", Step::Headroom);
            let rounded = prepared.rounded(Rounding::As(rounding), correct)?;
            let new = self.judge.attempt(step, rounded)?;
            let other = match closest.take() {
                Some(old) if old.decibels >= new.decibels => {
                    closest = Some(old);
                    Some(new)
                }
                old => {
                    closest = Some(new);
                    old
                }
            };
            other.into_iter().for_each(|other| self.put_by(other));
        }
        closest.context("a network without a rounding")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Options;
    use super::super::climb::tests::{climb, near_and_far};
    use super::*;

    #[test]
    fn where_photos_explode_ranges_get_more_headroom() {
        assert_eq!(headroom(1.2, None), 1.2);
        assert_eq!(headroom(1.2, Some(1.9)), 1.2);
        assert!((3.9..4.1).contains(&headroom(1.0, Some(100.0))));
    }

    #[test]
    fn what_photos_set_aside_drove_far_is_widened_more_than_others() {
        let options = Options::default();
        let (folded, photos, mut prepared, [near, _]) = near_and_far(&options);
        let id = |name: &str| {
            let layers = folded.graph.layers.iter();
            layers.clone().position(|layer| layer.name == name).unwrap()
        };
        let (far, other) = (id("conv_pw_4_relu"), id("conv_pw_6_relu"));
        let mut climb = climb(&folded, &photos, &prepared, &options);
        climb.beyond = BTreeMap::from([(far, 3.0), (other, 1.5)]);
        let scales = |prepared: &Prepared| {
            let nearest = prepared.rounded(Rounding::Nearest, false).unwrap();
            [far, other].map(|id| nearest.activations[&id].scale)
        };
        let before = scales(&prepared);
        let best = climb.judge.attempt("near", near.clone()).unwrap();
        let best = Attempt {
            decibels: 0.0,
            ..best
        };
        climb.widen(&mut prepared, best, &[("near", near)]).unwrap();
        let kept = climb.gains.iter().filter(|gain| gain.kept).count();
        assert!(kept > 0);
        let after = scales(&prepared);
        let wider = HEADROOMS[kept - 1];
        assert!((after[1] / before[1] / wider - 1.0).abs() < 0.01);
        assert!((after[0] / before[0] / headroom(wider, Some(3.0)) - 1.0).abs() < 0.01);
    }

    #[test]
    fn of_several_roundings_the_closest_is_taken() {
        let options = Options::default();
        let (folded, photos, prepared, [near, far]) = near_and_far(&options);
        let mut climb = climb(&folded, &photos, &prepared, &options);
        let (near, far) = (("near", near), ("far", far));
        for roundings in [[near.clone(), far.clone()], [far, near.clone()]] {
            let closest = climb.closest(&prepared, &roundings, 1.1).unwrap();
            assert!(closest.quantized == near.1);
            assert_eq!(closest.step, "headroom 1.1, near");
        }
    }
}
