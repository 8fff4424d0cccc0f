//! Which blobs are needed: one bit for each blob of the index.
//!
//! A blob stands here by the first eight bytes of its id, in ascending order: nine bytes for each
//! blob of the repository, whatever its snapshots. Two blobs that share these bytes are both needed
//! if one is, and a tree among them is walked each time that it is met: a chance collision keeps
//! too much, never too little.

use std::collections::HashSet;

use crate::error::{Error, Kind, Result};
use crate::event::Counters;
use crate::format::record::{AttachmentMap, Snapshot};
use crate::format::tree::{Node, NodeKind, Subtree, Tree};
use crate::id::{BlobId, SnapshotId};
use crate::repository::Repository;
use crate::repository::cache::Cache;
use crate::repository::reader::BlobReader;

/// The first eight bytes of an id.
pub(super) fn key(id: &BlobId) -> u64 {
    id.0.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// The set. See the module's head.
#[derive(Default)]
pub(super) struct Needs {
    keys: Vec<u64>,
    bits: Vec<u64>,
    twins: HashSet<u64>,
}

impl Needs {
    /// Returns a set over all blobs of the index, none of which is needed yet.
    pub(super) fn new(cache: &Cache) -> Result<Needs> {
        let mut needs = Needs {
            keys: Vec::with_capacity(usize::try_from(cache.totals()?.blobs).unwrap_or(0)),
            ..Needs::default()
        };
        let mut last: Option<BlobId> = None;
        cache.for_each_blob(|row| {
            if last == Some(row.id) {
                return;
            }
            let key = key(&row.id);
            if needs.keys.last() == Some(&key) {
                needs.twins.insert(key);
            } else {
                needs.keys.push(key);
            }
            last = Some(row.id);
        })?;
        needs.bits = vec![0; needs.keys.len().div_ceil(64)];
        Ok(needs)
    }

    /// Returns what is needed by now, a bit for each blob.
    pub(super) fn bits(&self) -> Vec<u64> {
        self.bits.clone()
    }

    fn find(&self, key: u64) -> Option<(usize, u64)> {
        let place = self.keys.binary_search(&key).ok()?;
        Some((place / 64, 1 << (place % 64)))
    }

    /// Returns whether a blob is needed.
    pub(super) fn has(&self, id: &BlobId) -> bool {
        self.find(key(id))
            .is_some_and(|(word, bit)| self.bits.get(word).is_some_and(|bits| bits & bit != 0))
    }

    /// Notes that a blob is needed. Returns whether that is news, and an error if no place of it is
    /// known.
    pub(super) fn add(&mut self, id: &BlobId) -> Result<bool> {
        let key = key(id);
        let Some((word, bit)) = self.find(key) else {
            return Err(Error::damaged("a snapshot needs a blob that is in no index:", id.short())
                .hint("nothing was deleted; run `stash check`"));
        };
        let Some(bits) = self.bits.get_mut(word) else { return Ok(false) };
        let is_new = *bits & bit == 0;
        *bits |= bit;
        Ok(is_new || self.twins.contains(&key))
    }
}

/// What an earlier look found to be needed, so that the next one need not walk it again. What is
/// needed too much since is kept once more, and goes with the next run.
#[derive(Default)]
pub(super) struct Walked {
    snapshots: HashSet<SnapshotId>,
    keys: Vec<u64>,
}

impl Walked {
    /// Remembers what these snapshots need. `bits` are those of `needs` before the bases of what is
    /// kept were added: to the next look they are bases again.
    pub(super) fn of(
        needs: &Needs,
        bits: &[u64],
        snapshots: impl Iterator<Item = SnapshotId>,
    ) -> Walked {
        let has =
            |place: usize| bits.get(place / 64).is_some_and(|bits| bits & (1 << (place % 64)) != 0);
        let needed = needs.keys.iter().enumerate().filter(|(place, _)| has(*place));
        Walked { snapshots: snapshots.collect(), keys: needed.map(|(_, key)| *key).collect() }
    }
}

/// Walks snapshots; each tree, list and attachment part is read once.
pub(super) struct NeedsWalk<'r> {
    reader: BlobReader<'r>,
    needs: Needs,
    counters: &'r Counters,
    /// Whether what can't be read or found is passed over.
    is_lenient: bool,
    /// What was passed over.
    passed_over: u64,
}

