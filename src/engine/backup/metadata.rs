//! Directories and lists into blobs (`format-spec/6-tree.md`): the cut rules, and the units of
//! metadata.

use crate::codec::crypto::RepositoryKeys;
use crate::codec::{CodecError, Compression, UnitEncoder};
use crate::error::{Error, Result};
use crate::format::LIMITS;
use crate::format::cbor::Ids;
use crate::format::pack::BlobKind;
use crate::format::record::encode_list;
use crate::format::tree::{Node, Part, Subtree, Tree, encode_nodes};
use crate::id::BlobId;
use crate::repository::container::PlainUnit;
use crate::repository::index::{Claim, Index};
use crate::repository::packer::Packer;

/// A unit is closed before its blobs exceed this, in bytes.
pub(super) const UNIT_BYTES: usize = 1 << 20;
/// A directory that takes no more than this lies in its node, in bytes.
const INLINE_BYTES: usize = 4096;
/// Directories lie within nodes within nodes at most so often.
const INLINE_DEPTH: usize = 8;
/// Entries of one part at most.
const PART_ENTRIES: usize = 2048;

/// Collects blobs of one kind into units.
pub(super) struct UnitWriter<'a> {
    kind: BlobKind,
    packer: &'a Packer,
    encoder: UnitEncoder,
    plain: Vec<u8>,
    blobs: Vec<(BlobId, u64)>,
    scratch: Vec<u8>,
    /// Bytes of blobs written, before compression.
    pub(super) raw_bytes: u64,
    /// Bytes of units written, with what sealing adds.
    pub(super) stored_bytes: u64,
    /// Blobs written.
    pub(super) blob_count: u64,
}

impl<'a> UnitWriter<'a> {
    pub(super) fn new(
        kind: BlobKind,
        packer: &'a Packer,
        compression: Compression,
    ) -> Result<Self> {
        Ok(UnitWriter {
            kind,
            packer,
            encoder: UnitEncoder::new(compression).map_err(encoder_failed)?,
            plain: Vec::new(),
            blobs: Vec::new(),
            scratch: Vec::new(),
            raw_bytes: 0,
            stored_bytes: 0,
            blob_count: 0,
        })
    }

    /// Adds a blob that this run has claimed.
    pub(super) fn add(&mut self, id: BlobId, blob: &[u8]) -> Result<()> {
        if !self.blobs.is_empty() && self.plain.len().saturating_add(blob.len()) > UNIT_BYTES {
            self.flush()?;
        }
        self.plain.extend_from_slice(blob);
        self.blobs.push((id, blob.len() as u64));
        Ok(())
    }

    /// Closes the unit under way, if there is one.
    pub(super) fn flush(&mut self) -> Result<()> {
        if self.blobs.is_empty() {
            return Ok(());
        }
        let form = self.encoder.encode(&self.plain, &mut self.scratch);
        // The scratch has room for the worst case; a unit that waits in a pack should not.
        let mut payload = Vec::with_capacity(self.scratch.len().saturating_add(16));
        payload.extend_from_slice(&self.scratch);
        let unit = PlainUnit {
            kind: self.kind,
            form,
            payload,
            blobs: std::mem::take(&mut self.blobs),
            base: None,
        };
        self.raw_bytes = self.raw_bytes.saturating_add(self.plain.len() as u64);
        self.stored_bytes = self.stored_bytes.saturating_add(unit.stored_length());
        self.blob_count = self.blob_count.saturating_add(unit.blobs.len() as u64);
        self.plain.clear();
        self.packer.add(unit)
    }
}

fn encoder_failed(error: CodecError) -> Error {
    Error::failed("cannot start compression").source(error)
}

/// Stores trees and lists.
pub(super) struct MetadataWriter<'a> {
    keys: &'a RepositoryKeys,
    index: &'a Index,
    trees: UnitWriter<'a>,
    lists: UnitWriter<'a>,
}

impl<'a> MetadataWriter<'a> {
    pub(super) fn new(
        keys: &'a RepositoryKeys,
        index: &'a Index,
        packer: &'a Packer,
    ) -> Result<Self> {
        Ok(MetadataWriter {
            keys,
            index,
            trees: UnitWriter::new(BlobKind::Tree, packer, Compression::Auto)?,
            lists: UnitWriter::new(BlobKind::List, packer, Compression::Auto)?,
        })
    }

    fn store(&mut self, kind: BlobKind, blob: &[u8]) -> Result<BlobId> {
        let id = self.keys.blob_id(kind, blob);
        if self.index.claim(&id)? == Claim::New {
            match kind {
                BlobKind::List => self.lists.add(id, blob)?,
                _ => self.trees.add(id, blob)?,
            }
        }
        Ok(id)
    }

    /// Stores one list segment.
    pub(super) fn store_list(&mut self, ids: &[BlobId]) -> Result<BlobId> {
        self.store(BlobKind::List, &encode_list(ids))
    }

    /// Closes the units under way.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.trees.flush()?;
        self.lists.flush()
    }

    /// Returns raw bytes, stored bytes and blobs written.
    pub(super) fn sums(&self) -> (u64, u64, u64) {
        (
            self.trees.raw_bytes.saturating_add(self.lists.raw_bytes),
            self.trees.stored_bytes.saturating_add(self.lists.stored_bytes),
            self.trees.blob_count.saturating_add(self.lists.blob_count),
        )
    }
}

