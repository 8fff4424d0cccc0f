//! Where most of what a backup would read lies.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Files at least this large are named themselves, in bytes.
const LARGE: u64 = 8 << 20;
/// How many are kept.
const KEPT: usize = 20;

/// A large file, or a directory with the small files directly in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contributor {
    /// Bytes that would be read.
    pub bytes: u64,
    /// Files that would be read.
    pub files: u64,
    /// The path, as bytes.
    pub path: Vec<u8>,
}

/// Collects the largest contributors in bounded memory, in step with the walk.
#[derive(Default)]
pub(super) struct Contributors {
    heap: BinaryHeap<Reverse<Contributor>>,
    open: Vec<Contributor>,
    total: u64,
}

impl Contributors {
    pub(super) fn enter(&mut self, path: &[u8]) {
        self.open.push(Contributor { bytes: 0, files: 0, path: path.to_vec() });
    }

    pub(super) fn leave(&mut self) {
        if let Some(directory) = self.open.pop()
            && directory.bytes > 0
        {
            self.keep(directory);
        }
    }

    pub(super) fn add(&mut self, path: &[u8], bytes: u64) {
        self.total = self.total.saturating_add(bytes);
        match self.open.last_mut() {
            Some(directory) if bytes < LARGE => {
                directory.bytes = directory.bytes.saturating_add(bytes);
                directory.files = directory.files.saturating_add(1);
            }
            _ => self.keep(Contributor { bytes, files: 1, path: path.to_vec() }),
        }
    }

    fn keep(&mut self, contributor: Contributor) {
        self.heap.push(Reverse(contributor));
        if self.heap.len() > KEPT {
            self.heap.pop();
        }
    }

    /// Returns the sum, and the contributors from the largest down.
    pub(super) fn finish(self) -> (u64, Vec<Contributor>) {
        let list = self.heap.into_sorted_vec().into_iter().map(|Reverse(it)| it).collect();
        (self.total, list)
    }
}
