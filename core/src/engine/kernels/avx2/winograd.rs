//! Convolutions of 3×3 pixels and stride 1 with a quarter of the products: Winograd's
//! F(4×4, 3×3) (Lavin & Gray 2015, arXiv:1509.09308), in integers and exact.
//!
//! A square of 4×4 outputs comes of 6×6 inputs. Transformed inputs are multiplied by transformed
//! weights, 36 products a pair of channels where the window asks for 144, and the sums over
//! channels are transformed into outputs. Transformed inputs are at most 68 · 255, weights 144 ·
//! 128: both fit into 16 bits, as VPMADDWD takes them. The weights' fractions, 24 in either
//! direction, are not divided out of them but of the result, 576 times the outputs: all of it is
//! arithmetic modulo 2^32, where dividing by 9 is a multiplication, and leaves outputs of 26
//! bits. Weights that could bring them beyond these go to `conv`.

use std::arch::x86_64::*;
use std::ops::Range;

use super::fours::{INPUTS, LINE, WIDE_BYTES};
use super::products::{TILE_PIXELS, Taken, multiply_wide};
use super::store::To;
use super::{TILE_CHANNELS, load};
use crate::engine::kernels::patches::{Rows, pieces};
use crate::engine::kernels::{Act, Conv, ConvWeights, PackedConv, Shape, Window};

/// Side of a square of outputs, and of the inputs that it comes of.
const SIDE: usize = 4;
const INPUT_SIDE: usize = 6;
/// Weights of a window.
const TAPS: usize = 9;
/// Products that a square takes, for each pair of channels.
const POINTS: usize = INPUT_SIDE * INPUT_SIDE;
/// Input channels that are transformed at a time.
const LANES: usize = 16;
/// Squares from which on the products saved are worth weights of eight times their bytes.
const FEWEST_SQUARES: usize = 12;
/// Input channels up to which a block of few squares stays in the second-level cache.
const MOST_INPUTS: usize = 1024;
/// Transformed inputs of a block, which stay in that cache, of half a megabyte, while weights
/// pass.
const BLOCK_BYTES: usize = 176 << 10;

/// Rows and columns of squares.
fn squares(shape: &Shape) -> (usize, usize) {
    (shape.output.0.div_ceil(SIDE), shape.output.1.div_ceil(SIDE))
}

/// Whether such a convolution is done here, unless its weights are too large.
fn suits(shape: &Shape, window: &Window) -> bool {
    let (down, across) = squares(shape);
    (window.kernel, window.stride) == ((3, 3), (1, 1))
        && shape.channels_in.is_multiple_of(LANES)
        && shape.channels_in <= MOST_INPUTS
        && shape.channels_out >= TILE_CHANNELS
        && down > 1
        && down * across >= FEWEST_SQUARES
}

/// Pixels that a range is best a multiple of: rows of squares.
pub(super) fn grain(shape: &Shape) -> usize {
    SIDE * shape.output.1
}

/// Squares that are transformed at a time.
fn block_squares(shape: &Shape) -> usize {
    let fitting = BLOCK_BYTES / (POINTS * shape.channels_in * size_of::<i16>());
    (fitting / TILE_PIXELS * TILE_PIXELS).clamp(TILE_PIXELS, 4 * TILE_PIXELS)
}

/// The scratch memory of a block: transformed inputs `[point][square][channel]`, sums of a tile of
/// channels `[point][square][channel]`, and one pixel of padding.
struct Memory {
    inputs: *mut i16,
    /// Values from one point to the next.
    inputs_plane: usize,
    sums: *mut i32,
    sums_plane: usize,
    padding: *mut Act,
}

/// At least as many bytes, an odd number of lines of the cache: what is one such plane behind the
/// other does not meet in the same few sets of it.
const fn plane_bytes(bytes: usize) -> usize {
    (bytes.div_ceil(LINE) | 1) * LINE
}

impl Memory {
    fn planes(shape: &Shape) -> [usize; 2] {
        let squares = block_squares(shape);
        [
            plane_bytes(squares * shape.channels_in * size_of::<i16>()),
            plane_bytes(squares * TILE_CHANNELS * size_of::<i32>()),
        ]
    }

    fn bytes(shape: &Shape) -> usize {
        let planes = Memory::planes(shape);
        POINTS * (planes[0] + planes[1]) + shape.channels_in
    }

