//! After a purge and a prune no stored object can be decoded to what was purged.

use std::path::Path;

use stash::engine::check::{CheckOptions, check};
use stash::engine::prune::{Left, Limit, PruneOptions, PruneReport, prune};
use stash::engine::purge::{Purge, PurgeReport, purge};
use stash::event::{Counters, Silent};
use stash::format::key::REPOSITORY_EXCLUSIVE;
use stash::format::pack::{BlobKind, UnitForm};
use stash::format::record::{MarkKind, Partial};
use stash::repository::container::PlainUnit;
use stash::repository::log::RecordParts;
use stash::repository::{InitOptions, Repository};
use stash::store::{Prefix, Store};
use stash::time::Timestamp;

use crate::common_engine::stores::{Fault, TestStore};
use crate::common_engine::timed::{HOUR, Machine, World};
use crate::common_engine::{TestClock, latest, noise, open_fresh, put, restored, save, snapshots};
use crate::contents::holders;

/// What fits into a node of a tree.
const SMALL: &[u8] = b"do-not-keep-this-0123456789";

/// What is a blob of its own, and no compressor makes smaller.
fn large() -> Vec<u8> {
    noise(4711, 4096)
}

fn exclusive() -> World {
    World::with(&InitOptions { flags: REPOSITORY_EXCLUSIVE, ..InitOptions::default() })
}

fn purge_path(machine: &Machine<'_>, path: &str) -> PurgeReport {
    machine.repository.sync().unwrap();
    let entries = snapshots(&machine.repository);
    let what = Purge::Paths(vec![machine.source.join(path).to_str().unwrap().into()]);
    let clock = TestClock(machine.world.time());
    let counters = Counters::default();
    purge(&machine.repository, &entries, &what, &clock, &counters, &Silent).unwrap()
}

fn thorough(alone: bool) -> PruneOptions {
    PruneOptions { max_unused: Limit::Bytes(0), alone, ..PruneOptions::default() }
}

/// Everything but what was purged restores, and a check finds nothing.
fn assert_rest(world: &World, machine: &Machine<'_>, purged: &[&str], count: usize) {
    let fresh = open_fresh(&world.store);
    let options = CheckOptions { threads: 2, ..CheckOptions::default() };
    let report = check(&fresh, &options, &Counters::default()).unwrap();
    assert!(report.is_clean(), "{:#?}", report.findings);
    let entries = snapshots(&fresh);
    assert_eq!(entries.len(), count);
    for entry in &entries {
        let out = tempfile::tempdir().unwrap();
        let source = restored(&fresh, entry, out.path());
        for path in purged {
            assert!(!source.join(path).exists(), "{path}");
        }
        let same = std::fs::read(source.join("kept")).unwrap();
        assert!(same == std::fs::read(machine.source.join("kept")).unwrap());
    }
}

/// Returns the files below a folder that hold some bytes.
fn files_with(folder: &Path, secret: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, secret));
        } else if std::fs::read(&path).unwrap().windows(secret.len()).any(|it| it == secret) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Two snapshots of which both hold something small and something of a blob's size, in a pack.
fn two_with_secrets(machine: &Machine<'_>) {
    machine.put("kept", noise(1, 400_000));
    for number in 0..40 {
        machine.put(&format!("files/{number}"), noise(100 + number, 4000));
    }
    machine.put("small", SMALL);
    machine.put("files/large", large());
    machine.save();
    machine.world.pass(HOUR);
    machine.put("files/3", "changed");
    machine.save();
    machine.world.pass(HOUR);
}

fn assert_is_stored(world: &World) {
    assert!(!holders(&world.store, SMALL).is_empty());
    assert!(!holders(&world.store, &large()).is_empty());
}

fn assert_is_gone(world: &World) {
    assert_eq!(holders(&world.store, SMALL), [""; 0]);
    assert_eq!(holders(&world.store, &large()), [""; 0]);
}

#[test]
fn on_ones_own_disk_what_is_purged_is_gone_with_the_prune_that_follows() {
    let world = exclusive();
    let machine = world.machine("one");
    // Again and again: what earlier prunes wrote must not be in the way.
    for round in 0..3 {
        machine.put("kept", noise(round, 300_000));
        two_with_secrets(&machine);
        assert_is_stored(&world);
        purge_path(&machine, "small");
        purge_path(&machine, "files/large");
        assert_is_stored(&world);
        let report = machine.prune_with(&thorough(true)).unwrap();
        assert_eq!(report.left, Left::default(), "{report:?}");
        assert_is_gone(&world);
        machine.put("kept", noise(1, 400_000));
        let count = 2 * (usize::try_from(round).unwrap() + 1);
        assert_rest(&world, &machine, &["small", "files/large"], count);
        let again = machine.prune_with(&thorough(true)).unwrap();
        assert_eq!((again.deleted_objects, again.repacked_objects), (0, 0), "{again:?}");
        world.pass(5 * HOUR);
    }
    // Nor is it on this machine's disk any more, but for where it came from.
    drop(machine);
    for folder in ["cache", "state"] {
        let folder = world.folder.path().join("one").join(folder);
        assert!(folder.exists());
        assert_eq!(files_with(&folder, SMALL), [""; 0]);
    }
}