/// A directory under construction. Nodes come in ascending order of their names.
#[derive(Default)]
pub(super) struct DirectoryBuilder {
    nodes: Vec<Node>,
    /// References not yet stored, by level.
    levels: Vec<Vec<Part>>,
    /// The deepest inlining among the nodes.
    inline_depth: usize,
}

impl DirectoryBuilder {
    /// Adds a node. `inline_depth` says how deep directories lie within it.
    pub(super) fn push(
        &mut self,
        node: Node,
        inline_depth: usize,
        writer: &mut MetadataWriter<'_>,
    ) -> Result<()> {
        if !self.nodes.is_empty()
            && (writer.keys.name_hash(&node.name).trailing_zeros() >= 8
                || self.nodes.len() >= PART_ENTRIES)
        {
            self.flush_nodes(writer)?;
        }
        self.inline_depth = self.inline_depth.max(inline_depth);
        self.nodes.push(node);
        Ok(())
    }

    fn flush_nodes(&mut self, writer: &mut MetadataWriter<'_>) -> Result<()> {
        let nodes = std::mem::take(&mut self.nodes);
        let Some(first) = nodes.first() else { return Ok(()) };
        let name = first.name.clone();
        let id = writer.store(BlobKind::Tree, &encode_nodes(&nodes))?;
        self.push_part(Part(name, id), 0, writer)
    }

    fn push_part(
        &mut self,
        part: Part,
        level: usize,
        writer: &mut MetadataWriter<'_>,
    ) -> Result<()> {
        let shift = u32::try_from(level.saturating_add(1).saturating_mul(8)).unwrap_or(u32::MAX);
        let bits = writer.keys.name_hash(&part.0).checked_shr(shift).unwrap_or(0);
        // Past the hash's end every name would be a border; there only the count cuts.
        let border = shift < 64 && bits.trailing_zeros() >= 8;
        if self.levels.len() <= level {
            self.levels.push(Vec::new());
        }
        let full = self
            .levels
            .get(level)
            .is_some_and(|parts| !parts.is_empty() && (border || parts.len() >= PART_ENTRIES));
        if full {
            self.flush_level(level, writer)?;
        }
        if let Some(parts) = self.levels.get_mut(level) {
            parts.push(part);
        }
        Ok(())
    }

    fn flush_level(&mut self, level: usize, writer: &mut MetadataWriter<'_>) -> Result<()> {
        let parts = self.levels.get_mut(level).map(std::mem::take).unwrap_or_default();
        let Some(first) = parts.first() else { return Ok(()) };
        let name = first.0.clone();
        let id = writer.store(BlobKind::Tree, &Tree::Parts(parts).encode())?;
        self.push_part(Part(name, id), level.saturating_add(1), writer)
    }

    /// Ends the directory: its content, and how deep directories lie within it.
    pub(super) fn finish(mut self, writer: &mut MetadataWriter<'_>) -> Result<(Subtree, usize)> {
        if self.levels.is_empty() {
            let encoded = encode_nodes(&self.nodes);
            // Behind the two bytes of the blob's own head lies the array that a node would hold.
            if encoded.len().saturating_sub(2) <= INLINE_BYTES && self.inline_depth < INLINE_DEPTH {
                let depth = self.inline_depth.saturating_add(usize::from(!self.nodes.is_empty()));
                return Ok((Subtree::Inline(self.nodes), depth));
            }
            let id = writer.store(BlobKind::Tree, &encoded)?;
            return Ok((Subtree::Blob(id), 0));
        }
        self.flush_nodes(writer)?;
        let mut level = 0_usize;
        loop {
            let is_top = self.levels.len() == level.saturating_add(1);
            match self.levels.get(level).map(Vec::as_slice) {
                Some([only]) if is_top => return Ok((Subtree::Blob(only.1), 0)),
                Some([]) | None if is_top => {
                    return Err(Error::failed("a directory was cut into no parts"));
                }
                _ => self.flush_level(level, writer)?,
            }
            level = level.saturating_add(1);
        }
    }
}

/// A file's list of data blobs under construction; ids may come in any order.
#[derive(Default)]
pub(super) struct ListBuilder {
    next: u32,
    early: std::collections::BTreeMap<u32, BlobId>,
    ids: Vec<BlobId>,
    segments: Vec<BlobId>,
}

impl ListBuilder {
    /// Enters the id of the chunk with this number.
    pub(super) fn enter(
        &mut self,
        number: u32,
        id: BlobId,
        writer: &mut MetadataWriter<'_>,
    ) -> Result<()> {
        self.early.insert(number, id);
        while let Some(id) = self.early.remove(&self.next) {
            self.next = self.next.saturating_add(1);
            self.ids.push(id);
            if self.ids.len() > LIMITS.segment_blobs {
                let rest = self.ids.split_off(LIMITS.segment_blobs);
                self.segments.push(writer.store_list(&self.ids)?);
                self.ids = rest;
            }
        }
        Ok(())
    }

    /// Returns how many chunks have been entered without a gap.
    pub(super) fn len(&self) -> u32 {
        self.next
    }

    /// Ends the list: what goes into the node.
    pub(super) fn finish(mut self, node: &mut Node, writer: &mut MetadataWriter<'_>) -> Result<()> {
        if self.segments.is_empty() && self.ids.len() <= LIMITS.node_blobs {
            node.blobs = Ids(self.ids);
        } else {
            if !self.ids.is_empty() {
                self.segments.push(writer.store_list(&self.ids)?);
            }
            node.segments = Ids(self.segments);
        }
        Ok(())
    }
}