    /// In `scratch`, which has [`Memory::bytes`].
    unsafe fn new(shape: &Shape, scratch: *mut u8) -> Memory {
        let [inputs, sums] = Memory::planes(shape);
        // SAFETY: the caller's; planes are whole lines of the cache.
        unsafe {
            Memory {
                inputs: scratch.cast(),
                inputs_plane: inputs / size_of::<i16>(),
                sums: scratch.add(POINTS * inputs).cast(),
                sums_plane: sums / size_of::<i32>(),
                padding: scratch.add(POINTS * (inputs + sums)).cast(),
            }
        }
    }
}

pub(super) fn scratch_bytes(shape: &Shape, window: &Window) -> usize {
    match suits(shape, window) {
        true => Memory::bytes(shape),
        false => 0,
    }
}

/// Transforms and packs weights, where [`suits`] and the weights allow it: places of the fours of
/// inputs, and from the next line of the cache on `[tile][point]` weights as wide fours.
pub(super) fn pack(shape: &Shape, window: &Window, of: &ConvWeights) -> Option<PackedConv> {
    let channels = shape.channels_in;
    let taken = TAPS * channels;
    if !suits(shape, window) || !of.weights.chunks_exact(taken).all(fit) {
        return None;
    }
    let tiles = shape.channels_out.div_ceil(TILE_CHANNELS);
    let point_bytes = channels / INPUTS * WIDE_BYTES;
    let bytes = places_bytes(channels) + tiles * POINTS * point_bytes;
    let mut packed = PackedConv {
        transformed: true,
        ..PackedConv::padded(of, bytes, tiles * TILE_CHANNELS)
    };
    let bytes = packed.weights.as_mut_slice();
    let (places, weights) = bytes.split_at_mut(places_bytes(channels));
    let (places, _) = places.as_chunks_mut();
    for (place, to) in (0_u32..)
        .step_by(INPUTS)
        .zip(places)
        .take(channels / INPUTS)
    {
        *to = place.to_ne_bytes();
    }
    for (n, filter) in of.weights.chunks_exact(taken).enumerate() {
        let (tile, lane) = (n / TILE_CHANNELS, n % TILE_CHANNELS);
        for first in (0..channels).step_by(LANES) {
            let points = transformed_weights(filter, channels, first);
            for (point, values) in points.as_flattened().iter().enumerate() {
                let to = (tile * POINTS + point) * point_bytes + first / INPUTS * WIDE_BYTES;
                // [pair of inputs][channel][input of the pair]
                let pairs = weights[to..].chunks_exact_mut(TILE_CHANNELS * 4);
                for (pair, to) in values.as_chunks::<2>().0.iter().zip(pairs) {
                    let [a, b] = pair.map(i16::to_le_bytes);
                    to[lane * 4..][..4].copy_from_slice(&[a[0], a[1], b[0], b[1]]);
                }
            }
        }
    }
    Some(packed)
}

fn places_bytes(channels: usize) -> usize {
    (channels / INPUTS * size_of::<u32>()).next_multiple_of(LINE)
}

/// Whether no inputs can bring an output of one channel's weights beyond 26 bits.
fn fit(weights: &[i8]) -> bool {
    let sum = |sign: i64| {
        let of_sign = weights
            .iter()
            .map(|&weight| (i64::from(weight) * sign).max(0));
        of_sign.sum::<i64>() * i64::from(Act::MAX)
    };
    sum(1).max(sum(-1)) < 1 << 25
}

/// One output channel's weights for [`LANES`] input channels from `first` on.
fn transformed_weights(
    filter: &[i8],
    channels: usize,
    first: usize,
) -> [[[i16; LANES]; INPUT_SIDE]; INPUT_SIDE] {
    let tap = |y: usize, x: usize| {
        let from = &filter[(y * 3 + x) * channels + first..][..LANES];
        std::array::from_fn(|lane| i16::from(from[lane]))
    };
    // Columns, then rows.
    let columns = [0, 1, 2].map(|x| transform_weights([tap(0, x), tap(1, x), tap(2, x)]));
    std::array::from_fn(|y| transform_weights([columns[0][y], columns[1][y], columns[2][y]]))
}

/// Along one side, 24 times Lavin and Gray's, the last 6 times.
fn transform_weights([a, b, c]: [[i16; LANES]; 3]) -> [[i16; LANES]; INPUT_SIDE] {
    let sum = |of: [i16; 3]| -> [i16; LANES] {
        std::array::from_fn(|lane| a[lane] * of[0] + b[lane] * of[1] + c[lane] * of[2])
    };
    [
        [6, 0, 0],
        [-4, -4, -4],
        [-4, 4, -4],
        [1, 2, 4],
        [1, -2, 4],
        [0, 0, 6],
    ]
    .map(sum)
}

