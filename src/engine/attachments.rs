//! What is kept beside the trees of a snapshot: sorted maps from keys to small values
//! (`format-spec/7-record.md`).
//!
//! Keys are `agent 0x00 label 0x00 path 0x00 suffix`, so that what belongs to a file, to a folder, to
//! a root or to an agent is one range of them: [`file_prefix`], [`folder_prefix`], [`root_prefix`].
//! [`read`] gives the entries of a range and reads only the parts that it lies in. A part that was
//! copied to this machine's cache when it was stored is read from there, without a request.
//!
//! Memory: 8 MiB of units, and at most 8 parts, decoded.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::cbor::Bytes;
use crate::format::record::{Attachment, AttachmentMap, Snapshot};
use crate::id::BlobId;
use crate::repository::Repository;
use crate::repository::reader::BlobReader;

/// Parts that are kept decoded: those on the way to the last one, and a few.
const KEPT_PARTS: usize = 8;
/// No honest nesting of parts is deeper: each level takes eight bits of a hash.
const DEEPEST: usize = 16;

/// One entry of an attachment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The key.
    pub key: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
}

/// What a key says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyParts<'k> {
    /// The agent's id.
    pub agent: &'k [u8],
    /// Which of the agent's roots.
    pub label: &'k [u8],
    /// The file's path below the root; empty for a root that is a file.
    pub path: &'k [u8],
    /// Which of the file's entries; may hold any byte.
    pub suffix: &'k [u8],
}

impl<'k> KeyParts<'k> {
    /// Takes a key apart; `None` if it is of another form.
    pub fn of(key: &'k [u8]) -> Option<KeyParts<'k>> {
        let mut words = key.splitn(4, |byte| *byte == 0);
        let (agent, label) = (words.next()?, words.next()?);
        let (path, suffix) = (words.next()?, words.next()?);
        Some(KeyParts { agent, label, path, suffix })
    }
}

/// Returns what the keys of an agent's root begin with.
pub fn root_prefix(agent: &str, label: &str) -> Vec<u8> {
    [agent.as_bytes(), b"\0", label.as_bytes(), b"\0"].concat()
}

/// Returns what the keys of the file at `path` below an agent's root begin with: an entry's suffix
/// follows.
pub fn file_prefix(agent: &str, label: &str, path: &[u8]) -> Vec<u8> {
    [root_prefix(agent, label).as_slice(), path, b"\0"].concat()
}

/// Returns what the keys of all files in the folder at `path` below an agent's root begin with; an
/// empty path is the root.
pub fn folder_prefix(agent: &str, label: &str, path: &[u8]) -> Vec<u8> {
    let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
    [root_prefix(agent, label).as_slice(), path, slash].concat()
}

/// Ranges of keys: those of files, folders and roots, by what they begin with.
#[derive(Debug, Default)]
pub(super) struct KeyRanges(HashSet<Vec<u8>>);

impl KeyRanges {
    /// Adds what [`file_prefix`], [`folder_prefix`] or [`root_prefix`] gives.
    pub(super) fn insert(&mut self, prefix: Vec<u8>) {
        self.0.insert(prefix);
    }

    pub(super) fn extend(&mut self, other: KeyRanges) {
        self.0.extend(other.0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether a key lies in one of them: by its file, a folder around it, or its root.
    pub(super) fn covers(&self, key: &[u8]) -> bool {
        let mut zeros = 0_u8;
        for (place, byte) in key.iter().enumerate().filter(|_| !self.is_empty()) {
            zeros = zeros.saturating_add(u8::from(*byte == 0));
            let is_border = (*byte == 0 && zeros >= 2) || (*byte == b'/' && zeros == 2);
            if is_border && key.get(..=place).is_some_and(|prefix| self.0.contains(prefix)) {
                return true;
            }
            if zeros >= 3 {
                return false;
            }
        }
        false
    }
}

/// Returns the attachment of a kind; `None` if the snapshot has none.
pub fn find<'s>(snapshot: &'s Snapshot, kind: &str) -> Option<&'s Attachment> {
    snapshot.attachments.iter().find(|attachment| attachment.kind == kind)
}

/// Returns the entries of an attachment whose keys begin with `prefix`, in ascending order; all of
/// them for an empty prefix, none if the snapshot has no attachment of that kind.
///
/// The snapshot must be whole, as `Repository::whole` gives it: heads in lists have no attachments.
/// An error among the entries stands for a part that can't be read; what follows it comes next.
pub fn read<'r>(
    repository: &'r Repository,
    snapshot: &Snapshot,
    kind: &str,
    prefix: &[u8],
) -> Result<Entries<'r>> {
    if snapshot.is_head() {
        return Err(Error::failed(
            "only the head of this snapshot is at hand, not its attachments",
        ));
    }
    let walk = find(snapshot, kind).map_or_else(EntryWalk::empty, |it| EntryWalk::new(it, prefix));
    Ok(Entries { parts: PartReader::new(repository)?, walk })
}

/// The entries that [`read`] gives.
pub struct Entries<'r> {
    parts: PartReader<'r>,
    walk: EntryWalk,
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.walk.next(&mut self.parts).transpose()?;
        Some(next.map(|(key, value)| Entry { key: key.0, value: value.0 }))
    }
}

/// Reads parts of attachments, and keeps a few of them.
pub(super) struct PartReader<'r> {
    reader: BlobReader<'r>,
    kept: VecDeque<(BlobId, Arc<AttachmentMap>)>,
}

