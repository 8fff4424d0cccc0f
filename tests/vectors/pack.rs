//! Vectors of `4-pack.md`: tables, units, whole packs.

use crate::open::vector_keys;
use crate::table::{
    Set, blob, cut, flipped, join, raw_frame, run_frame, table, unit, windowed_frame, with,
};
use stash::codec::crypto::Role;
use stash::format::cbor::Ids;
use stash::format::object::{
    FEATURE_DELTA, FOOTER_NUMBER, ObjectKind, TRAILER_NUMBER, encode_footer, encode_trailer,
};
use stash::format::pack::{BlobKind, UnitEntry};
use stash::id::BlobId;

pub fn tables(set: &mut Set) {
    set.page("pack");
    let packed = || unit(1, BlobKind::Data, &[b"one", b"three"], 24);
    let based = || UnitEntry {
        form: 2,
        blobs: Ids(vec![BlobId([8; 32])]),
        raw_lengths: vec![9],
        bases: Ids(vec![BlobId([9; 32])]),
        depth: 64,
        ..packed()
    };
    set.kind("unit-table", &[("object-length", "240"), ("tail-length", "80")]);
    let two = table(&[packed(), packed()]);
    set.add("table", "ok", "two units fill the object", two.clone());
    set.add("table-gap", "inconsistent", "one unit leaves a gap", table(&[packed()]));
    set.kind("unit-table", &[("object-length", "239"), ("tail-length", "80")]);
    set.add("table-too-long", "inconsistent", "units reach into the footer", two.clone());
    set.kind("unit-table", &[("object-length", "80"), ("tail-length", "0")]);
    set.add("table-empty", "ok", "an object without units", table(&[]));
    set.kind("unit-table", &[("object-length", "120"), ("tail-length", "0")]);
    set.add("unit-deepest", "ok", "a delta of depth 64", table(&[based()]));
    let raw = unit(0, BlobKind::Tree, &[&[7; 24]], 24);
    set.add("unit-raw", "ok", "a raw unit of one tree blob", table(std::slice::from_ref(&raw)));
    let mut change = |name, expect, why, mut unit: UnitEntry, change: fn(&mut UnitEntry)| {
        change(&mut unit);
        set.add(name, expect, why, table(&[unit]));
    };
    change("unit-no-blob", "inconsistent", "a unit has a blob", packed(), |unit| {
        (unit.blobs, unit.raw_lengths) = (Ids::default(), Vec::new());
    });
    change("unit-id-missing", "inconsistent", "two lengths, one id", packed(), |unit| {
        unit.blobs.0.pop();
    });
    change("unit-length-missing", "inconsistent", "two ids, one length", packed(), |unit| {
        unit.raw_lengths.pop();
    });
    change("unit-shorter-than-tag", "inconsistent", "15 bytes stored", packed(), |unit| {
        unit.stored_length = 15;
    });
    change("unit-raw-other-length", "inconsistent", "raw is as long as its blobs", raw, |unit| {
        unit.raw_lengths = vec![23];
    });
    change("unit-base-without-form", "inconsistent", "zstd has no base", packed(), |unit| {
        unit.bases = Ids(vec![BlobId([9; 32])]);
    });
    change("unit-depth-without-base", "inconsistent", "zstd has no depth", packed(), |unit| {
        unit.depth = 1;
    });
    change("unit-delta-without-base", "inconsistent", "a delta has a base", based(), |unit| {
        unit.bases = Ids::default();
    });
    change("unit-delta-without-depth", "inconsistent", "a delta has a depth", based(), |unit| {
        unit.depth = 0;
    });
    change("unit-delta-of-two", "inconsistent", "a delta has one blob", based(), |unit| {
        (unit.blobs, unit.raw_lengths) = (Ids(vec![BlobId([7; 32]); 2]), vec![1, 1]);
    });
    change("unit-delta-of-itself", "inconsistent", "a blob is not its own base", based(), |unit| {
        unit.bases = Ids(vec![BlobId([8; 32])]);
    });
    change("unit-delta-of-eight-bases", "ok", "a delta may have eight bases", based(), |unit| {
        unit.bases = Ids(vec![BlobId([9; 32]); 8]);
    });
    change(
        "unit-delta-of-nine-bases",
        "too-long",
        "a delta has eight bases at most",
        based(),
        |unit| {
            unit.bases = Ids(vec![BlobId([9; 32]); 9]);
        },
    );
    change("unit-patch-of-two-bases", "inconsistent", "a patch has one base", based(), |unit| {
        (unit.form, unit.bases) = (4, Ids(vec![BlobId([9; 32]); 2]));
    });
    change("unit-too-deep", "too-long", "a delta of depth 65", based(), |unit| unit.depth = 65);
    change("unit-unknown-form", "unknown", "there are five forms", packed(), |unit| unit.form = 5);
    change("unit-unknown-kind", "unknown", "there are four kinds", packed(), |unit| unit.kind = 4);
    change("unit-blob-too-long", "too-long", "a blob above 8 MiB", packed(), |unit| {
        unit.raw_lengths = vec![1, 8_388_609];
    });
    change("unit-too-long", "too-long", "blobs above 16 MiB in sum", packed(), |unit| {
        unit.raw_lengths = vec![8_388_608; 3];
        unit.blobs = Ids(vec![BlobId([7; 32]); 3]);
    });
    change("unit-huge-lengths", "too-long", "a sum above 64 bits", packed(), |unit| {
        unit.raw_lengths = vec![u64::MAX, u64::MAX];
    });
    change("unit-huge-stored", "inconsistent", "an offset above 64 bits", packed(), |unit| {
        unit.stored_length = u64::MAX;
    });
    set.add(
        "unit-half-id",
        "malformed",
        "ids of 33 bytes in sum",
        join(&[b"\xa1\x61u\x81\xa1\x61b\x58\x21", &[0; 33]]),
    );
    set.add("table-no-list", "malformed", "units are a list", *b"\xa1\x61u\x05");
}

