//! Single sessions, brought back through the real program, and read with the readers that read them before.
#![allow(
    clippy::case_sensitive_file_extension_comparisons,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops where things are not as they should be"
)]

mod common_agents;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common_agents::{Home, files_below};
use rusqlite::Connection;
use serde_json::Value;

/// The ids that the invented home has.
const CLAUDE_SESSION: &str = "5c0d2b7e-1111-4a6b-9a10-aaaaaaaaaaaa";
const CODEX_SESSION: &str = "019a5c00-0000-7000-8000-0000000000c1";

/// A machine with a home; all of a scene share a repository.
struct Machine {
    folder: PathBuf,
    host: &'static str,
    repository: PathBuf,
}

impl Machine {
    fn new(scene: &Path, host: &'static str) -> Machine {
        let folder = scene.join(host).join("home");
        std::fs::create_dir_all(&folder).unwrap();
        Machine { folder, host, repository: scene.join("repository") }
    }

    fn output(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_stash"))
            .args(words)
            .env_clear()
            .env("HOME", &self.folder)
            .env("PATH", "/usr/bin:/bin")
            .env("STASH_HOST", self.host)
            .env("STASH_REPOSITORY", &self.repository)
            .env("STASH_PASSPHRASE", "six invented words for this test")
            .env("TZ", "UTC")
            .current_dir(&self.folder)
            .output()
            .unwrap()
    }

    /// Runs, and returns what was said: on stdout, then on stderr.
    #[track_caller]
    fn run(&self, code: i32, words: &[&str]) -> String {
        let output = self.output(words);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
        said
    }

