//! Whole runs of the real binary against the floors and against other tools, in one run.
//!
//! `cargo bench --bench whole` writes the table into `benches/RESULTS.md`. Each row's commands are run
//! in turn, so that a machine that drifts drifts for all; the median of the rounds counts, and
//! ratios are to the row's floor. `STASH_BENCH_FOLDER` says where to work (by default a temporary
//! folder, in memory where `/dev/shm` is), `STASH_BENCH_ROUNDS` how often (3), and
//! `STASH_BENCH_SCALE` scales the data (1 = a 1 GiB database, 23,000 files of 600 MB).
#![allow(
    missing_docs,
    clippy::pedantic,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a benchmark owns its machine"
)]

mod data;
mod measure;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use measure::{Measured, folder_bytes, is_installed, median, run};

/// One tool's commands for one row.
struct Contender {
    name: &'static str,
    /// Run before each round, not measured.
    before: String,
    /// Measured.
    command: String,
    /// The folder whose bytes are told, if any.
    stored: Option<PathBuf>,
}

struct Row {
    name: String,
    results: Vec<(&'static str, Measured, Option<u64>)>,
}

fn contender(name: &'static str, before: &str, command: &str) -> Contender {
    Contender { name, before: before.to_owned(), command: command.to_owned(), stored: None }
}

impl Contender {
    fn storing(mut self, folder: PathBuf) -> Self {
        self.stored = Some(folder);
        self
    }
}

fn race(folder: &Path, name: &str, rounds: usize, contenders: &[Contender]) -> Row {
    eprintln!("{name}");
    let mut runs: Vec<Vec<Measured>> = contenders.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (contender, runs) in contenders.iter().zip(&mut runs) {
            if !contender.before.is_empty() {
                run(folder, &contender.before);
            }
            runs.push(run(folder, &contender.command));
        }
    }
    let results = contenders
        .iter()
        .zip(runs)
        .map(|(contender, runs)| {
            let stored = contender.stored.as_deref().map(folder_bytes);
            (contender.name, median(runs), stored)
        })
        .collect();
    Row { name: name.to_owned(), results }
}

struct Tools {
    stash: String,
    restic: bool,
    borg: bool,
    rustic: bool,
}

impl Tools {
    /// First backups: the repository is made anew before each round.
    fn first_backup(&self, folder: &Path, source: &str, floor: Contender) -> Vec<Contender> {
        let stash = &self.stash;
        let mut list = vec![
            floor,
            contender(
                "stash",
                &format!("rm -rf s-home s-repo && mkdir s-home && {stash} init"),
                &format!("exec {stash} backup {source}"),
            )
            .storing(folder.join("s-repo")),
        ];
        if self.restic {
            list.push(
                contender(
                    "restic",
                    "rm -rf r-repo && restic -q init",
                    &format!("exec restic -q backup {source}"),
                )
                .storing(folder.join("r-repo")),
            );
        }
        if self.borg {
            list.push(
                contender(
                    "borg",
                    "rm -rf b-repo && borg init -e repokey-blake2",
                    &format!("exec borg create ::{{utcnow:%s%f}} {source}"),
                )
                .storing(folder.join("b-repo")),
            );
        }
        if self.rustic {
            list.push(
                contender(
                    "rustic",
                    "rm -rf u-repo && rustic init",
                    &format!("exec rustic backup {source}"),
                )
                .storing(folder.join("u-repo")),
            );
        }
        list
    }

