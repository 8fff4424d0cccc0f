//! `stash search` through the real program: words, phrases, expressions, filters, the index and its file.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops where things are not as they should be"
)]

mod common_agents;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common_agents::{Home, Many};
use serde_json::Value;

const CLAUDE: &str = "5c0d2b7e-1111-4a6b-9a10-aaaaaaaaaaaa";

/// Runs the program in a home, with nothing else in its environment.
fn stash(home: &Path, words: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stash"))
        .args(words)
        .env_clear()
        .env("HOME", home)
        .env("PATH", "/usr/bin:/bin")
        .env("TZ", "UTC")
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

/// The same; returns what it prints on both sides, if it succeeds.
fn said(home: &Path, words: &[&str]) -> (String, String) {
    let output = stash(home, words, &[]);
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{words:?}: {err}");
    (String::from_utf8(output.stdout).unwrap(), err)
}

fn search(home: &Path, words: &[&str]) -> Vec<Value> {
    let (out, _) = said(home, &[&["search", "--json"], words].concat());
    serde_json::from_str::<Value>(&out).unwrap().as_array().unwrap().clone()
}

/// The agents of what is found, with and without the index.
fn agents(home: &Path, words: &[&str]) -> Vec<String> {
    let found = search(home, words);
    assert_eq!(found, search(home, &[&["--no-index"], words].concat()), "{words:?}");
    let mut agents: Vec<String> =
        found.iter().map(|row| row["agent"].as_str().unwrap().to_owned()).collect();
    agents.sort();
    agents
}

/// What was found in a hit.
fn marked(hit: &Value) -> Vec<String> {
    let text: Vec<char> = hit["text"].as_str().unwrap().chars().collect();
    let place = |it: &Value| usize::try_from(it.as_u64().unwrap()).unwrap();
    let ranges = hit["ranges"].as_array().unwrap().iter();
    ranges.map(|it| text[place(&it[0])..place(&it[1])].iter().collect()).collect()
}

fn indexes(home: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(home.join(".cache/stash/search")) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|it| it == "sqlite")).collect()
}

fn config(home: &Path, text: &str) {
    let folder = home.join(".config/stash");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("config.toml"), text).unwrap();
}

fn claude_file(home: &Path) -> PathBuf {
    let below = home.join(".claude/projects");
    let files = common_agents::files_below(&below);
    below.join(files.iter().find(|it| it.ends_with(&format!("{CLAUDE}.jsonl"))).unwrap())
}

#[test]
fn words_phrases_and_expressions_are_found_before_there_is_a_repository() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).first_row();
    let at = home.folder();
    let found = search(at, &["cent", "Basket"]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0]["id"], CLAUDE);
    assert_eq!(found[0]["title"], "Rounding in the basket");
    assert_eq!(found[0]["state"], "not saved");
    assert_eq!(found[0]["project"], home.project().to_str().unwrap());
    let hit = &found[0]["hits"][0];
    assert_eq!((&hit["turn"], &hit["role"]), (&1.into(), &"user".into()));
    assert_eq!(hit["text"], "Why does the basket lose a cent?");
    assert_eq!(hit["time"], "2026-11-02T09:14:03Z");
    assert_eq!(marked(hit), ["basket", "cent"]);

    assert_eq!(agents(at, &["try again"]).len(), 3);
    assert_eq!(agents(at, &["\"try again\" importer"]), ["codex"]);
    assert_eq!(agents(at, &["again try"]), [""; 0]);
    assert_eq!(agents(at, &["--regex", r"lose\s+a c\w+\?$"]), ["claude-code"]);
    // What a tool was given is text of the assistant's.
    assert_eq!(agents(at, &["cart.ts", "--role", "assistant"]), ["claude-code"]);
    assert_eq!(agents(at, &["cart.ts", "--role", "user"]), [""; 0]);
    assert_eq!(indexes(at).len(), 1);
    assert!(!at.join(".local/share/stash/repository").exists(), "searching makes no repository");
}

#[test]
fn sessions_of_every_agent_are_searched() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).first_row();
    let at = home.folder();
    config(at, &format!("[agents.aider]\nprojects = [{:?}]\n", home.project()));
    for is_saved in [false, true] {
        if is_saved {
            said(at, &["backup", "-q"]);
        }
        for (agent, words) in [
            ("claude-code", "lose a cent"),
            ("opencode", "let it try again"),
            ("gemini", "build cache"),
            ("codex", "three times"),
            ("openclaw", "at noon"),
            ("aider", "make the importer safe"),
            ("continue", "let it try again"),
            ("cursor", "lacks the language"),
            ("copilot", "two of them"),
        ] {
            let found = agents(at, &[words, "--agent", agent]);
            assert!(!found.is_empty(), "{agent}: {words}");
        }
    }
}

#[test]
fn people_see_the_session_the_place_and_the_next_command() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).claude_code();
    let at = home.folder();
    let (_, told) = said(at, &["search", "basket"]);
    assert!(told.contains("not encrypted"), "{told}");
    let (out, told) = said(at, &["search", "basket"]);
    let expected = "5c0d2b7e  claude-code  Rounding in the basket  2026-11-02 09:14  ~/code/shop  (not saved)\n\
                    \x20 1. user  2026-11-02 09:14\n    Why does the basket lose a cent?\n";
    assert_eq!(out, expected);
    assert!(told.contains("`stash show 5c0d2b7e`"), "{told}");
    let (out, told) = said(at, &["sessions", "search", "zebra"]);
    assert_eq!(out, "");
    assert!(told.contains("found nothing in 1 session") && told.contains("`stash find`"), "{told}");
}

