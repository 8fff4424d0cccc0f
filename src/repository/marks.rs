//! What holds about a snapshot once everything that was said about it is weighed
//! (`format-spec/7-record.md`, rule 11).
//!
//! Pure: records and marks in, states out. A mark beats those that its writer had read: those in
//! records that its record's view covers, by name and never by sequence. Of marks that do not know
//! each other the one that keeps wins. So the outcome depends on what was said, not on the order
//! in which this machine came to hear of it, and two machines that know the same records agree.
//!
//! For the snapshots that a checkpoint lists, its own marks stand for those in the records that it
//! covers: these may be deleted in any order, and what is left of them must not come to count again.
//!
//! Memory: some 100 bytes for each record and mark. Time: one walk over the chains for each record
//! whose mark meets another about the same snapshot; usually there is none.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::format::record::{Mark, MarkKind};
use crate::id::{LaneId, ObjectHash, SnapshotId, Tip};
use crate::repository::lifetimes::Lifetimes;
use crate::time::Timestamp;

/// What a record's writer knew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordLink {
    /// The record.
    pub hash: ObjectHash,
    /// Its lane.
    pub lane: LaneId,
    /// The record before it in its lane.
    pub previous: Option<ObjectHash>,
    /// The tips that had been read and applied.
    pub view: Vec<Tip>,
    /// Whether it lies in `log/g`.
    pub is_global: bool,
}

/// A mark, and where it was said.
#[derive(Debug, Clone, PartialEq)]
pub struct SaidMark {
    /// The record that holds it.
    pub record: ObjectHash,
    /// When that was written (nanoseconds, UTC).
    pub written: i64,
    /// The mark.
    pub mark: Mark,
}

impl SaidMark {
    /// Returns when it was first said: a checkpoint repeats marks.
    fn since(&self) -> i64 {
        self.mark.written.unwrap_or(self.written)
    }

    fn is(&self, kind: MarkKind) -> bool {
        self.mark.kind == kind as u64
    }
}

/// What a checkpoint replaces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replaced {
    /// The checkpoint's record.
    pub checkpoint: ObjectHash,
    /// The records that it covers.
    pub records: HashSet<ObjectHash>,
    /// The snapshots that it lists.
    pub snapshots: HashSet<SnapshotId>,
}

/// Everything that was said, and who knew what.
#[derive(Debug, Clone, Default)]
pub struct MarkLog {
    /// Every record; needed only if [`MarkLog::is_contested`].
    pub records: Vec<RecordLink>,
    /// Every mark.
    pub marks: Vec<SaidMark>,
    /// Every checkpoint.
    pub checkpoints: Vec<Replaced>,
}

/// That a snapshot is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forgotten {
    /// When that was said (nanoseconds, UTC).
    pub since: i64,
}

impl Forgotten {
    /// Returns whether it has been so for so long that nothing in it need be kept.
    pub fn is_dead(&self, lifetimes: &Lifetimes, now: Timestamp) -> bool {
        now.0.saturating_sub(self.since) >= lifetimes.forgotten
    }

    /// Returns the moment until which it can be taken back.
    pub fn returns_until(&self, lifetimes: &Lifetimes) -> Timestamp {
        Timestamp(self.since.saturating_add(lifetimes.unforget))
    }
}

/// What holds about one snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MarkState {
    /// That it is forgotten.
    pub forgotten: Option<Forgotten>,
    /// When a forget was taken back last (nanoseconds, UTC), if that holds.
    pub unforgotten: Option<i64>,
    /// Since when it is pinned (nanoseconds, UTC).
    pub pinned: Option<i64>,
    /// When a pin was taken back last (nanoseconds, UTC), if that holds.
    pub unpinned: Option<i64>,
    /// The tags that replace its own, and since when (nanoseconds, UTC).
    pub tags: Option<(Vec<String>, i64)>,
}

