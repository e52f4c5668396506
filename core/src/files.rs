//! Reading and writing whole files, each with its name in the error, and never a
//! half-written file where a whole one is expected.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{Error, ErrorKind, Result};

/// The largest file that is read into memory: protobuf's own limit for a model.
pub const MAX_FILE_BYTES: u64 = 2 << 30;

fn io(path: &Path, doing: &str, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("{}: {doing}", path.display())).with_source(error)
}

/// Reads a whole file of at most [`MAX_FILE_BYTES`].
///
/// # Errors
/// `Io`, naming the file and the cause: missing, a folder, no permission, too large.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let cannot = |error| io(path, "cannot be read", error);
    let file = File::open(path).map_err(cannot)?;
    if file.metadata().map_err(cannot)?.is_dir() {
        let message = format!("{}: cannot be read: it is a folder", path.display());
        return Err(Error::new(ErrorKind::Io, message));
    }
    let mut bytes = Vec::new();
    // One byte more than allowed, so that "too large" is told from "just fits". The
    // size that the system reports is not relied on: a pipe has none.
    let mut limited = file.take(MAX_FILE_BYTES + 1);
    limited.read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let message = format!("{}: larger than {MAX_FILE_BYTES} bytes", path.display());
        return Err(Error::new(ErrorKind::Io, message));
    }
    Ok(bytes)
}

/// Writes a file beside `path`, brings it to disk and renames it: whoever opens
/// `path`, even after a power cut, finds the old content or the new one. Through a
/// link it is the file that the link names which is replaced, never the link.
///
/// # Errors
/// `Io`, naming the file and the cause; what stood at `path` stays as it was.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        let message = format!(
            "{}: cannot be written: it is no regular file",
            path.display()
        );
        return Err(Error::new(ErrorKind::Io, message));
    }
    // A rename would put the file in the place of a link, be it `/dev/stdout`.
    let followed = fs::canonicalize(path);
    let target = followed.as_deref().unwrap_or(path);
    let beside = name_beside(target)?;
    let written = write_new(&beside, bytes).and_then(|()| fs::rename(&beside, target));
    if let Err(error) = written {
        // The cause is reported; that the leftover cannot be removed adds nothing.
        let _ = fs::remove_file(&beside);
        return Err(io(path, "cannot be written", error));
    }
    sync_folder(target);
    Ok(())
}

/// A name in the same folder that no other writer uses.
fn name_beside(path: &Path) -> Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let Some(name) = path.file_name() else {
        let message = format!("{}: is no file name", path.display());
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    };
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    beside.push(format!(".{}-{number}.part", std::process::id()));
    Ok(path.with_file_name(beside))
}

fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Brings the rename itself to disk, where the system can.
fn sync_folder(path: &Path) {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // Best effort: the content is safe already, and some systems open no folders.
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_and_leaves_nothing_beside() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.bin");
        replace(&path, b"one").expect("written");
        replace(&path, b"two").expect("written again");
        assert_eq!(read(&path).expect("read"), b"two");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        replace(&file, b"old").expect("written");
        std::os::unix::fs::symlink(&file, &link).expect("linked");
        replace(&link, b"new").expect("written through the link");
        assert!(link.is_symlink());
        assert_eq!(read(&file).expect("read"), b"new");
    }

    #[test]
    fn what_cannot_be_read_or_written_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        for error in [
            read(&folder.path().join("missing.bin")).expect_err("missing"),
            read(folder.path()).expect_err("a folder"),
            replace(folder.path(), b"x").expect_err("a folder"),
            replace(&folder.path().join("no/such.bin"), b"x").expect_err("no folder"),
        ] {
            assert_eq!(error.kind(), ErrorKind::Io);
            let named = error
                .to_string()
                .contains(&*folder.path().to_string_lossy());
            assert!(named, "{error}");
        }
    }
}
