//! Snapshots into a repository that names blobs otherwise.
//!
//! Each blob is decoded, named by the other keys, and stored unless it is there; lists, directories
//! and attachments, which hold names of blobs, are written anew from the leaves up. Content keeps its
//! cuts; directories are cut as the other repository cuts them.
//!
//! What a blob is called there is known from this run, or from a snapshot that is on both sides: its
//! two trees are read side by side where the new snapshot differs from it, and nowhere else.

use std::collections::HashMap;

use super::{Base, Run, Sink};
use crate::codec::Compression;
use crate::engine::backup::metadata::{DirectoryBuilder, MetadataWriter, UnitWriter};
use crate::engine::browse::{Found, TreeStep, TreeWalk};
use crate::error::{Error, Result};
use crate::format::LIMITS;
use crate::format::pack::BlobKind;
use crate::format::record::{Attachment, AttachmentMap, Root, Snapshot};
use crate::format::tree::{Node, NodeKind, Subtree};
use crate::id::BlobId;
use crate::repository::Repository;
use crate::repository::index::Claim;
use crate::repository::ledger::Ledger;
use crate::repository::reader::BlobReader;

impl Run<'_> {
    /// Stores all that a snapshot needs under its names there, and puts these into it.
    pub(super) fn store_anew(
        &mut self,
        snapshot: &mut Snapshot,
        base: Option<&Base>,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let compression = self.options.compression;
        let mut translator = Translator {
            to: self.to,
            reader: BlobReader::new(self.from)?,
            other: BlobReader::new(self.to)?,
            ledger: &self.ledger,
            metadata: MetadataWriter::new(self.to.keys(), sink.index, sink.packer)?,
            data: UnitWriter::new(BlobKind::Data, sink.packer, compression)?,
            attachments: UnitWriter::new(BlobKind::Attachment, sink.packer, Compression::Auto)?,
            sink,
        };
        for root in &mut snapshot.roots {
            let before = base.and_then(|base| pair(root, base));
            let item = Found { path: root.place.to_vec(), node: root.node.clone() };
            root.node = translator.item(item, before)?;
        }
        if let Some(base) = base {
            translator.learn_attachments(&base.source.attachments, &base.copy.attachments)?;
        }
        for attachment in &mut snapshot.attachments {
            if let Some(id) = attachment.blob {
                attachment.blob = Some(translator.attachment(id, 0)?);
            }
        }
        let blobs = translator.finish()?;
        self.report.blobs = self.report.blobs.saturating_add(blobs);
        Ok(())
    }
}

/// The same item in both of the base's snapshots.
type Pair = (Node, Node);

fn pair(root: &Root, base: &Base) -> Option<Pair> {
    let find = |snapshot: &Snapshot| {
        let is_same = |other: &&Root| {
            (other.kind, &other.place, &other.agent, &other.label)
                == (root.kind, &root.place, &root.agent, &root.label)
        };
        snapshot.roots.iter().find(is_same).map(|root| root.node.clone())
    };
    find(&base.source).zip(find(&base.copy))
}

/// A directory that is written anew.
struct Level {
    node: Node,
    /// Its content there, if that is known.
    known: Option<BlobId>,
    builder: DirectoryBuilder,
    /// What the base has in it, where that is of use.
    before: HashMap<Vec<u8>, Pair>,
}

struct Translator<'t, 's> {
    to: &'t Repository,
    reader: BlobReader<'t>,
    /// Reads what is there.
    other: BlobReader<'t>,
    ledger: &'t Ledger,
    metadata: MetadataWriter<'t>,
    data: UnitWriter<'t>,
    attachments: UnitWriter<'t>,
    sink: &'t mut Sink<'s>,
}

impl Translator<'_, '_> {
    fn item(&mut self, item: Found, before: Option<Pair>) -> Result<Node> {
        if let Some(pair) = &before {
            self.learn_node(pair)?;
        }
        let mut walk = TreeWalk::new(item, true);
        let mut levels: Vec<Level> = Vec::new();
        let mut first = before;
        while let Some(step) = walk.next(&mut self.reader) {
            self.sink.step()?;
            let (node, depth) = match step {
                TreeStep::Failed { error, .. } => return Err(error),
                TreeStep::Node(item) => {
                    let before = match levels.last_mut() {
                        Some(level) => level.before.remove(item.node.name.0.as_slice()),
                        None => first.take(),
                    };
                    let mut node = item.node;
                    if node.kind == NodeKind::Directory {
                        let level = self.enter(node, before)?;
                        if level.known.is_some() {
                            walk.skip();
                        }
                        levels.push(level);
                        continue;
                    }
                    self.content(&mut node, before)?;
                    (node, 0)
                }
                TreeStep::Leave => match levels.pop() {
                    Some(level) => self.leave(level)?,
                    None => return Err(Error::failed("a directory ended that never began")),
                },
            };
            match levels.last_mut() {
                Some(level) => level.builder.push(node, depth, &mut self.metadata)?,
                None => return Ok(node),
            }
        }
        Err(Error::failed("a walk gave nothing"))
    }

    fn enter(&mut self, node: Node, before: Option<Pair>) -> Result<Level> {
        let known = match &node.subtree {
            Subtree::Blob(id) => self.ledger.find_name(id)?,
            Subtree::Inline(_) => None,
        };
        let before = match before {
            Some(pair) if known.is_none() => self.learn_directory(&pair)?,
            _ => HashMap::new(),
        };
        Ok(Level { node, known, builder: DirectoryBuilder::default(), before })
    }

