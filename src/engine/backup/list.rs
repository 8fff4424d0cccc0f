//! A file's list of data blobs, cut into segments (`format-spec/6-tree.md`).

use super::metadata::MetadataWriter;
use crate::error::Result;
use crate::format::LIMITS;
use crate::format::cbor::Ids;
use crate::format::tree::Node;
use crate::id::BlobId;

/// A file's list of data blobs under construction; ids may come in any order.
#[derive(Default)]
pub(super) struct ListBuilder {
    next: u32,
    early: std::collections::BTreeMap<u32, BlobId>,
    ids: Vec<BlobId>,
    segments: Vec<BlobId>,
    /// The parent's segments.
    before: Vec<BlobId>,
}

impl ListBuilder {
    /// Returns a builder of a list in whose place the parent had these segments.
    pub(super) fn with_before(before: Vec<BlobId>) -> Self {
        ListBuilder { before, ..ListBuilder::default() }
    }

    fn store_segment(&mut self, ids: &[BlobId], writer: &mut MetadataWriter<'_>) -> Result<()> {
        let before = self.before.get(self.segments.len()).copied();
        self.segments.push(writer.store_list(ids, before)?);
        Ok(())
    }

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
                let ids = std::mem::replace(&mut self.ids, rest);
                self.store_segment(&ids, writer)?;
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
                let ids = std::mem::take(&mut self.ids);
                self.store_segment(&ids, writer)?;
            }
            node.segments = Ids(self.segments);
        }
        Ok(())
    }
}
