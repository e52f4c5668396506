//! How a stored picture has to be turned to stand upright: the eight ways of EXIF, which are all
//! quarter turns with and without a mirror.
//!
//! Pictures are turned when they are small, so here are the coordinates, and the small picture.
//! Reference: CIPA DC-008 (EXIF 2.32), 4.6.4, tag 274.

use super::Image;

/// From stored pixels to upright ones. By default they are upright.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Orientation {
    /// Upright (x, y) is stored at column y, row x, before the flips.
    transposed: bool,
    /// Stored columns, rows are counted from the other end.
    flipped: (bool, bool),
}

impl Orientation {
    /// Stored as seen.
    pub const UPRIGHT: Orientation = Orientation {
        transposed: false,
        flipped: (false, false),
    };

    /// By EXIF's number, 1 to 8; `None` for another.
    pub fn from_exif(number: u8) -> Option<Orientation> {
        let (transposed, across, down) = match number {
            1 => (false, false, false),
            2 => (false, true, false),
            3 => (false, true, true),
            4 => (false, false, true),
            5 => (true, false, false),
            6 => (true, false, true),
            7 => (true, true, true),
            8 => (true, true, false),
            _ => return None,
        };
        Some(Orientation {
            transposed,
            flipped: (across, down),
        })
    }

    /// The stored picture, turned clockwise by `quarters` times 90° and then, where `mirrored`, left and
    /// right exchanged, stands upright. What Android's `rotationDegrees` says, divided by 90; a
    /// front camera's preview is mirrored.
    pub fn turned(quarters: u32, mirrored: bool) -> Orientation {
        let number = [1, 6, 3, 8][(quarters % 4) as usize];
        let turned = Orientation::from_exif(number).unwrap_or_default();
        match mirrored {
            true => turned.then(Orientation {
                transposed: false,
                flipped: (true, false),
            }),
            false => turned,
        }
    }

    /// This one, and `next` on what it gives.
    #[must_use]
    pub fn then(self, next: Orientation) -> Orientation {
        // From upright coordinates back: `next`'s transposition and flips, then this one's.
        let (across, down) = match self.transposed {
            true => (next.flipped.1, next.flipped.0),
            false => next.flipped,
        };
        Orientation {
            transposed: self.transposed != next.transposed,
            flipped: (self.flipped.0 != across, self.flipped.1 != down),
        }
    }

    /// Width and height, exchanged where the picture is turned by a quarter: from stored to
    /// upright and back.
    pub(super) fn size<T>(self, (width, height): (T, T)) -> (T, T) {
        match self.transposed {
            true => (height, width),
            false => (width, height),
        }
    }

    /// The box `[left, top, width, height]` of the upright picture, in the stored one of size `stored`.
    pub(super) fn stored_box(
        self,
        [left, top, width, height]: [f64; 4],
        stored: (f64, f64),
    ) -> [f64; 4] {
        let (left, top) = self.size((left, top));
        let (width, height) = self.size((width, height));
        let from = |flipped, at, length, whole| if flipped { whole - (at + length) } else { at };
        [
            from(self.flipped.0, left, width, stored.0),
            from(self.flipped.1, top, height, stored.1),
            width,
            height,
        ]
    }

    /// The upright picture of stored pixels.
    pub(super) fn upright(self, stored: Image) -> Image {
        if self == Orientation::UPRIGHT {
            return stored;
        }
        let (width, height) = self.size((stored.width, stored.height));
        let mut upright = Image {
            width,
            height,
            pixels: vec![0; stored.pixels.len()],
        };
        self.lay_into(&stored, &mut upright, 0, 0);
        upright
    }

