//! The bits of an entropy-coded segment, 56 and more at a time.
//!
//! In such a segment 0xFF is followed by a stuffed 0; 0xFF and anything else is a marker and
//! ends it. Behind the end zeros are given, and [`Bits::overrun`] tells that some were used.
//! Reference: ITU-T T.81 (1992), F.2.2.5.

/// The most bits that one refill vouches for.
pub(super) const REFILLED: u32 = 56;

pub(super) struct Bits<'a> {
    data: &'a [u8],
    /// The next byte to load; stays at the marker that ends the segment.
    at: usize,
    /// The next bits, from the top.
    window: u64,
    /// How many bits of `window` count.
    count: u32,
    /// How many of those that counted since the segment's begin were zeros behind its end.
    padding: u32,
}

impl<'a> Bits<'a> {
    /// The segment of `data` that begins at `at`.
    pub(super) fn new(data: &'a [u8], at: usize) -> Bits<'a> {
        Bits {
            data,
            at,
            window: 0,
            count: 0,
            padding: 0,
        }
    }

    /// Makes at least [`REFILLED`] bits ready.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        if let Some(&[a, b, c, d, e, f, g, h]) = self.data.get(self.at..self.at + 8) {
            let word = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
            if !has_ff(word) {
                // Bits below `count` are those of the bytes loaded next, so writing them twice
                // changes nothing.
                self.window |= word >> self.count;
                self.at += ((63 - self.count) >> 3) as usize;
                self.count |= REFILLED;
                return;
            }
        }
        self.refill_bytewise();
    }

    #[cold]
    #[inline(never)]
    fn refill_bytewise(&mut self) {
        self.window &= u64::MAX.checked_shl(64 - self.count).unwrap_or(0);
        while self.count < REFILLED {
            let byte = match (self.data.get(self.at), self.data.get(self.at + 1)) {
                (Some(0xFF), Some(0)) => {
                    self.at += 2;
                    0xFF
                }
                (Some(&byte), _) if byte != 0xFF => {
                    self.at += 1;
                    byte
                }
                _ => {
                    self.padding += 8;
                    0
                }
            };
            self.window |= u64::from(byte) << (REFILLED - self.count);
            self.count += 8;
        }
    }

    /// The next `count` bits, 1 to 32 of them, without taking them.
    #[inline(always)]
    pub(super) fn peek(&self, count: u32) -> usize {
        (self.window >> (64 - count)) as usize
    }

    /// Takes `count` bits. The caller has refilled.
    #[inline(always)]
    pub(super) fn skip(&mut self, count: u32) {
        self.window <<= count;
        self.count = self.count.wrapping_sub(count);
    }

    /// Takes `count` bits, 0 to 16.
    #[inline(always)]
    pub(super) fn take(&mut self, count: u32) -> i32 {
        // Two shifts: one by 64 is none.
        let bits = (self.window >> 1 >> (63 - count)) as i32;
        self.skip(count);
        bits
    }

    /// Takes `size` bits, 0 to 16, as a signed value (T.81, table F.1 and figure F.12).
    #[inline(always)]
    pub(super) fn take_signed(&mut self, size: u32) -> i32 {
        extend(self.take(size), size)
    }

    /// Takes one bit; refills by itself.
    #[inline(always)]
    pub(super) fn bit(&mut self) -> bool {
        if self.count == 0 {
            self.refill();
        }
        let set = self.window >> 63 != 0;
        self.skip(1);
        set
    }

    /// Whether bits were used that the segment does not have.
    pub(super) fn overrun(&self) -> bool {
        self.padding > self.count
    }

    /// Where the segment's marker is looked for: no byte before it is unread.
    pub(super) fn end(&self) -> usize {
        self.at
    }
}

/// `bits` of `size` bits as the signed value that they stand for.
#[inline(always)]
pub(super) fn extend(bits: i32, size: u32) -> i32 {
    let half = (1 << size) >> 1;
    if bits < half {
        bits - (1 << size) + 1
    } else {
        bits
    }
}

/// Whether one of the eight bytes is 0xFF.
#[inline(always)]
fn has_ff(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    (!word).wrapping_sub(ONES) & word & (ONES << 7) != 0
}

/// Where the next marker's code is, at or after `at`: behind 0xFF, and neither a stuffed 0 nor
/// fill. `None` where there is none.
pub(super) fn find_marker(data: &[u8], mut at: usize) -> Option<usize> {
    loop {
        while let Some(&[a, b, c, d, e, f, g, h]) = data.get(at..at + 8)
            && !has_ff(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
        {
            at += 8;
        }
        at += data.get(at..)?.iter().position(|&byte| byte == 0xFF)? + 1;
        at += data.get(at..)?.iter().position(|&byte| byte != 0xFF)?;
        if *data.get(at)? != 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_in_order_without_stuffing() {
        let data = [
            0xA5, 0xFF, 0, 0x3C, 1, 2, 3, 4, 5, 6, 7, 8, 0xFF, 0, 9, 0xFF, 0xD9,
        ];
        let wanted = [0xA5, 0xFF, 0x3C, 1, 2, 3, 4, 5, 6, 7, 8, 0xFF, 9];
        for size in 1..=16 {
            let mut bits = Bits::new(&data, 0);
            let mut read = Vec::new();
            while read.len() + size <= wanted.len() * 8 {
                bits.refill();
                let value = bits.take(size as u32);
                read.extend((0..size).rev().map(|bit| value >> bit & 1));
            }
            let expected = wanted
                .iter()
                .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
            assert!(
                expected.zip(&read).all(|(a, &b)| a == b),
                "{size} at a time"
            );
            assert!(!bits.overrun(), "{size} at a time");
            assert_eq!(bits.end(), data.len() - 2);
            bits.refill();
            bits.take(16);
            assert!(bits.overrun(), "zeros behind the end are told");
        }
    }

    #[test]
    fn signed_values_are_those_of_the_table() {
        let table: [(i32, u32, i32); 8] = [
            (0, 0, 0),
            (0, 1, -1),
            (1, 1, 1),
            (0b00, 2, -3),
            (0b01, 2, -2),
            (0b10, 2, 2),
            (0, 15, -32_767),
            (0x7FFF, 15, 32_767),
        ];
        for (bits, size, value) in table {
            assert_eq!(extend(bits, size), value, "{bits} of {size}");
        }
    }

    #[test]
    fn markers_are_found_behind_stuffing_and_fill() {
        let mut data = vec![7; 21];
        data.extend([0xFF, 0, 1, 0xFF, 0xFF, 0xFF, 0xD3, 5]);
        assert_eq!(find_marker(&data, 0), Some(27));
        assert_eq!(find_marker(&data, 27), None);
        assert_eq!(find_marker(&[0xFF, 0xFF], 0), None);
    }
}
