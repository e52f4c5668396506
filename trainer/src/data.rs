//! Photos for training: found in folders, decoded once by the phone's own code, kept as u8 tensors in memory.
//!
//! Everything that can be wrong with the data is found here, before the first step: unreadable photos, classes without
//! photos, photos that stand in two splits.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail, ensure};
use etalase::evaluation::photo_folders;
use etalase::photo::Photo;
use etalase::preprocess::Preprocess;
use sha2::{Digest, Sha256};
use tch::{Device, Tensor};

use crate::progress;

/// Bytes of pixels that a GPU keeps in its own memory; more stay in the computer's.
const MOST_ON_DEVICE: usize = 4 << 30;

/// A photo file and the class it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labelled {
    /// The file.
    pub path: PathBuf,
    /// Its class.
    pub class: String,
}

/// Finds the photos of a folder per class.
pub fn folders(dir: &Path) -> Result<Vec<Labelled>> {
    let photos = photo_folders(dir)?;
    Ok(photos
        .into_iter()
        .map(|photo| Labelled {
            path: photo.path,
            class: photo.label,
        })
        .collect())
}

/// Finds the photos of a folder with a `labels.csv` (columns `image` and `label` among others) whose label `map` knows;
/// the others are left out.
pub fn labelled_folder(dir: &Path, map: &BTreeMap<String, String>) -> Result<Vec<Labelled>> {
    let path = dir.join("labels.csv");
    let unreadable = || format!("cannot read {}", path.display());
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_path(&path)
        .with_context(unreadable)?;
    let header = reader.headers().with_context(unreadable)?.clone();
    let column = |name: &str| {
        let found = header.iter().position(|h| h == name);
        found.with_context(|| format!("{} has no column {name:?}", path.display()))
    };
    let (image, label) = (column("image")?, column("label")?);
    let mut photos = Vec::new();
    for row in reader.records() {
        // A row of another length is named with its line.
        let row = row.with_context(unreadable)?;
        if let Some(class) = map.get(&row[label]) {
            photos.push(Labelled {
                path: dir.join(&row[image]),
                class: class.clone(),
            });
        }
    }
    ensure!(
        !photos.is_empty(),
        "{}: the label map knows none of its labels",
        path.display()
    );
    Ok(photos)
}

