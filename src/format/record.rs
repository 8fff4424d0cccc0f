//! What is committed: records, snapshots, marks, checkpoints (`format-spec/7-record.md`).
//!
//! A record is a sealed object whose footer is a [`Record`]. It may hold units of its own, which
//! makes it a small pack as well.

use super::cbor::{self, Bytes, Ids, cbor_map};
use super::pack::{UnitEntry, validate_unit_table};
use super::tree::{Node, NodeKind, Subtree, ascending_keys, validate_name};
use super::{DecodeError, LIMITS};
use crate::id::{BlobId, LaneId, ObjectHash, SnapshotId, Tip};

/// Flag of a snapshot that was taken before a restore overwrote something.
pub const SNAPSHOT_SAFETY: u64 = 1;
/// Flag of a snapshot some of whose items could not be read.
pub const SNAPSHOT_INCOMPLETE: u64 = 2;

/// What a root is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RootKind {
    /// A folder or file of a coding agent.
    Agent = 1,
    /// A path that was named.
    Path = 2,
    /// What came from standard input or a command.
    Stdin = 3,
}

cbor_map! {
    /// One thing that a snapshot holds, with everything below it.
    pub struct Root {
        /// 1 agent, 2 path, 3 standard input.
        "k" => kind: u64,
        /// The agent's id, for an agent's root.
        "a" => agent: String,
        /// Which of the agent's roots.
        "l" => label: String,
        /// The absolute place it was read from.
        "p" => place: Bytes,
        /// The item itself; only the root of a file system has no name.
        "n" => node: Node,
        /// When it was last read (nanoseconds, UTC), if not by the run that made the snapshot.
        "r" => last_read: Option<i64>,
    }
}

cbor_map! {
    /// Something kept beside the trees: a sorted map from keys to small values.
    pub struct Attachment {
        /// What it is, such as `sessions`.
        "k" => kind: String,
        /// The blob that holds the map, or the list of its parts.
        "b" => blob: Option<BlobId>,
        /// The entries themselves, when they take at most 4 KiB encoded.
        "e" => entries: Vec<(Bytes, Bytes)>,
    }
}

cbor_map! {
    /// What a run counted.
    pub struct Statistics {
        /// Files in the snapshot.
        "f" => files: u64,
        /// Directories in the snapshot.
        "d" => directories: u64,
        /// Bytes of all files.
        "b" => bytes: u64,
        /// Files that the parent had not.
        "n" => files_new: u64,
        /// Files that differ from the parent's.
        "c" => files_changed: u64,
        /// Bytes of blobs that were new to the repository, before compression.
        "a" => added_bytes: u64,
        /// Bytes that these blobs take in the repository.
        "s" => stored_bytes: u64,
        /// Items that could not be read.
        "e" => errors: u64,
        /// How long the run took, in nanoseconds.
        "t" => duration: u64,
    }
}

cbor_map! {
    /// One moment of one or more roots. Its id is the keyed hash of its encoding.
    pub struct Snapshot {
        /// The moment (nanoseconds, UTC) that it stands for; may be set by the user.
        "t" => time: i64,
        /// Minutes that local time was ahead of UTC.
        "o" => offset_minutes: i64,
        /// When it was written (nanoseconds, UTC); never below the lane's last.
        "w" => written: i64,
        /// The machine.
        "h" => host: String,
        /// The user.
        "u" => user: String,
        /// The job; each has a line of parents of its own.
        "j" => job: String,
        /// The agents that it holds.
        "A" => agents: Vec<String>,
        /// Words given by the user.
        "g" => tags: Vec<String>,
        /// The snapshot that unchanged items were taken over from.
        "p" => parent: Option<SnapshotId>,
        /// 1 safety, 2 some items could not be read.
        "f" => flags: u64,
        /// What it holds.
        "r" => roots: Vec<Root>,
        /// What is kept beside, in ascending order of kinds, each at most once.
        "x" => attachments: Vec<Attachment>,
        /// What the run counted.
        "s" => statistics: Statistics,
        /// The program's version.
        "v" => program: String,
        /// The snapshot, of another repository, that this is a copy of; of a copy's copy the first.
        "c" => original: Option<SnapshotId>,
    }
}

