//! One function for each decoder: takes any bytes, and panics where a promise does not hold.
//!
//! Both faces use this file: `fuzz_targets/` under a fuzzer, `tests/fuzz_corpora.rs` on stable.
//! The promises: no panic; what decodes encodes to the same bytes; no output above its limit.
//!
//! `cargo fuzz run tree` with a nightly compiler; on stable
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none tree`. What it finds goes to `corpus/tree/`.

#[path = "../tests/vectors/open.rs"]
pub mod open;

use std::sync::OnceLock;

use open::{Body, open_object, vector_keys, vector_master};
use stash::codec::crypto::{
    Key, OpenGrant, RepositoryKeys, Role, read_recovery_words, recovery_words,
};
use stash::codec::{UnitDecoder, delta};
use stash::format::LIMITS;
use stash::format::cbor;
use stash::format::key::{About, Grant, Granted, KeySlot, Older, RepositoryHeader};
use stash::format::object::{
    FOOTER_NUMBER, ObjectHeader, ObjectKind, TRAILER_NUMBER, decode_footer, decode_trailer,
    encode_footer, encode_trailer,
};
use stash::format::pack::{BlobKind, PackTable, UnitForm, validate_unit_table};
use stash::format::record::{AttachmentMap, Record, Segment, Snapshot, decode_list, encode_list};
use stash::format::tree::{Node, Subtree, Tree};
use stash::id::{BlobId, LaneId, ObjectHash, Tip};

/// A target's name, which is that of its corpus, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("cbor", cbor_map),
    ("tree", tree),
    ("list", list),
    ("attachment", attachment),
    ("snapshot", snapshot),
    ("record", record),
    ("segment", segment),
    ("pack_table", pack_table),
    ("repository_header", repository_header),
    ("key_slot", key_slot),
    ("grant", grant),
    ("object_header", object_header),
    ("footer", footer),
    ("trailer", trailer),
    ("unit", unit),
    ("delta", delta_unit),
    ("page_patch", page_patch),
    ("sealed_object", sealed_object),
    ("sealed_body", sealed_body),
    ("recovery_words", words),
    ("id", id),
];

/// Runs the target of this name.
pub fn run(name: &str, data: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(target, _)| *target == name).expect("a target");
    target(data);
}

fn keys() -> &'static RepositoryKeys {
    static KEYS: OnceLock<RepositoryKeys> = OnceLock::new();
    KEYS.get_or_init(vector_keys)
}

fn cbor_map(data: &[u8]) {
    if let Ok(about) = cbor::decode::<About>(data) {
        assert_eq!(cbor::encode(&about), data);
        assert!(about.extra.len() <= LIMITS.cbor_items);
    }
}

fn count(nodes: &[Node]) -> usize {
    nodes.iter().fold(nodes.len(), |sum, node| match &node.subtree {
        Subtree::Inline(nodes) => sum + count(nodes),
        Subtree::Blob(_) => sum,
    })
}

fn tree(data: &[u8]) {
    if let Ok(tree) = Tree::decode(data) {
        assert_eq!(tree.encode(), data);
        if let Tree::Nodes(nodes) = &tree {
            assert!(count(nodes) <= LIMITS.cbor_maps);
            assert!(nodes.iter().all(|node| node.validate(true).is_ok()));
        }
    }
}

fn list(data: &[u8]) {
    if let Ok(ids) = decode_list(data) {
        assert_eq!(encode_list(&ids), data);
        assert!((1..=LIMITS.segment_blobs).contains(&ids.len()));
    }
}

fn attachment(data: &[u8]) {
    if let Ok(map) = AttachmentMap::decode(data) {
        assert_eq!(map.encode(), data);
    }
}

fn snapshot(data: &[u8]) {
    if let Ok(snapshot) = Snapshot::decode(data) {
        assert_eq!(cbor::encode(&snapshot), data);
    }
}

fn record(data: &[u8]) {
    if let Ok(record) = Record::decode(data) {
        assert_eq!(cbor::encode(&record), data);
        let (word, _) = record.kind_name();
        assert!(word.bytes().all(|byte| byte.is_ascii_lowercase()));
    }
}

fn segment(data: &[u8]) {
    if let Ok(segment) = Segment::decode(data) {
        assert_eq!(cbor::encode(&segment), data);
    }
}

fn pack_table(data: &[u8]) {
    if let Ok(table) = cbor::decode::<PackTable>(data) {
        assert_eq!(cbor::encode(&table), data);
        if validate_unit_table(&table.units).is_ok() {
            for unit in &table.units {
                assert!(unit.raw_length() <= LIMITS.unit as u64);
                assert_eq!(unit.blobs.len(), unit.raw_lengths.len());
            }
        }
    }
}

fn repository_header(data: &[u8]) {
    if let Ok(header) = RepositoryHeader::decode(data) {
        assert_eq!(header.encode(), data);
        assert!(header.grace / 20 >= header.window);
    }
}

fn key_slot(data: &[u8]) {
    if let Ok(slot) = KeySlot::decode(data) {
        assert_eq!(slot.encode(), data);
        assert!(slot.associated_data().len() <= data.len());
        assert!(slot.kdf_memory <= LIMITS.kdf_memory && slot.kdf_passes <= LIMITS.kdf_passes);
    }
}

fn grant(data: &[u8]) {
    if let Ok(grant) = Grant::decode(data) {
        assert_eq!(grant.encode(), data);
        assert!(grant.associated_data().len() <= data.len());
        assert!(grant.epoch > 0);
        let key = Key([4; 32]);
        if let Ok(open) = OpenGrant::open(&vector_master(), grant) {
            assert!(open.holders().count() <= LIMITS.key_slots);
            if let Ok(Some(set)) = open.take(&ObjectHash([4; 32]), &key) {
                assert!(set.numbers().len() <= LIMITS.epochs);
            }
        }
    }
    // What lies within is sealed: it is decoded from bytes that a fuzzer can reach here as well.
    if let Ok(granted) = cbor::decode::<Granted>(data) {
        assert_eq!(cbor::encode(&granted), data);
    }
    if let Ok(older) = cbor::decode::<Older>(data) {
        assert_eq!(cbor::encode(&older), data);
    }
}

fn object_header(data: &[u8]) {
    for kind in [ObjectKind::Pack, ObjectKind::Record, ObjectKind::Segment] {
        if let Ok(header) = ObjectHeader::decode(data, kind) {
            let again = ObjectHeader::new(header.keyed_part(), header.epoch, header.check());
            assert_eq!(again, header);
            assert!(data.starts_with(&again.bytes));
            let keyed = ObjectHeader::keyed(kind, u32::from(data[8]), header.epoch, {
                let mut salt = [0; 32];
                salt.copy_from_slice(&data[16..48]);
                salt
            });
            assert_eq!(keyed, header.keyed_part());
        }
    }
}

fn footer(data: &[u8]) {
    if let Ok(footer) = decode_footer(data) {
        let raw_length = u32::try_from(footer.raw_length).expect("below the limit of records");
        assert_eq!(encode_footer(footer.form, raw_length, footer.payload, data.len()), data);
        assert!(footer.raw_length <= LIMITS.record);
    }
}

fn trailer(data: &[u8]) {
    if let Ok(length) = decode_trailer(data) {
        let length = u32::try_from(length).expect("four bytes");
        assert_eq!(encode_trailer(length), data);
    }
}

/// The first four bytes are the declared length, the rest is the payload.
fn declared(data: &[u8]) -> Option<(usize, &[u8])> {
    let (length, payload) = data.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*length) as usize, payload))
}

fn unit(data: &[u8]) {
    let Some((raw_length, payload)) = declared(data) else { return };
    let mut decoder = UnitDecoder::new().expect("a context");
    let mut out = Vec::new();
    for form in [UnitForm::Raw, UnitForm::Zstd] {
        if decoder.decode(form, payload, raw_length, None, &mut out).is_ok() {
            assert_eq!(out.len(), raw_length);
        }
        assert!(out.capacity() <= 2 * LIMITS.unit);
    }
}

fn base() -> &'static [u8] {
    static BASE: OnceLock<Vec<u8>> = OnceLock::new();
    BASE.get_or_init(|| {
        let mut bytes = vec![0; 10_000];
        blake3::Hasher::new_keyed(&[1; 32]).finalize_xof().fill(&mut bytes);
        bytes
    })
}

fn delta_unit(data: &[u8]) {
    let Some((raw_length, payload)) = declared(data) else { return };
    let mut out = Vec::new();
    if delta::decode_delta(payload, raw_length, base(), &mut out).is_ok() {
        assert_eq!(out.len(), raw_length);
    }
    assert!(out.capacity() <= 2 * LIMITS.blob);
}

fn page_patch(data: &[u8]) {
    let Some((raw_length, payload)) = declared(data) else { return };
    for with_prefix in [false, true] {
        let mut out = Vec::new();
        if delta::decode_patch(payload, raw_length, base(), with_prefix, &mut out).is_ok() {
            assert_eq!(out.len(), raw_length);
            let mut again = Vec::new();
            let second = delta::decode_patch(payload, raw_length, base(), with_prefix, &mut again);
            assert!(second.is_ok() && again == out);
        }
        assert!(out.capacity() <= 2 * LIMITS.blob);
    }
}

/// A whole object as it would lie in a store.
fn sealed_object(data: &[u8]) {
    for kind in [ObjectKind::Pack, ObjectKind::Record, ObjectKind::Segment] {
        drop(open_object(data, kind, keys()));
    }
}

/// What somebody who has the keys could have written: two bytes say the kind and where units end,
/// the rest is a unit and a body, which are sealed here.
fn sealed_body(data: &[u8]) {
    let [kind, split, rest @ ..] = data else { return };
    let kind = [ObjectKind::Pack, ObjectKind::Record, ObjectKind::Segment][usize::from(kind % 3)];
    let (unit, body) = rest.split_at(rest.len().min(usize::from(*split)));
    let sealer = keys().seal_object_with_salt(kind, 0, [9; 32]).expect("epoch 0 has a key");
    let mut bytes = sealer.header().bytes.to_vec();
    let mut seal = |role, number, plain: &[u8]| {
        let mut piece = plain.to_vec();
        sealer.seal(role, number, &mut piece).expect("it is short");
        bytes.extend_from_slice(&piece);
        u32::try_from(piece.len()).expect("it is short")
    };
    if !unit.is_empty() {
        seal(Role::Unit(BlobKind::Data), 0, unit);
    }
    let length = u32::try_from(body.len()).expect("it is short");
    let footer = seal(Role::Footer, FOOTER_NUMBER, &encode_footer(0, length, body, 0));
    seal(Role::Trailer, TRAILER_NUMBER, &encode_trailer(footer));
    if let Ok((opened, ids)) = open_object(&bytes, kind, keys()) {
        assert!(ids.len() <= LIMITS.pack_blobs);
        let encoded = match opened {
            Body::Pack(table) => cbor::encode(&table),
            Body::Record(record) => cbor::encode(&record),
            Body::Segment(segment) => cbor::encode(&segment),
        };
        assert_eq!(encoded, body);
    }
}

fn words(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(key) = read_recovery_words(text) {
        let words = recovery_words(&key).expect("32 bytes have words");
        let typed: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
        assert_eq!(*words, typed.join(" "));
    }
}

fn id(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let shown = [
        text.parse::<BlobId>().map(|id| id.to_string()),
        text.parse::<LaneId>().map(|id| id.to_string()),
        text.parse::<Tip>().map(|id| id.to_string()),
    ];
    for id in shown.into_iter().flatten() {
        assert_eq!(id, text.to_ascii_lowercase());
    }
}
