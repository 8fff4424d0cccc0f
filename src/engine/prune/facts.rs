//! What is known before anything is decided: the whole log read anew, and a full listing.
//!
//! The local cache is no input to deletion: a cache of this run's own is filled from the log alone.
//! The listing is older than the reading, so that a pack which no record seen here names was there
//! before the reading began.

use std::collections::{HashMap, HashSet};

use crate::error::{Error, Result};
use crate::format::key::REPOSITORY_REPLICATED;
use crate::format::record::Record;
use crate::id::{LaneId, ObjectHash, Tip};
use crate::repository::Repository;
use crate::repository::cache::KnownRecord;
use crate::repository::log::{LogEntry, Order, SyncReport, tip_of};
use crate::store::{Listed, ObjectName, RecordName};
use crate::time::{SECOND, Timestamp};

/// The verdict on a record of which something can't be had any more.
pub(super) const NOT_WHOLE: u64 = 3;

/// A lane that has said nothing for so long is nobody's any more, in nanoseconds.
const LANE_LIVES: i64 = 180 * 24 * 3600 * SECOND;

/// A record of a run that was under way.
#[derive(Debug, Clone)]
struct PartialRow {
    record: ObjectHash,
    written: i64,
    objects: Vec<ObjectHash>,
}

/// What the log says, beside what the cache holds.
#[derive(Default)]
struct Gathered {
    partials: Vec<PartialRow>,
    /// Records that hold a snapshot.
    commits: HashSet<ObjectHash>,
    /// Objects that some record names, and when the first did.
    named: HashMap<ObjectHash, i64>,
    /// Checkpoints with the segments that they name.
    checkpoints: Vec<(ObjectHash, Vec<ObjectHash>)>,
    /// The objects that each segment names.
    segments: HashMap<ObjectHash, Vec<ObjectHash>>,
    /// The packs that each record names.
    packs: HashMap<ObjectHash, Vec<ObjectHash>>,
    /// Records that hold units.
    with_units: HashSet<ObjectHash>,
    /// Records that condemn or sweep, and the condemnations that each sweep names.
    decisions: HashMap<ObjectHash, Vec<ObjectHash>>,
    /// When each record was written.
    written: HashMap<ObjectHash, i64>,
    newest: i64,
}

impl Gathered {
    fn enter(&mut self, entry: LogEntry<'_>) {
        match entry {
            LogEntry::Record(name, record) => self.enter_record(name, record),
            LogEntry::Segment(hash, segment) => {
                let objects: Vec<ObjectHash> =
                    segment.entries.iter().map(|entry| entry.object).collect();
                self.named.extend(objects.iter().map(|object| (*object, i64::MIN)));
                self.segments.insert(*hash, objects);
            }
        }
    }

