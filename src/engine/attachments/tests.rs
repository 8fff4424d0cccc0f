use super::*;
use crate::codec::crypto::{Key, SlotSecret};
use crate::engine::backup::attachment::AttachmentBuilder;
use crate::engine::backup::metadata::MetadataWriter;
use crate::format::LIMITS;
use crate::format::pack::{BlobKind, UnitForm};
use crate::repository::container::PlainUnit;
use crate::repository::index::Index;
use crate::repository::log::RecordParts;
use crate::repository::packer::Packer;
use crate::repository::{InitOptions, LocalFolders};
use crate::store::Store;
use crate::time::Timestamp;

fn repository() -> Repository {
    let slots = [(SlotSecret::Device(Key([1; 32])), String::new())];
    let (options, folders) = (InitOptions::default(), LocalFolders::default());
    Repository::init(&Store::memory(), &options, &slots, Timestamp(0), &folders).unwrap()
}

type Pair = (Bytes, Bytes);

fn pair(key: &str, value: usize) -> Pair {
    (key.as_bytes().into(), vec![7; value].into())
}

/// Stores an attachment as a backup does.
fn store(repository: &Repository, entries: &[Pair]) -> Attachment {
    let index = Index::new(Arc::clone(repository.cache())).unwrap();
    let keys = Arc::clone(repository.keys());
    let packer = Packer::start(repository.store().clone(), Arc::clone(&keys), [4; 16], None, 0);
    let mut writer = MetadataWriter::new(&keys, &index, &packer).unwrap();
    let mut builder = AttachmentBuilder::new(None);
    for entry in entries {
        builder.push(entry.clone(), &mut writer).unwrap();
    }
    let attachment = builder.finish("kind", &mut writer).unwrap();
    writer.finish().unwrap();
    let (packed, _) = packer.finish().unwrap();
    let parts =
        RecordParts { packs: packed.packs, inline: packed.inline, ..RecordParts::default() };
    repository.append(parts, Timestamp(1)).unwrap();
    attachment
}

fn all(repository: &Repository, attachment: &Attachment, prefix: &str) -> Result<Vec<String>> {
    let attachments = vec![attachment.clone()];
    let snapshot = Snapshot { attachments, ..Snapshot::default() };
    let entries = read(repository, &snapshot, "kind", prefix.as_bytes())?;
    entries.map(|it| Ok(String::from_utf8(it?.key).unwrap())).collect()
}

fn key(number: usize) -> String {
    format!("agent\0main\0{}/{number:06}\0", number / 100)
}

fn sorted(count: usize, value: usize) -> Vec<Pair> {
    let mut entries: Vec<Pair> = (0..count).map(|number| pair(&key(number), value)).collect();
    entries.sort();
    entries
}

#[test]
fn every_range_gives_what_lies_in_it_and_nothing_else() {
    let repository = repository();
    let entries = sorted(9_000, 30);
    let attachment = store(&repository, &entries);
    assert!(attachment.blob.is_some() && attachment.entries.is_empty());
    let keys: Vec<String> =
        entries.iter().map(|it| String::from_utf8(it.0.0.clone()).unwrap()).collect();
    assert_eq!(all(&repository, &attachment, "").unwrap(), keys);
    for prefix in [
        "agent\0main\0",
        "agent\x00main\x0012/",
        "agent\x00main\x005/",
        "agent\x00main\x0089/008999",
        "b",
        "agent\0main\0:",
        "a",
    ] {
        let expected: Vec<&String> = keys.iter().filter(|key| key.starts_with(prefix)).collect();
        let found = all(&repository, &attachment, prefix).unwrap();
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{prefix:?}");
    }
    // Each by itself: the parts' borders are among them.
    for key in keys.iter().step_by(7) {
        assert_eq!(all(&repository, &attachment, key).unwrap(), std::slice::from_ref(key));
    }
}

#[test]
fn up_to_its_bound_an_attachment_lies_in_the_snapshot() {
    let repository = repository();
    // An array's head, and 3 for the pair and the heads of its two strings and 5 for the key.
    let room = LIMITS.inline_subtree - 1 - 1 - 1 - 5 - 3;
    let small = store(&repository, &[pair("exact", room)]);
    assert_eq!((small.blob, small.entries.len()), (None, 1));
    let large = store(&repository, &[pair("exact", room + 1)]);
    assert!(large.blob.is_some() && large.entries.is_empty());
    assert_eq!(all(&repository, &large, "").unwrap(), ["exact"]);
    assert_eq!(store(&repository, &[]).blob, None);
}