#[target_feature(enable = "avx2")]
pub(super) unsafe fn conv(job: &Conv, pixels: Range<usize>, tiles: Range<usize>, scratch: *mut u8) {
    let (_, across) = squares(&job.shape);
    let of_row = SIDE * job.shape.output.1;
    let first = pixels.start / of_row * across;
    let end = pixels.end.div_ceil(of_row) * across;
    // SAFETY: the caller's.
    let memory = unsafe {
        let memory = Memory::new(&job.shape, scratch);
        let zero = job.packed.zero_point as u8;
        memory.padding.write_bytes(zero, job.shape.channels_in);
        memory
    };
    let to = To::new(job);
    let most = block_squares(&job.shape);
    for from in (first..end).step_by(most) {
        let block = from..end.min(from + most);
        let places = || {
            let place = |square| (square / across * SIDE, square % across * SIDE);
            block.clone().map(place).enumerate()
        };
        // SAFETY: there is room for a block; places are within the output.
        unsafe {
            for (square, place) in places() {
                transform_inputs(job, place, &memory, square);
            }
            for n in tiles.clone() {
                multiply(job, n, &memory, block.len());
                for (square, place) in places() {
                    let values = transform_sums(job, n, &memory, square);
                    put(job, &to, n, place, &pixels, &values);
                }
            }
        }
    }
}

/// The inputs of square `square` of a block, whose first output is `place`.
#[target_feature(enable = "avx2")]
unsafe fn transform_inputs(job: &Conv, place: (usize, usize), memory: &Memory, square: usize) {
    let Conv {
        shape,
        window,
        input,
        ..
    } = job;
    let channels = shape.channels_in;
    let within = |at: usize, pad: usize, side: usize| {
        let at = at.checked_sub(pad);
        at.filter(|&at| at < side)
    };
    let mut pixels = [[memory.padding.cast_const(); INPUT_SIDE]; INPUT_SIDE];
    for (y, row) in pixels.iter_mut().enumerate() {
        for (x, pixel) in row.iter_mut().enumerate() {
            let row = within(place.0 + y, window.pad.0, shape.input.0);
            let column = within(place.1 + x, window.pad.1, shape.input.1);
            if let Some((row, column)) = row.zip(column) {
                let at = (row * shape.input.1 + column) * input.stride;
                // SAFETY: within the input.
                *pixel = unsafe { input.pointer.add(at) };
            }
        }
    }
    for channel in (0..channels).step_by(LANES) {
        // SAFETY: pixels have a multiple of as many channels; the block has room.
        unsafe {
            let mut columns = [[_mm256_setzero_si256(); INPUT_SIDE]; INPUT_SIDE];
            for (x, column) in columns.iter_mut().enumerate() {
                *column = transform_line([0, 1, 2, 3, 4, 5].map(|y: usize| {
                    let bytes = _mm_loadu_si128(pixels[y][x].add(channel).cast());
                    _mm256_cvtepu8_epi16(bytes)
                }));
            }
            // Indexed: the compiler copied the whole array for `columns.map`.
            for (y, first) in (0..POINTS).step_by(INPUT_SIDE).enumerate() {
                let row = [0, 1, 2, 3, 4, 5].map(|x: usize| columns[x][y]);
                for (x, value) in transform_line(row).into_iter().enumerate() {
                    let plane = (first + x) * memory.inputs_plane;
                    let to = memory.inputs.add(plane + square * channels + channel);
                    _mm256_storeu_si256(to.cast(), value);
                }
            }
        }
    }
}

/// Six inputs along one side, 16 bits each.
#[inline]
#[target_feature(enable = "avx2")]
fn transform_line([a, b, c, d, e, f]: [__m256i; INPUT_SIDE]) -> [__m256i; INPUT_SIDE] {
    let (add, sub) = (|x, y| _mm256_add_epi16(x, y), |x, y| _mm256_sub_epi16(x, y));
    let four_times = |x| _mm256_slli_epi16::<2>(x);
    let (even, odd) = (sub(e, four_times(c)), sub(d, four_times(b)));
    let (near, twice) = (sub(e, c), sub(d, b));
    let twice = add(twice, twice);
    [
        add(four_times(sub(a, c)), near),
        add(even, odd),
        sub(even, odd),
        add(near, twice),
        sub(near, twice),
        sub(sub(f, d), add(twice, twice)),
    ]
}

