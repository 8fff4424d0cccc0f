//! Directories and lists into blobs (`format-spec/6-tree.md`): the cut rules, and the units of
//! metadata.

use super::cut::Cutter;
use super::difference::DifferenceWriter;
use crate::codec::crypto::RepositoryKeys;
use crate::codec::{CodecError, Compression, UnitEncoder};
use crate::error::{Error, Result};
use crate::format::LIMITS;
use crate::format::cbor;
use crate::format::pack::BlobKind;
use crate::format::record::encode_list;
use crate::format::tree::{Node, Subtree};
use crate::id::BlobId;
use crate::repository::container::PlainUnit;
use crate::repository::index::{Claim, Index};
use crate::repository::packer::Packer;
use crate::repository::reader::BlobReader;

/// A unit is closed before its blobs exceed this, in bytes.
pub(super) const UNIT_BYTES: usize = 1 << 20;

/// What was stored: raw bytes, stored bytes, blobs.
pub(crate) type Sums = (u64, u64, u64);

/// Collects blobs of one kind into units.
pub(crate) struct UnitWriter<'a> {
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
    pub(crate) blob_count: u64,
}

impl<'a> UnitWriter<'a> {
    pub(crate) fn new(
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
    pub(crate) fn add(&mut self, id: BlobId, blob: &[u8]) -> Result<()> {
        if !self.blobs.is_empty() && self.plain.len().saturating_add(blob.len()) > UNIT_BYTES {
            self.flush()?;
        }
        self.plain.extend_from_slice(blob);
        self.blobs.push((id, blob.len() as u64));
        Ok(())
    }

    /// Hands on a unit that is made already.
    pub(super) fn add_unit(&mut self, unit: PlainUnit) -> Result<()> {
        self.count(&unit);
        self.packer.add(unit)
    }

    fn count(&mut self, unit: &PlainUnit) {
        self.raw_bytes = self.raw_bytes.saturating_add(unit.raw_length());
        self.stored_bytes = self.stored_bytes.saturating_add(unit.stored_length());
        self.blob_count = self.blob_count.saturating_add(unit.blobs.len() as u64);
    }

    /// Closes the unit under way, if there is one.
    pub(crate) fn flush(&mut self) -> Result<()> {
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
            bases: Vec::new(),
            depth: 0,
        };
        self.plain.clear();
        self.add_unit(unit)
    }
}

fn encoder_failed(error: CodecError) -> Error {
    Error::failed("cannot start compression").source(error)
}

/// Stores trees, lists and attachments.
pub(crate) struct MetadataWriter<'a> {
    keys: &'a RepositoryKeys,
    index: &'a Index,
    trees: UnitWriter<'a>,
    lists: UnitWriter<'a>,
    attachments: UnitWriter<'a>,
    differences: Option<DifferenceWriter<'a>>,
}

impl<'a> MetadataWriter<'a> {
    pub(crate) fn new(
        keys: &'a RepositoryKeys,
        index: &'a Index,
        packer: &'a Packer,
    ) -> Result<Self> {
        Ok(MetadataWriter {
            keys,
            index,
            trees: UnitWriter::new(BlobKind::Tree, packer, Compression::Auto)?,
            lists: UnitWriter::new(BlobKind::List, packer, Compression::Auto)?,
            attachments: UnitWriter::new(BlobKind::Attachment, packer, Compression::Auto)?,
            differences: None,
        })
    }

    /// Returns the number that says where a list of names or keys is cut.
    pub(super) fn name_hash(&self, name: &[u8]) -> u64 {
        self.keys.name_hash(name)
    }

    /// Lets blobs be differences of what the parent had in their place.
    pub(super) fn with_differences(mut self, writer: DifferenceWriter<'a>) -> Self {
        self.differences = Some(writer);
        self
    }