    #[track_caller]
    fn lines(&self, words: &[&str]) -> Vec<Value> {
        let output = self.output(words);
        let text = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{words:?}: {text}{errors}");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[track_caller]
    fn sessions(&self, agent: &str) -> Vec<Value> {
        let mut lines = self.lines(&["sessions", "list", "--agent", agent, "--json"]);
        serde_json::from_value(lines.remove(0)).unwrap()
    }

    /// Returns the turns of a session.
    #[track_caller]
    fn turns(&self, id: &str) -> Vec<Value> {
        let lines = self.lines(&["show", id, "--json"]);
        let turns: Vec<Value> =
            lines.into_iter().filter(|line| line["message_type"] == "turn").collect();
        assert!(!turns.is_empty(), "{id} has no turns");
        turns
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.folder.join(relative)
    }

    fn slug(&self) -> String {
        let path = self.path("code/shop");
        let path = path.to_str().unwrap();
        path.chars().map(|it| if it.is_ascii_alphanumeric() { it } else { '-' }).collect()
    }

    fn transcript(&self) -> PathBuf {
        self.path(&format!(".claude/projects/{}/{CLAUDE_SESSION}.jsonl", self.slug()))
    }
}

/// One machine with all agents of the first row, saved, and all of them closed.
fn saved() -> (tempfile::TempDir, Machine) {
    let scene = tempfile::tempdir().unwrap();
    let machine = Machine::new(scene.path(), "one");
    let mut home = Home::new(&machine.folder).first_row();
    home.close();
    // It has the id of the one that is not archived.
    let archived = machine.path(".codex/archived_sessions");
    std::fs::remove_dir_all(archived).unwrap();
    // A project's own agents are saved where the configuration names the project.
    let config =
        format!("[agents.aider]\nprojects = ['{}']\n", machine.path("code/shop").display());
    std::fs::create_dir_all(machine.path(".config/stash")).unwrap();
    std::fs::write(machine.path(".config/stash/config.toml"), config).unwrap();
    machine.run(0, &["init", "-q"]);
    machine.run(0, &["backup", "-q"]);
    (scene, machine)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What lies in a home, but for stash's own folders: paths and contents.
fn inventory(machine: &Machine) -> Vec<(String, Vec<u8>)> {
    let files = files_below(&machine.folder).into_iter();
    let own = files.filter(|path| !path.contains("/stash/") && !path.ends_with("-shm"));
    own.map(|path| (path.clone(), std::fs::read(machine.path(&path)).unwrap())).collect()
}

/// Deletes a file, and what lies in the folder beside it that bears its name.
fn delete(path: &Path) {
    std::fs::remove_file(path).unwrap();
    let folder = path.with_extension("");
    if folder.is_dir() {
        std::fs::remove_dir_all(folder).unwrap();
    }
}

/// The same, on a machine whose project is gone from the disk that the other machine has.
fn saved_elsewhere() -> (tempfile::TempDir, Machine, Machine) {
    let (scene, one) = saved();
    std::fs::remove_dir_all(one.path("code/shop")).unwrap();
    let two = Machine::new(scene.path(), "two");
    (scene, one, two)
}

#[test]
fn a_deleted_session_of_each_agent_comes_back_by_its_id_and_reads_as_before() {
    let (_scene, machine) = saved();
    let mut restored = Vec::new();
    for agent in ["claude-code", "codex", "gemini", "copilot", "continue", "cursor", "aider"] {
        let sessions = machine.sessions(agent);
        let with_turns = sessions.iter().filter(|it| it["turns"].as_u64() > Some(0));
        for session in with_turns {
            let (id, path) = (session["id"].as_str().unwrap(), session["path"].as_str().unwrap());
            if path.ends_with(".vscdb") {
                continue;
            }
            let before = machine.turns(id);
            let content = std::fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"));
            delete(Path::new(path));
            machine.run(0, &["sessions", "restore", id, "--agent", agent]);
            assert_eq!(machine.turns(id), before, "{agent} {id}");
            if agent != "aider" {
                assert_eq!(std::fs::read(path).unwrap(), content, "{agent} {id}");
            }
            restored.push(agent);
        }
    }
    restored.dedup();
    assert_eq!(
        restored,
        ["claude-code", "codex", "gemini", "copilot", "continue", "cursor", "aider"]
    );
    let beside = machine.transcript().with_extension("").join("subagents/agent-a0b1.jsonl");
    assert!(beside.is_file(), "subagents come along");
}

#[test]
fn a_deleted_session_of_opencode_comes_back_as_rows_and_the_database_stays_whole() {
    let (_scene, machine) = saved();
    let before = machine.turns("ses_01");
    let path = machine.path(".local/share/opencode/opencode.db");
    let live = Connection::open(&path).unwrap();
    live.execute_batch(
        "PRAGMA foreign_keys = ON; DELETE FROM session WHERE id = 'ses_01';
         INSERT INTO session(id,project_id,slug,directory,title,version,time_created,time_updated)
             VALUES('ses_02','9f1c00','new','/x','A newer one','1.3.0',1,2);",
    )
    .unwrap();
    live.close().unwrap();
    // Twice: the second backup's database lacks the session.
    machine.run(0, &["backup", "-q"]);
    let said = machine.run(0, &["sessions", "restore", "ses_01"]);
    assert!(said.contains("opencode --session ses_01"), "{said}");
    assert_eq!(machine.turns("ses_01"), before);
    let live = Connection::open(&path).unwrap();
    let titles: Vec<String> = live
        .prepare("SELECT title FROM session ORDER BY id")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(titles, ["Importer tries again", "A newer one"], "the file was not replaced");
    assert_whole(&live);
}

#[track_caller]
fn assert_whole(database: &Connection) {
    let check: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    let broken: u32 = database
        .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(broken, 0);
}

#[test]
fn rows_go_into_a_database_that_is_written_to_only_if_that_is_asked_for() {
    let (_scene, machine) = saved();
    let path = machine.path(".local/share/opencode/opencode.db");
    let live = Connection::open(&path).unwrap();
    live.execute_batch("PRAGMA foreign_keys = ON; DELETE FROM session WHERE id = 'ses_01'")
        .unwrap();
    let said = machine.run(11, &["sessions", "restore", "ses_01"]);
    assert!(said.contains("has this database open"), "{said}");

    let stop = std::sync::atomic::AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let writer = Connection::open(&path).unwrap();
            writer.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
            let mut count = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) || count == 0 {
                writer
                    .execute("INSERT INTO credential VALUES(?1, 'x')", [format!("c{count}")])
                    .unwrap();
                count += 1;
                // As an agent that streams an answer.
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            count
        });
        let output = machine.output(&["sessions", "restore", "ses_01", "--force"]);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        writer.join().unwrap()
    });
    assert_whole(&live);
    let count = |table: &str| -> u32 {
        live.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count("credential"), written, "the writer lost nothing");
    assert_eq!((count("session"), count("message"), count("part")), (1, 1, 1));
}

