//! Pixels of every format, turned, and regions of them; and what cannot be meant.

use etalase::photo::{
    Orientation, Photo, PixelFormat, Pixels, Region, YuvColours, YuvMatrix, YuvPlane, YuvRange,
};
use etalase::{ErrorKind, Fit, Image};
use image::RgbImage;

use crate::support::photos::{Format, encode, laid_down, quarters};

/// A picture without symmetry, smooth enough for chroma of half its size.
fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = (
            f64::from(x) / f64::from(width),
            f64::from(y) / f64::from(height),
        );
        let wave = |a: f64, b: f64, c: f64| ((a * x + b * y + c).sin() * 90.0 + 128.0) as u8;
        image::Rgb([
            wave(3.0, 1.0, 0.0),
            wave(1.0, 5.0, 1.0),
            wave(-4.0, 2.0, 2.0),
        ])
    })
}

fn fitted(photo: &Photo<'_>) -> Image {
    photo
        .fit(24, 24, Fit::Letterbox, [9; 3])
        .expect("fits")
        .image
}

fn reference(picture: &RgbImage) -> Image {
    let data = picture.as_raw();
    let pixels = Pixels::packed(
        PixelFormat::Rgb,
        picture.width(),
        picture.height(),
        picture.width() as usize * 3,
        data,
    );
    fitted(&pixels.expect("pixels").into())
}

fn worst(a: &Image, b: &Image) -> u8 {
    let pairs = a.pixels().iter().zip(b.pixels());
    pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
}

/// Rows of `pixel`'s bytes with `gap` bytes of rubbish behind each but the last.
fn packed<const N: usize>(
    picture: &RgbImage,
    gap: usize,
    pixel: impl Fn([u8; 3]) -> [u8; N],
) -> Vec<u8> {
    let mut data = Vec::new();
    for row in picture.rows() {
        if !data.is_empty() {
            data.extend(std::iter::repeat_n(0xA5, gap));
        }
        data.extend(row.flat_map(|rgb| pixel(rgb.0)));
    }
    data
}

#[test]
fn every_packed_format_is_the_same_picture() {
    let picture = picture(62, 47);
    let wanted = reference(&picture);
    let check = |format: PixelFormat, gap: usize, data: &[u8]| {
        let row_stride = 62 * format.bytes() + gap;
        let pixels = Pixels::packed(format, 62, 47, row_stride, data).expect("pixels");
        assert_eq!((pixels.width(), pixels.height()), (62, 47));
        let answer = fitted(&pixels.into());
        assert!(answer == wanted, "{format:?} with {gap} bytes between rows");
    };
    for gap in [0, 1, 40] {
        check(PixelFormat::Rgb, gap, &packed(&picture, gap, |rgb| rgb));
        check(
            PixelFormat::Bgr,
            gap,
            &packed(&picture, gap, |[r, g, b]| [b, g, r]),
        );
        for format in [PixelFormat::Rgba, PixelFormat::RgbaPremultiplied] {
            check(
                format,
                gap,
                &packed(&picture, gap, |[r, g, b]| [r, g, b, 255]),
            );
        }
        for format in [PixelFormat::Bgra, PixelFormat::BgraPremultiplied] {
            check(
                format,
                gap,
                &packed(&picture, gap, |[r, g, b]| [b, g, r, 255]),
            );
        }
    }
    let grey = packed(&picture, 3, |[r, ..]| [r]);
    let pixels = Pixels::packed(PixelFormat::Grey, 62, 47, 65, &grey).expect("pixels");
    let red = RgbImage::from_fn(62, 47, |x, y| image::Rgb([picture.get_pixel(x, y).0[0]; 3]));
    assert!(fitted(&pixels.into()) == reference(&red));
}

