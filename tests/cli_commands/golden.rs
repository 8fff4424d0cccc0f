//! What one success and one failure of each command look like (style T9).

use std::fmt::Write as _;
use std::path::Path;

use crate::home::{Home, noise};

/// Runs commands one after the other; returns what was typed and what came of it.
fn transcript(home: &Home, runs: &[&[&str]]) -> String {
    let mut text = String::new();
    for words in runs {
        let output = home.run(words);
        write!(text, "$ stash {}\n{}", words.join(" "), output.out).unwrap();
        for line in output.err.lines() {
            writeln!(text, "! {line}").unwrap();
        }
        write!(text, "({})\n\n", output.code).unwrap();
    }
    masked(&text, home)
}

/// Replaces what differs from run to run: ids, times, lengths of time, the home, and sizes that
/// depend on its path.
fn masked(text: &str, home: &Home) -> String {
    let text = text.replace(home.path("").to_str().unwrap(), "~/");
    let mut masked = String::new();
    let mut rest = text.as_str();
    while let Some(letter) = rest.chars().next() {
        let word: &str = rest.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap();
        let is_hex = word.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if let Some(length) = time_length(rest) {
            masked += "<time>";
            rest = &rest[length..];
        } else if let Some(length) = amount_length(rest) {
            // Columns are as wide as what stands in them.
            masked.truncate(masked.trim_end_matches(' ').len());
            masked += " <amount>";
            rest = &rest[length..];
        } else if is_hex && (matches!(word.len(), 8 | 32 | 64) || is_pack_folder(word, &masked)) {
            masked += "<id>";
            rest = &rest[word.len()..];
        } else {
            let length = word.len().max(letter.len_utf8());
            masked += &rest[..length];
            rest = &rest[length..];
        }
    }
    masked
}

/// A pack lies in a folder named by the first two letters of its hash.
fn is_pack_folder(word: &str, before: &str) -> bool {
    word.len() == 2 && before.ends_with("packs/")
}

/// Returns the length of a time at the beginning, as in `2026-11-20 14:30:00 +01:00`.
fn time_length(text: &str) -> Option<usize> {
    let shape: String = text
        .chars()
        .take(26)
        .map(|letter| if letter.is_ascii_digit() { '0' } else { letter })
        .collect();
    if shape.starts_with("0000-00-00 00:00:00 +00:00") {
        return Some(26);
    }
    shape.starts_with("0000-00-00T00:00:00").then(|| {
        let end = |c: char| !c.is_ascii_digit() && !"-:.TZ+".contains(c);
        text.find(end).unwrap_or(text.len())
    })
}

/// Returns the length of a size in KiB, or of a time in seconds, at the beginning.
fn amount_length(text: &str) -> Option<usize> {
    let number = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(number);
    let unit = [" KiB", " MiB", " bytes", " that", " s:", " s;", " s to"]
        .iter()
        .find(|it| unit.starts_with(**it))?;
    let unit = unit.trim_end_matches([':', ';']).trim_end_matches(" to");
    number.contains('.').then_some(number.len() + unit.len())
}

#[track_caller]
fn assert_golden(name: &str, shown: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/commands").join(name);
    if std::env::var_os("STASH_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, shown).unwrap();
    }
    let reviewed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(shown, reviewed, "{name}: read the difference, then STASH_BLESS=1");
}

fn saved() -> Home {
    let home = Home::new();
    home.write("work/notes.txt", "first");
    home.write("work/sub/data", noise(1, 5_000));
    home.run(&["backup", "work", "-q"]).code(0);
    home.write("work/notes.txt", "second");
    home.write("work/sub/more", "more");
    home.run(&["backup", "work", "-q", "--tag", "two"]).code(0);
    home
}

#[test]
fn init_and_backup_look_as_reviewed() {
    let home = Home::new();
    home.write("work/notes.txt", "first");
    home.write("work/sub/data", noise(1, 5_000));
    let runs: &[&[&str]] = &[
        &["backup", "work", "--dry-run"],
        &["backup", "work"],
        &["backup", "work"],
        &["backup", "work", "missing"],
        &["backup", "work", "--repo", "nowhere"],
        &["init"],
        &["init", "--repo", "second"],
    ];
    assert_golden("backup.txt", &transcript(&home, runs));
}

