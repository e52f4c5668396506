//! Splits photos into parts that hold the same share of every class and never share a sender.
//!
//! Photos of one person look alike: the same floor, the same light, often the same garment twice. A part that shares
//! senders with the training photos therefore flatters what was trained.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::data::Labelled;

/// Who sent which photo, by the photo's file name.
#[derive(Clone, Debug, Default)]
pub struct Senders(BTreeMap<String, String>);

impl Senders {
    /// Reads CSV files with columns `image` and `sender_id` among others.
    pub fn read(paths: &[PathBuf]) -> Result<Senders> {
        let mut senders = BTreeMap::new();
        for path in paths {
            let unreadable = || format!("cannot read {}", path.display());
            let mut reader = csv::ReaderBuilder::new()
                .trim(csv::Trim::All)
                .from_path(path)
                .with_context(unreadable)?;
            let header = reader.headers().with_context(unreadable)?.clone();
            let column = |name: &str| {
                let found = header.iter().position(|h| h == name);
                found.with_context(|| format!("{} has no column {name:?}", path.display()))
            };
            let (image, sender) = (column("image")?, column("sender_id")?);
            for row in reader.records() {
                let row = row.with_context(unreadable)?;
                senders.insert(row[image].to_owned(), row[sender].to_owned());
            }
        }
        Ok(Senders(senders))
    }

    /// The sender of a photo; one who is not known sent this photo alone.
    pub fn of<'a>(&'a self, path: &'a Path) -> Sender<'a> {
        let name = path.file_name().and_then(|name| name.to_str());
        match name.and_then(|name| self.0.get(name)) {
            Some(sender) => Sender::Known(sender),
            None => Sender::Of(path),
        }
    }
}