#[test]
fn a_usual_prune_goes_by_cost_and_may_leave_what_was_purged() {
    let world = exclusive();
    let machine = world.machine("one");
    two_with_secrets(&machine);
    purge_path(&machine, "small");
    purge_path(&machine, "files/large");
    machine.prune_alone();
    assert_is_stored(&world);
    let purged = PruneOptions { alone: true, thorough: true, ..PruneOptions::default() };
    machine.prune_with(&purged).unwrap();
    assert_is_gone(&world);
}

/// A folder that is cut into parts: the part of the third snapshot is a difference of that of the second,
/// which holds the secret.
#[test]
fn what_is_only_the_base_of_a_later_snapshots_part_goes_too() {
    let world = exclusive();
    let machine = world.machine("one");
    machine.put("kept", noise(1, 300_000));
    for number in 0..400 {
        machine.put(&format!("folder/{number:04}"), noise(number, 40));
    }
    machine.save();
    world.pass(HOUR);
    machine.put("folder/0200-secret", SMALL);
    machine.put("folder/database", [noise(5, 90_000), large(), noise(6, 90_000)].concat());
    machine.save();
    world.pass(HOUR);
    std::fs::remove_file(machine.source.join("folder/0200-secret")).unwrap();
    machine.put("folder/0201", "another");
    machine.put("folder/database", [noise(5, 90_000), noise(7, 4096), noise(6, 90_000)].concat());
    machine.save();
    world.pass(HOUR);
    assert_is_stored(&world);
    assert!(!machine.repository.cache().units_with_bases().unwrap().is_empty());
    // The database goes from the second snapshot only, so what the third stands on is no snapshot's.
    purge_path(&machine, "folder/0200-secret");
    machine.repository.sync().unwrap();
    let entries = snapshots(&machine.repository);
    let what = Purge::Paths(vec![machine.source.join("folder/database").to_str().unwrap().into()]);
    let clock = TestClock(world.time());
    let second = &entries[1..2];
    purge(&machine.repository, second, &what, &clock, &Counters::default(), &Silent).unwrap();
    // Everything else that a prune can do leaves the bases.
    let usual = PruneOptions {
        alone: true,
        checkpoint_records: 1,
        max_unused: Limit::Bytes(1),
        ..PruneOptions::default()
    };
    machine.prune_with(&usual).unwrap();
    assert_is_stored(&world);
    let report = machine.prune_with(&thorough(true)).unwrap();
    assert!(report.raised_blobs > 0, "{report:?}");
    assert_is_gone(&world);
    assert_rest(&world, &machine, &["folder/0200-secret"], 3);
}

/// The same from records at once, without packs between.
#[test]
fn what_is_only_a_base_in_a_record_goes_with_the_record() {
    let world = exclusive();
    let machine = world.machine("one");
    machine.put("kept", noise(1, 300));
    for number in 0..400 {
        machine.put(&format!("folder/{number:04}"), noise(number, 40));
    }
    machine.put("folder/0200-secret", SMALL);
    machine.save();
    world.pass(HOUR);
    std::fs::remove_file(machine.source.join("folder/0200-secret")).unwrap();
    machine.save();
    assert!(!machine.repository.cache().units_with_bases().unwrap().is_empty());
    purge_path(&machine, "folder/0200-secret");
    machine.prune_with(&thorough(true)).unwrap();
    assert_eq!(holders(&world.store, SMALL), [""; 0]);
    assert_rest(&world, &machine, &["folder/0200-secret"], 2);
}

