//! The index, from the tables that every pack carries.
//!
//! Records that can't be read or are missing are taken note of, so that a later check tells new
//! damage from what is known.
//!
//! Memory: the tables of at most 100,000 blobs and of one pack, and 32 bytes for each object.

use std::collections::{HashMap, HashSet};

use crate::engine::check::Arrival;
use crate::error::Result;
use crate::event::Counters;
use crate::format::record::{Heal, ObjectUnits, Partial};
use crate::id::ObjectHash;
use crate::repository::Repository;
use crate::repository::log::{DamagedRecord, LogEntry, RecordParts, SyncReport};
use crate::store::{Durable, ObjectName, Prefix};
use crate::time::Timestamp;

/// A record names no more blobs than this.
const RECORD_BLOBS: usize = 100_000;

/// What was or would be published.
#[derive(Debug, Default)]
pub struct RepairIndexReport {
    /// Packs whose tables were read.
    pub packs_read: u64,
    /// Of these, packs that are in the index now.
    pub packs_added: u64,
    /// Their blobs.
    pub blobs_added: u64,
    /// Packs whose tables can't be read.
    pub unreadable: Vec<ObjectName>,
    /// Records that can't be read.
    pub damaged_records: Vec<DamagedRecord>,
    /// Records, damaged or missing, of which note is now taken.
    pub noted_records: u64,
}

/// The verdict on a record that lies under a wrong name: all that it says can be read.
const WHOLE: u64 = 1;
/// The verdict on a record that can't be had any more.
const NOT_WHOLE: u64 = 3;

/// What the log says, as far as it matters here.
#[derive(Default)]
struct Log {
    /// Objects that are about to be deleted, or were to be, and must not come back.
    condemned: HashSet<ObjectHash>,
    /// Records that another one names as its predecessor, and when the first did.
    named: HashMap<ObjectHash, i64>,
    /// Records that need not be there: a checkpoint covers them, or their loss is known.
    settled: HashSet<ObjectHash>,
}

impl Log {
    fn enter(&mut self, entry: LogEntry<'_>) {
        // What a covered record decided about objects holds as long as it is there.
        let (LogEntry::Record(_, record) | LogEntry::Replaced(_, record)) = entry else { return };
        self.condemned.extend(record.condemn.iter().flat_map(|condemn| condemn.objects.iter()));
        self.condemned.extend(record.sweep.iter().flat_map(|sweep| sweep.objects.iter()));
        self.condemned.extend(record.checkpoint.iter().flat_map(|it| it.gone.iter()));
        if matches!(entry, LogEntry::Replaced(..)) {
            return;
        }
        if let Some(previous) = record.previous {
            let named = self.named.entry(previous).or_insert(record.written);
            *named = record.written.min(*named);
        }
        self.settled.extend(record.heal.iter().map(|heal| heal.record));
        let covered = record.checkpoint.iter().flat_map(|checkpoint| checkpoint.records.iter());
        self.settled.extend(covered);
    }

    /// Returns what is to be said about records that are damaged or missing; `with_units` are the
    /// objects that hold units, of which a check sees for itself what can be read.
    fn losses(
        mut self,
        repository: &Repository,
        synced: &SyncReport,
        with_units: &HashSet<ObjectHash>,
        now: Timestamp,
    ) -> Result<Vec<Heal>> {
        for row in repository.store().list(Prefix::Log)? {
            self.named.remove(&row.name.hash());
        }
        let arrival = Arrival::new(repository, Some(now));
        self.named.retain(|_, named| !arrival.may_arrive(*named));
        let damaged = synced.damaged.iter().chain(&synced.unsupported);
        let damaged = damaged.map(|damaged| damaged.name.hash());
        let lost = self.named.into_keys().chain(damaged).map(|record| (record, NOT_WHOLE));
        let salvaged = synced.salvaged.iter().map(|salvaged| salvaged.name.hash());
        let misplaced = salvaged.filter(|hash| !with_units.contains(hash));
        let mut heals: Vec<Heal> = lost
            .chain(misplaced.map(|record| (record, WHOLE)))
            .filter(|(record, _)| !self.settled.contains(record))
            .map(|(record, verdict)| Heal { record, verdict, ..Heal::default() })
            .collect();
        heals.sort_unstable_by_key(|heal| heal.record);
        Ok(heals)
    }
}

/// Publishes the tables of all packs that no readable record names, unless one condemns them.
pub fn repair_index(
    repository: &Repository,
    dry_run: bool,
    now: Timestamp,
    counters: &Counters,
) -> Result<RepairIndexReport> {
    // The cache may remember records that can't be read any more.
    repository.cache().clear()?;
    let mut log = Log::default();
    let synced = repository.sync_with(|entry| log.enter(entry))?;
    let with_units: HashSet<ObjectHash> =
        repository.cache().objects()?.iter().map(|(name, _)| name.hash()).collect();
    let settled: HashSet<ObjectHash> = log.condemned.union(&with_units).copied().collect();
    let losses = log.losses(repository, &synced, &with_units, now)?;
    let mut report = RepairIndexReport {
        damaged_records: synced.damaged,
        noted_records: losses.len() as u64,
        ..RepairIndexReport::default()
    };
    let unknown: Vec<ObjectHash> = repository
        .store()
        .list(Prefix::Packs)?
        .into_iter()
        .map(|row| row.name.hash())
        .filter(|hash| !settled.contains(hash))
        .collect();
    Counters::add(&counters.total_items, unknown.len() as u64);
    let mut waiting = Waiting { losses, ..Waiting::default() };
    for hash in unknown {
        counters.go_on()?;
        let pack = repository.find_pack(&hash)?;
        Counters::add(&counters.done_items, 1);
        let Some(pack) = pack else {
            report.unreadable.push(ObjectName::Pack(hash));
            continue;
        };
        report.packs_read = report.packs_read.saturating_add(1);
        let blobs = pack.get().units.iter().map(|unit| unit.blobs.len()).sum::<usize>();
        report.packs_added = report.packs_added.saturating_add(1);
        report.blobs_added = report.blobs_added.saturating_add(blobs as u64);
        if waiting.blobs.saturating_add(blobs) > RECORD_BLOBS {
            waiting.publish(repository, dry_run, now)?;
        }
        waiting.blobs = waiting.blobs.saturating_add(blobs);
        waiting.packs.push(pack);
    }
    while !waiting.packs.is_empty() || !waiting.losses.is_empty() {
        waiting.publish(repository, dry_run, now)?;
    }
    Ok(report)
}

/// What is still to be published.
#[derive(Default)]
struct Waiting {
    packs: Vec<Durable<ObjectUnits>>,
    blobs: usize,
    losses: Vec<Heal>,
}

impl Waiting {
    /// Publishes the packs, and one word about a record.
    fn publish(&mut self, repository: &Repository, dry_run: bool, now: Timestamp) -> Result<()> {
        let packs = std::mem::take(&mut self.packs);
        self.blobs = 0;
        let heal = self.losses.pop();
        if dry_run {
            return Ok(());
        }
        let partial = || Partial { started: now.0, job: "repair".to_owned(), ..Partial::default() };
        let partial = (!packs.is_empty()).then(partial);
        let parts = RecordParts { partial, packs, heal, ..RecordParts::default() };
        repository.append(parts, now).map(drop)
    }
}
