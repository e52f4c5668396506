//! A folder per class: the form in which photo collections are kept.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

/// A photo and the class that it is filed under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledPhoto {
    /// Where the photo is, beginning with the folder that was asked for.
    pub path: PathBuf,
    /// The name of the class folder.
    pub label: String,
}

/// All photos of `dir`, which holds a folder per class, sorted by folder, then by
/// file name. Photos are files ending in jpg, jpeg, png or webp, in any case; what
/// begins with a dot is ignored, and so are folders inside class folders.
///
/// # Errors
/// `Io`, naming the folder: unreadable, without class folders, or without a photo.
pub fn photo_folders(dir: &Path) -> Result<Vec<LabelledPhoto>> {
    let folders: Vec<PathBuf> = entries(dir)?
        .into_iter()
        .filter(|path| path.is_dir())
        .collect();
    if folders.is_empty() {
        let message = format!("{}: holds no class folders", dir.display());
        return Err(Error::new(ErrorKind::Io, message));
    }
    let mut photos = Vec::new();
    for folder in &folders {
        let Some(label) = folder.file_name().and_then(|name| name.to_str()) else {
            let message = format!("{}: the folder's name is not UTF-8", folder.display());
            return Err(Error::new(ErrorKind::Io, message));
        };
        photos.extend(photos_in(folder)?.into_iter().map(|path| LabelledPhoto {
            path,
            label: label.to_owned(),
        }));
    }
    if photos.is_empty() {
        let message = format!(
            "{}: holds no photos (jpg, jpeg, png, webp) in its {} class folders",
            dir.display(),
            folders.len()
        );
        return Err(Error::new(ErrorKind::Io, message));
    }
    Ok(photos)
}

/// The photos that lie in `dir` itself, sorted by file name.
///
/// # Errors
/// `Io` where the folder cannot be read.
pub fn photos_in(dir: &Path) -> Result<Vec<PathBuf>> {
    let files = entries(dir)?.into_iter();
    Ok(files
        .filter(|path| is_photo(path) && path.is_file())
        .collect())
}

/// The visible entries of a folder, sorted by name.
fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let cannot = |error| {
        Error::new(ErrorKind::Io, format!("{}: cannot be read", dir.display())).with_source(error)
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(cannot)? {
        let name = entry.map_err(cannot)?.file_name();
        if !name.to_string_lossy().starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names.into_iter().map(|name| dir.join(name)).collect())
}

fn is_photo(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| {
        ["jpg", "jpeg", "png", "webp"]
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn photos_by_folder_then_name() {
        let dir = tempfile::tempdir().expect("a folder");
        for file in [
            "shoe/b.JPG",
            "shoe/a.png",
            "shoe/notes.txt",
            "shoe/.hidden.jpg",
            "hat/c.webp",
            "hat/inner/d.jpg",
            ".git/e.jpg",
            "top.jpg",
        ] {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, b"").expect("written");
        }
        let photos = photo_folders(dir.path()).expect("listed");
        let found: Vec<(String, &str)> = photos
            .iter()
            .map(|photo| {
                let path = photo.path.strip_prefix(dir.path()).expect("below");
                (path.to_string_lossy().into_owned(), photo.label.as_str())
            })
            .collect();
        let wanted = [
            ("hat/c.webp", "hat"),
            ("shoe/a.png", "shoe"),
            ("shoe/b.JPG", "shoe"),
        ];
        assert_eq!(found, wanted.map(|(path, label)| (path.to_owned(), label)));
    }

    #[test]
    fn nothing_to_evaluate_is_an_error() {
        let dir = tempfile::tempdir().expect("a folder");
        let said = |dir: &Path| photo_folders(dir).expect_err("nothing").to_string();
        assert!(said(&dir.path().join("missing")).contains("cannot be read"));
        assert!(said(dir.path()).contains("no class folders"));
        fs::create_dir(dir.path().join("hat")).expect("made");
        assert!(said(dir.path()).contains("no photos"));
    }
}
