//! `key`, and what opens a repository.

use crate::home::{Home, noise};

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

#[test]
fn a_removed_recovery_code_is_not_shown_any_more() {
    let home = saved();
    let rows = home.run(&["key", "list", "--json"]).code(0).json().pop().unwrap();
    let rows = rows.as_array().unwrap().clone();
    let row = rows.iter().find(|row| row["kind"] == "recovery").unwrap();
    let file = home.key_files("recovery").pop().unwrap();
    let words = std::fs::read_to_string(&file).unwrap();
    let removed = home.run(&["key", "remove", row["short_id"].as_str().unwrap()]).code(0);
    assert!(removed.err.contains("on this machine is deleted, too"), "{}", removed.err);
    assert!(!file.exists());
    // As on a machine that did not remove it itself.
    std::fs::write(&file, &words).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let shown = home.run(&["key", "recovery", "--show"]).code(1);
    assert!(shown.err.contains("opens the repository no more"), "{}", shown.err);
    assert!(!shown.err.contains(words.split(' ').next().unwrap()), "{}", shown.err);
    home.run_with("STASH_PASSPHRASE", words.trim(), &["key", "recovery", "--test"]).code(12);
}

/// Two homes with a repository between them, a passphrase and a recovery code.
#[test]
fn all_who_keep_their_keys_go_on_after_a_rotation_and_a_stolen_one_does_not() {
    let (desk, laptop) = (Home::new(), Home::new());
    let repository = desk.text("repository");
    let place = ["-r", repository.as_str()];
    let with =
        |words: &[&str]| [words, &place].concat().iter().map(|it| (*it).to_owned()).collect();
    let run = |home: &Home, words: &[&str]| {
        let words: Vec<String> = with(words);
        home.run(&words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let run_with = |home: &Home, secret: &str, words: &[&str]| {
        let words: Vec<String> = with(words);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        home.run_with("STASH_PASSPHRASE", secret, &words)
    };
    run_with(&desk, "correct horse", &["init"]).code(0);
    let words = std::fs::read_to_string(desk.key_files("recovery").pop().unwrap()).unwrap();
    let words = words.trim();
    desk.write("work/a", noise(1, 600_000));
    laptop.write("work/b", "from the laptop");
    run(&desk, &["backup", "work"]).code(0);
    for (label, file) in [("laptop", "device"), ("stolen", "stolen")] {
        let add = ["key", "add", "--device", "--label", label];
        run_with(&laptop, "correct horse", &add).code(0);
        let key = laptop.key_files("device").pop().unwrap();
        if file == "device" {
            run(&laptop, &["backup", "work"]).code(0);
            std::fs::rename(&key, key.with_extension("mine")).unwrap();
        } else {
            std::fs::rename(&key, key.with_extension("stolen")).unwrap();
            std::fs::rename(key.with_extension("mine"), &key).unwrap();
        }
    }
    let slots = run(&desk, &["key", "list", "--json"]).code(0).json().pop().unwrap();
    let stolen = slots.as_array().unwrap().iter().find(|row| row["label"] == "stolen").unwrap();
    let stolen = stolen["short_id"].as_str().unwrap();

    let asked = run(&desk, &["key", "rotate", "--without", stolen]).code(2);
    assert!(asked.err.contains("add `--yes`"), "{}", asked.err);
    let plan = run(&desk, &["key", "rotate", "--without", stolen, "--dry-run"]).code(0);
    assert!(plan.out.contains("Left out, and removed:\nid"), "{}", plan.out);
    let done = run(&desk, &["key", "rotate", "--without", stolen, "--yes", "--json"]).code(0);
    let done = done.json().pop().unwrap();
    assert_eq!(done["message_type"], "rotated");
    assert!(done["epoch"].as_u64().unwrap() > 0);
    assert_eq!(done["kept"].as_array().unwrap().len(), 4);
    assert_eq!(done["left_out"][0]["label"], "stolen");

    laptop.write("work/c", "after it");
    run(&laptop, &["backup", "work"]).code(0);
    run(&desk, &["backup", "work"]).code(0);
    let empty = Home::new();
    run_with(&empty, words, &["restore", "latest", "--host", "laptop", "--target", "all"]).code(0);
    assert_eq!(empty.read("all/work/c"), "after it");
    run_with(&empty, "correct horse", &["snapshots"]).code(0);
    let key = laptop.key_files("device").pop().unwrap();
    std::fs::rename(key.with_extension("stolen"), &key).unwrap();
    run(&laptop, &["snapshots"]).code(12);

    let full = run(&desk, &["key", "rotate", "--full", "--yes"]).code(0);
    assert!(full.out.contains("rotated the keys"), "{}", full.out);
    assert!(full.out.contains("copied"), "{}", full.out);
    let again = Home::new();
    run_with(&again, words, &["restore", "latest", "--host", "laptop", "--target", "all"]).code(0);
    assert_eq!(again.read("all/work/b"), "from the laptop");
    run(&desk, &["check", "--read-data"]).code(0);
}
