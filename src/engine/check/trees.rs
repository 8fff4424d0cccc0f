//! The snapshots' trees and attachments: each of their blobs is read once, each reference is looked
//! up.
//!
//! Iterative. Memory: 40 bytes for each such blob, 100 for each list, the lost ones, and what leads
//! to something lost.

use std::collections::{HashMap, HashSet};

use super::finding::{FindingKind, Findings};
use super::known::KnownBlobs;
use crate::error::{Error, Kind, Result};
use crate::event::Counters;
use crate::format::LIMITS;
use crate::format::pack::BlobKind;
use crate::format::record::{AttachmentMap, Snapshot};
use crate::format::tree::{Node, NodeKind, Subtree, Tree};
use crate::id::{BlobId, ObjectHash};
use crate::repository::Repository;
use crate::repository::reader::BlobReader;

/// What is lost, and where that shows.
#[derive(Default)]
pub(super) struct Losses {
    /// Blobs that can't be read, each with its finding.
    pub(super) lost: HashMap<BlobId, usize>,
    /// Blobs of trees and attachments below which something is lost.
    pub(super) dirty: HashSet<BlobId>,
    /// Whether a tree, list or attachment is lost, so that nobody can tell what it named.
    pub(super) hides_more: bool,
}

impl Losses {
    /// Returns whether a blob of a tree or attachment, or something below it, can't be read.
    pub(super) fn is_harmed(&self, id: &BlobId) -> bool {
        self.is_lost(id) || self.dirty.contains(id)
    }

    /// Returns whether a blob can't be read.
    pub(super) fn is_lost(&self, id: &BlobId) -> bool {
        self.lost.contains_key(id)
    }

    /// Returns the first lost blob that a file needs.
    pub(super) fn lost_blob(
        &self,
        reader: &mut BlobReader<'_>,
        node: &Node,
    ) -> Result<Option<BlobId>> {
        let of = |ids: &[BlobId]| ids.iter().find(|id| self.is_lost(id)).copied();
        if let Some(id) = of(&node.blobs).or_else(|| of(&node.segments)) {
            return Ok(Some(id));
        }
        for segment in node.segments.iter() {
            if let Some(id) = of(&reader.load_list(segment)?) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }
}

/// The walk. See the module's head.
pub(super) struct TreeCheck<'c> {
    reader: BlobReader<'c>,
    repository: &'c Repository,
    counters: &'c Counters,
    findings: &'c mut Findings,
    known: &'c mut KnownBlobs,
    objects: HashMap<ObjectHash, usize>,
    losses: Losses,
    seen: HashSet<u128>,
    /// The content's length of each list, unless a part of it is lost.
    lists: HashMap<BlobId, Option<u64>>,
    not_indexed: Option<(usize, u64)>,
    /// The finding about files of a wrong length.
    pub(super) length_differs: Option<usize>,
    pub(super) metadata_count: u64,
}

struct Frame {
    id: Option<BlobId>,
    children: Vec<BlobId>,
    dirty: bool,
}

impl<'c> TreeCheck<'c> {
    /// `objects` are the findings so far, by their objects.
    pub(super) fn new(
        repository: &'c Repository,
        known: &'c mut KnownBlobs,
        objects: HashMap<ObjectHash, usize>,
        findings: &'c mut Findings,
        counters: &'c Counters,
    ) -> Result<Self> {
        Ok(TreeCheck {
            reader: BlobReader::new(repository)?,
            repository,
            counters,
            findings,
            known,
            objects,
            losses: Losses::default(),
            seen: HashSet::new(),
            lists: HashMap::new(),
            not_indexed: None,
            length_differs: None,
            metadata_count: 0,
        })
    }

    /// Checks all that a snapshot holds; returns whether something of it is lost.
    pub(super) fn snapshot(&mut self, snapshot: &Snapshot) -> Result<bool> {
        let mut dirty = false;
        for root in &snapshot.roots {
            dirty |= self.root(&root.node)?;
        }
        for blob in snapshot.attachments.iter().filter_map(|attachment| attachment.blob) {
            dirty |= self.walk(BlobKind::Attachment, vec![blob])?;
        }
        Ok(dirty)
    }

    /// Ends the walk: what is lost, and all objects with a finding.
    pub(super) fn finish(self) -> (Losses, HashMap<ObjectHash, usize>) {
        if let Some((finding, count)) = self.not_indexed {
            let problem =
                format!("{count} blobs that snapshots need are in no index, this one first");
            self.findings.describe(finding, problem);
        }
        (self.losses, self.objects)
    }

    fn root(&mut self, node: &Node) -> Result<bool> {
        let mut children = Vec::new();
        let dirty = self.node(node, &mut children)?;
        Ok(self.walk(BlobKind::Tree, children)? || dirty)
    }

    /// Checks blobs of one kind and all below them; returns whether something of it is lost.
    fn walk(&mut self, kind: BlobKind, children: Vec<BlobId>) -> Result<bool> {
        let mut stack = vec![Frame { id: None, children, dirty: false }];
        while let Some(frame) = stack.last_mut() {
            if let Some(id) = frame.children.pop() {
                let is_new = self.seen.insert(half(&id));
                if !is_new {
                    frame.dirty |= self.losses.is_harmed(&id);
                } else if let Some(below) = self.enter(kind, id, stack.len())? {
                    stack.push(below);
                } else if let Some(frame) = stack.last_mut() {
                    frame.dirty = true;
                }
                continue;
            }
            let Some(Frame { id, dirty, .. }) = stack.pop() else { break };
            match (id, stack.last_mut()) {
                (Some(id), Some(above)) if dirty => {
                    self.losses.dirty.insert(id);
                    above.dirty = true;
                }
                (None, _) => return Ok(dirty),
                _ => {}
            }
        }
        Ok(false)
    }

