//! Weights as named float arrays, and their safetensors files.
//!
//! The neutral form between Keras files, checkpoints, libtorch and the exporter. Files are written beside their place
//! and renamed, so that no reader ever sees half of one.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use safetensors::tensor::{Dtype, SafeTensors, View};

use tch::{Device, Kind, Tensor};

use crate::files;
use crate::graph::{Graph, LayerId, Op, Parameter};

/// A dense row-major float array.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Values, row-major; as many as the product of `shape`.
    pub data: Vec<f32>,
}

impl Array {
    /// An array; panics where the number of values does not fit the shape, which is a bug of the caller.
    pub fn new(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Array {
        let shape = shape.into();
        assert_eq!(
            shape.iter().product::<usize>(),
            data.len(),
            "array of shape {shape:?}"
        );
        Array { shape, data }
    }

    /// Values of row `index` of the first dimension.
    pub fn row(&self, index: usize) -> &[f32] {
        let length = self.data.len() / self.shape[0];
        &self.data[index * length..(index + 1) * length]
    }
}

/// Arrays by parameter name (`conv1.weight`).
pub type Weights = BTreeMap<String, Array>;

/// Name and shape of each array.
pub fn shapes(weights: &Weights) -> impl Iterator<Item = (&str, &[usize])> {
    weights
        .iter()
        .map(|(name, array)| (name.as_str(), array.shape.as_slice()))
}

/// Writes a safetensors file with `metadata` in its header.
pub fn save(path: &Path, weights: &Weights, metadata: HashMap<String, String>) -> Result<()> {
    for (name, Array { shape, data }) in weights {
        let values = shape.iter().product::<usize>();
        ensure!(
            values == data.len(),
            "{name}: {} values of shape {shape:?}",
            data.len()
        );
    }
    let file =
        safetensors::serialize(weights, Some(metadata)).context("cannot serialize the weights")?;
    files::write(path, &file)
}

impl View for &Array {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let mut bytes = vec![0; self.data_len()];
        for (place, value) in bytes.as_chunks_mut().0.iter_mut().zip(&self.data) {
            *place = value.to_le_bytes();
        }
        bytes.into()
    }

    fn data_len(&self) -> usize {
        size_of_val(self.data.as_slice())
    }
}

/// Reads a safetensors file of f32 arrays, with its metadata. Counts that torch keeps beside batch norms are left out.
pub fn load(path: &Path) -> Result<(Weights, HashMap<String, String>)> {
    let file = etalase::files::read(path)?;
    parse(&file).with_context(|| format!("{} is not a usable safetensors file", path.display()))
}

/// Seeded random weights of a sensible size (He et al. 2015) with batch norms that change what passes: for tests and
/// for measuring networks that have no trained weights.
pub fn random(graph: &Graph, seed: u64) -> Weights {
    drawn(graph, seed, |suffix, normal| match suffix {
        "weight" | "running_var" => normal.abs() * 0.5 + 0.5,
        _ => normal * 0.1,
    })
}

/// What training from scratch begins with: seeded kernels (He et al. 2015), batch norms that change nothing.
pub fn initial(graph: &Graph, seed: u64) -> Weights {
    drawn(graph, seed, |suffix, normal| match suffix {
        "weight" | "running_var" => normal.ones_like(),
        _ => normal.zeros_like(),
    })
}

/// Kernels by He et al. 2015; `vector` makes the others from their suffix and normally distributed numbers.
fn drawn(graph: &Graph, seed: u64, vector: impl Fn(&str, Tensor) -> Tensor) -> Weights {
    tch::manual_seed(seed as i64);
    let draw = |(parameter, gain): (Parameter, f64)| {
        let count: usize = parameter.shape.iter().product();
        let normal = Tensor::randn([count as i64], (Kind::Float, Device::Cpu));
        let values = if parameter.shape.len() > 1 {
            let fan_in: usize = parameter.shape[1..].iter().product();
            normal * (gain / fan_in as f64).sqrt()
        } else {
            vector(parameter.name.rsplit('.').next().unwrap_or(""), normal)
        };
        let mut data = vec![0.0_f32; count];
        values.copy_data(&mut data, count);
        (parameter.name, Array::new(parameter.shape, data))
    };
    let parameters = (0..graph.layers.len()).flat_map(|id| {
        let gain = if reads_rectified(graph, id) { 2.0 } else { 1.0 };
        let of_layer = graph.layer_parameters(id).into_iter();
        of_layer.map(move |parameter| {
            // The second kernel of a separable convolution reads the first.
            let second = parameter.name.ends_with("pointwise.weight");
            (parameter, if second { 1.0 } else { gain })
        })
    });
    parameters.map(draw).collect()
}

/// Whether a rectifier, which halves the square of what it lets through, stands before a layer.
fn reads_rectified(graph: &Graph, id: LayerId) -> bool {
    let Some(&input) = graph.layers[id].inputs.first() else {
        return false;
    };
    match graph.layers[input].op {
        Op::Relu | Op::Relu6 => true,
        Op::Pad(_)
        | Op::Crop(_)
        | Op::MaxPool { .. }
        | Op::AveragePool { .. }
        | Op::GlobalAveragePool
        | Op::Dropout { .. } => reads_rectified(graph, input),
        _ => false,
    }
}

fn parse(file: &[u8]) -> Result<(Weights, HashMap<String, String>)> {
    let (_, header) = SafeTensors::read_metadata(file)?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let mut weights = Weights::new();
    for (name, view) in SafeTensors::deserialize(file)?.tensors() {
        // torch's batch norms count their batches.
        if name.ends_with(".num_batches_tracked") {
            continue;
        }
        ensure!(
            view.dtype() == Dtype::F32,
            "{name} is {:?}, not F32",
            view.dtype()
        );
        let data = view
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        weights.insert(name, Array::new(view.shape(), data));
    }
    Ok((weights, metadata))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_back_what_was_saved() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        let weights = Weights::from([(
            "a.weight".into(),
            Array::new([2, 2], vec![1.0, -2.5, f32::MIN, 0.0]),
        )]);
        let metadata = HashMap::from([("backbone".to_owned(), "x".to_owned())]);
        save(&path, &weights, metadata.clone()).unwrap();
        assert_eq!(load(&path).unwrap(), (weights, metadata));
    }

    #[test]
    fn batch_norms_begin_without_changing_anything() {
        let graph = crate::backbones::Backbone::MobileNetV2.features(64);
        let weights = initial(&graph, 1);
        assert_eq!(weights, initial(&graph, 1));
        assert!(weights["bn_Conv1.weight"].data.iter().all(|&v| v == 1.0));
        assert!(
            weights["bn_Conv1.running_var"]
                .data
                .iter()
                .all(|&v| v == 1.0)
        );
        assert!(weights["bn_Conv1.bias"].data.iter().all(|&v| v == 0.0));
        let kernel = &weights["Conv1.weight"].data;
        let square = kernel.iter().map(|v| v * v).sum::<f32>() / kernel.len() as f32;
        assert!((square * 27.0 - 1.0).abs() < 0.3, "{square}");
    }

    #[test]
    fn a_cut_file_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cut.safetensors");
        let weights = Weights::from([("a.weight".into(), Array::new([2], vec![1.0, 2.0]))]);
        save(&path, &weights, HashMap::new()).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(
            load(&path)
                .unwrap_err()
                .to_string()
                .contains("cut.safetensors")
        );
    }
}
