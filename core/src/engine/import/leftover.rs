//! Nodes without an integer form: each becomes an ONNX model of one node, on `f32`
//! tensors, that tract runs as a step among the others. Their inputs are dequantized
//! before and their result is quantized behind them, as the graph says.
//!
//! One model a node is simple and slow; networks that keep many such nodes run on tract
//! as a whole (`Engine` decides).

use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::type_proto::{self, Value as TypeValue};
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
};
use tract_onnx::prelude::*;

use super::super::onnx::failed;
use super::value::{Layout, Value};
use super::{Fused, Import, unmatched};
use crate::engine::plan::{Kind, Op, TensorId};
use crate::error::{ErrorKind, catch_panic};

impl<'a> Import<'a> {
    /// The named value as `f32` in memory.
    pub(super) fn float(&mut self, name: &str) -> Fused<(TensorId, Layout)> {
        let Some(value) = self.values.get(name).cloned() else {
            return Err(failed(format!("tensor {name:?} comes from no node")).into());
        };
        let (tensor, layout) = match value {
            Value::Float { tensor, layout } => return Ok((tensor, layout)),
            Value::Dequantized(view) => {
                let view = self.settled(name, view)?;
                (self.dequantized_step(name, &view), view.layout)
            }
            Value::Pending(pending) => match self.emit_floats(&pending)? {
                Some(done) => done,
                None => self.made_by_tract(name)?,
            },
            Value::Segmented(_) => self.made_by_tract(name)?,
            Value::Bytes { .. } => {
                return unmatched(format!("integers of {name:?} are needed as such"));
            }
            Value::Constant(_) | Value::Stored(_) => {
                return unmatched(format!("{name:?} is a constant"));
            }
        };
        self.values.insert(
            name.to_owned(),
            Value::Float {
                tensor,
                layout: layout.clone(),
            },
        );
        Ok((tensor, layout))
    }

    /// What the node that gives a value is in `f32`.
    fn made_by_tract(&mut self, name: &str) -> Fused<(TensorId, Layout)> {
        let Some(&node) = self.makers.get(name) else {
            return unmatched(format!("tensor {name:?} is needed in f32"));
        };
        match self.leftover(node, format!("its result {name:?} is needed in f32"))? {
            Value::Float { tensor, layout } => Ok((tensor, layout)),
            _ => unmatched(format!("tensor {name:?} is needed in f32")),
        }
    }

    /// A step in which tract computes the node.
    pub(super) fn leftover(&mut self, node: &'a NodeProto, why: String) -> Fused<Value> {
        if matches!(node.op_type.as_str(), "QuantizeLinear" | "DequantizeLinear") {
            return unmatched(why);
        }
        let mut graph = GraphProto {
            name: node.name.clone(),
            node: vec![node.clone()],
            ..Default::default()
        };
        let (mut inputs, mut shapes) = (Vec::new(), Vec::new());
        for name in node.input.iter().filter(|name| !name.is_empty()) {
            match self.values.get(name).cloned() {
                Some(Value::Constant(constant)) => {
                    let mut tensor = TensorProto::clone(&constant.tensor);
                    tensor.name.clone_from(name);
                    graph.initializer.push(tensor);
                }
                Some(Value::Stored(stored)) => {
                    let Some(floats) = stored.floats() else {
                        return unmatched(why);
                    };
                    graph.initializer.push(TensorProto {
                        name: name.clone(),
                        dims: stored.constant.tensor.dims.clone(),
                        data_type: DataType::Float as i32,
                        raw_data: floats
                            .iter()
                            .flat_map(|value| value.to_le_bytes())
                            .collect(),
                        ..Default::default()
                    });
                }
                _ => {
                    let (mut tensor, layout) = self.float(name)?;
                    if !layout.is_row_major() {
                        let order: Vec<usize> = (0..layout.sides.len()).collect();
                        let row_major = Layout::row_major(layout.sides.clone());
                        tensor = self.permuted(
                            &node.name,
                            Kind::Float,
                            tensor,
                            &layout,
                            &order,
                            &row_major,
                        );
                    }
                    graph.input.push(value_info(name, Some(&layout.sides)));
                    inputs.push(tensor);
                    shapes.push(layout.sides);
                }
            }
        }
        if inputs.is_empty() {
            return unmatched(format!("{why}; it reads constants only"));
        }
        let Some(output) = node.output.first() else {
            return Err(failed("has no output").into());
        };
        graph.output.push(value_info(output, None));
        let model = ModelProto {
            ir_version: self.model.ir_version,
            opset_import: self.model.opset_import.clone(),
            graph: Some(graph),
            ..Default::default()
        };
        let Some(sides) = output_shape(&model)? else {
            return unmatched(format!("{why}; and tract gives it no fixed shape in f32"));
        };
        let layout = Layout::row_major(sides);
        let tensor = self.tensor(Kind::Float, &layout);
        let op = Op::Tract {
            model: model.encode_to_vec(),
            shapes,
            why,
        };
        self.step(&node.name, &inputs, tensor, op);
        Ok(Value::Float { tensor, layout })
    }
}

fn value_info(name: &str, sides: Option<&[usize]>) -> ValueInfoProto {
    let dimension = |&side: &usize| Dimension {
        value: Some(dimension::Value::DimValue(side as i64)),
        ..Default::default()
    };
    let tensor = type_proto::Tensor {
        elem_type: DataType::Float as i32,
        shape: sides.map(|sides| TensorShapeProto {
            dim: sides.iter().map(dimension).collect(),
        }),
    };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            value: Some(TypeValue::TensorType(tensor)),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// The shape that tract infers, where it is fixed and `f32`.
fn output_shape(model: &ModelProto) -> Fused<Option<Vec<usize>>> {
    Ok(catch_panic(ErrorKind::Model, "shape inference", || {
        let typed = tract_onnx::onnx()
            .parse(model, None)
            .and_then(|parsed| parsed.model.into_typed())
            .map_err(|error| crate::engine::tract::refused("cannot be computed", &error))?;
        let fact = typed
            .output_fact(0)
            .map_err(|error| crate::engine::tract::refused("has no output", &error))?;
        let floats = fact.datum_type == f32::datum_type();
        Ok(fact
            .shape
            .as_concrete()
            .filter(|_| floats)
            .map(<[usize]>::to_vec))
    })?)
}
