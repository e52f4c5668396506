//! Writes a folded network as ONNX, in float or with QuantizeLinear and DequantizeLinear around integer islands.
//!
//! Both forms read the photo as it is: `[1, height, width, 3]` NHWC u8, and end at logits, `[1, classes]` f32. The first
//! DequantizeLinear normalizes: its zero point is the grey level of the padding, so ONNX' zero padding is exact.
//! A rectifier in front of a QuantizeLinear is left out where the u8 range cuts at the same values. Padding and crops have
//! no QuantizeLinear of their own: what reads them takes them up.

mod onnx;

use anyhow::{Context, Result, bail};

use crate::backbones::Normalization;
use crate::graph::{Connection, Graph, LayerId, Op, Padding};
use crate::quantize::Quantized;
use crate::weights::Weights;
use onnx::{Model, float, floats, int, int8s, int32s, int64s, ints, uint8s};

/// Name of the graph's input.
pub const INPUT: &str = "photo";
/// Name of the graph's output.
pub const OUTPUT: &str = "logits";

/// The float model of a folded network, serialized.
pub fn float_model(
    graph: &Graph,
    weights: &Weights,
    normalization: Normalization,
    name: &str,
) -> Result<Vec<u8>> {
    let mut export = Export::new(graph, normalization, name);
    for (id, layer) in graph.layers.iter().enumerate().skip(1) {
        let inputs = export.inputs(id)?;
        let output = match layer.op {
            Op::Scale => export.scale(id, &inputs[0], weights)?,
            Op::Conv { .. } | Op::Dense { .. } => export.in_float(id, &inputs[0], weights)?,
            _ => export.plain(id, &inputs)?,
        };
        export.values[id] = Some(output);
    }
    export.finish()
}

/// The int8 model of a folded network, serialized.
pub fn int8_model(
    graph: &Graph,
    quantized: &Quantized,
    normalization: Normalization,
    name: &str,
) -> Result<Vec<u8>> {
    let mut export = Export::new(graph, normalization, name);
    for (id, layer) in graph.layers.iter().enumerate().skip(1) {
        let inputs = export.inputs(id)?;
        let activation = quantized.activations.get(&id);
        let clamps = |high: f32| activation.is_some_and(|q| q.clamps(0.0, high));
        let mut output = match layer.op {
            Op::Scale => export.scale(id, &inputs[0], &quantized.floats)?,
            Op::Conv { .. } | Op::Dense { .. } if !quantized.layers.contains_key(&id) => {
                export.in_float(id, &inputs[0], &quantized.floats)?
            }
            Op::Conv { .. } | Op::Dense { .. } => {
                let of = &quantized.layers[&id];
                let weight = format!("{}.weight", layer.name);
                let zeros = vec![0_i8; of.scales.len()];
                let kernel = export
                    .model
                    .initializer(&weight, &of.shape, int8s(&of.weight));
                let kernel =
                    export.dequantize_channels(&weight, &kernel, &of.scales, int8s(&zeros));
                let bias_name = format!("{}.bias", layer.name);
                let zeros = vec![0_i32; of.scales.len()];
                let bias = export
                    .model
                    .initializer(&bias_name, &[of.bias.len()], int32s(&of.bias));
                let scales = of.bias_scales();
                let bias = export.dequantize_channels(&bias_name, &bias, &scales, int32s(&zeros));
                export.weighted(id, &inputs[0], &kernel, &bias)?
            }
            Op::Relu if clamps(f32::INFINITY) => inputs[0].clone(),
            Op::Relu6 if clamps(6.0) => inputs[0].clone(),
            _ => export.plain(id, &inputs)?,
        };
        let border = matches!(layer.op, Op::Pad(_) | Op::Crop(_));
        if let Some(q) = activation.filter(|_| !border) {
            let scale =
                export
                    .model
                    .initializer(&format!("{}.scale", layer.name), &[], floats(&[q.scale]));
            let zero = export.model.initializer(
                &format!("{}.zero_point", layer.name),
                &[],
                uint8s(&[q.zero_point]),
            );
            let levels = format!("{}.u8", layer.name);
            export
                .model
                .node("QuantizeLinear", &[&output, &scale, &zero], &levels, vec![]);
            output = format!("{}.f32", layer.name);
            export.model.node(
                "DequantizeLinear",
                &[&levels, &scale, &zero],
                &output,
                vec![],
            );
        }
        export.values[id] = Some(output);
    }
    export.finish()
}

