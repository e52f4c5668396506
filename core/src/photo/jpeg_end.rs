//! Is the JPEG whole? Walks the segments to the end-of-image marker.
//!
//! Our decoder (zune-jpeg, as `image` sets it up) fills what is missing with grey
//! and reports success; a half-grey shoe would then be classified with
//! confidence. Damage inside a scan of full length is not seen: entropy-coded data
//! has no checksum. The walk decodes nothing and costs one pass over the bytes.
//! Reference: ITU-T T.81 (1992), annex B.

/// Why a JPEG is not whole; each text completes "the JPEG is cut short: …".
pub(super) fn check(bytes: &[u8]) -> Result<(), &'static str> {
    if !bytes.starts_with(&[0xFF, SOI]) {
        return Err("it doesn't start with a start-of-image marker");
    }
    let mut at = 2;
    let mut scans = 0_u32;
    loop {
        let marker = next_marker(bytes, &mut at).ok_or(if scans == 0 {
            "the file ends before the picture"
        } else {
            "the file ends inside the picture, before the end-of-image marker"
        })?;
        match marker {
            EOI if scans == 0 => return Err("it holds no picture"),
            // What follows (a second picture, a video, padding) is not ours.
            EOI => return Ok(()),
            // Markers that stand alone.
            0x01 | RST0..=RST7 | SOI => {}
            _ => {
                let length = match bytes.get(at..at + 2) {
                    Some(&[high, low]) => usize::from(u16::from_be_bytes([high, low])),
                    _ => return Err("the file ends inside a header"),
                };
                if length < 2 {
                    return Err("a segment gives an impossible length");
                }
                at += length;
                if at > bytes.len() {
                    return Err("the file ends inside a header");
                }
                if marker == SOS {
                    scans += 1;
                }
            }
        }
    }
}

const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;
const RST0: u8 = 0xD0;
const RST7: u8 = 0xD7;

/// The code of the next marker at or after `at`; leaves `at` behind it. Skips
/// entropy-coded data: there 0xFF is followed by a stuffed 0, a restart marker
/// (taken for a marker without content by the caller) or fill bytes of 0xFF.
fn next_marker(bytes: &[u8], at: &mut usize) -> Option<u8> {
    loop {
        let rest = bytes.get(*at..)?;
        *at += rest.iter().position(|&byte| byte == 0xFF)? + 1;
        while bytes.get(*at) == Some(&0xFF) {
            *at += 1;
        }
        let code = *bytes.get(*at)?;
        *at += 1;
        if code != 0 {
            return Some(code);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SOI, an APP1 segment that holds a whole small JPEG (a thumbnail), SOS with
    /// stuffed bytes and a restart marker, a second scan, EOI.
    fn progressive_with_thumbnail() -> Vec<u8> {
        let mut jpeg = vec![0xFF, 0xD8];
        jpeg.extend([0xFF, 0xE1, 0, 8, 0xFF, 0xD8, 0xFF, 0xD9, 1, 2]);
        jpeg.extend([
            0xFF, 0xDA, 0, 4, 0, 0, 5, 0xFF, 0, 6, 0xFF, 0xD3, 7, 0xFF, 0, 0xFF, 0,
        ]);
        jpeg.extend([0xFF, 0xFF, 0xDA, 0, 3, 0, 9, 9]);
        jpeg.extend([0xFF, 0xD9]);
        jpeg
    }

    #[test]
    fn whole_is_whole_and_every_cut_is_cut() {
        let jpeg = progressive_with_thumbnail();
        assert_eq!(check(&jpeg), Ok(()));
        for length in 0..jpeg.len() {
            assert!(check(&jpeg[..length]).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn what_follows_the_picture_is_ignored() {
        let mut jpeg = progressive_with_thumbnail();
        jpeg.extend([0, 1, 2, 0xFF]);
        assert_eq!(check(&jpeg), Ok(()));
    }

    #[test]
    fn impossible_segments_end_the_walk() {
        assert!(check(&[0xFF, 0xD8, 0xFF, 0xE0, 0, 1, 0xFF, 0xD9]).is_err());
        assert!(check(&[0xFF, 0xD8, 0xFF, 0xE0, 0xFF, 0xFF, 0xFF, 0xD9]).is_err());
        assert!(check(&[0xFF, 0xD8, 0xFF, 0xD9]).is_err());
    }
}