impl<'r> PartReader<'r> {
    pub(super) fn new(repository: &'r Repository) -> Result<Self> {
        let reader = BlobReader::new(repository)?.near();
        Ok(PartReader { reader, kept: VecDeque::new() })
    }

    fn load(&mut self, id: &BlobId) -> Result<Arc<AttachmentMap>> {
        if let Some((_, kept)) = self.kept.iter().find(|(kept, _)| kept == id) {
            return Ok(Arc::clone(kept));
        }
        let loaded = Arc::new(self.reader.load_attachment(id)?);
        if self.kept.len() >= KEPT_PARTS {
            self.kept.pop_front();
        }
        self.kept.push_back((*id, Arc::clone(&loaded)));
        Ok(loaded)
    }
}

/// A part that is still to be looked into.
struct Pending {
    id: BlobId,
    depth: usize,
    /// The key that must come first in it.
    first: Option<Bytes>,
}

/// A walk through the entries of a range; holds one part at a time. Call [`EntryWalk::next`] with a
/// reader.
pub(super) struct EntryWalk {
    prefix: Vec<u8>,
    current: Arc<AttachmentMap>,
    place: usize,
    pending: Vec<Pending>,
    /// The key that came last: none below it may follow.
    last: Option<Bytes>,
}

impl EntryWalk {
    /// Returns the walk through nothing.
    pub(super) fn empty() -> EntryWalk {
        EntryWalk::over(Vec::new(), Vec::new(), &[])
    }

    /// Begins a walk through the entries whose keys begin with `prefix`.
    pub(super) fn new(attachment: &Attachment, prefix: &[u8]) -> EntryWalk {
        let root = attachment.blob.map(|id| Pending { id, depth: 0, first: None });
        EntryWalk::over(attachment.entries.clone(), root.into_iter().collect(), prefix)
    }

    fn over(entries: Vec<(Bytes, Bytes)>, pending: Vec<Pending>, prefix: &[u8]) -> EntryWalk {
        let mut walk = EntryWalk {
            prefix: prefix.to_vec(),
            current: Arc::new(AttachmentMap::Entries(Vec::new())),
            place: 0,
            pending,
            last: None,
        };
        walk.begin(Arc::new(AttachmentMap::Entries(entries)));
        walk
    }

    /// Goes on at the first entry of a part that is not below the range.
    fn begin(&mut self, part: Arc<AttachmentMap>) {
        if let AttachmentMap::Entries(entries) = part.as_ref() {
            let prefix = self.prefix.as_slice();
            self.place = entries.partition_point(|entry| entry.0.0.as_slice() < prefix);
        }
        self.current = part;
    }

    /// Returns the next entry. An error stands for a part that can't be read; what follows it comes
    /// next.
    pub(super) fn next(&mut self, parts: &mut PartReader<'_>) -> Result<Option<(Bytes, Bytes)>> {
        loop {
            if let AttachmentMap::Entries(entries) = self.current.as_ref()
                && let Some(entry) = entries.get(self.place)
                && entry.0.starts_with(&self.prefix)
            {
                self.place = self.place.saturating_add(1);
                return Ok(Some(entry.clone()));
            }
            let Some(pending) = self.pending.pop() else { return Ok(None) };
            if pending.depth > DEEPEST {
                return Err(damaged("attachments are nested too deeply at", &pending.id));
            }
            let part = parts.load(&pending.id)?;
            self.check_order(&part, &pending)?;
            match part.as_ref() {
                AttachmentMap::Entries(_) => self.begin(part),
                AttachmentMap::Parts(references) => {
                    let wanted = references.iter().enumerate().filter(|(place, (first, _))| {
                        let next = references.get(place.saturating_add(1));
                        // What ends where the range begins, or begins where it has ended, is not read.
                        next.is_none_or(|next| next.0.0 > self.prefix)
                            && (first.0 <= self.prefix || first.starts_with(&self.prefix))
                    });
                    let depth = pending.depth.saturating_add(1);
                    let below = wanted.map(|(_, (first, id))| Pending {
                        id: *id,
                        depth,
                        first: Some(first.clone()),
                    });
                    let below: Vec<Pending> = below.collect();
                    self.pending.extend(below.into_iter().rev());
                }
            }
        }
    }

    /// Keys ascend from part to part, and a reference tells the first key below it.
    fn check_order(&mut self, part: &AttachmentMap, pending: &Pending) -> Result<()> {
        let (first, last) = match part {
            AttachmentMap::Entries(entries) => {
                (entries.first().map(|it| &it.0), entries.last().map(|it| &it.0))
            }
            AttachmentMap::Parts(parts) => (parts.first().map(|it| &it.0), None),
        };
        let is_announced = pending.first.is_none() || pending.first.as_ref() == first;
        let ascends = self.last.is_none() || first.is_none() || self.last.as_ref() < first;
        if !is_announced || !ascends {
            return Err(damaged("keys are not in ascending order in attachment", &pending.id));
        }
        if let Some(last) = last {
            self.last = Some(last.clone());
        }
        Ok(())
    }
}

fn damaged(what: &str, id: &BlobId) -> Error {
    Error::damaged(what, id.to_string())
        .hint("run `stash check`; the next backup of everything makes the list anew")
}

#[cfg(test)]
mod tests;
