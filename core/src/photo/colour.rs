//! What planes of samples mean, and their way to sRGB.
//!
//! All of it in integers, so that colours have the same bits everywhere. Luma and chroma come with [`FRACTION_BITS`]
//! bits behind the point and are rounded once, as RGB.
//! References: ITU-R BT.601-7, BT.709-6; ITU-T T.871 (JPEG's full range); IEC 61966-2-1 (sRGB);
//! SMPTE EG 432-1 (Display P3's primaries).

use super::pixels::{YuvColours, YuvMatrix, YuvRange};
use super::resize::FRACTION_BITS;

/// What a picture's planes are, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Grey,
    Rgb,
    Bgr,
    Yuv(YuvColours),
    /// Ink as its amount, or, inverted, as 255 minus it.
    Cmyk {
        inverted: bool,
    },
    /// Cyan, magenta and yellow coded as JPEG codes RGB.
    Ycck {
        inverted: bool,
    },
}

/// RGB pixels of planes that a resizing gave.
pub(super) fn to_rgb(planes: &[Vec<u16>], meaning: Meaning) -> Vec<u8> {
    let pick = |order: [usize; 3]| -> Vec<u8> {
        let [a, b, c] = order.map(|plane| planes.get(plane).map_or(&[][..], Vec::as_slice));
        let pixels = a.iter().zip(b).zip(c);
        pixels
            .flat_map(|((&a, &b), &c)| [round(a), round(b), round(c)])
            .collect()
    };
    match meaning {
        Meaning::Grey => pick([0, 0, 0]),
        Meaning::Rgb => pick([0, 1, 2]),
        Meaning::Bgr => pick([2, 1, 0]),
        Meaning::Yuv(colours) => yuv(planes, &Coefficients::new(colours)),
        Meaning::Cmyk { inverted } => over_black(pick([0, 1, 2]), planes, inverted),
        Meaning::Ycck { inverted } => {
            let colours = yuv(planes, &Coefficients::new(YuvColours::JPEG));
            over_black(colours, planes, inverted)
        }
    }
}

/// A level without its fraction.
fn round(level: u16) -> u8 {
    ((u32::from(level) + (1 << (FRACTION_BITS - 1))) >> FRACTION_BITS).min(255) as u8
}

/// Bits behind the point of [`Coefficients`].
const SCALE_BITS: u32 = 13;

/// `red = luma · (y − black) + red_v · (v − 128)` and so on, times 2^13.
struct Coefficients {
    black: i32,
    luma: i32,
    red_v: i32,
    green_u: i32,
    green_v: i32,
    blue_u: i32,
}

impl Coefficients {
    fn new(colours: YuvColours) -> Coefficients {
        // The weights of red and blue in luma.
        let (red, blue) = match colours.matrix {
            YuvMatrix::Bt601 => (0.299, 0.114),
            YuvMatrix::Bt709 => (0.2126, 0.0722),
        };
        let (black, luma, chroma) = match colours.range {
            YuvRange::Full => (0, 1.0, 1.0),
            YuvRange::Video => (16, 255.0 / 219.0, 255.0 / 224.0),
        };
        let green = 1.0 - red - blue;
        let scaled = |value: f64| (value * f64::from(1 << SCALE_BITS)).round() as i32;
        Coefficients {
            black: black << FRACTION_BITS,
            luma: scaled(luma),
            red_v: scaled(2.0 * (1.0 - red) * chroma),
            green_u: scaled(-2.0 * (1.0 - blue) * blue / green * chroma),
            green_v: scaled(-2.0 * (1.0 - red) * red / green * chroma),
            blue_u: scaled(2.0 * (1.0 - blue) * chroma),
        }
    }
}

