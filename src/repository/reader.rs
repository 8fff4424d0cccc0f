//! Blobs out of the store: found, fetched, opened, verified.
//!
//! A [`BlobReader`] belongs to one thread and keeps a few decompressed units, since what is read
//! together was mostly stored together. Every place of a blob is tried before it is called
//! damaged. Memory: 8 MiB of units, or as much as it was given, and one more.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Repository;
use super::cache::Place;
use super::container::{OpenError, open_ends, pack_table};
use crate::codec::crypto::{ObjectSealer, Role};
use crate::codec::{CodecError, UnitDecoder};
use crate::error::{Error, Kind, Result};
use crate::format::object::{HEADER_LENGTH, ObjectHeader, ObjectKind};
use crate::format::pack::{BlobKind, UnitEntry};
use crate::format::record::{AttachmentMap, decode_list};
use crate::format::tree::{Node, Subtree, Tree};
use crate::format::{DecodeError, LIMITS};
use crate::id::{BlobId, ObjectHash};
use crate::store::ObjectName;

/// Decompressed units that a reader keeps, in bytes.
const KEPT_BYTES: usize = 8 << 20;
/// Opened object headers that a reader keeps.
const KEPT_OBJECTS: usize = 64;

/// Which bytes a reader may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Everything,
    Near,
}

/// Reads blobs. See the module's head.
pub struct BlobReader<'r> {
    repository: &'r Repository,
    decoder: UnitDecoder,
    units: VecDeque<(ObjectHash, u32, Arc<Vec<u8>>)>,
    sealers: VecDeque<(ObjectHash, Arc<ObjectSealer>)>,
    kept_bytes: usize,
    /// Which bytes may be read.
    reach: Reach,
    /// How many more may be opened for the blob that is being read.
    units_left: u32,
}

impl<'r> BlobReader<'r> {
    /// Returns a reader.
    pub fn new(repository: &'r Repository) -> Result<Self> {
        BlobReader::with_room(repository, KEPT_BYTES)
    }

    /// Returns a reader that keeps at most `kept_bytes` of decompressed units.
    pub fn with_room(repository: &'r Repository, kept_bytes: usize) -> Result<Self> {
        let decoder = UnitDecoder::new()
            .map_err(|error| Error::failed("cannot start a reader").source(error))?;
        let (units, sealers) = (VecDeque::new(), VecDeque::new());
        Ok(BlobReader {
            repository,
            decoder,
            units,
            sealers,
            kept_bytes,
            reach: Reach::Everything,
            units_left: 0,
        })
    }

    /// Fetches no content over a network, and takes what there are copies of from these: for what is
    /// of use only if it is at hand.
    #[must_use]
    pub fn near(self) -> Self {
        BlobReader { reach: Reach::Near, ..self }
    }

    fn fetch(&self, kind: BlobKind, object: &ObjectName, start: u64, end: u64) -> Result<Vec<u8>> {
        if self.reach == Reach::Near && self.repository.store().is_remote() {
            match self.repository.store().get_near(object, start, end)? {
                Some(bytes) => return Ok(bytes.into()),
                None if kind == BlobKind::Data => {
                    return Err(Error::failed("not at hand:").object(object.to_string()));
                }
                None => {}
            }
        }
        fetch(self.repository, object, start, end)
    }

    /// Returns a blob's plaintext, verified against its id.
    pub fn load(&mut self, kind: BlobKind, id: &BlobId) -> Result<Vec<u8>> {
        self.units_left = LIMITS.delta_units;
        self.load_at_depth(kind, id, 0)
    }

