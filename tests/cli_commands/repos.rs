//! `stash repo`, and `--agent` of the commands that look at snapshots.

use std::fmt::Write as _;

use crate::home::{Home, inventory, noise};

const CONFIG: &str = ".config/stash/config.toml";

fn home() -> Home {
    let home = Home::new();
    home.write("work/a.txt", "first");
    home.write("work/large", noise(1, 300_000));
    home
}

fn snapshots(home: &Home, words: &[&str]) -> Vec<serde_json::Value> {
    let output = home.run(&[&["snapshots", "--json"], words].concat()).code(0);
    serde_json::from_str(&output.out).unwrap()
}

/// Returns the name of the main repository.
fn main_of(home: &Home) -> String {
    let output = home.run(&["repo", "list", "--json"]).code(0);
    let all: Vec<serde_json::Value> = serde_json::from_str(&output.out).unwrap();
    let main = all.iter().find(|it| it["main"] == true).unwrap();
    main["name"].as_str().unwrap().to_owned()
}

#[test]
fn repositories_are_added_used_and_removed_with_comments_kept() {
    let home = home();
    let none = home.run(&["repo", "list"]).code(0);
    assert!(none.err.contains("names no repository"), "{}", none.err);
    home.run(&["backup", "work", "-q"]).code(0);
    let words = ["repo", "add", "usb", "usb", "--credentials-command", "pass show usb"];
    let added = home.run(&words).code(0);
    assert!(added.err.contains("`stash init -r usb` makes it"), "{}", added.err);
    // The default one, which is in use, stays the one that commands use.
    assert_eq!(main_of(&home), "local");
    assert_eq!(snapshots(&home, &[]).len(), 1);
    let text = home.read(CONFIG);
    let section = format!(
        "[repositories.usb]\nlocation = \"{}\"\ncredentials_command = \"pass show usb\"\n",
        home.text("usb")
    );
    assert!(text.contains(&section), "{text}");
    home.run(&["repo", "add", "usb", "elsewhere"]).code(2);
    let twice = home.run(&["repo", "add", "again", "usb"]).code(2);
    assert!(twice.err.contains("it is called `usb`"), "{}", twice.err);

    let mut text = text.replace("[repositories.usb]", "# behind the books\n[repositories.usb]");
    write!(text, "[jobs.work] # mine\nrepositories = [\"local\", \"usb\"]\npaths = [\"~/work\"]\n")
        .unwrap();
    write!(text, "[jobs.other]\nrepositories = [\"usb\"]\npaths = [\"~/work\"]\n").unwrap();
    home.write(CONFIG, text);
    home.run(&["repo", "use", "usb"]).code(0);
    assert_eq!(main_of(&home), "usb");
    let text = home.read(CONFIG);
    for kept in ["# behind the books\n", "[jobs.work] # mine\n", "repositories = [\"usb\"]\n"] {
        assert!(text.contains(kept), "{text}");
    }
    let alone = home.run(&["repo", "remove", "usb"]).code(2);
    assert!(alone.err.contains("saves into it alone"), "{}", alone.err);
    assert!(home.run(&["repo", "remove", "usp"]).code(2).err.contains("did you mean `usb`?"));
    let removed = home.run(&["repo", "remove", "local"]).code(0);
    assert!(removed.err.contains("stays there"), "{}", removed.err);
    assert!(home.repository().join("repo").exists());
    // By its place it comes back, under the seeds' word too.
    let place = home.repository();
    home.run(&["backend", "set", place.to_str().unwrap()]).code(0);
    assert_eq!(main_of(&home), "local");
    assert_eq!(snapshots(&home, &[]).len(), 1);
    let added = home.run(&["repo", "add", "cloud", "s3://bucket/x", "-P", "work"]).code(0);
    assert!(added.out.starts_with("added `cloud`"), "{}", added.out);
    assert!(home.read(CONFIG).contains("repositories = [\"local\", \"cloud\"]\n"));
    assert!(home.run(&["repo", "add", "x", "/x", "-P", "wrk"]).code(2).err.contains("`work`?"));
}

