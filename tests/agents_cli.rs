//! Coding agents through the real program: saved, listed, restored elsewhere, and undone.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops where things are not as they should be"
)]

mod common_agents;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common_agents::{Home, HomeFile};
use stash::agents::PROJECT;
use stash::format::tree::Category;

/// Runs the program in a home, with nothing else in its environment.
fn stash(home: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stash"))
        .args(words)
        .env_clear()
        .env("HOME", home)
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap()
}

/// The same; returns what it prints, if it succeeds.
fn done(home: &Path, words: &[&str]) -> String {
    let output = stash(home, words);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// What must be in every backup: no caches, and not what lies in projects.
fn saved(files: &[HomeFile]) -> impl Iterator<Item = &HomeFile> {
    files.iter().filter(|file| file.category != Category::Cache && file.label != PROJECT)
}

fn is_companion(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    name.ends_with("-wal") || name.ends_with("-shm")
}

fn is_database(path: &Path) -> bool {
    std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3\0"))
}

/// Returns every row of every table, in words.
fn rows(path: &Path) -> Vec<String> {
    let database = rusqlite::Connection::open(path).unwrap();
    let sound: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok", "{}", path.display());
    let mut tables = database
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        .unwrap();
    let tables: Vec<String> =
        tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut all = Vec::new();
    for table in tables {
        let mut statement = database.prepare(&format!("SELECT * FROM \"{table}\"")).unwrap();
        let columns = statement.column_count();
        let mut found = statement.query([]).unwrap();
        while let Some(row) = found.next().unwrap() {
            let cells: Vec<String> =
                (0..columns).map(|at| format!("{:?}", row.get_ref(at).unwrap())).collect();
            all.push(format!("{table}: {}", cells.join(", ")));
        }
    }
    all.sort();
    all
}

/// What each file holds; of databases their rows.
fn contents(files: &[HomeFile]) -> BTreeMap<PathBuf, Vec<u8>> {
    let plain = saved(files).filter(|file| !is_companion(&file.path));
    plain
        .map(|file| {
            let bytes = if is_database(&file.path) {
                rows(&file.path).join("\n").into_bytes()
            } else {
                std::fs::read(&file.path).unwrap()
            };
            (file.path.clone(), bytes)
        })
        .collect()
}

const AGENTS: [&str; 9] = [
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

#[test]
fn every_file_of_every_agent_is_saved_or_left_out_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).first_row();
    done(home.folder(), &["backup", "-q"]);
    let listed = done(home.folder(), &["ls", "latest"]);
    let listed: Vec<&Path> = listed.lines().map(Path::new).collect();
    let files = home.files();
    for file in saved(&files).filter(|file| !is_companion(&file.path)) {
        assert!(listed.contains(&file.path.as_path()), "{} is missing", file.path.display());
    }
    for file in files.iter().filter(|file| file.category == Category::Cache) {
        assert!(!listed.contains(&file.path.as_path()), "{} is a cache", file.path.display());
    }
    // Whatever is not listed is a cache, or belongs to a database.
    for agent in AGENTS {
        let shown = done(home.folder(), &["agents", "show", agent, "--json"]);
        assert!(shown.contains("\"here\":true"), "{shown}");
    }
    let again = done(home.folder(), &["backup"]);
    assert!(again.starts_with("nothing changed"), "{again}");
}

/// Runs a dry run in JSON, and returns what it says of each agent.
fn planned(home: &Path, words: &[&str]) -> BTreeMap<String, serde_json::Value> {
    let said = done(home, &[&["backup", "--dry-run", "--json"], words].concat());
    let summary: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    let agents = summary["agents"].as_array().unwrap().clone();
    agents.into_iter().map(|it| (it["agent"].as_str().unwrap().to_owned(), it)).collect()
}