    fn enter_record(&mut self, name: &RecordName, record: &Record) {
        self.newest = self.newest.max(record.written);
        self.written.insert(name.hash, record.written);
        if record.snapshot.is_some() {
            self.commits.insert(name.hash);
        }
        if record.partial.is_some() {
            let packs = record.entries.iter().map(|entry| entry.object);
            self.partials.push(PartialRow {
                record: name.hash,
                written: record.written,
                objects: packs.chain([name.hash]).collect(),
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
            self.with_units.insert(name.hash);
        }
        if record.condemn.is_some() || record.sweep.is_some() {
            let sweep = record.sweep.iter().flat_map(|sweep| sweep.condemnations.iter());
            self.decisions.insert(name.hash, sweep.copied().collect());
        }
        if let Some(checkpoint) = &record.checkpoint {
            let segments = checkpoint.new_segments.iter().chain(checkpoint.old_segments.iter());
            self.checkpoints.push((name.hash, segments.copied().collect()));
        }
    }
}

/// Everything that is known. See the module's head.
pub(super) struct Facts {
    /// A handle whose cache was filled just now.
    pub(super) repository: Repository,
    /// Every object that was listed.
    pub(super) listed: HashMap<ObjectHash, Listed>,
    /// Who had read what.
    pub(super) order: Order,
    /// What this run has read.
    pub(super) view: Vec<Tip>,
    /// Condemned objects, each with the record that condemned it.
    pub(super) condemned: HashMap<ObjectHash, ObjectHash>,
    /// Objects that are swept; what is still listed of them was not deleted yet.
    pub(super) gone: HashSet<ObjectHash>,
    /// Records that a checkpoint covers.
    pub(super) covered: HashSet<ObjectHash>,
    /// Segments that a checkpoint names which no other one covers.
    pub(super) segments: HashSet<ObjectHash>,
    /// Objects that a record or segment names which no checkpoint replaces.
    named: HashSet<ObjectHash>,
    /// Checkpoints that no other one covers.
    pub(super) checkpoints: Vec<ObjectHash>,
    /// The objects that each segment names.
    segment_objects: HashMap<ObjectHash, Vec<ObjectHash>>,
    /// The packs that each record names.
    packs: HashMap<ObjectHash, Vec<ObjectHash>>,
    /// Records that hold units.
    with_units: HashSet<ObjectHash>,
    /// Records that condemn or sweep, and the condemnations that each sweep names.
    decisions: HashMap<ObjectHash, Vec<ObjectHash>>,
    /// The repository's grace, in nanoseconds.
    grace: i64,
    /// Objects that partials keep.
    pub(super) kept_by_partials: HashSet<ObjectHash>,
    /// Packs that the log names and the listing lacks, and when they were first named.
    pub(super) vanished: Vec<(ObjectHash, i64)>,
    /// Records that must exist and that this run has not read: a listing lacks them.
    pub(super) unseen: Vec<ObjectHash>,
    /// Records that came late, without a verdict.
    pub(super) late: Vec<ObjectHash>,
    /// Records that something is lost of.
    pub(super) broken: HashSet<ObjectHash>,
    /// The newest moment that the log speaks of (nanoseconds, UTC).
    pub(super) newest: i64,
    /// When each record was written.
    written: HashMap<ObjectHash, i64>,
    /// The newest records of lanes that may go on.
    newest_of_lanes: HashSet<ObjectHash>,
    /// The first sequence of each lane that no checkpoint covers.
    first_uncovered: HashMap<LaneId, u64>,
    /// Objects that are to be sealed anew.
    pub(super) older: HashSet<ObjectHash>,
}

impl Facts {
    /// Reads everything. `now` is the machine's own time; `known` are records that this machine had
    /// read before.
    pub(super) fn gather(
        original: &Repository,
        known: &[KnownRecord],
        now: Timestamp,
    ) -> Result<Facts> {
        let lifetimes = original.lifetimes();
        let (objects, _) = original.store().list_all()?;
        refuse_strangers(original, &objects)?;
        let repository = original.with_private_cache()?;
        let mut gathered = Gathered::default();
        let report = repository.sync_with(|entry| gathered.enter(entry))?;
        let listed: HashMap<ObjectHash, Listed> =
            objects.into_iter().map(|row| (row.name.hash(), row)).collect();
        let cache = repository.cache();
        let verdicts = cache.verdicts()?;
        refuse_unreadable(&report, &verdicts)?;
        let (order, view) = (repository.order()?, repository.full_view()?);
        let (condemned, gone, covered) = (cache.condemned()?, cache.gone()?, cache.covered()?);
        let missing = |hash: &ObjectHash| {
            !listed.contains_key(hash) && !gone.contains(hash) && !condemned.contains_key(hash)
        };
        // A pack that was named while the listing was made need not be in it.
        let latest = repository.store().list(crate::store::Prefix::Packs)?;
        let latest: HashSet<ObjectHash> = latest.iter().map(|row| row.name.hash()).collect();
        let mut vanished: Vec<(ObjectHash, i64)> = gathered
            .named
            .iter()
            .filter(|(hash, _)| missing(hash) && !latest.contains(*hash))
            .map(|(hash, named)| (*hash, *named))
            .collect();
        vanished.sort_unstable();
        let damaged = report.damaged.iter().map(|damaged| damaged.name.hash());
        let read: HashSet<ObjectHash> = order
            .links()
            .map(|link| link.hash)
            .chain(covered.iter().copied())
            .chain(verdicts.keys().copied())
            .chain(damaged)
            .collect();
        let replaced = replaced_until(&order, &covered, &listed);
        let known = known
            .iter()
            .filter(|it| replaced.get(&it.lane).is_none_or(|until| it.sequence > *until))
            // A lane that is nobody's any more goes as a whole.
            .filter(|it| now.0.saturating_sub(it.written) < LANE_LIVES)
            .map(|it| it.hash);
        let unseen = unseen(&order, &covered, &read, &listed, known);
        let late = late(&repository, &order, &covered)?
            .into_iter()
            .filter(|record| !verdicts.contains_key(record))
            .collect();
        let is_broken =
            |(record, verdict): (&ObjectHash, &u64)| (*verdict == NOT_WHOLE).then_some(*record);
        Ok(Facts {
            newest_of_lanes: newest_of_lanes(&listed, now),
            first_uncovered: first_uncovered(&listed, &covered),
            older: HashSet::new(),
            kept_by_partials: kept_by_partials(&gathered, &order, lifetimes.partial, now),
            broken: verdicts.iter().filter_map(is_broken).collect(),
            segments: gathered
                .checkpoints
                .iter()
                .filter(|(checkpoint, _)| !covered.contains(checkpoint))
                .flat_map(|(_, segments)| segments.iter().copied())
                .collect(),
            named: gathered.named.keys().copied().collect(),
            checkpoints: gathered
                .checkpoints
                .iter()
                .map(|(checkpoint, _)| *checkpoint)
                .filter(|checkpoint| !covered.contains(checkpoint))
                .collect(),
            segment_objects: gathered.segments,
            packs: gathered.packs,
            with_units: gathered.with_units,
            decisions: gathered.decisions,
            grace: lifetimes.grace,
            newest: gathered.newest,
            written: gathered.written,
            repository,
            listed,
            order,
            view,
            condemned,
            gone,
            covered,
            vanished,
            unseen,
            late,
        })
    }

    /// Returns the name of an object that was listed.
    pub(super) fn name(&self, hash: &ObjectHash) -> Option<&ObjectName> {
        self.listed.get(hash).map(|row| &row.name)
    }

    /// Returns what objects take, in bytes.
    pub(super) fn bytes<'h>(&self, hashes: impl Iterator<Item = &'h ObjectHash>) -> u64 {
        hashes.filter_map(|hash| self.listed.get(hash)).map(|row| row.size).sum()
    }
}

/// Returns the newest records of each lane that may go on, whoever covers them: its machine goes on
/// from there, and takes it for a loss if they are not there.
fn newest_of_lanes(listed: &HashMap<ObjectHash, Listed>, now: Timestamp) -> HashSet<ObjectHash> {
    let mut lanes: HashMap<LaneId, (u64, Vec<ObjectHash>)> = HashMap::new();
    for row in listed.values() {
        let ObjectName::Record(name) = &row.name else { continue };
        if now.0.saturating_sub(row.modified.0) >= LANE_LIVES {
            continue;
        }
        let (sequence, newest) = lanes.entry(name.lane).or_default();
        if name.sequence > *sequence {
            *sequence = name.sequence;
            newest.clear();
        }
        if name.sequence == *sequence {
            newest.push(name.hash);
        }
    }
    lanes.into_values().flat_map(|(_, newest)| newest).collect()
}

fn first_uncovered(
    listed: &HashMap<ObjectHash, Listed>,
    covered: &HashSet<ObjectHash>,
) -> HashMap<LaneId, u64> {
    let mut first: HashMap<LaneId, u64> = HashMap::new();
    for row in listed.values().filter(|row| !covered.contains(&row.name.hash())) {
        if let ObjectName::Record(name) = &row.name {
            let known = first.entry(name.lane).or_insert(name.sequence);
            *known = name.sequence.min(*known);
        }
    }
    first
}

/// Returns how far checkpoints have replaced each lane: what came before may be deleted, and need
/// not be named any more. A beginning is covered without gaps, so a sequence tells.
fn replaced_until(
    order: &Order,
    covered: &HashSet<ObjectHash>,
    listed: &HashMap<ObjectHash, Listed>,
) -> HashMap<LaneId, u64> {
    let mut until: HashMap<LaneId, u64> = HashMap::new();
    for row in listed.values() {
        let ObjectName::Record(name) = &row.name else { continue };
        let previous = order.link(&name.hash).and_then(|link| link.previous);
        // A checkpoint may be covered behind what is not.
        let sequence = if covered.contains(&name.hash) && name.kind != "checkpoint" {
            name.sequence
        } else if previous.is_some_and(|previous| covered.contains(&previous)) {
            name.sequence.saturating_sub(1)
        } else {
            continue;
        };
        let known = until.entry(name.lane).or_default();
        *known = sequence.max(*known);
    }
    until
}

/// Returns the records that must exist and were not read: those of the other listing, those that
/// this machine had read, and those that others name. A store whose listings leave something out
/// must not make it look as if nobody needed anything.
fn unseen(
    order: &Order,
    covered: &HashSet<ObjectHash>,
    read: &HashSet<ObjectHash>,
    listed: &HashMap<ObjectHash, Listed>,
    known: impl Iterator<Item = ObjectHash>,
) -> Vec<ObjectHash> {
    let is_record = |row: &&Listed| matches!(row.name, ObjectName::Record(_));
    let of_listing = listed.values().filter(is_record).map(|row| row.name.hash());
    // What a covered record names may be deleted, and its name with it.
    let open = || order.links().filter(|link| !covered.contains(&link.hash));
    let before = open().filter_map(|link| link.previous);
    let mut unseen: Vec<ObjectHash> =
        of_listing.chain(known).chain(before).filter(|hash| !read.contains(hash)).collect();
    let tips: HashSet<Tip> = read.iter().map(tip_of).collect();
    let lost = open().flat_map(|link| link.view.iter()).filter(|tip| !tips.contains(*tip));
    unseen.extend(lost.map(|tip| {
        let mut hash = ObjectHash::default();
        for (to, from) in hash.0.iter_mut().zip(tip.0) {
            *to = from;
        }
        hash
    }));
    unseen.sort_unstable();
    unseen.dedup();
    unseen
}

/// Objects of another repository in the same place would look as if nobody needed them.
fn refuse_strangers(repository: &Repository, objects: &[Listed]) -> Result<()> {
    let headers = objects.iter().filter(|row| matches!(row.name, ObjectName::Repository(_)));
    if headers.count() <= 1 {
        return Ok(());
    }
    Err(Error::failed("two repositories lie in")
        .object(repository.store().description())
        .hint("what one needs the other can't tell: nothing is deleted where they share a place"))
}

/// What a record that can't be read says about snapshots nobody knows.
fn refuse_unreadable(report: &SyncReport, verdicts: &HashMap<ObjectHash, u64>) -> Result<()> {
    if let Some(name) = report.foreign.first() {
        return Err(Error::failed("a record of another repository lies in this one's place:")
            .object(name.to_string())
            .hint("nothing was deleted; find out who put it there"));
    }
    let unknown = report.damaged.iter().find(|it| !verdicts.contains_key(&it.name.hash()));
    match unknown {
        None => Ok(()),
        Some(damaged) => {
            let name = damaged.name.to_string();
            Err(Error::damaged("nobody can tell what a record needs that can't be read:", name)
                .hint("nothing was deleted; `stash check` says more, and `stash repair index` takes note of the loss"))
        }
    }
}

/// Returns the objects that runs keep which have not come to their end.
fn kept_by_partials(
    gathered: &Gathered,
    order: &Order,
    lives: i64,
    now: Timestamp,
) -> HashSet<ObjectHash> {
    let mut ended = HashSet::new();
    for newest in order.newest() {
        let mut has_ended = false;
        for hash in order.chain(newest) {
            if has_ended {
                ended.insert(hash);
            }
            has_ended |= gathered.commits.contains(&hash);
        }
    }
    gathered
        .partials
        .iter()
        .filter(|row| !ended.contains(&row.record))
        .filter(|row| now.0.saturating_sub(row.written) < lives)
        .flat_map(|row| row.objects.iter().copied())
        .collect()
}

/// Returns the records that came late (rule 32): their writers had not read a condemnation of which
/// there is a sweep, whose writer had not read them.
fn late(
    repository: &Repository,
    order: &Order,
    covered: &HashSet<ObjectHash>,
) -> Result<Vec<ObjectHash>> {
    let mut late = Vec::new();
    let checkpoints = repository.cache().replaced()?;
    for (condemnation, sweeps) in repository.cache().sweeps()? {
        // One that is deleted measures nobody any more: a newer pair does, which is never deleted
        // before there is another.
        if order.link(&condemnation).is_none() {
            continue;
        }
        // Whoever made a checkpoint that names it had looked into all that it knew.
        let judges: Vec<ObjectHash> = checkpoints
            .iter()
            .filter(|replaced| replaced.records.contains(&condemnation))
            .map(|replaced| replaced.checkpoint)
            .collect();
        for sweep in sweeps {
            let is_late = |record: &ObjectHash| {
                *record != condemnation
                    && *record != sweep
                    && !covered.contains(record)
                    && !order.knew(record, &condemnation)
                    && !order.knew(&sweep, record)
                    && !judges.iter().any(|judge| judge == record || order.knew(judge, record))
            };
            late.extend(order.links().map(|link| link.hash).filter(is_late));
        }
    }
    late.sort_unstable();
    late.dedup();
    Ok(late)
}

impl Facts {
    /// Returns the packs that a record names.
    pub(super) fn packs_of(&self, record: &ObjectHash) -> &[ObjectHash] {
        self.packs.get(record).map_or(&[], Vec::as_slice)
    }

