//! Steps that fit what is there already, as the fuzzer chooses them.

use arbitrary::{Result, Unstructured};

use super::*;

/// A plan as it grows, step by step.
pub(super) struct Builder {
    plan: Plan,
    /// Written and of bytes, in the order of their steps.
    ready: Vec<usize>,
}

impl Builder {
    pub(super) fn new(height: usize, width: usize, floats: bool) -> Builder {
        let kind = if floats { Kind::Float } else { Kind::Byte };
        let input = TensorInfo {
            kind,
            height,
            width,
            channels: 3,
            segment_of: None,
        };
        let port = Port {
            name: "input".to_owned(),
            shape: vec![1, height, width, 3],
            kind: if floats {
                TensorType::F32
            } else {
                TensorType::U8
            },
            tensor: 0,
        };
        let plan = Plan {
            input: port,
            output: 0,
            tensors: vec![input],
            steps: Vec::new(),
            inline: (0..=255).collect(),
        };
        let mut made = Builder {
            plan,
            ready: vec![0],
        };
        if floats {
            let bytes = made.tensor(Kind::Byte, height, width, 3);
            let op = Op::Quantize {
                scale: 0.01,
                zero_point: 128,
            };
            made.push(vec![0], bytes, op);
            made.ready = vec![bytes];
        }
        made
    }

    fn tensor(&mut self, kind: Kind, height: usize, width: usize, channels: usize) -> usize {
        self.plan.tensors.push(TensorInfo {
            kind,
            height,
            width,
            channels,
            segment_of: None,
        });
        self.plan.tensors.len() - 1
    }

    fn push(&mut self, inputs: Vec<usize>, output: usize, op: Op) {
        self.plan.steps.push(Step {
            node: String::new(),
            inputs,
            output,
            op,
        });
        if self.plan.tensors[output].kind == Kind::Byte {
            self.ready.push(output);
        }
    }