#[test]
fn a_dry_run_accounts_for_every_file_by_agent_and_category_or_says_why_it_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).first_row();
    let before = common_agents::files_below(home.folder());
    let agents = planned(home.folder(), &[]);
    assert_eq!(common_agents::files_below(home.folder()), before, "it writes nothing");
    let files = home.files();
    for agent in AGENTS {
        let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
        let own = saved(&files).filter(|file| file.agent == agent && !is_companion(&file.path));
        for file in own {
            *expected.entry(file.category.name()).or_default() += 1;
        }
        let said = agents[agent]["categories"].as_array().unwrap();
        let said: BTreeMap<&str, u64> = said
            .iter()
            .map(|it| (it["category"].as_str().unwrap(), it["files"].as_u64().unwrap()))
            .collect();
        assert_eq!(said, expected, "{agent}");
        let reasons = agents[agent]["left_out"].as_array();
        let has_cache = files.iter().any(|it| it.agent == agent && it.category == Category::Cache);
        let says_so = reasons.is_some_and(|it| {
            it.iter().any(|reason| reason["reason"] == "the agent makes it again")
        });
        assert_eq!(says_so, has_cache, "{agent}");
    }
    let mixed = agents["claude-code"]["mixed_secrets"].to_string();
    assert!(mixed.contains("/.claude.json") && mixed.contains("settings.json"), "{mixed}");

    // The engine's own figures agree: the logs of open databases are not among what is read.
    let all: u64 = agents
        .values()
        .flat_map(|it| it["categories"].as_array().unwrap().clone())
        .map(|it| it["files"].as_u64().unwrap())
        .sum();
    let said = done(home.folder(), &["backup", "--dry-run", "--json"]);
    let summary: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(summary["total_files_processed"].as_u64(), Some(all), "{summary}");

    let only = planned(home.folder(), &["--agent", "claude-code", "--only", "sessions"]);
    assert_eq!(only.keys().collect::<Vec<_>>(), ["claude-code"]);
    for category in only["claude-code"]["categories"].as_array().unwrap() {
        let is_read = category["as_last_saved"].is_null();
        assert_eq!(is_read, category["category"] == "sessions", "{category}");
    }
    let without = planned(home.folder(), &["--agent", "claude-code", "--secrets", "exclude"]);
    let reasons = without["claude-code"]["left_out"].to_string();
    assert!(reasons.contains("holds credentials"), "{reasons}");
    let told = done(home.folder(), &["backup", "--dry-run"]);
    assert!(told.contains("claude-code  ") && told.contains("(left out)"), "{told}");
    assert!(told.contains("holds credentials beside other things: "), "{told}");
}

#[test]
fn after_a_disaster_everything_comes_back_into_another_home() {
    let folder = tempfile::tempdir().unwrap();
    let repository = folder.path().join("repository");
    let repository = repository.to_str().unwrap();
    let mut first = Home::new(folder.path().join("first")).first_row();
    let words = ["backup", "-q", "-r", repository];
    let pass = folder.path().join("pass");
    std::fs::write(&pass, "correct horse battery staple").unwrap();
    let pass = pass.to_str().unwrap();
    done(first.folder(), &["init", "-q", "-r", repository, "--passphrase-file", pass]);
    done(first.folder(), &words);
    first.close();
    let expected = contents(&first.files());
    // Another machine, on which no agent has run yet.
    let second = Home::new(folder.path().join("second"));
    for agent in AGENTS {
        let words =
            ["restore", "-r", repository, "--passphrase-file", pass, "--agent", agent, "--yes"];
        done(second.folder(), &words);
    }
    for (path, bytes) in expected {
        let below = path.strip_prefix(first.folder()).unwrap();
        let there = second.folder().join(below);
        assert!(there.exists(), "{} did not come back", below.display());
        let found = if is_database(&there) {
            rows(&there).join("\n").into_bytes()
        } else {
            std::fs::read(&there).unwrap()
        };
        assert!(found == bytes, "{} differs", below.display());
    }
}

#[test]
fn a_restore_can_be_undone_and_that_too() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).claude_code();
    let at = home.folder();
    done(at, &["backup", "-q"]);
    let settings = at.join(".claude/settings.json");
    let before = std::fs::read(&settings).unwrap();
    std::fs::write(&settings, "{\"changed\": true}").unwrap();
    let state = at.join(".claude.json");
    std::fs::write(&state, "{\"token\": \"new\"}").unwrap();
    let session = saved(&home.files())
        .find(|file| {
            file.category == Category::Sessions
                && Path::new(&file.relative).extension().is_some_and(|it| it == "jsonl")
        })
        .unwrap()
        .path
        .clone();
    std::fs::remove_file(&session).unwrap();
    done(at, &["backup", "-q"]);
    // A rehearsal writes nothing.
    let first = done(at, &["snapshots", "--json"]);
    let first: serde_json::Value = serde_json::from_str(&first).unwrap();
    let oldest = first[0]["id"].as_str().unwrap().to_owned();
    done(at, &["restore", &oldest, "--agent", "claude-code", "--dry-run"]);
    assert!(!session.exists() && std::fs::read(&settings).unwrap() != before);
    let refused = stash(at, &["restore", &oldest, "--agent", "claude-code"]);
    assert_eq!(refused.status.code(), Some(2), "nobody can be asked");
    done(at, &["restore", &oldest, "--agent", "claude-code", "--yes"]);
    assert!(session.exists());
    assert_eq!(std::fs::read(&settings).unwrap(), before);
    let joined = std::fs::read_to_string(&state).unwrap();
    assert!(joined.contains("\"new\""), "the sign-in that is there stays: {joined}");
    done(at, &["undo", "--yes"]);
    assert!(!session.exists());
    assert_eq!(std::fs::read(&settings).unwrap(), b"{\"changed\": true}");
    done(at, &["undo", "--yes"]);
    assert!(session.exists());
    assert_eq!(std::fs::read(&settings).unwrap(), before);
}

