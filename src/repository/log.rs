//! Records: what others did, and what this machine commits (`format-spec/8-order.md`).
//!
//! The only place that reasons about other writers. [`Repository::sync`] lists the log and applies
//! what is new to the cache; [`Repository::append`] publishes one record, which is the commit. A
//! record may name packs only by [`Durable`] proofs: what would publish too early does not compile.

use std::collections::{HashMap, HashSet};

use super::cache::{self, Cache};
use super::container::{OpenError, OpenedObject, Padding, PlainUnit, open_ends, open_whole, seal};
use super::packer::verify;
use super::state::LaneState;
use super::{Repository, reader};
use crate::codec::CodecError;
use crate::codec::crypto::random_bytes;
use crate::error::{Error, Kind, Result};
use crate::format::DecodeError;
use crate::format::cbor::{self, Ids};
use crate::format::object::{HEADER_LENGTH, ObjectKind};
use crate::format::pack::validate_units;
use crate::format::record::{Heal, Mark, ObjectUnits, Open, Partial, Record, Snapshot};
use crate::id::{LaneId, ObjectHash, SnapshotId, Tip};
use crate::store::{Durable, ObjectName, Prefix, RecordName};
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
    /// What became of another record.
    pub heal: Option<Heal>,
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
    /// Records that are whole, but sealed under another repository's keys.
    pub foreign: Vec<ObjectName>,
}

/// What became of reading a record.
enum ReadRecord {
    Whole(Record),
    /// The object is damaged, but the record's body is authentic.
    Salvaged(Record, Error),
    Foreign,
}

impl Repository {
    /// Lists the log and applies every record that is new. A record that can't be read is
    /// reported and skipped; what only it says is then stored again by the next backup.
    pub fn sync(&self) -> Result<SyncReport> {
        self.sync_with(|_, _| {})
    }

