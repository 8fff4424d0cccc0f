//! The secret scan: what is planted is found, what is not planted is not, and no value is shown.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::format_push_string,
    reason = "a test stops where things are not as they should be"
)]

#[path = "secret_scan/corpus.rs"]
mod corpus;

use std::io::Read;
use std::path::Path;
use std::process::{Command, Output};

use corpus::{Planted, Random};
use stash::agents::secrets::{Finding, ScanOptions, kinds, scan};

fn found_in(bytes: &[u8]) -> Vec<Finding> {
    let mut found = Vec::new();
    scan(&mut &*bytes, ScanOptions::default(), &mut |finding| found.push(finding)).unwrap();
    found
}

fn stash(home: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stash"))
        .args(words)
        .env_clear()
        .env("HOME", home)
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap()
}

#[test]
fn every_kind_that_is_planted_is_found_wherever_it_stands() {
    let mut random = Random::new(1);
    for round in 0..40 {
        let planted = corpus::every_kind(&mut random);
        for kind in kinds() {
            assert!(planted.iter().any(|it| it.kind == kind.id), "{} is not planted", kind.id);
        }
        for Planted { kind, text } in planted {
            let json =
                serde_json::to_string(&serde_json::json!({ "text": format!("a\n{text}\nb") }));
            let twice = serde_json::to_string(&json.as_ref().unwrap()).unwrap();
            let surroundings = [
                text.clone(),
                format!("first line\n  value: {text}\nlast line"),
                format!("export THING=\"{text}\"\n"),
                json.unwrap(),
                twice,
                format!("see <{text}>, it works"),
            ];
            for whole in surroundings {
                let found = found_in(whole.as_bytes());
                let is_there = found.iter().any(|finding| finding.kind.id == kind);
                assert!(is_there, "round {round}: {kind} in {whole:?}: {found:?}");
            }
        }
    }
}

#[test]
fn line_and_column_say_where_the_value_begins() {
    let mut random = Random::new(2);
    let token = corpus::token("ghp_", corpus::ALNUM, 36, &mut random);
    let text = format!("one\ntwo\nthe token is {token}\nfour");
    let found = found_in(text.as_bytes());
    assert_eq!(found.len(), 1);
    let value = text.find(&token).unwrap() + 4;
    assert_eq!((found[0].line, found[0].offset), (3, value as u64));
    assert_eq!(found[0].column, (value - text.rfind("the").unwrap() + 1) as u64);
}

#[test]
fn the_telling_kind_is_named_and_each_line_once() {
    let mut random = Random::new(3);
    let token = corpus::token("ghp_", corpus::ALNUM, 36, &mut random);
    let text = format!("api_key = \"{token}\" and again {token}\napi_key = \"{token}\"\n");
    let found = found_in(text.as_bytes());
    let said: Vec<_> = found.iter().map(|it| (it.line, it.kind.id)).collect();
    assert_eq!(said, [(1, "github-token"), (2, "github-token")]);
}

/// Gives a long stream without holding it: one line.
struct Long {
    left: u64,
    end: Vec<u8>,
}

impl Read for Long {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            let count = buffer.len().min(self.end.len());
            buffer[..count].copy_from_slice(&self.end[..count]);
            self.end.drain(..count);
            return Ok(count);
        }
        let count = buffer.len().min(usize::try_from(self.left).unwrap());
        buffer[..count].fill(b'x');
        self.left -= count as u64;
        Ok(count)
    }
}

#[test]
fn a_line_of_a_hundred_megabytes_is_looked_through() {
    let mut random = Random::new(4);
    let token = corpus::token(" ghp_", corpus::ALNUM, 36, &mut random);
    let mut long = Long { left: 100 << 20, end: token.into_bytes() };
    let mut found = Vec::new();
    scan(&mut long, ScanOptions::default(), &mut |finding| found.push(finding)).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].line, found[0].offset), (1, (100 << 20) + 5));
}

#[test]
fn where_the_window_ends_makes_no_difference() {
    let mut random = Random::new(5);
    let token = corpus::token("ghp_", corpus::ALNUM, 36, &mut random);
    let key = corpus::private_key(&mut random);
    for shift in (0..20_000).step_by(7) {
        let place = (1 << 20) - 10_000 + shift;
        let secret = if shift % 2 == 0 { &token } else { &key };
        let mut bytes = vec![b' '; place];
        bytes.extend_from_slice(secret.as_bytes());
        bytes.extend(std::iter::repeat_n(b' ', 3 << 10));
        assert_eq!(found_in(&bytes).len(), 1, "at {place}");
    }
}

