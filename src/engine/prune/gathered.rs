//! What the log says, as it is read: record by record, segment by segment.

use std::collections::{HashMap, HashSet};

use crate::codec::crypto::RepositoryKeys;
use crate::format::record::{ObjectUnits, Record};
use crate::id::{BlobId, ObjectHash, SnapshotId};
use crate::repository::log::{LogEntry, Order};
use crate::store::RecordName;
use crate::time::Timestamp;

/// A record of a run that was under way.
#[derive(Debug, Clone)]
struct PartialRow {
    record: ObjectHash,
    written: i64,
    objects: Vec<ObjectHash>,
    /// What its differences stand on, which may lie elsewhere.
    bases: Vec<BlobId>,
}

/// What a record decided about objects.
#[derive(Debug, Clone, Default)]
pub(super) struct Decision {
    /// The condemnations that it sweeps.
    pub(super) condemnations: Vec<ObjectHash>,
    /// The objects that it sweeps.
    pub(super) swept: Vec<ObjectHash>,
}

/// What a segment holds.
#[derive(Debug, Clone, Default)]
pub(super) struct SegmentRow {
    /// The objects that it names, those that are gone too.
    pub(super) objects: Vec<ObjectHash>,
    /// The snapshots in it.
    pub(super) snapshots: Vec<SnapshotId>,
}

/// What the log says, beside what the cache holds.
#[derive(Default)]
pub(super) struct Gathered {
    partials: Vec<PartialRow>,
    /// Records that hold a snapshot.
    commits: HashSet<ObjectHash>,
    /// Objects that some record names, and when the first did.
    pub(super) named: HashMap<ObjectHash, i64>,
    /// Checkpoints with the segments that they name.
    pub(super) checkpoints: Vec<(ObjectHash, Vec<ObjectHash>)>,
    /// The segments that were read.
    pub(super) segments: HashMap<ObjectHash, SegmentRow>,
    /// The packs that each record names which no checkpoint replaces.
    pub(super) packs: HashMap<ObjectHash, Vec<ObjectHash>>,
    /// Records that hold units, and how many blobs are in these.
    pub(super) with_units: HashMap<ObjectHash, usize>,
    /// Records that condemn or sweep, those that a checkpoint replaces too.
    pub(super) decisions: HashMap<ObjectHash, Decision>,
    /// When each record was written.
    pub(super) written: HashMap<ObjectHash, i64>,
    /// The newest moment that the log speaks of (nanoseconds, UTC).
    pub(super) newest: i64,
}

impl Gathered {
    pub(super) fn enter(&mut self, entry: LogEntry<'_>, keys: &RepositoryKeys) {
        match entry {
            LogEntry::Record(name, record) => {
                self.enter_fates(name, record);
                self.enter_record(name, record);
            }
            LogEntry::Replaced(name, record) => self.enter_fates(name, record),
            LogEntry::Segment(hash, segment) => {
                let objects: Vec<ObjectHash> =
                    segment.entries.iter().map(|entry| entry.object).collect();
                self.named.extend(objects.iter().map(|object| (*object, i64::MIN)));
                let snapshots = segment.snapshots.iter().map(|body| keys.snapshot_id(body));
                let row = SegmentRow { objects, snapshots: snapshots.collect() };
                self.segments.insert(*hash, row);
            }
        }
    }

    fn enter_fates(&mut self, name: &RecordName, record: &Record) {
        self.newest = self.newest.max(record.written);
        self.written.insert(name.hash, record.written);
        if record.condemn.is_none() && record.sweep.is_none() {
            return;
        }
        let sweep = || record.sweep.iter();
        let decision = Decision {
            condemnations: sweep().flat_map(|sweep| sweep.condemnations.iter()).copied().collect(),
            swept: sweep().flat_map(|sweep| sweep.objects.iter()).copied().collect(),
        };
        self.decisions.insert(name.hash, decision);
    }

    fn enter_record(&mut self, name: &RecordName, record: &Record) {
        if record.snapshot.is_some() {
            self.commits.insert(name.hash);
        }
        if record.partial.is_some() {
            let packs = record.entries.iter().map(|entry| entry.object);
            let units = record.entries.iter().flat_map(|entry: &ObjectUnits| &entry.units);
            let bases = units.chain(&record.inline).flat_map(|unit| unit.bases.iter());
            self.partials.push(PartialRow {
                record: name.hash,
                written: record.written,
                objects: packs.chain([name.hash]).collect(),
                bases: bases.copied().collect(),
            });
        }
        for entry in &record.entries {
            let first = self.named.entry(entry.object).or_insert(record.written);
            *first = record.written.min(*first);
        }
        if !record.entries.is_empty() {
            let packs = record.entries.iter().map(|entry| entry.object).collect();
            self.packs.insert(name.hash, packs);
        }
        if !record.inline.is_empty() {
            let blobs = record.inline.iter().map(|unit| unit.blobs.len());
            self.with_units.insert(name.hash, blobs.fold(0, usize::saturating_add));
        }
        if let Some(checkpoint) = &record.checkpoint {
            let segments = checkpoint.new_segments.iter().chain(checkpoint.old_segments.iter());
            self.checkpoints.push((name.hash, segments.copied().collect()));
        }
    }

    /// Returns the checkpoints that no other one covers, with their segments.
    pub(super) fn checkpoints_but(
        &self,
        covered: &HashSet<ObjectHash>,
    ) -> impl Iterator<Item = &(ObjectHash, Vec<ObjectHash>)> {
        self.checkpoints.iter().filter(|(checkpoint, _)| !covered.contains(checkpoint))
    }

    /// Returns the segments of these.
    pub(super) fn segments_of_others(&self, covered: &HashSet<ObjectHash>) -> HashSet<ObjectHash> {
        self.checkpoints_but(covered).flat_map(|(_, segments)| segments.iter().copied()).collect()
    }

    /// Returns what runs keep that have not come to their end: objects, and the bases of what lies in
    /// them.
    pub(super) fn kept_by_partials(
        &self,
        order: &Order,
        lives: i64,
        now: Timestamp,
    ) -> (HashSet<ObjectHash>, Vec<BlobId>) {
        let mut ended = HashSet::new();
        for newest in order.newest() {
            let mut has_ended = false;
            for hash in order.chain(newest) {
                if has_ended {
                    ended.insert(hash);
                }
                has_ended |= self.commits.contains(&hash);
            }
        }
        let keeping = || {
            let open = self.partials.iter().filter(|row| !ended.contains(&row.record));
            open.filter(|row| now.0.saturating_sub(row.written) < lives)
        };
        let mut bases: Vec<BlobId> = keeping().flat_map(|row| &row.bases).copied().collect();
        bases.sort_unstable();
        bases.dedup();
        (keeping().flat_map(|row| &row.objects).copied().collect(), bases)
    }
}
