//! Where random numbers come from: the recipe's seed, and what they are drawn for.
//!
//! Everything that draws seeds libtorch's generator anew, so that a run's state holds no generator: it can go on in the
//! middle, and what was not saved is drawn again.

use sha2::{Digest, Sha256};

/// Which numbers are drawn for what. A run under way cannot go on with another scheme.
pub(super) const SCHEME: u32 = 2;

/// What random numbers are drawn for. Epochs count from 1, all else from 0.
#[derive(Clone, Copy, Debug)]
pub(super) enum Draw {
    /// The order in which an epoch takes the photos.
    Order { epoch: usize },
    /// What a step learns from: augmentation, mixing.
    Lesson { epoch: usize, step: usize },
    /// The step itself: dropout.
    Step { epoch: usize, step: usize },
    /// The augmented validation photos of an epoch.
    Validation { epoch: usize },
    /// One batch of a view that is kept ([`super::views`]) of the photos so named.
    View {
        photos: &'static str,
        view: usize,
        batch: usize,
    },
}

impl Draw {
    /// Seeds libtorch's generator for it.
    pub(super) fn seed(self, seed: u64) {
        let place = match self {
            Draw::Order { epoch } => format!("{epoch} {}", usize::MAX),
            Draw::Lesson { epoch, step } => format!("lesson {epoch} {step}"),
            Draw::Step { epoch, step } => format!("{epoch} {step}"),
            Draw::Validation { epoch } => format!("{epoch} {}", usize::MAX - 1),
            Draw::View {
                photos,
                view,
                batch,
            } => format!("view {view} of {photos} {batch}"),
        };
        let digest = Sha256::digest(format!("{seed} {place}"));
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&digest[..8]);
        // Non-negative: libtorch takes an i64.
        tch::manual_seed((u64::from_le_bytes(bytes) >> 1) as i64);
    }
}
