//! What was stored before a rotation, sealed anew.

use stash::engine::prune::{PruneOptions, PruneReport, Reseal};
use stash::id::SnapshotId;
use stash::store::ObjectName;

use crate::common_engine::noise;
use crate::common_engine::timed::{HOUR, Machine, World, assert_restores};
use crate::scene::epoch;

/// Saves twice on each of two machines, enough for packs and for records that hold data, with a
/// checkpoint in between.
fn history(world: &World) -> Vec<SnapshotId> {
    let mut snapshots = Vec::new();
    for round in 0..2_u64 {
        for name in ["one", "two"] {
            let machine = world.machine(name);
            for number in 0..5 {
                machine.put(&format!("file{number}"), noise(number + 10 * round, 700_000));
            }
            snapshots.push(machine.save());
            world.pass(HOUR);
            machine.put("small", format!("{name} {round}"));
            snapshots.push(machine.save());
            world.pass(HOUR);
        }
        let machine = world.machine("one");
        let options =
            PruneOptions { checkpoint_records: 1, alone: true, ..PruneOptions::default() };
        machine.prune_with(&options).unwrap();
        world.pass(HOUR);
    }
    snapshots
}

fn rotate(machine: &Machine<'_>) -> u32 {
    let plan = machine.repository.plan_rotation(&[]).unwrap();
    machine.repository.rotate(&plan, stash::time::Timestamp(machine.world.time())).unwrap().epoch
}

fn reseal(machine: &Machine<'_>, alone: bool) -> PruneReport {
    let options = PruneOptions { reseal: Reseal::Older, alone, ..PruneOptions::default() };
    machine.prune_with(&options).unwrap()
}

/// Returns the sealed objects of another epoch.
fn older(world: &World, newest: u32) -> Vec<ObjectName> {
    let names = world.store.list_all().unwrap().0.into_iter().map(|row| row.name);
    names
        .filter(|name| {
            matches!(name, ObjectName::Pack(_) | ObjectName::Record(_) | ObjectName::Segment(_))
        })
        .filter(|name| epoch(&world.store, name) != newest)
        .collect()
}

#[test]
fn alone_every_pack_is_sealed_anew_at_once_and_what_is_left_goes_with_time() {
    let world = World::new();
    let mut snapshots = history(&world);
    let machine = world.machine("one");
    let newest = rotate(&machine);
    let before = world.stored_bytes();
    assert!(older(&world, newest).iter().any(|name| matches!(name, ObjectName::Pack(_))));
    let report = reseal(&machine, true);
    let left = older(&world, newest);
    // Records of and since the last clean-up, by which late ones would be measured.
    assert!(left.iter().all(|name| matches!(name, ObjectName::Record(_))), "{left:?}");
    assert_eq!(left.len() as u64, report.older_objects, "{left:?}");
    assert!(report.repacked_objects > 0, "{report:?}");
    assert!(world.stored_bytes() < before + 100_000);
    assert_restores(&world, &snapshots);
    world.pass(80 * HOUR);
    for _ in 0..2 {
        let other = world.machine("two");
        other.put("more", noise(77, 1000));
        snapshots.push(other.save());
        world.pass(HOUR);
        let machine = world.machine("one");
        machine.put("more", noise(78, 1000));
        snapshots.push(machine.save());
        reseal(&machine, true);
        world.pass(80 * HOUR);
    }
    let last = older(&world, newest);
    assert!(last.is_empty(), "{last:?}");
    assert_restores(&world, &snapshots);
    let before = world.store.list_all().unwrap();
    let idle = reseal(&world.machine("one"), true);
    assert_eq!((idle.repacked_objects, idle.copied_bytes), (0, 0), "{idle:?}");
    assert_eq!(world.store.list_all().unwrap(), before, "a run that finds nothing writes nothing");
}

#[test]
fn with_others_about_the_old_objects_wait_for_the_grace() {
    let world = World::new();
    let snapshots = history(&world);
    world.pass(49 * HOUR);
    let machine = world.machine("one");
    let newest = rotate(&machine);
    let copied = reseal(&machine, false);
    assert!(copied.repacked_objects > 0 && copied.deleted_objects == 0, "{copied:?}");
    let packs = || {
        let is_pack = |name: &ObjectName| matches!(name, ObjectName::Pack(_));
        older(&world, newest).into_iter().filter(is_pack).count()
    };
    assert!(packs() > 0, "nothing is deleted before the grace is over");
    assert_restores(&world, &snapshots);
    world.pass(71 * HOUR);
    reseal(&machine, false);
    assert!(packs() > 0);
    world.pass(2 * HOUR);
    let swept = reseal(&machine, false);
    assert!(swept.deleted_objects > 0, "{swept:?}");
    assert_eq!(packs(), 0);
    assert_restores(&world, &snapshots);
}

#[test]
fn a_plan_says_what_would_be_sealed_anew_and_writes_nothing() {
    let world = World::new();
    let snapshots = history(&world);
    let machine = world.machine("one");
    let before = world.store.list_all().unwrap();
    let options = PruneOptions {
        reseal: Reseal::Everything,
        alone: true,
        dry_run: true,
        ..PruneOptions::default()
    };
    let plan = machine.prune_with(&options).unwrap();
    assert!(plan.repacked_objects > 0, "{plan:?}");
    assert_eq!(world.store.list_all().unwrap(), before);
    // Without a rotation there is nothing to do.
    let report = reseal(&machine, true);
    assert_eq!((report.repacked_objects, report.older_objects), (0, 0), "{report:?}");
    assert_restores(&world, &snapshots);
}
