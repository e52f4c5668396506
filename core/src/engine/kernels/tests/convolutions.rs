//! Convolutions of either kind.

use super::*;

/// Bias and multipliers of some channels. Some sums leave `i32`, and come in again at its other
/// end.
fn factors(random: &mut Random, channels: usize, small: f32) -> (Vec<i32>, Vec<f32>) {
    let far = random.below(4) == 0;
    let bias = (0..channels).map(|_| match random.below(20_000) as i32 - 10_000 {
        any if far && any % 2 == 0 => [i32::MIN, i32::MAX][random.below(2)],
        any => any,
    });
    let bias = bias.collect();
    let multipliers = (0..channels).map(|_| random.factor() * small);
    (bias, multipliers.collect())
}

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
    let (bias, multipliers) = factors(random, shape.channels_out, small);
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
            conv_with(level, &mut random, (shape, window), given, weight < 0);
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
            // Several passes over channels, with windows that begin at any row.
            (oblong((5, 5), (1, 1), (2, 0)), (23, 17), 130),
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
    let (bias, multipliers) = factors(random, channels, small);
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
