//! Files that a restore joins with what is there.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::agents::{Merge, MergeFormat};
use crate::engine::browse::find;
use crate::engine::inspect::dump::FileReader;
use crate::engine::restore::join_json;
use crate::error::{Error, Result};
use crate::format::record::Snapshot;
use crate::machine;
use crate::repository::Repository;
use crate::repository::reader::BlobReader;

/// What is joined is held in memory, and is never longer than this, in bytes.
const LONGEST: u64 = 256 << 20;

/// The files to join, as they are met.
#[derive(Clone, Default)]
pub(super) struct Merges {
    files: Arc<Mutex<BTreeMap<PathBuf, Merge>>>,
    has_begun: Arc<AtomicBool>,
}

impl Merges {
    /// Notes a file that is to be joined; false if nothing is there, so that it is restored like any
    /// other.
    pub(super) fn note(&self, path: &Path, merge: &Merge) -> bool {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if files.contains_key(path) {
            return true;
        }
        // What the restore has made meanwhile was not there before.
        if self.has_begun.load(Ordering::Relaxed) || !machine::is_file(path) {
            return false;
        }
        files.insert(path.to_owned(), merge.clone());
        true
    }

    /// Says that the plan is made, and files are written from now on.
    pub(super) fn begin(&self) {
        self.has_begun.store(true, Ordering::Relaxed);
    }
}

/// Joins all files that were noted; returns how many changed.
pub(super) fn merge_all(
    repository: &Repository,
    snapshot: &Snapshot,
    merges: &Merges,
) -> Result<u64> {
    let files = merges.files.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut reader = BlobReader::new(repository)?;
    let mut changed = 0_u64;
    for (path, merge) in files {
        let found = find(&mut reader, snapshot, path.as_os_str().as_bytes())?;
        let Some(node) = found.first().map(|found| &found.node) else { continue };
        if node.size > LONGEST {
            return Err(Error::failed("is too long to be joined with what is there:")
                .object(path.display().to_string()));
        }
        let mut saved = Vec::new();
        let mut content = FileReader::new(&mut reader, node);
        while let Some(piece) = content.next_piece()? {
            saved.extend_from_slice(&piece);
        }
        changed = changed.saturating_add(u64::from(join(&path, &merge, &saved)?));
    }
    Ok(changed)
}

fn join(path: &Path, merge: &Merge, saved: &[u8]) -> Result<bool> {
    let MergeFormat::Json = merge.format;
    let bad = |whose: &str, error: serde_json::Error| {
        Error::failed(format!("the file {whose} is not JSON, so it was left as it is:"))
            .object(path.display().to_string())
            .source(error)
    };
    let there = machine::read_text(path)?;
    let there = serde_json::from_str(&there).map_err(|error| bad("that is there", error))?;
    let saved = serde_json::from_slice(saved).map_err(|error| bad("in the snapshot", error))?;
    let joined = join_json(serde_json::Value::clone(&there), saved, merge.key.as_deref());
    if joined == there {
        return Ok(false);
    }
    let text = serde_json::to_string_pretty(&joined)
        .map_err(|error| Error::failed("cannot write JSON").source(error))?;
    machine::replace_file(path, text.as_bytes())?;
    Ok(true)
}
