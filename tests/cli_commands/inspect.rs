//! The commands that look into a repository.

use crate::home::{Home, noise};

/// Two snapshots of a folder that changed in between.
fn two() -> (Home, [String; 2]) {
    let home = Home::new();
    home.write("work/a.txt", "one");
    home.write("work/sub/b.txt", "stays");
    home.write("work/gone", noise(1, 50_000));
    let first = home.save();
    home.write("work/a.txt", "three");
    home.write("work/sub/new.txt", "new");
    std::fs::remove_file(home.path("work/gone")).unwrap();
    let second = home.save();
    (home, [first, second])
}

#[test]
fn snapshots_are_listed_and_filtered() {
    let (home, ids) = two();
    home.run(&["backup", "work/sub", "--tag", "x"]).code(0);
    let rows = |words: &[&str]| -> Vec<String> {
        let output = home.run(&[&["snapshots", "--json"], words].concat()).code(0);
        let rows = output.json().pop().unwrap();
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(rows(&[])[..2], ids);
    assert_eq!(rows(&[]).len(), 3);
    assert_eq!(rows(&["--latest", "1"]).len(), 2);
    assert_eq!(rows(&["--tag", "x"]).len(), 1);
    assert_eq!(rows(&["--tag", "x,y"]).len(), 0);
    assert_eq!(rows(&["--tag", "x,y", "--tag", "x"]).len(), 1);
    assert_eq!(rows(&["--host", "other"]).len(), 0);
    assert_eq!(rows(&["--path", "work/a.txt"]), ids);
    assert_eq!(rows(&[&ids[0][..6]]), [ids[0].clone()]);
    assert_eq!(rows(&["latest~2"]), [ids[0].clone()]);
    assert_eq!(home.run(&["snapshots", "--host", "other"]).code(0).out, "");
}

#[test]
fn ls_lists_all_of_a_snapshot_or_what_a_folder_holds() {
    let (home, ids) = two();
    let listed = |words: &[&str]| {
        let output = home.run(&[&["ls"], words].concat()).code(0);
        let lines = output.out.lines();
        lines.map(|line| line.replace(&home.text("work"), "W")).collect::<Vec<_>>()
    };
    let all = ["W", "W/a.txt", "W/sub", "W/sub/b.txt", "W/sub/new.txt"];
    assert_eq!(listed(&[]), all);
    assert_eq!(listed(&["latest", "work"]), ["W/a.txt", "W/sub"]);
    assert_eq!(listed(&["latest", "work", "--recursive"]), all[1..]);
    let place = format!("{}:{}", &ids[0][..8], home.text("work/sub"));
    assert_eq!(listed(&[&place]), ["W/sub/b.txt"]);
    let long = listed(&["--long", "latest", "work/a.txt"]);
    assert!(long[0].starts_with("-rw-r--r--") && long[0].ends_with("W/a.txt"), "{long:?}");
    let lines = home.run(&["ls", "--json"]).code(0).json();
    assert_eq!(lines[0]["message_type"], "snapshot");
    assert_eq!(lines[0]["id"], ids[1].as_str());
    assert_eq!(lines[2]["message_type"], "node");
    assert_eq!((&lines[2]["name"], &lines[2]["size"]), (&"a.txt".into(), &5.into()));
    home.run(&["ls", "latest", "work/none"]).code(1);
}

#[test]
fn find_names_each_snapshot_that_holds_the_name_newest_first() {
    let (home, ids) = two();
    let lines = home.run(&["find", "*.txt", "gone"]).code(0).out;
    let lines: Vec<&str> = lines.lines().collect();
    assert!(lines[0].starts_with(&format!("snapshot {} of `laptop`, ", &ids[1][..8])));
    assert_eq!(lines.len(), 4 + 4);
    assert_eq!(lines[7], format!("  {}", home.text("work/sub/b.txt")));
    let found = home.run(&["find", "GONE", "-i", "--json"]).code(0).json().pop().unwrap();
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!((&found[0]["snapshot"], &found[0]["hits"]), (&ids[0].as_str().into(), &1.into()));
    assert_eq!(found[0]["matches"][0]["size"], 50_000);
    let none = home.run(&["find", "nothing", "--json"]).code(0);
    assert_eq!(none.out, "[]\n");
    let none = home.run(&["find", "*.txt", "--newest", "2001-01-01"]).code(0);
    assert!(none.err.contains("found nothing in 2 snapshots"), "{}", none.err);
}

#[test]
fn diff_marks_what_changed_and_sums_it_up() {
    let (home, ids) = two();
    let shown = home.run(&["diff"]).code(0).out.replace(&home.text("work"), "W");
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[..3], ["M  W/a.txt", "-  W/gone", "+  W/sub/new.txt"]);
    let sums = "added 1 file (3 B); removed 1 file (48.8 KiB); changed 1 file (3 B to 5 B);";
    assert!(lines[3].starts_with(sums), "{}", lines[3]);
    let lines = home.run(&["diff", "--json", &ids[1], &ids[0]]).code(0).json();
    let last = lines.last().unwrap();
    assert_eq!(last["message_type"], "statistics");
    assert_eq!(last["removed"]["bytes"], 3);
    assert_eq!(last["added"]["bytes"], 50_000);
    assert_eq!(lines[0]["modifier"], "M");
    let same = home.run(&["diff", "latest", "latest", "--metadata"]).code(0);
    assert_eq!(same.out.lines().count(), 1);
    let sub = home.run(&["diff", "latest~1:work/sub", "latest:work/sub"]).code(0);
    assert_eq!(sub.out.lines().count(), 2);
}

