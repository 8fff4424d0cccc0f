//! Several writers, and machines whose memory is copied, deleted or damaged: nothing is lost.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops where things are not as they should be"
)]

mod common_engine;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier};

use common_engine::stores::TestStore;
use common_engine::trees::{Tree, assert_same, tree};
use common_engine::{
    LATER, SECOND, backup_options, copy_folder, folders, init, latest, noise, open, open_fresh,
    put, restore_options, restored, save, save_with, snapshots,
};
use object_store::memory::InMemory;
use stash::engine::restore::restore;
use stash::event::{Counters, Silent};
use stash::id::SnapshotId;
use stash::repository::Repository;
use stash::store::{ObjectName, Prefix, Store};

/// What each snapshot was made of.
type Saved = BTreeMap<[u8; 32], Tree>;

fn key(id: &SnapshotId) -> [u8; 32] {
    *id.as_bytes()
}

/// Restores every snapshot from a machine that has only the repository.
fn check_all(store: &Store, saved: &Saved) {
    let fresh = open_fresh(store);
    let entries = snapshots(&fresh);
    assert_eq!(entries.len(), saved.len(), "snapshots");
    for entry in entries {
        let out = tempfile::tempdir().unwrap();
        let place = restored(&fresh, &entry, out.path());
        assert_same(&tree(&place), &saved[&key(&entry.id)], &format!("snapshot {}", entry.id));
    }
}

/// Content of which half is the other writers' too.
fn edit(source: &Path, writer: u64, round: u64) {
    for number in 0..6 {
        put(&source.join(format!("common/{round}-{number}")), noise(round * 100 + number, 200_000));
    }
    let own = noise(10_000 * (writer + 1) + round, 400_000);
    put(&source.join(format!("own/{round}")), own);
    put(&source.join("changing"), format!("writer {writer}, round {round}"));
    if round > 1 {
        // Gone already where a clone edits the same tree.
        let _removed = std::fs::remove_file(source.join(format!("common/{}-0", round - 2)));
    }
}

#[test]
fn writers_at_once_lose_nothing_of_each_other() {
    const WRITERS: u64 = 2;
    const ROUNDS: u64 = 5;
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path();
    let store = Store::folder(&base.join("repo"), true).unwrap();
    drop(init(&store, &folders(&base.join("0"))));
    let start = &Barrier::new(usize::try_from(WRITERS).unwrap());
    let saved: Saved = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let base = base.join(writer.to_string());
                let store = Store::folder(&folder.path().join("repo"), false).unwrap();
                scope.spawn(move || {
                    let source = base.join("source");
                    let mut saved = Saved::new();
                    start.wait();
                    for round in 0..ROUNDS {
                        edit(&source, writer, round);
                        let repository = open(&store, &folders(&base)).unwrap();
                        let mut options = backup_options(&[&source]);
                        options.host = format!("host{writer}");
                        let now = LATER + i64::try_from(round).unwrap() * SECOND;
                        let report = save_with(&repository, &options, now).unwrap();
                        saved.insert(key(&report.snapshot.unwrap()), tree(&source));
                    }
                    saved
                })
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    assert_eq!(saved.len() as u64, WRITERS * ROUNDS);
    check_all(&store, &saved);
}

/// One machine with its memory, and what it has saved.
struct Scene {
    folder: tempfile::TempDir,
    memory: Arc<InMemory>,
    saved: Saved,
    now: i64,
}

impl Scene {
    fn new() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let memory = Arc::new(InMemory::new());
        let mut scene = Scene { folder, memory, saved: Saved::new(), now: LATER };
        drop(init(&scene.store(), &folders(&scene.path("a"))));
        for round in 0..2 {
            edit(&scene.source(), 0, round);
            scene.save("a");
        }
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn source(&self) -> PathBuf {
        self.path("source")
    }

    fn store(&self) -> Store {
        Store::from_object_store(self.memory.clone(), "memory")
    }

    fn open(&self, machine: &str) -> Repository {
        open(&self.store(), &folders(&self.path(machine))).unwrap()
    }

