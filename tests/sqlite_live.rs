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

/// Reads all there is, 4 MiB at a time; returns how many bytes.
fn drain(mut source: impl std::io::Read) -> u64 {
    let mut buffer = vec![0; 4 << 20];
    let mut sum = 0;
    loop {
        match source.read(&mut buffer).unwrap() {
            0 => return sum,
            count => sum += count as u64,
        }
    }
}

fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: 0 kB");
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// `cargo test --release --test sqlite_live measure -- --ignored --nocapture`
#[test]
#[ignore = "a measurement: takes a minute and 3 GiB of disk"]
fn measure_reading_a_gibibyte_that_is_written_to() {
    for (name, pragmas, pause) in [
        ("wal", WAL, 300),
        (
            "wal, checkpoints every 100 pages",
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 100;",
            300,
        ),
        (
            "wal, log of 500,000 pages",
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 500000;",
            0,
        ),
        ("delete", "PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF;", 3_000),
    ] {
        measure(name, pragmas, Duration::from_micros(pause));
    }
    eprintln!("peak memory {} KiB", peak_memory_kib());
}

fn measure(name: &str, pragmas: &str, pause: Duration) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.db");
    create(&path, pragmas, 260_000, 3_900);
    let mut orders = Orders::new(&path, pragmas);
    orders.pause = pause;
    orders.longest_log = 4 << 30;
    let mut writer = Writer::start(&orders);
    writer.wait_for(2_000);
    std::thread::sleep(Duration::from_secs(3));
    writer.forget_stalls();
    let (began, before) = (std::time::Instant::now(), writer.committed());
    std::thread::sleep(Duration::from_secs(3));
    let rate = |began: std::time::Instant, before| {
        (writer.committed() - before) as f64 / began.elapsed().as_secs_f64()
    };
    eprintln!(
        "{name}: alone {:.0} transactions/s, longest {:?}",
        rate(began, before),
        writer.longest_stall()
    );
    let speed =
        |bytes: u64, began: std::time::Instant| bytes as f64 / 1e9 / began.elapsed().as_secs_f64();
    let (mut plain, mut own) = (Vec::new(), Vec::new());
    writer.forget_stalls();
    let (all, before) = (std::time::Instant::now(), writer.committed());
    let mut methods = BTreeMap::new();
    for _ in 0..15 {
        let began = std::time::Instant::now();
        plain.push(speed(drain(std::fs::File::open(&path).unwrap()), began));
        for attempt in 0.. {
            let began = std::time::Instant::now();
            let options = common_sqlite::options(folder.path(), attempt);
            let mut taken = stash::files::sqlite::take(&path, &options).unwrap();
            let opened = began.elapsed();
            let bytes = drain(&mut taken);
            let key = format!("{:?}", taken.method());
            let done = taken.finish().is_ok();
            let entry = methods.entry(key).or_insert((0, Duration::ZERO));
            *entry = (entry.0 + 1, entry.1.max(opened));
            if done {
                own.push(speed(bytes, began));
                break;
            }
        }
    }
    plain.sort_by(f64::total_cmp);
    own.sort_by(f64::total_cmp);
    let wal = std::fs::metadata(folder.path().join("large.db-wal")).map_or(0, |it| it.len());
    eprintln!(
        "{name}: plain {:.2} GB/s ({:.2} to {:.2}), taken {:.2} GB/s ({:.2} to {:.2}): {:.2}; \
         {:.0} transactions/s, longest {:?}; log {} MB; methods, longest opening {methods:?}; {} failures",
        plain[7],
        plain[0],
        plain[14],
        own[7],
        own[0],
        own[14],
        own[7] / plain[7],
        rate(all, before),
        writer.longest_stall(),
        wal / 1_000_000,
        writer.failures(),
    );
    writer.stop();
}
