//! What an app says of its pixels.

use arbitrary::Arbitrary;

use crate::MOST;

#[derive(Arbitrary, Debug)]
pub(crate) struct Input<'a> {
    pub(crate) width: Number,
    pub(crate) height: Number,
    pub(crate) layout: Layout,
    pub(crate) view: View,
    pub(crate) length: Length,
    pub(crate) bytes: &'a [u8],
}

/// Mostly one that can be meant.
#[derive(Arbitrary, Debug, Clone, Copy)]
pub(crate) enum Number {
    Small(u8),
    Pair(u8),
    Any(u32),
}

impl Number {
    pub(crate) fn get(self) -> u32 {
        match self {
            Number::Small(number) => u32::from(number) % 64,
            Number::Pair(number) => u32::from(number) % 32 * 2,
            Number::Any(number) => number,
        }
    }
}

/// A distance in bytes.
#[derive(Arbitrary, Debug, Clone, Copy)]
pub(crate) enum Stride {
    Tight,
    Wider(u8),
    Any(usize),
}

impl Stride {
    pub(crate) fn get(self, tight: usize) -> usize {
        match self {
            Stride::Tight => tight,
            Stride::Wider(more) => tight.saturating_add(usize::from(more)),
            Stride::Any(stride) => stride,
        }
    }
}

#[derive(Arbitrary, Debug, Clone, Copy)]
pub(crate) enum Layout {
    Packed {
        format: u8,
        rows: Stride,
    },
    /// NV21 where `is_vu`, else NV12.
    SemiPlanar {
        is_vu: bool,
        rows: Stride,
        colours: u8,
    },
    I420 {
        colours: u8,
    },
    Planes {
        y: Plane,
        u: Plane,
        v: Plane,
        colours: u8,
    },
}

#[derive(Arbitrary, Debug, Clone, Copy)]
pub(crate) struct Plane {
    pub(crate) start: u8,
    pub(crate) rows: Stride,
    pub(crate) pixels: Stride,
}

/// How many bytes the buffer has.
#[derive(Arbitrary, Debug, Clone, Copy)]
pub(crate) enum Length {
    Given,
    /// As many as the description asks for: the given ones repeated.
    Needed,
    OneTooFew,
}

/// How it is looked at.
#[derive(Arbitrary, Debug, Clone, Copy)]
pub(crate) struct View {
    pub(crate) width: Number,
    pub(crate) height: Number,
    pub(crate) fit: u8,
    pub(crate) quarters: u8,
    pub(crate) mirrored: bool,
    pub(crate) region: Option<[Number; 4]>,
}

impl Plane {
    /// From a sample and from a row to the next.
    pub(crate) fn strides(self, width: usize) -> (usize, usize) {
        let pixels = self.pixels.get(1);
        (pixels, self.rows.get(width.saturating_mul(pixels)))
    }
}

impl Input<'_> {
    /// The buffer, where `needed` bytes would do.
    pub(crate) fn buffer(&self, needed: u128) -> Vec<u8> {
        let length = match self.length {
            Length::Needed if needed <= MOST => needed as usize,
            Length::OneTooFew if needed <= MOST => (needed as usize).saturating_sub(1),
            _ => return self.bytes.to_vec(),
        };
        let one = [0x5A];
        let bytes = if self.bytes.is_empty() {
            &one
        } else {
            self.bytes
        };
        bytes.iter().copied().cycle().take(length).collect()
    }
}
