//! The generated set of vectors: one row for each promise of the pages.

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use serde::Serialize;
use stash::codec::chunker;
use stash::codec::crypto::{Key, Role, recovery_words};
use stash::codec::delta::{encode_delta, encode_patch};
use stash::format::cbor::{self, Bytes, Ids, Value};
use stash::format::key::{About, KeySlot, RepositoryHeader, SecretBytes, Secrets};
use stash::format::object::{
    FEATURE_DELTA, FOOTER_NUMBER, ObjectKind, TRAILER_NUMBER, encode_footer, encode_prefix,
    encode_trailer,
};
use stash::format::pack::{BlobKind, PackTable, UnitEntry};
use stash::format::record::{
    Attachment, AttachmentMap, Checkpoint, Condemn, Heal, Mark, ObjectUnits, Open, Partial, Record,
    Root, Segment, Snapshot, Statistics, Sweep, encode_list,
};
use stash::format::tree::{FileTime, Node, NodeKind, Part, Subtree, Tree, encode_nodes};
use stash::id::{BlobId, LaneId, ObjectHash, RepositoryId, SnapshotId, Tip};

use crate::judge::{Vector, content};
use crate::open::vector_keys;

/// A vector and where it goes.
pub struct Made {
    /// The folder.
    pub page: &'static str,
    /// The file, without its ending.
    pub name: &'static str,
    /// What it holds; the result is added when it is written.
    pub vector: Vector,
}

struct Set {
    page: &'static str,
    kind: &'static str,
    inputs: Vec<(&'static str, String)>,
    made: Vec<Made>,
}

impl Set {
    fn page(&mut self, page: &'static str) {
        self.page = page;
    }

    fn kind(&mut self, kind: &'static str, inputs: &[(&'static str, &str)]) {
        self.kind = kind;
        self.inputs = inputs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    }

    fn add(&mut self, name: &'static str, expect: &str, why: &str, bytes: impl Into<Vec<u8>>) {
        let mut head = vec![
            ("why".to_owned(), why.to_owned()),
            ("kind".to_owned(), self.kind.to_owned()),
            ("expect".to_owned(), expect.to_owned()),
        ];
        head.extend(self.inputs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let vector = Vector { head, bytes: bytes.into() };
        self.made.push(Made { page: self.page, name, vector });
    }
}

/// Returns the whole set.
pub fn all() -> Vec<Made> {
    let mut set = Set { page: "", kind: "", inputs: Vec::new(), made: Vec::new() };
    objects(&mut set);
    structures(&mut set);
    ids(&mut set);
    keys(&mut set);
    slots(&mut set);
    chunking(&mut set);
    tables(&mut set);
    units(&mut set);
    packs(&mut set);
    deltas(&mut set);
    patches(&mut set);
    trees(&mut set);
    snapshots(&mut set);
    records(&mut set);
    attachments(&mut set);
    set.made
}

fn with(bytes: &[u8], place: usize, byte: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[place] = byte;
    bytes
}

fn flipped(bytes: &[u8], place: usize) -> Vec<u8> {
    with(bytes, place, bytes[place] ^ 1)
}

