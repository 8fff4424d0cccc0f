//! Records: what others did, and what this machine commits (`format-spec/8-order.md`).
//!
//! The only place that reasons about other writers. [`Repository::sync`] lists the log and applies
//! what is new to the cache; [`Repository::append`] publishes one record, which is the commit. A
//! record may name packs only by [`Durable`] proofs: what would publish too early does not compile.

mod order;
mod read;
mod sweep;
mod sync;

pub use order::{Order, tip_of};
pub use sync::Scope;

use super::Repository;
use super::container::{Padding, PlainUnit, seal};
use super::packer::verify;
use super::state::LaneState;
use super::trust::takes_away;
use crate::codec::crypto::random_bytes;
use crate::error::{Error, Result};
use crate::format::cbor::{self, Ids};
use crate::format::object::ObjectKind;
use crate::format::record::{
    Checkpoint, Condemn, Heal, Mark, MarkKind, ObjectUnits, Open, Partial, Record, Segment,
    Snapshot, Sweep,
};
use crate::id::{LaneId, ObjectHash, SnapshotId, Tip};
use crate::store::{Durable, ObjectName, RecordName};
use crate::time::Timestamp;

/// What a record is to say. Parts may ride together.
#[derive(Default)]
pub struct RecordParts {
    /// A snapshot; its `written` is filled in.
    pub snapshot: Option<Snapshot>,
    /// A run that goes on.
    pub partial: Option<Partial>,
    /// Packs whose blobs the record publishes.
    pub packs: Vec<Durable<ObjectUnits>>,
    /// Units that lie in the record itself.
    pub inline: Vec<PlainUnit>,
    /// Words about snapshots.
    pub marks: Vec<Mark>,
    /// Whether the snapshot is pinned from the start. Its id is known only when the record is made.
    pub pinned: bool,
    /// What became of another record.
    pub heal: Option<Heal>,
    /// Objects that nobody needs.
    pub condemn: Option<Condemn>,
    /// Objects that are about to be deleted.
    pub sweep: Option<Sweep>,
    /// What replaces older records.
    pub checkpoint: Option<Checkpoint>,
    /// Whether it opens an epoch: then all who write read it.
    pub opens: bool,
    /// What the writer had read when it decided, where that is more than `log/g`, or older than the
    /// last sync.
    pub view: Option<Vec<Tip>>,
}

/// What a sync comes upon.
#[derive(Debug, Clone, Copy)]
pub enum LogEntry<'a> {
    /// A record.
    Record(&'a RecordName, &'a Record),
    /// A record of `log/g` that a checkpoint replaces: only what it says about the fates of objects
    /// still counts.
    Replaced(&'a RecordName, &'a Record),
    /// A segment, which stands for records that were not read.
    Segment(&'a ObjectHash, &'a Segment),
}

/// What was committed.
#[derive(Debug, Clone)]
pub struct Committed {
    /// The record.
    pub record: ObjectName,
    /// The snapshot, if the record held one.
    pub snapshot: Option<SnapshotId>,
    /// The record's length in bytes.
    pub stored_bytes: u64,
}

/// A record that can't be read.
#[derive(Debug)]
pub struct DamagedRecord {
    /// Its name.
    pub name: ObjectName,
    /// Why.
    pub error: Error,
}

/// What a sync found.
#[derive(Debug, Default)]
pub struct SyncReport {
    /// Records that were new.
    pub applied_records: u64,
    /// Records that can't be read; the rest was applied all the same.
    pub damaged: Vec<DamagedRecord>,
    /// Records that are damaged, but whose words can be read: they were applied. What lies in them
    /// beside the words is distrusted.
    pub salvaged: Vec<DamagedRecord>,
    /// Checkpoints of which a segment is missing or damaged: they replace nothing, and part of what
    /// the repository holds may not be known.
    pub unsupported: Vec<DamagedRecord>,
    /// Records that are whole, but sealed under another repository's keys.
    pub foreign: Vec<ObjectName>,
}