    fn load_at_depth(&mut self, kind: BlobKind, id: &BlobId, depth: u64) -> Result<Vec<u8>> {
        let units_left = self.units_left.checked_sub(1).filter(|_| depth <= LIMITS.delta_depth);
        let Some(units_left) = units_left else {
            return Err(Error::damaged("deltas are too deep or go in a circle at", id.to_string()));
        };
        self.units_left = units_left;
        let places = self.repository.cache().places(id)?;
        let mut failure = None;
        for place in places.iter().filter(|place| place.kind == kind) {
            match self.load_place(place, id, depth) {
                Ok(plain) => return Ok(plain),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| {
            Error::damaged(format!("{} blob is not in the index:", kind.name()), id.to_string())
                .hint("run `stash repair index`, which reads it anew from the packs")
        }))
    }

    fn load_place(&mut self, place: &Place, id: &BlobId, depth: u64) -> Result<Vec<u8>> {
        let unit = self.unit(place, depth)?;
        let start = usize::try_from(place.start).unwrap_or(usize::MAX);
        let length = usize::try_from(place.length).unwrap_or(usize::MAX);
        let blob = unit
            .get(start..start.saturating_add(length))
            .filter(|blob| self.repository.keys().blob_id(place.kind, blob) == *id)
            .ok_or_else(|| damaged(&place.object, &CodecError::WrongContent.into()))?;
        Ok(blob.to_vec())
    }

    fn unit(&mut self, place: &Place, depth: u64) -> Result<Arc<Vec<u8>>> {
        let hash = place.object.hash();
        let kept = self.units.iter().find(|(h, number, _)| *h == hash && *number == place.unit);
        if let Some((_, _, unit)) = kept {
            return Ok(Arc::clone(unit));
        }
        let end = place.offset.saturating_add(place.stored_length);
        let mut sealed = self.fetch(place.kind, &place.object, place.offset, end)?;
        let base = self.load_prefix(place.kind, &place.bases, depth.saturating_add(1))?;
        let sealer = self.sealer_for(place.kind, &place.object)?;
        let mut plain = Vec::new();
        open_unit(&sealer, &mut self.decoder, place, &mut sealed, base.as_deref(), &mut plain)
            .map_err(|error| damaged(&place.object, &error))?;
        let unit = Arc::new(plain);
        self.keep(hash, place.unit, &unit);
        Ok(unit)
    }

    /// Returns a unit's payload, opened but not decompressed.
    pub fn load_payload(&mut self, place: &Place) -> Result<Vec<u8>> {
        let end = place.offset.saturating_add(place.stored_length);
        let mut sealed = self.fetch(place.kind, &place.object, place.offset, end)?;
        let sealer = self.sealer_for(place.kind, &place.object)?;
        let length = sealer
            .open(Role::Unit(place.kind), place.unit, &mut sealed)
            .map_err(|error| damaged(&place.object, &error.into()))?
            .len();
        sealed.truncate(length);
        Ok(sealed)
    }

    /// Returns the plaintexts of a unit's bases, one after the other; `None` if it has no bases.
    pub fn load_bases(&mut self, kind: BlobKind, bases: &[BlobId]) -> Result<Option<Vec<u8>>> {
        self.units_left = LIMITS.delta_units;
        self.load_prefix(kind, bases, 1)
    }

    fn load_prefix(
        &mut self,
        kind: BlobKind,
        bases: &[BlobId],
        depth: u64,
    ) -> Result<Option<Vec<u8>>> {
        let mut prefix: Option<Vec<u8>> = None;
        for base in bases {
            let plain = self.load_at_depth(kind, base, depth)?;
            let Some(prefix) = &mut prefix else {
                prefix = Some(plain);
                continue;
            };
            if prefix.len().saturating_add(plain.len()) > LIMITS.delta_prefix {
                return Err(Error::damaged("a delta has too much below it, at", base.to_string()));
            }
            prefix.extend_from_slice(&plain);
        }
        Ok(prefix)
    }

    fn keep(&mut self, object: ObjectHash, number: u32, unit: &Arc<Vec<u8>>) {
        self.units.push_back((object, number, Arc::clone(unit)));
        let mut bytes: usize = self.units.iter().map(|(_, _, unit)| unit.len()).sum();
        while bytes > self.kept_bytes
            && let Some((_, _, oldest)) = self.units.pop_front()
        {
            bytes = bytes.saturating_sub(oldest.len());
        }
    }

