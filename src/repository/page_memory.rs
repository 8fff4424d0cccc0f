//! Page values that this machine remembers of a database, for a repository that is far away.
//!
//! There, the bytes of the parent's chunks are not at hand, and fetching them to make a difference
//! would cost more than it saves. With the values of their 4 KiB pages it is clear which pages
//! changed, and only these are stored. A file of this machine's state for each database: a row of 32
//! values for each chunk of 128 KiB, 1.6 MB for 200 MB.
//!
//! Rows are written in place, in no order, and synced by nobody: a row vouches for itself, since its
//! values must merge into the id of the parent's chunk. One that is torn, stale or made up costs a
//! plain chunk, and nothing else.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::state::StateFolder;
use crate::codec::chunker::DATABASE;
use crate::codec::delta::PAGE;
use crate::codec::pages::PageValue;

/// A row's length in bytes.
const ROW: usize = DATABASE / PAGE * size_of::<PageValue>();

/// The values of one database's pages.
#[derive(Debug)]
pub struct PageMemory {
    file: File,
}

impl PageMemory {
    /// Opens the file of the database whose path has this hash, and makes it if it is not there.
    /// `None` if that can't be: nothing is then remembered.
    pub fn open(state: &StateFolder, database: u64) -> Option<PageMemory> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        options
            .open(state.path(&format!("pages-{database:016x}")))
            .ok()
            .map(|file| PageMemory { file })
    }

    /// Returns what is remembered of the pages of the chunk with this number; behind the last chunk's
    /// end there may be others' values.
    pub fn row(&self, chunk: u32) -> Vec<PageValue> {
        let mut row = vec![[0; 32]; DATABASE / PAGE];
        let mut filled = 0_usize;
        while let Some(room) = row.as_flattened_mut().get_mut(filled..).filter(|it| !it.is_empty())
        {
            let at = offset(chunk).saturating_add(filled as u64);
            match self.file.read_at(room, at) {
                Ok(0) | Err(_) => break,
                Ok(count) => filled = filled.saturating_add(count),
            }
        }
        row.truncate(filled / size_of::<PageValue>());
        row
    }

    /// Remembers the pages of a chunk. A failure costs what it would have saved.
    pub fn remember(&self, chunk: u32, values: &[PageValue]) {
        let bytes = values.as_flattened();
        let _kept = self.file.write_all_at(bytes.get(..ROW).unwrap_or(bytes), offset(chunk));
    }
}

fn offset(chunk: u32) -> u64 {
    u64::from(chunk).saturating_mul(ROW as u64)
}