/// The classes of a training set: every label that occurs, sorted.
pub fn classes(photos: &[Labelled]) -> Vec<String> {
    photos
        .iter()
        .map(|p| p.class.clone())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

/// Decoded photos with their classes.
pub struct Dataset {
    /// `[n, size, size, 3]` u8.
    pub pixels: Tensor,
    /// `[n]` class indices, i64.
    pub targets: Tensor,
    /// SHA-256 of each photo's file.
    pub hashes: Vec<[u8; 32]>,
    /// The files.
    pub paths: Vec<PathBuf>,
}

impl Dataset {
    /// Decodes and fits all photos, on as many threads as the machine has.
    ///
    /// Errors: a class that is not among `classes`, an unreadable photo (all of them are named, ten at most).
    pub fn load(
        photos: &[Labelled],
        classes: &[String],
        preprocess: &Preprocess,
        what: &str,
    ) -> Result<Dataset> {
        let indices: HashMap<&str, i64> = classes
            .iter()
            .zip(0..)
            .map(|(c, i)| (c.as_str(), i))
            .collect();
        let mut targets = Vec::with_capacity(photos.len());
        for photo in photos {
            let index = indices.get(photo.class.as_str());
            targets.push(*index.with_context(|| {
                format!(
                    "{}: class {:?} is not among the classes {}",
                    photo.path.display(),
                    photo.class,
                    classes.join(", ")
                )
            })?);
        }
        let bytes_each = preprocess.width as usize * preprocess.height as usize * 3;
        let mut pixels = vec![0_u8; photos.len() * bytes_each];
        let hashes = decode_all(
            photos,
            preprocess,
            pixels.chunks_exact_mut(bytes_each).collect(),
            what,
        )?;
        let shape = [
            photos.len() as i64,
            i64::from(preprocess.height),
            i64::from(preprocess.width),
            3,
        ];
        Ok(Dataset {
            pixels: Tensor::from_slice(&pixels).reshape(shape),
            targets: Tensor::from_slice(&targets),
            hashes,
            paths: photos.iter().map(|p| p.path.clone()).collect(),
        })
    }

    /// Number of photos.
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// True where there is no photo.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// The same photos in the device's own memory, where they are few enough for that.
    pub fn on(self, device: Device) -> Dataset {
        if device == Device::Cpu || self.pixels.numel() > MOST_ON_DEVICE {
            return self;
        }
        let pixels = self.pixels.to_device(device);
        Dataset { pixels, ..self }
    }

    /// The pixels of the photos of these numbers, `[n]` on the device of all pixels.
    pub fn pick(&self, numbers: &Tensor) -> Tensor {
        self.pixels.index_select(0, numbers)
    }

    /// At most `count` of the photos, spread evenly over all.
    pub fn take_evenly(&self, count: usize) -> Dataset {
        self.those(&evenly(self.len(), count).collect::<Vec<usize>>())
    }

    /// All but `count` of the photos, and those, spread evenly over all.
    pub fn apart(&self, count: usize) -> [Dataset; 2] {
        let taken: Vec<usize> = evenly(self.len(), count).collect();
        let others = (0..self.len()).filter(|i| taken.binary_search(i).is_err());
        [
            self.those(&others.collect::<Vec<usize>>()),
            self.those(&taken),
        ]
    }

    /// These of the photos, in this order.
    pub fn those(&self, picked: &[usize]) -> Dataset {
        let index: Vec<i64> = picked.iter().map(|&i| i as i64).collect();
        let index = Tensor::from_slice(&index);
        Dataset {
            pixels: self.pick(&index.to_device(self.pixels.device())),
            targets: self.targets.index_select(0, &index),
            hashes: picked.iter().map(|&i| self.hashes[i]).collect(),
            paths: picked.iter().map(|&i| self.paths[i].clone()).collect(),
        }
    }

    /// Photos of noise, `[n, height, width, 3]`.
    #[cfg(test)]
    pub(crate) fn noise(shape: [i64; 4]) -> Dataset {
        let n = shape[0] as usize;
        Dataset {
            pixels: Tensor::randint(256, shape, (tch::Kind::Uint8, Device::Cpu)),
            targets: Tensor::zeros([shape[0]], (tch::Kind::Int64, Device::Cpu)),
            hashes: vec![[0; 32]; n],
            paths: vec![PathBuf::new(); n],
        }
    }

    /// The same photos with other pixels.
    pub fn with_pixels(&self, pixels: Tensor) -> Dataset {
        Dataset {
            pixels,
            targets: self.targets.shallow_clone(),
            hashes: self.hashes.clone(),
            paths: self.paths.clone(),
        }
    }

    /// Photos `from..to` in order.
    pub fn slice(&self, from: usize, to: usize) -> (Tensor, Tensor) {
        let (from, length) = (from as i64, (to - from) as i64);
        (
            self.pixels.narrow(0, from, length),
            self.targets.narrow(0, from, length),
        )
    }
}

/// At most `count` of the indices `0..length`, spread evenly.
pub fn evenly(length: usize, count: usize) -> impl Iterator<Item = usize> {
    let count = count.min(length);
    (0..count).map(move |i| i * length / count)
}

/// Decodes every photo into its place and returns the files' hashes.
fn decode_all(
    photos: &[Labelled],
    preprocess: &Preprocess,
    places: Vec<&mut [u8]>,
    what: &str,
) -> Result<Vec<[u8; 32]>> {
    let bar = progress::bar(photos.len() as u64, what);
    let next = AtomicUsize::new(0);
    let places: Vec<Mutex<&mut [u8]>> = places.into_iter().map(Mutex::new).collect();
    let hashes: Vec<Mutex<[u8; 32]>> = photos.iter().map(|_| Mutex::new([0; 32])).collect();
    let broken = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let Some(photo) = photos.get(i) else { break };
                    match read(&photo.path, preprocess) {
                        Ok((pixels, hash)) => {
                            lock(&places[i]).copy_from_slice(&pixels);
                            *lock(&hashes[i]) = hash;
                        }
                        Err(error) => lock(&broken).push(format!("{error:#}")),
                    }
                    bar.inc(1);
                }
            });
        }
    });
    bar.finish_and_clear();
    let mut broken = broken
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    broken.sort();
    if !broken.is_empty() {
        let count = broken.len();
        broken.truncate(10);
        bail!(
            "photos that cannot be used: {count}\n  {}",
            broken.join("\n  ")
        );
    }
    Ok(hashes.iter().map(|hash| *lock(hash)).collect())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn read(path: &Path, preprocess: &Preprocess) -> Result<(Vec<u8>, [u8; 32])> {
    let bytes = etalase::files::read(path)?;
    let fitted = preprocess
        .fit(&Photo::encoded(&bytes))
        .map_err(|e| e.context(path.display()))?;
    Ok((fitted.image.into_pixels(), Sha256::digest(&bytes).into()))
}

