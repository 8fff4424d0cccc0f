//! Snapshots without what is lost.
//!
//! A snapshot that lacks something is walked once; each directory on the way is built anew from
//! the nodes that can still be restored whole. What is unchanged comes out with the id that it
//! had, so only directories above a hole are stored. Memory: a check's, and 40 bytes for each
//! directory in which nothing is lost.

use std::collections::HashSet;

use crate::engine::backup::assemble::inline_depth;
use crate::engine::backup::metadata::{DirectoryBuilder, MetadataWriter};
use crate::engine::browse::{Found as Item, TreeStep, TreeWalk};
use crate::engine::check::{CheckOptions, Found, ReadData, look};
use crate::error::{Error, Kind, Result};
use crate::event::Counters;
use crate::format::record::{Mark, MarkKind, Root, SNAPSHOT_INCOMPLETE, Snapshot, Statistics};
use crate::format::tree::{Node, NodeKind, Subtree};
use crate::id::{BlobId, SnapshotId};
use crate::repository::Repository;
use crate::repository::cache::SnapshotEntry;
use crate::repository::index::Index;
use crate::repository::log::RecordParts;
use crate::repository::packer::Packer;
use crate::repository::reader::BlobReader;
use crate::repository::snapshots::SnapshotFilter;
use crate::time::Timestamp;

/// The tag of repaired snapshots.
const TAG: &str = "repaired";

/// How to repair snapshots.
#[derive(Debug, Clone, Default)]
pub struct RepairSnapshotsOptions {
    /// Only these; `None` means all.
    pub only: Option<Vec<SnapshotId>>,
    /// What is read to find what is lost.
    pub read_data: ReadData,
    /// Marks the old snapshots as forgotten; pinned ones stay.
    pub forget: bool,
    /// Look, but store nothing.
    pub dry_run: bool,
    /// Workers; at least 1.
    pub threads: usize,
}

/// Something that the new snapshot does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    /// Its path.
    pub path: Vec<u8>,
    /// Whether it is a directory, or a part of one, of which nothing more is known.
    pub is_directory: bool,
}

/// A snapshot that lacks something, and what was made of it.
#[derive(Debug, Clone)]
pub struct RepairedSnapshot {
    /// The old snapshot.
    pub old: SnapshotId,
    /// The new one; `None` in a dry run, or if nothing is left.
    pub new: Option<SnapshotId>,
    /// What is lost.
    pub holes: Vec<Hole>,
    /// Whether the old one was marked as forgotten.
    pub forgotten: bool,
}

/// What was repaired.
#[derive(Debug, Clone, Default)]
pub struct Repaired {
    /// Snapshots that lack something.
    pub snapshots: Vec<RepairedSnapshot>,
    /// Snapshots that lack nothing.
    pub whole: u64,
}

/// Writes a new snapshot for each that lacks something. See the module's head.
pub fn repair_snapshots(
    repository: &Repository,
    options: &RepairSnapshotsOptions,
    now: Timestamp,
    counters: &Counters,
) -> Result<Repaired> {
    let check = CheckOptions {
        read_data: options.read_data,
        threads: options.threads,
        now: Some(now),
        ..CheckOptions::default()
    };
    let found = look(repository, &check, counters)?;
    if let Some(pack) = found.awaited() {
        return Err(Error::failed("cannot tell what is lost: this pack may yet arrive:")
            .object(pack.to_string())
            .hint(
                "wait until everything is in place; 7 days after it was named it counts as lost",
            ));
    }
    let entries = chosen(repository, options)?;
    let index = Index::new(std::sync::Arc::clone(repository.cache()))?;
    let packer = Packer::start(
        repository.store().clone(),
        std::sync::Arc::clone(repository.keys()),
        repository.id().0,
        repository.state().cloned(),
        now.0,
    );
    let mut rebuild = Rebuild {
        reader: BlobReader::new(repository)?,
        writer: MetadataWriter::new(repository.keys(), &index, &packer)?,
        found: &found,
        clean: HashSet::new(),
        counters,
        dry_run: options.dry_run,
        holes: Vec::new(),
        lost_files: 0,
        lost_bytes: 0,
        lost_directories: 0,
    };
    let mut repaired = Repaired::default();
    let mut pending = Vec::new();
    for entry in entries {
        let snapshot = rebuild.snapshot(&entry)?;
        let holes = std::mem::take(&mut rebuild.holes);
        if holes.is_empty() {
            repaired.whole = repaired.whole.saturating_add(1);
            continue;
        }
        let place = repaired.snapshots.len();
        repaired.snapshots.push(RepairedSnapshot {
            old: entry.id,
            new: None,
            holes,
            forgotten: false,
        });
        if !snapshot.roots.is_empty() {
            pending.push((place, snapshot, options.forget && !entry.pinned));
        }
    }
    rebuild.writer.finish()?;
    drop(rebuild);
    let (packed, _) = packer.finish()?;
    if options.dry_run {
        return Ok(repaired);
    }
    let mut parts =
        RecordParts { packs: packed.packs, inline: packed.inline, ..RecordParts::default() };
    for (place, snapshot, forget) in pending {
        let Some(row) = repaired.snapshots.get_mut(place) else { continue };
        if forget {
            let kind = MarkKind::Forget as u64;
            parts.marks.push(Mark { snapshot: row.old, kind, ..Mark::default() });
        }
        parts.snapshot = Some(snapshot);
        // The first record publishes what all of them refer to.
        row.new = repository.append(std::mem::take(&mut parts), now)?.snapshot;
        row.forgotten = forget;
    }
    Ok(repaired)
}

