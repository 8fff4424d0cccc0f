//! Large databases and transcripts, changed between backups: what each tool reads and stores.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Bench;
use crate::data::Writer;
use crate::measure::{Inventory, Measured, inventory, median, run, written};
use crate::opencode::{Change, create};

/// What a run stored: objects and bytes.
type Stored = (u64, u64);

/// A tool's way to save a folder.
struct Saver {
    name: &'static str,
    init: String,
    save: String,
    repository: PathBuf,
}

/// Figures of one tool for one row.
struct Line {
    name: &'static str,
    measured: Measured,
    stored: Stored,
}

fn savers(bench: &Bench, source: &str) -> Vec<Saver> {
    let tools = &bench.tools;
    let stash = &tools.stash;
    let all = [
        (
            true,
            "stash",
            "s-repo",
            format!("rm -rf s-home && mkdir s-home && {stash} init"),
            format!("exec {stash} backup {source}"),
        ),
        (
            tools.restic,
            "restic",
            "r-repo",
            "restic -q init".into(),
            format!("exec restic -q backup {source}"),
        ),
        (
            tools.borg,
            "borg",
            "b-repo",
            "borg init -e repokey-blake2".into(),
            format!("exec borg create ::{{utcnow:%s%f}} {source}"),
        ),
        (
            tools.rustic,
            "rustic",
            "u-repo",
            "rustic init".into(),
            format!("exec rustic backup {source}"),
        ),
    ];
    all.into_iter()
        .filter(|(is_there, ..)| *is_there)
        .map(|(_, name, repository, init, save)| Saver {
            name,
            init: bench.with_environment(&format!("rm -rf {repository} && {init}")),
            save: bench.with_environment(&save),
            repository: bench.folder.join(repository),
        })
        .collect()
}

impl Saver {
    fn save(&self, folder: &Path) -> (Measured, Stored) {
        let before: Inventory = inventory(&self.repository);
        let measured = run(folder, &self.save);
        (measured, written(&before, &inventory(&self.repository)))
    }
}

/// A row: before each round something is done, then each tool saves. Stored is told of the last.
fn row(
    bench: &Bench,
    savers: &[Saver],
    rounds: usize,
    mut before: impl FnMut(&[Saver], u64),
) -> Vec<Line> {
    let mut runs: Vec<Vec<(Measured, Stored)>> = savers.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        before(savers, round as u64);
        // What was written less than two seconds ago is never taken for known.
        std::thread::sleep(Duration::from_millis(2_200));
        for (saver, runs) in savers.iter().zip(&mut runs) {
            runs.push(saver.save(&bench.folder));
        }
    }
    let lines = savers.iter().zip(runs).map(|(saver, runs)| Line {
        name: saver.name,
        stored: runs.last().map_or((0, 0), |run| run.1),
        measured: median(runs.into_iter().map(|run| run.0).collect()),
    });
    lines.collect()
}

fn init(bench: &Bench, savers: &[Saver]) {
    for saver in savers {
        run(&bench.folder, &saver.init);
    }
}

/// Databases of 200 MB and of 2 GB.
pub fn databases(bench: &Bench, writer: &mut Writer) -> String {
    let mut text = head();
    for megabytes in [200.0, 2000.0] {
        let bytes = (megabytes * 1e6 * bench.scale) as u64;
        let folder = bench.folder.join("agent");
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let path = folder.join("opencode.db");
        eprintln!("generating a database of {bytes} bytes");
        create(writer, &path, bytes).expect("the database can be written");
        let savers = savers(bench, "agent");
        let size = format!("{:.0} MB", bytes as f64 / 1e6);
        let mut add = |what: &str, lines: Vec<Line>| print(&mut text, &size, what, &lines);
        let first = row(bench, &savers, bench.rounds, |savers, _| init(bench, savers));
        add("first backup", first);
        add("nothing changed", row(bench, &savers, bench.rounds, |_, _| {}));
        for (what, change) in [
            ("one byte changed, raw", Change::Byte),
            ("one row updated", Change::Row),
            ("1 % of the rows updated", Change::Hundredth),
            ("5,000 rows appended", Change::Append),
            ("2 % of the sessions deleted, VACUUM", Change::Vacuum),
        ] {
            let lines = row(bench, &savers, bench.rounds, |_, round| {
                change.make(writer, &path, round);
            });
            add(what, lines);
        }
        clear(bench, &savers, &folder);
    }
    text
}

/// Lines appended to some transcripts among many.
pub fn transcripts(bench: &Bench, writer: &mut Writer) -> String {
    let (folder, files) = bench.tree(writer);
    let savers = savers(bench, "tree");
    init(bench, &savers);
    for saver in &savers {
        saver.save(&bench.folder);
    }
    let lines = row(bench, &savers, bench.rounds, |_, _| {
        for number in 0..5 {
            let number = number * files / 5;
            let path = folder.join(format!(
                "projects/project-{:02}/part-{:02}/session-{number:05}.jsonl",
                number % 40,
                number / 1000
            ));
            let file = std::fs::File::options().append(true).open(path);
            let mut file = file.expect("the session is there");
            let text: String = (0..20).map(|_| writer.record() + "\n").collect();
            file.write_all(text.as_bytes()).expect("the session can be written");
        }
    });
    let mut text = head();
    print(&mut text, &format!("{files} files"), "20 lines appended to 5 sessions", &lines);
    for saver in &savers {
        let _gone = std::fs::remove_dir_all(&saver.repository);
    }
    text
}

fn clear(bench: &Bench, savers: &[Saver], folder: &Path) {
    let caches = ["cache", "borg", "s-home"].map(|name| bench.folder.join(name));
    let repositories = savers.iter().map(|saver| &saver.repository);
    for folder in repositories.map(PathBuf::as_path).chain([folder]) {
        std::fs::remove_dir_all(folder).expect("what was made can be removed");
    }
    for folder in caches {
        let _gone = std::fs::remove_dir_all(folder);
    }
}

fn head() -> String {
    "| of | what | tool | seconds | processor s | peak MiB | read MB | stored bytes | objects |\n\
     |---|---|---|---:|---:|---:|---:|---:|---:|\n"
        .into()
}

fn print(text: &mut String, size: &str, what: &str, lines: &[Line]) {
    eprintln!("{size}: {what}");
    for (place, line) in lines.iter().enumerate() {
        let (size, what) = if place == 0 { (size, what) } else { ("", "") };
        let Measured { wall, processor, memory, read_bytes } = line.measured;
        let (objects, bytes) = line.stored;
        let read = read_bytes / 1e6;
        let _ = writeln!(
            text,
            "| {size} | {what} | {} | {wall:.2} | {processor:.2} | {memory:.0} | {read:.1} | {} | {objects} |",
            line.name,
            grouped(bytes)
        );
    }
}

/// Returns a number with commas.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
