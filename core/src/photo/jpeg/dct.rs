//! From a block's coefficients to its samples, all 64 of them or means of them.
//!
//! At a half, a quarter and an eighth of the size a sample is the mean of the 2², 4², 8² samples
//! that it stands for: the sums over the cosines are taken in advance, so a smaller picture costs
//! less instead of more. In f32, whose sums and products have the same bits everywhere; the
//! coefficients and all that counts of their sums lie far below its 24 bits.
//! Reference: ITU-T T.81 (1992), A.3.3.

/// Places in a block (row by row) in the order of a scan.
#[rustfmt::skip]
pub(super) const ZIGZAG: [u8; 64] = [
     0,  1,  8, 16,  9,  2,  3, 10, 17, 24, 32, 25, 18, 11,  4,  5,
    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13,  6,  7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// How much smaller than the file the picture is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in super::super) enum Reduction {
    #[default]
    None,
    Half,
    Quarter,
    Eighth,
}

impl Reduction {
    /// From the most to the least.
    pub(in super::super) const ALL: [Reduction; 4] = [
        Reduction::Eighth,
        Reduction::Quarter,
        Reduction::Half,
        Reduction::None,
    ];

    /// Samples of a block's side.
    pub(in super::super) fn samples(self) -> usize {
        match self {
            Reduction::None => 8,
            Reduction::Half => 4,
            Reduction::Quarter => 2,
            Reduction::Eighth => 1,
        }
    }
}

/// `2 cos(k π / 16)` for k of 0 to 7: constants, since libraries' cosines differ in the last bit.
const COSINES: [f32; 8] = [
    2.0,
    1.961_570_6,
    1.847_759,
    1.662_939_2,
    std::f32::consts::SQRT_2,
    1.111_140_5,
    0.765_366_85,
    0.390_180_65,
];

/// `2 cos(k π / 16)` for any k.
const fn cosine(k: usize) -> f32 {
    match k % 32 {
        k @ 0..=7 => COSINES[k],
        8 | 24 => 0.0,
        k @ 9..=16 => -COSINES[16 - k],
        k @ 17..=23 => -COSINES[k - 16],
        k => COSINES[32 - k],
    }
}

/// By coefficient and sample of a side: how much of the coefficient the sample has, with the
/// normalization: `c(u)/2 · cos((2x + 1) u π / 16)`, its mean over the samples that one stands for.
/// Eight wide, so that all sizes run through the same loops.
const fn basis(samples: usize) -> [[f32; 8]; 8] {
    let mut basis = [[0.0; 8]; 8];
    let together = 8 / samples;
    let mut u = 0;
    while u < 8 {
        let mut x = 0;
        while x < 8 {
            let scale = if u == 0 {
                std::f32::consts::FRAC_1_SQRT_2
            } else {
                1.0
            };
            basis[u][x / together] += cosine((2 * x + 1) * u) * scale / 4.0 / together as f32;
            x += 1;
        }
        u += 1;
    }
    basis
}

static FULL: [[f32; 8]; 8] = basis(8);
static HALF: [[f32; 8]; 8] = basis(4);
static QUARTER: [[f32; 8]; 8] = basis(2);

/// A block's coefficients, row by row, dequantized, and which of them may differ from 0.
pub(super) struct Block {
    coefficients: [f32; 64],
    /// Rows and columns that are looked at.
    rows: usize,
    columns: usize,
}

impl Block {
    /// All zero.
    pub(super) fn new() -> Block {
        Block {
            coefficients: [0.0; 64],
            rows: 1,
            columns: 1,
        }
    }

    /// Sets the coefficient at `place`.
    #[inline(always)]
    pub(super) fn set(&mut self, place: usize, value: f32) {
        let place = place & 63;
        self.coefficients[place] = value;
        self.rows = self.rows.max(place / 8 + 1);
        self.columns = self.columns.max(place % 8 + 1);
    }