    /// Saves as a new process would, with a machine's memory.
    fn save(&mut self, machine: &str) {
        let repository = self.open(machine);
        self.save_in(&repository);
    }

    fn save_in(&mut self, repository: &Repository) {
        self.now += SECOND;
        let report = save(repository, &self.source(), self.now).unwrap();
        let id = report.snapshot.expect("a snapshot");
        self.saved.insert(key(&id), tree(&self.source()));
    }

    fn clone_machine(&self, from: &str, to: &str) {
        copy_folder(&self.path(from), &self.path(to));
    }

    fn check(&self) {
        check_all(&self.store(), &self.saved);
    }

    /// Returns the number of lanes, and whether two records hold the same place in one.
    fn lanes(&self) -> (usize, bool) {
        let names: Vec<_> = self
            .store()
            .list(Prefix::Log)
            .unwrap()
            .into_iter()
            .filter_map(|row| match row.name {
                ObjectName::Record(name) => Some((name.lane, name.sequence)),
                _ => None,
            })
            .collect();
        let places: std::collections::HashSet<_> = names.iter().collect();
        let lanes: std::collections::HashSet<_> = names.iter().map(|name| name.0).collect();
        (lanes.len(), places.len() < names.len())
    }
}

#[test]
fn a_cloned_machine_starts_a_lane_of_its_own() {
    let mut scene = Scene::new();
    scene.clone_machine("a", "b");
    assert_eq!(scene.lanes(), (1, false));
    for round in 2..5 {
        for machine in ["a", "b"] {
            edit(&scene.source(), 0, round);
            put(&scene.source().join("whose"), format!("{machine} {round}"));
            scene.save(machine);
        }
    }
    assert_eq!(scene.lanes(), (2, false));
    scene.check();
}

/// The clone saves between the other's look at the log and its record.
#[test]
fn clones_that_write_at_the_same_moment_fork_their_lane_and_lose_nothing() {
    let mut scene = Scene::new();
    scene.clone_machine("a", "b");
    let source = scene.source();
    edit(&source, 0, 2);
    let (memory, machine, now) = (scene.memory.clone(), scene.path("b"), scene.now + SECOND);
    let found: Arc<std::sync::Mutex<Option<SnapshotId>>> = Arc::default();
    let (found_there, source_there) = (Arc::clone(&found), source.clone());
    let hooked = TestStore::recording(scene.memory.clone());
    hooked.before_record(move || {
        let store = Store::from_object_store(memory, "memory");
        let repository = open(&store, &folders(&machine)).unwrap();
        let mut options = backup_options(&[&source_there]);
        options.tags = vec!["clone".into()];
        let report = save_with(&repository, &options, now).unwrap();
        *found_there.lock().unwrap() = report.snapshot;
    });
    let repository = open(&hooked.store(), &folders(&scene.path("a"))).unwrap();
    scene.save_in(&repository);
    drop(repository);
    let clones = found.lock().unwrap().take().unwrap();
    scene.saved.insert(key(&clones), tree(&source));
    let (_, is_forked) = scene.lanes();
    assert!(is_forked, "the two records were to meet");
    scene.check();
    // Both go on, each in a lane of its own from now on.
    for round in 3..5 {
        for machine in ["a", "b"] {
            edit(&source, 0, round);
            put(&source.join("whose"), format!("{machine} {round}"));
            scene.save(machine);
        }
    }
    assert_eq!(scene.lanes().0, 3);
    scene.check();
}

#[test]
fn a_machine_whose_state_or_cache_is_gone_or_old_goes_on() {
    let mut scene = Scene::new();
    scene.clone_machine("a", "old");
    let losses: [(&str, &[&str]); 3] =
        [("state", &["state"]), ("cache", &["cache"]), ("both", &["state", "cache"])];
    for (round, (_, folders)) in (2..).zip(losses) {
        for folder in folders {
            std::fs::remove_dir_all(scene.path("a").join(folder)).unwrap();
        }
        edit(&scene.source(), 0, round);
        scene.save("a");
    }
    // A home from a backup: its memory is of the past.
    edit(&scene.source(), 0, 5);
    scene.save("old");
    edit(&scene.source(), 0, 6);
    scene.save("a");
    scene.check();
}