    /// Returns the objects that a segment names, those that are gone too.
    pub(super) fn objects_of_segment(&self, segment: &ObjectHash) -> &[ObjectHash] {
        self.segment_objects.get(segment).map_or(&[], Vec::as_slice)
    }

    /// Returns whether a record holds units.
    pub(super) fn holds_units(&self, record: &ObjectHash) -> bool {
        self.with_units.contains(record)
    }

    /// Returns whether a record condemns something that is still there.
    pub(super) fn is_open(&self, record: &ObjectHash) -> bool {
        self.condemned.iter().any(|(object, by)| by == record && self.listed.contains_key(object))
    }

    /// Returns whether a record condemned or swept something so lately that a record which comes
    /// late may have to be measured by it: younger than a grace, or the newest pair of its kind.
    pub(super) fn is_recent_decision(&self, record: &ObjectHash, now: Timestamp) -> bool {
        let Some(swept) = self.decisions.get(record) else { return false };
        let written = self.written(record).unwrap_or(i64::MAX);
        if now.0.saturating_sub(written) < self.grace {
            return true;
        }
        let sweeps = self.decisions.iter().filter(|(_, swept)| !swept.is_empty());
        let newest = sweeps.max_by_key(|(hash, _)| (self.written(hash), **hash));
        newest.is_some_and(|(hash, swept_last)| {
            hash == record
                || (swept.is_empty() && swept_last.contains(record))
                || swept_last.contains(record)
        })
    }

