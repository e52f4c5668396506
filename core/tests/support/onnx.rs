//! Writes small ONNX files, by hand.

use prost::Message;
use tract_onnx::pb;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::type_proto;

/// A network under construction.
#[derive(Clone, Default)]
pub struct Network {
    graph: pb::GraphProto,
}

/// A side of a shape: a number, or a name for an open one.
pub enum Side {
    Is(i64),
    Open(&'static str),
}

pub fn shape(sides: &[i64]) -> Vec<Side> {
    sides.iter().map(|&side| Side::Is(side)).collect()
}

fn value_info(name: &str, kind: DataType, sides: Vec<Side>) -> pb::ValueInfoProto {
    let dim = sides.into_iter().map(|side| Dimension {
        value: Some(match side {
            Side::Is(number) => dimension::Value::DimValue(number),
            Side::Open(name) => dimension::Value::DimParam(name.to_owned()),
        }),
        ..Default::default()
    });
    pb::ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(pb::TypeProto {
            value: Some(type_proto::Value::TensorType(type_proto::Tensor {
                elem_type: kind as i32,
                shape: Some(pb::TensorShapeProto { dim: dim.collect() }),
            })),
            ..Default::default()
        }),
        ..Default::default()
    }
}

impl Network {
    pub fn input(mut self, name: &str, kind: DataType, sides: Vec<Side>) -> Network {
        self.graph.input.push(value_info(name, kind, sides));
        self
    }

    pub fn output(mut self, name: &str, sides: &[i64]) -> Network {
        let info = value_info(name, DataType::Float, shape(sides));
        self.graph.output.push(info);
        self
    }

    /// The same nodes with another output.
    pub fn retarget(mut self, name: &str, sides: &[i64]) -> Network {
        self.graph.output.clear();
        self.output(name, sides)
    }

    /// A node named after its output.
    pub fn node(self, op: &str, inputs: &[&str], output: &str) -> Network {
        self.node_with(op, inputs, output, &[])
    }

    /// As `node`, with attributes of integers: one is an INT, more are INTS.
    pub fn node_with(
        mut self,
        op: &str,
        inputs: &[&str],
        output: &str,
        attributes: &[(&str, &[i64])],
    ) -> Network {
        let attribute = attributes.iter().map(|(name, ints)| {
            let single = ints.len() == 1;
            pb::AttributeProto {
                name: (*name).to_owned(),
                r#type: if single {
                    AttributeType::Int
                } else {
                    AttributeType::Ints
                } as i32,
                i: if single { ints[0] } else { 0 },
                ints: if single { vec![] } else { ints.to_vec() },
                ..Default::default()
            }
        });
        self.graph.node.push(pb::NodeProto {
            op_type: op.to_owned(),
            name: format!("make_{output}"),
            input: inputs.iter().map(|name| (*name).to_owned()).collect(),
            output: vec![output.to_owned()],
            attribute: attribute.collect(),
            ..Default::default()
        });
        self
    }

    fn stored(mut self, name: &str, kind: DataType, dims: &[i64], raw_data: Vec<u8>) -> Network {
        self.graph.initializer.push(pb::TensorProto {
            name: name.to_owned(),
            data_type: kind as i32,
            dims: dims.to_vec(),
            raw_data,
            ..Default::default()
        });
        self
    }

    pub fn floats(self, name: &str, dims: &[i64], values: &[f32]) -> Network {
        let raw = values.iter().flat_map(|value| value.to_le_bytes());
        self.stored(name, DataType::Float, dims, raw.collect())
    }

    pub fn i8s(self, name: &str, dims: &[i64], values: &[i8]) -> Network {
        let raw = values.iter().map(|value| value.cast_unsigned());
        self.stored(name, DataType::Int8, dims, raw.collect())
    }

    pub fn u8s(self, name: &str, dims: &[i64], values: &[u8]) -> Network {
        self.stored(name, DataType::Uint8, dims, values.to_vec())
    }

    pub fn i64s(self, name: &str, dims: &[i64], values: &[i64]) -> Network {
        let raw = values.iter().flat_map(|value| value.to_le_bytes());
        self.stored(name, DataType::Int64, dims, raw.collect())
    }

    /// Bytes of one type, listed as the 32-bit numbers that a file may hold as well.
    pub fn listed(mut self, name: &str, kind: DataType, values: &[i32]) -> Network {
        self.graph.initializer.push(pb::TensorProto {
            name: name.to_owned(),
            data_type: kind as i32,
            int32_data: values.to_vec(),
            ..Default::default()
        });
        self
    }

    /// Forgets the outputs, for others to be named.
    pub fn without_output(mut self) -> Network {
        self.graph.output.clear();
        self
    }

    /// Makes a node read another tensor.
    pub fn rename_input(mut self, node: &str, from: &str, to: &str) -> Network {
        for node in self
            .graph
            .node
            .iter_mut()
            .filter(|found| found.name == node)
        {
            for input in node.input.iter_mut().filter(|input| *input == from) {
                *input = to.to_owned();
            }
        }
        self
    }

    /// Says of the last stored tensor that its values are in another file.
    pub fn moved_out(mut self) -> Network {
        let tensor = self.graph.initializer.last_mut().expect("a stored tensor");
        tensor.raw_data.clear();
        tensor.data_location = Some(pb::tensor_proto::DataLocation::External as i32);
        tensor.external_data.push(pb::StringStringEntryProto {
            key: "location".to_owned(),
            value: "/etc/passwd".to_owned(),
        });
        self
    }

    pub fn bytes(self) -> Vec<u8> {
        pb::ModelProto {
            ir_version: 8,
            opset_import: vec![pb::OperatorSetIdProto {
                domain: String::new(),
                version: 13,
            }],
            graph: Some(pb::GraphProto {
                name: "test".to_owned(),
                ..self.graph
            }),
            ..Default::default()
        }
        .encode_to_vec()
    }
}