#[test]
fn no_word_is_syntax() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).claude_code().codex();
    let at = home.folder();
    for word in [
        "basket*", "NEAR(", "\"", "a\" OR b", "{x}:y", "^basket", "AND", "()", "*", "-", "'",
        "text:x",
    ] {
        let output = stash(at, &["search", "--json", "--", word], &[]);
        let is_usage = output.status.code() == Some(2) && word == "\"";
        assert!(output.status.success() || is_usage, "{word}: {output:?}");
    }
    assert_eq!(agents(at, &["basket*"]), ["claude-code"]);
    assert_eq!(agents(at, &["cent?"]), ["claude-code"]);
    // No letters: as it stands.
    assert_eq!(agents(at, &["?"]), ["claude-code"]);
    assert_eq!(agents(at, &["OR"]), [""; 0]);
    let output = stash(at, &["search", "--regex", "a("], &[]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn filters_leave_out_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let many = Many { sessions: 25, turns: 4, words: 20, seed: 7 };
    let home = Home::new(folder.path()).many(many);
    let at = home.folder();
    assert_eq!(agents(at, &["session7"]), ["gemini"]);
    assert_eq!(
        agents(at, &["-e", "session", "--last", "100", "--agent", "codex,gemini"]).len(),
        10
    );
    let (last, all) = (search(at, &["w0"]), search(at, &["w0", "--last", "100"]));
    assert_eq!(last.len(), 20.min(all.len()));
    assert_eq!(last[..], all[..last.len()]);
    assert!(
        all.is_sorted_by_key(|row| std::cmp::Reverse(row["last"].as_str().unwrap().to_owned()))
    );
    // An hour apart, from 2026-11-02 06:13:20 on: the 11th begins at 16:13.
    let count = |words: &[&str]| {
        agents(at, &[&["--regex", "session", "--last", "99"], words].concat()).len()
    };
    assert_eq!(count(&[]), 25);
    assert_eq!(count(&["--since", "2026-11-02 16:00"]), 15);
    assert_eq!(count(&["--until", "2026-11-02 16:00"]), 10);
    assert_eq!(count(&["--project", "code/shop", "--agent", "codex"]), 0);
    assert_eq!(count(&["--project", "shop", "--agent", "codex"]), 5);
    assert_eq!(count(&["--project", home.project().to_str().unwrap(), "--agent", "codex"]), 5);
    assert_eq!(count(&["--machine", "elsewhere"]), 0);
    assert_eq!(count(&["--role", "assistant"]), 0);
}

#[test]
fn deleted_sessions_are_found_and_new_turns_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).claude_code().opencode();
    let at = home.folder();
    said(at, &["backup", "-q"]);
    assert_eq!(agents(at, &["basket"]), ["claude-code"]);
    let file = claude_file(at);
    let before = std::fs::read_to_string(&file).unwrap();
    let turn = before.lines().nth(1).unwrap();
    let turn =
        turn.replace("Why does the basket", "And now zanzibar").replace("\"u-1\"", "\"u-9\"");
    std::fs::write(&file, format!("{before}{}\n", turn.replace("09:14:03", "09:20:00"))).unwrap();
    assert_eq!(agents(at, &["zanzibar"]), ["claude-code"]);
    assert_eq!(agents(at, &["basket"]), ["claude-code"]);
    assert_eq!(agents(at, &["basket", "--deleted"]), [""; 0]);
    said(at, &["backup", "-q"]);
    std::fs::remove_file(&file).unwrap();
    // From a new index, too: what is no more here is read from the snapshot.
    for path in indexes(at) {
        std::fs::remove_file(path).unwrap();
    }
    let found = search(at, &["zanzibar", "--deleted"]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0]["state"], "deleted");
    assert_eq!(agents(at, &["basket", "--deleted"]), ["claude-code"]);
}

#[test]
fn a_session_of_two_machines_is_shown_once_and_each_machine_can_be_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).claude_code();
    let at = home.folder();
    for host in ["one", "two"] {
        let output = stash(at, &["backup", "-q"], &[("STASH_HOST", host)]);
        assert!(output.status.success(), "{output:?}");
    }
    assert_eq!(search(at, &["basket"]).len(), 1);
    for host in ["one", "two"] {
        let found = search(at, &["basket", "--host", host]);
        assert_eq!(found[0]["host"], host);
    }
}

#[test]
fn the_index_is_private_and_a_damaged_one_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).claude_code();
    let at = home.folder();
    assert_eq!(search(at, &["basket"]).len(), 1);
    let path = indexes(at).remove(0);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    let whole = std::fs::read(&path).unwrap();
    for from in [0, 100, 8192, whole.len() / 2] {
        let mut bytes = whole.clone();
        bytes[from..].fill(0x55);
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(search(at, &["basket"]).len(), 1, "{from}");
    }
}

#[test]
fn without_an_index_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).claude_code();
    let at = home.folder();
    assert_eq!(search(at, &["--no-index", "basket"]).len(), 1);
    config(at, "[search]\nindex = false\n");
    let (out, told) = said(at, &["search", "basket"]);
    assert!(out.contains("basket") && told.contains("`search.index` is false"), "{told}");
    assert!(indexes(at).is_empty());
    let (out, _) = said(at, &["config", "show"]);
    assert!(out.contains("search.index"), "{out}");
    config(at, "[search]\ntrigram = true\n");
    assert_eq!(agents(at, &["asket"]), ["claude-code"]);
}

#[test]
fn a_transcript_cannot_steer_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).claude_code();
    let at = home.folder();
    let file = claude_file(at);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("lose a cent", "\\u001b[2J lose \\u202e cent")).unwrap();
    let (out, _) = said(at, &["search", "basket"]);
    assert!(out.contains("basket") && !out.contains(['\u{1b}', '\u{202e}']), "{out:?}");
}