    pub(super) fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let from = match u.ratio(1, 4)? {
            true => *u.choose(&self.ready)?,
            false => self.ready[self.ready.len() - 1],
        };
        let TensorInfo {
            height,
            width,
            channels,
            ..
        } = self.plan.tensors[from];
        let op = u.int_in_range(0..=12)?;
        if op <= 4 {
            // Windows: convolutions of both kinds, pools.
            let (window, out_height, out_width) = window(u, height, width)?;
            let outputs = if op <= 1 {
                u.int_in_range(1..=70)?
            } else {
                channels
            };
            let output = self.tensor(Kind::Byte, out_height, out_width, outputs);
            let op = match op {
                0 | 1 => Op::Conv(self.convolution(u, window, channels, outputs, true)?),
                2 => Op::Depthwise(self.convolution(u, window, 1, outputs, true)?),
                3 => Op::MaxPool {
                    window,
                    pad_value: u.arbitrary()?,
                },
                _ => Op::AveragePool {
                    window,
                    zero_point: u.arbitrary()?,
                    scales: [factor(u)?, factor(u)?],
                    shift: u.arbitrary()?,
                    count_padding: u.arbitrary()?,
                    output: range(u)?,
                },
            };
            self.push(vec![from], output, op);
            return Ok(());
        }
        match op {
            5 => {
                let alike: Vec<usize> = self
                    .ready
                    .iter()
                    .copied()
                    .filter(|&id| self.is_alike(id, from))
                    .collect();
                let other = *u.choose(&alike)?;
                let output = self.tensor(Kind::Byte, height, width, channels);
                let op = Op::Add {
                    scales: [factor(u)?, factor(u)?],
                    offset: finite(u)?,
                    shift: u.arbitrary()?,
                    output: range(u)?,
                };
                self.push(vec![from, other], output, op);
            }
            6 => {
                let output = self.tensor(Kind::Byte, height, width, channels);
                let (times, plus): (u8, u8) = u.arbitrary()?;
                let table = (0..=255_u8)
                    .map(|x| x.wrapping_mul(times).wrapping_add(plus))
                    .collect();
                self.push(vec![from], output, Op::Lookup { table });
            }
            7 => {
                let output = self.tensor(Kind::Byte, height, width, channels);
                let count = if u.arbitrary()? { 1 } else { channels };
                let op = Op::Affine {
                    zero_point: u.arbitrary()?,
                    scale: (0..count).map(|_| finite(u)).collect::<Result<_>>()?,
                    offset: (0..count).map(|_| finite(u)).collect::<Result<_>>()?,
                    output: range(u)?,
                };
                self.push(vec![from], output, op);
            }
            8 => self.joined(u, from)?,
            9 => {
                let (top, left) = (u.int_in_range(-3..=3)?, u.int_in_range(-3..=3)?);
                let (more, wider) = (u.int_in_range(1..=24)?, u.int_in_range(1..=24)?);
                let output = self.tensor(Kind::Byte, more, wider, channels);
                let value = u.arbitrary()?;
                self.push(vec![from], output, Op::Pad { top, left, value });
            }
            10 => {
                let mut order = vec![0, 1, 2];
                let first = u.int_in_range(0..=2)?;
                order.rotate_left(first);
                if u.arbitrary()? {
                    order.swap(0, 1);
                }
                let sides = vec![height, width, channels];
                let moved: Vec<usize> = order.iter().map(|&side| sides[side]).collect();
                if self.plan.tensors[from].segment_of.is_none() {
                    let output = self.tensor(Kind::Byte, moved[0], moved[1], moved[2]);
                    self.push(vec![from], output, Op::Permute { sides, order });
                }
            }
            11 => {
                let floats = self.tensor(Kind::Float, height, width, channels);
                let bytes = self.tensor(Kind::Byte, height, width, channels);
                if self.plan.tensors[from].segment_of.is_none() {
                    let (scale, zero_point) = (factor(u)?, u.arbitrary()?);
                    self.push(vec![from], floats, Op::Dequantize { scale, zero_point });
                    let mut last = floats;
                    if u.arbitrary()? {
                        last = self.tensor(Kind::Float, height, width, channels);
                        self.push(vec![floats], last, Op::Softmax);
                    }
                    let (scale, zero_point) = (factor(u)?, u.arbitrary()?);
                    self.push(vec![last], bytes, Op::Quantize { scale, zero_point });
                }
            }
            _ => self.mean(u, from)?,
        }
        Ok(())
    }

    fn is_alike(&self, id: usize, other: usize) -> bool {
        let sides = |id: usize| {
            let info = &self.plan.tensors[id];
            (info.height, info.width, info.channels)
        };
        sides(id) == sides(other)
    }

    fn mean(&mut self, u: &mut Unstructured<'_>, from: usize) -> Result<()> {
        let output = self.tensor(Kind::Byte, 1, 1, self.plan.tensors[from].channels);
        let op = Op::GlobalAveragePool {
            zero_point: u.arbitrary()?,
            scale: factor(u)?,
            output: range(u)?,
        };
        self.push(vec![from], output, op);
        Ok(())
    }

    /// A concatenation that is written in place: two copies or pointwise convolutions beside each other.
    fn joined(&mut self, u: &mut Unstructured<'_>, from: usize) -> Result<()> {
        let TensorInfo {
            height,
            width,
            channels,
            ..
        } = self.plan.tensors[from];
        let second = u.int_in_range(1..=40)?;
        let whole = self.tensor(Kind::Byte, height, width, channels + second);
        for (first, channels) in [(0, channels), (channels, second)] {
            let part = self.tensor(Kind::Byte, height, width, channels);
            self.plan.tensors[part].segment_of = Some((whole, first));
            let op = match first == 0 && u.arbitrary()? {
                true => Op::Copy,
                false => {
                    let inputs = self.plan.tensors[from].channels;
                    Op::Conv(self.convolution(u, POINT, inputs, channels, true)?)
                }
            };
            self.push(vec![from], part, op);
        }
        self.ready.push(whole);
        Ok(())
    }

    fn convolution(
        &mut self,
        u: &mut Unstructured<'_>,
        window: Window,
        inputs: usize,
        outputs: usize,
        to_bytes: bool,
    ) -> Result<Convolution> {
        let length = window.kernel.0 * window.kernel.1 * inputs * outputs;
        let weights = match length <= MODEL_BYTES && u.ratio(3, 4)? {
            true => Place::Model(u.int_in_range(0..=MODEL_BYTES - length)?),
            false => {
                // Inline weights are of any length.
                let missing = length.saturating_sub(self.plan.inline.len());
                let more: Vec<u8> = self
                    .plan
                    .inline
                    .iter()
                    .rev()
                    .copied()
                    .cycle()
                    .take(missing)
                    .collect();
                self.plan.inline.extend(more);
                Place::Inline(0)
            }
        };
        let is_dense = window.kernel == (1, 1) && inputs > 1;
        let biases = [0, 1, -1, 1000, i32::MAX, i32::MIN];
        let bias = *u.choose(&biases)?;
        let multiplier = factor(u)?;
        Ok(Convolution {
            window,
            weights,
            order: match is_dense && u.arbitrary()? {
                true => WeightOrder::InOut,
                false => WeightOrder::OutIn,
            },
            bias: vec![bias; outputs],
            multipliers: vec![multiplier; outputs],
            input_zero_point: u.arbitrary()?,
            output: if to_bytes { Some(range(u)?) } else { None },
        })
    }

    /// Ends in a row of logits.
    pub(super) fn finish(&mut self, u: &mut Unstructured<'_>) -> Result<Plan> {
        let last = self.ready[self.ready.len() - 1];
        let info = self.plan.tensors[last];
        if (info.height, info.width) != (1, 1) {
            self.mean(u, last)?;
        }
        let classes = u.int_in_range(2..=33)?;
        let features = self.ready[self.ready.len() - 1];
        let output = self.tensor(Kind::Float, 1, 1, classes);
        let inputs = self.plan.tensors[features].channels;
        let layer = self.convolution(u, POINT, inputs, classes, false)?;
        self.push(vec![features], output, Op::Conv(layer));
        let empty = Plan {
            input: Port {
                name: String::new(),
                shape: Vec::new(),
                kind: TensorType::I8,
                tensor: 0,
            },
            output: 0,
            tensors: Vec::new(),
            steps: Vec::new(),
            inline: Vec::new(),
        };
        let mut plan = std::mem::replace(&mut self.plan, empty);
        plan.output = output;
        Ok(plan)
    }
}

