//! Vectors of `7-record.md`: records, snapshots, segments, attachments.

use crate::table::pack::Object;
use crate::table::tree::kind_of;
use crate::table::{Set, cut, file, flipped, join, unit, with};
use serde::Serialize;
use stash::codec::crypto::Role;
use stash::format::cbor::{self, Bytes, Ids};
use stash::format::object::ObjectKind;
use stash::format::pack::{BlobKind, UnitEntry};
use stash::format::record::{
    Attachment, AttachmentMap, Checkpoint, Condemn, Heal, Mark, ObjectUnits, Open, Partial, Record,
    Root, Segment, Snapshot, Statistics, Sweep,
};
use stash::format::tree::{Node, NodeKind};
use stash::id::{BlobId, LaneId, ObjectHash, SnapshotId, Tip};

fn snapshot() -> Snapshot {
    Snapshot {
        time: 1_700_000_000_000_000_000,
        offset_minutes: 60,
        written: 1_700_000_000_000_000_001,
        host: "box".into(),
        user: "ada".into(),
        job: "home".into(),
        agents: vec!["claude".into()],
        tags: vec!["one".into(), "two".into()],
        parent: Some(SnapshotId([6; 32])),
        flags: 2,
        roots: vec![
            Root {
                kind: 1,
                agent: "claude".into(),
                label: "projects".into(),
                place: b"/home/ada/.claude".as_slice().into(),
                node: Node { category: 3, ..kind_of(".claude", NodeKind::Directory) },
                last_read: Some(5),
                ..Root::default()
            },
            Root {
                kind: 2,
                place: b"/".as_slice().into(),
                node: Node { name: Bytes::default(), ..kind_of("", NodeKind::Directory) },
                ..Root::default()
            },
            Root {
                kind: 3,
                place: b"/dump".as_slice().into(),
                node: file("dump"),
                ..Root::default()
            },
        ],
        attachments: vec![
            attachment("machines", &[(b"x", b"1"), (b"y", b"")]),
            Attachment {
                kind: "sessions".into(),
                blob: Some(BlobId([7; 32])),
                ..Attachment::default()
            },
        ],
        statistics: Statistics { files: 1, bytes: 3, errors: 1, ..Statistics::default() },
        program: "0.1.0".into(),
        ..Snapshot::default()
    }
}

fn attachment(kind: &str, entries: &[(&[u8], &[u8])]) -> Attachment {
    Attachment {
        kind: kind.into(),
        entries: entries.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        ..Attachment::default()
    }
}

pub fn snapshots(set: &mut Set) {
    set.page("record");
    set.kind("snapshot", &[]);
    set.add("snapshot", "ok", "every field, every kind of root", cbor::encode(&snapshot()));
    set.add("snapshot-empty", "ok", "nothing at all", *b"\xa0");
    let mut change = |name, expect, why, change: fn(&mut Snapshot)| {
        let mut snapshot = snapshot();
        change(&mut snapshot);
        set.add(name, expect, why, cbor::encode(&snapshot));
    };
    change("root-unknown-kind", "unknown", "there are three kinds", |s| s.roots[0].kind = 4);
    change("root-kind-0", "unknown", "a root has a kind", |s| s.roots[0].kind = 0);
    change("root-agent-name", "bad-name", "it becomes part of a path", |s| {
        s.roots[0].agent = "..".into();
    });
    change("root-label-name", "bad-name", "it becomes part of a path", |s| {
        s.roots[0].label = "a/b".into();
    });
    change("root-node-name", "bad-name", "the node of a root is a node", |s| {
        s.roots[2].node.name = b"a/b".as_slice().into();
    });
    change("root-node-fields", "inconsistent", "the node of a root is a node", |s| {
        s.roots[2].node.size = 9;
    });
    change("attachment-two-contents", "inconsistent", "a blob and entries", |s| {
        s.attachments[0].blob = Some(BlobId([1; 32]));
    });
    change("attachment-entries-order", "order", "keys ascend", |s| {
        s.attachments[0].entries.reverse();
    });
    change("attachments-order", "order", "kinds ascend", |s| s.attachments.reverse());
    change("attachments-twice", "order", "each kind once", |s| {
        s.attachments[1].kind = "machines".into();
    });
    change("snapshot-copy", "ok", "a copy names its original", |s| {
        s.original = Some(SnapshotId([8; 32]));
    });
    let bytes = cbor::encode(&snapshot());
    set.add("snapshot-cut", "cut", "one byte short", cut(&bytes, 1));
    set.add("snapshot-trailing", "trailing-bytes", "one byte more", join(&[&bytes, b"\0"]));
    set.add("snapshot-half-original", "malformed", "an id of one byte", *b"\xa1\x61c\x41a");
    set.add("snapshot-half-parent", "malformed", "an id of one byte", *b"\xa1\x61p\x41a");
}