#[test]
fn history_tells_the_versions_of_one_path() {
    let (home, ids) = two();
    let rows = home.run(&["history", "work/a.txt", "--json"]).code(0).json().pop().unwrap();
    let sizes: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["size"].clone()).collect();
    assert_eq!(sizes, [3, 5]);
    assert_eq!(rows[1]["snapshot"], ids[1].as_str());
    let rows = home.run(&["history", "work/gone", "--json"]).code(0).json().pop().unwrap();
    assert_eq!((&rows[0]["deleted"], &rows[1]["deleted"]), (&false.into(), &true.into()));
    let rows = home.run(&["history", "work/sub/b.txt"]).code(0).out;
    assert_eq!(rows.lines().count(), 2);
    home.run(&["history", "work/never"]).code(1);
}

#[test]
fn dump_prints_a_file_or_an_archive() {
    let (home, _) = two();
    assert_eq!(home.run(&["dump", "latest", "work/a.txt"]).code(0).out, "three");
    assert_eq!(home.run(&["dump", "latest~1:work/a.txt"]).code(0).out, "one");
    home.run(&["dump", "latest~1", "work/gone", "-t", "gone"]).code(0);
    assert_eq!(std::fs::read(home.path("gone")).unwrap(), noise(1, 50_000));
    home.run(&["dump", "latest~1", "work/gone", "-t", "gone"]).code(2);
    home.run(&["dump", "latest:work", "-t", "work.tar"]).code(0);
    let mut archive = tar::Archive::new(std::fs::File::open(home.path("work.tar")).unwrap());
    archive.set_preserve_mtime(true);
    archive.unpack(home.path("unpacked")).unwrap();
    assert_eq!(home.read("unpacked/sub/new.txt"), "new");
    home.run(&["dump", "latest", "-t", "all.tar"]).code(0);
    let mut archive = tar::Archive::new(std::fs::File::open(home.path("all.tar")).unwrap());
    let first = archive.entries().unwrap().next().unwrap().unwrap();
    assert_eq!(first.path().unwrap().to_str(), Some("work"));
    home.run(&["dump", "latest", "work/none"]).code(1);
}

