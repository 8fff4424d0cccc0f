//! `copy`: snapshots into another repository.
//!
//! ```text
//! what is there already ─ for each snapshot, oldest first:
//!   keys shared:  walk ─ blobs that do not stand there ─ their units, as they are ─┐
//!   keys differ:  walk ─ each blob decoded, named and stored anew, bottom-up ──────┴─▶ packer ─▶ record
//! ```
//!
//! A snapshot is known there by its original (`format-spec/7-record.md`, rule 15), so that a second
//! run sends nothing twice. What has not changed since a snapshot that was copied before is passed
//! over by whole directories. The record that names a snapshot is published before the next one is
//! begun: a run that dies leaves whole snapshots, and packs that the next run takes over.
//!
//! Memory: the packer's 48 MiB (64 to a remote store), two readers of 8 MiB, a range of 8 MiB, 4 MiB
//! of units, 24 bytes for each tree blob that is walked, and the snapshots of both sides. What is
//! wanted and what it is called lies in a file without a name ([`Ledger`]).

mod anew;
mod carry;
mod sink;
mod walk;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use self::sink::Sink;
use super::reliance::{Reliance, claim};
use crate::codec::Compression;
use crate::error::{Error, Kind, Result};
use crate::event::{Counters, Event, Reporter};
use crate::format::record::{Partial, Snapshot};
use crate::id::SnapshotId;
use crate::repository::Repository;
use crate::repository::cache::SnapshotEntry;
use crate::repository::index::Index;
use crate::repository::ledger::Ledger;
use crate::repository::log::RecordParts;
use crate::repository::packer::Packer;
use crate::time::Clock;

/// How often a run begins anew when others clean up meanwhile.
const ROUNDS: usize = 3;

/// How to copy.
#[derive(Debug, Clone, Default)]
pub struct CopyOptions {
    /// Look, but store nothing.
    pub dry_run: bool,
    /// How hard to compress what can't be carried over as it is.
    pub compression: Compression,
}

/// A snapshot that was or would be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedSnapshot {
    /// The snapshot in the repository that it comes from.
    pub source: SnapshotId,
    /// The copy; `None` in a dry run.
    pub copy: Option<SnapshotId>,
}

/// What was copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopyReport {
    /// Snapshots that were copied, oldest first.
    pub copied: Vec<CopiedSnapshot>,
    /// Snapshots that were there already, by their ids there.
    pub present: Vec<SnapshotId>,
    /// Snapshots that were copied before and are forgotten there.
    pub forgotten: u64,
    /// Snapshots that can't be read; each was told as a warning.
    pub failed: u64,
    /// Whether both repositories give equal content equal ids.
    pub shares_keys: bool,
    /// Blobs that were not there; in a dry run 0 unless keys are shared.
    pub blobs: u64,
    /// Units that were carried over without compressing anew.
    pub units_carried: u64,
    /// Bytes stored there; in a dry run what the blobs take where they are, if keys are shared.
    pub stored_bytes: u64,
}

/// Copies `entries` from one repository into another. The first must have been synced. What both
/// sides say is read here; `entries` may come in any order.
pub fn copy(
    from: &Repository,
    to: &Repository,
    entries: &[SnapshotEntry],
    options: &CopyOptions,
    clock: &dyn Clock,
    counters: &Counters,
    reporter: &dyn Reporter,
) -> Result<CopyReport> {
    if from.id() == to.id() {
        return Err(Error::usage("both locations are of the same repository:")
            .object(from.id().short())
            .hint("name another one to copy from or to"));
    }
    // Which snapshots are there is known from all lanes.
    to.sync()?;
    let mut run = Run::start(from, to, options, clock, counters, reporter)?;
    let mut entries: Vec<&SnapshotEntry> = entries.iter().collect();
    entries.sort_by_key(|entry| (entry.snapshot.time, entry.snapshot.written, entry.id));
    Counters::add(&counters.total_items, entries.len() as u64);
    counters.total_known.store(true, std::sync::atomic::Ordering::Relaxed);
    for entry in entries {
        counters.go_on()?;
        run.entry(entry)?;
        Counters::add(&counters.done_items, 1);
    }
    Ok(run.report)
}

/// Returns what a snapshot and all its copies have in common.
fn origin(id: SnapshotId, snapshot: &Snapshot) -> SnapshotId {
    snapshot.original.unwrap_or(id)
}

/// A snapshot in the destination.
struct There {
    id: SnapshotId,
    snapshot: Snapshot,
    is_forgotten: bool,
}

/// A snapshot that is on both sides, and like the one that is copied.
pub(super) struct Base {
    /// In the repository that is read.
    source: Snapshot,
    /// In the destination.
    copy: Snapshot,
    copy_id: SnapshotId,
}

