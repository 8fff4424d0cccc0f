//! Trees without something: what repairing and purging share.
//!
//! An item is walked once; each directory on the way is built anew from the nodes that stay. What
//! is unchanged comes out with the id that it had, so only directories above what goes are stored.
//! Memory: one part of each directory on the way, and 40 bytes for each directory in which
//! nothing goes, where that can be told by its id.

use std::collections::HashSet;

use crate::engine::backup::assemble::inline_depth;
use crate::engine::backup::metadata::{DirectoryBuilder, MetadataWriter};
use crate::engine::browse::{Found as Item, TreeStep, TreeWalk};
use crate::error::{Error, Result};
use crate::event::Counters;
use crate::format::record::Statistics;
use crate::format::tree::{Node, NodeKind, Subtree};
use crate::id::BlobId;
use crate::repository::reader::BlobReader;

/// What is done with a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entering {
    /// Its nodes are looked at one by one.
    Look,
    /// Nothing in it goes.
    Pass,
    /// It goes with all that it holds.
    Drop,
}

/// Says what stays.
pub(super) trait Selection {
    /// Whether a tree's id alone tells that nothing in it goes, wherever it lies.
    const BY_CONTENT: bool;

    /// Returns what is done with a directory.
    fn enter(&self, directory: &Item) -> Entering;

    /// Returns whether an item that is no directory goes.
    fn drops(&mut self, item: &Item, reader: &mut BlobReader<'_>) -> Result<bool>;

    /// Takes note of a directory that can't be read, all or in part, or ends the run.
    fn failed(&mut self, path: Vec<u8>, error: Error) -> Result<()>;

    /// Returns whether a directory goes of which nothing is left.
    fn drops_empty(&self, has_failed: bool) -> bool;
}

/// What went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Removed {
    /// The paths of the items, without what lay in them.
    pub(super) paths: Vec<Vec<u8>>,
    /// Files and other items that are no directories.
    pub(super) files: u64,
    /// Bytes of the files.
    pub(super) bytes: u64,
    /// Directories.
    pub(super) directories: u64,
}

impl Removed {
    /// Adds what went elsewhere.
    pub(super) fn add(&mut self, other: Removed) {
        self.paths.extend(other.paths);
        self.files = self.files.saturating_add(other.files);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.directories = self.directories.saturating_add(other.directories);
    }

    /// Returns what a run counted, without what went and without what it stored itself.
    pub(super) fn left_of(&self, before: &Statistics) -> Statistics {
        Statistics {
            files: before.files.saturating_sub(self.files),
            directories: before.directories.saturating_sub(self.directories),
            bytes: before.bytes.saturating_sub(self.bytes),
            errors: before.errors,
            ..Statistics::default()
        }
    }
}

/// A directory that is being built anew.
struct Level {
    item: Item,
    builder: DirectoryBuilder,
    kept: u64,
    is_changed: bool,
    has_failed: bool,
    is_dropped: bool,
}

/// Builds trees anew.
pub(super) struct Rewriter<'a> {
    reader: BlobReader<'a>,
    writer: MetadataWriter<'a>,
    /// Trees in which nothing goes.
    clean: HashSet<BlobId>,
    counters: &'a Counters,
    dry_run: bool,
    removed: Removed,
}

impl<'a> Rewriter<'a> {
    /// With `dry_run` nothing is built: only what goes is told.
    pub(super) fn new(
        reader: BlobReader<'a>,
        writer: MetadataWriter<'a>,
        counters: &'a Counters,
        dry_run: bool,
    ) -> Self {
        let (clean, removed) = (HashSet::new(), Removed::default());
        Rewriter { reader, writer, clean, counters, dry_run, removed }
    }

