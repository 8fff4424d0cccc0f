//! Pruning: what no snapshot needs goes, in its time, and nothing else ever does.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops where things are not as they should be"
)]

mod common_engine;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use common_engine::timed::{HOUR, World, assert_restores};
use common_engine::{backup_options, noise, open_fresh};
use stash::engine::backup::backup;
use stash::engine::prune::PruneOptions;
use stash::engine::repair::repair_index;
use stash::error::Kind;
use stash::event::{Counters, Event, Reporter};
use stash::format::record::MarkKind;
use stash::store::{ObjectName, Prefix};
use stash::time::{Clock, Timestamp};

/// Two snapshots that share some files and not others.
fn two_snapshots(world: &World) -> [stash::id::SnapshotId; 2] {
    let machine = world.machine("one");
    for number in 0..6 {
        machine.put(&format!("shared/{number}"), noise(number, 300_000));
    }
    machine.put("only-first", noise(100, 2_000_000));
    let first = machine.save();
    std::fs::remove_file(machine.source.join("only-first")).unwrap();
    machine.put("only-second", noise(101, 2_000_000));
    world.pass(HOUR);
    let second = machine.save();
    [first, second]
}

#[test]
fn alone_a_forgotten_snapshot_frees_its_space_at_once_and_the_others_stay() {
    let world = World::new();
    let [first, second] = two_snapshots(&world);
    let before = world.stored_bytes();
    let machine = world.machine("one");
    machine.forget(first);
    let report = machine.prune_alone();
    assert_eq!(report.snapshots, 1);
    assert!(report.deleted_bytes > 2_000_000, "{report:?}");
    assert!(world.stored_bytes() < before - 1_900_000);
    assert_restores(&world, &[second]);
    let again = machine.prune_alone();
    assert_eq!((again.deleted_objects, again.repacked_objects), (0, 0), "nothing is left to do");
    assert_eq!(again.bytes, world.stored_bytes(), "and a run that finds nothing writes nothing");
}

#[test]
fn with_others_about_an_object_is_condemned_first_and_swept_when_the_grace_is_over() {
    let world = World::new();
    let [first, second] = two_snapshots(&world);
    let machine = world.machine("one");
    machine.forget(first);
    world.pass(71 * HOUR);
    let early = machine.prune();
    assert_eq!(early.condemned_objects, 0, "what was forgotten stays live for 72 hours");
    world.pass(2 * HOUR);
    let condemned = machine.prune();
    assert!(condemned.condemned_objects > 0 && condemned.deleted_objects == 0, "{condemned:?}");
    assert_restores(&world, &[second]);
    world.pass(71 * HOUR);
    let waits = machine.prune();
    assert_eq!(waits.deleted_objects, 0);
    assert_eq!(waits.waiting_objects, condemned.condemned_objects);
    world.pass(2 * HOUR);
    let before = world.stored_bytes();
    let swept = machine.prune();
    assert_eq!(swept.deleted_objects, condemned.condemned_objects);
    assert!(world.stored_bytes() < before - 1_900_000);
    assert_restores(&world, &[second]);
}

#[test]
fn a_forget_that_is_taken_back_in_time_loses_nothing() {
    let world = World::new();
    let [first, second] = two_snapshots(&world);
    let machine = world.machine("one");
    machine.forget(first);
    world.pass(59 * HOUR);
    machine.prune();
    machine.mark(first, MarkKind::Unforget);
    for _ in 0..5 {
        world.pass(80 * HOUR);
        machine.prune();
    }
    assert_restores(&world, &[first, second]);
}

#[test]
fn what_a_writer_relied_on_unseen_is_rescued_before_it_is_swept() {
    let world = World::new();
    let [first, second] = two_snapshots(&world);
    let machine = world.machine("one");
    // It has seen the log as it is now.
    let other = world.machine("two");
    other.put("borrowed", noise(100, 2_000_000));
    machine.forget(first);
    world.pass(73 * HOUR);
    // Its record arrives after the condemnation, without having seen it.
    let world_ref = &world;
    let borrowed = std::thread::scope(|scope| {
        scope
            .spawn(|| {
                let store =
                    common_engine::stores::TestStore::recording(Arc::clone(&world_ref.inner) as _);
                let slow = world_ref.machine_over("two", &store.store());
                let name = world_ref.folder.path().to_owned();
                let (inner, now) = (Arc::clone(&world_ref.inner), world_ref.time());
                store.before_record(move || {
                    let store = stash::store::Store::from_object_store(inner as _, "timed");
                    let places = common_engine::folders(&name.join("one"));
                    let pruner = common_engine::open(&store, &places).unwrap();
                    let report = stash::engine::prune::prune(
                        &pruner,
                        &PruneOptions::default(),
                        &common_engine::TestClock(now),
                        &Counters::default(),
                        &stash::event::Silent,
                    )
                    .unwrap();
                    assert!(report.condemned_objects > 0);
                });
                slow.save()
            })
            .join()
            .unwrap()
    });
    drop(machine);
    let machine = world.machine("one");
    world.pass(73 * HOUR);
    let swept = machine.prune();
    assert!(swept.rescued_blobs > 0, "{swept:?}");
    assert!(swept.deleted_objects > 0);
    assert_restores(&world, &[second, borrowed]);
}

