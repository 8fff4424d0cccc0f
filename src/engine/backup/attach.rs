//! The entries of the snapshot before, with what has changed, into the new snapshot's attachment.
//!
//! Both come in ascending order of keys, so that one part is held at a time beside the changes. A
//! part in which nothing has changed comes out as the blob that it was.

use std::sync::Arc;

use super::attachment::AttachmentBuilder;
use super::difference::DifferenceWriter;
use super::metadata::{MetadataWriter, Sums};
use super::observing::{Changes, ObservedWalk};
use super::{Backup, Packer, is_same};
use crate::engine::attachments::{EntryWalk, PartReader, find, root_prefix};
use crate::error::Result;
use crate::event::Event;
use crate::format::cbor::Bytes;
use crate::format::record::{Attachment, Root, RootKind};
use crate::repository::index::Index;

/// Where the entries of one root of the new snapshot come from.
struct RootEntries<'w> {
    prefix: Vec<u8>,
    before: Option<&'w Attachment>,
}

impl Backup<'_> {
    /// Returns the attachment of what was observed, and what storing it took; `None` if this run
    /// observes nothing, or the entries before could not be read: then the next run that finds it
    /// missing observes all files anew.
    pub(super) fn attach(
        &self,
        index: &Index,
        packer: &Packer,
        roots: &[Root],
        walk: ObservedWalk,
        texts: Changes,
    ) -> Result<(Option<Attachment>, Sums)> {
        let nothing = (None, Sums::default());
        let Some(observer) = self.observer() else { return Ok(nothing) };
        let ObservedWalk { mut changes, roots: walked, failure } = walk;
        changes.extend(texts);
        let in_parent =
            self.parent.as_ref().and_then(|parent| find(&parent.snapshot, observer.kind()));
        let sources: Vec<RootEntries<'_>> = roots
            .iter()
            .filter(|root| root.kind == RootKind::Agent as u64)
            .map(|root| {
                let prefix = root_prefix(&root.agent, &root.label);
                let walked = walked.iter().find(|walked| walked.prefix == prefix);
                let before = walked.map_or(in_parent, |walked| walked.attachment.as_ref());
                RootEntries { prefix, before }
            })
            .collect();
        if sources.is_empty() {
            return Ok(nothing);
        }
        if let Some(same) = in_parent.filter(|it| self.goes_on(it, roots, &sources, &changes)) {
            return Ok((Some(same.clone()), Sums::default()));
        }
        let built = match failure {
            Some(error) => Err(error),
            None => self.build(observer.kind(), index, packer, &sources, &changes)?,
        };
        match built {
            Ok((attachment, sums)) => Ok((Some(attachment), sums)),
            Err(error) => {
                let message = format!(
                    "what was noted of files before can't be read, and is noted anew by the next \
                     backup: {error}"
                );
                self.reporter.event(&Event::Warning { message: &message });
                Ok(nothing)
            }
        }
    }

    /// Returns whether the parent's attachment is the new one's as it is.
    fn goes_on(
        &self,
        in_parent: &Attachment,
        roots: &[Root],
        sources: &[RootEntries<'_>],
        changes: &Changes,
    ) -> bool {
        let Some(parent) = self.parent.as_ref().filter(|_| !self.has_gaps) else { return false };
        let before = &parent.snapshot.roots;
        // Nothing is written then.
        if is_same(before, roots) && !self.options.always {
            return true;
        }
        let before = before.iter().filter(|root| root.kind == RootKind::Agent as u64);
        let before = before.map(|root| root_prefix(&root.agent, &root.label));
        changes.is_empty()
            && sources.iter().all(|source| source.before == Some(in_parent))
            && before.eq(sources.iter().map(|source| source.prefix.clone()))
    }

    /// Puts an attachment together. The inner error is that of an entry before which can't be read.
    fn build(
        &self,
        kind: &str,
        index: &Index,
        packer: &Packer,
        sources: &[RootEntries<'_>],
        changes: &Changes,
    ) -> Result<Result<(Attachment, Sums)>> {
        let keys = Arc::clone(self.repository.keys());
        let mut writer = MetadataWriter::new(&keys, index, packer)?
            .with_differences(DifferenceWriter::new(self.repository)?);
        let mut parts = PartReader::new(self.repository)?;
        let before = sources.iter().find_map(|source| source.before.and_then(|it| it.blob));
        let mut builder = AttachmentBuilder::new(before);
        for source in sources {
            let prefix = source.prefix.as_slice();
            let mut old =
                source.before.map_or_else(EntryWalk::empty, |it| EntryWalk::new(it, prefix));
            let fresh = changes.fresh.range(prefix.to_vec()..);
            let mut fresh = fresh.take_while(|(key, _)| key.starts_with(prefix)).peekable();
            loop {
                let next = loop {
                    match old.next(&mut parts) {
                        Ok(Some((key, _))) if changes.is_gone(&key) => {}
                        Ok(next) => break next,
                        Err(error) => return Ok(Err(error)),
                    }
                };
                let limit = next.as_ref().map(|(key, _)| key.0.as_slice());
                while let Some((key, value)) =
                    fresh.next_if(|(key, _)| limit.is_none_or(|limit| key.as_slice() < limit))
                {
                    builder.push((Bytes(key.clone()), Bytes(value.clone())), &mut writer)?;
                }
                let Some(entry) = next else { break };
                // What is new of the same key comes instead.
                if fresh.peek().is_none_or(|(key, _)| *key != &entry.0.0) {
                    builder.push(entry, &mut writer)?;
                }
            }
        }
        let attachment = builder.finish(kind, &mut writer)?;
        writer.finish()?;
        Ok(Ok((attachment, writer.sums())))
    }
}
