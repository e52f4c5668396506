//! Bundles that teach: their answers to the augmented photos are part of what the network is asked for (Hinton et al.
//! 2015, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531; with the same augmented photo for teacher and
//! student, Beyer et al. 2022, arXiv:2106.05237).
//!
//! A teacher is any bundle with the same categories: another backbone, a larger input, an earlier run. It runs in core,
//! as it would on a phone, on the whole grey levels that augmentation gives.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use anyhow::{Context, Result, ensure};
use etalase::bundle::Bundle;
use etalase::preprocess::InputType;
use etalase::{Classifier, EngineOptions, Tensor as Input, TensorData};
use tch::{Device, Kind, Tensor};

use super::identity::hex;

/// One teacher or several, whose logits are averaged.
#[derive(Clone)]
pub struct Teachers {
    bundles: Arc<[Classifier]>,
    /// Of the files, as they were named.
    names: Vec<String>,
}

impl Teachers {
    /// Opens bundles.
    pub fn open(paths: &[PathBuf]) -> Result<Teachers> {
        let open = |path: &PathBuf| -> Result<Classifier> {
            let classifier = Classifier::new(Bundle::open(path)?, &EngineOptions::default())?;
            let shape = classifier.engine().input_shape();
            let preprocess = &classifier.bundle().manifest().preprocess;
            ensure!(
                matches!(shape, [1, _, _, 3]) && preprocess.input == InputType::U8,
                "{}: a teacher reads u8 NHWC photos, as the trainer's bundles do",
                path.display()
            );
            Ok(classifier)
        };
        Ok(Teachers {
            bundles: paths.iter().map(open).collect::<Result<_>>()?,
            names: paths.iter().map(|p| name(p)).collect(),
        })
    }

    /// Refuses teachers of other classes than these.
    pub fn check(&self, classes: &[String]) -> Result<()> {
        for (bundle, name) in self.bundles.iter().zip(&self.names) {
            let theirs = &bundle.bundle().manifest().classes;
            ensure!(
                theirs == classes,
                "the teacher {name} knows the classes {}; the photos show {}",
                theirs.join(", "),
                classes.join(", ")
            );
        }
        Ok(())
    }

    /// Digests of their networks: what they teach.
    pub(super) fn digests(&self) -> Vec<String> {
        let digest = |bundle: &Classifier| hex(&bundle.bundle().model_sha256());
        self.bundles.iter().map(digest).collect()
    }

    /// True where nobody teaches.
    pub fn is_empty(&self) -> bool {
        self.bundles.is_empty()
    }

    /// Mean logits, `[n, classes]` f32 on the CPU, of photos `[n, h, w, 3]`, whole grey levels in 0..=255.
    pub fn logits(&self, photos: &Tensor) -> Result<Tensor> {
        let all = self.bundles.iter().map(|bundle| logits(bundle, photos));
        let all = all.collect::<Result<Vec<_>>>()?;
        Ok(Tensor::stack(&all, 0).mean_dim(0, false, Kind::Float))
    }

    /// Asks for the same, on the photos' own device, and goes on meanwhile.
    pub(super) fn ask(&self, photos: &Tensor) -> Result<Asked> {
        let (teachers, photos) = (self.clone(), photos.shallow_clone());
        let answer = move || Ok(teachers.logits(&photos)?.to_device(photos.device()));
        let asking = Builder::new().name("teachers".to_owned()).spawn(answer);
        Ok(Asked(Some(asking.context("no thread to ask teachers")?)))
    }
}

/// Logits that teachers are asked for.
pub(super) struct Asked(Option<JoinHandle<Result<Tensor>>>);

impl Asked {
    /// Waits for them.
    pub(super) fn answer(mut self) -> Result<Tensor> {
        let asking = self.0.take().context("teachers answer once")?;
        asking.join().unwrap_or_else(|panic| resume_unwind(panic))
    }
}

/// A run that fails does not leave them at work while libtorch ends.
impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(asking) = self.0.take() {
            let _ = asking.join();
        }
    }
}

/// What a bundle's file is called.
pub fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

/// Logits of photos, shared among the processor's cores.
fn logits(bundle: &Classifier, photos: &Tensor) -> Result<Tensor> {
    let engine = bundle.engine();
    let &[_, height, width, _] = engine.input_shape() else {
        unreachable!("checked when it was opened");
    };
    let (bytes_a_photo, classes) = (height * width * 3, engine.classes());
    let bytes = Vec::<u8>::try_from(fitted(photos, height, width).flatten(0, -1))?;
    let count = bytes.len() / bytes_a_photo;
    let mut answers = vec![0.0_f32; count * classes];
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let share = count.div_ceil(threads).max(1);
    let answer = |bytes: &[u8], answers: &mut [f32]| -> Result<()> {
        let photos = bytes.chunks_exact(bytes_a_photo);
        for (photo, answer) in photos.zip(answers.chunks_exact_mut(classes)) {
            let input = Input::new(vec![1, height, width, 3], TensorData::U8(photo.to_vec()))?;
            answer.copy_from_slice(&engine.run(&input).context("the teacher's run")?);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let shares = bytes
            .chunks(share * bytes_a_photo)
            .zip(answers.chunks_mut(share * classes));
        let running: Vec<_> = shares
            .map(|(photos, answers)| scope.spawn(|| answer(photos, answers)))
            .collect();
        running
            .into_iter()
            .try_for_each(|thread| match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            })
    })?;
    Ok(Tensor::from_slice(&answers).reshape([count as i64, classes as i64]))
}

/// Photos of this size, u8 on the CPU.
fn fitted(photos: &Tensor, height: usize, width: usize) -> Tensor {
    let size = [height as i64, width as i64];
    let photos = photos.to_kind(Kind::Float);
    let same = photos.size()[1..3] == size;
    let photos = if same {
        photos
    } else {
        let planes = photos.permute([0, 3, 1, 2]);
        let resized = planes.internal_upsample_bilinear2d_aa(size, false, None, None);
        resized.permute([0, 2, 3, 1])
    };
    photos
        .round()
        .clamp(0.0, 255.0)
        .to_kind(Kind::Uint8)
        .to_device(Device::Cpu)
        .contiguous()
}
