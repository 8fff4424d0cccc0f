//! Reading records and segments: nothing is believed before it is authenticated.

use bytes::Bytes;

use crate::codec::CodecError;
use crate::error::{Error, Kind, Result};
use crate::format::DecodeError;
use crate::format::object::{HEADER_LENGTH, ObjectKind};
use crate::format::pack::validate_units;
use crate::format::record::{Record, Segment};
use crate::id::ObjectHash;
use crate::repository::container::{OpenError, OpenedObject, open_ends, open_whole};
use crate::repository::{Repository, reader};
use crate::store::{ObjectName, RecordName};

/// What became of reading a record.
pub(super) enum ReadRecord {
    Whole(Record),
    /// The object is damaged, but the record's body is authentic.
    Salvaged(Record, Error),
    Foreign,
    /// It is not there (any more).
    Missing,
}

pub(super) fn missing_record(name: &ObjectName) -> Error {
    Error::damaged("record is missing:", name.to_string())
}

impl Repository {
    /// Reads one record, and checks that it is what its name says.
    pub fn load_record(&self, name: &RecordName) -> Result<Record> {
        match self.read_record(name)? {
            ReadRecord::Whole(record) => Ok(record),
            ReadRecord::Salvaged(_, error) => Err(error),
            ReadRecord::Missing => Err(missing_record(&ObjectName::Record(name.clone()))),
            ReadRecord::Foreign => {
                let object = ObjectName::Record(name.clone()).to_string();
                Err(Error::damaged("record belongs to another repository:", object))
            }
        }
    }

    /// Reads one record; what it says counts as far as its writer is trusted.
    pub(super) fn read_record(&self, name: &RecordName) -> Result<ReadRecord> {
        let bytes = self.store().get(&ObjectName::Record(name.clone()))?;
        self.open_record(name, bytes)
    }

    /// Opens what the store gave under a record's name; what it says counts as far as its writer is
    /// trusted.
    pub(super) fn open_record(
        &self,
        name: &RecordName,
        bytes: Option<Bytes>,
    ) -> Result<ReadRecord> {
        let read = self.open_whole_record(name, bytes)?;
        let Some(trust) = &self.trust else { return Ok(read) };
        Ok(match read {
            ReadRecord::Whole(record) => ReadRecord::Whole(trust.heed(name, record)),
            ReadRecord::Salvaged(record, error) => {
                ReadRecord::Salvaged(trust.heed(name, record), error)
            }
            other @ (ReadRecord::Foreign | ReadRecord::Missing) => other,
        })
    }

    fn open_whole_record(&self, name: &RecordName, bytes: Option<Bytes>) -> Result<ReadRecord> {
        let object = ObjectName::Record(name.clone());
        let Some(bytes) = bytes else { return Ok(ReadRecord::Missing) };
        let failure = match self.open_of_any_epoch(ObjectKind::Record, &object, &bytes)? {
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

    /// Opens an object. If its epoch is not known, the grants are read anew, once: another machine may
    /// have rotated the keys. If it is not known then either, this is no damage, but what the object
    /// says may be that something is about to be deleted: an error.
    fn open_of_any_epoch(
        &self,
        kind: ObjectKind,
        object: &ObjectName,
        bytes: &[u8],
    ) -> Result<Result<OpenedObject, OpenError>> {
        let open = || open_whole(self.keys(), kind, &object.hash(), bytes);
        match open() {
            Err(OpenError::Codec(CodecError::UnknownEpoch(_))) => {}
            other => return Ok(other),
        }
        self.renew_keys()?;
        match open() {
            Err(OpenError::Codec(error @ CodecError::UnknownEpoch(_))) => {
                Err(reader::left_out(object, error))
            }
            other => Ok(other),
        }
    }

    /// Reads one index segment, and checks that it is what its name says.
    pub fn load_segment(&self, hash: &ObjectHash) -> Result<Segment> {
        self.open_segment(hash, self.store().get(&ObjectName::Segment(*hash))?)
    }

    /// Opens what the store gave under a segment's name.
    pub(super) fn open_segment(&self, hash: &ObjectHash, bytes: Option<Bytes>) -> Result<Segment> {
        let object = ObjectName::Segment(*hash);
        let bytes = bytes.ok_or_else(|| {
            Error::damaged("index segment is missing:", object.to_string())
                .hint("`stash repair index` makes the index anew from the packs")
        })?;
        let opened = self
            .open_of_any_epoch(ObjectKind::Segment, &object, &bytes)?
            .map_err(|failure| reader::damaged(&object, &failure))?;
        Segment::decode(&opened.body).map_err(|error| reader::damaged(&object, &error.into()))
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
