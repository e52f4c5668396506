//! A thin writer of ONNX models over the generated protobuf messages: opset 13, values as raw little-endian bytes.

use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, tensor_shape_proto, type_proto,
};

/// Per-channel DequantizeLinear came with opset 13.
const OPSET: i64 = 13;
/// The IR version that opset 13 came with.
const IR_VERSION: i64 = 7;

/// Element type and bytes of an initializer.
pub struct Values(DataType, Vec<u8>);

/// f32 values.
pub fn floats(values: &[f32]) -> Values {
    Values(
        DataType::Float,
        values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    )
}

/// One f32 value.
pub fn float(value: f32) -> Values {
    floats(&[value])
}

/// i8 values.
pub fn int8s(values: &[i8]) -> Values {
    Values(DataType::Int8, values.iter().map(|v| *v as u8).collect())
}

/// u8 values.
pub fn uint8s(values: &[u8]) -> Values {
    Values(DataType::Uint8, values.to_vec())
}

/// i32 values.
pub fn int32s(values: &[i32]) -> Values {
    Values(
        DataType::Int32,
        values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    )
}

/// i64 values.
pub fn int64s(values: &[i64]) -> Values {
    Values(
        DataType::Int64,
        values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    )
}

/// An integer attribute.
pub fn int(name: &str, value: usize) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Int as i32,
        i: value as i64,
        ..Default::default()
    }
}

/// An attribute that is a list of integers.
pub fn ints(name: &str, values: &[usize]) -> AttributeProto {
    let ints = values.iter().map(|&v| v as i64).collect();
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Ints as i32,
        ints,
        ..Default::default()
    }
}

/// A model under construction.
pub struct Model {
    graph: GraphProto,
}

impl Model {
    /// An empty model whose graph is called `name`.
    pub fn new(name: &str) -> Model {
        Model {
            graph: GraphProto {
                name: name.into(),
                ..Default::default()
            },
        }
    }

    /// Declares a u8 input.
    pub fn input_u8(&mut self, name: &str, shape: &[usize]) {
        self.graph
            .input
            .push(value_info(name, DataType::Uint8, shape));
    }

    /// Declares an f32 output.
    pub fn output_f32(&mut self, name: &str, shape: &[usize]) {
        self.graph
            .output
            .push(value_info(name, DataType::Float, shape));
    }

    /// Stores a constant once, by name, and returns the name.
    pub fn initializer(
        &mut self,
        name: &str,
        shape: &[usize],
        Values(kind, bytes): Values,
    ) -> String {
        if !self
            .graph
            .initializer
            .iter()
            .any(|tensor| tensor.name == name)
        {
            self.graph.initializer.push(TensorProto {
                name: name.into(),
                dims: shape.iter().map(|&d| d as i64).collect(),
                data_type: kind as i32,
                raw_data: bytes,
                ..Default::default()
            });
        }
        name.to_owned()
    }

    /// Appends a node with one output; the node is named after it.
    pub fn node(
        &mut self,
        op: &str,
        inputs: &[&str],
        output: &str,
        attribute: Vec<AttributeProto>,
    ) {
        self.graph.node.push(NodeProto {
            name: output.into(),
            op_type: op.into(),
            input: inputs.iter().map(|&name| name.into()).collect(),
            output: vec![output.into()],
            attribute,
            ..Default::default()
        });
    }

    /// The file's bytes.
    pub fn serialize(self) -> Vec<u8> {
        let model = ModelProto {
            ir_version: IR_VERSION,
            producer_name: "etalase-trainer".into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            opset_import: vec![OperatorSetIdProto {
                domain: String::new(),
                version: OPSET,
            }],
            graph: Some(self.graph),
            ..Default::default()
        };
        model.encode_to_vec()
    }
}

fn value_info(name: &str, kind: DataType, shape: &[usize]) -> ValueInfoProto {
    let dim = |&size: &usize| tensor_shape_proto::Dimension {
        value: Some(tensor_shape_proto::dimension::Value::DimValue(size as i64)),
        ..Default::default()
    };
    let tensor = type_proto::Tensor {
        elem_type: kind as i32,
        shape: Some(TensorShapeProto {
            dim: shape.iter().map(dim).collect(),
        }),
    };
    let kind = TypeProto {
        value: Some(type_proto::Value::TensorType(tensor)),
        ..Default::default()
    };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(kind),
        ..Default::default()
    }
}