    /// Returns whether a record condemns something that is still there, or that something which no
    /// checkpoint replaces still says where to find: then it must be readable for all to see.
    pub(super) fn keeps_word(&self, record: &ObjectHash) -> bool {
        self.condemned.iter().any(|(object, by)| {
            by == record && (self.listed.contains_key(object) || self.named.contains(object))
        })
    }

    /// Returns when a record was written (nanoseconds, UTC).
    pub(super) fn written(&self, record: &ObjectHash) -> Option<i64> {
        self.written.get(record).copied()
    }

    /// Returns whether a record is covered, and so is all that comes before it in its lane: else
    /// nobody could follow the lane down to what is not covered.
    pub(super) fn is_spent(&self, name: &RecordName) -> bool {
        self.covered.contains(&name.hash)
            && self.first_uncovered.get(&name.lane).is_none_or(|first| name.sequence < *first)
    }

    /// Returns whether a record is one of the newest of a lane that may go on.
    pub(super) fn keeps_lane(&self, record: &ObjectHash) -> bool {
        self.newest_of_lanes.contains(record)
    }

    /// Returns whether everyone who still writes into a replicated repository has read a record
    /// (rule 28); elsewhere the grace suffices. A lane whose newest record a checkpoint covers has
    /// not spoken since: nobody can tell what it read.
    pub(super) fn is_known_to_all(&self, record: &ObjectHash) -> bool {
        if self.repository.header().flags & REPOSITORY_REPLICATED == 0 {
            return true;
        }
        self.newest_of_lanes.iter().all(|newest| {
            newest == record
                || self.order.knew(newest, record)
                || self.order.covers(&[tip_of(newest)], record)
        })
    }
}