    /// Stores a blob, if it is new. `find_base` tells what the parent had in its place.
    pub(super) fn store(
        &mut self,
        kind: BlobKind,
        blob: &[u8],
        find_base: impl FnOnce(&mut BlobReader<'a>) -> Option<BlobId>,
    ) -> Result<BlobId> {
        let id = self.keys.blob_id(kind, blob);
        if self.index.claim(&id)? == Claim::Known {
            return Ok(id);
        }
        let mut difference = None;
        if let Some(writer) = &mut self.differences
            && let Some(base) = find_base(writer.reader())
        {
            difference = writer.encode(kind, &id, blob, &base, false)?;
        }
        let units = match kind {
            BlobKind::List => &mut self.lists,
            BlobKind::Attachment => &mut self.attachments,
            BlobKind::Tree | BlobKind::Data => &mut self.trees,
        };
        match difference {
            Some(unit) => units.add_unit(unit)?,
            None => units.add(id, blob)?,
        }
        Ok(id)
    }

    /// Stores one list segment; `before` is the parent's in its place.
    pub(crate) fn store_list(&mut self, ids: &[BlobId], before: Option<BlobId>) -> Result<BlobId> {
        self.store(BlobKind::List, &encode_list(ids), |_| before)
    }

    /// Closes the units under way.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.trees.flush()?;
        self.lists.flush()?;
        self.attachments.flush()
    }

    /// Returns raw bytes, stored bytes and blobs written.
    pub(crate) fn sums(&self) -> Sums {
        let mut sums = (0_u64, 0_u64, 0_u64);
        for units in [&self.trees, &self.lists, &self.attachments] {
            sums.0 = sums.0.saturating_add(units.raw_bytes);
            sums.1 = sums.1.saturating_add(units.stored_bytes);
            sums.2 = sums.2.saturating_add(units.blob_count);
        }
        sums
    }
}

/// A directory under construction. Nodes come in ascending order of their names.
///
/// They wait until it is clear that the directory is too large for its node; only then is it cut.
/// Where it is cut is a function of the nodes alone (`6-tree.md`, rules 14 to 16).
pub(crate) struct DirectoryBuilder {
    nodes: Vec<Node>,
    /// Length of `nodes`, each encoded, in bytes.
    node_bytes: usize,
    /// Whether the directory is too large for its node.
    is_cut: bool,
    /// The deepest inlining among the nodes.
    inline_depth: usize,
    cutter: Cutter<Node>,
}

impl Default for DirectoryBuilder {
    fn default() -> Self {
        DirectoryBuilder::with_before(None)
    }
}

impl DirectoryBuilder {
    /// Returns a builder of a directory in whose place the parent had `before`.
    pub(super) fn with_before(before: Option<BlobId>) -> Self {
        DirectoryBuilder {
            nodes: Vec::new(),
            node_bytes: 0,
            is_cut: false,
            inline_depth: 0,
            cutter: Cutter::new(before),
        }
    }

    /// Adds a node. `inline_depth` says how deep directories lie within it.
    pub(crate) fn push(
        &mut self,
        node: Node,
        inline_depth: usize,
        writer: &mut MetadataWriter<'_>,
    ) -> Result<()> {
        self.inline_depth = self.inline_depth.max(inline_depth);
        if self.is_cut {
            return self.cutter.push(node, writer);
        }
        self.node_bytes = self.node_bytes.saturating_add(cbor::encoded_length(&node));
        self.nodes.push(node);
        let length = cbor::array_head_length(self.nodes.len()).saturating_add(self.node_bytes);
        if length > LIMITS.inline_subtree || self.inline_depth >= LIMITS.inline_nesting {
            self.is_cut = true;
            self.node_bytes = 0;
            for node in std::mem::take(&mut self.nodes) {
                self.cutter.push(node, writer)?;
            }
        }
        Ok(())
    }

