//! Copies between repositories, with shared keys and without: complete, nothing sent twice, and whole
//! whatever fails on the way.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops where things are not as they should be"
)]

mod common_engine;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common_engine::stores::{Call, Fault, TestStore};
use common_engine::timed::{HOUR, World};
use common_engine::{
    LATER, Notes, SECOND, TestClock, copy_folder, folders, init, latest, noise, open, open_fresh,
    put, restored, save, secret, snapshots, trees,
};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use stash::codec::Compression;
use stash::engine::check::{CheckOptions, ReadData, check};
use stash::engine::copy::{CopyOptions, CopyReport, copy};
use stash::error::Result;
use stash::event::{Counters, Silent};
use stash::format::record::{Mark, MarkKind};
use stash::repository::cache::SnapshotEntry;
use stash::repository::log::RecordParts;
use stash::repository::{InitOptions, LocalFolders, LockedRepository, Repository};
use stash::store::{ObjectName, Prefix, Store};
use stash::time::Timestamp;

/// A machine with some snapshots, and a second repository.
struct Scene {
    folder: tempfile::TempDir,
    from: Repository,
    memory: Arc<InMemory>,
    to_store: Store,
    now: i64,
}

impl Scene {
    fn new(shares_keys: bool) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let from = init(&Store::memory(), &folders(&folder.path().join("from")));
        let memory = Arc::new(InMemory::new());
        let inner = Arc::clone(&memory) as Arc<dyn ObjectStore>;
        let to_store = Store::from_object_store(inner, "second");
        let slots = [(secret(), "test".to_owned())];
        let (options, now) = (InitOptions::default(), Timestamp(1));
        let places = folders(&folder.path().join("maker"));
        if shares_keys {
            from.init_like(&to_store, &options, &slots, now, &places).unwrap();
        } else {
            Repository::init(&to_store, &options, &slots, now, &places).unwrap();
        }
        Scene { folder, from, memory, to_store, now: LATER }
    }

    fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
        put(&self.source().join(name), bytes);
    }

    /// Saves what there is, and keeps a copy of it.
    fn save(&mut self) {
        self.now += 60 * SECOND;
        let report = save(&self.from, &self.source(), self.now).unwrap();
        let kept = self.folder.path().join("kept").join(report.snapshot.unwrap().to_string());
        copy_folder(&self.source(), &kept);
    }

    /// Three states: folders, large files, one that changes a little each time, a copied block.
    fn fill(&mut self) {
        for number in 0..40 {
            let text = format!("note {number}\n").repeat(200);
            self.put(&format!("notes/{}/{number}.md", number % 5), text);
        }
        self.put("large", noise(1, 3 << 20));
        let mut text = b"a line that comes again and again, ".repeat(20_000);
        self.put("log", &text);
        self.put("tiny", "x");
        self.save();
        text[300_000] = b'!';
        self.put("log", &text);
        self.put("notes/1/1.md", "other");
        self.save();
        text[300_500] = b'?';
        self.put("log", &text);
        self.put("notes/new/deep/er/file", noise(2, 100_000));
        self.put("large", [noise(1, 1 << 20), noise(3, 1 << 20)].concat());
        self.save();
    }

    fn to(&self) -> Repository {
        open(&self.to_store, &folders(&self.folder.path().join("to"))).unwrap()
    }

    fn copy(&self, to: &Repository) -> Result<CopyReport> {
        self.copy_with(to, &CopyOptions::default())
    }

    fn copy_with(&self, to: &Repository, options: &CopyOptions) -> Result<CopyReport> {
        let entries = snapshots(&self.from);
        let clock = TestClock(self.now);
        copy(&self.from, to, &entries, options, &clock, &Counters::default(), &Silent)
    }

    /// Restores all copies as a machine that has never seen the repository does.
    fn assert_copied(&self, count: usize) {
        let to = open_fresh(&self.to_store);
        let copies = snapshots(&to);
        assert_eq!(copies.len(), count);
        let originals = snapshots(&self.from);
        for entry in &copies {
            let id = entry.snapshot.original.unwrap();
            let original = originals.iter().find(|original| original.id == id).unwrap();
            assert_same_words(original, entry);
            let into = tempfile::tempdir().unwrap();
            let out = restored(&to, entry, into.path());
            let kept = self.folder.path().join("kept").join(id.to_string());
            assert_same_files(&kept, &out);
            let again = tempfile::tempdir().unwrap();
            let at_home = restored(&self.from, original, again.path());
            trees::assert_same(&trees::tree(&out), &trees::tree(&at_home), "metadata");
        }
        assert_clean(&to);
    }

    /// Returns how many bytes of packs a copy into this store takes that nothing disturbs.
    fn pack_bytes_after(&self, memory: &Arc<InMemory>) -> u64 {
        let inner = Arc::clone(memory) as Arc<dyn ObjectStore>;
        let store = Store::from_object_store(inner, "second");
        let to = open(&store, &folders(&self.folder.path().join("clean"))).unwrap();
        self.copy(&to).unwrap();
        pack_bytes(&store)
    }
}

