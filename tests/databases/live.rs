//! Databases that are written to while backups run back to back.

use std::time::Duration;

use stash::format::tree::Capture;

use crate::common_engine::snapshots;
use crate::common_sqlite::{Orders, Writer, create, verify};
use crate::scene::Scene;

/// Accounts, and bytes of each: about 700 KB.
const SIZE: (u32, u32) = (1_200, 500);

fn rounds() -> usize {
    std::env::var("STASH_TEST_SQLITE_ROUNDS").map_or(5, |text| text.parse().unwrap())
}

/// What was committed for certain before a run, and what was noted after it.
type Span = (u64, u64);

/// Saves once while writers write.
fn save(scene: &Scene, writers: &[Writer]) -> Span {
    let committed = || writers.iter().map(Writer::committed).max().unwrap();
    let before = committed();
    scene.save_now().cleanly();
    (before, committed())
}

/// Every snapshot holds what was committed before it, nothing torn, and never less than the one
/// before it.
fn assert_prefixes(scene: &Scene, spans: &[Span], writers: u64) {
    let entries = snapshots(&scene.repository);
    assert_eq!(entries.len(), spans.len());
    let mut last = 0;
    for (entry, (before, after)) in entries.iter().zip(spans) {
        let node = scene.node(entry, "state.db");
        assert_eq!(node.capture, Capture::Consistent as u64);
        let restored = scene.restore(entry);
        assert!(restored.names().iter().eq(["state.db"]), "{:?}", restored.names());
        let number = verify(&restored.path.join("state.db")).unwrap();
        // A commit may be made and not noted yet, by each writer.
        let expected = (*before).max(last)..=after + writers;
        assert!(expected.contains(&number), "commit {number}, expected {expected:?}");
        last = number;
    }
}

/// Runs backups beside writers that all have the same orders but for what `change` does.
fn storm(name: &str, pragmas: &str, count: u32, change: impl Fn(u32, &mut Orders)) {
    let scene = Scene::new();
    let path = scene.path("state.db");
    create(&path, pragmas, SIZE.0, SIZE.1);
    let mut writers: Vec<Writer> = (0..count)
        .map(|number| {
            let mut orders = Orders::new(&path, pragmas);
            orders.number = number;
            change(number, &mut orders);
            Writer::start(&orders)
        })
        .collect();
    writers[0].wait_for(20);
    writers[0].forget_stalls();
    let spans: Vec<Span> = (0..rounds()).map(|_| save(&scene, &writers)).collect();
    let (commits, stall) = (writers[0].committed(), writers[0].longest_stall());
    let failures: u64 = writers.iter().map(Writer::failures).sum();
    writers.iter_mut().for_each(Writer::stop);
    eprintln!("{name}: {} backups, {commits} commits, longest {stall:?}", spans.len());
    assert_eq!(failures, 0, "a writer was refused");
    assert!(spans.first().unwrap().0 < spans.last().unwrap().1, "nobody wrote meanwhile");
    assert_prefixes(&scene, &spans, u64::from(count));
}

const WAL: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;";
const DELETE: &str = "PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF;";

#[test]
fn a_database_with_a_log_is_saved_as_of_one_moment() {
    storm("wal", &format!("{WAL} PRAGMA wal_autocheckpoint = 0;"), 1, |_, _| {});
}

#[test]
fn so_is_one_whose_log_is_carried_over_and_cut_all_the_time() {
    storm("wal, checkpoints", WAL, 2, |number, orders| {
        orders.pragmas += " PRAGMA wal_autocheckpoint = 40;";
        orders.now_and_then = "PRAGMA wal_checkpoint(TRUNCATE)".into();
        orders.only_statement = number == 1;
        orders.every = 11;
        orders.pause = Duration::from_micros(if number == 1 { 500 } else { 0 });
    });
}

#[test]
fn so_is_one_that_is_never_synced() {
    let pragmas = "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;";
    storm("wal, synchronous off", pragmas, 1, |_, _| {});
}

#[test]
fn so_is_one_with_a_rollback_journal() {
    storm("delete", DELETE, 1, |_, orders| orders.pause = Duration::from_millis(2));
}

/// Writers die between two backups, and in the middle of one.
fn killings(name: &str, pragmas: &str, pause: Duration) {
    let scene = Scene::new();
    let path = scene.path("state.db");
    create(&path, pragmas, SIZE.0, SIZE.1);
    let mut spans = Vec::new();
    for round in 0..rounds().div_ceil(2) {
        let mut orders = Orders::new(&path, pragmas);
        orders.pause = pause;
        let mut writers = [Writer::start(&orders)];
        writers[0].wait_for(3 + fastrand::u64(..40));
        if round % 2 == 0 {
            spans.push(save(&scene, &writers));
            writers[0].kill();
        } else {
            let before = writers[0].committed();
            let wait = Duration::from_micros(fastrand::u64(..20_000));
            std::thread::scope(|scope| {
                let writer = &mut writers[0];
                scope.spawn(move || {
                    std::thread::sleep(wait);
                    writer.kill();
                });
                scene.save_now().cleanly();
            });
            spans.push((before, writers[0].committed()));
        }
        spans.push(save(&scene, &writers));
    }
    eprintln!("{name}: {} backups", spans.len());
    assert_prefixes(&scene, &spans, 1);
}

#[test]
fn so_is_one_with_a_log_whose_writer_is_killed() {
    killings("wal, killed", WAL, Duration::ZERO);
}

#[test]
fn so_is_one_with_a_journal_whose_writer_is_killed() {
    // A cache of few pages makes a large transaction spill into the file before it commits.
    let pragmas = "PRAGMA journal_mode = DELETE; PRAGMA cache_size = 5;";
    killings("delete, killed", pragmas, Duration::from_millis(1));
}
