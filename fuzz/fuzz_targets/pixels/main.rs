//! Pixels as an app describes them, with numbers that nobody vouches for. Held to be true:
//!
//! - `Pixels` takes what its documentation says and nothing else, by arithmetic of this file's own;
//! - `Photo::fit` gives exactly the pixels that were asked for wherever sides and region can be meant, else
//!   `InvalidArgument` or `PhotoTooLarge`;
//! - the same picture described in another way gives the same bits: turned four times by a quarter, lying
//!   turned in memory, with bytes between its rows, red and blue exchanged, opaque with an alpha or without, grey as RGB,
//!   a frame as NV12, NV21, I420 or planes of any strides.

#![no_main]

mod input;
mod view;

use etalase::photo::{
    Fitted, MAX_PIXELS, MAX_SIDE_PX, Orientation, Photo, PixelFormat, Pixels, YuvColours,
    YuvMatrix, YuvPlane, YuvRange,
};
use etalase::{ErrorKind, Result};
use libfuzzer_sys::fuzz_target;

use input::{Input, Layout};

/// The most bytes that a buffer is filled up to, and pixels that are asked for: a run stays short.
const MOST: u128 = 1 << 16;

const FORMATS: [PixelFormat; 7] = [
    PixelFormat::Rgb,
    PixelFormat::Bgr,
    PixelFormat::Rgba,
    PixelFormat::Bgra,
    PixelFormat::RgbaPremultiplied,
    PixelFormat::BgraPremultiplied,
    PixelFormat::Grey,
];

fn colours(number: u8) -> YuvColours {
    YuvColours {
        matrix: [YuvMatrix::Bt601, YuvMatrix::Bt709][usize::from(number & 1)],
        range: [YuvRange::Full, YuvRange::Video][usize::from(number >> 1 & 1)],
    }
}

fuzz_target!(|input: Input<'_>| {
    let (width, height) = (input.width.get(), input.height.get());
    match input.layout {
        Layout::Packed { format, rows } => {
            let format = FORMATS[usize::from(format) % FORMATS.len()];
            let tight = (width as usize).saturating_mul(format.bytes());
            packed(&input, format, width, height, rows.get(tight));
        }
        Layout::SemiPlanar {
            is_vu,
            rows,
            colours: c,
        } => {
            let rows = rows.get(width as usize);
            let chroma = needed(width / 2, height / 2, rows, 2, 2);
            let data = input.buffer(u128::from(height) * rows as u128 + chroma);
            let luma = rows.saturating_mul(height as usize);
            let from = |at: usize| data.get(luma.saturating_add(at)..).unwrap_or_default();
            let (u, v) = if is_vu { (1, 0) } else { (0, 1) };
            let planes = [
                plane(&data, rows, 1),
                plane(from(u), rows, 2),
                plane(from(v), rows, 2),
            ];
            let given = match is_vu {
                true => Pixels::nv21(width, height, rows, &data, colours(c)),
                false => Pixels::nv12(width, height, rows, &data, colours(c)),
            };
            frame(&input, given, width, height, planes, colours(c));
        }
        Layout::I420 { colours: c } => {
            let data = input.buffer(u128::from(width) * u128::from(height) * 3 / 2);
            let (w, h) = (width as usize, height as usize);
            let at = |start: usize| data.get(start..).unwrap_or_default();
            let chroma = (w / 2).saturating_mul(h / 2);
            let luma = w.saturating_mul(h);
            let planes = [
                plane(at(0), w, 1),
                plane(at(luma), w / 2, 1),
                plane(at(luma.saturating_add(chroma)), w / 2, 1),
            ];
            frame(
                &input,
                Pixels::i420(width, height, &data, colours(c)),
                width,
                height,
                planes,
                colours(c),
            );
        }
        Layout::Planes {
            y,
            u,
            v,
            colours: c,
        } => {
            let needed = [(y, 1), (u, 2), (v, 2)].map(|(plane, part)| {
                let (pixels, rows) = plane.strides((width / part) as usize);
                u128::from(plane.start) + needed(width / part, height / part, rows, pixels, 1)
            });
            let data = input.buffer(needed.into_iter().max().unwrap_or(0));
            let planes = [(y, 1), (u, 2), (v, 2)].map(|(described, part)| {
                let (pixels, rows) = described.strides((width / part) as usize);
                plane(
                    data.get(usize::from(described.start)..).unwrap_or_default(),
                    rows,
                    pixels,
                )
            });
            let [y, u, v] = planes;
            let given = Pixels::yuv420(width, height, y, u, v, colours(c));
            frame(&input, given, width, height, planes, colours(c));
        }
    }
});

