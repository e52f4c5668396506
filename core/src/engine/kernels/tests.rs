//! Every level against the specification, byte for byte: tails, strides, padding,
//! saturation, zero points at both ends, work split at odd places. Inputs end exactly
//! [`OVERREAD_BYTES`] before their memory does, and what lies between a target's pixels
//! must stay what it was. Every op meets all pairs of [`GRID_SIDES`] and [`GRID_CHANNELS`],
//! then random ones; windows and ranges rotate, so that an emulated CPU takes a second.

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

fn conv_case(level: &dyn Kernels, random: &mut Random, shape: Shape, window: Window, floats: bool) {
    let depth = window.kernel.0 * window.kernel.1 * shape.channels_in;
    let extreme = random.below(3) == 0;
    let weights = random.weights(depth * shape.channels_out, extreme);
    let extra = [0, 0, 5][random.below(3)];
    let pixels = shape.input.0 * shape.input.1;
    let input = Pixels::new(random, pixels, shape.channels_in, extra, extreme);
    // Some multipliers bring sums beyond `i32`, which a level may not take for granted.
    let small = match random.below(8) {
        0 => 1e6,
        1 => 1e37,
        _ if extreme => 1e-5,
        _ => 1e-3,
    };
    conv_with(
        level,
        random,
        (shape, window),
        (&weights, &input, small),
        floats,
    );
}

fn conv_with(
    level: &dyn Kernels,
    random: &mut Random,
    (shape, window): (Shape, Window),
    (weights, input, small): (&[i8], &Pixels, f32),
    floats: bool,
) {
    let scalar = &scalar::Scalar as &dyn Kernels;
    // Some sums leave `i32`, and come in again at its other end.
    let far = random.below(4) == 0;
    let bias = (0..shape.channels_out).map(|_| match random.below(20_000) as i32 - 10_000 {
        any if far && any % 2 == 0 => [i32::MIN, i32::MAX][random.below(2)],
        any => any,
    });
    let bias: Vec<i32> = bias.collect();
    let multipliers: Vec<f32> = (0..shape.channels_out)
        .map(|_| random.factor() * small)
        .collect();
    let of = ConvWeights {
        weights,
        bias: &bias,
        multipliers: &multipliers,
        zero_point: random.zero_point(),
    };
    let clamp = random.clamp();
    let packed = [
        scalar.pack_conv(&shape, &window, &of),
        level.pack_conv(&shape, &window, &of),
    ];
    let mut scratch = Scratch::new(level.conv_scratch_bytes(&shape, &window));
    let pixels = shape.output.0 * shape.output.1;
    let what = format!("{} conv {shape:?} {window:?}", level.name());
    let mut run = |reference: bool, output: ConvOutput, range: Range<usize>| {
        let (kernels, packed) = if reference {
            (scalar, &packed[0])
        } else {
            (level, &packed[1])
        };
        let job = Conv {
            shape,
            window,
            packed,
            input: input.source(),
            output,
        };
        let tiles = kernels.conv_tiles(&shape);
        let cut = (range.start + range.len() / 2) % (tiles + 1);
        for tiles in [0..cut, cut..tiles] {
            // SAFETY: tensors are as large as the shape says, with the slack behind them.
            unsafe { kernels.conv(&job, range.clone(), tiles, scratch.pointer()) };
        }
    };
    if floats {
        let mut logits = [
            vec![0.0_f32; pixels * shape.channels_out],
            vec![0.0; pixels * shape.channels_out],
        ];
        run(true, ConvOutput::F32(logits[0].as_mut_ptr()), 0..pixels);
        let cut = random.below(pixels + 1);
        for range in [0..cut, cut..pixels] {
            run(false, ConvOutput::F32(logits[1].as_mut_ptr()), range);
        }
        assert_eq!(logits[0], logits[1], "{what}");
    } else {
        let extra = [0, 3][random.below(2)];
        compare(
            &what,
            random,
            (pixels, shape.channels_out, extra),
            pixels,
            |reference, target, range| {
                run(reference, ConvOutput::Act(target, clamp), range);
            },
        );
    }
    scratch.check(&what);
}

