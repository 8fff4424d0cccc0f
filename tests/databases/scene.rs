//! A folder with databases, a repository that counts, and what came of each run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::memory::InMemory;
use rusqlite::Connection;
use stash::engine::backup::{AgentSources, BackupOptions, BackupReport, backup};
use stash::engine::browse::find;
use stash::event::Counters;
use stash::files::{ExcludeOptions, Excludes};
use stash::format::tree::{Capture, Node};
use stash::repository::Repository;
use stash::repository::cache::SnapshotEntry;
use stash::repository::reader::BlobReader;
use stash::time::Clock;

use crate::common_engine::stores::{Call, TestStore};
use crate::common_engine::{
    LATER, Notes, SECOND, TestClock, backup_options, folders, init, latest, open_fresh, restored,
};
use crate::common_sqlite::WallClock;

/// One transaction, or a part of one.
pub(crate) const COMMIT: &str = "SAVEPOINT it; UPDATE last SET number = number + 1;
    INSERT INTO log SELECT number, 1, 2, 'by hand' FROM last; RELEASE it;";

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Saved {
    pub(crate) report: BackupReport,
    /// What was told.
    pub(crate) notes: Vec<String>,
    /// The length of each object stored.
    pub(crate) puts: Vec<u64>,
}

impl Saved {
    /// Returns itself, if nothing went wrong.
    #[track_caller]
    pub(crate) fn cleanly(self) -> Saved {
        assert_eq!((self.report.statistics.errors, &*self.notes), (0, &[][..]));
        self
    }

    /// Returns itself, if so many items went wrong.
    #[track_caller]
    pub(crate) fn with_errors(self, count: u64) -> Saved {
        assert_eq!(self.report.statistics.errors, count, "{:#?}", self.notes);
        self
    }

    /// Returns the bytes of everything stored.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.puts.iter().sum()
    }
}

/// A snapshot's `source`, restored as a machine does that has never seen the repository.
pub(crate) struct Restored {
    _folder: tempfile::TempDir,
    pub(crate) path: PathBuf,
}

impl Restored {
    /// Returns the names in it.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        names(&self.path)
    }
}

/// A folder `source`, which is saved.
pub(crate) struct Scene {
    base: tempfile::TempDir,
    source: PathBuf,
    store: Arc<TestStore>,
    pub(crate) repository: Repository,
    /// Runs at moments long after everything was written.
    runs: std::cell::Cell<i64>,
}

impl Scene {
    pub(crate) fn new() -> Scene {
        let base = tempfile::tempdir().unwrap();
        let source = base.path().join("source");
        std::fs::create_dir(&source).unwrap();
        Scene::in_folder(base, source)
    }

    /// Saves a folder that is there.
    pub(crate) fn of(source: &Path) -> Scene {
        Scene::in_folder(tempfile::tempdir().unwrap(), source.to_owned())
    }

    fn in_folder(base: tempfile::TempDir, source: PathBuf) -> Scene {
        let store = TestStore::recording(Arc::new(InMemory::new()));
        let repository = init(&store.store(), &folders(base.path()));
        Scene { base, source, store, repository, runs: std::cell::Cell::new(0) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.source.join(name)
    }

    /// Returns a path beside the folder that is saved.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    fn options(&self) -> BackupOptions {
        // Writers say beside their database how far they are.
        let excludes =
            ExcludeOptions { exclude: vec!["*.notes?".into()], ..ExcludeOptions::default() };
        BackupOptions {
            agents: AgentSources::default(),
            excludes: Arc::new(Excludes::new(&excludes).unwrap()),
            temporary_folder: self.base.path().to_owned(),
            ..backup_options(&[&self.source])
        }
    }

    fn run(&self, options: &BackupOptions, clock: &dyn Clock) -> Saved {
        self.store.take();
        let notes = Notes::default();
        let report =
            backup(&self.repository, options, clock, &Counters::default(), &notes).unwrap();
        let puts = self.store.take().into_iter().filter_map(|call| match call {
            Call::Put(_, length) => Some(length),
            _ => None,
        });
        Saved { report, notes: notes.take(), puts: puts.collect() }
    }

    /// Saves the folder at a moment when everything in it has settled.
    pub(crate) fn save(&self) -> Saved {
        self.runs.set(self.runs.get() + 1);
        self.run(&self.options(), &TestClock(LATER + self.runs.get() * SECOND))
    }

    /// Saves the folder now; there is a snapshot even if nothing has changed.
    pub(crate) fn save_now(&self) -> Saved {
        let options = BackupOptions { always: true, ..self.options() };
        self.run(&options, &WallClock)
    }

    pub(crate) fn latest(&self) -> SnapshotEntry {
        latest(&self.repository)
    }

    pub(crate) fn restore(&self, entry: &SnapshotEntry) -> Restored {
        let folder = tempfile::tempdir().unwrap();
        let fresh = open_fresh(self.repository.store());
        restored(&fresh, entry, folder.path());
        let path = folder.path().join(self.source.file_name().unwrap());
        Restored { path, _folder: folder }
    }

    pub(crate) fn restore_latest(&self) -> Restored {
        self.restore(&self.latest())
    }

    /// Returns what a snapshot says of an item.
    pub(crate) fn node(&self, entry: &SnapshotEntry, name: &str) -> Node {
        let mut reader = BlobReader::new(&self.repository).unwrap();
        let path = self.path(name);
        let path = path.to_str().unwrap().as_bytes();
        find(&mut reader, &entry.snapshot, path).unwrap().pop().unwrap().node
    }

    /// Says how an item of the latest snapshot was read.
    #[track_caller]
    pub(crate) fn assert_capture(&self, name: &str, capture: Capture) {
        assert_eq!(self.node(&self.latest(), name).capture, capture as u64, "{name}");
    }
}

/// Returns the names in a folder.
pub(crate) fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Runs statements and closes, without carrying the log into the file where there is one.
pub(crate) fn commit(path: &Path, statements: &str) {
    let connection = Connection::open(path).unwrap();
    let option = rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    connection.set_db_config(option, true).unwrap();
    connection.execute_batch(statements).unwrap();
}

/// Runs statements and closes as programs do.
pub(crate) fn run_sql(path: &Path, statements: &str) {
    Connection::open(path).unwrap().execute_batch(statements).unwrap();
}
