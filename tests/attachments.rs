//! What an observer notes of agents' files while they are saved: kept beside the snapshot, going on
//! from one to the next, and cheap.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops where things are not as they should be"
)]

mod common_engine;
mod common_sqlite;
#[path = "attachments/databases.rs"]
mod databases;
#[path = "attachments/many.rs"]
mod many;
#[path = "attachments/purged.rs"]
mod purged;
#[path = "attachments/scene.rs"]
mod scene;
#[path = "attachments/selections.rs"]
mod selections;

use std::sync::atomic::Ordering;

use common_engine::{open_fresh, snapshots};
use scene::{KIND, Scene, has_list, notes_of};
use stash::engine::attachments::{file_prefix, find, folder_prefix, root_prefix};
use stash::engine::backup::BackupOptions;

#[test]
fn writer_process() {
    common_sqlite::writer_process();
}

#[test]
fn holder_process() {
    common_sqlite::holder_process();
}

fn filled() -> Scene {
    let scene = Scene::new();
    scene.put("one/sessions/a.jsonl", "x:first\ny:second\nx:third\n");
    scene.put("one/sessions/old/b.jsonl", "z:fourth\n");
    scene.put("one/config.jsonl", "c:setting\n");
    scene.put("one/config.toml", "not wanted\n");
    scene.put("two/sessions/a.jsonl", "x:elsewhere\n");
    scene.save();
    scene
}

#[test]
fn each_file_is_observed_when_it_is_new_or_changed_and_keeps_its_entries_else() {
    let scene = filled();
    assert_eq!(
        scene.observer.take_asked(),
        [
            "one/config.jsonl 0",
            "one/sessions/a.jsonl 0",
            "one/sessions/old/b.jsonl 0",
            "two/sessions/a.jsonl 0",
        ]
    );
    let first = [
        "one/config.jsonl c: 1 setting",
        "one/sessions/a.jsonl x: 2 third",
        "one/sessions/a.jsonl y: 1 second",
        "one/sessions/old/b.jsonl z: 1 fourth",
        "two/sessions/a.jsonl x: 1 elsewhere",
    ];
    assert_eq!(scene.notes(), first);
    // Small enough for the snapshot itself.
    let attachment = find(&scene.latest(), KIND).unwrap().clone();
    assert_eq!((attachment.entries.len(), attachment.blob), (5, None));

    assert!(scene.save().snapshot.is_none(), "nothing has changed");
    assert_eq!(scene.observer.take_asked(), [""; 0]);

    scene.put("one/sessions/a.jsonl", "x:first\nx:third\nnew:line\n");
    scene.put("one/config.toml", "still not wanted\n");
    assert!(scene.save().snapshot.is_some());
    assert_eq!(scene.observer.take_asked(), ["one/sessions/a.jsonl 2"]);
    let changed = [
        "one/config.jsonl c: 1 setting",
        "one/sessions/a.jsonl new: 1 line",
        "one/sessions/a.jsonl x: 2 third",
        "one/sessions/old/b.jsonl z: 1 fourth",
        "two/sessions/a.jsonl x: 1 elsewhere",
    ];
    assert_eq!(scene.notes(), changed);
    // The first snapshot still says what it said.
    let fresh = open_fresh(scene.repository.store());
    assert_eq!(notes_of(&fresh, &snapshots(&fresh)[0].snapshot, b""), first);
    let range = |prefix: Vec<u8>| notes_of(&fresh, &snapshots(&fresh)[1].snapshot, &prefix);
    assert_eq!(range(root_prefix("one", "main")), changed[..4]);
    assert_eq!(range(folder_prefix("one", "main", b"sessions")), changed[1..4]);
    assert_eq!(range(folder_prefix("one", "main", b"sessions/old")), changed[3..4]);
    assert_eq!(range(file_prefix("one", "main", b"sessions/a.jsonl")), changed[1..3]);
    assert_eq!(range(root_prefix("three", "main")), [""; 0]);
}

