//! Imports Keras `.h5` weight files (keras-applications' no-top files).
//!
//! The layout: a group per layer, the root's attribute `layer_names` gives their order, each group's `weight_names` the
//! order of its arrays. Names of arrays changed between Keras versions (`depthwise_kernel:0`, `kernel`), their order
//! never did, so arrays go by order and layers by name. Keras writes convolutions `[h, w, in, out]` and depthwise ones
//! `[h, w, channels, 1]`; ours are `[out, in, h, w]` and `[channels, 1, h, w]`.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use hdf5::types::{FixedAscii, FixedUnicode, TypeDescriptor, VarLenAscii, VarLenUnicode};
use hdf5::{Attribute, File, Group};

use crate::backbones::Normalization;
use crate::graph::{Connection, Graph, Op};
use crate::weights::{Array, Weights, shapes};

/// Reads the weights of `graph` from a Keras file; the file must hold neither more nor less.
pub fn import(path: &Path, graph: &Graph) -> Result<Weights> {
    read(path, graph).with_context(|| format!("cannot import the Keras weights {}", path.display()))
}

fn read(path: &Path, graph: &Graph) -> Result<Weights> {
    ensure!(path.is_file(), "there is no such file");
    let file = File::open(path).context("it is no HDF5 file")?;
    // A whole model saved by Keras keeps its weights one group further down.
    let root: Group = if file.attr("layer_names").is_ok() {
        file.as_group()?
    } else {
        file.group("model_weights")?
    };
    let layers = strings(
        &root
            .attr("layer_names")
            .context("it has no attribute layer_names")?,
    )?;
    let mut weights = Weights::new();
    for layer in layers {
        let group = root.group(&layer)?;
        let names = group
            .attr("weight_names")
            .with_context(|| format!("{layer} has no weight_names"))?;
        let arrays = strings(&names)?
            .iter()
            .map(|name| array(&group, name))
            .collect::<Result<Vec<_>>>()?;
        if !arrays.is_empty() {
            add_layer(&mut weights, graph, &layer, arrays)?;
        }
    }
    graph.check_weights(shapes(&weights))?;
    Ok(weights)
}

fn array(group: &Group, name: &str) -> Result<Array> {
    let dataset = group
        .dataset(name)
        .with_context(|| format!("{name} is missing"))?;
    let data = dataset
        .read_raw::<f32>()
        .with_context(|| format!("{name} cannot be read"))?;
    Ok(Array {
        shape: dataset.shape(),
        data,
    })
}

/// Gives the arrays of a Keras layer our names and layouts. Those of a layer unknown to the graph keep Keras' names,
/// for `check_weights` to report.
fn add_layer(weights: &mut Weights, graph: &Graph, layer: &str, arrays: Vec<Array>) -> Result<()> {
    // Keras 2 writes DenseNet's names with a slash, `conv1/bn`.
    let ours = layer.replace('/', "_");
    let (layer, op) = match graph.find(&ours) {
        Some(id) => (ours.as_str(), Some(&graph.layers[id].op)),
        None => (layer, None),
    };
    let suffixes: &[&str] = match op {
        Some(Op::SeparableConv { .. }) => &["depthwise.weight", "pointwise.weight"],
        Some(Op::Conv { .. } | Op::Dense { .. }) => &["weight", "bias"],
        Some(Op::BatchNorm { .. }) => &["weight", "bias", "running_mean", "running_var"],
        _ => &["0", "1", "2", "3"],
    };
    if arrays.len() > suffixes.len() {
        bail!(
            "{layer} has {} arrays, at most {} were expected",
            arrays.len(),
            suffixes.len()
        );
    }
    for (mut array, suffix) in arrays.into_iter().zip(suffixes) {
        if array.shape.len() > 1 {
            array = match op {
                Some(Op::Conv {
                    connection: Connection::Depthwise,
                    ..
                }) => permute(&array, &[2, 3, 0, 1])?,
                Some(Op::SeparableConv { .. }) if *suffix == "depthwise.weight" => {
                    permute(&array, &[2, 3, 0, 1])?
                }
                Some(Op::Conv { .. } | Op::SeparableConv { .. }) => permute(&array, &[3, 2, 0, 1])?,
                Some(Op::Dense { .. }) => permute(&array, &[1, 0])?,
                _ => array,
            };
        }
        weights.insert(format!("{layer}.{suffix}"), array);
    }
    Ok(())
}