    /// Returns what opens the units of an object, reading its header if need be.
    pub fn sealer(&mut self, object: &ObjectName) -> Result<Arc<ObjectSealer>> {
        self.sealer_for(BlobKind::Tree, object)
    }

    fn sealer_for(&mut self, kind: BlobKind, object: &ObjectName) -> Result<Arc<ObjectSealer>> {
        let hash = object.hash();
        if let Some((_, sealer)) = self.sealers.iter().find(|(kept, _)| *kept == hash) {
            return Ok(Arc::clone(sealer));
        }
        let head = self.fetch(kind, object, 0, HEADER_LENGTH as u64)?;
        let sealer = open_header(self.repository, object, &head)
            .map(Arc::new)
            .map_err(|error| damaged(object, &error))?;
        if self.sealers.len() >= KEPT_OBJECTS {
            self.sealers.pop_front();
        }
        self.sealers.push_back((hash, Arc::clone(&sealer)));
        Ok(sealer)
    }

    /// Returns a tree blob.
    pub fn load_tree(&mut self, id: &BlobId) -> Result<Tree> {
        let bytes = self.load(BlobKind::Tree, id)?;
        Tree::decode(&bytes)
            .map_err(|error| Error::damaged("cannot read tree", id.to_string()).source(error))
    }

    /// Returns an attachment, or a part of one.
    pub fn load_attachment(&mut self, id: &BlobId) -> Result<AttachmentMap> {
        let bytes = self.load(BlobKind::Attachment, id)?;
        AttachmentMap::decode(&bytes)
            .map_err(|error| Error::damaged("cannot read attachment", id.to_string()).source(error))
    }

    /// Returns the nodes of a directory one part after the other, in ascending order of names.
    pub fn nodes(&mut self, subtree: &Subtree) -> NodeIter {
        match subtree {
            Subtree::Inline(nodes) => {
                NodeIter { current: nodes.clone().into_iter(), pending: Vec::new() }
            }
            Subtree::Blob(id) => {
                NodeIter { current: Vec::new().into_iter(), pending: vec![(*id, 0)] }
            }
        }
    }

    /// Returns the ids of a file's data blobs, reading its list segments if it has any.
    pub fn data_blobs(&mut self, node: &Node) -> Result<Vec<BlobId>> {
        if node.segments.is_empty() {
            return Ok(node.blobs.0.clone());
        }
        let mut ids = Vec::new();
        for segment in node.segments.iter() {
            ids.extend(self.load_list(segment)?);
        }
        Ok(ids)
    }

    /// Returns a list segment.
    pub fn load_list(&mut self, id: &BlobId) -> Result<Vec<BlobId>> {
        let bytes = self.load(BlobKind::List, id)?;
        decode_list(&bytes).map_err(|error| {
            Error::damaged("cannot read list segment", id.to_string()).source(error)
        })
    }
}

/// Walks a directory's nodes; holds one part at a time. Call [`NodeIter::next`] with a reader.
pub struct NodeIter {
    current: std::vec::IntoIter<Node>,
    pending: Vec<(BlobId, usize)>,
}

impl NodeIter {
    /// Returns the iterator of an empty directory.
    pub fn empty() -> NodeIter {
        NodeIter { current: Vec::new().into_iter(), pending: Vec::new() }
    }

