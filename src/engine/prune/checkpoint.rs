//! Checkpoints: what replaces older records for those who open the repository anew.
//!
//! Of each lane a beginning is covered, without gaps, so that what stays uncovered hangs together.
//! Units within covered records are folded into packs first: segments name packs only. A segment
//! holds what is new since the last checkpoint; segments of like size are merged. Everything is read
//! back before the record that names it is published, and what a checkpoint replaces is condemned by
//! a later run, never by this one.

use std::collections::{HashMap, HashSet};

use super::copies::Copier;
use super::facts::Facts;
use super::needs::Needs;
use crate::codec::crypto::object_hash;
use crate::error::{Error, Kind, Result};
use crate::event::Counters;
use crate::format::cbor::{self, Bytes, Ids};
use crate::format::object::ObjectKind;
use crate::format::record::{Checkpoint, Mark, ObjectUnits, Segment};
use crate::id::{ObjectHash, SnapshotId};
use crate::repository::cache::SnapshotEntry;
use crate::repository::container::{Padding, seal};
use crate::repository::log::{RecordParts, tip_of};
use crate::store::ObjectName;
use crate::time::Timestamp;

/// A checkpoint is due when it would cover so many bytes of records, however few.
const DUE_BYTES: u64 = 8 << 20;
/// A segment names no more units than this: each is a map of its body.
const SEGMENT_UNITS: usize = 100_000;
/// And no more blobs.
const SEGMENT_BLOBS: usize = 200_000;
/// So many segments of like size become one.
const MERGE_AT: usize = 8;

/// A checkpoint that is ready to be published.
pub(super) struct Prepared {
    pub(super) parts: RecordParts,
    pub(super) covered_records: u64,
}

/// Makes checkpoints. See the module's head.
pub(super) struct CheckpointWriter<'c> {
    pub(super) facts: &'c Facts,
    pub(super) needs: &'c Needs,
    /// Every snapshot that lives.
    pub(super) live: &'c [SnapshotEntry],
    pub(super) now: Timestamp,
    /// How many records make a checkpoint due.
    pub(super) due_records: usize,
    pub(super) counters: &'c Counters,
}

