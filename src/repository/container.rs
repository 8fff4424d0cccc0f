//! Sealed objects as a whole: units in, bytes out, and back (`format-spec/1-objects.md`).
//!
//! Packs, records and segments share this layout. Nothing here does I/O; what comes in from a
//! store is authenticated before anything is believed, and bounded before it is allocated.

use bytes::Bytes;
use rayon::prelude::*;

use crate::codec::crypto::{ObjectSealer, RepositoryKeys, Role};
use crate::codec::{CodecError, Compression, UnitDecoder, UnitEncoder};
use crate::format::object::{
    FEATURE_DELTA, FOOTER_NUMBER, FOOTER_OVERHEAD, HEADER_LENGTH, ObjectHeader, ObjectKind,
    TAG_LENGTH, TRAILER_LENGTH, TRAILER_NUMBER, decode_footer, decode_trailer, encode_footer,
    encode_trailer, padme,
};
use crate::format::pack::{BlobKind, PackTable, UnitEntry, UnitForm, validate_units};
use crate::format::{DecodeError, LIMITS, cbor};
use crate::id::{BlobId, ObjectHash};

/// A pack's units are sealed and verified by several processors, in runs of at least so many.
pub(super) const UNITS_PER_TASK: usize = 8;

/// A unit that is compressed, but not sealed yet.
#[derive(Debug, Clone)]
pub struct PlainUnit {
    /// The kind of its blobs.
    pub kind: BlobKind,
    /// Its form.
    pub form: UnitForm,
    /// Its bytes.
    pub payload: Vec<u8>,
    /// Its blobs: id and length of the plaintext in bytes.
    pub blobs: Vec<(BlobId, u64)>,
    /// The bases, for the forms that have some.
    pub bases: Vec<BlobId>,
    /// How many bases lie one upon another below it; 0 without bases.
    pub depth: u64,
}

impl PlainUnit {
    /// Returns the length that the unit will have when sealed, in bytes.
    pub fn stored_length(&self) -> u64 {
        self.payload.len().saturating_add(TAG_LENGTH) as u64
    }

    /// Returns the length of the blobs' plaintext, in bytes.
    pub fn raw_length(&self) -> u64 {
        self.blobs.iter().fold(0, |sum, (_, length)| sum.saturating_add(*length))
    }

    fn entry(&self) -> UnitEntry {
        UnitEntry {
            kind: self.kind as u64,
            form: self.form as u64,
            stored_length: self.stored_length(),
            raw_lengths: self.blobs.iter().map(|(_, length)| *length).collect(),
            blobs: cbor::Ids(self.blobs.iter().map(|(id, _)| *id).collect()),
            bases: cbor::Ids(self.bases.clone()),
            depth: self.depth,
            ..UnitEntry::default()
        }
    }
}

/// How an object's length is blurred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// To the next step of Padmé.
    Padme,
    /// To a multiple of 256 bytes.
    Blocks,
}

impl Padding {
    fn apply(self, length: u64) -> u64 {
        match self {
            Padding::Padme => padme(length),
            Padding::Blocks => length.next_multiple_of(256),
        }
    }
}

/// An object that is ready for the store.
#[derive(Debug)]
pub struct SealedObject {
    /// Its bytes, in order.
    pub parts: Vec<Bytes>,
    /// Its name.
    pub hash: ObjectHash,
    /// The table of its units.
    pub units: Vec<UnitEntry>,
    /// Its length in bytes.
    pub length: u64,
}

/// Seals an object. `body` is given the unit table and returns the footer's body; `context` goes
/// into the salt.
pub fn seal(
    keys: &RepositoryKeys,
    kind: ObjectKind,
    context: &[&[u8]],
    units: Vec<PlainUnit>,
    padding: Padding,
    body: impl FnOnce(&[UnitEntry]) -> Vec<u8>,
) -> Result<SealedObject, CodecError> {
    let features = if units.iter().any(|unit| !unit.bases.is_empty()) { FEATURE_DELTA } else { 0 };
    let sealer = keys.seal_object(kind, features, context)?;
    seal_with(&sealer, units, padding, body)
}