/// Names the photos that `train` shares with `held_out`, by content.
pub fn shared_photos<'a>(train: &'a Dataset, held_out: &Dataset) -> Vec<&'a Path> {
    let seen: BTreeSet<&[u8; 32]> = held_out.hashes.iter().collect();
    let both = train
        .hashes
        .iter()
        .zip(&train.paths)
        .filter(|(hash, _)| seen.contains(hash));
    both.map(|(_, path)| path.as_path()).collect()
}

/// Refuses a set in which a class has no photo, before any is decoded.
pub fn check_classes(photos: &[Labelled], classes: &[String], what: &str) -> Result<()> {
    let there: BTreeSet<&str> = photos.iter().map(|p| p.class.as_str()).collect();
    let empty: Vec<&str> = classes
        .iter()
        .map(String::as_str)
        .filter(|class| !there.contains(class))
        .collect();
    ensure!(
        empty.is_empty(),
        "the {what} has no photo of: {}",
        empty.join(", ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn photos_apart_are_all_photos() {
        let all = Dataset::noise([10, 2, 2, 3]);
        let [others, taken] = all.apart(3);
        let pixels = |photos: &Dataset, at: usize| {
            Vec::<u8>::try_from(photos.slice(at, at + 1).0.flatten(0, -1)).unwrap()
        };
        for (part, numbers) in [(taken, &[0, 3, 6][..]), (others, &[1, 2, 4, 5, 7, 8, 9])] {
            assert_eq!(part.len(), numbers.len());
            for (at, &number) in numbers.iter().enumerate() {
                assert_eq!(pixels(&part, at), pixels(&all, number));
            }
        }
    }

    #[test]
    fn labels_may_be_quoted_and_rows_must_be_whole() {
        let dir = tempfile::tempdir().unwrap();
        let map = BTreeMap::from([("Polo, short".to_owned(), "shirt".to_owned())]);
        let read = |text: &str| {
            std::fs::write(dir.path().join("labels.csv"), text).unwrap();
            labelled_folder(dir.path(), &map)
        };
        let photos =
            read("image,sender,label\n\"a \"\"b\"\".jpg\",1,\"Polo, short\"\nc.jpg,1,Hat\n");
        let expected = Labelled {
            path: dir.path().join("a \"b\".jpg"),
            class: "shirt".into(),
        };
        assert_eq!(photos.unwrap(), [expected]);
        let said = format!("{:#}", read("image,label\na.jpg\n").unwrap_err());
        assert!(
            said.contains("labels.csv") && said.contains("line: 2"),
            "{said}"
        );
        let said = format!("{:#}", read("image,class\na.jpg,Hat\n").unwrap_err());
        assert!(said.contains("no column \"label\""), "{said}");
    }
}
