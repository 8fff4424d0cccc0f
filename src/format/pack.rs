//! Units and the table that describes them (`format-spec/4-pack.md`).
//!
//! A pack is a sealed object whose footer is a [`PackTable`]. A record may hold units too; its
//! table then stands in its body.

use super::cbor::{Ids, cbor_map};
use super::object::{HEADER_LENGTH, TAG_LENGTH};
use super::{DecodeError, LIMITS};
use crate::id::BlobId;

/// What a blob holds; each kind has its own sub-key for ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum BlobKind {
    /// A piece of a file.
    Data = 0,
    /// A list of data blob ids.
    List = 1,
    /// A directory, or a part of one.
    Tree = 2,
    /// An attachment, or a part of one.
    Attachment = 3,
}

impl BlobKind {
    /// All kinds, at the place of their number.
    pub const ALL: [BlobKind; 4] =
        [BlobKind::Data, BlobKind::List, BlobKind::Tree, BlobKind::Attachment];

    /// Returns the kind of a number.
    pub fn from_number(number: u64) -> Result<Self, DecodeError> {
        usize::try_from(number)
            .ok()
            .and_then(|number| Self::ALL.get(number).copied())
            .ok_or(DecodeError::Unknown("blob kind"))
    }

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            BlobKind::Data => "data",
            BlobKind::List => "list",
            BlobKind::Tree => "tree",
            BlobKind::Attachment => "attachment",
        }
    }
}

/// How a unit's plaintext stands for its blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum UnitForm {
    /// The blobs one after the other.
    Raw = 0,
    /// A zstd frame of the blobs one after the other.
    Zstd = 1,
    /// One blob: a zstd frame with the plaintexts of its bases as prefix.
    Delta = 2,
    /// One blob: the base with some 4 KiB pages replaced.
    PagePatch = 3,
    /// The same, with the base's replaced pages as prefix of the zstd frame.
    PagePatchWithPrefix = 4,
}

impl UnitForm {
    /// Returns the form of a number.
    pub fn from_number(number: u64) -> Result<Self, DecodeError> {
        match number {
            0 => Ok(UnitForm::Raw),
            1 => Ok(UnitForm::Zstd),
            2 => Ok(UnitForm::Delta),
            3 => Ok(UnitForm::PagePatch),
            4 => Ok(UnitForm::PagePatchWithPrefix),
            _ => Err(DecodeError::Unknown("unit form")),
        }
    }

    /// Returns whether the unit needs another blob to be read.
    pub fn has_base(self) -> bool {
        !matches!(self, UnitForm::Raw | UnitForm::Zstd)
    }

    /// Returns whether the unit is a page patch.
    pub fn is_patch(self) -> bool {
        matches!(self, UnitForm::PagePatch | UnitForm::PagePatchWithPrefix)
    }
}

cbor_map! {
    /// One unit of a table.
    pub struct UnitEntry {
        /// The kind of its blobs.
        "k" => kind: u64,
        /// Its form.
        "f" => form: u64,
        /// Its length as stored, in bytes, the tag included.
        "s" => stored_length: u64,
        /// The length of each blob's plaintext, in bytes.
        "r" => raw_lengths: Vec<u64>,
        /// The ids of the blobs, in their order within the unit.
        "b" => blobs: Ids<BlobId>,
        /// The bases of a delta, in the order of their plaintexts; of a page patch, the only one.
        "x" => bases: Ids<BlobId>,
        /// How many bases lie below it, one upon another, as the writer knew; 0 without a base.
        "y" => depth: u64,
    }
}

impl UnitEntry {
    /// Returns the sum of the blobs' lengths, in bytes.
    pub fn raw_length(&self) -> u64 {
        self.raw_lengths.iter().fold(0, |sum, &length| sum.saturating_add(length))
    }

    /// Returns the kind of the blobs.
    pub fn blob_kind(&self) -> Result<BlobKind, DecodeError> {
        BlobKind::from_number(self.kind)
    }

    /// Returns the form.
    pub fn unit_form(&self) -> Result<UnitForm, DecodeError> {
        UnitForm::from_number(self.form)
    }

