//! `stash forget --path` and `--agent`: takes something out of snapshots.

use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use super::forget::chosen;
use super::open::Run;
use super::prune::needs_no_grace;
use super::repository::Opened;
use crate::cli::args::{ForgetArguments, PruneLimits};
use crate::cli::ask;
use crate::cli::figures::{counted, duration, size};
use crate::cli::json::{PurgeSummary, PurgedLine};
use crate::cli::name;
use crate::engine::mark::refuse_rollback;
use crate::engine::purge::{Purge, PurgeReport, PurgedSnapshot, plan_purge, purge};
use crate::error::{Error, Kind, Result};
use crate::machine;
use crate::repository::cache::SnapshotEntry;
use crate::repository::snapshots::SnapshotFilter;
use crate::time::Timestamp;

/// What has to be typed.
const WORD: &str = "purge";

pub(super) fn run(run: &Run, repository: &Opened, arguments: &ForgetArguments) -> Result<()> {
    let what = what(run, arguments)?;
    let mut entries = chosen(run, repository, arguments)?;
    entries.retain(|entry| entry.forgotten.is_none());
    let progress = run.screen.progress(&run.counters);
    let plan = plan_purge(repository, &entries, &what, &run.counters);
    drop(progress);
    let plan = plan?;
    if plan.snapshots.is_empty() {
        return say_done(run, repository, arguments, &plan);
    }
    let lines = lines(run, &plan, &entries);
    let is_shown = !run.screen.is_json() && (arguments.dry_run || !run.screen.is_quiet());
    if is_shown {
        for line in &lines {
            run.screen.text(line)?;
        }
    }
    if arguments.dry_run {
        return say_done(run, repository, arguments, &plan);
    }
    if !arguments.yes {
        consent(&plan, if is_shown { &[] } else { &lines })?;
        entries = chosen_anew(run, repository, arguments, &entries)?;
    }
    let progress = run.screen.progress(&run.counters);
    let report = purge(repository, &entries, &what, &run.clock, &run.counters, &*run.screen);
    drop(progress);
    let report = report?;
    tell_news(run, &plan, &report, &entries)?;
    say_done(run, repository, arguments, &report)?;
    run.screen.note(
        "copies in other repositories and buckets that lock objects keep it; what still lies on \
         the disk is saved again unless it is excluded",
    );
    Ok(())
}

/// Chooses again, since the question may have waited for days: what was saved meanwhile counts, too. Those
/// that were named stay the ones that were shown.
fn chosen_anew(
    run: &Run,
    repository: &Opened,
    arguments: &ForgetArguments,
    before: &[SnapshotEntry],
) -> Result<Vec<SnapshotEntry>> {
    run.catch_up(repository)?;
    if !arguments.accepts_rollback() {
        refuse_rollback(repository)?;
    }
    if arguments.snapshots.is_empty() {
        return chosen(run, repository, arguments);
    }
    let mut entries = repository.snapshot_heads(&SnapshotFilter::default())?;
    entries.retain(|entry| before.iter().any(|shown| shown.id == entry.id));
    Ok(entries)
}

/// Says what was taken out that the plan did not show.
fn tell_news(
    run: &Run,
    plan: &PurgeReport,
    report: &PurgeReport,
    entries: &[SnapshotEntry],
) -> Result<()> {
    let was_shown = |row: &&PurgedSnapshot| plan.snapshots.iter().any(|it| it.old == row.old);
    let news = report.snapshots.iter().filter(|row| !was_shown(row)).cloned().collect();
    let news = PurgeReport { snapshots: news, untouched: 0 };
    if run.screen.is_json() || run.screen.is_quiet() {
        return Ok(());
    }
    lines(run, &news, entries).iter().try_for_each(|line| run.screen.text(line))
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

/// Asks; `unseen` are lines of the plan that were shown nowhere yet.
fn consent(plan: &PurgeReport, unseen: &[String]) -> Result<()> {
    let snapshots = counted(plan.snapshots.len() as u64, "snapshot");
    let question = format!("This is taken out of {snapshots}.");
    let question = [unseen, &[question]].concat().join("\n");
    match ask::typed(&question, WORD)? {
        Some(true) => Ok(()),
        Some(false) => Err(Error::new(Kind::Interrupted, "not confirmed; nothing was changed")),
        None => Err(Error::usage("nobody can be asked whether this may be taken out of snapshots")
            .hint("look at it with `--dry-run`, then add `--yes`")),
    }
}

/// Returns a line for each snapshot, and what goes from it.
pub(super) fn lines(run: &Run, plan: &PurgeReport, entries: &[SnapshotEntry]) -> Vec<String> {
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

fn say_done(
    run: &Run,
    repository: &Opened,
    arguments: &ForgetArguments,
    report: &PurgeReport,
) -> Result<()> {
    let dry_run = arguments.dry_run;
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
        (_, false) => {
            let way_out = way_out(repository, &arguments.limits, arguments.prune);
            format!("taken out of {snapshots}; {way_out}")
        }
    })
}

/// Says how what was taken out comes to be gone.
pub(super) fn way_out(repository: &Opened, limits: &PruneLimits, prunes: bool) -> String {
    let prune = "`stash prune --max-unused 0`";
    if needs_no_grace(repository, limits) {
        return if prunes {
            "the old ones are forgotten".to_owned()
        } else {
            format!("the old ones are forgotten, and {prune} frees what only they had")
        };
    }
    let lifetimes = repository.lifetimes();
    let span = |nanoseconds: i64| {
        let time = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0));
        // These are whole hours but where tests make them short.
        match time.as_secs() {
            seconds if seconds % 3600 == 0 => counted(seconds / 3600, "hour"),
            _ => duration(time),
        }
    };
    format!(
        "the old ones are forgotten, and live for another {}: run {prune} then, and once more {} \
         later, which deletes what only they had",
        span(lifetimes.forgotten),
        span(lifetimes.grace)
    )
}
