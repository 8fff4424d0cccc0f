//! `stash status`, and `stash` alone.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::Value;

use crate::common_agents::Home;
use crate::scene::{Scene, date_back};

const CONFIG: &str = ".config/stash/config.toml";

/// Returns the exit code, and what was printed.
fn status(scene: &Scene, words: &[&str]) -> (i32, String) {
    let output = scene.run(&[&["status"], words].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), text)
}

fn json(scene: &Scene, words: &[&str]) -> (i32, Value) {
    let (code, text) = status(scene, &[&["--json"], words].concat());
    (code, serde_json::from_str(&text).unwrap())
}

/// Returns the row of an agent, its cells parted by single blanks.
fn row(text: &str, agent: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(agent)).unwrap();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_first_line_tells_how_it_stands_and_the_table_what_changed() {
    let scene = Scene::saved(|home| home.claude_code().opencode());
    let (code, text) = status(&scene, &[]);
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with("ok: last backup just now, 0 changes since\n"), "{text}");
    let second = text.lines().nth(1).unwrap();
    assert!(
        second.contains("/repository`: 1 snapshot; ") && !second.contains("remembered"),
        "{second}"
    );
    assert!(row(&text, "claude-code").starts_with("claude-code just now 1 "), "{text}");
    assert!(row(&text, "opencode").starts_with("opencode just now 1 + in 1 file "), "{text}");
    assert!(row(&text, "opencode").ends_with(" nothing"), "{text}");
    scene.write(".claude/CLAUDE.md", "Answer at length.\n");
    scene.write(".claude/commands/new.md", "New.\n");
    std::fs::remove_file(scene.path(".claude/keybindings.json")).unwrap();
    let database =
        rusqlite::Connection::open(scene.path(".local/share/opencode/opencode.db")).unwrap();
    database.execute_batch("UPDATE session SET title = 'Other'").unwrap();
    let (_, text) = status(&scene, &[]);
    assert!(text.starts_with("ok: last backup just now, 4 changes since\n"), "{text}");
    assert!(row(&text, "claude-code").ends_with(" 1 new, 1 changed, 1 gone"), "{text}");
    assert!(row(&text, "opencode").ends_with(" 1 changed"), "{text}");
    drop(database);
    scene.done(&["backup", "-q"]);
    assert!(status(&scene, &[]).1.contains(" 0 changes since"));
}

#[test]
fn an_overdue_job_gives_15() {
    let scene = Scene::saved(Home::claude_code);
    scene.write(CONFIG, "[jobs.agents]\noverdue_after = \"1s\"\n");
    std::thread::sleep(Duration::from_millis(1100));
    let (code, text) = status(&scene, &[]);
    assert_eq!(code, 15);
    assert!(
        text.starts_with("overdue: `agents` last succeeded just now; `stash backup` runs it"),
        "{text}"
    );
    let (code, value) = json(&scene, &[]);
    assert_eq!(
        (code, &value["health"], &value["jobs"][0]["overdue"]),
        (15, &"overdue".into(), &true.into())
    );
    scene.write(CONFIG, "[jobs.agents]\n[jobs.never]\npaths = [\"/etc\"]\n");
    let (code, text) = status(&scene, &[]);
    assert!(code == 15 && text.starts_with("overdue: nothing is saved yet by `never`"), "{text}");
    std::fs::remove_file(scene.path(CONFIG)).unwrap();
    assert_eq!(status(&scene, &[]).0, 0);
}

