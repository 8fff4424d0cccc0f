//! Roots of agents: categories, selections that limit only what is read, and what stays although it
//! has vanished.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops where things are not as they should be"
)]

mod common_engine;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common_engine::{LATER, SECOND, backup_options, folders, init, put, save_with};
use stash::engine::backup::{AgentClass, AgentRules, AgentSource, AgentSources, BackupReport};
use stash::engine::browse::{Found, TreeStep, TreeWalk};
use stash::files::{ExcludeOptions, ExcludeReason, Excludes, LeaveOut};
use stash::format::record::Snapshot;
use stash::format::tree::{Category, Node, NodeKind};
use stash::repository::Repository;
use stash::repository::reader::BlobReader;
use stash::store::Store;

/// Sessions, memory, config and a cache, by the first name of the path.
struct Rules {
    place: PathBuf,
    only: Option<Category>,
}

fn category(path: &[u8]) -> Category {
    match path.split(|byte| *byte == b'/').next().unwrap() {
        b"sessions" => Category::Sessions,
        b"memory" => Category::Memory,
        b"cache" => Category::Cache,
        _ => Category::Config,
    }
}

impl AgentRules for Rules {
    fn class(&self, path: &[u8]) -> AgentClass {
        // A folder `mixed` holds both.
        let path = path.strip_prefix(b"mixed/").unwrap_or(path);
        let category = category(path);
        AgentClass {
            category,
            is_saved: category != Category::Cache,
            is_read: self.only.is_none_or(|only| only == category),
        }
    }
}

impl LeaveOut for Rules {
    fn reason(&self, path: &Path, _is_directory: bool) -> Option<ExcludeReason> {
        let is_cache = path == self.place.join("cache");
        is_cache.then_some(ExcludeReason::AgentCache)
    }
}

struct Scene {
    folder: tempfile::TempDir,
    repository: Repository,
    now: std::cell::Cell<i64>,
}

