//! Runs a network: one small interface, a shape and a number type in, logits out.
//!
//! An int8 network becomes a [`plan`] ([`import`] reads it from ONNX, a bundle carries
//! it), which [`executor`] runs on the integer [`kernels`] of this CPU. What has no
//! integer form, single nodes or a whole float network, runs on [`tract`].

#[allow(unsafe_code)]
mod executor;
#[cfg(feature = "onnx")]
mod import;
mod isa;
#[allow(unsafe_code)]
mod kernels;
#[cfg(feature = "onnx")]
mod onnx;
mod plan;
#[cfg(feature = "onnx")]
mod softmax;
#[cfg(feature = "onnx")]
mod summary;
mod tensor;
#[cfg(feature = "onnx")]
mod tract;

pub use isa::isa;
#[cfg(feature = "onnx")]
pub use softmax::without_softmax;
#[cfg(feature = "onnx")]
pub use summary::{NetworkSummary, summarize};
pub use tensor::{Tensor, TensorData, TensorType};

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

pub(crate) use self::executor::stopped;
use self::executor::{Input, Program, Scratch};
use crate::error::{Error, ErrorKind, Result};

/// The most threads that one engine uses.
const MAX_THREADS: usize = 256;

/// Which implementation runs a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Backend {
    /// Integer kernels where the network is quantized, else tract.
    #[default]
    Auto,
    /// tract alone: to compare with.
    Tract,
}

/// How an engine runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineOptions {
    /// Threads for one run, 1 to 256. They sleep between runs.
    pub threads: usize,
    /// Which implementation runs the network.
    pub backend: Backend,
}

impl Default for EngineOptions {
    /// One thread: on a phone the app wants the others.
    fn default() -> EngineOptions {
        EngineOptions {
            threads: 1,
            backend: Backend::Auto,
        }
    }
}

/// A network ready to run. `Send + Sync` and immutable: share it between threads;
/// each run takes scratch memory of its own, and none waits for another.
pub struct Engine {
    inner: Inner,
    input_name: String,
    input_shape: Vec<usize>,
    input_type: TensorType,
    classes: usize,
}

enum Inner {
    Program {
        program: Box<Program>,
        /// Memory of runs that are over, for those to come. Held only to take or to
        /// give back one.
        spare: Mutex<Vec<Scratch>>,
    },
    #[cfg(feature = "onnx")]
    Tract {
        engine: tract::TractEngine,
        why: String,
    },
}

/// One operation of a network, as [`Engine::explain`] lists it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Operation {
    /// The ONNX node that it comes from.
    pub node: String,
    /// What runs it: `pointwise`, `conv`, `depthwise`, `add`, `lookup`, `affine`, `copy`,
    /// `max_pool`, `average_pool`, `global_average_pool`, `pad`, `permute`, `quantize`, `dequantize`, `softmax`,
    /// or `tract` where there is no integer kernel.
    pub kind: &'static str,
    /// Height, width and channels of its result.
    pub output: [usize; 3],
    /// Why tract runs it, where it does.
    pub not_fused: Option<String>,
    /// Milliseconds, the least of some runs on one thread.
    pub time_ms: f64,
}

impl Engine {
    /// Prepares an ONNX classifier: one input of fixed shape (an open batch becomes
    /// 1) of u8, i8 or f32, and one f32 output `[1, classes]` (or `[1, classes, 1,
    /// 1]`) of at least 2 classes. Takes up to seconds for large networks.
    ///
    /// # Errors
    /// `Model` where the bytes are no ONNX model, not a classifier, or use what the
    /// runtime cannot compute; `InvalidArgument` for a thread count out of range.
    #[cfg(feature = "onnx")]
    pub fn from_onnx(onnx: &[u8], options: &EngineOptions) -> Result<Engine> {
        check_threads(options)?;
        if options.backend == Backend::Tract {
            return Engine::on_tract(onnx, options, "asked for".to_owned());
        }
        match import::import(&onnx::read(onnx)?, onnx)? {
            Ok(_) if !kernels::pays() => {
                let why = "this CPU has no integer kernels yet".to_owned();
                Engine::on_tract(onnx, options, why)
            }
            Ok(plan) => {
                plan::check(&plan, onnx.len())?;
                Engine::with_program(plan, onnx, options)
            }
            Err(why) => Engine::on_tract(onnx, options, why),
        }
    }