/// Returns the snapshots to look at; those that were repaired before are left alone.
fn chosen(repository: &Repository, options: &RepairSnapshotsOptions) -> Result<Vec<SnapshotEntry>> {
    let mut entries = repository.snapshots(&SnapshotFilter::default())?;
    let done: HashSet<SnapshotId> = entries
        .iter()
        .filter(|entry| entry.snapshot.tags.iter().any(|tag| tag == TAG))
        .filter_map(|entry| entry.snapshot.parent)
        .collect();
    entries.retain(|entry| {
        !done.contains(&entry.id)
            && options.only.as_ref().is_none_or(|only| only.contains(&entry.id))
    });
    Ok(entries)
}

/// A directory that is being built anew.
struct Level {
    item: Item,
    builder: DirectoryBuilder,
    kept: u64,
    is_changed: bool,
    has_failed: bool,
}

struct Rebuild<'a> {
    reader: BlobReader<'a>,
    writer: MetadataWriter<'a>,
    found: &'a Found,
    /// Trees below which nothing is lost.
    clean: HashSet<BlobId>,
    counters: &'a Counters,
    dry_run: bool,
    holes: Vec<Hole>,
    lost_files: u64,
    lost_bytes: u64,
    lost_directories: u64,
}

impl Rebuild<'_> {
    /// Returns the snapshot without what is lost; no holes mean that it is as it was.
    fn snapshot(&mut self, entry: &SnapshotEntry) -> Result<Snapshot> {
        (self.lost_files, self.lost_bytes, self.lost_directories) = (0, 0, 0);
        let mut snapshot = entry.snapshot.clone();
        snapshot.roots.clear();
        for root in &entry.snapshot.roots {
            let item = Item { path: root.place.to_vec(), node: root.node.clone() };
            if let Some(node) = self.item(item)? {
                snapshot.roots.push(Root { node, ..root.clone() });
            }
        }
        snapshot.attachments.retain(|attachment| {
            let is_lost = attachment.blob.as_ref().is_some_and(|id| self.found.is_harmed(id));
            if is_lost {
                let path = format!("(attachment {})", attachment.kind).into_bytes();
                self.holes.push(Hole { path, is_directory: false });
            }
            !is_lost
        });
        if !snapshot.tags.iter().any(|tag| tag == TAG) {
            snapshot.tags.push(TAG.to_owned());
        }
        snapshot.parent = Some(entry.id);
        snapshot.flags |= SNAPSHOT_INCOMPLETE;
        env!("CARGO_PKG_VERSION").clone_into(&mut snapshot.program);
        let before = &entry.snapshot.statistics;
        snapshot.statistics = Statistics {
            files: before.files.saturating_sub(self.lost_files),
            directories: before.directories.saturating_sub(self.lost_directories),
            bytes: before.bytes.saturating_sub(self.lost_bytes),
            errors: before.errors.saturating_add(self.holes.len() as u64),
            ..Statistics::default()
        };
        Ok(snapshot)
    }

    /// Builds an item anew; `None` if nothing of it is left.
    fn item(&mut self, item: Item) -> Result<Option<Node>> {
        let mut walk = TreeWalk::new(item, true);
        let mut levels: Vec<Level> = Vec::new();
        let mut result = None;
        while let Some(step) = walk.next(&mut self.reader) {
            self.counters.go_on()?;
            match step {
                TreeStep::Node(item) if item.node.kind == NodeKind::Directory => {
                    if tree_of(&item.node).is_some_and(|id| self.clean.contains(&id)) {
                        walk.skip();
                    }
                    levels.push(Level {
                        item: *item,
                        builder: DirectoryBuilder::default(),
                        kept: 0,
                        is_changed: false,
                        has_failed: false,
                    });
                }
                TreeStep::Node(item) => {
                    let is_lost = self.is_lost(&item)?;
                    match levels.last_mut() {
                        Some(level) if is_lost => level.is_changed = true,
                        Some(level) => self.keep(level, item.node)?,
                        None if is_lost => {}
                        None => result = Some(item.node),
                    }
                }
                TreeStep::Failed { path, error } => {
                    if error.kind() != Kind::Damaged {
                        return Err(error);
                    }
                    self.holes.push(Hole { path, is_directory: true });
                    if let Some(level) = levels.last_mut() {
                        (level.is_changed, level.has_failed) = (true, true);
                    }
                }
                TreeStep::Leave => {
                    let Some(level) = levels.pop() else { break };
                    let (is_changed, node) = self.leave(level)?;
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

    fn is_lost(&mut self, item: &Item) -> Result<bool> {
        let is_lost = match self.found.lost_blob(&mut self.reader, &item.node) {
            Ok(lost) => lost.is_some(),
            Err(error) if error.kind() == Kind::Damaged => true,
            Err(error) => return Err(error),
        };
        if is_lost {
            self.holes.push(Hole { path: item.path.clone(), is_directory: false });
            self.lost_files = self.lost_files.saturating_add(1);
            self.lost_bytes = self.lost_bytes.saturating_add(item.node.size);
        }
        Ok(is_lost)
    }

    fn keep(&mut self, level: &mut Level, node: Node) -> Result<()> {
        level.kept = level.kept.saturating_add(1);
        if self.dry_run {
            return Ok(());
        }
        let depth = inline_depth(&node);
        level.builder.push(node, depth, &mut self.writer)
    }

    /// Ends a directory: whether it has changed, and its node if something of it is left.
    fn leave(&mut self, level: Level) -> Result<(bool, Option<Node>)> {
        let Level { item, builder, kept, is_changed, has_failed } = level;
        let mut node = item.node;
        if !is_changed {
            self.clean.extend(tree_of(&node));
            return Ok((false, Some(node)));
        }
        if has_failed && kept == 0 {
            self.lost_directories = self.lost_directories.saturating_add(1);
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
