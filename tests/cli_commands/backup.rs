//! `init` and `backup`.

use std::os::unix::fs::PermissionsExt as _;

use crate::home::{Home, inventory};

#[test]
fn the_first_backup_makes_the_default_repository_and_keeps_the_recovery_code() {
    let home = Home::new();
    home.write("work/notes.txt", "hello");
    let first = home.run(&["backup", "work"]).code(0);
    assert!(first.out.starts_with("saved 1 file, 5 B in "), "{}", first.out);
    assert!(first.out.ends_with("same disk: a second target is missing\n"), "{}", first.out);
    assert!(first.err.contains("`stash key recovery --show`"), "{}", first.err);

    let device = home.key_files("device");
    let recovery = home.key_files("recovery");
    assert_eq!((device.len(), recovery.len()), (1, 1));
    for file in device.iter().chain(&recovery) {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    let words = std::fs::read_to_string(&recovery[0]).unwrap();
    assert_eq!(words.split_whitespace().count(), 24);
    let shown = format!("{}{}", first.out, first.err);
    let secret = std::fs::read_to_string(&device[0]).unwrap();
    assert!(!shown.contains(words.trim()) && !shown.contains(secret.trim()));

    // The code opens the repository where the device key is lost.
    std::fs::remove_file(&device[0]).unwrap();
    home.run(&["snapshots"]).code(12);
    let opened = home.run_with("STASH_PASSPHRASE", words.trim(), &["snapshots"]).code(0);
    assert!(opened.out.contains("laptop"));
}

#[test]
fn a_second_run_writes_nothing() {
    let home = Home::new();
    home.write("work/a/b", "hello");
    home.run(&["backup", "work"]).code(0);
    let before = inventory(&home.repository());
    let second = home.run(&["backup", "work"]).code(0);
    assert!(second.out.starts_with("nothing changed: 1 file, 5 B in "), "{}", second.out);
    assert_eq!(inventory(&home.repository()), before);
    home.run(&["backup", "work", "--always"]).code(0);
    assert_ne!(inventory(&home.repository()), before);
}

#[test]
fn the_summary_tells_new_changed_and_unchanged_files_apart() {
    let home = Home::new();
    home.write("work/large", vec![7; 100_000]);
    home.write("work/same", "same");
    home.write("work/changes", "one");
    home.save();
    home.write("work/changes", "two");
    home.write("work/new", "new");
    let summary = home.run(&["backup", "work", "--json"]).code(0).json().pop().unwrap();
    assert_eq!(summary["files_new"], 1);
    assert_eq!(summary["files_changed"], 1);
    assert_eq!(summary["files_unmodified"], 2);
    assert_eq!(summary["total_files_processed"], 4);
    assert_eq!(summary["same_disk"], true);
    assert!(summary["parent"].is_string());
}

#[test]
fn neither_a_dry_run_nor_a_reading_command_makes_a_repository() {
    let home = Home::new();
    home.write("work/a", "hello");
    let dry = home.run(&["backup", "work", "--dry-run"]).code(0);
    assert!(dry.out.starts_with("would read 5 B of 5 B: 1 new"), "{}", dry.out);
    for words in [&["snapshots"][..], &["ls"], &["restore", "latest", "-t", "x"], &["stats"]] {
        home.run(words).code(10);
    }
    home.run_with("RESTIC_REPOSITORY", "/r", &["backup", "work"]).code(10);
    home.run(&["backup", "work", "-r", "elsewhere"]).code(10);
    assert!(!home.repository().exists() && !home.path("elsewhere").exists());
    assert!(!home.path(".local/share/stash/keys").exists());
}

#[test]
fn bad_options_make_no_repository_either() {
    let home = Home::new();
    home.write("work/a", "hello");
    home.run(&["backup", "work", "--exclude", "[a"]).code(2);
    home.run(&["backup", "work", "--time", "someday"]).code(2);
    home.run_with("STASH_PASSPHRASE", "short", &["backup", "work"]).code(2);
    home.run(&["backup", "work", "--passphrase-file", "none"]).code(12);
    assert!(!home.repository().join("repo").exists());
}

#[test]
fn init_makes_a_repository_once() {
    let home = Home::new();
    let made = home.run(&["init", "--repo", "disk/backups", "--json"]).code(0);
    let line = made.json().pop().unwrap();
    assert_eq!(line["message_type"], "initialized");
    assert_eq!(line["repository"], home.text("disk/backups").as_str());
    let again = home.run(&["init", "--repo", "disk/backups"]).code(1);
    assert!(again.err.contains("a repository exists already"), "{}", again.err);
    assert_eq!(home.key_files("device").len(), 1);
    home.write("work/a", "x");
    home.run(&["backup", "work", "--repo", "disk/backups"]).code(0);
    assert!(!home.repository().exists());
}

#[test]
fn a_repository_for_trials_has_the_window_and_grace_it_was_told() {
    let home = Home::new();
    let init = |place: &str, window: &str, grace: &str| {
        home.run(&["init", "-r", place, "--window", window, "--grace", grace])
    };
    init("quick", "5s", "100s").code(0);
    let said = home.run(&["-r", "quick", "cat", "config"]).code(0);
    let config: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&config["window_seconds"], &config["grace_seconds"]), (&5.into(), &100.into()));
    for (window, grace) in [("5s", "99s"), ("0s", "1h"), ("4h", "72h"), ("500ms", "1h")] {
        let refused = init("hasty", window, grace).code(2);
        assert!(refused.err.contains("20 windows"), "{}", refused.err);
    }
    assert!(!home.path("hasty").exists());
    assert_eq!(home.key_files("device").len(), 1, "what is refused leaves no key");
}