fn cut(bytes: &[u8], by: usize) -> Vec<u8> {
    bytes[..bytes.len() - by].to_vec()
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// A zstd frame of one raw block: the same whatever the version of zstd.
fn raw_frame(plain: &[u8]) -> Vec<u8> {
    let size = u32::try_from(plain.len()).unwrap();
    let block = (size << 3 | 1).to_le_bytes();
    join(&[&[0x28, 0xb5, 0x2f, 0xfd, 0xa0], &size.to_le_bytes(), &block[..3], plain])
}

/// The same with a window in its header in place of a length.
fn windowed_frame(window: u8, plain: &[u8]) -> Vec<u8> {
    let size = u32::try_from(plain.len()).unwrap();
    let block = (size << 3 | 1).to_le_bytes();
    join(&[&[0x28, 0xb5, 0x2f, 0xfd, 0, window], &block[..3], plain])
}

/// A frame of one block of a repeated byte.
fn run_frame(byte: u8, size: u32) -> Vec<u8> {
    let block = (size << 3 | 3).to_le_bytes();
    join(&[&[0x28, 0xb5, 0x2f, 0xfd, 0xa0], &size.to_le_bytes(), &block[..3], &[byte]])
}

fn objects(set: &mut Set) {
    set.page("objects");
    let prefix = encode_prefix(ObjectKind::Pack, 0, 7);
    set.kind("prefix", &[("object", "pack")]);
    set.add("prefix", "ok", "the prefix of a pack of key epoch 7", prefix);
    let delta = encode_prefix(ObjectKind::Pack, FEATURE_DELTA, 0);
    set.add("prefix-with-delta-feature", "ok", "the one feature bit of version 1", delta);
    set.add("prefix-cut", "cut", "one byte short", cut(&prefix, 1));
    set.add("prefix-empty", "cut", "an object of no bytes", []);
    set.add("prefix-other-magic", "bad-magic", "a file that is no object", with(&prefix, 3, b'H'));
    set.add("prefix-newer", "version", "the version above this one", with(&prefix, 4, 2));
    set.add("prefix-version-0", "version", "no version ever had this number", with(&prefix, 4, 0));
    set.add(
        "prefix-newer-of-unknown-kind",
        "version",
        "the version is looked at before the kind, which a newer one may have added",
        with(&with(&prefix, 4, 2), 5, 9),
    );
    set.add("prefix-other-kind", "bad-magic", "a record where a pack belongs", with(&prefix, 5, 4));
    set.add("prefix-kind-0", "bad-magic", "a kind that is none", with(&prefix, 5, 0));
    set.add("prefix-not-zero", "bad-magic", "the bytes at 6 and 7 are zero", with(&prefix, 7, 1));
    set.add(
        "prefix-unknown-feature",
        "features",
        "a bit that a reader must know",
        with(&prefix, 8, 2),
    );
    set.add(
        "prefix-unknown-high-feature",
        "features",
        "a reader looks at all 32 bits",
        with(&prefix, 11, 0x80),
    );
    let sealer = vector_keys().seal_object_with_salt(ObjectKind::Pack, 0, [9; 32]).unwrap();
    let header = sealer.header().bytes;
    set.kind("header", &[("object", "pack")]);
    set.add("header", "ok", "the header of a pack with a salt of 09", header);
    set.add("header-cut", "cut", "one byte short", cut(&header, 1));
    set.add("header-of-a-slot", "bad-magic", "a kind without a header", with(&header, 5, 2));

    set.kind("footer", &[]);
    let footer = encode_footer(0, 3, b"abc", 0);
    set.add("footer", "ok", "a body as it is, without padding", footer.clone());
    set.add("footer-padded", "ok", "zeros behind the payload", encode_footer(0, 3, b"abc", 40));
    let frame = raw_frame(b"abc");
    set.add("footer-frame", "ok", "a body in a zstd frame", encode_footer(1, 3, &frame, 30));
    set.add("footer-empty", "ok", "a body of no bytes", encode_footer(0, 0, b"", 0));
    set.add("footer-cut", "cut", "shorter than its fixed part", footer[..8].to_vec());
    set.add("footer-payload-cut", "cut", "a payload that ends too early", cut(&footer, 1));
    set.add(
        "footer-padding-not-zero",
        "trailing-bytes",
        "padding hides nothing",
        with(&encode_footer(0, 3, b"abc", 40), 39, 1),
    );
    set.add("footer-unknown-form", "unknown", "there are two forms", with(&footer, 0, 2));
    set.add(
        "footer-two-lengths",
        "inconsistent",
        "a payload that is the body has the body's length",
        with(&footer, 1, 4),
    );
    set.add(
        "footer-too-long",
        "too-long",
        "a body above 16 MiB is refused before it is unpacked",
        join(&[&[1], &0x0100_0001_u32.to_le_bytes(), &4_u32.to_le_bytes(), &frame[..4]]),
    );
    let twice = join(&[&frame, &frame]);
    set.add("footer-two-frames", "bad-frame", "one frame only", encode_footer(1, 6, &twice, 0));
    let skipped = join(&[&[0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9], &frame]);
    set.add(
        "footer-skippable-frame",
        "bad-frame",
        "no frames that are skipped",
        encode_footer(1, 3, &skipped, 0),
    );
    set.add(
        "footer-frame-longer-than-said",
        "bad-frame",
        "a frame gives exactly the declared length",
        encode_footer(1, 2, &frame, 0),
    );
    set.add(
        "footer-frame-shorter-than-said",
        "bad-frame",
        "a frame gives exactly the declared length",
        encode_footer(1, 4, &frame, 0),
    );

    set.kind("trailer", &[]);
    set.add("trailer", "ok", "a footer of 300 stored bytes", encode_trailer(300));
    set.add("trailer-cut", "cut", "one byte short", cut(&encode_trailer(300), 1));
    set.add(
        "trailer-not-zero",
        "not-canonical",
        "the second half is zero",
        with(&encode_trailer(300), 4, 1),
    );
}

fn structures(set: &mut Set) {
    set.kind("cbor", &[]);
    set.add("cbor", "ok", "a map with both of its fields", *b"\xa2\x61n\x61a\x61t\x05");
    set.add("cbor-all-defaults", "ok", "fields at their defaults are left out", *b"\xa0");
    set.add(
        "cbor-least-integer",
        "ok",
        "the smallest signed integer of 64 bits",
        *b"\xa1\x61t\x3b\x7f\xff\xff\xff\xff\xff\xff\xff",
    );
    set.add(
        "cbor-below-least-integer",
        "malformed",
        "one less than 64 bits hold",
        *b"\xa1\x61t\x3b\x80\0\0\0\0\0\0\0",
    );
    set.add(
        "cbor-unknown-keys",
        "ok",
        "keys that this version does not know are kept, behind the known ones",
        *b"\xa3\x61t\x05\x61a\x06\x61z\xa2\x61b\xf5\x62aa\xf6",
    );
    set.add(
        "cbor-unknown-first",
        "not-canonical",
        "unknown keys come behind all known ones",
        *b"\xa2\x61a\x06\x61t\x05",
    );
    set.add(
        "cbor-unknown-unsorted",
        "not-canonical",
        "unknown keys ascend",
        *b"\xa2\x61z\x06\x61a\x05",
    );
    set.add(
        "cbor-unknown-twice",
        "not-canonical",
        "no key comes twice, known or not",
        *b"\xa2\x61z\x05\x61z\x05",
    );
    set.add(
        "cbor-inner-map-unsorted",
        "not-canonical",
        "within unknown values shorter keys come first",
        *b"\xa1\x61z\xa2\x62aa\x01\x61b\x02",
    );
    set.add(
        "cbor-inner-key-twice",
        "not-canonical",
        "within unknown values no key comes twice either",
        *b"\xa1\x61z\xa2\x61b\x01\x61b\x02",
    );
    set.add(
        "cbor-default-written",
        "not-canonical",
        "a field at its default is not written",
        *b"\xa1\x61t\x00",
    );
    set.add(
        "cbor-other-order",
        "not-canonical",
        "keys come in the order of the table",
        *b"\xa2\x61t\x05\x61n\x61a",
    );
    set.add("cbor-key-twice", "not-canonical", "no key comes twice", *b"\xa2\x61t\x05\x61t\x05");
    set.add(
        "cbor-long-integer",
        "not-canonical",
        "integers are as short as they can be",
        *b"\xa1\x61t\x18\x05",
    );
    set.add(
        "cbor-long-length",
        "not-canonical",
        "lengths are as short as they can be",
        *b"\xa1\x61n\x78\x01a",
    );
    set.add("cbor-endless-map", "not-canonical", "lengths are definite", *b"\xbf\x61t\x05\xff");
    set.add(
        "cbor-endless-text",
        "not-canonical",
        "lengths are definite",
        *b"\xa1\x61n\x7f\x61a\xff",
    );
    set.add("cbor-tag", "not-canonical", "no tags", *b"\xc0\xa1\x61t\x05");
    set.add("cbor-float", "not-canonical", "no floating-point numbers", *b"\xa1\x61z\xf9\x3c\0");
    set.add("cbor-undefined", "not-canonical", "no `undefined`", *b"\xa1\x61z\xf7");
    set.add("cbor-simple", "not-canonical", "no other simple values", *b"\xa1\x61z\xf0");
    set.add("cbor-null", "malformed", "no `null` for a known field", *b"\xa1\x61t\xf6");
    set.add("cbor-no-map", "malformed", "a number is no map", *b"\x05");
    set.add("cbor-other-type", "malformed", "bytes where an integer belongs", *b"\xa1\x61t\x41a");
    set.add("cbor-number-as-key", "malformed", "keys are text", *b"\xa1\x01\x05");
    set.add("cbor-bytes-as-text", "not-canonical", "text is not bytes", *b"\xa1\x61n\x41a");
    set.add("cbor-no-utf8", "malformed", "text is UTF-8", *b"\xa1\x61n\x61\xff");
    set.add("cbor-empty", "cut", "no bytes are no item", []);
    set.add("cbor-cut", "cut", "a value is missing", *b"\xa1\x61t");
    set.add("cbor-cut-integer", "cut", "half an integer", *b"\xa1\x61t\x19\x01");
    set.add(
        "cbor-count-lies",
        "cut",
        "a count above the bytes left is refused before it is believed",
        *b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
    );
    set.add(
        "cbor-length-lies",
        "cut",
        "a length above the bytes left is refused before it is believed",
        *b"\xa1\x61n\x7a\xff\xff\xff\xffa",
    );
    set.add("cbor-trailing", "trailing-bytes", "one item and no more", *b"\xa0\xa0");
    let nested = |levels: usize| join(&[b"\xa1\x61z", &vec![0x81; levels], b"\x01"]);
    set.add("cbor-deepest", "ok", "31 arrays in a map: 32 around the innermost", nested(31));
    set.add("cbor-too-deep", "too-deep", "one more", nested(32));
    set.add(
        "cbor-very-deep",
        "too-deep",
        "nesting stops a reader before it exhausts its stack",
        nested(5000),
    );
}

fn ids(set: &mut Set) {
    set.kind("id", &[("digits", "64")]);
    set.add("id", "ok", "64 lower-case digits", "0123456789abcdef".repeat(4));
    set.add("id-upper-case", "ok", "people may type either case", "0123456789ABCDEF".repeat(4));
    set.add("id-short", "malformed", "a prefix is no id", "0".repeat(63));
    set.add("id-long", "malformed", "one digit too many", "0".repeat(65));
    set.add("id-no-digit", "malformed", "g is no hex digit", format!("g{}", "0".repeat(63)));
    set.add("id-sign", "malformed", "a sign is no digit", format!("+f{}", "0".repeat(62)));
    set.add(
        "id-not-ascii",
        "malformed",
        "the right number of bytes, but not of digits",
        format!("é{}", "0".repeat(62)),
    );
    set.kind("id", &[("digits", "32")]);
    set.add("id-of-a-lane", "ok", "lanes and repositories have 16 bytes", "0a".repeat(16));
    set.add("id-of-a-lane-long", "malformed", "another kind of id", "0a".repeat(32));
    set.kind("id", &[("digits", "16")]);
    set.add("id-of-a-tip", "ok", "tips have 8 bytes", "0a".repeat(8));
    set.kind("object-hash", &[]);
    set.add("object-hash", "ok", "the name of the bytes `abc`", *b"abc");
}

fn repository() -> RepositoryHeader {
    RepositoryHeader {
        id: RepositoryId([3; 16]),
        created: 1_700_000_000_000_000_000,
        window: 3600,
        grace: 259_200,
        chunker: 1,
        ..RepositoryHeader::default()
    }
}

fn keys(set: &mut Set) {
    set.page("keys");
    set.kind("blob-id", &[("blob", "data")]);
    set.add("blob-id-data", "ok", "the id of `abc` as data", *b"abc");
    set.add("blob-id-of-nothing", "ok", "the id of no bytes", []);
    set.kind("blob-id", &[("blob", "list")]);
    set.add("blob-id-list", "ok", "the same bytes as a list have another id", *b"abc");
    set.kind("blob-id", &[("blob", "tree")]);
    set.add("blob-id-tree", "ok", "the same bytes as a tree have another id", *b"abc");
    set.kind("blob-id", &[("blob", "attachment")]);
    set.add("blob-id-attachment", "ok", "and as an attachment", *b"abc");
    set.kind("snapshot-id", &[]);
    set.add("snapshot-id", "ok", "the id of a snapshot that is an empty map", *b"\xa0");
    set.kind("name-hash", &[]);
    set.add("name-hash", "ok", "the hash of the name `src`", *b"src");
    set.kind("gear-key", &[]);
    set.add("gear-key", "ok", "the key that cut points come from; no input", []);

    set.kind("repository", &[]);
    let bytes = repository().encode();
    set.add("repository", "ok", "a header with the usual window and grace", bytes.clone());
    let tight = RepositoryHeader { window: 5, grace: 100, ..repository() };
    set.add("repository-tight", "ok", "the least grace for its window", tight.encode());
    let mut change = |name, expect, why, change: fn(&mut RepositoryHeader)| {
        let mut header = repository();
        change(&mut header);
        set.add(name, expect, why, header.encode());
    };
    change("repository-short-grace", "inconsistent", "below 20 windows", |header| {
        header.grace = 71_999;
    });
    change("repository-no-window", "inconsistent", "a window of nothing", |header| {
        header.window = 0;
    });
    change("repository-huge-window", "inconsistent", "20 windows exceed 64 bits", |header| {
        header.window = u64::MAX;
    });
    change("repository-other-chunker", "unknown", "a way of cutting to come", |header| {
        header.chunker = 2;
    });
    change("repository-no-chunker", "unknown", "no way of cutting", |header| header.chunker = 0);
    change("repository-two-flags", "inconsistent", "exclusive and replicated", |header| {
        header.flags = 3;
    });
    change("repository-unknown-flag", "ok", "flags that are not known are ignored", |header| {
        header.flags = 64;
    });
    set.add("repository-epoch", "not-canonical", "it has no epoch", with(&bytes, 12, 1));
    set.add("repository-feature", "not-canonical", "it has no features", with(&bytes, 8, 1));
    set.add("repository-newer", "version", "refused before it is decoded", with(&bytes, 4, 2));
    set.add("repository-other-kind", "bad-magic", "a slot in its place", with(&bytes, 5, 2));
    set.add("repository-cut", "cut", "one byte short", cut(&bytes, 1));
    set.add("repository-trailing", "trailing-bytes", "one byte more", join(&[&bytes, b"\0"]));
    set.add(
        "repository-short-id",
        "malformed",
        "an id of 15 bytes",
        join(&[&encode_prefix(ObjectKind::Repository, 0, 0), b"\xa1\x61i\x4f", &[3; 15]]),
    );

    set.kind("recovery-words", &[]);
    let words = recovery_words(&Key([0xa5; 32])).unwrap().to_string();
    set.add("recovery-words", "ok", "24 words of 32 bytes a5", words.clone());
    set.add(
        "recovery-words-as-typed",
        "ok",
        "any case, any white space",
        format!(" {}\n", words.to_uppercase().replace(' ', "\t\n")),
    );
    let zeros = format!("{}art", "abandon ".repeat(23));
    set.add("recovery-words-zeros", "ok", "the words of 32 zero bytes", zeros);
    let swapped: Vec<&str> = words.split(' ').rev().collect();
    set.add("recovery-words-reversed", "bad-words", "the checksum fails", swapped.join(" "));
    set.add(
        "recovery-words-23",
        "bad-words",
        "one word is missing",
        words.rsplit_once(' ').unwrap().0.to_owned(),
    );
    set.add(
        "recovery-words-unknown",
        "bad-words",
        "a word that is not in the list",
        words.replacen(words.split(' ').next().unwrap(), "stash", 1),
    );
    set.add(
        "recovery-words-12",
        "bad-words",
        "a good code, but of 128 bits",
        format!("{}about", "abandon ".repeat(11)),
    );
    set.add("recovery-words-empty", "bad-words", "no words", []);
    set.add("recovery-words-no-utf8", "bad-words", "no text", [0xff; 8]);
}

fn derive(context: &str, parts: &[&[u8]]) -> [u8; 32] {
    *blake3::Hasher::new_derive_key(context).update(&parts.concat()).finalize().as_bytes()
}

/// Makes a slot as page 2 says, from the primitives alone.
fn slot(secret: &str, value: &[u8], change: impl FnOnce(&mut Secrets)) -> KeySlot {
    let salt = [5; 32];
    let mut slot = KeySlot { salt: salt.to_vec().into(), ..KeySlot::default() };
    let mut material = value.to_vec();
    (slot.kind, slot.kdf_memory, slot.kdf_passes, slot.kdf_lanes) = match secret {
        "device" => (1, 0, 0, 0),
        "passphrase" => (2, 65_536, 3, 4),
        _ => (3, 0, 0, 0),
    };
    if slot.kind == 2 {
        material = vec![0; 32];
        Argon2::new(
            Algorithm::Argon2id,
            Version::V0x13,
            Params::new(65_536, 3, 4, Some(32)).unwrap(),
        )
        .hash_password_into(value, &salt, &mut material)
        .unwrap();
    }
    let context = format!("stash 2026-11-21 slot {secret}");
    let wrapping = derive(&context, &[&material, &salt]);
    let mut both = [0; 64];
    blake3::Hasher::new_keyed(&wrapping).update(b"wrap").finalize_xof().fill(&mut both);
    let (key, check) = both.split_at(32);
    slot.check = check.into();
    let mut secrets = Secrets {
        root: SecretBytes(vec![1; 32]),
        content: SecretBytes(vec![2; 32]),
        header: repository().encode().into(),
        ..Secrets::default()
    };
    change(&mut secrets);
    let about = About { label: "laptop".into(), created: 5, ..About::default() };
    let about_key = derive("stash 2026-11-21 slot about", &[&[1; 32], &salt]);
    let associated = slot.associated_data();
    slot.wrapped = seal(key, &associated, &cbor::encode(&secrets)).into();
    slot.about = seal(&about_key, &associated, &cbor::encode(&about)).into();
    slot
}

fn seal(key: &[u8], associated: &[u8], plain: &[u8]) -> Vec<u8> {
    let key = <[u8; 32]>::try_from(key).unwrap();
    ChaCha20Poly1305::new((&key).into())
        .encrypt(&Nonce::default(), Payload { msg: plain, aad: associated })
        .unwrap()
}

fn slots(set: &mut Set) {
    let seven = "07".repeat(32);
    let device = || slot("device", &[7; 32], |_| ());
    set.kind("key-slot", &[]);
    let bytes = device().encode();
    set.add("slot-device", "ok", "a device key's slot, not opened", bytes.clone());
    let mut change = |name, expect, why, kind, change: fn(&mut KeySlot)| {
        let mut slot = device();
        if kind == 2 {
            (slot.kind, slot.kdf_memory, slot.kdf_passes, slot.kdf_lanes) = (2, 65_536, 3, 4);
        }
        change(&mut slot);
        set.add(name, expect, why, slot.encode());
    };
    change("slot-unknown-kind", "unknown", "there are three kinds", 1, |slot| slot.kind = 4);
    change("slot-kind-0", "unknown", "there are three kinds", 1, |slot| slot.kind = 0);
    change("slot-short-salt", "inconsistent", "a salt of 31 bytes", 1, |slot| {
        slot.salt.0.pop();
    });
    change("slot-long-check", "inconsistent", "a check of 33 bytes", 1, |slot| {
        slot.check.0.push(0);
    });
    change("slot-device-with-cost", "inconsistent", "nothing is stretched", 1, |slot| {
        slot.kdf_memory = 65_536;
    });
    change("slot-ceiling", "ok", "the highest cost", 2, |slot| {
        (slot.kdf_memory, slot.kdf_passes, slot.kdf_lanes) = (4_194_304, 32, 16);
    });
    change("slot-memory-above", "too-long", "more than 4 GiB", 2, |slot| {
        slot.kdf_memory = 4_194_305;
    });
    change("slot-passes-above", "too-long", "more than 32 passes", 2, |slot| slot.kdf_passes = 33);
    change("slot-lanes-above", "too-long", "more than 16 lanes", 2, |slot| slot.kdf_lanes = 17);
    change("slot-memory-below", "inconsistent", "a slot that is cheap to guess", 2, |slot| {
        slot.kdf_memory = 65_535;
    });
    change("slot-passes-below", "inconsistent", "a slot that is cheap to guess", 2, |slot| {
        slot.kdf_passes = 2;
    });
    change("slot-no-lanes", "inconsistent", "Argon2 has at least one lane", 2, |slot| {
        slot.kdf_lanes = 0;
    });
    set.add("slot-epoch", "not-canonical", "nothing vouches for an epoch", with(&bytes, 15, 1));
    set.add("slot-cut", "cut", "one byte short", cut(&bytes, 1));
    set.add("slot-other-kind", "bad-magic", "a record in its place", with(&bytes, 5, 4));

    set.kind("open-slot", &[("secret", "device"), ("value", &seven)]);
    set.add("open-device", "ok", "opens with its device key", bytes);
    let mut changed = device();
    changed.wrapped.0[3] ^= 1;
    set.add("open-flipped", "bad-tag", "one bit of the secrets", changed.encode());
    let mut changed = device();
    changed.wrapped.0.truncate(15);
    set.add("open-short", "bad-tag", "less than a tag", changed.encode());
    let mut changed = device();
    changed.extra.push(("z".into(), Value::Integer(1)));
    set.add(
        "open-more-fields",
        "bad-tag",
        "the tag is bound to unknown keys too",
        changed.encode(),
    );
    let mut changed = device();
    changed.salt.0[0] ^= 1;
    set.add("open-other-salt", "wrong-key", "another salt is another key", changed.encode());
    let mut changed = device();
    changed.check.0[0] ^= 1;
    set.add("open-other-check", "wrong-key", "the check is compared first", changed.encode());
    let epochs = |list: &[u32]| {
        let list: Vec<_> = list.iter().map(|epoch| (*epoch, SecretBytes(vec![8; 32]))).collect();
        slot("device", &[7; 32], |secrets| secrets.epochs = list).encode()
    };
    set.add("open-epochs", "ok", "new objects are sealed under epoch 5", epochs(&[2, 5]));
    set.add("open-epochs-unordered", "bad-tag", "epochs ascend", epochs(&[5, 2]));
    set.add("open-epochs-twice", "bad-tag", "an epoch has one secret", epochs(&[2, 2]));
    set.add("open-epoch-0", "bad-tag", "epoch 0 is the root secret's", epochs(&[0]));
    let short = slot("device", &[7; 32], |secrets| {
        secrets.root.0.pop();
    });
    set.add("open-short-root", "bad-tag", "a root secret of 31 bytes", short.encode());
    set.kind("open-slot", &[("secret", "device"), ("value", &"08".repeat(32))]);
    set.add("open-wrong-device", "wrong-key", "another device key", device().encode());
    set.kind("open-slot", &[("secret", "recovery"), ("value", &seven)]);
    set.add("open-wrong-kind", "wrong-key", "the right bits as a recovery code", device().encode());
    let recovery = slot("recovery", &[7; 32], |_| ()).encode();
    set.add("open-recovery", "ok", "opens with the recovery code's bits", recovery);
    set.kind("open-slot", &[("secret", "passphrase"), ("value", "correct horse")]);
    let passphrase = slot("passphrase", b"correct horse", |_| ()).encode();
    set.add("open-passphrase", "ok", "opens with its passphrase", passphrase.clone());
    set.kind("open-slot", &[("secret", "passphrase"), ("value", "Correct horse")]);
    set.add("open-wrong-passphrase", "wrong-key", "one letter differs", passphrase);
    set.kind("open-about", &[]);
    set.add("about", "ok", "what a slot says to those who have the root secret", device().encode());
    let mut changed = device();
    changed.about.0[0] ^= 1;
    set.add("about-flipped", "bad-tag", "one bit of the description", changed.encode());
}

fn chunking(set: &mut Set) {
    set.page("chunking");
    let zero = [0_u8; 32];
    let minimum = chunker::MINIMUM;
    let mut cuts = |name, expect, why, content: &str, cut, claim: Option<&str>, key: [u8; 32]| {
        let mut inputs = vec![("content", content), ("cut", cut)];
        inputs.extend(claim.map(|claim| ("claim", claim)));
        set.kind("cuts", &inputs);
        set.add(name, expect, why, key);
    };
    cuts("noise", "ok", "cut points in noise", "noise 4 3145728", "content", None, zero);
    cuts(
        "noise-other-key",
        "ok",
        "another key cuts elsewhere",
        "noise 4 3145728",
        "content",
        None,
        [1; 32],
    );
    cuts(
        "noise-odd",
        "ok",
        "an odd length: its last byte is never tested",
        "noise 4 700001",
        "content",
        None,
        zero,
    );
    cuts(
        "zeros",
        "ok",
        "nothing to cut at: chunks of the maximum",
        "zeros 2500000",
        "content",
        None,
        zero,
    );
    let text = format!("noise 5 {minimum}");
    cuts("minimum", "ok", "a file of the minimum is one chunk", &text, "content", None, zero);
    let text = format!("noise 5 {}", minimum + 1);
    cuts("above-minimum", "ok", "one byte more", &text, "content", None, zero);
    cuts("one-byte", "ok", "a file of one byte", "zeros 1", "content", None, zero);
    cuts("empty", "ok", "an empty file has no chunk", "zeros 0", "content", None, zero);
    cuts("fixed", "ok", "a database", "noise 6 300000", "fixed", None, zero);
    cuts("fixed-exact", "ok", "a database that ends at a cut", "zeros 262144", "fixed", None, zero);
    cuts(
        "wrong-list",
        "wrong-content",
        "a claim that is wrong must not pass",
        "zeros 100",
        "content",
        Some("50 50"),
        zero,
    );
    cuts(
        "fixed-by-content",
        "wrong-content",
        "a database is not cut by content",
        "noise 6 300000",
        "content",
        Some("131072 131072 37856"),
        zero,
    );
    set.kind("cuts", &[("content", "zeros 1"), ("cut", "content")]);
    set.add("short-key", "cut", "a gear key of 31 bytes", [0; 31]);
}

fn blob(kind: BlobKind, plain: &[u8]) -> BlobId {
    vector_keys().blob_id(kind, plain)
}

fn unit(form: u64, kind: BlobKind, blobs: &[&[u8]], stored: usize) -> UnitEntry {
    UnitEntry {
        kind: kind as u64,
        form,
        stored_length: stored as u64 + 16,
        raw_lengths: blobs.iter().map(|plain| plain.len() as u64).collect(),
        blobs: Ids(blobs.iter().map(|plain| blob(kind, plain)).collect()),
        ..UnitEntry::default()
    }
}

fn table(units: &[UnitEntry]) -> Vec<u8> {
    cbor::encode(&PackTable { units: units.to_vec(), ..PackTable::default() })
}

fn tables(set: &mut Set) {
    set.page("pack");
    let packed = || unit(1, BlobKind::Data, &[b"one", b"three"], 24);
    let based = || UnitEntry {
        form: 2,
        blobs: Ids(vec![BlobId([8; 32])]),
        raw_lengths: vec![9],
        base: Some(BlobId([9; 32])),
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
        unit.base = Some(BlobId([9; 32]));
    });
    change("unit-depth-without-base", "inconsistent", "zstd has no depth", packed(), |unit| {
        unit.depth = 1;
    });
    change("unit-delta-without-base", "inconsistent", "a delta has a base", based(), |unit| {
        unit.base = None;
    });
    change("unit-delta-without-depth", "inconsistent", "a delta has a depth", based(), |unit| {
        unit.depth = 0;
    });
    change("unit-delta-of-two", "inconsistent", "a delta has one blob", based(), |unit| {
        (unit.blobs, unit.raw_lengths) = (Ids(vec![BlobId([7; 32]); 2]), vec![1, 1]);
    });
    change("unit-delta-of-itself", "inconsistent", "a blob is not its own base", based(), |unit| {
        unit.base = Some(BlobId([8; 32]));
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

fn units(set: &mut Set) {
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
struct Object {
    kind: ObjectKind,
    features: u32,
    units: Vec<(Role, Vec<u8>)>,
    body: Vec<u8>,
    footer_length: Option<u32>,
}

impl Object {
    fn seal(&self) -> Vec<u8> {
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

fn packs(set: &mut Set) {
    set.kind("pack", &[]);
    let bytes = pack().seal();
    set.add("pack", "ok", "two units: a raw one of two blobs, and a frame", bytes.clone());
    let empty = Object { units: vec![], body: table(&[]), ..pack() };
    set.add("pack-empty", "ok", "a pack without units", empty.seal());
    let payload = raw_frame(b"hello");
    let mut based = unit(2, BlobKind::Data, &[b"hello"], payload.len());
    (based.base, based.depth) = (Some(BlobId([9; 32])), 1);
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

fn deltas(set: &mut Set) {
    set.page("delta");
    let base = content("noise 1 10000");
    let mut plain = base.clone();
    plain[5000..5010].copy_from_slice(b"0123456789");
    let delta = encode_delta(&plain, &base, 3).unwrap();
    let inputs = |length: &'static str| [("base", "noise 1 10000"), ("raw-length", length)];
    set.kind("delta", &inputs("10000"));
    set.add("zstd-delta", "ok", "ten bytes of ten thousand changed", delta.clone());
    set.add("zstd-delta-cut", "bad-frame", "one byte short", cut(&delta, 1));
    set.kind("delta", &[("base", "zeros 100"), ("raw-length", "10000")]);
    set.add("zstd-delta-short-base", "bad-frame", "matches reach before the base", delta.clone());
    set.kind("delta", &inputs("10001"));
    set.add("zstd-delta-length", "bad-frame", "another length is declared", delta);
    set.kind("delta", &inputs("5"));
    set.add("delta-plain", "ok", "a frame that takes nothing from its base", raw_frame(b"hello"));
    set.add("delta-empty", "bad-frame", "no frame", []);
    set.add(
        "delta-two-frames",
        "bad-frame",
        "one frame only",
        join(&[&raw_frame(b"he"), &raw_frame(b"llo")]),
    );
    set.kind("delta", &inputs("8388609"));
    set.add("delta-too-long", "too-long", "a blob above 8 MiB", raw_frame(b"hello"));
}

fn patch(count: u32, pages: &[u32], frame: &[u8]) -> Vec<u8> {
    let pages: Vec<u8> = pages.iter().flat_map(|page| page.to_le_bytes()).collect();
    join(&[&count.to_le_bytes(), &pages, frame])
}

fn patches(set: &mut Set) {
    let inputs = |length: &'static str| [("base", "noise 1 10000"), ("raw-length", length)];
    let page = run_frame(7, 4096);
    set.kind("page-patch", &inputs("10000"));
    set.add("patch", "ok", "the second of three pages", patch(1, &[1], &page));
    set.add("patch-last", "ok", "the last, short page", patch(1, &[2], &run_frame(7, 1808)));
    set.add("patch-nothing", "ok", "no page: the base itself", patch(0, &[], &raw_frame(b"")));
    set.add("patch-empty", "bad-patch", "no bytes", []);
    set.add("patch-count-cut", "bad-patch", "three bytes of a count", [1, 0, 0]);
    set.add("patch-numbers-cut", "bad-patch", "a count without numbers", patch(2, &[1], &[]));
    set.add(
        "patch-count-lies",
        "bad-patch",
        "more pages than there are",
        patch(4, &[0, 1, 2, 3], &page),
    );
    set.add("patch-beyond", "bad-patch", "a page behind the end", patch(1, &[3], &page));
    set.add("patch-far-beyond", "bad-patch", "the highest number", patch(1, &[u32::MAX], &page));
    set.add("patch-twice", "bad-patch", "a page twice", patch(2, &[1, 1], &run_frame(7, 8192)));
    set.add("patch-order", "bad-patch", "pages ascend", patch(2, &[1, 0], &run_frame(7, 8192)));
    set.add(
        "patch-frame-short",
        "bad-frame",
        "less than a page",
        patch(1, &[1], &run_frame(7, 4095)),
    );
    set.add(
        "patch-frame-long",
        "bad-frame",
        "more than a page",
        patch(1, &[1], &run_frame(7, 4097)),
    );
    set.add("patch-no-frame", "bad-frame", "numbers and no pages", patch(1, &[1], &[]));
    set.kind("page-patch", &inputs("16000"));
    set.add(
        "patch-longer",
        "ok",
        "the base's short page and all behind it come from the patch",
        patch(2, &[2, 3], &run_frame(7, 7808)),
    );
    set.add(
        "patch-hole",
        "bad-patch",
        "the base's short page got longer, and nobody says what with",
        patch(1, &[3], &run_frame(7, 3712)),
    );
    set.kind("page-patch", &inputs("4096"));
    set.add("patch-shorter", "ok", "the first page of the base", patch(0, &[], &raw_frame(b"")));
    set.kind("page-patch", &[("base", "zeros 0"), ("raw-length", "4096")]);
    set.add("patch-of-nothing", "ok", "an empty base", patch(1, &[0], &page));
    set.kind("page-patch", &inputs("8388609"));
    set.add("patch-too-long", "bad-patch", "a blob above 8 MiB", patch(1, &[1], &page));
    set.kind("page-patch-with-prefix", &inputs("10000"));
    let mut plain = content("noise 1 10000");
    plain[5000] ^= 1;
    let base = content("noise 1 10000");
    let bytes = encode_patch(&plain, &[1], Some(&base), 3).unwrap();
    set.add("zstd-patch-with-prefix", "ok", "one byte of a page", bytes.clone());
    set.add("zstd-patch-with-prefix-cut", "bad-frame", "one byte short", cut(&bytes, 1));
    set.kind("page-patch", &inputs("10000"));
    set.add("zstd-patch-prefix-missing", "bad-frame", "read without its prefix", bytes);
}

fn file(name: &str) -> Node {
    Node {
        name: name.as_bytes().into(),
        mode: 0o644,
        mtime: FileTime(1_700_000_000, 5),
        size: 3,
        inline: b"abc".as_slice().into(),
        ..Node::default()
    }
}

fn kind_of(name: &str, kind: NodeKind) -> Node {
    Node { kind, size: 0, inline: Bytes::default(), ..file(name) }
}

fn every_kind() -> Vec<Node> {
    let mut nodes = vec![
        Node {
            inline: Bytes::default(),
            blobs: Ids(vec![BlobId([1; 32]), BlobId([2; 32])]),
            size: 300_000,
            uid: 1000,
            gid: 100,
            user: Some("ada".into()),
            group: Some("users".into()),
            hard_link: 1,
            xattrs: vec![
                (b"user.a".as_slice().into(), b"1".as_slice().into()),
                (b"user.b".as_slice().into(), Bytes::default()),
            ],
            sparse: true,
            ..file("a")
        },
        Node {
            inline: Bytes::default(),
            segments: Ids(vec![BlobId([3; 32])]),
            size: 4_000_000,
            category: 3,
            absent_since: Some(-1),
            capture: 1,
            ..file("b")
        },
        Node { subtree: Subtree::Blob(BlobId([4; 32])), ..kind_of("c", NodeKind::Directory) },
        Node { subtree: Subtree::Inline(vec![file("x")]), ..kind_of("d", NodeKind::Directory) },
        Node { target: b"../a".as_slice().into(), ..kind_of("e", NodeKind::Symlink) },
        kind_of("f", NodeKind::Fifo),
        Node { device: Some((1, 3)), ..kind_of("g", NodeKind::CharDevice) },
        Node { device: Some((8, 0)), ..kind_of("h", NodeKind::BlockDevice) },
        kind_of("i", NodeKind::Socket),
        Node { target: b"/agents/x/y".as_slice().into(), ..kind_of("j", NodeKind::Reference) },
    ];
    nodes.push(Node { name: b"k\xff".as_slice().into(), ..file("k") });
    nodes
}

fn trees(set: &mut Set) {
    set.page("tree");
    set.kind("tree", &[]);
    set.add(
        "nodes",
        "ok",
        "one node of each kind, and a name that is not UTF-8",
        encode_nodes(&every_kind()),
    );
    set.add("nodes-none", "ok", "an empty directory", encode_nodes(&[]));
    let part = |name: &str| Part(name.as_bytes().into(), BlobId([4; 32]));
    set.add("parts", "ok", "two parts", Tree::Parts(vec![part("a"), part("m")]).encode());
    set.add("parts-none", "inconsistent", "a list of no parts", Tree::Parts(vec![]).encode());
    set.add(
        "parts-order",
        "order",
        "first names ascend",
        Tree::Parts(vec![part("b"), part("a")]).encode(),
    );
    set.add(
        "parts-twice",
        "order",
        "no first name twice",
        Tree::Parts(vec![part("a"), part("a")]).encode(),
    );
    set.add(
        "parts-name",
        "bad-name",
        "first names are names",
        Tree::Parts(vec![part("a/b")]).encode(),
    );
    set.add("tree-unknown-form", "unknown", "the first item is 0 or 1", *b"\x82\x02\x80");
    set.add("tree-three-items", "unknown", "an array of two", *b"\x83\x00\x80\x80");
    set.add("tree-empty", "cut", "no bytes", []);
    set.add("tree-trailing", "trailing-bytes", "one item only", *b"\x82\x00\x80\x00");
    set.add("tree-number", "malformed", "a number is no list of nodes", *b"\x82\x00\x05");
    let file_bytes = encode_nodes(&[file("a")]);
    set.add("tree-cut", "cut", "one byte short", cut(&file_bytes, 1));
    let names: [(&'static str, &str, &str); 5] = [
        ("name-empty", "", "a name has a byte"),
        ("name-dot", ".", "the directory itself"),
        ("name-dot-dot", "..", "the directory above"),
        ("name-slash", "a/b", "a name is no path"),
        ("name-nul", "a\0b", "systems stop at a zero byte"),
    ];
    for (vector, name, why) in names {
        set.add(vector, "bad-name", why, encode_nodes(&[file(name)]));
    }
    set.add("name-longest", "ok", "4,096 bytes", encode_nodes(&[file(&"n".repeat(4096))]));
    set.add("name-too-long", "too-long", "4,097 bytes", encode_nodes(&[file(&"n".repeat(4097))]));
    set.add("nodes-order", "order", "names ascend", encode_nodes(&[file("b"), file("a")]));
    set.add("nodes-twice", "order", "no name twice", encode_nodes(&[file("a"), file("a")]));
    set.add(
        "nodes-order-by-bytes",
        "order",
        "upper case comes before lower case",
        encode_nodes(&[file("a"), file("B")]),
    );
    let inside = |nodes: Vec<Node>| {
        encode_nodes(&[Node {
            subtree: Subtree::Inline(nodes),
            ..kind_of("d", NodeKind::Directory)
        }])
    };
    set.add("inner-name", "bad-name", "names are checked at any depth", inside(vec![file("..")]));
    set.add("inner-order", "order", "and so is their order", inside(vec![file("b"), file("a")]));
    set.add(
        "inner-empty",
        "not-canonical",
        "an empty directory is one without content",
        *b"\x82\x00\x81\xa3\x61n\x41d\x61t\x01\x61d\x80",
    );
    let mut deep = vec![file("x")];
    for _ in 0..20 {
        deep = vec![Node { subtree: Subtree::Inline(deep), ..kind_of("d", NodeKind::Directory) }];
    }
    set.add("inner-too-deep", "too-deep", "directories in nodes, 20 of them", encode_nodes(&deep));
    fields(set);
    lists(set);
}

fn fields(set: &mut Set) {
    let mut change = |name, expect, why, mut node: Node, change: fn(&mut Node)| {
        change(&mut node);
        set.add(name, expect, why, encode_nodes(&[node]));
    };
    let dir = || kind_of("d", NodeKind::Directory);
    let link = || Node { target: b"x".as_slice().into(), ..kind_of("l", NodeKind::Symlink) };
    change("file-two-contents", "inconsistent", "inline and blobs", file("a"), |node| {
        node.blobs = Ids(vec![BlobId([1; 32])]);
    });
    change("file-no-content", "inconsistent", "a size and nothing else", file("a"), |node| {
        node.inline = Bytes::default();
    });
    change("file-no-size", "inconsistent", "content and no size", file("a"), |node| {
        (node.size, node.inline, node.blobs) = (0, Bytes::default(), Ids(vec![BlobId([1; 32])]));
    });
    change("file-other-size", "inconsistent", "inline content has the size", file("a"), |node| {
        node.size = 4;
    });
    change("file-target", "inconsistent", "a file points nowhere", file("a"), |node| {
        node.target = b"x".as_slice().into();
    });
    change("file-subtree", "inconsistent", "a file holds no nodes", file("a"), |node| {
        node.subtree = Subtree::Blob(BlobId([1; 32]));
    });
    change("file-device", "inconsistent", "a file is no device", file("a"), |node| {
        node.device = Some((1, 1));
    });
    change("file-long-inline", "too-long", "1,025 bytes in the node", file("a"), |node| {
        (node.size, node.inline) = (1025, vec![0; 1025].into());
    });
    change("file-nine-blobs", "too-long", "nine blobs in the node", file("a"), |node| {
        (node.inline, node.blobs) = (Bytes::default(), Ids(vec![BlobId([1; 32]); 9]));
    });
    change("dir-size", "inconsistent", "a directory has no size", dir(), |node| node.size = 1);
    change("dir-sparse", "inconsistent", "a directory has no holes", dir(), |node| {
        node.sparse = true;
    });
    change("dir-hard-link", "inconsistent", "a directory has one name", dir(), |node| {
        node.hard_link = 1;
    });
    change("symlink-no-target", "inconsistent", "a link points somewhere", link(), |node| {
        node.target = Bytes::default();
    });
    change("symlink-content", "inconsistent", "a link has no content", link(), |node| {
        (node.size, node.inline) = (1, b"x".as_slice().into());
    });
    change("symlink-nul", "bad-name", "systems stop at a zero byte", link(), |node| {
        node.target = b"a\0b".as_slice().into();
    });
    change("symlink-long", "too-long", "a target of 4,097 bytes", link(), |node| {
        node.target = vec![b'x'; 4097].into();
    });
    change("device-no-number", "inconsistent", "which device?", dir(), |node| {
        node.kind = NodeKind::CharDevice;
    });
    change("mode-too-high", "inconsistent", "only permission bits", file("a"), |node| {
        node.mode = 0o100_644;
    });
    change("time-nanoseconds", "inconsistent", "a second has 1,000,000,000", file("a"), |node| {
        node.mtime = FileTime(0, 1_000_000_000);
    });
    let pair = |name: &[u8]| (Bytes::from(name), Bytes::default());
    let xattrs = |names: &[&[u8]]| Node {
        xattrs: names.iter().map(|name| pair(name)).collect(),
        ..file("a")
    };
    change("xattr-order", "order", "names ascend", xattrs(&[b"b", b"a"]), |_| ());
    change("xattr-twice", "order", "no name twice", xattrs(&[b"a", b"a"]), |_| ());
    change("xattr-no-name", "bad-name", "an attribute has a name", xattrs(&[b""]), |_| ());
    change("xattr-nul", "bad-name", "systems stop at a zero byte", xattrs(&[b"a\0"]), |_| ());
    change("category-unknown", "ok", "a category to come is read as other", file("a"), |node| {
        node.category = 99;
    });
    set.add(
        "node-kind-unknown",
        "malformed",
        "there are eight kinds",
        *b"\x82\x00\x81\xa2\x61n\x41a\x61t\x08",
    );
    set.add(
        "subtree-short-id",
        "malformed",
        "an id has 32 bytes",
        *b"\x82\x00\x81\xa3\x61n\x41a\x61t\x01\x61d\x41a",
    );
    set.add(
        "time-three-numbers",
        "malformed",
        "a time is two numbers",
        *b"\x82\x00\x81\xa2\x61n\x41a\x61s\x83\x01\x01\x01",
    );
}

fn lists(set: &mut Set) {
    set.kind("list", &[]);
    let ids = [BlobId([1; 32]), BlobId([2; 32])];
    set.add("list", "ok", "two ids", encode_list(&ids));
    set.add("list-same", "ok", "an id may come more than once", encode_list(&[ids[0], ids[0]]));
    set.add("list-empty", "cut", "a segment has an id", []);
    set.add("list-cut", "cut", "half an id", cut(&encode_list(&ids), 16));
    set.add("list-too-long", "too-long", "4,097 ids", vec![0; 4097 * 32]);
}

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

fn snapshots(set: &mut Set) {
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
    let bytes = cbor::encode(&snapshot());
    set.add("snapshot-cut", "cut", "one byte short", cut(&bytes, 1));
    set.add("snapshot-trailing", "trailing-bytes", "one byte more", join(&[&bytes, b"\0"]));
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

fn records(set: &mut Set) {
    set.kind("record", &[]);
    let bare = || Record { snapshot: None, entries: Vec::new(), ..record() };
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
    let mark = |kind, tags: &[&str]| Mark {
        snapshot: SnapshotId([6; 32]),
        kind,
        tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
        ..Mark::default()
    };
    let marks = [1, 2, 3, 4].map(|kind| mark(kind, &[])).into_iter().chain([mark(5, &["x"])]);
    add("record-marks", "ok", "a mark of each kind", Record { marks: marks.collect(), ..bare() });
    let objects = Ids(vec![ObjectHash([8; 32])]);
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
        condemnations: objects,
        tips: Ids(vec![Tip([1; 8])]),
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
    let heal = |verdict| Record {
        heal: Some(Heal { record: ObjectHash([7; 32]), verdict, ..Heal::default() }),
        ..bare()
    };
    add("record-heal", "ok", "a late record was made whole", heal(2));
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
    set.add("record-half-tip", "malformed", "tips have 8 bytes", *b"\xa2\x61q\x01\x61V\x44abcd");
    set.add("record-empty", "inconsistent", "no sequence", *b"\xa0");
    sealed(set);
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

fn attachments(set: &mut Set) {
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
