//! What a backup cleans up by itself: little and often, within its bounds, and nothing else.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_wrap,
    reason = "a test stops where things are not as they should be"
)]

mod common_engine;
#[path = "maintenance/death.rs"]
mod death;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use common_engine::stores::TestStore;
use common_engine::timed::{HOUR, Machine, World, assert_restores};
use common_engine::{SECOND, TestClock, noise, open_fresh, snapshots};
use stash::engine::maintenance::{Due, Maintained, MaintenanceOptions, due, maintain};
use stash::engine::mark::unforget_mark;
use stash::engine::prune::PruneReport;
use stash::error::{Kind, Result};
use stash::event::{Counters, Silent};
use stash::id::SnapshotId;
use stash::store::Prefix;
use stash::time::{Clock, Timestamp};

const ALL: Due = Due { checkpoint: true, space: true };

fn alone() -> MaintenanceOptions {
    MaintenanceOptions { alone: true, ..MaintenanceOptions::default() }
}

fn ask(machine: &Machine<'_>) -> Due {
    let now = Timestamp(machine.world.time());
    due(&machine.repository, &MaintenanceOptions::default(), now).unwrap()
}

fn run(machine: &Machine<'_>, due: Due, options: &MaintenanceOptions) -> Result<Maintained> {
    let clock = TestClock(machine.world.time());
    run_by(machine, due, options, &clock, &AtomicBool::new(false))
}

fn run_by(
    machine: &Machine<'_>,
    due: Due,
    options: &MaintenanceOptions,
    clock: &dyn Clock,
    stop: &AtomicBool,
) -> Result<Maintained> {
    let counters = Counters::default();
    maintain(&machine.repository, due, options, clock, &counters, stop, &Silent)
}

fn done(maintained: Result<Maintained>) -> PruneReport {
    match maintained.unwrap() {
        Maintained::Done(report) => report,
        other => panic!("{other:?}"),
    }
}

/// What a backup does when it is done.
fn after_backup(machine: &Machine<'_>) -> Option<PruneReport> {
    let due = ask(machine);
    due.is_something().then(|| done(run(machine, due, &MaintenanceOptions::default())))
}

/// A machine that saves each hour and keeps the newest fifty.
struct Hourly<'w> {
    machine: Machine<'w>,
    kept: Vec<SnapshotId>,
    forgotten: Vec<(i64, SnapshotId)>,
    runs: Vec<i64>,
}

impl<'w> Hourly<'w> {
    fn new(world: &'w World, name: &str) -> Hourly<'w> {
        let machine = world.machine(name);
        machine.put("large", noise(name.len() as u64, 400_000));
        Hourly { machine, kept: Vec::new(), forgotten: Vec::new(), runs: Vec::new() }
    }

    fn hour(&mut self, number: u64) {
        let now = self.machine.world.time();
        self.machine.put(&format!("file-{}", number % 9), noise(number, 20_000));
        self.kept.push(self.machine.save());
        if self.kept.len() > 50 {
            let oldest = self.kept.remove(0);
            self.machine.forget(oldest);
            self.forgotten.push((now, oldest));
        }
        if after_backup(&self.machine).is_some() {
            self.runs.push(now);
        }
    }

    /// Snapshots that must restore: those that are kept, and those that can be brought back.
    fn promised(&self) -> Vec<SnapshotId> {
        let now = self.machine.world.time();
        let returns = self.forgotten.iter().filter(|(since, _)| now - since < 60 * HOUR);
        self.kept.iter().copied().chain(returns.map(|(_, id)| *id)).collect()
    }
}

#[test]
fn hourly_backups_of_two_machines_stay_small_and_whole_for_months() {
    let world = World::new();
    let mut machines = [Hourly::new(&world, "one"), Hourly::new(&world, "second")];
    let mut sizes = Vec::new();
    let mut most = 0;
    for hour in 0..hours() {
        world.pass(HOUR);
        machines[0].hour(hour);
        // The other one sleeps at night.
        if hour % 24 < 14 {
            world.pass(60 * SECOND);
            machines[1].hour(1000 + hour);
        }
        if hour % 24 == 23 {
            let fresh = open_fresh(&world.store);
            let clutter = fresh.clutter(Timestamp(world.time())).unwrap();
            most = most.max(clutter.uncovered_records);
            sizes.push(world.stored_bytes());
        }
    }
    println!("at most {most} uncovered records; stored bytes by day: {sizes:?}");
    assert!(most < 320, "{most} uncovered records");
    // About 110 living snapshots of 20 KB each, and two files: it does not grow any more.
    let (middle, end) = (sizes[sizes.len() / 2 + 2], sizes[sizes.len() - 1]);
    assert!(end < middle + middle / 4, "{sizes:?}");
    for machine in &machines {
        assert_restores(&world, &machine.promised());
        let gaps = machine.runs.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.min().is_none_or(|gap| gap >= 24 * HOUR), "{:?}", machine.runs);
    }
    // One of them does it, and goes on doing it.
    let runs: Vec<usize> = machines.iter().map(|machine| machine.runs.len()).collect();
    assert!(runs.iter().max().unwrap() > &8 && runs.iter().min().unwrap() < &3, "{runs:?}");
}

