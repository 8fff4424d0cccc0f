//! The index, from the tables that every pack carries.
//!
//! Memory: the tables of at most 100,000 blobs and of one pack, and 32 bytes for each object.

use std::collections::HashSet;

use crate::error::Result;
use crate::event::Counters;
use crate::format::record::{ObjectUnits, Partial};
use crate::id::ObjectHash;
use crate::repository::Repository;
use crate::repository::log::{DamagedRecord, RecordParts};
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
    // What is condemned is about to be deleted, and must not come back.
    let mut settled: HashSet<ObjectHash> = HashSet::new();
    let synced = repository.sync_with(|_, record| {
        let objects = record.condemn.iter().flat_map(|condemn| condemn.objects.iter());
        settled.extend(objects.copied());
    })?;
    let mut report =
        RepairIndexReport { damaged_records: synced.damaged, ..RepairIndexReport::default() };
    settled.extend(repository.cache().objects()?.iter().map(|(name, _)| name.hash()));
    let unknown: Vec<ObjectHash> = repository
        .store()
        .list(Prefix::Packs)?
        .into_iter()
        .map(|row| row.name.hash())
        .filter(|hash| !settled.contains(hash))
        .collect();
    Counters::add(&counters.total_items, unknown.len() as u64);
    let mut waiting: Vec<Durable<ObjectUnits>> = Vec::new();
    let mut waiting_blobs = 0_usize;
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
        if waiting_blobs.saturating_add(blobs) > RECORD_BLOBS {
            publish(repository, &mut waiting, dry_run, now)?;
            waiting_blobs = 0;
        }
        waiting_blobs = waiting_blobs.saturating_add(blobs);
        waiting.push(pack);
    }
    publish(repository, &mut waiting, dry_run, now)?;
    Ok(report)
}

fn publish(
    repository: &Repository,
    waiting: &mut Vec<Durable<ObjectUnits>>,
    dry_run: bool,
    now: Timestamp,
) -> Result<()> {
    let packs = std::mem::take(waiting);
    if dry_run || packs.is_empty() {
        return Ok(());
    }
    let partial = Partial { started: now.0, job: "repair".to_owned(), ..Partial::default() };
    let parts = RecordParts { partial: Some(partial), packs, ..RecordParts::default() };
    repository.append(parts, now).map(drop)
}
