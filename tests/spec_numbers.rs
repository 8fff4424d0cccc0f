//! Reads the numbers, words and strings of the format's pages and compares them with the code.
//!
//! A table that is compared has a comment `<!-- table: name -->` or `<!-- map: Type -->` before it.
//! Every such comment must be used by a test here, so that none is there for show.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test reads its own files and stops where they are not as they should be"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use stash::codec::chunker;
use stash::codec::crypto::{Key, MasterKeys, RepositoryKeys, SlotSecret, make_slot};
use stash::codec::delta::PAGE;
use stash::engine::check::FindingKind;
use stash::error::EXIT_CODES;
use stash::format::LIMITS;
use stash::format::key::{
    About, KDF_FLOOR, REPOSITORY_APPEND_ONLY, REPOSITORY_EXCLUSIVE, REPOSITORY_REPLICATED, SlotKind,
};
use stash::format::object::{
    FEATURE_DELTA, FOOTER_NUMBER, FOOTER_OVERHEAD, HEADER_LENGTH, KEYED_LENGTH, KNOWN_FEATURES,
    MAGIC, ObjectKind, PREFIX_LENGTH, TAG_LENGTH, TRAILER_LENGTH, TRAILER_NUMBER, VERSION,
    encode_footer, encode_prefix, encode_trailer,
};
use stash::format::pack::{BlobKind, UnitForm};
use stash::format::record::{
    Checkpoint, Condemn, Heal, Mark, MarkKind, Open, Record, RootKind, SNAPSHOT_INCOMPLETE,
    SNAPSHOT_SAFETY, Sweep,
};
use stash::format::tree::{Category, NodeKind};
use stash::id::{RepositoryId, to_hex};
use zeroize::Zeroizing;