#[test]
fn looking_whether_it_is_time_asks_nothing_of_the_store() {
    let world = World::new();
    let store = TestStore::recording(Arc::clone(&world.inner) as _);
    let machine = world.machine_over("one", &store.store());
    for number in 0..5 {
        machine.put("file", noise(number, 30_000));
        machine.save();
    }
    let forgotten = snapshots(&machine.repository)[0].id;
    machine.forget(forgotten);
    for _ in 0..71 {
        world.pass(HOUR);
        store.take();
        assert_eq!(ask(&machine), Due::default());
        assert_eq!(store.take(), []);
    }
    // Once an hour is enough.
    world.pass(2 * HOUR);
    assert_eq!(ask(&machine), Due { checkpoint: false, space: true });
    assert_eq!(ask(&machine), Due::default());
    assert_eq!(store.take(), []);
}

#[test]
fn what_is_forgotten_can_be_brought_back_though_a_machine_alone_could_free_it() {
    let world = World::new();
    let machine = world.machine("one");
    machine.put("only-first", noise(1, 2_000_000));
    let first = machine.save();
    machine.put("only-first", noise(2, 2_000_000));
    let second = machine.save();
    machine.put("only-first", noise(3, 2_000_000));
    let third = machine.save();
    machine.forget(first);
    world.pass(59 * HOUR);
    machine.forget(second);
    let report = done(run(&machine, ALL, &alone()));
    assert_eq!((report.deleted_objects, report.snapshots), (0, 3), "{report:?}");
    world.pass(14 * HOUR);
    let report = done(run(&machine, ALL, &alone()));
    assert!(report.deleted_bytes > 1_900_000, "{report:?}");
    // The sweep came after the second was forgotten, and freed nothing of it.
    let entries = machine.repository.cached_snapshots().unwrap();
    let entry = entries.iter().find(|entry| entry.id == second).unwrap();
    let now = Timestamp(world.time());
    assert!(unforget_mark(&machine.repository, entry, now).unwrap().is_some());
    assert_restores(&world, &[second, third]);
}

#[test]
fn a_doubt_is_handed_back_and_nothing_is_deleted() {
    let world = World::new();
    let machine = world.machine("one");
    machine.put("large", noise(1, 3_000_000));
    let first = machine.save();
    machine.put("large", noise(2, 3_000_000));
    let second = machine.save();
    machine.forget(first);
    world.pass(80 * HOUR);
    let packs = world.store.list(Prefix::Packs).unwrap();
    let stored = world.store.get(&packs[0].name).unwrap().unwrap();
    let raw = object_store::path::Path::from(packs[0].name.to_string());
    let inner: &dyn object_store::ObjectStore = &*world.inner;
    futures_executor::block_on(object_store::ObjectStoreExt::delete(inner, &raw)).unwrap();
    let before = world.stored_bytes();
    match run(&machine, ALL, &alone()).unwrap() {
        Maintained::Stopped(error) => assert_eq!(error.kind(), Kind::Damaged, "{error}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(world.stored_bytes(), before);
    // It is not tried again at the next backup, but the next day.
    assert_eq!(ask(&machine), Due::default());
    world.store.put(packs[0].name.clone(), &[stored]).unwrap();
    world.pass(25 * HOUR);
    assert!(done(run(&machine, ALL, &alone())).deleted_objects > 0);
    assert_restores(&world, &[second]);
}

/// A clock of which some time goes by at each look.
struct Hasty(i64, AtomicI64);

impl Clock for Hasty {
    fn now(&self) -> Timestamp {
        Timestamp(self.0)
    }
    fn boot_nanoseconds(&self) -> i64 {
        self.1.fetch_add(SECOND, Ordering::SeqCst)
    }
}

#[test]
fn it_ends_when_its_time_is_over_or_the_user_stops_it() {
    let world = World::new();
    let machine = world.machine("one");
    for number in 0..400 {
        machine.put(&format!("{number}/file"), noise(number, 4_000));
    }
    let first = machine.save();
    machine.put("more", noise(9, 2_000_000));
    let second = machine.save();
    machine.forget(first);
    world.pass(80 * HOUR);
    let clock = Hasty(world.time(), AtomicI64::new(0));
    let short = MaintenanceOptions { most_time: Duration::ZERO, ..alone() };
    let slow = TestStore::recording(Arc::clone(&world.inner) as _);
    let slow = world.machine_over("one", &slow.store());
    // Looked at every 20 ms: a run may be done before that.
    for _ in 0..20 {
        let stop = AtomicBool::new(false);
        run_by(&slow, ALL, &short, &clock, &stop).unwrap();
        let stop = AtomicBool::new(true);
        if let Err(error) = run_by(&slow, ALL, &alone(), &TestClock(world.time()), &stop) {
            assert_eq!(error.kind(), Kind::Interrupted);
        }
    }
    assert_restores(&world, &[second]);
}

#[test]
fn a_machine_that_may_not_prune_for_others_leaves_it_to_them() {
    let options = stash::repository::InitOptions { flags: 4, ..Default::default() };
    let world = World::with(&options);
    let machine = world.machine("one");
    machine.put("file", noise(1, 400_000));
    let first = machine.save();
    machine.put("file", noise(2, 400_000));
    machine.save();
    machine.forget(first);
    world.pass(100 * HOUR);
    assert_eq!(ask(&machine), Due::default());
    // Once somebody has said whom to trust, it is like any other.
    let told = MaintenanceOptions { trusted_lanes: Some([].into()), ..Default::default() };
    let due = due(&machine.repository, &told, Timestamp(world.time())).unwrap();
    assert!(due.space);
}

fn hours() -> u64 {
    std::env::var("STASH_HOURS").map_or(400, |text| text.parse().unwrap())
}
