//! Runs that read a part, other jobs, and the first run of a program that observes.

use stash::engine::backup::{AgentSources, BackupOptions};
use stash::format::tree::Category;

use crate::filled;
use crate::scene::{Scene, has_list};

#[test]
fn roots_that_are_carried_over_unread_keep_their_entries() {
    let scene = filled();
    let two = scene.notes()[4].clone();
    scene.observer.take_asked();
    scene.put("one/sessions/a.jsonl", "x:changed\n");
    scene.put("two/sessions/a.jsonl", "x:changed, and not seen yet\n");
    scene.save_with(&scene.options(scene.only_one()));
    assert_eq!(scene.observer.take_asked(), ["one/sessions/a.jsonl 2"]);
    assert_eq!(scene.notes()[1], "one/sessions/a.jsonl x: 1 changed");
    assert_eq!(scene.notes()[3], two);
    scene.save();
    assert_eq!(scene.observer.take_asked(), ["two/sessions/a.jsonl 1"]);
    // An agent that is no more in the snapshot is no more in the list.
    let mut agents = scene.both();
    agents.roots.pop();
    scene.save_with(&scene.options(agents));
    assert!(scene.notes().iter().all(|line| line.starts_with("one/")), "{:?}", scene.notes());
}

#[test]
fn files_that_are_carried_over_unread_keep_their_entries() {
    let scene = filled();
    let before = scene.notes();
    scene.put("one/sessions/a.jsonl", "x:changed\n");
    scene.put("one/config.jsonl", "c:changed, and not seen yet\n");
    let agents = AgentSources {
        roots: vec![scene.source("one", Some(Category::Sessions))],
        is_partial: true,
        carried: vec!["one".to_owned(), "two".to_owned()],
        ..AgentSources::default()
    };
    scene.save_with(&scene.options(agents));
    let after = scene.notes();
    assert_eq!(after[0], before[0]);
    assert_eq!(after[1], "one/sessions/a.jsonl x: 1 changed");
    assert_eq!(after[2..], before[3..]);
}

#[test]
fn another_job_takes_the_entries_over_with_the_roots() {
    let scene = filled();
    scene.remove("one/sessions/old");
    scene.save();
    let before = scene.notes();
    assert!(before.iter().any(|line| line.contains("gone")), "{before:?}");
    let options = BackupOptions { job: "other".to_owned(), ..scene.options(scene.both()) };
    assert!(scene.save_with(&options).0.parent.is_none());
    assert_eq!(scene.notes(), before, "what is kept though absent is known as it was");
}

fn unobserved() -> Scene {
    let scene = Scene::new();
    scene.put("one/sessions/a.jsonl", "x:first\n");
    scene.put("one/config.jsonl", "c:setting\n");
    scene.put("two/sessions/a.jsonl", "x:elsewhere\n");
    let options = BackupOptions { observer: None, ..scene.options(scene.both()) };
    scene.save_with(&options);
    assert!(!has_list(&scene.latest()));
    scene
}

#[test]
fn the_first_run_that_observes_looks_at_unchanged_files_and_no_later_one_does() {
    let scene = unobserved();
    let report = scene.save();
    assert!(report.snapshot.is_some());
    assert_eq!(report.files_unchanged, 3);
    assert_eq!(scene.notes().len(), 3);
    scene.observer.take_asked();
    assert!(scene.save().snapshot.is_none());
    assert_eq!(scene.observer.take_asked(), [""; 0]);
}

#[test]
fn what_was_carried_over_before_anybody_observed_it_is_looked_at_when_it_is_read() {
    let scene = unobserved();
    scene.save_with(&scene.options(scene.only_one()));
    assert_eq!(scene.notes().len(), 2);
    scene.put("one/config.jsonl", "c:other setting\n");
    scene.save();
    assert_eq!(scene.notes().len(), 3);
}

#[test]
fn a_part_of_what_nobody_has_observed_begins_no_list() {
    let scene = unobserved();
    scene.put("one/sessions/b.jsonl", "y:second\n");
    let agents = AgentSources {
        roots: vec![scene.source("one", Some(Category::Sessions))],
        is_partial: true,
        carried: vec!["one".to_owned(), "two".to_owned()],
        ..AgentSources::default()
    };
    scene.save_with(&scene.options(agents));
    assert!(!has_list(&scene.latest()));
    scene.save();
    assert_eq!(scene.notes().len(), 4);
}

#[test]
fn a_safety_snapshot_a_gathered_one_and_one_of_paths_have_no_list() {
    let scene = filled();
    scene.put("one/sessions/a.jsonl", "x:changed\n");
    let options = BackupOptions { is_safety: true, ..scene.options(scene.both()) };
    scene.save_with(&options);
    assert!(!has_list(&scene.latest()));
    let gathered = AgentSources { gathered: Some(Vec::new()), ..scene.both() };
    scene.save_with(&scene.options(gathered));
    assert!(!has_list(&scene.latest()));
    let paths = vec![scene.path("one")];
    let options =
        BackupOptions { paths, job: "paths".to_owned(), ..scene.options(AgentSources::default()) };
    scene.save_with(&options);
    assert!(!has_list(&scene.latest()));
    scene.observer.take_asked();
    scene.put("one/sessions/a.jsonl", "x:changed again\n");
    let options = BackupOptions { dry_run: true, ..scene.options(scene.both()) };
    scene.save_with(&options);
    assert_eq!(scene.observer.take_asked(), [""; 0]);
}
