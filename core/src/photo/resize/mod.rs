//! The one pass over a photo's pixels: anti-aliased resizing of any box of any plane.
//!
//! The filter is Pillow's BILINEAR: a triangle whose support grows with the reduction, so every
//! source pixel counts; a plain bilinear look-up would skip most of a 12-megapixel photo.
//!
//! Specification: with the two axes' [`Axis`] weights, integers that sum to 2^14, a result is
//! `Σ wy · wx · sample`, exact, in units of 2^-28 levels, cut to 2^-8. Nothing is rounded between
//! the axes, so neither their order nor a mirror or a quarter turn changes a bit, and every
//! instruction set gives the same ones. Rows come first, because sums of rows are long runs of
//! bytes that vectors like; only a row per result is left for the columns.

mod axis;
mod kernels;

pub(super) use axis::Axis;
use kernels::{Kernels, LANES};

/// Samples of a photo, as they lie: `channels` of every pixel are wanted, pixels are `pixel_stride`
/// apart, rows `row_stride`; the last row may end with its last sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct Samples<'a> {
    pub(super) data: &'a [u8],
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) row_stride: usize,
    pub(super) pixel_stride: usize,
    pub(super) channels: usize,
    pub(super) alpha: Alpha,
    /// Its pixels a pixel of the photo, across and down: less than 1 where it is stored smaller.
    pub(super) scale: (f64, f64),
    /// How much wider the filter has to be for the result to be that of pixels as a viewer shows them: added to
    /// the square of its half-width in samples, across and down. See [`spread`].
    pub(super) spread: (f64, f64),
}

/// The spread along one axis of samples that are stored `subsampled` times smaller than the photo, and of which
/// each that is given is the mean of `averaged` stored ones.
///
/// A triangle of half-width s has a variance of s²/6. A viewer enlarges a subsampled colour by interpolating, which is one more
/// triangle, of half-width 1 in stored samples (less a pixel of the photo's, where nothing is left to do); a mean has spread its
/// samples already, by a box's (1 − 1/n²)/12. So that variances add up to what reading everything in full would give.
pub(super) fn spread(subsampled: f64, averaged: f64) -> f64 {
    let interpolated = 1.0 - 1.0 / (subsampled * subsampled);
    let in_box = 1.0 - 1.0 / (averaged * averaged);
    interpolated / (averaged * averaged) - in_box / 2.0
}

/// What a fourth channel means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alpha {
    /// There is none, or it doesn't count.
    Ignored,
    /// The colours beside it are to be multiplied by it.
    Straight,
    /// The colours have been multiplied by it.
    Premultiplied,
}

/// Bits behind the point of a resized level.
pub(super) const FRACTION_BITS: u32 = 8;

impl Samples<'_> {
    /// The bytes of pixels `columns` of row `y`.
    fn row(&self, y: usize, columns: &std::ops::Range<usize>) -> &[u8] {
        let start = y * self.row_stride + columns.start * self.pixel_stride;
        let length = (columns.len().max(1) - 1) * self.pixel_stride + self.pixel_bytes();
        self.data.get(start..start + length).unwrap_or_default()
    }

    /// From a pixel's first byte to its last one that is read.
    fn pixel_bytes(&self) -> usize {
        match self.alpha {
            Alpha::Ignored => self.channels,
            _ => self.channels + 1,
        }
    }

    /// Resizes: by channel, `down.len()` rows of `across.len()` levels with [`FRACTION_BITS`] bits behind the point.
    /// What is transparent lies over white.
    pub(super) fn resize(&self, across: &Axis, down: &Axis) -> Vec<Vec<u16>> {
        let kernels = kernels::best();
        self.resize_with(kernels, across, down)
    }

    fn resize_with(&self, kernels: &Kernels, across: &Axis, down: &Axis) -> Vec<Vec<u16>> {
        let columns = across.span();
        let (width, height) = (across.len(), down.len());
        let mut planes = vec![vec![0; width * height]; self.channels];
        let mut sums = vec![0; (columns.len().max(1) - 1) * self.pixel_stride + self.pixel_bytes()];
        let padded = columns.len() + LANES;
        let mut halves = [vec![0_i16; padded], vec![0_i16; padded]];
        let mut rows: Vec<&[u8]> = Vec::new();
        for (y, window) in down.windows().enumerate() {
            rows.clear();
            rows.extend(
                (window.start..)
                    .take(window.weights.len())
                    .map(|y| self.row(y, &columns)),
            );
            (kernels.add_rows)(&mut sums, &rows, window.weights);
            if self.alpha != Alpha::Ignored && !self.is_opaque(&sums) {
                let over_white: Vec<Vec<u8>> =
                    rows.iter().map(|row| self.over_white(row)).collect();
                let rows: Vec<&[u8]> = over_white.iter().map(Vec::as_slice).collect();
                (kernels.add_rows)(&mut sums, &rows, window.weights);
            }
            let [high, low] = &mut halves;
            for (channel, plane) in planes.iter_mut().enumerate() {
                let sums = sums.get(channel..).unwrap_or_default();
                (kernels.split)(sums, self.pixel_stride, high, low);
                if let Some(row) = plane.get_mut(y * width..(y + 1) * width) {
                    (kernels.dot)(high, low, across, row);
                }
            }
        }
        planes
    }

    /// Whether alpha is full in all that these sums are of: alpha is summed with the colours, so
    /// that opaque rows cost nothing more.
    fn is_opaque(&self, sums: &[i32]) -> bool {
        let alphas = sums.iter().skip(self.channels).step_by(self.pixel_stride);
        alphas
            .into_iter()
            .all(|&sum| sum == 255 << axis::WEIGHT_BITS)
    }

    /// A row of pixels over white.
    fn over_white(&self, row: &[u8]) -> Vec<u8> {
        let mut row = row.to_vec();
        for pixel in row.chunks_mut(self.pixel_stride) {
            let Some(&alpha) = pixel.get(self.channels) else {
                continue;
            };
            let white = 255 - u32::from(alpha);
            for sample in pixel.iter_mut().take(self.channels) {
                let colour = match self.alpha {
                    Alpha::Premultiplied => u32::from(*sample),
                    _ => (u32::from(*sample) * u32::from(alpha) + 127) / 255,
                };
                *sample = (colour + white).min(255) as u8;
            }
        }
        row
    }
}

#[cfg(test)]
mod tests;