impl Snapshot {
    /// Reads and checks a snapshot part.
    pub fn decode(bytes: &[u8]) -> Result<Snapshot, DecodeError> {
        let snapshot: Snapshot = cbor::decode(bytes)?;
        for root in &snapshot.roots {
            if !(1..=3).contains(&root.kind) {
                return Err(DecodeError::Unknown("root kind"));
            }
            root.node.validate(false)?;
            // Agent and label become parts of a path that people type.
            for word in [&root.agent, &root.label] {
                if !word.is_empty() {
                    validate_name(word.as_bytes())?;
                }
            }
        }
        for attachment in &snapshot.attachments {
            if attachment.blob.is_some() && !attachment.entries.is_empty() {
                return Err(DecodeError::Inconsistent("attachment"));
            }
            ascending_keys(&attachment.entries)?;
        }
        let kinds: Vec<_> =
            snapshot.attachments.iter().map(|attachment| &attachment.kind).collect();
        if !kinds.is_sorted_by(|a, b| a < b) {
            return Err(DecodeError::Order);
        }
        Ok(snapshot)
    }

    /// Returns what is shown of a snapshot in a list: all but what lies below its roots, and what its
    /// attachments hold. Nobody can take it for the whole: a root that is a directory names a tree
    /// that does not exist, so that a walk fails.
    #[must_use]
    pub fn head(&self) -> Snapshot {
        let mut head = Snapshot { attachments: Vec::new(), ..self.clone() };
        for root in &mut head.roots {
            if root.node.kind == NodeKind::Directory {
                root.node.subtree = Subtree::Blob(BlobId::default());
            }
        }
        head
    }

    /// Returns whether this is only a [`Snapshot::head`].
    pub fn is_head(&self) -> bool {
        let is_cut =
            |node: &Node| matches!(node.subtree, Subtree::Blob(id) if id == BlobId::default());
        self.roots.iter().any(|root| is_cut(&root.node))
    }
}

cbor_map! {
    /// The units of one object: where its blobs are.
    pub struct ObjectUnits {
        /// The object.
        "o" => object: ObjectHash,
        /// Its table.
        "u" => units: Vec<UnitEntry>,
    }
}

impl ObjectUnits {
    /// Returns the object and the blobs in it.
    pub fn object_and_blobs(&self) -> (ObjectHash, Vec<BlobId>) {
        let blobs = self.units.iter().flat_map(|unit| unit.blobs.iter().copied());
        (self.object, blobs.collect())
    }
}

/// What a mark does to a snapshot. The numbers are the format's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MarkKind {
    /// It need not be kept any longer.
    Forget = 1,
    /// Takes a forget back.
    Unforget = 2,
    /// It is kept whatever a policy says.
    Pin = 3,
    /// Takes a pin back.
    Unpin = 4,
    /// Its tags are replaced.
    Tags = 5,
}

cbor_map! {
    /// A word about a snapshot, said later.
    pub struct Mark {
        /// The snapshot.
        "n" => snapshot: SnapshotId,
        /// 1 forget, 2 unforget, 3 pin, 4 unpin, 5 tags.
        "k" => kind: u64,
        /// The new tags.
        "g" => tags: Vec<String>,
        /// When it was first said (nanoseconds, UTC), where a checkpoint repeats it.
        "w" => written: Option<i64>,
    }
}

cbor_map! {
    /// A lane's first word: who writes.
    pub struct Open {
        /// The machine.
        "h" => host: String,
        /// The program's version.
        "v" => program: String,
    }
}

cbor_map! {
    /// A run that is under way: the packs that this record names are not garbage yet.
    pub struct Partial {
        /// When the run began (nanoseconds, UTC).
        "t" => started: i64,
        /// The job.
        "j" => job: String,
    }
}

cbor_map! {
    /// Objects that nobody needs, or whose live blobs stand elsewhere.
    pub struct Condemn {
        /// The objects.
        "o" => objects: Ids<ObjectHash>,
    }
}

cbor_map! {
    /// Objects that are about to be deleted.
    pub struct Sweep {
        /// The records that condemned them.
        "c" => condemnations: Ids<ObjectHash>,
        /// The objects.
        "o" => objects: Ids<ObjectHash>,
    }
}

cbor_map! {
    /// What replaces older records for those who open the repository anew.
    pub struct Checkpoint {
        /// The records that it covers, by name.
        "r" => records: Ids<ObjectHash>,
        /// The segments written for it.
        "n" => new_segments: Ids<ObjectHash>,
        /// Older segments that still stand.
        "o" => old_segments: Ids<ObjectHash>,
        /// The live snapshots; the segments hold them.
        "s" => snapshots: Ids<SnapshotId>,
        /// Records whose condemnations are not swept yet.
        "c" => condemnations: Ids<ObjectHash>,
        /// The tips of the lanes.
        "t" => tips: Ids<Tip>,
        /// Objects that are swept, and that a segment or a record which is not covered still names.
        "g" => gone: Ids<ObjectHash>,
    }
}

