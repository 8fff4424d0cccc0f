//! What the parent had in the place of something that has changed: the bases of differences.

use std::collections::VecDeque;

use super::pages::OldPages;
use crate::codec::chunker::DATABASE;
use crate::error::Result;
use crate::format::pack::BlobKind;
use crate::format::record::AttachmentMap;
use crate::format::tree::{Node, Part, Tree};
use crate::id::BlobId;
use crate::repository::Repository;
use crate::repository::reader::BlobReader;

/// Finds the part of the parent's directory or attachment that covers a name or key.
///
/// Keeps the parts on the way to the last one found: names ascend, so each is read about once.
pub(super) struct PartFinder {
    kind: BlobKind,
    root: Option<BlobId>,
    /// From the root down: a tree's id, and its parts; the last has none, as it holds nodes.
    way: Vec<(BlobId, Vec<Part>)>,
}

impl PartFinder {
    /// Looks into a blob of trees or of attachments.
    pub(super) fn new(kind: BlobKind, root: Option<BlobId>) -> Self {
        PartFinder { kind, root, way: Vec::new() }
    }

    /// Returns the parts that a blob refers to; none if it holds nodes or entries.
    fn load(&self, id: &BlobId, reader: &mut BlobReader<'_>) -> Result<Vec<Part>> {
        if self.kind == BlobKind::Attachment {
            return Ok(match reader.load_attachment(id)? {
                AttachmentMap::Entries(_) => Vec::new(),
                AttachmentMap::Parts(parts) => {
                    parts.into_iter().map(|(key, id)| Part(key, id)).collect()
                }
            });
        }
        Ok(match reader.load_tree(id)? {
            Tree::Nodes(_) => Vec::new(),
            Tree::Parts(parts) => parts,
        })
    }

    /// Returns the part that covers `name`: of nodes at height 0, of parts of nodes at height 1.
    /// What can't be read counts as not there.
    pub(super) fn find(
        &mut self,
        name: &[u8],
        height: usize,
        reader: &mut BlobReader<'_>,
    ) -> Option<BlobId> {
        let mut wanted = self.root?;
        let mut level = 0_usize;
        loop {
            if self.way.get(level).is_none_or(|(id, _)| *id != wanted) {
                self.way.truncate(level);
                let parts = self.load(&wanted, reader).ok()?;
                self.way.push((wanted, parts));
            }
            let (_, parts) = self.way.get(level)?;
            let after = parts.partition_point(|part| part.0.0.as_slice() <= name);
            match parts.get(after.saturating_sub(1)) {
                // The readers' bound on nesting.
                Some(part) if level < 16 => wanted = part.1,
                _ => break,
            }
            level = level.saturating_add(1);
        }
        let place = level.checked_sub(height)?;
        self.way.get(place).map(|(id, _)| *id)
    }
}

/// A blob of the parent's file.
#[derive(Debug, Clone, Copy)]
pub(super) struct OldChunk {
    pub(super) id: BlobId,
    /// Where it ended in the file, in bytes.
    pub(super) end: u64,
    /// Its length in bytes.
    pub(super) length: u64,
}

/// The content of the parent's file, chunk by chunk; a segment of the list is at hand at a time.
///
/// What can't be read ends the list: the rest of the file is then as good as new.
pub(super) struct OldContent<'c, 'r> {
    repository: &'r Repository,
    reader: &'c mut BlobReader<'r>,
    node: &'c Node,
    ids: VecDeque<BlobId>,
    segments: VecDeque<BlobId>,
    /// A chunk that has been looked at, and not passed.
    ahead: Option<OldChunk>,
    end: u64,
}

impl<'c, 'r> OldContent<'c, 'r> {
    pub(super) fn new(
        repository: &'r Repository,
        reader: &'c mut BlobReader<'r>,
        node: &'c Node,
    ) -> Self {
        OldContent {
            repository,
            reader,
            node,
            ids: node.blobs.iter().copied().collect(),
            segments: node.segments.iter().copied().collect(),
            ahead: None,
            end: 0,
        }
    }

    /// Returns the pages of a database.
    pub(super) fn pages(&self) -> OldPages {
        OldPages::new(self.node, DATABASE)
    }

    /// Returns the segments of the list that have not been read.
    pub(super) fn segments(&self) -> Vec<BlobId> {
        self.segments.iter().copied().collect()
    }

    /// Returns the next blob's id.
    pub(super) fn next_id(&mut self) -> Option<BlobId> {
        while self.ids.is_empty() {
            let segment = self.segments.pop_front()?;
            let Ok(ids) = self.reader.load_list(&segment) else {
                self.segments.clear();
                return None;
            };
            self.ids = ids.into();
        }
        self.ids.pop_front()
    }

    /// Returns the next chunk without passing it.
    pub(super) fn peek(&mut self) -> Option<OldChunk> {
        if self.ahead.is_none() {
            let id = self.next_id()?;
            let length = self.length(&id)?;
            self.end = self.end.saturating_add(length);
            self.ahead = Some(OldChunk { id, end: self.end, length });
        }
        self.ahead
    }

    /// Passes the next chunk.
    pub(super) fn pass(&mut self) {
        self.ahead = None;
    }

    /// Returns the size that the file had, in bytes.
    pub(super) fn size(&self) -> u64 {
        self.node.size
    }

    /// Returns the lengths of the chunks at the end that are shorter than `least`, the last one
    /// first, at most `most` of them. Looks at the list's last segment only.
    pub(super) fn tails(&mut self, least: u64, most: usize) -> Vec<u64> {
        let last = self.segments.back().and_then(|segment| self.reader.load_list(segment).ok());
        let ids = last.unwrap_or_else(|| self.ids.iter().copied().collect());
        let lengths = ids.iter().rev().take(most).map_while(|id| self.length(id));
        lengths.take_while(|length| *length < least).collect()
    }

    fn length(&self, id: &BlobId) -> Option<u64> {
        self.repository.cache().find_length(id).ok().flatten()
    }

    /// Returns the chunk that covers `offset`, passing those before it.
    pub(super) fn covering(&mut self, offset: u64) -> Option<BlobId> {
        while let Some(chunk) = self.peek() {
            if offset < chunk.end {
                return Some(chunk.id);
            }
            self.pass();
        }
        None
    }
}
