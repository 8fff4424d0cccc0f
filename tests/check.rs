//! What a check tells apart: damage that costs something, damage that no longer does, and what is
//! no damage at all.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops where things are not as they should be"
)]

mod common_engine;

use std::path::{Path, PathBuf};

use common_engine::trees::{assert_same, tree};
use common_engine::{
    LATER, Notes, SECOND, TestClock, backup_options, folders, init, latest, noise, open,
    open_fresh, put, restore_options, restored, save, snapshots,
};
use stash::codec::crypto::{Key, SlotSecret};
use stash::engine::backup::backup;
use stash::engine::check::{CheckOptions, CheckReport, FindingKind, ReadData, check};
use stash::engine::repair::repair_index;
use stash::engine::restore::{RestoreOptions, restore};
use stash::event::{Counters, Silent};
use stash::format::key::REPOSITORY_REPLICATED;
use stash::repository::{InitOptions, LocalFolders, LockedRepository, Repository};
use stash::store::{ObjectName, Prefix, Store};
use stash::time::Timestamp;

/// A repository in a folder, with a machine that remembers, and what it saved.
struct Scene {
    base: tempfile::TempDir,
    now: i64,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene { base: tempfile::tempdir().unwrap(), now: LATER };
        let store = Store::folder(&scene.base.path().join("repo"), true).unwrap();
        drop(init(&store, &folders(scene.base.path())));
        scene
    }

    fn source(&self) -> PathBuf {
        self.base.path().join("source")
    }

    fn store(&self) -> Store {
        Store::folder(&self.base.path().join("repo"), false).unwrap()
    }

    fn open(&self) -> Repository {
        open(&self.store(), &folders(self.base.path())).unwrap()
    }

    fn save(&mut self) {
        self.now += 10 * SECOND;
        save(&self.open(), &self.source(), self.now).unwrap();
    }

    fn path(&self, name: &ObjectName) -> PathBuf {
        self.base.path().join("repo").join(name.to_string())
    }

    fn names(&self, prefix: Prefix) -> Vec<ObjectName> {
        self.store().list(prefix).unwrap().into_iter().map(|row| row.name).collect()
    }

    fn flip(&self, name: &ObjectName, place: usize) {
        let path = self.path(name);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[place] ^= 0x10;
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }

    /// The newest snapshot holds what is on the disk now.
    fn assert_latest_is_whole(&self, what: &str) {
        let fresh = open_fresh(&self.store());
        let out = tempfile::tempdir().unwrap();
        let folder = restored(&fresh, &latest(&fresh), out.path());
        assert_same(&tree(&folder), &tree(&self.source()), what);
    }
}

fn check_with(repository: &Repository, read_data: ReadData) -> CheckReport {
    let options = CheckOptions { read_data, threads: 3, ..CheckOptions::default() };
    check(repository, &options, &Counters::default()).unwrap()
}

fn check_all(repository: &Repository) -> CheckReport {
    check_with(repository, ReadData::All)
}

fn kinds(report: &CheckReport) -> Vec<FindingKind> {
    report.findings.iter().map(|finding| finding.kind).collect()
}

/// One pack of data, which trees in records refer to.
fn scene_with_a_pack() -> (Scene, ObjectName) {
    let mut scene = Scene::new();
    for number in 0..6 {
        put(&scene.source().join(format!("file{number}")), noise(number, 600_000));
    }
    scene.save();
    let pack = scene.names(Prefix::Packs).pop().unwrap();
    (scene, pack)
}

#[test]
fn what_a_backup_made_good_again_is_a_note_and_no_damage() {
    for how in ["missing", "flipped", "cut"] {
        let (mut scene, pack) = scene_with_a_pack();
        match how {
            "missing" => std::fs::remove_file(scene.path(&pack)).unwrap(),
            "flipped" => scene.flip(&pack, 5_000),
            _ => {
                let bytes = std::fs::read(scene.path(&pack)).unwrap();
                std::fs::remove_file(scene.path(&pack)).unwrap();
                std::fs::write(scene.path(&pack), &bytes[..bytes.len() - 1]).unwrap();
            }
        }
        let report = check_all(&scene.open());
        assert_eq!(report.findings.len(), 1, "{how}: {:#?}", report.findings);
        assert_eq!(report.findings[0].object, pack.to_string());
        // Not forced, and nothing has changed on the disk.
        scene.save();
        let again = check_all(&scene.open());
        assert!(again.is_clean(), "{how}: {:#?}", again.findings);
        assert!(again.notes.iter().any(|note| note.object == pack.to_string()), "{how}");
        scene.assert_latest_is_whole(how);
    }
}

