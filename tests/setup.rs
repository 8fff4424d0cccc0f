//! `stash setup`, as a person and a script use it.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops where things are not as they should be"
)]

mod common_agents;
mod common_s3;

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use common_agents::Home;
use common_s3::{Action, Behaviour, KEY, Server};
use rexpect::session::{Options, PtySession, spawn_with_options};

/// Runs the program in a home, with nothing else in its environment, and no terminal.
fn stash(home: &Path, words: &[&str]) -> Output {
    command(home, words).output().unwrap()
}

fn command(home: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stash"));
    command
        .args(words)
        .env_clear()
        .env("HOME", home)
        .env("PATH", "/usr/bin:/bin")
        .env("TERM", "xterm")
        .env("NO_COLOR", "1");
    command
}

/// The same; returns what it says on both channels, if it succeeds.
fn done(home: &Path, words: &[&str]) -> String {
    let output = stash(home, words);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{words:?}: {said}");
    said + &String::from_utf8(output.stdout).unwrap()
}

/// Runs it on a terminal.
fn at_terminal(home: &Path, words: &[&str]) -> PtySession {
    let options = Options::new().timeout_ms(Some(60_000)).strip_ansi_escape_codes(true);
    spawn_with_options(command(home, words), options).unwrap()
}

fn config(home: &Path) -> String {
    std::fs::read_to_string(home.join(".config/stash/config.toml")).unwrap_or_default()
}

/// Returns whether setup left nothing: neither a configuration nor a repository.
fn is_untouched(home: &Path) -> bool {
    let places =
        [".config/stash/config.toml", ".local/share/stash/repository", ".local/share/stash/keys"];
    let holds =
        |place: &&str| std::fs::read_dir(home.join(place)).is_ok_and(|mut it| it.next().is_some());
    !places.iter().any(|place| home.join(place).is_file()) && !places.iter().any(holds)
}

#[test]
fn one_command_saves_all_agents_and_proves_it() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).first_row();
    let said = done(home.folder(), &["setup", "--yes"]);
    for words in
        ["Claude Code", "made the repository", "proof: read back", "crontab -e", "recovery code"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    let written = config(home.folder());
    for words in
        ["[repositories.main]", "[jobs.agents]", "daily = 30", "schedule = \"hourly\"", "\"all\""]
    {
        assert!(written.contains(words), "{words}: {written}");
    }
    done(home.folder(), &["config", "check"]);
    // Aider keeps its chats in the project in which other agents' sessions worked.
    let project = home.project().display().to_string();
    assert!(said.contains(&format!("save what Aider keeps in {project}")), "{said}");
    assert!(written.contains("[agents.aider]") && written.contains(&project), "{written}");
    let listed = done(home.folder(), &["ls", "latest"]);
    assert!(listed.contains(&format!("{project}/.aider.chat.history.md")), "{listed}");
    assert!(!said.contains("no session of Aider"), "{said}");
    let snapshots = done(home.folder(), &["snapshots", "--json"]);
    assert_eq!(snapshots.matches("\"short_id\"").count(), 1, "{snapshots}");
    done(home.folder(), &["check", "--read-data"]);
}

#[test]
fn run_again_it_changes_what_is_asked_and_resets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).first_row();
    done(home.folder(), &["setup", "--yes", "--schedule", "daily", "--secrets", "exclude"]);
    let path = home.folder().join(".config/stash/config.toml");
    let own = config(home.folder()).replace("daily = 30", "daily = 60") + "\n# mine, too\n";
    std::fs::write(&path, &own).unwrap();
    let said = done(home.folder(), &["setup", "--yes"]);
    assert!(said.contains("nothing changed"), "{said}");
    assert_eq!(config(home.folder()), own, "what was answered before is proposed again");
    done(home.folder(), &["setup", "--yes", "--agent", "codex", "--no-schedule", "--no-backup"]);
    let changed = config(home.folder());
    for words in ["\"codex\"", "\"off\"", "daily = 60", "# mine, too", "\"exclude\""] {
        assert!(changed.contains(words), "{words}: {changed}");
    }
}

#[test]
fn without_a_terminal_it_asks_for_options_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).first_row();
    let output = stash(home.folder(), &["setup"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("--yes"), "{said}");
    assert!(is_untouched(home.folder()));
    // A place that can't be used is no reason to make anything.
    let blocked = folder.path().join("a file");
    std::fs::write(&blocked, "x").unwrap();
    let output = stash(home.folder(), &["setup", "--yes", "--repo", blocked.to_str().unwrap()]);
    assert!(!output.status.success());
    assert!(is_untouched(home.folder()));
}

#[test]
fn a_second_computer_joins_with_a_passphrase_and_keeps_it_out_of_files() {
    let folder = tempfile::tempdir().unwrap();
    let first = Home::new(folder.path().join("first")).first_row();
    let second = Home::new(folder.path().join("second")).first_row();
    let (place, pass) = (folder.path().join("shared"), folder.path().join("pass"));
    std::fs::write(&pass, "correct horse battery staple\n").unwrap();
    let (place, pass) = (place.to_str().unwrap(), pass.to_str().unwrap());
    let words = ["setup", "--yes", "--repo", place];
    let output = stash(second.folder(), &["setup", "--yes", "--join", "--repo", place]);
    assert_eq!(output.status.code(), Some(10), "there is nothing to join yet");
    done(first.folder(), &[&words[..], &["--passphrase-file", pass]].concat());
    let output = stash(second.folder(), &words);
    assert_eq!(output.status.code(), Some(12), "no secret opens it");
    assert!(is_untouched(second.folder()));
    let joining = ["setup", "--yes", "--join", "--repo", place, "--passphrase-file", pass];
    done(second.folder(), &joining);
    // From here on it has a key of its own.
    let keys = done(second.folder(), &["key", "list"]);
    assert_eq!(keys.matches("device").count(), 2, "{keys}");
    assert!(!config(second.folder()).contains("correct horse"));
}

