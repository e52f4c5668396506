//! Progressive scans: every coefficient comes in several, so all are kept until the last one.
//!
//! At an eighth of the size only DC coefficients count: scans of others are left unread, and a
//! block keeps two bytes instead of 128.
//! Reference: ITU-T T.81 (1992), annex G.

use super::bits::{Bits, find_marker};
use super::dct::{Block, Reduction, ZIGZAG};
use super::header::{Refusal, Scan, marker};
use super::huffman::Table;
use super::scan::{Layout, quantization};
use super::{Jpeg, Plane, bad_code};

/// How often all blocks of a file may be visited: files have about ten scans, and one made to
/// keep a phone busy could have thousands of a few bytes each.
const MAX_VISITS: usize = 200;

/// A component's coefficients: 64 a block in zigzag order, or its first alone.
struct Coefficients {
    values: Vec<i16>,
    /// Values a block, and blocks a row.
    each: usize,
    stride: usize,
}

impl Coefficients {
    fn block(&mut self, x: usize, y: usize) -> &mut [i16] {
        let at = (y * self.stride + x) * self.each;
        self.values.get_mut(at..at + self.each).unwrap_or_default()
    }
}

/// What decoding of a scan changes.
struct State<'a> {
    /// By place in the scan.
    channels: Vec<Channel<'a>>,
    /// Blocks, this one included, that hold nothing new (G.1.2.2).
    end_of_band_run: u32,
}

struct Channel<'a> {
    coefficients: Coefficients,
    table: Option<&'a Table>,
    prediction: i16,
}

/// Decodes all scans, then the samples.
pub(super) fn decode(jpeg: &mut Jpeg<'_>) -> Result<Vec<Plane>, Refusal> {
    let components = jpeg.frame.components.clone();
    let mut kept: Vec<Option<Coefficients>> = Vec::new();
    for component in &components {
        let (across, down) = component.padded_blocks;
        let each = if component.reduction == Reduction::Eighth {
            1
        } else {
            64
        };
        kept.push(Some(Coefficients {
            values: vec![0; across * down * each],
            each,
            stride: across,
        }));
    }
    let mut seen = vec![false; kept.len()];
    let all: usize = components.iter().map(|c| c.blocks.0 * c.blocks.1).sum();
    let mut visits = MAX_VISITS * all;
    let mut next = Some(jpeg.first.clone());
    while let Some((scan, at)) = next {
        let layout = Layout::new(&jpeg.frame, &scan)?;
        visits = visits
            .checked_sub(layout.count())
            .ok_or("is damaged: it has more scans than any picture needs")?;
        let mut unneeded = scan.band.0 > 0;
        for &(place, ..) in &scan.components {
            seen[place] |= scan.band.0 == 0;
            unneeded &= components[place].reduction == Reduction::Eighth;
        }
        let end = match unneeded {
            true => end_of_scan(jpeg.data, at),
            false => decode_scan(jpeg, &scan, at, &layout, &mut kept)?,
        };
        next = jpeg.header.read(jpeg.data, end)?;
    }
    if seen.contains(&false) {
        return Err("is cut short: a colour is missing".into());
    }
    let mut planes = Vec::new();
    for (place, coefficients) in kept.into_iter().enumerate() {
        let mut plane = jpeg.plane(place)?;
        let coefficients = coefficients.ok_or("is damaged")?;
        let table = quantization(jpeg, place)?;
        samples(
            &coefficients,
            &table,
            components[place].reduction,
            &mut plane,
        );
        planes.push(plane);
    }
    Ok(planes)
}

/// Behind the data of a scan that is left unread: its restarts too.
fn end_of_scan(data: &[u8], mut at: usize) -> usize {
    while let Some(code) = find_marker(data, at) {
        if !matches!(data.get(code), Some(marker::RST0..=marker::RST7)) {
            return code - 1;
        }
        at = code + 1;
    }
    data.len()
}

