//! Databases that are written to while they are read: every copy is one moment between two commits.
//!
//! Each test runs writers as processes, takes the database over and over, and checks every copy.
//! `STASH_TEST_SQLITE_ROUNDS` says how often for each (default 12).
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    reason = "a test stops where things are not as they should be"
)]

mod common_sqlite;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use common_sqlite::{Orders, Writer, create, take_to, verify};
use stash::files::sqlite::Method;

#[test]
fn writer_process() {
    common_sqlite::writer_process();
}

fn rounds() -> u64 {
    std::env::var("STASH_TEST_SQLITE_ROUNDS").map_or(12, |text| text.parse().unwrap())
}

/// Small: about 400 KB. Large: above what is read at once in rollback mode.
const SMALL: (u32, u32) = (800, 400);
const LARGE: (u32, u32) = (1_500, 3_500);

/// What a scene may come to.
struct Tally {
    methods: BTreeMap<String, u64>,
    tries: u64,
}

/// Takes the database again and again while `writers` write; checks every copy.
fn storm(path: &Path, writers: &mut [Writer], rounds: u64, tally: &mut Tally) {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    let committed = |writers: &[Writer]| writers.iter().map(Writer::committed).max().unwrap();
    for _ in 0..rounds {
        let before = committed(writers);
        let (method, doubt) = take_to(path, &copy, &mut tally.tries);
        let after = committed(writers);
        assert_eq!(doubt, None);
        match verify(&copy) {
            Ok(number) => {
                // A commit may be made and not noted yet, by each writer.
                assert!(
                    (before..=after + writers.len() as u64).contains(&number),
                    "{method:?}: commit {number}, but {before} before and {after} after"
                );
            }
            Err(problem) => {
                panic!("{method:?}: {problem}");
            }
        }
        *tally.methods.entry(format!("{method:?}")).or_default() += 1;
    }
}

/// Runs a storm with writers that all have the same orders but for what `change` does.
fn scene(
    name: &str,
    size: (u32, u32),
    pragmas: &str,
    count: u32,
    change: impl Fn(u32, &mut Orders),
) -> Tally {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.vscdb");
    create(&path, pragmas, size.0, size.1);
    let mut writers: Vec<Writer> = (0..count)
        .map(|number| {
            let mut orders = Orders::new(&path, pragmas);
            orders.number = number;
            change(number, &mut orders);
            Writer::start(&orders)
        })
        .collect();
    writers[0].wait_for(20);
    let mut tally = Tally { methods: BTreeMap::new(), tries: 0 };
    let rounds = rounds();
    storm(&path, &mut writers, rounds, &mut tally);
    let (commits, failures) = (writers[0].committed(), writers[0].failures());
    eprintln!(
        "{name}: {rounds} copies in {} tries, {commits} commits, {failures} failures, {:?}",
        tally.tries, tally.methods
    );
    assert_eq!(failures, 0, "the writer was refused");
    for mut writer in writers {
        writer.stop();
    }
    tally
}

const WAL: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;";

#[test]
fn wal_with_automatic_checkpoints() {
    let pragmas = format!("{WAL} PRAGMA wal_autocheckpoint = 50;");
    scene("wal, auto", SMALL, &pragmas, 2, |_, _| {});
}

#[test]
fn wal_with_synchronous_off() {
    let pragmas = "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;";
    scene("wal, synchronous off", LARGE, pragmas, 1, |_, _| {});
}

fn checkpoint_storm(kind: &str) {
    scene(&format!("wal, {kind}"), SMALL, WAL, 3, |number, orders| {
        orders.now_and_then = format!("PRAGMA wal_checkpoint({kind})");
        orders.only_statement = number == 2;
        orders.every = 7;
        orders.pause = Duration::from_micros(if number == 2 { 300 } else { 0 });
    });
}

#[test]
fn wal_in_a_storm_of_passive_checkpoints() {
    checkpoint_storm("PASSIVE");
}

#[test]
fn wal_in_a_storm_of_restarts() {
    checkpoint_storm("RESTART");
}

#[test]
fn wal_in_a_storm_of_truncations() {
    checkpoint_storm("TRUNCATE");
}

#[test]
fn wal_that_is_opened_and_closed_all_the_time() {
    let tally = scene("wal, reopened", SMALL, WAL, 1, |_, orders| {
        orders.reopen = 3;
        orders.pause = Duration::from_millis(2);
    });
    assert!(!tally.methods.contains_key("Raw"));
}

#[test]
fn wal_while_it_is_vacuumed() {
    scene("wal, vacuum", LARGE, WAL, 1, |_, orders| {
        orders.now_and_then = "VACUUM".into();
        orders.every = 10;
    });
}

#[test]
fn wal_whose_writer_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("killed.db");
    create(&path, WAL, SMALL.0, SMALL.1);
    let mut tally = Tally { methods: BTreeMap::new(), tries: 0 };
    for _ in 0..rounds() / 3 {
        let mut writers = [Writer::start(&Orders::new(&path, WAL))];
        writers[0].wait_for(3 + fastrand::u64(..100));
        storm(&path, &mut writers, 1, &mut tally);
        writers[0].kill();
        storm(&path, &mut writers, 2, &mut tally);
    }
    eprintln!("wal, killed: {:?} in {} tries", tally.methods, tally.tries);
    assert!(tally.methods.contains_key("StablePair"));
}

fn rollback(mode: &str, size: (u32, u32)) -> Tally {
    let pragmas = format!("PRAGMA journal_mode = {mode}; PRAGMA synchronous = OFF;");
    scene(&format!("{mode}, {size:?}"), size, &pragmas, 1, |_, orders| {
        orders.pause = Duration::from_millis(3);
    })
}

#[test]
fn rollback_journals_of_every_kind() {
    for mode in ["DELETE", "TRUNCATE", "PERSIST", "MEMORY", "OFF"] {
        let tally = rollback(mode, SMALL);
        assert!(tally.methods.keys().eq(["Shared"]), "{:?}", tally.methods);
    }
}

#[test]
fn rollback_journals_of_every_kind_in_larger_files() {
    for mode in ["DELETE", "TRUNCATE", "PERSIST"] {
        rollback(mode, LARGE);
    }
}

#[test]
fn rollback_mode_while_it_is_vacuumed() {
    let pragmas = "PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF;";
    scene("delete, vacuum", LARGE, pragmas, 1, |_, orders| {
        orders.now_and_then = "VACUUM".into();
        orders.every = 10;
        orders.pause = Duration::from_millis(2);
    });
}

#[test]
fn rollback_mode_whose_writer_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("killed.db");
    // A cache of few pages makes a large transaction spill into the file before it commits.
    let pragmas = "PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL; PRAGMA cache_size = 5;";
    create(&path, pragmas, LARGE.0, LARGE.1);
    let mut tally = Tally { methods: BTreeMap::new(), tries: 0 };
    for _ in 0..rounds() / 3 {
        let mut orders = Orders::new(&path, pragmas);
        orders.pause = Duration::from_micros(500);
        let mut writers = [Writer::start(&orders)];
        writers[0].wait_for(3 + fastrand::u64(..30));
        storm(&path, &mut writers, 1, &mut tally);
        writers[0].kill();
        storm(&path, &mut writers, 2, &mut tally);
    }
    eprintln!("delete, killed: {:?} in {} tries", tally.methods, tally.tries);
}

#[test]
fn the_sqlite_built_in_is_new_enough() {
    assert!(rusqlite::version_number() >= stash::files::sqlite::OLDEST_SQLITE);
    assert_ne!(Method::Raw, Method::Immutable);
}
