//! Runs a network over photos and measures its answers with the same metrics that `etalase eval` reports.

use anyhow::Result;
use etalase::decision::softmax;
use etalase::evaluation::{Evaluation, Metrics};
use tch::{Device, Kind, Tensor, no_grad};

use crate::backbones::Normalization;
use crate::data::Dataset;
use crate::network::{Mode, Network};
use crate::progress;

/// Photos a forward pass without gradients. A GPU takes as long for few as for many and plans each shape anew: as many as
/// its memory surely holds.
pub(crate) fn batch(network: &Network) -> usize {
    const MOST: usize = 512;
    const BYTES: usize = 1 << 31;
    match network.device() {
        Device::Cpu => 64,
        _ => (BYTES / (network.graph().peak_values() * size_of::<f32>()).max(1)).clamp(1, MOST),
    }
}

/// Grey levels `[n, h, w, 3]` as the network reads them.
pub fn normalize(pixels: &Tensor, normalization: Normalization) -> Tensor {
    (pixels.to_kind(Kind::Float) - f64::from(normalization.zero_point()))
        / f64::from(normalization.scale)
}

/// The network's outputs for all photos, `[n, outputs]` f32 on the CPU.
pub fn outputs(
    network: &Network,
    photos: &Dataset,
    normalization: Normalization,
    what: &str,
) -> Result<Tensor> {
    let bar = progress::bar(photos.len() as u64, what);
    let mut all = Vec::new();
    let batch = batch(network);
    for from in (0..photos.len()).step_by(batch) {
        let to = (from + batch).min(photos.len());
        let pixels = photos.slice(from, to).0.to_device(network.device());
        let output = no_grad(|| network.forward(&normalize(&pixels, normalization), Mode::Eval))?;
        all.push(output.flatten(1, -1).to_device(Device::Cpu));
        bar.inc((to - from) as u64);
    }
    bar.finish_and_clear();
    Ok(Tensor::cat(&all, 0))
}

/// Accuracy and the rest from logits `[n, classes]`.
pub fn metrics(logits: &Tensor, targets: &Tensor, classes: &[String]) -> Result<Metrics> {
    let mut evaluation = Evaluation::new(classes.to_vec());
    let rows = Vec::<Vec<f32>>::try_from(logits)?;
    for (row, target) in rows.iter().zip(Vec::<i64>::try_from(targets)?) {
        evaluation.record(target as usize, &softmax(row)?)?;
    }
    Ok(evaluation.metrics())
}

/// Mean cross-entropy of logits `[n, classes]`.
pub fn cross_entropy(logits: &Tensor, targets: &Tensor) -> f64 {
    logits.cross_entropy_for_logits(targets).double_value(&[])
}