type Rows = Vec<Vec<String>>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> BTreeMap<String, String> {
    std::fs::read_dir(root().join("format-spec"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect()
}

/// Returns the rows below the head of a table, their cells without backquotes.
fn rows(text: &str) -> Rows {
    text.lines()
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| {
            let line = line.trim().trim_start_matches('|').trim_end_matches('|');
            line.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
        })
        .collect()
}

/// Every marked table of a page, by its mark.
fn marked(word: &str) -> BTreeMap<String, Rows> {
    let mut tables = BTreeMap::new();
    for (page, text) in pages() {
        let mark = format!("<!-- {word}: ");
        for part in text.split(&mark).skip(1) {
            let (name, rest) = part.split_once(" -->\n").expect("a mark stands on its own line");
            let rows = rows(rest);
            assert!(!rows.is_empty(), "{page}: no table behind the mark `{name}`");
            assert!(tables.insert(name.to_owned(), rows).is_none(), "two tables `{name}`");
        }
    }
    tables
}

fn table(name: &str) -> Rows {
    marked("table").remove(name).unwrap_or_else(|| panic!("no page has a table `{name}`"))
}

fn number(text: &str) -> u64 {
    let digits = text.replace(',', "");
    digits.parse().unwrap_or_else(|_| panic!("`{text}` is no number"))
}

/// Compares a table's first two columns with pairs of a number and a word.
fn compare(name: &str, expected: impl IntoIterator<Item = (u64, String)>) {
    let found: Vec<(u64, String)> =
        table(name).iter().map(|row| (number(&row[0]), row[1].clone())).collect();
    assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{name}");
}

#[test]
fn limits_are_those_of_the_page() {
    let mut expected = BTreeMap::new();
    // `Debug` names every field, so that one added to the code and not to the page fails here.
    let fields = format!("{LIMITS:?}");
    for field in fields.trim_start_matches("Limits {").trim_end_matches('}').split(',') {
        let (name, value) = field.split_once(':').unwrap();
        expected.insert(name.trim().to_owned(), number(value.trim()));
    }
    let mut found = BTreeMap::new();
    for row in table("limits").iter().chain(&table("writer limits")) {
        assert!(found.insert(row[0].clone(), number(&row[1])).is_none(), "`{}` twice", row[0]);
    }
    assert_eq!(found, expected);
}

#[test]
fn headers_are_laid_out_as_the_page_says() {
    let sum = |name: &str| {
        let mut offset = 0;
        for row in table(name) {
            assert_eq!(number(&row[0]), offset, "{name}: {}", row[2]);
            offset += number(&row[1]);
        }
        usize::try_from(offset).unwrap()
    };
    assert_eq!(sum("prefix"), PREFIX_LENGTH);
    assert_eq!(sum("header"), HEADER_LENGTH);
    assert_eq!(sum("trailer"), encode_trailer(0).len());
    let place = |name: &str, field: &str| {
        let rows = table(name);
        let row = rows.iter().find(|row| row[2] == field).unwrap_or_else(|| panic!("{field}"));
        usize::try_from(number(&row[0])).unwrap()
    };
    let prefix = encode_prefix(ObjectKind::Segment, FEATURE_DELTA, 7);
    let at = |field| prefix[place("prefix", field)];
    assert_eq!(place("prefix", "magic"), 0);
    assert!(prefix.starts_with(&MAGIC));
    assert_eq!((at("version"), at("kind"), at("zero")), (VERSION, 5, 0));
    assert_eq!((at("features"), at("epoch")), (1, 7));
    let magic = &table("prefix")[0][3];
    assert!(magic.contains(&to_hex(&MAGIC).as_bytes().chunks(2).fold(
        String::new(),
        |text, pair| {
            let pair = std::str::from_utf8(pair).unwrap();
            if text.is_empty() { pair.to_owned() } else { format!("{text} {pair}") }
        }
    )));
    assert_eq!(number(&table("prefix")[1][3]), u64::from(VERSION));
    let footer = encode_footer(1, 0x0a0b, b"xyz", 0);
    assert_eq!(footer[place("footer", "form")], 1);
    assert_eq!(footer[place("footer", "raw length")], 0x0b);
    assert_eq!(footer[place("footer", "payload length")], 3);
    assert_eq!(footer[place("footer", "payload")], b'x');
    let sizes: Vec<u64> = table("sizes").iter().map(|row| number(&row[1])).collect();
    let expected =
        [PREFIX_LENGTH, KEYED_LENGTH, HEADER_LENGTH, TAG_LENGTH, TRAILER_LENGTH, FOOTER_OVERHEAD];
    assert_eq!(sizes, expected.map(|size| size as u64));
    let roles = table("roles");
    assert_eq!(number(&roles[1][2]), u64::from(FOOTER_NUMBER));
    assert_eq!(number(&roles[2][2]), u64::from(TRAILER_NUMBER));
}

#[test]
fn numbers_of_kinds_and_flags_are_those_of_the_pages() {
    let words = |list: &[(u64, &str)]| {
        list.iter().map(|(number, word)| (*number, (*word).to_owned())).collect::<Vec<_>>()
    };
    compare(
        "object kinds",
        words(&[
            (ObjectKind::Repository as u64, "repository"),
            (ObjectKind::KeySlot as u64, "key slot"),
            (ObjectKind::Pack as u64, "pack"),
            (ObjectKind::Record as u64, "record"),
            (ObjectKind::Segment as u64, "segment"),
            (ObjectKind::Grant as u64, "grant"),
        ]),
    );
    let bits: u64 = table("features").iter().map(|row| number(&row[1])).sum();
    assert_eq!(bits, u64::from(KNOWN_FEATURES));
    compare("blob kinds", BlobKind::ALL.map(|kind| (kind as u64, kind.name().to_owned())));
    compare(
        "unit forms",
        words(&[
            (UnitForm::Raw as u64, "raw"),
            (UnitForm::Zstd as u64, "zstd"),
            (UnitForm::Delta as u64, "delta"),
            (UnitForm::PagePatch as u64, "page patch"),
            (UnitForm::PagePatchWithPrefix as u64, "page patch with prefix"),
        ]),
    );
    let forms = table("unit forms").len() as u64;
    assert!((0..forms).all(|form| UnitForm::from_number(form).is_ok()));
    assert!(UnitForm::from_number(forms).is_err());
    compare("node kinds", NodeKind::ALL.map(|kind| (kind as u64, kind.name().to_owned())));
    compare("categories", Category::ALL.map(|it| (it as u64, it.name().to_owned())));
    for category in Category::ALL {
        assert_eq!(Category::from_number(category as u64), Some(category));
        assert_eq!(Category::from_name(category.name()), Some(category));
    }
    assert_eq!(Category::from_number(0), None);
    assert_eq!(Category::from_number(11), Some(Category::Other));
    let slots = [SlotKind::Device, SlotKind::Passphrase, SlotKind::Recovery];
    compare("slot kinds", slots.map(|kind| (kind as u64, kind.name().to_owned())));
    compare(
        "repository flags",
        words(&[
            (REPOSITORY_EXCLUSIVE, "exclusive"),
            (REPOSITORY_REPLICATED, "replicated"),
            (REPOSITORY_APPEND_ONLY, "append-only"),
        ]),
    );
    compare(
        "snapshot flags",
        words(&[(SNAPSHOT_SAFETY, "safety"), (SNAPSHOT_INCOMPLETE, "incomplete")]),
    );
    compare(
        "mark kinds",
        words(&[
            (MarkKind::Forget as u64, "forget"),
            (MarkKind::Unforget as u64, "unforget"),
            (MarkKind::Pin as u64, "pin"),
            (MarkKind::Unpin as u64, "unpin"),
            (MarkKind::Tags as u64, "tags"),
        ]),
    );
    compare(
        "root kinds",
        words(&[
            (RootKind::Agent as u64, "agent"),
            (RootKind::Path as u64, "path"),
            (RootKind::Stdin as u64, "stdin"),
        ]),
    );
}

#[test]
fn other_sizes_are_those_of_the_pages() {
    let sizes: Vec<u64> = table("chunk sizes").iter().map(|row| number(&row[1])).collect();
    let expected = [chunker::MINIMUM, chunker::AVERAGE, chunker::MAXIMUM, chunker::DATABASE];
    assert_eq!(sizes, expected.map(|size| size as u64));
    let (strict, loose) =
        fastcdc::v2020::select_masks(chunker::AVERAGE, fastcdc::v2020::Normalization::Level1);
    let masks: Vec<String> = table("masks").iter().map(|row| row[1].clone()).collect();
    assert_eq!(masks, [strict, loose].map(|mask| format!("{mask:#018x}")));
    assert_eq!(number(&table("page")[0][1]), PAGE as u64);
    // The layout of a patch: a count of four bytes, four bytes a page.
    let patch = table("page patch");
    assert_eq!(
        (patch[0][1].as_str(), patch[1][0].as_str(), patch[1][1].as_str()),
        ("4", "4", "4 × count")
    );
    let floor: Vec<u64> = table("kdf floor").iter().map(|row| number(&row[1])).collect();
    let (memory, passes, lanes) = KDF_FLOOR;
    assert_eq!(floor, [memory, passes, lanes].map(u64::from));
    // In prose: the grace, the padding of records, the grid.
    let prose = pages();
    for (page, sentence) in [
        ("2-keys", "`grace` MUST be at least 20 times `window`"),
        ("2-keys", "as 24 words of the English list"),
        ("1-objects", "A window given in its header MUST NOT exceed 8 MiB"),
        ("4-pack", "A blob takes at most 8 MiB, a unit's plaintext at most 16 MiB"),
        ("6-tree", "take at most 4,096 bytes SHOULD lie in its node's `d`"),
    ] {
        let text = prose[page].split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(sentence), "{page} does not say: {sentence}");
    }
    assert_eq!(stash::codec::ZSTD_WINDOW_LOG, 23);
}

