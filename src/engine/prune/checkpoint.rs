//! Checkpoints: what replaces older records for those who open the repository anew.
//!
//! Of each lane a beginning is covered, without gaps, so that what stays uncovered hangs together.
//! Units within covered records are folded into packs first: segments name packs only. A segment
//! holds what is new since the last checkpoint; segments of like size are merged. Everything is read
//! back before the record that names it is published, and what a checkpoint replaces is condemned by
//! a later look, never by this one.
//!
//! What a checkpoint replaces may hold what nobody needs any more: dead snapshots, units of which
//! nothing is needed. A thorough prune makes one whenever it does, and writes segments anew that hold
//! dead snapshots.

use std::collections::{HashMap, HashSet};

use super::copies::Copier;
use super::facts::Facts;
use super::left::holds_unneeded;
use super::needs::Needs;
use super::options::CHECKPOINT_BYTES;
use super::usage::Usage;
use crate::codec::crypto::object_hash;
use crate::error::{Error, Kind, Result};
use crate::event::Counters;
use crate::format::cbor::{self, Bytes, Ids};
use crate::format::object::ObjectKind;
use crate::format::pack::UnitEntry;
use crate::format::record::{Checkpoint, Mark, ObjectUnits, Segment};
use crate::id::{ObjectHash, SnapshotId};
use crate::repository::cache::SnapshotEntry;
use crate::repository::container::{Padding, seal};
use crate::repository::log::{RecordParts, tip_of};
use crate::repository::marks::Replaced;
use crate::store::ObjectName;
use crate::time::Timestamp;

/// A segment has no more maps than this in its body, by far fewer than a reader takes.
const SEGMENT_MAPS: usize = 100_000;
/// And takes about so many bytes at most, half of what a reader takes.
const SEGMENT_BYTES: usize = 8 << 20;
/// The units of so many blobs at most are folded out of records by one checkpoint: their tables go
/// into its record.
const FOLDED_BLOBS: usize = 100_000;
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
    pub(super) usage: &'c Usage,
    /// Every snapshot that lives.
    pub(super) live: &'c [SnapshotEntry],
    pub(super) now: Timestamp,
    /// How many records make a checkpoint due.
    pub(super) due_records: usize,
    /// Whether nobody else reads or writes.
    pub(super) alone: bool,
    /// Whether nothing may stay that no snapshot needs.
    pub(super) thorough: bool,
    pub(super) counters: &'c Counters,
}

