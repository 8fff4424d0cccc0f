//! What is known before anything is decided: the whole log read anew, and a full listing.
//!
//! The local cache is no input to deletion: a cache of this run's own is filled from the log alone.
//! The listing is older than the reading, so that a pack which no record seen here names was there
//! before the reading began.

use std::collections::{HashMap, HashSet};

use super::gathered::{Decision, Gathered, SegmentRow};
use super::lanes::{
    LANE_LIVES, first_uncovered, late, newest_of_lanes, replaced_until, unseen, verdicts,
};
use crate::error::{Error, Kind, Result};
use crate::format::key::REPOSITORY_REPLICATED;
use crate::id::{BlobId, LaneId, ObjectHash, SnapshotId, Tip};
use crate::repository::Repository;
use crate::repository::cache::KnownRecord;
use crate::repository::log::{Order, SyncReport, tip_of};
use crate::store::{Listed, ObjectName, RecordName};
use crate::time::Timestamp;

/// The verdict on a record of which something can't be had any more.
pub(super) const NOT_WHOLE: u64 = 3;

/// Of so many packs at most it is asked one by one whether they are missing.
const MOST_ASKED: usize = 1000;

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
    /// Condemnations of which some object is still there.
    pub(super) open: HashSet<ObjectHash>,
    /// Those, and condemnations of something that a record or segment names which no checkpoint
    /// replaces.
    spoken_of: HashSet<ObjectHash>,
    /// The packs that a record names which no checkpoint replaces.
    named_by_records: HashSet<ObjectHash>,
    /// Checkpoints that no other one covers.
    pub(super) checkpoints: Vec<ObjectHash>,
    /// Checkpoints that lack a segment, of which a heal takes note: they replace nothing.
    pub(super) unsupported: Vec<ObjectHash>,
    /// What each segment holds that was read.
    segment_rows: HashMap<ObjectHash, SegmentRow>,
    /// The packs that each record names.
    packs: HashMap<ObjectHash, Vec<ObjectHash>>,
    /// Records that hold units, and how many blobs are in these.
    with_units: HashMap<ObjectHash, usize>,
    /// Records that condemn or sweep.
    decisions: HashMap<ObjectHash, Decision>,
    /// The repository's grace, in nanoseconds.
    grace: i64,
    /// Objects that partials keep.
    pub(super) kept_by_partials: HashSet<ObjectHash>,
    /// What the differences in these stand on.
    pub(super) bases_of_partials: Vec<BlobId>,
    /// Packs that the log names and the listing lacks, and when they were first named.
    pub(super) vanished: Vec<(ObjectHash, i64)>,
    /// Records that must exist and that this run has not read: a listing lacks them.
    pub(super) unseen: Vec<ObjectHash>,
    /// Records that came late, without a verdict.
    pub(super) late: Vec<ObjectHash>,
    /// Records that something is lost of.
    pub(super) broken: HashSet<ObjectHash>,
    /// Lanes of which something did not count (rule 38), and in how many records.
    pub(super) unheeded: Vec<(LaneId, u64)>,
    /// The newest moment that the log speaks of (nanoseconds, UTC).
    pub(super) newest: i64,
    /// When each record was written.
    written: HashMap<ObjectHash, i64>,
    /// The newest records of lanes that may go on, and their lanes.
    newest_of_lanes: HashMap<ObjectHash, LaneId>,
    /// The lane that this machine wrote last.
    pub(super) own_lane: Option<LaneId>,
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
        trusted: Option<&HashSet<LaneId>>,
    ) -> Result<Facts> {
        let lifetimes = original.lifetimes();
        let (objects, _) = original.store().list_all()?;
        refuse_strangers(original, &objects)?;
        let Heard { repository, gathered, report, unheeded } = hear(original, trusted)?;
        let listed: HashMap<ObjectHash, Listed> =
            objects.into_iter().map(|row| (row.name.hash(), row)).collect();
        let cache = repository.cache();
        let (order, view) = (repository.order()?, repository.full_view()?);
        let (condemned, gone, covered) = (cache.condemned()?, cache.gone()?, cache.covered()?);
        let late = late(&repository, &order, &covered)?;
        let verdicts = verdicts(cache, &late)?;
        refuse_unreadable(&report, &verdicts)?;
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
        // A listing may lack what is there.
        let mut asked = Vec::new();
        for (hash, named) in vanished.into_iter().take(MOST_ASKED) {
            if repository.store().size(&ObjectName::Pack(hash))?.is_some() {
                return Err(incomplete(&repository, &ObjectName::Pack(hash)));
            }
            asked.push((hash, named));
        }
        let vanished = asked;
        refuse_cut_listing(&repository, &gathered, &listed, now)?;
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
        let late = late.into_iter().filter(|record| !verdicts.contains_key(record)).collect();
        let is_listed = |object: &ObjectHash| listed.contains_key(object);
        let condemnations_of = |is_meant: &dyn Fn(&ObjectHash) -> bool| -> HashSet<ObjectHash> {
            let meant = condemned.iter().filter(|(object, _)| is_meant(object));
            meant.map(|(_, by)| *by).collect()
        };
        let open = condemnations_of(&is_listed);
        let spoken_of = condemnations_of(&|it| is_listed(it) || gathered.named.contains_key(it));
        let is_broken =
            |(record, verdict): (&ObjectHash, &u64)| (*verdict == NOT_WHOLE).then_some(*record);
        let (kept_by_partials, bases_of_partials) =
            gathered.kept_by_partials(&order, lifetimes.partial, now);
        Ok(Facts {
            newest_of_lanes: newest_of_lanes(&listed, now),
            first_uncovered: first_uncovered(&listed, &covered),
            older: HashSet::new(),
            kept_by_partials,
            bases_of_partials,
            own_lane: original.own_lane(),
            broken: verdicts.iter().filter_map(is_broken).collect(),
            unheeded,
            segments: gathered.segments_of_others(&covered),
            open,
            spoken_of,
            named_by_records: gathered.packs.values().flatten().copied().collect(),
            checkpoints: gathered.checkpoints_but(&covered).map(|(it, _)| *it).collect(),
            unsupported: report.unsupported.iter().map(|it| it.name.hash()).collect(),
            segment_rows: gathered.segments,
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

    /// Returns what to add where something is gone: it may be so because somebody said so who does
    /// not count.
    pub(super) fn say_of_strangers(&self) -> &'static str {
        if self.unheeded.is_empty() {
            ""
        } else {
            "; a machine that is not trusted may have deleted it (`--trust-lane`)"
        }
    }

    /// Returns when the newest object was stored, by the store's clock.
    pub(super) fn newest_stored(&self) -> Option<Timestamp> {
        self.listed.values().map(|row| row.modified).max()
    }

    /// Returns what objects take, in bytes.
    pub(super) fn bytes<'h>(&self, hashes: impl Iterator<Item = &'h ObjectHash>) -> u64 {
        let sizes = hashes.filter_map(|hash| self.listed.get(hash)).map(|row| row.size);
        sizes.fold(0, u64::saturating_add)
    }
}

