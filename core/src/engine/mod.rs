//! Runs a network: one small interface, and behind it today's only implementation
//! (tract). What calls it sees a shape, a number type and logits, so that an
//! implementation with integer kernels can take its place.

mod isa;
mod onnx;
mod softmax;
mod summary;
mod tensor;
mod tract;

pub use isa::isa;
pub use softmax::without_softmax;
pub use summary::{NetworkSummary, summarize};
pub use tensor::{Tensor, TensorData, TensorType};

use crate::error::{Error, ErrorKind, Result};

/// The most threads that one engine uses.
const MAX_THREADS: usize = 256;

/// How an engine runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineOptions {
    /// Threads for one run, 1 to 256. More than one pays for large networks only:
    /// tract splits large matrix products, and no depthwise convolution. A float
    /// MobileNetV1 on a busy two-core AVX-512 desk had the same median on one and on
    /// two threads, 20.9 ms (100 runs).
    pub threads: usize,
}

impl Default for EngineOptions {
    /// One thread: on a phone the app wants the others.
    fn default() -> EngineOptions {
        EngineOptions { threads: 1 }
    }
}

/// A network ready to run. `Send + Sync` and immutable: share it between threads;
/// each run takes scratch memory of its own, and none waits for another.
pub struct Engine {
    inner: tract::TractEngine,
}

impl Engine {
    /// Prepares an ONNX classifier: one input of fixed shape (an open batch becomes
    /// 1) of u8, i8 or f32, and one f32 output `[1, classes]` (or `[1, classes, 1,
    /// 1]`) of at least 2 classes. Takes up to seconds for large networks.
    ///
    /// # Errors
    /// `Model` where the bytes are no ONNX model, not a classifier, or use what the
    /// runtime cannot compute; `InvalidArgument` for a thread count out of range.
    pub fn from_onnx(onnx: &[u8], options: &EngineOptions) -> Result<Engine> {
        if options.threads == 0 || options.threads > MAX_THREADS {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!(
                    "{} threads; 1 to {MAX_THREADS} can be used",
                    options.threads
                ),
            ));
        }
        Ok(Engine {
            inner: tract::TractEngine::from_onnx(onnx, options)?,
        })
    }

    /// The input's name in the ONNX file.
    pub fn input_name(&self) -> &str {
        &self.inner.input_name
    }

    /// The input's shape, batch 1 included.
    pub fn input_shape(&self) -> &[usize] {
        &self.inner.input_shape
    }

    /// The input's number type.
    pub fn input_type(&self) -> TensorType {
        self.inner.input_type
    }

    /// How many logits a run gives.
    pub fn classes(&self) -> usize {
        self.inner.classes
    }

    /// Runs the network on `input` and gives its logits, [`Engine::classes`] of
    /// them. Equal inputs give equal logits, whatever runs beside.
    ///
    /// # Errors
    /// `InvalidArgument` where type or shape differ from the input's; `Model` where
    /// the runtime fails.
    pub fn run(&self, input: &Tensor) -> Result<Vec<f32>> {
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
        self.inner.run(input)
    }
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
