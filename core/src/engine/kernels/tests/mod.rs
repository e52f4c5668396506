//! Every level against the specification, byte for byte: tails, strides, padding,
//! saturation, zero points at both ends, work split at odd places. Inputs end exactly
//! [`OVERREAD_BYTES`] before their memory does, and what lies between a target's pixels
//! must stay what it was. Every op meets all pairs of [`GRID_SIDES`] and [`GRID_CHANNELS`],
//! then random ones; windows and ranges rotate, so that an emulated CPU takes a second.

mod convolutions;
mod sums_and_pools;

use super::*;

/// A shape with its window; `channels_in` and `channels_out` differ for `conv` only.
fn shape(input: (usize, usize), channels: (usize, usize), window: Window, after: usize) -> Shape {
    let along = |side: usize, kernel: usize, stride: usize, pad: usize| {
        (side + pad + after.min(kernel - 1) - kernel) / stride + 1
    };
    let (kernel, stride, pad) = (window.kernel, window.stride, window.pad);
    Shape {
        input,
        output: (
            along(input.0, kernel.0, stride.0, pad.0),
            along(input.1, kernel.1, stride.1, pad.1),
        ),
        channels_in: channels.0,
        channels_out: channels.1,
    }
}

fn square(kernel: usize, stride: usize, pad: usize) -> Window {
    oblong((kernel, kernel), (stride, stride), (pad, pad))
}

fn oblong(kernel: (usize, usize), stride: (usize, usize), pad: (usize, usize)) -> Window {
    Window {
        kernel,
        stride,
        pad,
    }
}

/// Marsaglia's xorshift64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn byte(&mut self) -> u8 {
        self.next() as u8
    }

    /// Uniform, or at its ends, where sums are largest.
    fn bytes(&mut self, length: usize, extreme: bool) -> Vec<u8> {
        let mut byte = || {
            if extreme {
                [0, 255][self.below(2)]
            } else {
                self.byte()
            }
        };
        (0..length).map(|_| byte()).collect()
    }

    /// Uniform, at their ends, or, as those of trained networks are, a few large among small.
    fn weights(&mut self, length: usize, extreme: bool) -> Vec<i8> {
        let small = self.below(2) == 0;
        let mut weight = || {
            if extreme {
                [-128, 127, 127, 127][self.below(4)]
            } else if small && self.below(100) > 0 {
                self.byte() as i8 / 4
            } else {
                self.byte() as i8
            }
        };
        (0..length).map(|_| weight()).collect()
    }

    fn factor(&mut self) -> f32 {
        (self.below(1000) + 1) as f32 / 250.0
    }

    fn clamp(&mut self) -> Clamp {
        let stored = |value: u8| i32::from(act(value));
        let zero_point = stored([0, 255, 128, self.byte()][self.below(4)]);
        let (a, b) = match self.below(3) {
            0 => (self.byte(), self.byte()),
            _ => (0, 255),
        };
        Clamp {
            zero_point,
            low: stored(a.min(b)),
            high: stored(a.max(b)),
        }
    }

    fn zero_point(&mut self) -> i32 {
        i32::from(act([0, 255, self.byte()][self.below(3)]))
    }
}

/// A level's scratch memory, and behind it bytes that must stay what they are.
struct Scratch {
    memory: Aligned,
    asked: usize,
}

impl Scratch {
    const BEHIND: u8 = 0xa5;

    fn new(asked: usize) -> Scratch {
        let mut memory = Aligned::zeroed(asked + 256);
        memory.as_mut_slice()[asked..].fill(Scratch::BEHIND);
        Scratch { memory, asked }
    }

    fn pointer(&mut self) -> *mut u8 {
        self.memory.as_mut_ptr()
    }

    fn check(&self, what: &str) {
        let behind = &self.memory.as_slice()[self.asked..];
        let kept = behind.iter().all(|&byte| byte == Scratch::BEHIND);
        assert!(kept, "{what}: written behind the scratch memory");
    }
}

/// Pixels with a stride beyond their channels, and nothing readable behind the slack.
struct Pixels {
    memory: Vec<Act>,
    stride: usize,
}

impl Pixels {
    fn new(
        random: &mut Random,
        pixels: usize,
        channels: usize,
        extra: usize,
        extreme: bool,
    ) -> Pixels {
        let stride = channels + extra;
        let length = (pixels - 1) * stride + channels + OVERREAD_BYTES;
        let memory = random.bytes(length, extreme).into_iter().map(act).collect();
        Pixels { memory, stride }
    }

    fn source(&self) -> Source {
        Source {
            pointer: self.memory.as_ptr(),
            stride: self.stride,
        }
    }