#[test]
fn convolutions() {
    let mut random = Random(1);
    for level in others() {
        let windows = [
            square(1, 1, 0),
            square(3, 1, 1),
            square(3, 2, 0),
            square(5, 2, 2),
            square(2, 1, 0),
            square(1, 2, 0),
            oblong((1, 7), (1, 1), (0, 3)),
            oblong((7, 1), (1, 1), (3, 0)),
            oblong((3, 5), (2, 1), (1, 0)),
            oblong((5, 3), (1, 2), (2, 1)),
        ];
        for round in 0..200 + GRID {
            let (side, channels_in) = size(&mut random, round);
            let mut window = windows[(round + round / windows.len()) % windows.len()];
            if channels_in * side.1 > 10_000 {
                window = windows[0];
            }
            let input = (side.0.max(window.kernel.0), side.1.max(window.kernel.1));
            let channels = (channels_in, CHANNELS[random.below(9)]);
            let after = random.below(2);
            conv_case(
                level,
                &mut random,
                shape(input, channels, window, after),
                window,
                round % 7 == 0,
            );
        }
        // A dense layer, long sums, many outputs, a stem.
        let (one, stem) = (square(1, 1, 0), square(3, 2, 0));
        for (input, channels, window, floats) in [
            ((1, 1), (1056, 70), one, true),
            ((7, 7), (1056, 17), one, false),
            ((7, 7), (17, 1056), one, false),
            ((224, 32), (3, 16), stem, false),
        ] {
            let shape = shape(input, channels, window, 1);
            conv_case(level, &mut random, shape, window, floats);
        }
        // An output may leave out the input's last rows and columns.
        for round in 0..8 {
            let shape = Shape {
                output: (5, 4),
                ..shape((7, 7), (24, 20), one, 0)
            };
            conv_case(level, &mut random, shape, one, round == 0);
        }
    }
}

/// Products of -128 by -128 are the largest: two of them are one too many for 16 bits.
#[test]
fn the_least_weights_with_the_least_and_the_largest_activations() {
    let mut random = Random(5);
    for level in others() {
        for (value, weight) in [(0, -128), (255, -128), (0, 127), (255, 127)] {
            for (kernel, channels) in [(1, 16), (1, 8), (1, 1056), (3, 3), (3, 32), (5, 17)] {
                let window = square(kernel, 1, 0);
                let shape = shape((kernel + 3, kernel + 4), (channels, 13), window, 0);
                let mut input = Pixels::new(
                    &mut random,
                    shape.input.0 * shape.input.1,
                    channels,
                    0,
                    false,
                );
                input.memory.fill(act(value));
                let depth = kernel * kernel * channels;
                let mut weights = vec![weight; depth * 13];
                let small = 1.0 / (depth as f32 * 4e3);
                for floats in [true, false] {
                    let given = (&weights[..], &input, small);
                    conv_with(level, &mut random, (shape, window), given, floats);
                }
                // Only two of them, where they may meet in one sum.
                for (at, weight) in weights.iter_mut().enumerate() {
                    *weight = if at % depth % 16 % 8 == 1 { -128 } else { 1 };
                }
                let given = (&weights[..], &input, small);
                conv_with(level, &mut random, (shape, window), given, true);
            }
            for (kernel, stride) in [(2, 1), (3, 1), (3, 2), (5, 1), (5, 2), (7, 1)] {
                let window = square(kernel, stride, kernel / 2);
                let shape = shape((9, 11), (20, 20), window, 1);
                let mut input = Pixels::new(&mut random, 99, 20, 0, false);
                input.memory.fill(act(value));
                let weights = vec![weight; kernel * kernel * 20];
                let small = 1.0 / ((kernel * kernel) as f32 * 4e3);
                let given = (&weights[..], &input, small);
                depthwise_with(level, &mut random, (shape, window), given);
            }
        }
    }
}

/// Windows of 3×3 over images that have room for many squares, which a level may transform.
#[test]
fn convolutions_of_three_by_three() {
    let mut random = Random(6);
    for level in others() {
        for round in 0..32 {
            let pad = (random.below(3), random.below(3));
            let window = oblong((3, 3), (1, 1), pad);
            let side = (11 + random.below(9), 11 + random.below(9));
            let channels = ([16, 32, 48, 17][round % 4], 12 + random.below(50));
            let shape = shape(side, channels, window, random.below(3));
            conv_case(level, &mut random, shape, window, round % 9 == 0);
        }
        let window = square(3, 1, 1);
        // The largest sums that leave an output within 26 bits, and some beyond.
        for (value, weight, channels) in [(255, -128, 112), (255, 127, 112), (255, 127, 128)] {
            let shape = shape((13, 14), (channels, 18), window, 1);
            let mut input = Pixels::new(&mut random, 13 * 14, channels, 0, false);
            input.memory.fill(act(value));
            let depth = 9 * channels;
            let weights = vec![weight; depth * 18];
            let given = (&weights[..], &input, 1.0 / (depth as f32 * 4e3));
            conv_with(level, &mut random, (shape, window), given, value == 0);
        }
        // So many inputs that few squares are a block.
        for channels in [384, 1024] {
            let shape = shape((14, 13), (channels, 16), window, 1);
            let input = Pixels::new(&mut random, 14 * 13, channels, 0, false);
            let weights = random.weights(9 * channels * 16, false);
            let weights: Vec<i8> = weights.iter().map(|weight| weight / 16).collect();
            let given = (&weights[..], &input, 1e-4);
            conv_with(level, &mut random, (shape, window), given, false);
        }
    }
}