/// The same under a given object key, for vectors.
pub fn seal_with(
    sealer: &ObjectSealer,
    units: Vec<PlainUnit>,
    padding: Padding,
    body: impl FnOnce(&[UnitEntry]) -> Vec<u8>,
) -> Result<SealedObject, CodecError> {
    let table: Vec<UnitEntry> = units.iter().map(PlainUnit::entry).collect();
    let mut parts = Vec::with_capacity(units.len().saturating_add(3));
    parts.push(Bytes::copy_from_slice(&sealer.header().bytes));
    let mut length = HEADER_LENGTH as u64;
    let numbered: Vec<(u32, PlainUnit)> = (0_u32..).zip(units).collect();
    let sealed: Vec<Vec<u8>> = numbered
        .into_par_iter()
        .with_min_len(UNITS_PER_TASK)
        .map(|(number, unit)| {
            let mut sealed = unit.payload;
            sealer.seal(Role::Unit(unit.kind), number, &mut sealed)?;
            Ok(sealed)
        })
        .collect::<Result<_, CodecError>>()?;
    for sealed in sealed {
        length = length.saturating_add(sealed.len() as u64);
        parts.push(sealed.into());
    }
    let body = body(&table);
    let mut compressed = Vec::new();
    let form = UnitEncoder::new(Compression::Auto)?.encode(&body, &mut compressed);
    let raw_length = u32::try_from(body.len()).map_err(|_| CodecError::TooLong)?;
    let unpadded = FOOTER_OVERHEAD.saturating_add(compressed.len());
    let tail =
        (unpadded as u64).saturating_add(TAG_LENGTH as u64).saturating_add(TRAILER_LENGTH as u64);
    let target = padding.apply(length.saturating_add(tail));
    let zeros = target.saturating_sub(length.saturating_add(tail));
    let padded = usize::try_from(zeros)
        .ok()
        .and_then(|zeros| unpadded.checked_add(zeros))
        .ok_or(CodecError::TooLong)?;
    let mut footer =
        encode_footer(u8::from(form == UnitForm::Zstd), raw_length, &compressed, padded);
    sealer.seal(Role::Footer, FOOTER_NUMBER, &mut footer)?;
    let footer_length = u32::try_from(footer.len()).map_err(|_| CodecError::TooLong)?;
    let mut trailer = encode_trailer(footer_length).to_vec();
    sealer.seal(Role::Trailer, TRAILER_NUMBER, &mut trailer)?;
    length = length.saturating_add(footer.len() as u64).saturating_add(trailer.len() as u64);
    if length > LIMITS.object as u64 || body.len() > LIMITS.record {
        return Err(CodecError::TooLong);
    }
    parts.push(footer.into());
    parts.push(trailer.into());
    let mut hasher = blake3::Hasher::new();
    for part in &parts {
        hasher.update(part);
    }
    let hash = ObjectHash(*hasher.finalize().as_bytes());
    Ok(SealedObject { parts, hash, units: table, length })
}

/// Why an object can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Its bytes are not what its name says.
    #[error("the bytes do not match the object's name")]
    WrongHash,
    /// It can't be opened.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// What is inside is not what it should be.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// An object whose footer has been opened.
pub struct OpenedObject {
    /// Opens its units.
    pub sealer: ObjectSealer,
    /// The footer's body.
    pub body: Vec<u8>,
    /// Footer and trailer together, in bytes.
    pub tail_length: u64,
}

/// Opens an object's footer, given its first bytes and its last. `None` if `tail` is too short;
/// the needed length is then given instead.
pub fn open_ends(
    keys: &RepositoryKeys,
    kind: ObjectKind,
    head: &[u8],
    tail: &[u8],
) -> Result<Result<OpenedObject, u64>, OpenError> {
    let header = ObjectHeader::decode(head, kind)?;
    let sealer = keys.open_object(header)?;
    let mut trailer = tail.last_chunk::<TRAILER_LENGTH>().copied().ok_or(DecodeError::Cut)?;
    let footer_length =
        decode_trailer(sealer.open(Role::Trailer, TRAILER_NUMBER, &mut trailer)?)?;
    let tail_length = footer_length.saturating_add(TRAILER_LENGTH);
    if tail_length > LIMITS.object {
        return Err(DecodeError::TooLong { what: "footer" }.into());
    }
    let Some(start) = tail.len().checked_sub(tail_length) else {
        return Ok(Err(tail_length as u64));
    };
    let end = tail.len().saturating_sub(TRAILER_LENGTH);
    let mut footer = tail.get(start..end).ok_or(DecodeError::Cut)?.to_vec();
    let plain = sealer.open(Role::Footer, FOOTER_NUMBER, &mut footer)?;
    let footer = decode_footer(plain)?;
    let mut body = Vec::new();
    if footer.form == 0 {
        body.extend_from_slice(footer.payload);
    } else {
        UnitDecoder::new()?.decode_zstd(footer.payload, footer.raw_length, &mut body)?;
    }
    Ok(Ok(OpenedObject { sealer, body, tail_length: tail_length as u64 }))
}

