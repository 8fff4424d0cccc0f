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
use stash::codec::delta::encode_delta;
use stash::engine::backup::backup;
use stash::engine::prune::{Limit, PruneOptions};
use stash::engine::repair::repair_index;
use stash::error::Kind;
use stash::event::{Counters, Event, Reporter};
use stash::format::pack::{BlobKind, UnitForm};
use stash::format::record::{MarkKind, Partial};
use stash::id::ObjectHash;
use stash::repository::Repository;
use stash::repository::container::PlainUnit;
use stash::repository::log::RecordParts;
use stash::repository::reader::BlobReader;
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
    // Which of the packs it is decides whether a folder can be read any more.
    let text = error.to_string();
    assert!(text.contains("gone") || text.contains("missing"), "{error}");
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

fn thorough() -> PruneOptions {
    PruneOptions { max_unused: Limit::Bytes(0), checkpoint_records: 1, ..PruneOptions::default() }
}

/// What comes late is measured by them: a checkpoint may cover them, and they stay all the same.
#[test]
fn the_newest_condemnation_and_its_sweep_are_there_after_a_checkpoint_covers_them() {
    let world = World::new();
    let [first, second] = two_snapshots(&world);
    let machine = world.machine("one");
    machine.forget(first);
    for _ in 0..2 {
        world.pass(73 * HOUR);
        machine.prune();
    }
    let log = world.store.list(Prefix::GlobalLog).unwrap().into_iter();
    let decisions: Vec<_> = log
        .filter(|row| {
            let kind = |name: &stash::store::RecordName| name.kind.clone();
            matches!(&row.name, ObjectName::Record(name) if ["condemn", "sweep"].contains(&&*kind(name)))
        })
        .map(|row| row.name.hash())
        .collect();
    assert_eq!(decisions.len(), 2);
    // Old enough to be condemned, and the sweep is younger than a grace.
    world.pass(50 * HOUR);
    machine.prune_with(&thorough()).unwrap();
    let fresh = open_fresh(&world.store);
    let (covered, condemned) =
        (fresh.cache().covered().unwrap(), fresh.cache().condemned().unwrap());
    assert!(!condemned.is_empty(), "other records that it covers go");
    for decision in &decisions {
        assert!(covered.contains(decision) && !condemned.contains_key(decision));
    }
    for _ in 0..8 {
        world.pass(80 * HOUR);
        machine.prune_with(&thorough()).unwrap();
    }
    let listed = world.store.list(Prefix::GlobalLog).unwrap();
    let stays = |hash: &ObjectHash| listed.iter().any(|row| row.name.hash() == *hash);
    assert!(!decisions.iter().any(stays), "newer ones have taken their place");
    assert_restores(&world, &[second]);
}

/// A run that has published a difference does not look at its base again.
#[test]
fn what_an_unfinished_runs_differences_stand_on_stays_as_long_as_they_do() {
    let world = World::new();
    let [first, _] = two_snapshots(&world);
    let machine = world.machine("one");
    let repository = &machine.repository;
    let cache = repository.cache();
    // A blob that only the first snapshot has.
    let node = first_file(repository, first, "only-first");
    let mut reader = BlobReader::new(repository).unwrap();
    let base = reader.data_blobs(&node).unwrap()[0];
    let old = reader.load(BlobKind::Data, &base).unwrap();
    let mut plain = old.clone();
    plain[17] ^= 1;
    let id = repository.keys().blob_id(BlobKind::Data, &plain);
    let unit = PlainUnit {
        kind: BlobKind::Data,
        form: UnitForm::Delta,
        payload: encode_delta(&plain, &old, 3).unwrap(),
        blobs: vec![(id, plain.len() as u64)],
        bases: vec![base],
        depth: 1,
    };
    let partial = Partial { started: world.time(), job: "test".into(), ..Partial::default() };
    let parts =
        RecordParts { partial: Some(partial), inline: vec![unit], ..RecordParts::default() };
    repository.append(parts, Timestamp(world.time())).unwrap();
    machine.forget(first);
    for _ in 0..3 {
        world.pass(73 * HOUR);
        machine.prune_with(&thorough()).unwrap();
        machine.repository.sync().unwrap();
        assert!(cache.stands(&id).unwrap());
        let mut reader = BlobReader::new(repository).unwrap();
        assert!(reader.load(BlobKind::Data, &id).unwrap() == plain);
    }
    for _ in 0..4 {
        world.pass(100 * HOUR);
        machine.prune_with(&thorough()).unwrap();
    }
    assert!(cache.places(&base).unwrap().is_empty(), "after 14 days nothing is kept for it");
}

/// Returns a file at the top of a snapshot.
fn first_file(
    repository: &Repository,
    snapshot: stash::id::SnapshotId,
    name: &str,
) -> stash::format::tree::Node {
    let entries = repository.cached_snapshots().unwrap();
    let entry = entries.into_iter().find(|entry| entry.id == snapshot).unwrap();
    let mut reader = BlobReader::new(repository).unwrap();
    let mut nodes = reader.nodes(&entry.snapshot.roots[0].node.subtree);
    while let Some(node) = nodes.next(&mut reader).unwrap() {
        if node.name.0 == name.as_bytes() {
            return node;
        }
    }
    panic!("no such file");
}

/// What was to be deleted and is still there does not come back into the index.
#[test]
fn a_swept_pack_that_is_still_there_is_not_put_into_the_index_again() {
    let world = World::new();
    let [first, second] = two_snapshots(&world);
    let machine = world.machine("one");
    let packs = |store: &stash::store::Store| store.list(Prefix::Packs).unwrap();
    let before: Vec<_> = packs(&world.store)
        .into_iter()
        .map(|row| (row.name.clone(), world.store.get(&row.name).unwrap().unwrap()))
        .collect();
    machine.forget(first);
    machine.prune_alone();
    let after: Vec<_> = packs(&world.store).into_iter().map(|row| row.name).collect();
    let swept: Vec<_> = before.into_iter().filter(|(name, _)| !after.contains(name)).collect();
    assert!(!swept.is_empty());
    for (name, bytes) in &swept {
        world.store.put(name.clone(), std::slice::from_ref(bytes)).unwrap();
    }
    let now = Timestamp(world.time());
    let report = repair_index(&machine.repository, false, now, &Counters::default()).unwrap();
    assert_eq!(report.packs_added, 0, "{report:?}");
    machine.prune_alone();
    assert_eq!(packs(&world.store).len(), after.len(), "the next prune deletes it");
    assert_restores(&world, &[second]);
}

/// It covers nothing but the checkpoint before it, and keeps none of its segments.
#[test]
fn a_checkpoint_that_only_writes_segments_anew_holds_all_that_lives() {
    let world = World::new();
    let [first, second] = two_snapshots(&world);
    let machine = world.machine("one");
    machine.forget(first);
    world.pass(HOUR);
    let covers = PruneOptions { checkpoint_records: 1, ..PruneOptions::default() };
    machine.prune_with(&covers).unwrap();
    let segments = || -> Vec<ObjectHash> {
        world.store.list(Prefix::Index).unwrap().iter().map(|row| row.name.hash()).collect()
    };
    let before = segments();
    world.pass(72 * HOUR);
    let thorough = PruneOptions { thorough: true, ..PruneOptions::default() };
    machine.prune_with(&thorough).unwrap();
    assert!(segments().len() > before.len());
    assert_restores(&world, &[second]);
    for _ in 0..2 {
        world.pass(72 * HOUR);
        machine.prune_with(&thorough).unwrap();
        assert_restores(&world, &[second]);
    }
    assert!(!segments().iter().any(|segment| before.contains(segment)));
}
