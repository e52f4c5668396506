//! Huffman tables, made for what is done with them: values with their code in one look-up, and
//! many symbols in one look-up where the values are not wanted.
//!
//! At an eighth of the size a block is its mean, the DC coefficient; the AC coefficients, nine
//! tenths of the bits, only have to be stepped over. [`Skip`] does so for as many as lie whole in 13 bits.
//! Reference: ITU-T T.81 (1992), annexes C and F.

use super::bits::{Bits, extend};

/// Bits that [`Table::entries`] looks at: most codes with their values.
const LOOK_BITS: u32 = 10;
/// Bits that [`Skip`] looks at: 16 KB of table, so that two stay in a small first-level cache. 11 and 15
/// take a tenth longer for a whole photo.
const SKIP_BITS: u32 = 13;
/// What [`Entry::run`] says where a block ends.
pub(super) const END_OF_BLOCK: u8 = 64;

/// A code with what follows it.
#[derive(Clone, Copy, Default)]
struct Entry {
    /// Of the code and the value; 0 where they don't fit into [`LOOK_BITS`].
    bits: u8,
    /// Zeros before the coefficient, or [`END_OF_BLOCK`].
    run: u8,
    value: i16,
}

/// A Huffman table of a file.
pub(super) struct Table {
    /// By the next [`LOOK_BITS`] bits.
    entries: Vec<Entry>,
    /// By length: codes of this length, left-aligned in 16 bits, are below it.
    limit: [u32; 17],
    /// By length: what is added to a code to give its place in `symbols`.
    offset: [i32; 17],
    symbols: Vec<u8>,
    /// Made when first asked for.
    skip: Option<Skip>,
}

/// A code that the table doesn't have.
pub(super) struct BadCode;

impl Table {
    /// From a DHT segment: how many codes there are of each length, and the symbols.
    /// `None` where there are more codes than lengths allow.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Table> {
        let (mut limit, mut offset) = ([0; 17], [0; 17]);
        let (mut code, mut place) = (0_u32, 0_i32);
        for (length, &count) in (1..=16).zip(counts) {
            *offset.get_mut(length)? = place - code as i32;
            code += u32::from(count);
            place += i32::from(count);
            if code > 1 << length {
                return None;
            }
            *limit.get_mut(length)? = code << (16 - length);
            code <<= 1;
        }
        if place as usize != symbols.len() {
            return None;
        }
        let mut table = Table {
            entries: Vec::new(),
            limit,
            offset,
            symbols: symbols.to_vec(),
            skip: None,
        };
        table.entries = (0..1 << LOOK_BITS)
            .map(|bits| table.entry(bits).unwrap_or_default())
            .collect();
        Some(table)
    }

    /// The code that 16 bits begin with: its symbol and length.
    #[inline]
    fn code(&self, bits: u32) -> Option<(u8, u32)> {
        let length = (1..=16).find(|&length| Some(&bits) < self.limit.get(length))?;
        let place = (bits >> (16 - length)) as i32 + self.offset.get(length)?;
        Some((*self.symbols.get(place as usize)?, length as u32))
    }

    /// What [`LOOK_BITS`] bits begin with, where it lies whole in them.
    fn entry(&self, bits: u32) -> Option<Entry> {
        let (symbol, length) = self.code(bits << (16 - LOOK_BITS))?;
        let size = u32::from(symbol & 15);
        let left = LOOK_BITS.checked_sub(length + size)?;
        let value = (bits >> left) as i32 & ((1 << size) - 1);
        Some(Entry {
            bits: (length + size) as u8,
            run: run(symbol),
            value: extend(value, size) as i16,
        })
    }

    /// Takes a symbol. The caller has refilled: 16 bits are used at most.
    #[inline]
    pub(super) fn symbol(&self, bits: &mut Bits<'_>) -> Result<u8, BadCode> {
        let (symbol, length) = self.code(bits.peek(16) as u32).ok_or(BadCode)?;
        bits.skip(length);
        Ok(symbol)
    }

    /// Takes a symbol and the value behind it: the zeros before it ([`END_OF_BLOCK`] where there
    /// is none) and the value. The caller has refilled: 32 bits are used at most.
    #[inline(always)]
    pub(super) fn coefficient(&self, bits: &mut Bits<'_>) -> Result<(u8, i32), BadCode> {
        match self.entries.get(bits.peek(LOOK_BITS)) {
            Some(entry) if entry.bits != 0 => {
                bits.skip(u32::from(entry.bits));
                Ok((entry.run, i32::from(entry.value)))
            }
            _ => self.long_coefficient(bits),
        }
    }

    #[cold]
    #[inline(never)]
    fn long_coefficient(&self, bits: &mut Bits<'_>) -> Result<(u8, i32), BadCode> {
        let symbol = self.symbol(bits)?;
        Ok((run(symbol), bits.take_signed(u32::from(symbol & 15))))
    }

    /// Takes a DC difference (T.81, F.2.2.1). The caller has refilled: 32 bits are used at most.
    #[inline(always)]
    pub(super) fn difference(&self, bits: &mut Bits<'_>) -> Result<i32, BadCode> {
        self.coefficient(bits).map(|(_, value)| value)
    }

    /// Whether every symbol is a DC difference's size.
    pub(super) fn is_dc(&self) -> bool {
        self.symbols.iter().all(|&symbol| symbol < 16)
    }

    /// Makes [`Table::skip_block`] ready.
    pub(super) fn prepare_skip(&mut self) {
        if self.skip.is_none() {
            self.skip = Some(Skip::new(self));
        }
    }

    /// Steps over a block's AC coefficients.
    #[inline(always)]
    pub(super) fn skip_block(&self, bits: &mut Bits<'_>) -> Result<(), BadCode> {
        let Some(skip) = &self.skip else {
            return Err(BadCode);
        };
        // The last coefficient that was stepped over.
        let mut last = 0_u32;
        loop {
            bits.refill();
            for _ in 0..super::bits::REFILLED / SKIP_BITS {
                let step = u32::from(skip.0[bits.peek(SKIP_BITS) & (SKIP_LENGTH - 1)]);
                let next = last + (step >> 4 & 0x7F);
                // Beyond 62 the block may have ended inside the step.
                if next < 63 && step != 0 {
                    bits.skip(step & 15);
                    if step & ENDS != 0 {
                        return Ok(());
                    }
                    last = next;
                } else {
                    // One by one.
                    bits.refill();
                    let (run, _) = self.coefficient(bits)?;
                    last += u32::from(run) + 1;
                    if last >= 63 {
                        return Ok(());
                    }
                    break;
                }
            }
        }
    }
}

