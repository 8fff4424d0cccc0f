//! Taking something out of snapshots: it is gone from all of them, and nothing else is.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops where things are not as they should be"
)]

mod common_engine;
#[path = "purge/contents.rs"]
mod contents;
#[path = "purge/gone.rs"]
mod gone;
#[path = "purge/meanwhile.rs"]
mod meanwhile;

use std::sync::Arc;

use common_engine::trees::{assert_same, tree};
use common_engine::{
    LATER, SECOND, TestClock, folders, init, latest, noise, open, open_fresh, put, restored, save,
    snapshots,
};
use object_store::memory::InMemory;
use stash::engine::check::{CheckOptions, check};
use stash::engine::purge::{Purge, PurgeReport, plan_purge, purge};
use stash::event::{Counters, Silent};
use stash::format::record::{Attachment, Mark, MarkKind, Root, Snapshot};
use stash::format::tree::{Category, Node, NodeKind, Subtree};
use stash::id::SnapshotId;
use stash::repository::Repository;
use stash::repository::log::RecordParts;
use stash::store::Store;
use stash::time::Timestamp;

fn store() -> Store {
    Store::from_object_store(Arc::new(InMemory::new()), "memory")
}

fn take_out(repository: &Repository, what: &Purge, dry_run: bool) -> PurgeReport {
    let (mut entries, counters) = (snapshots(repository), Counters::default());
    // The order in which they were named is no matter.
    entries.reverse();
    if dry_run {
        return plan_purge(repository, &entries, what, &counters).unwrap();
    }
    let clock = TestClock(LATER + 100 * SECOND);
    purge(repository, &entries, what, &clock, &counters, &Silent).unwrap()
}

#[test]
fn a_path_goes_from_every_snapshot_and_everything_else_stays() {
    let store = store();
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    let local = folders(&folder.path().join("local"));
    let repository = init(&store, &local);
    // The same content elsewhere, so that equal trees lie inside and outside of what goes.
    put(&source.join("keep/deep/same"), noise(1, 100_000));
    save(&repository, &source, LATER).unwrap();
    put(&source.join("secret/deep/same"), noise(1, 100_000));
    put(&source.join("secret/key"), "do not keep this");
    for number in 0..300 {
        put(&source.join(format!("secret/many/{number}")), noise(number, 50));
    }
    save(&repository, &source, LATER + 10 * SECOND).unwrap();
    put(&source.join("keep/more"), "more");
    save(&repository, &source, LATER + 20 * SECOND).unwrap();
    let before = snapshots(&repository);
    let pin = Mark { snapshot: before[2].id, kind: MarkKind::Pin as u64, ..Mark::default() };
    let parts = RecordParts { marks: vec![pin], ..RecordParts::default() };
    repository.append(parts, Timestamp(LATER + 30 * SECOND)).unwrap();

    let what = Purge::Paths(vec![source.join("secret").to_str().unwrap().into()]);
    let puts = repository.store().list(stash::store::Prefix::Log).unwrap().len();
    let plan = take_out(&repository, &what, true);
    assert_eq!(repository.store().list(stash::store::Prefix::Log).unwrap().len(), puts);
    assert_eq!((plan.snapshots.len(), plan.untouched), (2, 1));
    assert_eq!((plan.snapshots[0].files, plan.snapshots[0].paths.len()), (302, 1));

    let report = take_out(&repository, &what, false);
    assert_eq!(report.snapshots.len(), 2);
    let fresh = open_fresh(&store);
    let after = snapshots(&fresh);
    let times = |entries: &[stash::repository::cache::SnapshotEntry]| {
        entries.iter().map(|entry| entry.snapshot.time).collect::<Vec<_>>()
    };
    assert_eq!(times(&after), times(&before));
    assert_eq!(after[0].id, before[0].id, "what does not hold it stays as it is");
    assert_eq!(after[1].snapshot.parent, Some(before[0].id));
    assert_eq!(after[2].snapshot.parent, Some(after[1].id), "the line of parents goes on");
    assert!(after[2].pinned && !after[1].pinned);
    assert_eq!(after[2].snapshot.statistics.files, 2);
    let forgotten: Vec<SnapshotId> =
        fresh.forgotten_snapshots().unwrap().iter().map(|entry| entry.id).collect();
    assert_eq!(forgotten, [before[1].id, before[2].id]);
    let options = CheckOptions { threads: 2, ..CheckOptions::default() };
    let checked = check(&fresh, &options, &Counters::default()).unwrap();
    assert!(checked.is_clean(), "{:?}", checked.findings);

    // What lies on the disk still is saved again; without it, the snapshot is the purged one.
    let repository = open(&store, &local).unwrap();
    save(&repository, &source, LATER + 200 * SECOND).unwrap();
    let out = folder.path().join("again");
    assert_same(&tree(&restored(&repository, &latest(&repository), &out)), &tree(&source), "again");
    std::fs::remove_dir_all(source.join("secret")).unwrap();
    let out = folder.path().join("purged");
    let purged = tree(&restored(&fresh, &after[2], &out));
    let names = |tree: &common_engine::trees::Tree| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&purged), names(&tree(&source)));
    assert_eq!(take_out(&fresh, &Purge::Paths(vec![b"/none".to_vec()]), false).untouched, 3);
}

