//! One block of memory for all activations: where each tensor lies is decided when a
//! network is opened, from the steps between which it is alive.

use crate::engine::kernels::OVERREAD_BYTES;
use crate::engine::plan::{Kind, Plan};

const ALIGNMENT: usize = 64;

/// Where a tensor lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    /// Bytes from the arena's begin.
    pub(super) offset: usize,
    /// Values from one pixel to the next.
    pub(super) stride: usize,
}

/// A root tensor's bytes and the steps from its first writing to its last reading.
struct Block {
    bytes: usize,
    first: usize,
    last: usize,
    offset: usize,
}

/// Places every tensor of a checked plan; gives the places and the arena's length.
pub(super) fn place(plan: &Plan) -> (Vec<Placed>, usize) {
    let mut blocks: Vec<Block> = plan
        .tensors
        .iter()
        .map(|info| {
            let width = if info.kind == Kind::Float { 4 } else { 1 };
            Block {
                bytes: (info.values() * width + OVERREAD_BYTES).next_multiple_of(ALIGNMENT),
                first: usize::MAX,
                last: 0,
                offset: 0,
            }
        })
        .collect();
    let input = plan.input.tensor;
    let mut touch = |tensor: usize, step: usize| {
        // An input of floats is read where the caller has it.
        if tensor == input && plan.tensors[input].kind == Kind::Float {
            return;
        }
        let block = &mut blocks[plan.root(tensor).0];
        block.first = block.first.min(step);
        block.last = block.last.max(step);
    };
    touch(plan.input.tensor, 0);
    for (at, step) in plan.steps.iter().enumerate() {
        for &tensor in step.inputs.iter().chain([&step.output]) {
            touch(tensor, at);
        }
    }
    touch(plan.output, plan.steps.len());
    // Whoever asks for features reads them when the run is over.
    if let Some((features, _)) = plan.features() {
        touch(features, plan.steps.len());
    }

    // The largest first, each at the lowest place that is free during its life.
    let mut order: Vec<usize> = (0..blocks.len())
        .filter(|&id| blocks[id].first != usize::MAX)
        .collect();
    order.sort_by_key(|&id| std::cmp::Reverse(blocks[id].bytes));
    let mut placed: Vec<usize> = Vec::with_capacity(order.len());
    let mut arena_bytes = 0;
    for id in order {
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .map(|&other| &blocks[other])
            .filter(|other| other.first <= blocks[id].last && blocks[id].first <= other.last)
            .map(|other| (other.offset, other.offset + other.bytes))
            .collect();
        taken.sort_unstable();
        let mut offset = 0;
        for (begin, end) in taken {
            if offset + blocks[id].bytes <= begin {
                break;
            }
            offset = offset.max(end);
        }
        blocks[id].offset = offset;
        arena_bytes = arena_bytes.max(offset + blocks[id].bytes);
        placed.push(id);
    }
    let places = (0..plan.tensors.len()).map(|id| {
        let (root, channel) = plan.root(id);
        Placed {
            offset: blocks[root].offset + channel,
            stride: plan.tensors[root].channels,
        }
    });
    (places.collect(), arena_bytes)
}