    fn leave(&mut self, level: Level) -> Result<(Node, usize)> {
        let Level { mut node, known, builder, .. } = level;
        if let Some(known) = known {
            node.subtree = Subtree::Blob(known);
            return Ok((node, 0));
        }
        let (subtree, depth) = builder.finish(&mut self.metadata)?;
        if let (Subtree::Blob(old), Subtree::Blob(new)) = (&node.subtree, &subtree) {
            self.ledger.note_name(old, new)?;
        }
        node.subtree = subtree;
        Ok((node, depth))
    }

    /// Puts the names there into a node that is no directory.
    fn content(&mut self, node: &mut Node, before: Option<Pair>) -> Result<()> {
        for id in &mut node.blobs.0 {
            *id = self.data(id)?;
        }
        let mut before = before;
        for segment in &mut node.segments.0 {
            if let Some(known) = self.ledger.find_name(segment)? {
                *segment = known;
                continue;
            }
            if let Some((source, copy)) = before.take() {
                self.learn_lists(&source, &copy)?;
            }
            let mut ids = self.reader.load_list(segment)?;
            for id in &mut ids {
                *id = self.data(id)?;
                self.sink.step()?;
            }
            let new = self.metadata.store_list(&ids, None)?;
            self.ledger.note_name(segment, &new)?;
            *segment = new;
        }
        Ok(())
    }

    /// Returns what a data blob is called there, storing it if it is not there.
    fn data(&mut self, old: &BlobId) -> Result<BlobId> {
        if let Some(known) = self.ledger.find_name(old)? {
            return Ok(known);
        }
        let plain = self.reader.load(BlobKind::Data, old)?;
        let new = self.to.keys().blob_id(BlobKind::Data, &plain);
        if self.sink.index.claim(&new)? == Claim::New {
            self.data.add(new, &plain)?;
        }
        self.ledger.note_name(old, &new)?;
        Ok(new)
    }

    fn attachment(&mut self, old: BlobId, depth: u64) -> Result<BlobId> {
        if let Some(known) = self.ledger.find_name(&old)? {
            return Ok(known);
        }
        if depth > LIMITS.delta_depth {
            return Err(Error::damaged("attachments are nested too deeply at", old.to_string()));
        }
        let mut map = self.reader.load_attachment(&old)?;
        if let AttachmentMap::Parts(parts) = &mut map {
            for part in parts {
                part.1 = self.attachment(part.1, depth.saturating_add(1))?;
            }
        }
        let plain = map.encode();
        let new = self.to.keys().blob_id(BlobKind::Attachment, &plain);
        if self.sink.index.claim(&new)? == Claim::New {
            self.attachments.add(new, &plain)?;
        }
        self.ledger.note_name(&old, &new)?;
        Ok(new)
    }

    /// Learns what a node's own content is called there, from the same node in both.
    fn learn_node(&self, (source, copy): &Pair) -> Result<()> {
        if let (Subtree::Blob(old), Subtree::Blob(new)) = (&source.subtree, &copy.subtree) {
            self.ledger.note_name(old, new)?;
        }
        self.learn_ids(&source.blobs, &copy.blobs)?;
        self.learn_ids(&source.segments, &copy.segments)
    }

    fn learn_ids(&self, old: &[BlobId], new: &[BlobId]) -> Result<()> {
        if old.len() == new.len() {
            for (old, new) in old.iter().zip(new) {
                self.ledger.note_name(old, new)?;
            }
        }
        Ok(())
    }

    /// Learns the names of what lies in a directory of the base; returns what may have to be looked
    /// into. What can't be read is not learned.
    fn learn_directory(&mut self, (source, copy): &Pair) -> Result<HashMap<Vec<u8>, Pair>> {
        let mut pairs = HashMap::new();
        let (mut old, mut new) =
            (self.reader.nodes(&source.subtree), self.other.nodes(&copy.subtree));
        while let (Ok(Some(old)), Ok(Some(new))) =
            (old.next(&mut self.reader), new.next(&mut self.other))
        {
            // A copy has the same names; where it has not, nothing more can be paired.
            if old.name != new.name || old.kind != new.kind {
                break;
            }
            let pair = (old, new);
            self.learn_node(&pair)?;
            if pair.0.kind == NodeKind::Directory || !pair.0.segments.is_empty() {
                pairs.insert(pair.0.name.to_vec(), pair);
            }
        }
        Ok(pairs)
    }

    fn learn_lists(&mut self, source: &Node, copy: &Node) -> Result<()> {
        for (old, new) in source.segments.iter().zip(copy.segments.iter()) {
            if let (Ok(old), Ok(new)) = (self.reader.load_list(old), self.other.load_list(new)) {
                self.learn_ids(&old, &new)?;
            }
        }
        Ok(())
    }

    fn learn_attachments(&self, source: &[Attachment], copy: &[Attachment]) -> Result<()> {
        for old in source {
            let same = copy.iter().find(|new| new.kind == old.kind);
            if let Some((old, new)) = old.blob.zip(same.and_then(|new| new.blob)) {
                self.ledger.note_name(&old, &new)?;
            }
        }
        Ok(())
    }

    /// Closes the units under way; returns how many blobs were stored.
    fn finish(mut self) -> Result<u64> {
        self.metadata.finish()?;
        self.data.flush()?;
        self.attachments.flush()?;
        let (_, _, metadata) = self.metadata.sums();
        let data = self.data.blob_count.saturating_add(self.attachments.blob_count);
        Ok(data.saturating_add(metadata))
    }
}
