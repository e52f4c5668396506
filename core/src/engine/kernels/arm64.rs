//! What the three arm64 levels have in common: they differ in how bytes are multiplied
//! and summed ([`Multiply`]); patches, lines, rounding, sums and pools are shared.
//!
//! SDOT and SMMLA are written as `asm!`, one instruction each, because their intrinsics
//! are not stable; registers and order stay the compiler's.
//! Left out: SVE, which few phones have, and fp16, which would change results.

use std::marker::PhantomData;
use std::ops::Range;

use super::arm64_conv::{self, Tiles};
use super::arm64_depthwise::{self, Row};
use super::{
    Add, Affine, AveragePool, Conv, ConvWeights, Depthwise, GlobalAveragePool, Kernels, Lookup,
    MaxPool, PackedConv, PackedDepthwise, Quantize, Shape, Window, arm64_max_pool, arm64_sums,
    loops, means,
};

/// How a level multiplies. All methods: the CPU has the level's instructions.
pub(super) trait Multiply: Sync + 'static {
    const NAME: &'static str;

    /// Inputs of one pixel that lie side by side in a panel, see [`arm64_conv`].
    const GRANULE: usize;
    /// Panels (of four pixels) that a tile takes.
    const PANELS: usize;
    /// Fours of output channels that a tile takes.
    const QUADS: usize;

    /// The weights of some channels as [`Multiply::tiles`] reads them; `to` is for whole
    /// fours of channels, and zero.
    fn pack_tile(weights: &[&[i8]], quads: usize, to: &mut [u8]);

    /// Bytes of a tile's weights.
    fn tile_weight_bytes(depth: usize, quads: usize) -> usize;

    /// Whether `weights`, one output channel's, need [`Tiles::careful`].
    fn needs_care(_weights: &[i8]) -> bool {
        false
    }

    /// Multiplies tiles and stores the results.
    unsafe fn tiles(job: &Tiles);

    /// Rows of the image that a line holds side by side, 4 or 1, see [`arm64_depthwise`].
    const LINE_ROWS: usize;
    /// Channels that lie together in a line, 8 for four rows and 16 for one.
    const LINE_CHANNELS: usize;

    /// As [`Multiply::needs_care`], for [`Row::careful`]; `[kernel_h, kernel_w]`.
    fn depthwise_needs_care(_weights: &[i8], _kernel_w: usize) -> bool {
        false
    }

    /// One output row.
    unsafe fn row(job: &Row);
}

/// A level that multiplies so.
pub(super) struct Level<M>(PhantomData<M>);

impl<M> Level<M> {
    /// For a `static` that a constructor gives out after it has asked the CPU.
    pub(super) const fn new() -> Level<M> {
        Level(PhantomData)
    }
}

impl<M: Multiply> Kernels for Level<M> {
    fn name(&self) -> &'static str {
        M::NAME
    }

    fn pack_conv(&self, shape: &Shape, window: &Window, of: &ConvWeights) -> PackedConv {
        arm64_conv::pack::<M>(shape, window, of)
    }

    fn conv_scratch_bytes(&self, shape: &Shape, window: &Window) -> usize {
        arm64_conv::scratch_bytes::<M>(shape, window)
    }

    fn conv_tiles(&self, shape: &Shape) -> usize {
        arm64_conv::tiles::<M>(shape)
    }

    unsafe fn conv(&self, job: &Conv, pixels: Range<usize>, tiles: Range<usize>, scratch: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { arm64_conv::conv::<M>(job, pixels, tiles, scratch.cast()) }
    }

    fn pack_depthwise(&self, shape: &Shape, window: &Window, of: &ConvWeights) -> PackedDepthwise {
        arm64_depthwise::pack::<M>(shape, window, of)
    }

    fn depthwise_scratch_bytes(&self, shape: &Shape, window: &Window) -> usize {
        arm64_depthwise::scratch_bytes::<M>(shape, window)
    }

    unsafe fn depthwise(&self, job: &Depthwise, rows: Range<usize>, scratch: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { arm64_depthwise::depthwise::<M>(job, rows, scratch.cast()) }
    }

    unsafe fn add(&self, job: &Add, pixels: Range<usize>) {
        // SAFETY: the caller's promise.
        unsafe { arm64_sums::add(job, pixels) }
    }

    unsafe fn quantize(&self, job: &Quantize, values: Range<usize>) {
        // SAFETY: the caller's promise.
        unsafe { loops::quantize(job, values) }
    }

    unsafe fn lookup(&self, job: &Lookup, pixels: Range<usize>) {
        // SAFETY: the caller's promise.
        unsafe { arm64_sums::lookup(job, pixels) }
    }

    unsafe fn affine(&self, job: &Affine, pixels: Range<usize>) {
        // SAFETY: the caller's promise.
        unsafe { arm64_sums::affine(job, pixels) }
    }

    unsafe fn max_pool(&self, job: &MaxPool, rows: Range<usize>) {
        // SAFETY: the caller's promise.
        unsafe { arm64_max_pool::max_pool(job, rows) }
    }

    fn average_pool_scratch_bytes(&self, shape: &Shape, window: &Window) -> usize {
        means::scratch_bytes(shape, window)
    }

    unsafe fn average_pool(&self, job: &AveragePool, rows: Range<usize>, scratch: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { means::average_pool(job, rows, scratch) }
    }

    unsafe fn global_average_pool(&self, job: &GlobalAveragePool, channels: Range<usize>) {
        // SAFETY: the caller's promise.
        unsafe { means::global_average_pool(job, channels) }
    }
}
