//! Sessions through the real program: listed and shown, on this disk, in snapshots, deleted ones too.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops where things are not as they should be"
)]

mod common_agents;

use std::path::Path;
use std::process::{Command, Output};

use common_agents::Home;
use serde_json::Value;

/// Runs the program in a home, with nothing else in its environment.
fn stash(home: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stash"))
        .args(words)
        .env_clear()
        .env("HOME", home)
        .env("PATH", "/usr/bin:/bin")
        .env("TZ", "UTC")
        .output()
        .unwrap()
}

fn done(home: &Path, words: &[&str]) -> String {
    let output = stash(home, words);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn listed(home: &Path, words: &[&str]) -> Vec<Value> {
    let said = done(home, &[&["sessions", "--json"], words].concat());
    serde_json::from_str::<Value>(&said).unwrap().as_array().unwrap().clone()
}

/// The lines of `show --json`: the session, then its turns.
fn shown(home: &Path, words: &[&str]) -> Vec<Value> {
    let said = done(home, &[&["show", "--json"], words].concat());
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text_of(turn: &Value) -> String {
    let parts = turn["parts"].as_array().unwrap();
    parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
}

const CLAUDE: &str = "5c0d2b7e-1111-4a6b-9a10-aaaaaaaaaaaa";

/// Of each agent of the first row a session of the generated homes, its title, and words of its first turn.
const FIRST_ROW: [(&str, &str, &str, &str); 8] = [
    ("claude-code", CLAUDE, "Rounding in the basket", "Why does the basket lose a cent?"),
    ("opencode", "ses_01", "Importer tries again", "Let it try again"),
    ("gemini", "7e3a0000", "Keys of the build cache", "What is the build cache keyed on?"),
    ("codex", "019a5c00", "Importer", "Let the importer try again"),
    ("openclaw", "b2f0", "Remind me at noon", "Remind me at noon"),
    ("continue", "0f6d0000", "Importer tries again", ""),
    ("cursor", "u1", "Why is it stale?", "Why is it stale?"),
    ("copilot", "a9950000", "Shaky", ""),
];

fn configure_projects(home: &Home) {
    let folder = home.folder().join(".config/stash");
    std::fs::create_dir_all(&folder).unwrap();
    let config = format!("[agents.aider]\nprojects = ['{}']\n", home.project().display());
    std::fs::write(folder.join("config.toml"), config).unwrap();
}

#[test]
fn sessions_of_every_agent_are_listed_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).first_row();
    configure_projects(&home);
    let at = home.folder();
    for is_saved in [false, true] {
        if is_saved {
            done(at, &["backup", "-q"]);
        }
        let rows = listed(at, &["--all"]);
        for (agent, id, title, first) in FIRST_ROW {
            let row = rows
                .iter()
                .find(|row| row["agent"] == agent && row["id"].as_str().unwrap().starts_with(id))
                .unwrap_or_else(|| panic!("{agent}: {rows:#?}"));
            assert_eq!(row["title"], title, "{agent}");
            assert_eq!(row["state"], if is_saved { "saved" } else { "not saved" }, "{agent}");
            let lines = shown(at, &[id, "--agent", agent]);
            assert_eq!(lines[0]["id"], row["id"], "{agent}");
            assert!(lines.len() >= 2, "{agent}: {lines:#?}");
            assert_eq!(lines[1]["role"], "user", "{agent}");
            assert!(text_of(&lines[1]).contains(first), "{agent}: {lines:#?}");
        }
        let aider = rows.iter().find(|row| row["agent"] == "aider").unwrap();
        let lines = shown(at, &[aider["id"].as_str().unwrap()]);
        let says = |turn: &Value| text_of(turn).contains("make the importer safe");
        assert!(
            lines.iter().skip(1).any(|turn| turn["role"] == "user" && says(turn)),
            "{lines:#?}"
        );
    }
    // No session is there twice, though some agents keep theirs in an old and a new form.
    let rows = listed(at, &["--all"]);
    let mut ids: Vec<String> =
        rows.iter().map(|row| format!("{} {}", row["agent"], row["id"])).collect();
    ids.sort();
    let count = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

#[test]
fn a_session_that_its_agent_deleted_stays_in_the_list_and_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).claude_code().opencode();
    let at = home.folder();
    done(at, &["backup", "-q"]);
    let before = shown(at, &[CLAUDE]);
    let opencode = shown(at, &["ses_01"]);
    let file = common_agents::files_below(&at.join(".claude/projects"));
    let file = file.iter().find(|it| it.ends_with(&format!("{CLAUDE}.jsonl"))).unwrap();
    std::fs::remove_file(at.join(".claude/projects").join(file)).unwrap();
    // As its agent does it, in the live database.
    let database = at.join(".local/share/opencode/opencode.db");
    let connection = rusqlite::Connection::open(database).unwrap();
    connection
        .execute_batch("DELETE FROM part; DELETE FROM message; DELETE FROM session;")
        .unwrap();
    assert_eq!(listed(at, &["--deleted"]).len(), 2, "seen before the next backup already");
    done(at, &["backup", "-q"]);
    let deleted = listed(at, &["--deleted"]);
    assert_eq!(deleted.len(), 2, "{deleted:#?}");
    assert!(deleted.iter().all(|row| row["local"] == false && row["state"] == "deleted"));
    assert_eq!(shown(at, &[CLAUDE])[1..], before[1..]);
    let told = done(at, &["sessions", "history", CLAUDE, "--json"]);
    let versions: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(versions.as_array().unwrap().len(), 2, "{versions}");
    assert_eq!((&versions[0]["deleted"], &versions[1]["deleted"]), (&false.into(), &true.into()));
    assert_eq!(shown(at, &["ses_01"])[1..], opencode[1..]);

    // No policy drops the snapshot that alone still has the database with it.
    std::fs::write(at.join(".claude/CLAUDE.md"), "other words").unwrap();
    done(at, &["backup", "-q"]);
    let told = done(at, &["forget", "--keep-last", "1"]);
    assert!(told.contains("newest with sessions that opencode has deleted"), "{told}");
    assert_eq!(shown(at, &["ses_01"])[1..], opencode[1..]);
    assert_eq!(shown(at, &[CLAUDE])[1..], before[1..]);
}