#[test]
fn depthwise_convolutions() {
    let mut random = Random(2);
    for level in others() {
        for round in 0..150 + GRID {
            let (side, channels) = size(&mut random, round);
            let mut kernel = [3, 5, 7, 2, 1][(round + round / 5) % 5];
            if channels * side.1 > 10_000 {
                kernel = 3;
            }
            let window = square(kernel, 1 + random.below(3), random.below(kernel));
            let input = (side.0.max(kernel), side.1.max(kernel));
            let shape = shape(input, (channels, channels), window, random.below(kernel));
            let extreme = random.below(3) == 0;
            let weights = random.weights(kernel * kernel * channels, extreme);
            let extra = [0, 5][random.below(2)];
            let input = Pixels::new(&mut random, input.0 * input.1, channels, extra, extreme);
            let given = (&weights[..], &input, 1e-3);
            depthwise_with(level, &mut random, (shape, window), given);
        }
        for (window, side, channels) in [
            // More rows than any network has, which a level may leave to the specification.
            (oblong((19, 2), (1, 1), (1, 0)), (20, 5), 9),
            (oblong((7, 3), (4, 1), (3, 1)), (23, 17), 40),
            (oblong((3, 5), (5, 2), (0, 2)), (23, 17), 40),
            (oblong((5, 5), (2, 1), (2, 0)), (23, 17), 130),
            (oblong((3, 3), (9, 9), (1, 1)), (23, 17), 40),
        ] {
            for small in [1e-3, 1e6, 1e37] {
                let shape = shape(side, (channels, channels), window, 0);
                let taps = window.kernel.0 * window.kernel.1;
                let weights = random.weights(taps * channels, false);
                let input = Pixels::new(&mut random, side.0 * side.1, channels, 0, false);
                let given = (&weights[..], &input, small);
                depthwise_with(level, &mut random, (shape, window), given);
            }
        }
    }
}

fn depthwise_with(
    level: &dyn Kernels,
    random: &mut Random,
    (shape, window): (Shape, Window),
    (weights, input, small): (&[i8], &Pixels, f32),
) {
    let scalar = &scalar::Scalar as &dyn Kernels;
    let channels = shape.channels_out;
    let bias: Vec<i32> = (0..channels)
        .map(|_| random.below(2000) as i32 - 1000)
        .collect();
    let multipliers: Vec<f32> = (0..channels).map(|_| random.factor() * small).collect();
    let of = ConvWeights {
        weights,
        bias: &bias,
        multipliers: &multipliers,
        zero_point: random.zero_point(),
    };
    let clamp = random.clamp();
    let packed = [
        scalar.pack_depthwise(&shape, &window, &of),
        level.pack_depthwise(&shape, &window, &of),
    ];
    let mut scratch = Scratch::new(level.depthwise_scratch_bytes(&shape, &window));
    let what = format!("{} depthwise {shape:?} {window:?}", level.name());
    let size = (
        shape.output.0 * shape.output.1,
        channels,
        [0, 5][random.below(2)],
    );
    compare(
        &what,
        random,
        size,
        shape.output.0,
        |reference, output, range| {
            let (kernels, packed) = if reference {
                (scalar, &packed[0])
            } else {
                (level, &packed[1])
            };
            let job = Depthwise {
                shape,
                window,
                packed,
                input: input.source(),
                output,
                clamp,
            };
            // SAFETY: as above.
            unsafe { kernels.depthwise(&job, range, scratch.pointer()) };
        },
    );
    scratch.check(&what);
}

