//! A baseline scan: its blocks in order, unit by unit, restart by restart.
//!
//! Reference: ITU-T T.81 (1992), A.2 (order of blocks), F.2 (decoding), E.2.4 (restarts).

use super::bits::{Bits, REFILLED, find_marker};
use super::dct::{Block, Reduction, ZIGZAG, flat};
use super::header::{Frame, Refusal, Scan, marker};
use super::huffman::{BadCode, END_OF_BLOCK, Table};
use super::{Jpeg, Plane, bad_code};

/// Where a scan's blocks are: a closure sees each with its component's place in the scan, and its
/// column and row in the component.
pub(super) struct Layout {
    /// Units of the scan, across and down.
    units: (usize, usize),
    /// Blocks of a unit, in their order.
    blocks: Vec<Place>,
}

/// Where a block of a unit belongs.
struct Place {
    /// The place of its component in the scan.
    index: usize,
    /// Blocks of the component in a unit, across and down, and which of them it is.
    factors: (usize, usize),
    offset: (usize, usize),
}

impl Layout {
    /// Interleaved where the scan has several components (A.2.3), else its blocks row by row (A.2.2).
    pub(super) fn new(frame: &Frame, scan: &Scan) -> Result<Layout, Refusal> {
        let component = |place: usize| frame.components.get(place);
        if let [(place, ..)] = scan.components.as_slice() {
            let units = component(*place).ok_or("is damaged")?.blocks;
            let blocks = vec![Place {
                index: 0,
                factors: (1, 1),
                offset: (0, 0),
            }];
            return Ok(Layout { units, blocks });
        }
        let mut blocks = Vec::new();
        for (index, &(place, ..)) in scan.components.iter().enumerate() {
            let component = component(place).ok_or("is damaged")?;
            let factors = (component.horizontal, component.vertical);
            for down in 0..factors.1 {
                blocks.extend((0..factors.0).map(|across| Place {
                    index,
                    factors,
                    offset: (across, down),
                }));
            }
        }
        Ok(Layout {
            units: frame.units(),
            blocks,
        })
    }

    /// The scan's blocks, up to its last one.
    pub(super) fn count(&self) -> usize {
        self.units.0 * self.units.1 * self.blocks.len()
    }

    /// Walks the scan: `block` takes the bits, a component's place in the scan, and the block's column and
    /// row; `restarted` hears of every restart. Gives the place behind the data.
    pub(super) fn walk<State>(
        &self,
        data: &[u8],
        at: usize,
        restart_interval: usize,
        state: &mut State,
        restarted: impl Fn(&mut State),
        block: impl Fn(&mut State, &mut Bits<'_>, usize, usize, usize) -> Result<(), Refusal>,
    ) -> Result<usize, Refusal> {
        let mut bits = Bits::new(data, at);
        let mut left = restart_interval;
        let mut number = 0;
        for row in 0..self.units.1 {
            for column in 0..self.units.0 {
                if restart_interval != 0 {
                    if left == 0 {
                        let at = restart(data, &bits, number)?;
                        bits = Bits::new(data, at);
                        number = (number + 1) % 8;
                        left = restart_interval;
                        restarted(state);
                    }
                    left -= 1;
                }
                for &Place {
                    index,
                    factors,
                    offset,
                } in &self.blocks
                {
                    let (x, y) = (column * factors.0 + offset.0, row * factors.1 + offset.1);
                    block(state, &mut bits, index, x, y)?;
                }
            }
            if bits.overrun() {
                return Err("is cut short or damaged: its data end inside the picture".into());
            }
        }
        Ok(bits.end())
    }
}

/// Where the data go on behind restart marker `number`.
fn restart(data: &[u8], bits: &Bits<'_>, number: u8) -> Result<usize, Refusal> {
    let damaged = || Refusal::from("is damaged: a restart marker is not where it should be");
    if bits.overrun() {
        return Err(damaged());
    }
    let at = find_marker(data, bits.end()).ok_or_else(damaged)?;
    match data.get(at) {
        Some(&code) if code == marker::RST0 + number => Ok(at + 1),
        _ => Err(damaged()),
    }
}

/// A component of a scan: what its blocks are decoded with, and where they go.
struct Channel<'a> {
    dc: &'a Table,
    ac: &'a Table,
    quantization: [f32; 64],
    prediction: i16,
    reduction: Reduction,
    plane: &'a mut Plane,
}