    /// Returns what stores blobs; `None` where only what goes is told.
    pub(super) fn writer(&mut self) -> Option<&mut MetadataWriter<'a>> {
        (!self.dry_run).then_some(&mut self.writer)
    }

    /// Returns what went since this was asked last.
    pub(super) fn take_removed(&mut self) -> Removed {
        std::mem::take(&mut self.removed)
    }

    /// Stores what is left to store.
    pub(super) fn finish(mut self) -> Result<()> {
        self.writer.finish()
    }

    /// Builds an item anew; `None` if nothing of it is left.
    pub(super) fn item<S: Selection>(
        &mut self,
        item: Item,
        selection: &mut S,
    ) -> Result<Option<Node>> {
        let mut walk = TreeWalk::new(item, true);
        let mut levels: Vec<Level> = Vec::new();
        let mut result = None;
        while let Some(step) = walk.next(&mut self.reader) {
            self.counters.go_on()?;
            match step {
                TreeStep::Node(item) if item.node.kind == NodeKind::Directory => {
                    let level = self.enter(*item, levels.last(), &mut walk, selection);
                    levels.push(level);
                }
                TreeStep::Node(item) => {
                    let goes_along = levels.last().is_some_and(|level| level.is_dropped);
                    let goes = goes_along || selection.drops(&item, &mut self.reader)?;
                    if goes {
                        self.removed.files = self.removed.files.saturating_add(1);
                        self.removed.bytes = self.removed.bytes.saturating_add(item.node.size);
                        self.removed.paths.extend((!goes_along).then(|| item.path.clone()));
                    }
                    match levels.last_mut() {
                        Some(level) if goes => level.is_changed = true,
                        Some(level) => self.keep(level, item.node)?,
                        None if goes => {}
                        None => result = Some(item.node),
                    }
                }
                TreeStep::Failed { path, error } => {
                    selection.failed(path, error)?;
                    if let Some(level) = levels.last_mut() {
                        (level.is_changed, level.has_failed) = (true, true);
                    }
                }
                TreeStep::Leave => {
                    let Some(level) = levels.pop() else { break };
                    let (is_changed, node) = self.leave::<S>(level, selection)?;
                    match (levels.last_mut(), node) {
                        (Some(parent), Some(node)) => {
                            parent.is_changed |= is_changed;
                            self.keep(parent, node)?;
                        }
                        (Some(parent), None) => parent.is_changed = true,
                        (None, node) => result = node,
                    }
                }
            }
        }
        Ok(result)
    }

    fn enter<S: Selection>(
        &mut self,
        item: Item,
        parent: Option<&Level>,
        walk: &mut TreeWalk,
        selection: &S,
    ) -> Level {
        let goes_along = parent.is_some_and(|parent| parent.is_dropped);
        let entering = if goes_along { Entering::Drop } else { selection.enter(&item) };
        let is_clean =
            || S::BY_CONTENT && tree_of(&item.node).is_some_and(|id| self.clean.contains(&id));
        let is_passed = entering == Entering::Pass || (entering == Entering::Look && is_clean());
        if is_passed {
            walk.skip();
        }
        let is_dropped = entering == Entering::Drop;
        if is_dropped && !goes_along {
            self.removed.paths.push(item.path.clone());
        }
        Level {
            item,
            builder: DirectoryBuilder::default(),
            kept: 0,
            is_changed: false,
            has_failed: false,
            is_dropped,
        }
    }

    fn keep(&mut self, level: &mut Level, node: Node) -> Result<()> {
        level.kept = level.kept.saturating_add(1);
        if self.dry_run {
            return Ok(());
        }
        let depth = inline_depth(&node);
        level.builder.push(node, depth, &mut self.writer)
    }

    /// Ends a directory: whether it has changed, and its node if it stays.
    fn leave<S: Selection>(&mut self, level: Level, selection: &S) -> Result<(bool, Option<Node>)> {
        let Level { item, builder, kept, is_changed, has_failed, is_dropped } = level;
        let mut node = item.node;
        if !is_changed && !is_dropped {
            self.clean.extend(tree_of(&node).filter(|_| S::BY_CONTENT));
            return Ok((false, Some(node)));
        }
        if is_dropped || (kept == 0 && selection.drops_empty(has_failed)) {
            self.removed.directories = self.removed.directories.saturating_add(1);
            return Ok((true, None));
        }
        if !self.dry_run {
            (node.subtree, _) = builder.finish(&mut self.writer)?;
        }
        Ok((true, Some(node)))
    }
}

fn tree_of(node: &Node) -> Option<BlobId> {
    match &node.subtree {
        Subtree::Blob(id) => Some(*id),
        Subtree::Inline(_) => None,
    }
}