#[test]
fn transparency_lies_over_white_row_by_row() {
    let picture = picture(40, 40);
    // The lower half fades out.
    let alpha = |y: u32| {
        if y < 20 {
            255
        } else {
            (255 - 6 * (y - 20)) as u8
        }
    };
    let over = |level: u8, y: u32| {
        let alpha = u32::from(alpha(y));
        ((u32::from(level) * alpha + 127) / 255 + 255 - alpha).min(255) as u8
    };
    let white = RgbImage::from_fn(40, 40, |x, y| {
        image::Rgb(picture.get_pixel(x, y).0.map(|level| over(level, y)))
    });
    let data: Vec<u8> = picture
        .enumerate_pixels()
        .flat_map(|(_, y, rgb)| [rgb.0[0], rgb.0[1], rgb.0[2], alpha(y)])
        .collect();
    let pixels = Pixels::packed(PixelFormat::Rgba, 40, 40, 160, &data).expect("pixels");
    assert!(worst(&fitted(&pixels.into()), &reference(&white)) <= 1);
    let premultiplied: Vec<u8> = picture
        .enumerate_pixels()
        .flat_map(|(_, y, rgb)| {
            let [r, g, b] = rgb
                .0
                .map(|level| ((u32::from(level) * u32::from(alpha(y)) + 127) / 255) as u8);
            [r, g, b, alpha(y)]
        })
        .collect();
    let pixels = Pixels::packed(PixelFormat::RgbaPremultiplied, 40, 40, 160, &premultiplied)
        .expect("pixels");
    assert!(worst(&fitted(&pixels.into()), &reference(&white)) <= 1);
}

/// Luma and chroma of a picture of even sides, from the standards' equations.
fn yuv(picture: &RgbImage, colours: YuvColours) -> [Vec<u8>; 3] {
    let (kr, kb) = match colours.matrix {
        YuvMatrix::Bt601 => (0.299, 0.114),
        YuvMatrix::Bt709 => (0.2126, 0.0722),
    };
    let coded = |[r, g, b]: [f64; 3]| {
        let y = kr * r + (1.0 - kr - kb) * g + kb * b;
        let (u, v) = ((b - y) / (2.0 - 2.0 * kb), (r - y) / (2.0 - 2.0 * kr));
        match colours.range {
            YuvRange::Full => [y, u + 128.0, v + 128.0],
            YuvRange::Video => [
                y * 219.0 / 255.0 + 16.0,
                u * 224.0 / 255.0 + 128.0,
                v * 224.0 / 255.0 + 128.0,
            ],
        }
    };
    let at = |x, y| picture.get_pixel(x, y).0.map(f64::from);
    let luma = (0..picture.height()).flat_map(|y| (0..picture.width()).map(move |x| (x, y)));
    let luma = luma
        .map(|(x, y)| coded(at(x, y))[0].round() as u8)
        .collect();
    let chroma = |channel: usize| {
        let cells = (0..picture.height() / 2)
            .flat_map(|y| (0..picture.width() / 2).map(move |x| (2 * x, 2 * y)));
        let mean = |(x, y)| {
            let four = [at(x, y), at(x + 1, y), at(x, y + 1), at(x + 1, y + 1)];
            (four.map(|rgb| coded(rgb)[channel]).iter().sum::<f64>() / 4.0).round() as u8
        };
        cells.map(mean).collect()
    };
    [luma, chroma(1), chroma(2)]
}

