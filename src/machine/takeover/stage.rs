//! Laying out the files of a takeover: unpacked, opened, and each with its own time.
#![expect(clippy::disallowed_methods, reason = "reads other tools' files, writes its own")]

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::super::foreign_key::ForeignKey;
use super::super::input::read_bytes;
use super::{Form, Source, folders_in, moment};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::time::{SECOND, Timestamp};

/// A file is unpacked up to here, in bytes.
const LONGEST_FILE: u64 = 16 << 30;
/// An encrypted session is at most so long, in bytes: it is held in memory.
const LONGEST_SEALED: u64 = 1 << 30;
/// Where a session says its time: within its last so many bytes.
const LAST_PART: usize = 256 << 10;

/// A file that was laid out.
pub(super) struct Laid {
    pub(super) below: PathBuf,
    pub(super) bytes: u64,
    pub(super) time: Timestamp,
    pub(super) hash: blake3::Hash,
}

pub(super) fn stage_file(file: &Source, folder: &Path, key: Option<&ForeignKey>) -> Result<Laid> {
    let opened = File::open(&file.from).at("cannot read", &file.from)?;
    let mut below = file.below.clone();
    let mut reader: Box<dyn Read> = match (file.form, key) {
        (Form::Plain, _) => Box::new(opened),
        (Form::Gzip, _) => {
            let unpacked = flate2::read::MultiGzDecoder::new(BufReader::new(opened));
            Box::new(unpacked.take(LONGEST_FILE))
        }
        (Form::Sealed, Some(key)) => {
            let content = open_sealed(file, key)?;
            below = Path::new("projects").join(project_of(&content)).join(&below);
            Box::new(std::io::Cursor::new(content))
        }
        (Form::Sealed, None) => return Err(Error::failed("needs a key")),
    };
    let target = folder.join(&below);
    let parent = target.parent().unwrap_or(folder);
    std::fs::create_dir_all(parent).at("cannot make the folder", parent)?;
    let mut written = File::create_new(&target).at("cannot write", &target)?;
    let mut hash = blake3::Hasher::new();
    let (mut bytes, mut last) = (0_u64, Vec::new());
    let mut buffer = vec![0_u8; 1 << 20];
    loop {
        let count = reader.read(&mut buffer).at("cannot read", &file.from)?;
        let Some(part) = buffer.get(..count).filter(|part| !part.is_empty()) else { break };
        written.write_all(part).at("cannot write", &target)?;
        hash.update(part);
        bytes = bytes.saturating_add(count as u64);
        last.extend_from_slice(part);
        let surplus = last.len().saturating_sub(LAST_PART);
        last.drain(..surplus);
    }
    let is_session = below.extension().is_some_and(|end| end == "jsonl");
    let said = is_session.then(|| last_time(&last)).flatten();
    let time = said.unwrap_or_else(|| timestamp(file.modified));
    written.set_modified(time_of(time)).at("cannot set the time of", &target)?;
    Ok(Laid { below, bytes, time, hash: hash.finalize() })
}

pub(super) fn open_sealed(file: &Source, key: &ForeignKey) -> Result<Vec<u8>> {
    let sealed = read_bytes(&file.from, LONGEST_SEALED)?;
    key.open(&sealed).ok_or_else(|| {
        Error::new(Kind::WrongPassphrase, "the key does not open")
            .object(file.from.display().to_string())
    })
}

/// Returns the folder of the project that a session says it is of.
fn project_of(content: &[u8]) -> String {
    for line in content.lines().map_while(std::io::Result::ok).take(200) {
        let Ok(record) = serde_json::from_str::<Value>(&line) else { continue };
        if let Some(directory) = record.get("cwd").and_then(Value::as_str) {
            let letter = |it: char| if it.is_ascii_alphanumeric() { it } else { '-' };
            let slug: String = directory.chars().map(letter).take(200).collect();
            if !slug.is_empty() {
                return slug;
            }
        }
    }
    "unknown".to_owned()
}

/// Returns the last time that a session's records name.
fn last_time(last: &[u8]) -> Option<Timestamp> {
    const FIELD: &[u8] = b"\"timestamp\":";
    let places = memchr::memmem::find_iter(last, FIELD);
    let times = places.filter_map(|place| {
        let rest = last.get(place.saturating_add(FIELD.len())..)?;
        let rest = rest.trim_ascii_start().strip_prefix(b"\"")?;
        let end = rest.iter().take(64).position(|byte| *byte == b'"')?;
        moment(std::str::from_utf8(rest.get(..end)?).ok()?)
    });
    times.last()
}

fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

pub(super) fn time_of(time: Timestamp) -> SystemTime {
    let nanoseconds = u64::try_from(time.0).unwrap_or(0);
    let (seconds, rest) =
        (nanoseconds / SECOND.unsigned_abs(), nanoseconds % SECOND.unsigned_abs());
    UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_nanos(rest)
}

/// Gives the folders below one a time of their own, so that the same is staged alike.
pub(super) fn date_folders(folder: &Path, time: SystemTime) -> Result<()> {
    for inner in folders_in(folder)? {
        date_folders(&inner, time)?;
    }
    let opened = File::open(folder).at("cannot open", folder)?;
    opened.set_modified(time).at("cannot set the time of", folder)
}
