//! Where initializers' bytes lie in an ONNX file, so that a plan can point at them
//! instead of repeating them. The decoded message has copies only.

use std::collections::HashMap;

use prost::bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

/// Field numbers of onnx.proto.
const MODEL_GRAPH: u32 = 7;
const GRAPH_INITIALIZER: u32 = 5;
const TENSOR_NAME: u32 = 8;
const TENSOR_RAW_DATA: u32 = 9;

/// The first byte of each initializer's `raw_data`, by the initializer's name.
pub(super) fn of_raw_data(file: &[u8]) -> HashMap<String, usize> {
    let mut places = HashMap::new();
    each_message(file, 0, &mut |field, model_at, graph| {
        if field != MODEL_GRAPH {
            return;
        }
        each_message(graph, model_at, &mut |field, graph_at, tensor| {
            if field != GRAPH_INITIALIZER {
                return;
            }
            let (mut name, mut place) = (None, None);
            each_message(tensor, graph_at, &mut |field, at, bytes| match field {
                TENSOR_NAME => name = std::str::from_utf8(bytes).ok(),
                TENSOR_RAW_DATA => place = Some(at),
                _ => {}
            });
            if let (Some(name), Some(place)) = (name, place) {
                places.insert(name.to_owned(), place);
            }
        });
    });
    places
}

/// Calls `visit` with number, place in the file and bytes of every length-delimited
/// field of a message that lies at `at`. Stops where the message is damaged: the file
/// was decoded before.
fn each_message<'a>(message: &'a [u8], at: usize, visit: &mut impl FnMut(u32, usize, &'a [u8])) {
    let mut rest = message;
    while rest.has_remaining() {
        let Ok((field, wire_type)) = decode_key(&mut rest) else {
            return;
        };
        if wire_type != WireType::LengthDelimited {
            if skip_field(wire_type, field, &mut rest, DecodeContext::default()).is_err() {
                return;
            }
            continue;
        }
        let length = decode_varint(&mut rest)
            .ok()
            .and_then(|length| usize::try_from(length).ok());
        let Some((bytes, behind)) = length.and_then(|length| rest.split_at_checked(length)) else {
            return;
        };
        visit(field, at + (message.len() - rest.len()), bytes);
        rest = behind;
    }
}