pub fn units(set: &mut Set) {
    let frame = raw_frame(b"hello");
    set.kind("unit", &[("form", "0"), ("raw-length", "5")]);
    set.add("raw", "ok", "a raw unit is its blobs", *b"hello");
    set.add("raw-short", "bad-frame", "a raw unit has the declared length", *b"hell");
    set.kind("unit", &[("form", "1"), ("raw-length", "5")]);
    set.add("frame", "ok", "a frame with its length in the header", frame.clone());
    set.add("frame-window", "ok", "a window of 8 MiB", windowed_frame(13 << 3, b"hello"));
    set.add(
        "frame-large-window",
        "bad-frame",
        "the next larger window, which a stream would have to hold",
        windowed_frame(13 << 3 | 1, b"hello"),
    );
    set.add("frame-cut", "bad-frame", "one byte short", cut(&frame, 1));
    set.add("frame-trailing", "bad-frame", "one byte more", join(&[&frame, b"\0"]));
    set.add("frame-empty", "bad-frame", "no frame at all", []);
    set.add("frame-magic", "bad-frame", "another format", flipped(&frame, 0));
    let mut dictionary = frame.clone();
    dictionary[4] |= 1;
    dictionary.insert(5, 9);
    set.add("frame-dictionary", "bad-frame", "no dictionaries", dictionary);
    set.add(
        "frame-twice",
        "bad-frame",
        "one frame only",
        join(&[&raw_frame(b"he"), &raw_frame(b"llo")]),
    );
    set.add(
        "frame-bomb",
        "bad-frame",
        "128 KiB where five bytes are declared",
        run_frame(0, 131_072),
    );
    set.kind("unit", &[("form", "1"), ("raw-length", "16777217")]);
    set.add("frame-too-long", "too-long", "16 MiB are the most", frame.clone());
    set.kind("unit", &[("form", "2"), ("raw-length", "5")]);
    set.add("frame-without-base", "wrong-content", "a delta without its base", frame);
}

/// A sealed object: units, body, and where its footer is padded to.
pub struct Object {
    pub kind: ObjectKind,
    pub features: u32,
    pub units: Vec<(Role, Vec<u8>)>,
    pub body: Vec<u8>,
    pub footer_length: Option<u32>,
}

impl Object {
    pub fn seal(&self) -> Vec<u8> {
        let keys = vector_keys();
        let sealer = keys.seal_object_with_salt(self.kind, self.features, [9; 32]).unwrap();
        let mut bytes = sealer.header().bytes.to_vec();
        for (number, (role, payload)) in (0..).zip(&self.units) {
            let mut stored = payload.clone();
            sealer.seal(*role, number, &mut stored).unwrap();
            bytes.extend_from_slice(&stored);
        }
        let raw_length = u32::try_from(self.body.len()).unwrap();
        let mut footer = encode_footer(0, raw_length, &self.body, 0);
        sealer.seal(Role::Footer, FOOTER_NUMBER, &mut footer).unwrap();
        bytes.extend_from_slice(&footer);
        let length = self.footer_length.unwrap_or(u32::try_from(footer.len()).unwrap());
        let mut trailer = encode_trailer(length).to_vec();
        sealer.seal(Role::Trailer, TRAILER_NUMBER, &mut trailer).unwrap();
        bytes.extend_from_slice(&trailer);
        bytes
    }
}

fn pack() -> Object {
    let frame = raw_frame(b"directory");
    Object {
        kind: ObjectKind::Pack,
        features: 0,
        units: vec![
            (Role::Unit(BlobKind::Data), b"helloworld".to_vec()),
            (Role::Unit(BlobKind::Tree), frame.clone()),
        ],
        body: table(&[
            unit(0, BlobKind::Data, &[b"hello", b"world"], 10),
            unit(1, BlobKind::Tree, &[b"directory"], frame.len()),
        ]),
        footer_length: None,
    }
}