    /// Writes the block's samples at `at` of a plane whose rows are `stride` apart.
    pub(super) fn samples(&self, reduction: Reduction, plane: &mut [u8], at: usize, stride: usize) {
        let side = reduction.samples();
        let basis = match reduction {
            Reduction::None => &FULL,
            Reduction::Half => &HALF,
            Reduction::Quarter => &QUARTER,
            Reduction::Eighth => {
                if let Some(sample) = plane.get_mut(at) {
                    *sample = flat(self.coefficients[0]);
                }
                return;
            }
        };
        let rows = plane
            .get_mut(at..)
            .unwrap_or_default()
            .chunks_mut(stride)
            .take(side);
        if self.rows == 1 && self.columns == 1 {
            let sample = flat(self.coefficients[0]);
            for row in rows {
                row.iter_mut().take(side).for_each(|to| *to = sample);
            }
            return;
        }
        // Columns first, eight side by side: sums[y][u].
        let mut sums = [[0.0_f32; 8]; 8];
        let (coefficients, _) = self.coefficients.as_chunks::<8>();
        for (row, basis) in coefficients.iter().zip(basis).take(self.rows) {
            for (sums, &share) in sums.iter_mut().zip(basis).take(side) {
                for (sum, &coefficient) in sums.iter_mut().zip(row) {
                    *sum += share * coefficient;
                }
            }
        }
        for (row, sums) in rows.zip(&sums) {
            let mut values = [128.0_f32; 8];
            for (&sum, basis) in sums.iter().zip(basis).take(self.columns) {
                for (value, &share) in values.iter_mut().zip(basis) {
                    *value += sum * share;
                }
            }
            let samples = values.map(level);
            row.iter_mut()
                .zip(samples)
                .take(side)
                .for_each(|(to, sample)| *to = sample);
        }
    }
}

/// The sample of a block that is all one colour.
#[inline(always)]
pub(super) fn flat(dc: f32) -> u8 {
    level(dc * 0.125 + 128.0)
}

/// Rounded and bounded to a level, in a form that compilers turn into vectors: from 2^23 on an f32
/// has no digits behind the point, and its last bits are the number.
#[inline(always)]
fn level(value: f32) -> u8 {
    const WHOLE: f32 = (1_u32 << 23) as f32;
    (value.clamp(0.0, 255.0) + WHOLE).to_bits() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: u32) -> impl FnMut() -> f32 {
        let mut state = seed;
        move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as f32 / 65_536.0 - 0.5
        }
    }

    /// The definition, in f64.
    fn by_definition(coefficients: &[f32; 64]) -> [f64; 64] {
        std::array::from_fn(|at| {
            let (y, x) = (at / 8, at % 8);
            let wave = |k: usize, n: usize| {
                let scale = if k == 0 { 0.5_f64.sqrt() } else { 1.0 };
                scale * ((2 * n + 1) as f64 * k as f64 * std::f64::consts::PI / 16.0).cos()
            };
            let terms = coefficients.iter().enumerate();
            terms
                .map(|(at, &value)| f64::from(value) * wave(at / 8, y) * wave(at % 8, x) / 4.0)
                .sum::<f64>()
                + 128.0
        })
    }

    #[test]
    fn samples_are_the_definition_s_or_means_of_them() {
        for seed in 0..50 {
            let mut noise = noise(seed);
            let mut block = Block::new();
            for place in ZIGZAG.iter().take(1 + seed as usize) {
                block.set(usize::from(*place), (noise() * 120.0).round());
            }
            let full = by_definition(&block.coefficients);
            for reduction in Reduction::ALL {
                let side = reduction.samples();
                let n = 8 / side;
                let mut plane = [7; 100];
                block.samples(reduction, &mut plane, 3, 10);
                for (y, x) in (0..side).flat_map(|y| (0..side).map(move |x| (y, x))) {
                    let cells = (0..n * n).map(|k| full[(y * n + k / n) * 8 + x * n + k % n]);
                    let mean = (cells.sum::<f64>() / (n * n) as f64).clamp(0.0, 255.0);
                    let sample = plane[3 + y * 10 + x];
                    assert!(
                        (f64::from(sample) - mean).abs() < 0.501,
                        "{reduction:?}, ({x}, {y}): {sample} for {mean}"
                    );
                }
                assert_eq!(plane[3 + side], 7, "beside the block");
            }
        }
    }
}
