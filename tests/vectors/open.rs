//! Opens whole sealed objects as page 1 says, step by step: the reader that vectors and fuzz
//! targets are judged by. The program's own way of opening must agree with it.

use stash::codec::crypto::{MasterKeys, RepositoryKeys, Role};
use stash::codec::{CodecError, UnitDecoder};
use stash::format::cbor;
use stash::format::object::{
    FOOTER_NUMBER, HEADER_LENGTH, ObjectHeader, ObjectKind, TRAILER_LENGTH, TRAILER_NUMBER,
    decode_footer, decode_trailer,
};
use stash::format::pack::{PackTable, UnitEntry, validate_units};
use stash::format::record::{Record, Segment};
use stash::format::{DecodeError, LIMITS};
use stash::id::{BlobId, RepositoryId};
use stash::repository::container::{self, OpenError};

/// Why bytes were refused: the word of `format-spec/README.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure(pub &'static str);

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        Failure(match error {
            DecodeError::Cut => "cut",
            DecodeError::TrailingBytes => "trailing-bytes",
            DecodeError::NotCanonical => "not-canonical",
            DecodeError::TooDeep { .. } => "too-deep",
            DecodeError::TooLong { .. } => "too-long",
            DecodeError::BadName => "bad-name",
            DecodeError::Order => "order",
            DecodeError::Inconsistent(_) => "inconsistent",
            DecodeError::Unknown(_) => "unknown",
            DecodeError::BadMagic => "bad-magic",
            DecodeError::Version(_) => "version",
            DecodeError::Features(_) => "features",
            DecodeError::Malformed(_) => "malformed",
        })
    }
}

impl From<CodecError> for Failure {
    fn from(error: CodecError) -> Self {
        Failure(match error {
            CodecError::BadTag => "bad-tag",
            CodecError::WrongKey => "wrong-key",
            CodecError::UnknownEpoch(_) => "unknown-epoch",
            CodecError::BadFrame => "bad-frame",
            CodecError::BadPatch => "bad-patch",
            CodecError::WrongContent => "wrong-content",
            CodecError::TooLong => "too-long",
            CodecError::NoRandomness => "no-randomness",
            CodecError::EpochsApart => "epochs-apart",
            CodecError::EpochsBehind => "epochs-behind",
        })
    }
}

/// The keys of the repository that all vectors belong to.
pub fn vector_keys() -> RepositoryKeys {
    RepositoryKeys::derive(&vector_master(), &RepositoryId([3; 16]))
}

/// Its secrets.
pub fn vector_master() -> MasterKeys {
    MasterKeys::from_parts([1; 32], [2; 32])
}

/// What a sealed object's body is.
#[derive(Debug)]
pub enum Body {
    /// A pack's table.
    Pack(PackTable),
    /// A record.
    Record(Box<Record>),
    /// An index segment.
    Segment(Segment),
}

/// Opens an object, here and by the program; both must come to the same.
pub fn open_object(
    bytes: &[u8],
    kind: ObjectKind,
    keys: &RepositoryKeys,
) -> Result<(Body, Vec<BlobId>), Failure> {
    let opened = open_by_the_page(bytes, kind, keys);
    let by_the_program = open_by_the_program(bytes, kind, keys);
    match (&opened, &by_the_program) {
        (Err(failure), Err(other)) => assert_eq!(failure, other),
        (Ok(_), outcome) => assert_eq!(*outcome, Ok(())),
        // Units are read one by one there, when they are needed.
        (Err(failure), Ok(())) => {
            let of_units = ["bad-tag", "bad-frame", "wrong-content"];
            assert!(of_units.contains(&failure.0), "{failure:?}");
        }
    }
    opened
}

