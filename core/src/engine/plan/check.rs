//! Whether a plan can be trusted: every number that a kernel will use as an address, a
//! length or a divisor. A plan from a file may be hostile; one from import is checked
//! by the same code.

use super::{
    Convolution, Kind, Op, Place, Plan, Range, Step, TensorId, TensorInfo, WeightOrder, Window,
};
use crate::engine::tensor::TensorType;
use crate::error::{Error, ErrorKind, Result};

/// Beyond any photo classifier's; products of three stay below 2^63.
const MAX_SIDE: usize = 1 << 20;
const MAX_VALUES: usize = 1 << 28;
const MAX_SHIFT: usize = 1 << 16;
/// Beyond any photo classifier's too. Placing tensors takes time by the square of their number.
const MAX_TENSORS: usize = 1 << 13;
const MAX_STEPS: usize = 1 << 13;
/// Of a tensor in a tensor in a tensor.
const MAX_NESTED: usize = 1 << 8;
/// The most sides that a permutation has.
pub(crate) const MAX_RANK: usize = 8;

/// Checks the whole plan against the length of the ONNX file that it points into.
///
/// # Errors
/// `Model`, naming the step and the cause.
pub(crate) fn check(plan: &Plan, model_bytes: usize) -> Result<()> {
    let (tensors, steps) = (plan.tensors.len(), plan.steps.len());
    if tensors > MAX_TENSORS || steps > MAX_STEPS {
        return Err(wrong(format!(
            "{tensors} tensors and {steps} steps; {MAX_TENSORS} and {MAX_STEPS} at most"
        )));
    }
    for (id, info) in plan.tensors.iter().enumerate() {
        check_tensor(plan, id, info)?;
    }
    check_ends(plan)?;
    let mut written = vec![false; plan.tensors.len()];
    written[plan.input.tensor] = true;
    for (at, step) in plan.steps.iter().enumerate() {
        check_step(plan, step, &written, model_bytes).map_err(|cause| {
            wrong(format!(
                "step {at}, node {:?} ({}): {cause}",
                step.node,
                step.op.name()
            ))
        })?;
        written[plan.root(step.output).0] = true;
    }
    if !written[plan.output] {
        return Err(wrong("no step writes the output"));
    }
    Ok(())
}

/// Whether every window of an output touches the image, which kernels rely on.
pub(crate) fn fits(window: &Window, input: (usize, usize), output: (usize, usize)) -> bool {
    let along = |kernel: usize, stride: usize, pad: usize, input: usize, output: usize| {
        let sane =
            kernel > 0 && stride > 0 && output > 0 && kernel <= MAX_SHIFT && stride <= MAX_SHIFT;
        sane && pad < kernel && (output - 1) * stride < input + pad && {
            let end = (output - 1) * stride + kernel;
            end.saturating_sub(input + pad) < kernel
        }
    };
    along(
        window.kernel.0,
        window.stride.0,
        window.pad.0,
        input.0,
        output.0,
    ) && along(
        window.kernel.1,
        window.stride.1,
        window.pad.1,
        input.1,
        output.1,
    )
}

fn wrong(cause: impl Into<String>) -> Error {
    Error::new(ErrorKind::Model, cause.into()).context("the plan")
}

fn check_tensor(plan: &Plan, id: TensorId, info: &TensorInfo) -> Result<()> {
    let sides = [info.height, info.width, info.channels];
    let values = sides
        .iter()
        .try_fold(1_usize, |product, &side| product.checked_mul(side));
    let sane = sides.iter().all(|side| (1..=MAX_SIDE).contains(side));
    if !sane || values.is_none_or(|values| values > MAX_VALUES) {
        return Err(wrong(format!("tensor {id} has sides {sides:?}")));
    }
    let (mut at, mut depth) = (id, 0);
    while let Some((parent, first)) = plan.tensors[at].segment_of {
        let Some(whole) = plan.tensors.get(parent) else {
            return Err(wrong(format!(
                "tensor {id} is part of tensor {parent}, of {}",
                plan.tensors.len()
            )));
        };
        let part = plan.tensors[at];
        let inside = first
            .checked_add(part.channels)
            .is_some_and(|end| end <= whole.channels);
        let alike = (part.kind, part.height, part.width) == (Kind::Byte, whole.height, whole.width);
        depth += 1;
        if !inside || !alike || whole.kind != Kind::Byte || depth > MAX_NESTED {
            return Err(wrong(format!(
                "tensor {id} cannot be part of tensor {parent}"
            )));
        }
        at = parent;
    }
    Ok(())
}

