//! Which blobs of a snapshot do not stand in a repository that names them alike.
//!
//! Every tree, list and attachment part is read once for all snapshots of a run; each blob that it
//! refers to is looked up there. What a snapshot had that is there already, in the same place, is
//! not looked into: a tree alone proves nothing, since a record may publish it before what is below
//! (`format-spec/7-record.md`, rule 10), but a snapshot does.

use std::collections::{HashMap, HashSet};

use super::Base;
use crate::error::{Error, Result};
use crate::event::Counters;
use crate::format::LIMITS;
use crate::format::pack::BlobKind;
use crate::format::record::{AttachmentMap, Snapshot};
use crate::format::tree::{Node, Part, Subtree, Tree};
use crate::id::BlobId;
use crate::repository::Repository;
use crate::repository::cache::Place;
use crate::repository::index::{Claim, Index};
use crate::repository::ledger::Ledger;
use crate::repository::reader::BlobReader;

/// Half an id tells blobs apart as well, and takes half the room.
fn half(id: &BlobId) -> u128 {
    id.0.first_chunk::<16>().map_or(0, |bytes| u128::from_le_bytes(*bytes))
}

/// A tree to look into, with the one that the base has in its place.
type Step = (BlobId, Option<BlobId>);

/// The walk. See the module's head.
pub(super) struct Walk<'w> {
    pub(super) from: &'w Repository,
    pub(super) reader: BlobReader<'w>,
    pub(super) index: &'w Index,
    pub(super) ledger: &'w Ledger,
    pub(super) done: &'w mut HashSet<u128>,
    pub(super) counters: &'w Counters,
    /// Blobs that are wanted.
    pub(super) blobs: u64,
    /// What they take where they are, in bytes.
    pub(super) stored_bytes: u64,
}

