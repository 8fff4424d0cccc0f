//! Marks of several machines on one repository: what holds does not depend on who hears what first.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops where things are not as they should be"
)]

mod common_engine;

use common_engine::{LATER, copy_folder, folders, init, open, open_fresh, snapshots};
use object_store::memory::InMemory;
use std::sync::Arc;

use stash::format::record::{Mark, MarkKind, Snapshot};
use stash::id::SnapshotId;
use stash::repository::Repository;
use stash::repository::log::RecordParts;
use stash::repository::snapshots::{SnapshotFilter, SnapshotWish};
use stash::store::Store;
use stash::time::Timestamp;

fn store() -> Store {
    Store::from_object_store(Arc::new(InMemory::new()), "memory")
}

fn save(repository: &Repository) -> SnapshotId {
    let snapshot = Snapshot { time: LATER, tags: vec!["own".into()], ..Snapshot::default() };
    let parts = RecordParts { snapshot: Some(snapshot), ..RecordParts::default() };
    repository.append(parts, Timestamp(LATER)).unwrap().snapshot.unwrap()
}

fn say(repository: &Repository, snapshot: SnapshotId, kind: MarkKind, tags: &[&str]) {
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    let marks = vec![Mark { snapshot, kind: kind as u64, tags, ..Mark::default() }];
    let parts = RecordParts { marks, ..RecordParts::default() };
    repository.append(parts, Timestamp(LATER)).unwrap();
}

fn is_forgotten(store: &Store) -> bool {
    snapshots(&open_fresh(store)).is_empty()
}

fn is_pinned(store: &Store) -> bool {
    snapshots(&open_fresh(store))[0].pinned
}

#[test]
fn an_unforget_of_a_machine_that_did_not_know_of_the_forget_keeps_the_snapshot() {
    let store = store();
    let folder = tempfile::tempdir().unwrap();
    let one = init(&store, &folders(&folder.path().join("one")));
    let id = save(&one);
    let two = open_fresh(&store);
    say(&two, id, MarkKind::Unforget, &[]);
    say(&one, id, MarkKind::Forget, &[]);
    assert!(!is_forgotten(&store), "neither knew of the other");
    one.sync().unwrap();
    say(&one, id, MarkKind::Forget, &[]);
    assert!(is_forgotten(&store), "the second forget knew of the unforget");
    let wish = SnapshotWish::Prefix(id.short());
    let entry =
        open_fresh(&store).find_snapshot(&wish, &SnapshotFilter::default(), Timestamp(LATER));
    assert_eq!(entry.unwrap().forgotten.unwrap().since, LATER);
}

#[test]
fn current_tags_are_what_filters_look_at_and_those_of_two_machines_are_united() {
    let store = store();
    let folder = tempfile::tempdir().unwrap();
    let one = init(&store, &folders(&folder.path().join("one")));
    let id = save(&one);
    let two = open_fresh(&store);
    say(&two, id, MarkKind::Tags, &["b"]);
    say(&one, id, MarkKind::Tags, &["a"]);
    let fresh = open_fresh(&store);
    assert_eq!(snapshots(&fresh)[0].snapshot.tags, ["a", "b"]);
    let with = |tags: &[&str]| SnapshotFilter {
        tags: vec![tags.iter().map(|tag| (*tag).to_owned()).collect()],
        ..SnapshotFilter::default()
    };
    assert_eq!(fresh.snapshots(&with(&["a", "b"])).unwrap().len(), 1);
    assert!(fresh.snapshots(&with(&["own"])).unwrap().is_empty());
}

/// The view must name the tips of both branches, or nobody could ever take the pin back.
#[test]
fn a_pin_in_the_shorter_branch_of_a_forked_lane_can_be_taken_back() {
    let store = store();
    let folder = tempfile::tempdir().unwrap();
    let (one, clone) = (folder.path().join("one"), folder.path().join("clone"));
    let id = save(&init(&store, &folders(&one)));
    copy_folder(&one, &clone);
    let original = open(&store, &folders(&one)).unwrap();
    let cloned = open(&store, &folders(&clone)).unwrap();
    say(&cloned, id, MarkKind::Pin, &[]);
    say(&original, id, MarkKind::Tags, &["x"]);
    say(&original, id, MarkKind::Tags, &["y"]);
    say(&original, id, MarkKind::Unpin, &[]);
    assert!(is_pinned(&store), "the unpin did not know of the pin");
    original.sync().unwrap();
    say(&original, id, MarkKind::Unpin, &[]);
    assert!(!is_pinned(&store));
    // A snapshot's record comes between: the chain runs through it all the same.
    say(&original, id, MarkKind::Pin, &[]);
    save(&original);
    say(&original, id, MarkKind::Unpin, &[]);
    assert!(!snapshots(&open_fresh(&store)).iter().any(|entry| entry.pinned));
}

/// A newer record of the lane lies in `log/s`: the view names those of `log/g` all the same.
#[test]
fn a_word_of_a_machine_that_backed_up_since_can_be_taken_back_by_another() {
    let store = store();
    let folder = tempfile::tempdir().unwrap();
    let one = init(&store, &folders(&folder.path().join("one")));
    let id = save(&one);
    say(&one, id, MarkKind::Pin, &[]);
    save(&one);
    let two = open(&store, &folders(&folder.path().join("two"))).unwrap();
    say(&two, id, MarkKind::Unpin, &[]);
    let fresh = open_fresh(&store);
    let entry = snapshots(&fresh).into_iter().find(|entry| entry.id == id).unwrap();
    assert!(!entry.pinned, "the unpin knew of the pin");
}
