//! Vectors of `1-objects.md`: frames, structures, ids.

use crate::open::vector_keys;
use crate::table::{Set, cut, join, raw_frame, with};
use stash::format::object::{
    FEATURE_DELTA, ObjectKind, encode_footer, encode_prefix, encode_trailer,
};

pub fn objects(set: &mut Set) {
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

pub fn structures(set: &mut Set) {
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
    departures(set);
    lies(set);
}

/// Encodings of values that have another form.
fn departures(set: &mut Set) {
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
}

/// Counts and lengths that promise more than there is, and nesting.
fn lies(set: &mut Set) {
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

pub fn ids(set: &mut Set) {
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
