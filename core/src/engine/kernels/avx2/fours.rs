//! Weights of a convolution by fours of inputs, narrow or wide ([`super::conv`]), in the order in
//! which tiles read them.

use super::TILE_CHANNELS;
use super::products::Taken;
use crate::engine::kernels::{ConvWeights, PackedConv, Shape, Window};

/// Inputs that are taken at a time.
pub(super) const INPUTS: usize = 4;
/// Bytes of the weights of a narrow four, and of a wide one.
pub(super) const NARROW_BYTES: usize = TILE_CHANNELS * INPUTS;
pub(super) const WIDE_BYTES: usize = 2 * NARROW_BYTES;
/// Bytes of a line of the cache.
pub(super) const LINE: usize = 64;

/// What the packed weights begin with, once a tile: where the tile's are, and how many fours
/// of either kind it has. There stand the places of their inputs, narrow ones first, `u32`
/// each, and from the next line of the cache on their weights.
#[derive(Clone, Copy, Default)]
pub(super) struct Fours {
    pub(super) at: usize,
    pub(super) narrow: usize,
    pub(super) wide: usize,
}

impl Fours {
    const HEAD_BYTES: usize = 3 * size_of::<usize>();

    /// Bytes of their places, and of all.
    pub(super) fn places_bytes(self) -> usize {
        ((self.narrow + self.wide) * size_of::<u32>()).next_multiple_of(LINE)
    }

    pub(super) fn bytes(self) -> usize {
        self.places_bytes() + self.narrow * NARROW_BYTES + self.wide * WIDE_BYTES
    }

    /// Of tile `n`.
    pub(super) fn of(packed: &PackedConv, n: usize) -> Fours {
        let from = &packed.weights.as_slice()[n * Fours::HEAD_BYTES..][..Fours::HEAD_BYTES];
        let (numbers, _) = from.as_chunks();
        let number = |at: usize| usize::from_ne_bytes(numbers[at]);
        Fours {
            at: number(0),
            narrow: number(1),
            wide: number(2),
        }
    }

    /// The narrow ones and the wide ones, in the weights that they are of.
    pub(super) fn taken(self, packed: &PackedConv) -> [Taken; 2] {
        let places = packed.weights.as_ptr().wrapping_add(self.at);
        let weights = places.wrapping_add(self.places_bytes());
        let narrow = Taken {
            fours: self.narrow,
            places: places.cast(),
            weights,
        };
        let wide = Taken {
            fours: self.wide,
            places: narrow.places.wrapping_add(self.narrow),
            weights: weights.wrapping_add(self.narrow * NARROW_BYTES),
        };
        [narrow, wide]
    }

    /// Writes tile `n`'s.
    fn write(self, n: usize, packed: &mut [u8]) {
        let (to, _) = packed[n * Fours::HEAD_BYTES..].as_chunks_mut();
        for (to, number) in to.iter_mut().zip([self.at, self.narrow, self.wide]) {
            *to = number.to_ne_bytes();
        }
    }
}

/// Whether no inputs can bring a pair of these weights, one channel's, beyond 16 bits: 255
/// times 128 is within them.
fn is_narrow([a, b, c, d]: [i8; INPUTS]) -> bool {
    let fits = |a: i8, b: i8| (-128..=128).contains(&(i16::from(a) + i16::from(b)));
    fits(a, b) && fits(c, d)
}

/// One channel's weights by fours, the last with zeros behind it.
fn fours(weights: &[i8]) -> impl Iterator<Item = [i8; INPUTS]> {
    let (whole, rest) = weights.as_chunks::<INPUTS>();
    let last = (!rest.is_empty()).then(|| {
        let mut last = [0; INPUTS];
        last[..rest.len()].copy_from_slice(rest);
        last
    });
    whole.iter().copied().chain(last)
}