#[test]
fn doubts_stop_a_prune_and_it_says_how_to_go_on() {
    let world = World::new();
    let [first, _] = two_snapshots(&world);
    let machine = world.machine("one");
    machine.forget(first);
    // A pack is gone that no sweep named.
    let packs = world.store.list(Prefix::Packs).unwrap();
    let gone = world.store.get(&packs[0].name).unwrap().unwrap();
    let raw = object_store::path::Path::from(packs[0].name.to_string());
    let inner: &dyn object_store::ObjectStore = &*world.inner;
    futures_executor::block_on(object_store::ObjectStoreExt::delete(inner, &raw)).unwrap();
    let error = machine.prune_with(&PruneOptions { alone: true, ..PruneOptions::default() });
    let error = error.unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged);
    assert!(error.to_string().contains("gone"), "{error}");
    assert!(error.hint_text().unwrap().contains("nothing was deleted"));
    world.store.put(packs[0].name.clone(), &[gone]).unwrap();
    // Another repository lies in the same place.
    let header = ObjectName::Repository(stash::codec::crypto::object_hash(b"x"));
    world.store.put(header.clone(), &[b"x".as_slice().into()]).unwrap();
    let error = machine.prune_with(&PruneOptions::default()).unwrap_err();
    assert!(error.to_string().contains("two repositories"), "{error}");
}

/// Removes an object behind everyone's back.
fn remove(world: &World, name: &ObjectName) {
    let raw = object_store::path::Path::from(name.to_string());
    let inner: &dyn object_store::ObjectStore = &*world.inner;
    futures_executor::block_on(object_store::ObjectStoreExt::delete(inner, &raw)).unwrap();
}

#[test]
fn without_a_segment_the_records_are_read_and_nothing_is_deleted() {
    let world = World::new();
    let [first, second] = two_snapshots(&world);
    let machine = world.machine("one");
    world.pass(100 * HOUR);
    machine.prune_with(&PruneOptions { checkpoint_records: 1, ..PruneOptions::default() }).unwrap();
    let segments = world.store.list(Prefix::Index).unwrap();
    assert_eq!(segments.len(), 1, "there is a checkpoint");
    remove(&world, &segments[0].name);
    assert_restores(&world, &[first, second]);
    let fresh = open_fresh(&world.store);
    assert_eq!(fresh.resync().unwrap().unsupported.len(), 1, "and it is told");
    let other = world.machine("two");
    other.put("new", noise(7, 300_000));
    let third = other.save();
    assert_restores(&world, &[third]);
    let error = machine.prune_with(&PruneOptions::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged);
    assert!(error.to_string().contains(&segments[0].name.to_string()), "{error}");
    let (now, counters) = (Timestamp(world.time()), Counters::default());
    repair_index(&machine.repository, false, now, &counters).unwrap();
    for _ in 0..4 {
        world.pass(100 * HOUR);
        let options = PruneOptions { checkpoint_records: 1, ..PruneOptions::default() };
        machine.prune_with(&options).unwrap();
        assert_restores(&world, &[first, second, third]);
    }
    assert!(open_fresh(&world.store).resync().unwrap().unsupported.is_empty(), "it is replaced");
}

/// The world's time.
struct WorldClock(Arc<AtomicI64>);

impl Clock for WorldClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }

    fn boot_nanoseconds(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Does something when the first item was dealt with.
struct Meanwhile<F> {
    has_acted: AtomicBool,
    act: F,
}

impl<F: Fn() + Send + Sync> Reporter for Meanwhile<F> {
    fn event(&self, event: &Event<'_>) {
        if matches!(event, Event::Item { .. }) && !self.has_acted.swap(true, Ordering::SeqCst) {
            (self.act)();
        }
    }
}

#[test]
fn a_run_that_slept_while_its_parent_was_forgotten_and_swept_stores_everything_anew() {
    let world = World::new();
    let machine = world.machine("one");
    for number in 0..4 {
        machine.put(&format!("file-{number}"), noise(number, 500_000));
    }
    let first = machine.save();
    world.pass(HOUR);
    let mut options = backup_options(&[&machine.source]);
    (options.host, options.always) = ("one".to_owned(), true);
    let act = || {
        let other = world.machine("two");
        other.forget(first);
        world.pass(73 * HOUR);
        assert!(other.prune().condemned_objects > 0);
        world.pass(73 * HOUR);
        assert!(other.prune().deleted_objects > 0);
    };
    let meanwhile = Meanwhile { has_acted: AtomicBool::new(false), act };
    let clock = WorldClock(Arc::clone(&world.now));
    let counters = Counters::default();
    let report = backup(&machine.repository, &options, &clock, &counters, &meanwhile).unwrap();
    assert!(meanwhile.has_acted.load(Ordering::SeqCst));
    let id = report.snapshot.unwrap();
    common_engine::copy_folder(
        &machine.source,
        &world.folder.path().join("copies").join(id.to_string()),
    );
    assert_restores(&world, &[id]);
}

#[test]
fn one_who_backed_up_after_a_condemnation_that_another_made_is_not_late() {
    let world = World::new();
    let [first, second] = two_snapshots(&world);
    let pruner = world.machine("one");
    pruner.forget(first);
    world.pass(73 * HOUR);
    assert!(pruner.prune().condemned_objects > 0);
    // Its newest record is one of `log/s` now.
    let third = pruner.save();
    let other = world.machine("two");
    other.put("new", noise(7, 300_000));
    let fourth = other.save();
    world.pass(73 * HOUR);
    let swept = pruner.prune();
    assert!(swept.deleted_objects > 0);
    assert_eq!((swept.late_records, swept.broken_records), (0, 0));
    assert_restores(&world, &[second, third, fourth]);
}