#[test]
fn exit_codes_are_those_of_the_page() {
    compare(
        "exit codes",
        EXIT_CODES.iter().map(|row| (u64::from(row.code), row.meaning.to_owned())),
    );
}

#[test]
fn findings_of_a_check_name_the_rules_of_the_page() {
    let mut of_page = BTreeSet::new();
    for row in table("findings of check") {
        let rule = (row[0] != "none").then(|| u8::try_from(number(&row[0])).unwrap());
        of_page.extend(row[1].split(", ").map(|kind| (kind.replace('`', ""), rule)));
    }
    let word = |kind| serde_json::to_value(kind).unwrap().as_str().unwrap().to_owned();
    let of_code: BTreeSet<_> =
        FindingKind::ALL.iter().map(|kind| (word(kind), kind.rule())).collect();
    assert_eq!(of_page, of_code);
}

#[test]
fn the_word_of_a_record_is_the_first_of_the_table_that_it_has() {
    type Add = fn(&mut Record);
    let parts: [(&str, Add); 8] = [
        ("C", |record| record.checkpoint = Some(Checkpoint::default())),
        ("S", |record| record.sweep = Some(Sweep::default())),
        ("c", |record| record.condemn = Some(Condemn::default())),
        ("h", |record| record.heal = Some(Heal::default())),
        ("m", |record| record.marks = vec![Mark::default()]),
        ("O", |record| record.open = Some(Open::default())),
        ("s", |record| record.snapshot = Some(vec![0xa0].into())),
        ("none of these", |_| ()),
    ];
    let table = table("record words");
    assert_eq!(table.len(), parts.len());
    let mut record = Record::default();
    // From the last row up, each part added takes over from those below it.
    for ((key, add), row) in parts.iter().zip(&table).rev() {
        assert_eq!(row[1], *key);
        add(&mut record);
        let (word, deleting) = record.kind_name();
        assert_eq!(
            (row[0].as_str(), row[2].as_str()),
            (word, if deleting { "log/g" } else { "log/s" })
        );
    }
}

