//! Whom a loss harms: one walk over those directories of the snapshots that lead to something lost.

use std::collections::BTreeSet;

use super::finding::Findings;
use super::known::KnownBlobs;
use super::trees::Losses;
use crate::engine::browse::join;
use crate::error::Result;
use crate::event::Counters;
use crate::format::record::{AttachmentMap, Snapshot};
use crate::format::tree::{Node, NodeKind, Subtree, Tree};
use crate::id::{BlobId, SnapshotId};
use crate::repository::Repository;
use crate::repository::reader::BlobReader;

/// Looks for what is lost in snapshots.
pub(super) struct AffectedWalk<'c> {
    pub(super) repository: &'c Repository,
    pub(super) losses: &'c Losses,
    pub(super) known: &'c KnownBlobs,
    pub(super) length_differs: Option<usize>,
    pub(super) findings: &'c mut Findings,
    pub(super) limit: usize,
    pub(super) counters: &'c Counters,
}

struct Level {
    path: Vec<u8>,
    nodes: std::vec::IntoIter<Node>,
    parts: Vec<BlobId>,
}

impl AffectedWalk<'_> {
    /// Enters each affected path of one snapshot with the finding that harms it.
    pub(super) fn snapshot(&mut self, id: SnapshotId, snapshot: &Snapshot) -> Result<()> {
        let mut reader = BlobReader::new(self.repository)?;
        for root in &snapshot.roots {
            self.root(&mut reader, id, root.place.0.clone(), &root.node)?;
        }
        for blob in snapshot.attachments.iter().filter_map(|attachment| attachment.blob) {
            self.attachment(&mut reader, id, blob)?;
        }
        Ok(())
    }

    fn attachment(
        &mut self,
        reader: &mut BlobReader<'_>,
        snapshot: SnapshotId,
        blob: BlobId,
    ) -> Result<()> {
        let mut pending = vec![blob];
        while let Some(id) = pending.pop() {
            if let Some(finding) = self.losses.lost.get(&id) {
                self.findings.harm(*finding, snapshot, None, 0);
            } else if self.losses.dirty.contains(&id)
                && let AttachmentMap::Parts(parts) = reader.load_attachment(&id)?
            {
                pending.extend(parts.iter().map(|part| part.1));
            }
        }
        Ok(())
    }

    fn root(
        &mut self,
        reader: &mut BlobReader<'_>,
        snapshot: SnapshotId,
        path: Vec<u8>,
        node: &Node,
    ) -> Result<()> {
        let mut stack = Vec::new();
        self.node(reader, snapshot, path, node, &mut stack)?;
        while let Some(level) = stack.last_mut() {
            if let Some(node) = level.nodes.next() {
                let path = join(&level.path, &node.name);
                self.node(reader, snapshot, path, &node, &mut stack)?;
                continue;
            }
            let Some(part) = level.parts.pop() else {
                stack.pop();
                continue;
            };
            let path = level.path.clone();
            self.tree(reader, snapshot, &path, &part, &mut stack)?;
        }
        Ok(())
    }

    fn node(
        &mut self,
        reader: &mut BlobReader<'_>,
        snapshot: SnapshotId,
        path: Vec<u8>,
        node: &Node,
        stack: &mut Vec<Level>,
    ) -> Result<()> {
        match (&node.subtree, node.kind) {
            (Subtree::Blob(id), _) => self.tree(reader, snapshot, &path, id, stack),
            (Subtree::Inline(nodes), NodeKind::Directory) => {
                let nodes = nodes.clone().into_iter();
                stack.push(Level { path, nodes, parts: Vec::new() });
                Ok(())
            }
            (_, NodeKind::File) => {
                for finding in self.file(reader, node)? {
                    self.add(finding, snapshot, &path);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn tree(
        &mut self,
        reader: &mut BlobReader<'_>,
        snapshot: SnapshotId,
        path: &[u8],
        id: &BlobId,
        stack: &mut Vec<Level>,
    ) -> Result<()> {
        if let Some(finding) = self.losses.lost.get(id) {
            self.add(*finding, snapshot, &join(path, b""));
            return Ok(());
        }
        if !self.losses.dirty.contains(id) {
            return Ok(());
        }
        self.counters.go_on()?;
        let (nodes, parts) = match reader.load_tree(id)? {
            Tree::Nodes(nodes) => (nodes, Vec::new()),
            Tree::Parts(parts) => (Vec::new(), parts.iter().rev().map(|part| part.1).collect()),
        };
        stack.push(Level { path: path.to_vec(), nodes: nodes.into_iter(), parts });
        Ok(())
    }

    /// Returns every finding that harms a file: each of them would, were it the only one.
    fn file(&self, reader: &mut BlobReader<'_>, node: &Node) -> Result<BTreeSet<usize>> {
        let find = |ids: &[BlobId]| -> BTreeSet<usize> {
            ids.iter().filter_map(|id| self.losses.lost.get(id).copied()).collect()
        };
        let lengths =
            |ids: &[BlobId]| -> u64 { ids.iter().filter_map(|id| self.known.length(id)).sum() };
        let mut found = find(&node.blobs);
        let mut length = lengths(&node.blobs).saturating_add(node.inline.len() as u64);
        for segment in node.segments.iter() {
            if let Some(finding) = self.losses.lost.get(segment) {
                found.insert(*finding);
                continue;
            }
            let ids = reader.load_list(segment)?;
            found.extend(find(&ids));
            length = length.saturating_add(lengths(&ids));
        }
        if found.is_empty() && length != node.size {
            found.extend(self.length_differs);
        }
        Ok(found)
    }

    fn add(&mut self, finding: usize, snapshot: SnapshotId, path: &[u8]) {
        self.findings.harm(finding, snapshot, Some(path), self.limit);
    }
}
