//! Learning what other writers did: listings, and the records and segments that are new.
//!
//! A checkpoint replaces the records that it names: these are not read if their content is not known
//! yet, its segments are. What a sweep names is gone for good, whoever else names it.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::read::ReadRecord;
use super::{DamagedRecord, LogEntry, SyncReport};
use crate::error::{Kind, Result};
use crate::format::record::{Checkpoint, Record, Snapshot};
use crate::id::{LaneId, ObjectHash, Tip};
use crate::repository::cache::{self, Cache};
use crate::repository::log::order::{Order, tip_of};
use crate::repository::{Repository, reader};
use crate::store::{ObjectName, Prefix, RecordName};

/// How much of the log is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All of it.
    Whole,
    /// `log/g` and this machine's own lane: all that a backup must know.
    Own,
}

/// Behind every word that a record's name may have.
const LAST_WORD: &str = "zzzzzzzz";

impl Repository {
    /// Lists the log and applies every record that is new. A record that can't be read is
    /// reported and skipped; what only it says is then stored again by the next backup.
    pub fn sync(&self) -> Result<SyncReport> {
        self.sync_with(|_| {})
    }

    /// Does the same for what a backup must know: records that others publish about snapshots come
    /// with a checkpoint, or with the next whole sync. The first time, everything is read.
    pub fn sync_own(&self) -> Result<SyncReport> {
        let scope = if self.cache().records()?.is_empty() { Scope::Whole } else { Scope::Own };
        self.sync_mending(scope, &mut |_| {})
    }