/// A checkpoint replaces the record of a base; what stands on that lies in a pack and is needed.
#[test]
fn a_difference_in_a_pack_outlives_the_record_of_its_base() {
    let world = exclusive();
    let machine = world.machine("one");
    machine.put("kept", noise(1, 300));
    let parts = |middle: &[u8]| [&noise(5, 60_000)[..], middle, &noise(6, 60_000)].concat();
    machine.put("changes", parts(&large()));
    machine.save();
    world.pass(HOUR);
    machine.put("kept", noise(2, 900_000));
    machine.put("changes", parts(&noise(7, 4096)));
    machine.save();
    assert!(!machine.repository.cache().units_with_bases().unwrap().is_empty());
    let first = &snapshots(&machine.repository)[..1];
    let what = Purge::Paths(vec![machine.source.join("changes").to_str().unwrap().into()]);
    let clock = TestClock(world.time());
    purge(&machine.repository, first, &what, &clock, &Counters::default(), &Silent).unwrap();
    machine.prune_with(&thorough(true)).unwrap();
    assert_eq!(holders(&world.store, &large()), [""; 0]);
    let fresh = open_fresh(&world.store);
    let out = tempfile::tempdir().unwrap();
    let source = restored(&fresh, &latest(&fresh), out.path());
    assert!(std::fs::read(source.join("changes")).unwrap() == parts(&noise(7, 4096)));
}

/// No snapshot is dead, and yet something in a record is needed by none.
#[test]
fn what_lies_unneeded_in_a_record_goes_too() {
    let world = exclusive();
    let machine = world.machine("one");
    machine.put("kept", noise(1, 400_000));
    let id = machine.repository.keys().blob_id(BlobKind::Data, &large());
    let unit = PlainUnit {
        kind: BlobKind::Data,
        form: UnitForm::Raw,
        payload: large(),
        blobs: vec![(id, 4096)],
        bases: Vec::new(),
        depth: 0,
    };
    let partial = Partial { started: world.time(), job: "test".into(), ..Partial::default() };
    let inline = vec![unit];
    let parts = RecordParts { partial: Some(partial), inline, ..RecordParts::default() };
    machine.repository.append(parts, Timestamp(world.time())).unwrap();
    let report = machine.prune_with(&thorough(true)).unwrap();
    assert_eq!(report.left.unfinished_objects, 1, "{report:?}");
    assert_eq!(holders(&world.store, &large()).len(), 1);
    // The run comes to its end.
    machine.save();
    machine.prune_with(&thorough(true)).unwrap();
    assert_eq!(holders(&world.store, &large()), [""; 0]);
    assert_rest(&world, &machine, &[], 1);
}

#[test]
fn what_a_checkpoint_has_carried_on_goes_too() {
    let world = exclusive();
    let machine = world.machine("one");
    two_with_secrets(&machine);
    let covers = PruneOptions { alone: true, checkpoint_records: 1, ..PruneOptions::default() };
    machine.prune_with(&covers).unwrap();
    let segments = world.store.list(Prefix::Index).unwrap();
    let names: Vec<String> = segments.iter().map(|row| row.name.to_string()).collect();
    assert!(holders(&world.store, SMALL).iter().any(|holder| names.contains(holder)));
    purge_path(&machine, "small");
    purge_path(&machine, "files/large");
    machine.prune_with(&thorough(true)).unwrap();
    assert_is_gone(&world);
    assert_rest(&world, &machine, &["small", "files/large"], 2);
}

/// Of a repository that is far away this machine keeps copies.
#[test]
fn copies_on_this_machine_go_with_what_they_are_copies_of() {
    let world = exclusive();
    let machine = world.machine_over("one", &world.store.clone().remote());
    two_with_secrets(&machine);
    let folder = world.folder.path().join("one/cache");
    let copies = folder.join(machine.repository.id().to_string()).join("copies");
    let names = || -> Vec<String> {
        let entries = std::fs::read_dir(&copies).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let before = names();
    assert!(!before.is_empty());
    purge_path(&machine, "small");
    purge_path(&machine, "files/large");
    machine.prune_with(&thorough(true)).unwrap();
    let listed = world.store.list_all().unwrap().0;
    let listed: Vec<String> = listed.iter().map(|row| row.name.hash().to_string()).collect();
    let after = names();
    assert!(!after.is_empty() && before.iter().any(|name| !after.contains(name)));
    assert!(after.iter().all(|name| listed.contains(name)), "{after:?}");
}

/// In a real folder, by a real clock.
#[test]
fn in_a_folder_on_the_disk_it_is_gone_too() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::folder(&folder.path().join("repository"), true).unwrap();
    let options = InitOptions { flags: REPOSITORY_EXCLUSIVE, ..InitOptions::default() };
    let places = crate::common_engine::folders(&folder.path().join("local"));
    let slots = [(crate::common_engine::secret(), "test".to_owned())];
    let now = || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        TestClock(i64::try_from(now.as_nanos()).unwrap())
    };
    let repository =
        Repository::init(&store, &options, &slots, Timestamp(now().0), &places).unwrap();
    let source = folder.path().join("source");
    put(&source.join("kept"), noise(1, 400_000));
    put(&source.join("small"), SMALL);
    put(&source.join("large"), large());
    save(&repository, &source, now().0).unwrap();
    assert!(!holders(&store, SMALL).is_empty() && !holders(&store, &large()).is_empty());
    let paths = ["small", "large"].map(|name| source.join(name).to_str().unwrap().into());
    let (what, counters) = (Purge::Paths(paths.to_vec()), Counters::default());
    let entries = snapshots(&repository);
    purge(&repository, &entries, &what, &now(), &counters, &Silent).unwrap();
    prune(&repository, &thorough(true), &now(), &counters, &Silent).unwrap();
    assert_eq!((holders(&store, SMALL), holders(&store, &large())), (Vec::new(), Vec::new()));
    assert_eq!(files_with(folder.path().join("local").as_path(), SMALL), [""; 0]);
    let out = restored(&repository, &latest(&repository), &folder.path().join("out"));
    assert_eq!(std::fs::read(out.join("kept")).unwrap(), noise(1, 400_000));
}

