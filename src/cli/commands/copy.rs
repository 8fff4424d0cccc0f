//! `stash copy`.

use std::fmt::Write as _;

use super::open::Run;
use super::repository::{Make, Opened};
use crate::cli::args::CopyArguments;
use crate::cli::figures::{count, counted, size};
use crate::cli::json::{CopiedLine, CopySummary};
use crate::engine::copy::{CopyOptions, CopyReport, copy};
use crate::error::{Error, Result};
use crate::machine;
use crate::repository::cache::SnapshotEntry;
use crate::repository::snapshots::SnapshotFilter;

pub(super) fn run(run: &Run, arguments: &CopyArguments) -> Result<u8> {
    run.stop_on_signals()?;
    let from = machine::choose_source(
        arguments.from_repo.as_deref(),
        arguments.from_repository_file.as_deref(),
        &run.environment,
        run.config()?,
    )?;
    let Some(from) = from else {
        return Err(Error::usage("which repository is copied from?")
            .hint("`--from-repo LOCATION` names it; `--repo` names the one that is copied to"));
    };
    let source = run.other_repository(&from, &arguments.other)?;
    run.catch_up(&source)?;
    let to = run.repository(Make::Never)?;
    let _lock = (!arguments.dry_run).then(|| run.lock(to.id())).transpose()?;
    let entries = chosen(run, &source, arguments)?;
    let options =
        CopyOptions { dry_run: arguments.dry_run, compression: arguments.compression.into() };
    let progress = run.screen.progress(&run.counters);
    let report = copy(&source, &to, &entries, &options, &run.clock, &run.counters, &*run.screen);
    drop(progress);
    let report = report?;
    show(run, &report, arguments.dry_run)?;
    Ok(if report.failed > 0 { 3 } else { 0 })
}

fn chosen(run: &Run, source: &Opened, arguments: &CopyArguments) -> Result<Vec<SnapshotEntry>> {
    if !arguments.snapshots.is_empty() {
        return run.pick_all(source, &arguments.snapshots, &arguments.filter);
    }
    let filter = run.filter(&arguments.filter)?;
    source.snapshots(&SnapshotFilter { job: arguments.job.clone(), ..filter })
}

fn show(run: &Run, report: &CopyReport, dry_run: bool) -> Result<()> {
    if run.screen.is_json() {
        for row in &report.copied {
            run.screen.message("copied", &CopiedLine { source: row.source, copy: row.copy })?;
        }
        return run.screen.message("summary", &CopySummary::new(report, dry_run));
    }
    if dry_run {
        for row in &report.copied {
            run.screen.text(&format!("would copy snapshot {}\n", row.source.short()))?;
        }
    }
    run.screen.summary(&line(report, dry_run))?;
    if !report.shares_keys && !report.copied.is_empty() {
        run.screen.note(
            "the two repositories have keys of their own, so everything is compressed again; \
             `stash init --like` makes one that takes it as it is",
        );
    }
    Ok(())
}

fn line(report: &CopyReport, dry_run: bool) -> String {
    let snapshots = counted(report.copied.len() as u64, "snapshot");
    let mut text = match (report.copied.len(), dry_run) {
        (0, _) => "nothing to copy".to_owned(),
        (_, true) if report.shares_keys => format!(
            "would copy {snapshots}: {}, about {}",
            counted(report.blobs, "new blob"),
            size(report.stored_bytes)
        ),
        (_, true) => format!("would copy {snapshots}"),
        (_, false) => format!(
            "copied {snapshots}: {}, stored as {}",
            counted(report.blobs, "new blob"),
            size(report.stored_bytes)
        ),
    };
    for (number, what) in [
        (report.present.len() as u64, "there already"),
        (report.forgotten, "forgotten there"),
        (report.failed, "failed"),
    ] {
        if number > 0 {
            // Writing to a String can't fail.
            let _ = write!(text, "; {} {what}", count(number));
        }
    }
    text
}
