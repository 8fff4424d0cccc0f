//! Append-only repositories: a stolen machine, which may add and has all keys, can't have others
//! delete for it.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops where things are not as they should be"
)]

mod common_engine;

use std::collections::HashSet;

use common_engine::timed::{HOUR, Machine, World, assert_restores};
use common_engine::{SECOND, copy_folder, noise, open_fresh, snapshots};
use stash::engine::prune::{PruneOptions, PruneReport};
use stash::format::cbor::Ids;
use stash::format::key::REPOSITORY_APPEND_ONLY;
use stash::format::record::{Checkpoint, Condemn, Heal, Mark, MarkKind, Sweep};
use stash::id::{LaneId, ObjectHash, SnapshotId};
use stash::repository::InitOptions;
use stash::repository::log::RecordParts;
use stash::repository::snapshots::SnapshotFilter;
use stash::store::{ObjectName, Prefix};
use stash::time::Timestamp;

fn world() -> World {
    World::with(&InitOptions { flags: REPOSITORY_APPEND_ONLY, ..InitOptions::default() })
}

/// Three snapshots of a machine; returns them, the oldest first.
fn three(machine: &Machine<'_>, seed: u64) -> Vec<SnapshotId> {
    let save = |number: u64| {
        machine.put("large", noise(seed + number, 900_000));
        machine.put("small", noise(seed + number, 3_000));
        machine.world.pass(SECOND);
        machine.save()
    };
    (0..3).map(save).collect()
}

/// Prunes as often as it takes until all that may go is gone.
fn prune(machine: &Machine<'_>, trusted: &[LaneId]) -> Vec<PruneReport> {
    let options = PruneOptions {
        trusted_lanes: Some(trusted.iter().copied().collect()),
        checkpoint_records: 1,
        ..PruneOptions::default()
    };
    let mut reports = Vec::new();
    for _ in 0..4 {
        machine.world.pass(74 * HOUR);
        reports.push(machine.prune_with(&options).unwrap());
    }
    reports
}

fn lanes(world: &World) -> HashSet<LaneId> {
    let rows = world.store.list(Prefix::Log).unwrap();
    let lane = |name: &ObjectName| match name {
        ObjectName::Record(name) => Some(name.lane),
        _ => None,
    };
    rows.iter().filter_map(|row| lane(&row.name)).collect()
}

/// Everything that anybody could say to have something deleted, about all that there is.
fn attack(thief: &Machine<'_>) {
    let (repository, now) = (&thief.repository, Timestamp(thief.world.time()));
    repository.sync().unwrap();
    let say = |parts: RecordParts| repository.append(parts, now).unwrap().record.hash();
    let all = |prefix: Prefix| -> Vec<ObjectHash> {
        let rows = thief.world.store.list(prefix).unwrap();
        let mut hashes: Vec<ObjectHash> = rows.iter().map(|row| row.name.hash()).collect();
        hashes.sort_unstable();
        hashes
    };
    let mark = |snapshot: SnapshotId, kind: MarkKind| Mark {
        snapshot,
        kind: kind as u64,
        written: Some(1),
        ..Mark::default()
    };
    let entries = repository.cached_snapshots().unwrap();
    let marks = entries.iter().map(|entry| mark(entry.id, MarkKind::Forget)).collect();
    say(RecordParts { marks, ..RecordParts::default() });
    let heal = Heal { record: all(Prefix::Log)[0], verdict: 3, ..Heal::default() };
    say(RecordParts { heal: Some(heal), ..RecordParts::default() });
    let condemn = Condemn { objects: Ids(all(Prefix::Packs)), ..Condemn::default() };
    let condemnation = say(RecordParts { condemn: Some(condemn), ..RecordParts::default() });
    let sweep = Sweep {
        condemnations: Ids(vec![condemnation]),
        objects: Ids(all(Prefix::Packs)),
        ..Sweep::default()
    };
    say(RecordParts { sweep: Some(sweep), ..RecordParts::default() });
    let checkpoint = Checkpoint {
        records: Ids(all(Prefix::Log)),
        gone: Ids(all(Prefix::Packs)),
        ..Checkpoint::default()
    };
    say(RecordParts { checkpoint: Some(checkpoint), ..RecordParts::default() });
}

