//! ZIP files that are the same, byte for byte, whenever what is in them is: entries by name, one time and one mode for all.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use zip::write::FileOptions;
use zip::{DateTime, ZipWriter};

/// Packs all files below a folder.
pub fn pack(folder: &Path, zip: &Path) -> Result<()> {
    let mut files = Vec::new();
    list(folder, &mut files)?;
    files.sort();
    super::cross::create_folder_of(zip)?;
    let file = File::create(zip).with_context(|| format!("{}: cannot write", zip.display()))?;
    let mut writer = ZipWriter::new(file);
    let options = FileOptions::default()
        // 1980. Else it is the time of packing, if another crate of the build has switched that on.
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    for file in files {
        let name = file
            .strip_prefix(folder)?
            .to_string_lossy()
            .replace('\\', "/");
        writer.start_file(name, options)?;
        let mut from =
            File::open(&file).with_context(|| format!("{}: cannot read", file.display()))?;
        std::io::copy(&mut from, &mut writer)?;
    }
    writer.finish()?;
    Ok(())
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("{}: cannot be read", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        match path.is_dir() {
            true => list(&path, files)?,
            false => files.push(path),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn other_programs_unpack_what_was_packed() {
        let folder = std::env::temp_dir().join(format!("etalase-pack-{}", std::process::id()));
        let (from, zip) = (folder.join("from"), folder.join("a.zip"));
        std::fs::create_dir_all(from.join("b")).unwrap();
        std::fs::write(from.join("b/c"), [7; 100_000]).unwrap();
        std::fs::write(from.join("a"), "").unwrap();
        pack(&from, &zip).unwrap();
        let first = std::fs::read(&zip).unwrap();
        assert!(first.len() < 1000, "{} bytes", first.len());
        std::fs::write(from.join("b/c"), [7; 100_000]).unwrap();
        pack(&from, &zip).unwrap();
        assert_eq!(first, std::fs::read(&zip).unwrap());

        let script = "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None; \
                      print([(i.filename, i.file_size, i.date_time[0]) for i in z.infolist()])";
        let mut python = Command::new("python3");
        let output = python.args(["-c", script]).arg(&zip).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(text.trim(), "[('a', 0, 1980), ('b/c', 100000, 1980)]");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
