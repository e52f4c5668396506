//! Plans that mostly pass `engine/plan/check.rs`, so that what is fuzzed is the executor and its kernels.
//!
//! The types mirror those of `core/src/engine/plan/mod.rs`, which are not public, field by field; [`plain`] is a plan that
//! has to open, and tells when they have gone apart.

mod builder;

use arbitrary::{Result, Unstructured};
use serde::Serialize;
use sha2::{Digest, Sha256};

use builder::Builder;

/// `VERSION` of `engine/plan/file.rs`.
const VERSION: u32 = 2;
const MODEL_AT: usize = 12;
const BODY_HASH_AT: usize = 44;
const BODY_AT: usize = 76;
/// How many bytes the plans' model has, which weights may point into.
pub const MODEL_BYTES: usize = 1 << 12;

#[derive(Serialize)]
pub struct Plan {
    pub input: Port,
    pub output: usize,
    pub tensors: Vec<TensorInfo>,
    steps: Vec<Step>,
    inline: Vec<u8>,
}

#[derive(Serialize)]
pub struct Port {
    name: String,
    pub shape: Vec<usize>,
    pub kind: TensorType,
    tensor: usize,
}

#[derive(Serialize, Clone, Copy, PartialEq)]
pub enum TensorType {
    U8,
    I8,
    F32,
}

#[derive(Serialize, Clone, Copy, PartialEq)]
enum Kind {
    Byte,
    Float,
}

#[derive(Serialize, Clone, Copy)]
pub struct TensorInfo {
    kind: Kind,
    height: usize,
    width: usize,
    pub channels: usize,
    segment_of: Option<(usize, usize)>,
}

#[derive(Serialize)]
struct Step {
    node: String,
    inputs: Vec<usize>,
    output: usize,
    op: Op,
}

#[derive(Serialize, Clone, Copy)]
struct Range {
    zero_point: u8,
    low: u8,
    high: u8,
}

#[derive(Serialize)]
enum Place {
    Model(usize),
    Inline(usize),
}

#[derive(Serialize)]
enum WeightOrder {
    OutIn,
    InOut,
}

#[derive(Serialize, Clone, Copy)]
struct Window {
    kernel: (usize, usize),
    stride: (usize, usize),
    pad: (usize, usize),
}

#[derive(Serialize)]
struct Convolution {
    window: Window,
    weights: Place,
    order: WeightOrder,
    bias: Vec<i32>,
    multipliers: Vec<f32>,
    input_zero_point: u8,
    output: Option<Range>,
}

#[derive(Serialize)]
enum Op {
    Conv(Convolution),
    Depthwise(Convolution),
    Add {
        scales: [f32; 2],
        offset: f32,
        shift: u8,
        output: Range,
    },
    Lookup {
        table: Vec<u8>,
    },
    Affine {
        zero_point: u8,
        scale: Vec<f32>,
        offset: Vec<f32>,
        output: Range,
    },
    Copy,
    MaxPool {
        window: Window,
        pad_value: Option<u8>,
    },
    AveragePool {
        window: Window,
        zero_point: u8,
        scales: [f32; 2],
        shift: u8,
        count_padding: bool,
        output: Range,
    },
    GlobalAveragePool {
        zero_point: u8,
        scale: f32,
        output: Range,
    },
    Pad {
        top: isize,
        left: isize,
        value: u8,
    },
    Permute {
        sides: Vec<usize>,
        order: Vec<usize>,
    },
    Quantize {
        scale: f32,
        zero_point: u8,
    },
    Dequantize {
        scale: f32,
        zero_point: u8,
    },
    Softmax,
    #[allow(dead_code)]
    Tract {
        model: Vec<u8>,
        shapes: Vec<Vec<usize>>,
        why: String,
    },
}

/// A plan of up to a dozen steps on an input of a few pixels.
pub fn any(u: &mut Unstructured<'_>) -> Result<Plan> {
    let (height, width) = (u.int_in_range(1..=20)?, u.int_in_range(1..=20)?);
    let mut made = Builder::new(height, width, u.ratio(1, 4)?);
    let steps = u.int_in_range(0..=10)?;
    for _ in 0..steps {
        made.step(u)?;
    }
    made.finish(u)
}

/// The smallest plan of a classifier: means of the colours, two weighted sums of them.
pub fn plain() -> Plan {
    let mut made = Builder::new(2, 2, false);
    let zeros = [0; 256];
    made.finish(&mut Unstructured::new(&zeros))
        .unwrap_or_else(|_| unreachable!("zeros are enough"))
}

/// `plan.bin`: header and body.
pub fn bytes(plan: &Plan, model_sha256: &[u8; 32]) -> Vec<u8> {
    let body = postcard::to_allocvec(plan).expect("a plan in postcard");
    let mut file = [b"ETALPLAN", &VERSION.to_le_bytes()[..], model_sha256].concat();
    file.extend(Sha256::digest(&body));
    file.extend(body);
    file
}

/// Changes the body of `plan.bin`, and its hash.
pub fn edit(file: &mut Vec<u8>, change: impl FnOnce(&mut Vec<u8>)) {
    let mut body = file.split_off(file.len().min(BODY_AT));
    change(&mut body);
    file.truncate(BODY_HASH_AT);
    file.extend(Sha256::digest(&body));
    file.extend(body);
}

/// States that `plan.bin` was made of another model.
pub fn belongs_to(file: &mut [u8], model_sha256: &[u8; 32]) {
    if let Some(stated) = file.get_mut(MODEL_AT..BODY_HASH_AT) {
        stated.copy_from_slice(model_sha256);
    }
}