#[test]
fn a_flipped_unit_costs_the_files_in_it_and_the_others_are_told_whole() {
    let (scene, pack) = scene_with_a_pack();
    scene.flip(&pack, 2_000);
    let repository = scene.open();
    let report = check_all(&repository);
    let finding = &report.findings[0];
    assert_eq!((report.findings.len(), finding.kind), (1, FindingKind::ObjectDamaged));
    assert!(finding.what.contains("1 of"), "{}", finding.what);
    assert!((1..=2).contains(&finding.file_count), "{:?}", finding.files);
    assert_eq!(finding.snapshots.len(), 1);
    let lost: Vec<String> =
        finding.files.iter().map(|path| String::from_utf8(path.clone()).unwrap()).collect();
    assert!(lost.iter().all(|path| path.contains("/source/file")), "{lost:?}");
    // Without reading data there is nothing to see.
    assert!(check_with(&repository, ReadData::None).is_clean());
}

#[test]
fn the_parts_of_a_check_find_together_what_the_whole_finds() {
    let (scene, pack) = scene_with_a_pack();
    scene.flip(&pack, 2_000);
    let repository = scene.open();
    let found: Vec<u32> = (1..=7)
        .filter(|part| !check_with(&repository, ReadData::Part { part: *part, of: 7 }).is_clean())
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(!check_with(&repository, ReadData::Percent(100.0)).is_clean());
    assert!(!check_with(&repository, ReadData::Bytes(1 << 40)).is_clean());
}

#[test]
fn where_a_directory_is_lost_no_pack_counts_as_unneeded() {
    let mut scene = Scene::new();
    for number in 0..200 {
        put(&scene.source().join(format!("many/file{number:03}")), noise(number, 3_000));
    }
    put(&scene.source().join("large"), noise(999, 900_000));
    scene.save();
    put(&scene.source().join("many/file100"), noise(5_000, 500_000));
    scene.save();
    let packs = scene.names(Prefix::Packs);
    assert!(packs.len() >= 2);
    for pack in &packs {
        std::fs::remove_file(scene.path(pack)).unwrap();
    }
    let report = check_with(&scene.open(), ReadData::None);
    assert_eq!(report.findings.len(), packs.len(), "{:#?}", report.findings);
    assert!(report.notes.is_empty(), "{:#?}", report.notes);
}

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

/// Opens without asking that every record can be read.
fn open_damaged(store: &Store) -> Repository {
    open(store, &LocalFolders::default()).unwrap()
}

impl Scene {
    fn assert_newest_restores(&self, what: &str) {
        let repository = open_damaged(&self.store());
        let out = tempfile::tempdir().unwrap();
        let folder = restored(&repository, &latest(&repository), out.path());
        assert_same(&tree(&folder), &tree(&self.source()), what);
    }
}

#[test]
fn two_repositories_in_one_place_are_no_damage_to_each_other() {
    let mut scene = Scene::new();
    put(&scene.source().join("one"), noise(1, 700_000));
    scene.save();
    let own = scene.open().id().to_string();
    // The other lies in a place of its own first, and is then copied in, packs and all.
    let other = tempfile::tempdir().unwrap();
    let store = Store::folder(&other.path().join("repo"), true).unwrap();
    let secret = || SlotSecret::Device(Key([7; 32]));
    let theirs = Repository::init(
        &store,
        &InitOptions::default(),
        &[(secret(), "other".to_owned())],
        Timestamp(2),
        &folders(other.path()),
    )
    .unwrap();
    let source = other.path().join("source");
    put(&source.join("two"), noise(2, 700_000));
    save(&theirs, &source, LATER).unwrap();
    let their_id = theirs.id().to_string();
    drop(theirs);
    common_engine::copy_folder(&other.path().join("repo"), &scene.base.path().join("repo"));
    std::fs::write(scene.base.path().join("repo/notes.txt"), "mine").unwrap();

    let error = LockedRepository::find(scene.store(), None).err().unwrap();
    assert!(error.hint_text().unwrap().contains("--repo-id"), "{error}");
    for (id, secret, source) in
        [(&own, common_engine::secret(), scene.source()), (&their_id, secret(), source)]
    {
        let repository = LockedRepository::find(scene.store(), Some(id))
            .unwrap()
            .unlock(&secret, &LocalFolders::default())
            .unwrap();
        assert!(repository.sync().unwrap().damaged.is_empty());
        let report = check_all(&repository);
        assert!(report.is_clean(), "{:#?}", report.findings);
        let said = |word: &str| report.notes.iter().any(|note| note.text.contains(word));
        for word in ["lies in the same place", "key slot of another", "another repository"] {
            assert!(said(word), "{word}: {:#?}", report.notes);
        }
        assert!(report.notes.iter().any(|note| note.object == "notes.txt"));
        // Both go on.
        put(&source.join("more"), noise(3, 50_000));
        save(&repository, &source, LATER + 100 * SECOND).unwrap();
        let out = tempfile::tempdir().unwrap();
        let folder = restored(&repository, &latest(&repository), out.path());
        assert_same(&tree(&folder), &tree(&source), "mixed");
        assert!(check_all(&repository).is_clean());
    }
}