#[test]
fn sessions_of_another_home_are_placed_for_the_project_here() {
    let (_scene, one, other) = saved_elsewhere();
    std::fs::create_dir_all(other.path("code/shop")).unwrap();
    let said = other.run(0, &["sessions", "restore", CLAUDE_SESSION]);
    assert_eq!(read(&other.transcript()), read(&one.transcript()), "records stay as they are");
    let project = other.path("code/shop");
    assert!(
        said.contains(&format!("cd {} && claude --resume {CLAUDE_SESSION}", project.display())),
        "{said}"
    );
    let beside = other.transcript().with_extension("").join("tool-results/toolu_1.txt");
    assert!(beside.is_file());

    other.run(0, &["sessions", "restore", CODEX_SESSION]);
    let rollout =
        format!(".codex/sessions/2026/11/03/rollout-2026-11-03T10-00-00-{CODEX_SESSION}.jsonl");
    assert_eq!(read(&other.path(&rollout)), read(&one.path(&rollout)));

    other.run(0, &["sessions", "restore", "7e3a"]);
    let chat = "tmp/shop/chats/session-2026-11-04T08-00-7e3a0000.jsonl";
    assert!(other.path(".gemini").join(chat).is_file());
    for mark in ["tmp/shop/.project_root", "history/shop/.project_root"] {
        assert_eq!(read(&other.path(".gemini").join(mark)), project.to_str().unwrap());
    }
    let register: Value =
        serde_json::from_str(&read(&other.path(".gemini/projects.json"))).unwrap();
    assert_eq!(register["projects"][project.to_str().unwrap()], "shop");

    other.run(0, &["sessions", "restore", "ses_01"]);
    let database = Connection::open(other.path(".local/share/opencode/opencode.db")).unwrap();
    assert_whole(&database);
    let row: (String, String) = database
        .query_row("SELECT directory, project_id FROM session", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!(row, (project.to_str().unwrap().to_owned(), "global".to_owned()));
    let secrets: u32 = database
        .query_row(
            "SELECT (SELECT count(*) FROM credential) + (SELECT count(*) FROM session_share)",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(secrets, 0, "a new database holds the session alone");
    database.close().unwrap();

    for id in [CLAUDE_SESSION, CODEX_SESSION, "7e3a", "ses_01"] {
        assert_eq!(other.turns(id), one.turns(id), "{id}");
    }
}

#[test]
fn a_name_that_another_project_owns_is_not_taken_from_it() {
    let (_scene, _one, other) = saved_elsewhere();
    std::fs::create_dir_all(other.path("code/shop")).unwrap();
    std::fs::create_dir_all(other.path(".gemini/tmp/shop/chats")).unwrap();
    std::fs::write(other.path(".gemini/tmp/shop/.project_root"), "/somewhere/shop").unwrap();
    std::fs::write(other.path(".gemini/projects.json"), r#"{"projects":{"/else/shop":"shop-1"}}"#)
        .unwrap();
    other.run(0, &["sessions", "restore", "7e3a"]);
    assert!(other.path(".gemini/tmp/shop-2/chats").is_dir());
    let register: Value =
        serde_json::from_str(&read(&other.path(".gemini/projects.json"))).unwrap();
    assert_eq!(register["projects"]["/else/shop"], "shop-1");
    assert_eq!(files_below(&other.path(".gemini/tmp/shop/chats")), [""; 0]);
}

#[test]
fn where_a_session_lies_is_its_place_and_two_places_are_refused() {
    let (_scene, machine) = saved();
    let text = read(&machine.transcript());
    let folder = machine.path(".claude/projects/-elsewhere");
    std::fs::create_dir_all(&folder).unwrap();
    let moved = folder.join(format!("{CLAUDE_SESSION}.jsonl"));
    std::fs::rename(machine.transcript(), &moved).unwrap();
    std::fs::write(&moved, &text[..text.len() - 40]).unwrap();
    machine.run(0, &["sessions", "restore", CLAUDE_SESSION]);
    assert_eq!(read(&moved), text, "it got the rest where it lies");
    assert!(!machine.transcript().exists(), "there is one of it");

    std::fs::copy(&moved, machine.transcript()).unwrap();
    let said = machine.run(1, &["sessions", "restore", CLAUDE_SESSION]);
    assert!(said.contains("more than once"), "{said}");
}

#[test]
fn what_is_longer_here_stays_and_force_is_undone() {
    let (_scene, machine) = saved();
    let saved = read(&machine.transcript());
    let longer = format!("{saved}{{\"type\":\"user\",\"message\":{{\"content\":\"And now?\"}}}}\n");
    std::fs::write(machine.transcript(), &longer).unwrap();
    let said = machine.run(0, &["sessions", "restore", CLAUDE_SESSION]);
    assert!(said.contains("longer than what is saved"), "{said}");
    assert_eq!(read(&machine.transcript()), longer);

    machine.run(0, &["sessions", "restore", CLAUDE_SESSION, "--force"]);
    assert_eq!(read(&machine.transcript()), saved);
    machine.run(0, &["undo", "--yes"]);
    assert_eq!(read(&machine.transcript()), longer);

    let other = saved.replace("lose a cent", "gain a cent");
    std::fs::write(machine.transcript(), &other).unwrap();
    let said = machine.run(1, &["sessions", "restore", CLAUDE_SESSION]);
    assert!(said.contains("--force") && said.contains("--as-copy"), "{said}");
    assert_eq!(read(&machine.transcript()), other);
}

#[test]
fn a_restored_session_that_was_not_here_goes_with_undo() {
    let (_scene, machine) = saved();
    let before = inventory(&machine);
    delete(&machine.transcript());
    let deleted = inventory(&machine);
    machine.run(0, &["sessions", "restore", CLAUDE_SESSION]);
    assert_eq!(inventory(&machine), before);
    machine.run(0, &["undo", "--yes"]);
    assert_eq!(inventory(&machine), deleted);
}

#[test]
fn a_copy_has_a_new_id_in_its_name_and_in_each_record() {
    let (_scene, machine) = saved();
    let saved = read(&machine.transcript());
    let said = machine.lines(&["sessions", "restore", CLAUDE_SESSION, "--as-copy", "--json"]);
    let id = said[0]["id"].as_str().unwrap();
    assert_eq!((id.len(), said[0]["action"].as_str().unwrap()), (36, "copy"));
    let copy = machine.transcript().with_file_name(format!("{id}.jsonl"));
    assert_eq!(read(&copy), saved.replace(CLAUDE_SESSION, id));
    let beside = copy.with_extension("").join("subagents/agent-a0b1.jsonl");
    assert!(read(&beside).contains(id));
    assert_eq!(read(&machine.transcript()), saved);
    let said = machine.run(1, &["sessions", "restore", CODEX_SESSION, "--as-copy"]);
    assert!(said.contains("another id"), "{said}");
}

#[test]
fn a_rehearsal_writes_nothing_and_a_missing_project_is_told() {
    let (_scene, _one, other) = saved_elsewhere();
    // The repository's cache and state are stash's own.
    other.run(0, &["sessions"]);
    let before = inventory(&other);
    let said = other.run(3, &["sessions", "restore", "--all", "--dry-run"]);
    assert_eq!(inventory(&other), before);
    assert!(said.contains("is not on this machine"), "{said}");

    let said = other.run(2, &["sessions", "restore", "--all"]);
    assert!(said.contains("--yes"), "{said}");
    assert_eq!(inventory(&other), before);

    let said = other.run(0, &["sessions", "restore", CLAUDE_SESSION]);
    assert!(said.contains("--project-dir"), "{said}");
    assert!(other.transcript().is_file(), "it is placed for where the project would be");
    assert!(!other.path("code/shop").exists());
}

#[test]
fn a_folder_that_is_named_is_the_project() {
    let (_scene, one, other) = saved_elsewhere();
    std::fs::create_dir_all(other.path("work/store")).unwrap();
    let folder = other.path("work/store");
    let folder = folder.to_str().unwrap();
    for id in [CLAUDE_SESSION, "7e3a", "ses_01"] {
        other.run(0, &["sessions", "restore", id, "--project-dir", folder]);
        assert_eq!(other.turns(id), one.turns(id), "{id}");
    }
    let slug = other.slug().replace("code-shop", "work-store");
    assert!(other.path(&format!(".claude/projects/{slug}/{CLAUDE_SESSION}.jsonl")).is_file());
    assert!(other.path(".gemini/tmp/store/chats").is_dir());
}

#[test]
fn restoring_all_never_shrinks_or_doubles() {
    let (_scene, machine) = saved();
    let grown = machine.transcript();
    std::fs::write(&grown, format!("{}{{\"type\":\"mode\"}}\n", read(&grown))).unwrap();
    let before = inventory(&machine);
    for _ in 0..2 {
        // Those that can't be restored singly are told, and stop nobody.
        machine.run(3, &["sessions", "restore", "--all", "--yes"]);
        assert_eq!(inventory(&machine), before);
    }
}

#[test]
fn what_can_not_be_put_back_singly_says_why() {
    let (_scene, machine) = saved();
    for (agent, reason) in [("openclaw", "one gateway writes"), ("cursor", "editor")] {
        let sessions = machine.sessions(agent);
        let is_it = |it: &&Value| {
            let path = it["path"].as_str().unwrap();
            it["turns"].as_u64() > Some(0) && (agent == "openclaw" || path.ends_with(".vscdb"))
        };
        let id = sessions.iter().find(is_it).unwrap()["id"].as_str().unwrap().to_owned();
        let said = machine.run(1, &["sessions", "restore", &id, "--agent", agent]);
        assert!(said.contains(reason), "{said}");
    }
}
