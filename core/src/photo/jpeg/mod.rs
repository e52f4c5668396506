//! JPEG: baseline and progressive, any sampling, decoded no larger than it is needed.
//!
//! Our own, because no decoder that we found steps over what it doesn't need: at an eighth of the
//! size, which is what a 12-megapixel photo is read at, only the means of blocks count, and
//! [`huffman`] passes over the rest several symbols at a time; of a progressive file whole scans are left
//! unread. What is left of the picture becomes RGB as a viewer shows it ([`rgb`]).
//! Left out, with an error that says so: arithmetic coding, 12 bits, lossless and hierarchical files.
//! Damage is an error: entropy-coded data that end early or hold a code that no table has.
//! Reference: ITU-T T.81 (1992).

mod bits;
mod dct;
mod header;
mod huffman;
mod progressive;
mod rgb;
mod scan;

pub(super) use dct::Reduction;
use header::{Frame, Header, Refusal, Scan};
pub(super) use rgb::to_rgb;

use super::colour::Meaning;
use super::pixels::YuvColours;
use super::resize::{Alpha, Samples, spread};

/// One decoded colour plane: the samples of `width` x `height` px lie in rows that are `stride` apart.
pub(super) struct Plane {
    width: usize,
    height: usize,
    stride: usize,
    samples: Vec<u8>,
    /// Its samples a pixel of the photo, across and down: 1 or less.
    scale: (f64, f64),
}

impl Plane {
    /// What of it is picture.
    pub(super) fn samples(&self) -> Samples<'_> {
        Samples {
            data: &self.samples,
            row_stride: self.stride,
            pixel_stride: 1,
            channels: 1,
            ..self.described()
        }
    }

    /// The RGB picture that [`to_rgb`] made of this plane, the first, and the others.
    pub(super) fn rgb<'a>(&self, rgb: &'a [u8]) -> Samples<'a> {
        Samples {
            data: rgb,
            row_stride: self.width * 3,
            pixel_stride: 3,
            channels: 3,
            ..self.described()
        }
    }

    /// Its size and scale, without samples.
    fn described(&self) -> Samples<'static> {
        Samples {
            data: &[],
            width: self.width,
            height: self.height,
            row_stride: 0,
            pixel_stride: 0,
            channels: 0,
            alpha: Alpha::Ignored,
            scale: self.scale,
            spread: (
                spread(1.0, 1.0 / self.scale.0),
                spread(1.0, 1.0 / self.scale.1),
            ),
        }
    }
}

/// A JPEG whose headers have been read.
pub(super) struct Jpeg<'a> {
    data: &'a [u8],
    header: Header,
    frame: Frame,
    first: (Scan, usize),
}

impl<'a> Jpeg<'a> {
    /// Reads the headers up to the picture. Errors complete "the JPEG …".
    pub(super) fn open(data: &'a [u8]) -> Result<Jpeg<'a>, Refusal> {
        let mut header = Header::default();
        let first = header
            .read(data, 0)?
            .ok_or("is damaged: it holds no picture")?;
        let frame = header
            .frame
            .clone()
            .ok_or("is damaged: it holds no picture")?;
        Ok(Jpeg {
            data,
            header,
            frame,
            first,
        })
    }

    /// Width and height, px.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.frame.width, self.frame.height)
    }

    /// The TIFF structure of the EXIF segment.
    pub(super) fn exif(&self) -> Option<&[u8]> {
        self.header.exif.as_deref()
    }

    /// The colour profile, put together.
    pub(super) fn profile(&self) -> Option<Vec<u8>> {
        let mut parts: Vec<&(u8, Vec<u8>)> = self.header.profile.iter().collect();
        parts.sort_by_key(|(number, _)| *number);
        let whole: Vec<u8> = parts
            .into_iter()
            .flat_map(|(_, part)| part)
            .copied()
            .collect();
        (!whole.is_empty()).then_some(whole)
    }

    /// What the planes mean: by Adobe's segment, by JFIF, else by the components' names.
    pub(super) fn meaning(&self) -> Meaning {
        let ids: Vec<u8> = self.frame.components.iter().map(|c| c.id).collect();
        match (ids.as_slice(), self.header.adobe) {
            ([_], _) => Meaning::Grey,
            (b"RGB", None) if !self.header.jfif => Meaning::Rgb,
            ([_, _, _], Some(0)) => Meaning::Rgb,
            ([_, _, _], _) => Meaning::Yuv(YuvColours::JPEG),
            (_, Some(2)) => Meaning::Ycck { inverted: true },
            (_, adobe) => Meaning::Cmyk {
                inverted: adobe.is_some(),
            },
        }
    }

    /// Chooses how much smaller each component is decoded, by its scale: its pixels a pixel of the
    /// photo, across and down. In full size where it isn't called.
    pub(super) fn reduce(&mut self, reduction: impl Fn((f64, f64)) -> Reduction) {
        let (across, down) = (self.frame.horizontal as f64, self.frame.vertical as f64);
        for component in &mut self.frame.components {
            let scale = (
                component.horizontal as f64 / across,
                component.vertical as f64 / down,
            );
            component.reduction = reduction(scale);
        }
    }

    /// The most memory that decoding takes, bytes.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = |component: &header::Component| {
            let blocks = (component.padded_blocks.0 * component.padded_blocks.1) as u64;
            let samples = component.reduction.samples() as u64;
            let kept = match (self.frame.progressive, component.reduction) {
                (false, _) => 0,
                (true, Reduction::Eighth) => 2,
                (true, _) => 128,
            };
            blocks * (samples * samples + kept)
        };
        self.frame.components.iter().map(bytes).sum()
    }

    /// Decodes the planes. Errors complete "the JPEG …".
    pub(super) fn decode(mut self) -> Result<Vec<Plane>, Refusal> {
        match self.frame.progressive {
            true => progressive::decode(&mut self),
            false => self.decode_baseline(),
        }
    }

    fn decode_baseline(&mut self) -> Result<Vec<Plane>, Refusal> {
        let mut planes: Vec<Option<Plane>> = self.frame.components.iter().map(|_| None).collect();
        let mut next = Some(self.first.clone());
        while let Some((scan, at)) = next {
            for &(place, ..) in &scan.components {
                let slot = planes.get_mut(place).ok_or("is damaged")?;
                if slot.is_some() {
                    return Err("is damaged: it holds a colour twice".into());
                }
                *slot = Some(self.plane(place)?);
            }
            let end = scan::baseline(self, &scan, at, &mut planes)?;
            next = self.header.read(self.data, end)?;
        }
        let missing = || Refusal::from("is cut short: a colour is missing");
        planes
            .into_iter()
            .map(|plane| plane.ok_or_else(missing))
            .collect()
    }

    /// An empty plane for a component.
    fn plane(&self, place: usize) -> Result<Plane, Refusal> {
        let frame = &self.frame;
        let component = frame.components.get(place).ok_or("is damaged")?;
        let side = component.reduction.samples();
        let (across, down) = (8 * frame.horizontal, 8 * frame.vertical);
        let stride = component.padded_blocks.0 * side;
        Ok(Plane {
            width: (frame.width * component.horizontal * side).div_ceil(across),
            height: (frame.height * component.vertical * side).div_ceil(down),
            stride,
            samples: vec![0; stride * component.padded_blocks.1 * side],
            scale: (
                (component.horizontal * side) as f64 / across as f64,
                (component.vertical * side) as f64 / down as f64,
            ),
        })
    }
}

fn bad_code(_: huffman::BadCode) -> Refusal {
    "is damaged: its data hold a code that no table has".into()
}