/// Decodes a scan into `planes`, the frame's; gives the place behind its data.
pub(super) fn baseline(
    jpeg: &mut Jpeg<'_>,
    scan: &Scan,
    at: usize,
    planes: &mut [Option<Plane>],
) -> Result<usize, Refusal> {
    let missing = || Refusal::from("is damaged: a Huffman table is missing");
    for &(place, _, ac) in &scan.components {
        let component = jpeg.frame.components.get(place).ok_or("is damaged")?;
        let table = jpeg.header.ac.get_mut(ac).and_then(Option::as_mut);
        let table = table.ok_or_else(missing)?;
        if component.reduction == Reduction::Eighth {
            table.prepare_skip();
        }
    }
    let mut planes: Vec<Option<&mut Plane>> = planes.iter_mut().map(Option::as_mut).collect();
    let mut channels = Vec::new();
    for &(place, dc, ac) in &scan.components {
        let header = &jpeg.header;
        channels.push(Channel {
            dc: header
                .dc
                .get(dc)
                .and_then(Option::as_ref)
                .ok_or_else(missing)?,
            ac: header
                .ac
                .get(ac)
                .and_then(Option::as_ref)
                .ok_or_else(missing)?,
            quantization: quantization(jpeg, place)?,
            prediction: 0,
            reduction: jpeg.frame.components[place].reduction,
            plane: planes
                .get_mut(place)
                .and_then(Option::take)
                .ok_or("is damaged")?,
        });
    }
    Layout::new(&jpeg.frame, scan)?.walk(
        jpeg.data,
        at,
        jpeg.header.restart_interval,
        &mut channels,
        |channels| {
            channels
                .iter_mut()
                .for_each(|channel| channel.prediction = 0)
        },
        |channels, bits, index, x, y| match channels.get_mut(index) {
            Some(channel) => channel.next_block(bits, x, y).map_err(bad_code),
            None => Ok(()),
        },
    )
}

/// A component's quantization table, row by row.
pub(super) fn quantization(jpeg: &Jpeg<'_>, place: usize) -> Result<[f32; 64], Refusal> {
    let component = jpeg.frame.components.get(place);
    let table = component.and_then(|c| jpeg.header.quantization.get(c.quantization));
    match table {
        Some(Some(table)) => Ok(table.map(f32::from)),
        _ => Err("is damaged: a quantization table is missing".into()),
    }
}

impl Channel<'_> {
    /// Decodes the next block, the one at column `x` and row `y`.
    #[inline(always)]
    fn next_block(&mut self, bits: &mut Bits<'_>, x: usize, y: usize) -> Result<(), BadCode> {
        // A code of 16 bits with a value of 15.
        const { assert!(REFILLED >= 32) };
        bits.refill();
        let difference = self.dc.difference(bits)?;
        self.prediction = self.prediction.wrapping_add(difference as i16);
        let dc = f32::from(self.prediction) * self.quantization[0];
        let stride = self.plane.stride;
        if self.reduction == Reduction::Eighth {
            self.ac.skip_block(bits)?;
            if let Some(sample) = self.plane.samples.get_mut(y * stride + x) {
                *sample = flat(dc);
            }
            return Ok(());
        }
        let block = self.block(bits, dc)?;
        let at = (y * stride + x) * self.reduction.samples();
        block.samples(self.reduction, &mut self.plane.samples, at, stride);
        Ok(())
    }

    /// The block of this DC coefficient.
    #[inline(always)]
    fn block(&self, bits: &mut Bits<'_>, dc: f32) -> Result<Block, BadCode> {
        let mut block = Block::new();
        block.set(0, dc);
        let mut last = 0;
        while last < 63 {
            bits.refill();
            let (run, value) = self.ac.coefficient(bits)?;
            if run == END_OF_BLOCK {
                break;
            }
            last += usize::from(run) + 1;
            if value != 0 {
                let place = usize::from(ZIGZAG[last & 63]);
                block.set(place, value as f32 * self.quantization[place]);
            }
        }
        Ok(block)
    }
}