impl CheckpointWriter<'_> {
    /// Prepares a checkpoint if one is due: all that it names is durable then.
    pub(super) fn prepare(&self) -> Result<Option<Prepared>> {
        let mut covers = self.facts.coverable(self.now);
        let bytes = self.facts.bytes(covers.iter());
        let segments = &self.facts.segments;
        let is_older = covers.iter().chain(segments).any(|hash| self.facts.older.contains(hash));
        if covers.len() < self.due_records.max(1) && bytes < DUE_BYTES && !is_older {
            return Ok(None);
        }
        // Of two checkpoints only the one that knew the other may say what lives.
        covers.extend(self.facts.older_checkpoints());
        self.prepare_covering(&covers).map(Some)
    }

    fn prepare_covering(&self, covers: &HashSet<ObjectHash>) -> Result<Prepared> {
        let facts = self.facts;
        let packs = {
            let mut copier = Copier::new(facts, self.needs, self.now.0, self.counters)?;
            for name in covers.iter().filter_map(|hash| facts.name(hash)) {
                if facts.holds_units(&name.hash()) {
                    copier.object(name)?;
                }
            }
            copier.finish()?.0
        };
        let live: HashSet<SnapshotId> = self.live.iter().map(|entry| entry.id).collect();
        let mut content = self.new_content(covers)?;
        for pack in &packs {
            content.entries.push(pack.get().clone());
        }
        let (kept, merged) = self.merge(&live, &mut content)?;
        let new_segments = self.store(content)?;
        let gone = kept
            .iter()
            .flat_map(|segment| facts.objects_of_segment(segment))
            .filter(|object| facts.gone.contains(*object))
            .copied();
        let mut gone: Vec<ObjectHash> = gone.collect();
        gone.sort_unstable();
        gone.dedup();
        let mut records = facts.still_named(covers);
        records.sort_unstable();
        let mut open: Vec<ObjectHash> = facts.open_condemnations().into_iter().collect();
        open.sort_unstable();
        debug_assert!(merged.iter().all(|segment| !kept.contains(segment)));
        let mut snapshots: Vec<SnapshotId> = live.into_iter().collect();
        snapshots.sort_unstable();
        let marks = self.repeated_marks(covers)?;
        let checkpoint = Checkpoint {
            records: Ids(records),
            new_segments: Ids(new_segments),
            old_segments: Ids(kept),
            snapshots: Ids(snapshots),
            condemnations: Ids(open),
            tips: Ids(facts.view.clone()),
            gone: Ids(gone),
            ..Checkpoint::default()
        };
        let parts = RecordParts {
            packs,
            marks,
            checkpoint: Some(checkpoint),
            view: Some(facts.view.clone()),
            ..RecordParts::default()
        };
        Ok(Prepared { parts, covered_records: covers.len() as u64 })
    }

    /// Returns the marks that the checkpoint repeats: those about snapshots that live, and about dead
    /// ones whose records stay. One of these would be alive again if the record of its forget went
    /// before its own.
    fn repeated_marks(&self, covers: &HashSet<ObjectHash>) -> Result<Vec<Mark>> {
        let facts = self.facts;
        let cache = facts.repository.cache();
        let live: HashSet<SnapshotId> = self.live.iter().map(|entry| entry.id).collect();
        let states = cache.mark_states()?;
        let mut marks = Vec::new();
        for (id, record) in cache.snapshot_records()? {
            let is_replaced = record
                .is_none_or(|record| covers.contains(&record) || facts.covered.contains(&record));
            if let Some(state) = states.get(&id).filter(|_| live.contains(&id) || !is_replaced) {
                marks.extend(state.repeated(id));
            }
        }
        Ok(marks)
    }

    /// Returns what the records that are newly covered say: where blobs are in packs, and snapshots.
    fn new_content(&self, covers: &HashSet<ObjectHash>) -> Result<Segment> {
        let facts = self.facts;
        let packs: HashSet<ObjectHash> = covers
            .iter()
            .flat_map(|record| facts.packs_of(record))
            .filter(|pack| !facts.gone.contains(*pack))
            .copied()
            .collect();
        let cache = facts.repository.cache();
        let entries = cache
            .tables_of(&packs)?
            .into_iter()
            .map(|(object, units)| ObjectUnits { object, units, ..ObjectUnits::default() })
            .collect();
        let records: HashMap<SnapshotId, Option<ObjectHash>> =
            cache.snapshot_records()?.into_iter().collect();
        let mut snapshots = Vec::new();
        for entry in self.live {
            let record = records.get(&entry.id).copied().flatten();
            if record.is_some_and(|record| covers.contains(&record))
                && let Some(body) = cache.snapshot_body(&entry.id)?
            {
                snapshots.push(Bytes::from(body));
            }
        }
        Ok(Segment { entries, snapshots, ..Segment::default() })
    }

    /// Takes older segments of like size into the new one; returns those that stay, and those that
    /// don't. One of which a quarter is gone is written anew whatever its size.
    fn merge(
        &self,
        live: &HashSet<SnapshotId>,
        content: &mut Segment,
    ) -> Result<(Vec<ObjectHash>, Vec<ObjectHash>)> {
        let facts = self.facts;
        let mut segments: Vec<ObjectHash> = facts.segments.iter().copied().collect();
        segments.sort_unstable();
        let mut tiers: HashMap<u32, Vec<ObjectHash>> = HashMap::new();
        let mut merged = HashSet::new();
        for hash in &segments {
            let objects = facts.objects_of_segment(hash);
            let lost = objects.iter().filter(|object| facts.gone.contains(*object)).count();
            if lost.saturating_mul(4) > objects.len() || facts.older.contains(hash) {
                merged.insert(*hash);
            }
            let size = facts.bytes(std::iter::once(hash));
            tiers.entry(tier(size)).or_default().push(*hash);
        }
        for tier in tiers.into_values().filter(|tier| tier.len() >= MERGE_AT) {
            merged.extend(tier);
        }
        let mut known: HashSet<ObjectHash> =
            content.entries.iter().map(|entry| entry.object).collect();
        for hash in &merged {
            let segment = facts.repository.load_segment(hash)?;
            for entry in segment.entries {
                if !facts.gone.contains(&entry.object) && known.insert(entry.object) {
                    content.entries.push(entry);
                }
            }
            for body in segment.snapshots {
                if live.contains(&facts.repository.keys().snapshot_id(&body.0)) {
                    content.snapshots.push(body);
                }
            }
        }
        let (gone, kept) = segments.into_iter().partition(|hash| merged.contains(hash));
        Ok((kept, gone))
    }

    /// Stores segments, and reads them back.
    fn store(&self, mut content: Segment) -> Result<Vec<ObjectHash>> {
        content.entries.sort_unstable_by_key(|entry| entry.object);
        content.entries.dedup_by_key(|entry| entry.object);
        content.snapshots.sort_unstable();
        content.snapshots.dedup();
        let mut stored = Vec::new();
        let mut entries = content.entries.into_iter().peekable();
        let mut snapshots = Some(content.snapshots);
        while entries.peek().is_some() || snapshots.as_ref().is_some_and(|it| !it.is_empty()) {
            let mut segment =
                Segment { snapshots: snapshots.take().unwrap_or_default(), ..Segment::default() };
            let (mut units, mut blobs) = (0_usize, segment.snapshots.len().saturating_mul(16));
            while let Some(entry) = entries.peek() {
                units = units.saturating_add(entry.units.len()).saturating_add(1);
                blobs = blobs.saturating_add(entry.units.iter().map(|unit| unit.blobs.len()).sum());
                let is_full = units > SEGMENT_UNITS || blobs > SEGMENT_BLOBS;
                if is_full && !segment.entries.is_empty() {
                    break;
                }
                segment.entries.extend(entries.next());
            }
            stored.push(self.store_one(&segment)?);
        }
        Ok(stored)
    }

    fn store_one(&self, segment: &Segment) -> Result<ObjectHash> {
        self.counters.go_on()?;
        let repository = &self.facts.repository;
        let body = cbor::encode(segment);
        let object = seal(
            repository.keys(),
            ObjectKind::Segment,
            &[&repository.id().0, object_hash(&body).as_bytes()],
            Vec::new(),
            Padding::Padme,
            |_| body,
        )
        .map_err(|error| Error::failed("cannot seal an index segment").source(error))?;
        repository.store().put(ObjectName::Segment(object.hash), &object.parts)?;
        if repository.load_segment(&object.hash)? != *segment {
            let name = ObjectName::Segment(object.hash).to_string();
            return Err(Error::new(Kind::Store, "the store does not give back what it was given:")
                .object(name)
                .hint("nothing was deleted; `stash check` says more"));
        }
        Ok(object.hash)
    }
}

