//! What came of each run of a backup on this machine: one bounded file of JSON lines.
//!
//! `runs.jsonl` in the state folder, the newest line last, for this user alone. A line is appended by
//! one write, so that runs at once never mix theirs. Once the file is longer than [`LONGEST`] it
//! becomes `runs.old.jsonl`, in the place of the one before: there are never more than two, and the
//! newest half a megabyte at least is always there. A line that can't be read (cut off by a full disk,
//! or of a later version) is passed over; fields that are not known are, too.
//!
//! Nothing here is needed to back up or to restore: what can't be written is told, and no failure.
//! No line holds a secret: locations are shown as everywhere, without what opens them.
#![expect(clippy::disallowed_methods, reason = "the records lie in the state folder")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::places::{Places, make_private_folder};
use crate::error::{Error, IoContext as _, Result};

/// A file longer than this, in bytes, is put aside.
const LONGEST: u64 = 512 << 10;
/// A line longer than this, in bytes, is no record; one that would be is cut down before.
const LONGEST_LINE: usize = 64 << 10;
/// So many warnings of a run are kept, and so many letters of each text.
const MOST_WARNINGS: usize = 20;
const LONGEST_TEXT: usize = 500;

/// What came of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunResult {
    /// Everything is saved.
    Done,
    /// Everything is saved but items that could not be read, or a further repository.
    Partial,
    /// Nothing was saved.
    Failed,
    /// Somebody stopped it.
    Interrupted,
}

impl RunResult {
    /// Returns whether it counts as a success.
    pub fn is_success(self) -> bool {
        matches!(self, RunResult::Done | RunResult::Partial)
    }

    /// Returns the word for it.
    pub fn word(self) -> &'static str {
        match self {
            RunResult::Done => "done",
            RunResult::Partial => "partial",
            RunResult::Failed => "failed",
            RunResult::Interrupted => "interrupted",
        }
    }
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The job, as in its snapshots.
    pub job: String,
    /// The id of the main repository, if it was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Where that lies.
    #[serde(default)]
    pub location: String,
    /// When it began (nanoseconds, UTC).
    pub began: i64,
    /// When it ended (nanoseconds, UTC).
    pub ended: i64,
    /// What came of it.
    pub result: RunResult,
    /// The exit code.
    pub exit_code: u8,
    /// Why it failed, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The snapshot that holds what was there: the new one, or the newest if nothing had changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// Whether nothing had changed, so that nothing was written.
    #[serde(default)]
    pub unchanged: bool,
    /// How much it was.
    #[serde(default)]
    pub figures: RunFigures,
    /// The agents that were read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<RunAgent>,
    /// The further repositories.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<RunAlso>,
    /// What should be known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// How much a run saved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunFigures {
    /// Files in the snapshot.
    pub files: u64,
    /// Bytes in the snapshot.
    pub bytes: u64,
    /// Files that were new.
    pub files_new: u64,
    /// Files that had changed.
    pub files_changed: u64,
    /// Bytes that were new.
    pub added_bytes: u64,
    /// What they took when stored.
    pub stored_bytes: u64,
    /// Items that could not be read.
    pub errors: u64,
}

/// What was found of an agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunAgent {
    /// Its id.
    pub id: String,
    /// Files by category.
    pub files: BTreeMap<String, u64>,
}

/// What came of a further repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunAlso {
    /// Where it lies.
    pub location: String,
    /// The snapshot there.
    pub snapshot: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
}

/// What is remembered of runs, the newest first.
#[derive(Debug, Clone, Default)]
pub struct RunHistory {
    runs: Vec<RunRecord>,
}

impl RunHistory {
    /// Reads what is remembered; nothing if there is nothing.
    pub fn load(places: &Places) -> Result<RunHistory> {
        let mut runs = Vec::new();
        for path in [old_file(places), file(places)] {
            let text = read_tail(&path)?;
            runs.extend(text.lines().filter_map(|line| serde_json::from_str(line).ok()));
        }
        runs.reverse();
        Ok(RunHistory { runs })
    }

    /// Returns the runs, the newest first.
    pub fn iter(&self) -> impl Iterator<Item = &RunRecord> {
        self.runs.iter()
    }

    /// Returns the newest run, whatever came of it.
    pub fn last(&self) -> Option<&RunRecord> {
        self.runs.first()
    }

    /// Returns the newest run of a job, whatever came of it.
    pub fn last_of(&self, job: &str) -> Option<&RunRecord> {
        self.runs.iter().find(|run| run.job == job)
    }

    /// Returns the newest run of a job that was a success.
    pub fn last_success(&self, job: &str) -> Option<&RunRecord> {
        self.runs.iter().find(|run| run.job == job && run.result.is_success())
    }
}