fn pack_bytes(store: &Store) -> u64 {
    let rows = store.list(Prefix::Packs).unwrap();
    rows.iter().map(|row| row.size).sum()
}

fn assert_same_words(original: &SnapshotEntry, copy: &SnapshotEntry) {
    let (a, b) = (&original.snapshot, &copy.snapshot);
    assert_eq!((a.time, &a.host, &a.job, &a.tags), (b.time, &b.host, &b.job, &b.tags));
    assert_eq!((&a.statistics, a.flags, &a.program), (&b.statistics, b.flags, &b.program));
    assert_eq!(original.pinned, copy.pinned);
}

fn assert_clean(repository: &Repository) {
    let options = CheckOptions { read_data: ReadData::All, threads: 2, ..CheckOptions::default() };
    let report = check(repository, &options, &Counters::default()).unwrap();
    assert!(report.is_clean(), "{:#?}", report.findings);
}

fn assert_same_files(expected: &Path, found: &Path) {
    let content = |folder: &Path| -> Vec<_> {
        let tree = trees::tree(folder).into_iter();
        tree.map(|(path, item)| (path, item.kind, item.length, item.content)).collect()
    };
    assert_eq!(content(expected), content(found));
}

fn puts(calls: &[Call]) -> usize {
    calls.iter().filter(|call| call.is_put()).count()
}

#[test]
fn with_shared_keys_units_go_over_as_they_are_and_nothing_goes_twice() {
    let mut scene = Scene::new(true);
    scene.fill();
    let to = scene.to();
    let report = scene.copy(&to).unwrap();
    assert!(report.shares_keys);
    assert_eq!(report.copied.len(), 3);
    assert!(report.units_carried > 0);
    scene.assert_copied(3);
    // Differences are among them, and as many blobs as at home.
    assert!(!to.cache().units_with_bases().unwrap().is_empty());
    assert_eq!(to.cache().totals().unwrap().blobs, scene.from.cache().totals().unwrap().blobs);
    assert_eq!(to.cache().totals().unwrap().blobs, report.blobs);
    // The ids of trees are the same, those of snapshots are not.
    assert_eq!(latest(&to).snapshot.roots, latest(&scene.from).snapshot.roots);
    // A second run has nothing to do.
    let recording = TestStore::recording(Arc::clone(&scene.memory) as Arc<dyn ObjectStore>);
    let again = open(&recording.store(), &folders(&scene.folder.path().join("to"))).unwrap();
    recording.take();
    let report = scene.copy(&again).unwrap();
    assert_eq!((report.copied.len(), report.present.len(), report.blobs), (0, 3, 0));
    assert_eq!(puts(&recording.take()), 0);
    // A small change costs one record.
    scene.put("tiny", "y");
    scene.save();
    let report = scene.copy(&again).unwrap();
    assert_eq!((report.copied.len(), report.present.len()), (1, 3));
    assert_eq!(puts(&recording.take()), 1);
    assert!(report.stored_bytes < 8192, "{}", report.stored_bytes);
    scene.assert_copied(4);
}

#[test]
fn with_other_keys_everything_is_named_anew_and_nothing_goes_twice() {
    let mut scene = Scene::new(false);
    scene.fill();
    let to = scene.to();
    let report = scene.copy(&to).unwrap();
    assert!(!report.shares_keys);
    assert_eq!(report.copied.len(), 3);
    scene.assert_copied(3);
    assert_ne!(latest(&scene.from).snapshot.roots, latest(&to).snapshot.roots);
    let again = scene.copy(&to).unwrap();
    assert_eq!((again.copied.len(), again.present.len(), again.blobs), (0, 3, 0));
    // Another machine that goes on knows the names from the snapshots on both sides.
    scene.put("tiny", "y");
    scene.put("notes/2/2.md", "changed");
    scene.save();
    let to = open(&scene.to_store, &folders(&scene.folder.path().join("other"))).unwrap();
    let report = scene.copy(&to).unwrap();
    assert_eq!((report.copied.len(), report.present.len()), (1, 3));
    assert!(report.blobs <= 3 && report.stored_bytes < 16_384, "{report:?}");
    scene.assert_copied(4);
}