impl MarkState {
    /// Returns the marks that a checkpoint must repeat about a snapshot that it lists. What took
    /// another back is repeated too: that other may stand in a record that is not covered.
    pub fn repeated(&self, snapshot: SnapshotId) -> Vec<Mark> {
        let mark = |kind: MarkKind, since: i64, tags: &[String]| Mark {
            snapshot,
            kind: kind as u64,
            tags: tags.to_vec(),
            written: Some(since),
            ..Mark::default()
        };
        let mut marks = Vec::new();
        marks.extend(self.forgotten.map(|forgotten| mark(MarkKind::Forget, forgotten.since, &[])));
        marks.extend(self.unforgotten.map(|since| mark(MarkKind::Unforget, since, &[])));
        marks.extend(self.pinned.map(|since| mark(MarkKind::Pin, since, &[])));
        marks.extend(self.unpinned.map(|since| mark(MarkKind::Unpin, since, &[])));
        if let Some((tags, since)) = &self.tags {
            marks.push(mark(MarkKind::Tags, *since, tags));
        }
        marks
    }
}

/// What marks speak about; those of different matters do not meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Matter {
    Forgetting,
    Pinning,
    Tagging,
}

impl Matter {
    fn of(mark: &SaidMark) -> Matter {
        if mark.is(MarkKind::Forget) || mark.is(MarkKind::Unforget) {
            Matter::Forgetting
        } else if mark.is(MarkKind::Pin) || mark.is(MarkKind::Unpin) {
            Matter::Pinning
        } else {
            Matter::Tagging
        }
    }
}

impl MarkLog {
    /// Returns whether some marks meet, so that it matters who knew what.
    pub fn is_contested(&self) -> bool {
        self.groups().values().any(|group| meet(group))
    }

    /// Returns what holds about each snapshot that something was said about.
    pub fn states(&self) -> HashMap<SnapshotId, MarkState> {
        let groups = self.groups();
        let contested = groups.values().filter(|group| meet(group)).flatten();
        let mut knowledge = Knowledge::new(self, contested.map(|mark| mark.record).collect());
        let mut states: HashMap<SnapshotId, MarkState> = HashMap::new();
        for ((snapshot, matter), group) in &groups {
            let standing = knowledge.unbeaten(group);
            let state = states.entry(*snapshot).or_default();
            let latest = |kind: MarkKind| {
                standing.iter().filter(|mark| mark.is(kind)).map(|mark| mark.since()).max()
            };
            match matter {
                Matter::Forgetting => {
                    state.unforgotten = latest(MarkKind::Unforget);
                    if state.unforgotten.is_none() {
                        // Said once more, it does not begin anew.
                        let since = knowledge.first_forget(group);
                        state.forgotten = since.map(|since| Forgotten { since });
                    }
                }
                Matter::Pinning => {
                    state.pinned = latest(MarkKind::Pin);
                    state.unpinned =
                        if state.pinned.is_none() { latest(MarkKind::Unpin) } else { None };
                }
                Matter::Tagging => {
                    let since = latest(MarkKind::Tags);
                    state.tags = since.map(|since| (union(&standing), since));
                }
            }
        }
        states
    }

    /// Returns the marks that count, by what they are about.
    fn groups(&self) -> HashMap<(SnapshotId, Matter), Vec<&SaidMark>> {
        let is_replaced = |said: &SaidMark| {
            self.checkpoints.iter().any(|replaced| {
                replaced.records.contains(&said.record)
                    && replaced.snapshots.contains(&said.mark.snapshot)
            })
        };
        let mut groups: HashMap<(SnapshotId, Matter), Vec<&SaidMark>> = HashMap::new();
        for said in self.marks.iter().filter(|said| !is_replaced(said)) {
            groups.entry((said.mark.snapshot, Matter::of(said))).or_default().push(said);
        }
        groups
    }
}

/// Returns whether marks about one matter were said in different records.
fn meet(group: &[&SaidMark]) -> bool {
    group.windows(2).any(|pair| matches!(pair, [a, b] if a.record != b.record))
}