pub(super) fn pack(shape: &Shape, window: &Window, of: &ConvWeights) -> PackedConv {
    let taken = window.kernel.0 * window.kernel.1 * shape.channels_in;
    let tiles = || of.weights.chunks(taken * TILE_CHANNELS);
    let count = shape.channels_out.div_ceil(TILE_CHANNELS);
    let wide: Vec<Vec<bool>> = tiles().map(|tile| are_wide(tile, taken)).collect();
    let mut end = (count * Fours::HEAD_BYTES).next_multiple_of(LINE);
    let heads = wide.iter().map(|kinds| {
        let wide = kinds.iter().filter(|&&wide| wide).count();
        let head = Fours {
            at: end,
            narrow: kinds.len() - wide,
            wide,
        };
        end += head.bytes();
        head
    });
    let heads: Vec<Fours> = heads.collect();
    let mut packed = PackedConv::padded(of, end, count * TILE_CHANNELS);
    let bytes = packed.weights.as_mut_slice();
    for (n, ((tile, wide), head)) in tiles().zip(&wide).zip(&heads).enumerate() {
        head.write(n, bytes);
        let of_tile = &mut bytes[head.at..][..head.bytes()];
        let (places, weights) = of_tile.split_at_mut(head.places_bytes());
        let begins = write_places(*head, wide, places);
        for (lane, channel) in tile.chunks_exact(taken).enumerate() {
            for ((four, &wide), begin) in fours(channel).zip(wide).zip(&begins) {
                write_four(four, wide, &mut weights[begin + lane * INPUTS..]);
            }
        }
    }
    packed
}

/// Which fours of a tile's channels, of `taken` inputs each, are wide.
fn are_wide(tile: &[i8], taken: usize) -> Vec<bool> {
    let mut wide = vec![false; taken.div_ceil(INPUTS)];
    for channel in tile.chunks_exact(taken) {
        for (wide, four) in wide.iter_mut().zip(fours(channel)) {
            *wide |= !is_narrow(four);
        }
    }
    wide
}

/// Writes where the inputs of a tile's fours are, and tells where the weights of each begin.
fn write_places(head: Fours, wide: &[bool], places: &mut [u8]) -> Vec<usize> {
    let (to, _) = places.as_chunks_mut::<{ size_of::<u32>() }>();
    let (mut narrow_ones, mut wide_ones) = (0, 0);
    let begin = |(four, &wide): (usize, &bool)| {
        let (number, begin) = if wide {
            wide_ones += 1;
            (
                head.narrow + wide_ones - 1,
                head.narrow * NARROW_BYTES + (wide_ones - 1) * WIDE_BYTES,
            )
        } else {
            narrow_ones += 1;
            (narrow_ones - 1, (narrow_ones - 1) * NARROW_BYTES)
        };
        to[number] = ((four * INPUTS) as u32).to_ne_bytes();
        begin
    };
    wide.iter().enumerate().map(begin).collect()
}

/// Writes one channel's four to where its lane begins.
fn write_four(four: [i8; INPUTS], wide: bool, to: &mut [u8]) {
    if !wide {
        // [channel][input]
        to[..INPUTS].copy_from_slice(&four.map(i8::cast_unsigned));
        return;
    }
    // [pair of inputs][channel][input of the pair]
    let [a, b, c, d] = four.map(|weight| i16::from(weight).to_le_bytes());
    for (pair, [x, y]) in [[a, b], [c, d]].into_iter().enumerate() {
        let to = &mut to[pair * (WIDE_BYTES / 2)..][..INPUTS];
        to.copy_from_slice(&[x[0], x[1], y[0], y[1]]);
    }
}

#[cfg(test)]
mod tests {
    use super::is_narrow;

    #[test]
    fn narrow_is_what_cannot_leave_sixteen_bits() {
        for (a, b) in (i8::MIN..=i8::MAX).flat_map(|a| (i8::MIN..=i8::MAX).map(move |b| (a, b))) {
            let [most, least] = [i8::max, i8::min].map(|of| {
                let products = [a, b].map(|weight| 255 * i32::from(of(weight, 0)));
                products.iter().sum::<i32>()
            });
            let fits = most <= i32::from(i16::MAX) && least >= i32::from(i16::MIN);
            assert_eq!(is_narrow([a, b, 0, 0]), fits, "{a} {b}");
            assert_eq!(is_narrow([0, 0, a, b]), fits, "{a} {b}");
        }
    }
}
