//! `stash prune`, and the `--prune` of others.

use std::fmt::Write as _;

use super::open::Run;
use super::repository::{Make, Opened};
use crate::cli::args::{PruneArguments, PruneLimits};
use crate::cli::figures::{counted, size};
use crate::cli::json::PruneSummary;
use crate::engine::prune::{Accepted, PruneOptions, PruneReport, Reseal, prune};
use crate::error::Result;

pub(super) fn run(run: &Run, arguments: &PruneArguments) -> Result<u8> {
    run.stop_on_signals()?;
    let repository = run.repository(Make::Never)?;
    let _lock = (!arguments.dry_run).then(|| run.lock(repository.id())).transpose()?;
    let reseal = if arguments.reseal { Reseal::Older } else { Reseal::Nothing };
    let report = free(run, &repository, &arguments.options, reseal, arguments.dry_run)?;
    show(run, &report, arguments.dry_run)?;
    Ok(if report.undeleted_objects > 0 { 3 } else { 0 })
}

/// Frees what no snapshot needs. The caller holds this machine's run lock.
pub(super) fn free(
    run: &Run,
    repository: &Opened,
    limits: &PruneLimits,
    reseal: Reseal,
    dry_run: bool,
) -> Result<PruneReport> {
    if let Some(lock) = repository.shared_lock().filter(|_| !dry_run) {
        lock.take_alone(run.global.wait.unwrap_or_default(), &run.clock, &run.counters)?;
    }
    let options = PruneOptions {
        max_unused: limits.max_unused,
        max_repack: limits.max_repack,
        grace: limits.grace.map(|grace| grace.as_secs()),
        alone: repository.shared_lock().is_some() || limits.nobody_else_writes,
        reseal,
        dry_run,
        accepted: Accepted(limits.accept.iter().map(|doubt| (*doubt).into()).collect()),
        ..PruneOptions::default()
    };
    let progress = run.screen.progress(&run.counters);
    let report = prune(repository, &options, &run.clock, &run.counters, &*run.screen);
    drop(progress);
    report
}

/// Says what was done, or would be.
pub(super) fn show(run: &Run, report: &PruneReport, dry_run: bool) -> Result<()> {
    if run.screen.is_json() {
        return run.screen.message("summary", &PruneSummary::new(report, dry_run));
    }
    let text = shown(report, dry_run);
    if dry_run { run.screen.text(&text) } else { run.screen.summary(&text) }
}

fn shown(report: &PruneReport, dry_run: bool) -> String {
    let will = |done: &str, would: &str| if dry_run { would.to_owned() } else { done.to_owned() };
    let mut text = format!(
        "{} {} ({})",
        will("deleted", "would delete"),
        counted(report.deleted_objects, "object"),
        size(report.deleted_bytes)
    );
    // Writing to a String can't fail.
    if report.condemned_objects > 0 {
        let _ = write!(
            text,
            "; {} {} ({}), to be deleted when the grace is over",
            will("condemned", "would condemn"),
            report.condemned_objects,
            size(report.condemned_bytes)
        );
    }
    if report.repacked_objects > 0 {
        let _ = write!(
            text,
            "; {} {} from {}",
            will("copied", "would copy"),
            size(report.copied_bytes),
            counted(report.repacked_objects, "object")
        );
    }
    if report.rescued_blobs > 0 {
        let _ = write!(text, "; stored {} anew", counted(report.rescued_blobs, "blob"));
    }
    if report.waiting_objects > 0 {
        let _ = write!(
            text,
            "; {} ({}) wait for the grace to be over",
            counted(report.waiting_objects, "object"),
            size(report.waiting_bytes)
        );
    }
    if report.undeleted_objects > 0 {
        let _ = write!(
            text,
            "; {} could not be deleted, the next prune tries again",
            counted(report.undeleted_objects, "object")
        );
    }
    if report.older_objects > 0 {
        let (objects, verb) = (
            counted(report.older_objects, "object"),
            if report.older_objects == 1 { "stays" } else { "stay" },
        );
        let _ = write!(text, "; {objects} {verb} sealed by older keys for now");
    }
    let _ = write!(
        text,
        "; {} {} {} used",
        counted(report.snapshots, "snapshot"),
        if report.snapshots == 1 { "keeps" } else { "keep" },
        size(report.used_bytes)
    );
    text
}