    /// Returns the next node. An error stands for a part that can't be read; what follows it
    /// comes next.
    pub fn next(&mut self, reader: &mut BlobReader<'_>) -> Result<Option<Node>> {
        loop {
            if let Some(node) = self.current.next() {
                return Ok(Some(node));
            }
            let Some((id, depth)) = self.pending.pop() else { return Ok(None) };
            // Each level takes eight bits of a hash: nothing honest comes near this.
            if depth > 16 {
                return Err(Error::damaged("tree parts are nested too deeply at", id.to_string()));
            }
            match reader.load_tree(&id) {
                Ok(Tree::Nodes(nodes)) => self.current = nodes.into_iter(),
                Ok(Tree::Parts(parts)) => self
                    .pending
                    .extend(parts.iter().rev().map(|part| (part.1, depth.saturating_add(1)))),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Fetches a range; a missing or shorter object is damage that names it.
pub fn fetch(
    repository: &Repository,
    object: &ObjectName,
    start: u64,
    end: u64,
) -> Result<Vec<u8>> {
    let bytes = repository.store().get_range(object, start, end)?.ok_or_else(|| {
        Error::damaged("object is missing:", object.to_string())
            .hint("run `stash check`; it names what is lost and what is not")
    })?;
    if bytes.len() as u64 != end.saturating_sub(start) {
        return Err(damaged(object, &DecodeError::Cut.into()));
    }
    Ok(bytes.into())
}

/// Reads a pack's table from its own footer.
pub fn read_pack_table(
    repository: &Repository,
    object: &ObjectName,
    size: u64,
) -> Result<Vec<UnitEntry>> {
    let head = fetch(repository, object, 0, (HEADER_LENGTH as u64).min(size))?;
    let mut length = TABLE_GUESS.min(size);
    loop {
        let tail = fetch(repository, object, size.saturating_sub(length), size)?;
        let ends = open_ends(repository.keys(), ObjectKind::Pack, &head, &tail)
            .map_err(|error| damaged(object, &error))?;
        match ends {
            Ok(opened) => {
                let table =
                    pack_table(&opened, size).map_err(|error| damaged(object, &error.into()))?;
                return Ok(table.into_iter().map(|(_, unit)| unit).collect());
            }
            Err(needed) if needed > length && needed <= size => length = needed,
            Err(_) => return Err(damaged(object, &DecodeError::Cut.into())),
        }
    }
}

/// How much of a pack's end is fetched first, in bytes: most tables fit.
const TABLE_GUESS: u64 = 64 << 10;

/// Opens an object's header.
pub fn open_header(
    repository: &Repository,
    object: &ObjectName,
    head: &[u8],
) -> Result<ObjectSealer, OpenError> {
    let kind = match object {
        ObjectName::Record(_) => ObjectKind::Record,
        ObjectName::Segment(_) => ObjectKind::Segment,
        _ => ObjectKind::Pack,
    };
    let header = ObjectHeader::decode(head, kind)?;
    Ok(repository.keys().open_object(header)?)
}

/// Opens and decompresses a unit into `plain`; the blobs in it are not verified yet.
pub fn open_unit(
    sealer: &ObjectSealer,
    decoder: &mut UnitDecoder,
    place: &Place,
    sealed: &mut [u8],
    base: Option<&[u8]>,
    plain: &mut Vec<u8>,
) -> Result<(), OpenError> {
    let payload = sealer.open(Role::Unit(place.kind), place.unit, sealed)?;
    let length = usize::try_from(place.unit_length).map_err(|_| CodecError::TooLong)?;
    Ok(decoder.decode(place.form, payload, length, base, plain)?)
}

/// Returns the error for an object of an epoch that this key was not granted.
pub fn left_out(object: &ObjectName, cause: CodecError) -> Error {
    Error::new(Kind::WrongPassphrase, "cannot read").object(object.to_string()).source(cause).hint(
        "the keys were rotated and this one was left out; nothing was changed; a machine whose key \
         still opens the repository can add another for this one (`stash key add`)",
    )
}

/// Returns the error for an object that can't be read.
pub fn damaged(object: &ObjectName, cause: &OpenError) -> Error {
    if let OpenError::Codec(error @ CodecError::UnknownEpoch(_)) = cause {
        return left_out(object, *error);
    }
    Error::damaged("object is damaged:", object.to_string())
        .source(cause.clone())
        .hint("run `stash check`; it names what is lost and what is not")
}