/// The maps of the code: name, then keys with their fields, read from the source.
fn maps_of_the_code() -> BTreeMap<String, Vec<(String, String)>> {
    let mut maps = BTreeMap::new();
    for file in ["key", "pack", "record", "session", "tree"] {
        let text = std::fs::read_to_string(root().join(format!("src/format/{file}.rs"))).unwrap();
        for block in text.split("\ncbor_map! {").skip(1) {
            let block = block.split("\n}\n").next().unwrap();
            let (_, body) = block.split_once("pub struct ").expect("a map is a struct");
            let (name, body) = body.split_once(" {").unwrap();
            let fields = body
                .lines()
                .filter_map(|line| line.trim().strip_prefix('"'))
                .map(|line| {
                    let (key, rest) = line.split_once("\" => ").unwrap();
                    (key.to_owned(), rest.split(':').next().unwrap().replace('_', " "))
                })
                .collect();
            maps.insert(name.to_owned(), fields);
        }
    }
    maps
}

#[test]
fn maps_have_the_keys_of_the_pages_in_their_order() {
    let on_pages: BTreeMap<String, Vec<(String, String)>> = marked("map")
        .into_iter()
        .map(|(name, rows)| {
            (name, rows.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect())
        })
        .collect();
    let in_code = maps_of_the_code();
    assert!(in_code.len() > 15, "the source is read wrongly: {in_code:?}");
    assert_eq!(on_pages, in_code);
    for (name, fields) in on_pages {
        let keys: BTreeSet<_> = fields.iter().map(|(key, _)| key).collect();
        assert_eq!(keys.len(), fields.len(), "{name} has a key twice");
    }
}

fn derive(context: &str, parts: &[&[u8]]) -> [u8; 32] {
    *blake3::Hasher::new_derive_key(context).update(&parts.concat()).finalize().as_bytes()
}

fn extended(key: &[u8; 32], input: &[u8]) -> ([u8; 32], [u8; 32]) {
    let mut both = [0; 64];
    blake3::Hasher::new_keyed(key).update(input).finalize_xof().fill(&mut both);
    (both[..32].try_into().unwrap(), both[32..].try_into().unwrap())
}