/// What was heard of the log.
struct Heard {
    repository: Repository,
    gathered: Gathered,
    report: SyncReport,
    unheeded: Vec<(LaneId, u64)>,
}

/// Reads the whole log anew. In an append-only repository only this machine's own words count, and
/// those of the lanes that are named.
fn hear(original: &Repository, trusted: Option<&HashSet<LaneId>>) -> Result<Heard> {
    let trust = original.trust(trusted);
    let repository = original.with_private_cache(trust.clone())?;
    let mut gathered = Gathered::default();
    let report = repository.sync_with(|entry| gathered.enter(entry, original.keys()))?;
    let unheeded = trust.map(|trust| trust.unheeded()).unwrap_or_default();
    Ok(Heard { repository, gathered, report, unheeded })
}

/// Fails if the listing lacks a record that was there when it was made.
fn refuse_cut_listing(
    repository: &Repository,
    gathered: &Gathered,
    listed: &HashMap<ObjectHash, Listed>,
    now: Timestamp,
) -> Result<()> {
    // Where a program copies the folder, old records arrive at any time.
    if repository.header().flags & REPOSITORY_REPLICATED != 0 {
        return Ok(());
    }
    let before = now.0.saturating_sub(repository.lifetimes().window);
    let mut lacking = gathered.written.iter().filter(|(hash, _)| !listed.contains_key(*hash));
    match lacking.find(|(_, written)| **written < before) {
        None => Ok(()),
        Some((record, _)) => Err(incomplete(repository, &record.short())),
    }
}

/// Returns the failure of a listing that lacks an object which is there.
fn incomplete(repository: &Repository, object: &dyn std::fmt::Display) -> Error {
    Error::new(Kind::Store, format!("a listing lacks {object}, which is there, in"))
        .object(repository.store().description())
        .hint("nothing was deleted; run the same command again")
}

