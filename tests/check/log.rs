//! The log: what is missing, damaged, in a wrong place or on its way.

use std::path::Path;

use stash::engine::backup::backup;
use stash::engine::check::{CheckOptions, FindingKind, ReadData, check};
use stash::engine::repair::{RepairSnapshotsOptions, repair_index, repair_snapshots};
use stash::engine::restore::restore;
use stash::event::{Counters, Silent};
use stash::format::key::REPOSITORY_REPLICATED;
use stash::repository::{InitOptions, LocalFolders, Repository};
use stash::store::{ObjectName, Prefix, Store};
use stash::time::Timestamp;

use crate::common_engine::{
    LATER, Notes, SECOND, TestClock, backup_options, folders, latest, noise, open, open_fresh, put,
    restore_options, save, snapshots,
};
use crate::scene::{Scene, check_all, check_with, kinds, open_damaged, scene_with_a_pack};

#[test]
fn a_machine_misses_the_last_record_that_it_wrote() {
    let mut scene = Scene::new();
    put(&scene.source().join("one"), b"one");
    scene.save();
    put(&scene.source().join("two"), b"two");
    scene.save();
    let last = scene
        .names(Prefix::Log)
        .into_iter()
        .find(|name| matches!(name, ObjectName::Record(name) if name.sequence == 2))
        .unwrap();
    std::fs::remove_file(scene.path(&last)).unwrap();
    let report = check_all(&scene.open());
    assert_eq!(kinds(&report), [FindingKind::RecordMissing], "{:#?}", report.findings);
    assert!(report.findings[0].object.contains(&last.hash().to_string()));
    // A machine that never saw it can't know.
    assert!(check_all(&open_fresh(&scene.store())).is_clean());
    // The next backup says so, and saves what went with it.
    let notes = Notes::default();
    let options = backup_options(&[&scene.source()]);
    let clock = TestClock(scene.now + 10 * SECOND);
    backup(&scene.open(), &options, &clock, &Counters::default(), &notes).unwrap();
    let said = notes.take();
    assert!(said.iter().any(|line| line.contains("has lost a record")), "{said:#?}");
    scene.assert_latest_is_whole("lost tip");
    assert!(check_all(&scene.open()).is_clean());
}

#[test]
fn a_record_that_somebody_had_read_is_missed() {
    let mut scene = Scene::new();
    put(&scene.source().join("one"), b"one");
    scene.save();
    // Another machine reads it, and says so in the view of its own record.
    let other = tempfile::tempdir().unwrap();
    let repository = open(&scene.store(), &folders(other.path())).unwrap();
    save(&repository, &scene.source(), scene.now + SECOND).unwrap();
    put(&scene.source().join("two"), b"two");
    save(&repository, &scene.source(), scene.now + 2 * SECOND).unwrap();
    let first = scene
        .names(Prefix::Log)
        .into_iter()
        .find(|name| {
            let ObjectName::Record(name) = name else { return false };
            open_fresh(&scene.store()).load_record(name).unwrap().view.is_empty()
        })
        .unwrap();
    std::fs::remove_file(scene.path(&first)).unwrap();
    let report = check_all(&open_fresh(&scene.store()));
    assert_eq!(kinds(&report), [FindingKind::RecordMissing], "{:#?}", report.findings);
    let begin = &first.hash().to_string()[..16];
    assert!(report.findings[0].object.contains(begin), "{}", report.findings[0].object);
}

#[test]
fn a_repair_takes_note_of_lost_records_and_the_next_check_is_clean() {
    for how in ["missing", "flipped"] {
        let mut scene = Scene::new();
        for number in 0..3 {
            put(&scene.source().join(format!("file{number}")), noise(number, 400_000));
            scene.save();
        }
        let middle = scene
            .names(Prefix::Log)
            .into_iter()
            .find(|name| matches!(name, ObjectName::Record(name) if name.sequence == 2))
            .unwrap();
        match how {
            "missing" => std::fs::remove_file(scene.path(&middle)).unwrap(),
            _ => scene.flip(&middle, 300),
        }
        let repository = scene.open();
        assert!(!check_all(&repository).is_clean(), "{how}");
        let now = Timestamp(scene.now + SECOND);
        let report = repair_index(&repository, false, now, &Counters::default()).unwrap();
        assert_eq!(report.noted_records, 1, "{how}");
        let again = repair_index(&repository, false, now, &Counters::default()).unwrap();
        assert_eq!(again.noted_records, 0, "{how}");
        drop(repository);
        let report = check_all(&scene.open());
        assert!(report.is_clean(), "{how}: {:#?}", report.findings);
        assert!(report.notes.iter().any(|note| note.object.contains(&middle.hash().to_string())));
        assert_eq!(snapshots(&open_damaged(&scene.store())).len(), 2, "{how}");
        scene.assert_newest_restores(how);
    }
}

#[test]
fn in_a_replicated_repository_a_young_pack_may_still_arrive() {
    let base = tempfile::tempdir().unwrap();
    let (store, pack) = replicated(base.path());
    remove(base.path(), &pack);
    let at = |days: i64| {
        let now = Some(Timestamp(LATER + days * 86_400 * SECOND));
        let options = CheckOptions { now, threads: 2, ..CheckOptions::default() };
        check(&open_fresh(&store), &options, &Counters::default()).unwrap()
    };
    let early = at(6);
    assert!(early.is_clean(), "{:#?}", early.findings);
    assert!(early.notes.iter().any(|note| note.text.contains("may yet arrive")));
    assert_eq!(kinds(&at(8)), [FindingKind::PackMissing]);
}