    fn target(&mut self) -> Target {
        Target {
            pointer: self.memory.as_mut_ptr(),
            stride: self.stride,
        }
    }
}

/// Runs `job` on both levels into equal memory, on the other level in odd pieces.
fn compare(
    what: &str,
    random: &mut Random,
    (pixels, channels, extra): (usize, usize, usize),
    units: usize,
    mut job: impl FnMut(bool, Target, Range<usize>),
) {
    let mut expected = Pixels::new(random, pixels, channels, extra, false);
    let mut found = Pixels {
        memory: expected.memory.clone(),
        stride: expected.stride,
    };
    job(true, expected.target(), 0..units);
    let cut = random.below(units + 1);
    job(false, found.target(), 0..cut);
    job(false, found.target(), cut..units);
    assert_same(what, &expected.memory, &found.memory);
}

fn assert_same(what: &str, expected: &[Act], found: &[Act]) {
    if let Some(at) = expected.iter().zip(found).position(|(a, b)| a != b) {
        panic!(
            "{what}: byte {at} is {} instead of {}",
            found[at], expected[at]
        );
    }
}

fn others() -> Vec<&'static dyn Kernels> {
    let mut levels = levels();
    levels.retain(|level| level.name() != "scalar");
    let names: Vec<&str> = levels.iter().map(|level| level.name()).collect();
    println!("levels compared with the specification: {names:?}");
    let required = std::env::var("ETALASE_REQUIRE_ISAS").unwrap_or_default();
    for required in required.split(',').filter(|name| !name.is_empty()) {
        assert!(names.contains(&required), "this CPU has no {required}");
    }
    levels
}

/// Sides 1, 2, 7 and 224, the last as one row: windows make it as high as they are.
const GRID_SIDES: [(usize, usize); 4] = [(1, 1), (2, 2), (7, 7), (1, 224)];
const GRID_CHANNELS: [usize; 6] = [1, 3, 7, 8, 17, 1056];
const GRID: usize = GRID_SIDES.len() * GRID_CHANNELS.len();

/// The grid's sides and channels, then random ones.
fn size(random: &mut Random, round: usize) -> ((usize, usize), usize) {
    if round < GRID {
        let side = GRID_SIDES[round / GRID_CHANNELS.len()];
        return (side, GRID_CHANNELS[round % GRID_CHANNELS.len()]);
    }
    let side = SIDES[random.below(SIDES.len())];
    (side, CHANNELS[random.below(CHANNELS.len())])
}

const SIDES: [(usize, usize); 6] = [(1, 1), (2, 2), (7, 7), (14, 9), (3, 14), (5, 1)];
const CHANNELS: [usize; 9] = [1, 3, 7, 8, 16, 17, 32, 44, 70];

/// The specification itself, on numbers worked out by hand.
#[test]
fn the_specification_by_hand() {
    let zero = i32::from(act(10));
    let clamp = Clamp {
        zero_point: zero,
        low: i32::from(act(0)),
        high: i32::from(act(255)),
    };
    for (value, level) in [
        (0.5, 10),
        (1.5, 12),
        (2.5, 12),
        (-0.5, 10),
        (-1.5, 8),
        (300.0, 255),
        (-11.0, 0),
        (f32::NAN, 0),
    ] {
        assert_eq!(clamp.store(value), act(level), "{value}");
    }
    // One pixel, two channels in, one out: (12 - 10)·3 + (7 - 10)·(-5) + 4 = 25.
    let (one, window) = (shape((1, 1), (2, 1), square(1, 1, 0), 0), square(1, 1, 0));
    let of = ConvWeights {
        weights: &[3, -5],
        bias: &[4],
        multipliers: &[0.5],
        zero_point: zero,
    };
    let packed = scalar::pack_conv(&of);
    let input = [act(12), act(7)];
    let mut output = [act(99); 2];
    let job = Conv {
        shape: one,
        window,
        packed: &packed,
        input: Source {
            pointer: input.as_ptr(),
            stride: 2,
        },
        output: ConvOutput::Act(
            Target {
                pointer: output.as_mut_ptr(),
                stride: 2,
            },
            clamp,
        ),
    };
    // SAFETY: one pixel in, one out; the specification reads no further.
    unsafe { scalar::conv(&job, 0..1) };
    // 12.5 rounds to 12, and 99 stays.
    assert_eq!(output, [act(22), act(99)]);
}

#[test]
#[should_panic(expected = "byte 3")]
fn the_comparison_sees_one_wrong_byte() {
    assert_same("a level", &[0, 0, 0, 0, 0], &[0, 0, 0, 1, 0]);
}