/// Whether a photo may have these sides.
fn sides_are_fine(width: u32, height: u32) -> bool {
    let pixels = u64::from(width) * u64::from(height);
    0 < pixels && pixels <= MAX_PIXELS && width.max(height) <= MAX_SIDE_PX
}

/// How many bytes rows take, the last one ending with its last pixel.
fn needed(width: u32, height: u32, rows: usize, pixels: usize, pixel_bytes: u128) -> u128 {
    let before = |count: u32, stride: usize| u128::from(count.max(1) - 1) * stride as u128;
    before(height, rows) + before(width, pixels) + pixel_bytes
}

/// Whether rows of pixels lie in `length` bytes and don't overlap.
fn plane_is_fine(
    width: u32,
    height: u32,
    rows: usize,
    pixels: usize,
    pixel_bytes: u128,
    length: usize,
) -> bool {
    let row = needed(width, 1, rows, pixels, pixel_bytes);
    rows as u128 >= row && needed(width, height, rows, pixels, pixel_bytes) <= length as u128
}

/// The description is taken exactly where it is `fine`.
fn taken<'a>(given: Result<Pixels<'a>>, fine: bool) -> Option<Pixels<'a>> {
    match given {
        Ok(pixels) => {
            assert!(fine, "{pixels:?} should be refused");
            Some(pixels)
        }
        Err(error) => {
            assert!(!fine, "{error:?}");
            refused(error.kind());
            None
        }
    }
}

fn refused(kind: ErrorKind) {
    let documented = [ErrorKind::InvalidArgument, ErrorKind::PhotoTooLarge];
    assert!(documented.contains(&kind), "{kind}");
}

fn packed(input: &Input<'_>, format: PixelFormat, width: u32, height: u32, rows: usize) {
    let bytes = format.bytes();
    let data = input.buffer(needed(width, height, rows, bytes, bytes as u128));
    let fine = sides_are_fine(width, height)
        && plane_is_fine(width, height, rows, bytes, bytes as u128, data.len());
    let given = Pixels::packed(format, width, height, rows, &data);
    let Some(pixels) = taken(given, fine) else {
        return;
    };
    let Some(wanted) = input.view.checked(pixels.into(), (width, height)) else {
        return;
    };
    let (w, h) = (width as usize, height as usize);
    let at = |x: usize, y: usize| &data[y * rows + x * bytes..][..bytes];
    let every: Vec<(usize, usize)> = (0..h).flat_map(|y| (0..w).map(move |x| (x, y))).collect();
    let same = |format: PixelFormat,
                width: usize,
                height: usize,
                rows: usize,
                data: &[u8],
                undone: Orientation,
                what| {
        let pixels = Pixels::packed(format, width as u32, height as u32, rows, data).expect(what);
        let view = input.view.orientation();
        let photo = input
            .view
            .region_of(Photo::from(pixels))
            .turned(undone.then(view));
        let fitted = input.view.fit(&photo).expect(what);
        assert!(
            fitted == wanted,
            "{what} by {undone:?}: {:?}",
            differences(&fitted, &wanted)
        );
    };

    let tight: Vec<u8> = every.iter().flat_map(|&(x, y)| at(x, y)).copied().collect();
    same(
        format,
        w,
        h,
        w * bytes,
        &tight,
        Orientation::UPRIGHT,
        "without bytes between its rows",
    );
    // Lying turned to the left or to the right, upside down, mirrored.
    for (quarters, mirrored) in [(1, false), (2, false), (3, false), (0, true), (1, true)] {
        let undone = Orientation::turned(quarters, mirrored);
        let (across, down) = if quarters % 2 == 1 { (h, w) } else { (w, h) };
        let mut lying = vec![0; tight.len()];
        for &(x, y) in &every {
            let upright_x = if mirrored { w - 1 - x } else { x };
            // Where the pixel lies that a clockwise turn brings to (upright_x, y).
            let (column, row) = match quarters {
                1 => (y, w - 1 - upright_x),
                2 => (w - 1 - upright_x, h - 1 - y),
                3 => (h - 1 - y, upright_x),
                _ => (upright_x, y),
            };
            lying[(row * across + column) * bytes..][..bytes].copy_from_slice(at(x, y));
        }
        same(
            format,
            across,
            down,
            across * bytes,
            &lying,
            undone,
            "lying turned",
        );
    }
    let exchanged = match format {
        PixelFormat::Rgb => PixelFormat::Bgr,
        PixelFormat::Bgr => PixelFormat::Rgb,
        PixelFormat::Rgba => PixelFormat::Bgra,
        PixelFormat::Bgra => PixelFormat::Rgba,
        PixelFormat::RgbaPremultiplied => PixelFormat::BgraPremultiplied,
        PixelFormat::BgraPremultiplied => PixelFormat::RgbaPremultiplied,
        _ => {
            let rgb: Vec<u8> = tight.iter().flat_map(|&grey| [grey; 3]).collect();
            same(
                PixelFormat::Rgb,
                w,
                h,
                w * 3,
                &rgb,
                Orientation::UPRIGHT,
                "grey as RGB",
            );
            return;
        }
    };
    let mut swapped = tight.clone();
    swapped
        .chunks_exact_mut(bytes)
        .for_each(|pixel| pixel.swap(0, 2));
    same(
        exchanged,
        w,
        h,
        w * bytes,
        &swapped,
        Orientation::UPRIGHT,
        "red and blue exchanged",
    );
    let with_alpha = match format {
        PixelFormat::Rgb => [PixelFormat::Rgba, PixelFormat::RgbaPremultiplied],
        PixelFormat::Bgr => [PixelFormat::Bgra, PixelFormat::BgraPremultiplied],
        _ => return,
    };
    let opaque: Vec<u8> = tight
        .chunks_exact(3)
        .flat_map(|p| [p[0], p[1], p[2], 255])
        .collect();
    for format in with_alpha {
        same(
            format,
            w,
            h,
            w * 4,
            &opaque,
            Orientation::UPRIGHT,
            "opaque, with an alpha",
        );
    }
}

