//! What a caller may learn of files while they are saved, and keep beside the snapshot.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rusqlite::Connection;

use crate::error::{Error, Result};
use crate::format::tree::FileTime;

/// A suffix has at most so many bytes.
const SUFFIX_BYTES: usize = 1 << 10;
/// A value has at most so many bytes.
const VALUE_BYTES: usize = 64 << 10;
/// A file has at most so many entries.
const FILE_ENTRIES: usize = 1 << 18;
/// The entries of a file have at most so many bytes together.
const FILE_BYTES: usize = 64 << 20;

/// Takes notes of the files of coding agents while they are saved: small entries, which are kept in
/// an attachment of the snapshot and go on from snapshot to snapshot while a file does not change.
///
/// What an observer fails at is told as a warning and fails no backup: the file keeps the entries
/// that it had. It is asked from several threads.
pub trait Observer: Send + Sync {
    /// Returns the kind of the attachment, such as `sessions`.
    fn kind(&self) -> &str;

    /// Returns whether a file is observed; `path` is relative to the agent's root, and empty for a
    /// root that is a file. Asked for each file that is read, so it should be cheap.
    fn wants(&self, agent: &str, label: &str, path: &[u8]) -> bool;

    /// Returns the entries of a file that is new, or was read because it may have changed.
    /// `before` are those that it had in the parent, in ascending order of suffixes.
    ///
    /// A suffix has at most 1,024 bytes and a value at most 65,536; a file at most 262,144 entries
    /// with 64 MiB together. No two of them have the same suffix.
    fn observe(
        &self,
        file: &mut ObservedFile<'_>,
        before: &[ObservedEntry],
    ) -> Result<Vec<ObservedEntry>>;

    /// Returns the entries of a file that is kept although it is not there any more, from those that
    /// it had. Asked once, when that is seen, and again if a folder that was gone comes back without
    /// the file; `since` is that moment (nanoseconds, UTC).
    fn vanished(&self, before: Vec<ObservedEntry>, since: i64) -> Result<Vec<ObservedEntry>>;
}

/// An entry of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObservedEntry {
    /// Which of the file's entries; may hold any byte, and may be empty.
    pub suffix: Vec<u8>,
    /// What is kept.
    pub value: Vec<u8>,
}

/// A file that is observed.
pub struct ObservedFile<'a> {
    /// The agent's id.
    pub agent: &'a str,
    /// Which of the agent's roots.
    pub label: &'a str,
    /// The path below that root; empty for a root that is a file.
    pub relative: &'a [u8],
    /// The absolute path.
    pub path: &'a Path,
    /// The size as saved, in bytes.
    pub size_bytes: u64,
    /// When it was last changed, as saved.
    pub mtime: FileTime,
    /// What is in it.
    pub content: ObservedContent<'a>,
}

/// The content of a file that is observed.
pub enum ObservedContent<'a> {
    /// The open file, up to the size that was saved.
    Bytes(ObservedBytes<'a>),
    /// A database; with a connection that reads exactly what was saved, where there is one. Else the
    /// observer opens the file itself, for reading only.
    Database(Option<&'a Connection>),
}

/// Reads an open file up to the size that was saved.
pub struct ObservedBytes<'a> {
    file: &'a File,
    position: u64,
    size_bytes: u64,
}

impl<'a> ObservedBytes<'a> {
    pub(super) fn new(file: &'a File, size_bytes: u64) -> Self {
        ObservedBytes { file, position: 0, size_bytes }
    }
}

impl Read for ObservedBytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.size_bytes.saturating_sub(self.position);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = buffer.get_mut(..length).unwrap_or_default();
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.file.read_at(buffer, self.position)?;
        self.position = self.position.saturating_add(count as u64);
        Ok(count)
    }
}

impl Seek for ObservedBytes<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.size_bytes.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = place.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

/// Sorts what an observer gave, and refuses what is more than an attachment is for.
pub(super) fn checked(mut entries: Vec<ObservedEntry>) -> Result<Vec<ObservedEntry>> {
    let bytes = entries.iter().fold(0_usize, |sum, it| {
        sum.saturating_add(it.suffix.len()).saturating_add(it.value.len())
    });
    let is_large =
        |it: &ObservedEntry| it.suffix.len() > SUFFIX_BYTES || it.value.len() > VALUE_BYTES;
    if entries.len() > FILE_ENTRIES || bytes > FILE_BYTES || entries.iter().any(is_large) {
        return Err(Error::failed("more was noted of the file than is kept of one"));
    }
    entries.sort_unstable();
    let has_double = entries.windows(2).any(|pair| match pair {
        [one, other] => one.suffix == other.suffix,
        _ => false,
    });
    if has_double {
        return Err(Error::failed("two things were noted of the file under one name"));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(suffix: &[u8], length: usize) -> ObservedEntry {
        ObservedEntry { suffix: suffix.to_vec(), value: vec![1; length] }
    }

    #[test]
    fn what_is_noted_comes_sorted_and_within_its_bounds() {
        let sorted =
            checked(vec![entry(b"b", 1), entry(b"", VALUE_BYTES), entry(b"a", 0)]).unwrap();
        assert!(sorted.is_sorted());
        assert!(checked(vec![entry(b"a", 1), entry(b"b", 1), entry(b"a", 2)]).is_err());
        assert!(checked(vec![entry(b"a", VALUE_BYTES + 1)]).is_err());
        assert!(checked(vec![entry(&[7; SUFFIX_BYTES], 1)]).is_ok());
        assert!(checked(vec![entry(&[7; SUFFIX_BYTES + 1], 1)]).is_err());
        let many = |count: usize, length| {
            (0..count).map(|number| entry(&number.to_be_bytes(), length)).collect::<Vec<_>>()
        };
        assert!(checked(many(FILE_ENTRIES, 0)).is_ok());
        assert!(checked(many(FILE_ENTRIES + 1, 0)).is_err());
        assert!(checked(many(FILE_BYTES / VALUE_BYTES, VALUE_BYTES)).is_err());
    }

    #[test]
    fn a_file_is_read_up_to_the_size_that_was_saved_wherever_one_begins() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"0123456789", 0).unwrap();
        let mut bytes = ObservedBytes::new(&file, 6);
        let mut text = String::new();
        bytes.read_to_string(&mut text).unwrap();
        assert_eq!(text, "012345");
        for (to, expected) in [
            (SeekFrom::Start(4), "45"),
            (SeekFrom::End(-1), "5"),
            (SeekFrom::Current(-3), "345"),
            (SeekFrom::Start(8), ""),
        ] {
            bytes.seek(to).unwrap();
            text.clear();
            bytes.read_to_string(&mut text).unwrap();
            assert_eq!(text, expected, "{to:?}");
        }
        assert!(bytes.seek(SeekFrom::End(-7)).is_err());
    }
}