    /// Prepares a network from its plan (see [`plan_of`]) and the ONNX file that the
    /// plan was made of, which holds its weights; milliseconds. `Ok(None)` where the
    /// plan is of another version than this library's, or this CPU has no integer
    /// kernels that are faster than tract: open the ONNX file instead.
    ///
    /// # Errors
    /// `Bundle` where the plan is damaged or belongs to another file, `Model` where it
    /// contradicts itself; `InvalidArgument` for a thread count out of range.
    pub fn from_plan(
        plan: &[u8],
        onnx: &[u8],
        onnx_sha256: &[u8; 32],
        options: &EngineOptions,
    ) -> Result<Option<Engine>> {
        check_threads(options)?;
        let Some(plan) = plan::read(plan, onnx_sha256)? else {
            return Ok(None);
        };
        plan::check(&plan, onnx.len())?;
        #[cfg(feature = "onnx")]
        if !kernels::pays() {
            return Ok(None);
        }
        Engine::with_program(plan, onnx, options).map(Some)
    }

    fn with_program(plan: plan::Plan, onnx: &[u8], options: &EngineOptions) -> Result<Engine> {
        let port = plan.input.clone();
        let classes = plan.classes();
        let program = Box::new(Program::new(plan, onnx, options.threads)?);
        Ok(Engine {
            inner: Inner::Program {
                program,
                spare: Mutex::new(Vec::new()),
            },
            input_name: port.name,
            input_shape: port.shape,
            input_type: port.kind,
            classes,
        })
    }

    #[cfg(feature = "onnx")]
    fn on_tract(onnx: &[u8], options: &EngineOptions, why: String) -> Result<Engine> {
        let engine = tract::TractEngine::from_onnx(onnx, options)?;
        Ok(Engine {
            input_name: engine.input_name.clone(),
            input_shape: engine.input_shape.clone(),
            input_type: engine.input_type,
            classes: engine.classes,
            inner: Inner::Tract { engine, why },
        })
    }

    /// The input's name in the ONNX file.
    pub fn input_name(&self) -> &str {
        &self.input_name
    }

    /// The input's shape, batch 1 included.
    pub fn input_shape(&self) -> &[usize] {
        &self.input_shape
    }

    /// The input's number type.
    pub fn input_type(&self) -> TensorType {
        self.input_type
    }

    /// How many logits a run gives.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// How many features [`Engine::run_with_features`] gives: what the last layer with weights reads, if that is a
    /// vector; else 0.
    pub fn features(&self) -> usize {
        match &self.inner {
            Inner::Program { program, .. } => program.features(),
            #[cfg(feature = "onnx")]
            Inner::Tract { engine, .. } => engine.features,
        }
    }