    /// The same; `visit` is shown each record that is new, and again if the cache is made anew.
    pub fn sync_with(&self, mut visit: impl FnMut(&RecordName, &Record)) -> Result<SyncReport> {
        match self.sync_once(&mut visit) {
            Err(error) if cache::is_damage(&error) => {
                self.cache().renew()?;
                self.sync_once(&mut visit)
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

    fn sync_once(&self, visit: &mut dyn FnMut(&RecordName, &Record)) -> Result<SyncReport> {
        let listed: Vec<RecordName> = self
            .store()
            .list(Prefix::Log)?
            .into_iter()
            .filter_map(|row| match row.name {
                ObjectName::Record(name) => Some(name),
                _ => None,
            })
            .collect();
        let mut known = self.cache().records()?;
        let names: HashSet<ObjectHash> = listed.iter().map(|name| name.hash).collect();
        if !known.is_subset(&names) {
            // The cache is a function of the log. The log lost something, so the cache does too.
            self.cache().clear()?;
            known.clear();
        }
        let mut report = SyncReport::default();
        for name in listed.iter().filter(|name| !known.contains(&name.hash)) {
            match self.read_record(name) {
                Ok(ReadRecord::Foreign) => report.foreign.push(ObjectName::Record(name.clone())),
                Ok(ReadRecord::Whole(record)) => {
                    visit(name, &record);
                    self.apply(name, &record)?;
                    report.applied_records = report.applied_records.saturating_add(1);
                }
                Ok(ReadRecord::Salvaged(record, error)) => {
                    visit(name, &record);
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
        }
        *self.heads() = listed;
        Ok(report)
    }

    /// Applies the whole log anew. What the cache knew from records that can't be read any more is
    /// thereby forgotten.
    pub fn resync(&self) -> Result<SyncReport> {
        self.cache().clear()?;
        self.sync()
    }

    /// Reads one record, and checks that it is what its name says.
    pub fn load_record(&self, name: &RecordName) -> Result<Record> {
        match self.read_record(name)? {
            ReadRecord::Whole(record) => Ok(record),
            ReadRecord::Salvaged(_, error) => Err(error),
            ReadRecord::Foreign => {
                let object = ObjectName::Record(name.clone()).to_string();
                Err(Error::damaged("record belongs to another repository:", object))
            }
        }
    }

    fn read_record(&self, name: &RecordName) -> Result<ReadRecord> {
        let object = ObjectName::Record(name.clone());
        let bytes = self
            .store()
            .get(&object)?
            .ok_or_else(|| Error::damaged("record is missing:", object.to_string()))?;
        let failure = match open_whole(self.keys(), ObjectKind::Record, &name.hash, &bytes) {
            Ok(opened) => {
                return decode_record(name, &opened, bytes.len()).map(ReadRecord::Whole);
            }
            Err(failure) => failure,
        };
        match failure {
            // The bytes are what the name says, so this is no damage.
            OpenError::Codec(CodecError::WrongKey) => Ok(ReadRecord::Foreign),
            OpenError::Decode(error @ (DecodeError::Version(_) | DecodeError::Features(_))) => {
                Err(Error::new(Kind::NoRepository, "cannot read record")
                    .object(object.to_string())
                    .source(error)
                    .hint("a newer stash wrote it, and is needed here; nothing was changed"))
            }
            failure => {
                let error = reader::damaged(&object, &failure);
                // Header, body and trailer are authentic on their own: then the damage lies in the
                // units, each of which is authenticated when it is read.
                let tail = bytes.get(HEADER_LENGTH..).unwrap_or_default();
                let salvaged = open_ends(self.keys(), ObjectKind::Record, &bytes, tail)
                    .ok()
                    .and_then(std::result::Result::ok)
                    .and_then(|opened| decode_record(name, &opened, bytes.len()).ok());
                match salvaged {
                    Some(record) => Ok(ReadRecord::Salvaged(record, error)),
                    None => Err(error),
                }
            }
        }
    }

    fn apply(&self, name: &RecordName, record: &Record) -> Result<()> {
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

    /// Publishes a record. When this returns, it is durable, and so is all that it refers to.
    pub fn append(&self, parts: RecordParts, now: Timestamp) -> Result<Committed> {
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
        let record = Record {
            lane: lane.lane,
            sequence: lane.sequence.saturating_add(1),
            previous: (!lane_is_new).then_some(lane.tip),
            written,
            view: Ids(self.view()?),
            open: lane_is_new
                .then(|| Open { program: env!("CARGO_PKG_VERSION").to_owned(), ..Open::default() }),
            snapshot,
            partial: parts.partial,
            entries: parts.packs.into_iter().map(Durable::into_inner).collect(),
            marks: parts.marks,
            heal: parts.heal,
            ..Record::default()
        };
        let (name, record, stored_bytes) = self.put_record(record, parts.inline)?;
        self.apply(&name, &record)?;
        lane.sequence = record.sequence;
        lane.tip = name.hash;
        lane.written = written;
        self.heads().push(name.clone());
        if let Some(state) = self.state() {
            state.save_lane(&lane)?;
            state.clear_journals();
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
        self.store().put(ObjectName::Record(name.clone()), &object.parts)?;
        Ok((name, record, object.length))
    }

    /// Returns the record that this machine remembers writing last, if the log no longer has it:
    /// then the store was set back, or lost something.
    pub fn lost_tip(&self) -> Option<LaneState> {
        let remembered = self.state().and_then(super::state::StateFolder::lane)?;
        let is_listed = self.heads().iter().any(|name| name.hash == remembered.tip);
        (!is_listed).then_some(remembered)
    }

    /// Returns the lane to go on with: the remembered one if the log shows it as it was left, else
    /// a new one. A clone or a restored home thereby never continues another's chain for long.
    fn lane_to_continue(&self) -> Result<LaneState> {
        let remembered =
            self.lane().or_else(|| self.state().and_then(super::state::StateFolder::lane));
        if let Some(lane) = remembered {
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

    /// Returns the tips of `log/g` that have been read and applied: of each lane the newest there,
    /// and of one that forked the newest of each branch. A record that is listed but can't be read
    /// must not be claimed: it may condemn something.
    fn view(&self) -> Result<Vec<Tip>> {
        let applied = self.cache().records()?;
        let heads = self.heads();
        let known = || heads.iter().filter(|name| applied.contains(&name.hash));
        let mut places = HashSet::new();
        let twice = known().filter(|name| !places.insert((name.lane, name.sequence)));
        let forked: HashSet<LaneId> = twice.map(|name| name.lane).collect();
        let mut newest = std::collections::BTreeMap::<LaneId, u64>::new();
        for name in known().filter(|name| name.global) {
            let sequence = newest.entry(name.lane).or_default();
            *sequence = name.sequence.max(*sequence);
        }
        let passed = if forked.is_empty() { HashSet::new() } else { self.passed(&forked)? };
        Ok(known()
            .filter(|name| name.global)
            .filter(|name| {
                if forked.contains(&name.lane) {
                    !passed.contains(&name.hash)
                } else {
                    newest.get(&name.lane) == Some(&name.sequence)
                }
            })
            .filter_map(|name| name.hash.0.first_chunk::<8>().copied().map(Tip))
            .collect())
    }

    /// Returns the records of these lanes that a later one of `log/g` is reached from.
    fn passed(&self, lanes: &HashSet<LaneId>) -> Result<HashSet<ObjectHash>> {
        let links = self.cache().links()?;
        let previous: HashMap<ObjectHash, Option<ObjectHash>> =
            links.iter().map(|link| (link.hash, link.previous)).collect();
        let before = |hash: ObjectHash| previous.get(&hash).copied().flatten();
        let mut passed = HashSet::new();
        for link in links.iter().filter(|link| link.is_global && lanes.contains(&link.lane)) {
            let mut next = link.previous;
            while let Some(hash) = next.filter(|hash| passed.insert(*hash)) {
                next = before(hash);
            }
        }
        Ok(passed)
    }
}

/// Decodes a record from its object, and checks that it is the one that its name says.
fn decode_record(name: &RecordName, opened: &OpenedObject, length: usize) -> Result<Record> {
    let object = ObjectName::Record(name.clone());
    let damaged = |error: DecodeError| reader::damaged(&object, &error.into());
    let record = Record::decode(&opened.body).map_err(damaged)?;
    validate_units(&record.inline, length as u64, opened.tail_length).map_err(damaged)?;
    let (kind, global) = record.kind_name();
    let fits = record.lane == name.lane
        && record.sequence == name.sequence
        && kind == name.kind
        && global == name.global;
    if fits {
        Ok(record)
    } else {
        Err(Error::damaged("record lies under another's name:", object.to_string()))
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
}
