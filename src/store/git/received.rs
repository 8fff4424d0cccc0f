//! What came from a remote: small things in memory, large ones in files without a name, which go
//! with the process that made them.
//!
//! A server may send more than it was asked for: one that can't leave anything out sends every blob
//! with the trees. What nobody asked for is kept as long as it is small and little; if it was needed
//! all the same, it is asked for next. Memory and disk are bounded whatever comes.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::failure::{GitFailure, Outcome};
use super::object::{Kind, Oid};

/// What is longer than this goes to disk, in bytes.
const SMALL: usize = 64 << 10;
/// What is kept in memory at most, in bytes.
const MOST_BYTES: usize = 256 << 20;
/// What is kept of small blobs that nobody asked for, in bytes.
const MOST_UNASKED: usize = 32 << 20;
/// No tree or commit of ours is longer, in bytes.
const LONGEST_TREE: usize = 16 << 20;
/// What keeping anything costs, in bytes.
const OVERHEAD: usize = 128;

/// The bytes of an object.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Memory(Bytes),
    Disk { file: Arc<File>, start: u64, length: u64 },
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        match self {
            Content::Memory(bytes) => bytes.len() as u64,
            Content::Disk { length, .. } => *length,
        }
    }

    /// Returns the bytes from `from` to `until`, which must lie within.
    pub(super) fn read(&self, from: u64, until: u64) -> Outcome<Bytes> {
        let cut = || GitFailure::odd("an object is shorter than it was");
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        match self {
            Content::Memory(bytes) => {
                let whole = place(until) <= bytes.len() && from <= until;
                whole.then(|| bytes.slice(place(from)..place(until))).ok_or_else(cut)
            }
            Content::Disk { file, start, length } => {
                if until > *length || from > until {
                    return Err(cut());
                }
                let mut bytes = vec![0; place(until - from)];
                file.read_exact_at(&mut bytes, start.saturating_add(from))
                    .map_err(|error| GitFailure::disk("cannot read from the cache", &error))?;
                Ok(bytes.into())
            }
        }
    }

    /// Tells whether both lie in one file.
    pub(super) fn shares_file(&self, other: &Content) -> bool {
        match (self, other) {
            (Content::Disk { file: own, .. }, Content::Disk { file: other, .. }) => {
                Arc::ptr_eq(own, other)
            }
            _ => false,
        }
    }

    pub(super) fn whole(&self) -> Outcome<Bytes> {
        self.read(0, self.len())
    }
}

/// Objects that came.
#[derive(Debug)]
pub(super) struct Received {
    objects: HashMap<Oid, (Kind, Content)>,
    asked: HashSet<Oid>,
    /// How many bytes more may be kept in memory, and of what nobody asked for.
    room: usize,
    unasked_room: usize,
    folder: Option<PathBuf>,
    file: Option<(Arc<File>, u64)>,
}

impl Received {
    /// Starts with nothing. `folder` is where large things go; without one, to the system's own.
    pub(super) fn new(folder: Option<&Path>) -> Received {
        Received {
            objects: HashMap::new(),
            asked: HashSet::new(),
            room: MOST_BYTES,
            unasked_room: MOST_UNASKED,
            folder: folder.map(Path::to_owned),
            file: None,
        }
    }

    /// Notes what is about to be asked for.
    pub(super) fn ask(&mut self, wanted: &[Oid]) {
        self.asked.extend(wanted);
    }

