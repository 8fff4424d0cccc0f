//! One file being written, from its first piece to its last.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::database::DatabasePlace;
use crate::error::{Error, Result};
use crate::files::{TargetDir, TargetFile};
use crate::format::tree::Node;
use crate::id::BlobId;

/// Runs of zeros are looked for in blocks of this size in sparse files, in bytes.
const BLOCK: usize = 4096;

/// A file being written.
pub(super) struct FileJob {
    pub(super) directory: TargetDir,
    pub(super) name: Vec<u8>,
    pub(super) path: Vec<u8>,
    pub(super) node: Node,
    pub(super) inline: Vec<u8>,
    pub(super) database: Option<DatabasePlace>,
    /// Whether something is in its place, so that it goes beside it first.
    pub(super) replaces: bool,
    /// Pieces that are not written yet, and one while they are still being named.
    pub(super) remaining: AtomicUsize,
    state: Mutex<JobState>,
}

#[derive(Default)]
pub(super) struct JobState {
    pub(super) file: Option<TargetFile>,
    pub(super) failure: Option<Error>,
    pub(super) holes: bool,
    pub(super) blobs: Vec<(BlobId, u64)>,
}

impl FileJob {
    pub(super) fn new(directory: TargetDir, path: Vec<u8>, node: &Node, replaces: bool) -> FileJob {
        let inline = node.inline.0.clone();
        FileJob {
            database: DatabasePlace::of(node, &directory),
            directory,
            name: node.name.0.clone(),
            path,
            node: super::metadata_of(node),
            inline,
            replaces,
            remaining: AtomicUsize::new(1),
            state: Mutex::default(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, JobState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Announces one more piece.
    pub(super) fn expect_piece(&self, blob: Option<(BlobId, u64)>) {
        self.remaining.fetch_add(1, Ordering::AcqRel);
        if let Some(blob) = blob {
            self.state().blobs.push(blob);
        }
    }

    /// Notes that a part of the content is lost.
    pub(super) fn fail(&self, error: Error) {
        let mut state = self.state();
        state.holes = true;
        state.failure.get_or_insert(error);
    }

    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut state = self.state();
        if state.file.is_none() {
            state.file = Some(self.create()?);
        }
        let Some(file) = &state.file else { return Ok(()) };
        if !self.node.sparse {
            return file.write_at(offset, bytes);
        }
        let mut at = offset;
        for block in bytes.chunks(BLOCK) {
            if block.iter().any(|&byte| byte != 0) {
                file.write_at(at, block)?;
            }
            at = at.saturating_add(block.len() as u64);
        }
        Ok(())
    }

    pub(super) fn create(&self) -> Result<TargetFile> {
        if !self.replaces
            && let Some(database) = &self.database
        {
            database.clear()?;
        }
        if self.replaces {
            self.directory.create_temporary(&self.name)
        } else {
            self.directory.create_file(&self.name)
        }
    }
}