impl<'r> NeedsWalk<'r> {
    pub(super) fn new(repository: &'r Repository, counters: &'r Counters) -> Result<Self> {
        Ok(NeedsWalk {
            reader: BlobReader::new(repository)?,
            needs: Needs::new(repository.cache())?,
            counters,
            is_lenient: false,
            passed_over: 0,
        })
    }

    /// Takes over what an earlier look found; returns the snapshots that need not be walked. None if
    /// the index lacks something since: then it must be found out what.
    pub(super) fn take_over(&mut self, walked: Walked) -> HashSet<SnapshotId> {
        let places: Option<Vec<_>> = walked.keys.iter().map(|key| self.needs.find(*key)).collect();
        let Some(places) = places else { return HashSet::new() };
        for (word, bit) in places {
            if let Some(bits) = self.needs.bits.get_mut(word) {
                *bits |= bit;
            }
        }
        walked.snapshots
    }

    /// Notes what is left of a snapshot of which something is lost; returns how many blobs are.
    pub(super) fn remains(&mut self, snapshot: &Snapshot) -> Result<u64> {
        (self.is_lenient, self.passed_over) = (true, 0);
        let walked = self.snapshot(snapshot);
        self.is_lenient = false;
        walked.map(|()| self.passed_over)
    }

    /// Passes over what is damaged, if that is asked for.
    fn tolerate<T: Default>(&mut self, result: Result<T>) -> Result<T> {
        match result {
            Err(error) if self.is_lenient && error.kind() == Kind::Damaged => {
                self.passed_over = self.passed_over.saturating_add(1);
                Ok(T::default())
            }
            other => other,
        }
    }

    fn need(&mut self, id: &BlobId) -> Result<bool> {
        let added = self.needs.add(id);
        self.tolerate(added)
    }

    /// Notes that a blob is needed, if it is known at all.
    pub(super) fn need_known(&mut self, id: &BlobId) {
        let _unknown = self.needs.add(id);
    }

    /// Notes everything that a snapshot needs. What can't be read is an error: nobody knows what
    /// lies below it.
    pub(super) fn snapshot(&mut self, snapshot: &Snapshot) -> Result<()> {
        let mut trees = Vec::new();
        for root in &snapshot.roots {
            self.node(&root.node, &mut trees)?;
        }
        self.trees(trees)?;
        let mut parts: Vec<BlobId> =
            snapshot.attachments.iter().filter_map(|attachment| attachment.blob).collect();
        while let Some(id) = parts.pop() {
            if self.need(&id)? {
                let below = self.reader.load_attachment(&id).map(|map| match map {
                    AttachmentMap::Parts(parts) => parts.iter().map(|part| part.1).collect(),
                    AttachmentMap::Entries(_) => Vec::new(),
                });
                parts.extend(self.tolerate(below)?);
            }
        }
        Ok(())
    }

    /// Ends the walk.
    pub(super) fn finish(self) -> Needs {
        self.needs
    }

    fn trees(&mut self, mut stack: Vec<BlobId>) -> Result<()> {
        while let Some(id) = stack.pop() {
            if !self.need(&id)? {
                continue;
            }
            self.counters.go_on()?;
            Counters::add(&self.counters.done_items, 1);
            let tree = self.reader.load_tree(&id).map(Some);
            let Some(tree) = self.tolerate(tree)? else { continue };
            match tree {
                Tree::Nodes(nodes) => {
                    for node in &nodes {
                        self.node(node, &mut stack)?;
                    }
                }
                Tree::Parts(parts) => stack.extend(parts.iter().map(|part| part.1)),
            }
        }
        Ok(())
    }

    /// Notes a node's content, and that of those that lie in it; the decoder bounds how deep.
    fn node(&mut self, node: &Node, trees: &mut Vec<BlobId>) -> Result<()> {
        match (&node.subtree, node.kind) {
            (Subtree::Blob(id), _) => trees.push(*id),
            (Subtree::Inline(nodes), NodeKind::Directory) => {
                for node in nodes {
                    self.node(node, trees)?;
                }
            }
            _ => {}
        }
        for id in node.blobs.iter() {
            self.need(id)?;
        }
        for segment in node.segments.iter() {
            if self.need(segment)? {
                let ids = self.reader.load_list(segment);
                for id in self.tolerate(ids)? {
                    self.need(&id)?;
                }
            }
        }
        Ok(())
    }
}
