//! Runs a plan: weights packed for this CPU, activations in one arena, steps in order,
//! each split over the threads that take part.
//!
//! A [`Program`] is immutable and shared; a run borrows a [`Scratch`] and allocates
//! nothing, unless a step is left to tract. Everything here trusts the plan because
//! `plan::check` has accepted it: that, and disjoint ranges of a step's output for its
//! threads, is what the kernels are promised.

mod arena;
mod moves;
mod pool;
mod prepare;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use self::arena::Placed;
use self::pool::Pool;
use self::prepare::{Prepared, Work};
use super::kernels::{self, Act, Aligned, Kernels, Source, Target, act};
use super::plan::{Kind, Plan, TensorId, TensorInfo};
use super::tensor::TensorType;
use crate::error::{Error, ErrorKind, Result};

/// The most memory of a run, and of packed weights: beyond any photo classifier's.
const MAX_MEMORY_BYTES: usize = 1 << 30;

fn too_much(what: &str) -> Error {
    Error::new(
        ErrorKind::Model,
        format!("{what} would take more than {MAX_MEMORY_BYTES} bytes of memory"),
    )
}

/// A network packed for this CPU.
pub(crate) struct Program {
    kernels: &'static dyn Kernels,
    plan: Plan,
    places: Vec<Placed>,
    steps: Vec<Prepared>,
    arena_bytes: usize,
    /// For one thread.
    scratch_bytes: usize,
    pool: Option<Pool>,
}

/// The memory of one run at a time.
pub(crate) struct Scratch {
    arena: Aligned,
    kernels: Aligned,
}

