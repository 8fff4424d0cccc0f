//! Others go on while a purge or a repair looks: what they took away is not relied on.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use stash::engine::check::ReadData;
use stash::engine::prune::{Accepted, Brake, PruneOptions, prune};
use stash::engine::purge::{Purge, purge};
use stash::engine::repair::{RepairSnapshotsOptions, repair_snapshots};
use stash::error::Kind;
use stash::event::{Counters, Silent};
use stash::format::record::MarkKind;
use stash::id::SnapshotId;
use stash::repository::reader::BlobReader;
use stash::store::{ObjectName, Prefix};
use stash::time::{Clock, Timestamp};

use crate::common_engine::stores::TestStore;
use crate::common_engine::timed::{HOUR, Machine, World, assert_restores};
use crate::common_engine::{TestClock, latest, noise, open, snapshots};

type Hook<'h> = Box<dyn FnOnce() -> i64 + Send + 'h>;

/// A clock that jumps when it is asked for the n-th time; what happens meanwhile happens then.
struct JumpingClock<'h> {
    now: AtomicI64,
    asked: AtomicUsize,
    jumps_at: usize,
    hook: Mutex<Option<Hook<'h>>>,
}

impl Clock for JumpingClock<'_> {
    fn now(&self) -> Timestamp {
        if self.asked.fetch_add(1, Ordering::SeqCst) + 1 == self.jumps_at {
            let hook = self.hook.lock().unwrap().take().unwrap();
            self.now.store(hook(), Ordering::SeqCst);
        }
        Timestamp(self.now.load(Ordering::SeqCst))
    }
    fn boot_nanoseconds(&self) -> i64 {
        self.now().0
    }
}

/// One snapshot with something to purge and something to keep, of which a machine forgets the first while
/// the other purges it, and prunes `prunes` times.
fn frozen(prunes: usize) -> (World, stash::error::Result<()>, usize) {
    let world = World::new();
    let machine = world.machine("one");
    machine.put("kept", noise(1, 400_000));
    machine.put("small", "do not keep this");
    let first: SnapshotId = machine.save();
    world.pass(HOUR);
    let entries = snapshots(&machine.repository);
    let what = Purge::Paths(vec![machine.source.join("small").to_str().unwrap().into()]);
    let other = world.machine("two");
    let hook = || {
        other.mark(first, MarkKind::Forget);
        for _ in 0..prunes {
            world.pass(73 * HOUR);
            let clock = TestClock(world.time());
            let counters = Counters::default();
            prune(&other.repository, &PruneOptions::default(), &clock, &counters, &Silent).unwrap();
        }
        world.time()
    };
    let clock = JumpingClock {
        now: AtomicI64::new(world.time()),
        asked: AtomicUsize::new(0),
        // The run asks twice when it begins.
        jumps_at: 3,
        hook: Mutex::new(Some(Box::new(hook))),
    };
    let before = world.store.list(Prefix::Log).unwrap().len();
    let result = purge(&machine.repository, &entries, &what, &clock, &Counters::default(), &Silent)
        .map(drop);
    assert!(clock.hook.lock().unwrap().is_none(), "the clock never jumped");
    drop(clock);
    drop((machine, other));
    (world, result, before)
}

#[test]
fn a_purge_that_slept_through_a_condemnation_publishes_nothing() {
    for prunes in [1, 2] {
        let (world, result, _) = frozen(prunes);
        let error = result.expect_err("what the new snapshot would need is about to go");
        assert_eq!(error.kind(), Kind::Busy, "{error}");
        let folders = crate::common_engine::folders(&world.folder.path().join("three"));
        let fresh = open(&world.store, &folders).unwrap();
        assert!(snapshots(&fresh).is_empty(), "{prunes}");
    }
}

#[test]
fn a_purge_that_slept_while_nothing_happened_goes_on() {
    let (world, result, before) = frozen(0);
    result.unwrap();
    assert!(world.store.list(Prefix::Log).unwrap().len() > before);
    world.pass(HOUR);
    let machine = world.machine("one");
    std::fs::remove_file(machine.source.join("small")).unwrap();
    let saved = machine.save();
    assert_restores(&world, &[saved]);
}