#[test]
fn a_run_that_died_before_the_header_blocks_nothing() {
    let home = Home::new();
    home.write("work/a", "x");
    home.run(&["backup", "work"]).code(0);
    let header = std::fs::read_dir(home.repository().join("repo")).unwrap().next().unwrap();
    std::fs::remove_file(header.unwrap().path()).unwrap();
    std::fs::remove_dir_all(home.repository().join("log")).unwrap();
    home.run(&["backup", "work"]).code(0);
    assert_eq!(home.key_files("device").len(), 2);
    home.run(&["snapshots"]).code(0);
    home.run(&["restore", "latest", "-t", "back"]).code(0);
    assert_eq!(home.read("back/work/a"), "x");
}

#[test]
fn what_could_not_be_read_gives_3_and_the_rest_is_saved() {
    let home = Home::new();
    home.write("work/a", "x");
    let output = home.run(&["backup", "work", "missing", "--json"]).code(3);
    let error: serde_json::Value =
        serde_json::from_str(output.err.lines().last().unwrap()).unwrap();
    assert_eq!(error["message_type"], "error");
    assert_eq!(error["during"], "backup");
    assert_eq!(error["item"], home.text("missing").as_str());
    assert_eq!(output.json().pop().unwrap()["error_count"], 1);
    home.run(&["restore", "latest", "-t", "back"]).code(0);
    assert_eq!(home.read("back/work/a"), "x");
}

