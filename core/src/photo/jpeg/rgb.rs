//! A JPEG's planes as a viewer shows them: chroma that is stored smaller enlarged by interpolation, colours
//! converted to RGB, rounded and cut pixel by pixel.
//!
//! So that a file and the bitmap that any decoder makes of it are the same photo: the network tells even
//! differences of a level apart. Row by row, on the reduced picture.
//! Interpolation is a triangle's, as libjpeg's "fancy upsampling": 3/4 of the nearest sample and 1/4 of the next.

use super::super::colour::{self, Meaning};
use super::super::resize::{Axis, FRACTION_BITS};
use super::Plane;

/// Interleaved RGB of the planes, at the size of the first.
pub(in super::super) fn to_rgb(planes: &[Plane], meaning: Meaning) -> Vec<u8> {
    let Some(first) = planes.first() else {
        return Vec::new();
    };
    let enlarged: Vec<Enlarged<'_>> = planes
        .iter()
        .map(|plane| Enlarged::new(plane, first))
        .collect();
    let mut rows = vec![vec![0; first.width]; planes.len()];
    let mut sums = Vec::new();
    let mut rgb = Vec::with_capacity(first.width * first.height * 3);
    for y in 0..first.height {
        for (plane, row) in enlarged.iter().zip(&mut rows) {
            plane.row(y, &mut sums, row);
        }
        rgb.extend(colour::to_rgb(&rows, meaning));
    }
    rgb
}

/// A plane at the size of the first one.
enum Enlarged<'a> {
    /// Its own size or half of it, across and down.
    Interpolated {
        plane: &'a Plane,
        across: bool,
        down: bool,
    },
    /// Any other proportion, by the resizer.
    Resized { levels: Vec<u16>, width: usize },
}

impl Enlarged<'_> {
    fn new<'a>(plane: &'a Plane, first: &Plane) -> Enlarged<'a> {
        let ratio = (first.scale.0 / plane.scale.0, first.scale.1 / plane.scale.1);
        let is_simple = |ratio: f64| ratio == 1.0 || ratio == 2.0;
        if is_simple(ratio.0) && is_simple(ratio.1) {
            return Enlarged::Interpolated {
                plane,
                across: ratio.0 == 2.0,
                down: ratio.1 == 2.0,
            };
        }
        let axis = |samples: usize, ratio: f64, results: usize| {
            Axis::new(samples, 0.0, results as f64 / ratio, results, 0.0)
        };
        let across = axis(plane.width, ratio.0, first.width);
        let down = axis(plane.height, ratio.1, first.height);
        let levels = plane.samples().resize(&across, &down);
        Enlarged::Resized {
            levels: levels.into_iter().next().unwrap_or_default(),
            width: first.width,
        }
    }

    /// Row `y`, levels with [`FRACTION_BITS`] bits behind the point. `sums` is memory to work in.
    fn row(&self, y: usize, sums: &mut Vec<u16>, row: &mut [u16]) {
        // Sums of samples weigh 4 behind each axis.
        const SHIFT: u32 = FRACTION_BITS - 4;
        let (plane, across, down) = match self {
            Enlarged::Interpolated {
                plane,
                across,
                down,
            } => (plane, *across, *down),
            Enlarged::Resized { levels, width } => {
                let levels = levels.get(y * width..(y + 1) * width).unwrap_or_default();
                row.iter_mut()
                    .zip(levels)
                    .for_each(|(to, level)| *to = *level);
                return;
            }
        };
        let line = |y: usize| {
            let start = y.min(plane.height.max(1) - 1) * plane.stride;
            plane
                .samples
                .get(start..start + plane.width)
                .unwrap_or_default()
        };
        let (near, next) = match (down, y % 2) {
            (false, _) => (y, y),
            (true, 0) => (y / 2, (y / 2).saturating_sub(1)),
            (true, _) => (y / 2, y / 2 + 1),
        };
        sums.clear();
        let pairs = line(near).iter().zip(line(next));
        sums.extend(pairs.map(|(&near, &next)| 3 * u16::from(near) + u16::from(next)));
        if !across {
            row.iter_mut()
                .zip(&*sums)
                .for_each(|(to, sum)| *to = (sum * 4) << SHIFT);
            return;
        }
        let (Some(&left), Some(&right)) = (sums.first(), sums.last()) else {
            return;
        };
        // The outermost samples have no neighbour.
        let before = std::iter::once(left).chain(sums.iter().copied());
        let after = sums.iter().copied().skip(1).chain([right]);
        let (pairs, rest) = row.as_chunks_mut::<2>();
        let mut samples = before.zip(&*sums).zip(after);
        for (pair, ((before, &sum), after)) in pairs.iter_mut().zip(&mut samples) {
            *pair = [(3 * sum + before) << SHIFT, (3 * sum + after) << SHIFT];
        }
        if let ([last], Some(((before, &sum), _))) = (rest, samples.next()) {
            *last = (3 * sum + before) << SHIFT;
        }
    }
}