#[test]
fn copies_of_copies_and_copies_back_are_known() {
    let mut scene = Scene::new(true);
    scene.fill();
    let to = scene.to();
    scene.copy(&to).unwrap();
    let back = |from: &Repository, to: &Repository| {
        let (entries, clock) = (snapshots(from), TestClock(scene.now));
        let options = CopyOptions::default();
        copy(from, to, &entries, &options, &clock, &Counters::default(), &Silent).unwrap()
    };
    assert_eq!(back(&to, &scene.from).present.len(), 3);
    let third = init(&Store::memory(), &folders(&scene.folder.path().join("third")));
    assert_eq!(back(&to, &third).copied.len(), 3);
    assert_eq!(back(&scene.from, &third).present.len(), 3);
    assert_clean(&third);
    let error =
        copy(&to, &to, &[], &CopyOptions::default(), &TestClock(1), &Counters::default(), &Silent)
            .unwrap_err();
    assert_eq!(error.kind(), stash::error::Kind::Usage);
}

#[test]
fn what_is_forgotten_there_does_not_come_back_and_pins_go_over() {
    let mut scene = Scene::new(true);
    scene.fill();
    let pinned = snapshots(&scene.from)[1].id;
    let say = |repository: &Repository, snapshot, kind: MarkKind| {
        let marks = vec![Mark { snapshot, kind: kind as u64, ..Mark::default() }];
        let parts = RecordParts { marks, ..RecordParts::default() };
        repository.append(parts, Timestamp(scene.now)).unwrap();
    };
    say(&scene.from, pinned, MarkKind::Pin);
    let to = scene.to();
    scene.copy(&to).unwrap();
    assert!(snapshots(&to)[1].pinned);
    say(&to, snapshots(&to)[0].id, MarkKind::Forget);
    let report = scene.copy(&to).unwrap();
    assert_eq!((report.copied.len(), report.present.len(), report.forgotten), (0, 2, 1));
}

/// A blob that is condemned there counts for nothing, though it still lies there.
#[test]
fn what_is_condemned_there_is_sent_again() {
    for shares_keys in [true, false] {
        let world = World::new();
        let machine = world.machine("to");
        let to = &machine.repository;
        let folder = tempfile::tempdir().unwrap();
        let places = folders(&folder.path().join("from"));
        let from = if shares_keys {
            let slots = [(secret(), "test".to_owned())];
            let options = InitOptions::default();
            to.init_like(&Store::memory(), &options, &slots, Timestamp(1), &places).unwrap()
        } else {
            init(&Store::memory(), &places)
        };
        let source = folder.path().join("source");
        let save_and_copy = || {
            world.pass(HOUR);
            save(&from, &source, world.time()).unwrap();
            let (entries, options) = (snapshots(&from), CopyOptions::default());
            let (clock, counters) = (TestClock(world.time()), Counters::default());
            copy(&from, to, &entries, &options, &clock, &counters, &Silent).unwrap()
        };
        put(&source.join("stays"), noise(1, 400_000));
        put(&source.join("goes"), noise(2, 400_000));
        let first = save_and_copy().copied[0].copy.unwrap();
        std::fs::remove_file(source.join("goes")).unwrap();
        put(&source.join("new"), noise(3, 400_000));
        save_and_copy();
        machine.forget(first);
        world.pass(80 * HOUR);
        machine.prune();
        assert!(!to.cache().condemned().unwrap().is_empty());
        put(&source.join("goes"), noise(2, 400_000));
        let report = save_and_copy();
        assert_eq!((report.copied.len(), report.forgotten), (1, 1));
        assert!(report.stored_bytes > 400_000, "{report:?}");
        world.pass(80 * HOUR);
        machine.prune();
        let fresh = open_fresh(&world.store);
        let into = tempfile::tempdir().unwrap();
        let out = restored(&fresh, &latest(&fresh), into.path());
        assert_same_files(&source, &out);
        assert_clean(&fresh);
    }
}

#[test]
fn a_dry_run_says_what_it_would_send_and_sends_nothing() {
    for shares_keys in [true, false] {
        let mut scene = Scene::new(shares_keys);
        scene.fill();
        let before = scene.to_store.list_all().unwrap().0.len();
        let to = scene.to();
        let options = CopyOptions { dry_run: true, compression: Compression::Auto };
        let report = scene.copy_with(&to, &options).unwrap();
        assert_eq!(report.copied.len(), 3);
        assert!(report.copied.iter().all(|row| row.copy.is_none()));
        assert_eq!(scene.to_store.list_all().unwrap().0.len(), before);
        if shares_keys {
            let done = scene.copy(&to).unwrap();
            assert_eq!(report.blobs, done.blobs);
        }
    }
}

