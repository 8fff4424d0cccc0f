//! Which snapshots and files lack something: one walk, only when something is lost.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::{Found, NAMED_FILES, snapshots};
use crate::engine::browse::{Found as Item, TreeStep, TreeWalk};
use crate::error::Result;
use crate::event::Counters;
use crate::format::tree::{Node, Subtree};
use crate::id::{BlobId, SnapshotId};
use crate::repository::Repository;
use crate::repository::reader::BlobReader;

/// A directory on the way down, and how much was affected when it was entered.
struct Level {
    tree: Option<BlobId>,
    affected_before: u64,
}

/// Finds what each finding costs. A directory in which nothing is lost is walked once, however
/// many snapshots hold it.
pub(super) fn find_affected(
    repository: &Repository,
    found: &mut Found,
    counters: &Counters,
) -> Result<()> {
    if found.lost.is_empty() {
        return Ok(());
    }
    let mut reader = BlobReader::new(repository)?;
    let mut clean = HashSet::new();
    for entry in snapshots(repository)? {
        for root in &entry.snapshot.roots {
            let item = Item { path: root.place.to_vec(), node: root.node.clone() };
            walk(&mut reader, item, &entry.id, &mut clean, found, counters)?;
        }
        for blob in entry.snapshot.attachments.iter().filter_map(|item| item.blob.as_ref()) {
            if let Some(number) = found.lost.get(blob).copied() {
                found.affect(number, &entry.id, b"(attachment)");
            }
        }
    }
    Ok(())
}

fn walk(
    reader: &mut BlobReader<'_>,
    item: Item,
    snapshot: &SnapshotId,
    clean: &mut HashSet<BlobId>,
    found: &mut Found,
    counters: &Counters,
) -> Result<()> {
    let mut walk = TreeWalk::new(item, true);
    let mut levels: Vec<Level> = Vec::new();
    let mut affected = 0_u64;
    while let Some(step) = walk.next(reader) {
        counters.go_on()?;
        match step {
            TreeStep::Node(item) if item.node.kind == crate::format::tree::NodeKind::Directory => {
                let tree = tree_of(&item.node);
                levels.push(Level { tree, affected_before: affected });
                if tree.is_some_and(|id| clean.contains(&id)) {
                    walk.skip();
                }
            }
            TreeStep::Node(item) => {
                let lost = found.lost_blob(reader, &item.node)?;
                if let Some(number) = lost.and_then(|id| found.lost.get(&id).copied()) {
                    affected = affected.saturating_add(1);
                    found.affect(number, snapshot, &item.path);
                }
            }
            TreeStep::Leave => {
                if let Some(level) = levels.pop()
                    && level.affected_before == affected
                {
                    clean.extend(level.tree);
                }
            }
            TreeStep::Failed { path, error } => {
                affected = affected.saturating_add(1);
                if error.kind() != crate::error::Kind::Damaged {
                    return Err(error);
                }
                let named = error.object_name().and_then(|name| found.by_object.get(name));
                let of_tree =
                    levels.last().and_then(|level| level.tree).and_then(|id| found.lost.get(&id));
                if let Some(number) = of_tree.or(named).copied().or_else(|| found.any_blobs()) {
                    found.affect(number, snapshot, &path);
                }
            }
        }
    }
    Ok(())
}

fn tree_of(node: &Node) -> Option<BlobId> {
    match &node.subtree {
        Subtree::Blob(id) => Some(*id),
        Subtree::Inline(_) => None,
    }
}

impl Found {
    /// Notes that a path of a snapshot can't be restored whole because of a finding.
    fn affect(&mut self, number: usize, snapshot: &SnapshotId, path: &[u8]) {
        let Some(finding) = self.report.findings.get_mut(number) else { return };
        if finding.snapshots.last() != Some(snapshot) {
            finding.snapshots.push(*snapshot);
        }
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        if self.paths.entry(number).or_default().insert(hasher.finish()) {
            finding.file_count = finding.file_count.saturating_add(1);
            if finding.files.len() < NAMED_FILES {
                finding.files.push(path.to_vec());
            }
        }
    }

    /// The finding about blobs that are in no object, if there is one.
    fn any_blobs(&self) -> Option<usize> {
        self.report.findings.iter().position(|finding| finding.kind == super::FindingKind::Blobs)
    }
}