/// A model under construction.
struct Export<'a> {
    graph: &'a Graph,
    model: Model,
    /// Name of each layer's value.
    values: Vec<Option<String>>,
}

impl<'a> Export<'a> {
    fn new(graph: &'a Graph, normalization: Normalization, name: &str) -> Export<'a> {
        let [height, width, channels] = graph.input_shape();
        let mut model = Model::new(name);
        model.input_u8(INPUT, &[1, height, width, channels]);
        let scale = model.initializer("photo.scale", &[], floats(&[1.0 / normalization.scale]));
        let zero = model.initializer(
            "photo.zero_point",
            &[],
            uint8s(&[normalization.zero_point()]),
        );
        model.node(
            "Transpose",
            &[INPUT],
            "photo.nchw",
            vec![ints("perm", &[0, 3, 1, 2])],
        );
        model.node(
            "DequantizeLinear",
            &["photo.nchw", &scale, &zero],
            "photo.f32",
            vec![],
        );
        let mut values = vec![None; graph.layers.len()];
        values[0] = Some("photo.f32".to_owned());
        Export {
            graph,
            model,
            values,
        }
    }

    fn value(&self, id: LayerId) -> Result<String> {
        self.values
            .get(id)
            .cloned()
            .flatten()
            .context("a layer reads one that comes later")
    }

    /// The values that a layer reads; never none.
    fn inputs(&self, id: LayerId) -> Result<Vec<String>> {
        let layer = &self.graph.layers[id];
        if layer.inputs.is_empty() {
            bail!("{} reads nothing", layer.name);
        }
        layer
            .inputs
            .iter()
            .map(|&input| self.value(input))
            .collect()
    }

    /// `values * scales` along the first dimension.
    fn dequantize_channels(
        &mut self,
        name: &str,
        values: &str,
        scales: &[f32],
        zeros: onnx::Values,
    ) -> String {
        let scale =
            self.model
                .initializer(&format!("{name}.scale"), &[scales.len()], floats(scales));
        let zero = self
            .model
            .initializer(&format!("{name}.zero_point"), &[scales.len()], zeros);
        let output = format!("{name}.f32");
        self.model.node(
            "DequantizeLinear",
            &[values, &scale, &zero],
            &output,
            vec![int("axis", 0)],
        );
        output
    }

    /// A convolution or a dense layer with float weights.
    fn in_float(&mut self, id: LayerId, input: &str, weights: &Weights) -> Result<String> {
        let name = &self.graph.layers[id].name;
        let mut stored = |suffix: &str| -> Result<String> {
            let name = format!("{name}.{suffix}");
            let array = weights.get(&name);
            let array = array.with_context(|| format!("{name} is missing"))?;
            let values = floats(&array.data);
            Ok(self.model.initializer(&name, &array.shape, values))
        };
        let (kernel, bias) = (stored("weight")?, stored("bias")?);
        self.weighted(id, input, &kernel, &bias)
    }

    /// A convolution or a dense layer.
    fn weighted(&mut self, id: LayerId, input: &str, kernel: &str, bias: &str) -> Result<String> {
        let layer = &self.graph.layers[id];
        let output = self.output_name(id);
        match layer.op {
            Op::Conv {
                connection,
                kernel: k,
                stride,
                padding: p,
                ..
            } => {
                let groups = match connection {
                    Connection::Dense { .. } => 1,
                    Connection::Depthwise => self.graph.shapes[id][2],
                };
                let attributes = vec![
                    ints("kernel_shape", &[k, k]),
                    ints("strides", &[stride, stride]),
                    ints("pads", &[p.top, p.left, p.bottom, p.right]),
                    int("group", groups),
                ];
                self.model
                    .node("Conv", &[input, kernel, bias], &output, attributes);
            }
            Op::Dense { .. } => {
                let flat = format!("{}.flat", layer.name);
                self.model
                    .node("Flatten", &[input], &flat, vec![int("axis", 1)]);
                self.model.node(
                    "Gemm",
                    &[&flat, kernel, bias],
                    &output,
                    vec![int("transB", 1)],
                );
            }
            _ => bail!("{} has no weights", layer.name),
        }
        Ok(output)
    }

    /// A multiply-add per channel.
    fn scale(&mut self, id: LayerId, input: &str, weights: &Weights) -> Result<String> {
        let name = &self.graph.layers[id].name;
        let mut constant = |suffix: &str| {
            let name = format!("{name}.{suffix}");
            let array = weights
                .get(&name)
                .with_context(|| format!("{name} is missing"))?;
            let shape = [array.data.len(), 1, 1];
            Ok(self.model.initializer(&name, &shape, floats(&array.data)))
        };
        let (weight, bias): (String, String) = match (constant("weight"), constant("bias")) {
            (Ok(weight), Ok(bias)) => (weight, bias),
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        let (scaled, output) = (format!("{name}.scaled"), self.output_name(id));
        self.model.node("Mul", &[input, &weight], &scaled, vec![]);
        self.model.node("Add", &[&scaled, &bias], &output, vec![]);
        Ok(output)
    }

    /// A layer without weights.
    fn plain(&mut self, id: LayerId, inputs: &[String]) -> Result<String> {
        let layer = &self.graph.layers[id];
        let output = self.output_name(id);
        let mut read: Vec<String> = inputs.to_vec();
        let window = |kernel: usize, stride: usize, p: Padding| {
            let mut attributes = vec![
                ints("kernel_shape", &[kernel, kernel]),
                ints("strides", &[stride, stride]),
            ];
            if !p.is_none() {
                attributes.push(ints("pads", &[p.top, p.left, p.bottom, p.right]));
            }
            attributes
        };
        let (operator, attributes) = match layer.op {
            Op::Relu => ("Relu", vec![]),
            Op::Relu6 => {
                read.push(self.model.initializer("relu6.low", &[], float(0.0)));
                read.push(self.model.initializer("relu6.high", &[], float(6.0)));
                ("Clip", vec![])
            }
            Op::Add => ("Add", vec![]),
            Op::Concat => ("Concat", vec![int("axis", 1)]),
            Op::Pad(p) => {
                let pads = [0, 0, p.top, p.left, 0, 0, p.bottom, p.right].map(|n| n as i64);
                let name = format!("{}.pads", layer.name);
                read.push(self.model.initializer(&name, &[8], int64s(&pads)));
                ("Pad", vec![])
            }
            Op::Crop(p) => {
                let [height, width, _] = self.graph.shapes[id];
                let (top, left) = (p.top as i64, p.left as i64);
                let ends = [top + height as i64, left + width as i64];
                for (what, values) in [("starts", [top, left]), ("ends", ends), ("axes", [2, 3])] {
                    let name = format!("{}.{what}", layer.name);
                    read.push(self.model.initializer(&name, &[2], int64s(&values)));
                }
                ("Slice", vec![])
            }
            Op::MaxPool { kernel, stride } => {
                ("MaxPool", window(kernel, stride, Padding::default()))
            }
            Op::AveragePool {
                kernel,
                stride,
                padding,
            } => ("AveragePool", window(kernel, stride, padding)),
            Op::GlobalAveragePool => ("GlobalAveragePool", vec![]),
            _ => bail!("{} must be folded before it is exported", layer.name),
        };
        let read: Vec<&str> = read.iter().map(String::as_str).collect();
        self.model.node(operator, &read, &output, attributes);
        Ok(output)
    }

    fn output_name(&self, id: LayerId) -> String {
        if id == self.graph.output() {
            OUTPUT.to_owned()
        } else {
            format!("{}.out", self.graph.layers[id].name)
        }
    }

    fn finish(mut self) -> Result<Vec<u8>> {
        let output = self.value(self.graph.output())?;
        if output != OUTPUT {
            bail!(
                "the network ends in {}, not in a dense layer",
                self.graph.layers[self.graph.output()].name
            );
        }
        self.model
            .output_f32(OUTPUT, &[1, self.graph.output_shape()[2]]);
        Ok(self.model.serialize())
    }
}
