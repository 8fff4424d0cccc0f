//! Snapshots without something that must not be kept.
//!
//! Each snapshot that holds it is written anew without it: same time, machine, job, tags and pin.
//! One record holds the new snapshot with its pin, and the mark that forgets the old one, so a run
//! that dies leaves each snapshot either as it was or purged. Of what is kept beside a snapshot
//! (attachments, such as the list of sessions) only the entries of files that stay go over into the
//! new one: others tell of what is purged. Single entries can be taken out as well.
//!
//! What only the old ones had lies in the repository until a *thorough* prune has taken it out of all
//! that stays: out of packs that others use, bases of differences, records, segments (see `prune`). Where
//! others may write, that is when the forgotten ones do not live any more, and a grace later. The
//! caches of machines follow: a copy of an object goes with it, a snapshot with the checkpoint that
//! does not name it.

mod entries;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

pub use entries::DropsEntry;

use entries::EntryRules;

use super::backup::metadata::MetadataWriter;
use super::browse::Found as Item;
use super::mark::mark;
use super::reliance::Reliance;
use super::rewrite::{Entering, Removed, Rewriter, Selection};
use crate::error::{Error, Result};
use crate::event::{Counters, Reporter};
use crate::format::record::{MarkKind, Root, RootKind, Snapshot};
use crate::format::tree::Category;
use crate::id::SnapshotId;
use crate::repository::Repository;
use crate::repository::cache::SnapshotEntry;
use crate::repository::index::Index;
use crate::repository::log::RecordParts;
use crate::repository::packer::Packer;
use crate::repository::reader::BlobReader;
use crate::repository::snapshots::{SnapshotFilter, is_within};
use crate::time::Clock;

/// What is taken out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purge {
    /// These absolute places with all that lies in them, as bytes.
    Paths(Vec<Vec<u8>>),
    /// What an agent keeps.
    Agent {
        /// The agent's id.
        agent: String,
        /// Only these categories; empty means all, roots included.
        only: Vec<Category>,
    },
}

/// A snapshot that holds what is taken out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgedSnapshot {
    /// The old snapshot.
    pub old: SnapshotId,
    /// The new one; `None` in a plan, or if nothing is left.
    pub new: Option<SnapshotId>,
    /// What was taken out, without what lay in it.
    pub paths: Vec<Vec<u8>>,
    /// How many files that were.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// How many entries of attachments were taken out.
    pub entries: u64,
}

/// What was taken out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PurgeReport {
    /// Snapshots that held it.
    pub snapshots: Vec<PurgedSnapshot>,
    /// Snapshots that did not.
    pub untouched: u64,
}

/// Takes something out of `entries`, the oldest first whatever their order; those that are forgotten
/// by now are passed over. The repository must have been synced as a whole. A snapshot that can't be
/// read ends the run before anything is published.
pub fn purge(
    repository: &Repository,
    entries: &[SnapshotEntry],
    what: &Purge,
    clock: &dyn Clock,
    counters: &Counters,
    reporter: &dyn Reporter,
) -> Result<PurgeReport> {
    purge_with(repository, entries, what, None, clock, counters, reporter)
}