#[test]
fn restore_looks_as_reviewed() {
    let home = saved();
    let runs: &[&[&str]] = &[
        &["restore", "latest", "--target", "back"],
        &["restore", "latest~1", "--target", "back", "--dry-run", "-v"],
        &["restore", "latest~1", "--target", "back"],
        &["restore", "latest", "--in-place"],
        &["restore", "latest"],
        &["restore", "--at", "2001-01-01", "--target", "back"],
    ];
    assert_golden("restore.txt", &transcript(&home, runs));
}

#[test]
fn looking_into_a_repository_looks_as_reviewed() {
    let home = saved();
    let runs: &[&[&str]] = &[
        &["snapshots"],
        &["snapshots", "ffff"],
        &["ls"],
        &["ls", "latest", "none"],
        &["find", "m*"],
        &["find", "none"],
        &["diff"],
        &["diff", "latest", "latest~5"],
        &["history", "work/notes.txt"],
        &["history", "none"],
        &["dump", "latest", "work/notes.txt", "--target", "notes"],
        &["dump", "latest", "work/notes.txt", "--target", "notes"],
        &["stats"],
        &["stats", "ffff"],
        &["cat", "config"],
        &["cat", "blob", "ffff"],
    ];
    assert_golden("inspect.txt", &transcript(&home, runs));
}

#[test]
fn keys_look_as_reviewed() {
    let home = saved();
    home.write("new", "a new passphrase");
    let runs: &[&[&str]] = &[
        &["key", "list"],
        &["key", "add", "--new-passphrase-file", "new"],
        &["key", "add"],
        &["key", "remove", "ffff"],
        &["key", "passwd", "-p", "new", "--new-passphrase-file", "new"],
        &["key", "rotate"],
        &["key", "rotate", "--yes"],
        &["key", "recovery", "--show"],
        &["key", "recovery", "--test", "-p", "new"],
        &["snapshots", "-p", "missing"],
    ];
    assert_golden("key.txt", &transcript(&home, runs));
}

#[test]
fn json_looks_as_reviewed() {
    let home = saved();
    let runs: &[&[&str]] = &[
        &["backup", "work/sub", "--json", "-vv"],
        &["snapshots", "--json", "latest"],
        &["diff", "--json"],
        &["history", "work/notes.txt", "--json"],
        &["restore", "latest", "--target", "back", "--json", "-v"],
        &["restore", "ffff", "--target", "back", "--json"],
        &["key", "recovery", "--show", "--json"],
    ];
    let shown = transcript(&home, runs);
    let shown: String = shown.lines().map(|line| without_durations(line) + "\n").collect();
    assert_golden("json.txt", &shown);
}

#[test]
fn forgetting_and_marking_look_as_reviewed() {
    let home = saved();
    let runs: &[&[&str]] = &[
        &["pin", "latest"],
        &["pin", "ffff"],
        &["tag", "latest", "--add", "x"],
        &["tag", "latest"],
        &["snapshots"],
        &["forget", "--keep-daily", "1", "--keep-within", "2d", "--dry-run"],
        &["forget"],
        &["forget", "latest"],
        &["unpin", "latest"],
        &["unpin", "latest"],
        &["forget", "--keep-last", "1"],
        &["unforget"],
        &["unforget", "ffff"],
        &["forget", "--keep-tag", "none"],
        &["forget", "--keep-within", "1h30m"],
        &["forget", "--path", "work/sub", "--dry-run"],
        &["forget", "--path", "work/sub"],
        &["forget", "--path", "work/sub", "--yes"],
        &["forget", "--agent", "claude", "--only", "none"],
        &["forget", "latest", "--prune"],
    ];
    assert_golden("forget.txt", &transcript(&home, runs));
    let home = saved();
    let runs: &[&[&str]] = &[
        &["forget", "--keep-last", "1", "--json"],
        &["unforget", "--json"],
        &["tag", "latest", "--set", "y", "--json"],
        &["forget", "--keep-tag", "none", "--json", "-n"],
        &["forget", "--path", "work/sub", "--yes", "--json"],
    ];
    assert_golden("json_forget.txt", &transcript(&home, runs));
}

/// A home whose second snapshot has a pack of its own.
fn packed() -> Home {
    let home = Home::new();
    home.write("work/notes.txt", "first");
    home.run(&["backup", "work", "-q"]).code(0);
    for number in 0..8 {
        home.write(&format!("work/data/{number}"), noise(number, 50_000));
    }
    home.run(&["backup", "work", "-q"]).code(0);
    home
}