/// Header, trailer, footer and table, as the program reads them.
fn open_by_the_program(
    bytes: &[u8],
    kind: ObjectKind,
    keys: &RepositoryKeys,
) -> Result<(), Failure> {
    let failure = |error: OpenError| match error {
        OpenError::WrongHash => Failure("wrong-hash"),
        OpenError::Codec(error) => error.into(),
        OpenError::Decode(error) => error.into(),
    };
    let hash = stash::codec::crypto::object_hash(bytes);
    let opened = container::open_whole(keys, kind, &hash, bytes).map_err(failure)?;
    let length = bytes.len() as u64;
    match kind {
        ObjectKind::Pack => drop(container::pack_table(&opened, length)?),
        ObjectKind::Record => {
            let record = Record::decode(&opened.body)?;
            validate_units(&record.inline, length, opened.tail_length)?;
        }
        _ => {
            Segment::decode(&opened.body)?;
            validate_units(&[], length, opened.tail_length)?;
        }
    }
    Ok(())
}

/// Opens an object from its end; returns its body and the blobs of all units without a base, which
/// were checked against their ids.
fn open_by_the_page(
    bytes: &[u8],
    kind: ObjectKind,
    keys: &RepositoryKeys,
) -> Result<(Body, Vec<BlobId>), Failure> {
    if bytes.len() > LIMITS.object {
        return Err(Failure("too-long"));
    }
    let header = ObjectHeader::decode(bytes, kind)?;
    let sealer = keys.open_object(header)?;
    let rest = bytes.get(HEADER_LENGTH..).unwrap_or_default();
    let trailer_start = rest.len().checked_sub(TRAILER_LENGTH).ok_or(DecodeError::Cut)?;
    let (rest, trailer) = rest.split_at(trailer_start);
    let mut trailer = trailer.to_vec();
    let footer_length =
        decode_trailer(sealer.open(Role::Trailer, TRAILER_NUMBER, &mut trailer)?)?;
    let footer_start = rest.len().checked_sub(footer_length).ok_or(DecodeError::Cut)?;
    let (mut units_area, footer) = rest.split_at(footer_start);
    let mut footer = footer.to_vec();
    let footer = decode_footer(sealer.open(Role::Footer, FOOTER_NUMBER, &mut footer)?)?;
    let mut decoder = UnitDecoder::new()?;
    let mut unpacked = Vec::new();
    let body = if footer.form == 1 {
        decoder.decode_zstd(footer.payload, footer.raw_length, &mut unpacked)?;
        unpacked.as_slice()
    } else {
        footer.payload
    };
    let body = match kind {
        ObjectKind::Pack => Body::Pack(cbor::decode(body)?),
        ObjectKind::Record => Body::Record(Box::new(Record::decode(body)?)),
        ObjectKind::Segment => Body::Segment(Segment::decode(body)?),
        ObjectKind::Repository | ObjectKind::KeySlot | ObjectKind::Grant => {
            return Err(Failure("bad-magic"));
        }
    };
    let units: &[UnitEntry] = match &body {
        Body::Pack(table) => &table.units,
        Body::Record(record) => &record.inline,
        Body::Segment(_) => &[],
    };
    let tail = (footer_length + TRAILER_LENGTH) as u64;
    validate_units(units, bytes.len() as u64, tail)?;
    let mut ids = Vec::new();
    for (number, unit) in units.iter().enumerate() {
        let length = usize::try_from(unit.stored_length).map_err(|_| DecodeError::Cut)?;
        let (stored, after) = units_area.split_at_checked(length).ok_or(DecodeError::Cut)?;
        units_area = after;
        let mut stored = stored.to_vec();
        let number = u32::try_from(number).map_err(|_| Failure("too-long"))?;
        let payload = sealer.open(Role::Unit(unit.blob_kind()?), number, &mut stored)?;
        let form = unit.unit_form()?;
        if form.has_base() {
            continue;
        }
        let mut plain = Vec::new();
        let raw_length = usize::try_from(unit.raw_length()).map_err(|_| Failure("too-long"))?;
        decoder.decode(form, payload, raw_length, None, &mut plain)?;
        let mut left = plain.as_slice();
        for (id, &length) in unit.blobs.iter().zip(&unit.raw_lengths) {
            let length = usize::try_from(length).map_err(|_| Failure("too-long"))?;
            let (blob, after) = left.split_at_checked(length).ok_or(DecodeError::Cut)?;
            left = after;
            if keys.blob_id(unit.blob_kind()?, blob) != *id {
                return Err(CodecError::WrongContent.into());
            }
            ids.push(*id);
        }
    }
    Ok((body, ids))
}