#[test]
fn a_run_that_finds_nothing_changed_is_a_success_and_one_that_fails_is_told() {
    let scene = Scene::saved(Home::claude_code);
    let job = "[jobs.agents]\noverdue_after = \"2s\"\n";
    scene.write(CONFIG, job);
    std::thread::sleep(Duration::from_millis(2100));
    assert_eq!(status(&scene, &[]).0, 15);
    assert!(scene.done(&["backup"]).contains("nothing changed"));
    assert_eq!(status(&scene, &[]).0, 0);
    scene.write(CONFIG, "[jobs.agents]\nbefore = \"exit 1\"\n");
    assert_eq!(scene.run(&["backup", "-q"]).status.code(), Some(17));
    let output = scene.run(&["status"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(0) && said.contains("newest run of `agents` failed: "),
        "{said}"
    );
    scene.doctor(&[]).expect(
        "last success",
        "note",
        "the newest run failed: agents: ",
        "stash backup",
    );
}

#[test]
fn the_next_run_is_told_where_cron_says_it() {
    let scene = Scene::saved(Home::claude_code);
    assert!(json(&scene, &[]).1["next_run"].is_null());
    scene.write("crontab", "17 * * * * /usr/bin/stash backup -q\n");
    let text = status(&scene, &[]).1;
    assert!(
        text.contains("runs by itself: the crontab: `17 * * * * ")
            && text.contains(":17:00 +00:00"),
        "{text}"
    );
    assert!(json(&scene, &[]).1["next_run"].as_str().unwrap().ends_with(":17:00Z"));
}

#[test]
fn before_the_first_backup_all_is_overdue_and_nothing_is_made() {
    let scene = Scene::new(Home::claude_code);
    let (code, text) = status(&scene, &[]);
    assert_eq!(code, 15);
    assert!(
        text.starts_with("overdue: nothing is saved yet by `agents`; `stash backup` begins\n"),
        "{text}"
    );
    assert!(row(&text, "claude-code").ends_with(" all of it"), "{text}");
    assert!(!scene.repository().exists());
}

#[test]
fn one_object_holds_all_of_it() {
    let scene = Scene::saved(Home::claude_code);
    let (code, value) = json(&scene, &[]);
    assert_eq!((code, &value["health"], &value["checked"]), (0, &"ok".into(), &true.into()));
    assert_eq!(value["repository"]["snapshots"], 1);
    assert!(value["repository"]["stored_bytes"].as_u64().unwrap() > 0);
    let agent = &value["agents"][0];
    assert_eq!(
        (&agent["id"], &agent["sessions"], &agent["changes"]["new"]),
        (&"claude-code".into(), &1.into(), &0.into())
    );
    let warnings = value["warnings"].to_string();
    assert!(warnings.contains("same disk") && warnings.contains("recovery code"), "{warnings}");
}

#[test]
fn a_layout_that_nobody_knows_is_warned_of() {
    let scene = Scene::new(|home| home);
    scene.write(".claude/talks-of-next-year/1.bin", "x");
    let output = scene.run(&["status"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("claude-code: no session was recognised in `"), "{said}");
}

#[test]
fn an_agent_that_went_stays_in_the_table() {
    let scene = Scene::saved(|home| home.claude_code().codex());
    std::fs::remove_dir_all(scene.path(".codex")).unwrap();
    assert!(row(&status(&scene, &[]).1, "codex").ends_with("no longer on this machine"));
}

#[test]
fn what_can_not_be_opened_is_not_known_and_tells_why() {
    let scene = Scene::saved(Home::claude_code);
    std::fs::remove_file(scene.key_file("device")).unwrap();
    let output = scene.run(&["status"]);
    assert_eq!(output.status.code(), Some(12));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("not known: "), "{text}");
    assert!(text.contains("claude-code"), "what lies here is told all the same: {text}");
}

#[test]
fn a_remote_repository_is_told_from_memory_when_it_can_not_be_reached() {
    let scene = Scene::new(Home::claude_code);
    let far = scene.beside("far");
    scene.write(CONFIG, format!("[repositories.far]\nlocation = 'git+file://{}'\n", far.display()));
    scene.done(&["init", "-q"]);
    scene.done(&["backup", "-q"]);
    let (code, near) = status(&scene, &[]);
    assert_eq!(code, 0, "{near}");
    assert!(
        near.contains("(as remembered here)")
            && near.contains("1 snapshot; ")
            && near.starts_with("ok: last backup just now, 0 changes"),
        "{near}"
    );
    std::fs::rename(&far, scene.beside("gone")).unwrap();
    assert_eq!(status(&scene, &[]), (0, near), "nothing of it was asked");
    let (code, _) = status(&scene, &["--check"]);
    assert!(code == 14 || code == 10, "{code}");
    std::fs::rename(scene.beside("gone"), &far).unwrap();
    let (code, text) = status(&scene, &["--check"]);
    assert!(code == 0 && !text.contains("as remembered here"), "{text}");
}

#[test]
fn a_server_is_not_asked() {
    let mut scene = Scene::new(Home::claude_code);
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    scene
        .write(CONFIG, format!("[repositories.far]\nlocation = 'minio:127.0.0.1:{port}/bucket'\n"));
    scene.set("AWS_ACCESS_KEY_ID", "invented");
    scene.set("AWS_SECRET_ACCESS_KEY", "invented");
    let (code, text) = status(&scene, &[]);
    assert!(code == 15 && text.starts_with("overdue: nothing is saved yet"), "{text}");
    server.set_nonblocking(true).unwrap();
    assert!(server.accept().is_err(), "somebody called");
}

#[test]
fn stash_alone_shows_the_status_once_there_is_one_and_what_there_is_to_save_before() {
    let scene = Scene::new(Home::claude_code);
    let folders = std::fs::read_dir(scene.path(".claude/projects")).unwrap();
    let folder = folders.map(|it| it.unwrap().path()).next().unwrap();
    for file in std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()) {
        if file.extension().is_some_and(|it| it == "jsonl") {
            date_back(&file, 29);
        }
    }
    let text = scene.done(&[]);
    assert!(
        text.contains("Claude Code: 1 session, 1 of which it deletes within 3 days\n"),
        "{text}"
    );
    assert!(text.contains("stash backup ") && !scene.repository().exists(), "{text}");
    scene.done(&["backup", "-q"]);
    assert!(scene.done(&[]).starts_with("ok: last backup just now"));
    scene.write(CONFIG, "[jobs.never]\npaths = [\"/etc\"]\n");
    assert_eq!(scene.run(&[]).status.code(), Some(15));
}