    /// The instruction set that the network runs on, as [`isa`] names them, or `tract`.
    pub fn isa(&self) -> &'static str {
        match &self.inner {
            Inner::Program { program, .. } => program.isa(),
            #[cfg(feature = "onnx")]
            Inner::Tract { .. } => "tract",
        }
    }

    /// Bytes of activations that a run uses; 0 where tract decides.
    pub fn activation_bytes(&self) -> usize {
        match &self.inner {
            Inner::Program { program, .. } => program.arena_bytes(),
            #[cfg(feature = "onnx")]
            Inner::Tract { .. } => 0,
        }
    }

    /// Runs the network on `input` and gives its logits, [`Engine::classes`] of
    /// them. Equal inputs give equal logits, whatever runs beside.
    ///
    /// # Errors
    /// `InvalidArgument` where type or shape differ from the input's; `Model` where
    /// the runtime fails.
    pub fn run(&self, input: &Tensor) -> Result<Vec<f32>> {
        let mut logits = vec![0.0; self.classes];
        self.run_into(input, &mut logits, None)?;
        Ok(logits)
    }

    /// As [`Engine::run`], into the caller's memory, of [`Engine::classes`] values.
    /// A quantized network without operations on tract allocates nothing once as many
    /// runs as are to come at the same time have been done. `cancel` is looked at
    /// between operations (by tract: not at all).
    ///
    /// # Errors
    /// As [`Engine::run`]; `InvalidArgument` where `logits` has another length;
    /// `Cancelled` where `cancel` was set, and `logits` are then unspecified.
    pub fn run_into(
        &self,
        input: &Tensor,
        logits: &mut [f32],
        cancel: Option<&AtomicBool>,
    ) -> Result<()> {
        self.run_with_features(input, logits, &mut [], cancel)
    }

    /// As [`Engine::run_into`], and gives the network's features as well, up to a factor above 0 that is the same for
    /// every run: [`Engine::features`] of them, or none where `features` is empty.
    ///
    /// # Errors
    /// As [`Engine::run_into`]; `InvalidArgument` where `features` has another length.
    pub fn run_with_features(
        &self,
        input: &Tensor,
        logits: &mut [f32],
        features: &mut [f32],
        cancel: Option<&AtomicBool>,
    ) -> Result<()> {
        if !features.is_empty() && features.len() != self.features() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "room for {} of {} features",
                    features.len(),
                    self.features()
                ),
            ));
        }
        let (wanted_type, wanted_shape) = (self.input_type(), self.input_shape());
        if input.data().kind() != wanted_type || input.shape() != wanted_shape {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "input {:?} takes {wanted_type} {wanted_shape:?}, got {} {:?}",
                    self.input_name(),
                    input.data().kind(),
                    input.shape()
                ),
            ));
        }
        match &self.inner {
            Inner::Program { program, spare } => {
                let spare = || spare.lock().unwrap_or_else(PoisonError::into_inner);
                let taken = spare().pop();
                let mut scratch = taken.unwrap_or_else(|| program.scratch());
                let done = program.run(&mut scratch, values(input), logits, features, cancel);
                spare().push(scratch);
                done
            }
            #[cfg(feature = "onnx")]
            Inner::Tract { engine, .. } => {
                let scores = engine.run(input, features)?;
                if scores.len() != logits.len() {
                    return Err(Error::new(
                        ErrorKind::InvalidArgument,
                        format!("room for {} of {} scores", logits.len(), scores.len()),
                    ));
                }
                logits.copy_from_slice(&scores);
                Ok(())
            }
        }
    }

    /// Every operation with its time, in order; or why there is no list, where tract
    /// runs the network as a whole. Runs the network some times on `input`.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub fn explain(&self, input: &Tensor) -> Result<std::result::Result<Vec<Operation>, String>> {
        const RUNS: usize = 5;
        let program = match &self.inner {
            Inner::Program { program, .. } => program,
            #[cfg(feature = "onnx")]
            Inner::Tract { why, .. } => return Ok(Err(why.clone())),
        };
        let mut scratch = program.scratch();
        let steps = program.plan().steps.len();
        let mut least = vec![f64::INFINITY; steps];
        let mut times = vec![0.0; steps];
        for _ in 0..RUNS {
            program.profile(&mut scratch, values(input), &mut times)?;
            least
                .iter_mut()
                .zip(&times)
                .for_each(|(least, &time)| *least = least.min(time));
        }
        let operations = program.steps().zip(least).map(|(step, time_ms)| Operation {
            node: step.node.to_owned(),
            kind: step.op,
            output: [step.output.height, step.output.width, step.output.channels],
            not_fused: step.why.map(str::to_owned),
            time_ms,
        });
        Ok(Ok(operations.collect()))
    }
}

/// A tensor's values, as the executor takes them.
fn values(tensor: &Tensor) -> Input<'_> {
    match tensor.data() {
        TensorData::U8(values) => Input::U8(values),
        TensorData::I8(values) => Input::I8(values),
        TensorData::F32(values) => Input::F32(values),
    }
}

/// The plan of a quantized ONNX classifier as bytes, to be kept beside the file and
/// opened by [`Engine::from_plan`]; `None` where the network runs on tract as a whole.
/// The same for every instruction set.
///
/// # Errors
/// As [`Engine::from_onnx`].
#[cfg(feature = "onnx")]
pub fn plan_of(onnx: &[u8], onnx_sha256: &[u8; 32]) -> Result<Option<Vec<u8>>> {
    match import::import(&onnx::read(onnx)?, onnx)? {
        Ok(plan) => {
            plan::check(&plan, onnx.len())?;
            plan::write(&plan, onnx_sha256).map(Some)
        }
        Err(_) => Ok(None),
    }
}

fn check_threads(options: &EngineOptions) -> Result<()> {
    if options.threads == 0 || options.threads > MAX_THREADS {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!(
                "{} threads; 1 to {MAX_THREADS} can be used",
                options.threads
            ),
        ));
    }
    Ok(())
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Engine({} {:?} to {} logits)",
            self.input_type(),
            self.input_shape(),
            self.classes()
        )
    }
}
