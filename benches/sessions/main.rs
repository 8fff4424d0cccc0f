//! Sessions: 5,000 of five agents on two machines, 1 GB of transcripts, a third deleted: what listing,
//! showing and searching cost, beside plain inserts into FTS5 and `rg` over the plain files.
//!
//! `cargo bench --bench sessions -- SCALE` makes SCALE (1) times as much. `STASH_SESSIONS_STASH` names
//! another build of the program to measure. The table is printed.
#![allow(
    missing_docs,
    clippy::pedantic,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    dead_code,
    unreachable_pub,
    reason = "a benchmark owns its machine"
)]

#[path = "../../tests/common_agents/mod.rs"]
mod common_agents;
#[path = "../whole/measure.rs"]
mod measure;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use common_agents::{Home, Many};
use measure::{Measured, median, run};

/// Turns of a session, and words of a turn: about 200 KB.
const TURNS: usize = 100;
const WORDS: usize = 300;
/// Quick commands are run so often.
const OFTEN: usize = 20;

fn main() {
    // `cargo test --benches` only asks whether this builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let scale = std::env::args().find_map(|it| it.parse::<f64>().ok()).unwrap_or(1.0);
    let sessions = (5000.0 * scale) as usize;
    let folder = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(folder.path());
    let many = |sessions, seed| Many { sessions, turns: TURNS, words: WORDS, seed };
    let second = sessions / 3;
    Home::new(scene.home("one")).many(many(sessions - second, 1));
    Home::new(scene.home("two")).many(many(second, 2));
    eprintln!("{sessions} sessions are made");
    scene.table(many(sessions, 1), sessions);
    println!("{}", scene.text);
}

struct Scene {
    folder: PathBuf,
    program: PathBuf,
    text: String,
}

impl Scene {
    fn new(folder: &Path) -> Scene {
        let named = std::env::var_os("STASH_SESSIONS_STASH").map(PathBuf::from);
        let own = || PathBuf::from(env!("CARGO_BIN_EXE_stash"));
        let head = "| what | floor s | stash s | ratio | peak MiB |\n|---|---:|---:|---:|---:|\n";
        Scene {
            folder: folder.to_owned(),
            program: named.unwrap_or_else(own),
            text: head.to_owned(),
        }
    }