impl CheckpointWriter<'_> {
    /// Prepares a checkpoint if one is due: all that it names is durable then.
    pub(super) fn prepare(&self) -> Result<Option<Prepared>> {
        let mut covers = self.facts.coverable(self.alone);
        let bytes = self.facts.bytes(covers.iter());
        let segments = &self.facts.segments;
        let is_older = covers.iter().chain(segments).any(|hash| self.facts.older.contains(hash));
        let is_due = covers.len() >= self.due_records.max(1)
            || bytes >= CHECKPOINT_BYTES
            || is_older
            || (self.thorough && self.frees_something(&covers)?);
        if !is_due {
            return Ok(None);
        }
        // Of two checkpoints only the one that knew the other may say what lives.
        covers.extend(self.facts.older_checkpoints());
        self.prepare_covering(&covers).map(Some)
    }

    /// Returns whether something that nobody needs lies in what a checkpoint would replace.
    fn frees_something(&self, covers: &HashSet<ObjectHash>) -> Result<bool> {
        let facts = self.facts;
        let live: HashSet<SnapshotId> = self.live.iter().map(|entry| entry.id).collect();
        let records = facts.repository.cache().snapshot_records()?;
        let mut dead = records.iter().filter(|(id, _)| !live.contains(id));
        if dead.any(|(_, record)| record.is_some_and(|record| covers.contains(&record)))
            || covers.iter().any(|record| self.usage.has_unused(record))
            || facts.segments.iter().any(|segment| holds_dead(facts, segment, &live))
        {
            return Ok(true);
        }
        // Only a newer record lets the last one of a lane go.
        for hash in facts.own_newest().filter(|hash| facts.covered.contains(*hash)) {
            if let Some(ObjectName::Record(name)) = facts.name(hash)
                && holds_unneeded(facts, name, &live, self.needs)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn prepare_covering(&self, covers: &HashSet<ObjectHash>) -> Result<Prepared> {
        let facts = self.facts;
        let packs = {
            let mut copier = Copier::new(facts, self.needs, self.usage, self.now.0, self.counters)?;
            for name in covers.iter().filter_map(|hash| facts.name(hash)) {
                if facts.holds_units(&name.hash()) {
                    copier.object(name)?;
                }
            }
            // What they stand on may lie in these records, and the index says nothing of it then.
            for id in self.usage.raised.iter().chain(&self.usage.fallen) {
                copier.rescue(*id)?;
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
        // A record that came late may name what is swept, and the sweep will not be there for ever.
        let named = facts.packs_of_all_but(covers);
        let gone = kept
            .iter()
            .flat_map(|segment| facts.objects_of_segment(segment))
            .chain(named)
            .filter(|object| facts.gone.contains(*object))
            .copied();
        let mut gone: Vec<ObjectHash> = gone.collect();
        gone.sort_unstable();
        gone.dedup();
        let mut records = facts.still_named(covers)?;
        records.sort_unstable();
        let mut open: Vec<ObjectHash> = facts.open.iter().copied().collect();
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
    /// don't. One of which a quarter is gone is written anew whatever its size; if nothing may stay
    /// that nobody needs, one that holds a dead snapshot, too.
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
            let is_stale =
                facts.older.contains(hash) || (self.thorough && holds_dead(facts, hash, live));
            // What is condemned already may be named by a checkpoint made meanwhile, and is not
            // named by another one.
            if is_stale
                || lost.saturating_mul(4) > objects.len()
                || facts.condemned.contains_key(hash)
            {
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
        let mut snapshots = content.snapshots.into_iter().peekable();
        while entries.peek().is_some() || snapshots.peek().is_some() {
            let mut segment = Segment::default();
            let mut room = Room::default();
            while let Some(snapshot) = snapshots.next_if(|it| room.takes(&Room::of_snapshot(it))) {
                segment.snapshots.push(snapshot);
            }
            while let Some(entry) = entries.next_if(|it| room.takes(&Room::of_entry(it))) {
                segment.entries.push(entry);
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

/// How much of a segment is taken.
#[derive(Default)]
struct Room {
    maps: usize,
    bytes: usize,
}

impl Room {
    fn of_snapshot(snapshot: &Bytes) -> Room {
        Room { maps: 16, bytes: snapshot.0.len().saturating_add(8) }
    }

    fn of_entry(entry: &ObjectUnits) -> Room {
        let ids = |unit: &UnitEntry| unit.blobs.len().saturating_add(unit.bases.len());
        let ids = entry.units.iter().map(ids).fold(0, usize::saturating_add);
        let units = entry.units.len().saturating_add(1);
        Room { maps: units, bytes: ids.saturating_add(units).saturating_mul(40) }
    }

    /// Takes more if it fits, or if nothing was taken yet.
    fn takes(&mut self, more: &Room) -> bool {
        let maps = self.maps.saturating_add(more.maps);
        let bytes = self.bytes.saturating_add(more.bytes);
        let fits = self.bytes == 0 || (maps <= SEGMENT_MAPS && bytes <= SEGMENT_BYTES);
        if fits {
            (self.maps, self.bytes) = (maps, bytes);
        }
        fits
    }
}

/// Returns whether a segment holds a snapshot that does not live any more.
fn holds_dead(facts: &Facts, segment: &ObjectHash, live: &HashSet<SnapshotId>) -> bool {
    facts.snapshots_of_segment(segment).iter().any(|id| !live.contains(id))
}

/// Segments whose sizes differ by less than a factor of 8 are of one tier.
fn tier(size: u64) -> u32 {
    (size >> 14).max(1).ilog2() / 3
}

impl Facts {
    /// Returns the records that a checkpoint may newly cover: of each lane all up to the first that
    /// must stay as it is.
    pub(super) fn coverable(&self, alone: bool) -> HashSet<ObjectHash> {
        let mut covers = HashSet::new();
        let mut folded = 0_usize;
        for newest in self.order.newest() {
            let chain: Vec<ObjectHash> = self.order.chain(newest).collect();
            // A lane whose beginning is not known begins behind what is covered already.
            let begins = chain.last().and_then(|hash| self.order.link(hash)?.previous);
            let is_settled =
                |hash: &ObjectHash| self.covered.contains(hash) || self.unsupported.contains(hash);
            if begins.is_some_and(|previous| !is_settled(&previous)) {
                continue;
            }
            for hash in chain.iter().rev() {
                if self.covered.contains(hash) || covers.contains(hash) {
                    continue;
                }
                folded = folded.saturating_add(self.blobs_within(hash));
                // The rest is the next checkpoint's.
                if self.must_stay(hash, alone) || folded > FOLDED_BLOBS {
                    break;
                }
                covers.insert(*hash);
            }
        }
        covers
    }

    /// Returns the checkpoints that a new one replaces wherever they stand in their lanes; those of
    /// which nothing can be had any more as well.
    pub(super) fn older_checkpoints(&self) -> impl Iterator<Item = ObjectHash> + '_ {
        let whole = self.checkpoints.iter().filter(|hash| !self.late.contains(hash));
        whole.chain(&self.unsupported).copied()
    }

    /// Returns whether what a record says is still needed from itself. Condemnations and sweeps go on
    /// saying what they say when they are covered, since all of `log/g` is read; only what they
    /// measure must be settled. One who is alone sweeps all that is condemned.
    fn must_stay(&self, record: &ObjectHash, alone: bool) -> bool {
        self.late.contains(record)
            || self.broken.contains(record)
            || self.kept_by_partials.contains(record)
            || (!alone && self.is_open(record))
            || (!self.late.is_empty() && self.is_decision(record))
            || !self.listed.contains_key(record)
    }

    /// Returns the records that a checkpoint names: what it newly covers, and of what was covered
    /// before all that no sweep has named, or that some record which stays uncovered names.
    pub(super) fn still_named(&self, covers: &HashSet<ObjectHash>) -> Result<Vec<ObjectHash>> {
        let replaced = self.repository.cache().replaced()?;
        let mut tips = HashSet::new();
        let mut previous = HashSet::new();
        for link in self.order.links().filter(|link| !covers.contains(&link.hash)) {
            tips.extend(link.view.iter().copied());
            previous.extend(link.previous);
        }
        let is_newest = |it: &&Replaced| self.checkpoints.contains(&it.checkpoint);
        let newest = replaced.iter().filter(is_newest).flat_map(|it| it.records.iter());
        // Only a sweep says that a record is gone: a listing may lack what is there.
        let lasting: HashSet<&ObjectHash> =
            newest.filter(|hash| !self.gone.contains(*hash)).collect();
        let is_named = |hash: &&ObjectHash| {
            lasting.contains(*hash)
                || self.listed.contains_key(*hash)
                || previous.contains(*hash)
                || tips.contains(&tip_of(hash))
        };
        Ok(covers.iter().chain(self.covered.iter().filter(is_named)).copied().collect())
    }
}