/// Remembers a run.
pub fn remember_run(places: &Places, mut run: RunRecord) -> Result<()> {
    run.warnings.truncate(MOST_WARNINGS);
    for text in run.warnings.iter_mut().chain(run.error.as_mut()) {
        shorten(text);
    }
    run.also.truncate(MOST_WARNINGS);
    for text in run.also.iter_mut().filter_map(|also| also.error.as_mut()) {
        shorten(text);
    }
    let doing = "cannot write what came of this run";
    let mut line = serde_json::to_vec(&run).map_err(|error| Error::failed(doing).source(error))?;
    if line.len() > LONGEST_LINE {
        return Err(Error::failed(doing).source("it is too long"));
    }
    line.push(b'\n');
    make_private_folder(&places.state)?;
    let path = file(places);
    if std::fs::metadata(&path).is_ok_and(|found| found.len() > LONGEST) {
        std::fs::rename(&path, old_file(places)).at(doing, &path)?;
    }
    let mut options = File::options();
    let mut file = options.create(true).append(true).mode(0o600).open(&path).at(doing, &path)?;
    file.write_all(&line).and_then(|()| file.sync_data()).at(doing, &path)
}

fn file(places: &Places) -> PathBuf {
    places.state.join("runs.jsonl")
}

fn old_file(places: &Places) -> PathBuf {
    places.state.join("runs.old.jsonl")
}

fn shorten(text: &mut String) {
    if text.len() > LONGEST_TEXT {
        text.truncate(text.floor_char_boundary(LONGEST_TEXT));
        text.push('…');
    }
}

/// Reads the end of a file of records; more than was ever written is not looked at.
fn read_tail(path: &Path) -> Result<String> {
    const DOING: &str = "cannot read what came of earlier runs in";
    let mut file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        file => file.at(DOING, path)?,
    };
    let length = file.metadata().at(DOING, path)?.len();
    let most = LONGEST.saturating_add(LONGEST_LINE as u64);
    file.seek(SeekFrom::Start(length.saturating_sub(most))).at(DOING, path)?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).at(DOING, path)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::environment::Environment;
    use super::super::places::PlaceOptions;
    use super::*;

    fn places(folder: &Path) -> Places {
        let home = folder.to_str().unwrap();
        Places::find(&PlaceOptions::default(), &Environment::given([("HOME", home)])).unwrap()
    }

    fn record(job: &str, number: i64, result: RunResult) -> RunRecord {
        RunRecord {
            job: job.to_owned(),
            repository: None,
            location: "/r".to_owned(),
            began: number,
            ended: number,
            result,
            exit_code: 0,
            error: None,
            snapshot: None,
            unchanged: false,
            figures: RunFigures::default(),
            agents: Vec::new(),
            also: Vec::new(),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn the_newest_run_and_the_newest_success_of_each_job_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let places = places(folder.path());
        assert!(RunHistory::load(&places).unwrap().last().is_none());
        for (job, number, result) in [
            ("a", 1, RunResult::Done),
            ("b", 2, RunResult::Partial),
            ("a", 3, RunResult::Failed),
            ("b", 4, RunResult::Interrupted),
        ] {
            remember_run(&places, record(job, number, result)).unwrap();
        }
        let history = RunHistory::load(&places).unwrap();
        let began: Vec<i64> = history.iter().map(|run| run.began).collect();
        assert_eq!(began, [4, 3, 2, 1]);
        assert_eq!(history.last().unwrap().job, "b");
        assert_eq!(history.last_of("a").unwrap().began, 3);
        assert_eq!(history.last_success("a").unwrap().began, 1);
        assert_eq!(history.last_success("b").unwrap().began, 2);
        assert_eq!(history.last_success("c"), None);
        let mode = file(&places).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn lines_that_cannot_be_read_are_passed_over_and_later_fields_too() {
        let folder = tempfile::tempdir().unwrap();
        let places = places(folder.path());
        remember_run(&places, record("a", 1, RunResult::Done)).unwrap();
        let later =
            r#"{"job":"a","began":2,"ended":2,"result":"done","exit_code":0,"moon":"full"}"#;
        let mut bytes = std::fs::read(file(&places)).unwrap();
        bytes.extend(format!("{later}\n{{\"job\":\"a\",\"beg\n\u{1}\n").bytes());
        bytes.extend(b"\xff\xfe\n");
        std::fs::write(file(&places), bytes).unwrap();
        remember_run(&places, record("a", 3, RunResult::Failed)).unwrap();
        let history = RunHistory::load(&places).unwrap();
        let began: Vec<i64> = history.iter().map(|run| run.began).collect();
        assert_eq!(began, [3, 2, 1]);
    }

    #[test]
    fn the_file_stays_bounded_and_the_newest_runs_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let places = places(folder.path());
        let long = "ä".repeat(1_000);
        let all = 600;
        for number in 0..all {
            let warnings = vec![long.clone(); 30];
            let run = RunRecord {
                error: Some(long.clone()),
                warnings,
                ..record("a", number, RunResult::Failed)
            };
            remember_run(&places, run).unwrap();
        }
        let most = LONGEST + 20_000;
        for path in [file(&places), old_file(&places)] {
            let length = path.metadata().unwrap().len();
            assert!(length <= most, "{length}");
        }
        let history = RunHistory::load(&places).unwrap();
        assert_eq!(history.last().unwrap().began, all - 1);
        assert_eq!(history.last().unwrap().warnings.len(), MOST_WARNINGS);
        let count = history.iter().count();
        let kept: Vec<i64> = history.iter().map(|run| run.began).collect();
        assert!(count >= 40 && kept.is_sorted_by(|a, b| *a == b + 1), "{count}");
        // What somebody else made of it is not read as a whole.
        File::options().write(true).open(file(&places)).unwrap().set_len(1 << 40).unwrap();
        assert!(RunHistory::load(&places).is_ok());
    }
}
