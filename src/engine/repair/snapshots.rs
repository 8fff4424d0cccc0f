//! Snapshots without what is lost.
//!
//! A snapshot that lacks something is written anew from the nodes that can still be restored
//! whole (see `rewrite`). Memory: a check's, and 40 bytes for each directory in which nothing is
//! lost.

use std::collections::HashSet;

use crate::engine::backup::metadata::MetadataWriter;
use crate::engine::browse::Found as Item;
use crate::engine::check::{CheckOptions, Found, ReadData, look};
use crate::engine::reliance::Reliance;
use crate::engine::rewrite::{Entering, Rewriter, Selection};
use crate::error::{Error, Kind, Result};
use crate::event::{Counters, Reporter};
use crate::format::record::{Mark, MarkKind, Root, SNAPSHOT_INCOMPLETE, Snapshot, Statistics};
use crate::id::SnapshotId;
use crate::repository::Repository;
use crate::repository::cache::SnapshotEntry;
use crate::repository::index::Index;
use crate::repository::log::RecordParts;
use crate::repository::packer::Packer;
use crate::repository::reader::BlobReader;
use crate::repository::snapshots::SnapshotFilter;
use crate::time::Clock;

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
    clock: &dyn Clock,
    counters: &Counters,
    reporter: &dyn Reporter,
) -> Result<Repaired> {
    // A plan is made of what is there, readable or not.
    let begin = || Reliance::begin(repository, clock, reporter);
    let mut reliance = (!options.dry_run).then(begin).transpose()?;
    let now = clock.now();
    let check = CheckOptions {
        read_data: options.read_data,
        threads: options.threads,
        now: Some(now),
        ..CheckOptions::default()
    };
    let found = look(repository, &check, counters)?;
    if let Some(object) = found.awaited() {
        return Err(Error::failed("cannot tell what is lost: this may yet arrive:")
            .object(object)
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
    let mut rewriter = Rewriter::new(
        BlobReader::new(repository)?,
        MetadataWriter::new(repository.keys(), &index, &packer)?,
        counters,
        options.dry_run,
    );
    let mut repaired = Repaired::default();
    let mut relied_on = Vec::new();
    let mut pending = Vec::new();
    for entry in entries {
        let (snapshot, holes) = rebuild(&entry, &mut rewriter, &found)?;
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
            relied_on.push(entry.id);
            pending.push((place, snapshot, options.forget && !entry.pinned));
        }
    }
    if let Some(reliance) = &reliance {
        reliance.refuse_doomed(&relied_on)?;
    }
    rewriter.finish()?;
    let (packed, _) = packer.finish()?;
    let Some(reliance) = &mut reliance else { return Ok(repaired) };
    let mut parts =
        RecordParts { packs: packed.packs, inline: packed.inline, ..RecordParts::default() };
    for (place, snapshot, forget) in pending {
        let Some(row) = repaired.snapshots.get_mut(place) else { continue };
        reliance.renew_window(&index, &parts.packs, &relied_on)?;
        if forget {
            let kind = MarkKind::Forget as u64;
            parts.marks.push(Mark { snapshot: row.old, kind, ..Mark::default() });
        }
        parts.snapshot = Some(snapshot);
        // The first record publishes what all of them refer to.
        row.new = repository.append(std::mem::take(&mut parts), clock.now())?.snapshot;
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

/// What is lost goes.
struct Lost<'a> {
    found: &'a Found,
    holes: Vec<Hole>,
}

impl Selection for Lost<'_> {
    const BY_CONTENT: bool = true;

    fn enter(&self, _: &Item) -> Entering {
        Entering::Look
    }

    fn drops(&mut self, item: &Item, reader: &mut BlobReader<'_>) -> Result<bool> {
        let is_lost = match self.found.lost_blob(reader, &item.node) {
            Ok(lost) => lost.is_some(),
            Err(error) if error.kind() == Kind::Damaged => true,
            Err(error) => return Err(error),
        };
        if is_lost {
            self.holes.push(Hole { path: item.path.clone(), is_directory: false });
        }
        Ok(is_lost)
    }

    fn failed(&mut self, path: Vec<u8>, error: Error) -> Result<()> {
        if error.kind() != Kind::Damaged {
            return Err(error);
        }
        self.holes.push(Hole { path, is_directory: true });
        Ok(())
    }

    fn drops_empty(&self, has_failed: bool) -> bool {
        has_failed
    }
}

/// Returns the snapshot without what is lost, and the holes; none mean that it is as it was.
fn rebuild(
    entry: &SnapshotEntry,
    rewriter: &mut Rewriter<'_>,
    found: &Found,
) -> Result<(Snapshot, Vec<Hole>)> {
    let mut lost = Lost { found, holes: Vec::new() };
    let mut snapshot = entry.snapshot.clone();
    snapshot.roots.clear();
    for root in &entry.snapshot.roots {
        let item = Item { path: root.place.to_vec(), node: root.node.clone() };
        if let Some(node) = rewriter.item(item, &mut lost)? {
            snapshot.roots.push(Root { node, ..root.clone() });
        }
    }
    snapshot.attachments.retain(|attachment| {
        let is_lost = attachment.blob.as_ref().is_some_and(|id| found.is_harmed(id));
        if is_lost {
            let path = format!("(attachment {})", attachment.kind).into_bytes();
            lost.holes.push(Hole { path, is_directory: false });
        }
        !is_lost
    });
    if !snapshot.tags.iter().any(|tag| tag == TAG) {
        snapshot.tags.push(TAG.to_owned());
    }
    snapshot.parent = Some(entry.id);
    snapshot.original = None;
    snapshot.flags |= SNAPSHOT_INCOMPLETE;
    env!("CARGO_PKG_VERSION").clone_into(&mut snapshot.program);
    let statistics = rewriter.take_removed().left_of(&entry.snapshot.statistics);
    let errors = statistics.errors.saturating_add(lost.holes.len() as u64);
    snapshot.statistics = Statistics { errors, ..statistics };
    Ok((snapshot, lost.holes))
}