cbor_map! {
    /// What became of a record that was published too late.
    pub struct Heal {
        /// The late record.
        "r" => record: ObjectHash,
        /// 1 whole, 2 made whole again, 3 not whole.
        "k" => verdict: u64,
    }
}

cbor_map! {
    /// A record's body: optional parts, several of which may ride together.
    pub struct Record {
        /// The lane.
        "l" => lane: LaneId,
        /// The record's place in it, from 1.
        "q" => sequence: u64,
        /// The record before it.
        "p" => previous: Option<ObjectHash>,
        /// When it was written (nanoseconds, UTC); never below its predecessor's.
        "w" => written: i64,
        /// The tips that the writer had read and applied.
        "V" => view: Ids<Tip>,
        /// A lane's first word.
        "O" => open: Option<Open>,
        /// A snapshot's encoding.
        "s" => snapshot: Option<Bytes>,
        /// A run under way.
        "P" => partial: Option<Partial>,
        /// Where blobs are, in other objects.
        "e" => entries: Vec<ObjectUnits>,
        /// Where blobs are, in this object.
        "i" => inline: Vec<UnitEntry>,
        /// Words about snapshots.
        "m" => marks: Vec<Mark>,
        /// Objects that nobody needs.
        "c" => condemn: Option<Condemn>,
        /// Objects about to be deleted.
        "S" => sweep: Option<Sweep>,
        /// What replaces older records.
        "C" => checkpoint: Option<Checkpoint>,
        /// What became of a late record.
        "h" => heal: Option<Heal>,
    }
}

impl Record {
    /// Reads and checks a record's body.
    pub fn decode(bytes: &[u8]) -> Result<Record, DecodeError> {
        let record: Record = cbor::decode(bytes)?;
        if record.sequence == 0 || (record.sequence == 1) != record.previous.is_none() {
            return Err(DecodeError::Inconsistent("record"));
        }
        if let Some(snapshot) = &record.snapshot {
            Snapshot::decode(snapshot)?;
        }
        for object in &record.entries {
            validate_unit_table(&object.units)?;
        }
        validate_unit_table(&record.inline)?;
        if record.marks.iter().any(|mark| !(1..=5).contains(&mark.kind)) {
            return Err(DecodeError::Unknown("mark"));
        }
        if record.heal.as_ref().is_some_and(|heal| !(1..=3).contains(&heal.verdict)) {
            return Err(DecodeError::Unknown("verdict"));
        }
        Ok(record)
    }

    /// Returns the word in the record's object name, and whether it lies in `log/g`.
    pub fn kind_name(&self) -> (&'static str, bool) {
        if self.checkpoint.is_some() {
            ("checkpoint", true)
        } else if self.sweep.is_some() {
            ("sweep", true)
        } else if self.condemn.is_some() {
            ("condemn", true)
        } else if self.heal.is_some() {
            ("heal", true)
        } else if !self.marks.is_empty() {
            ("marks", true)
        } else if self.open.is_some() {
            ("open", true)
        } else if self.snapshot.is_some() {
            ("snapshot", false)
        } else {
            ("partial", false)
        }
    }
}

cbor_map! {
    /// The body of an index segment: a part of what checkpoints stand for.
    pub struct Segment {
        /// Where blobs are, in ascending order of the objects' names.
        "e" => entries: Vec<ObjectUnits>,
        /// Encodings of snapshots.
        "s" => snapshots: Vec<Bytes>,
    }
}

impl Segment {
    /// Reads and checks a segment's body.
    pub fn decode(bytes: &[u8]) -> Result<Segment, DecodeError> {
        let segment: Segment = cbor::decode(bytes)?;
        for object in &segment.entries {
            validate_unit_table(&object.units)?;
        }
        for snapshot in &segment.snapshots {
            Snapshot::decode(snapshot)?;
        }
        let ascending = segment.entries.windows(2).all(|pair| match pair {
            [a, b] => a.object < b.object,
            _ => true,
        });
        if ascending { Ok(segment) } else { Err(DecodeError::Order) }
    }
}

/// An attachment blob: entries, or references to parts, in ascending order of keys.
#[derive(Debug, Clone, PartialEq)]
pub enum AttachmentMap {
    /// Keys with their values.
    Entries(Vec<(Bytes, Bytes)>),
    /// First keys with the blobs that begin there.
    Parts(Vec<(Bytes, BlobId)>),
}