#[test]
fn items_that_are_no_longer_there_go_over_as_they_are() {
    for shares_keys in [true, false] {
        let mut scene = Scene::new(shares_keys);
        scene.fill();
        // As a session that vanished is kept.
        let mut snapshot = latest(&scene.from).snapshot;
        snapshot.time += 1;
        let mut node = snapshot.roots[0].node.clone();
        node.absent_since = Some(5);
        node.name = b"gone".as_slice().into();
        snapshot.roots[0].node.absent_since = Some(7);
        let parts = RecordParts { snapshot: Some(snapshot), ..RecordParts::default() };
        scene.from.append(parts, Timestamp(scene.now)).unwrap();
        let to = scene.to();
        scene.copy(&to).unwrap();
        let fresh = open_fresh(&scene.to_store);
        assert_eq!(latest(&fresh).snapshot.roots[0].node.absent_since, Some(7));
        assert_clean(&fresh);
    }
}

/// Whatever call fails, what was copied is whole, and the next run ends what was begun.
fn fails_at_every_step(shares_keys: bool, fault: Fault) {
    let mut scene = Scene::new(shares_keys);
    scene.fill();
    let clean = scene.pack_bytes_after(&Arc::new(scene.memory.fork()));
    for step in 1.. {
        let memory = Arc::new(scene.memory.fork());
        let failing = TestStore::new(Arc::clone(&memory) as Arc<dyn ObjectStore>, fault, step);
        let places = folders(&scene.folder.path().join(format!("machine-{step}")));
        let result = open(&failing.store(), &places).and_then(|to| scene.copy(&to));
        let has_failed = failing.has_failed();
        let inner = Arc::clone(&memory) as Arc<dyn ObjectStore>;
        let store = Store::from_object_store(inner, "second");
        let fresh = open_fresh(&store);
        for entry in snapshots(&fresh) {
            let into = tempfile::tempdir().unwrap();
            let out = restored(&fresh, &entry, into.path());
            let id = entry.snapshot.original.unwrap().to_string();
            assert_same_files(&scene.folder.path().join("kept").join(id), &out);
        }
        assert_clean(&fresh);
        if result.is_ok() && !has_failed {
            assert!(step > 3, "nothing was tried");
            break;
        }
        let to = open(&store, &places).unwrap();
        let report = scene.copy(&to).unwrap();
        assert_eq!(report.copied.len() + report.present.len(), 3, "step {step}");
        let fresh = open_fresh(&store);
        assert_eq!(snapshots(&fresh).len(), 3);
        assert_clean(&fresh);
        assert_eq!(pack_bytes(&store), clean, "step {step}: something was sent twice");
    }
}

#[test]
fn a_copy_that_fails_at_any_put_is_ended_by_the_next_run() {
    for shares_keys in [true, false] {
        fails_at_every_step(shares_keys, Fault::Fail);
        fails_at_every_step(shares_keys, Fault::LostReply);
    }
}

#[test]
fn a_damaged_snapshot_is_told_and_the_others_are_copied() {
    let mut scene = Scene::new(true);
    scene.fill();
    // The second snapshot's own units lie in its record; the others need none of them.
    let second = snapshots(&scene.from)[1].clone();
    let records = scene.from.cache().snapshot_records().unwrap();
    let (_, record) = records.into_iter().find(|(id, _)| *id == second.id).unwrap();
    scene.from.cache().distrust(&[record.unwrap()]).unwrap();
    let name = scene.from.cache().objects().unwrap();
    let (name, _) = name.into_iter().find(|(name, _)| name.hash() == record.unwrap()).unwrap();
    let damaged = flipped_at(&scene.from, &name);
    let (notes, clock) = (Notes::default(), TestClock(scene.now));
    let (to, entries) = (scene.to(), snapshots(&scene.from));
    let options = CopyOptions::default();
    let report =
        copy(&damaged, &to, &entries, &options, &clock, &Counters::default(), &notes).unwrap();
    assert_eq!((report.copied.len() as u64 + report.failed, report.failed > 0), (3, true));
    assert!(notes.take().iter().any(|note| note.contains("was not copied")));
    assert_clean(&open_fresh(&scene.to_store));
}

/// Returns the same repository over a store in which a byte of an object is another.
fn flipped_at(repository: &Repository, name: &ObjectName) -> Repository {
    let memory = Arc::new(InMemory::new());
    let inner = Arc::clone(&memory) as Arc<dyn ObjectStore>;
    let store = Store::from_object_store(inner, "damaged");
    for row in repository.store().list_all().unwrap().0 {
        let mut bytes = repository.store().get(&row.name).unwrap().unwrap().to_vec();
        if row.name == *name {
            bytes[100] ^= 1;
        }
        let path = object_store::path::Path::from(row.name.to_string());
        let put = object_store::ObjectStoreExt::put(memory.as_ref(), &path, bytes.into());
        futures_executor::block_on(put).unwrap();
    }
    let damaged = LockedRepository::find(store, None)
        .unwrap()
        .unlock(&secret(), &LocalFolders::default())
        .unwrap();
    damaged.sync().unwrap();
    damaged
}