    /// Does the same as [`Repository::sync`]; `visit` is shown each record and segment that is new,
    /// and again if the cache is made anew.
    pub fn sync_with(&self, mut visit: impl FnMut(LogEntry<'_>)) -> Result<SyncReport> {
        self.sync_mending(Scope::Whole, &mut visit)
    }

    fn sync_mending(
        &self,
        scope: Scope,
        visit: &mut dyn FnMut(LogEntry<'_>),
    ) -> Result<SyncReport> {
        match self.sync_once(scope, visit) {
            Err(error) if cache::is_damage(&error) => {
                self.cache().renew()?;
                self.sync_once(Scope::Whole, visit)
            }
            other => other,
        }
    }

    /// Does something that leaves nothing behind if it fails. If the cache turns out to be damaged,
    /// it is made anew, and the same done once more.
    pub fn with_sound_cache<T>(&self, mut act: impl FnMut() -> Result<T>) -> Result<T> {
        match act() {
            Err(error) if cache::is_damage(&error) => {
                self.cache().renew()?;
                self.sync()?;
                act()
            }
            other => other,
        }
    }

    /// Applies the whole log anew. What the cache knew from records that can't be read any more is
    /// thereby forgotten.
    pub fn resync(&self) -> Result<SyncReport> {
        self.cache().clear()?;
        self.sync()
    }

    fn sync_once(&self, scope: Scope, visit: &mut dyn FnMut(LogEntry<'_>)) -> Result<SyncReport> {
        let listed = self.list_log(scope)?;
        let known = self.cache().records()?;
        let mut report = SyncReport::default();
        let new: Vec<&RecordName> =
            listed.iter().filter(|name| !known.contains(&name.hash)).collect();
        self.apply_new(&new, visit, &mut report)?;
        if self.has_vanished(scope, &known, &listed)? {
            // The cache is a function of the log. The log lost something, so the cache does too.
            self.cache().clear()?;
            let listed = self.list_log(Scope::Whole)?;
            report = SyncReport::default();
            self.apply_new(&listed.iter().collect::<Vec<_>>(), visit, &mut report)?;
            *self.heads() = listed;
            return Ok(report);
        }
        *self.heads() = listed;
        Ok(report)
    }

    /// Lists records; for `Own` the two listings are under way at once.
    fn list_log(&self, scope: Scope) -> Result<Vec<RecordName>> {
        let rows = match (scope, self.remembered_lane()) {
            (Scope::Whole, _) => self.store().list(Prefix::Log)?,
            (Scope::Own, None) => self.store().list(Prefix::GlobalLog)?,
            (Scope::Own, Some(lane)) => {
                let before = ObjectName::Record(RecordName {
                    global: false,
                    lane: lane.lane,
                    sequence: lane.sequence.saturating_sub(1),
                    kind: LAST_WORD.to_owned(),
                    hash: ObjectHash([0xff; 32]),
                });
                let own = (Prefix::Lane(lane.lane), Some(before));
                let listings = self.store().list_many(&[(Prefix::GlobalLog, None), own])?;
                listings.into_iter().flatten().collect()
            }
        };
        Ok(rows
            .into_iter()
            .filter_map(|row| match row.name {
                ObjectName::Record(name) => Some(name),
                _ => None,
            })
            .collect())
    }

    /// Returns whether a record is gone without a sweep or a checkpoint that explains it.
    fn has_vanished(
        &self,
        scope: Scope,
        known: &HashSet<ObjectHash>,
        listed: &[RecordName],
    ) -> Result<bool> {
        let listed: HashSet<ObjectHash> = listed.iter().map(|name| name.hash).collect();
        let mut missing: Vec<ObjectHash> = known.difference(&listed).copied().collect();
        if missing.is_empty() {
            return Ok(false);
        }
        if scope == Scope::Own {
            let order = self.order()?;
            missing.retain(|hash| order.link(hash).is_some_and(|link| link.is_global));
        }
        let (covered, gone) = (self.cache().covered()?, self.cache().gone()?);
        Ok(missing.iter().any(|hash| !covered.contains(hash) && !gone.contains(hash)))
    }

    /// Applies what is new: checkpoints first, since they tell what need not be read.
    fn apply_new(
        &self,
        new: &[&RecordName],
        visit: &mut dyn FnMut(LogEntry<'_>),
        report: &mut SyncReport,
    ) -> Result<()> {
        let mut checkpoints = Vec::new();
        for name in new.iter().filter(|name| is_checkpoint(name)) {
            match self.read_record(name) {
                Ok(ReadRecord::Whole(record)) => checkpoints.push((*name, record)),
                // What is not whole is told below.
                Ok(_) => {}
                Err(error) if error.kind() == Kind::Damaged => {}
                Err(error) => return Err(error),
            }
        }
        let replaced: HashSet<ObjectHash> =
            checkpoints.iter().flat_map(|(_, record)| covered_by(record)).collect();
        let is_replaced = |name: &RecordName| replaced.contains(&name.hash);
        for (name, record) in checkpoints.iter().filter(|(name, _)| !is_replaced(name)) {
            if let Some(checkpoint) = &record.checkpoint {
                self.load_checkpoint(checkpoint, visit)?;
            }
            visit(LogEntry::Record(name, record));
            self.apply(name, record)?;
            report.applied_records = report.applied_records.saturating_add(1);
        }
        // Only now: what these say they cover is not known by having been noted, and one that replaces
        // them and covers nothing else would be taken to say nothing new.
        for (name, record) in checkpoints.iter().filter(|(name, _)| is_replaced(name)) {
            self.cache().note_record(name, record)?;
        }
        if !checkpoints.is_empty() {
            self.cache().drop_dead_snapshots()?;
        }
        let whole: HashSet<ObjectHash> = checkpoints.iter().map(|(name, _)| name.hash).collect();
        let covered = self.cache().covered()?;
        for name in new.iter().filter(|name| !whole.contains(&name.hash)) {
            if !covered.contains(&name.hash) {
                self.apply_one(name, visit, report)?;
            } else if name.global
                && let Ok(ReadRecord::Whole(record)) = self.read_record(name)
            {
                // All of `log/g` is read: what a condemnation says holds as long as it is there, and
                // who had read it tells who came late.
                self.cache().note_record(name, &record)?;
            }
        }
        Ok(())
    }

    fn apply_one(
        &self,
        name: &RecordName,
        visit: &mut dyn FnMut(LogEntry<'_>),
        report: &mut SyncReport,
    ) -> Result<()> {
        match self.read_record(name) {
            Ok(ReadRecord::Foreign) => report.foreign.push(ObjectName::Record(name.clone())),
            Ok(ReadRecord::Whole(record)) => {
                visit(LogEntry::Record(name, &record));
                self.apply(name, &record)?;
                report.applied_records = report.applied_records.saturating_add(1);
            }
            Ok(ReadRecord::Salvaged(record, error)) => {
                visit(LogEntry::Record(name, &record));
                self.apply(name, &record)?;
                self.cache().distrust(&[name.hash])?;
                let name = ObjectName::Record(name.clone());
                report.salvaged.push(DamagedRecord { name, error });
            }
            Err(error) if error.kind() == Kind::Damaged => {
                let name = ObjectName::Record(name.clone());
                report.damaged.push(DamagedRecord { name, error });
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Enters a record that was read.
    pub(super) fn apply(&self, name: &RecordName, record: &Record) -> Result<()> {
        let snapshot = match &record.snapshot {
            Some(bytes) => Some((
                self.keys().snapshot_id(bytes),
                Snapshot::decode(bytes).map_err(|error| {
                    let object = ObjectName::Record(name.clone());
                    reader::damaged(&object, &error.into())
                })?,
            )),
            None => None,
        };
        let snapshot = snapshot.as_ref().map(|(id, snapshot)| (*id, snapshot));
        Cache::apply(self.cache(), name, record, snapshot)
    }

    /// Reads a checkpoint's segments, unless all that they hold is known from the records.
    fn load_checkpoint(
        &self,
        checkpoint: &Checkpoint,
        visit: &mut dyn FnMut(LogEntry<'_>),
    ) -> Result<()> {
        let segments: Vec<ObjectHash> =
            checkpoint.new_segments.iter().chain(checkpoint.old_segments.iter()).copied().collect();
        let (records, covered) = (self.cache().records()?, self.cache().covered()?);
        let is_known = |hash: &ObjectHash| records.contains(hash) || covered.contains(hash);
        if checkpoint.records.iter().all(is_known) && self.knows_all(&checkpoint.old_segments)? {
            return self.cache().know_segments(&segments);
        }
        let known = self.cache().segments()?;
        let gone: HashSet<ObjectHash> = checkpoint.gone.iter().copied().collect();
        for hash in segments.iter().filter(|hash| !known.contains(*hash)) {
            let mut segment = self.load_segment(hash)?;
            visit(LogEntry::Segment(hash, &segment));
            segment.entries.retain(|entry| !gone.contains(&entry.object));
            let mut snapshots = Vec::new();
            for bytes in &segment.snapshots {
                let snapshot = Snapshot::decode(bytes)
                    .map_err(|error| reader::damaged(&ObjectName::Segment(*hash), &error.into()))?;
                snapshots.push((self.keys().snapshot_id(bytes), snapshot, bytes.0.as_slice()));
            }
            self.cache().apply_segment(hash, &segment, &snapshots)?;
        }
        Ok(())
    }

    fn knows_all(&self, segments: &[ObjectHash]) -> Result<bool> {
        let known = self.cache().segments()?;
        Ok(segments.iter().all(|hash| known.contains(hash)))
    }

    /// Returns who had read what, of the records that are known.
    pub fn order(&self) -> Result<Order> {
        Ok(Order::new(self.cache().links()?))
    }

    /// Returns the tips of `log/g` that have been read and applied.
    pub(super) fn view(&self) -> Result<Vec<Tip>> {
        self.tips_of(|name| name.global)
    }

    /// Returns the tips of all lanes, wherever they lie, after a whole sync: what one who decides
    /// about other writers' objects must name.
    pub fn full_view(&self) -> Result<Vec<Tip>> {
        self.tips_of(|_| true)
    }

    /// Returns the newest of these records in each lane, and in one that forked the newest of each
    /// branch. A tip speaks for all before it: one that lies behind a record that is listed and
    /// could not be read must not be named, since that may condemn something.
    fn tips_of(&self, counts: impl Fn(&RecordName) -> bool) -> Result<Vec<Tip>> {
        let (mut applied, covered) = (self.cache().records()?, self.cache().covered()?);
        applied.extend(covered);
        let mut lanes: HashMap<LaneId, BTreeMap<u64, Vec<ObjectHash>>> = HashMap::new();
        for name in self.heads().iter().filter(|name| counts(name)) {
            let lane = lanes.entry(name.lane).or_default();
            lane.entry(name.sequence).or_default().push(name.hash);
        }
        let order = self.order()?;
        let passed = order.passed();
        let mut tips = Vec::new();
        for records in lanes.values() {
            let readable = records
                .values()
                .take_while(|forks| forks.iter().all(|hash| applied.contains(hash)));
            let mut unread = Vec::new();
            for hash in readable.flatten().filter(|hash| !passed.contains(*hash)) {
                // Of those that a checkpoint covers and nobody read the last speaks for all.
                if order.link(hash).is_some() { tips.push(tip_of(hash)) } else { unread.push(hash) }
            }
            tips.extend(unread.last().map(|hash| tip_of(hash)));
        }
        tips.sort_unstable();
        Ok(tips)
    }
}

fn is_checkpoint(name: &RecordName) -> bool {
    name.kind == "checkpoint"
}

fn covered_by(record: &Record) -> impl Iterator<Item = ObjectHash> + '_ {
    record.checkpoint.iter().flat_map(|checkpoint| checkpoint.records.iter().copied())
}
