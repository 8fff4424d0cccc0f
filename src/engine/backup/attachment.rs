//! Attachments of a snapshot, put together from entries in ascending order of their keys
//! (`format-spec/7-record.md`): in the snapshot itself while they are small, else in blobs.

use super::cut::Cutter;
use super::metadata::MetadataWriter;
use crate::error::Result;
use crate::format::LIMITS;
use crate::format::cbor::{self, Bytes};
use crate::format::record::Attachment;
use crate::id::BlobId;

/// An attachment under construction. Memory: what is not cut yet, at most one part.
pub(crate) struct AttachmentBuilder {
    entries: Vec<(Bytes, Bytes)>,
    /// Length of `entries`, each encoded, in bytes.
    entry_bytes: usize,
    /// Whether it is too large for the snapshot.
    is_cut: bool,
    cutter: Cutter<(Bytes, Bytes)>,
}

impl AttachmentBuilder {
    /// Begins an attachment; parts are stored as differences from those of `before`, where it pays.
    pub(crate) fn new(before: Option<BlobId>) -> Self {
        AttachmentBuilder {
            entries: Vec::new(),
            entry_bytes: 0,
            is_cut: false,
            cutter: Cutter::new(before),
        }
    }

    /// Adds an entry, whose key must be above all before it.
    pub(crate) fn push(
        &mut self,
        entry: (Bytes, Bytes),
        writer: &mut MetadataWriter<'_>,
    ) -> Result<()> {
        if self.is_cut {
            return self.cutter.push(entry, writer);
        }
        self.entry_bytes = self.entry_bytes.saturating_add(cbor::encoded_length(&entry));
        self.entries.push(entry);
        let length = cbor::array_head_length(self.entries.len()).saturating_add(self.entry_bytes);
        if length > LIMITS.inline_subtree {
            self.is_cut = true;
            for entry in std::mem::take(&mut self.entries) {
                self.cutter.push(entry, writer)?;
            }
        }
        Ok(())
    }

    /// Ends the attachment.
    pub(crate) fn finish(self, kind: &str, writer: &mut MetadataWriter<'_>) -> Result<Attachment> {
        let blob = if self.is_cut { Some(self.cutter.finish(writer)?) } else { None };
        Ok(Attachment {
            kind: kind.to_owned(),
            blob,
            entries: self.entries,
            ..Attachment::default()
        })
    }
}