impl Repository {
    /// Publishes a record. When this returns, it is durable, and so is all that it refers to.
    pub fn append(&self, parts: RecordParts, now: Timestamp) -> Result<Committed> {
        self.refuse_unsealable()?;
        if parts.snapshot.as_ref().is_some_and(Snapshot::is_head) {
            return Err(Error::failed(
                "a snapshot without its content was to be saved; please report this",
            ));
        }
        let ends_run = parts.snapshot.is_some() || parts.partial.is_some();
        let mut lane = self.lane_to_continue()?;
        let lane_is_new = lane.sequence == 0;
        let written = now.0.max(lane.written);
        let mut snapshot_id = None;
        let snapshot = parts.snapshot.map(|mut snapshot| {
            snapshot.written = written;
            let bytes = cbor::encode(&snapshot);
            snapshot_id = Some(self.keys().snapshot_id(&bytes));
            bytes.into()
        });
        let mut marks = parts.marks;
        let pin = |snapshot| Mark { snapshot, kind: MarkKind::Pin as u64, ..Mark::default() };
        marks.extend(snapshot_id.filter(|_| parts.pinned).map(pin));
        let record = Record {
            lane: lane.lane,
            sequence: lane.sequence.saturating_add(1),
            previous: (!lane_is_new).then_some(lane.tip),
            written,
            view: Ids(match parts.view {
                Some(view) => view,
                None => self.view()?,
            }),
            open: (lane_is_new || parts.opens)
                .then(|| Open { program: env!("CARGO_PKG_VERSION").to_owned(), ..Open::default() }),
            snapshot,
            partial: parts.partial,
            entries: parts.packs.into_iter().map(Durable::into_inner).collect(),
            marks,
            heal: parts.heal,
            condemn: parts.condemn,
            sweep: parts.sweep,
            checkpoint: parts.checkpoint,
            ..Record::default()
        };
        let (name, record, stored_bytes) = self.put_record(record, parts.inline)?;
        self.apply(&name, &record)?;
        if record.checkpoint.is_some() {
            self.cache().drop_dead_snapshots()?;
        }
        lane.sequence = record.sequence;
        lane.tip = name.hash;
        lane.written = written;
        self.heads().push(name.clone());
        if let Some(state) = self.state() {
            state.save_lane(&lane)?;
            if ends_run {
                state.clear_journals();
            }
        }
        *self.lane() = Some(lane);
        Ok(Committed { record: ObjectName::Record(name), snapshot: snapshot_id, stored_bytes })
    }

    fn put_record(
        &self,
        mut record: Record,
        inline: Vec<PlainUnit>,
    ) -> Result<(RecordName, Record, u64)> {
        let context = record.lane.0;
        let sequence = record.sequence.to_le_bytes();
        let object = seal(
            self.keys(),
            ObjectKind::Record,
            &[&context, &sequence],
            inline,
            Padding::Blocks,
            |units| {
                record.inline = units.to_vec();
                cbor::encode(&record)
            },
        )
        .map_err(|error| Error::failed("cannot seal a record").source(error))?;
        verify(self.keys(), &object)?;
        let (kind, global) = record.kind_name();
        let name = RecordName {
            global,
            lane: record.lane,
            sequence: record.sequence,
            kind: kind.to_owned(),
            hash: object.hash,
        };
        if let (true, Some(state)) = (self.is_append_only() && takes_away(&record), self.state()) {
            state.note_words(&name.hash)?;
        }
        self.store().put(ObjectName::Record(name.clone()), &object.parts)?;
        Ok((name, record, object.length))
    }