/// One run.
struct Run<'a> {
    from: &'a Repository,
    to: &'a Repository,
    options: &'a CopyOptions,
    clock: &'a dyn Clock,
    counters: &'a Counters,
    reporter: &'a dyn Reporter,
    reliance: Reliance<'a>,
    shares_keys: bool,
    /// By what a snapshot and its copies have in common.
    there: HashMap<SnapshotId, There>,
    here: HashMap<SnapshotId, Snapshot>,
    /// The same of each snapshot here.
    origins: HashMap<SnapshotId, SnapshotId>,
    /// What this run has published and now relies on.
    own: Vec<SnapshotId>,
    ledger: Ledger,
    /// Trees and lists that stand there with all below them, by the first half of their ids.
    done: HashSet<u128>,
    /// Whether packs may be durable that no record names.
    has_loose_packs: bool,
    /// What a dry run would store.
    plan: Option<Arc<Index>>,
    report: CopyReport,
}

impl<'a> Run<'a> {
    fn start(
        from: &'a Repository,
        to: &'a Repository,
        options: &'a CopyOptions,
        clock: &'a dyn Clock,
        counters: &'a Counters,
        reporter: &'a dyn Reporter,
    ) -> Result<Self> {
        let reliance = Reliance::begin(to, clock, reporter)?;
        reliance.look_for_packs()?;
        let shares_keys = from.keys().shares_content_with(to.keys());
        let mut there: HashMap<SnapshotId, There> = HashMap::new();
        for SnapshotEntry { id, snapshot, forgotten, .. } in to.cached_snapshots()? {
            let row = There { id, is_forgotten: forgotten.is_some(), snapshot };
            let known = there.get(&origin(id, &row.snapshot));
            if known.is_none_or(|known| known.is_forgotten) {
                there.insert(origin(id, &row.snapshot), row);
            }
        }
        let (mut here, mut origins) = (HashMap::new(), HashMap::new());
        for SnapshotEntry { id, snapshot, .. } in from.cached_snapshots()? {
            origins.insert(id, origin(id, &snapshot));
            here.insert(origin(id, &snapshot), snapshot);
        }
        Ok(Run {
            from,
            to,
            options,
            clock,
            counters,
            reporter,
            reliance,
            shares_keys,
            there,
            here,
            origins,
            plan: None,
            own: Vec::new(),
            ledger: Ledger::new()?,
            done: HashSet::new(),
            has_loose_packs: true,
            report: CopyReport { shares_keys, ..CopyReport::default() },
        })
    }

    /// Copies one snapshot, unless it is there.
    fn entry(&mut self, entry: &SnapshotEntry) -> Result<()> {
        match self.there.get(&origin(entry.id, &entry.snapshot)) {
            Some(There { is_forgotten: true, .. }) => {
                self.report.forgotten = self.report.forgotten.saturating_add(1);
                return Ok(());
            }
            Some(there) => {
                self.report.present.push(there.id);
                return Ok(());
            }
            None => {}
        }
        if self.options.dry_run && !self.shares_keys {
            self.report.copied.push(CopiedSnapshot { source: entry.id, copy: None });
            return Ok(());
        }
        let mut round = 1;
        loop {
            self.refresh()?;
            let error = match self.snapshot(entry) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            // What was noted may never have been published.
            self.forget_all()?;
            let goes_on = round < ROUNDS;
            round = round.saturating_add(1);
            match error.kind() {
                Kind::Busy if goes_on => {
                    self.reporter.event(&Event::Warning {
                        message: "another machine cleaned up meanwhile; what may be missing is \
                                  stored again",
                    });
                    self.renew()?;
                }
                Kind::Damaged => {
                    // What was read from may have been moved by a prune since it was looked up.
                    let is_news = goes_on && self.from.sync()?.applied_records > 0;
                    if !is_news {
                        self.tell_failed(entry, &error);
                        return Ok(());
                    }
                }
                _ => return Err(error),
            }
        }
    }

    fn tell_failed(&mut self, entry: &SnapshotEntry, error: &Error) {
        self.report.failed = self.report.failed.saturating_add(1);
        Counters::add(&self.counters.failed_items, 1);
        let message =
            format!("snapshot {} was not copied: {}", entry.id.short(), error.with_hint());
        self.reporter.event(&Event::Warning { message: &message });
    }

    /// Looks again at what others did, when half of the window has passed.
    fn refresh(&mut self) -> Result<()> {
        if self.reliance.elapsed() < self.to.lifetimes().window / 2 { Ok(()) } else { self.renew() }
    }

    fn renew(&mut self) -> Result<()> {
        let reliance = Reliance::begin(self.to, self.clock, self.reporter)?;
        reliance.look_for_packs()?;
        if !reliance.is_as_before(&self.reliance) || !reliance.is_whole(&[])? {
            self.forget_all()?;
        }
        self.reliance = reliance;
        Ok(())
    }

    /// Forgets what was found to stand there, so that it is looked up again.
    fn forget_all(&mut self) -> Result<()> {
        self.own.clear();
        self.done.clear();
        self.ledger.clear_wanted()?;
        self.ledger.clear_names()?;
        self.has_loose_packs = true;
        Ok(())
    }