/// Changes one bit in the one pack.
fn flip(home: &Home) {
    let pack = &home.packs()[0];
    let mut bytes = std::fs::read(pack).unwrap();
    bytes[1000] ^= 1;
    std::fs::remove_file(pack).unwrap();
    std::fs::write(pack, bytes).unwrap();
}

/// Takes away the record that names the pack, once another follows it.
fn lose_record(home: &Home) {
    home.write("work/notes.txt", "third");
    home.run(&["backup", "work", "-q"]).code(0);
    let log = home.repository().join("log");
    let names = crate::home::inventory(&log).into_iter().map(|item| item.0);
    let second =
        names.into_iter().find(|name| name.to_str().unwrap().contains("/0000000000000002-"));
    std::fs::remove_file(log.join(second.unwrap())).unwrap();
}

const CHECKS: [&[&str]; 2] = [&["check"], &["check", "--read-data"]];

#[test]
fn check_looks_as_reviewed() {
    let home = packed();
    let mut shown = transcript(&home, &CHECKS);
    flip(&home);
    shown += &transcript(&home, &CHECKS);
    lose_record(&home);
    shown += &transcript(&home, &[CHECKS[0], &["check", "--repo", "nowhere"]]);
    assert_golden("check.txt", &shown);
}

#[test]
fn repairs_look_as_reviewed() {
    let home = packed();
    let nowhere: &[&str] = &["repair", "index", "--repo", "nowhere"];
    let mut shown = transcript(&home, &[&["repair", "index"], nowhere, &["repair", "snapshots"]]);
    lose_record(&home);
    let repair: &[&str] = &["repair", "index"];
    shown += &transcript(&home, &[&["repair", "index", "--dry-run"], repair, &["check"]]);
    flip(&home);
    let runs: &[&[&str]] = &[
        &["repair", "snapshots", "--dry-run"],
        &["repair", "snapshots", "--forget"],
        &["repair", "snapshots", "ffff"],
        &["check", "--read-data"],
    ];
    shown += &transcript(&home, runs);
    assert_golden("repair.txt", &shown);
}

#[test]
fn copies_look_as_reviewed() {
    let home = packed();
    let main = home.text(".local/share/stash/repository");
    let copy = ["copy", "-r", "second", "--from-repo", &main];
    let dry = [&copy[..], &["--dry-run"]].concat();
    let runs: &[&[&str]] = &[
        &copy,
        &["init", "-r", "second", "--like", &main],
        &dry,
        &copy,
        &copy,
        &["copy"],
        &["init", "-r", "apart"],
        &["copy", "-r", "apart", "--from-repo", &main, "latest"],
        &["repair", "data", "--with", "apart"],
        &["repair", "data", "--with", "second"],
        &["backup", "work", "--also", "second", "--also", "nowhere"],
    ];
    let mut shown = transcript(&home, runs);
    flip(&home);
    let runs: &[&[&str]] = &[
        &["check", "--read-data", "--with", "second"],
        &["repair", "data", "--with", "second", "--dry-run"],
        &["repair", "data", "--with", "second"],
        &["check", "--read-data"],
    ];
    shown += &transcript(&home, runs);
    assert_golden("copy.txt", &shown);
}

#[test]
fn json_of_checks_and_repairs_looks_as_reviewed() {
    let home = packed();
    let check: &[&str] = &["check", "--read-data", "--json"];
    let mut shown = transcript(&home, &[check]);
    lose_record(&home);
    let runs: &[&[&str]] = &[
        &["check", "--json"],
        &["repair", "index", "--json"],
        &["repair", "index", "--json", "--repo", "nowhere"],
    ];
    shown += &transcript(&home, runs);
    flip(&home);
    let runs: &[&[&str]] = &[
        check,
        &["repair", "snapshots", "--json", "--dry-run"],
        &["repair", "snapshots", "--json"],
        &["repair", "snapshots", "--json", "ffff"],
        &["check", "--json", "--repo", "nowhere"],
    ];
    shown += &transcript(&home, runs);
    let shown: String = shown.lines().map(|line| without_durations(line) + "\n").collect();
    assert_golden("json_check.txt", &shown);
}

/// Seconds and bytes in JSON are bare numbers, told by their fields.
fn without_durations(line: &str) -> String {
    let mut line = line.to_owned();
    for field in ["\"total_duration\":", "\"bytes_read\":"] {
        if let Some((before, after)) = line.split_once(field) {
            let end = after.find([',', '}']).unwrap_or(after.len());
            line = format!("{before}{field}0{}", &after[end..]);
        }
    }
    line
}