    fn simple(&self, commands: [(&'static str, &str, String); 4]) -> Vec<Contender> {
        let [stash, restic, borg, rustic] = commands;
        let all = [(true, stash), (self.restic, restic), (self.borg, borg), (self.rustic, rustic)];
        all.into_iter()
            .filter(|(is_there, _)| *is_there)
            .map(|(_, (name, before, command))| contender(name, before, &command))
            .collect()
    }

    fn unchanged(&self, source: &str, floor: Option<Contender>) -> Vec<Contender> {
        let mut list: Vec<Contender> = floor.into_iter().collect();
        list.extend(self.simple([
            ("stash", "", format!("exec {} backup {source}", self.stash)),
            ("restic", "", format!("exec restic -q backup {source}")),
            ("borg", "", format!("exec borg create ::{{utcnow:%s%f}} {source}")),
            ("rustic", "", format!("exec rustic backup {source}")),
        ]));
        list
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| what | tool | seconds | to the floor | processor s | peak MiB | stored MB |\n\
         |---|---|---:|---:|---:|---:|---:|\n",
    );
    for row in rows {
        let floor = row.results.first().map_or(1.0, |(_, floor, _)| floor.wall);
        for (place, (name, measured, stored)) in row.results.iter().enumerate() {
            let what = if place == 0 { row.name.as_str() } else { "" };
            let stored =
                stored.map_or_else(String::new, |bytes| format!("{:.1}", bytes as f64 / 1e6));
            let _ = writeln!(
                text,
                "| {what} | {name} | {:.2} | {:.2} | {:.2} | {:.0} | {stored} |",
                measured.wall,
                measured.wall / floor,
                measured.processor,
                measured.memory,
            );
        }
    }
    text
}

fn main() {
    // `cargo test --benches` only asks whether this builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let variable = |name: &str| std::env::var(name).ok();
    let number = |name: &str, default: f64| {
        variable(name).and_then(|text| text.parse::<f64>().ok()).unwrap_or(default)
    };
    let scale = number("STASH_BENCH_SCALE", 1.0);
    let rounds = number("STASH_BENCH_ROUNDS", 3.0) as usize;
    let memory = Path::new("/dev/shm");
    let parent = variable("STASH_BENCH_FOLDER").map_or_else(
        || if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() },
        PathBuf::from,
    );
    let guard = tempfile::tempdir_in(parent).expect("a folder to work in");
    let folder = guard.path();
    let mut writer = data::Writer::new(7);
    eprintln!("generating data");
    let files = (23_000.0 * scale) as usize;
    writer
        .tree(&folder.join("tree"), files.max(10), (600e6 * scale) as u64)
        .expect("the tree can be written");
    let bytes = ((1_u64 << 30) as f64 * scale) as u64;
    writer.database(&folder.join("big.db"), bytes).expect("the database can be written");
    let binary = env!("CARGO_BIN_EXE_stash");
    let tools = Tools {
        stash: format!(
            "env HOME={0}/s-home STASH_REPOSITORY={0}/s-repo {binary} -q",
            folder.display()
        ),
        restic: is_installed("restic"),
        borg: is_installed("borg"),
        rustic: is_installed("rustic"),
    };
    // Set for every child; this process has no threads yet.
    let environment = format!(
        "export RESTIC_REPOSITORY={0}/r-repo RESTIC_PASSWORD=x XDG_CACHE_HOME={0}/cache \
         BORG_REPO={0}/b-repo BORG_PASSPHRASE=x BORG_BASE_DIR={0}/borg \
         RUSTIC_REPOSITORY={0}/u-repo RUSTIC_PASSWORD=x; ",
        folder.display()
    );
    let with_environment = |list: Vec<Contender>| -> Vec<Contender> {
        list.into_iter()
            .map(|mut contender| {
                contender.command = format!("{environment}{}", contender.command);
                if !contender.before.is_empty() {
                    contender.before = format!("{environment}{}", contender.before);
                }
                contender
            })
            .collect()
    };
    let mut rows = Vec::new();
    let mut add = |name: &str, list: Vec<Contender>| {
        rows.push(race(folder, name, rounds, &with_environment(list)));
    };
    let stash = tools.stash.clone();
    let floor = contender("zstd -3 -T2", "", "exec zstd -3 -T2 -q -f -o floor.zst big.db")
        .storing(folder.join("floor.zst"));
    add("first backup, 1 GiB database", tools.first_backup(folder, "big.db", floor));
    let floor = contender("cat", "", "exec cat big.db");
    add("nothing changed, database", tools.unchanged("big.db", Some(floor)));
    let floor = contender("tar, zstd -3 -T2", "", "tar cf - tree | zstd -3 -T2 -q -f -o floor.zst")
        .storing(folder.join("floor.zst"));
    add("first backup, 23,000 files", tools.first_backup(folder, "tree", floor));
    let floor = contender("find -size", "", "exec find tree -size +1");
    add("nothing changed, 23,000 files", tools.unchanged("tree", Some(floor)));
    run(folder, &format!("{environment}{stash} backup big.db tree"));
    for (is_there, command) in [
        (tools.restic, "restic -q backup big.db tree"),
        (tools.borg, "borg create ::all big.db tree"),
        (tools.rustic, "rustic backup big.db tree"),
    ] {
        if is_there {
            run(folder, &format!("{environment}{command}"));
        }
    }
    let clear = "rm -rf out && mkdir out";
    let mut list = vec![contender("cp -a", clear, "exec cp -a big.db tree out")];
    list.extend(tools.simple([
        ("stash", clear, format!("exec {stash} restore latest --target out")),
        ("restic", clear, "exec restic -q restore latest --target out".to_owned()),
        ("borg", clear, "cd out && exec borg extract ::all".to_owned()),
        ("rustic", clear, "exec rustic restore latest out".to_owned()),
    ]));
    add("restore of everything", list);
    let list = tools.simple([
        ("stash", "", format!("exec {stash} check --read-data")),
        ("restic", "", "exec restic -q check --read-data".to_owned()),
        ("borg", "", "exec borg check --verify-data".to_owned()),
        ("rustic", "", "exec rustic check --read-data".to_owned()),
    ]);
    add("check of all data", list);
    let tree_bytes = folder_bytes(&folder.join("tree"));
    let text = format!(
        "# Measured\n\n`cargo bench --bench whole` writes this page: medians of {rounds} rounds, all tools in \
         turn in one run, data and repositories in one folder ({}), {} processors. Database {:.0} MB; \
         tree {:.0} MB in {files} files. The first line of each row is its floor; shared machines \
         are noisy, so read the ratios.\n\n{}",
        if folder.starts_with(memory) { "in memory" } else { "on disk" },
        std::thread::available_parallelism().map_or(1, usize::from),
        folder_bytes(&folder.join("big.db")) as f64 / 1e6,
        tree_bytes as f64 / 1e6,
        table(&rows),
    );
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/RESULTS.md");
    std::fs::write(&page, text).expect("the results can be written");
    eprintln!("written: benches/RESULTS.md");
}
