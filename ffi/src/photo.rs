//! A photo as other languages describe it: the number of a format, up to three planes, EXIF's number of an orientation,
//! a region. What the numbers mean stands here once, for C and for the JVM.

use etalase::Result;
use etalase::photo::{
    Orientation, Photo, PixelFormat, Pixels, Region, YuvColours, YuvMatrix, YuvPlane, YuvRange,
};

use crate::invalid;

/// What the bytes of a photo are.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EtalaseFormat {
    /// An encoded file in `planes[0]`: JPEG, PNG, WebP, the first frame of a GIF, BMP.
    Encoded = 0,
    /// Packed pixels in `planes[0]`, 8 bits each: red, green, blue.
    Rgb = 1,
    /// Blue, green, red.
    Bgr = 2,
    /// Red, green, blue, alpha that the colours are not multiplied by; transparent pixels lie over white.
    Rgba = 3,
    /// Blue, green, red, alpha that the colours are not multiplied by.
    Bgra = 4,
    /// Red, green, blue multiplied by the alpha that follows (Android's bitmaps).
    RgbaPremultiplied = 5,
    /// Blue, green, red multiplied by the alpha that follows (what iOS draws).
    BgraPremultiplied = 6,
    /// Grey levels.
    Grey = 7,
    /// A frame in 4:2:0 in `planes[0]`: luma, then chroma interleaved as U, V in rows as long as luma's.
    Nv12 = 8,
    /// As NV12, with V before U (Android's camera).
    Nv21 = 9,
    /// A frame in 4:2:0 in `planes[0]`: luma, U, V one after the other without gaps.
    I420 = 10,
    /// A frame in 4:2:0 in three planes Y, U, V with strides of their own: Android's `YUV_420_888`, and any other.
    Yuv420 = 11,
}

impl EtalaseFormat {
    const ALL: [EtalaseFormat; 12] = [
        EtalaseFormat::Encoded,
        EtalaseFormat::Rgb,
        EtalaseFormat::Bgr,
        EtalaseFormat::Rgba,
        EtalaseFormat::Bgra,
        EtalaseFormat::RgbaPremultiplied,
        EtalaseFormat::BgraPremultiplied,
        EtalaseFormat::Grey,
        EtalaseFormat::Nv12,
        EtalaseFormat::Nv21,
        EtalaseFormat::I420,
        EtalaseFormat::Yuv420,
    ];
}

/// A plane's bytes and strides; a stride of 0 stands for the one without gaps.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Plane<'a> {
    pub data: &'a [u8],
    pub row_stride: usize,
    pub pixel_stride: usize,
}

/// A photo, before anything of it is checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Described<'a> {
    /// An [`EtalaseFormat`].
    pub format: u32,
    pub width: u32,
    pub height: u32,
    /// EXIF's number; 0 as 1.
    pub orientation: u32,
    /// 0: BT.601, 1: BT.709.
    pub matrix: u32,
    /// 0: full, 1: video.
    pub range: u32,
    pub planes: [Plane<'a>; 3],
    pub region: Option<Region>,
}

impl<'a> Described<'a> {
    /// The photo that is meant.
    pub fn photo(&self) -> Result<Photo<'a>> {
        let orientation = match self.orientation {
            0 => Some(Orientation::UPRIGHT),
            number => u8::try_from(number).ok().and_then(Orientation::from_exif),
        };
        let orientation = orientation.ok_or_else(|| {
            invalid(format!(
                "orientation is {}; EXIF's go from 1 to 8",
                self.orientation
            ))
        })?;
        let photo = self.content()?.turned(orientation);
        Ok(match self.region {
            Some(region) => photo.region(region),
            None => photo,
        })
    }

    fn content(&self) -> Result<Photo<'a>> {
        let [first, second, third] = self.planes;
        let (width, height) = (self.width, self.height);
        let format = EtalaseFormat::ALL.get(self.format as usize);
        let format =
            *format.ok_or_else(|| invalid(format!("format {} is unknown", self.format)))?;
        let packed = |format: PixelFormat| {
            let row_stride = or(first.row_stride, width as usize * format.bytes());
            Pixels::packed(format, width, height, row_stride, first.data)
        };
        let luma_stride = or(first.row_stride, width as usize);
        let pixels = match format {
            EtalaseFormat::Encoded => return Ok(Photo::encoded(first.data)),
            EtalaseFormat::Rgb => packed(PixelFormat::Rgb),
            EtalaseFormat::Bgr => packed(PixelFormat::Bgr),
            EtalaseFormat::Rgba => packed(PixelFormat::Rgba),
            EtalaseFormat::Bgra => packed(PixelFormat::Bgra),
            EtalaseFormat::RgbaPremultiplied => packed(PixelFormat::RgbaPremultiplied),
            EtalaseFormat::BgraPremultiplied => packed(PixelFormat::BgraPremultiplied),
            EtalaseFormat::Grey => packed(PixelFormat::Grey),
            EtalaseFormat::Nv12 => {
                Pixels::nv12(width, height, luma_stride, first.data, self.colours()?)
            }
            EtalaseFormat::Nv21 => {
                Pixels::nv21(width, height, luma_stride, first.data, self.colours()?)
            }
            EtalaseFormat::I420 => Pixels::i420(width, height, first.data, self.colours()?),
            EtalaseFormat::Yuv420 => {
                let chroma_width = width as usize / 2;
                let [y, u, v] = [
                    yuv_plane(first, width as usize),
                    yuv_plane(second, chroma_width),
                    yuv_plane(third, chroma_width),
                ];
                Pixels::yuv420(width, height, y, u, v, self.colours()?)
            }
        };
        Ok(pixels?.into())
    }

    fn colours(&self) -> Result<YuvColours> {
        let matrix = match self.matrix {
            0 => YuvMatrix::Bt601,
            1 => YuvMatrix::Bt709,
            other => return Err(invalid(format!("matrix {other} is unknown"))),
        };
        let range = match self.range {
            0 => YuvRange::Full,
            1 => YuvRange::Video,
            other => return Err(invalid(format!("range {other} is unknown"))),
        };
        Ok(YuvColours { matrix, range })
    }
}

fn yuv_plane(plane: Plane<'_>, width: usize) -> YuvPlane<'_> {
    let pixel_stride = or(plane.pixel_stride, 1);
    YuvPlane {
        data: plane.data,
        row_stride: or(plane.row_stride, width.saturating_mul(pixel_stride)),
        pixel_stride,
    }
}

fn or(stride: usize, without_gaps: usize) -> usize {
    if stride == 0 { without_gaps } else { stride }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_the_order_of_its_numbers() {
        for (number, format) in EtalaseFormat::ALL.into_iter().enumerate() {
            assert_eq!(format as usize, number);
        }
    }
}