/// Like [`purge`]; takes out besides which entries of attachments `drops` says, of files that stay too.
pub fn purge_with(
    repository: &Repository,
    entries: &[SnapshotEntry],
    what: &Purge,
    drops: Option<&DropsEntry<'_>>,
    clock: &dyn Clock,
    counters: &Counters,
    reporter: &dyn Reporter,
) -> Result<PurgeReport> {
    let mut reliance = Reliance::begin(repository, clock, reporter)?;
    reliance.look_for_packs()?;
    let chosen: HashSet<SnapshotId> = entries.iter().map(|entry| entry.id).collect();
    // What was said about them since they were chosen counts.
    let entries: Vec<SnapshotEntry> = repository
        .snapshot_heads(&SnapshotFilter::default())?
        .into_iter()
        .filter(|entry| chosen.contains(&entry.id))
        .collect();
    let index = Index::new(Arc::clone(repository.cache()))?;
    let packer = Packer::start(
        repository.store().clone(),
        Arc::clone(repository.keys()),
        repository.id().0,
        repository.state().cloned(),
        reliance.began.0,
    );
    let writer = MetadataWriter::new(repository.keys(), &index, &packer)?;
    let mut rewriter = Rewriter::new(BlobReader::new(repository)?, writer, counters, false);
    let (mut report, pending) = look(repository, &entries, what, drops, &mut rewriter)?;
    let touched: Vec<&SnapshotEntry> = pending.iter().map(|(entry, _)| *entry).collect();
    reliance.refuse_fallen(&touched, counters)?;
    let relied_on: Vec<SnapshotId> = touched.iter().map(|entry| entry.id).collect();
    rewriter.finish()?;
    let (packed, _) = packer.finish()?;
    let mut parts =
        RecordParts { packs: packed.packs, inline: packed.inline, ..RecordParts::default() };
    let mut replaced: HashMap<SnapshotId, SnapshotId> = HashMap::new();
    for ((entry, mut snapshot), row) in pending.into_iter().zip(&mut report.snapshots) {
        reliance.renew_window(&index, &parts.packs, &relied_on)?;
        snapshot.parent = snapshot.parent.map(|id| replaced.get(&id).copied().unwrap_or(id));
        // One record says all of it: there is never a time at which both count, or none is pinned.
        parts.marks.push(mark(entry, MarkKind::Forget));
        parts.pinned = entry.pinned;
        parts.snapshot = (!snapshot.roots.is_empty()).then_some(snapshot);
        // The first record publishes what all of them refer to.
        row.new = repository.append(std::mem::take(&mut parts), clock.now())?.snapshot;
        replaced.extend(row.new.map(|new| (entry.id, new)));
    }
    Ok(report)
}

/// Returns what would be taken out of `entries`. Stores nothing.
pub fn plan_purge(
    repository: &Repository,
    entries: &[SnapshotEntry],
    what: &Purge,
    counters: &Counters,
) -> Result<PurgeReport> {
    plan_purge_with(repository, entries, what, None, counters)
}

/// Returns what [`purge_with`] would take out of `entries`. Stores nothing.
pub fn plan_purge_with(
    repository: &Repository,
    entries: &[SnapshotEntry],
    what: &Purge,
    drops: Option<&DropsEntry<'_>>,
    counters: &Counters,
) -> Result<PurgeReport> {
    let index = Index::new(Arc::clone(repository.cache()))?;
    let (store, keys) = (repository.store().clone(), Arc::clone(repository.keys()));
    let packer = Packer::start(store, keys, repository.id().0, None, 0);
    let writer = MetadataWriter::new(repository.keys(), &index, &packer)?;
    let mut rewriter = Rewriter::new(BlobReader::new(repository)?, writer, counters, true);
    Ok(look(repository, entries, what, drops, &mut rewriter)?.0)
}