fn yuv(planes: &[Vec<u16>], by: &Coefficients) -> Vec<u8> {
    let [y, u, v, ..] = planes else {
        return Vec::new();
    };
    // Below 2^30 in all: 16 bits of level times 2.2 · 2^13, thrice.
    let level = |sum: i32| {
        const SHIFT: u32 = FRACTION_BITS + SCALE_BITS;
        ((sum + (1 << (SHIFT - 1))) >> SHIFT).clamp(0, 255) as u8
    };
    let mut rgb = vec![0; y.len() * 3];
    let (pixels, _) = rgb.as_chunks_mut::<3>();
    for (pixel, ((&y, &u), &v)) in pixels.iter_mut().zip(y.iter().zip(u).zip(v)) {
        let luma = (i32::from(y) - by.black) * by.luma;
        let (u, v) = (
            i32::from(u) - (128 << FRACTION_BITS),
            i32::from(v) - (128 << FRACTION_BITS),
        );
        *pixel = [
            level(luma + v * by.red_v),
            level(luma + u * by.green_u + v * by.green_v),
            level(luma + u * by.blue_u),
        ];
    }
    rgb
}

/// Colours (or inks) under the fourth plane's black.
fn over_black(mut colours: Vec<u8>, planes: &[Vec<u16>], inverted: bool) -> Vec<u8> {
    let (pixels, _) = colours.as_chunks_mut::<3>();
    let light = |level: u8| u32::from(if inverted { level } else { 255 - level });
    for (pixel, &black) in pixels.iter_mut().zip(planes.get(3).into_iter().flatten()) {
        let black = light(round(black));
        *pixel = pixel.map(|ink| ((light(ink) * black + 127) / 255) as u8);
    }
    colours
}

/// Display P3 to sRGB, in place: to light, by a matrix, and back. What sRGB cannot show is cut.
pub(super) fn display_p3_to_srgb(rgb: &mut [u8]) {
    /// From P3's light to sRGB's, both for D65, times 2^14; rows sum to 2^14, so that greys stay.
    const MATRIX: [[i32; 3]; 3] = [
        [20_070, -3_686, 0],
        [-689, 17_073, 0],
        [-322, -1_288, 17_994],
    ];
    let curve = Curve::new();
    let (pixels, _) = rgb.as_chunks_mut::<3>();
    for pixel in pixels {
        let light = pixel.map(|level| i64::from(curve.light[usize::from(level)]));
        *pixel = MATRIX.map(|row| {
            let sum: i64 = row
                .iter()
                .zip(light)
                .map(|(&share, light)| i64::from(share) * light)
                .sum();
            curve.level((sum >> 14).clamp(0, i64::from(u16::MAX)) as u16)
        });
    }
}

/// sRGB's curve, which Display P3 shares: by level its light, 0 to 65535.
struct Curve {
    light: [u16; 256],
    /// By light / 256 the level of the darkest light there, where a search begins.
    first: [u8; 256],
}

impl Curve {
    fn new() -> Curve {
        let light: [u16; 256] =
            std::array::from_fn(|level| (curve(level as f64 / 255.0) * 65_535.0).round() as u16);
        let mut first = [0; 256];
        for (part, level) in first.iter_mut().enumerate() {
            let darkest = (part << 8) as u16;
            *level = light
                .partition_point(|&light| light < darkest)
                .saturating_sub(1)
                .min(255) as u8;
        }
        Curve { light, first }
    }

    /// The level whose light is nearest.
    fn level(&self, light: u16) -> u8 {
        let mut level = self.first[usize::from(light >> 8)];
        let distance = |level: u8| self.light[usize::from(level)].abs_diff(light);
        while level < 255 && distance(level + 1) < distance(level) {
            level += 1;
        }
        level
    }
}