impl Scene {
    fn new() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let repository = init(&Store::memory(), &folders(&folder.path().join("machine")));
        let scene = Scene { folder, repository, now: std::cell::Cell::new(LATER) };
        for (path, text) in [
            ("one/sessions/a.jsonl", "first\n"),
            ("one/sessions/old/b.jsonl", "second\n"),
            ("one/memory/notes.md", "remember\n"),
            ("one/config.toml", "x = 1\n"),
            ("one/cache/big", "again\n"),
            ("one/mixed/sessions/c", "third\n"),
            ("one/mixed/setting", "s\n"),
            ("two/config.toml", "y = 1\n"),
        ] {
            scene.put(path, text);
        }
        scene
    }

    fn put(&self, path: &str, text: &str) {
        put(&self.folder.path().join(path), text);
    }

    fn remove(&self, path: &str) {
        let path = self.folder.path().join(path);
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        } else {
            std::fs::remove_file(path).unwrap();
        }
    }

    fn source(&self, agent: &str, only: Option<Category>) -> AgentSource {
        let place = self.folder.path().join(agent);
        let rules = || Arc::new(Rules { place: place.clone(), only });
        let excludes = Excludes::new(&ExcludeOptions::default()).unwrap().with_rules(rules());
        AgentSource {
            agent: agent.to_owned(),
            label: "main".to_owned(),
            excludes: Arc::new(excludes),
            rules: rules(),
            place: place.clone(),
        }
    }

    fn save(&self, agents: AgentSources) -> BackupReport {
        self.save_as("agents", agents, &[])
    }

    fn save_as(&self, job: &str, agents: AgentSources, paths: &[&Path]) -> BackupReport {
        // Far from the times of the files, so that these are believed.
        self.now.set(self.now.get() + 3600 * SECOND);
        let mut options = backup_options(paths);
        let places: Vec<_> = agents.roots.iter().map(|root| root.place.clone()).collect();
        options.excludes = Arc::new(
            Excludes::new(&ExcludeOptions::default()).unwrap().with_elsewhere(places.into_iter()),
        );
        (options.agents, options.job) = (agents, job.to_owned());
        save_with(&self.repository, &options, self.now.get()).unwrap()
    }

    fn both(&self) -> AgentSources {
        let roots = vec![self.source("one", None), self.source("two", None)];
        AgentSources { roots, ..AgentSources::default() }
    }

    fn only(&self, category: Category) -> AgentSources {
        AgentSources {
            roots: vec![self.source("one", Some(category))],
            is_partial: true,
            carried: vec!["one".to_owned(), "two".to_owned()],
            ..AgentSources::default()
        }
    }

    fn snapshot(&self, report: &BackupReport) -> Snapshot {
        let id = report.snapshot.unwrap();
        let entries = self.repository.cached_snapshots().unwrap();
        entries.into_iter().find(|entry| entry.id == id).unwrap().snapshot
    }

    /// Returns every file of a snapshot: its path below the scene, its node, its content.
    fn files(&self, snapshot: &Snapshot) -> Vec<(String, Node, String)> {
        let mut reader = BlobReader::new(&self.repository).unwrap();
        let mut files = Vec::new();
        for root in &snapshot.roots {
            let item = Found { path: root.place.to_vec(), node: root.node.clone() };
            let mut walk = TreeWalk::new(item, true);
            let mut absent: Vec<bool> = Vec::new();
            while let Some(step) = walk.next(&mut reader) {
                let found = match step {
                    TreeStep::Node(found) => found,
                    TreeStep::Leave => {
                        absent.pop();
                        continue;
                    }
                    TreeStep::Failed { error, .. } => panic!("{error}"),
                };
                let is_absent = absent.last() == Some(&true) || found.node.absent_since.is_some();
                if found.node.kind == NodeKind::Directory {
                    absent.push(is_absent);
                    continue;
                }
                let path = String::from_utf8(found.path).unwrap();
                let path = path.strip_prefix(self.folder.path().to_str().unwrap()).unwrap();
                let mark = if is_absent { "-" } else { "" };
                let content = String::from_utf8(found.node.inline.to_vec()).unwrap();
                files.push((format!("{mark}{}", &path[1..]), found.node, content));
            }
        }
        files
    }

    fn names(&self, snapshot: &Snapshot) -> Vec<String> {
        self.files(snapshot).into_iter().map(|(name, ..)| name).collect()
    }
}

#[test]
fn each_file_has_its_category_and_what_the_agent_makes_again_is_left_out() {
    let scene = Scene::new();
    let report = scene.save(scene.both());
    assert_eq!(report.excluded_items, 1);
    let snapshot = scene.snapshot(&report);
    let roots: Vec<_> =
        snapshot.roots.iter().map(|root| (root.agent.as_str(), root.label.as_str())).collect();
    assert_eq!(roots, [("one", "main"), ("two", "main")]);
    for (path, node, _) in scene.files(&snapshot) {
        let expected = match path.as_str() {
            path if path.contains("sessions") => Category::Sessions,
            "one/memory/notes.md" => Category::Memory,
            _ => Category::Config,
        };
        assert_eq!(Category::from_number(node.category), Some(expected), "{path}");
    }
    assert!(scene.save(scene.both()).snapshot.is_none(), "nothing changed, nothing written");
}

#[test]
fn sessions_and_memory_that_vanish_stay_and_the_rest_does_not() {
    let scene = Scene::new();
    scene.save(scene.both());
    for path in ["one/sessions/old", "one/memory", "one/mixed", "two/config.toml"] {
        scene.remove(path);
    }
    let second = scene.snapshot(&scene.save(scene.both()));
    assert_eq!(
        scene.names(&second),
        [
            "one/config.toml",
            "-one/memory/notes.md",
            "-one/mixed/sessions/c",
            "one/sessions/a.jsonl",
            "-one/sessions/old/b.jsonl",
        ]
    );
    assert!(scene.save(scene.both()).snapshot.is_none(), "they stay without being said again");
    // A file changes in the directory of one that is gone, and one comes back.
    scene.put("one/sessions/a.jsonl", "first\nmore\n");
    scene.put("one/memory/other.md", "new\n");
    let third = scene.snapshot(&scene.save(scene.both()));
    assert_eq!(
        scene.names(&third),
        [
            "one/config.toml",
            "-one/memory/notes.md",
            "one/memory/other.md",
            "-one/mixed/sessions/c",
            "one/sessions/a.jsonl",
            "-one/sessions/old/b.jsonl",
        ]
    );
    scene.put("one/memory/notes.md", "remember\n");
    let fourth = scene.snapshot(&scene.save(scene.both()));
    assert!(scene.names(&fourth).contains(&"one/memory/notes.md".to_owned()), "it is back");
    let since: Vec<_> = scene
        .files(&fourth)
        .into_iter()
        .filter_map(|(path, node, _)| Some((path, node.absent_since?)))
        .collect();
    assert!(since.iter().all(|(_, since)| *since < third.time), "{since:?}");
}