fn record() -> Record {
    Record {
        lane: LaneId([4; 16]),
        sequence: 2,
        previous: Some(ObjectHash([5; 32])),
        written: 1_700_000_000_000_000_002,
        view: Ids(vec![Tip([1; 8]), Tip([2; 8])]),
        snapshot: Some(cbor::encode(&snapshot()).into()),
        entries: vec![ObjectUnits {
            object: ObjectHash([8; 32]),
            units: vec![unit(1, BlobKind::Data, &[b"hello"], 30)],
            ..ObjectUnits::default()
        }],
        ..Record::default()
    }
}

/// A record without parts.
fn bare() -> Record {
    Record { snapshot: None, entries: Vec::new(), ..record() }
}

fn mark(kind: u64, tags: &[&str]) -> Mark {
    Mark {
        snapshot: SnapshotId([6; 32]),
        kind,
        tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
        ..Mark::default()
    }
}

fn heal(verdict: u64) -> Record {
    Record {
        heal: Some(Heal { record: ObjectHash([7; 32]), verdict, ..Heal::default() }),
        ..bare()
    }
}

pub fn records(set: &mut Set) {
    set.kind("record", &[]);
    let mut add = |name, expect, why, record: Record| {
        set.add(name, expect, why, cbor::encode(&record));
    };
    add("record-snapshot", "ok", "a snapshot and where its blobs are", record());
    add(
        "record-open",
        "ok",
        "the first word of a lane",
        Record {
            sequence: 1,
            previous: None,
            open: Some(Open { host: "box".into(), program: "0.1.0".into(), ..Open::default() }),
            ..bare()
        },
    );
    add(
        "record-partial",
        "ok",
        "a run under way",
        Record {
            partial: Some(Partial { started: 5, job: "home".into(), ..Partial::default() }),
            entries: record().entries,
            ..bare()
        },
    );
    let marks = [1, 2, 3, 4].map(|kind| mark(kind, &[])).into_iter().chain([mark(5, &["x"])]);
    add("record-marks", "ok", "a mark of each kind", Record { marks: marks.collect(), ..bare() });
    add(
        "record-marks-repeated",
        "ok",
        "a mark that says when it was first said",
        Record {
            marks: vec![Mark { written: Some(1_699_999_999_000_000_000), ..mark(1, &[]) }],
            ..bare()
        },
    );
    let objects = Ids(vec![ObjectHash([8; 32])]);
    let tips = Ids(vec![Tip([1; 8])]);
    let condemn = Some(Condemn { objects: objects.clone(), ..Condemn::default() });
    add(
        "record-condemn",
        "ok",
        "an object that nobody needs",
        Record { condemn: condemn.clone(), ..bare() },
    );
    add(
        "record-sweep",
        "ok",
        "an object about to be deleted",
        Record {
            sweep: Some(Sweep {
                condemnations: Ids(vec![ObjectHash([7; 32])]),
                objects: objects.clone(),
                ..Sweep::default()
            }),
            ..bare()
        },
    );
    let checkpoint = Some(Checkpoint {
        records: objects.clone(),
        new_segments: Ids(vec![ObjectHash([9; 32])]),
        old_segments: Ids(vec![ObjectHash([10; 32])]),
        snapshots: Ids(vec![SnapshotId([6; 32])]),
        condemnations: objects.clone(),
        tips,
        gone: objects,
        ..Checkpoint::default()
    });
    add(
        "record-checkpoint",
        "ok",
        "replaces older records",
        Record { checkpoint: checkpoint.clone(), ..bare() },
    );
    add(
        "record-checkpoint-and-more",
        "ok",
        "its word is the first of the table",
        Record { checkpoint, condemn, ..record() },
    );
    add("record-heal", "ok", "a late record was made whole", heal(2));
    broken_records(set);
    sealed(set);
}

fn broken_records(set: &mut Set) {
    let mut add = |name, expect, why, record: Record| {
        set.add(name, expect, why, cbor::encode(&record));
    };
    add("record-heal-unknown", "unknown", "there are three verdicts", heal(4));
    add("record-heal-0", "unknown", "a verdict is not left out", heal(0));
    add(
        "record-mark-unknown",
        "unknown",
        "there are five marks",
        Record { marks: vec![mark(6, &[])], ..bare() },
    );
    add(
        "record-mark-0",
        "unknown",
        "a mark is not left out",
        Record { marks: vec![mark(0, &[])], ..bare() },
    );
    add(
        "record-sequence-0",
        "inconsistent",
        "sequences begin with 1",
        Record { sequence: 0, ..bare() },
    );
    add(
        "record-no-link",
        "inconsistent",
        "all but the first have one before",
        Record { previous: None, ..bare() },
    );
    add(
        "record-first-with-link",
        "inconsistent",
        "the first has none before",
        Record { sequence: 1, ..bare() },
    );
    add(
        "record-bad-snapshot",
        "not-canonical",
        "the snapshot within is checked",
        Record { snapshot: Some(b"\xbf\xff".as_slice().into()), ..bare() },
    );
    let mut bad = record();
    bad.entries[0].units[0].kind = 9;
    add("record-bad-entries", "unknown", "entries are checked as tables are", bad);
    let mut large = record();
    large.entries[0].units[0].stored_length = 67_108_865;
    add("record-large-entries", "too-long", "units above 64 MiB fit into no object", large);
    add(
        "record-bad-inline",
        "inconsistent",
        "the own units are checked as well",
        Record { inline: vec![UnitEntry::default()], ..bare() },
    );
    let half = Record { marks: vec![mark(1, &[])], ..bare() };
    let mut bytes = cbor::encode(&half);
    let end = bytes.iter().rposition(|byte| *byte == 1).unwrap();
    bytes[end - 2 - 37] = 0xa3;
    bytes.extend(*b"\x61w\x61x");
    set.add("record-mark-moment-as-text", "malformed", "a moment is a number", bytes);
    set.add("record-half-tip", "malformed", "tips have 8 bytes", *b"\xa2\x61q\x01\x61V\x44abcd");
    set.add("record-empty", "inconsistent", "no sequence", *b"\xa0");
}

