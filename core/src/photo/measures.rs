//! What can be said about a photo as a photo, from the pixels that the network sees: whether it is
//! dark, washed out, blurred, small, or framed by nothing.
//!
//! Numbers only; what counts as too dark is the bundle's policy. All sums are integers.

use serde::Serialize;

use super::Image;

/// Measures of a photo, taken where it is resized to the network's input (without the letterbox's fill).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Measures {
    /// Width of the region that was looked at, px of the upright photo.
    pub width_px: u32,
    /// Height of the region that was looked at, px of the upright photo.
    pub height_px: u32,
    /// Mean luma (BT.601), 0 black to 1 white.
    pub brightness: f32,
    /// Share of pixels with a luma of at most 8 of 255: shadows without detail.
    pub dark: f32,
    /// Share of pixels with a luma of at least 250: highlights without detail, or a white background.
    pub bright: f32,
    /// How fast levels change from a pixel to the next, against over two: 0 smooth (blurred), 1 clean edges,
    /// beyond it noise. Contrast does not count.
    pub sharpness: f32,
    /// Share of the photo in rows and columns along its borders that have one colour: bars of screenshots,
    /// margins of collages, plain backgrounds; 1 where all of it has.
    pub uniform_border: f32,
}

/// The most that levels of a row of one colour differ in luma.
const UNIFORM_LEVELS: u8 = 6;
const DARK: u8 = 8;
const BRIGHT: u8 = 250;

/// Measures `image`, a region of `width_px` x `height_px` brought to the network's size.
pub(super) fn measure(image: &Image, width_px: u32, height_px: u32) -> Measures {
    let width = image.width as usize;
    let (pixels, _) = image.pixels.as_chunks::<3>();
    let luma: Vec<u8> = pixels
        .iter()
        .map(|&[red, green, blue]| {
            // Weights sum to 256.
            let sum = 77 * u32::from(red) + 150 * u32::from(green) + 29 * u32::from(blue);
            ((sum + 128) >> 8) as u8
        })
        .collect();
    let count = luma.len().max(1) as f32;
    let sum: u64 = luma.iter().map(|&level| u64::from(level)).sum();
    let share = |chosen: usize| chosen as f32 / count;
    Measures {
        width_px,
        height_px,
        brightness: sum as f32 / count / 255.0,
        dark: share(luma.iter().filter(|&&level| level <= DARK).count()),
        bright: share(luma.iter().filter(|&&level| level >= BRIGHT).count()),
        sharpness: sharpness(&luma, width),
        uniform_border: uniform_border(&luma, width),
    }
}

/// A smooth picture changes twice as much over two pixels as over one, so its squares four times as
/// much; an edge as much, but over two places: 4 · 1/2 − 1 = 1.
fn sharpness(luma: &[u8], width: usize) -> f32 {
    let (mut near, mut far) = (0, 0);
    let rows = |from: usize| luma.chunks_exact(width).skip(from);
    for row in rows(0) {
        near += squares(row, row.get(1..).unwrap_or_default());
        far += squares(row, row.get(2..).unwrap_or_default());
    }
    for ((row, next), second) in rows(0).zip(rows(1)).zip(rows(2)) {
        near += squares(row, next);
        far += squares(row, second);
    }
    if far == 0 {
        return 0.0;
    }
    (4.0 * near as f32 / far as f32 - 1.0).max(0.0)
}

/// The squares of the differences of two rows, of 65535 px at most.
fn squares(a: &[u8], b: &[u8]) -> u64 {
    let squares = a
        .iter()
        .zip(b)
        .map(|(&a, &b)| u32::from(a.abs_diff(b)).pow(2));
    u64::from(squares.sum::<u32>())
}

fn uniform_border(luma: &[u8], width: usize) -> f32 {
    let height = luma.len() / width.max(1);
    let row = |y: usize| {
        luma.get(y * width..(y + 1) * width)
            .unwrap_or_default()
            .iter()
            .copied()
    };
    let top = (0..height).take_while(|&y| is_uniform(row(y))).count();
    if top == height {
        return 1.0;
    }
    let bottom = (0..height)
        .rev()
        .take_while(|&y| is_uniform(row(y)))
        .count();
    // Columns of what is left.
    let column =
        |x: usize| (top..height - bottom).filter_map(move |y| luma.get(y * width + x).copied());
    let left = (0..width).take_while(|&x| is_uniform(column(x))).count();
    let right = (left..width)
        .rev()
        .take_while(|&x| is_uniform(column(x)))
        .count();
    let inner = (height - top - bottom) * (width - left - right);
    1.0 - inner as f32 / luma.len() as f32
}

fn is_uniform(levels: impl Iterator<Item = u8>) -> bool {
    let (mut low, mut high) = (u8::MAX, 0);
    for level in levels {
        (low, high) = (low.min(level), high.max(level));
        if high - low > UNIFORM_LEVELS {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(width: u32, height: u32, level: impl Fn(u32, u32) -> u8) -> Measures {
        let cells = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let pixels = cells.flat_map(|(x, y)| [level(x, y); 3]).collect();
        let image = Image::from_rgb(width, height, pixels).expect("an image");
        measure(&image, 3 * width, 3 * height)
    }

    #[test]
    fn light_and_shade() {
        let quarters = drawn(40, 40, |x, y| match (x < 20, y < 20) {
            (true, true) => 0,
            (true, false) => 255,
            _ => 51,
        });
        assert_eq!((quarters.dark, quarters.bright), (0.25, 0.25));
        assert!((quarters.brightness - 0.35).abs() < 1e-6);
        assert_eq!((quarters.width_px, quarters.height_px), (120, 120));
    }

    #[test]
    fn blur_is_told_from_edges_whatever_the_contrast() {
        for contrast in [20.0, 200.0] {
            let edges = drawn(60, 60, |x, _| {
                if x / 10 % 2 == 0 {
                    20
                } else {
                    20 + contrast as u8
                }
            });
            assert!((edges.sharpness - 1.0).abs() < 0.05, "{}", edges.sharpness);
            let wave = |x: u32| (f64::from(x) / 4.0).sin() * 0.5 + 0.5;
            let smooth = drawn(60, 60, |x, _| (20.0 + wave(x) * contrast) as u8);
            assert!(smooth.sharpness < 0.15, "{}", smooth.sharpness);
        }
        assert_eq!(drawn(9, 9, |_, _| 7).sharpness, 0.0);
        assert_eq!(drawn(1, 1, |_, _| 7).sharpness, 0.0);
    }

    #[test]
    fn bars_are_found_on_every_side() {
        let inside = |x: u32, y: u32| (x * 37 + y * 91) as u8;
        let framed = drawn(20, 20, |x, y| {
            if (2..18).contains(&x) && (5..20).contains(&y) {
                inside(x, y)
            } else {
                255
            }
        });
        assert!((framed.uniform_border - (1.0 - 240.0 / 400.0)).abs() < 1e-6);
        assert_eq!(drawn(20, 20, inside).uniform_border, 0.0);
        assert_eq!(drawn(20, 20, |_, _| 3).uniform_border, 1.0);
    }
}