    /// Returns the record that this machine remembers writing last, if the log no longer has it:
    /// then the store was set back, or lost something.
    pub fn lost_tip(&self) -> Option<LaneState> {
        let remembered = self.state().and_then(super::state::StateFolder::lane)?;
        // A clone of this machine may have gone on from there; then the tip is no lane's newest
        // record, and once a checkpoint covers it, it may be deleted.
        let is_listed = self.heads().iter().any(|name| {
            name.hash == remembered.tip
                || (name.lane == remembered.lane && name.sequence > remembered.sequence)
        });
        let is_known = is_listed || self.cache().covers(&remembered.tip).unwrap_or(false);
        (!is_known).then_some(remembered)
    }

    pub(super) fn remembered_lane(&self) -> Option<LaneState> {
        self.lane().or_else(|| self.state().and_then(super::state::StateFolder::lane))
    }

    /// Returns the lane that this machine wrote last.
    pub fn own_lane(&self) -> Option<LaneId> {
        self.remembered_lane().map(|lane| lane.lane)
    }

    /// Returns the lane to go on with: the remembered one if the log shows it as it was left, else
    /// a new one. A clone or a restored home thereby never continues another's chain for long.
    fn lane_to_continue(&self) -> Result<LaneState> {
        if let Some(lane) = self.remembered_lane() {
            let heads = self.heads();
            let newest = heads.iter().filter(|name| name.lane == lane.lane);
            let mut tips = newest.filter(|name| name.sequence >= lane.sequence);
            if tips.next().is_some_and(|tip| tip.hash == lane.tip) && tips.next().is_none() {
                return Ok(lane);
            }
        }
        let id = random_bytes::<16>()
            .map_err(|error| Error::failed("cannot start a lane").source(error))?;
        Ok(LaneState { lane: LaneId(id), sequence: 0, tip: ObjectHash::default(), written: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::crypto::{Key, SlotSecret, object_hash};
    use crate::repository::{InitOptions, LocalFolders};
    use crate::store::Store;

    /// What a view claims protects nothing any more: claiming a record that was not read would
    /// hide a condemnation.
    #[test]
    fn a_view_does_not_claim_records_that_cannot_be_read() {
        let store = Store::memory();
        let secret = SlotSecret::Device(Key([7; 32]));
        let repository = Repository::init(
            &store,
            &InitOptions::default(),
            &[(secret, String::new())],
            Timestamp(5),
            &LocalFolders::default(),
        )
        .unwrap();
        repository.append(RecordParts::default(), Timestamp(5)).unwrap();
        let own = repository.view().unwrap();
        assert_eq!(own.len(), 1);
        let bytes = b"not a record";
        let damaged = RecordName {
            global: true,
            lane: LaneId([9; 16]),
            sequence: 1,
            kind: "condemn".into(),
            hash: object_hash(bytes),
        };
        store.put(ObjectName::Record(damaged), &[bytes.as_slice().into()]).unwrap();
        assert_eq!(repository.sync().unwrap().damaged.len(), 1);
        assert_eq!(repository.view().unwrap(), own);
    }

    /// What it says may be that something is about to be deleted: going on would rely on that.
    #[test]
    fn a_record_of_an_epoch_that_this_key_does_not_hold_stops_the_reader() {
        let store = Store::memory();
        let secret = SlotSecret::Device(Key([7; 32]));
        let repository = Repository::init(
            &store,
            &InitOptions::default(),
            &[(secret, String::new())],
            Timestamp(5),
            &LocalFolders::default(),
        )
        .unwrap();
        let own = repository.append(RecordParts::default(), Timestamp(5)).unwrap();
        let mut bytes = store.get(&own.record).unwrap().unwrap().to_vec();
        bytes[12] = 9;
        let later = RecordName {
            global: true,
            lane: LaneId([9; 16]),
            sequence: 1,
            kind: "condemn".into(),
            hash: object_hash(&bytes),
        };
        store.put(ObjectName::Record(later), &[bytes.into()]).unwrap();
        let error = repository.sync().unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::WrongPassphrase);
        assert!(error.to_string().contains("key epoch 9"), "{error}");
    }
}