/// Objects of another repository in the same place would look as if nobody needed them.
fn refuse_strangers(repository: &Repository, objects: &[Listed]) -> Result<()> {
    let headers = objects.iter().filter(|row| matches!(row.name, ObjectName::Repository(_)));
    match headers.count() {
        1 => return Ok(()),
        // Every listing that is whole has it.
        0 => {
            return Err(Error::new(
                Kind::Store,
                "the repository's own header is not in the listing of",
            )
            .object(repository.store().description())
            .hint(
                "nothing was deleted; run the same command again, and `stash check` if it stays so",
            ));
        }
        _ => {}
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
    // The words of a salvaged record hold, but it is not the object that others name.
    let decides = |name: &ObjectName| match name {
        ObjectName::Record(name) => matches!(&*name.kind, "condemn" | "sweep" | "checkpoint"),
        _ => false,
    };
    let salvaged = report.salvaged.iter().filter(|it| decides(&it.name));
    let mut unread = report.damaged.iter().chain(&report.unsupported).chain(salvaged);
    let unknown = unread.find(|it| !verdicts.contains_key(&it.name.hash()));
    match unknown {
        None => Ok(()),
        Some(damaged) => {
            let name = format!("{} ({})", damaged.name, damaged.error);
            Err(Error::damaged("nobody can tell what a record needs that can't be read:", name)
                .hint("nothing was deleted; `stash check` says more, and `stash repair index` takes note of the loss"))
        }
    }
}

impl Facts {
    /// Returns the packs that a record names.
    pub(super) fn packs_of(&self, record: &ObjectHash) -> &[ObjectHash] {
        self.packs.get(record).map_or(&[], Vec::as_slice)
    }

    /// Returns the packs that records name, without those of some records.
    pub(super) fn packs_of_all_but<'f>(
        &'f self,
        records: &'f HashSet<ObjectHash>,
    ) -> impl Iterator<Item = &'f ObjectHash> {
        let others = self.packs.iter().filter(|(record, _)| !records.contains(*record));
        others.flat_map(|(_, packs)| packs)
    }

    /// Returns the objects that a segment names, those that are gone too.
    pub(super) fn objects_of_segment(&self, segment: &ObjectHash) -> &[ObjectHash] {
        self.segment_rows.get(segment).map_or(&[], |row| &row.objects)
    }

    /// Returns the snapshots in a segment.
    pub(super) fn snapshots_of_segment(&self, segment: &ObjectHash) -> &[SnapshotId] {
        self.segment_rows.get(segment).map_or(&[], |row| &row.snapshots)
    }

    /// Returns whether a record holds units.
    pub(super) fn holds_units(&self, record: &ObjectHash) -> bool {
        self.with_units.contains_key(record)
    }

    /// Returns how many blobs lie in a record.
    pub(super) fn blobs_within(&self, record: &ObjectHash) -> usize {
        self.with_units.get(record).copied().unwrap_or(0)
    }

    /// Returns whether a record condemns something that is still there.
    pub(super) fn is_open(&self, record: &ObjectHash) -> bool {
        self.open.contains(record)
    }

    /// Returns whether a record condemned or swept something.
    pub(super) fn is_decision(&self, record: &ObjectHash) -> bool {
        self.decisions.contains_key(record)
    }

    /// Returns whether a record condemned or swept something so lately that a record which comes
    /// late may have to be measured by it: younger than a grace, or the newest pair of its kind. It
    /// must be there then, covered or not.
    fn is_recent_decision(&self, record: &ObjectHash, now: Timestamp) -> bool {
        if !self.is_decision(record) {
            return false;
        }
        let written = self.written(record).unwrap_or(i64::MAX);
        if now.0.saturating_sub(written) < self.grace {
            return true;
        }
        let sweeps = self.decisions.iter().filter(|(_, other)| !other.condemnations.is_empty());
        let newest = sweeps.max_by_key(|(hash, _)| (self.written(hash), **hash));
        newest.is_some_and(|(hash, newest)| hash == record || newest.condemnations.contains(record))
    }

    /// Returns whether what a record says about other objects must be readable for all to see: it
    /// condemns or swept something that is still there, or that something which no checkpoint
    /// replaces still says where to find; or it may measure a record that comes late.
    pub(super) fn keeps_word(&self, record: &ObjectHash, now: Timestamp) -> bool {
        let is_there = |object: &ObjectHash| {
            self.listed.contains_key(object) || self.named_by_records.contains(object)
        };
        let swept = self.decisions.get(record).is_some_and(|it| it.swept.iter().any(is_there));
        swept || self.spoken_of.contains(record) || self.is_recent_decision(record, now)
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
        self.newest_of_lanes.contains_key(record)
    }

    /// Returns the newest record of the lane that this machine wrote last.
    pub(super) fn own_newest(&self) -> impl Iterator<Item = &ObjectHash> {
        let own = self.newest_of_lanes.iter().filter(|(_, lane)| self.own_lane == Some(**lane));
        own.map(|(hash, _)| hash)
    }

    /// Returns the newest records of lanes that may go on, with their lanes.
    pub(super) fn newest_of_lanes(&self) -> impl Iterator<Item = (&ObjectHash, &LaneId)> {
        self.newest_of_lanes.iter()
    }

    /// Returns whether everyone who still writes into a replicated repository has read a record
    /// (rule 28); elsewhere the grace suffices. A lane whose newest record a checkpoint covers has
    /// not spoken since: nobody can tell what it read.
    pub(super) fn is_known_to_all(&self, record: &ObjectHash) -> bool {
        if self.repository.header().flags & REPOSITORY_REPLICATED == 0 {
            return true;
        }
        self.newest_of_lanes.keys().all(|newest| {
            newest == record
                || self.order.knew(newest, record)
                || self.order.covers(&[tip_of(newest)], record)
        })
    }
}