fn check_ends(plan: &Plan) -> Result<()> {
    let port = &plan.input;
    let (Some(input), Some(output)) =
        (plan.tensors.get(port.tensor), plan.tensors.get(plan.output))
    else {
        return Err(wrong("input or output is no tensor"));
    };
    let values = port
        .shape
        .iter()
        .try_fold(1_usize, |product, &side| product.checked_mul(side));
    let kind = match port.kind {
        TensorType::F32 => Kind::Float,
        TensorType::U8 | TensorType::I8 => Kind::Byte,
    };
    if values != Some(input.values()) || kind != input.kind || input.segment_of.is_some() {
        return Err(wrong(format!(
            "an input of shape {:?} doesn't fit its tensor",
            port.shape
        )));
    }
    if output.kind != Kind::Float || output.segment_of.is_some() || output.values() < 2 {
        return Err(wrong(
            "not a classifier: its output is not a row of at least 2 scores",
        ));
    }
    Ok(())
}

fn ensure(holds: bool, cause: &str) -> std::result::Result<(), String> {
    if holds { Ok(()) } else { Err(cause.to_owned()) }
}

fn check_step(
    plan: &Plan,
    step: &Step,
    written: &[bool],
    model_bytes: usize,
) -> std::result::Result<(), String> {
    let wanted = match &step.op {
        Op::Add { .. } => 2,
        Op::Tract { shapes, .. } => shapes.len(),
        _ => 1,
    };
    ensure(
        wanted > 0 && step.inputs.len() == wanted,
        "has another number of inputs",
    )?;
    let known = |id: &TensorId| *id < plan.tensors.len();
    ensure(
        step.inputs.iter().all(known) && known(&step.output),
        "names a tensor that there is not",
    )?;
    let output = &plan.tensors[step.output];
    let channels = |id: TensorId| {
        let (root, first) = plan.root(id);
        (root, first, first + plan.tensors[id].channels)
    };
    let (root, first, end) = channels(step.output);
    for &input in &step.inputs {
        let (from, start, stop) = channels(input);
        ensure(written[from], "reads what no step has written")?;
        ensure(
            from != root || stop <= first || end <= start,
            "writes over its input",
        )?;
    }
    ensure(root != plan.input.tensor, "writes over the network's input")?;
    let input = &plan.tensors[step.inputs[0]];
    let whole = || {
        let parts = step.inputs.iter().chain([&step.output]);
        let mut infos = parts.map(|&id| plan.tensors[id].segment_of);
        ensure(
            infos.all(|segment| segment.is_none()),
            "cannot work on a segment",
        )
    };
    let kinds = |from: Kind, to: Kind| {
        let all = step.inputs.iter().all(|&id| plan.tensors[id].kind == from);
        ensure(
            all && output.kind == to,
            "has inputs or an output of the wrong kind",
        )
    };
    let same_sides = || {
        let sides = |info: &TensorInfo| (info.height, info.width, info.channels);
        let all = step
            .inputs
            .iter()
            .all(|&id| sides(&plan.tensors[id]) == sides(output));
        ensure(all, "has inputs of another shape than its output")
    };
    let windowed = |window: &Window| {
        let fits = fits(
            window,
            (input.height, input.width),
            (output.height, output.width),
        );
        ensure(fits, "has a window that doesn't fit its shapes")
    };
    match &step.op {
        Op::Conv(conv) => {
            kinds(
                Kind::Byte,
                if conv.output.is_some() {
                    Kind::Byte
                } else {
                    Kind::Float
                },
            )?;
            ensure(
                conv.output.is_some() || output.segment_of.is_none(),
                "cannot work on a segment",
            )?;
            windowed(&conv.window)?;
            convolution(plan, conv, output.channels, input.channels, model_bytes)
        }
        Op::Depthwise(conv) => {
            kinds(Kind::Byte, Kind::Byte)?;
            ensure(
                conv.output.is_some() && conv.order == WeightOrder::OutIn,
                "is no depthwise convolution",
            )?;
            ensure(input.channels == output.channels, "changes the channels")?;
            windowed(&conv.window)?;
            convolution(plan, conv, output.channels, 1, model_bytes)
        }
        Op::Add {
            scales,
            offset,
            output,
            ..
        } => {
            kinds(Kind::Byte, Kind::Byte)?;
            same_sides()?;
            ensure(
                scales.iter().all(|scale| positive(*scale)),
                "has a scale that is not positive",
            )?;
            ensure(offset.is_finite(), "has an offset that is not finite")?;
            range(output)
        }
        Op::Lookup { table } => {
            kinds(Kind::Byte, Kind::Byte)?;
            same_sides()?;
            ensure(table.len() == 256, "has a table of other than 256 values")
        }
        Op::Affine {
            scale,
            offset,
            output: range_of,
            ..
        } => {
            kinds(Kind::Byte, Kind::Byte)?;
            same_sides()?;
            for values in [scale, offset] {
                ensure(
                    values.len() == 1 || values.len() == output.channels,
                    "has another number of factors than channels",
                )?;
                ensure(
                    values.iter().all(|value| value.is_finite()),
                    "has a factor that is not finite",
                )?;
            }
            range(range_of)
        }
        Op::Copy => {
            kinds(Kind::Byte, Kind::Byte)?;
            same_sides()
        }
        Op::MaxPool { window, .. } => {
            kinds(Kind::Byte, Kind::Byte)?;
            ensure(input.channels == output.channels, "changes the channels")?;
            windowed(window)
        }
        Op::AveragePool {
            window,
            scales,
            output: range_of,
            ..
        } => {
            kinds(Kind::Byte, Kind::Byte)?;
            ensure(input.channels == output.channels, "changes the channels")?;
            ensure(
                scales.iter().all(|scale| positive(*scale)),
                "has a scale that is not positive",
            )?;
            ensure(
                window.kernel.0.saturating_mul(window.kernel.1) <= 1 << 20,
                "has too large a window",
            )?;
            windowed(window)?;
            range(range_of)
        }
        Op::GlobalAveragePool {
            scale,
            output: range_of,
            ..
        } => {
            kinds(Kind::Byte, Kind::Byte)?;
            ensure(
                input.channels == output.channels && output.pixels() == 1,
                "gives other than one value a channel",
            )?;
            // So that sums stay within 32 bits.
            ensure(input.pixels() <= 1 << 22, "has too large an image")?;
            ensure(positive(*scale), "has a scale that is not positive")?;
            range(range_of)
        }
        Op::Pad { top, left, .. } => {
            kinds(Kind::Byte, Kind::Byte)?;
            ensure(input.channels == output.channels, "changes the channels")?;
            ensure(
                top.unsigned_abs() <= MAX_SHIFT && left.unsigned_abs() <= MAX_SHIFT,
                "moves too far",
            )
        }
        Op::Permute { sides, order } => {
            whole()?;
            ensure(input.kind == output.kind, "changes the kind")?;
            ensure(sides.len() <= MAX_RANK, "has too many sides")?;
            let values = sides
                .iter()
                .try_fold(1_usize, |product, &side| product.checked_mul(side));
            ensure(
                values == Some(input.values()) && values == Some(output.values()),
                "has other sides than its tensors",
            )?;
            let mut sorted = order.clone();
            sorted.sort_unstable();
            ensure(
                sorted.iter().copied().eq(0..sides.len()),
                "has an order that is none",
            )
        }
        Op::Quantize { scale, .. } => {
            whole()?;
            kinds(Kind::Float, Kind::Byte)?;
            ensure(positive(*scale), "has a scale that is not positive")?;
            ensure(
                input.values() == output.values(),
                "changes the number of values",
            )
        }
        Op::Dequantize { scale, .. } => {
            whole()?;
            kinds(Kind::Byte, Kind::Float)?;
            ensure(positive(*scale), "has a scale that is not positive")?;
            ensure(
                input.values() == output.values(),
                "changes the number of values",
            )
        }
        Op::Softmax => {
            kinds(Kind::Float, Kind::Float)?;
            ensure(
                input.values() == output.values(),
                "changes the number of values",
            )
        }
        Op::Tract { shapes, .. } => {
            kinds(Kind::Float, Kind::Float)?;
            for (&id, shape) in step.inputs.iter().zip(shapes) {
                let values = shape
                    .iter()
                    .try_fold(1_usize, |product, &side| product.checked_mul(side));
                ensure(
                    values == Some(plan.tensors[id].values()),
                    "has a shape that is not its input's",
                )?;
            }
            Ok(())
        }
    }
}

