//! What the tests that cross crates share: where goldens and photos lie, and `.npy` files of u8.
//!
//! The goldens are read by Rust and Python alike, so they are `.npy`. Only u8 in C order is read
//! and written here; the command has a complete reader.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

/// A file of this crate's folder, such as `data/sample.jpg`.
pub fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The photos and weights folder.
///
/// # Errors
/// Where ETALASE_DATA is not set: these tests never pass by having nothing to read.
pub fn data_folder() -> Result<PathBuf> {
    let folder = std::env::var_os("ETALASE_DATA")
        .context("ETALASE_DATA is not set: `cargo xtask test` sets it")?;
    Ok(folder.into())
}

const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";

/// Writes `values` as a u8 `.npy` file of this shape, C order.
///
/// # Errors
/// Where the shape does not hold as many values, or the file cannot be written.
pub fn write_npy(path: &Path, shape: &[usize], values: &[u8]) -> Result<()> {
    ensure!(
        shape.iter().product::<usize>() == values.len(),
        "{}: {} values for shape {shape:?}",
        path.display(),
        values.len()
    );
    let sides: String = shape.iter().map(|side| format!("{side}, ")).collect();
    let mut header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({sides}), }}");
    // The format wants data at a multiple of 64, padded by spaces up to a newline.
    while !(MAGIC.len() + 2 + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = MAGIC.to_vec();
    bytes.extend(u16::try_from(header.len())?.to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values);
    std::fs::write(path, bytes).with_context(|| format!("{}: cannot write", path.display()))
}

/// Reads a u8 `.npy` file in C order: its shape and its values.
///
/// # Errors
/// Where the file cannot be read or holds anything else.
pub fn read_npy(path: &Path) -> Result<(Vec<usize>, Vec<u8>)> {
    let bytes = std::fs::read(path).with_context(|| format!("{}: cannot read", path.display()))?;
    parse_npy(&bytes).with_context(|| format!("{}: not a u8 .npy file", path.display()))
}

fn parse_npy(bytes: &[u8]) -> Result<(Vec<usize>, Vec<u8>)> {
    let rest = bytes
        .strip_prefix(MAGIC)
        .context("no .npy magic of version 1")?;
    let (length, rest) = rest.split_at_checked(2).context("cut short")?;
    let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
    let (header, values) = rest.split_at_checked(length).context("cut short")?;
    let header = std::str::from_utf8(header)?;
    if !header.contains("'descr': '|u1'") || !header.contains("'fortran_order': False") {
        bail!("header {header}");
    }
    let (_, sides) = header.split_once("'shape': (").context("no shape")?;
    let (sides, _) = sides.split_once(')').context("no shape")?;
    let sides = sides
        .split(',')
        .map(str::trim)
        .filter(|side| !side.is_empty());
    let shape = sides.map(str::parse).collect::<Result<Vec<usize>, _>>()?;
    ensure!(
        shape.iter().product::<usize>() == values.len(),
        "{} values for shape {shape:?}",
        values.len()
    );
    Ok((shape, values.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numpy_s_own_file_is_read() {
        let (shape, values) = read_npy(&file("goldens/mobilenet_v1/input.npy")).unwrap();
        assert_eq!(shape, [1, 224, 224, 3]);
        assert!(values.iter().any(|&value| value != values[0]));
    }

    #[test]
    fn other_types_are_refused() {
        let error = read_npy(&file("goldens/mobilenet_v1/features.npy")).unwrap_err();
        assert!(format!("{error:#}").contains("<f4"), "{error:#}");
    }

    #[test]
    fn what_is_written_is_read_again() {
        let path = std::env::temp_dir().join(format!("etalase-npy-{}.npy", std::process::id()));
        write_npy(&path, &[2, 3], &[1, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!(
            read_npy(&path).unwrap(),
            (vec![2, 3], vec![1, 2, 3, 4, 5, 6])
        );
        assert!(write_npy(&path, &[2, 3], &[1]).is_err());
        std::fs::remove_file(path).unwrap();
    }
}