/// Whoever sent a photo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sender<'a> {
    /// By name or number.
    Known(&'a str),
    /// Of this photo, and of no other as far as is known.
    Of(&'a Path),
}

/// The part, an index of `shares`, that each photo belongs to.
///
/// Senders are dealt out whole, those of most photos first, each to the part that then differs least from its share of
/// every class; `seed` decides among senders of equally many.
pub fn parts(photos: &[Labelled], senders: &Senders, shares: &[f64], seed: u64) -> Vec<usize> {
    let classes: BTreeMap<&str, usize> = photos
        .iter()
        .map(|photo| photo.class.as_str())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .zip(0..)
        .collect();
    let mut totals = vec![0.0; classes.len()];
    let mut sent: BTreeMap<Sender, Vec<usize>> = BTreeMap::new();
    for (i, photo) in photos.iter().enumerate() {
        totals[classes[photo.class.as_str()]] += 1.0;
        sent.entry(senders.of(&photo.path)).or_default().push(i);
    }
    let mut order: Vec<(Sender, Vec<usize>)> = sent.into_iter().collect();
    order.sort_by_cached_key(|(sender, indices)| {
        let digest = Sha256::digest(format!("{seed} {sender:?}"));
        (usize::MAX - indices.len(), digest.to_vec())
    });

    let mut counts = vec![vec![0.0_f64; classes.len()]; shares.len()];
    let mut part_of = vec![0; photos.len()];
    for (_, indices) in &order {
        let mut own = vec![0.0; classes.len()];
        for &i in indices {
            own[classes[photos[i].class.as_str()]] += 1.0;
        }
        // The sum over parts and classes of count² / (share · total²) is least where all counts are their shares.
        let grown = |part: usize| -> f64 {
            let grown = own.iter().zip(&counts[part]).zip(&totals);
            let squares = grown.map(|((own, count), total): ((&f64, &f64), &f64)| {
                ((count + own).powi(2) - count.powi(2)) / total.powi(2)
            });
            squares.sum::<f64>() / shares[part]
        };
        let part = (0..shares.len()).min_by(|&a, &b| grown(a).total_cmp(&grown(b)));
        let part = part.unwrap_or(0);
        for (count, own) in counts[part].iter_mut().zip(&own) {
            *count += own;
        }
        indices.iter().for_each(|&i| part_of[i] = part);
    }
    part_of
}

/// Holds out a share of the photos: those to train on, and those to choose by.
pub fn hold_out(
    photos: Vec<Labelled>,
    senders: &Senders,
    share: f64,
    seed: u64,
) -> (Vec<Labelled>, Vec<Labelled>) {
    let part_of = parts(&photos, senders, &[1.0 - share, share], seed);
    let (training, held_out): (Vec<_>, Vec<_>) = photos
        .into_iter()
        .zip(part_of)
        .partition(|(_, part)| *part == 0);
    let photos = |part: Vec<(Labelled, usize)>| part.into_iter().map(|(photo, _)| photo).collect();
    (photos(training), photos(held_out))
}

/// `photos` without those whose sender sent one of `others` too.
pub fn without_senders_of(
    photos: Vec<Labelled>,
    others: &[Labelled],
    senders: &Senders,
) -> Vec<Labelled> {
    let theirs: BTreeSet<Sender> = others.iter().map(|other| senders.of(&other.path)).collect();
    let stays = |photo: &Labelled| !theirs.contains(&senders.of(&photo.path));
    photos.into_iter().filter(stays).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Photos by 60 senders of 1 to 12 photos each, of 4 classes in unequal numbers.
    fn photos() -> (Vec<Labelled>, Senders) {
        let (mut photos, mut senders) = (Vec::new(), BTreeMap::new());
        for sender in 0..60_usize {
            for i in 0..1 + sender * 7 % 12 {
                let name = format!("{sender}-{i}.jpg");
                let class = ["a", "a", "b", "b", "c", "d"][(sender * 5 + i * i) % 6];
                senders.insert(name.clone(), sender.to_string());
                photos.push(Labelled {
                    path: Path::new("photos").join(name),
                    class: class.into(),
                });
            }
        }
        (photos, Senders(senders))
    }

    fn count(photos: &[Labelled], part_of: &[usize], part: usize, class: &str) -> usize {
        let both = photos.iter().zip(part_of);
        both.filter(|(photo, of)| **of == part && photo.class == class)
            .count()
    }

    #[test]
    fn every_part_has_its_share_of_every_class_and_no_sender_of_another() {
        let (photos, senders) = photos();
        for (shares, seed) in [(&[0.2; 5][..], 1), (&[0.8, 0.2], 2), (&[0.7, 0.3], 3)] {
            let part_of = parts(&photos, &senders, shares, seed);
            for class in ["a", "b", "c", "d"] {
                let total = photos.iter().filter(|photo| photo.class == class).count();
                for (part, share) in shares.iter().enumerate() {
                    let (found, wanted) = (
                        count(&photos, &part_of, part, class) as f64,
                        share * total as f64,
                    );
                    assert!(
                        (found - wanted).abs() <= 3.0,
                        "{shares:?} {class}: {found} of {wanted}"
                    );
                }
            }
            let mut home = BTreeMap::new();
            for (photo, part) in photos.iter().zip(&part_of) {
                let before = home.insert(senders.of(&photo.path), part);
                assert!(before.is_none_or(|before| before == part));
            }
        }
    }

    #[test]
    fn a_seed_is_one_split_and_another_seed_another() {
        let (photos, senders) = photos();
        let split = |seed| parts(&photos, &senders, &[0.8, 0.2], seed);
        assert_eq!(split(1), split(1));
        assert_ne!(split(1), split(2));
    }

    #[test]
    fn photos_of_nobody_known_are_dealt_one_by_one() {
        let (photos, _) = photos();
        let half = photos.len() as f64 / 2.0;
        let (training, held_out) = hold_out(photos, &Senders::default(), 0.5, 1);
        assert!((training.len() as f64 - half).abs() <= 2.0);
        assert!((held_out.len() as f64 - half).abs() <= 2.0);
    }

    #[test]
    fn more_photos_of_a_sender_that_is_held_out_are_left() {
        let (photos, senders) = photos();
        let (_, held_out) = hold_out(photos.clone(), &senders, 0.2, 1);
        let rest = without_senders_of(photos.clone(), &held_out, &senders);
        assert_eq!(rest.len(), photos.len() - held_out.len());
    }
}
