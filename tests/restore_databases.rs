//! Databases are put back whole: without an old log beside them, and under nobody's feet.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops where things are not as they should be"
)]

mod common_engine;
mod common_sqlite;

use std::path::{Path, PathBuf};

use common_engine::{
    LATER, Notes, folders, init, latest, put, restore_options, restore_with, save, snapshots,
};
use common_sqlite::Holder;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use stash::engine::restore::{Destination, RestoreOptions, RestoreReport, restore};
use stash::event::Counters;
use stash::repository::Repository;
use stash::store::Store;

/// Runs only as a child of the tests below.
#[test]
fn holder_process() {
    common_sqlite::holder_process();
}

struct Scene {
    base: tempfile::TempDir,
    repository: Repository,
}

impl Scene {
    fn new() -> Scene {
        let base = tempfile::tempdir().unwrap();
        let repository = init(&Store::memory(), &folders(base.path()));
        std::fs::create_dir(base.path().join("source")).unwrap();
        Scene { base, repository }
    }

    fn source(&self) -> PathBuf {
        self.base.path().join("source")
    }

    fn database(&self) -> PathBuf {
        self.source().join("state.db")
    }

    fn save(&self, moment: i64) {
        save(&self.repository, &self.source(), LATER + moment).unwrap();
    }

    /// Puts the oldest snapshot back in place.
    fn restore_oldest(&self, verify: bool) -> (RestoreReport, Vec<String>) {
        let oldest = snapshots(&self.repository).remove(0);
        let options = RestoreOptions {
            destination: Destination::InPlace,
            verify,
            ..restore_options(Path::new("/"))
        };
        let notes = Notes::default();
        let snapshot = &oldest.snapshot;
        let report =
            restore(&self.repository, snapshot, &options, &Counters::default(), &notes).unwrap();
        (report, notes.take())
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.source()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Runs statements and leaves the log as it is.
fn run(path: &Path, statements: &str) {
    let connection = Connection::open(path).unwrap();
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    connection.execute_batch(statements).unwrap();
}

fn count(path: &Path) -> i64 {
    let connection = Connection::open(path).unwrap();
    connection.query_row("SELECT COUNT(*) FROM turn", [], |row| row.get(0)).unwrap()
}

const MAKE: &str = "PRAGMA journal_mode = WAL; CREATE TABLE turn (text TEXT); \
                    INSERT INTO turn VALUES ('one'); PRAGMA wal_checkpoint(TRUNCATE)";
const ADD: &str = "INSERT INTO turn VALUES ('another')";

#[test]
fn newer_commits_in_a_log_do_not_survive_a_restore() {
    let scene = Scene::new();
    run(&scene.database(), MAKE);
    scene.save(0);
    // The file itself stays as it was saved: only the log knows of these.
    let before = std::fs::read(scene.database()).unwrap();
    run(&scene.database(), ADD);
    assert_eq!(std::fs::read(scene.database()).unwrap(), before);
    assert_eq!(scene.names(), ["state.db", "state.db-shm", "state.db-wal"]);
    let (report, notes) = scene.restore_oldest(true);
    assert_eq!((report.failed, report.files_overwritten), (0, 1), "{notes:?}");
    assert_eq!(scene.names(), ["state.db"]);
    assert_eq!(count(&scene.database()), 1);
}

#[test]
fn a_log_without_its_database_does_not_meet_the_restored_one() {
    let scene = Scene::new();
    run(&scene.database(), MAKE);
    scene.save(0);
    run(&scene.database(), ADD);
    std::fs::remove_file(scene.database()).unwrap();
    let (report, notes) = scene.restore_oldest(true);
    assert_eq!((report.failed, report.files_created), (0, 1), "{notes:?}");
    assert_eq!(count(&scene.database()), 1);
}

#[test]
fn what_was_committed_to_the_log_comes_back_in_the_database() {
    let scene = Scene::new();
    run(&scene.database(), MAKE);
    run(&scene.database(), ADD);
    scene.save(0);
    let out = scene.base.path().join("out");
    let entry = latest(&scene.repository);
    restore_with(
        &scene.repository,
        &entry,
        &RestoreOptions { verify: true, ..restore_options(&out) },
    );
    let names: Vec<_> = std::fs::read_dir(out.join("source")).unwrap().collect();
    assert_eq!(names.len(), 1);
    assert_eq!(count(&out.join("source/state.db")), 2);
}

#[test]
fn a_database_that_is_open_elsewhere_is_left_alone() {
    for statements in ["PRAGMA journal_mode = WAL; SELECT COUNT(*) FROM turn", "BEGIN IMMEDIATE"] {
        let scene = Scene::new();
        run(&scene.database(), MAKE);
        if statements.starts_with("BEGIN") {
            run(&scene.database(), "PRAGMA journal_mode = DELETE");
        }
        scene.save(0);
        run(&scene.database(), ADD);
        put(&scene.source().join("beside"), "new");
        scene.save(1);
        let holder = Holder::start(&scene.database(), statements);
        let (report, notes) = scene.restore_oldest(false);
        assert_eq!(report.failed, 1);
        let pid = format!("process {}", holder.pid());
        assert!(notes[0].contains(&pid) && notes[0].contains("state.db"), "{notes:?}");
        drop(holder);
        assert_eq!(count(&scene.database()), 2);
    }
}

#[test]
fn a_damaged_database_is_restored_and_said_to_be_damaged() {
    let scene = Scene::new();
    run(&scene.database(), "CREATE TABLE turn (text TEXT); CREATE INDEX by_text ON turn (text)");
    run(
        &scene.database(),
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) \
         INSERT INTO turn SELECT printf('turn %d', i) FROM n",
    );
    let mut bytes = std::fs::read(scene.database()).unwrap();
    let last = bytes.len() - 4096;
    bytes[last..last + 8].fill(0xff);
    put(&scene.database(), &bytes);
    scene.save(0);
    std::fs::remove_file(scene.database()).unwrap();
    let (report, notes) = scene.restore_oldest(true);
    assert_eq!((report.failed, report.files_created), (1, 1));
    assert!(notes[0].contains("integrity check"), "{notes:?}");
    assert!(std::fs::read(scene.database()).unwrap() == bytes);
}
