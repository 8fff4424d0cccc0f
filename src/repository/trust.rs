//! Whose words count where writers may not delete (`format-spec/8-order.md`, rule 38).
//!
//! In an append-only repository whoever may delete takes orders only from its own lane and from those
//! that its user has named. Of other records all counts that protects, and nothing that takes away:
//! the places of blobs, snapshots, runs under way and tags stay, the rest is as if it was not said.
//!
//! Its own records a machine knows by their hashes, which it has noted before it published them. A
//! lane that is named is known by its id alone, and every machine holds the same keys: whoever can
//! write at all can write in its name.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::Repository;
use super::cache::SnapshotEntry;
use super::snapshots::SnapshotFilter;
use super::state::StateFolder;
use crate::error::Result;
use crate::format::record::{MarkKind, Record, Snapshot};
use crate::id::{LaneId, ObjectHash, SnapshotId};
use crate::store::RecordName;

/// Whose words count.
#[derive(Debug, Default)]
pub struct Trust {
    lanes: HashSet<LaneId>,
    own: HashSet<ObjectHash>,
    /// How many records of each lane said something that did not count.
    unheeded: Mutex<BTreeMap<LaneId, HashSet<ObjectHash>>>,
}

impl Trust {
    /// Trusts these lanes, and the machine's own records.
    pub fn new(lanes: HashSet<LaneId>, own: HashSet<ObjectHash>) -> Trust {
        Trust { lanes, own, unheeded: Mutex::default() }
    }

    /// Returns whether the words of a record count.
    pub fn heeds(&self, lane: &LaneId, record: &ObjectHash) -> bool {
        self.lanes.contains(lane) || self.own.contains(record)
    }

    /// Returns of which lanes something did not count, and in how many records.
    pub fn unheeded(&self) -> Vec<(LaneId, u64)> {
        let unheeded = self.unheeded.lock().unwrap_or_else(PoisonError::into_inner);
        unheeded.iter().map(|(lane, records)| (*lane, records.len() as u64)).collect()
    }

    /// Returns what counts of a record.
    pub(super) fn heed(&self, name: &RecordName, record: Record) -> Record {
        if self.heeds(&record.lane, &name.hash) || !takes_away(&record) {
            return record;
        }
        let mut unheeded = self.unheeded.lock().unwrap_or_else(PoisonError::into_inner);
        unheeded.entry(record.lane).or_default().insert(name.hash);
        let mut marks = record.marks;
        marks.retain(|mark| mark.kind == MarkKind::Tags as u64);
        Record { marks, condemn: None, sweep: None, checkpoint: None, heal: None, ..record }
    }
}

impl Repository {
    /// Returns whose words count for a deletion: this machine's own, and those of the lanes that are
    /// named. `None`, where writers may delete: everybody's.
    pub fn trust(&self, named: Option<&HashSet<LaneId>>) -> Option<Arc<Trust>> {
        let own = || self.state().map(StateFolder::own_words).unwrap_or_default();
        self.is_append_only()
            .then(|| Arc::new(Trust::new(named.cloned().unwrap_or_default(), own())))
    }

    /// Returns the snapshots that only strangers asked to forget, each with the machine, or the lane,
    /// that did. They are forgotten for whoever writes, who must not rely on them, and for nobody who
    /// deletes.
    pub fn asked_in_vain(&self) -> Result<HashMap<SnapshotId, String>> {
        let mut asked = HashMap::new();
        let Some(trust) = self.trust(None) else { return Ok(asked) };
        let cache = self.cache();
        let heeded = cache.heeded_mark_states(&trust)?;
        let is_heeded =
            |id: &SnapshotId| heeded.get(id).is_some_and(|state| state.forgotten.is_some());
        let hosts = self.lane_hosts()?;
        let forgets = cache.forgets()?;
        for (id, state) in cache.mark_states()? {
            if state.forgotten.is_none() || is_heeded(&id) {
                continue;
            }
            let mut names = Vec::new();
            for record in forgets.get(&id).into_iter().flatten() {
                if let Some(lane) = cache.lane_of(record)? {
                    names.push(hosts.get(&lane).cloned().unwrap_or_else(|| lane.short()));
                }
            }
            names.sort_unstable();
            names.dedup();
            asked.insert(id, names.join(", "));
        }
        Ok(asked)
    }

