//! `copy`, `init --like`, `backup --also`, `check --with` and `repair data`.

use std::path::PathBuf;

use crate::home::{Home, noise};

/// A home with two snapshots of `work`.
fn saved() -> Home {
    let home = Home::new();
    home.write("work/large", noise(1, 600_000));
    home.write("work/a", "one");
    home.save();
    home.write("work/a", "two");
    home.save();
    home
}

fn like(home: &Home, name: &str) {
    let main = home.repository();
    home.run(&["init", "-r", name, "--like", main.to_str().unwrap()]).code(0);
}

fn ids(home: &Home, repository: &str) -> Vec<String> {
    let rows = home.run(&["snapshots", "-r", repository, "--json"]).code(0).json().remove(0);
    rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

fn packs(home: &Home, repository: &str) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(home.path(repository).join("packs")).unwrap();
    let files = folders.flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap());
    files.map(|file| file.unwrap().path()).collect()
}

#[test]
fn a_copy_restores_and_a_second_run_copies_nothing() {
    let home = saved();
    like(&home, "second");
    let main = home.repository();
    let from = ["copy", "-r", "second", "--from-repo", main.to_str().unwrap(), "--json"];
    let plan = home.run(&[&from[..], &["--dry-run"]].concat()).code(0).json();
    assert_eq!((plan.len(), &plan[2]["dry_run"]), (3, &true.into()));
    assert!(ids(&home, "second").is_empty());
    let lines = home.run(&from).code(0).json();
    assert_eq!(lines[0]["message_type"], "copied");
    assert_eq!(lines[2]["snapshots_copied"], 2);
    assert_eq!(lines[2]["shares_keys"], true);
    assert_eq!(ids(&home, "second").len(), 2);
    let again = home.run(&from).code(0).json();
    assert_eq!(
        (&again[0]["snapshots_copied"], &again[0]["snapshots_present"]),
        (&0.into(), &2.into())
    );
    home.run(&["restore", "-r", "second", "latest", "--target", "back"]).code(0);
    assert_eq!(home.read("back/work/a"), "two");
    home.run(&["check", "-r", "second", "--read-data"]).code(0);
}

#[test]
fn a_copy_needs_two_repositories_and_opens_the_other_by_its_own_passphrase() {
    let home = saved();
    let none = home.run(&["copy"]).code(2);
    assert!(none.err.contains("--from-repo"), "{}", none.err);
    let main = home.text(".local/share/stash/repository");
    let same = home.run(&["copy", "--from-repo", &main]).code(2);
    assert!(same.err.contains("the same repository"), "{}", same.err);
    // One that only a passphrase opens.
    home.run_with("STASH_PASSPHRASE", "correct horse", &["init", "-r", "other"]).code(0);
    home.run(&["backup", "-r", "other", "work"]).code(0);
    for file in home.key_files("device") {
        std::fs::remove_file(file).unwrap();
    }
    home.write("other-pass", "correct horse\n");
    home.write("wrong-pass", "battery staple\n");
    let with = |file: &str| {
        let words = ["copy", "-r", "third", "--from", "other", "--from-passphrase-file", file];
        home.run(&words)
    };
    home.run(&["init", "-r", "third"]).code(0);
    let wrong = with("wrong-pass").code(12);
    assert!(wrong.err.contains("`--from-passphrase-file` (wrong-pass)"), "{}", wrong.err);
    with("other-pass").code(0);
    assert_eq!(ids(&home, "third").len(), 1);
}

#[test]
fn a_backup_may_go_into_several_repositories() {
    let home = Home::new();
    home.write("work/a", "one");
    home.save();
    like(&home, "second");
    home.write("work/a", "two");
    let also = ["backup", "work", "--also", "second", "--json"];
    let lines = home.run(&also).code(0).json();
    let line = lines.iter().find(|line| line["message_type"] == "also").unwrap();
    assert_eq!(ids(&home, "second"), [line["snapshot_id"].as_str().unwrap()]);
    // Nothing changed, and nothing is missing there.
    home.run(&also).code(0);
    assert_eq!(ids(&home, "second").len(), 1);
    // One that fails does not stop the others.
    home.write("work/a", "three");
    let words = ["backup", "work", "--also", "missing", "--also", "second"];
    let output = home.run(&words).code(3);
    assert!(output.err.contains("nothing was saved into `"), "{}", output.err);
    assert_eq!(ids(&home, "second").len(), 2);
    // It is brought over later, even if nothing changed since.
    like(&home, "missing");
    home.run(&words).code(0);
    assert_eq!(ids(&home, "missing").len(), 1);
    let variable = home.run_with("STASH_ALSO", "missing", &["backup", "work", "--always"]).code(0);
    assert!(variable.out.contains("also in"), "{}", variable.out);
    assert_eq!(ids(&home, "missing").len(), 2);
}

#[test]
fn if_the_main_repository_fails_the_others_are_saved_into_directly() {
    let home = Home::new();
    home.write("work/a", "one");
    home.run(&["init", "-r", "second"]).code(0);
    let output = home.run(&["backup", "work", "-r", "gone", "--also", "second"]).code(10);
    assert!(output.err.contains("saving straight into the other"), "{}", output.err);
    assert_eq!(ids(&home, "second").len(), 1);
    home.run(&["restore", "-r", "second", "latest", "--target", "back"]).code(0);
    assert_eq!(home.read("back/work/a"), "one");
}

#[test]
fn damage_is_made_good_from_a_second_repository() {
    let home = saved();
    like(&home, "second");
    let main = home.text(".local/share/stash/repository");
    home.run(&["copy", "-r", "second", "--from-repo", &main]).code(0);
    for pack in packs(&home, ".local/share/stash/repository") {
        let mut bytes = std::fs::read(&pack).unwrap();
        bytes[4000] ^= 1;
        std::fs::remove_file(&pack).unwrap();
        std::fs::write(&pack, bytes).unwrap();
    }
    let checked = home.run(&["check", "--read-data", "--with", "second"]).code(13);
    assert!(checked.out.contains("stash repair data --with"), "{}", checked.out);
    home.run(&["repair", "data", "--with", "second", "--dry-run"]).code(0);
    home.run(&["check", "--read-data"]).code(13);
    let lines = home.run(&["repair", "data", "--with", "second", "--json"]).code(0).json();
    assert_eq!(lines[0]["lost_blobs"], 0);
    assert!(lines[0]["fetched_blobs"].as_u64().unwrap() > 0);
    home.run(&["check", "--read-data"]).code(0);
    home.run(&["restore", "latest", "--target", "back"]).code(0);
    assert_eq!(std::fs::read(home.path("back/work/large")).unwrap(), noise(1, 600_000));
}