#[test]
fn a_selection_is_no_partial_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).claude_code().codex();
    let at = home.folder();
    done(at, &["backup", "-q"]);
    done(at, &["backup", "-q", "--only", "sessions", "--always"]);
    let listed = done(at, &["ls", "latest"]);
    let settings = at.join(".claude/settings.json");
    assert!(listed.lines().any(|line| Path::new(line) == settings));
    std::fs::remove_file(&settings).unwrap();
    done(at, &["restore", "--agent", "claude-code", "--only", "config", "--yes"]);
    assert!(settings.exists());
}

#[test]
fn without_agents_and_paths_there_is_nothing_to_save() {
    let folder = tempfile::tempdir().unwrap();
    let output = stash(folder.path(), &["backup"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!folder.path().join(".local/share/stash/repository").exists());
    let output = stash(folder.path(), &["backup", "--agent", "claude-cod"]);
    assert_eq!(output.status.code(), Some(2));
}

/// Returns the text of every test file.
fn sources(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| match path.extension() {
        _ if path.is_dir() => sources(&path),
        Some(end) if end == "rs" => std::fs::read_to_string(&path).unwrap(),
        _ => String::new(),
    };
    entries.map(read).collect()
}

#[test]
fn what_can_be_done_with_an_agent_is_shown_by_a_test_that_is_there_and_told_in_the_readme() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let home = tempfile::tempdir().unwrap();
    let told = done(home.path(), &["agents", "list", "--capabilities", "--json"]);
    let lines: Vec<serde_json::Value> = serde_json::from_str(&told).unwrap();
    assert!(lines.len() >= AGENTS.len() * 8);
    let tests = sources(&project.join("tests")) + &sources(&project.join("src/agents/session"));
    let mut yes = 0;
    for line in &lines {
        match (line["test"].as_str(), line["reason"].as_str()) {
            (Some(test), None) => {
                yes += 1;
                assert!(tests.contains(&format!("#[test]\nfn {test}()")), "no test {test}");
            }
            (None, Some(reason)) => assert!(!reason.is_empty()),
            _ => panic!("neither yes nor no: {line}"),
        }
    }
    assert!(yes >= 2 * AGENTS.len());
    let shown = done(home.path(), &["agents", "list", "--capabilities"]);
    let table: String =
        shown.lines().take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
    let readme = std::fs::read_to_string(project.join("README.md")).unwrap();
    assert!(readme.contains(&table), "the README has another table than:\n{table}");
}

#[test]
fn what_links_lead_to_is_saved_only_on_request_and_never_the_whole_home() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).claude_code();
    let at = home.folder();
    let dotfiles = at.join("dotfiles/skills");
    std::fs::create_dir_all(dotfiles.join("review")).unwrap();
    std::fs::write(dotfiles.join("review/SKILL.md"), "look twice").unwrap();
    let skills = at.join(".claude/skills");
    std::fs::rename(&skills, at.join("old-skills")).unwrap();
    symlink(&dotfiles, &skills).unwrap();
    symlink(at, at.join(".claude/all")).unwrap();
    symlink("/nowhere/at/all", at.join(".claude/dangling")).unwrap();

    let told = stash(at, &["backup", "--dry-run"]);
    let told = String::from_utf8(told.stderr).unwrap();
    assert!(told.contains("/dotfiles/skills`, which is not saved; `--follow-links`"), "{told}");
    done(at, &["backup", "-q"]);
    let inside = dotfiles.join("review/SKILL.md");
    let is_saved = || done(at, &["ls", "latest"]).lines().any(|line| Path::new(line) == inside);
    assert!(!is_saved());
    let said = stash(at, &["backup", "--follow-links"]);
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains("holds much more; only the link is saved"), "{said}");
    assert!(is_saved());
    let listed = done(at, &["ls", "latest"]);
    assert!(!listed.contains("old-skills"), "{listed}");

    // By the configuration, in the same line of snapshots.
    std::fs::create_dir_all(at.join(".config/stash")).unwrap();
    let config = "[agents.claude-code]\nfollow_links = true\n";
    std::fs::write(at.join(".config/stash/config.toml"), config).unwrap();
    std::fs::write(&inside, "look three times").unwrap();
    let again = done(at, &["backup", "--json"]);
    assert!(again.contains("\"files_changed\":1"), "{again}");
    let target = at.join("out");
    done(
        at,
        &[
            "restore",
            &format!("latest:{}", dotfiles.display()),
            "--target",
            target.to_str().unwrap(),
        ],
    );
    assert_eq!(
        std::fs::read_to_string(target.join("review/SKILL.md")).unwrap(),
        "look three times"
    );
}