    /// Returns the heads of the snapshots that match and that nobody forgot whose words count, in ascending order
    /// of time.
    pub fn standing_snapshots(&self, filter: &SnapshotFilter) -> Result<Vec<SnapshotEntry>> {
        let asked = self.asked_in_vain()?;
        let mut entries = self.cached_heads()?;
        entries.retain(|entry| {
            (entry.forgotten.is_none() || asked.contains_key(&entry.id)) && filter.matches(entry)
        });
        for entry in &mut entries {
            entry.forgotten = None;
        }
        Ok(entries)
    }

    /// Returns under which name each lane has saved something last, as far as that is known here. A
    /// name is what its writer says.
    pub fn lane_hosts(&self) -> Result<BTreeMap<LaneId, String>> {
        let mut hosts = BTreeMap::new();
        let entries = self.cached_heads()?;
        let records: HashMap<SnapshotId, Option<ObjectHash>> =
            self.cache().snapshot_records()?.into_iter().collect();
        for entry in entries {
            if let Some(record) = records.get(&entry.id).copied().flatten()
                && let Some(lane) = self.cache().lane_of(&record)?
            {
                hosts.insert(lane, entry.snapshot.host);
            }
        }
        // What a checkpoint replaces is not read; the newest record of each lane is always there.
        for name in self.newest_records() {
            if let Entry::Vacant(place) = hosts.entry(name.lane)
                && let Ok(record) = self.load_record(&name)
                && let Some(Ok(snapshot)) = record.snapshot.map(|bytes| Snapshot::decode(&bytes))
            {
                place.insert(snapshot.host);
            }
        }
        Ok(hosts)
    }

    /// Returns the newest record of each lane, as the last listing showed them.
    fn newest_records(&self) -> Vec<RecordName> {
        let mut newest: BTreeMap<LaneId, RecordName> = BTreeMap::new();
        for name in self.heads().iter() {
            let known = newest.entry(name.lane).or_insert_with(|| name.clone());
            if name.sequence > known.sequence {
                *known = name.clone();
            }
        }
        newest.into_values().collect()
    }
}

/// Returns whether a record says something by which less is kept, or that could take such a word
/// back.
pub(super) fn takes_away(record: &Record) -> bool {
    record.condemn.is_some()
        || record.sweep.is_some()
        || record.checkpoint.is_some()
        || record.heal.is_some()
        || record.marks.iter().any(|mark| mark.kind != MarkKind::Tags as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::cbor::{Bytes, Ids};
    use crate::format::record::{Checkpoint, Condemn, Heal, Mark, ObjectUnits, Partial, Sweep};

    fn said(lane: u8) -> (RecordName, Record) {
        let mark = |kind: MarkKind| Mark { kind: kind as u64, ..Mark::default() };
        let record = Record {
            lane: LaneId([lane; 16]),
            sequence: 1,
            snapshot: Some(Bytes::from(vec![1])),
            partial: Some(Partial::default()),
            entries: vec![ObjectUnits::default()],
            marks: vec![mark(MarkKind::Forget), mark(MarkKind::Tags), mark(MarkKind::Unpin)],
            condemn: Some(Condemn {
                objects: Ids(vec![ObjectHash([1; 32])]),
                ..Condemn::default()
            }),
            sweep: Some(Sweep::default()),
            checkpoint: Some(Checkpoint::default()),
            heal: Some(Heal::default()),
            ..Record::default()
        };
        let name = RecordName {
            global: true,
            lane: record.lane,
            sequence: 1,
            kind: "checkpoint".into(),
            hash: ObjectHash([lane; 32]),
        };
        (name, record)
    }

    #[test]
    fn of_a_stranger_only_what_protects_counts() {
        let trust = Trust::new([LaneId([1; 16])].into(), [ObjectHash([2; 32])].into());
        for lane in [1, 2] {
            let (name, record) = said(lane);
            assert_eq!(trust.heed(&name, record.clone()), record);
        }
        // Another record in the lane of one that is known by its hash.
        let (mut name, record) = said(2);
        name.hash = ObjectHash([9; 32]);
        assert_ne!(trust.heed(&name, record.clone()), record);
        let (name, record) = said(3);
        let expected = Record {
            marks: vec![record.marks[1].clone()],
            condemn: None,
            sweep: None,
            checkpoint: None,
            heal: None,
            ..record.clone()
        };
        assert_eq!(trust.heed(&name, record.clone()), expected);
        // Read again, it is the same record.
        trust.heed(&name, record);
        assert_eq!(trust.unheeded(), [(LaneId([2; 16]), 1), (LaneId([3; 16]), 1)]);
    }
}