/// Sums over input channels of tile `n` of output channels, for all of a block's `squares`.
#[target_feature(enable = "avx2")]
unsafe fn multiply(job: &Conv, n: usize, memory: &Memory, squares: usize) {
    let channels = job.shape.channels_in;
    let fours = channels / INPUTS;
    let packed = job.packed.weights.as_ptr();
    for point in 0..POINTS {
        // SAFETY: packed weights have places and as many fours for every tile and point.
        let (rows, taken, sums) = unsafe {
            let weights = packed.add(places_bytes(channels));
            (
                Rows {
                    first: memory.inputs.add(point * memory.inputs_plane).cast_const(),
                    stride: channels,
                },
                Taken {
                    fours,
                    places: packed.cast(),
                    weights: weights.add((n * POINTS + point) * fours * WIDE_BYTES),
                },
                memory.sums.add(point * memory.sums_plane),
            )
        };
        for squares in pieces(squares, TILE_PIXELS) {
            // SAFETY: rows and sums are as many as squares in the block.
            unsafe {
                let rows = rows.from(squares.start);
                let sums = sums.add(squares.start * TILE_CHANNELS);
                match squares.len() {
                    1 => multiply_squares::<1>(rows, taken, sums),
                    2 => multiply_squares::<2>(rows, taken, sums),
                    3 => multiply_squares::<3>(rows, taken, sums),
                    4 => multiply_squares::<4>(rows, taken, sums),
                    5 => multiply_squares::<5>(rows, taken, sums),
                    _ => multiply_squares::<TILE_PIXELS>(rows, taken, sums),
                }
            }
        }
    }
}

#[target_feature(enable = "avx2")]
unsafe fn multiply_squares<const R: usize>(rows: Rows<i16>, taken: Taken, to: *mut i32) {
    let mut sums = [[_mm256_setzero_si256(); 2]; R];
    // SAFETY: the caller's.
    unsafe {
        multiply_wide(&mut sums, rows, taken);
        for (at, &sum) in sums.as_flattened().iter().enumerate() {
            _mm256_storeu_si256(to.add(at * 8).cast(), sum);
        }
    }
}

/// Sums of 4×4 pixels by the channels of a tile.
type Square = [[[__m256i; 2]; SIDE]; SIDE];

/// The sums of square `square` by the channels of tile `n`, bias added.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn transform_sums(job: &Conv, n: usize, memory: &Memory, square: usize) -> Square {
    // Of 9, modulo 2^32.
    let inverse = _mm256_set1_epi32(0x38e3_8e39);
    let mut values = [[[_mm256_setzero_si256(); 2]; SIDE]; SIDE];
    for half in 0..2 {
        // SAFETY: within the block's sums; bias is padded to whole tiles.
        unsafe {
            let bias = load(
                job.packed
                    .bias
                    .as_ptr()
                    .add(n * TILE_CHANNELS + half * 8)
                    .cast(),
            );
            let from = memory.sums.add(square * TILE_CHANNELS + half * 8);
            let mut columns = [[_mm256_setzero_si256(); SIDE]; INPUT_SIDE];
            for (x, column) in columns.iter_mut().enumerate() {
                *column = transform_line_of_sums([0, 1, 2, 3, 4, 5].map(|y: usize| {
                    let point = y * INPUT_SIDE + x;
                    load(from.add(point * memory.sums_plane).cast())
                }));
            }
            for (y, values) in values.iter_mut().enumerate() {
                let row = [0, 1, 2, 3, 4, 5].map(|x: usize| columns[x][y]);
                for (value, sum) in values.iter_mut().zip(transform_line_of_sums(row)) {
                    let sum = _mm256_srai_epi32::<6>(_mm256_mullo_epi32(sum, inverse));
                    value[half] = _mm256_add_epi32(sum, bias);
                }
            }
        }
    }
    values
}

/// Six sums along one side, 24 times the four outputs'.
#[inline]
#[target_feature(enable = "avx2")]
fn transform_line_of_sums([a, b, c, d, e, f]: [__m256i; INPUT_SIDE]) -> [__m256i; SIDE] {
    let (add, sub) = (|x, y| _mm256_add_epi32(x, y), |x, y| _mm256_sub_epi32(x, y));
    let four_times = |x| _mm256_slli_epi32::<2>(x);
    let (near, near_difference) = (add(b, c), sub(b, c));
    let (far, far_difference) = (add(d, e), sub(d, e));
    let twice = add(far_difference, far_difference);
    [
        add(add(a, near), far),
        add(near_difference, twice),
        add(near, four_times(far)),
        add(near_difference, four_times(add(twice, f))),
    ]
}

