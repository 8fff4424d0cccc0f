//! The repository's store: what it can do, its clock, its format, and who uses it.
#![expect(clippy::disallowed_methods, reason = "looks at the lock files of this machine")]

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use super::{Answer, named};
use crate::error::{Error, Result};
use crate::id::RepositoryId;
use crate::repository::Repository;
use crate::repository::cache::SnapshotEntry;
use crate::repository::snapshots::is_future;
use crate::store::Store;
use crate::time::{SECOND, Timestamp};

/// Asks whether the store does all that a repository asks of it.
pub fn probe(store: &Store) -> Answer {
    const NAME: &str = "store";
    let probe = store.probe();
    let steps: Vec<String> = probe
        .steps
        .iter()
        .map(|step| format!("{} {} ms", step.what, step.took.as_millis()))
        .collect();
    let may_delete = probe.deletes != Some(false);
    if let Some(error) = probe.into_failure() {
        return Answer::broken_by(NAME, &error);
    }
    let evidence = steps.join(", ");
    if may_delete {
        Answer::ok(NAME, evidence)
    } else {
        Answer::note(NAME, format!("{evidence}: it does not let this machine delete"))
            .remedy("backups need no more; `stash prune` runs where the credentials may delete")
    }
}

/// A difference that is told, and one that makes times useless, in seconds.
const TOLD: i64 = 120;
const TOO_MUCH: i64 = 3600;

/// Asks whether this computer's clock agrees with the store's, and whether a snapshot is dated in the
/// future. The file times of this computer's own disk are its own clock's.
pub fn clocks(
    store_now: Result<Timestamp, Error>,
    now: Timestamp,
    entries: &[SnapshotEntry],
) -> Answer {
    const NAME: &str = "clock";
    let store_now = match store_now {
        Ok(store_now) => store_now,
        Err(error) => return Answer::skipped(NAME, error.to_string()),
    };
    let ahead = now.0.saturating_sub(store_now.0) / SECOND;
    let answer = judge_clock(ahead);
    let future: Vec<String> = entries
        .iter()
        .filter(|entry| entry.forgotten.is_none() && is_future(&entry.snapshot, store_now))
        .map(|entry| {
            format!("{} of {}", entry.id.short(), Timestamp(entry.snapshot.time).to_rfc3339())
        })
        .collect();
    if future.is_empty() || answer.verdict > super::Verdict::Note {
        return answer;
    }
    Answer::note(NAME, format!("snapshots are dated in the future: {}", named(&future)))
        .remedy("`latest` and policies set them aside until then; `stash forget ID` removes them")
}

fn judge_clock(ahead: i64) -> Answer {
    const NAME: &str = "clock";
    let way = if ahead >= 0 { "ahead of" } else { "behind" };
    let seconds = ahead.unsigned_abs();
    let difference = match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    };
    let evidence = format!("this computer's clock is {difference} {way} the store's");
    let remedy = "set the clock, best by NTP: snapshots are found by their times";
    match ahead.saturating_abs() {
        0..=TOLD => Answer::ok(NAME, "this computer's clock agrees with the store's"),
        ..=TOO_MUCH => Answer::note(NAME, evidence).remedy(remedy),
        _ => Answer::problem(NAME, evidence).remedy(remedy),
    }
}

/// Asks whether this version understands all that is written here, and who writes newer.
pub fn format_version(repository: &Repository, entries: &[SnapshotEntry], own: &str) -> Answer {
    const NAME: &str = "format";
    let made = Timestamp(repository.header().created).to_rfc3339();
    let programs = entries.iter().map(|entry| entry.snapshot.program.as_str());
    let newest = programs.max_by_key(|version| number(version)).unwrap_or(own);
    if number(newest) > number(own) {
        return Answer::note(NAME, format!("version {newest} has written here, and this is {own}"))
            .remedy("bring this one up to date: an older one may not understand all that is new");
    }
    Answer::ok(NAME, format!("read by this version ({own}); the repository was made {made}"))
}

/// Returns a version's three numbers; what is no number counts as 0.
fn number(version: &str) -> [u64; 3] {
    let mut parts = version.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
    std::array::from_fn(|_| parts.next().unwrap_or(0))
}

/// A run that goes on for longer than this has most likely hung.
const LONG: Duration = Duration::from_hours(24);

/// Asks whether a run of this machine holds the repository. A lock goes with its process, so none can be
/// left behind by one that died; one that hangs keeps it.
pub fn locks(state: &Path, repository: RepositoryId) -> Answer {
    const NAME: &str = "locks";
    let path = state.join("locks").join(format!("{repository}.lock"));
    let Ok(file) = File::open(&path) else {
        return Answer::ok(NAME, "no run holds the repository");
    };
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {}
        // Released at once: the file is closed here.
        _ => return Answer::ok(NAME, "no run holds the repository"),
    }
    let owner = std::fs::read_to_string(&path).unwrap_or_default();
    let who = match owner.trim() {
        "" => "a run".to_owned(),
        pid => format!("process {pid}"),
    };
    let age = file.metadata().and_then(|it| it.modified()).ok().and_then(|it| it.elapsed().ok());
    match age.filter(|age| *age > LONG) {
        Some(age) => {
            let hours = age.as_secs() / 3600;
            Answer::problem(NAME, format!("{who} has held the repository for {hours} hours"))
                .remedy(
                    "see what it does, and end it if it hangs: what it saved so far is used again",
                )
        }
        None => Answer::note(NAME, format!("{who} is using the repository now")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_clock_that_differs_is_told_and_by_an_hour_it_is_a_problem() {
        for (ahead, verdict, says) in [
            (0, Verdict::Ok, "agrees"),
            (-100, Verdict::Ok, "agrees"),
            (300, Verdict::Note, "5 min ahead of"),
            (-3700, Verdict::Problem, "61 min behind"),
            (i64::MIN, Verdict::Problem, "behind"),
        ] {
            let answer = judge_clock(ahead);
            assert_eq!(answer.verdict, verdict, "{ahead}");
            assert!(answer.evidence.contains(says), "{}", answer.evidence);
            assert_eq!(answer.remedy.is_some(), verdict > Verdict::Ok);
        }
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(number("0.10.0") > number("0.9.9") && number("1.0.0-rc.1") > number("0.99"));
        assert_eq!(number("odd"), [0, 0, 0]);
    }
}
