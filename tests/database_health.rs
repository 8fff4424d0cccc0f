//! A database that is damaged at its source is saved all the same, and said to be damaged.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops where things are not as they should be"
)]

mod common_engine;

use std::path::Path;

use common_engine::{LATER, Notes, SECOND, TestClock, backup_options, folders, init, put};
use rusqlite::Connection;
use stash::engine::backup::{BackupOptions, BackupReport, backup};
use stash::event::Counters;
use stash::repository::Repository;
use stash::store::Store;

const WEEK: i64 = 7 * 24 * 3600 * SECOND;

fn save(repository: &Repository, source: &Path, now: i64) -> (BackupReport, Vec<String>) {
    let options = BackupOptions { check_databases_after: Some(WEEK), ..backup_options(&[source]) };
    let notes = Notes::default();
    let report =
        backup(repository, &options, &TestClock(now), &Counters::default(), &notes).unwrap();
    (report, notes.take())
}

/// Damages a page in the middle, or makes it whole again.
fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let place = bytes.len() / 2 / 4096 * 4096;
    bytes[place..place + 8].iter_mut().for_each(|byte| *byte ^= 0xff);
    put(path, bytes);
}

fn add(path: &Path) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch("INSERT INTO other VALUES ('more')").unwrap();
}

#[test]
fn damage_is_found_once_a_week_and_told_until_it_is_mended() {
    for mode in ["DELETE", "WAL"] {
        let base = tempfile::tempdir().unwrap();
        let source = base.path().join("source");
        std::fs::create_dir(&source).unwrap();
        let path = source.join("state.db");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(&format!(
                "PRAGMA journal_mode = {mode}; CREATE TABLE turn (text TEXT); \
                 CREATE TABLE other (text TEXT); \
                 WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9000) \
                 INSERT INTO turn SELECT printf('turn %d', i) FROM n"
            ))
            .unwrap();
        drop(connection);
        let repository = init(&Store::memory(), &folders(base.path()));
        // A first backup is not held up.
        assert!(save(&repository, &source, LATER).1.is_empty());
        add(&path);
        assert!(save(&repository, &source, LATER + WEEK).1.is_empty());
        flip(&path);
        let (report, notes) = save(&repository, &source, LATER + WEEK + SECOND);
        assert!(report.snapshot.is_some() && notes.is_empty(), "{mode}: {notes:?}");
        add(&path);
        let (report, notes) = save(&repository, &source, LATER + 2 * WEEK);
        assert_eq!((report.snapshot.is_some(), report.statistics.errors), (true, 1));
        assert!(notes[0].contains("state.db") && notes[0].contains("damaged"), "{notes:?}");
        // Unchanged, it is told again, but is no failure.
        let (report, notes) = save(&repository, &source, LATER + 2 * WEEK + SECOND);
        assert_eq!((report.snapshot, report.statistics.errors), (None, 0));
        let sound = stash::time::Timestamp(LATER + WEEK).to_rfc3339();
        assert!(notes[0].contains(&sound), "{notes:?}");
        flip(&path);
        let (report, notes) = save(&repository, &source, LATER + 2 * WEEK + 2 * SECOND);
        assert!(report.snapshot.is_some() && notes.is_empty(), "{notes:?}");
    }
}