/// Returns all tags: as they were said if in one mark, else in ascending order.
fn union(standing: &[&SaidMark]) -> Vec<String> {
    match standing {
        [one] => one.mark.tags.clone(),
        many => {
            let all: BTreeSet<&String> = many.iter().flat_map(|said| &said.mark.tags).collect();
            all.into_iter().cloned().collect()
        }
    }
}

/// Which records a record's writer had read, for those for which it matters.
struct Knowledge<'a> {
    records: HashMap<ObjectHash, &'a RecordLink>,
    /// The record of a tip; `None` if several could be meant: too little is safe, too much is not.
    tips: HashMap<Tip, Option<ObjectHash>>,
    checkpoints: HashMap<ObjectHash, &'a HashSet<ObjectHash>>,
    contested: HashSet<ObjectHash>,
    /// The contested records that each of them covers, as far as it was asked.
    covered: HashMap<ObjectHash, HashSet<ObjectHash>>,
}

impl<'a> Knowledge<'a> {
    fn new(log: &'a MarkLog, contested: HashSet<ObjectHash>) -> Knowledge<'a> {
        let mut tips = HashMap::new();
        for link in &log.records {
            let Some(tip) = link.hash.0.first_chunk::<8>().map(|first| Tip(*first)) else {
                continue;
            };
            tips.entry(tip)
                .and_modify(|known: &mut Option<ObjectHash>| {
                    *known = known.filter(|hash| *hash == link.hash);
                })
                .or_insert(Some(link.hash));
        }
        let checkpoints = &log.checkpoints;
        Knowledge {
            records: log.records.iter().map(|link| (link.hash, link)).collect(),
            tips,
            checkpoints: checkpoints.iter().map(|one| (one.checkpoint, &one.records)).collect(),
            contested,
            covered: HashMap::new(),
        }
    }

    /// Returns the marks that no other of the group beats.
    fn unbeaten<'m>(&mut self, group: &[&'m SaidMark]) -> Vec<&'m SaidMark> {
        if !meet(group) {
            return group.to_vec();
        }
        let records: HashSet<ObjectHash> = group.iter().map(|said| said.record).collect();
        let mut beaten = HashSet::new();
        for record in &records {
            let covered = self.covered_by(*record);
            beaten.extend(covered.intersection(&records).copied());
        }
        group.iter().filter(|said| !beaten.contains(&said.record)).copied().collect()
    }

    /// Returns when the first forget was said that no unforget took back.
    fn first_forget(&mut self, group: &[&SaidMark]) -> Option<i64> {
        let mut taken_back = HashSet::new();
        for unforget in group.iter().filter(|said| said.is(MarkKind::Unforget)) {
            taken_back.extend(self.covered_by(unforget.record).iter().copied());
        }
        group
            .iter()
            .filter(|said| said.is(MarkKind::Forget) && !taken_back.contains(&said.record))
            .map(|said| said.since())
            .min()
    }

    /// Returns the contested records that a record's writer had read: from its own predecessor and
    /// the tips of its view on, along the chains, and what checkpoints among them name.
    fn covered_by(&mut self, record: ObjectHash) -> &HashSet<ObjectHash> {
        if !self.covered.contains_key(&record) {
            let covered = self.walk(record);
            self.covered.insert(record, covered);
        }
        self.covered.entry(record).or_default()
    }

    fn walk(&self, record: ObjectHash) -> HashSet<ObjectHash> {
        let mut covered = HashSet::new();
        let Some(link) = self.records.get(&record) else { return covered };
        let tips = link.view.iter().filter_map(|tip| self.tips.get(tip).copied().flatten());
        let starts = link.previous.into_iter().chain(tips);
        let mut seen = HashSet::new();
        for start in starts {
            let mut next = Some(start);
            while let Some(hash) = next.filter(|hash| seen.insert(*hash)) {
                if self.contested.contains(&hash) {
                    covered.insert(hash);
                }
                if let Some(named) = self.checkpoints.get(&hash) {
                    covered.extend(named.intersection(&self.contested).copied());
                }
                next = self.records.get(&hash).and_then(|link| link.previous);
            }
        }
        covered.remove(&record);
        covered
    }
}

#[cfg(test)]
mod tests;