    pub(super) fn add(&mut self, oid: Oid, kind: Kind, bytes: Vec<u8>) -> Outcome<()> {
        // Sent twice, it would be counted and written twice.
        if self.objects.contains_key(&oid) {
            return Ok(());
        }
        let is_asked = self.asked.contains(&oid);
        match kind {
            Kind::Blob if bytes.len() > SMALL && is_asked => return self.add_large(oid, &bytes),
            Kind::Blob if bytes.len() > SMALL => return Ok(()),
            Kind::Blob => {}
            _ if bytes.len() > LONGEST_TREE => return Err(too_much()),
            _ => {}
        }
        let cost = bytes.len().saturating_add(OVERHEAD);
        if kind == Kind::Blob && !is_asked {
            let Some(rest) = self.unasked_room.checked_sub(cost) else { return Ok(()) };
            self.unasked_room = rest;
        } else {
            self.room = self.room.checked_sub(cost).ok_or_else(too_much)?;
        }
        let content = Content::Memory(bytes.into_boxed_slice().into());
        self.objects.insert(oid, (kind, content));
        Ok(())
    }

    fn add_large(&mut self, oid: Oid, bytes: &[u8]) -> Outcome<()> {
        let fail = |error: std::io::Error| GitFailure::disk("cannot write to the cache", &error);
        let (file, end) = if let Some(open) = self.file.take() {
            open
        } else {
            let own = self.folder.as_ref().map(tempfile::tempfile_in);
            // The cache may have been deleted in the meantime.
            let file = match own {
                Some(Ok(file)) => Ok(file),
                Some(Err(_)) | None => tempfile::tempfile(),
            };
            (Arc::new(file.map_err(fail)?), 0)
        };
        (&*file).write_all(bytes).map_err(fail)?;
        let length = bytes.len() as u64;
        let content = Content::Disk { file: Arc::clone(&file), start: end, length };
        self.objects.insert(oid, (Kind::Blob, content));
        self.file = Some((file, end.saturating_add(length)));
        Ok(())
    }

    pub(super) fn get(&self, oid: &Oid) -> Option<&(Kind, Content)> {
        self.objects.get(oid)
    }

    /// Returns an object of a kind, whole, if it is here.
    pub(super) fn bytes(&self, oid: &Oid, kind: Kind) -> Option<Bytes> {
        let (own, content) = self.get(oid)?;
        (*own == kind).then(|| content.whole().ok()).flatten()
    }
}

fn too_much() -> GitFailure {
    GitFailure::lasting(
        "the git server sends more than any branch of stash can hold",
        "give stash a branch, or a repository, of its own; tell whoever runs the server otherwise",
    )
}

#[cfg(test)]
mod tests {
    use super::super::object::oid_of;
    use super::*;

    fn add(received: &mut Received, kind: Kind, bytes: Vec<u8>) -> Outcome<bool> {
        let oid = oid_of(kind, &[&bytes]);
        received.add(oid, kind, bytes).map(|()| received.get(&oid).is_some())
    }

    #[test]
    fn what_is_kept_is_bounded_in_memory_and_on_disk() {
        let small = || Received { room: 1000, unasked_room: 1000, ..Received::new(None) };
        let mut received = small();
        assert!(add(&mut received, Kind::Tree, vec![1; 500]).unwrap());
        // The same again costs nothing.
        assert!(add(&mut received, Kind::Tree, vec![1; 500]).unwrap());
        assert!(add(&mut received, Kind::Tree, vec![2; 500]).is_err());
        assert!(add(&mut small(), Kind::Tree, vec![0; LONGEST_TREE + 1]).is_err());
        // What nobody asked for is left out, which is no failure.
        assert!(add(&mut received, Kind::Blob, vec![3; 500]).unwrap());
        assert!(!add(&mut received, Kind::Blob, vec![4; 500]).unwrap());
        assert!(!add(&mut received, Kind::Blob, vec![5; SMALL + 1]).unwrap());
        let mut received = small();
        let (large, other) = (vec![5; SMALL + 1], vec![6; 500]);
        received.ask(&[oid_of(Kind::Blob, &[&large]), oid_of(Kind::Blob, &[&other])]);
        assert!(add(&mut received, Kind::Blob, large.clone()).unwrap());
        assert!(add(&mut received, Kind::Blob, large.clone()).unwrap());
        assert_eq!(received.file.as_ref().unwrap().1, large.len() as u64);
        assert!(add(&mut received, Kind::Blob, other).unwrap());
    }
}