#[test]
fn parts_are_cut_by_the_keyed_hash_of_keys_and_by_count() {
    let repository = repository();
    let entries = sorted(9_000, 3);
    let attachment = store(&repository, &entries);
    let is_border = |pair: &&Pair| repository.keys().name_hash(&pair.0).trailing_zeros() >= 8;
    let borders: Vec<&Bytes> = entries.iter().filter(is_border).map(|it| &it.0).collect();
    let mut reader = BlobReader::new(&repository).unwrap();
    let mut open = vec![attachment.blob.unwrap()];
    let mut firsts = Vec::new();
    while let Some(id) = open.pop() {
        match reader.load_attachment(&id).unwrap() {
            AttachmentMap::Entries(entries) => {
                assert!(entries.len() <= LIMITS.part_items);
                firsts.push((entries[0].0.clone(), entries.len()));
            }
            AttachmentMap::Parts(parts) => open.extend(parts.iter().rev().map(|part| part.1)),
        }
    }
    assert!(firsts.len() > 10 && borders.iter().all(|key| firsts.iter().any(|it| it.0 == **key)));
    // A part that begins elsewhere follows a full one, or is the first.
    for (place, (first, _)) in firsts.iter().enumerate() {
        let follows_a_full_one = place == 0 || firsts[place - 1].1 == LIMITS.part_items;
        assert!(borders.contains(&first) || follows_a_full_one);
    }
}

/// Publishes maps as blobs of their own; returns the last one's id.
fn publish(repository: &Repository, maps: &[AttachmentMap]) -> BlobId {
    let units: Vec<PlainUnit> = maps
        .iter()
        .map(|map| {
            let payload = map.encode();
            let id = repository.keys().blob_id(BlobKind::Attachment, &payload);
            let blobs = vec![(id, payload.len() as u64)];
            let (kind, form) = (BlobKind::Attachment, UnitForm::Raw);
            PlainUnit { kind, form, payload, blobs, bases: Vec::new(), depth: 0 }
        })
        .collect();
    let last = units.last().unwrap().blobs[0].0;
    let parts = RecordParts { inline: units, ..RecordParts::default() };
    repository.append(parts, Timestamp(1)).unwrap();
    last
}

#[test]
fn parts_that_do_not_keep_the_order_are_damage_and_not_read() {
    let repository = repository();
    let entries =
        |keys: &[&str]| AttachmentMap::Entries(keys.iter().map(|it| pair(it, 1)).collect());
    let id = |map: &AttachmentMap| repository.keys().blob_id(BlobKind::Attachment, &map.encode());
    let (low, high) = (entries(&["a", "x"]), entries(&["m", "z"]));
    let reference = |key: &str, map: &AttachmentMap| (Bytes::from(key.as_bytes()), id(map));
    let cases = [
        // Overlapping; a first key that is not there; the same part twice.
        AttachmentMap::Parts(vec![reference("a", &low), reference("m", &high)]),
        AttachmentMap::Parts(vec![reference("b", &low)]),
        AttachmentMap::Parts(vec![reference("a", &low), reference("b", &low)]),
    ];
    for case in cases {
        let blob = publish(&repository, &[low.clone(), high.clone(), case]);
        let attachment =
            Attachment { kind: "kind".into(), blob: Some(blob), ..Attachment::default() };
        let error = all(&repository, &attachment, "").unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Damaged, "{error}");
    }
}

#[test]
fn keys_come_apart_as_they_were_put_together() {
    let key = [file_prefix("one", "main", b"a/b\xff").as_slice(), b"s\0t"].concat();
    let parts = KeyParts::of(&key).unwrap();
    assert_eq!((parts.agent, parts.label), (&b"one"[..], &b"main"[..]));
    assert_eq!((parts.path, parts.suffix), (&b"a/b\xff"[..], &b"s\0t"[..]));
    assert_eq!(KeyParts::of(b"one\0main\0path"), None);
    assert!(key.starts_with(&folder_prefix("one", "main", b"a")));
    assert!(key.starts_with(&folder_prefix("one", "main", b"")));
}

#[test]
fn ranges_cover_files_folders_and_roots_and_not_what_only_begins_alike() {
    let key = |path: &str, suffix: &str| {
        [file_prefix("one", "main", path.as_bytes()), suffix.into()].concat()
    };
    let mut ranges = KeyRanges::default();
    assert!(!ranges.covers(&key("a", "")));
    ranges.insert(file_prefix("one", "main", b"a"));
    ranges.insert(folder_prefix("one", "main", b"f/g"));
    ranges.insert(root_prefix("two", "main"));
    for (covered, key) in [
        (true, key("a", "")),
        (true, key("a", "x/y\0z")),
        (false, key("ab", "")),
        (false, key("a/b", "")),
        (true, key("f/g/h", "s")),
        (true, key("f/g/h/i", "s")),
        (false, key("f/gh", "s")),
        (false, key("f/g", "s")),
        // A slash in a suffix is none of the path's.
        (false, key("f", "g/h")),
        (true, file_prefix("two", "main", b"any/thing")),
        (false, file_prefix("two", "other", b"any/thing")),
    ] {
        assert_eq!(ranges.covers(&key), covered, "{}", key.escape_ascii());
    }
}
