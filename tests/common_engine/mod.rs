//! What the tests of whole operations share: clocks, options, trees to compare, stores in the way.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "each test takes what it needs, and stops where things are not as they should be"
)]

pub mod stores;
pub mod timed;
pub mod trees;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stash::codec::Compression;
use stash::codec::crypto::{Key, SlotSecret};
use stash::engine::backup::{AgentSources, BackupOptions, BackupReport, backup};
use stash::engine::restore::{
    Destination, Overwrite, PathFilter, RestoreOptions, RestoreReport, restore,
};
use stash::error::Result;
use stash::event::{Counters, Event, Reporter, Silent};
use stash::files::{ApplyOptions, ExcludeOptions, Excludes};
use stash::repository::cache::SnapshotEntry;
use stash::repository::snapshots::SnapshotFilter;
use stash::repository::{InitOptions, LocalFolders, LockedRepository, Repository};
use stash::store::Store;
use stash::time::{Clock, Timestamp};

/// A moment long after every file of a test was made: what is read then counts as settled.
pub const LATER: i64 = 4_000_000_000 * 1_000_000_000;
/// A second in nanoseconds.
pub const SECOND: i64 = 1_000_000_000;

/// A clock that stands still.
pub struct TestClock(pub i64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0)
    }
    fn boot_nanoseconds(&self) -> i64 {
        self.0
    }
}

/// Keeps what it is told.
#[derive(Default)]
pub struct Notes(pub std::sync::Mutex<Vec<String>>);

impl Reporter for Notes {
    fn event(&self, event: &Event<'_>) {
        let line = match event {
            Event::Item { .. } => return,
            Event::ItemFailed { path, error } => {
                format!("{}: {error}", String::from_utf8_lossy(path))
            }
            Event::Warning { message } => (*message).to_owned(),
        };
        self.0.lock().unwrap().push(line);
    }
}

impl Notes {
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

pub fn secret() -> SlotSecret {
    SlotSecret::Device(Key([9; 32]))
}

pub fn folders(base: &Path) -> LocalFolders {
    LocalFolders { cache: Some(base.join("cache")), state: Some(base.join("state")) }
}

pub fn init(store: &Store, folders: &LocalFolders) -> Repository {
    let slots = [(secret(), "test".to_owned())];
    Repository::init(store, &InitOptions::default(), &slots, Timestamp(1), folders).unwrap()
}

/// Opens a repository and takes in its log.
pub fn open(store: &Store, folders: &LocalFolders) -> Result<Repository> {
    let repository = LockedRepository::find(store.clone(), None)?.unlock(&secret(), folders)?;
    repository.sync()?;
    Ok(repository)
}

/// Opens a repository as a machine does that has never seen it.
pub fn open_fresh(store: &Store) -> Repository {
    let repository = LockedRepository::find(store.clone(), None)
        .unwrap()
        .unlock(&secret(), &LocalFolders::default())
        .unwrap();
    let damaged = repository.sync().unwrap().damaged;
    assert!(damaged.is_empty(), "{damaged:?}");
    repository
}

pub fn backup_options(paths: &[&Path]) -> BackupOptions {
    BackupOptions {
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        agents: AgentSources::default(),
        excludes: Arc::new(Excludes::new(&ExcludeOptions::default()).unwrap()),
        host: "test".into(),
        user: "test".into(),
        job: "test".into(),
        tags: Vec::new(),
        time: None,
        offset_minutes: 0,
        force: false,
        always: false,
        is_safety: false,
        dry_run: false,
        compression: Compression::Fast,
        threads: 3,
        check_databases_after: None,
        observer: None,
        temporary_folder: std::env::temp_dir(),
    }
}

/// Backs up one path at a moment.
pub fn save(repository: &Repository, source: &Path, now: i64) -> Result<BackupReport> {
    save_with(repository, &backup_options(&[source]), now)
}

pub fn save_with(
    repository: &Repository,
    options: &BackupOptions,
    now: i64,
) -> Result<BackupReport> {
    backup(repository, options, &TestClock(now), &Counters::default(), &Silent)
}

pub fn restore_options(into: &Path) -> RestoreOptions {
    RestoreOptions {
        destination: Destination::Folder(into.to_owned()),
        path: Vec::new(),
        filter: PathFilter::default(),
        overwrite: Overwrite::default(),
        keeps_longer: false,
        delete: false,
        verify: false,
        salvage: false,
        with_absent: false,
        dry_run: false,
        apply: ApplyOptions::default(),
        threads: 2,
    }
}

/// Returns the snapshots, the oldest first.
pub fn snapshots(repository: &Repository) -> Vec<SnapshotEntry> {
    let mut entries = repository.snapshots(&SnapshotFilter::default()).unwrap();
    entries.sort_by_key(|entry| (entry.snapshot.time, entry.snapshot.written));
    entries
}

pub fn latest(repository: &Repository) -> SnapshotEntry {
    snapshots(repository).pop().unwrap()
}

/// Restores with nothing failing, and returns what was done.
pub fn restore_with(
    repository: &Repository,
    entry: &SnapshotEntry,
    options: &RestoreOptions,
) -> RestoreReport {
    let notes = Notes::default();
    let report =
        restore(repository, &entry.snapshot, options, &Counters::default(), &notes).unwrap();
    assert_eq!((report.failed, report.metadata_failed), (0, 0), "{:#?}", notes.take());
    report
}

/// Restores a snapshot of a folder named `source`; returns where that lies now.
pub fn restored(repository: &Repository, entry: &SnapshotEntry, into: &Path) -> PathBuf {
    restore_with(repository, entry, &restore_options(into));
    into.join("source")
}

/// Bytes that no compressor makes smaller.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Writes a file, with the folders that lead to it.
pub fn put(path: &Path, bytes: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// Copies a folder of plain files.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