/// Light of an sRGB value, both 0 to 1. The power of 2.4 is a square times the fifth root of a square, by
/// Newton: libraries' powers differ in the last bits.
fn curve(value: f64) -> f64 {
    if value <= 0.04045 {
        return value / 12.92;
    }
    let x = (value + 0.055) / 1.055;
    let square = x * x;
    let mut root = 1.0_f64;
    for _ in 0..30 {
        let fourth = root * root * root * root;
        root += (square / fourth - root) / 5.0;
    }
    square * root
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(levels: &[u8]) -> Vec<Vec<u16>> {
        levels
            .iter()
            .map(|&level| vec![u16::from(level) << FRACTION_BITS])
            .collect()
    }

    fn yuv_of(levels: [u8; 3], matrix: YuvMatrix, range: YuvRange) -> Vec<u8> {
        to_rgb(&one(&levels), Meaning::Yuv(YuvColours { matrix, range }))
    }

    #[test]
    fn colours_by_the_standards() {
        // Red, green, blue, white, black, coded by hand from the standards' equations.
        let cases = [
            (
                YuvMatrix::Bt601,
                YuvRange::Full,
                [[76, 85, 255], [150, 44, 21], [29, 255, 107]],
            ),
            (
                YuvMatrix::Bt601,
                YuvRange::Video,
                [[81, 90, 240], [145, 54, 34], [41, 240, 110]],
            ),
            (
                YuvMatrix::Bt709,
                YuvRange::Full,
                [[54, 99, 255], [182, 30, 12], [18, 255, 116]],
            ),
            (
                YuvMatrix::Bt709,
                YuvRange::Video,
                [[63, 102, 240], [173, 42, 26], [32, 240, 118]],
            ),
        ];
        for (matrix, range, primaries) in cases {
            for (channel, coded) in primaries.into_iter().enumerate() {
                let rgb = yuv_of(coded, matrix, range);
                for (at, &level) in rgb.iter().enumerate() {
                    let wanted = if at == channel { 255 } else { 0 };
                    assert!(
                        level.abs_diff(wanted) <= 2,
                        "{matrix:?} {range:?} {coded:?}: {rgb:?}"
                    );
                }
            }
            let (black, white) = if range == YuvRange::Full {
                (0, 255)
            } else {
                (16, 235)
            };
            assert_eq!(yuv_of([black, 128, 128], matrix, range), [0; 3]);
            assert_eq!(yuv_of([white, 128, 128], matrix, range), [255; 3]);
        }
    }

    #[test]
    fn inks() {
        let cmyk = |levels: [u8; 4], inverted| to_rgb(&one(&levels), Meaning::Cmyk { inverted });
        assert_eq!(cmyk([0, 0, 0, 0], false), [255; 3]);
        assert_eq!(cmyk([255, 0, 0, 0], false), [0, 255, 255]);
        assert_eq!(cmyk([255, 255, 255, 51], true), [51; 3]);
        assert_eq!(cmyk([0, 102, 255, 204], true), [0, 82, 204]);
    }

    #[test]
    fn the_curve_is_srgb_s_and_its_own_inverse() {
        let own = Curve::new();
        for level in 0..=255_u8 {
            let x = f64::from(level) / 255.0;
            let wanted = if x <= 0.04045 {
                x / 12.92
            } else {
                ((x + 0.055) / 1.055).powf(2.4)
            };
            assert!((curve(x) - wanted).abs() < 1e-12);
            assert_eq!(own.level(own.light[usize::from(level)]), level);
        }
    }

    #[test]
    fn display_p3() {
        // By Pillow's LittleCMS within two levels: grey stays, red leaves sRGB, a skin tone gets warmer.
        for (p3, srgb) in [
            ([128, 128, 128], [128, 128, 128]),
            ([255, 0, 0], [255, 0, 0]),
            ([200, 150, 120], [207, 149, 116]),
        ] {
            let mut rgb = p3;
            display_p3_to_srgb(&mut rgb);
            let off = rgb.iter().zip(srgb).map(|(a, b)| a.abs_diff(b)).max();
            assert!(off <= Some(2), "{p3:?} is {rgb:?}, wanted {srgb:?}");
        }
    }
}
