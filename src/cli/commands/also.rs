//! `stash backup --also`: the same snapshot in further repositories.
//!
//! What the main repository has got is brought over by copying, so that no file is read twice. If the
//! main one fails, the others are saved into directly: a broken disk or network costs one copy, not
//! all of them.

use std::ffi::OsString;

use super::open::Run;
use super::repository::Opened;
use crate::cli::args::BackupArguments;
use crate::cli::figures::size;
use crate::cli::json::AlsoLine;
use crate::codec::Compression;
use crate::engine::copy::{CopyOptions, copy};
use crate::error::{Error, Kind, Result};
use crate::id::SnapshotId;
use crate::machine::{RunAlso, RunRecord};
use crate::repository::Repository;

/// What came of one further repository.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Brought {
    /// The snapshot there; `None` if none was written, since nothing has changed.
    pub(super) snapshot: Option<SnapshotId>,
    /// Whether it was there already.
    pub(super) was_there: bool,
    /// Bytes stored there.
    pub(super) stored_bytes: u64,
}

/// Opens each further repository, and does something with it. One that fails is told and does not
/// stop the others; returns how many failed.
pub(super) fn each(
    run: &Run,
    arguments: &BackupArguments,
    record: &mut RunRecord,
    act: impl Fn(&Opened) -> Result<Brought>,
) -> Result<u64> {
    let mut failed = 0_u64;
    for text in &arguments.also {
        let done = one(run, arguments, text, &act);
        if let Err(error) = &done
            && error.kind() == Kind::Interrupted
        {
            return done.map(|_| failed);
        }
        failed = failed.saturating_add(u64::from(done.is_err()));
        record.also.push(noted(run, text, &done));
        tell(run, text, &done)?;
    }
    Ok(failed)
}

fn one(
    run: &Run,
    arguments: &BackupArguments,
    text: &OsString,
    act: impl Fn(&Opened) -> Result<Brought>,
) -> Result<Brought> {
    let other = run.other_repository(&run.location(text)?, &arguments.other)?;
    let _lock = run.lock(other.id())?;
    act(&other)
}

/// Returns how a location is shown. One that can't be read may hold a password: it is not.
fn place(run: &Run, text: &OsString) -> String {
    run.location(text).map_or_else(|_| "--also".to_owned(), |it| it.to_string())
}

fn noted(run: &Run, text: &OsString, done: &Result<Brought>) -> RunAlso {
    let brought = done.as_ref().ok();
    RunAlso {
        location: place(run, text),
        snapshot: brought.and_then(|it| it.snapshot).map(|id| id.to_string()),
        error: done.as_ref().err().map(ToString::to_string),
    }
}

fn tell(run: &Run, text: &OsString, done: &Result<Brought>) -> Result<()> {
    let place = place(run, text);
    if let Err(error) = done {
        run.screen.warning(&format!("nothing was saved into `{place}`: {}", error.with_hint()));
    }
    if run.screen.is_json() {
        let Brought { snapshot: snapshot_id, stored_bytes, .. } =
            *done.as_ref().unwrap_or(&Brought::default());
        let error = done.as_ref().err().map(ToString::to_string);
        let line = AlsoLine { repository: place, snapshot_id, stored_bytes, error };
        return run.screen.message("also", &line);
    }
    match done {
        Ok(Brought { snapshot: Some(id), was_there: false, stored_bytes }) => {
            run.screen.summary(&format!(
                "also in `{place}`: stored as {}; snapshot {}",
                size(*stored_bytes),
                id.short()
            ))
        }
        Ok(Brought { snapshot: Some(id), .. }) => run.screen.summary(&format!(
            "also in `{place}`: it is there already, as snapshot {}",
            id.short()
        )),
        Ok(_) => run.screen.summary(&format!("also in `{place}`: nothing changed")),
        Err(_) => Ok(()),
    }
}

/// Brings one snapshot over.
pub(super) fn bring(
    run: &Run,
    from: &Repository,
    to: &Opened,
    id: SnapshotId,
    compression: Compression,
) -> Result<Brought> {
    let mut entries = from.cached_snapshots()?;
    entries.retain(|entry| entry.id == id);
    let options = CopyOptions { compression, ..CopyOptions::default() };
    let report = copy(from, to, &entries, &options, &run.clock, &run.counters, &*run.screen)?;
    if report.failed > 0 {
        return Err(Error::new(Kind::Damaged, "the snapshot can't be read back")
            .hint("`stash check --read-data` says what is damaged"));
    }
    if report.forgotten > 0 {
        return Err(Error::failed("this snapshot was saved there before, and forgotten there")
            .hint(
                "`stash unforget` with that repository's `-r` brings it back while its grace lasts",
            ));
    }
    let copied = report.copied.first().and_then(|row| row.copy);
    Ok(Brought {
        snapshot: copied.or_else(|| report.present.first().copied()),
        was_there: copied.is_none(),
        stored_bytes: report.stored_bytes,
    })
}
