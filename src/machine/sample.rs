//! Comparing what was restored for a trial with what is on the disk.
#![expect(clippy::disallowed_methods, reason = "compares files of the user's with copies of them")]

use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;

use super::places::{Places, make_private_folder};
use crate::error::{IoContext as _, Result};
use crate::format::tree::FileTime;

/// How a SQLite database begins.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// Makes a folder for a trial, which only this user may enter and which is gone with it.
pub fn trial_folder(places: &Places) -> Result<tempfile::TempDir> {
    make_private_folder(&places.cache)?;
    tempfile::Builder::new()
        .prefix("trial-")
        .tempdir_in(&places.cache)
        .at("cannot make a folder in", &places.cache)
}

/// Returns whether two files hold the same bytes; one that is not there is the same as none.
pub fn is_same_content(one: &Path, other: &Path) -> Result<bool> {
    let (Some(one), Some(other)) = (open(one)?, open(other)?) else { return Ok(false) };
    let mut others = BufReader::new(other).bytes();
    for byte in BufReader::new(one).bytes() {
        match (byte, others.next()) {
            (Ok(one), Some(Ok(other))) if one == other => {}
            _ => return Ok(false),
        }
    }
    Ok(others.next().is_none())
}

fn open(path: &Path) -> Result<Option<File>> {
    match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        other => other.at("cannot read", path).map(Some),
    }
}

/// Returns whether a file is as it was: its size in bytes, and when it was changed.
pub fn is_unchanged(path: &Path, size: u64, mtime: FileTime) -> bool {
    crate::files::find_stat(path)
        .ok()
        .flatten()
        .is_some_and(|stat| stat.size == size && stat.mtime == mtime)
}

/// Returns whether a file is a SQLite database: a copy of one that is in use is not the same bytes.
pub fn is_database(path: &Path) -> bool {
    let mut head = [0; SQLITE.len()];
    File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok() && head == *SQLITE
}
