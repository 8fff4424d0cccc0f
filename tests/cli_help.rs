//! The golden help of every command, and what wrong words lead to (style T9).
//!
//! `STASH_BLESS=1 cargo test --test cli_help` writes the golden files anew; read the diff.
#![expect(clippy::disallowed_methods, reason = "a test owns its golden files")]
#![expect(clippy::unwrap_used, reason = "test code outside of test functions")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use stash::cli::args::Arguments;

/// Runs the program in a home of its own, with nothing else in its environment.
fn stash(home: &Path, words: &[&str]) -> assert_cmd::assert::Assert {
    let mut command = assert_cmd::Command::cargo_bin("stash").unwrap();
    command.env_clear().env("HOME", home).args(words).assert()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/help")
}

/// Returns the words of every command, `[]` for the program itself.
fn every_command() -> Vec<Vec<String>> {
    fn collect(command: &clap::Command, words: &[String], all: &mut Vec<Vec<String>>) {
        all.push(words.to_vec());
        for below in command.get_subcommands() {
            collect(below, &[words, &[below.get_name().to_owned()]].concat(), all);
        }
    }
    let mut all = Vec::new();
    collect(&Arguments::command(), &[], &mut all);
    all
}

#[test]
fn the_help_of_every_command_is_as_reviewed() {
    let home = tempfile::tempdir().unwrap();
    let bless = std::env::var_os("STASH_BLESS").is_some();
    if bless {
        std::fs::create_dir_all(golden()).unwrap();
    }
    let mut names = BTreeSet::new();
    for words in every_command() {
        let name = [&["stash".to_owned()], words.as_slice()].concat().join("-") + ".txt";
        let path = golden().join(&name);
        let asked: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
        let shown = text(&stash(home.path(), &asked).success().get_output().stdout);
        if bless {
            std::fs::write(&path, &shown).unwrap();
        }
        let reviewed = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(shown, reviewed, "{name}: read the difference, then STASH_BLESS=1");
        names.insert(name);
    }
    let kept = std::fs::read_dir(golden()).unwrap();
    let kept: BTreeSet<String> =
        kept.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(kept, names, "a golden file without a command, or the reverse");
}

#[test]
fn every_command_has_an_example() {
    let home = tempfile::tempdir().unwrap();
    for words in every_command() {
        let mut command = Arguments::command();
        command.build();
        let mut found = &command;
        for word in &words {
            found = found.find_subcommand(word).unwrap();
        }
        let groups_others = found.has_subcommands() && !words.is_empty();
        if !groups_others && words != ["version"] {
            let asked: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
            let shown = text(&stash(home.path(), &asked).get_output().stdout);
            assert!(shown.contains("Examples:\n"), "{words:?}");
        }
    }
}

#[test]
fn help_explains_commands_and_topics() {
    let home = tempfile::tempdir().unwrap();
    let shown = |words: &[&str]| text(&stash(home.path(), words).success().get_output().stdout);
    assert_eq!(shown(&["help"]), shown(&["--help"]));
    assert_eq!(shown(&["help", "backup"]), shown(&["backup", "--help"]));
    assert_eq!(shown(&["help", "key", "add"]), shown(&["key", "add", "--help"]));
    assert!(shown(&["help", "exit-codes"]).contains("  13  repository damaged\n"));
    assert!(shown(&["help", "json"]).contains("verbose_status:"));
    assert_eq!(shown(&["version"]), shown(&["--version"]));
    assert!(shown(&[]).contains("stash backup"));
}

