//! Trees and lists of all snapshots, each blob once.

use std::collections::HashSet;

use super::{Found, snapshots};
use crate::error::{Kind, Result};
use crate::event::Counters;
use crate::format::tree::{Node, NodeKind, Subtree, Tree};
use crate::id::BlobId;
use crate::repository::Repository;
use crate::repository::reader::BlobReader;

/// Reads every tree and list that a snapshot needs, and looks for every data blob in the index.
pub(super) fn check_trees(
    repository: &Repository,
    found: &mut Found,
    counters: &Counters,
) -> Result<()> {
    let mut walk = Walk {
        repository,
        reader: BlobReader::new(repository)?,
        visited: HashSet::new(),
        open: Vec::new(),
        found,
    };
    for entry in snapshots(repository)? {
        walk.found.report.snapshots = walk.found.report.snapshots.saturating_add(1);
        for root in entry.snapshot.roots {
            walk.node(&root.node)?;
        }
        for attachment in &entry.snapshot.attachments {
            if let Some(blob) = &attachment.blob {
                walk.look_for(blob)?;
            }
        }
        while let Some(id) = walk.open.pop() {
            counters.go_on()?;
            walk.tree(&id)?;
        }
    }
    walk.found.report.metadata_blobs = walk.visited.len() as u64;
    Ok(())
}

struct Walk<'a> {
    repository: &'a Repository,
    reader: BlobReader<'a>,
    /// Trees and lists that were read.
    visited: HashSet<BlobId>,
    /// Trees that are still to be read.
    open: Vec<BlobId>,
    found: &'a mut Found,
}

impl Walk<'_> {
    fn tree(&mut self, id: &BlobId) -> Result<()> {
        if !self.visited.insert(*id) || !self.is_known(id)? {
            return Ok(());
        }
        match self.reader.load_tree(id) {
            Ok(Tree::Nodes(nodes)) => nodes.iter().try_for_each(|node| self.node(node)),
            Ok(Tree::Parts(parts)) => {
                self.open.extend(parts.iter().map(|part| part.1));
                Ok(())
            }
            Err(error) if error.kind() == Kind::Damaged => {
                self.found.unreadable(id, &error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn node(&mut self, node: &Node) -> Result<()> {
        // Inline subtrees nest a few levels at most: the format bounds them.
        match (&node.kind, &node.subtree) {
            (NodeKind::Directory, Subtree::Blob(id)) => self.open.push(*id),
            (NodeKind::Directory, Subtree::Inline(nodes)) => {
                nodes.iter().try_for_each(|node| self.node(node))?;
            }
            _ => {}
        }
        node.blobs.iter().try_for_each(|id| self.look_for(id))?;
        node.segments.iter().try_for_each(|id| self.list(id))
    }

    fn list(&mut self, id: &BlobId) -> Result<()> {
        if !self.visited.insert(*id) || !self.is_known(id)? {
            return Ok(());
        }
        match self.reader.load_list(id) {
            Ok(ids) => ids.iter().try_for_each(|id| self.look_for(id)),
            Err(error) if error.kind() == Kind::Damaged => {
                self.found.unreadable(id, &error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn look_for(&mut self, id: &BlobId) -> Result<()> {
        self.is_known(id).map(drop)
    }

    fn is_known(&mut self, id: &BlobId) -> Result<bool> {
        if self.repository.cache().knows(id)? {
            return Ok(true);
        }
        self.found.unknown(id);
        Ok(false)
    }
}