fn samples(from: &Coefficients, table: &[f32; 64], reduction: Reduction, plane: &mut Plane) {
    let side = reduction.samples();
    let rows = from.values.chunks_exact((from.each * from.stride).max(1));
    for (y, row) in rows.enumerate() {
        for (x, coefficients) in row.chunks_exact(from.each).enumerate() {
            let mut block = Block::new();
            for (&place, &value) in ZIGZAG.iter().zip(coefficients) {
                if value != 0 {
                    let place = usize::from(place);
                    block.set(place, f32::from(value) * table[place]);
                }
            }
            let at = (y * plane.stride + x) * side;
            block.samples(reduction, &mut plane.samples, at, plane.stride);
        }
    }
}

fn decode_scan(
    jpeg: &Jpeg<'_>,
    scan: &Scan,
    at: usize,
    layout: &Layout,
    kept: &mut [Option<Coefficients>],
) -> Result<usize, Refusal> {
    let header = &jpeg.header;
    let missing = || Refusal::from("is damaged: a Huffman table is missing");
    let mut channels = Vec::new();
    for &(place, dc, ac) in &scan.components {
        let (tables, number) = match scan.band.0 {
            0 => (&header.dc, dc),
            _ => (&header.ac, ac),
        };
        let table = tables.get(number).and_then(Option::as_ref);
        // A refinement of DC coefficients is plain bits (G.1.2.1).
        if table.is_none() && !(scan.band.0 == 0 && scan.high != 0) {
            return Err(missing());
        }
        channels.push(Channel {
            coefficients: kept
                .get_mut(place)
                .and_then(Option::take)
                .ok_or_else(missing)?,
            table,
            prediction: 0,
        });
    }
    let mut state = State {
        channels,
        end_of_band_run: 0,
    };
    let restarted = |state: &mut State<'_>| {
        state.end_of_band_run = 0;
        state
            .channels
            .iter_mut()
            .for_each(|channel| channel.prediction = 0);
    };
    let (data, interval) = (jpeg.data, header.restart_interval);
    let end = match (scan.band.0, scan.high) {
        (0, 0) => layout.walk(
            data,
            at,
            interval,
            &mut state,
            restarted,
            |state, bits, index, x, y| dc_first(state, bits, index, x, y, scan.low),
        ),
        (0, _) => layout.walk(
            data,
            at,
            interval,
            &mut state,
            restarted,
            |state, bits, index, x, y| {
                if let (Some(channel), true) = (state.channels.get_mut(index), bits.bit())
                    && let Some(dc) = channel.coefficients.block(x, y).first_mut()
                {
                    *dc |= 1 << scan.low;
                }
                Ok(())
            },
        ),
        (_, 0) => layout.walk(
            data,
            at,
            interval,
            &mut state,
            restarted,
            |state, bits, _, x, y| ac_first(state, bits, x, y, scan),
        ),
        _ => layout.walk(
            data,
            at,
            interval,
            &mut state,
            restarted,
            |state, bits, _, x, y| ac_refine(state, bits, x, y, scan),
        ),
    }?;
    for (&(place, ..), channel) in scan.components.iter().zip(state.channels) {
        if let Some(slot) = kept.get_mut(place) {
            *slot = Some(channel.coefficients);
        }
    }
    Ok(end)
}

/// A block's DC coefficient but its lowest bits.
fn dc_first(
    state: &mut State<'_>,
    bits: &mut Bits<'_>,
    index: usize,
    x: usize,
    y: usize,
    low: u32,
) -> Result<(), Refusal> {
    let Some(channel) = state.channels.get_mut(index) else {
        return Ok(());
    };
    let table = channel.table.ok_or("is damaged")?;
    bits.refill();
    let difference = table.difference(bits).map_err(bad_code)?;
    channel.prediction = channel.prediction.wrapping_add(difference as i16);
    if let Some(dc) = channel.coefficients.block(x, y).first_mut() {
        *dc = channel.prediction << low;
    }
    Ok(())
}

