//! Whatever the store does at any one call, nothing that was saved is lost, and the next run works.
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

use bytes::Bytes;
use common_engine::stores::{Call, Fault, TestStore};
use common_engine::trees::{Tree, assert_same, tree};
use common_engine::{
    LATER, SECOND, copy_folder, folders, init, latest, noise, open, open_fresh, put,
    restore_options, restored, save, snapshots,
};
use object_store::memory::InMemory;
use stash::codec::crypto::object_hash;
use stash::engine::check::{CheckOptions, ReadData, check};
use stash::engine::restore::restore;
use stash::error::Kind;
use stash::event::{Counters, Silent};
use stash::repository::{LocalFolders, Repository};
use stash::store::{ObjectName, Store};

/// A repository with two snapshots, and a tree that has been edited since.
struct Scene {
    folder: tempfile::TempDir,
    memory: Arc<InMemory>,
    saved: Vec<Tree>,
    edited: Tree,
}

impl Scene {
    /// With 20 files of a MiB, more than one pack is new; with fewer, less than one.
    fn new(large_files: u64) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        let memory = Arc::new(InMemory::new());
        put(&source.join("kept"), b"first");
        put(&source.join("dir1/blob"), noise(999, 900_000));
        put(&source.join("dir1/gone"), noise(998, 5_000));
        put(&source.join("dir2/deep/small"), noise(997, 3_000));
        let store = store_of(&memory);
        let repository = init(&store, &folders(folder.path()));
        let mut saved = vec![tree(&source)];
        save(&repository, &source, LATER).unwrap();
        put(&source.join("dir2/second"), noise(996, 100_000));
        saved.push(tree(&source));
        save(&repository, &source, LATER + SECOND).unwrap();
        for number in 0..large_files {
            put(&source.join(format!("dir{}/large{number}", number % 5)), noise(number, 1 << 20));
        }
        put(&source.join("kept"), b"changed");
        std::fs::remove_file(source.join("dir1/gone")).unwrap();
        let edited = tree(&source);
        Scene { folder, memory, saved, edited }
    }

    fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    /// Gives the machine's cache and state as they were after the second run.
    fn machine(&self) -> tempfile::TempDir {
        let base = tempfile::tempdir().unwrap();
        for name in ["cache", "state"] {
            copy_folder(&self.folder.path().join(name), &base.path().join(name));
        }
        base
    }

    /// Runs the victim with a fault; returns how far it got, or `None` if the fault never came.
    fn attack(&self, fault: Fault, fatal: u64) -> Option<bool> {
        let memory = Arc::new(self.memory.fork());
        let machine = self.machine();
        let faulty = TestStore::new(memory.clone(), fault, fatal);
        let outcome = open(&faulty.store(), &folders(machine.path()))
            .and_then(|repository| save(&repository, &self.source(), LATER + 2 * SECOND));
        if let Err(error) = &outcome {
            assert!(faulty.has_failed(), "{fault:?} {fatal}: failed without cause: {error}");
        }
        let what = format!("{fault:?} at call {fatal}");
        self.check(&Arc::new(memory.fork()), machine.path(), &what);
        self.check(&memory, &machine.path().join("new"), &what);
        faulty.has_failed().then_some(outcome.is_ok())
    }

    /// The next run on `machine` saves everything, and a fresh client restores every snapshot.
    fn check(&self, memory: &Arc<InMemory>, machine: &Path, what: &str) {
        let store = store_of(memory);
        let is_new = machine.ends_with("new");
        if !is_new {
            self.check_saved(&open_fresh(&store), what);
        }
        let repository = open(&store, &folders(machine)).unwrap();
        save(&repository, &self.source(), LATER + 3 * SECOND).unwrap();
        drop(repository);
        let fresh = open_fresh(&store);
        let out = tempfile::tempdir().unwrap();
        let restored = restored(&fresh, &latest(&fresh), out.path());
        assert_same(&tree(&restored), &self.edited, what);
        self.check_saved(&fresh, what);
        let options =
            CheckOptions { read_data: ReadData::All, threads: 2, ..CheckOptions::default() };
        let report = check(&fresh, &options, &Counters::default()).unwrap();
        assert!(report.is_clean(), "{what}: {:#?}", report.findings);
        // 20 MiB that can't be compressed. The same machine stores nothing again that is durable.
        let stored = pack_bytes(&store);
        let limit = if is_new { 44 << 20 } else { 24 << 20 };
        assert!(stored < limit, "{what}: {stored} bytes stored");
    }

    fn check_saved(&self, repository: &Repository, what: &str) {
        for (entry, wanted) in snapshots(repository).iter().zip(&self.saved) {
            let out = tempfile::tempdir().unwrap();
            let restored = restored(repository, entry, out.path());
            assert_same(&tree(&restored), wanted, what);
        }
        assert!(snapshots(repository).len() >= self.saved.len(), "{what}: a snapshot is gone");
    }

    /// Attacks every call; returns how many runs got through nevertheless, and how many in all.
    fn attack_all(&self, fault: Fault) -> (u64, u64) {
        let mut survived = 0;
        for fatal in 1.. {
            match self.attack(fault, fatal) {
                Some(is_ok) => survived += u64::from(is_ok),
                None => return (survived, fatal - 1),
            }
        }
        unreachable!()
    }
}

