//! Lists of thousands of entries: what a change costs, what reading a part of one reads, and what
//! checking, copying and pruning make of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use object_store::ObjectStore;
use stash::engine::attachments::{file_prefix, find, root_prefix};
use stash::engine::check::{CheckOptions, ReadData, check};
use stash::engine::copy::{CopyOptions, copy};
use stash::engine::prune::{Accepted, Brake, PruneOptions, prune};
use stash::event::{Counters, Silent};
use stash::format::pack::{BlobKind, UnitEntry};
use stash::format::record::{AttachmentMap, Mark, MarkKind, Snapshot};
use stash::id::BlobId;
use stash::repository::log::RecordParts;
use stash::repository::reader::BlobReader;
use stash::repository::{InitOptions, LocalFolders, Repository};
use stash::store::{ObjectName, Store};
use stash::time::Timestamp;

use crate::common_engine::stores::{Call, TestStore};
use crate::common_engine::timed::HOUR;
use crate::common_engine::{LATER, TestClock, folders, open, open_fresh, secret, snapshots};
use crate::scene::{KIND, Scene, notes_of};

const SESSIONS: u64 = 5_000;

/// What is noted of a session: about 200 bytes, half of them unlike anything else.
fn title(random: &mut fastrand::Rng) -> String {
    let words: String = (0..16)
        .map(|_| ["make ", "the ", "tests ", "pass ", "again "][random.usize(..5)])
        .collect();
    format!("{:032x}{:032x}{:032x} {words}", random.u128(..), random.u128(..), random.u128(..))
}

fn fill(scene: &Scene, count: u64) {
    let mut random = fastrand::Rng::with_seed(7);
    for number in 0..count {
        let text = format!("{number:08x}:{}\n", title(&mut random));
        scene.put(&format!("one/sessions/{}/{number:05}.jsonl", number % 200), &text);
    }
}

fn add_a_turn(scene: &Scene, number: u64, random: &mut fastrand::Rng) {
    let path = format!("one/sessions/{}/{number:05}.jsonl", number % 200);
    let before = std::fs::read_to_string(scene.path(&path)).unwrap();
    scene.put(&path, &format!("{before}{number:08x}:{}\n", title(random)));
}

fn stored(calls: &TestStore) -> u64 {
    let calls = calls.take();
    calls.iter().map(|call| if let Call::Put(_, bytes) = call { *bytes } else { 0 }).sum()
}

fn scene_over(inner: &Arc<TestStore>, remote: bool) -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let store = if remote { inner.store().remote() } else { inner.store() };
    Scene::over(folder, &store)
}

fn on_disk() -> (tempfile::TempDir, Arc<TestStore>) {
    let folder = tempfile::tempdir().unwrap();
    let disk = object_store::local::LocalFileSystem::new_with_prefix(folder.path()).unwrap();
    let calls = TestStore::recording(Arc::new(disk) as Arc<dyn ObjectStore>);
    (folder, calls)
}

#[test]
fn one_more_turn_in_one_of_five_thousand_sessions_costs_at_most_4_kib() {
    let (_folder, calls) = on_disk();
    let scene = scene_over(&calls, false);
    fill(&scene, SESSIONS);
    scene.save();
    let whole = stored(&calls);
    assert_eq!(scene.notes().len() as u64, SESSIONS);
    let mut random = fastrand::Rng::with_seed(8);
    let mut most = 0;
    for round in 0..40 {
        add_a_turn(&scene, random.u64(..SESSIONS), &mut random);
        scene.save();
        let bytes = stored(&calls);
        assert!(bytes > 0 && bytes <= 4096, "round {round}: {bytes} bytes");
        most = most.max(bytes);
    }
    println!("the first run took {whole} bytes, one more turn at most {most}");
    let options = CheckOptions { read_data: ReadData::All, threads: 2, ..CheckOptions::default() };
    let fresh = open_fresh(scene.repository.store());
    let report = check(&fresh, &options, &Counters::default()).unwrap();
    assert!(report.is_clean(), "{:#?}", report.findings);
}

/// Returns how many calls and bytes the store was asked for.
fn asked(calls: &TestStore) -> (usize, u64) {
    let calls = calls.take();
    let bytes = calls.iter().map(|call| match call {
        Call::Range(_, range) => range.end - range.start,
        _ => 0,
    });
    (calls.len(), bytes.sum())
}

#[test]
fn a_warm_cache_answers_without_a_request_and_a_cold_one_asks_for_what_is_needed() {
    let (_folder, calls) = on_disk();
    let scene = scene_over(&calls, true);
    fill(&scene, 12_000);
    scene.save();
    calls.take();
    assert_eq!(scene.notes().len(), 12_000);
    assert_eq!(asked(&calls), (0, 0));

    let cold = open(&calls.store().remote(), &LocalFolders::default()).unwrap();
    let snapshot = scene.latest();
    calls.take();
    assert_eq!(notes_of(&cold, &snapshot, b"").len(), 12_000);
    let (_, all) = asked(&calls);
    let prefix = file_prefix("one", "main", b"sessions/7/00007.jsonl");
    assert_eq!(notes_of(&cold, &snapshot, &prefix).len(), 1);
    let (_, few) = asked(&calls);
    assert!(few < all, "{few} of {all} bytes");
    assert_eq!(notes_of(&cold, &snapshot, &root_prefix("none", "main")), [""; 0]);
}

