//! The photos and weights folder: where it is, whether it is whole, and where to get it.
//!
//! It lies outside the tree (hundreds of megabytes, licences of its own). ETALASE_DATA names it;
//! without that, `../shared` beside the checkout is taken if it exists.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// What the tests read; all of it or none counts.
const NEEDED: [&str; 4] = [
    "data/clothing/train",
    "data/clothing/validation",
    "weights/mobilenet_1_0_224_tf_no_top.h5",
    "weights/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
];

/// How to get the folder, for those who do not have it.
pub const HOW_TO_GET: &str = "\
Set ETALASE_DATA to a folder of this layout (or put it at ../shared beside the checkout):
  data/clothing/train, data/clothing/validation   a folder per class; the splits of
                                                  github.com/alexeygrigorev/clothing-dataset-small (CC0)
  data/clothing-extra/labels.csv and its photos   github.com/alexeygrigorev/clothing-dataset (CC0); optional
  data/not-a-product                              photos from github.com/marcusklasson/GroceryStoreDataset (MIT); optional
  weights/mobilenet_1_0_224_tf_no_top.h5,
  weights/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5
                                                  MobileNetV1 and V2 without top in keras-applications' layout,
                                                  dequantized from github.com/google-coral/test_data (Apache-2.0)";

/// Finds the folder. `None`: there is none. An ETALASE_DATA that is set but not whole is an error,
/// for its owner believes that it is used.
pub fn find() -> Result<Option<PathBuf>> {
    let (folder, named) = match std::env::var_os("ETALASE_DATA") {
        Some(path) if !path.is_empty() => (PathBuf::from(path), true),
        _ => (crate::root().join("..").join("shared"), false),
    };
    let missing = missing_in(&folder);
    if missing.is_empty() {
        return Ok(Some(folder.canonicalize()?));
    }
    if named {
        bail!(
            "ETALASE_DATA={}: not there: {}\n{HOW_TO_GET}",
            folder.display(),
            missing.join(", ")
        );
    }
    if folder.is_dir() {
        eprintln!(
            "{}: not used as the photos and weights folder, not there: {}",
            folder.display(),
            missing.join(", ")
        );
    }
    Ok(None)
}

fn missing_in(folder: &Path) -> Vec<&'static str> {
    NEEDED
        .into_iter()
        .filter(|name| !folder.join(name).exists())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_counts_only_when_whole() {
        let folder =
            std::env::temp_dir().join(format!("etalase-xtask-data-{}", std::process::id()));
        for name in &NEEDED[1..] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
        }
        assert_eq!(missing_in(&folder), [NEEDED[0]]);
        std::fs::create_dir_all(folder.join(NEEDED[0])).unwrap();
        assert!(missing_in(&folder).is_empty());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
