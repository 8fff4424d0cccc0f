//! What is purged is gone from lists too, and nothing else is.

use stash::engine::attachments::KeyParts;
use stash::engine::check::{CheckOptions, check};
use stash::engine::purge::{DropsEntry, Purge, PurgeReport, plan_purge_with, purge_with};
use stash::event::{Counters, Silent};
use stash::format::tree::Category;

use crate::common_engine::timed::HOUR;
use crate::common_engine::{LATER, TestClock, open_fresh, snapshots};
use crate::filled;
use crate::scene::{Scene, has_list, notes_of};

fn take_out(scene: &Scene, what: &Purge, drops: Option<&DropsEntry<'_>>) -> PurgeReport {
    let (repository, counters) = (&scene.repository, Counters::default());
    let entries = snapshots(repository);
    let plan = plan_purge_with(repository, &entries, what, drops, &counters).unwrap();
    assert_eq!(snapshots(repository).len(), entries.len());
    let clock = TestClock(LATER + 100 * HOUR);
    let report = purge_with(repository, &entries, what, drops, &clock, &counters, &Silent).unwrap();
    let counts = |report: &PurgeReport| -> Vec<(u64, u64)> {
        report.snapshots.iter().map(|it| (it.files, it.entries)).collect()
    };
    assert_eq!(counts(&plan), counts(&report), "what was planned is what was done");
    let fresh = open_fresh(repository.store());
    let options = CheckOptions { threads: 2, ..CheckOptions::default() };
    let checked = check(&fresh, &options, &counters).unwrap();
    assert!(checked.is_clean(), "{:#?}", checked.findings);
    report
}

/// Two snapshots, the second with one more file.
fn two() -> Scene {
    let scene = filled();
    scene.put("two/sessions/more.jsonl", "m:more\n");
    scene.save();
    scene
}

fn all_notes(scene: &Scene) -> Vec<Vec<String>> {
    let repository = open_fresh(scene.repository.store());
    let entries = snapshots(&repository);
    entries.iter().map(|entry| notes_of(&repository, &entry.snapshot, b"")).collect()
}

#[test]
fn a_purged_folder_takes_its_entries_along_and_leaves_all_others() {
    let scene = two();
    let before = all_notes(&scene);
    let place = scene.path("one/sessions/old");
    let report = take_out(&scene, &Purge::Paths(vec![place.to_str().unwrap().into()]), None);
    assert_eq!(report.snapshots.iter().map(|it| it.entries).collect::<Vec<_>>(), [1, 1]);
    let expected: Vec<Vec<String>> = before
        .iter()
        .map(|notes| notes.iter().filter(|it| !it.contains("old/")).cloned().collect())
        .collect();
    assert_eq!(all_notes(&scene), expected);
    // The next run goes on from there, and sees again what lies on the disk still.
    scene.observer.take_asked();
    scene.save();
    let asked = scene.observer.take_asked();
    assert!(asked.contains(&"one/sessions/old/b.jsonl 0".to_owned()), "{asked:?}");
    assert_eq!(scene.notes(), before[1]);
}

#[test]
fn a_purged_file_takes_its_own_entries_only() {
    let scene = two();
    let place = scene.path("two/sessions/more.jsonl");
    let report = take_out(&scene, &Purge::Paths(vec![place.to_str().unwrap().into()]), None);
    assert_eq!((report.snapshots.len(), report.untouched), (1, 1));
    let after = all_notes(&scene);
    assert_eq!(after[0], after[1]);
    assert_eq!(after[0].len(), 5);
}

#[test]
fn a_category_or_a_whole_agent_goes_with_its_entries() {
    let scene = two();
    let what = Purge::Agent { agent: "one".to_owned(), only: vec![Category::Sessions] };
    take_out(&scene, &what, None);
    for notes in all_notes(&scene) {
        assert_eq!(notes[0], "one/config.jsonl c: 1 setting");
        assert!(notes[1..].iter().all(|it| it.starts_with("two/")), "{notes:?}");
    }
    take_out(&scene, &Purge::Agent { agent: "one".to_owned(), only: Vec::new() }, None);
    assert!(all_notes(&scene).iter().flatten().all(|it| it.starts_with("two/")));
    take_out(&scene, &Purge::Agent { agent: "two".to_owned(), only: Vec::new() }, None);
    assert_eq!(scene.count(), 0);
}

#[test]
fn single_entries_go_while_their_files_stay() {
    let scene = two();
    let drops = |kind: &str, key: &[u8]| {
        kind == "sessions" && KeyParts::of(key).is_some_and(|it| it.suffix == b"x")
    };
    let report = take_out(&scene, &Purge::Paths(Vec::new()), Some(&drops));
    assert_eq!(
        report.snapshots.iter().map(|it| (it.files, it.entries)).collect::<Vec<_>>(),
        [(0, 2); 2]
    );
    let after = all_notes(&scene);
    assert_eq!(after[0].len(), 3);
    assert!(after.iter().flatten().all(|it| !it.contains(" x: ")), "{after:?}");
    // Once more there is nothing to do.
    let again = take_out(&scene, &Purge::Paths(Vec::new()), Some(&drops));
    assert_eq!((again.snapshots.len(), again.untouched), (0, 2));
    // A list of which nothing is left goes as a whole.
    take_out(&scene, &Purge::Paths(Vec::new()), Some(&|_: &str, _: &[u8]| true));
    assert!(!has_list(&scene.latest()));
}