/// Zeros before a coefficient, by its symbol: sixteen zeros are fifteen and a coefficient of 0.
fn run(symbol: u8) -> u8 {
    match (symbol >> 4, symbol & 15) {
        (15, _) => 15,
        (_, 0) => END_OF_BLOCK,
        (run, _) => run,
    }
}

const SKIP_LENGTH: usize = 1 << SKIP_BITS;
/// In [`Skip`]: the block ends behind these symbols.
const ENDS: u32 = 1 << 11;

/// By the next [`SKIP_BITS`] bits, the symbols that lie whole in them: bits 0–3 their bits, 4–10 the
/// coefficients they step over, 11 whether the last one ends the block; 0 where there is none.
struct Skip(Box<[u16; SKIP_LENGTH]>);

impl Skip {
    fn new(table: &Table) -> Skip {
        let mut steps = Box::new([0; SKIP_LENGTH]);
        for (pattern, step) in (0_u32..).zip(steps.iter_mut()) {
            *step = Skip::step(table, pattern);
        }
        Skip(steps)
    }

    fn step(table: &Table, pattern: u32) -> u16 {
        let (mut used, mut stepped) = (0, 0);
        // What is not there reads as 0; a symbol that needs it doesn't count.
        let ahead = u64::from(pattern) << (64 - SKIP_BITS);
        while let Some((symbol, length)) = table.code((ahead << used >> 48) as u32) {
            let taken = used + length + u32::from(symbol & 15);
            if taken > SKIP_BITS {
                break;
            }
            match run(symbol) {
                END_OF_BLOCK => return (taken | stepped << 4 | ENDS) as u16,
                run if stepped + u32::from(run) + 1 > 63 => break,
                run => stepped += u32::from(run) + 1,
            }
            used = taken;
            if used == SKIP_BITS {
                break;
            }
        }
        (used | stepped << 4) as u16
    }
}