/// Returns what is taken out of which snapshots, and these without it; the oldest first.
fn look<'e>(
    repository: &Repository,
    entries: &'e [SnapshotEntry],
    what: &Purge,
    drops: Option<&DropsEntry<'_>>,
    rewriter: &mut Rewriter<'_>,
) -> Result<(PurgeReport, Vec<(&'e SnapshotEntry, Snapshot)>)> {
    let mut entries: Vec<&SnapshotEntry> = entries.iter().collect();
    // A parent comes before those that name it.
    entries.sort_by_key(|entry| (entry.snapshot.time, entry.snapshot.written, entry.id));
    let mut report = PurgeReport::default();
    let mut pending = Vec::new();
    for entry in entries {
        let whole = repository.whole(entry)?;
        let (mut snapshot, removed, rules) = without(&whole, what, rewriter)?;
        let mut dropped = 0;
        // Without what nothing can have changed, they are not read.
        if !removed.paths.is_empty() || drops.is_some() {
            let attachments = &whole.snapshot.attachments;
            (snapshot.attachments, dropped) =
                rules.apply(repository, attachments, drops, rewriter)?;
        }
        if removed.paths.is_empty() && dropped == 0 {
            report.untouched = report.untouched.saturating_add(1);
            continue;
        }
        let Removed { paths, files, bytes, .. } = removed;
        report.snapshots.push(PurgedSnapshot {
            old: entry.id,
            new: None,
            paths,
            files,
            bytes,
            entries: dropped,
        });
        pending.push((entry, snapshot));
    }
    Ok((report, pending))
}

/// Returns a snapshot without what is taken out, what that is, and whose entries stay.
fn without(
    entry: &SnapshotEntry,
    what: &Purge,
    rewriter: &mut Rewriter<'_>,
) -> Result<(Snapshot, Removed, EntryRules)> {
    let mut snapshot = entry.snapshot.clone();
    snapshot.roots.clear();
    let (mut removed, mut rules) = (Removed::default(), EntryRules::default());
    for root in &entry.snapshot.roots {
        let item = Item { path: root.place.to_vec(), node: root.node.clone() };
        let node = match what {
            Purge::Paths(paths) => rewriter.item(item, &mut ByPath { paths })?,
            Purge::Agent { agent, only } if is_of(root, agent) => {
                rewriter.item(item, &mut ByCategory { only })?
            }
            Purge::Agent { .. } => Some(item.node),
        };
        let removed_here = rewriter.take_removed();
        if node.is_some() {
            rules.root(root, &removed_here.paths);
        }
        removed.add(removed_here);
        snapshot.roots.extend(node.map(|node| Root { node, ..root.clone() }));
    }
    let is_held = |agent: &String| snapshot.roots.iter().any(|root| is_of(root, agent));
    let was_held = |agent: &String| entry.snapshot.roots.iter().any(|root| is_of(root, agent));
    snapshot.agents.retain(|agent| is_held(agent) || !was_held(agent));
    // It is a faithful copy of nothing any more.
    snapshot.original = None;
    snapshot.statistics = removed.left_of(&entry.snapshot.statistics);
    env!("CARGO_PKG_VERSION").clone_into(&mut snapshot.program);
    Ok((snapshot, removed, rules))
}

fn is_of(root: &Root, agent: &str) -> bool {
    root.kind == RootKind::Agent as u64 && root.agent == agent
}

/// What lies at or below these paths goes.
struct ByPath<'a> {
    paths: &'a [Vec<u8>],
}

impl ByPath<'_> {
    fn holds(&self, path: &[u8]) -> bool {
        self.paths.iter().any(|purged| is_within(path, purged))
    }
}

impl Selection for ByPath<'_> {
    const BY_CONTENT: bool = false;

    fn enter(&self, directory: &Item) -> Entering {
        if self.holds(&directory.path) {
            Entering::Drop
        } else if self.paths.iter().any(|purged| is_within(purged, &directory.path)) {
            Entering::Look
        } else {
            Entering::Pass
        }
    }

    fn drops(&mut self, item: &Item, _: &mut BlobReader<'_>) -> Result<bool> {
        Ok(self.holds(&item.path))
    }

    fn failed(&mut self, path: Vec<u8>, error: Error) -> Result<()> {
        Err(unreadable(&path, error))
    }

    fn drops_empty(&self, _: bool) -> bool {
        false
    }
}

/// Files of these categories go; directories of which nothing is left then, too.
struct ByCategory<'a> {
    only: &'a [Category],
}

impl Selection for ByCategory<'_> {
    const BY_CONTENT: bool = true;

    fn enter(&self, _: &Item) -> Entering {
        if self.only.is_empty() { Entering::Drop } else { Entering::Look }
    }

    fn drops(&mut self, item: &Item, _: &mut BlobReader<'_>) -> Result<bool> {
        let category = Category::from_number(item.node.category);
        let is_meant = category.is_some_and(|category| self.only.contains(&category));
        Ok(self.only.is_empty() || is_meant)
    }

    fn failed(&mut self, path: Vec<u8>, error: Error) -> Result<()> {
        Err(unreadable(&path, error))
    }

    fn drops_empty(&self, _: bool) -> bool {
        true
    }
}

/// What can't be read may hold what must go.
fn unreadable(path: &[u8], error: Error) -> Error {
    Error::new(error.kind(), "cannot take anything out of")
        .object(String::from_utf8_lossy(path))
        .source(error)
        .hint("nothing was changed; `stash repair snapshots` first makes snapshots that are whole")
}
