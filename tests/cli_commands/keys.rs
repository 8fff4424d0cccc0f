//! `key`, and what opens a repository.

use crate::home::Home;

fn saved() -> Home {
    let home = Home::new();
    home.write("work/a", "x");
    home.save();
    home
}

fn kinds(home: &Home) -> Vec<String> {
    let rows = home.run(&["key", "list", "--json"]).code(0).json().pop().unwrap();
    let mut kinds: Vec<String> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{} {}", row["kind"].as_str().unwrap(), row["label"].as_str().unwrap()))
        .collect();
    kinds.sort();
    kinds
}

#[test]
fn a_passphrase_given_at_the_first_backup_opens_the_repository_too() {
    let home = Home::new();
    home.write("work/a", "x");
    home.run_with("STASH_PASSPHRASE", "correct horse", &["backup", "work"]).code(0);
    home.run(&["snapshots"]).code(0);
    std::fs::remove_file(&home.key_files("device")[0]).unwrap();
    home.run_with("STASH_PASSPHRASE", "correct horse", &["snapshots"]).code(0);
    let wrong = home.run_with("STASH_PASSPHRASE", "battery staple", &["snapshots"]).code(12);
    assert!(wrong.err.contains("wrong passphrase"), "{}", wrong.err);
    assert!(wrong.err.contains("hint: it came from `STASH_PASSPHRASE`"), "{}", wrong.err);
    assert!(!wrong.err.contains("battery"), "{}", wrong.err);
    let none = home.run(&["snapshots"]).code(12);
    assert!(none.err.contains("STASH_PASSPHRASE_FILE"), "{}", none.err);
}

#[test]
fn an_explicit_source_never_falls_through_to_the_device_key() {
    let home = saved();
    home.write("wrong", "wrong passphrase\n");
    let output = home.run(&["snapshots", "--passphrase-file", "wrong"]).code(12);
    assert!(output.err.contains("`--passphrase-file` (wrong)"), "{}", output.err);
    home.run(&["snapshots", "--passphrase-command", "exit 1"]).code(12);
}

#[test]
fn passphrases_are_added_replaced_and_removed() {
    let home = saved();
    home.write("one", "first passphrase\n");
    home.write("two", "second passphrase\n");
    home.run(&["key", "add", "--new-passphrase-file", "one", "--label", "home"]).code(0);
    assert_eq!(kinds(&home), ["device laptop", "passphrase home", "recovery recovery code"]);
    home.run(&["snapshots", "-p", "one"]).code(0);
    home.run(&["key", "passwd", "-p", "one", "--new-passphrase-file", "two"]).code(0);
    assert_eq!(kinds(&home), ["device laptop", "passphrase home", "recovery recovery code"]);
    home.run(&["snapshots", "-p", "one"]).code(12);
    home.run(&["snapshots", "-p", "two"]).code(0);

    let rows = home.run(&["key", "list", "--json", "-p", "two"]).json().pop().unwrap();
    let rows = rows.as_array().unwrap();
    let row = |kind: &str| rows.iter().find(|row| row["kind"] == kind).unwrap();
    assert_eq!(row("passphrase")["current"], true);
    let id = row("passphrase")["short_id"].as_str().unwrap();
    let in_use = home.run(&["key", "remove", id, "-p", "two"]).code(2);
    assert!(in_use.err.contains("opened the repository with that key"), "{}", in_use.err);
    let line = home.run(&["key", "remove", id, "--json"]).code(0).json().pop().unwrap();
    assert_eq!((&line["message_type"], &line["action"]), (&"key".into(), &"removed".into()));
    home.run(&["snapshots", "-p", "two"]).code(12);
    home.run(&["key", "remove", "ffff"]).code(1);
    let none = home.run(&["key", "passwd", "--new-passphrase-file", "one"]).code(1);
    assert!(none.err.contains("`stash key add`"), "{}", none.err);
    home.write("short", "short");
    home.run(&["key", "add", "--new-passphrase-file", "short"]).code(2);
    home.run(&["key", "add"]).code(12);
}

#[test]
fn the_recovery_code_is_shown_on_a_terminal_only_and_tested_once() {
    let home = saved();
    let file = home.key_files("recovery").pop().unwrap();
    let words = std::fs::read_to_string(&file).unwrap();
    let refused = home.run(&["key", "recovery", "--show"]).code(1);
    assert!(refused.err.contains("on a terminal only"), "{}", refused.err);
    assert!(!refused.out.contains(words.trim()) && !refused.err.contains(words.trim()));

    let no_words = words.replacen(' ', "x ", 1);
    home.run_with("STASH_PASSPHRASE", no_words.trim(), &["key", "recovery", "--test"]).code(12);
    home.run(&["key", "recovery", "--test"]).code(12);
    let mut swapped: Vec<&str> = words.split_whitespace().collect();
    swapped.reverse();
    let swapped = swapped.join(" ");
    home.run_with("STASH_PASSPHRASE", &swapped, &["key", "recovery", "--test"]).code(12);
    assert!(file.exists());

    let shouted = words.to_uppercase().replace(' ', "\n");
    let tested =
        home.run_with("STASH_PASSPHRASE", &shouted, &["key", "recovery", "--test"]).code(0);
    assert!(tested.out.contains("its copy on this machine is deleted"), "{}", tested.out);
    assert!(!file.exists());
    let gone = home.run(&["key", "recovery", "--show"]).code(1);
    assert!(gone.err.contains("no recovery code waits"), "{}", gone.err);
    home.run_with("STASH_PASSPHRASE", words.trim(), &["snapshots"]).code(0);
}

#[test]
fn a_further_machine_gets_a_key_of_its_own_that_can_be_removed_alone() {
    let home = Home::new();
    home.write("work/a", "x");
    home.run_with("STASH_PASSPHRASE", "correct horse", &["backup", "work"]).code(0);
    let again = home.run(&["key", "add", "--device"]).code(1);
    assert!(again.err.contains("has a key of this repository already"), "{}", again.err);
    // As on another machine: nothing but the passphrase opens it.
    std::fs::remove_file(&home.key_files("device")[0]).unwrap();
    let words = ["key", "add", "--device", "--label", "desk", "--json"];
    let added = home.run_with("STASH_PASSPHRASE", "correct horse", &words).code(0).json();
    home.run(&["snapshots"]).code(0);
    assert!(kinds(&home).contains(&"device desk".to_owned()));
    assert!(kinds(&home).contains(&"device laptop".to_owned()));
    let id = added[0]["id"].as_str().unwrap();
    home.run_with("STASH_PASSPHRASE", "correct horse", &["key", "remove", id]).code(0);
    home.run(&["snapshots"]).code(12);
}
