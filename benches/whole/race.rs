//! Commands of several tools in turn, as rows of a table.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::measure::{Measured, folder_bytes, median, run};

/// One tool's commands for one row.
pub struct Contender {
    pub name: &'static str,
    /// Run before each round, not measured.
    pub before: String,
    /// Measured.
    pub command: String,
    /// The folder whose bytes are told, if any.
    stored: Option<PathBuf>,
}

/// A row of the table: each contender's figures, and the bytes it stored.
pub struct Row {
    name: String,
    results: Vec<(&'static str, Measured, Option<u64>)>,
}

/// Returns a contender with commands for `sh`.
pub fn contender(name: &'static str, before: &str, command: &str) -> Contender {
    Contender { name, before: before.to_owned(), command: command.to_owned(), stored: None }
}

impl Contender {
    /// Tells the bytes of a folder besides.
    pub fn storing(mut self, folder: PathBuf) -> Self {
        self.stored = Some(folder);
        self
    }
}

/// Runs all in turn, so often.
pub fn race(folder: &Path, name: &str, rounds: usize, contenders: &[Contender]) -> Row {
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

/// What is installed.
pub struct Tools {
    /// The command with its environment.
    pub stash: String,
    pub restic: bool,
    pub borg: bool,
    pub rustic: bool,
}

impl Tools {
    /// First backups: the repository is made anew before each round.
    pub fn first_backup(&self, folder: &Path, source: &str, floor: Contender) -> Vec<Contender> {
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

    /// One command for each tool that is there: stash, restic, borg, rustic.
    pub fn simple(&self, commands: [(&'static str, &str, String); 4]) -> Vec<Contender> {
        let [stash, restic, borg, rustic] = commands;
        let all = [(true, stash), (self.restic, restic), (self.borg, borg), (self.rustic, rustic)];
        all.into_iter()
            .filter(|(is_there, _)| *is_there)
            .map(|(_, (name, before, command))| contender(name, before, &command))
            .collect()
    }

    /// Backups of what the last one has.
    pub fn unchanged(&self, source: &str, floor: Option<Contender>) -> Vec<Contender> {
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

/// Returns the rows as Markdown; ratios are to each row's first line.
pub fn table(rows: &[Row]) -> String {
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