/// Moves dimension `order[i]` to place `i`.
fn permute(array: &Array, order: &[usize]) -> Result<Array> {
    ensure!(
        array.shape.len() == order.len(),
        "an array of shape {:?} where {} dimensions belong",
        array.shape,
        order.len()
    );
    let mut strides = vec![1; order.len()];
    for i in (1..order.len()).rev() {
        strides[i - 1] = strides[i] * array.shape[i];
    }
    let shape: Vec<usize> = order.iter().map(|&d| array.shape[d]).collect();
    let mut index = vec![0; order.len()];
    let mut data = Vec::with_capacity(array.data.len());
    for _ in 0..array.data.len() {
        data.push(
            array.data[index
                .iter()
                .zip(order)
                .map(|(i, &d)| i * strides[d])
                .sum::<usize>()],
        );
        for place in (0..index.len()).rev() {
            index[place] += 1;
            if index[place] < shape[place] {
                break;
            }
            index[place] = 0;
        }
    }
    Ok(Array { shape, data })
}

fn strings(attribute: &Attribute) -> Result<Vec<String>> {
    if attribute.size() == 0 {
        return Ok(Vec::new()); // Keras writes an empty list as an empty array of floats.
    }
    // Files of Keras 2 have fixed-length strings, those of Keras 3 variable ones.
    const LONGEST: usize = 256;
    let names: Vec<String> = match attribute.dtype()?.to_descriptor()? {
        TypeDescriptor::VarLenUnicode => texts(&attribute.read_raw::<VarLenUnicode>()?),
        TypeDescriptor::VarLenAscii => texts(&attribute.read_raw::<VarLenAscii>()?),
        TypeDescriptor::FixedAscii(n) if n <= LONGEST => {
            texts(&attribute.read_raw::<FixedAscii<LONGEST>>()?)
        }
        TypeDescriptor::FixedUnicode(n) if n <= LONGEST => {
            texts(&attribute.read_raw::<FixedUnicode<LONGEST>>()?)
        }
        other => bail!("names of type {other:?}"),
    };
    Ok(names)
}

fn texts<T: ToString>(names: &[T]) -> Vec<String> {
    names.iter().map(T::to_string).collect()
}