#[test]
fn sums_tables_and_multiply_adds() {
    let scalar = &scalar::Scalar as &dyn Kernels;
    let mut random = Random(3);
    for level in others() {
        for round in 0..200 + GRID {
            let (side, channels) = size(&mut random, round);
            let pixels = side.0 * side.1 + random.below(20);
            let extra = [0, 5][random.below(2)];
            let a = Pixels::new(&mut random, pixels, channels, extra, false);
            let b = Pixels::new(&mut random, pixels, channels, extra, round % 3 == 0);
            let zero_point = random.zero_point();
            let summand = random.factor() * 100.0 - 200.0;
            let (scale_a, scale_b) = (random.factor(), random.factor());
            let clamp = random.clamp();
            // Some products are beyond `i32`, some beyond `f32`.
            let large = [1.0, 1.0, 1e8, 1e38][random.below(4)];
            let scale: Vec<f32> = (0..channels)
                .map(|_| (random.factor() - 2.0) * large)
                .collect();
            let offset: Vec<f32> = (0..channels)
                .map(|_| (random.factor() * 40.0 - 80.0) * large.min(1e36))
                .collect();
            let what = format!("{} {pixels} x {channels}", level.name());
            let size = (pixels, channels, extra);
            compare(
                &format!("add {what}"),
                &mut random,
                size,
                pixels,
                |reference, output, range| {
                    let kernels = if reference { scalar } else { level };
                    let (a, b) = (a.source(), b.source());
                    let job = Add {
                        channels,
                        a,
                        b,
                        output,
                        scale_a,
                        scale_b,
                        offset: summand,
                        shift: zero_point,
                        clamp,
                    };
                    // SAFETY: as above.
                    unsafe { kernels.add(&job, range) };
                },
            );
            let mut table = Table([0; 256]);
            table
                .0
                .iter_mut()
                .for_each(|value| *value = act(random.byte()));
            compare(
                &format!("lookup {what}"),
                &mut random,
                size,
                pixels,
                |reference, output, range| {
                    let kernels = if reference { scalar } else { level };
                    let (input, table) = (a.source(), &table);
                    let job = Lookup {
                        channels,
                        input,
                        output,
                        table,
                    };
                    // SAFETY: as above.
                    unsafe { kernels.lookup(&job, range) };
                },
            );
            compare(
                &format!("affine {what}"),
                &mut random,
                size,
                pixels,
                |reference, output, range| {
                    let kernels = if reference { scalar } else { level };
                    let (scale, offset) = (&scale, &offset);
                    let job = Affine {
                        channels,
                        input: a.source(),
                        output,
                        zero_point,
                        scale,
                        offset,
                        clamp,
                    };
                    // SAFETY: as above.
                    unsafe { kernels.affine(&job, range) };
                },
            );
        }
    }
}

#[test]
fn pools() {
    let scalar = &scalar::Scalar as &dyn Kernels;
    let mut random = Random(4);
    for level in others() {
        for round in 0..150 + GRID {
            let (side, channels) = size(&mut random, round);
            let kernel = [3, 2, 5, 1][(round + round / 4) % 4];
            let global = round % 5 == 0;
            let mut input = (side.0.max(kernel), side.1.max(kernel));
            let mut window = square(kernel, 1 + random.below(2), random.below(kernel));
            if global {
                input = side;
                window = Window {
                    kernel: side,
                    stride: (1, 1),
                    pad: (0, 0),
                };
            }
            let after = if global { 0 } else { random.below(kernel) };
            let shape = shape(input, (channels, channels), window, after);
            let extra = [0, 5][random.below(2)];
            let source = Pixels::new(
                &mut random,
                input.0 * input.1,
                channels,
                extra,
                round % 3 == 0,
            );
            let what = format!("{} {shape:?} {window:?}", level.name());
            let size = (shape.output.0 * shape.output.1, channels, extra);
            let pad_value = [None, Some(act(random.byte()))][random.below(2)];
            compare(
                &format!("max pool {what}"),
                &mut random,
                size,
                shape.output.0,
                |reference, output, range| {
                    let kernels = if reference { scalar } else { level };
                    let job = MaxPool {
                        shape,
                        window,
                        input: source.source(),
                        output,
                        pad_value,
                    };
                    // SAFETY: as above.
                    unsafe { kernels.max_pool(&job, range) };
                },
            );
            let zero_point = random.zero_point();
            let (scale_in, scale_out) = (random.factor(), random.factor());
            let (count_padding, clamp) = (random.below(2) == 0, random.clamp());
            let shift = ACT_OFFSET + [0, 128][random.below(2)];
            let bytes = level.average_pool_scratch_bytes(&shape, &window);
            let mut scratch = Aligned::zeroed(bytes);
            compare(
                &format!("average pool {what}"),
                &mut random,
                size,
                shape.output.0,
                |reference, output, range| {
                    let kernels = if reference { scalar } else { level };
                    let input = source.source();
                    let job = AveragePool {
                        shape,
                        window,
                        input,
                        output,
                        zero_point,
                        scale_in,
                        scale_out,
                        shift,
                        count_padding,
                        clamp,
                    };
                    // SAFETY: as above.
                    unsafe { kernels.average_pool(&job, range, scratch.as_mut_ptr()) };
                },
            );
            compare(
                &format!("global average pool {what}"),
                &mut random,
                (1, channels, extra),
                channels,
                |reference, output, range| {
                    let kernels = if reference { scalar } else { level };
                    let job = GlobalAveragePool {
                        pixels: input.0 * input.1,
                        input: source.source(),
                        output,
                        zero_point,
                        scale: scale_in,
                        clamp,
                    };
                    // SAFETY: as above.
                    unsafe { kernels.global_average_pool(&job, range) };
                },
            );
        }
    }
}

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
