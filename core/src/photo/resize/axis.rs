//! One axis of a resizing: for each result the samples that it is made of, with their weights.

/// Weights sum to 2 to this power.
pub(super) const WEIGHT_BITS: u32 = 14;
const ONE: i32 = 1 << WEIGHT_BITS;

/// The windows of all results of an axis.
pub(in super::super) struct Axis {
    /// Of each window: its first sample, and the end of its weights.
    windows: Vec<(usize, usize)>,
    weights: Vec<i16>,
    span: std::ops::Range<usize>,
}

/// What one result is made of.
pub(super) struct Window<'a> {
    pub(super) start: usize,
    pub(super) weights: &'a [i16],
}

impl Axis {
    /// From `length` samples (fractions allowed) that begin at `from`, of `samples` in all, to `results`.
    ///
    /// The weights are a triangle around the result's centre, as wide as two results, or as two samples
    /// where results are closer together; what hangs over an end is left out (Pillow's `precompute_coeffs`).
    /// `spread` is added to the square of half its width, see [`super::Samples::spread`].
    /// They are rounded so that their running sum is never off by more than half a unit: one
    /// colour stays that colour, and a mirrored axis has mirrored weights.
    pub(in super::super) fn new(
        samples: usize,
        from: f64,
        length: f64,
        results: usize,
        spread: f64,
    ) -> Axis {
        let scale = length / results as f64;
        let support = (scale * scale + spread).max(1.0).sqrt();
        let mut axis = Axis {
            windows: Vec::with_capacity(results),
            weights: Vec::new(),
            span: 0..0,
        };
        let last = samples.max(1) - 1;
        let mut triangle = Vec::new();
        for result in 0..results {
            let centre = from + (result as f64 + 0.5) * scale;
            let start = ((centre - support + 0.5).floor().max(0.0) as usize).min(last);
            let end =
                ((centre + support + 0.5).floor().max(0.0) as usize).clamp(start + 1, last + 1);
            triangle.clear();
            triangle.extend((start..end).map(|sample| {
                let distance = (sample as f64 + 0.5 - centre).abs() / support;
                (1.0 - distance).max(0.0)
            }));
            axis.push(start, &triangle);
        }
        let start = axis.windows().map(|window| window.start).min();
        let end = axis
            .windows()
            .map(|window| window.start + window.weights.len())
            .max();
        axis.span = start.unwrap_or(0)..end.unwrap_or(0);
        axis
    }

    /// A window of `triangle`'s proportions, without zeros at its ends.
    fn push(&mut self, start: usize, triangle: &[f64]) {
        let sum: f64 = triangle.iter().sum();
        let before = self.weights.len();
        let (mut running, mut given) = (0.0, 0);
        for weight in triangle {
            running += weight;
            // A window that lies beside all samples takes the nearest one.
            let share = if sum > 0.0 { running / sum } else { 1.0 };
            let due = (share * f64::from(ONE)).round_ties_even() as i32;
            self.weights.push((due - given) as i16);
            given = due;
        }
        while self.weights.len() > before + 1 && self.weights.last() == Some(&0) {
            self.weights.pop();
        }
        let own = self.weights.get(before..).unwrap_or_default();
        let zeros = own.iter().take_while(|&&weight| weight == 0).count();
        self.weights.drain(before..before + zeros);
        self.windows.push((start + zeros, self.weights.len()));
    }

    /// How many results there are.
    pub(super) fn len(&self) -> usize {
        self.windows.len()
    }

    /// The samples that results are made of, from the first to the last.
    pub(super) fn span(&self) -> std::ops::Range<usize> {
        self.span.clone()
    }

    pub(super) fn windows(&self) -> impl Iterator<Item = Window<'_>> {
        let mut before = 0;
        self.windows.iter().map(move |&(start, end)| {
            let weights = self.weights.get(before..end).unwrap_or_default();
            before = end;
            Window { start, weights }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(axis: &Axis) -> Vec<(usize, Vec<i16>)> {
        axis.windows()
            .map(|window| (window.start, window.weights.to_vec()))
            .collect()
    }

    #[test]
    fn by_hand() {
        let same = Axis::new(3, 0.0, 3.0, 3, 0.0);
        assert_eq!(
            windows(&same),
            [(0, vec![16_384]), (1, vec![16_384]), (2, vec![16_384])]
        );
        let half = Axis::new(4, 0.0, 4.0, 2, 0.0);
        // 1/8 3/8 3/8 1/8, and at the ends what is left of it, normalized: 3/7 3/7 1/7.
        assert_eq!(
            windows(&half),
            [(0, vec![7022, 7021, 2341]), (1, vec![2341, 7021, 7022])]
        );
        let double = Axis::new(2, 0.0, 2.0, 4, 0.0);
        let wanted = [
            (0, vec![16_384]),
            (0, vec![12_288, 4_096]),
            (0, vec![4_096, 12_288]),
            (1, vec![16_384]),
        ];
        assert_eq!(windows(&double), wanted);
    }

    #[test]
    fn weights_sum_to_one_and_mirror() {
        for (samples, from, length, results) in [
            (1, 0.0, 1.0, 1),
            (1, 0.0, 1.0, 224),
            (3, 0.5, 2.25, 7),
            (533, 0.0, 533.0, 224),
            (4000, 333.25, 3_000.5, 224),
            (65_535, 0.0, 65_535.0, 3),
        ] {
            let axis = Axis::new(samples, from, length, results, 0.0);
            assert_eq!(axis.len(), results);
            let mirrored = Axis::new(
                samples,
                samples as f64 - from - length,
                length,
                results,
                0.0,
            );
            for (window, other) in windows(&axis).iter().zip(windows(&mirrored).iter().rev()) {
                assert_eq!(
                    window
                        .1
                        .iter()
                        .map(|&weight| i32::from(weight))
                        .sum::<i32>(),
                    ONE
                );
                assert!(window.1.iter().all(|&weight| weight >= 0));
                assert!(window.0 + window.1.len() <= samples);
                let back: Vec<i16> = other.1.iter().rev().copied().collect();
                assert_eq!(
                    (window.0, &window.1),
                    (samples - other.0 - back.len(), &back)
                );
            }
        }
    }
}