const POINT: Window = Window {
    kernel: (1, 1),
    stride: (1, 1),
    pad: (0, 0),
};

/// A window that fits, and the sides that it gives.
fn window(u: &mut Unstructured<'_>, height: usize, width: usize) -> Result<(Window, usize, usize)> {
    let mut along = |input: usize| -> Result<(usize, usize, usize, usize)> {
        let kernel = u.int_in_range(1..=7)?;
        let stride = u.int_in_range(1..=4)?;
        let pad = u.int_in_range(0..=kernel - 1)?;
        // Every window touches the image, and fewer than a kernel's pixels hang over its end.
        let most = (input + pad).div_ceil(stride);
        Ok((kernel, stride, pad, u.int_in_range(1..=most)?))
    };
    let (down, across) = (along(height)?, along(width)?);
    let window = Window {
        kernel: (down.0, across.0),
        stride: (down.1, across.1),
        pad: (down.2, across.2),
    };
    Ok((window, down.3, across.3))
}

/// A scale or multiplier, now and then of an extreme size.
fn factor(u: &mut Unstructured<'_>) -> Result<f32> {
    Ok(*u.choose(&[
        0.01,
        1.0,
        0.37,
        1e-30,
        1e30,
        f32::MIN_POSITIVE,
        1e-45,
        f32::MAX,
    ])?)
}

fn finite(u: &mut Unstructured<'_>) -> Result<f32> {
    Ok(*u.choose(&[0.5, 0.0, -0.0, 1.0, -3.0, 128.0, 1e-45, f32::MAX, f32::MIN])?)
}

fn range(u: &mut Unstructured<'_>) -> Result<Range> {
    let (zero_point, a, b): (u8, u8, u8) = u.arbitrary()?;
    // Mostly the whole of it.
    let (low, high) = if u.ratio(3, 4)? {
        (0, 255)
    } else {
        (a.min(b), a.max(b))
    };
    Ok(Range {
        zero_point,
        low,
        high,
    })
}