#[test]
fn a_session_that_grew_is_shown_as_it_is_and_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).claude_code();
    let at = home.folder();
    done(at, &["backup", "-q", "--time", "2026-11-10T10:00:00Z"]);
    let before = shown(at, &[CLAUDE]);
    let below = common_agents::files_below(&at.join(".claude/projects"));
    let file = below.iter().find(|it| it.ends_with(&format!("{CLAUDE}.jsonl"))).unwrap();
    let file = at.join(".claude/projects").join(file);
    let line = format!(
        r#"{{"parentUuid":"a-1","cwd":"/x","sessionId":"{CLAUDE}","type":"user","message":{{"role":"user","content":"One more thing"}},"uuid":"u-9","timestamp":"2026-11-11T08:00:00.000Z"}}"#
    );
    let mut text = std::fs::read_to_string(&file).unwrap();
    text.push_str(&line);
    // A line that is being written.
    text.push_str("\n{\"type\":\"assist");
    std::fs::write(&file, text).unwrap();
    let row = &listed(at, &["--agent", "claude-code"])[0];
    assert_eq!((&row["state"], &row["last"]), (&"changed".into(), &"2026-11-11T08:00:00Z".into()));
    let now = shown(at, &[CLAUDE]);
    assert_eq!(now.len(), before.len() + 1, "{now:#?}");
    assert!(text_of(now.last().unwrap()).contains("One more thing"));
    let then = shown(at, &[CLAUDE, "--at", "2026-11-10T12:00:00Z"]);
    assert_eq!(then[1..], before[1..]);
    let tail = shown(at, &[CLAUDE, "--tail", "1"]);
    assert_eq!(tail[1..], now[now.len() - 1..]);
    let head = shown(at, &[CLAUDE, "--head", "1"]);
    assert_eq!(head[1..], now[1..2]);
}

#[test]
fn filters_limit_the_list() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).first_row();
    let at = home.folder();
    done(at, &["backup", "-q"]);
    let ids = |words: &[&str]| -> Vec<String> {
        listed(at, words).iter().map(|row| row["agent"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&["--agent", "claude"]), ["claude-code"]);
    assert_eq!(ids(&["--date", "2026-11-04"]), ["gemini"]);
    assert!(ids(&["--since", "2026-11-03", "--until", "2026-11-05"]).contains(&"codex".to_owned()));
    assert!(!ids(&["--since", "2026-11-03"]).contains(&"claude-code".to_owned()));
    assert_eq!(ids(&["--last", "1"]).len(), 1);
    let project = home.project();
    let below = ids(&["--project", project.to_str().unwrap()]);
    assert!(below.contains(&"claude-code".to_owned()) && !below.contains(&"openclaw".to_owned()));
    assert_eq!(ids(&["--project", "SHOP"]), below);
    assert!(ids(&["--machine", "nobody"]).is_empty());
    assert_eq!(stash(at, &["sessions", "--agent", "nobody"]).status.code(), Some(2));
}

