//! Pixels as apps have them: a bitmap, a camera's frame. Borrowed, never copied at their full size.
//!
//! Sizes and strides are checked once, here, against the length of every buffer; behind it nothing is read
//! outside of them.

use super::decode::check_size;
use super::resize::{Alpha, Samples, spread};
use super::{Image, colour};
use crate::error::{Error, ErrorKind, Result};

/// The order of a packed pixel's bytes, 8 bits each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PixelFormat {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// Red, green, blue, alpha that the colours are not multiplied by (255: opaque).
    Rgba,
    /// Blue, green, red, alpha that the colours are not multiplied by.
    Bgra,
    /// Red, green, blue multiplied by the alpha that follows, as in Android's bitmaps.
    RgbaPremultiplied,
    /// Blue, green, red multiplied by the alpha that follows, as iOS draws.
    BgraPremultiplied,
    /// Grey levels.
    Grey,
}

impl PixelFormat {
    /// Bytes of a pixel.
    pub fn bytes(self) -> usize {
        match self {
            PixelFormat::Grey => 1,
            PixelFormat::Rgb | PixelFormat::Bgr => 3,
            _ => 4,
        }
    }
}

/// Which weights made luma and chroma of a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum YuvMatrix {
    /// ITU-R BT.601: JPEG, and Android's cameras.
    Bt601,
    /// ITU-R BT.709: HD video, and most of iOS' cameras.
    Bt709,
}

/// Which levels luma and chroma use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum YuvRange {
    /// 0 to 255, as in JPEG.
    Full,
    /// Luma 16 to 235, chroma 16 to 240, as in video.
    Video,
}

/// How a frame's colours are coded. Android's `YUV_420_888` is [`YuvColours::JPEG`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct YuvColours {
    /// The weights of the colours.
    pub matrix: YuvMatrix,
    /// The levels in use.
    pub range: YuvRange,
}

impl YuvColours {
    /// BT.601 in full range.
    pub const JPEG: YuvColours = YuvColours {
        matrix: YuvMatrix::Bt601,
        range: YuvRange::Full,
    };
}

/// One plane of a frame: a sample a pixel, `pixel_stride` bytes apart, rows `row_stride` bytes apart. The
/// last row may end with its last sample, as Android's buffers do.
#[derive(Clone, Copy)]
pub struct YuvPlane<'a> {
    /// The plane's bytes, from its first sample on.
    pub data: &'a [u8],
    /// Bytes from a row to the next.
    pub row_stride: usize,
    /// Bytes from a sample to the next: 1, or 2 where two planes are interleaved.
    pub pixel_stride: usize,
}

/// A picture in an app's memory, as it is stored there.
#[derive(Clone)]
pub struct Pixels<'a> {
    width: u32,
    height: u32,
    pub(super) planes: Vec<Samples<'a>>,
    pub(super) meaning: colour::Meaning,
}

impl<'a> Pixels<'a> {
    /// Packed pixels: `height` rows of `width` pixels of `format`, `row_stride` bytes apart, from the top.
    /// Transparent ones lie over white. The last row may end with its last pixel.
    ///
    /// # Errors
    /// `InvalidArgument`, naming the argument: a side is 0, `row_stride` is shorter than a row, `data` than
    /// the rows. `PhotoTooLarge` beyond [`super::MAX_PIXELS`] or [`super::MAX_SIDE_PX`].
    pub fn packed(
        format: PixelFormat,
        width: u32,
        height: u32,
        row_stride: usize,
        data: &'a [u8],
    ) -> Result<Pixels<'a>> {
        check_sides(width, height)?;
        let (channels, alpha, meaning) = match format {
            PixelFormat::Grey => (1, Alpha::Ignored, colour::Meaning::Grey),
            PixelFormat::Rgb => (3, Alpha::Ignored, colour::Meaning::Rgb),
            PixelFormat::Bgr => (3, Alpha::Ignored, colour::Meaning::Bgr),
            PixelFormat::Rgba => (3, Alpha::Straight, colour::Meaning::Rgb),
            PixelFormat::Bgra => (3, Alpha::Straight, colour::Meaning::Bgr),
            PixelFormat::RgbaPremultiplied => (3, Alpha::Premultiplied, colour::Meaning::Rgb),
            PixelFormat::BgraPremultiplied => (3, Alpha::Premultiplied, colour::Meaning::Bgr),
        };
        let plane = Samples {
            data,
            width: width as usize,
            height: height as usize,
            row_stride,
            pixel_stride: format.bytes(),
            channels,
            alpha,
            scale: (1.0, 1.0),
            spread: (0.0, 0.0),
        };
        check_plane(&plane, format.bytes(), "")?;
        Ok(Pixels {
            width,
            height,
            planes: vec![plane],
            meaning,
        })
    }

    /// A frame in 4:2:0: luma of `width` x `height`, chroma of half of both, each with strides of its own.
    /// I420, NV12, NV21 and Android's `YUV_420_888` with whatever strides its planes state.
    ///
    /// # Errors
    /// `InvalidArgument`, naming the argument: a side is 0 or odd, a stride is shorter than what it steps over,
    /// a buffer than its rows. `PhotoTooLarge` beyond [`super::MAX_PIXELS`] or [`super::MAX_SIDE_PX`].
    pub fn yuv420(
        width: u32,
        height: u32,
        y: YuvPlane<'a>,
        u: YuvPlane<'a>,
        v: YuvPlane<'a>,
        colours: YuvColours,
    ) -> Result<Pixels<'a>> {
        check_sides(width, height)?;
        for (name, side) in [("width", width), ("height", height)] {
            if side % 2 != 0 {
                return Err(invalid(format!(
                    "{name} is {side}; both sides of a 4:2:0 frame are even"
                )));
            }
        }
        let mut planes = Vec::with_capacity(3);
        for (name, plane, part) in [("y", y, 1), ("u", u, 2), ("v", v, 2)] {
            if plane.pixel_stride == 0 {
                return Err(invalid(format!("{name}: pixel_stride is 0")));
            }
            let samples = Samples {
                data: plane.data,
                width: (width / part) as usize,
                height: (height / part) as usize,
                row_stride: plane.row_stride,
                pixel_stride: plane.pixel_stride,
                channels: 1,
                alpha: Alpha::Ignored,
                scale: (1.0 / f64::from(part), 1.0 / f64::from(part)),
                spread: (spread(f64::from(part), 1.0), spread(f64::from(part), 1.0)),
            };
            check_plane(&samples, 1, &format!("{name}: "))?;
            planes.push(samples);
        }
        Ok(Pixels {
            width,
            height,
            planes,
            meaning: colour::Meaning::Yuv(colours),
        })
    }

    /// NV12: luma, then chroma interleaved as U, V, both with rows `row_stride` bytes apart in `data`.
    ///
    /// # Errors
    /// As [`Pixels::yuv420`].
    pub fn nv12(
        width: u32,
        height: u32,
        row_stride: usize,
        data: &'a [u8],
        colours: YuvColours,
    ) -> Result<Pixels<'a>> {
        let [y, u, v] = semi_planar(height, row_stride, data)?;
        Pixels::yuv420(width, height, y, u, v, colours)
    }

    /// NV21, Android's camera format: as NV12 with V before U.
    ///
    /// # Errors
    /// As [`Pixels::yuv420`].
    pub fn nv21(
        width: u32,
        height: u32,
        row_stride: usize,
        data: &'a [u8],
        colours: YuvColours,
    ) -> Result<Pixels<'a>> {
        let [y, v, u] = semi_planar(height, row_stride, data)?;
        Pixels::yuv420(width, height, y, u, v, colours)
    }

    /// I420: luma, U, V one after the other without gaps; chroma rows are half as long.
    ///
    /// # Errors
    /// As [`Pixels::yuv420`].
    pub fn i420(
        width: u32,
        height: u32,
        data: &'a [u8],
        colours: YuvColours,
    ) -> Result<Pixels<'a>> {
        let (row, half) = (width as usize, (width / 2) as usize);
        let chroma = half.saturating_mul((height / 2) as usize);
        let luma = row.saturating_mul(height as usize);
        let plane = |start: usize, row_stride| YuvPlane {
            data: data.get(start..).unwrap_or_default(),
            row_stride,
            pixel_stride: 1,
        };
        let v = luma.saturating_add(chroma);
        Pixels::yuv420(
            width,
            height,
            plane(0, row),
            plane(luma, half),
            plane(v, half),
            colours,
        )
    }

    /// Stored width, px.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Stored height, px.
    pub fn height(&self) -> u32 {
        self.height
    }
}

