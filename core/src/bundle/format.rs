//! The container: a header, a table, members at multiples of 64 (ARCHITECTURE.md
//! draws it). Reading is the inverse of writing to the byte: every byte is covered
//! by a hash or must be zero, so nothing can be changed, added or cut unnoticed.
//!
//! Input may be hostile: all arithmetic is checked, and nothing is allocated by a
//! number that the file merely states.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};

/// The format version that this library writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"ETALASE\0";
const HASH_AT: usize = 16;
const TABLE_AT: usize = 48;
const ALIGNMENT: u64 = 64;
/// Room for thousands of members; a larger length is damage.
const MAX_TABLE_BYTES: u32 = 1 << 20;
const MAX_NAME_BYTES: usize = 255;

/// One member of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Relative path of letters, digits and `. _ - /`.
    pub name: String,
    /// Where it starts in the file, bytes; a multiple of 64.
    pub offset: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes, 64 lowercase hexadecimal digits.
    pub sha256: String,
}

#[derive(Serialize, Deserialize)]
struct Table {
    members: Vec<Member>,
}

fn damaged(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Bundle, message)
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn u32_at(file: &[u8], at: usize) -> Option<u32> {
    let bytes = file.get(at..at + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// Checks the whole file and gives its format version and members, in file order.
pub(super) fn read(file: &[u8]) -> Result<(u32, Vec<Member>)> {
    let cut = || {
        damaged(format!(
            "the bundle is cut short: only {} bytes",
            file.len()
        ))
    };
    if file.is_empty() {
        return Err(damaged("not a bundle: the file is empty"));
    }
    if !file.starts_with(&MAGIC) {
        let is_beginning = MAGIC.starts_with(file);
        return Err(if is_beginning {
            cut()
        } else {
            damaged("not a bundle: it doesn't begin with ETALASE")
        });
    }
    // Before anything else: of a newer format only this much is known.
    let version = u32_at(file, 8).ok_or_else(cut)?;
    if version > FORMAT_VERSION {
        return Err(Error::new(
            ErrorKind::BundleTooNew,
            format!(
                "the bundle has format version {version}, this program reads up to \
                 {FORMAT_VERSION}: use a newer program (or the bundle is damaged)"
            ),
        ));
    }
    if version == 0 {
        return Err(damaged("the bundle is damaged: format version 0"));
    }
    let table_bytes = u32_at(file, 12).ok_or_else(cut)?;
    if table_bytes > MAX_TABLE_BYTES {
        return Err(damaged(format!(
            "the bundle is damaged: a table of {table_bytes} bytes"
        )));
    }
    let table_end = TABLE_AT + table_bytes as usize;
    let (Some(head), Some(stated), Some(table)) = (
        file.get(..HASH_AT),
        file.get(HASH_AT..TABLE_AT),
        file.get(TABLE_AT..table_end),
    ) else {
        return Err(cut());
    };
    if sha256(&[head, table]) != stated {
        return Err(damaged(
            "the bundle is damaged: the SHA-256 of its table doesn't match",
        ));
    }
    let table: Table = serde_json::from_slice(table)
        .map_err(|error| damaged("the bundle's table cannot be read").with_source(error))?;
    check_members(file, &table.members, table_end as u64)?;
    Ok((version, table.members))
}

fn check_members(file: &[u8], members: &[Member], table_end: u64) -> Result<()> {
    let length = file.len() as u64;
    let mut end = table_end;
    let mut names = std::collections::HashSet::new();
    for member in members {
        let name = &member.name;
        check_name(name)?;
        if !names.insert(name.as_str()) {
            return Err(damaged(format!("the bundle holds {name:?} twice")));
        }
        if end.checked_next_multiple_of(ALIGNMENT) != Some(member.offset) {
            return Err(damaged(format!(
                "{name}: not at the place that follows from the member before it"
            )));
        }
        let member_end = member.offset.checked_add(member.bytes);
        let Some(member_end) = member_end.filter(|&member_end| member_end <= length) else {
            return Err(damaged(format!(
                "the bundle is cut short: {name} ends beyond the file's {length} bytes"
            )));
        };
        if range(file, end, member.offset)?
            .iter()
            .any(|&byte| byte != 0)
        {
            return Err(damaged(format!(
                "the bundle is damaged: the gap before {name} is not zero"
            )));
        }
        if hex(&sha256(&[range(file, member.offset, member_end)?])) != member.sha256 {
            return Err(damaged(format!(
                "the bundle is damaged: the SHA-256 of {name} doesn't match"
            )));
        }
        end = member_end;
    }
    if end != length {
        return Err(damaged(format!(
            "the bundle is damaged: {} bytes follow its last member",
            length.saturating_sub(end)
        )));
    }
    Ok(())
}

fn range(file: &[u8], from: u64, to: u64) -> Result<&[u8]> {
    let bounds = usize::try_from(from).ok().zip(usize::try_from(to).ok());
    bounds
        .and_then(|(from, to)| file.get(from..to))
        .ok_or_else(|| damaged("the bundle is cut short"))
}

/// The member's bytes in a file that [`read`] accepted.
pub(super) fn member<'a>(file: &'a [u8], member: &Member) -> Result<&'a [u8]> {
    range(
        file,
        member.offset,
        member.offset.saturating_add(member.bytes),
    )
}

/// Names become file names where a bundle is unpacked: nothing that climbs out.
pub(super) fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let parts_are_names = name.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if name.len() > MAX_NAME_BYTES || !name.chars().all(plain) || !parts_are_names {
        return Err(damaged(format!(
            "{name:?} cannot name a bundle's member: letters, digits and . _ - / only"
        )));
    }
    Ok(())
}

/// Lays out a file of `members` (name and content), in this order.
pub(super) fn write(members: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    // Offsets stand in the table, and the table's length moves them: widen until
    // it settles, which it does because lengths only grow.
    let mut table_bytes = 0;
    let (table, entries) = loop {
        let entries = entries(members, (TABLE_AT + table_bytes) as u64);
        let table = serde_json::to_vec(&Table {
            members: entries.clone(),
        })
        .map_err(|error| damaged("the table cannot be written").with_source(error))?;
        if table.len() == table_bytes {
            break (table, entries);
        }
        table_bytes = table_bytes.max(table.len());
        if table.len() < table_bytes {
            // Oscillation between two lengths: spaces settle it.
            let mut table = table;
            table.resize(table_bytes, b' ');
            break (table, entries);
        }
    };
    let stated = u32::try_from(table.len())
        .ok()
        .filter(|&bytes| bytes <= MAX_TABLE_BYTES)
        .ok_or_else(|| damaged("too many members for a bundle's table"))?;
    let mut file = Vec::new();
    file.extend(MAGIC);
    file.extend(FORMAT_VERSION.to_le_bytes());
    file.extend(stated.to_le_bytes());
    let hash = sha256(&[&file, &table]);
    file.extend(hash);
    file.extend(table);
    for (entry, (_, content)) in entries.iter().zip(members) {
        file.resize(usize::try_from(entry.offset).unwrap_or(usize::MAX), 0);
        file.extend(content);
    }
    Ok(file)
}

fn entries(members: &[(String, Vec<u8>)], table_end: u64) -> Vec<Member> {
    let mut end = table_end;
    let mut entries = Vec::with_capacity(members.len());
    for (name, content) in members {
        let offset = end.next_multiple_of(ALIGNMENT);
        let bytes = content.len() as u64;
        end = offset + bytes;
        entries.push(Member {
            name: name.clone(),
            offset,
            bytes,
            sha256: hex(&sha256(&[content])),
        });
    }
    entries
}