fn store_of(memory: &Arc<InMemory>) -> Store {
    Store::from_object_store(memory.clone(), "memory")
}

fn pack_bytes(store: &Store) -> u64 {
    store.list(stash::store::Prefix::Packs).unwrap().iter().map(|row| row.size).sum()
}

#[test]
fn a_call_that_fails_costs_one_run_and_nothing_else() {
    let scene = Scene::new(20);
    let (survived, all) = scene.attack_all(Fault::Fail);
    assert!(all >= 10, "only {all} calls were tried");
    assert!(survived < all);
}

#[test]
fn a_put_whose_reply_is_lost_costs_one_run_and_nothing_else() {
    let scene = Scene::new(20);
    let (survived, all) = scene.attack_all(Fault::LostReply);
    assert!(all >= 3, "only {all} puts were tried");
    assert_eq!(survived, 0);
}

#[test]
fn a_put_that_was_repeated_after_a_lost_reply_is_settled_by_reading_back() {
    let scene = Scene::new(3);
    let (survived, all) = scene.attack_all(Fault::Repeat);
    assert!(all >= 2, "only {all} puts were tried");
    assert_eq!(survived, all, "a repeated put must not fail a run");
}

#[test]
fn a_get_cut_short_or_changed_on_the_way_never_passes_for_right() {
    let scene = Scene::new(3);
    for fault in [Fault::Truncate, Fault::Flip] {
        let (_, all) = scene.attack_all(fault);
        assert!(all >= 2, "only {all} gets were tried");
    }
}

#[test]
fn a_listing_that_fails_or_ends_half_way_costs_one_run_at_most() {
    let scene = Scene::new(3);
    for fault in [Fault::HalfList, Fault::ShortList] {
        let (_, all) = scene.attack_all(fault);
        assert!(all >= 4, "only {all} listings were tried");
    }
}

#[test]
fn a_restore_through_a_store_that_fails_leaves_only_right_files() {
    let scene = Scene::new(3);
    let store = store_of(&scene.memory);
    save(
        &open(&store, &folders(scene.folder.path())).unwrap(),
        &scene.source(),
        LATER + 2 * SECOND,
    )
    .unwrap();
    let last = latest(&open_fresh(&store)).snapshot;
    for fault in [Fault::Fail, Fault::Truncate, Fault::Flip] {
        for fatal in 1.. {
            let faulty = TestStore::new(scene.memory.clone(), fault, fatal);
            let out = tempfile::tempdir().unwrap();
            let options = restore_options(out.path());
            let outcome = open(&faulty.store(), &LocalFolders::default()).and_then(|repository| {
                restore(&repository, &last, &options, &Counters::default(), &Silent)
            });
            let what = format!("{fault:?} at call {fatal}");
            let complete = outcome.as_ref().is_ok_and(|report| report.failed == 0);
            let place = out.path().join("source");
            if place.exists() {
                for (path, item) in tree(&place) {
                    let wanted = scene.edited.get(&path);
                    let right = wanted.is_some_and(|wanted| wanted.content == item.content);
                    assert!(right, "{what}: {} is not what was saved", path.display());
                }
            }
            if complete {
                assert_same(&tree(&place), &scene.edited, &what);
            }
            if !faulty.has_failed() {
                assert!(complete && fatal > 5);
                break;
            }
        }
    }
}

#[test]
fn an_object_that_exists_counts_as_durable_only_after_it_was_read_back() {
    let bytes = Bytes::from_static(b"an object");
    let name = ObjectName::Pack(object_hash(&bytes));
    let memory = Arc::new(InMemory::new());
    store_of(&memory).put(name.clone(), std::slice::from_ref(&bytes)).unwrap();
    let recording = TestStore::recording(memory.clone());
    recording.store().put(name.clone(), std::slice::from_ref(&bytes)).unwrap();
    let path = name.to_string();
    assert_eq!(recording.take(), [Call::Put(path.clone(), bytes.len() as u64), Call::Get(path)]);
    for (fault, kind) in [(Fault::Truncate, Kind::Damaged), (Fault::Flip, Kind::Damaged)] {
        let faulty = TestStore::new(memory.clone(), fault, 1);
        let error = faulty.store().put(name.clone(), std::slice::from_ref(&bytes)).unwrap_err();
        assert_eq!(error.kind(), kind, "{fault:?}");
    }
}
