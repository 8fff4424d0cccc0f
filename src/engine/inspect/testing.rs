//! A folder, a repository in memory, and backups of the one into the other.
#![expect(clippy::disallowed_methods, reason = "test code owns its folder")]

use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::codec::Compression;
use crate::codec::crypto::{Key, SlotSecret};
use crate::engine::backup::{AgentSources, BackupOptions, backup};
use crate::event::{Counters, Silent};
use crate::files::{ExcludeOptions, Excludes};
use crate::format::record::Snapshot;
use crate::repository::cache::SnapshotEntry;
use crate::repository::reader::BlobReader;
use crate::repository::snapshots::SnapshotFilter;
use crate::repository::{InitOptions, LocalFolders, Repository};
use crate::store::Store;
use crate::time::{Clock, SECOND, Timestamp};

/// A clock that goes on by a minute whenever it is looked at.
struct Minutes(AtomicI64);

impl Clock for Minutes {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.fetch_add(60 * SECOND, Ordering::Relaxed))
    }

    fn boot_nanoseconds(&self) -> i64 {
        0
    }
}

pub(super) struct Fixture {
    folder: tempfile::TempDir,
    pub(super) repository: Repository,
    clock: Minutes,
}

impl Fixture {
    pub(super) fn new() -> Self {
        let secret = SlotSecret::Device(Key([1; 32]));
        let repository = Repository::init(
            &Store::memory(),
            &InitOptions { window: 1 << 40, grace: 1 << 50, ..InitOptions::default() },
            &[(secret, String::new())],
            Timestamp(0),
            &LocalFolders::default(),
        )
        .unwrap();
        let clock = Minutes(AtomicI64::new(SECOND));
        Fixture { folder: tempfile::tempdir().unwrap(), repository, clock }
    }

    pub(super) fn path(&self, relative: &str) -> PathBuf {
        if relative.is_empty() {
            self.folder.path().into()
        } else {
            self.folder.path().join(relative)
        }
    }

    pub(super) fn place(&self, relative: &str) -> Vec<u8> {
        self.path(relative).as_os_str().as_bytes().to_vec()
    }

    /// Returns a path of the folder without the folder's own.
    pub(super) fn relative(&self, path: &[u8]) -> String {
        let path = path.strip_prefix(self.place("").as_slice()).unwrap();
        String::from_utf8(path.strip_prefix(b"/").unwrap_or(path).to_vec()).unwrap()
    }

    pub(super) fn write(&self, relative: &str, bytes: &[u8]) {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub(super) fn remove(&self, relative: &str) {
        let path = self.path(relative);
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        } else {
            std::fs::remove_file(path).unwrap();
        }
    }

    /// Backs the folder up; returns the newest snapshot.
    pub(super) fn backup(&self) -> Snapshot {
        let options = BackupOptions {
            paths: vec![self.path("")],
            agents: AgentSources::default(),
            excludes: Arc::new(Excludes::new(&ExcludeOptions::default()).unwrap()),
            host: "host".into(),
            user: "user".into(),
            job: "job".into(),
            tags: Vec::new(),
            time: None,
            offset_minutes: 0,
            force: true,
            always: true,
            is_safety: false,
            dry_run: false,
            compression: Compression::Auto,
            threads: 2,
            check_databases_after: None,
            observer: None,
            temporary_folder: std::env::temp_dir(),
        };
        backup(&self.repository, &options, &self.clock, &Counters::default(), &Silent).unwrap();
        self.entries().pop().unwrap().snapshot
    }

    /// Returns all snapshots, oldest first.
    pub(super) fn entries(&self) -> Vec<SnapshotEntry> {
        self.repository.snapshots(&SnapshotFilter::default()).unwrap()
    }

    pub(super) fn reader(&self) -> BlobReader<'_> {
        BlobReader::new(&self.repository).unwrap()
    }
}