/// Segments whose sizes differ by less than a factor of 8 are of one tier.
fn tier(size: u64) -> u32 {
    (size >> 14).max(1).ilog2() / 3
}

impl Facts {
    /// Returns the records that a checkpoint may newly cover: of each lane all up to the first that
    /// must stay as it is.
    pub(super) fn coverable(&self, now: Timestamp) -> HashSet<ObjectHash> {
        let mut covers = HashSet::new();
        for newest in self.order.newest() {
            let chain: Vec<ObjectHash> = self.order.chain(newest).collect();
            // A lane whose beginning is not known begins behind what is covered already.
            let begins = chain.last().and_then(|hash| self.order.link(hash)?.previous);
            if begins.is_some_and(|previous| !self.covered.contains(&previous)) {
                continue;
            }
            for hash in chain.iter().rev() {
                if self.covered.contains(hash) || covers.contains(hash) {
                    continue;
                }
                if self.must_stay(hash, now) {
                    break;
                }
                covers.insert(*hash);
            }
        }
        covers
    }

    /// Returns the checkpoints that a new one replaces wherever they stand in their lanes.
    pub(super) fn older_checkpoints(&self) -> impl Iterator<Item = ObjectHash> + '_ {
        self.checkpoints.iter().filter(|hash| !self.late.contains(hash)).copied()
    }

    /// Returns whether what a record says is still needed from itself.
    fn must_stay(&self, record: &ObjectHash, now: Timestamp) -> bool {
        self.late.contains(record)
            || self.broken.contains(record)
            || self.kept_by_partials.contains(record)
            || self.is_open(record)
            || self.is_recent_decision(record, now)
            || !self.listed.contains_key(record)
    }

    /// Returns the condemnations of which some object is still there.
    pub(super) fn open_condemnations(&self) -> HashSet<ObjectHash> {
        self.condemned
            .iter()
            .filter(|(object, _)| self.listed.contains_key(*object))
            .map(|(_, condemnation)| *condemnation)
            .collect()
    }

    /// Returns the records that a checkpoint names: what it newly covers, and of what was covered
    /// before all that is still there, or that some record which stays uncovered names.
    pub(super) fn still_named(&self, covers: &HashSet<ObjectHash>) -> Vec<ObjectHash> {
        let mut tips = HashSet::new();
        let mut previous = HashSet::new();
        for link in self.order.links().filter(|link| !covers.contains(&link.hash)) {
            tips.extend(link.view.iter().copied());
            previous.extend(link.previous);
        }
        let is_named = |hash: &&ObjectHash| {
            self.listed.contains_key(*hash)
                || previous.contains(*hash)
                || tips.contains(&tip_of(hash))
        };
        covers.iter().chain(self.covered.iter().filter(is_named)).copied().collect()
    }
}
