//! Concatenations without copies: where an input of a concatenation is in its scale
//! already, whatever writes that input writes it into the concatenation's memory.

use std::collections::HashSet;

use super::{Kind, Op, Plan};

/// Takes out every [`Op::Copy`] whose source can live in the copy's place.
pub(crate) fn join_in_place(plan: &mut Plan) {
    // Kernels address pixels by a stride; these operations read or write their tensors
    // as one run of values.
    let mut whole: HashSet<usize> = HashSet::from([plan.input.tensor, plan.output]);
    for step in &plan.steps {
        if matches!(
            step.op,
            Op::Permute { .. }
                | Op::Quantize { .. }
                | Op::Dequantize { .. }
                | Op::Softmax
                | Op::Tract { .. }
        ) {
            whole.extend(&step.inputs);
            whole.insert(step.output);
        }
    }
    let steps = std::mem::take(&mut plan.steps);
    for step in steps {
        let (&[from], to) = (step.inputs.as_slice(), step.output) else {
            plan.steps.push(step);
            continue;
        };
        let (source, target) = (plan.tensors[from], plan.tensors[to]);
        let joins = step.op == Op::Copy
            && source.segment_of.is_none()
            && target.segment_of.is_some()
            && source.kind == Kind::Byte
            && (source.height, source.width, source.channels)
                == (target.height, target.width, target.channels)
            && !whole.contains(&from)
            && plan.root(to).0 != from;
        if joins {
            plan.tensors[from].segment_of = Some((to, 0));
        } else {
            plan.steps.push(step);
        }
    }
}

/// Takes out steps whose result nobody reads, and renumbers the tensors that are left.
pub(crate) fn drop_unused(plan: &mut Plan) {
    let mut wanted = vec![false; plan.tensors.len()];
    wanted[plan.input.tensor] = true;
    wanted[plan.output] = true;
    // From the end: what a wanted step reads is wanted. A tensor is also read where
    // another is that it is a segment of, and the other way round.
    let mut kept = Vec::with_capacity(plan.steps.len());
    for step in std::mem::take(&mut plan.steps).into_iter().rev() {
        let mut at = Some(step.output);
        let mut read = false;
        while let Some(tensor) = at {
            read |= wanted[tensor];
            at = plan.tensors[tensor].segment_of.map(|(parent, _)| parent);
        }
        if read {
            for &input in &step.inputs {
                wanted[input] = true;
            }
            kept.push(step);
        }
    }
    kept.reverse();
    plan.steps = kept;

    let mut used = vec![false; plan.tensors.len()];
    let ends = [plan.input.tensor, plan.output];
    let named = plan
        .steps
        .iter()
        .flat_map(|step| step.inputs.iter().chain([&step.output]));
    for &tensor in named.chain(&ends) {
        let mut at = Some(tensor);
        while let Some(tensor) = at {
            used[tensor] = true;
            at = plan.tensors[tensor].segment_of.map(|(parent, _)| parent);
        }
    }
    let mut numbers = vec![0; used.len()];
    let mut next = 0;
    for (number, &used) in numbers.iter_mut().zip(&used) {
        *number = next;
        next += usize::from(used);
    }
    let mut at = 0;
    plan.tensors.retain(|_| {
        at += 1;
        used[at - 1]
    });
    for info in &mut plan.tensors {
        info.segment_of = info
            .segment_of
            .map(|(parent, first)| (numbers[parent], first));
    }
    for step in &mut plan.steps {
        step.output = numbers[step.output];
        step.inputs
            .iter_mut()
            .for_each(|input| *input = numbers[*input]);
    }
    plan.input.tensor = numbers[plan.input.tensor];
    plan.output = numbers[plan.output];
}