    fn home(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Runs the program `count` times; the median.
    fn stash(&self, name: &str, words: &str, count: usize) -> Measured {
        let command = format!(
            "exec env -i HOME={} STASH_HOST={name} PATH=/usr/bin:/bin TZ=UTC {} -r {} {words}",
            self.home(name).display(),
            self.program.display(),
            self.folder.join("repository").display(),
        );
        median((0..count).map(|_| run(&self.folder, &command)).collect())
    }

    fn row(&mut self, what: &str, floor: Option<f64>, measured: Measured) {
        let ratio = floor.map_or_else(String::new, |it| format!("{:.2}", measured.wall / it));
        let floor = floor.map_or_else(String::new, |it| format!("{it:.3}"));
        let (wall, memory) = (measured.wall, measured.memory);
        writeln!(self.text, "| {what} | {floor} | {wall:.3} | {ratio} | {memory:.0} |").unwrap();
        eprintln!("{what}: {wall:.3} s");
    }

    fn table(&mut self, many: Many, sessions: usize) {
        self.stash("one", "init", 1);
        let keys = self.home("one").join(".local/share/stash/keys");
        let other = self.home("two").join(".local/share/stash");
        std::fs::create_dir_all(&other).unwrap();
        run(&self.folder, &format!("cp -a {} {}", keys.display(), other.display()));
        let measured = self.stash("one", "backup -q", 1);
        self.row("backup of one machine", None, measured);
        self.stash("two", "backup -q", 1);
        let deleted = delete_thirds(&self.home("one"));
        self.stash("one", "backup -q", 1);
        eprintln!("{deleted} files are deleted");

        let measured = self.stash("one", "sessions", OFTEN);
        self.row(&format!("list of {sessions} sessions"), None, measured);
        let floor = plain_inserts(many, &self.folder);
        let measured = self.stash("one", "search w1", 1);
        self.row("first index; floor: plain FTS5 inserts", Some(floor), measured);
        for (what, pattern, words) in [
            ("a word in one session", "session17", "session17"),
            ("a rare word", "w39000", "w39000"),
            ("a word in half of all turns", "common", "common"),
            ("two frequent words", "w0", "w0 common"),
            ("a phrase", "common w1", "'common w1'"),
            ("a word that is nowhere", "zanzibar", "zanzibar"),
        ] {
            let floor = self.rg(pattern, OFTEN);
            let measured = self.stash("one", &format!("search {words}"), OFTEN);
            self.row(&format!("{what}; floor: rg"), floor, measured);
        }
        for pattern in ["session1[0-9]7", "w39.0[05] w1", "zanzi.ar", "(?i)ZANZI.AR"] {
            let floor = self.rg(pattern, 5);
            let measured = self.stash("one", &format!("search --regex '{pattern}' --last 9999"), 5);
            self.row(&format!("`{pattern}`; floor: rg"), floor, measured);
        }
        let measured = self.stash("one", "search --no-index zanzibar", 1);
        self.row("without the index", None, measured);
        let file = newest(&self.home("one").join(".claude/projects"));
        let runs = (0..OFTEN).map(|number| {
            one_more_turn(&file, number);
            self.stash("one", &format!("search turn{number}of"), 1)
        });
        let measured = median(runs.collect());
        self.row("a search after one new turn", None, measured);
        let id = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let measured = self.stash("one", &format!("show {id} --head 20"), OFTEN);
        self.row("show the first turns", None, measured);
        let bytes: u64 = measure::inventory(&self.home("one").join(".cache/stash/search"))
            .values()
            .map(|(size, _)| size)
            .sum();
        writeln!(self.text, "\nThe index takes {:.0} MB.", bytes as f64 / 1e6).unwrap();
    }

    /// What `rg` takes for the files of both machines, if it is installed.
    fn rg(&self, pattern: &str, count: usize) -> Option<f64> {
        let is_there = std::process::Command::new("rg").arg("--version").output().is_ok();
        let (one, two) = (self.home("one"), self.home("two"));
        let command = format!(
            "rg --no-ignore --hidden --text -c '{pattern}' {0}/.claude {0}/.codex {0}/.gemini {0}/.copilot \
             {0}/.local/share/opencode {1}/.claude {1}/.codex {1}/.gemini {1}/.copilot \
             {1}/.local/share/opencode || true",
            one.display(),
            two.display()
        );
        let runs = || median((0..count).map(|_| run(&self.folder, &command)).collect()).wall;
        is_there.then(runs)
    }
}

/// Deletes each third file of a session, as an agent does.
fn delete_thirds(home: &Path) -> usize {
    let mut deleted = 0;
    for folder in [".claude/projects", ".codex/sessions", ".gemini/tmp"] {
        let files = measure::inventory(&home.join(folder));
        for path in files.keys().step_by(2) {
            std::fs::remove_file(home.join(folder).join(path)).unwrap();
            deleted += 1;
        }
    }
    deleted
}

/// Returns the newest transcript below a folder.
fn newest(folder: &Path) -> PathBuf {
    let files = measure::inventory(folder);
    let is_later = files.iter().max_by_key(|(_, (_, time))| *time);
    folder.join(is_later.unwrap().0)
}

fn one_more_turn(file: &Path, number: usize) {
    let id = file.file_stem().unwrap().to_str().unwrap();
    let line = serde_json::json!({"type": "user", "uuid": format!("more-{number}"), "sessionId": id,
        "isSidechain": false, "timestamp": format!("2026-11-21T10:00:{:02}Z", number % 60),
        "message": {"role": "user", "content": format!("turn{number}of the bench")}});
    let mut file = std::fs::OpenOptions::new().append(true).open(file).unwrap();
    writeln!(file, "{line}").unwrap();
}

/// Returns the seconds that plain inserts of as many words into FTS5 take, in transactions of 1,000.
fn plain_inserts(many: Many, folder: &Path) -> f64 {
    let path = folder.join("plain.sqlite");
    let database = rusqlite::Connection::open(&path).unwrap();
    database.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL").unwrap();
    database
        .execute_batch(
            "CREATE VIRTUAL TABLE t USING fts5(x, tokenize = 'unicode61 remove_diacritics 2')",
        )
        .unwrap();
    let mut lot = fastrand::Rng::with_seed(many.seed);
    let mut seconds = 0.0;
    for _ in 0..(many.sessions * many.turns).div_ceil(1000) {
        let texts: Vec<String> =
            (0..1000).map(|_| common_agents::words(&mut lot, many.words)).collect();
        let started = Instant::now();
        database.execute_batch("BEGIN").unwrap();
        let mut insert = database.prepare_cached("INSERT INTO t(x) VALUES(?1)").unwrap();
        for text in &texts {
            insert.execute([text]).unwrap();
        }
        drop(insert);
        database.execute_batch("COMMIT").unwrap();
        seconds += started.elapsed().as_secs_f64();
    }
    drop(database);
    std::fs::remove_file(path).unwrap();
    seconds
}