/// Input values of any type.
#[derive(Clone, Copy)]
pub(crate) enum Input<'a> {
    U8(&'a [u8]),
    I8(&'a [i8]),
    F32(&'a [f32]),
}

/// A step's name and time.
pub(crate) struct StepReport<'a> {
    pub(crate) node: &'a str,
    pub(crate) op: &'static str,
    pub(crate) output: TensorInfo,
    /// Why tract runs it, where it does.
    pub(crate) why: Option<&'a str>,
}

impl Program {
    /// Packs a checked plan's weights out of the ONNX file `model`.
    pub(crate) fn new(plan: Plan, model: &[u8], threads: usize) -> Result<Program> {
        let kernels = kernels::best();
        let (places, arena_bytes) = arena::place(&plan);
        let steps = prepare::steps(&plan, model, kernels, threads)?;
        let scratch_bytes = steps
            .iter()
            .map(|step| step.scratch_bytes)
            .max()
            .unwrap_or(0);
        let scratch_bytes = scratch_bytes.next_multiple_of(64);
        // A plan may come from anywhere; memory that cannot be had would end the process.
        let all = scratch_bytes
            .checked_mul(threads)
            .and_then(|bytes| bytes.checked_add(arena_bytes));
        if all.is_none_or(|bytes| bytes > MAX_MEMORY_BYTES) {
            return Err(too_much("a run"));
        }
        let pool = (threads > 1).then(|| Pool::new(threads)).transpose()?;
        Ok(Program {
            kernels,
            places,
            steps,
            arena_bytes,
            scratch_bytes,
            pool,
            plan,
        })
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The kernels' instruction set.
    pub(crate) fn isa(&self) -> &'static str {
        self.kernels.name()
    }

    /// Bytes of activations.
    pub(crate) fn arena_bytes(&self) -> usize {
        self.arena_bytes
    }

    /// Memory for one run at a time.
    pub(crate) fn scratch(&self) -> Scratch {
        let threads = self.pool.as_ref().map_or(1, Pool::threads);
        Scratch {
            arena: Aligned::zeroed(self.arena_bytes),
            kernels: Aligned::zeroed(self.scratch_bytes * threads),
        }
    }

    /// The steps, in order.
    pub(crate) fn steps(&self) -> impl Iterator<Item = StepReport<'_>> {
        self.plan.steps.iter().map(|step| StepReport {
            node: &step.node,
            op: step.op.name(),
            output: self.plan.tensors[step.output],
            why: step.op.why(),
        })
    }

    /// Runs the network. The input has the port's type and as many values as its shape,
    /// `output` as many as there are classes, `features` none or as many as there are, `scratch` is this program's.
    ///
    /// # Errors
    /// `Cancelled` where `cancel` was set; `Model` where a step on tract fails.
    pub(crate) fn run(
        &self,
        scratch: &mut Scratch,
        input: Input,
        output: &mut [f32],
        features: &mut [f32],
        cancel: Option<&AtomicBool>,
    ) -> Result<()> {
        let run = self.begin(scratch, input)?;
        match &self.pool {
            Some(pool) => pool.run(self.steps.len(), cancel, &|step, part, parts| {
                self.part(&run, step, part, parts)
            })?,
            None => {
                for step in 0..self.steps.len() {
                    stopped(cancel)?;
                    self.part(&run, step, 0, 1)?;
                }
            }
        }
        self.finish(&run, output)?;
        if let Some((tensor, zero_point)) = self.plan.features() {
            // SAFETY: all steps are done.
            let levels = unsafe { self.bytes(&run, tensor) };
            moves::dequantize(levels, features, 1.0, zero_point);
        }
        Ok(())
    }

    /// How many features there are.
    pub(crate) fn features(&self) -> usize {
        let tensor = self.plan.features();
        tensor.map_or(0, |(tensor, _)| self.plan.tensors[tensor].channels)
    }

    /// As [`Program::run`], on one thread; gives each step's milliseconds.
    pub(crate) fn profile(
        &self,
        scratch: &mut Scratch,
        input: Input,
        times_ms: &mut [f64],
    ) -> Result<()> {
        let run = self.begin(scratch, input)?;
        for (step, time) in (0..self.steps.len()).zip(times_ms) {
            let start = Instant::now();
            self.part(&run, step, 0, 1)?;
            *time = start.elapsed().as_secs_f64() * 1e3;
        }
        Ok(())
    }

    /// Copies the input into the arena, bytes in the stored domain.
    fn begin(&self, scratch: &mut Scratch, input: Input) -> Result<Run> {
        if scratch.arena.len() < self.arena_bytes {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "scratch memory of another network",
            ));
        }
        let run = Run {
            arena: scratch.arena.as_mut_ptr(),
            scratch: scratch.kernels.as_mut_ptr(),
            input: match input {
                Input::F32(values) => Some(values.as_ptr()),
                _ => None,
            },
        };
        let port = &self.plan.input;
        let kind = match input {
            Input::U8(_) => TensorType::U8,
            Input::I8(_) => TensorType::I8,
            Input::F32(_) => TensorType::F32,
        };
        let length = match input {
            Input::U8(values) => values.len(),
            Input::I8(values) => values.len(),
            Input::F32(values) => values.len(),
        };
        if kind != port.kind || length != self.plan.tensors[port.tensor].values() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "input {:?} takes {} {:?}, got {length} values of {kind}",
                    port.name, port.kind, port.shape
                ),
            ));
        }
        match input {
            Input::U8(values) => {
                // SAFETY: the tensor is in this run's arena, and nothing else runs yet.
                let to = unsafe { self.bytes_mut(&run, port.tensor) };
                to.iter_mut()
                    .zip(values)
                    .for_each(|(to, &value)| *to = act(value));
            }
            Input::I8(values) => {
                // SAFETY: as above.
                let to = unsafe { self.bytes_mut(&run, port.tensor) };
                // Signed values are shifted by 128 in a plan.
                let shifted = |value: i8| act(value.cast_unsigned() ^ 0x80);
                to.iter_mut()
                    .zip(values)
                    .for_each(|(to, &value)| *to = shifted(value));
            }
            // Read where it is.
            Input::F32(_) => {}
        }
        Ok(run)
    }

    fn finish(&self, run: &Run, output: &mut [f32]) -> Result<()> {
        // SAFETY: all steps are done.
        let scores = unsafe { self.floats(run, self.plan.output) };
        if scores.len() != output.len() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("room for {} of {} scores", output.len(), scores.len()),
            ));
        }
        output.copy_from_slice(scores);
        Ok(())
    }

    /// Does one of `parts` equal shares of a step.
    fn part(&self, run: &Run, step: usize, part: usize, parts: usize) -> Result<()> {
        let prepared = &self.steps[step];
        let range = share(prepared.units, prepared.grain, part, parts);
        if range.is_empty() {
            return Ok(());
        }
        // SAFETY: each part has its own share of the scratch memory.
        let scratch = unsafe { run.scratch.add(part * self.scratch_bytes) };
        let step = &self.plan.steps[step];
        // SAFETY: the plan was checked: shapes, places and packed weights agree; the
        // steps run one after the other, and ranges of one step do not overlap.
        unsafe {
            self.work(
                run,
                step.inputs.as_slice(),
                step.output,
                &prepared.work,
                range,
                scratch,
            )
        }
    }

    unsafe fn work(
        &self,
        run: &Run,
        inputs: &[TensorId],
        output: TensorId,
        work: &Work,
        range: Range<usize>,
        scratch: *mut u8,
    ) -> Result<()> {
        let kernels = self.kernels;
        let source = |at: usize| self.source(run, inputs[at]);
        let target = || self.target(run, output);
        // SAFETY: the caller's promise, for all of the kernels below.
        unsafe {
            match work {
                Work::Conv {
                    job,
                    packed,
                    by_tiles,
                } => {
                    let (height, width) = job.shape.output;
                    let (pixels, tiles) = match by_tiles {
                        true => (0..height * width, range),
                        false => (range, 0..kernels.conv_tiles(&job.shape)),
                    };
                    kernels.conv(
                        &kernels::Conv {
                            shape: job.shape,
                            window: job.window,
                            packed,
                            input: source(0),
                            output: match job.clamp {
                                Some(clamp) => kernels::ConvOutput::Act(target(), clamp),
                                None => kernels::ConvOutput::F32(self.floats_pointer(run, output)),
                            },
                        },
                        pixels,
                        tiles,
                        scratch,
                    );
                }
                Work::Depthwise { job, clamp, packed } => kernels.depthwise(
                    &kernels::Depthwise {
                        shape: job.shape,
                        window: job.window,
                        packed,
                        input: source(0),
                        output: target(),
                        clamp: *clamp,
                    },
                    range,
                    scratch,
                ),
                Work::Add {
                    scales,
                    offset,
                    shift,
                    clamp,
                } => kernels.add(
                    &kernels::Add {
                        channels: self.plan.tensors[output].channels,
                        a: source(0),
                        b: source(1),
                        output: target(),
                        scale_a: scales[0],
                        scale_b: scales[1],
                        offset: *offset,
                        shift: *shift,
                        clamp: *clamp,
                    },
                    range,
                ),
                Work::Lookup(table) => kernels.lookup(
                    &kernels::Lookup {
                        channels: self.plan.tensors[output].channels,
                        input: source(0),
                        output: target(),
                        table,
                    },
                    range,
                ),
                Work::Affine {
                    zero_point,
                    scale,
                    offset,
                    clamp,
                } => kernels.affine(
                    &kernels::Affine {
                        channels: self.plan.tensors[output].channels,
                        input: source(0),
                        output: target(),
                        zero_point: *zero_point,
                        scale,
                        offset,
                        clamp: *clamp,
                    },
                    range,
                ),
                Work::Copy => moves::copy(
                    source(0),
                    target(),
                    range,
                    self.plan.tensors[output].channels,
                ),
                Work::MaxPool { job, pad_value } => kernels.max_pool(
                    &kernels::MaxPool {
                        shape: job.shape,
                        window: job.window,
                        input: source(0),
                        output: target(),
                        pad_value: *pad_value,
                    },
                    range,
                ),
                Work::AveragePool {
                    job,
                    zero_point,
                    scales,
                    shift,
                    count_padding,
                    clamp,
                } => kernels.average_pool(
                    &kernels::AveragePool {
                        shape: job.shape,
                        window: job.window,
                        input: source(0),
                        output: target(),
                        zero_point: *zero_point,
                        scale_in: scales[0],
                        scale_out: scales[1],
                        shift: *shift,
                        count_padding: *count_padding,
                        clamp: *clamp,
                    },
                    range,
                    scratch,
                ),
                Work::GlobalAveragePool {
                    pixels,
                    zero_point,
                    scale,
                    clamp,
                } => kernels.global_average_pool(
                    &kernels::GlobalAveragePool {
                        pixels: *pixels,
                        input: source(0),
                        output: target(),
                        zero_point: *zero_point,
                        scale: *scale,
                        clamp: *clamp,
                    },
                    range,
                ),
                Work::Pad { by, value } => moves::pad(
                    (source(0), &self.plan.tensors[inputs[0]]),
                    (target(), &self.plan.tensors[output]),
                    *by,
                    *value,
                ),
                Work::Permute { sides, order } => match self.plan.tensors[output].kind {
                    Kind::Byte => {
                        moves::permute(
                            self.bytes(run, inputs[0]),
                            self.bytes_mut(run, output),
                            sides,
                            order,
                        );
                    }
                    Kind::Float => {
                        moves::permute(
                            self.floats(run, inputs[0]),
                            self.floats_mut(run, output),
                            sides,
                            order,
                        );
                    }
                },
                Work::Quantize { scale, zero_point } => kernels.quantize(
                    &kernels::Quantize {
                        input: self.floats(run, inputs[0]).as_ptr(),
                        output: target().pointer,
                        scale: *scale,
                        zero_point: *zero_point,
                    },
                    range,
                ),
                Work::Dequantize { scale, zero_point } => {
                    moves::dequantize(
                        self.bytes(run, inputs[0]),
                        self.floats_mut(run, output),
                        *scale,
                        *zero_point,
                    );
                }
                Work::Softmax => moves::softmax(
                    self.floats(run, inputs[0]),
                    self.floats_mut(run, output),
                    self.plan.tensors[output].channels,
                ),
                #[cfg(feature = "onnx")]
                Work::Tract(node) => {
                    let inputs: Vec<&[f32]> =
                        inputs.iter().map(|&id| self.floats(run, id)).collect();
                    return node.run(&inputs, self.floats_mut(run, output));
                }
            }
        }
        Ok(())
    }

    fn source(&self, run: &Run, tensor: TensorId) -> Source {
        let place = self.places[tensor];
        Source {
            // SAFETY: the arena holds every tensor of the plan at its place.
            pointer: unsafe { run.arena.add(place.offset) }.cast::<Act>(),
            stride: place.stride,
        }
    }

    fn target(&self, run: &Run, tensor: TensorId) -> Target {
        let source = self.source(run, tensor);
        Target {
            pointer: source.pointer.cast_mut(),
            stride: source.stride,
        }
    }

    fn floats_pointer(&self, run: &Run, tensor: TensorId) -> *mut f32 {
        // SAFETY: as in `source`; places are multiples of 64 bytes.
        unsafe { run.arena.add(self.places[tensor].offset) }.cast::<f32>()
    }

    /// # Safety
    /// No step writes the tensor meanwhile; it is no segment.
    unsafe fn bytes(&self, run: &Run, tensor: TensorId) -> &[Act] {
        let values = self.plan.tensors[tensor].values();
        // SAFETY: within the arena, initialized when it was made.
        unsafe { std::slice::from_raw_parts(self.source(run, tensor).pointer, values) }
    }

    /// # Safety
    /// Nothing else reads or writes the tensor meanwhile; it is no segment.
    #[allow(clippy::mut_from_ref)]
    unsafe fn bytes_mut(&self, run: &Run, tensor: TensorId) -> &mut [Act] {
        let values = self.plan.tensors[tensor].values();
        // SAFETY: within the arena, initialized when it was made.
        unsafe { std::slice::from_raw_parts_mut(self.target(run, tensor).pointer, values) }
    }

    /// # Safety
    /// No step writes the tensor meanwhile; it is of floats.
    unsafe fn floats(&self, run: &Run, tensor: TensorId) -> &[f32] {
        let values = self.plan.tensors[tensor].values();
        let first = match run.input {
            Some(input) if tensor == self.plan.input.tensor => input,
            _ => self.floats_pointer(run, tensor),
        };
        // SAFETY: within the arena, initialized when it was made; or the caller's values,
        // as many as the input has, which no step writes.
        unsafe { std::slice::from_raw_parts(first, values) }
    }

    /// # Safety
    /// Nothing else reads or writes the tensor meanwhile; it is of floats.
    #[allow(clippy::mut_from_ref)]
    unsafe fn floats_mut(&self, run: &Run, tensor: TensorId) -> &mut [f32] {
        let values = self.plan.tensors[tensor].values();
        // SAFETY: within the arena, initialized when it was made.
        unsafe { std::slice::from_raw_parts_mut(self.floats_pointer(run, tensor), values) }
    }
}

