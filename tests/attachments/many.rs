//! Lists of thousands of entries: what a change costs, what reading a part of one reads, and what
//! checking, copying and pruning make of them.

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use stash::engine::attachments::{file_prefix, find, root_prefix};
use stash::engine::check::{CheckOptions, ReadData, check};
use stash::engine::copy::{CopyOptions, copy};
use stash::engine::prune::{PruneOptions, prune};
use stash::event::{Counters, Silent};
use stash::format::record::{Mark, MarkKind};
use stash::repository::log::RecordParts;
use stash::repository::{InitOptions, Repository};
use stash::store::Store;
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
        scene.put(&format!("one/sessions/{}/{number:05}.jsonl", number % 40), &text);
    }
}

fn add_a_turn(scene: &Scene, number: u64, random: &mut fastrand::Rng) {
    let path = format!("one/sessions/{}/{number:05}.jsonl", number % 40);
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