/// Prunes every few days until nothing waits any more; returns the last report.
fn prune_for_weeks(machine: &Machine<'_>, weeks: usize) -> PruneReport {
    let mut last = PruneReport::default();
    for _ in 0..weeks * 2 {
        machine.world.pass(84 * HOUR);
        last = machine.prune_with(&thorough(false)).unwrap();
    }
    last
}

#[test]
fn where_others_write_it_is_gone_when_the_graces_are_over() {
    let world = World::new();
    let machine = world.machine("one");
    // An earlier prune, whose words the log still holds.
    machine.put("kept", noise(1, 400_000));
    machine.put("old", noise(9, 900_000));
    let old = machine.save();
    world.pass(HOUR);
    std::fs::remove_file(machine.source.join("old")).unwrap();
    machine.save();
    machine.forget(old);
    prune_for_weeks(&machine, 2);
    two_with_secrets(&machine);
    machine.mark(snapshots(&machine.repository)[1].id, MarkKind::Pin);
    assert_is_stored(&world);
    purge_path(&machine, "small");
    purge_path(&machine, "files/large");
    world.pass(60 * HOUR);
    let early = machine.prune_with(&thorough(false)).unwrap();
    assert!(early.forgotten_snapshots > 0 && early.deleted_objects == 0, "{early:?}");
    assert_is_stored(&world);
    let report = prune_for_weeks(&machine, 2);
    assert_eq!(report.left, Left::default(), "{report:?}");
    assert_is_gone(&world);
    assert_rest(&world, &machine, &["small", "files/large"], 3);
}

/// Exactly what the page says: 72 hours after the purge it is condemned, 72 hours later deleted.
#[test]
fn two_prunes_suffice_as_the_command_says() {
    let world = World::new();
    let machine = world.machine("one");
    two_with_secrets(&machine);
    purge_path(&machine, "small");
    purge_path(&machine, "files/large");
    world.pass(72 * HOUR);
    machine.prune_with(&thorough(false)).unwrap();
    world.pass(72 * HOUR);
    // What the first condemned the second deletes, thorough or not.
    machine.prune();
    assert_is_gone(&world);
    assert_rest(&world, &machine, &["small", "files/large"], 2);
}

#[test]
fn the_last_record_of_another_machine_is_told_until_that_writes_again() {
    let world = World::new();
    let other = world.machine("two");
    other.put("small", SMALL);
    other.put("kept", noise(1, 400_000));
    other.save();
    world.pass(HOUR);
    let machine = world.machine("one");
    machine.put("kept", noise(1, 400_000));
    machine.save();
    machine.repository.sync().unwrap();
    let entries = snapshots(&machine.repository);
    let what = Purge::Paths(vec![other.source.join("small").to_str().unwrap().into()]);
    let clock = TestClock(world.time());
    purge(&machine.repository, &entries, &what, &clock, &Counters::default(), &Silent).unwrap();
    let report = prune_for_weeks(&machine, 3);
    assert_eq!(report.left.lane_records, 1, "{report:?}");
    assert_eq!(holders(&world.store, SMALL).len(), 1);
    std::fs::remove_file(other.source.join("small")).unwrap();
    other.save();
    let report = prune_for_weeks(&machine, 2);
    assert_eq!(report.left.lane_records, 0, "{report:?}");
    assert_eq!(holders(&world.store, SMALL), [""; 0]);
    assert_rest(&world, &machine, &["small"], 3);
}