fn plane(data: &[u8], row_stride: usize, pixel_stride: usize) -> YuvPlane<'_> {
    YuvPlane {
        data,
        row_stride,
        pixel_stride,
    }
}

/// `given` was made of `planes`, by the documentation of its layout.
fn frame(
    input: &Input<'_>,
    given: Result<Pixels<'_>>,
    width: u32,
    height: u32,
    planes: [YuvPlane<'_>; 3],
    colours: YuvColours,
) {
    let fine = sides_are_fine(width, height)
        && width % 2 == 0
        && height % 2 == 0
        && planes.iter().zip([1, 2, 2]).all(|(plane, part)| {
            let (rows, pixels) = (plane.row_stride, plane.pixel_stride);
            pixels > 0
                && plane_is_fine(
                    width / part,
                    height / part,
                    rows,
                    pixels,
                    1,
                    plane.data.len(),
                )
        });
    let Some(pixels) = taken(given, fine) else {
        return;
    };
    let Some(wanted) = input.view.checked(pixels.into(), (width, height)) else {
        return;
    };
    let (w, h) = (width as usize, height as usize);
    let samples = |plane: YuvPlane<'_>, part: usize| -> Vec<u8> {
        let rows = (0..h / part).map(|y| y * plane.row_stride);
        rows.flat_map(|row| (0..w / part).map(move |x| plane.data[row + x * plane.pixel_stride]))
            .collect()
    };
    let [y, u, v] = planes;
    let [y, u, v] = [samples(y, 1), samples(u, 2), samples(v, 2)];
    let woven =
        |a: &[u8], b: &[u8]| -> Vec<u8> { a.iter().zip(b).flat_map(|(&a, &b)| [a, b]).collect() };
    let i420 = [&y[..], &u, &v].concat();
    let nv12 = [&y[..], &woven(&u, &v)].concat();
    let nv21 = [&y[..], &woven(&v, &u)].concat();
    let others = [
        Pixels::i420(width, height, &i420, colours),
        Pixels::nv12(width, height, w, &nv12, colours),
        Pixels::nv21(width, height, w, &nv21, colours),
    ];
    for (other, what) in others.into_iter().zip(["I420", "NV12", "NV21"]) {
        let photo = input.view.of(other.expect(what).into());
        assert!(
            input.view.fit(&photo).expect(what) == wanted,
            "another picture as {what}"
        );
    }
}

/// Where two pictures differ: byte, here, there.
fn differences(a: &Fitted, b: &Fitted) -> Vec<(usize, u8, u8)> {
    let pairs = a.image.pixels().iter().zip(b.image.pixels());
    let differing = pairs.enumerate().filter(|(_, (a, b))| a != b);
    differing.map(|(at, (&a, &b))| (at, a, b)).collect()
}
