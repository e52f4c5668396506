//! Sums, tables, multiply-adds and pools.

use super::*;

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