/// Makes imported weights read the photo's tensor, `(pixel - zero_point) / scale`, where they were trained on
/// `(pixel - mean[c]) / deviation[c]`.
///
/// The first kernel takes up the scale of each colour; its output then differs by a constant per channel, which its
/// batch norm's running mean takes up. Inside the picture that is exact. Zero padding becomes the grey level
/// `zero_point`, where it was the mean colour, which no u8 pixel may equal.
pub fn recentre(weights: &mut Weights, graph: &Graph, normalization: Normalization) -> Result<()> {
    let first = graph
        .layers
        .iter()
        .position(|l| matches!(l.op, Op::Conv { .. }));
    let Some((conv, norm)) = first.and_then(|i| Some((&graph.layers[i], graph.layers.get(i + 1)?)))
    else {
        bail!("the network has no convolution followed by a batch norm");
    };
    ensure!(
        matches!(norm.op, Op::BatchNorm { .. }),
        "{} is followed by {}, not by a batch norm",
        conv.name,
        norm.name
    );
    let kernel = weights
        .get_mut(&format!("{}.weight", conv.name))
        .context("the first kernel is missing")?;
    ensure!(
        kernel.shape.get(1) == Some(&3),
        "{} reads {:?}, not three colours",
        conv.name,
        kernel.shape
    );
    let (filters, taps) = (kernel.shape[0], kernel.shape[2..].iter().product::<usize>());
    let mut shifts = vec![0.0; filters];
    for (at, plane) in kernel.data.chunks_exact_mut(taps).enumerate() {
        let (filter, colour) = (at / 3, at % 3);
        let (mean, deviation) = (
            f64::from(normalization.mean[colour]),
            f64::from(normalization.deviation[colour]),
        );
        let sum: f64 = plane.iter().map(|&v| f64::from(v)).sum();
        shifts[filter] += sum * (f64::from(normalization.zero_point()) - mean) / deviation;
        let factor = f64::from(normalization.scale) / deviation;
        plane
            .iter_mut()
            .for_each(|v| *v = (f64::from(*v) * factor) as f32);
    }
    let means = weights
        .get_mut(&format!("{}.running_mean", norm.name))
        .context("the first running mean is missing")?;
    for (mean, shift) in means.data.iter_mut().zip(shifts) {
        *mean = (f64::from(*mean) - shift) as f32;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backbones::Backbone;

    /// DenseNet's stem has names with a slash there.
    fn keras_2_name(name: &str) -> String {
        match name {
            "conv1_conv" | "conv1_bn" => name.replace('_', "/"),
            _ => name.to_owned(),
        }
    }

    /// A Keras file of random weights for `graph`, with `skip` left out, as Keras 2 writes it.
    fn keras_file(path: &Path, graph: &Graph, skip: &str) {
        let file = File::create(path).unwrap();
        let mut names = Vec::new();
        for (id, layer) in graph
            .layers
            .iter()
            .enumerate()
            .filter(|(_, l)| l.name != skip)
        {
            let keras_2 = keras_2_name(&layer.name);
            let group = file.create_group(&keras_2).unwrap();
            let mut arrays: Vec<FixedAscii<64>> = Vec::new();
            for parameter in graph.layer_parameters(id) {
                // `weight`, or `depthwise.weight` as Keras 2 names it.
                let (_, suffix) = parameter.name.split_at(layer.name.len() + 1);
                let name = suffix.replace(".weight", "_kernel") + ":0";
                let shape = match (&layer.op, parameter.shape.as_slice()) {
                    (
                        Op::Conv {
                            connection: Connection::Depthwise,
                            ..
                        },
                        &[o, i, h, w],
                    ) => vec![h, w, o, i],
                    (Op::SeparableConv { .. }, &[o, 1, h, w]) => vec![h, w, o, 1],
                    (_, &[o, i, h, w]) => vec![h, w, i, o],
                    (_, other) => other.to_vec(),
                };
                let values: Vec<f32> = (0..shape.iter().product::<usize>())
                    .map(|i| i as f32)
                    .collect();
                let dataset = group
                    .new_dataset::<f32>()
                    .shape(shape)
                    .create(name.as_str())
                    .unwrap();
                dataset.write_raw(&values).unwrap();
                arrays.push(FixedAscii::from_ascii(&name).unwrap());
            }
            group
                .new_attr::<FixedAscii<64>>()
                .shape(arrays.len())
                .create("weight_names")
                .unwrap()
                .write_raw(&arrays)
                .unwrap();
            names.push(FixedAscii::<64>::from_ascii(&keras_2).unwrap());
        }
        file.new_attr::<FixedAscii<64>>()
            .shape(names.len())
            .create("layer_names")
            .unwrap()
            .write_raw(&names)
            .unwrap();
    }

    #[test]
    fn layouts_become_ours() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keras2.h5");
        let graph = Backbone::MobileNetV1.features(224);
        keras_file(&path, &graph, "");
        let weights = import(&path, &graph).unwrap();
        // conv1 in Keras is [3, 3, 3, 32] filled with its own flat index: [o, i, h, w] was [h, w, i, o].
        let conv1 = &weights["conv1.weight"];
        assert_eq!(conv1.shape, [32, 3, 3, 3]);
        assert_eq!(
            conv1.data[((5 * 3 + 2) * 3 + 1) * 3],
            (((3 * 3) + 2) * 32 + 5) as f32
        );
        let depthwise = &weights["conv_dw_1.weight"];
        assert_eq!(
            (depthwise.shape.as_slice(), depthwise.data[4 * 9 + 2]),
            ([32, 1, 3, 3].as_slice(), (2 * 32 + 4) as f32)
        );
    }

    #[test]
    fn files_of_keras_2_are_read_by_order_and_with_slashes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keras2.h5");
        let graph = Backbone::DenseNet121.features(64);
        keras_file(&path, &graph, "");
        assert!(File::open(&path).unwrap().group("conv1/bn").is_ok());
        import(&path, &graph).unwrap();

        let path = dir.path().join("nasnet.h5");
        let graph = Backbone::NasNetMobile.features(64);
        keras_file(&path, &graph, "");
        let weights = import(&path, &graph).unwrap();
        // Filled with their flat indices: depthwise [5, 5, 11, 1], pointwise [1, 1, 11, 11] in Keras.
        let name = "separable_conv_2_reduction_left1_stem_1";
        let depthwise = &weights[&format!("{name}.depthwise.weight")];
        assert_eq!(depthwise.shape, [11, 1, 5, 5]);
        assert_eq!(depthwise.data[3 * 25 + 7], (7 * 11 + 3) as f32);
        let pointwise = &weights[&format!("{name}.pointwise.weight")];
        assert_eq!(pointwise.shape, [11, 11, 1, 1]);
        assert_eq!(pointwise.data[2 * 11 + 5], (5 * 11 + 2) as f32);
    }

    #[test]
    fn a_missing_layer_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("short.h5");
        let graph = Backbone::MobileNetV1.features(224);
        keras_file(&path, &graph, "conv_pw_7_bn");
        let message = format!("{:#}", import(&path, &graph).unwrap_err());
        assert!(
            message.contains("short.h5")
                && message.contains("conv_pw_7_bn.weight [512] is missing"),
            "{message}"
        );
        assert!(message.ends_with("and 1 more"), "{message}");
    }

    #[test]
    fn what_is_no_keras_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("text.h5");
        std::fs::write(&path, "not weights").unwrap();
        let message = format!(
            "{:#}",
            import(&path, &Backbone::MobileNetV1.features(224)).unwrap_err()
        );
        assert!(
            message.contains("text.h5") && message.contains("no HDF5 file"),
            "{message}"
        );
    }
}
