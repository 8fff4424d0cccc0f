//! `stash forget --path` and `--agent`: takes something out of snapshots.

use std::os::unix::ffi::OsStrExt as _;

use super::forget::chosen;
use super::open::Run;
use super::repository::Opened;
use crate::cli::args::ForgetArguments;
use crate::cli::ask;
use crate::cli::figures::{counted, size};
use crate::cli::json::{PurgeSummary, PurgedLine};
use crate::cli::name;
use crate::engine::purge::{Purge, PurgeReport, purge};
use crate::error::{Error, Kind, Result};
use crate::machine;
use crate::repository::cache::SnapshotEntry;
use crate::time::{Clock as _, Timestamp};

/// What has to be typed.
const WORD: &str = "purge";

pub(super) fn run(run: &Run, repository: &Opened, arguments: &ForgetArguments) -> Result<()> {
    let what = what(run, arguments)?;
    let mut entries = chosen(run, repository, arguments)?;
    entries.retain(|entry| entry.forgotten.is_none());
    let act = |dry_run: bool| {
        let progress = run.screen.progress(&run.counters);
        let now = run.clock.now();
        let report = purge(repository, &entries, &what, dry_run, now, &run.counters);
        drop(progress);
        report
    };
    let plan = act(true)?;
    if plan.snapshots.is_empty() {
        return say_done(run, &plan, arguments.dry_run);
    }
    if !run.screen.is_json() && (arguments.dry_run || !run.screen.is_quiet()) {
        for line in lines(run, &plan, &entries) {
            run.screen.text(&line)?;
        }
    }
    if arguments.dry_run {
        return say_done(run, &plan, true);
    }
    if !arguments.yes {
        consent(&plan)?;
    }
    let report = act(false)?;
    say_done(run, &report, false)?;
    run.screen.note(
        "copies in other repositories and buckets that lock objects keep it; what still lies on \
         the disk is saved again unless it is excluded",
    );
    Ok(())
}

fn what(run: &Run, arguments: &ForgetArguments) -> Result<Purge> {
    if let Some(agent) = &arguments.agent {
        if !arguments.paths.is_empty() {
            return Err(Error::usage("`--agent` and `--path` are taken out one after the other"));
        }
        return Ok(Purge::Agent { agent: run.agent_id(agent)?, only: arguments.only.clone() });
    }
    let paths = arguments.paths.iter().map(|path| run.place(path.as_bytes()));
    Ok(Purge::Paths(paths.collect::<Result<_>>()?))
}

fn consent(plan: &PurgeReport) -> Result<()> {
    let snapshots = counted(plan.snapshots.len() as u64, "snapshot");
    match ask::typed(&format!("This is taken out of {snapshots}."), WORD)? {
        Some(true) => Ok(()),
        Some(false) => Err(Error::new(Kind::Interrupted, "not confirmed; nothing was changed")),
        None => Err(Error::usage("nobody can be asked whether this may be taken out of snapshots")
            .hint("look at it with `--dry-run`, then add `--yes`")),
    }
}

/// Returns a line for each snapshot, and what goes from it.
fn lines(run: &Run, plan: &PurgeReport, entries: &[SnapshotEntry]) -> Vec<String> {
    let mut lines = Vec::new();
    for purged in &plan.snapshots {
        let time = entries
            .iter()
            .find(|entry| entry.id == purged.old)
            .map(|entry| machine::show_moment(Timestamp(entry.snapshot.time), &run.zone));
        lines.push(format!(
            "snapshot {} of {}: {}, {}",
            purged.old.short(),
            time.unwrap_or_default(),
            counted(purged.files, "file"),
            size(purged.bytes)
        ));
        lines.extend(purged.paths.iter().map(|path| format!("  {}", name::shown(path))));
    }
    lines
}

fn say_done(run: &Run, report: &PurgeReport, dry_run: bool) -> Result<()> {
    if run.screen.is_json() {
        for purged in &report.snapshots {
            run.screen.message("purged", &PurgedLine::from(purged))?;
        }
        return run.screen.message("summary", &PurgeSummary::of(report, dry_run));
    }
    let count = report.snapshots.len() as u64;
    let snapshots = counted(count, "snapshot");
    run.screen.summary(&match (count, dry_run) {
        (0, _) => "no snapshot holds it".to_owned(),
        (_, true) => format!("would be taken out of {snapshots}"),
        (_, false) => format!(
            "taken out of {snapshots}; the old ones are forgotten, and freed by a prune after 72 \
             hours"
        ),
    })
}