#[test]
fn a_move_brings_everything_over_and_switches_last() {
    let home = home();
    home.run(&["backup", "work", "-q"]).code(0);
    home.write("work/a.txt", "second");
    home.run(&["backup", "work", "-q", "--tag", "two"]).code(0);
    home.run(&["pin", "latest"]).code(0);
    let before = inventory(&home.repository());
    let planned = home.run(&["repo", "move", "new", "--dry-run"]).code(0);
    assert!(planned.out.contains("would make a repository"), "{}", planned.out);
    assert!(!home.path("new").exists() && !home.path(CONFIG).exists());

    let moved = home.run(&["repo", "move", "new", "--read-data"]).code(0);
    assert!(moved.err.contains("copied 2 snapshots"), "{}", moved.err);
    assert!(moved.out.contains("commands and jobs use `new` now"), "{}", moved.out);
    assert_eq!(inventory(&home.repository()), before, "the old one stays as it is");
    assert_eq!(main_of(&home), "new");
    let all = snapshots(&home, &[]);
    assert_eq!(all.len(), 2);
    assert_eq!(all[1]["tags"][0], "two");
    assert_eq!(home.run(&["dump", "latest", "work/a.txt"]).code(0).out, "second");
    home.run(&["check", "--read-data"]).code(0);
    // History goes on: nothing has changed since, so nothing is written.
    assert!(home.run(&["backup", "work"]).code(0).out.starts_with("nothing changed"));
    assert_eq!(snapshots(&home, &["-r", "local"]).len(), 2);
    home.run(&["repo", "move", "new"]).code(2);
    home.run(&["repo", "move", "elsewhere", "-r", "unknown"]).code(2);
}

#[test]
fn a_move_that_was_interrupted_names_the_old_one_and_goes_on_when_run_again() {
    let home = home();
    for number in 0..6 {
        home.write(&format!("work/{number}"), noise(number + 10, 400_000));
        home.run(&["backup", "work", "-q"]).code(0);
    }
    // Killed at several moments: before anything is there, while it is made, and while it is copied.
    let program = env!("CARGO_BIN_EXE_stash");
    for milliseconds in [2, 15, 40, 80, 120, 160, 200, 240] {
        let mut child = std::process::Command::new(program)
            .args(["repo", "move", "new"])
            .env_clear()
            .env("HOME", home.path(""))
            .env("STASH_HOST", "laptop")
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .current_dir(home.path(""))
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
        // Whatever it names is whole.
        assert_eq!(snapshots(&home, &[]).len(), 6, "killed after {milliseconds} ms");
        home.run(&["check"]).code(0);
        if home.path(CONFIG).exists() {
            break;
        }
    }
    if !home.path(CONFIG).exists() {
        home.run(&["repo", "move", "new"]).code(0);
    }
    assert_eq!(main_of(&home), "new");
    assert_eq!(snapshots(&home, &[]).len(), 6);
    home.run(&["check", "--read-data"]).code(0);
}

#[test]
fn a_move_of_damaged_data_switches_nothing() {
    let home = home();
    home.run(&["backup", "work", "-q"]).code(0);
    let pack = home.packs().pop().unwrap();
    std::fs::remove_file(&pack).unwrap();
    let output = home.run(&["repo", "move", "new"]);
    assert!(matches!(output.code, 3 | 13), "{} {}", output.code, output.err);
    assert!(!home.path(CONFIG).exists());
}

#[test]
fn snapshots_stats_and_policies_take_an_agent() {
    let home = home();
    home.run(&["backup", "work", "-q"]).code(0);
    home.write(".claude/settings.json", "{}");
    home.run(&["backup", "-q"]).code(0);
    home.write(".claude/settings.json", "{\"a\":1}");
    home.run(&["backup", "-q"]).code(0);
    assert_eq!(snapshots(&home, &[]).len(), 3);
    assert_eq!(snapshots(&home, &["--agent", "claude"]).len(), 2);
    assert_eq!(snapshots(&home, &["--agent", "codex"]).len(), 0);
    let slip = home.run(&["snapshots", "--agent", "cluade-code"]).code(2);
    assert!(slip.err.contains("did you mean `claude-code`?"), "{}", slip.err);
    let counted = home.run(&["stats", "--agent", "claude-code", "--json"]).code(0).json();
    assert_eq!(counted[0]["snapshots_count"], 2, "{counted:?}");
    let plan = home.run(&["forget", "--agent", "claude", "--keep-last", "1", "-n"]).code(0);
    assert!(plan.out.contains("would forget 1 of 2 snapshots"), "{}", plan.out);
    home.run(&["forget", "--agent", "claude", "--only", "config", "--keep-last", "1"]).code(2);
    // Without a policy it is taken out, by whatever name it is called.
    home.run(&["forget", "--agent", "claude", "--yes"]).code(0);
    assert_eq!(snapshots(&home, &["--agent", "claude"]).len(), 0);
    assert_eq!(snapshots(&home, &[]).len(), 1);
}