#[test]
fn every_frame_format_is_the_same_picture() {
    let picture = picture(64, 48);
    let wanted = reference(&picture);
    for matrix in [YuvMatrix::Bt601, YuvMatrix::Bt709] {
        for range in [YuvRange::Full, YuvRange::Video] {
            let colours = YuvColours { matrix, range };
            let [y, u, v] = yuv(&picture, colours);
            let frame: Vec<u8> = [&y[..], &u, &v].concat();
            let i420 = fitted(
                &Pixels::i420(64, 48, &frame, colours)
                    .expect("a frame")
                    .into(),
            );
            let off = worst(&i420, &wanted);
            assert!(off <= 3, "{colours:?}: {off}");

            // The other layouts hold the same samples, so they give the same bits.
            let rows = |plane: &[u8], width: usize| {
                let rows = plane.chunks(width).map(|row| [row, &[7; 10][..]].concat());
                rows.collect::<Vec<_>>().concat()
            };
            let woven = |a: &[u8], b: &[u8]| {
                a.iter()
                    .zip(b)
                    .flat_map(|(&a, &b)| [a, b])
                    .collect::<Vec<u8>>()
            };
            let nv12 = [rows(&y, 64), rows(&woven(&u, &v), 64)].concat();
            let nv21 = [rows(&y, 64), rows(&woven(&v, &u), 64)].concat();
            assert!(
                fitted(
                    &Pixels::nv12(64, 48, 74, &nv12, colours)
                        .expect("a frame")
                        .into()
                ) == i420
            );
            assert!(
                fitted(
                    &Pixels::nv21(64, 48, 74, &nv21, colours)
                        .expect("a frame")
                        .into()
                ) == i420
            );

            // Android: planes that overlap, the last row ending with its last sample.
            let (luma, chroma) = (rows(&y, 64), rows(&woven(&u, &v), 64));
            let plane = |data, pixel_stride| YuvPlane {
                data,
                row_stride: 74,
                pixel_stride,
            };
            let end = 23 * 74 + 63;
            let planes = (
                plane(&luma[..47 * 74 + 64], 1),
                plane(&chroma[..end], 2),
                plane(&chroma[1..=end], 2),
            );
            let android =
                Pixels::yuv420(64, 48, planes.0, planes.1, planes.2, colours).expect("a frame");
            assert!(fitted(&android.into()) == i420);
        }
    }
}

#[test]
fn turned_pixels_are_the_upright_photo_bit_by_bit() {
    let upright = image::DynamicImage::ImageRgb8(picture(57, 38));
    let wanted = reference(&upright.to_rgb8());
    let check = |stored: &RgbImage, orientation: Orientation| {
        let pixels = Pixels::packed(
            PixelFormat::Rgb,
            stored.width(),
            stored.height(),
            stored.width() as usize * 3,
            stored.as_raw(),
        );
        let photo = Photo::from(pixels.expect("pixels")).turned(orientation);
        assert_eq!(photo.size().expect("a size"), (57, 38));
        assert!(fitted(&photo) == wanted, "{orientation:?}");
    };
    for number in 1..=8 {
        let stored = laid_down(&upright, number).to_rgb8();
        check(
            &stored,
            Orientation::from_exif(number).expect("one of eight"),
        );
    }
    check(
        &upright.rotate270().to_rgb8(),
        Orientation::turned(1, false),
    );
    check(
        &upright.rotate180().to_rgb8(),
        Orientation::turned(2, false),
    );
    check(&upright.rotate90().to_rgb8(), Orientation::turned(3, false));
    check(
        &upright.fliph().rotate270().to_rgb8(),
        Orientation::turned(1, true),
    );
    // What is left to do after EXIF.
    let bytes = encode(&laid_down(&upright.rotate90(), 6), Format::Png, Some(6));
    let photo = Photo::encoded(&bytes).turned(Orientation::turned(3, false));
    assert!(fitted(&photo) == wanted);
}

#[test]
fn a_photo_stored_on_its_side_has_the_measures_of_the_upright_one() {
    // Rubbish, its last row apart: no line of it is a border, and rows differ otherwise than columns do.
    let upright = RgbImage::from_fn(20, 9, |x, y| {
        image::Rgb([(x * 37 + y * 91 + x * y * 13 + y / 8 * 128) as u8; 3])
    });
    let measured = |stored: &RgbImage, orientation: Orientation| {
        let (width, height) = stored.dimensions();
        let data = stored.as_raw();
        let pixels = Pixels::packed(PixelFormat::Rgb, width, height, width as usize * 3, data);
        let photo = Photo::from(pixels.expect("pixels")).turned(orientation);
        let fitted = photo.fit(40, 40, Fit::Letterbox, [0; 3]);
        fitted.expect("fits").measures
    };
    let wanted = measured(&upright, Orientation::UPRIGHT);
    for number in 1..=8 {
        let stored = laid_down(&upright.clone().into(), number).to_rgb8();
        let orientation = Orientation::from_exif(number).expect("one of eight");
        assert_eq!(measured(&stored, orientation), wanted, "{number}");
    }
}

