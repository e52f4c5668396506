//! Every instruction set against the specification, in plain sums.

use super::*;

fn noise(count: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            // Runs of extremes among the noise.
            match state >> 28 {
                0 => 0,
                1 => 255,
                _ => (state >> 8) as u8,
            }
        })
        .collect()
}

fn dense(axis: &Axis, samples: usize) -> Vec<Vec<i64>> {
    axis.windows()
        .map(|window| {
            let mut weights = vec![0; samples];
            for (to, &weight) in weights.iter_mut().skip(window.start).zip(window.weights) {
                *to = i64::from(weight);
            }
            weights
        })
        .collect()
}

/// The specification.
fn specified(samples: &Samples<'_>, channel: usize, across: &Axis, down: &Axis) -> Vec<u16> {
    let (columns, rows) = (dense(across, samples.width), dense(down, samples.height));
    let mut results = Vec::new();
    for row in &rows {
        for column in &columns {
            let mut sum = 0;
            for (y, wy) in row.iter().enumerate().filter(|(_, wy)| **wy != 0) {
                for (x, wx) in column.iter().enumerate().filter(|(_, wx)| **wx != 0) {
                    let at = y * samples.row_stride + x * samples.pixel_stride + channel;
                    sum += wy * wx * i64::from(samples.data[at]);
                }
            }
            results.push((sum >> (2 * axis::WEIGHT_BITS - FRACTION_BITS)) as u16);
        }
    }
    results
}

#[test]
fn every_instruction_set_gives_the_specification_s_bits() {
    let names: Vec<&str> = kernels::levels().iter().map(|level| level.name).collect();
    println!("levels: {names:?}");
    // CI says which instruction sets its CPU has; none of ours may go untested.
    let required = std::env::var("ETALASE_REQUIRE_ISAS").unwrap_or_default();
    for own in ["avx2", "neon"] {
        let wanted = required.split(',').any(|name| name == own);
        assert!(!wanted || names.contains(&own), "{own} is not tested");
    }
    let cases = [
        // width, height, to, pixel stride, channels
        (1, 1, (1, 1), 1, 1),
        (7, 5, (3, 4), 3, 3),
        (33, 70, (16, 5), 4, 3),
        (65, 9, (130, 31), 2, 1),
        (130, 67, (9, 8), 2, 2),
        (300, 31, (17, 29), 1, 1),
        (5, 300, (5, 7), 4, 4),
    ];
    for (seed, (width, height, (to_width, to_height), pixel_stride, channels)) in (1..).zip(cases) {
        let row_stride = width * pixel_stride + seed as usize;
        let data = noise(row_stride * height, seed);
        let samples = Samples {
            data: &data,
            width,
            height,
            row_stride,
            pixel_stride,
            channels,
            alpha: Alpha::Ignored,
            scale: (1.0, 1.0),
            spread: (0.0, 0.0),
        };
        let shrunk = width as f64 * 0.9;
        let across = Axis::new(width, width as f64 * 0.05, shrunk, to_width, 0.0);
        let down = Axis::new(height, 0.0, height as f64, to_height, 0.0);
        for level in kernels::levels() {
            let planes = samples.resize_with(level, &across, &down);
            assert_eq!(planes.len(), channels);
            for (channel, plane) in planes.iter().enumerate() {
                let wanted = specified(&samples, channel, &across, &down);
                assert!(
                    *plane == wanted,
                    "{} at {width}x{height}, channel {channel}",
                    level.name
                );
            }
        }
    }
}

#[test]
fn the_last_row_may_end_with_its_last_sample() {
    let data = noise(10 * 3 + 7, 3);
    let samples = Samples {
        data: &data,
        width: 4,
        height: 4,
        row_stride: 10,
        pixel_stride: 2,
        channels: 1,
        alpha: Alpha::Ignored,
        scale: (1.0, 1.0),
        spread: (0.0, 0.0),
    };
    let same = Axis::new(4, 0.0, 4.0, 4, 0.0);
    let planes = samples.resize(&same, &same);
    assert_eq!(planes[0][15], u16::from(data[36]) << FRACTION_BITS);
}

#[test]
fn transparency_lies_over_white() {
    let pixel = |alpha, rgba: [u8; 4]| {
        let samples = Samples {
            data: &rgba,
            width: 1,
            height: 1,
            row_stride: 4,
            pixel_stride: 4,
            channels: 3,
            alpha,
            scale: (1.0, 1.0),
            spread: (0.0, 0.0),
        };
        let one = Axis::new(1, 0.0, 1.0, 1, 0.0);
        let planes = samples.resize(&one, &one);
        planes
            .iter()
            .map(|plane| (plane[0] >> FRACTION_BITS) as u8)
            .collect::<Vec<u8>>()
    };
    assert_eq!(pixel(Alpha::Straight, [200, 100, 0, 51]), [244, 224, 204]);
    assert_eq!(
        pixel(Alpha::Premultiplied, [40, 20, 0, 51]),
        [244, 224, 204]
    );
    assert_eq!(pixel(Alpha::Ignored, [200, 100, 0, 51]), [200, 100, 0]);
    assert_eq!(pixel(Alpha::Straight, [200, 100, 0, 255]), [200, 100, 0]);
}