#[test]
fn keys_are_derived_as_the_page_says() {
    let contexts: BTreeMap<String, String> = table("contexts")
        .into_iter()
        .map(|row| (row[0].clone(), row[1].split('"').nth(1).unwrap().to_owned()))
        .collect();
    let (secret_root, content, repository) = ([1; 32], [2; 32], RepositoryId([3; 16]));
    let master = MasterKeys::from_parts(secret_root, content);
    let keys = RepositoryKeys::derive(&master, &repository);
    let of_content = |name: &str| derive(&contexts[name], &[&content]);
    for kind in BlobKind::ALL {
        let key = of_content(&format!("id key of {} blobs", kind.name()));
        assert_eq!(keys.blob_id(kind, b"x").0, *blake3::keyed_hash(&key, b"x").as_bytes());
    }
    let key = of_content("id key of snapshots");
    assert_eq!(keys.snapshot_id(b"x").0, *blake3::keyed_hash(&key, b"x").as_bytes());
    let hash = blake3::keyed_hash(&of_content("name key"), b"x");
    assert_eq!(keys.name_hash(b"x").to_le_bytes(), hash.as_bytes()[..8]);
    assert_eq!(*keys.gear_key(), of_content("gear key"));
    assert_eq!(contexts["sealing key of epoch 0"], contexts["sealing key of epoch n"]);
    let sealing =
        derive(&contexts["sealing key of epoch 0"], &[&secret_root, repository.as_bytes()]);
    let sealer = keys.seal_object_with_salt(ObjectKind::Pack, 0, [9; 32]).unwrap();
    let (_, check) = extended(&sealing, &sealer.header().keyed_part());
    assert_eq!(sealer.header().check(), check);
    let words = || Zeroizing::new("correct horse".to_owned());
    for (name, secret) in [
        ("device", SlotSecret::Device(Key([7; 32]))),
        ("passphrase", SlotSecret::Passphrase(words())),
        ("recovery", SlotSecret::Recovery(Key([7; 32]))),
    ] {
        let about = About { label: "x".into(), ..About::default() };
        let (slot, _) = make_slot(&master, b"", &secret, &about, None).unwrap();
        let mut material = [7; 32];
        if name == "passphrase" {
            let floor: Vec<u32> = table("kdf floor")
                .iter()
                .map(|row| u32::try_from(number(&row[1])).unwrap())
                .collect();
            let cost = Params::new(floor[0], floor[1], floor[2], Some(32)).unwrap();
            Argon2::new(Algorithm::Argon2id, Version::V0x13, cost)
                .hash_password_into(words().as_bytes(), &slot.salt, &mut material)
                .unwrap();
        }
        let wrapping = &contexts[&format!("wrapping key of a {name} slot")];
        let (_, check) = extended(&derive(wrapping, &[&material, &slot.salt]), b"wrap");
        assert_eq!(*slot.check, check);
        let key = derive(&contexts["about key of a slot"], &[&secret_root, &slot.salt]);
        let plain = ChaCha20Poly1305::new((&key).into())
            .decrypt(&Nonce::default(), Payload { msg: &slot.about, aad: &slot.associated_data() })
            .unwrap();
        let of_holder =
            derive(&contexts["private key of a slot's holder"], &[&material, &slot.salt]);
        let exchange = x25519_dalek::x25519(of_holder, x25519_dalek::X25519_BASEPOINT_BYTES);
        let about = About { exchange: exchange.to_vec().into(), ..about };
        assert_eq!(stash::format::cbor::decode(&plain), Ok(about));
    }
    let text: String = ["crypto.rs", "crypto/slot.rs", "crypto/grant.rs", "crypto/epochs.rs"]
        .map(|file| format!("src/codec/{file}"))
        .map(|path| std::fs::read_to_string(root().join(path)).unwrap())
        .concat();
    let in_code: BTreeSet<&str> =
        text.split('"').filter(|part| part.starts_with("stash 20")).collect();
    for context in contexts.values() {
        let known = in_code.iter().any(|code| {
            code.split_once('{').map_or(context == code, |(head, _)| context.starts_with(head))
        });
        assert!(known, "`{context}` is not in the code");
    }
    let page = &pages()["2-keys"];
    for code in in_code {
        let head = code.split('{').next().unwrap();
        assert!(page.contains(head), "`{code}` is not on the page");
    }
}

#[test]
fn every_marked_table_is_compared() {
    let source = std::fs::read_to_string(root().join("tests/spec_numbers.rs")).unwrap()
        + &std::fs::read_to_string(root().join("tests/vectors.rs")).unwrap();
    for name in marked("table").keys() {
        let used =
            source.contains(&format!("\"{name}\"")) || source.contains(&format!(": {name} "));
        assert!(used, "no test looks at the table `{name}`");
    }
}

#[test]
fn every_page_has_its_six_parts_and_its_module_names_it() {
    let parts = ["Layout", "Rules", "Limits", "Why", "Vectors"];
    for (page, text) in pages() {
        if !page.starts_with(|first: char| first.is_ascii_digit()) {
            continue;
        }
        let found: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(found, parts, "{page}");
    }
    for (module, page) in [
        ("format/object", "1-objects"),
        ("format/cbor", "1-objects"),
        ("codec/crypto", "2-keys"),
        ("format/key", "2-keys"),
        ("codec/chunker", "3-chunking"),
        ("format/pack", "4-pack"),
        ("codec/delta", "5-delta"),
        ("format/tree", "6-tree"),
        ("format/record", "7-record"),
    ] {
        let text = std::fs::read_to_string(root().join(format!("src/{module}.rs"))).unwrap();
        let first = text.lines().next().unwrap();
        assert!(first.contains(&format!("format-spec/{page}.md")), "{module}: {first}");
    }
}
