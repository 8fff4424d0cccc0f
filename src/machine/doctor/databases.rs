//! Whether the agents' databases are sound.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{Answer, counted, named};
use crate::engine::backup::{AgentSources, DatabaseHealth, database_health};
use crate::error::{Error, Kind, Result};
use crate::files::sqlite::{LAST_ATTEMPT, Method, TakeOptions, is_database, quick_check, take};
use crate::files::{Step, Walk};
use crate::format::tree::NodeKind;
use crate::repository::Repository;
use crate::time::{Clock, Timestamp};

const NAME: &str = "databases";
/// How long to wait for a database's locks.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks what backups found when they last looked the databases through.
pub fn remembered_databases(repository: &Repository, databases: &[PathBuf]) -> Answer {
    if databases.is_empty() {
        return Answer::ok(NAME, "the snapshots hold no database of an agent");
    }
    let known: Vec<(&PathBuf, DatabaseHealth)> = databases
        .iter()
        .filter_map(|path| Some((path, database_health(repository, path)?)))
        .collect();
    let damaged: Vec<String> = known
        .iter()
        .filter(|(_, health)| health.is_damaged)
        .map(|(path, health)| format!("`{}`, {}", path.display(), sound(health.sound)))
        .collect();
    let all = counted(databases.len() as u64, "database");
    if !damaged.is_empty() {
        let evidence = format!("found damaged by a backup: {}", named(&damaged));
        return Answer::problem(NAME, evidence).remedy(
            "`stash restore --agent ID --at TIME` brings the last sound version back; the damaged one is \
             saved as it is",
        );
    }
    let checked = known.iter().filter(|(_, health)| health.sound.is_some()).count() as u64;
    Answer::ok(
        NAME,
        format!(
            "{all}, {checked} of them looked through by backups and sound; `--databases` looks now"
        ),
    )
}

/// Finds the databases that a backup would read, by how their files begin.
pub fn find_databases(sources: &AgentSources) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for source in &sources.roots {
        for step in Walk::start(&source.place, Arc::clone(&source.excludes), 1) {
            let Step::Entry(entry) = step else { continue };
            let mut head = [0; 16];
            let is_file = entry.stat.kind == NodeKind::File && entry.stat.size > 0;
            let opened = is_file.then(|| entry.open().ok()).flatten();
            if opened.is_some_and(|(file, _)| {
                file.read_exact_at(&mut head, 0).is_ok() && is_database(&head)
            }) {
                found.push(entry.path);
            }
        }
    }
    found
}

fn sound(sound: Option<Timestamp>) -> String {
    match sound {
        Some(time) => format!("last known to be sound {}", time.to_rfc3339()),
        None => "no version of it is known to be sound".to_owned(),
    }
}

/// Has SQLite look each database through, as of one moment, without stopping whoever writes to it.
pub fn check_databases(
    databases: &[PathBuf],
    temporary_folder: &Path,
    clock: &dyn Clock,
) -> Answer {
    let (mut damaged, mut unread) = (Vec::new(), Vec::new());
    for path in databases {
        match check(path, temporary_folder, clock) {
            Ok(problems) => {
                if let Some(first) = problems.first() {
                    damaged.push(format!("`{}`: {first}", path.display()));
                }
            }
            Err(error) => unread.push(format!("`{}`: {error}", path.display())),
        }
    }
    let all = counted(databases.len() as u64, "database");
    match (damaged.is_empty(), unread.is_empty()) {
        (true, true) => Answer::ok(NAME, format!("{all} looked through now: all sound")),
        (false, _) => Answer::problem(NAME, format!("damaged: {}", named(&damaged))).remedy(
            "close the agent and let it mend its database, or `stash restore --agent ID --at TIME`",
        ),
        (true, false) => {
            Answer::problem(NAME, format!("could not be looked through: {}", named(&unread)))
                .remedy("close the agents that use them, and ask again")
        }
    }
}

fn check(path: &Path, temporary_folder: &Path, clock: &dyn Clock) -> Result<Vec<String>> {
    for attempt in 0..=LAST_ATTEMPT {
        let options = TakeOptions { temporary_folder, clock, patience: PATIENCE, attempt };
        let taken = take(path, &options)?;
        if taken.method() == Method::Raw {
            break;
        }
        let problems = quick_check(&taken, temporary_folder)?;
        match taken.finish() {
            Ok(()) => return Ok(problems),
            // Somebody wrote meanwhile: what was found may be that.
            Err(error) if error.kind() == Kind::Busy => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::failed("it is written to all the time"))
}
