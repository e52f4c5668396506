//! What a JPEG says of itself: its frame, its components, its tables, and what other standards
//! put into its application segments (EXIF, colour profile, Adobe's colour transform).
//!
//! Reference: ITU-T T.81 (1992), annex B; T.871 (JFIF); T.872 (Adobe's segment).

use super::bits::find_marker;
use super::dct::{Reduction, ZIGZAG};
use super::huffman::Table;

/// A segment's marker, by its second byte.
pub(super) mod marker {
    pub(in super::super) const SOF0: u8 = 0xC0;
    pub(in super::super) const SOF1: u8 = 0xC1;
    pub(in super::super) const SOF2: u8 = 0xC2;
    pub(in super::super) const SOF15: u8 = 0xCF;
    pub(in super::super) const DHT: u8 = 0xC4;
    pub(in super::super) const JPG: u8 = 0xC8;
    pub(in super::super) const DAC: u8 = 0xCC;
    pub(in super::super) const RST0: u8 = 0xD0;
    pub(in super::super) const RST7: u8 = 0xD7;
    pub(in super::super) const SOI: u8 = 0xD8;
    pub(in super::super) const EOI: u8 = 0xD9;
    pub(in super::super) const SOS: u8 = 0xDA;
    pub(in super::super) const DQT: u8 = 0xDB;
    pub(in super::super) const DNL: u8 = 0xDC;
    pub(in super::super) const DRI: u8 = 0xDD;
    pub(in super::super) const APP0: u8 = 0xE0;
    pub(in super::super) const APP1: u8 = 0xE1;
    pub(in super::super) const APP2: u8 = 0xE2;
    pub(in super::super) const APP14: u8 = 0xEE;
    pub(in super::super) const TEM: u8 = 0x01;
}

/// Why a JPEG is not read; each text completes "the JPEG …".
pub(super) type Refusal = String;

/// One colour plane.
#[derive(Debug, Clone, Default)]
pub(super) struct Component {
    pub(super) id: u8,
    /// Sampling factors, 1 to 4.
    pub(super) horizontal: usize,
    pub(super) vertical: usize,
    pub(super) quantization: usize,
    /// Its size in blocks as the picture needs it, and as whole units of an interleaved scan fill it.
    pub(super) blocks: (usize, usize),
    pub(super) padded_blocks: (usize, usize),
    /// How much smaller it is decoded.
    pub(super) reduction: Reduction,
}

/// The picture's shape.
#[derive(Debug, Clone, Default)]
pub(super) struct Frame {
    pub(super) progressive: bool,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) components: Vec<Component>,
    /// The largest sampling factors.
    pub(super) horizontal: usize,
    pub(super) vertical: usize,
}

/// A start of scan: what is in it.
#[derive(Debug, Clone)]
pub(super) struct Scan {
    /// Places of its components in the frame, with their DC and AC tables.
    pub(super) components: Vec<(usize, usize, usize)>,
    /// First and last coefficient, in zigzag order.
    pub(super) band: (usize, usize),
    /// Bit positions of successive approximation: the one before (0: none) and this one.
    pub(super) high: u32,
    pub(super) low: u32,
}

/// Everything that segments have said so far.
#[derive(Default)]
pub(super) struct Header {
    pub(super) frame: Option<Frame>,
    /// By table and by place in the block, row by row.
    pub(super) quantization: [Option<[u16; 64]>; 4],
    pub(super) dc: [Option<Table>; 4],
    pub(super) ac: [Option<Table>; 4],
    pub(super) restart_interval: usize,
    pub(super) jfif: bool,
    /// The transform of Adobe's segment.
    pub(super) adobe: Option<u8>,
    /// TIFF structure of the first EXIF segment.
    pub(super) exif: Option<Vec<u8>>,
    /// Parts of the colour profile, by number.
    pub(super) profile: Vec<(u8, Vec<u8>)>,
}