impl<'a> From<&'a Image> for Pixels<'a> {
    fn from(image: &'a Image) -> Pixels<'a> {
        // An image's sizes were checked when it was made.
        let plane = Samples {
            data: &image.pixels,
            width: image.width as usize,
            height: image.height as usize,
            row_stride: image.width as usize * 3,
            pixel_stride: 3,
            channels: 3,
            alpha: Alpha::Ignored,
            scale: (1.0, 1.0),
            spread: (0.0, 0.0),
        };
        Pixels {
            width: image.width,
            height: image.height,
            planes: vec![plane],
            meaning: colour::Meaning::Rgb,
        }
    }
}

impl std::fmt::Debug for Pixels<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pixels({}x{})", self.width, self.height)
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

fn check_sides(width: u32, height: u32) -> Result<()> {
    for (name, side) in [("width", width), ("height", height)] {
        if side == 0 {
            return Err(invalid(format!("{name} is 0")));
        }
    }
    check_size(width, height)
}

/// Luma and the two interleaved chroma planes of one buffer, in their order.
fn semi_planar(height: u32, row_stride: usize, data: &[u8]) -> Result<[YuvPlane<'_>; 3]> {
    let luma = row_stride.checked_mul(height as usize).ok_or_else(|| {
        invalid(format!(
            "row_stride {row_stride} times height {height} is beyond any buffer"
        ))
    })?;
    let plane = |start: usize, pixel_stride| YuvPlane {
        data: data.get(start..).unwrap_or_default(),
        row_stride,
        pixel_stride,
    };
    Ok([
        plane(0, 1),
        plane(luma, 2),
        plane(luma.saturating_add(1), 2),
    ])
}

/// Whether the strides step over what they should, and the rows lie in the buffer. `pixel_bytes`: what
/// is read of a pixel.
fn check_plane(plane: &Samples<'_>, pixel_bytes: usize, prefix: &str) -> Result<()> {
    let row = (plane.width.max(1) - 1)
        .checked_mul(plane.pixel_stride)
        .and_then(|bytes| bytes.checked_add(pixel_bytes));
    let too_large = || invalid(format!("{prefix}strides are beyond any buffer"));
    let row = row.ok_or_else(too_large)?;
    if plane.row_stride < row {
        return Err(invalid(format!(
            "{prefix}row_stride is {} bytes; a row of {} pixels takes {row}",
            plane.row_stride, plane.width
        )));
    }
    let needed = (plane.height.max(1) - 1)
        .checked_mul(plane.row_stride)
        .and_then(|bytes| bytes.checked_add(row));
    let needed = needed.ok_or_else(too_large)?;
    if plane.data.len() < needed {
        return Err(invalid(format!(
            "{prefix}data holds {} bytes; {} rows that are {} bytes apart take {needed}",
            plane.data.len(),
            plane.height,
            plane.row_stride
        )));
    }
    Ok(())
}