/// A machine prunes whose own last record another one's checkpoint covers.
#[test]
fn the_last_record_of_the_pruners_own_lane_goes_too() {
    let world = World::new();
    let other = world.machine("two");
    other.put("small", SMALL);
    other.put("kept", noise(1, 400_000));
    other.save();
    world.pass(HOUR);
    let machine = world.machine("one");
    let entries = snapshots(&machine.repository);
    let what = Purge::Paths(vec![other.source.join("small").to_str().unwrap().into()]);
    let clock = TestClock(world.time());
    purge(&machine.repository, &entries, &what, &clock, &Counters::default(), &Silent).unwrap();
    prune_for_weeks(&machine, 2);
    assert_eq!(holders(&world.store, SMALL).len(), 1);
    let report = prune_for_weeks(&other, 1);
    assert_eq!(report.left.lane_records, 0, "{report:?}");
    assert_eq!(holders(&world.store, SMALL), [""; 0]);
}

/// What an interrupted backup published stays for the next one, and that is said.
#[test]
fn what_an_unfinished_backup_keeps_is_told() {
    let world = exclusive();
    let machine = world.machine("one");
    two_with_secrets(&machine);
    let other = noise(4712, 4096);
    machine.put("files/other", &other);
    machine.put("more", noise(12, 600_000));
    // Its packs are durable, and its record is not.
    let store = TestStore::recording(std::sync::Arc::clone(&world.inner) as _);
    let fails = world.machine_over("one", &store.store());
    let before = world.store.list(Prefix::Packs).unwrap().len();
    store.before_record(|| panic!("killed"));
    let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| fails.try_save()));
    assert!(died.is_err() || died.unwrap().is_err());
    assert!(world.store.list(Prefix::Packs).unwrap().len() > before);
    let report = machine.prune_with(&thorough(true)).unwrap();
    assert!(report.left.unfinished_objects > 0, "{report:?}");
    assert!(!holders(&world.store, &other).is_empty());
    world.pass(49 * HOUR);
    let report = machine.prune_with(&thorough(true)).unwrap();
    assert_eq!(report.left.unfinished_objects, 0, "{report:?}");
    assert_eq!(holders(&world.store, &other), [""; 0]);
}

/// Whatever call fails first: each snapshot is as it was or purged, pinned as it was, and going on ends it.
#[test]
fn a_run_that_dies_anywhere_loses_nothing_and_is_ended_by_the_next() {
    for (step, call) in (1..400).enumerate() {
        let world = exclusive();
        let machine = world.machine("one");
        machine.put("kept", noise(1, 400_000));
        machine.put("small", SMALL);
        machine.put("files/large", large());
        let first = machine.save();
        world.pass(HOUR);
        machine.put("more", "more");
        machine.save();
        machine.mark(first, MarkKind::Pin);
        let times: Vec<i64> =
            snapshots(&machine.repository).iter().map(|entry| entry.snapshot.time).collect();
        world.pass(HOUR);
        drop(machine);
        let store = TestStore::new(std::sync::Arc::clone(&world.inner) as _, Fault::Fail, call);
        let purges = |store: &Store| -> stash::error::Result<()> {
            let folders = crate::common_engine::folders(&world.folder.path().join("one"));
            let repository = crate::common_engine::open(store, &folders)?;
            let source = world.folder.path().join("one").join("source");
            for path in ["small", "files/large"] {
                let what = Purge::Paths(vec![source.join(path).to_str().unwrap().into()]);
                let clock = TestClock(world.time());
                let counters = Counters::default();
                let entries = snapshots(&repository);
                purge(&repository, &entries, &what, &clock, &counters, &Silent)?;
            }
            let clock = TestClock(world.time());
            let counters = Counters::default();
            prune(&repository, &thorough(true), &clock, &counters, &Silent)?;
            Ok(())
        };
        let result = purges(&store.store());
        let fresh = open_fresh(&world.store);
        let entries = snapshots(&fresh);
        let found: Vec<i64> = entries.iter().map(|entry| entry.snapshot.time).collect();
        assert_eq!(found, times, "call {call}");
        let pinned: Vec<bool> = entries.iter().map(|entry| entry.pinned).collect();
        assert_eq!(pinned, [true, false], "call {call}");
        if !store.has_failed() {
            result.unwrap();
            assert!(step > 20, "only {step} calls");
            assert_is_gone(&world);
            return;
        }
        world.pass(60 * crate::common_engine::SECOND);
        purges(&world.store).unwrap_or_else(|error| panic!("call {call}: {error}"));
        assert_is_gone(&world);
        let machine = world.machine("one");
        assert_rest(&world, &machine, &["small", "files/large"], 2);
    }
    panic!("it never came to its end");
}
