//! How often the store is asked for what: the counts that make runs fast, whatever the machine.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops where things are not as they should be"
)]

mod common_engine;

use std::sync::Arc;

use common_engine::stores::{Call, TestStore};
use common_engine::trees::{assert_same, tree};
use common_engine::{
    LATER, SECOND, folders, init, latest, noise, open, put, restore_options, restore_with, save,
    snapshots,
};
use object_store::memory::InMemory;
use stash::repository::LocalFolders;

struct Scene {
    folder: tempfile::TempDir,
    store: Arc<TestStore>,
    now: i64,
}

impl Scene {
    fn new() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let store = TestStore::recording(Arc::new(InMemory::new()));
        drop(init(&store.store(), &folders(folder.path())));
        store.take();
        Scene { folder, store, now: LATER }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join("source").join(name)
    }

    /// Backs up as a new process would; returns the calls.
    fn save(&mut self) -> Vec<Call> {
        self.now += SECOND;
        let repository = open(&self.store.store(), &folders(self.folder.path())).unwrap();
        save(&repository, &self.folder.path().join("source"), self.now).unwrap();
        self.store.take()
    }
}

/// What a backup asks for is all: looking whether it is time to clean up asks for nothing.
#[test]
fn cleaning_up_costs_no_call_until_it_is_time() {
    let mut scene = Scene::new();
    put(&scene.path("file"), noise(1, 70_000));
    scene.save();
    for round in 0..3_u64 {
        put(&scene.path("file"), noise(round, 30_000));
        let alone = scene.save();
        let repository = open(&scene.store.store(), &folders(scene.folder.path())).unwrap();
        let opening = scene.store.take();
        put(&scene.path("file"), noise(100 + round, 30_000));
        scene.now += 3600 * SECOND;
        save(&repository, &scene.folder.path().join("source"), scene.now).unwrap();
        let now = stash::time::Timestamp(scene.now);
        let due = stash::engine::maintenance::due(
            &repository,
            &stash::engine::maintenance::MaintenanceOptions::default(),
            now,
        )
        .unwrap();
        assert!(!due.is_something());
        let both = scene.store.take();
        assert_eq!(opening.len() + both.len(), alone.len(), "{alone:#?} {both:#?}");
    }
}

fn puts(calls: &[Call]) -> Vec<&Call> {
    calls.iter().filter(|call| call.is_put()).collect()
}

fn kinds(calls: &[&Call]) -> Vec<String> {
    calls.iter().map(|call| call.path().split('/').next().unwrap().to_owned()).collect()
}

#[test]
fn a_first_backup_of_small_files_is_one_put() {
    let mut scene = Scene::new();
    for number in 0..50 {
        put(&scene.path(&format!("dir{}/file{number}", number % 7)), noise(number, 3_000));
    }
    let calls = scene.save();
    assert_eq!(kinds(&puts(&calls)), ["log"], "{calls:#?}");
}

#[test]
fn an_unchanged_tree_is_no_put_and_reads_no_content() {
    let mut scene = Scene::new();
    for number in 0..40 {
        put(&scene.path(&format!("dir{}/file{number}", number % 7)), noise(number, 70_000));
    }
    scene.save();
    for round in 0..3 {
        let calls = scene.save();
        assert_eq!(puts(&calls), Vec::<&Call>::new(), "round {round}");
        let data: u64 = calls.iter().map(pack_bytes).sum();
        assert!(data < 100_000, "round {round}: {calls:#?}");
    }
    // The same with nothing remembered, when every file is read again.
    std::fs::remove_dir_all(scene.folder.path().join("state")).unwrap();
    let calls = scene.save();
    assert_eq!(puts(&calls), Vec::<&Call>::new());
    std::fs::remove_dir_all(scene.folder.path().join("cache")).unwrap();
    let calls = scene.save();
    assert_eq!(puts(&calls), Vec::<&Call>::new());
}

#[test]
fn a_tiny_change_is_one_put() {
    let mut scene = Scene::new();
    for number in 0..40 {
        put(&scene.path(&format!("dir{}/file{number}", number % 7)), noise(number, 70_000));
    }
    scene.save();
    for round in 0..3 {
        put(&scene.path("dir1/tiny"), format!("version {round} of a small file"));
        let calls = scene.save();
        assert_eq!(kinds(&puts(&calls)), ["log"], "round {round}: {calls:#?}");
        let Call::Put(_, length) = puts(&calls)[0] else { unreachable!() };
        assert!(*length <= 16 << 10, "{length} bytes for a tiny change");
    }
}

#[test]
fn a_usual_change_is_two_puts() {
    let mut scene = Scene::new();
    put(&scene.path("small"), b"small");
    scene.save();
    for number in 0..5_u64 {
        put(&scene.path(&format!("new/file{number}")), noise(number, 1 << 20));
    }
    let calls = scene.save();
    assert_eq!(kinds(&puts(&calls)), ["packs", "log"], "{calls:#?}");
}

/// Bytes of packs that a call asks for; a whole pack counts as endless.
fn pack_bytes(call: &Call) -> u64 {
    match call {
        Call::Get(path) if path.starts_with("packs/") => u64::MAX / 4,
        Call::Range(path, range) if path.starts_with("packs/") => range.end - range.start,
        _ => 0,
    }
}

#[test]
fn opening_and_listing_reads_no_pack_and_restoring_one_file_reads_one_range() {
    let mut scene = Scene::new();
    for number in 0..150_u64 {
        let path = scene.path(&format!("dir{}/file{number}", number % 7));
        put(&path, noise(number, 100_000));
    }
    let calls = scene.save();
    assert!(pack_puts(&calls) > 14 << 20, "{calls:#?}");
    let nowhere = LocalFolders::default();
    for folders in [&nowhere, &folders(scene.folder.path())] {
        let repository = open(&scene.store.store(), folders).unwrap();
        assert_eq!(snapshots(&repository).len(), 1);
        let calls = scene.store.take();
        assert!(calls.iter().all(|call| !call.path().starts_with("packs")), "{calls:#?}");
        let out = tempfile::tempdir().unwrap();
        let mut options = restore_options(out.path());
        let wanted = scene.path("dir3/file73");
        options.path = wanted.to_str().unwrap().as_bytes().to_vec();
        restore_with(&repository, &latest(&repository), &options);
        let calls = scene.store.take();
        let got = tree(&out.path().join("file73"));
        assert_same(&got, &tree(&wanted), "one file");
        let reads: Vec<u64> = calls.iter().map(pack_bytes).filter(|&bytes| bytes > 0).collect();
        // The trees on the way (they lie together) and the content.
        assert!(reads.len() <= 4, "{calls:#?}");
        assert!(reads.iter().all(|&bytes| bytes < 2 << 20), "{calls:#?}");
        let large = reads.iter().filter(|&&bytes| bytes >= 100_000).count();
        assert!(large <= 1, "{calls:#?}");
    }
}

fn pack_puts(calls: &[Call]) -> u64 {
    let lengths = calls.iter().filter_map(|call| match call {
        Call::Put(path, length) if path.starts_with("packs/") => Some(*length),
        _ => None,
    });
    lengths.sum()
}