/// The bound: not one finding in 24 MiB of what agents and programmers have.
#[test]
fn a_realistic_corpus_gives_no_false_alarm() {
    let mut random = Random::new(6);
    let mut bytes = 0_usize;
    let mut alarms = Vec::new();
    while bytes < 24 << 20 {
        for (name, text) in corpus::harmless(&mut random) {
            bytes += text.len();
            let options = ScanOptions::for_file(name.as_bytes());
            scan(&mut text.as_bytes(), options, &mut |finding| {
                let line = text.lines().nth(usize::try_from(finding.line).unwrap() - 1).unwrap();
                let from = usize::try_from(finding.column).unwrap().saturating_sub(60);
                let part: String = line.chars().skip(from).take(140).collect();
                alarms.push(format!("{name}: {}: {part}", finding.kind.id));
            })
            .unwrap();
        }
    }
    assert!(alarms.is_empty(), "{} in {bytes} bytes:\n{}", alarms.len(), alarms.join("\n"));
}

#[test]
fn the_command_names_file_line_and_kind_and_never_the_value() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random::new(7);
    let planted = corpus::every_kind(&mut random);
    for Planted { kind, text } in &planted {
        std::fs::write(folder.path().join(format!("{kind}.txt")), format!("x\n{text}\n")).unwrap();
    }
    let place = folder.path().to_str().unwrap();
    for words in [vec!["scan", place], vec!["scan", place, "--json"]] {
        let output = stash(folder.path(), &words);
        assert_eq!(output.status.code(), Some(0));
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        for Planted { kind, text } in &planted {
            assert!(said.contains(&format!("{kind}.txt")), "{kind}: {said}");
            let pieces: Vec<&str> = text.split(|it: char| !it.is_ascii_alphanumeric()).collect();
            for piece in pieces.iter().filter(|piece| piece.len() >= 10) {
                assert!(!said.contains(piece), "{kind}: a part of the value is shown");
            }
        }
    }
    let output = stash(folder.path(), &["scan", place, "--fail"]);
    assert_eq!(output.status.code(), Some(1));
    let clean = folder.path().join("clean");
    std::fs::create_dir(&clean).unwrap();
    let output = stash(folder.path(), &["scan", clean.to_str().unwrap(), "--fail"]);
    assert_eq!(output.status.code(), Some(0));
    let output = stash(folder.path(), &["scan", "/does/not/exist"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn agents_files_are_looked_through_packed_ones_and_databases_too() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let mut random = Random::new(8);
    let token = corpus::token("ghp_", corpus::ALNUM, 36, &mut random);
    let line = format!("{{\"text\":\"{token}\"}}\n");
    let write = |path: &str, bytes: &[u8]| {
        let path = at.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    write(".claude/projects/-x/s.jsonl", line.as_bytes());
    write(".claude/.credentials.json", line.as_bytes());
    write(".claude/debug/log.txt", line.as_bytes());
    let packed = zstd::encode_all(line.as_bytes(), 3).unwrap();
    write(".codex/sessions/2026/11/02/rollout-1.jsonl.zst", &packed);
    let database = at.join(".codex/state_5.sqlite");
    let connection = rusqlite::Connection::open(&database).unwrap();
    connection.execute_batch("CREATE TABLE t(x)").unwrap();
    connection.execute("INSERT INTO t VALUES (?1)", [&line]).unwrap();
    drop(connection);
    let output = stash(at, &["scan", "--json"]);
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let files: Vec<&str> = lines.iter().filter_map(|it| it["file"].as_str()).collect();
    let is_there = |end: &str| files.iter().any(|file| file.ends_with(end));
    assert!(is_there("s.jsonl") && is_there("rollout-1.jsonl.zst") && is_there("state_5.sqlite"));
    assert_eq!(files.len(), 3, "{files:?}");
    let of =
        |end: &str| lines.iter().find(|it| it["file"].as_str().is_some_and(|f| f.ends_with(end)));
    assert_eq!(of("s.jsonl").unwrap()["line"], 1);
    assert_eq!(of("s.jsonl").unwrap()["category"], "sessions");
    assert!(of("state_5.sqlite").unwrap()["line"].is_null());
    assert_eq!(lines.last().unwrap()["secret_files"], 1);
    let output = stash(at, &["scan", "--agent", "codex"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("state_5.sqlite:byte ") && !said.contains(".claude"), "{said}");
}
