//! The library's face, as the example uses it: a tool for an agent that the program does not know.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops where things are not as they should be"
)]

#[path = "../examples/own_agent.rs"]
#[allow(dead_code, unreachable_pub, reason = "the test takes the place of its `main`")]
mod own_agent;

use std::path::Path;
use std::process::Command;

use stash::{AgentDefinition, Kind, Stash, StashOptions};

const PASSPHRASE: &str = "correct horse battery staple";

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[test]
fn a_tool_of_ones_own_saves_lists_and_brings_back() {
    let folder = tempfile::tempdir().unwrap();
    let (home, other) = (folder.path().join("home"), folder.path().join("other"));
    let repository = folder.path().join("repository");
    write(&home.join(".scribe/sessions/one.jsonl"), "{}\n");
    write(&home.join(".scribe/notes.md"), "a note");
    write(&home.join(".scribe/cache/big"), "cached");
    let database = rusqlite::Connection::open(home.join(".scribe/scribe.db")).unwrap();
    database.pragma_update(None, "journal_mode", "WAL").unwrap();
    database.execute_batch("CREATE TABLE t(x); INSERT INTO t VALUES (7)").unwrap();
    let run =
        |words: &[&str], home: &Path| own_agent::run(words, home, &repository, PASSPHRASE).unwrap();
    let said = run(&["backup"], &home);
    assert!(said.starts_with("3 files in snapshot "), "{said}");
    let id = said.rsplit(' ').next().unwrap().to_owned();
    assert_eq!(run(&["backup"], &home), said, "nothing has changed");
    let listed = run(&["list"], &home);
    assert!(listed.starts_with(&id) && listed.lines().count() == 1, "{listed}");
    assert_eq!(run(&["restore", &id], &other), "3 files written");
    let there = |path: &str| std::fs::read_to_string(other.join(path));
    assert_eq!(there(".scribe/sessions/one.jsonl").unwrap(), "{}\n");
    assert_eq!(there(".scribe/notes.md").unwrap(), "a note");
    assert!(there(".scribe/cache/big").is_err());
    let copy = rusqlite::Connection::open(other.join(".scribe/scribe.db")).unwrap();
    let value: i64 = copy.query_row("SELECT x FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!(value, 7);
    // What the agent deletes stays in the snapshots that hold it.
    std::fs::remove_file(home.join(".scribe/sessions/one.jsonl")).unwrap();
    run(&["backup"], &home);
    run(&["restore", &id], &home);
    assert!(home.join(".scribe/sessions/one.jsonl").exists());
}

#[test]
fn the_program_reads_what_the_library_saved() {
    let folder = tempfile::tempdir().unwrap();
    let (home, repository) = (folder.path().join("home"), folder.path().join("repository"));
    write(&home.join(".scribe/notes.md"), "a note");
    own_agent::run(&["backup"], &home, &repository, PASSPHRASE).unwrap();
    let pass = folder.path().join("pass");
    write(&pass, PASSPHRASE);
    for words in [&["check", "--read-data"][..], &["ls", "latest"], &["snapshots"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_stash"))
            .args(words)
            .arg("-r")
            .arg(&repository)
            .arg("--passphrase-file")
            .arg(&pass)
            .env_clear()
            .env("HOME", folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words:?}: {said}");
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(words != ["ls", "latest"] || out.contains(".scribe/notes.md"), "{out}");
    }
}

#[test]
fn what_goes_wrong_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let repository = folder.path().join("repository");
    let kind = |result: stash::Result<Stash>| result.err().map(|error| error.kind());
    let open = |words: &str| Stash::open(&repository, words, StashOptions::default());
    assert_eq!(kind(open(PASSPHRASE)), Some(Kind::NoRepository));
    let made = Stash::create(&repository, PASSPHRASE, StashOptions::default());
    let stash = made.unwrap();
    assert_eq!(kind(open("another passphrase")), Some(Kind::WrongPassphrase));
    assert!(Stash::create(&repository, PASSPHRASE, StashOptions::default()).is_err());
    let wrong = AgentDefinition::from_toml("id = \"x\"\nname = \"X\"\nrots = 1\n").unwrap_err();
    assert!(wrong.to_string().contains("definition.toml:3"), "{wrong}");
    let agent = AgentDefinition::known("claude").unwrap();
    assert_eq!(agent.id(), "claude-code");
    assert!(stash.back_up(&agent, folder.path()).is_err(), "nothing is there");
    assert!(stash.snapshots().unwrap().is_empty());
}
