//! Sorted items into blobs (`format-spec/6-tree.md`, rules 15 and 16): nodes of directories, and
//! entries of attachments (`7-record.md`, rule 9).
//!
//! Where a list is cut is a function of its items alone, and a part that has changed is stored as a
//! difference from the parent's in its place where that pays.

use serde::Serialize;

use super::before::PartFinder;
use super::metadata::MetadataWriter;
use crate::error::{Error, Result};
use crate::format::LIMITS;
use crate::format::cbor::{self, Bytes};
use crate::format::pack::BlobKind;
use crate::format::record::{AttachmentMap, encode_entries};
use crate::format::tree::{Node, Part, Tree, encode_nodes};
use crate::id::BlobId;
use crate::repository::reader::BlobReader;

/// What is cut.
pub(super) trait Cuttable: Serialize + Sized {
    /// The kind of the blobs that hold it.
    const KIND: BlobKind;

    /// Returns what it is sorted and cut by.
    fn key(&self) -> &Bytes;

    /// Returns the bytes of a blob that holds items.
    fn encode(items: &[Self]) -> Vec<u8>;

    /// Returns the bytes of a blob that refers to parts.
    fn encode_parts(parts: Vec<Part>) -> Vec<u8>;
}

impl Cuttable for Node {
    const KIND: BlobKind = BlobKind::Tree;

    fn key(&self) -> &Bytes {
        &self.name
    }

    fn encode(items: &[Self]) -> Vec<u8> {
        encode_nodes(items)
    }

    fn encode_parts(parts: Vec<Part>) -> Vec<u8> {
        Tree::Parts(parts).encode()
    }
}

impl Cuttable for (Bytes, Bytes) {
    const KIND: BlobKind = BlobKind::Attachment;

    fn key(&self) -> &Bytes {
        &self.0
    }

    fn encode(items: &[Self]) -> Vec<u8> {
        encode_entries(items)
    }

    fn encode_parts(parts: Vec<Part>) -> Vec<u8> {
        AttachmentMap::Parts(parts.into_iter().map(|Part(key, id)| (key, id)).collect()).encode()
    }
}

/// Cuts items that come in ascending order of their keys.
pub(super) struct Cutter<T> {
    items: Vec<T>,
    /// Length of `items`, each encoded, in bytes.
    item_bytes: usize,
    /// References not yet stored, by level.
    levels: Vec<Level>,
    /// What the parent has in their place.
    before: PartFinder,
}

/// The references of one level that are not stored yet.
#[derive(Default)]
struct Level {
    parts: Vec<Part>,
    /// Their length, each encoded, in bytes.
    bytes: usize,
}

/// Returns whether an array of `count` items may take one of `length` bytes more.
fn has_room(count: usize, bytes: usize, length: usize) -> bool {
    let head = cbor::array_head_length(count.saturating_add(1));
    count < LIMITS.part_items
        && head.saturating_add(bytes).saturating_add(length) <= LIMITS.part_bytes
}

impl<T: Cuttable> Cutter<T> {
    /// Begins to cut what has `before` in its place in the parent.
    pub(super) fn new(before: Option<BlobId>) -> Self {
        Cutter {
            items: Vec::new(),
            item_bytes: 0,
            levels: Vec::new(),
            before: PartFinder::new(T::KIND, before),
        }
    }

    /// Adds an item.
    pub(super) fn push(&mut self, item: T, writer: &mut MetadataWriter<'_>) -> Result<()> {
        let length = cbor::encoded_length(&item);
        let is_border = writer.name_hash(item.key()).trailing_zeros() >= 8;
        if is_border || !has_room(self.items.len(), self.item_bytes, length) {
            self.flush_items(writer)?;
        }
        self.item_bytes = self.item_bytes.saturating_add(length);
        self.items.push(item);
        Ok(())
    }

    fn flush_items(&mut self, writer: &mut MetadataWriter<'_>) -> Result<()> {
        self.item_bytes = 0;
        let items = std::mem::take(&mut self.items);
        let Some(first) = items.first() else { return Ok(()) };
        let key = first.key().clone();
        let find_base = |reader: &mut BlobReader<'_>| self.before.find(&key, 0, reader);
        let id = writer.store(T::KIND, &T::encode(&items), find_base)?;
        self.push_part(Part(key, id), 0, writer)
    }

    fn push_part(
        &mut self,
        part: Part,
        level: usize,
        writer: &mut MetadataWriter<'_>,
    ) -> Result<()> {
        let shift = u32::try_from(level.saturating_add(1).saturating_mul(8)).unwrap_or(u32::MAX);
        let bits = writer.name_hash(&part.0).checked_shr(shift).unwrap_or(0);
        // Past the hash's end every name would be a border; there only the count cuts.
        let is_border = shift < 64 && bits.trailing_zeros() >= 8;
        let length = cbor::encoded_length(&part);
        if self.levels.len() <= level {
            self.levels.push(Level::default());
        }
        let must_flush = self
            .levels
            .get(level)
            .is_some_and(|level| is_border || !has_room(level.parts.len(), level.bytes, length));
        if must_flush {
            self.flush_level(level, writer)?;
        }
        if let Some(level) = self.levels.get_mut(level) {
            level.parts.push(part);
            level.bytes = level.bytes.saturating_add(length);
        }
        Ok(())
    }

    fn flush_level(&mut self, level: usize, writer: &mut MetadataWriter<'_>) -> Result<()> {
        let parts = self.levels.get_mut(level).map(std::mem::take).unwrap_or_default().parts;
        let Some(first) = parts.first() else { return Ok(()) };
        let key = first.0.clone();
        let height = level.saturating_add(1);
        let find_base = |reader: &mut BlobReader<'_>| self.before.find(&key, height, reader);
        let id = writer.store(T::KIND, &T::encode_parts(parts), find_base)?;
        self.push_part(Part(key, id), level.saturating_add(1), writer)
    }

    /// Stores what is left; returns the blob that holds all items, of which there must be one.
    pub(super) fn finish(mut self, writer: &mut MetadataWriter<'_>) -> Result<BlobId> {
        self.flush_items(writer)?;
        let mut level = 0_usize;
        loop {
            let is_top = self.levels.len() == level.saturating_add(1);
            match self.levels.get(level).map(|level| level.parts.as_slice()) {
                Some([only]) if is_top => return Ok(only.1),
                Some([]) | None if is_top || self.levels.is_empty() => {
                    return Err(Error::failed("something was cut into no parts"));
                }
                _ => self.flush_level(level, writer)?,
            }
            level = level.saturating_add(1);
        }
    }
}
