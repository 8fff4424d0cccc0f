//! A backup that takes over what has not changed comes to the same trees as one that reads all.
//!
//! Random edits; after each round an ordinary run and then a forced one. Trees are named by their
//! content, so equal roots mean equal trees, down to the last node.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops where things are not as they should be"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stash::codec::Compression;
use stash::codec::crypto::{Key, SlotSecret};
use stash::engine::backup::{AgentSources, BackupOptions, BackupReport, backup};
use stash::event::{Counters, Silent};
use stash::files::{ExcludeOptions, Excludes};
use stash::repository::snapshots::SnapshotFilter;
use stash::repository::{InitOptions, LocalFolders, Repository};
use stash::store::Store;
use stash::time::{Clock, SECOND, Timestamp};

/// An hour past the files' times, so that the rule for recent ones does not hide what is tested.
struct LateClock;

impl Clock for LateClock {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Timestamp(i64::try_from(since.as_nanos()).unwrap() + 3600 * SECOND)
    }
    fn boot_nanoseconds(&self) -> i64 {
        0
    }
}

fn run(repository: &Repository, source: &Path, force: bool) -> BackupReport {
    let options = BackupOptions {
        paths: vec![source.to_owned()],
        agents: AgentSources::default(),
        excludes: Arc::new(Excludes::new(&ExcludeOptions::default()).unwrap()),
        host: "test".into(),
        user: "test".into(),
        job: "test".into(),
        tags: Vec::new(),
        time: None,
        offset_minutes: 0,
        force,
        always: true,
        is_safety: false,
        dry_run: false,
        compression: Compression::Fast,
        threads: 2,
        check_databases_after: None,
        observer: None,
        temporary_folder: std::env::temp_dir(),
    };
    backup(repository, &options, &LateClock, &Counters::default(), &Silent).unwrap()
}

struct Tree {
    random: fastrand::Rng,
    root: PathBuf,
}

impl Tree {
    fn folders(&self) -> Vec<PathBuf> {
        let mut found = vec![self.root.clone()];
        let mut next = 0;
        while next < found.len() {
            for entry in std::fs::read_dir(&found[next]).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    found.push(entry.path());
                }
            }
            next += 1;
        }
        found
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for folder in self.folders() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_file() {
                    found.push(entry.path());
                }
            }
        }
        found.sort();
        found
    }

    fn pick(&mut self, mut paths: Vec<PathBuf>) -> Option<PathBuf> {
        paths.sort();
        (!paths.is_empty()).then(|| paths[self.random.usize(..paths.len())].clone())
    }

    fn write(&mut self, path: &Path) {
        let length = match self.random.u8(..4) {
            0 => self.random.usize(..64),
            1 => self.random.usize(900..1200),
            2 => self.random.usize(..20_000),
            _ => self.random.usize(..400_000),
        };
        let byte = self.random.u8(..);
        std::fs::write(path, vec![byte; length]).unwrap();
    }

    fn edit(&mut self) {
        let folders = self.folders();
        let folder = self.pick(folders).unwrap();
        let name = format!("n{}", self.random.u16(..2000));
        let fresh = folder.join(name);
        let files = self.files();
        let victim = self.pick(files);
        match (self.random.u8(..12), victim) {
            (0..=3, _) if !fresh.exists() => self.write(&fresh),
            (4, _) if !fresh.exists() => std::fs::create_dir(&fresh).unwrap(),
            (5, _) if !fresh.exists() => {
                // Many files at once, so that directories outgrow their node and are cut.
                std::fs::create_dir(&fresh).unwrap();
                for number in 0..self.random.usize(..900) {
                    std::fs::write(fresh.join(format!("many-{number}")), b"x").unwrap();
                }
            }
            (6..=7, Some(file)) => self.write(&file),
            (8, Some(file)) => std::fs::remove_file(file).unwrap(),
            (9, Some(file)) if !fresh.exists() => std::fs::rename(file, fresh).unwrap(),
            (10, Some(file)) if !fresh.exists() => std::fs::hard_link(file, fresh).unwrap(),
            (11, _) if folder != self.root => {
                use std::os::unix::fs::PermissionsExt as _;
                let mode = if self.random.bool() { 0o755 } else { 0o711 };
                std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).unwrap();
            }
            _ => {}
        }
    }
}

#[test]
fn what_is_taken_over_comes_to_the_same_trees_as_what_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path();
    let root = base.join("source");
    std::fs::create_dir(&root).unwrap();
    let local = LocalFolders { cache: Some(base.join("cache")), state: Some(base.join("state")) };
    let slots = [(SlotSecret::Device(Key([9; 32])), "test".to_owned())];
    let options = InitOptions::default();
    let repository =
        Repository::init(&Store::memory(), &options, &slots, Timestamp(1), &local).unwrap();
    let mut tree = Tree { random: fastrand::Rng::with_seed(11), root: root.clone() };
    let mut taken_over = 0;
    for round in 0..60 {
        for _ in 0..tree.random.usize(..6) {
            tree.edit();
        }
        // The clock that files are stamped with ticks every few milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(15));
        let report = run(&repository, &root, false);
        taken_over += report.files_unchanged;
        run(&repository, &root, true);
        let entries = repository.snapshots(&SnapshotFilter::default()).unwrap();
        let [.., ordinary, forced] = entries.as_slice() else { panic!("two snapshots") };
        assert_eq!(ordinary.snapshot.roots, forced.snapshot.roots, "round {round}");
        let counted = |entry: &stash::repository::cache::SnapshotEntry| {
            let statistics = &entry.snapshot.statistics;
            (statistics.files, statistics.directories, statistics.bytes)
        };
        assert_eq!(counted(ordinary), counted(forced), "round {round}");
    }
    assert!(taken_over > 1000, "{taken_over}");
}