#[test]
fn an_id_that_many_have_lists_them_and_an_unknown_one_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).claude_code();
    let at = home.folder();
    let projects = at.join(".claude/projects/-tmp-other");
    std::fs::create_dir_all(&projects).unwrap();
    let line = r#"{"type":"user","sessionId":"x","cwd":"/tmp/other","message":{"role":"user","content":"Second"},"timestamp":"2026-11-01T08:00:00.000Z"}"#;
    std::fs::write(projects.join("5c0d9999-0000-4000-8000-000000000000.jsonl"), line).unwrap();
    let output = stash(at, &["show", "5c0d"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("Rounding in the basket") && said.contains("Second"), "{said}");
    assert!(done(at, &["show", "5c0d9"]).contains("Second"));
    let output = stash(at, &["show", "nothing"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("`stash sessions` lists them"));
    // What a transcript holds can't steer the terminal.
    let line = line.replace("Second", "\\u001b]0;owned\\u0007 words");
    std::fs::write(projects.join("77770000-0000-4000-8000-000000000000.jsonl"), line).unwrap();
    let told = done(at, &["show", "7777"]);
    assert!(told.contains("words") && !told.contains(['\u{1b}', '\u{7}']), "{told:?}");
    assert!(!done(at, &["list"]).contains(['\u{1b}', '\u{7}']));
}

#[test]
fn sessions_of_another_machine_are_listed_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let repository = folder.path().join("repository");
    let repository = repository.to_str().unwrap();
    let pass = folder.path().join("pass");
    std::fs::write(&pass, "correct horse battery staple").unwrap();
    let pass = pass.to_str().unwrap();
    let first = Home::new(folder.path().join("first")).claude_code();
    let second = Home::new(folder.path().join("second")).codex();
    done(first.folder(), &["init", "-q", "-r", repository, "--passphrase-file", pass]);
    done(first.folder(), &["backup", "-q", "-r", repository, "--host", "desk"]);
    let words = ["-r", repository, "--passphrase-file", pass];
    let rows = listed(second.folder(), &words);
    let row = rows.iter().find(|row| row["id"] == CLAUDE).unwrap();
    assert_eq!((&row["machine"], &row["state"]), (&"desk".into(), &"elsewhere".into()));
    assert!(rows.iter().any(|row| row["agent"] == "codex" && row["state"] == "not saved"));
    let lines = shown(second.folder(), &[&[CLAUDE], &words[..]].concat());
    assert!(text_of(&lines[1]).contains("lose a cent"));
}

#[test]
fn what_an_agent_will_delete_soon_is_told_after_each_backup_and_listed() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).claude_code().codex();
    let at = home.folder();
    let said = done(at, &["backup"]);
    assert!(!said.contains("within three days"), "{said}");
    let below = common_agents::files_below(&at.join(".claude/projects"));
    let file = below.iter().find(|it| it.ends_with(&format!("{CLAUDE}.jsonl"))).unwrap();
    let file = std::fs::File::options().append(true).open(at.join(".claude/projects").join(file));
    let old = std::time::SystemTime::now() - std::time::Duration::from_hours(28 * 24);
    file.unwrap().set_modified(old).unwrap();
    let output = stash(at, &["backup", "--force", "--always"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("1 session will be deleted by their agents within three days"), "{said}");
    let rows = listed(at, &["--expiring"]);
    assert_eq!(rows.len(), 1, "{rows:#?}");
    assert_eq!((&rows[0]["id"], &rows[0]["state"]), (&CLAUDE.into(), &"saved".into()));
    let told = done(at, &["status"]);
    assert!(told.contains("Claude Code deletes sessions older than 30 days: 1 will go"), "{told}");
    assert!(told.contains("is saved"), "{told}");
    // By its own setting it stays longer.
    std::fs::write(at.join(".claude/settings.json"), "{\"cleanupPeriodDays\": 3650}").unwrap();
    assert!(listed(at, &["--expiring"]).is_empty());
}