impl AttachmentMap {
    /// Returns the blob's bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            AttachmentMap::Entries(entries) => encode_entries(entries),
            AttachmentMap::Parts(parts) => cbor::encode(&(1_u64, parts)),
        }
    }

    /// Reads and checks a blob's bytes.
    pub fn decode(bytes: &[u8]) -> Result<AttachmentMap, DecodeError> {
        match bytes.get(..2) {
            Some([0x82, 0]) => {
                let (_, entries): (u64, Vec<(Bytes, Bytes)>) = cbor::decode(bytes)?;
                ascending_keys(&entries)?;
                Ok(AttachmentMap::Entries(entries))
            }
            Some([0x82, 1]) => {
                let (_, parts): (u64, Vec<(Bytes, BlobId)>) = cbor::decode(bytes)?;
                if parts.is_empty() {
                    return Err(DecodeError::Inconsistent("attachment"));
                }
                ascending_keys(&parts)?;
                Ok(AttachmentMap::Parts(parts))
            }
            Some(_) => Err(DecodeError::Unknown("attachment form")),
            None => Err(DecodeError::Cut),
        }
    }
}

/// Returns the bytes of an attachment blob that holds `entries`.
pub fn encode_entries(entries: &[(Bytes, Bytes)]) -> Vec<u8> {
    cbor::encode(&(0_u64, entries))
}

/// Writes a list segment: the ids one after the other.
pub fn encode_list(ids: &[BlobId]) -> Vec<u8> {
    ids.iter().flat_map(|id| id.0).collect()
}

/// Reads a list segment: 1 to 4,096 ids.
pub fn decode_list(bytes: &[u8]) -> Result<Vec<BlobId>, DecodeError> {
    let chunks = bytes.chunks_exact(BlobId::LEN);
    if !chunks.remainder().is_empty() || bytes.is_empty() {
        return Err(DecodeError::Cut);
    }
    if chunks.len() > LIMITS.segment_blobs {
        return Err(DecodeError::TooLong { what: "list segment" });
    }
    Ok(chunks.filter_map(BlobId::from_slice).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_as_it_was() {
        let snapshot = Snapshot { time: -1, host: "a".into(), ..Snapshot::default() };
        let record = Record {
            sequence: 2,
            previous: Some(ObjectHash([1; 32])),
            snapshot: Some(cbor::encode(&snapshot).into()),
            marks: vec![Mark { kind: MarkKind::Pin as u64, ..Mark::default() }],
            condemn: Some(Condemn::default()),
            ..Record::default()
        };
        assert_eq!(Record::decode(&cbor::encode(&record)), Ok(record));
    }

    #[test]
    fn a_chain_without_a_link_is_refused() {
        let record = Record { sequence: 2, ..Record::default() };
        assert_eq!(
            Record::decode(&cbor::encode(&record)),
            Err(DecodeError::Inconsistent("record"))
        );
    }

    #[test]
    fn an_attachment_is_either_a_blob_or_entries_and_each_kind_comes_once() {
        let entry = |key: &[u8]| (Bytes::from(key), Bytes::default());
        let attachment = |kind: &str, keys: &[&[u8]]| Attachment {
            kind: kind.into(),
            entries: keys.iter().map(|key| entry(key)).collect(),
            ..Attachment::default()
        };
        let decode = |attachments: Vec<Attachment>| {
            Snapshot::decode(&cbor::encode(&Snapshot { attachments, ..Snapshot::default() }))
        };
        assert!(decode(vec![attachment("a", &[b"x", b"y"]), attachment("b", &[])]).is_ok());
        let mut both = attachment("a", &[b"x"]);
        both.blob = Some(BlobId([1; 32]));
        assert_eq!(decode(vec![both]), Err(DecodeError::Inconsistent("attachment")));
        assert_eq!(decode(vec![attachment("a", &[b"y", b"x"])]), Err(DecodeError::Order));
        assert_eq!(
            decode(vec![attachment("a", &[]), attachment("a", &[])]),
            Err(DecodeError::Order)
        );
        assert!(AttachmentMap::decode(&AttachmentMap::Parts(Vec::new()).encode()).is_err());
    }

    #[test]
    fn lists_have_whole_ids_and_a_bound() {
        let ids = vec![BlobId([1; 32]), BlobId([2; 32])];
        let bytes = encode_list(&ids);
        assert_eq!(decode_list(&bytes), Ok(ids));
        assert_eq!(decode_list(&bytes[..63]), Err(DecodeError::Cut));
        assert_eq!(decode_list(&[]), Err(DecodeError::Cut));
        assert!(decode_list(&vec![0; 32 * 4097]).is_err());
    }
}