/// What was condemned before the run began, and without having read the snapshot's record.
#[test]
fn a_snapshot_that_needs_what_is_about_to_go_is_not_built_upon() {
    let world = World::new();
    let machine = world.machine("one");
    machine.put("kept", noise(1, 400_000));
    machine.put("small", "do not keep this");
    let first = machine.save();
    world.pass(HOUR);
    let other = world.machine("two");
    machine.forget(first);
    world.pass(73 * HOUR);
    // The other goes by what it read before, and stores nothing of what both have.
    other.put("kept", noise(1, 400_000));
    other.put("small", "do not keep this");
    let store = TestStore::recording(std::sync::Arc::clone(&world.inner) as _);
    let slow = world.machine_over("two", &store.store());
    let (inner, now) = (std::sync::Arc::clone(&world.inner), world.time());
    let places = crate::common_engine::folders(&world.folder.path().join("one"));
    store.before_record(move || {
        let store = stash::store::Store::from_object_store(inner as _, "timed");
        let pruner = open(&store, &places).unwrap();
        let (options, clock) = (PruneOptions::default(), TestClock(now));
        let report = prune(&pruner, &options, &clock, &Counters::default(), &Silent).unwrap();
        assert!(report.condemned_objects > 0);
    });
    slow.save();
    let machine = world.machine("one");
    let entries = snapshots(&machine.repository);
    assert_eq!(entries.len(), 1);
    let what = Purge::Paths(vec![slow.source.join("small").to_str().unwrap().into()]);
    let run = || {
        let (clock, counters) = (TestClock(world.time()), Counters::default());
        machine.repository.sync().unwrap();
        purge(&machine.repository, &entries, &what, &clock, &counters, &Silent)
    };
    let error = run().expect_err("what it needs is condemned");
    assert_eq!(error.kind(), Kind::Busy, "{error}");
    assert!(error.hint_text().unwrap().contains("stash prune"));
    // The next prune stores it anew.
    assert!(machine.prune().rescued_blobs > 0);
    assert_eq!(run().unwrap().snapshots.len(), 1);
}

/// The same for a repair.
#[test]
fn a_repair_that_slept_through_a_condemnation_publishes_nothing() {
    let world = World::new();
    let machine = world.machine("one");
    machine.put("kept", noise(1, 400_000));
    machine.save();
    world.pass(HOUR);
    machine.put("lost", noise(2, 400_000));
    let second = machine.save();
    world.pass(HOUR);
    machine.put("more", noise(3, 400_000));
    let third = machine.save();
    world.pass(HOUR);
    let path = object_store::path::Path::from(pack_of(&machine, "lost").to_string());
    let inner: &dyn object_store::ObjectStore = &*world.inner;
    futures_executor::block_on(object_store::ObjectStoreExt::delete(inner, &path)).unwrap();
    let other = world.machine("two");
    let hook = || {
        other.mark(second, MarkKind::Forget);
        other.mark(third, MarkKind::Forget);
        world.pass(73 * HOUR);
        let accepted = Accepted([Brake::Vanished, Brake::Lost].into_iter().collect());
        let options = PruneOptions { accepted, ..PruneOptions::default() };
        let (clock, counters) = (TestClock(world.time()), Counters::default());
        let report = prune(&other.repository, &options, &clock, &counters, &Silent).unwrap();
        assert!(report.condemned_objects > 0, "{report:?}");
        world.time()
    };
    let clock = JumpingClock {
        now: AtomicI64::new(world.time()),
        asked: AtomicUsize::new(0),
        // Twice when it begins, and once for the check.
        jumps_at: 4,
        hook: Mutex::new(Some(Box::new(hook))),
    };
    let options = RepairSnapshotsOptions {
        read_data: ReadData::All,
        threads: 1,
        ..RepairSnapshotsOptions::default()
    };
    let counters = Counters::default();
    let result = repair_snapshots(&machine.repository, &options, &clock, &counters, &Silent);
    assert!(clock.hook.lock().unwrap().is_none(), "the clock never jumped");
    assert_eq!(result.unwrap_err().kind(), Kind::Busy);
}

/// Returns the pack that holds a file of the newest snapshot.
fn pack_of(machine: &Machine<'_>, file: &str) -> ObjectName {
    let entry = latest(&machine.repository);
    let mut reader = BlobReader::new(&machine.repository).unwrap();
    let mut nodes = reader.nodes(&entry.snapshot.roots[0].node.subtree);
    while let Some(node) = nodes.next(&mut reader).unwrap() {
        if node.name.0 == file.as_bytes() {
            let id = reader.data_blobs(&node).unwrap()[0];
            return machine.repository.cache().places(&id).unwrap()[0].object.clone();
        }
    }
    panic!("no such file");
}