#[test]
fn state_files_full_of_nonsense_cost_work_and_nothing_else() {
    let mut scene = Scene::new();
    for round in 2..6 {
        for (number, path) in files(&scene.path("a/state")).into_iter().enumerate() {
            let length = std::fs::metadata(&path).unwrap().len();
            match (round, length / 2) {
                (2, half) => cut(&path, half),
                (3, _) => cut(&path, 0),
                (4, half) => flip(&path, half),
                _ => put(&path, noise(number as u64, 500)),
            }
        }
        edit(&scene.source(), 0, round);
        scene.save("a");
    }
    scene.check();
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn cut(path: &Path, length: u64) {
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
}

fn flip(path: &Path, offset: u64) {
    let mut bytes = std::fs::read(path).unwrap();
    if let Some(byte) = bytes.get_mut(usize::try_from(offset).unwrap()) {
        *byte ^= 0x55;
    }
    std::fs::write(path, bytes).unwrap();
}

/// Lets a machine with a damaged cache restore; another with one save what has changed since.
fn use_damaged(scene: &Scene, harm: impl Fn(&Path), what: &str) {
    let wanted = &scene.saved[&key(&latest(&scene.open("a")).id)];
    let machine = tempfile::tempdir().unwrap();
    copy_folder(&scene.path("a"), machine.path());
    let damage = || files(&machine.path().join("cache")).iter().for_each(|path| harm(path));
    let store = Store::from_object_store(Arc::new(scene.memory.fork()), "memory");
    damage();
    // Where the harm shows only as something that is not found, the run after that is right.
    for run in 0.. {
        let repository = open(&store, &folders(machine.path()))
            .unwrap_or_else(|error| panic!("{what}: cannot open: {error}"));
        let out = tempfile::tempdir().unwrap();
        let snapshot = &latest(&repository).snapshot;
        let options = restore_options(out.path());
        let report = restore(&repository, snapshot, &options, &Counters::default(), &Silent)
            .unwrap_or_else(|error| panic!("{what}: cannot restore: {error}"));
        let got = tree(&out.path().join("source"));
        if report.failed == 0 {
            assert_same(&got, wanted, what);
            break;
        }
        assert!(run == 0 && report.damaged, "{what}: {report:?}");
        for (path, item) in got {
            assert_eq!(item.content, wanted[&path].content, "{what}: {}", path.display());
        }
    }
    damage();
    let repository = open(&store, &folders(machine.path()))
        .unwrap_or_else(|error| panic!("{what}: cannot open: {error}"));
    save(&repository, &scene.source(), scene.now + SECOND)
        .unwrap_or_else(|error| panic!("{what}: cannot back up: {error}"));
    drop(repository);
    let fresh = open_fresh(&store);
    let out = tempfile::tempdir().unwrap();
    let place = restored(&fresh, &latest(&fresh), out.path());
    assert_same(&tree(&place), &tree(&scene.source()), what);
}

#[test]
fn a_cache_cut_short_is_made_anew() {
    let scene = Scene::new();
    put(&scene.source().join("after"), b"after");
    for part in [0, 1, 7, 50, 90, 99] {
        let harm = |path: &Path| cut(path, std::fs::metadata(path).unwrap().len() * part / 100);
        use_damaged(&scene, harm, &format!("cut to {part} %"));
    }
}

#[test]
fn a_cache_overwritten_with_nonsense_is_made_anew_or_does_no_harm() {
    let scene = Scene::new();
    put(&scene.source().join("after"), b"after");
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..16_u64 {
        let place = random.u64(..1000);
        let length = [1, 16, 4096, 20_000][usize::try_from(round % 4).unwrap()];
        let harm = |path: &Path| {
            let mut bytes = std::fs::read(path).unwrap();
            let from = bytes.len() * usize::try_from(place).unwrap() / 1000;
            let until = bytes.len().min(from + length);
            bytes[from..until].copy_from_slice(&noise(round, until - from));
            std::fs::write(path, bytes).unwrap();
        };
        use_damaged(&scene, harm, &format!("round {round}: {length} bytes at {place} ‰"));
    }
}
