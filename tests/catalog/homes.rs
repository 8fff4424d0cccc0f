//! Whole homes: every file has the category that it was made with, and none is missed.

use std::collections::BTreeSet;

use stash::agents::{Catalog, Classified, PROJECT, Prune, RunningKind};
use stash::format::tree::Category;

use crate::common_agents::{Home, HomeFile, files_below};

#[test]
fn every_file_of_a_home_is_told_and_every_root_found() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).first_row();
    let catalog = Catalog::builtin().unwrap();
    let places = home.places();
    let detected = catalog.detect(&places);
    let ids: Vec<_> = detected.iter().map(|it| it.agent.id.as_str()).collect();
    let first_row = [
        "claude-code",
        "opencode",
        "gemini",
        "codex",
        "openclaw",
        "aider",
        "continue",
        "cursor",
        "copilot",
    ];
    assert_eq!(ids, first_row);
    for found in &detected {
        let agent = found.agent;
        let mut told = BTreeSet::new();
        for root in found.roots.iter().filter(|root| root.is_usable()) {
            for relative in files_below(&root.place) {
                let classified = agent.classify(&root.label, relative.as_bytes()).unwrap();
                told.insert((root.label.clone(), relative, classified.category));
            }
        }
        for file in home.files().iter().filter(|it| it.agent == agent.id && it.label == PROJECT) {
            let classified = agent.classify(PROJECT, file.relative.as_bytes()).unwrap();
            told.insert((PROJECT.to_owned(), file.relative.clone(), classified.category));
        }
        let made: BTreeSet<_> = home
            .files()
            .into_iter()
            .filter(|file| file.agent == agent.id)
            .map(|file| (file.label.to_owned(), file.relative, file.category))
            .collect();
        assert_eq!(told, made, "{}", agent.id);
        assert!(found.roots.iter().all(|root| root.problem.is_none()), "{:?}", found.roots);
    }
}

/// Walks as a backup will: without the folders that need none.
#[test]
fn a_walk_that_prunes_meets_every_file_but_caches() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).first_row();
    let catalog = Catalog::builtin().unwrap();
    let mut skipped = 0;
    for HomeFile { agent, label, relative, category, .. } in home.files() {
        let agent = catalog.find(agent).unwrap();
        let parents = relative.match_indices('/').map(|(place, _)| &relative[..place]);
        let pruned = parents.into_iter().any(|parent| {
            matches!(agent.prunes(label, parent.as_bytes()), Some(Prune::Cache(_) | Prune::Foreign))
        });
        assert!(!pruned || category == Category::Cache, "{} {label} {relative}", agent.id);
        skipped += usize::from(pruned);
    }
    assert!(skipped > 20, "{skipped}");
}

#[test]
fn databases_are_live_until_they_are_closed() {
    let folder = tempfile::tempdir().unwrap();
    let mut home = Home::new(folder.path()).opencode().codex();
    let log = folder.path().join(".local/share/opencode/opencode.db-wal");
    assert!(std::fs::metadata(&log).unwrap().len() > 0, "rows that only the log holds");
    let before = home.files().len();
    home.close();
    assert!(!log.exists());
    assert_eq!(home.files().len(), before - 2 * 5, "five databases lost their side files");
}

#[test]
fn what_tells_that_an_agent_runs_is_there_in_a_home() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).claude_code().codex().opencode();
    let catalog = Catalog::builtin().unwrap();
    let is_run_time = |classified: Option<Classified<'_>>| classified.is_some_and(|it| it.run_time);
    for file in home.files() {
        let agent = catalog.find(file.agent).unwrap();
        let names =
            ["sessions/4711.json", "thread-writer-locks/a.lock", "locks/ab12.lock/heartbeat"];
        if names.contains(&file.relative.as_str()) {
            let classified = agent.classify(file.label, file.relative.as_bytes());
            assert!(is_run_time(classified), "{} is never restored", file.relative);
            let kinds: Vec<_> = agent.running.iter().map(|check| check.kind).collect();
            assert!(
                kinds.contains(&RunningKind::PidFile) || kinds.contains(&RunningKind::LockFile)
            );
        }
    }
}
