//! What the snapshots hold of this machine's agents.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;

use crate::engine::browse::{Found, TreeStep, TreeWalk};
use crate::error::Result;
use crate::format::record::{Root, RootKind, SNAPSHOT_SAFETY};
use crate::format::tree::{Capture, FileTime, NodeKind};
use crate::repository::Repository;
use crate::repository::cache::SnapshotEntry;
use crate::repository::reader::BlobReader;
use crate::repository::snapshots::is_future;
use crate::time::Timestamp;

/// The newest state of one root of an agent.
#[derive(Debug, Clone, Copy)]
pub struct SavedRoot<'e> {
    /// The snapshot that holds it.
    pub entry: &'e SnapshotEntry,
    /// The root.
    pub root: &'e Root,
}

impl SavedRoot<'_> {
    /// Returns when it was last read.
    pub fn read_at(&self) -> Timestamp {
        Timestamp(self.root.last_read.unwrap_or(self.entry.snapshot.written))
    }
}

/// Returns of each root of each agent the newest state that this machine saved, agents in the order
/// of the newest snapshot. `entries` are in ascending order of time.
pub fn saved_roots<'e>(
    entries: &'e [SnapshotEntry],
    host: &str,
    now: Timestamp,
) -> Vec<SavedRoot<'e>> {
    let mut saved: Vec<SavedRoot<'e>> = Vec::new();
    let counts = |entry: &&SnapshotEntry| {
        let snapshot = &entry.snapshot;
        entry.forgotten.is_none()
            && snapshot.host == host
            && snapshot.flags & SNAPSHOT_SAFETY == 0
            && !is_future(snapshot, now)
    };
    for entry in entries.iter().rev().filter(counts) {
        let roots = entry.snapshot.roots.iter();
        for root in roots.filter(|root| root.kind == RootKind::Agent as u64) {
            let is_same =
                |it: &SavedRoot<'_>| it.root.agent == root.agent && it.root.label == root.label;
            if !saved.iter().any(is_same) {
                saved.push(SavedRoot { entry, root });
            }
        }
    }
    saved
}

/// Returns all snapshots in ascending order of time: heads, but whole where a snapshot has the newest
/// state of a root of an agent that this machine saved. With thousands of them that is far less to hold.
pub fn snapshots_of_agents(
    repository: &Repository,
    host: &str,
    now: Timestamp,
) -> Result<Vec<SnapshotEntry>> {
    let mut entries = repository.cached_heads()?;
    let newest: HashSet<_> =
        saved_roots(&entries, host, now).into_iter().map(|it| it.entry.id).collect();
    for entry in entries.iter_mut().filter(|entry| newest.contains(&entry.id)) {
        *entry = repository.whole(entry)?;
    }
    Ok(entries)
}

/// One file as it was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavedFile {
    /// Its size in bytes; of a database that of its copy.
    pub size: u64,
    /// When it, or the log of a database, was last written.
    pub mtime: FileTime,
    /// Whether it is a database.
    pub is_database: bool,
}

/// The files of one root, found by their paths below it. About 60 bytes for each.
#[derive(Debug, Default)]
pub struct SavedFiles {
    hasher: RandomState,
    files: HashMap<u64, SavedFile>,
    /// The databases among them, as they were read.
    pub databases: Vec<PathBuf>,
}

impl SavedFiles {
    /// Returns the file at a path below the root; empty for a root that is a file.
    pub fn find(&self, below: &[u8]) -> Option<&SavedFile> {
        self.files.get(&self.hasher.hash_one(below))
    }

    /// Returns how many there are.
    pub fn count(&self) -> u64 {
        self.files.len() as u64
    }

    fn enter(&mut self, place: &[u8], found: &Found) {
        let below = found.path.strip_prefix(place).unwrap_or_default();
        let below = below.strip_prefix(b"/").unwrap_or(below);
        let is_database = found.node.capture != Capture::None as u64;
        if is_database {
            use std::os::unix::ffi::OsStrExt as _;
            self.databases.push(std::ffi::OsStr::from_bytes(&found.path).into());
        }
        let file = SavedFile { size: found.node.size, mtime: found.node.mtime, is_database };
        self.files.insert(self.hasher.hash_one(below), file);
    }
}

/// Reads which files a root holds; those that are no longer there are not among them.
pub fn saved_files(reader: &mut BlobReader<'_>, root: &Root) -> Result<SavedFiles> {
    let mut files = SavedFiles::default();
    let place = root.place.0.as_slice();
    let item = Found { path: place.to_vec(), node: root.node.clone() };
    let mut walk = TreeWalk::new(item, false);
    while let Some(step) = walk.next(reader) {
        match step {
            TreeStep::Node(found) if found.node.kind == NodeKind::File => {
                files.enter(place, &found);
            }
            TreeStep::Failed { error, .. } => return Err(error),
            TreeStep::Node(_) | TreeStep::Leave => {}
        }
    }
    Ok(files)
}
