//! Augmentation as one batched affine sampling on the device: rotation, shift, shear, zoom and flip in one read of the
//! photo, then brightness, contrast and saturation.
//!
//! Photos come larger than the network's input, so that zooming in finds real pixels. The result is rounded to whole
//! grey levels: the network never sees a value that a phone's u8 pixel could not have.

use tch::{Device, Kind, Tensor};

use super::recipe::Augmentation;

/// Border mode of libtorch's grid sampler: the edge pixel goes on outside, as in Keras' `nearest`.
const BORDER: i64 = 1;
const BILINEAR: i64 = 0;

/// Draws one transformation a photo. `photos` is `[n, h, w, 3]` u8; the result `[n, size, size, 3]` f32, whole numbers in
/// 0..=255. Random numbers come from libtorch's generator.
pub fn augment(photos: &Tensor, size: usize, a: &Augmentation) -> Tensor {
    let n = photos.size()[0];
    let source = photos.permute([0, 3, 1, 2]).to_kind(Kind::Float);
    let theta = transformations(n, a, photos.device());
    let grid = Tensor::affine_grid_generator(&theta, [n, 3, size as i64, size as i64], false);
    let sampled = source.grid_sampler(&grid, BILINEAR, BORDER, false);
    // Contiguous NHWC: a permuted view would send the whole network down libtorch's slow NCHW path.
    recolour(&sampled, a.colour)
        .round()
        .clamp(0.0, 255.0)
        .permute([0, 2, 3, 1])
        .contiguous()
}

/// `n` numbers from `-range..range`.
fn uniform(n: i64, range: f64, device: Device) -> Tensor {
    (Tensor::rand([n], (Kind::Float, device)) * 2.0 - 1.0) * range
}

/// `[n, 2, 3]`: from output coordinates to photo coordinates, both -1..1.
fn transformations(n: i64, a: &Augmentation, device: Device) -> Tensor {
    let angle = uniform(n, a.rotation_degrees.to_radians(), device);
    let shear = uniform(n, a.shear_degrees.to_radians(), device);
    let (zoom_x, zoom_y) = (
        uniform(n, a.zoom, device) + 1.0,
        uniform(n, a.zoom, device) + 1.0,
    );
    let flipped = Tensor::rand([n], (Kind::Float, device))
        .lt(a.flip)
        .to_kind(Kind::Float);
    let mirror = flipped * -2.0 + 1.0;
    // A shift of half the side is 1 in these coordinates.
    let (shift_x, shift_y) = (
        uniform(n, 2.0 * a.shift, device),
        uniform(n, 2.0 * a.shift, device),
    );
    // Rotation · shear · zoom, as in Keras' ImageDataGenerator.
    let (cos, sin) = (angle.cos(), angle.sin());
    let (shear_sin, shear_cos) = (shear.sin(), shear.cos());
    let xx = &cos * &zoom_x * mirror;
    let xy = (&cos * &shear_sin * -1.0 - &sin * &shear_cos) * &zoom_y;
    let yx = &sin * &zoom_x;
    let yy = (&cos * &shear_cos - &sin * &shear_sin) * &zoom_y;
    Tensor::stack(&[xx, xy, shift_x, yx, yy, shift_y], 1).reshape([n, 2, 3])
}

/// Brightness, contrast and saturation of `[n, 3, h, w]` grey levels.
fn recolour(photos: &Tensor, range: f64) -> Tensor {
    if range == 0.0 {
        return photos.shallow_clone();
    }
    let n = photos.size()[0];
    let factor = || (uniform(n, range, photos.device()) + 1.0).reshape([n, 1, 1, 1]);
    let (brightness, contrast, saturation) = (factor(), factor(), factor());
    let grey = photos.mean_dim([1].as_slice(), true, Kind::Float);
    let saturated = &grey + (photos - &grey) * saturation;
    let mean = saturated.mean_dim([1, 2, 3].as_slice(), true, Kind::Float);
    (&mean + (saturated - &mean) * contrast) * brightness
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Augmentation = Augmentation::NONE;

    fn photos() -> Tensor {
        Tensor::arange(2 * 6 * 6 * 3, (Kind::Int64, Device::Cpu))
            .reshape([2, 6, 6, 3])
            .to_kind(Kind::Uint8)
    }

    #[test]
    fn no_range_changes_nothing() {
        let out = augment(&photos(), 6, &NONE);
        assert!(out.equal(&photos().to_kind(Kind::Float)));
    }

    #[test]
    fn a_flip_mirrors_left_and_right() {
        let out = augment(&photos(), 6, &Augmentation { flip: 1.0, ..NONE });
        assert!(out.equal(&photos().flip([2]).to_kind(Kind::Float)));
    }

    #[test]
    fn every_range_moves_pixels_within_the_grey_levels() {
        for changed in [
            Augmentation {
                rotation_degrees: 30.0,
                ..NONE
            },
            Augmentation { shift: 0.3, ..NONE },
            Augmentation {
                shear_degrees: 30.0,
                ..NONE
            },
            Augmentation { zoom: 0.4, ..NONE },
            Augmentation {
                colour: 0.5,
                ..NONE
            },
        ] {
            tch::manual_seed(3);
            let out = augment(&photos(), 6, &changed);
            assert!(!out.equal(&photos().to_kind(Kind::Float)), "{changed:?}");
            assert!(
                out.min().double_value(&[]) >= 0.0 && out.max().double_value(&[]) <= 255.0,
                "{changed:?}"
            );
            assert!(out.equal(&out.round()), "{changed:?}");
            tch::manual_seed(3);
            assert!(
                augment(&photos(), 6, &changed).equal(&out),
                "{changed:?} is not repeatable"
            );
        }
    }
}