#[test]
fn what_is_gone_loses_its_entries_and_what_is_kept_is_marked_once() {
    let scene = filled();
    scene.observer.take_asked();
    scene.remove("one/sessions");
    scene.remove("one/config.jsonl");
    scene.save();
    let marked = [
        "one/sessions/a.jsonl x: 2 third gone 7200",
        "one/sessions/a.jsonl y: 1 second gone 7200",
        "one/sessions/old/b.jsonl z: 1 fourth gone 7200",
        "two/sessions/a.jsonl x: 1 elsewhere",
    ];
    assert_eq!(scene.notes(), marked);
    assert_eq!(scene.observer.take_asked(), ["vanished 1", "vanished 2"]);
    // Not at each run.
    scene.put("two/sessions/b.jsonl", "n:new\n");
    scene.save();
    assert_eq!(scene.notes()[..4], marked);
    assert_eq!(scene.observer.take_asked(), ["two/sessions/b.jsonl 0"]);
    // What comes back is looked at again, as it is now.
    scene.put("one/sessions/a.jsonl", "x:first\ny:second\nx:third\n");
    scene.put("one/sessions/old/b.jsonl", "z:fourth\n");
    scene.save();
    let asked = scene.observer.take_asked();
    assert_eq!(asked, ["one/sessions/a.jsonl 2", "one/sessions/old/b.jsonl 1"]);
    assert_eq!(
        scene.notes()[..3],
        [
            "one/sessions/a.jsonl x: 2 third",
            "one/sessions/a.jsonl y: 1 second",
            "one/sessions/old/b.jsonl z: 1 fourth",
        ]
    );
    // A folder that goes in two steps is asked about in two.
    scene.put("one/sessions/old/c.jsonl", "w:fifth\n");
    scene.save();
    scene.remove("one/sessions/old/b.jsonl");
    scene.save();
    scene.observer.take_asked();
    scene.remove("one/sessions/old");
    scene.save();
    assert_eq!(scene.observer.take_asked(), ["vanished 1"]);
    assert_eq!(
        scene.notes()[2..4],
        [
            "one/sessions/old/b.jsonl z: 1 fourth gone 21600",
            "one/sessions/old/c.jsonl w: 1 fifth gone 25200",
        ]
    );
}

#[test]
fn a_file_in_the_place_of_a_folder_and_the_reverse_leave_no_entries_behind() {
    let scene = Scene::new();
    scene.put("one/conf/deep/a.jsonl", "a:1\n");
    scene.put("one/b.jsonl", "b:1\n");
    scene.put("one/l.jsonl", "l:1\n");
    scene.save();
    scene.remove("one/conf");
    scene.remove("one/b.jsonl");
    scene.remove("one/l.jsonl");
    scene.put("one/conf", "plain\n");
    scene.put("one/b.jsonl/c.jsonl", "c:1\n");
    std::os::unix::fs::symlink("elsewhere", scene.path("one/l.jsonl")).unwrap();
    scene.save();
    assert_eq!(scene.notes(), ["one/b.jsonl/c.jsonl c: 1 1"]);
}

#[test]
fn a_root_that_is_a_file_has_an_empty_path() {
    let scene = Scene::new();
    scene.put("one.jsonl", "s:text\n");
    let mut agents = scene.both();
    agents.roots.truncate(1);
    agents.roots[0].place = scene.path("one.jsonl");
    scene.save_with(&scene.options(agents));
    // What is not wanted by its path below the root has no entry.
    assert_eq!(scene.notes(), [""; 0]);
    assert!(has_list(&scene.latest()));
}

#[test]
fn what_the_observer_fails_at_is_a_warning_and_the_file_keeps_its_entries() {
    let scene = filled();
    let before = scene.notes();
    scene.observer.fails.store(true, Ordering::SeqCst);
    scene.put("one/sessions/a.jsonl", "other:text, and more of it\n");
    scene.put("one/sessions/n.jsonl", "new:text\n");
    let (report, notes) = scene.save_with(&scene.options(scene.both()));
    assert_eq!(report.statistics.errors, 0);
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes.iter().all(|note| note.contains("not understood")), "{notes:?}");
    assert_eq!(scene.notes(), before);
    // With the next change all is well again.
    scene.observer.fails.store(false, Ordering::SeqCst);
    scene.put("one/sessions/a.jsonl", "other:text\n");
    scene.save();
    assert_eq!(scene.notes()[1], "one/sessions/a.jsonl other: 1 text");
}

#[test]
fn a_text_is_read_as_it_was_saved_whatever_becomes_of_its_path() {
    let scene = Scene::new();
    scene.put("one/secret", "s:do not tell\n");
    scene.put("one/sessions/a.jsonl", "a:one\n");
    scene.put("one/sessions/b.jsonl", "b:one\n");
    let secret = scene.path("one/secret");
    *scene.observer.before_reading.lock().unwrap() = Some(Box::new(move |path| {
        if path.ends_with("a.jsonl") {
            std::fs::remove_file(path).unwrap();
            std::os::unix::fs::symlink(&secret, path).unwrap();
        } else {
            let mut file = std::fs::File::options().append(true).open(path).unwrap();
            std::io::Write::write_all(&mut file, b"b:two\n").unwrap();
        }
    }));
    scene.save();
    assert_eq!(scene.notes(), ["one/sessions/a.jsonl a: 1 one", "one/sessions/b.jsonl b: 1 one"]);
}

#[test]
fn a_run_that_reads_everything_again_without_a_change_writes_nothing() {
    let scene = filled();
    let options = BackupOptions { force: true, ..scene.options(scene.both()) };
    assert!(scene.save_with(&options).0.snapshot.is_none());
    assert_eq!(scene.count(), 1);
}