impl Walk<'_> {
    /// Notes all that is wanted of a snapshot.
    pub(super) fn snapshot(&mut self, snapshot: &Snapshot, base: Option<&Base>) -> Result<()> {
        let mut stack: Vec<Step> = Vec::new();
        for root in &snapshot.roots {
            let before = base.and_then(|base| {
                let like = base.copy.roots.iter().find(|before| {
                    (before.kind, &before.place, &before.agent, &before.label)
                        == (root.kind, &root.place, &root.agent, &root.label)
                });
                like.map(|before| &before.node)
            });
            if let Some(before) = before {
                self.known(before);
            }
            self.node(&root.node, before, &mut stack)?;
        }
        while let Some((id, before)) = stack.pop() {
            self.counters.go_on()?;
            self.tree(id, before, &mut stack)?;
        }
        let blobs = |snapshot: &Snapshot| -> Vec<BlobId> {
            snapshot.attachments.iter().filter_map(|attachment| attachment.blob).collect()
        };
        self.done.extend(base.iter().flat_map(|base| blobs(&base.copy)).map(|id| half(&id)));
        let mut parts: Vec<(BlobId, u64)> = blobs(snapshot).into_iter().map(|id| (id, 0)).collect();
        while let Some((id, depth)) = parts.pop() {
            if !self.done.insert(half(&id)) {
                continue;
            }
            if depth > LIMITS.delta_depth {
                return Err(Error::damaged("attachments are nested too deeply at", id.to_string()));
            }
            if let AttachmentMap::Parts(below) = self.reader.load_attachment(&id)? {
                parts.extend(below.iter().map(|part| (part.1, depth.saturating_add(1))));
            }
            self.want(BlobKind::Attachment, &id)?;
        }
        Ok(())
    }

    fn tree(&mut self, id: BlobId, before: Option<BlobId>, stack: &mut Vec<Step>) -> Result<()> {
        if !self.done.insert(half(&id)) {
            return Ok(());
        }
        let tree = self.reader.load_tree(&id)?;
        self.want(BlobKind::Tree, &id)?;
        // A base that can't be read here is no base.
        let before = before.and_then(|before| self.reader.load_tree(&before).ok());
        match (tree, before) {
            (Tree::Parts(parts), Some(Tree::Parts(before))) => {
                self.done.extend(before.iter().map(|part| half(&part.1)));
                stack.extend(parts.iter().map(|part| (part.1, partner(part, &before))));
            }
            (Tree::Parts(parts), _) => stack.extend(parts.iter().map(|part| (part.1, None))),
            (Tree::Nodes(nodes), Some(Tree::Nodes(before))) => {
                self.nodes(&nodes, &before, stack)?;
            }
            (Tree::Nodes(nodes), _) => self.nodes(&nodes, &[], stack)?,
        }
        Ok(())
    }

    fn nodes(&mut self, nodes: &[Node], before: &[Node], stack: &mut Vec<Step>) -> Result<()> {
        let mut by_name: HashMap<&[u8], &Node> = HashMap::new();
        for node in before {
            self.known(node);
            by_name.insert(&node.name, node);
        }
        for node in nodes {
            self.node(node, by_name.get(node.name.0.as_slice()).copied(), stack)?;
        }
        Ok(())
    }

    /// Notes that what a node of the base names stands.
    fn known(&mut self, node: &Node) {
        if let Subtree::Blob(id) = &node.subtree {
            self.done.insert(half(id));
        }
        self.done.extend(node.segments.iter().map(half));
    }

    fn node(&mut self, node: &Node, before: Option<&Node>, stack: &mut Vec<Step>) -> Result<()> {
        let before_it = before.map(|before| &before.subtree);
        match (&node.subtree, before_it) {
            (Subtree::Blob(id), Some(Subtree::Blob(before))) => stack.push((*id, Some(*before))),
            (Subtree::Blob(id), _) => stack.push((*id, None)),
            (Subtree::Inline(nodes), Some(Subtree::Inline(before))) => {
                self.nodes(nodes, before, stack)?;
            }
            (Subtree::Inline(nodes), _) => self.nodes(nodes, &[], stack)?,
        }
        if before.is_some_and(|before| before.blobs == node.blobs) {
            return self.segments(node);
        }
        for id in node.blobs.iter() {
            self.want(BlobKind::Data, id)?;
        }
        self.segments(node)
    }

    fn segments(&mut self, node: &Node) -> Result<()> {
        for segment in node.segments.iter() {
            if !self.done.insert(half(segment)) {
                continue;
            }
            for id in self.reader.load_list(segment)? {
                self.want(BlobKind::Data, &id)?;
            }
            self.want(BlobKind::List, segment)?;
        }
        Ok(())
    }

    /// Notes a blob, unless it stands there.
    fn want(&mut self, kind: BlobKind, id: &BlobId) -> Result<()> {
        if self.index.claim(id)? == Claim::Known {
            return Ok(());
        }
        let places = self.from.cache().places(id)?;
        let places: Vec<&Place> = places.iter().filter(|place| place.kind == kind).collect();
        let Some((rank, place)) = best(self.from, &places)? else {
            let what = format!("{} blob is not in the index:", kind.name());
            return Err(
                Error::damaged(what, id.to_string()).hint("`stash check` says what is lost")
            );
        };
        self.blobs = self.blobs.saturating_add(1);
        let share = u128::from(place.stored_length).saturating_mul(u128::from(place.length))
            / u128::from(place.unit_length.max(1));
        let share = u64::try_from(share).unwrap_or(place.stored_length);
        self.stored_bytes = self.stored_bytes.saturating_add(share);
        self.ledger.want(rank, place, id)
    }
}

/// Returns the part of the base that begins where this one does, or before it.
fn partner(part: &Part, before: &[Part]) -> Option<BlobId> {
    let place = before.partition_point(|other| other.0 <= part.0).checked_sub(1)?;
    before.get(place).map(|other| other.1)
}

/// Returns the place from which a blob is read: one that holds it in full, else the one over which
/// the fewest differences lie one upon another. Ranks so chosen go down along every chain, so that no
/// circle can be carried over.
fn best<'p>(from: &Repository, places: &[&'p Place]) -> Result<Option<(u64, &'p Place)>> {
    let full = |place: &Place| place.bases.is_empty();
    if let Some(place) = places.iter().find(|place| place.is_reliable && full(place)) {
        return Ok(Some((0, *place)));
    }
    let mut best: Option<(u64, &Place)> = None;
    for place in places.iter().copied().filter(|place| place.is_reliable) {
        let mut deepest = Some(0);
        for base in &place.bases {
            let below = from.cache().find_chain(base)?.map(|chain| chain.depth);
            deepest = deepest.zip(below).map(|(deepest, below)| below.max(deepest));
        }
        let Some(rank) = deepest.map(|depth| depth.saturating_add(1)) else { continue };
        if best.is_none_or(|(least, _)| rank < least) {
            best = Some((rank, place));
        }
    }
    // A place on which nothing new may rely can still be read from.
    let any = || places.first().map(|place| (0, *place));
    Ok(best.or_else(any))
}