impl Header {
    /// Reads segments from `at` on: up to the next scan, whose description is returned with the
    /// place where its data begin, or to the end of the image (`None`).
    pub(super) fn read(
        &mut self,
        data: &[u8],
        mut at: usize,
    ) -> Result<Option<(Scan, usize)>, Refusal> {
        loop {
            let code_at = find_marker(data, at)
                .ok_or("is cut short: it ends before its end-of-image marker")?;
            let code = data.get(code_at).copied().unwrap_or_default();
            at = code_at + 1;
            match code {
                marker::EOI => return Ok(None),
                marker::TEM | marker::SOI | marker::RST0..=marker::RST7 => continue,
                _ => {}
            }
            let length = match data.get(at..at + 2) {
                Some(&[high, low]) => usize::from(u16::from_be_bytes([high, low])),
                _ => return Err("is cut short: it ends inside a header".into()),
            };
            if length < 2 {
                return Err("is damaged: a segment gives an impossible length".into());
            }
            let body = data
                .get(at + 2..at + length)
                .ok_or("is cut short: it ends inside a header")?;
            at += length;
            if code == marker::SOS {
                return Ok(Some((self.scan(body)?, at)));
            }
            self.segment(code, body)?;
        }
    }

    fn segment(&mut self, code: u8, body: &[u8]) -> Result<(), Refusal> {
        match code {
            marker::DQT => self.quantization(body),
            marker::DHT => self.huffman(body),
            marker::DRI => {
                if let Some(&[high, low]) = body.get(..2) {
                    self.restart_interval = u16::from_be_bytes([high, low]).into();
                }
                Ok(())
            }
            marker::DNL => Err("states its height behind the picture, which is not read".into()),
            marker::DAC => Err("is arithmetic-coded, which is not read".into()),
            marker::JPG => Ok(()),
            marker::SOF0..=marker::SOF15 => self.frame(code, body),
            marker::APP0 => {
                self.jfif |= body.starts_with(b"JFIF\0");
                Ok(())
            }
            marker::APP1 => {
                if let (Some(tiff), None) = (body.strip_prefix(b"Exif\0\0"), &self.exif) {
                    self.exif = Some(tiff.to_vec());
                }
                Ok(())
            }
            marker::APP2 => {
                if let Some([number, _, part @ ..]) = body.strip_prefix(b"ICC_PROFILE\0") {
                    self.profile.push((*number, part.to_vec()));
                }
                Ok(())
            }
            marker::APP14 => {
                if body.starts_with(b"Adobe") {
                    self.adobe = body.get(11).copied();
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// DQT (T.81, B.2.4.1).
    fn quantization(&mut self, mut body: &[u8]) -> Result<(), Refusal> {
        while let Some((&head, rest)) = body.split_first() {
            let wide = head >> 4 != 0;
            let bytes = if wide { 128 } else { 64 };
            let (values, rest) = rest
                .split_at_checked(bytes)
                .ok_or("is damaged: a quantization table is incomplete")?;
            let mut table = [1; 64];
            for (index, &place) in ZIGZAG.iter().enumerate() {
                let value = match wide {
                    true => u16::from_be_bytes([values[2 * index], values[2 * index + 1]]),
                    false => values[index].into(),
                };
                table[usize::from(place)] = value;
            }
            *self
                .quantization
                .get_mut(usize::from(head & 15))
                .ok_or("is damaged: a quantization table has an impossible number")? = Some(table);
            body = rest;
        }
        Ok(())
    }

    /// DHT (T.81, B.2.4.2).
    fn huffman(&mut self, mut body: &[u8]) -> Result<(), Refusal> {
        while let Some((&head, rest)) = body.split_first() {
            let damaged = || "is damaged: a Huffman table is incomplete or impossible".to_owned();
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or_else(damaged)?;
            let symbols = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(symbols).ok_or_else(damaged)?;
            let table = Table::new(counts, symbols).ok_or_else(damaged)?;
            let tables = match head >> 4 {
                0 if table.is_dc() => &mut self.dc,
                1 => &mut self.ac,
                _ => return Err(damaged()),
            };
            *tables.get_mut(usize::from(head & 15)).ok_or_else(damaged)? = Some(table);
            body = rest;
        }
        Ok(())
    }

    /// SOF (T.81, B.2.2).
    fn frame(&mut self, code: u8, body: &[u8]) -> Result<(), Refusal> {
        let progressive = match code {
            marker::SOF0 | marker::SOF1 => false,
            marker::SOF2 => true,
            0xC3 => return Err("is lossless, which is not read".into()),
            0xC9..=0xCB | 0xCD..=0xCF => {
                return Err("is arithmetic-coded, which is not read".into());
            }
            _ => return Err("is hierarchical, which is not read".into()),
        };
        if self.frame.is_some() {
            return Err("is damaged: it holds two frames".into());
        }
        let (&[precision, h1, h0, w1, w0, count], rest) = body
            .split_first_chunk::<6>()
            .ok_or("is damaged: its frame is incomplete")?;
        if precision != 8 {
            return Err(format!("has {precision} bits a sample; 8 are read"));
        }
        let (height, width) = (u16::from_be_bytes([h1, h0]), u16::from_be_bytes([w1, w0]));
        if width == 0 {
            return Err(format!("has no pixels ({width}x{height})"));
        }
        if height == 0 {
            return Err("states its height behind the picture, which is not read".into());
        }
        if !matches!(count, 1 | 3 | 4) || rest.len() < usize::from(count) * 3 {
            return Err(format!(
                "has {count} colour components; 1, 3 and 4 are read"
            ));
        }
        let mut frame = Frame {
            progressive,
            width: width.into(),
            height: height.into(),
            ..Frame::default()
        };
        for &[id, sampling, quantization] in rest.as_chunks::<3>().0.iter().take(count.into()) {
            let (horizontal, vertical) = (usize::from(sampling >> 4), usize::from(sampling & 15));
            if !(1..=4).contains(&horizontal) || !(1..=4).contains(&vertical) || quantization > 3 {
                return Err("is damaged: a component has impossible numbers".into());
            }
            frame.components.push(Component {
                id,
                horizontal,
                vertical,
                quantization: quantization.into(),
                ..Component::default()
            });
        }
        // A single component is never interleaved: its factors mean nothing (A.2.2).
        if let [only] = &mut *frame.components {
            (only.horizontal, only.vertical) = (1, 1);
        }
        let largest = |factor: fn(&Component) -> usize| {
            frame.components.iter().map(factor).max().unwrap_or(1)
        };
        let (horizontal, vertical) = (largest(|c| c.horizontal), largest(|c| c.vertical));
        (frame.horizontal, frame.vertical) = (horizontal, vertical);
        let units = frame.units();
        for component in &mut frame.components {
            let side =
                |pixels: usize, factor: usize, most: usize| (pixels * factor).div_ceil(8 * most);
            component.blocks = (
                side(frame.width, component.horizontal, horizontal),
                side(frame.height, component.vertical, vertical),
            );
            component.padded_blocks =
                (units.0 * component.horizontal, units.1 * component.vertical);
        }
        self.frame = Some(frame);
        Ok(())
    }

    /// SOS (T.81, B.2.3).
    fn scan(&self, body: &[u8]) -> Result<Scan, Refusal> {
        let frame = self
            .frame
            .as_ref()
            .ok_or("is damaged: its picture comes before its size")?;
        let damaged = || "is damaged: a scan has an impossible header".to_owned();
        let (&count, rest) = body.split_first().ok_or_else(damaged)?;
        let (described, rest) = rest
            .split_at_checked(usize::from(count) * 2)
            .ok_or_else(damaged)?;
        let &[first, last, approximation] = rest.first_chunk::<3>().ok_or_else(damaged)?;
        let mut components: Vec<(usize, usize, usize)> = Vec::new();
        for &[id, tables] in described.as_chunks::<2>().0 {
            let place = frame.components.iter().position(|c| c.id == id);
            let place = place.ok_or_else(damaged)?;
            let (dc, ac) = (usize::from(tables >> 4), usize::from(tables & 15));
            let twice = components.iter().any(|&(other, ..)| other == place);
            if dc > 3 || ac > 3 || twice {
                return Err(damaged());
            }
            components.push((place, dc, ac));
        }
        let band = match frame.progressive {
            true => (usize::from(first), usize::from(last)),
            false => (0, 63),
        };
        let (high, low) = match frame.progressive {
            true => (approximation >> 4, approximation & 15),
            false => (0, 0),
        };
        let dc_alone = band.0 != 0 || band.1 == 0 || !frame.progressive;
        let ac_alone = band.0 == 0 || components.len() == 1;
        let refines = high == 0 || high == low + 1;
        if components.is_empty() || band.0 > band.1 || band.1 > 63 || low > 13 {
            return Err(damaged());
        }
        if !dc_alone || !ac_alone || !refines {
            return Err(damaged());
        }
        Ok(Scan {
            components,
            band,
            high: high.into(),
            low: low.into(),
        })
    }
}

impl Frame {
    /// The size in units of an interleaved scan (MCUs).
    pub(super) fn units(&self) -> (usize, usize) {
        (
            self.width.div_ceil(8 * self.horizontal),
            self.height.div_ceil(8 * self.vertical),
        )
    }
}