fn sealed(set: &mut Set) {
    set.kind("sealed-record", &[]);
    let inline = unit(0, BlobKind::Data, &[b"hello"], 5);
    let body = Record { inline: vec![inline], ..record() };
    let object = Object {
        kind: ObjectKind::Record,
        features: 0,
        units: vec![(Role::Unit(BlobKind::Data), b"hello".to_vec())],
        body: cbor::encode(&body),
        footer_length: None,
    };
    let bytes = object.seal();
    set.add("sealed-record", "ok", "a record that holds a unit", bytes.clone());
    set.add("sealed-record-flipped", "bad-tag", "one bit of its body", flipped(&bytes, 300));
    set.add("sealed-record-as-pack", "bad-magic", "a pack in its place", with(&bytes, 5, 3));
    let without = Object { units: vec![], ..object };
    set.add("sealed-record-without-unit", "inconsistent", "the unit is missing", without.seal());
    set.kind("sealed-segment", &[]);
    let segment = |objects: &[u8]| Segment {
        entries: objects
            .iter()
            .map(|&byte| ObjectUnits {
                object: ObjectHash([byte; 32]),
                ..record().entries[0].clone()
            })
            .collect(),
        snapshots: vec![cbor::encode(&snapshot()).into()],
        ..Segment::default()
    };
    let object =
        Object { kind: ObjectKind::Segment, body: cbor::encode(&segment(&[1, 2])), ..without };
    let bytes = object.seal();
    set.add("sealed-segment", "ok", "a segment of two objects", bytes.clone());
    set.add("sealed-segment-flipped", "bad-tag", "one bit of its body", flipped(&bytes, 200));
    let with_unit =
        Object { units: vec![(Role::Unit(BlobKind::Data), b"hello".to_vec())], ..object };
    set.add("sealed-segment-with-unit", "inconsistent", "segments have no units", with_unit.seal());
    set.kind("segment", &[]);
    set.add("segment", "ok", "two objects and a snapshot", cbor::encode(&segment(&[1, 2])));
    set.add("segment-order", "order", "objects ascend", cbor::encode(&segment(&[2, 1])));
    set.add("segment-twice", "order", "each object once", cbor::encode(&segment(&[1, 1])));
    let bad = Segment { snapshots: vec![b"\x05".as_slice().into()], ..Segment::default() };
    set.add("segment-bad-snapshot", "malformed", "snapshots are checked", cbor::encode(&bad));
    let mut bad = segment(&[1]);
    bad.entries[0].units[0].form = 7;
    set.add("segment-bad-unit", "unknown", "tables are checked", cbor::encode(&bad));
}

pub fn attachments(set: &mut Set) {
    set.kind("attachment", &[]);
    let pair = |key: &[u8]| (Bytes::from(key), Bytes::from(b"1".as_slice()));
    let part = |key: &[u8]| (Bytes::from(key), BlobId([7; 32]));
    let entries = |keys: &[&[u8]]| {
        AttachmentMap::Entries(keys.iter().map(|key| pair(key)).collect()).encode()
    };
    let parts =
        |keys: &[&[u8]]| AttachmentMap::Parts(keys.iter().map(|key| part(key)).collect()).encode();
    set.add("entries", "ok", "two entries; a key may be empty", entries(&[b"", b"a"]));
    set.add("entries-none", "ok", "no entries", entries(&[]));
    set.add("entries-order", "order", "keys ascend", entries(&[b"b", b"a"]));
    set.add("entries-twice", "order", "no key twice", entries(&[b"a", b"a"]));
    set.add("attachment-parts", "ok", "two parts", parts(&[b"a", b"b"]));
    set.add("attachment-parts-none", "inconsistent", "a list of no parts", parts(&[]));
    set.add("attachment-parts-order", "order", "first keys ascend", parts(&[b"b", b"a"]));
    set.add("attachment-unknown-form", "unknown", "the first item is 0 or 1", *b"\x82\x05\x80");
    set.add("attachment-empty", "cut", "no bytes", []);
    set.add(
        "attachment-key-as-text",
        "malformed",
        "keys are bytes",
        cbor::encode(&Text(0, vec![("a", "b")])),
    );
}

#[derive(Serialize)]
struct Text(u64, Vec<(&'static str, &'static str)>);