#[test]
fn a_selection_limits_what_is_read_and_not_what_the_snapshot_holds() {
    let scene = Scene::new();
    scene.save(scene.both());
    scene.put("one/config.toml", "x = 2, and longer\n");
    scene.put("one/sessions/a.jsonl", "first\nnext\n");
    scene.put("one/sessions/new.jsonl", "n\n");
    scene.put("one/new.toml", "n\n");
    scene.put("two/config.toml", "y = 2, and longer\n");
    scene.remove("one/memory/notes.md");
    let report = scene.save(scene.only(Category::Sessions));
    let snapshot = scene.snapshot(&report);
    let files = scene.files(&snapshot);
    let content = |path: &str| files.iter().find(|(name, ..)| name == path).unwrap().2.clone();
    assert_eq!(content("one/sessions/a.jsonl"), "first\nnext\n");
    assert_eq!(content("one/sessions/new.jsonl"), "n\n");
    assert_eq!(content("one/config.toml"), "x = 1\n", "as it was last read");
    assert_eq!(content("one/memory/notes.md"), "remember\n", "nobody looked whether it is gone");
    assert_eq!(content("two/config.toml"), "y = 1\n");
    assert!(!files.iter().any(|(name, ..)| name == "one/new.toml"));
    assert!(snapshot.roots[0].last_read.is_none() && snapshot.roots[1].last_read.is_some());
    assert!(scene.save(scene.only(Category::Sessions)).snapshot.is_none());
    let all = scene.snapshot(&scene.save(scene.both()));
    let files = scene.files(&all);
    let content = |path: &str| files.iter().find(|(name, ..)| name == path).unwrap().2.clone();
    assert_eq!(content("one/config.toml"), "x = 2, and longer\n");
    assert_eq!(content("two/config.toml"), "y = 2, and longer\n");
    assert_eq!(content("-one/memory/notes.md"), "remember\n");
}

#[test]
fn what_lies_below_an_agent_and_a_path_belongs_to_the_agent() {
    let scene = Scene::new();
    let folder = scene.folder.path().join("home");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::rename(scene.folder.path().join("one"), folder.join("one")).unwrap();
    put(&folder.join("plain"), "p\n");
    let mut source = scene.source("one", None);
    source.place = folder.join("one");
    let agents = || AgentSources { roots: vec![source.clone()], ..AgentSources::default() };
    let snapshot = scene.snapshot(&scene.save_as("all", agents(), &[&folder]));
    assert_eq!(snapshot.roots.len(), 2);
    let files = scene.files(&snapshot);
    let reference = files.iter().find(|(name, ..)| name == "home/one").unwrap();
    assert_eq!(reference.1.kind, NodeKind::Reference);
    assert_eq!(reference.1.target.0, b"/agents/one/main");
    assert_eq!(files.iter().filter(|(name, ..)| name.ends_with("a.jsonl")).count(), 1);
    assert!(scene.save_as("all", agents(), &[&folder]).snapshot.is_none());
}

#[test]
fn another_job_knows_what_vanished_before_its_first_run() {
    let scene = Scene::new();
    scene.save(scene.both());
    scene.remove("one/sessions/a.jsonl");
    let other = scene.snapshot(&scene.save_as("other", scene.both(), &[]));
    assert!(scene.names(&other).contains(&"-one/sessions/a.jsonl".to_owned()));
}