    fn validate(&self) -> Result<(), DecodeError> {
        self.blob_kind()?;
        let form = self.unit_form()?;
        if self.blobs.is_empty()
            || self.blobs.len() != self.raw_lengths.len()
            || self.stored_length < TAG_LENGTH as u64
            || form.has_base() == self.bases.is_empty()
            || form.has_base() != (self.depth > 0)
            || (form.has_base() && self.blobs.len() != 1)
            || (form.is_patch() && self.bases.len() != 1)
            || self.bases.iter().any(|base| self.blobs.contains(base))
            || (form == UnitForm::Raw
                && self.stored_length != self.raw_length().saturating_add(TAG_LENGTH as u64))
        {
            return Err(DecodeError::Inconsistent("unit"));
        }
        if self.bases.len() > LIMITS.delta_bases {
            return Err(DecodeError::TooLong { what: "list of bases" });
        }
        if self.depth > LIMITS.delta_depth {
            return Err(DecodeError::TooLong { what: "delta depth" });
        }
        if self.raw_lengths.iter().any(|&length| length > LIMITS.blob as u64)
            || self.raw_length() > LIMITS.unit as u64
        {
            return Err(DecodeError::TooLong { what: "unit" });
        }
        Ok(())
    }
}

/// Checks a table of units that begins behind the header of an object of `object_length` bytes
/// whose footer and trailer take `tail_length`; returns the units' offsets.
pub fn validate_units(
    units: &[UnitEntry],
    object_length: u64,
    tail_length: u64,
) -> Result<Vec<u64>, DecodeError> {
    let mut offset = HEADER_LENGTH as u64;
    let mut blob_count = 0_usize;
    let mut offsets = Vec::with_capacity(units.len());
    for unit in units {
        unit.validate()?;
        blob_count = blob_count.saturating_add(unit.blobs.len());
        offsets.push(offset);
        offset = offset.saturating_add(unit.stored_length);
    }
    if blob_count > LIMITS.pack_blobs {
        return Err(DecodeError::TooLong { what: "blob table" });
    }
    if offset.saturating_add(tail_length) != object_length {
        return Err(DecodeError::Inconsistent("unit table"));
    }
    Ok(offsets)
}

/// Checks a table whose object is not at hand, as in a record's entries.
pub fn validate_unit_table(units: &[UnitEntry]) -> Result<(), DecodeError> {
    let stored =
        units.iter().fold(HEADER_LENGTH as u64, |sum, unit| sum.saturating_add(unit.stored_length));
    if stored > LIMITS.object as u64 {
        return Err(DecodeError::TooLong { what: "object" });
    }
    validate_units(units, stored, 0).map(drop)
}

cbor_map! {
    /// A pack's footer.
    pub struct PackTable {
        /// The units in their order, without gaps from the header on.
        "u" => units: Vec<UnitEntry>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit() -> UnitEntry {
        UnitEntry {
            form: 1,
            stored_length: 40,
            raw_lengths: vec![100],
            blobs: Ids(vec![BlobId([1; 32])]),
            ..UnitEntry::default()
        }
    }

    #[test]
    fn a_table_must_fill_its_object() {
        assert_eq!(validate_units(&[unit(), unit()], 80 + 80 + 30, 30), Ok(vec![80, 120]));
        for length in [189, 191] {
            assert_eq!(
                validate_units(&[unit(), unit()], length, 30),
                Err(DecodeError::Inconsistent("unit table"))
            );
        }
    }

    #[test]
    fn contradictions_within_a_unit_are_refused() {
        let broken: [fn(&mut UnitEntry); 8] = [
            |unit| unit.raw_lengths.clear(),
            |unit| unit.stored_length = 15,
            |unit| unit.depth = 1,
            |unit| unit.form = 2,
            |unit| unit.form = 0,
            |unit| unit.bases = Ids(vec![BlobId([2; 32])]),
            |unit| (unit.form, unit.depth, unit.bases) = (2, 1, Ids(vec![BlobId([1; 32])])),
            |unit| {
                (unit.form, unit.depth) = (3, 1);
                unit.bases = Ids(vec![BlobId([2; 32]), BlobId([3; 32])]);
            },
        ];
        for change in broken {
            let mut unit = unit();
            change(&mut unit);
            let stored = 80 + unit.stored_length;
            assert_eq!(validate_units(&[unit], stored, 0), Err(DecodeError::Inconsistent("unit")));
        }
    }
}