/// Types a line, once the question is there to be answered.
fn type_line(session: &mut PtySession, line: &str) {
    std::thread::sleep(Duration::from_millis(100));
    session.send(&format!("{line}\r")).unwrap();
    session.flush().unwrap();
}

/// Answers every question with Enter.
fn answer_all(session: &mut PtySession) {
    for (question, answer) in [
        ("Which agents to save?", ""),
        ("Another folder to save", ""),
        ("sign-in files", ""),
        ("Where to save?", ""),
        ("Passphrase (Enter: none)", ""),
        ("How often?", ""),
        ("Do this?", "y"),
    ] {
        session.exp_string(question).unwrap();
        type_line(session, answer);
    }
}

#[test]
fn a_person_answers_and_the_recovery_code_is_tested_by_its_words() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).first_row();
    let mut session = at_terminal(home.folder(), &["setup"]);
    answer_all(&mut session);
    session.exp_string("Keep it elsewhere:").unwrap();
    let (before, _) = session.exp_regex("Word [0-9]+ of").unwrap();
    let words: Vec<String> = before
        .lines()
        .filter(|line| line.starts_with("    "))
        .flat_map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert_eq!(words.len(), 24, "{before}");
    type_line(&mut session, "wrong");
    session.exp_string("another word").unwrap();
    // A question is drawn again once it is answered.
    let mut answered = Vec::new();
    while answered.len() < 3 {
        let (_, asked) = session.exp_regex("Word [0-9]+ of").unwrap();
        let number: usize = asked.split_whitespace().nth(1).unwrap().parse().unwrap();
        if !answered.contains(&number) {
            answered.push(number);
            type_line(&mut session, &words[number - 1]);
        }
    }
    session.exp_string("its copy on this computer is deleted").unwrap();
    session.exp_string("proof: read back").unwrap();
    session.exp_eof().unwrap();
    assert!(!stash(home.folder(), &["key", "recovery", "--show"]).status.success());
    // Asked again it proposes what was answered, and joins what it made.
    let mut session = at_terminal(home.folder(), &["setup"]);
    for question in ["Which agents", "Another folder", "sign-in", "Where to save?"] {
        session.exp_string(question).unwrap();
        type_line(&mut session, "");
    }
    session.exp_string("Save into it?").unwrap();
    type_line(&mut session, "n");
    session.exp_string("nothing was set up").unwrap();
    session.exp_eof().unwrap();
}

#[test]
fn a_bucket_is_reached_with_a_key_that_is_typed_and_kept_in_a_file_of_ones_own() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = Server::start(Behaviour::default());
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).claude_code();
    let place = format!("minio:{}/bucket/laptop", server.endpoint());
    let mut session = at_terminal(home.folder(), &["setup", "--repo", &place]);
    for question in ["Which agents", "Another folder", "sign-in"] {
        session.exp_string(question).unwrap();
        type_line(&mut session, "");
    }
    session.exp_string("Type an access key for it now?").unwrap();
    type_line(&mut session, "y");
    session.exp_string("AWS_ACCESS_KEY_ID").unwrap();
    type_line(&mut session, KEY);
    session.exp_string("AWS_SECRET_ACCESS_KEY").unwrap();
    type_line(&mut session, "hunter2");
    for (question, answer) in [("Passphrase", ""), ("How often?", ""), ("Do this?", "y")] {
        let (before, _) = session.exp_regex(question.replace('?', "[?]").as_str()).unwrap();
        assert!(!before.contains("hunter2"), "{before}");
        type_line(&mut session, answer);
    }
    session.exp_regex("Word [0-9]+ of").unwrap();
    type_line(&mut session, "");
    session.exp_string("proof: read back").unwrap();
    session.exp_eof().unwrap();
    let written = config(home.folder());
    assert!(written.contains("credentials_command") && !written.contains("hunter2"), "{written}");
    // The next run finds the key by itself, as a timer would.
    let said = done(home.folder(), &["backup", "--force", "--always"]);
    assert!(said.contains("snapshot"), "{said}");
    let mut kept = Vec::new();
    for entry in walk(home.folder()) {
        let text = std::fs::read(&entry).unwrap_or_default();
        if text.windows(7).any(|it| it == b"hunter2") {
            kept.push(entry);
        }
    }
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(kept[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);

    // A key that is refused is told, and nothing stays.
    let other = Home::new(folder.path().join("other")).claude_code();
    server.rule(|_| Action::Refuse(403, "AccessDenied"));
    let output = stash(other.folder(), &["setup", "--yes", "--repo", &place]);
    assert_eq!(output.status.code(), Some(14), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(is_untouched(other.folder()));
}

/// All files below a folder.
fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => files.extend(walk(&entry.path())),
            kind if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
    files
}

#[test]
fn ctrl_c_at_any_question_leaves_nothing() {
    let questions = [
        "Which agents to save?",
        "Another folder to save",
        "sign-in files",
        "Where to save?",
        "Passphrase (Enter: none)",
        "How often?",
        "Do this?",
    ];
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path()).first_row();
    for stop_at in 0..questions.len() {
        let mut session = at_terminal(home.folder(), &["setup"]);
        for (number, question) in questions.iter().enumerate() {
            session.exp_string(question).unwrap();
            if number == stop_at {
                std::thread::sleep(Duration::from_millis(100));
                session.send_control('c').unwrap();
                break;
            }
            type_line(&mut session, "");
        }
        session.exp_eof().unwrap();
        assert!(is_untouched(home.folder()), "{}", questions[stop_at]);
    }
}