#[test]
fn stats_say_what_is_held_and_what_it_takes() {
    let (home, ids) = two();
    let line = home.run(&["stats", "--json"]).code(0).json().pop().unwrap();
    assert_eq!((&line["snapshots_count"], &line["total_file_count"]), (&2.into(), &6.into()));
    assert_eq!(line["total_size"], 3 + 5 + 50_000 + 5 + 5 + 3);
    let stored: u64 = crate::home::inventory(&home.repository())
        .iter()
        .map(|item| home.repository().join(&item.0).metadata().unwrap())
        .filter(std::fs::Metadata::is_file)
        .map(|file| file.len())
        .sum();
    assert_eq!(line["total_stored_size"], stored);
    let one = home.run(&["stats", &ids[1], "--json"]).code(0).json().pop().unwrap();
    assert_eq!((&one["snapshots_count"], &one["total_size"]), (&1.into(), &13.into()));
    let text = home.run(&["stats"]).code(0).out;
    assert!(text.contains("if each snapshot were kept whole"), "{text}");
}

#[test]
fn cat_prints_every_kind_of_object() {
    let (home, ids) = two();
    let json = |words: &[&str]| -> serde_json::Value {
        let output = home.run(&[&["cat"], words].concat()).code(0);
        serde_json::from_str(&output.out).unwrap()
    };
    let config = json(&["config"]);
    assert!(config["id"].is_string());
    assert_eq!(json(&["snapshot", &ids[0]])["id"], ids[0].as_str());
    let tree = json(&["tree", "latest~1:work"]);
    let gone = &tree["nodes"][1];
    assert_eq!((&gone["name"], &gone["size"]), (&"gone".into(), &50_000.into()));
    let blob = gone["content"][0].as_str().unwrap().to_owned();
    let bytes = home.command().args(["cat", "blob", &blob[..12]]).output().unwrap().stdout;
    assert!(!bytes.is_empty() && noise(1, 50_000).starts_with(&bytes));
    home.write("work/packed", noise(2, 400_000));
    home.save();
    let pack = home.packs()[0].file_name().unwrap().to_str().unwrap().to_owned();
    let table = json(&["pack", &pack[..10]]);
    assert_eq!(table["id"], pack.as_str());
    assert!(!table["units"][0]["blobs"][0]["id"].as_str().unwrap().is_empty());
    let keys = home.run(&["key", "list", "--json"]).code(0).json().pop().unwrap();
    let key = json(&["key", keys[0]["id"].as_str().unwrap()]);
    assert_eq!(key["kind"], keys[0]["kind"]);
    let log = crate::home::inventory(&home.repository().join("log"));
    let name = log.iter().rev().find(|item| item.0.to_str().unwrap().contains("-snapshot-"));
    let name = name.unwrap().0.to_str().unwrap().to_owned();
    let hash = name.rsplit('-').next().unwrap();
    assert!(json(&["record", hash])["snapshot"].is_string());
    home.run(&["cat", "blob", "00000000000000"]).code(1);
    home.run(&["cat", "tree", "latest:work/a.txt"]).code(1);
    home.run(&["cat", "snapshot", "xyz"]).code(2);
}

#[test]
fn a_damaged_record_is_told_and_the_rest_is_shown() {
    let (home, ids) = two();
    let log = home.repository().join("log");
    let records = crate::home::inventory(&log);
    let (name, _) = records
        .iter()
        .find(|item| item.0.to_str().unwrap().contains("0000000000000002-snapshot"))
        .unwrap();
    let mut bytes = std::fs::read(log.join(name)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(log.join(name), bytes).unwrap();
    let output = home.run(&["snapshots", "--no-cache"]).code(0);
    assert!(output.err.contains("stash: warning: "), "{}", output.err);
    assert!(output.out.contains(&ids[0][..8]) && !output.out.contains(&ids[1][..8]));
}
