//! Attachments without the entries of what goes.

use super::unreadable;
use crate::engine::attachments::{
    EntryWalk, KeyRanges, PartReader, file_prefix, folder_prefix, root_prefix,
};
use crate::engine::backup::attachment::AttachmentBuilder;
use crate::engine::rewrite::Rewriter;
use crate::error::Result;
use crate::format::record::{Attachment, Root, RootKind};
use crate::repository::Repository;

/// Says whether an entry of an attachment goes, by the attachment's kind and the entry's key, whatever
/// becomes of its file.
pub type DropsEntry<'a> = dyn Fn(&str, &[u8]) -> bool + 'a;

/// Which entries stay: those of files that stay. What is of no root that stays, or whose key has
/// another form, may tell of what goes, and goes as well.
#[derive(Default)]
pub(super) struct EntryRules {
    staying_roots: KeyRanges,
    gone: KeyRanges,
}

impl EntryRules {
    /// Notes a root of which something stays, and the absolute paths of what went of it.
    pub(super) fn root(&mut self, root: &Root, removed: &[Vec<u8>]) {
        if root.kind != RootKind::Agent as u64 {
            return;
        }
        let (agent, label) = (root.agent.as_str(), root.label.as_str());
        self.staying_roots.insert(root_prefix(agent, label));
        for path in removed {
            let below = path.strip_prefix(root.place.0.as_slice()).unwrap_or_default();
            let relative = below.strip_prefix(b"/").unwrap_or(below);
            self.gone.insert(file_prefix(agent, label, relative));
            self.gone.insert(folder_prefix(agent, label, relative));
        }
    }

    fn keeps(&self, key: &[u8]) -> bool {
        self.staying_roots.covers(key) && !self.gone.covers(key)
    }

    /// Returns the attachments without the entries that go, and how many these are. One of which
    /// nothing is left goes as well. Parts are stored in full: no difference may stand on what goes.
    pub(super) fn apply(
        &self,
        repository: &Repository,
        attachments: &[Attachment],
        drops: Option<&DropsEntry<'_>>,
        rewriter: &mut Rewriter<'_>,
    ) -> Result<(Vec<Attachment>, u64)> {
        let (mut kept, mut dropped) = (Vec::new(), 0_u64);
        for attachment in attachments {
            let mut parts = PartReader::new(repository)?;
            let mut entries = EntryWalk::new(attachment, &[]);
            let mut builder = AttachmentBuilder::new(None);
            let mut is_empty = true;
            let mut is_same = true;
            loop {
                let next = entries.next(&mut parts);
                let next = next.map_err(|error| {
                    unreadable(format!("(attachment {})", attachment.kind).as_bytes(), error)
                })?;
                let Some((key, value)) = next else { break };
                let goes = !self.keeps(&key)
                    || drops.is_some_and(|drops| drops(&attachment.kind, key.0.as_slice()));
                if goes {
                    dropped = dropped.saturating_add(1);
                    is_same = false;
                    continue;
                }
                is_empty = false;
                if let Some(writer) = rewriter.writer() {
                    builder.push((key, value), writer)?;
                }
            }
            if is_same {
                kept.push(attachment.clone());
            } else if let Some(writer) = rewriter.writer().filter(|_| !is_empty) {
                kept.push(builder.finish(&attachment.kind, writer)?);
            }
        }
        Ok((kept, dropped))
    }
}