pub fn packs(set: &mut Set) {
    set.kind("pack", &[]);
    let bytes = pack().seal();
    set.add("pack", "ok", "two units: a raw one of two blobs, and a frame", bytes.clone());
    let empty = Object { units: vec![], body: table(&[]), ..pack() };
    set.add("pack-empty", "ok", "a pack without units", empty.seal());
    let payload = raw_frame(b"hello");
    let mut based = unit(2, BlobKind::Data, &[b"hello"], payload.len());
    (based.bases, based.depth) = (Ids(vec![BlobId([9; 32])]), 1);
    let delta = Object {
        features: FEATURE_DELTA,
        units: vec![(Role::Unit(BlobKind::Data), payload)],
        body: table(&[based]),
        ..pack()
    };
    set.add("pack-with-delta", "ok", "a unit with a base, which is elsewhere", delta.seal());
    set.add("pack-no-bytes", "cut", "an object of no bytes", []);
    set.add("pack-header-only", "cut", "a header and nothing else", bytes[..80].to_vec());
    set.add("pack-cut", "bad-tag", "the last byte is missing", cut(&bytes, 1));
    set.add("pack-longer", "bad-tag", "a byte was appended", join(&[&bytes, b"\0"]));
    set.add("pack-salt", "wrong-key", "one bit of the salt", flipped(&bytes, 20));
    set.add("pack-check", "wrong-key", "one bit of the check", flipped(&bytes, 60));
    set.add("pack-epoch", "unknown-epoch", "an epoch without a key", with(&bytes, 12, 1));
    set.add("pack-feature", "features", "a feature to come", with(&bytes, 8, 2));
    set.add(
        "pack-feature-added",
        "wrong-key",
        "the key comes from the features too",
        with(&bytes, 8, 1),
    );
    set.add("pack-as-record", "bad-magic", "a record where a pack belongs", with(&bytes, 5, 4));
    set.add("pack-unit-flipped", "bad-tag", "one bit of a unit", flipped(&bytes, 80));
    set.add("pack-tag-flipped", "bad-tag", "one bit of a unit's tag", flipped(&bytes, 105));
    let footer = bytes.len() - 30;
    set.add("pack-footer-flipped", "bad-tag", "one bit of the footer", flipped(&bytes, footer));
    let trailer = bytes.len() - 20;
    set.add("pack-trailer-flipped", "bad-tag", "one bit of the trailer", flipped(&bytes, trailer));
    let mut swapped = Object { units: pack().units.into_iter().rev().collect(), ..pack() };
    swapped.body = table(&[
        unit(1, BlobKind::Tree, &[b"directory"], raw_frame(b"directory").len()),
        unit(0, BlobKind::Data, &[b"hello", b"world"], 10),
    ]);
    // The units of the first object under the table of the second.
    let other = swapped.seal();
    let units_end = 80 + 26 + 16 + raw_frame(b"directory").len();
    set.add("pack-units-in-other-order", "ok", "the order is the writer's", other.clone());
    set.add(
        "pack-units-swapped",
        "bad-tag",
        "units are bound to their place",
        join(&[&bytes[..80], &bytes[106..units_end], &bytes[80..106], &other[units_end..]]),
    );
    let mut wrong_role = pack();
    wrong_role.units[0].0 = Role::Unit(BlobKind::List);
    set.add("pack-other-kind", "bad-tag", "a unit is bound to its kind", wrong_role.seal());
    let mut wrong_blob = pack();
    wrong_blob.units[0].1[0] ^= 1;
    set.add("pack-other-content", "wrong-content", "ids are checked", wrong_blob.seal());
    let mut tree_as_data = pack();
    tree_as_data.body = table(&[
        UnitEntry {
            blobs: Ids(vec![blob(BlobKind::Tree, b"hello"), blob(BlobKind::Data, b"world")]),
            ..unit(0, BlobKind::Data, &[b"hello", b"world"], 10)
        },
        unit(1, BlobKind::Tree, &[b"directory"], raw_frame(b"directory").len()),
    ]);
    set.add(
        "pack-id-of-other-kind",
        "wrong-content",
        "the same bytes have another id as a tree",
        tree_as_data.seal(),
    );
    let gap =
        Object { body: table(&[unit(0, BlobKind::Data, &[b"hello", b"world"], 10)]), ..pack() };
    set.add("pack-gap", "inconsistent", "a unit that the table does not name", gap.seal());
    let long = Object { footer_length: Some(100_000), ..pack() };
    set.add("pack-footer-too-long", "cut", "a footer longer than the object", long.seal());
    let other = Object { footer_length: Some(40), ..pack() };
    set.add("pack-footer-elsewhere", "bad-tag", "a footer of another length", other.seal());
    let body = Object { body: b"\xbf\xff".to_vec(), ..pack() };
    set.add("pack-table-not-canonical", "not-canonical", "a table is canonical", body.seal());
    let frame = Object {
        units: vec![(Role::Unit(BlobKind::Tree), join(&[&raw_frame(b"directory"), b"\0"]))],
        body: table(&[unit(1, BlobKind::Tree, &[b"directory"], raw_frame(b"directory").len() + 1)]),
        ..pack()
    };
    set.add("pack-frame-trailing", "bad-frame", "a frame fills its unit", frame.seal());
}
