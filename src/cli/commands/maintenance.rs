//! What a backup does when all else is done and told: it cleans up a little, if it is time. Nothing
//! that happens here changes what came of the backup.

use std::sync::Arc;
use std::time::Duration;

use super::open::Run;
use super::repository::Opened;
use crate::cli::args::BackupArguments;
use crate::cli::figures::{counted, size};
use crate::cli::json::MaintenanceLine;
use crate::engine::maintenance::{Maintained, MaintenanceOptions, due, maintain};
use crate::engine::prune::PruneReport;
use crate::error::{Kind, Result};
use crate::event::Counters;
use crate::machine::RunLock;
use crate::time::Clock as _;

pub(super) fn after_backup(run: &Run, arguments: &BackupArguments, repository: &Opened) {
    if arguments.dry_run || arguments.no_maintenance {
        return;
    }
    match clean_up(run, repository) {
        Ok(()) => {}
        Err(error) if error.kind() == Kind::Interrupted => {
            run.screen.note("cleaning up was interrupted, and goes on another time");
        }
        Err(error) => run.screen.warning(&format!("cannot look for what to clean up: {error}")),
    }
}

fn clean_up(run: &Run, repository: &Opened) -> Result<()> {
    let mut options = MaintenanceOptions::default();
    let due = due(repository, &options, run.clock.now())?;
    if !due.is_something() {
        return Ok(());
    }
    run.counters.go_on()?;
    // Whoever else is at work here comes first.
    let now = Duration::ZERO;
    let lock = RunLock::take(&run.places.state, repository.id(), now, &run.clock, &run.counters);
    let Ok(_lock) = lock else { return Ok(()) };
    if let Some(lock) = repository.shared_lock() {
        if lock.take_alone(now, &run.clock, &run.counters).is_err() {
            return Ok(());
        }
        options.alone = true;
    }
    let counters: Arc<Counters> = Arc::default();
    let progress = run.screen.progress_of("cleaning up", &counters);
    let stop = &run.counters.stop;
    let result = maintain(repository, due, &options, &run.clock, &counters, stop, &*run.screen);
    drop(progress);
    tell(run, &result?)
}

/// Says what was done; nothing if that was nothing.
fn tell(run: &Run, maintained: &Maintained) -> Result<()> {
    let (report, problem) = match maintained {
        Maintained::Done(report) => (Some(report), None),
        Maintained::MayNotDelete(report) => {
            run.screen.note(
                "these credentials may not delete: run `stash prune` now and then where some may",
            );
            (Some(report), None)
        }
        Maintained::GaveWay => (None, None),
        Maintained::OutOfTime => {
            let problem = "cleaning up takes longer than a backup may wait for; run `stash prune`";
            (None, Some(problem.to_owned()))
        }
        Maintained::Stopped(error) => {
            (None, Some(format!("cleaning up stopped: {error}; `stash prune` says what to do")))
        }
    };
    if let Some(problem) = &problem {
        run.screen.warning(problem);
    }
    if run.screen.is_json() {
        let line = MaintenanceLine::new(report.unwrap_or(&PruneReport::default()), problem);
        return run.screen.message("maintenance", &line);
    }
    match report.and_then(shown) {
        Some(line) => run.screen.summary(&line),
        None => Ok(()),
    }
}

fn shown(report: &PruneReport) -> Option<String> {
    let mut words = Vec::new();
    if report.deleted_objects > 0 {
        let objects = counted(report.deleted_objects, "object");
        words.push(format!("freed {} ({objects})", size(report.deleted_bytes)));
    }
    if report.condemned_objects > 0 {
        let bytes = size(report.condemned_bytes);
        words.push(format!("{bytes} will be freed when the grace is over"));
    }
    if report.covered_records > 0 {
        words.push(format!("summed up {}", counted(report.covered_records, "record")));
    }
    (!words.is_empty()).then(|| format!("cleaned up: {}", words.join("; ")))
}
