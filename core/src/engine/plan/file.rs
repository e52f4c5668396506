//! A plan as bytes: `plan.bin` of a bundle.
//!
//! A header (magic, version, SHA-256 of the ONNX file that the plan points into,
//! SHA-256 of the rest) and the plan in postcard's compact encoding. A plan of another
//! version is no error: what opens it makes a new one from the ONNX file.

use sha2::{Digest, Sha256};

use super::Plan;
use crate::error::{Error, ErrorKind, Result};

const MAGIC: [u8; 8] = *b"ETALPLAN";
/// Raised with every change of what a plan means or how it is written.
const VERSION: u32 = 2;
const MODEL_AT: usize = 12;
const BODY_HASH_AT: usize = 44;
const BODY_AT: usize = 76;

/// The plan's bytes, for import alone. `model_sha256` is the hash of the ONNX file.
#[cfg(feature = "onnx")]
pub(crate) fn write(plan: &Plan, model_sha256: &[u8; 32]) -> Result<Vec<u8>> {
    let body = postcard::to_allocvec(plan)
        .map_err(|error| wrong("the plan cannot be written").with_source(error))?;
    let mut bytes = Vec::with_capacity(BODY_AT + body.len());
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(model_sha256);
    bytes.extend(Sha256::digest(&body));
    bytes.extend(body);
    Ok(bytes)
}

/// The plan, not yet checked, or `None` where it is of another version.
///
/// # Errors
/// `Bundle` where the bytes are damaged, or belong to another ONNX file.
pub(crate) fn read(bytes: &[u8], model_sha256: &[u8; 32]) -> Result<Option<Plan>> {
    let part = |from: usize, to: usize| bytes.get(from..to).ok_or_else(|| wrong("cut short"));
    if part(0, MAGIC.len())? != MAGIC {
        return Err(wrong("not a plan: it doesn't begin with ETALPLAN"));
    }
    if part(MAGIC.len(), MODEL_AT)? != VERSION.to_le_bytes() {
        return Ok(None);
    }
    if part(MODEL_AT, BODY_HASH_AT)? != model_sha256 {
        return Err(wrong("made from another ONNX file"));
    }
    let body = part(BODY_AT, bytes.len())?;
    if part(BODY_HASH_AT, BODY_AT)? != Sha256::digest(body).as_slice() {
        return Err(wrong("damaged: its SHA-256 doesn't match"));
    }
    let (plan, rest) = postcard::take_from_bytes(body)
        .map_err(|error| wrong("cannot be read").with_source(error))?;
    if !rest.is_empty() {
        return Err(wrong(format!("{} bytes follow its end", rest.len())));
    }
    Ok(Some(plan))
}

fn wrong(cause: impl Into<String>) -> Error {
    Error::new(ErrorKind::Bundle, cause.into())
}