/// Classes of [`quadrants`].
pub const QUADRANTS: [&str; 4] = ["top-left", "top-right", "bottom-left", "bottom-right"];

/// The side of the image that [`quadrants`] takes, px.
pub const QUADRANTS_SIDE: usize = 8;

/// In the form of our own networks, `[1, 8, 8, 3]` u8 NHWC in, QDQ inside: says
/// which quarter of the photo is brightest. Each logit is the sum of `(pixel − 128)`
/// over a quarter, all channels, divided by 64.
pub fn quadrants() -> Network {
    let side = QUADRANTS_SIDE;
    let mut weights = Vec::new();
    for class in 0..4 {
        for _channel in 0..3 {
            for y in 0..side {
                for x in 0..side {
                    let quarter = usize::from(y >= side / 2) * 2 + usize::from(x >= side / 2);
                    weights.push(i8::from(quarter == class));
                }
            }
        }
    }
    let n = side as i64;
    Network::default()
        .input("photo", DataType::Uint8, shape(&[1, n, n, 3]))
        .node_with(
            "Transpose",
            &["photo"],
            "planes",
            &[("perm", &[0, 3, 1, 2])],
        )
        .floats("pixel_scale", &[], &[1.0 / 64.0])
        .u8s("pixel_zero", &[], &[128])
        .node(
            "DequantizeLinear",
            &["planes", "pixel_scale", "pixel_zero"],
            "real",
        )
        .i8s("weights_q", &[4, 3, n, n], &weights)
        .floats("weights_scale", &[4], &[1.0; 4])
        .i8s("weights_zero", &[4], &[0; 4])
        .node_with(
            "DequantizeLinear",
            &["weights_q", "weights_scale", "weights_zero"],
            "weights",
            &[("axis", &[0])],
        )
        .node("Conv", &["real", "weights"], "sums")
        .node_with("Flatten", &["sums"], "logits", &[("axis", &[1])])
        .output("logits", &[1, 4])
}

/// In the form of a torchvision export: f32 NCHW with an open batch; logits are the
/// means of the three planes.
pub fn plane_means(side: i64) -> Network {
    let sides = vec![Side::Open("N"), Side::Is(3), Side::Is(side), Side::Is(side)];
    Network::default()
        .input("image", DataType::Float, sides)
        .node("GlobalAveragePool", &["image"], "pooled")
        .node_with("Flatten", &["pooled"], "flat", &[("axis", &[1])])
        .floats(
            "identity",
            &[3, 3],
            &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        )
        .node("MatMul", &["flat", "identity"], "logits")
        .output("logits", &[1, 3])
}