#[test]
fn paths_are_resolved_by_words_and_given_ones_overlap_harmlessly() {
    let home = Home::new();
    home.write("work/deep/a", "x");
    std::os::unix::fs::symlink("work", home.path("link")).unwrap();
    let words = ["backup", "work/../work/./deep", "work", "work", "link"];
    home.run(&words).code(0);
    let listed = home.run(&["ls"]).code(0).out;
    let expected = ["link", "work", "work/deep", "work/deep/a"].map(|path| home.text(path));
    assert_eq!(listed.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_repository_inside_of_the_path_is_left_out_and_that_is_said() {
    let home = Home::new();
    home.write("work/a", "x");
    let output = home.run(&["backup", "."]).code(0);
    assert!(output.err.contains("left out the repository itself"), "{}", output.err);
    let listed = home.run(&["ls"]).code(0).out;
    assert!(!listed.contains("stash/repository"), "{listed}");
    assert!(listed.contains("work/a"), "{listed}");
    let other = home.run(&["backup", "work"]).code(0);
    assert!(!other.err.contains("left out"), "{}", other.err);
}

#[test]
fn patterns_lists_and_sizes_leave_out_what_they_name() {
    let home = Home::new();
    for name in ["a.log", "b.TMP", "keep", "cache/CACHEDIR.TAG", "cache/x", "no/.nobackup", "no/y"]
    {
        home.write(&format!("work/{name}"), "x");
    }
    home.write("work/cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n");
    home.write("work/huge", vec![1; 5000]);
    home.write("list", format!("{}\n\n{}\n", home.text("work"), home.text("other")));
    home.write("other/z", "z");
    home.write("patterns", "# a comment\n*.log\n");
    let words = [
        "backup",
        "--files-from",
        "list",
        "--exclude-file",
        "patterns",
        "--iexclude",
        "*.tmp",
        "--exclude-if-present",
        ".nobackup",
        "--exclude-larger-than",
        "4K",
    ];
    home.run(&words).code(0);
    let listed = home.run(&["ls"]).code(0).out;
    let files: Vec<&str> = listed.lines().filter(|line| !line.ends_with("/work")).collect();
    let expected = [
        "other",
        "other/z",
        "work/cache",
        "work/cache/CACHEDIR.TAG",
        "work/keep",
        "work/no",
        "work/no/.nobackup",
    ];
    assert_eq!(files, expected.map(|path| home.text(path)));
}

#[test]
fn standard_input_and_a_commands_output_become_a_file() {
    let home = Home::new();
    let words = ["backup", "--stdin", "--stdin-filename", "shop.sql", "--tag", "b,a"];
    home.run_on(b"piped", &words).code(0);
    assert_eq!(home.run(&["dump", "latest", "/shop.sql"]).code(0).out, "piped");

    let command = ["backup", "--stdin-from-command", "--stdin-filename", "env", "--"];
    let words = [&command[..], &["/bin/sh", "-c", "env; echo done"]].concat();
    home.run_with("STASH_PASSPHRASE", "not for commands", &words).code(12);
    home.run(&["key", "add", "--new-passphrase-command", "echo not for commands"]).code(0);
    home.run_with("STASH_PASSPHRASE", "not for commands", &words).code(0);
    let said = home.run(&["dump", "latest", "/env"]).code(0).out;
    assert!(said.ends_with("done\n") && !said.contains("PASSPHRASE"), "{said}");

    let snapshots = home.run(&["snapshots", "--json"]).code(0).out;
    let fails = [&command[..], &["/bin/sh", "-c", "echo half; exit 7"]].concat();
    let failed = home.run(&fails).code(1);
    assert!(failed.err.contains("exit status: 7"), "{}", failed.err);
    assert_eq!(home.run(&["snapshots", "--json"]).code(0).out, snapshots);
}

#[test]
fn tags_host_time_and_job_are_those_that_were_given() {
    let home = Home::new();
    home.write("work/a", "x");
    let words = ["backup", "work", "--tag", "b,a", "--tag", "b", "--host", "other", "--job", "j"];
    home.run(&[&words[..], &["--time", "2020-02-03 04:05"]].concat()).code(0);
    let rows = home.run(&["snapshots", "--json"]).code(0).json().pop().unwrap();
    let row = &rows[0];
    assert_eq!(row["tags"], serde_json::json!(["a", "b"]));
    assert_eq!((&row["hostname"], &row["job"]), (&"other".into(), &"j".into()));
    assert_eq!(row["time"], "2020-02-03T04:05:00+00:00");
    assert_eq!(row["username"], "ann");
    assert_eq!(row["paths"], serde_json::json!([home.text("work")]));
}

#[test]
fn a_second_run_at_the_same_time_is_refused_unless_it_waits() {
    let home = Home::new();
    home.write("work/a", "x");
    home.save();
    let locks = home.path(".local/state/stash/locks");
    let mut held = Vec::new();
    for file in std::fs::read_dir(locks).unwrap() {
        let file = std::fs::File::open(file.unwrap().path()).unwrap();
        file.lock().unwrap();
        held.push(file);
    }
    let busy = home.run(&["backup", "work"]).code(11);
    assert!(busy.err.contains("--wait"), "{}", busy.err);
    home.run(&["snapshots"]).code(0);
    drop(held);
    home.run(&["backup", "work", "--wait", "1m"]).code(0);
}

#[test]
fn verbose_json_names_each_item_and_quiet_says_nothing() {
    let home = Home::new();
    home.write("work/a", "x");
    let lines = home.run(&["backup", "work", "--json", "-vv"]).code(0).json();
    let item = lines.iter().find(|line| line["item"] == home.text("work/a").as_str()).unwrap();
    assert_eq!((&item["message_type"], &item["action"]), (&"verbose_status".into(), &"new".into()));
    home.write("work/b", "y");
    let quiet = home.run(&["backup", "work", "-q"]).code(0);
    assert_eq!((quiet.out.as_str(), quiet.err.as_str()), ("", ""));
}