    /// Ends the directory: its content, and how deep directories lie within it.
    pub(crate) fn finish(self, writer: &mut MetadataWriter<'_>) -> Result<(Subtree, usize)> {
        if !self.is_cut {
            let depth = self.inline_depth.saturating_add(usize::from(!self.nodes.is_empty()));
            return Ok((Subtree::Inline(self.nodes), depth));
        }
        Ok((Subtree::Blob(self.cutter.finish(writer)?), 0))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::codec::crypto::MasterKeys;
    use crate::format::cbor::Bytes;
    use crate::format::tree::Tree;
    use crate::id::RepositoryId;
    use crate::repository::cache::{Cache, Swept};
    use crate::store::Store;

    /// Cuts a directory and reads it back: its form, its nodes, and the lengths of its parts.
    fn cut(nodes: &[Node]) -> (Subtree, Vec<Node>, Vec<usize>) {
        let id = RepositoryId([3; 16]);
        let keys = Arc::new(RepositoryKeys::derive(&MasterKeys::from_parts([1; 32], [2; 32]), &id));
        let index = Index::new(Arc::new(Cache::open(None, &id, Swept::Gone).unwrap())).unwrap();
        let packer = Packer::start(Store::memory(), Arc::clone(&keys), [4; 16], None, 0);
        let mut writer = MetadataWriter::new(&keys, &index, &packer).unwrap();
        let mut builder = DirectoryBuilder::default();
        for node in nodes {
            builder.push(node.clone(), 0, &mut writer).unwrap();
        }
        let (subtree, _) = builder.finish(&mut writer).unwrap();
        // One unit of all that was written, to look into.
        let blobs = writer.trees.blobs.clone();
        let plain = writer.trees.plain.clone();
        let find = |wanted: &BlobId| {
            let mut start = 0;
            for (id, length) in &blobs {
                let end = start + usize::try_from(*length).unwrap();
                if id == wanted {
                    return plain[start..end].to_vec();
                }
                start = end;
            }
            panic!("the blob is in another unit");
        };
        let (mut found, mut lengths) = (Vec::new(), Vec::new());
        let mut open = match &subtree {
            Subtree::Inline(nodes) => {
                found.extend(nodes.clone());
                Vec::new()
            }
            Subtree::Blob(id) => vec![*id],
        };
        while let Some(id) = open.pop() {
            let blob = find(&id);
            match Tree::decode(&blob).unwrap() {
                Tree::Nodes(nodes) => {
                    lengths.push(nodes.len());
                    found.extend(nodes);
                }
                Tree::Parts(parts) => open.extend(parts.iter().rev().map(|part| part.1)),
            }
        }
        (subtree, found, lengths)
    }

    fn file(number: usize) -> Node {
        Node { name: format!("{number:06}").into_bytes().into(), mode: 0o644, ..Node::default() }
    }

    fn is_border(node: &Node) -> bool {
        let keys = RepositoryKeys::derive(
            &MasterKeys::from_parts([1; 32], [2; 32]),
            &RepositoryId([3; 16]),
        );
        keys.name_hash(&node.name).trailing_zeros() >= 8
    }

    #[test]
    fn a_small_directory_is_never_cut_and_a_large_one_at_every_border() {
        let border = (1..9_999).map(file).find(is_border).unwrap();
        let mut first = file(0);
        let (subtree, nodes, _) = cut(&[first.clone(), border.clone()]);
        assert_eq!(subtree, Subtree::Inline(vec![first.clone(), border.clone()]));
        assert_eq!(nodes.len(), 2);
        // The same with more than lies in a node.
        first.xattrs = vec![(b"user.x".as_slice().into(), vec![7; 4096].into())];
        let (subtree, nodes, lengths) = cut(&[first.clone(), border.clone()]);
        assert!(matches!(subtree, Subtree::Blob(_)));
        assert_eq!(nodes, [first, border]);
        assert_eq!(lengths, [1, 1]);
    }

    #[test]
    fn cuts_depend_on_names_alone() {
        let nodes: Vec<Node> = (0..9_000).map(file).collect();
        let (_, back, lengths) = cut(&nodes);
        assert_eq!(back, nodes);
        let borders = nodes.iter().skip(1).filter(|node| is_border(node)).count();
        let forced = lengths.iter().filter(|length| **length == LIMITS.part_items).count();
        assert_eq!(lengths.len(), borders + 1 + forced);
        assert!(lengths.len() > 10, "{lengths:?}");
    }

    #[test]
    fn no_part_grows_beyond_its_bound_in_bytes() {
        let large = |number| Node {
            xattrs: vec![(b"user.x".as_slice().into(), Bytes(vec![7; 400_000]))],
            ..file(number)
        };
        let nodes: Vec<Node> = (0..5).map(large).collect();
        assert!(!nodes.iter().any(is_border));
        let id = RepositoryId([3; 16]);
        let keys = Arc::new(RepositoryKeys::derive(&MasterKeys::from_parts([1; 32], [2; 32]), &id));
        let index = Index::new(Arc::new(Cache::open(None, &id, Swept::Gone).unwrap())).unwrap();
        let packer = Packer::start(Store::memory(), Arc::clone(&keys), [4; 16], None, 0);
        let mut writer = MetadataWriter::new(&keys, &index, &packer).unwrap();
        let mut builder = DirectoryBuilder::default();
        for node in nodes {
            builder.push(node, 0, &mut writer).unwrap();
        }
        builder.finish(&mut writer).unwrap();
        writer.finish().unwrap();
        // Two, two and one, and the list of the three.
        let (_, _, blobs) = writer.sums();
        assert_eq!(blobs, 4);
    }
}