    /// Returns the snapshot that this one most likely resembles, if it is on both sides and whole.
    fn base(&self, entry: &SnapshotEntry) -> Result<Option<Base>> {
        let snapshot = &entry.snapshot;
        let is_like = |there: &There| {
            !there.is_forgotten
                && there.snapshot.host == snapshot.host
                && there.snapshot.job == snapshot.job
        };
        let find = |key: &SnapshotId| self.there.get(key).filter(|there| is_like(there));
        let parent = self.key_of_parent(snapshot);
        let parent = parent.and_then(|key| find(&key).map(|there| (key, there)));
        let newest = || {
            let both = self.there.iter().filter(|(key, _)| self.here.contains_key(*key));
            both.filter(|(_, there)| is_like(there))
                .max_by_key(|(_, there)| (there.snapshot.time, there.id))
                .map(|(key, there)| (*key, there))
        };
        let Some((key, there)) = parent.or_else(newest) else { return Ok(None) };
        let Some(source) = self.here.get(&key) else { return Ok(None) };
        if !self.own.contains(&there.id) && !self.reliance.is_whole(&[there.id])? {
            return Ok(None);
        }
        let (copy_id, copy) = (there.id, there.snapshot.clone());
        Ok(Some(Base { source: source.clone(), copy, copy_id }))
    }

    /// Returns what the parent and its copies have in common.
    fn key_of_parent(&self, snapshot: &Snapshot) -> Option<SnapshotId> {
        snapshot.parent.map(|parent| self.origins.get(&parent).copied().unwrap_or(parent))
    }

    /// Returns an index for one snapshot; a plan keeps one for all, since it publishes nothing.
    fn index(&mut self) -> Result<Arc<Index>> {
        if let Some(index) = &self.plan {
            return Ok(Arc::clone(index));
        }
        let index = Arc::new(Index::new(Arc::clone(self.to.cache()))?);
        self.plan = self.options.dry_run.then(|| Arc::clone(&index));
        Ok(index)
    }

    fn snapshot(&mut self, entry: &SnapshotEntry) -> Result<()> {
        let base = self.base(entry)?;
        let mut relied_on = self.own.clone();
        relied_on.extend(base.as_ref().map(|base| base.copy_id));
        let index = self.index()?;
        let packer = Packer::start(
            self.to.store().clone(),
            Arc::clone(self.to.keys()),
            self.to.id().0,
            self.to.state().filter(|_| !self.options.dry_run).cloned(),
            self.reliance.began.0,
        );
        if std::mem::take(&mut self.has_loose_packs) && !self.options.dry_run {
            let packs = self.reliance.unnamed_packs()?;
            claim(&packs, &index)?;
            for unit in packs.iter().flat_map(|pack| &pack.get().units) {
                for id in unit.blobs.iter().filter(|_| unit.depth > 0) {
                    self.ledger.note_depth(id, unit.depth)?;
                }
            }
            packer.adopt(packs);
        }
        let mut copy = entry.snapshot.clone();
        copy.original = Some(origin(entry.id, &entry.snapshot));
        let parent = self.key_of_parent(&entry.snapshot);
        copy.parent = parent.and_then(|key| self.there.get(&key)).map(|there| there.id);
        let mut sink = self.sink(&index, &packer, &copy.job);
        if self.shares_keys {
            self.carry(&copy, base.as_ref(), &mut sink)?;
        } else {
            self.store_anew(&mut copy, base.as_ref(), &mut sink)?;
        }
        if self.options.dry_run {
            self.ledger.clear_wanted()?;
            self.report.copied.push(CopiedSnapshot { source: entry.id, copy: None });
            return Ok(());
        }
        let published = sink.published_bytes;
        let (packed, stored) = packer.finish()?;
        self.counters.go_on()?;
        self.reliance.check_window(&index, &packed.packs, &relied_on)?;
        let parts = RecordParts {
            snapshot: Some(copy.clone()),
            packs: packed.packs,
            inline: packed.inline,
            // Not later: the next run passes over what is there.
            pinned: entry.pinned,
            ..RecordParts::default()
        };
        let committed = self.to.append(parts, self.clock.now())?;
        self.ledger.clear_wanted()?;
        let stored = stored.saturating_add(committed.stored_bytes).saturating_add(published);
        self.report.stored_bytes = self.report.stored_bytes.saturating_add(stored);
        self.committed(entry, copy, committed.snapshot);
        Ok(())
    }

    fn sink<'s>(&self, index: &'s Index, packer: &'s Packer, job: &str) -> Sink<'s>
    where
        'a: 's,
    {
        let partial =
            Partial { started: self.reliance.began.0, job: job.to_owned(), ..Partial::default() };
        Sink::new(self.to, index, packer, partial, self.clock, self.counters)
    }

    fn committed(&mut self, entry: &SnapshotEntry, copy: Snapshot, id: Option<SnapshotId>) {
        self.report.copied.push(CopiedSnapshot { source: entry.id, copy: id });
        let Some(id) = id else { return };
        self.own.push(id);
        let key = origin(entry.id, &entry.snapshot);
        self.there.insert(key, There { id, snapshot: copy, is_forgotten: false });
    }
}
