//! What is asked of a photo, and what every answer to it has to hold.

use etalase::photo::{Fitted, Orientation, Photo, Region};
use etalase::{Fit, Result};

use crate::input::{Number, View};
use crate::{MOST, refused, sides_are_fine};

impl View {
    pub(crate) fn orientation(&self) -> Orientation {
        Orientation::turned(u32::from(self.quarters), self.mirrored)
    }

    pub(crate) fn region_of<'a>(&self, photo: Photo<'a>) -> Photo<'a> {
        let Some([x, y, width, height]) = self.region.map(|region| region.map(Number::get)) else {
            return photo;
        };
        photo.region(Region {
            x,
            y,
            width,
            height,
        })
    }

    pub(crate) fn of<'a>(&self, photo: Photo<'a>) -> Photo<'a> {
        self.region_of(photo).turned(self.orientation())
    }

    /// What is asked for, px: small, or more than may be.
    pub(crate) fn size(&self) -> (u32, u32) {
        let (width, height) = (self.width.get(), self.height.get());
        match u128::from(width) * u128::from(height) > MOST && sides_are_fine(width, height) {
            true => (width % 256, height % 256),
            false => (width, height),
        }
    }

    pub(crate) fn fit(&self, photo: &Photo<'_>) -> Result<Fitted> {
        let (width, height) = self.size();
        let fit = Fit::ALL[usize::from(self.fit) % Fit::ALL.len()];
        photo.fit(width, height, fit, [1, 2, 3])
    }

    /// What is made of a photo that is stored in `stored` px, or `None` where the view cannot be meant.
    pub(crate) fn checked(&self, photo: Photo<'_>, stored: (u32, u32)) -> Option<Fitted> {
        let photo = self.of(photo);
        let upright = if self.quarters % 2 == 1 {
            (stored.1, stored.0)
        } else {
            stored
        };
        assert_eq!(photo.size().expect("a size"), upright);
        let region = self
            .region
            .map(|region| region.map(Number::get).map(u64::from));
        let inside = region.is_none_or(|[x, y, width, height]| {
            let (across, down) = (u64::from(upright.0), u64::from(upright.1));
            width > 0 && height > 0 && x + width <= across && y + height <= down
        });
        let (width, height) = self.size();
        let fine = inside && sides_are_fine(width, height);
        let fitted = match self.fit(&photo) {
            Ok(fitted) => fitted,
            Err(error) => {
                assert!(!fine, "{error:?}");
                refused(error.kind());
                return None;
            }
        };
        assert!(fine, "{:?} of a view that cannot be meant", fitted.image);
        assert_eq!(
            (fitted.image.width(), fitted.image.height()),
            (width, height)
        );
        assert_eq!(
            fitted.image.pixels().len() as u64,
            u64::from(width) * u64::from(height) * 3
        );
        let seen = match region {
            Some([_, _, width, height]) => (width, height),
            None => (u64::from(upright.0), u64::from(upright.1)),
        };
        let measured = (fitted.measures.width_px, fitted.measures.height_px);
        assert_eq!((u64::from(measured.0), u64::from(measured.1)), seen);
        let quarter = Orientation::turned(1, false);
        let round = self
            .orientation()
            .then(quarter)
            .then(quarter)
            .then(quarter)
            .then(quarter);
        assert!(self.fit(&photo.turned(round)).expect("turned once round") == fitted);
        Some(fitted)
    }
}