/// Stores those outputs of a square from `place` on that are among `pixels`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn put(
    job: &Conv,
    to: &To,
    n: usize,
    place: (usize, usize),
    pixels: &Range<usize>,
    values: &Square,
) {
    let (height, width) = job.shape.output;
    for (row, values) in (place.0..height).zip(values) {
        let first = row * width + place.1;
        let end = first + SIDE.min(width - place.1);
        let asked = first.max(pixels.start)..end.min(pixels.end);
        // SAFETY: within the output.
        unsafe {
            if asked.len() == SIDE {
                to.put(job, values, first, n);
            } else {
                for pixel in asked {
                    to.put(job, &[values[pixel - first]], pixel, n);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::kernels::Kernels;
    use crate::engine::kernels::avx2::avx2;

    /// What is largest of sums with these factors along both sides, of values from `low` to `high`.
    fn largest(factors: &[Vec<i32>], [low, high]: [i32; 2]) -> i32 {
        let lines = || factors.iter();
        let extremes = lines()
            .flat_map(|a| lines().map(move |b| (a, b)))
            .map(|(a, b)| {
                let products = || a.iter().flat_map(|x| b.iter().map(move |y| x * y));
                let most: i32 = products().map(|x| (x * low).max(x * high)).sum();
                let least: i32 = products().map(|x| (x * low).min(x * high)).sum();
                most.max(-least)
            });
        extremes.max().expect("lines")
    }

    #[test]
    fn what_is_transformed_fits_into_sixteen_bits() {
        if !is_x86_feature_detected!("avx2") {
            println!("not tested: this CPU has no AVX2");
            return;
        }
        // Of each point along a side, the factors of the inputs, and of the weights.
        let mut of_inputs = vec![vec![0; INPUT_SIDE]; INPUT_SIDE];
        for input in 0..INPUT_SIDE {
            // SAFETY: the CPU has AVX2.
            let lanes: [[i16; 16]; INPUT_SIDE] = unsafe {
                let one = |at| _mm256_set1_epi16(i16::from(at == input));
                std::mem::transmute(transform_line([0, 1, 2, 3, 4, 5].map(one)))
            };
            for (point, lanes) in of_inputs.iter_mut().zip(lanes) {
                point[input] = i32::from(lanes[0]);
            }
        }
        let mut of_weights = vec![vec![0; 3]; INPUT_SIDE];
        for tap in 0..3 {
            let one = |at| [i16::from(at == tap); LANES];
            let lanes = transform_weights([0, 1, 2].map(one));
            for (point, lanes) in of_weights.iter_mut().zip(lanes) {
                point[tap] = i32::from(lanes[0]);
            }
        }
        let inputs = largest(&of_inputs, [0, 255]);
        let weights = largest(&of_weights, [-128, 127]);
        assert_eq!((inputs, weights), (68 * 255, 144 * 128));
        assert!(inputs.max(weights) <= i32::from(i16::MAX));
    }

    /// Whether the level transforms weights that come to `-sum` for each of 16 output channels.
    fn is_transformed(level: &dyn Kernels, side: usize, channels: usize, sum: i32) -> bool {
        let shape = Shape {
            input: (side, side),
            output: (side, side),
            channels_in: channels,
            channels_out: 16,
        };
        let window = Window {
            kernel: (3, 3),
            stride: (1, 1),
            pad: (1, 1),
        };
        let mut left = sum;
        let filter = (0..TAPS * channels).map(|_| {
            let weight = left.min(128);
            left -= weight;
            i8::try_from(-weight).expect("a weight")
        });
        let filter: Vec<i8> = filter.collect();
        assert_eq!(left, 0);
        let of = ConvWeights {
            weights: &filter.repeat(16),
            bias: &[0; 16],
            multipliers: &[1.0; 16],
            zero_point: 0,
        };
        level.pack_conv(&shape, &window, &of).transformed
    }

    #[test]
    fn convolutions_are_transformed_where_that_is_exact_and_pays() {
        let Some(level) = avx2() else {
            println!("not tested: this CPU has no AVX2");
            return;
        };
        // 255 times 131,586 is the last within 26 bits.
        for (side, channels, sum, expected) in [
            (14, 128, 131_586, true),
            (14, 128, 131_587, false),
            (14, 120, 1000, false),
            (14, 1024, 1000, true),
            (14, 1040, 1000, false),
            (13, 64, 1000, true),
            (12, 64, 1000, false),
        ] {
            let found = is_transformed(level, side, channels, sum);
            assert_eq!(found, expected, "{side} {channels} {sum}");
        }
    }
}