#[test]
fn a_stolen_machine_cannot_have_another_delete() {
    let world = world();
    let admin = world.machine("admin");
    let mut kept = three(&admin, 100);
    let thief = world.machine("laptop");
    kept.extend(three(&thief, 200));
    attack(&thief);
    let reports = prune(&admin, &[]);
    assert!(reports[0].unheeded.iter().any(|(_, records)| *records == 5), "{:?}", reports[0]);
    // The admin's own checkpoint ends it for everybody.
    assert_restores(&world, &kept);
    assert_eq!(snapshots(&open_fresh(&world.store)).len(), kept.len());
}

#[test]
fn a_record_in_the_own_lane_that_this_machine_did_not_write_is_a_strangers() {
    let world = world();
    let admin = world.machine("admin");
    let kept = three(&admin, 100);
    admin.forget(kept[0]);
    let (one, other) = (world.folder.path().join("admin"), world.folder.path().join("thief"));
    copy_folder(&one, &other);
    // Goes on in the admin's lane, from its newest record.
    let thief = world.machine("thief");
    let before = lanes(&world);
    attack(&thief);
    assert_eq!(lanes(&world), before, "it forged the admin's lane");
    drop(admin);
    let admin = world.machine("admin");
    let before = world.stored_bytes();
    prune(&admin, &[]);
    assert_restores(&world, &kept[1..]);
    // What the admin itself forgot is freed, though its lane is another now.
    assert!(world.stored_bytes() < before - 800_000);
    assert_eq!(snapshots(&open_fresh(&world.store)).len(), 2);
}

#[test]
fn what_a_stranger_asked_for_is_shown_and_counts_once_its_lane_is_trusted() {
    let world = world();
    let admin = world.machine("admin");
    let own = three(&admin, 100);
    let client = world.machine("laptop");
    let ids = three(&client, 200);
    client.forget(ids[0]);
    admin.repository.sync().unwrap();
    let asked = admin.repository.asked_in_vain().unwrap();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[&ids[0]], "laptop");
    let all = SnapshotFilter::default();
    let standing = admin.repository.standing_snapshots(&all).unwrap();
    assert_eq!((standing.len(), standing[3].id), (6, ids[0]));
    assert!(standing[3].forgotten.is_none());
    // For a writer it is forgotten all the same: whoever trusts that machine may free it.
    assert_eq!(admin.repository.snapshots(&all).unwrap().len(), 5);
    // For the machine that said it, it is its own word.
    assert!(client.repository.asked_in_vain().unwrap().is_empty());
    let hosts = admin.repository.lane_hosts().unwrap();
    let lane = *hosts.iter().find(|(_, host)| *host == "laptop").unwrap().0;
    let dry = PruneOptions { dry_run: true, ..PruneOptions::default() };
    assert_eq!(admin.prune_with(&dry).unwrap().unheeded, [(lane, 1)]);
    let newest = client.save();
    let before = world.stored_bytes();
    prune(&admin, &[lane]);
    assert!(world.stored_bytes() < before - 800_000);
    assert_restores(&world, &[&own[..], &ids[1..], &[newest]].concat());
    // What the checkpoint replaced is known by name still.
    admin.repository.resync().unwrap();
    assert_eq!(admin.repository.lane_hosts().unwrap().get(&lane).unwrap(), "laptop");
}

#[test]
fn pins_and_unforgets_of_strangers_keep_nothing_and_their_tags_stay() {
    let world = world();
    let admin = world.machine("admin");
    let ids = three(&admin, 100);
    admin.forget(ids[0]);
    let client = world.machine("laptop");
    client.mark(ids[0], MarkKind::Unforget);
    client.mark(ids[1], MarkKind::Pin);
    let marks = vec![Mark {
        snapshot: ids[2],
        kind: MarkKind::Tags as u64,
        tags: vec!["mine".into()],
        ..Mark::default()
    }];
    let parts = RecordParts { marks, ..RecordParts::default() };
    client.repository.append(parts, Timestamp(world.time())).unwrap();
    let before = world.stored_bytes();
    prune(&admin, &[]);
    assert!(world.stored_bytes() < before - 800_000);
    let fresh = open_fresh(&world.store);
    let left = snapshots(&fresh);
    assert_eq!(left.iter().map(|entry| entry.id).collect::<Vec<_>>(), ids[1..]);
    assert!(!left[0].pinned);
    assert_eq!(left[1].snapshot.tags, ["mine"]);
}
