//! The parent snapshot, walked in step with the file system.
//!
//! Both sides come in ascending order of names, so that each directory of the parent is read once,
//! one part at a time.

use super::before::OldContent;
use crate::error::Result;
use crate::format::tree::{Node, NodeKind, Subtree};
use crate::repository::Repository;
use crate::repository::reader::{BlobReader, NodeIter};

struct Level {
    nodes: NodeIter,
    ahead: Option<Node>,
    /// Whether a node was passed over, or could not be read.
    passed_over: bool,
    /// Nodes that were passed over and may be kept all the same.
    passed: Vec<Node>,
}

/// A cursor over the parent's trees. A directory that can't be read counts as empty: its files are
/// then read again, which heals it.
pub(super) struct ParentCursor<'r> {
    repository: &'r Repository,
    reader: BlobReader<'r>,
    levels: Vec<Option<Level>>,
    /// Whether what is passed over is handed out, since some of it may stay.
    pub(super) keeps_passed: bool,
    /// What could not be read, to be told once.
    pub(super) failure: Option<crate::error::Error>,
}

impl<'r> ParentCursor<'r> {
    pub(super) fn new(repository: &'r Repository) -> Result<Self> {
        let reader = BlobReader::new(repository)?.near();
        Ok(ParentCursor {
            repository,
            reader,
            levels: Vec::new(),
            keeps_passed: false,
            failure: None,
        })
    }

    /// Enters a directory, given the parent's node of it.
    pub(super) fn enter(&mut self, directory: Option<&Node>) {
        let level = directory.filter(|node| node.kind == NodeKind::Directory).map(|node| Level {
            nodes: self.reader.nodes(&node.subtree),
            ahead: None,
            passed_over: false,
            passed: Vec::new(),
        });
        self.levels.push(level);
    }

    /// Leaves the directory entered last.
    pub(super) fn leave(&mut self) {
        self.levels.pop();
    }

    /// Returns the node of this name in the current directory. Names must ascend from call to call.
    pub(super) fn find(&mut self, name: &[u8]) -> Option<Node> {
        let level = self.levels.last_mut()?.as_mut()?;
        loop {
            if level.ahead.is_none() {
                level.ahead = match level.nodes.next(&mut self.reader) {
                    Ok(node) => Some(node?),
                    Err(error) => {
                        level.passed_over = true;
                        self.failure.get_or_insert(error);
                        return None;
                    }
                };
            }
            match level.ahead.as_ref().map(|node| node.name.0.as_slice().cmp(name)) {
                Some(std::cmp::Ordering::Less) => {
                    let node = level.ahead.take();
                    if self.keeps_passed {
                        level.passed.extend(node);
                    } else {
                        level.passed_over = true;
                    }
                }
                Some(std::cmp::Ordering::Equal) => return level.ahead.take(),
                _ => return None,
            }
        }
    }

    /// Hands out the nodes that were passed over since the last call.
    pub(super) fn take_passed(&mut self) -> Vec<Node> {
        let level = self.levels.last_mut().and_then(Option::as_mut);
        level.map(|level| std::mem::take(&mut level.passed)).unwrap_or_default()
    }

    /// Hands out all that is left of the current directory.
    pub(super) fn take_rest(&mut self) -> Vec<Node> {
        let mut rest = Vec::new();
        while !self.is_at_end() {
            let level = self.levels.last_mut().and_then(Option::as_mut);
            let Some(node) = level.and_then(|level| level.ahead.take()) else { break };
            rest.push(node);
        }
        rest
    }

    /// Returns whether a node of the current directory was not asked for, so that it is no more.
    pub(super) fn has_passed_over(&self) -> bool {
        self.levels.last().and_then(Option::as_ref).is_some_and(|level| level.passed_over)
    }

    /// Returns whether the parent's directory ends here, and was read in full.
    pub(super) fn is_at_end(&mut self) -> bool {
        let Some(level) = self.levels.last_mut().and_then(Option::as_mut) else { return false };
        if level.ahead.is_none() && !level.passed_over {
            match level.nodes.next(&mut self.reader) {
                Ok(node) => level.ahead = node,
                Err(error) => {
                    level.passed_over = true;
                    self.failure.get_or_insert(error);
                }
            }
        }
        level.ahead.is_none() && !level.passed_over
    }

    /// Begins to read a directory of the parent once more.
    pub(super) fn reread(&mut self, directory: &Node) -> NodeIter {
        self.reader.nodes(&directory.subtree)
    }

    /// Returns the next node of a directory that is read once more.
    pub(super) fn next_of(&mut self, nodes: &mut NodeIter) -> Result<Option<Node>> {
        nodes.next(&mut self.reader)
    }

    /// Begins to read the list of a file's content.
    pub(super) fn content<'c>(&'c mut self, file: &'c Node) -> OldContent<'c, 'r> {
        OldContent::new(self.repository, &mut self.reader, file)
    }

    /// Returns whether everything that a file's node refers to can still be relied upon.
    pub(super) fn stands(&mut self, node: &Node, index: &crate::repository::index::Index) -> bool {
        let mut stands = |id: &crate::id::BlobId| index.relies_on(id).unwrap_or(false);
        if !node.blobs.iter().chain(node.segments.iter()).all(&mut stands) {
            return false;
        }
        node.segments.iter().all(|segment| {
            self.reader.load_list(segment).is_ok_and(|ids| ids.iter().all(&mut stands))
        })
    }
}

/// Returns a copy of a directory's node without its content.
pub(super) fn without_content(node: &Node) -> Node {
    Node { subtree: Subtree::default(), ..node.clone() }
}