fn file(name: &str, category: Category) -> Node {
    Node {
        name: name.as_bytes().into(),
        mode: 0o644,
        size: 1,
        inline: b"x".as_slice().into(),
        category: category as u64,
        ..Node::default()
    }
}

fn folder(name: &str, nodes: Vec<Node>) -> Node {
    Node {
        name: name.as_bytes().into(),
        kind: NodeKind::Directory,
        mode: 0o755,
        subtree: Subtree::Inline(nodes),
        ..Node::default()
    }
}

/// A snapshot as a backup of agents will write it.
fn agents() -> Snapshot {
    let root = |agent: &str, place: &str, node: Node| Root {
        kind: 1,
        agent: agent.into(),
        label: "home".into(),
        place: place.as_bytes().into(),
        node,
        ..Root::default()
    };
    let sessions = || folder("projects", vec![file("one.jsonl", Category::Sessions)]);
    let claude = folder(".claude", vec![sessions(), file("settings.json", Category::Settings)]);
    let codex = folder(".codex", vec![file("auth.json", Category::Secrets), sessions()]);
    Snapshot {
        time: LATER,
        agents: vec!["claude".into(), "codex".into()],
        roots: vec![root("claude", "/home/.claude", claude), root("codex", "/home/.codex", codex)],
        attachments: vec![Attachment {
            kind: "sessions".into(),
            entries: vec![(b"id".as_slice().into(), b"title".as_slice().into())],
            ..Attachment::default()
        }],
        ..Snapshot::default()
    }
}

fn purged_agents(agent: &str, only: &[Category]) -> (PurgeReport, Vec<Snapshot>) {
    let store = store();
    let folder = tempfile::tempdir().unwrap();
    let repository = init(&store, &folders(folder.path()));
    let parts = RecordParts { snapshot: Some(agents()), ..RecordParts::default() };
    repository.append(parts, Timestamp(LATER)).unwrap();
    let what = Purge::Agent { agent: agent.into(), only: only.to_vec() };
    let report = take_out(&repository, &what, false);
    let after = snapshots(&open_fresh(&store)).into_iter().map(|entry| entry.snapshot);
    (report, after.collect())
}

#[test]
fn a_category_of_one_agent_goes_and_the_other_agents_stays() {
    let (report, after) = purged_agents("claude", &[Category::Sessions]);
    assert_eq!(report.snapshots[0].paths, [b"/home/.claude/projects/one.jsonl".to_vec()]);
    assert_eq!(after.len(), 1);
    let left = folder(".claude", vec![file("settings.json", Category::Settings)]);
    assert_eq!(after[0].roots[0].node, left, "a folder that held nothing else goes as well");
    assert_eq!(after[0].roots[1], agents().roots[1]);
    assert_eq!(after[0].agents, ["claude", "codex"]);
    assert!(after[0].attachments.is_empty(), "a list of sessions tells their titles");
}

#[test]
fn an_agent_goes_as_a_whole_and_an_unknown_one_changes_nothing() {
    let (_, after) = purged_agents("claude", &[]);
    assert_eq!(after[0].agents, ["codex"]);
    assert_eq!(after[0].roots, agents().roots[1..]);
    let (report, after) = purged_agents("aider", &[]);
    assert_eq!((report.snapshots.len(), report.untouched, after.len()), (0, 1, 1));
    assert_eq!(after[0].attachments, agents().attachments);
}