#[test]
fn wrong_words_end_with_2_and_say_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let table: &[(&[&str], &str)] = &[
        (&["frobnicate"], "unrecognized subcommand `frobnicate`"),
        (&["backup", "--frobnicate", "x"], "unexpected argument `--frobnicate` found"),
        (&["snapshot"], "a similar subcommand exists: `snapshots`"),
        (&["help", "frobnicate"], "no help on `frobnicate`"),
        (&["backup"], "no coding agent was found"),
        (&["backup", "x", "--only", "sessions"], "a path has none"),
        (&["backup", "--stdin", "--agent", "codex"], "holds no agents"),
        (&["restore", "latest:/x", "--agent", "codex"], "give one of them"),
        (&["backup", "--stdin", "x"], "holds no other paths"),
        (&["backup", "--stdin", "--files-from", "-"], "both a file and a list of paths"),
        (&["backup", "--stdin-from-command"], "needs a command"),
        (&["backup", "--exclude-larger-than", "big", "x"], "write a size as"),
        (&["restore"], "`stash restore latest --target DIR`"),
        (&["restore", "abc", "--at", "now", "-t", "x"], "both say which snapshot"),
        (&["ls", "abc", "--at", "now"], "both say which snapshot"),
        (&["dump", "abc", "/x", "--at", "now"], "both say which snapshot"),
        (&["dump", "latest:/x", "/x"], "give one of them"),
        (&["restore", "latest", "-t", "x", "--in-place"], "cannot be used with"),
        (&["restore", "/home", "-t", "x"], "neither `latest`"),
        (&["cat", "blob"], "`cat blob` needs an id"),
        (&["cat", "config", "x"], "takes no id"),
        (&["check", "--read-data-subset", "8/7"], "counted from 1"),
        (&["check", "--read-data", "--read-data-subset", "1/7"], "cannot be used with"),
        (&["key"], "a command is missing"),
        (&["key", "recovery"], "required arguments were not provided: <--show|--test>"),
        (&["snapshots", "-q", "-v"], "cannot be used with"),
        (&["snapshots", "--wait", "ages"], "write a length of time"),
        (&["--repo", "sftp:host:path"], "does not know stores of the kind"),
    ];
    for (words, expected) in table {
        let failed = stash(home.path(), words).code(2);
        let output = failed.get_output();
        let shown = text(&output.stderr);
        assert!(shown.contains(expected), "{words:?}: {shown}");
        assert!(shown.starts_with("stash: error: "), "{words:?}: {shown}");
        assert!(shown.contains("\nhint: "), "{words:?}: {shown}");
        assert!(shown.lines().count() <= 3, "{words:?}: {shown}");
        assert!(output.stdout.is_empty(), "{words:?}");
    }
}

#[test]
fn a_passphrase_on_the_command_line_is_refused_and_not_repeated() {
    let home = tempfile::tempdir().unwrap();
    for words in [
        &["--passphrase", "hunter22", "snapshots"][..],
        &["snapshots", "--passphrase=hunter22"],
        &["backup", "x", "--password", "hunter22"],
        &["backup", "x", "--passphrase"],
    ] {
        let failed = stash(home.path(), words).code(2);
        let shown = text(&failed.get_output().stderr);
        assert!(shown.contains("there is no `--passphrase VALUE`"), "{shown}");
        assert!(!shown.contains("hunter22"), "{shown}");
    }
}

#[test]
fn failures_are_json_when_json_was_asked_for() {
    let home = tempfile::tempdir().unwrap();
    let failed = stash(home.path(), &["backup", "--json"]).code(2);
    let line: serde_json::Value = serde_json::from_slice(&failed.get_output().stderr).unwrap();
    assert_eq!(line["message_type"], "exit_error");
    assert_eq!(line["code"], 2);
    assert!(line["hint"].is_string());
}

#[test]
fn restics_variable_alone_is_answered_with_a_hint() {
    let home = tempfile::tempdir().unwrap();
    let mut command = assert_cmd::Command::cargo_bin("stash").unwrap();
    let command = command.env_clear().env("HOME", home.path()).env("RESTIC_REPOSITORY", "/r");
    let shown = text(&command.assert().success().get_output().stdout);
    assert!(shown.contains("`RESTIC_REPOSITORY` is set"), "{shown}");
    assert!(shown.contains("`STASH_REPOSITORY`"), "{shown}");
}

#[test]
fn a_variable_that_is_set_to_nothing_counts_as_not_set() {
    let home = tempfile::tempdir().unwrap();
    let run = |value: &str| {
        let mut command = assert_cmd::Command::cargo_bin("stash").unwrap();
        let command = command.env_clear().env("HOME", home.path()).env("STASH_WAIT", value);
        command.arg("version").assert()
    };
    run("").success();
    run("10m").success();
    run("ages").code(2);
}

#[test]
fn a_reader_that_went_away_ends_the_program_quietly() {
    let home = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = std::process::Command::new(assert_cmd::cargo::cargo_bin!("stash"))
        .env_clear()
        .env("HOME", home.path())
        .args(["help", "json"])
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stderr), "");
}
