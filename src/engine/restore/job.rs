//! One file being written, from its first piece to its last.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::database::DatabasePlace;
use crate::error::{Error, Result};
use crate::files::{TargetDir, TargetFile};
use crate::format::tree::Node;
use crate::id::BlobId;

/// Runs of zeros are looked for in blocks of this size in sparse files, in bytes.
const BLOCK: usize = 4096;
/// One of zeros.
const ZEROS: [u8; BLOCK] = [0; BLOCK];

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
    /// Shared with those who write to it right now.
    pub(super) file: Option<Arc<TargetFile>>,
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

    /// Writes a piece; in a sparse file what is zero becomes a hole.
    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let file = self.file()?;
        if !self.node.sparse {
            return file.write_at(offset, bytes);
        }
        let is_zero = |block: &[u8]| ZEROS.get(..block.len()) == Some(block);
        // Runs in one call each: a single hole made a database of 1.1 GB one of 269,000 calls.
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let zeros = run_length(rest, is_zero);
            let (_, behind) = rest.split_at(zeros);
            let (run, behind) = behind.split_at(run_length(behind, |block| !is_zero(block)));
            at = at.saturating_add(zeros as u64);
            if !run.is_empty() {
                file.write_at(at, run)?;
            }
            at = at.saturating_add(run.len() as u64);
            rest = behind;
        }
        Ok(())
    }

    /// Returns the file, which is made if it is not there yet. Nothing is locked while it is written.
    fn file(&self) -> Result<Arc<TargetFile>> {
        let mut state = self.state();
        if let Some(file) = &state.file {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(self.create()?);
        state.file = Some(Arc::clone(&file));
        Ok(file)
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

/// Returns the length of the blocks at the beginning that are `alike`, in bytes.
fn run_length(bytes: &[u8], alike: impl Fn(&[u8]) -> bool) -> usize {
    bytes.chunks(BLOCK).take_while(|block| alike(block)).map(<[u8]>::len).sum()
}