#[test]
fn a_region_is_what_was_cut_out_before() {
    let whole = picture(80, 60);
    let region = Region {
        x: 11,
        y: 7,
        width: 42,
        height: 31,
    };
    let cut = image::imageops::crop_imm(&whole, 11, 7, 42, 31).to_image();
    for number in 1..=8 {
        let stored = laid_down(&whole.clone().into(), number);
        let bytes = encode(&stored, Format::Png, Some(number));
        let answer = Photo::encoded(&bytes)
            .region(region)
            .fit(24, 24, Fit::CenterCrop, [0; 3])
            .expect("fits");
        assert_eq!(
            (answer.measures.width_px, answer.measures.height_px),
            (42, 31)
        );
        // Where the region ends, the filter sees what is beside it: the outermost results differ.
        let alone = Photo::from(&Image::from_rgb(42, 31, cut.as_raw().clone()).expect("an image"))
            .fit(24, 24, Fit::CenterCrop, [0; 3])
            .expect("fits");
        assert!(
            worst(&answer.image, &alone.image) <= 6,
            "{}",
            worst(&answer.image, &alone.image)
        );
    }
}

#[test]
fn what_cannot_be_meant_names_the_argument() {
    let data = vec![0; 1000];
    let packed = |width, height, stride, length| {
        Pixels::packed(PixelFormat::Rgba, width, height, stride, &data[..length]).map(drop)
    };
    assert!(packed(10, 10, 40, 400).is_ok());
    assert!(
        packed(10, 10, 50, 490).is_ok(),
        "the last row may end with its last pixel"
    );
    let plane = |length: usize, row_stride, pixel_stride| YuvPlane {
        data: &data[..length],
        row_stride,
        pixel_stride,
    };
    let good = || plane(100, 10, 1);
    let yuv =
        |width, height, y, u, v| Pixels::yuv420(width, height, y, u, v, YuvColours::JPEG).map(drop);
    assert!(yuv(10, 10, good(), good(), good()).is_ok());
    let beyond = usize::MAX / 2;
    let cases = [
        (packed(0, 10, 40, 400), "width"),
        (packed(10, 0, 40, 400), "height"),
        (packed(10, 10, 39, 400), "row_stride"),
        (packed(10, 10, 40, 399), "data"),
        (packed(10, 10, beyond, 400), "strides"),
        (yuv(9, 10, good(), good(), good()), "width"),
        (yuv(10, 9, good(), good(), good()), "height"),
        (yuv(10, 10, plane(99, 10, 1), good(), good()), "y: data"),
        (
            yuv(10, 10, good(), plane(100, 4, 1), good()),
            "u: row_stride",
        ),
        (
            yuv(10, 10, good(), plane(100, 8, 2), good()),
            "u: row_stride",
        ),
        (
            yuv(10, 10, good(), good(), plane(100, 10, 0)),
            "v: pixel_stride",
        ),
        (yuv(10, 10, good(), good(), plane(30, 10, 1)), "v: data"),
        (
            yuv(10, 10, good(), good(), plane(100, 10, beyond)),
            "v: strides",
        ),
        (
            Pixels::nv21(10, 10, 10, &data[..149], YuvColours::JPEG).map(drop),
            "data",
        ),
        (
            Pixels::nv21(10, 10, beyond, &data, YuvColours::JPEG).map(drop),
            "row_stride",
        ),
        (
            Pixels::i420(10, 10, &data[..149], YuvColours::JPEG).map(drop),
            "v: data",
        ),
    ];
    for (result, part) in cases {
        let error = result.expect_err(part);
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert!(
            error.to_string().contains(part),
            "{error} should name {part}"
        );
    }
    assert_eq!(
        packed(70_000, 1, 280_000, 400)
            .expect_err("too wide")
            .kind(),
        ErrorKind::PhotoTooLarge
    );

    let bytes = encode(&quarters(64, 32), Format::Png, None);
    for (x, y, width, height) in [
        (0, 0, 65, 32),
        (60, 0, 5, 5),
        (0, 0, 0, 5),
        (u32::MAX, 0, 2, 2),
        (0, 30, 4, 3),
    ] {
        let region = Region {
            x,
            y,
            width,
            height,
        };
        let error = Photo::encoded(&bytes)
            .region(region)
            .fit(8, 8, Fit::Stretch, [0; 3])
            .expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("region"), "{error}");
    }
}