/// A replicated repository with one pack.
fn replicated(base: &Path) -> (Store, ObjectName) {
    let store = Store::folder(&base.join("repo"), true).unwrap();
    let options = InitOptions { flags: REPOSITORY_REPLICATED, ..InitOptions::default() };
    let slots = [(crate::common_engine::secret(), String::new())];
    let repository =
        Repository::init(&store, &options, &slots, Timestamp(1), &folders(base)).unwrap();
    put(&base.join("source/file"), noise(1, 700_000));
    save(&repository, &base.join("source"), LATER).unwrap();
    let pack = store.list(Prefix::Packs).unwrap()[0].name.clone();
    (store, pack)
}

fn remove(base: &Path, name: &ObjectName) {
    std::fs::remove_file(base.join("repo").join(name.to_string())).unwrap();
}

#[test]
fn a_record_whose_words_can_be_read_keeps_its_snapshot() {
    let mut scene = Scene::new();
    put(&scene.source().join("first"), noise(1, 40_000));
    put(&scene.source().join("text"), "inline");
    scene.save();
    let record = scene.names(Prefix::Log).pop().unwrap();
    // In the one unit of data that lies in the record.
    scene.flip(&record, 10_000);
    for local in [LocalFolders::default(), folders(scene.base.path())] {
        let repository = open(&scene.store(), &local).unwrap();
        assert_eq!(snapshots(&repository).len(), 1);
        let report = check_with(&repository, ReadData::None);
        assert_eq!(kinds(&report), [FindingKind::ObjectDamaged], "{:#?}", report.findings);
        assert_eq!(report.findings[0].object, record.to_string());
        assert_eq!((report.findings[0].snapshots.len(), report.findings[0].file_count), (1, 1));
        // The other file can be had.
        let out = tempfile::tempdir().unwrap();
        let options = restore_options(out.path());
        let snapshot = latest(&repository).snapshot;
        let report =
            restore(&repository, &snapshot, &options, &Counters::default(), &Silent).unwrap();
        assert_eq!((report.failed, report.damaged), (1, true));
        assert_eq!(std::fs::read(out.path().join("source/text")).unwrap(), b"inline");
        assert!(!out.path().join("source/first").exists());
    }
    scene.save();
    scene.assert_latest_is_whole("healed");
    let report = check_all(&scene.open());
    assert!(report.is_clean(), "{:#?}", report.findings);
    assert!(report.notes.iter().any(|note| note.object == record.to_string()));
}

#[test]
fn a_record_under_a_wrong_name_is_damage_until_a_repair_takes_note_of_it() {
    let (mut scene, _) = scene_with_a_pack();
    let name = scene.names(Prefix::Log).pop().unwrap();
    put(&scene.source().join("more"), "more");
    scene.save();
    let hash = name.hash().to_string();
    let other = scene.path(&name).to_str().unwrap().replace(&hash, &"ab".repeat(32));
    std::fs::rename(scene.path(&name), other).unwrap();
    let mut found = kinds(&check_all(&scene.open()));
    found.sort_unstable_by_key(|kind| *kind as u8);
    assert_eq!(found, [FindingKind::RecordDamaged, FindingKind::RecordMissing]);
    let now = Timestamp(scene.now + SECOND);
    let report = repair_index(&scene.open(), false, now, &Counters::default()).unwrap();
    assert_eq!((report.noted_records, report.damaged_records.len()), (2, 0));
    let report = check_all(&scene.open());
    assert!(report.is_clean(), "{:#?}", report.findings);
    scene.assert_newest_restores("misplaced");
}

#[test]
fn in_a_replicated_repository_nothing_that_may_arrive_is_given_up() {
    let base = tempfile::tempdir().unwrap();
    let (store, pack) = replicated(base.path());
    for second in 1..3 {
        put(&base.path().join("source/more"), format!("{second}"));
        let repository = open(&store, &folders(base.path())).unwrap();
        save(&repository, &base.path().join("source"), LATER + second * SECOND).unwrap();
    }
    let is_second =
        |name: &ObjectName| matches!(name, ObjectName::Record(name) if name.sequence == 2);
    let rows = store.list(Prefix::Log).unwrap();
    let record = rows.into_iter().map(|row| row.name).find(is_second).unwrap();
    remove(base.path(), &record);
    remove(base.path(), &pack);
    let at = |days: i64| Timestamp(LATER + days * 86_400 * SECOND);
    let run = |days: i64| {
        let options = CheckOptions { now: Some(at(days)), threads: 2, ..CheckOptions::default() };
        check(&open_fresh(&store), &options, &Counters::default()).unwrap()
    };
    let early = run(6);
    assert!(early.is_clean(), "{:#?}", early.findings);
    assert_eq!(early.notes.len(), 2, "{:#?}", early.notes);
    assert_eq!(kinds(&run(8)), [FindingKind::RecordMissing, FindingKind::PackMissing]);

    let repair = |days: i64| {
        let options = RepairSnapshotsOptions { dry_run: true, ..RepairSnapshotsOptions::default() };
        repair_snapshots(
            &open_fresh(&store),
            &options,
            &TestClock(at(days).0),
            &Counters::default(),
            &Silent,
        )
    };
    let error = repair(6).unwrap_err();
    assert!(error.to_string().contains(&pack.to_string()), "{error}");
    assert_eq!(repair(8).unwrap().snapshots.len(), 2);
    let noted = |days: i64| {
        let report = repair_index(&open_fresh(&store), true, at(days), &Counters::default());
        report.unwrap().noted_records
    };
    assert_eq!((noted(6), noted(8)), (0, 1));
}