#[test]
fn in_a_replicated_repository_a_young_pack_may_still_arrive() {
    let base = tempfile::tempdir().unwrap();
    let store = Store::folder(&base.path().join("repo"), true).unwrap();
    let options = InitOptions { flags: REPOSITORY_REPLICATED, ..InitOptions::default() };
    let slots = [(common_engine::secret(), String::new())];
    let repository =
        Repository::init(&store, &options, &slots, Timestamp(1), &folders(base.path())).unwrap();
    put(&base.path().join("source/file"), noise(1, 700_000));
    save(&repository, &base.path().join("source"), LATER).unwrap();
    let pack = store.list(Prefix::Packs).unwrap()[0].name.clone();
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

fn remove(base: &Path, name: &ObjectName) {
    std::fs::remove_file(base.join("repo").join(name.to_string())).unwrap();
}

#[test]
fn packs_of_runs_that_died_are_notes() {
    let (scene, pack) = scene_with_a_pack();
    let bytes = std::fs::read(scene.path(&pack)).unwrap();
    for name in scene.names(Prefix::Log) {
        std::fs::remove_file(scene.path(&name)).unwrap();
    }
    let fresh = open_fresh(&scene.store());
    let report = check_all(&fresh);
    assert!(report.is_clean(), "{:#?}", report.findings);
    let note = report.notes.iter().find(|note| note.object == pack.to_string()).unwrap();
    assert!(note.text.contains(&bytes.len().to_string()), "{}", note.text);
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
fn a_salvaged_file_has_zeros_where_something_is_lost_and_all_else() {
    let mut scene = Scene::new();
    let whole = noise(1, 6 << 20);
    put(&scene.source().join("large"), &whole);
    put(&scene.source().join("other"), noise(2, 5_000));
    scene.save();
    let pack = scene.names(Prefix::Packs).pop().unwrap();
    scene.flip(&pack, 2 << 20);
    let repository = scene.open();
    let snapshot = latest(&repository).snapshot;
    let run = |salvage: bool| {
        let out = tempfile::tempdir().unwrap();
        let options = RestoreOptions { salvage, ..restore_options(out.path()) };
        let report =
            restore(&repository, &snapshot, &options, &Counters::default(), &Silent).unwrap();
        (out, report)
    };
    let (out, report) = run(false);
    assert_eq!((report.failed, report.salvaged, report.damaged), (1, 0, true));
    assert!(!out.path().join("source/large").exists());
    assert_eq!(std::fs::read(out.path().join("source/other")).unwrap(), noise(2, 5_000));
    let (out, report) = run(true);
    assert_eq!((report.failed, report.salvaged, report.damaged), (0, 1, true));
    let got = std::fs::read(out.path().join("source/large")).unwrap();
    assert_eq!(got.len(), whole.len());
    // One unit is lost; its chunks need not be neighbours.
    let wrong: Vec<usize> = (0..got.len()).filter(|&at| got[at] != whole[at]).collect();
    assert!(!wrong.is_empty() && wrong.len() < 2 << 20, "{}", wrong.len());
    assert!(wrong.iter().all(|&at| got[at] == 0));
}