/// The single channel of an AC scan with its table.
fn ac_channel<'a, 'b>(
    state: &'b mut State<'a>,
) -> Result<(&'b mut Coefficients, &'a Table, &'b mut u32), Refusal> {
    let State {
        channels,
        end_of_band_run,
    } = state;
    let channel = channels.first_mut().ok_or("is damaged")?;
    let table = channel.table.ok_or("is damaged")?;
    Ok((&mut channel.coefficients, table, end_of_band_run))
}

/// The length of a run of blocks that end here, this one included (G.1.2.2).
fn end_of_band(bits: &mut Bits<'_>, size: u8) -> u32 {
    (1 << size) + bits.take(size.into()) as u32
}

/// A band of a block's AC coefficients but their lowest bits (G.1.2.2).
fn ac_first(
    state: &mut State<'_>,
    bits: &mut Bits<'_>,
    x: usize,
    y: usize,
    scan: &Scan,
) -> Result<(), Refusal> {
    let (coefficients, table, end_of_band_run) = ac_channel(state)?;
    if *end_of_band_run > 0 {
        *end_of_band_run -= 1;
        return Ok(());
    }
    let block = coefficients.block(x, y);
    let mut at = scan.band.0;
    while at <= scan.band.1 {
        bits.refill();
        let symbol = table.symbol(bits).map_err(bad_code)?;
        let (run, size) = (symbol >> 4, symbol & 15);
        match (run, size) {
            (15, 0) => at += 16,
            (_, 0) => {
                *end_of_band_run = end_of_band(bits, run) - 1;
                break;
            }
            _ => {
                at += usize::from(run);
                let value = bits.take_signed(size.into());
                if let Some(coefficient) = block.get_mut(at) {
                    *coefficient = (value << scan.low) as i16;
                }
                at += 1;
            }
        }
    }
    Ok(())
}

/// One more bit of a band of a block's AC coefficients, and those that are new (G.1.2.3).
fn ac_refine(
    state: &mut State<'_>,
    bits: &mut Bits<'_>,
    x: usize,
    y: usize,
    scan: &Scan,
) -> Result<(), Refusal> {
    let (coefficients, table, end_of_band_run) = ac_channel(state)?;
    let block = coefficients.block(x, y);
    let one = 1_i16 << scan.low;
    let refine = |coefficient: &mut i16, bits: &mut Bits<'_>| {
        if bits.bit() && *coefficient & one == 0 {
            let step = if *coefficient > 0 { one } else { -one };
            *coefficient = coefficient.wrapping_add(step);
        }
    };
    let mut at = scan.band.0;
    if *end_of_band_run == 0 {
        while at <= scan.band.1 {
            bits.refill();
            let symbol = table.symbol(bits).map_err(bad_code)?;
            let (mut zeros, size) = (symbol >> 4, symbol & 15);
            let new = match size {
                0 if zeros < 15 => {
                    *end_of_band_run = end_of_band(bits, zeros);
                    break;
                }
                0 => None,
                _ => Some(if bits.bit() { one } else { -one }),
            };
            // Over `zeros` coefficients that are still 0; those that aren't get their bit.
            while at <= scan.band.1 {
                let Some(coefficient) = block.get_mut(at) else {
                    break;
                };
                if *coefficient != 0 {
                    refine(coefficient, bits);
                } else if zeros == 0 {
                    if let Some(new) = new {
                        *coefficient = new;
                    }
                    break;
                } else {
                    zeros -= 1;
                }
                at += 1;
            }
            at += 1;
        }
    }
    if *end_of_band_run > 0 {
        let rest = block.get_mut(at..=scan.band.1).unwrap_or_default();
        for coefficient in rest.iter_mut().filter(|coefficient| **coefficient != 0) {
            refine(coefficient, bits);
        }
        *end_of_band_run -= 1;
    }
    Ok(())
}