    /// The upright picture of stored pixels, laid into `canvas` with its corner at (`left`, `top`).
    pub(super) fn lay_into(self, stored: &Image, canvas: &mut Image, left: usize, top: usize) {
        let (stored_width, stored_height) = (stored.width as usize, stored.height as usize);
        let (width, height) = self.size((stored_width, stored_height));
        let (pixels, _) = stored.pixels.as_chunks::<3>();
        let canvas_width = canvas.width as usize;
        let (to, _) = canvas.pixels.as_chunks_mut::<3>();
        let rows = to.chunks_exact_mut(canvas_width).skip(top).take(height);
        for (y, row) in rows.enumerate() {
            for (x, to) in row.iter_mut().skip(left).take(width).enumerate() {
                let (column, line) = self.size((x, y));
                let from =
                    |flipped, at: usize, length: usize| if flipped { length - 1 - at } else { at };
                let column = from(self.flipped.0, column, stored_width);
                let line = from(self.flipped.1, line, stored_height);
                if let Some(pixel) = pixels.get(line * stored_width + column) {
                    *to = *pixel;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two rows of three numbered pixels.
    fn numbered() -> Image {
        let pixels = (0..6).flat_map(|n| [n, 0, 0]).collect();
        Image::from_rgb(3, 2, pixels).expect("an image")
    }

    fn upright(stored: &Image, orientation: Orientation) -> Image {
        let (width, height) = orientation.size((stored.width, stored.height));
        let pixels = vec![9; stored.pixels.len()];
        let mut canvas = Image::from_rgb(width, height, pixels).expect("an image");
        orientation.lay_into(stored, &mut canvas, 0, 0);
        canvas
    }

    fn numbers(image: &Image) -> Vec<Vec<u8>> {
        let rows = image.pixels.chunks_exact(image.width as usize * 3);
        rows.map(|row| row.iter().copied().step_by(3).collect())
            .collect()
    }

    #[test]
    fn the_eight_ways() {
        // EXIF: 0th row is the visual …, 0th column is the visual ….
        let wanted: [&[&[u8]]; 8] = [
            &[&[0, 1, 2], &[3, 4, 5]],
            &[&[2, 1, 0], &[5, 4, 3]],
            &[&[5, 4, 3], &[2, 1, 0]],
            &[&[3, 4, 5], &[0, 1, 2]],
            &[&[0, 3], &[1, 4], &[2, 5]],
            &[&[3, 0], &[4, 1], &[5, 2]],
            &[&[5, 2], &[4, 1], &[3, 0]],
            &[&[2, 5], &[1, 4], &[0, 3]],
        ];
        for (number, wanted) in (1..=8).zip(wanted) {
            let orientation = Orientation::from_exif(number).expect("one of eight");
            assert_eq!(
                numbers(&upright(&numbered(), orientation)),
                wanted,
                "{number}"
            );
        }
        assert_eq!(Orientation::from_exif(0), None);
        assert_eq!(Orientation::from_exif(9), None);
    }

    #[test]
    fn one_after_the_other() {
        let all: Vec<Orientation> = (1..=8).filter_map(Orientation::from_exif).collect();
        for &first in &all {
            for &second in &all {
                let stepwise = upright(&upright(&numbered(), first), second);
                assert_eq!(upright(&numbered(), first.then(second)), stepwise);
            }
        }
        assert_eq!(
            numbers(&upright(&numbered(), Orientation::turned(1, false))),
            [[3, 0], [4, 1], [5, 2]]
        );
        assert_eq!(
            numbers(&upright(&numbered(), Orientation::turned(5, true))),
            [[0, 3], [1, 4], [2, 5]]
        );
    }

    #[test]
    fn boxes_go_where_their_pixels_are() {
        for number in 1..=8 {
            let orientation = Orientation::from_exif(number).expect("one of eight");
            let image = upright(&numbered(), orientation);
            for (y, row) in numbers(&image).iter().enumerate() {
                for (x, &pixel) in row.iter().enumerate() {
                    let cell = [x as f64, y as f64, 1.0, 1.0];
                    let [left, top, ..] = orientation.stored_box(cell, (3.0, 2.0));
                    assert_eq!(f64::from(pixel), top * 3.0 + left, "{number}");
                }
            }
        }
    }
}