/// Opens an object that is at hand as a whole.
pub fn open_whole(
    keys: &RepositoryKeys,
    kind: ObjectKind,
    hash: &ObjectHash,
    bytes: &[u8],
) -> Result<OpenedObject, OpenError> {
    if blake3::hash(bytes).as_bytes() != hash.as_bytes() {
        return Err(OpenError::WrongHash);
    }
    let tail = bytes.get(HEADER_LENGTH..).ok_or(DecodeError::Cut)?;
    open_ends(keys, kind, bytes, tail)?.map_err(|_| DecodeError::Cut.into())
}

/// Reads a pack's table from its opened footer; returns each unit with its offset.
pub fn pack_table(
    opened: &OpenedObject,
    object_length: u64,
) -> Result<Vec<(u64, UnitEntry)>, DecodeError> {
    let table: PackTable = cbor::decode(&opened.body)?;
    let offsets = validate_units(&table.units, object_length, opened.tail_length)?;
    Ok(offsets.into_iter().zip(table.units).collect())
}

/// Returns the body of a pack's footer.
pub fn encode_pack_table(units: &[UnitEntry]) -> Vec<u8> {
    cbor::encode(&PackTable { units: units.to_vec(), ..PackTable::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::crypto::MasterKeys;
    use crate::id::RepositoryId;

    fn keys() -> RepositoryKeys {
        RepositoryKeys::derive(&MasterKeys::from_parts([1; 32], [2; 32]), &RepositoryId([3; 16]))
    }

    fn unit(payload: &[u8]) -> PlainUnit {
        PlainUnit {
            kind: BlobKind::Data,
            form: UnitForm::Raw,
            payload: payload.to_vec(),
            blobs: vec![(keys().blob_id(BlobKind::Data, payload), payload.len() as u64)],
            bases: Vec::new(),
            depth: 0,
        }
    }

    fn bytes(object: &SealedObject) -> Vec<u8> {
        object.parts.iter().flat_map(|part| part.iter().copied()).collect()
    }

    #[test]
    fn a_pack_comes_back_and_its_length_is_blurred() {
        let units = vec![unit(b"one"), unit(b"three")];
        let object =
            seal(&keys(), ObjectKind::Pack, &[], units, Padding::Padme, encode_pack_table).unwrap();
        let stored = bytes(&object);
        assert_eq!(stored.len() as u64, object.length);
        assert_eq!(padme(object.length), object.length);
        let opened = open_whole(&keys(), ObjectKind::Pack, &object.hash, &stored).unwrap();
        let table = pack_table(&opened, object.length).unwrap();
        let (offset, entry) = &table[1];
        let start = usize::try_from(*offset).unwrap();
        let mut sealed = stored[start..start + 21].to_vec();
        assert_eq!(entry.stored_length, 21);
        let plain = opened.sealer.open(Role::Unit(BlobKind::Data), 1, &mut sealed).unwrap();
        assert_eq!(plain, b"three");
    }

    #[test]
    fn no_flipped_bit_and_no_cut_goes_unnoticed() {
        let object = seal(
            &keys(),
            ObjectKind::Pack,
            &[],
            vec![unit(b"payload")],
            Padding::Padme,
            encode_pack_table,
        )
        .unwrap();
        let stored = bytes(&object);
        for place in 0..stored.len() {
            let mut flipped = stored.clone();
            flipped[place] ^= 0x10;
            let opened = open_whole(&keys(), ObjectKind::Pack, &object.hash, &flipped);
            assert_eq!(opened.err(), Some(OpenError::WrongHash));
            // Without the hash, head and tail are still authenticated.
            let ends = open_ends(&keys(), ObjectKind::Pack, &flipped, &flipped[HEADER_LENGTH..]);
            let in_unit = (80..80 + 23).contains(&place);
            assert_eq!(ends.is_ok_and(|ends| ends.is_ok()), in_unit, "{place}");
        }
        for length in 0..stored.len() {
            let cut = &stored[..length];
            let tail = cut.get(HEADER_LENGTH..).unwrap_or_default();
            let ends = open_ends(&keys(), ObjectKind::Pack, cut, tail);
            assert!(!ends.is_ok_and(|ends| ends.is_ok()));
        }
    }
}