#[test]
fn lists_of_many_parts_are_checked_copied_and_pruned() {
    for shares_keys in [true, false] {
        let scene = Scene::new();
        fill(&scene, 3_000);
        scene.save();
        let first = scene.notes();
        let mut random = fastrand::Rng::with_seed(9);
        for number in 0..600 {
            add_a_turn(&scene, number, &mut random);
        }
        scene.save();
        let second = scene.notes();
        assert!(find(&scene.latest(), KIND).unwrap().blob.is_some());
        assert_ne!(first, second);

        let to_store = Store::memory();
        let slots = [(secret(), "test".to_owned())];
        let (options, now) = (InitOptions::default(), Timestamp(1));
        let local = folders(&scene.path("to"));
        if shares_keys {
            scene.repository.init_like(&to_store, &options, &slots, now, &local).unwrap();
        } else {
            Repository::init(&to_store, &options, &slots, now, &local).unwrap();
        }
        let to = open(&to_store, &local).unwrap();
        let clock = TestClock(LATER + 100 * HOUR);
        let entries = snapshots(&scene.repository);
        let (options, counters) = (CopyOptions::default(), Counters::default());
        copy(&scene.repository, &to, &entries, &options, &clock, &counters, &Silent).unwrap();
        assert_whole(&open_fresh(&to_store), &[&first, &second]);
        assert_whole(&open_fresh(scene.repository.store()), &[&first, &second]);

        // The moments of these tests lie far ahead of the store's.
        let accepted = Accepted(BTreeSet::from([Brake::Clock, Brake::Half]));
        // What only the first needed goes, and what the second needs stays.
        for (repository, store) in [(&scene.repository, scene.repository.store()), (&to, &to_store)]
        {
            let oldest = snapshots(repository)[0].id;
            let forget =
                Mark { snapshot: oldest, kind: MarkKind::Forget as u64, ..Mark::default() };
            let parts = RecordParts { marks: vec![forget], ..RecordParts::default() };
            repository.append(parts, Timestamp(LATER + 101 * HOUR)).unwrap();
            let clock = TestClock(LATER + 200 * HOUR);
            let options = PruneOptions {
                alone: true,
                thorough: true,
                accepted: accepted.clone(),
                ..PruneOptions::default()
            };
            prune(repository, &options, &clock, &Counters::default(), &Silent).unwrap();
            let fresh = open_fresh(store);
            assert_whole(&fresh, &[&second]);
            let kept = attachment_blobs(&fresh);
            let needed = reachable(&fresh, &snapshots(&fresh)[0].snapshot);
            assert!(needed.len() > 5 && kept.is_superset(&needed));
            // A part that others are differences of may stay.
            let spare: Vec<_> = kept.difference(&needed).collect();
            assert!(spare.iter().all(|id| is_base(&fresh, id)), "{spare:?}");
        }
    }
}

fn assert_whole(repository: &Repository, notes: &[&[String]]) {
    let options = CheckOptions { read_data: ReadData::All, threads: 2, ..CheckOptions::default() };
    let report = check(repository, &options, &Counters::default()).unwrap();
    assert!(report.is_clean(), "{:#?}", report.findings);
    let found: Vec<Vec<String>> = snapshots(repository)
        .iter()
        .map(|entry| notes_of(repository, &entry.snapshot, b""))
        .collect();
    assert!(found == notes, "the lists differ");
}

fn units(repository: &Repository) -> Vec<UnitEntry> {
    let objects = repository.cache().objects().unwrap();
    let table = |object: &ObjectName| repository.cache().units_of(&object.hash()).unwrap();
    objects.iter().flat_map(|(object, _)| table(object)).collect()
}

fn attachment_blobs(repository: &Repository) -> BTreeSet<BlobId> {
    let units = units(repository);
    let of_kind = units.iter().filter(|unit| unit.kind == BlobKind::Attachment as u64);
    of_kind.flat_map(|unit| unit.blobs.iter().copied()).collect()
}

fn is_base(repository: &Repository, id: &BlobId) -> bool {
    units(repository).iter().any(|unit| unit.bases.iter().any(|base| base == id))
}

fn reachable(repository: &Repository, snapshot: &Snapshot) -> BTreeSet<BlobId> {
    let mut reader = BlobReader::new(repository).unwrap();
    let mut found = BTreeSet::new();
    let mut open: Vec<BlobId> = find(snapshot, KIND).unwrap().blob.into_iter().collect();
    while let Some(id) = open.pop() {
        found.insert(id);
        if let AttachmentMap::Parts(parts) = reader.load_attachment(&id).unwrap() {
            open.extend(parts.iter().map(|part| part.1));
        }
    }
    found
}

#[test]
fn an_unreadable_list_is_told_and_made_anew_by_the_run_after() {
    let scene = Scene::new();
    fill(&scene, 300);
    scene.save();
    let before = scene.notes();
    // A list whose parts are nowhere.
    let mut broken = scene.latest();
    broken.attachments[0].blob = Some(BlobId([9; 32]));
    broken.attachments[0].entries = Vec::new();
    broken.time += 1;
    let parts = RecordParts { snapshot: Some(broken), ..RecordParts::default() };
    scene.repository.append(parts, Timestamp(LATER + 2 * HOUR)).unwrap();
    let mut random = fastrand::Rng::with_seed(10);
    add_a_turn(&scene, 5, &mut random);
    let (report, notes) = scene.save_with(&scene.options(scene.both()));
    assert_eq!(report.statistics.errors, 0);
    assert!(notes.iter().any(|note| note.contains("noted anew")), "{notes:?}");
    assert!(find(&scene.latest(), KIND).is_none());
    scene.save();
    let after = scene.notes();
    let same = before.iter().zip(&after).filter(|(one, other)| one == other).count();
    assert_eq!((before.len(), after.len(), same), (300, 300, 299));
}