fn positive(value: f32) -> bool {
    value.is_finite() && value > 0.0
}

fn range(range: &Range) -> std::result::Result<(), String> {
    ensure(range.low <= range.high, "has an empty range")
}

fn convolution(
    plan: &Plan,
    conv: &Convolution,
    outputs: usize,
    inputs: usize,
    model_bytes: usize,
) -> std::result::Result<(), String> {
    let per_channel = conv.bias.len() == outputs && conv.multipliers.len() == outputs;
    ensure(
        per_channel,
        "has another number of biases or multipliers than channels",
    )?;
    ensure(
        conv.multipliers.iter().all(|value| positive(*value)),
        "has a multiplier that is not positive",
    )?;
    let (kernel_h, kernel_w) = conv.window.kernel;
    let square = (kernel_h, kernel_w) == (1, 1);
    ensure(
        square || conv.order == WeightOrder::OutIn,
        "has weights in another order than its window's",
    )?;
    let length = [kernel_h, kernel_w, inputs, outputs]
        .iter()
        .try_fold(1_usize, |product, &side| product.checked_mul(side));
    let (at, room) = match conv.weights {
        Place::Model(at) => (at, model_bytes),
        Place::Inline(at) => (at, plan.inline.len()),
    };
    let end = length.and_then(|length| at.checked_add(length));
    ensure(
        end.is_some_and(|end| end <= room),
        "has weights shorter than their shape",
    )?;
    conv.output.as_ref().map_or(Ok(()), range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::plan::Port;

    fn tensor(kind: Kind) -> TensorInfo {
        TensorInfo {
            kind,
            height: 1,
            width: 1,
            channels: 4,
            segment_of: None,
        }
    }

    /// Bytes that are dequantized.
    fn plan() -> Plan {
        Plan {
            input: Port {
                name: "x".to_owned(),
                shape: vec![1, 4],
                kind: TensorType::U8,
                tensor: 0,
            },
            output: 1,
            tensors: vec![tensor(Kind::Byte), tensor(Kind::Float)],
            steps: vec![Step {
                node: "out".to_owned(),
                inputs: vec![0],
                output: 1,
                op: Op::Dequantize {
                    scale: 0.5,
                    zero_point: 0,
                },
            }],
            inline: Vec::new(),
        }
    }

    fn refused(plan: &Plan) -> String {
        check(plan, 0).unwrap_err().to_string()
    }

    #[test]
    fn tensors_and_steps_are_bounded() {
        let mut plan = plan();
        plan.tensors.resize(MAX_TENSORS, tensor(Kind::Byte));
        plan.steps.resize(MAX_STEPS, plan.steps[0].clone());
        check(&plan, 0).unwrap();
        plan.tensors.push(tensor(Kind::Byte));
        assert!(refused(&plan).contains("8193 tensors and 8192 steps"));
        plan.tensors.pop();
        plan.steps.push(plan.steps[0].clone());
        assert!(refused(&plan).contains("8192 tensors and 8193 steps"));
    }

    #[test]
    fn parts_of_parts_end() {
        let mut plan = plan();
        for depth in 0..=MAX_NESTED {
            let whole = plan.tensors.len() - 1;
            plan.tensors.push(TensorInfo {
                segment_of: (depth > 0).then_some((whole, 0)),
                ..tensor(Kind::Byte)
            });
        }
        check(&plan, 0).unwrap();
        let last = plan.tensors.len() - 1;
        plan.tensors.push(TensorInfo {
            segment_of: Some((last, 0)),
            ..tensor(Kind::Byte)
        });
        assert!(refused(&plan).contains("cannot be part of"));
        plan.tensors.truncate(3);
        plan.tensors[2].segment_of = Some((2, 0));
        assert!(refused(&plan).contains("tensor 2 cannot be part of tensor 2"));
    }
}