    /// Reads a blob; `None` if it is lost.
    fn enter(&mut self, kind: BlobKind, id: BlobId, depth: usize) -> Result<Option<Frame>> {
        self.counters.go_on()?;
        Counters::add(&self.counters.total_items, 1);
        Counters::add(&self.counters.done_items, 1);
        self.metadata_count = self.metadata_count.saturating_add(1);
        self.known.need(&id);
        // Each directory may be cut in parts, in parts of parts.
        let entered = if depth > LIMITS.tree_depth.saturating_mul(4) {
            Err(Error::damaged("nested too deeply:", id.to_string()))
        } else {
            self.load(kind, id)
        };
        match entered {
            Ok(frame) => Ok(Some(frame)),
            Err(error) if error.kind() == Kind::Damaged => {
                self.lose(id, Some(&error))?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn load(&mut self, kind: BlobKind, id: BlobId) -> Result<Frame> {
        let mut frame = Frame { id: Some(id), children: Vec::new(), dirty: false };
        if kind == BlobKind::Attachment {
            if let AttachmentMap::Parts(parts) = self.reader.load_attachment(&id)? {
                frame.children.extend(parts.iter().map(|part| part.1));
            }
            return Ok(frame);
        }
        match self.reader.load_tree(&id)? {
            Tree::Nodes(nodes) => {
                for node in &nodes {
                    frame.dirty |= self.node(node, &mut frame.children)?;
                }
            }
            Tree::Parts(parts) => frame.children.extend(parts.iter().map(|part| part.1)),
        }
        frame.children.reverse();
        Ok(frame)
    }

    /// Checks a node and those that lie in it; the decoder bounds how deep that goes.
    fn node(&mut self, node: &Node, children: &mut Vec<BlobId>) -> Result<bool> {
        match (&node.subtree, node.kind) {
            (Subtree::Blob(id), _) => {
                children.push(*id);
                Ok(false)
            }
            (Subtree::Inline(nodes), NodeKind::Directory) => {
                let mut dirty = false;
                for node in nodes {
                    dirty |= self.node(node, children)?;
                }
                Ok(dirty)
            }
            (_, NodeKind::File) => self.file(node),
            _ => Ok(false),
        }
    }

    fn file(&mut self, node: &Node) -> Result<bool> {
        if !node.inline.is_empty() {
            return Ok(false);
        }
        let mut length = self.data_blobs(&node.blobs)?;
        for segment in node.segments.iter() {
            let more = self.list(segment)?;
            length = length.zip(more).map(|(sum, more)| sum.saturating_add(more));
        }
        match length {
            Some(length) if length == node.size => Ok(false),
            Some(_) => {
                self.length_differs.get_or_insert_with(|| {
                    let problem = "the content of files has another length than the files";
                    self.findings.add(FindingKind::LengthDiffers, "trees", problem)
                });
                Ok(true)
            }
            None => Ok(true),
        }
    }

    /// Returns the sum of the blobs' lengths, unless one is lost.
    fn data_blobs(&mut self, ids: &[BlobId]) -> Result<Option<u64>> {
        let mut sum = Some(0_u64);
        for id in ids {
            self.known.need(id);
            let length = self.known.length(id);
            if length.is_none() {
                self.lose(*id, None)?;
            }
            sum = sum.zip(length).map(|(sum, length)| sum.saturating_add(length));
        }
        Ok(sum)
    }

    fn list(&mut self, id: &BlobId) -> Result<Option<u64>> {
        if let Some(known) = self.lists.get(id) {
            return Ok(*known);
        }
        self.known.need(id);
        self.metadata_count = self.metadata_count.saturating_add(1);
        let length = match self.reader.load_list(id) {
            Ok(ids) => self.data_blobs(&ids)?,
            Err(error) if error.kind() == Kind::Damaged => {
                self.lose(*id, Some(&error))?;
                None
            }
            Err(error) => return Err(error),
        };
        self.lists.insert(*id, length);
        Ok(length)
    }

    /// Enters a blob as lost, under the finding of the object that should hold it.
    fn lose(&mut self, id: BlobId, error: Option<&Error>) -> Result<()> {
        if self.losses.is_lost(&id) {
            return Ok(());
        }
        let finding = self.blame(&id, error)?;
        // Only what is read here, and not just looked up, names other blobs.
        self.losses.hides_more |= error.is_some();
        self.known.needed.insert(finding);
        self.losses.lost.insert(id, finding);
        Ok(())
    }

    fn blame(&mut self, id: &BlobId, error: Option<&Error>) -> Result<usize> {
        if let Some(finding) = self.known.need(id) {
            return Ok(finding);
        }
        let places = self.repository.cache().places(id)?;
        let Some(place) = places.first() else {
            let (finding, count) = self.not_indexed.get_or_insert_with(|| {
                (self.findings.add(FindingKind::NotIndexed, format!("blob {id}"), ""), 0)
            });
            *count = count.saturating_add(1);
            return Ok(*finding);
        };
        let hash = place.object.hash();
        if let Some(finding) = self.objects.get(&hash) {
            return Ok(*finding);
        }
        let text = error.map_or_else(|| "it can't be read".to_owned(), Error::to_string);
        let finding = self.findings.add(FindingKind::ObjectDamaged, place.object.to_string(), text);
        self.objects.insert(hash, finding);
        Ok(finding)
    }
}

/// Half an id tells blobs apart as well, and takes half the room.
fn half(id: &BlobId) -> u128 {
    id.0.first_chunk::<16>().map_or(0, |bytes| u128::from_le_bytes(*bytes))
}
