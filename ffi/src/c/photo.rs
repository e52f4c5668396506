//! The caller's photo.

use etalase::Result;
use etalase::photo::{Photo, Region};

use super::strings::list;
use super::versioned::{self, Versioned};
use crate::photo::{Described, Plane};

/// How the stored picture has to be turned to stand upright: EXIF's numbers, as iOS' CGImagePropertyOrientation has
/// them. Of an encoded photo: what is left to do after its own EXIF orientation.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EtalaseOrientation {
    /// It stands upright.
    Upright = 1,
    /// Mirrored left to right.
    Mirrored = 2,
    /// Turn by half.
    Rotate180 = 3,
    /// Mirrored top to bottom.
    MirroredRotate180 = 4,
    /// Mirror along the diagonal from the upper left.
    MirroredRotate270 = 5,
    /// Turn by 90 degrees clockwise.
    Rotate90 = 6,
    /// Mirror along the diagonal from the upper right.
    MirroredRotate90 = 7,
    /// Turn by 270 degrees clockwise.
    Rotate270 = 8,
}

/// Which weights made luma and chroma of a colour.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EtalaseYuvMatrix {
    /// ITU-R BT.601: JPEG, and Android's cameras.
    Bt601 = 0,
    /// ITU-R BT.709: HD video, and most of iOS' cameras.
    Bt709 = 1,
}

/// Which levels luma and chroma use.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EtalaseYuvRange {
    /// 0 to 255, as in JPEG.
    Full = 0,
    /// Luma 16 to 235, chroma 16 to 240, as in video.
    Video = 1,
}

/// Bytes of a photo: an encoded file, packed pixels, or one plane of a frame. Rows go from the top; the last one may end
/// with its last pixel.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct EtalasePlane {
    /// The first byte. The library reads it during the call only.
    pub data: *const u8,
    /// Bytes at `data`.
    pub length: usize,
    /// Bytes from a row to the next; 0: rows without gaps.
    pub row_stride: usize,
    /// Bytes from a sample to the next in a plane of ETALASE_FORMAT_YUV420: 1 (or 0), or 2 where two planes are
    /// interleaved. Other formats don't read it.
    pub pixel_stride: usize,
}

/// A part of a photo, in px of the upright one.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EtalaseRegion {
    /// Left edge, from the photo's left.
    pub x: u32,
    /// Upper edge, from the photo's top.
    pub y: u32,
    /// Width, at least 1.
    pub width: u32,
    /// Height, at least 1.
    pub height: u32,
}

/// A photo: bytes of a file, or pixels as an app or a camera has them, read in place. etalase_photo_encoded and
/// etalase_photo_pixels fill it for the usual cases; otherwise start from etalase_photo_init().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct EtalasePhoto {
    /// sizeof(EtalasePhoto).
    pub struct_size: usize,
    /// An EtalaseFormat.
    pub format: u32,
    /// Width as stored, px; 0 for an encoded photo.
    pub width: u32,
    /// Height as stored, px; 0 for an encoded photo.
    pub height: u32,
    /// An EtalaseOrientation; 0 as 1.
    pub orientation: u32,
    /// An EtalaseYuvMatrix, read where the format is one of frames.
    pub matrix: u32,
    /// An EtalaseYuvRange, read where the format is one of frames.
    pub range: u32,
    /// The part of the upright photo that counts; all zeros: the whole photo.
    pub region: EtalaseRegion,
    /// The bytes: the first plane alone, but for ETALASE_FORMAT_YUV420.
    pub planes: [EtalasePlane; 3],
}

// SAFETY: numbers and raw pointers only, the size first.
unsafe impl Versioned for EtalasePhoto {
    const NAME: &'static str = "EtalasePhoto";
    const INIT: &'static str = "etalase_photo_init";
    const FIRST_SIZE: usize = size_of::<Self>();
}

impl EtalasePhoto {
    /// Reads the caller's photo.
    ///
    /// # Safety
    /// `photo` is NULL or points to a photo whose planes are NULL or hold what they say, unchanged as long as `'a`.
    pub(super) unsafe fn read<'a>(photo: *const EtalasePhoto) -> Result<Photo<'a>> {
        // SAFETY: the caller's promise.
        let photo = unsafe { versioned::read(photo) }?;
        let mut planes = [Plane::default(); 3];
        let names = ["planes[0].data", "planes[1].data", "planes[2].data"];
        for ((to, from), name) in planes.iter_mut().zip(photo.planes).zip(names) {
            // SAFETY: the caller's promise.
            let data = unsafe { list(name, from.data, from.length) };
            *to = Plane {
                data: data?,
                row_stride: from.row_stride,
                pixel_stride: from.pixel_stride,
            };
        }
        #[cfg(feature = "panic-on-demand")]
        assert!(planes[0].data != crate::PANIC_ON_DEMAND, "on demand");
        let whole = EtalaseRegion {
            x: 0,
            y: 0,
            width: 0,
            height: 0,
        };
        let EtalaseRegion {
            x,
            y,
            width,
            height,
        } = photo.region;
        let described = Described {
            format: photo.format,
            width: photo.width,
            height: photo.height,
            orientation: photo.orientation,
            matrix: photo.matrix,
            range: photo.range,
            planes,
            region: (photo.region != whole).then_some(Region {
                x,
                y,
                width,
                height,
            }),
        };
        described.photo()
    }
}