/// A run's memory. Threads of one run share it and write disjoint parts.
struct Run {
    arena: *mut u8,
    scratch: *mut u8,
    /// The caller's values, where they are `f32`: those are not copied.
    input: Option<*const f32>,
}

// SAFETY: the pointers are into a `Scratch` that the run borrows mutably, or into its
// input; what threads do with them is `Program::part`'s to keep apart.
unsafe impl Send for Run {}
// SAFETY: as above.
unsafe impl Sync for Run {}

/// Part `part` of `0..units`, in whole grains.
fn share(units: usize, grain: usize, part: usize, parts: usize) -> Range<usize> {
    let grains = units.div_ceil(grain);
    let at = |part: usize| (grains * part / parts * grain).min(units);
    at(part)..at(part + 1)
}

/// `Cancelled` where `cancel` was set.
pub(crate) fn stopped(cancel: Option<&AtomicBool>) -> Result<()> {
    match cancel {
        Some(cancel) if cancel.load(Ordering::Relaxed) => {
            Err(Error::new(ErrorKind::Cancelled, "the run was cancelled"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_whole_grains_and_cover_everything() {
        for (units, grain, parts) in [
            (0, 1, 3),
            (1, 8, 2),
            (49, 8, 2),
            (112, 1, 5),
            (7, 2, 8),
            (196, 56, 8),
        ] {
            let mut next = 0;
            for part in 0..parts {
                let range = share(units, grain, part, parts);
                assert_eq!(range.start, next.min(units), "{units} {grain} {parts}");
                assert!(range.end == units || range.end.is_multiple_of(grain));
                next = range.end;
            }
            assert_eq!(next, units);
        }
    }
}
