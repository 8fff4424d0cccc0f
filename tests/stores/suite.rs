//! What a repository relies on, whatever the store.

use bytes::Bytes;
use stash::codec::crypto::object_hash;
use stash::error::Kind;
use stash::id::LaneId;
use stash::store::{ObjectName, Prefix, RecordName, Store};

use crate::common_engine::{noise, put};
use crate::scene::{Machine, stores};

fn pack(bytes: &[u8]) -> ObjectName {
    ObjectName::Pack(object_hash(bytes))
}

fn store_pack(store: &Store, bytes: &[u8]) -> ObjectName {
    let name = pack(bytes);
    store.put(name.clone(), &[Bytes::copy_from_slice(bytes)]).unwrap();
    name
}

#[test]
fn what_was_put_is_there_whole_in_ranges_and_from_its_end() {
    for running in stores("suite") {
        let (store, what) = (&running.store, running.name.as_str());
        let bytes = noise(1, 3_000_000);
        let name = store_pack(store, &bytes);
        assert_eq!(store.get(&name).unwrap().unwrap(), bytes, "{what}");
        assert_eq!(store.size(&name).unwrap(), Some(3_000_000), "{what}");
        for (start, end) in [
            (0, 1),
            (0, 3_000_000),
            (262_143, 262_145),
            (262_144, 524_288),
            (1_000_000, 2_900_000),
            (2_999_990, 4_000_000),
            (3_000_000, 3_000_010),
            (9_000_000, 9_000_010),
        ] {
            let expected =
                &bytes[(start as usize).min(bytes.len())..(end as usize).min(bytes.len())];
            let got = store.get_range(&name, start, end).unwrap().unwrap();
            assert_eq!(got, expected, "{what}: {start}..{end}");
        }
        for length in [1, 300_000, 5_000_000_u64] {
            let expected = &bytes[bytes.len().saturating_sub(length as usize)..];
            let got = store.get_tail(&name, length).unwrap().unwrap();
            assert_eq!(got, expected, "{what}: the last {length}");
        }
    }
}

#[test]
fn what_is_missing_is_no_error_and_no_object() {
    for running in stores("suite/missing") {
        let (store, what) = (&running.store, running.name.as_str());
        let name = pack(b"nothing");
        assert_eq!(store.get(&name).unwrap(), None, "{what}");
        assert_eq!(store.get_range(&name, 5, 10).unwrap(), None, "{what}");
        assert_eq!(store.get_tail(&name, 5).unwrap(), None, "{what}");
        assert_eq!(store.size(&name).unwrap(), None, "{what}");
        assert!(store.find(name).unwrap().is_none(), "{what}");
        assert_eq!(store.list(Prefix::Packs).unwrap(), [], "{what}");
    }
}

#[test]
fn objects_may_be_empty_and_as_long_as_the_format_allows() {
    for running in stores("suite/sizes") {
        let (store, what) = (&running.store, running.name.as_str());
        let empty = store_pack(store, b"");
        assert_eq!(store.get(&empty).unwrap().unwrap(), "", "{what}");
        let bytes = noise(2, 64 << 20);
        let name = store_pack(store, &bytes);
        assert!(store.get(&name).unwrap().unwrap() == bytes, "{what}");
        let longer = vec![0; (64 << 20) + 1];
        assert!(store.put(pack(&longer), &[longer.clone().into()]).is_err(), "{what}");
    }
}

#[test]
fn putting_the_same_again_is_no_error() {
    for running in stores("suite/again") {
        let (store, what) = (&running.store, running.name.as_str());
        let name = store_pack(store, b"the same");
        store_pack(store, b"the same");
        let other = store.put_back(name.clone(), Bytes::from_static(b"something else"));
        assert!(other.is_err(), "{what}");
        store.put_back(name.clone(), Bytes::from_static(b"the same")).unwrap();
        assert_eq!(store.get(&name).unwrap().unwrap(), "the same", "{what}");
    }
}

#[test]
fn a_listing_shows_what_was_put_page_by_page_and_from_a_name_on() {
    for running in stores("suite/list") {
        let (store, what) = (&running.store, running.name.as_str());
        let record = |lane: u8, sequence: u64| {
            ObjectName::Record(RecordName {
                global: false,
                lane: LaneId([lane; 16]),
                sequence,
                kind: "snapshot".into(),
                hash: object_hash(&sequence.to_le_bytes()),
            })
        };
        let own: Vec<ObjectName> = (1..=30).map(|sequence| record(1, sequence)).collect();
        for name in own.iter().chain([&record(2, 1)]) {
            store.put(name.clone(), &[Bytes::from_static(b"12345")]).unwrap();
        }
        let lane = Prefix::Lane(LaneId([1; 16]));
        let rows = store.list(lane).unwrap();
        assert!(rows.iter().all(|row| row.size == 5), "{what}");
        let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos()).unwrap();
        let apart = rows.iter().map(|row| (row.modified.0 - now).abs()).max().unwrap();
        assert!(apart < 600_000_000_000, "{what}: {apart}");
        assert!(rows.into_iter().map(|row| row.name).eq(own.iter().cloned()), "{what}");
        let later = store.list_after(lane, &own[20]).unwrap();
        assert!(later.into_iter().map(|row| row.name).eq(own[21..].iter().cloned()), "{what}");
        let both = store.list_many(&[(lane, Some(own[28].clone())), (Prefix::Log, None)]).unwrap();
        assert_eq!((both[0].len(), both[1].len()), (1, 31), "{what}");
        let all = store.get_many(&own);
        assert!(all.into_iter().all(|bytes| bytes.unwrap().unwrap() == "12345"), "{what}");
    }
}

#[test]
fn a_key_slot_that_is_deleted_is_gone_and_may_be_deleted_again() {
    for running in stores("suite/delete") {
        let (store, what) = (&running.store, running.name.as_str());
        let hash = object_hash(b"slot");
        store.put(ObjectName::KeySlot(hash), &[Bytes::from_static(b"slot")]).unwrap();
        store.delete_key_slot(&hash).unwrap();
        store.delete_key_slot(&hash).unwrap();
        assert_eq!(store.list(Prefix::Keys).unwrap(), [], "{what}");
    }
}

#[test]
fn a_repository_lives_under_any_prefix() {
    for prefix in ["", "plain", "with space/and ünï", "a+b=c&d/%41"] {
        for running in stores(prefix) {
            let (store, what) = (&running.store, format!("{} `{prefix}`", running.name));
            let mut machine = Machine::new();
            put(&machine.source().join("file"), "content");
            drop(machine.init(store));
            machine.save(store).unwrap();
            machine.assert_restores(store, &what);
        }
    }
}

#[test]
fn a_repository_is_made_changed_restored_and_checked() {
    for running in stores("engine") {
        let (store, what) = (&running.store, running.name.as_str());
        let mut machine = Machine::new();
        machine.fill(1, 40);
        drop(machine.init(store));
        machine.save(store).unwrap();
        machine.assert_restores(store, what);
        machine.fill(2, 3);
        std::fs::remove_file(machine.source().join("large/30")).unwrap();
        machine.save(store).unwrap();
        machine.assert_restores(store, what);
        Machine::assert_sound(store, what);
        let again = stash::repository::Repository::refuse_occupied(store).unwrap_err();
        assert_eq!(again.kind(), Kind::Failed, "{what}");
    }
}
