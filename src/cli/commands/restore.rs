//! `stash restore`.

use std::path::Path;
use std::time::Duration;

use super::backup::patterns;
use super::open::Run;
use super::repository::Opened;
use crate::cli::args::{self, RestoreArguments, SnapshotName};
use crate::cli::ask;
use crate::cli::figures::{counted, duration, size};
use crate::cli::json::RestoreSummary;
use crate::cli::name;
use crate::engine::restore::{
    Destination, Overwrite, PathFilter, RestoreOptions, RestoreReport, restore,
};
use crate::error::{Error, Kind, Result};
use crate::event::{Counters, Silent};
use crate::files::ApplyOptions;
use crate::format::record::Snapshot;
use crate::machine;
use crate::repository::cache::SnapshotEntry;
use crate::repository::snapshots::{SnapshotFilter, SnapshotWish};
use crate::time::{Clock as _, Timestamp};

pub(super) fn run(run: &Run, arguments: &RestoreArguments) -> Result<u8> {
    run.stop_on_signals()?;
    if !arguments.agents.is_empty() {
        return super::restore_agent::run(run, arguments);
    }
    let mut options = options(run, arguments)?;
    let repository = run.current_repository()?;
    let (entry, is_foreign) = find(run, &repository, arguments)?;
    let wants_consent = !arguments.yes && !arguments.dry_run && ask::has_terminal();
    if is_foreign || needs_plan(arguments)? {
        let plan = plan_of(&repository, &entry.snapshot, &mut options, run)?;
        run.screen.note(&plan_line(run, &entry, arguments, &plan));
        let question = if is_foreign {
            format!(
                "These are files of `{}`, another machine. Restore them here?",
                entry.snapshot.host
            )
        } else {
            "Go on?".to_owned()
        };
        let changes = is_foreign || changes_something(&plan);
        if wants_consent && changes && ask::consent(&question)? != Some(true) {
            return Err(Error::new(Kind::Interrupted, "not confirmed; nothing was changed"));
        }
    }
    options.dry_run = arguments.dry_run;
    let began = run.clock.boot_nanoseconds();
    let progress = run.screen.progress(&run.counters);
    let report = restore(&repository, &entry.snapshot, &options, &run.counters, &*run.screen);
    drop(progress);
    let report = report?;
    let took = run.clock.boot_nanoseconds().saturating_sub(began);
    show(run, arguments, &entry, &report, Duration::from_nanos(u64::try_from(took).unwrap_or(0)))?;
    Ok(exit_code(&report))
}

pub(super) fn exit_code(report: &RestoreReport) -> u8 {
    if report.failed == 0 && report.metadata_failed == 0 && report.salvaged == 0 {
        0
    } else if report.damaged || report.salvaged > 0 {
        Kind::Damaged.exit_code()
    } else {
        3
    }
}

fn options(run: &Run, arguments: &RestoreArguments) -> Result<RestoreOptions> {
    let destination = match arguments.destination()? {
        args::Destination::InPlace => Destination::InPlace,
        args::Destination::Target(folder) => Destination::Folder(machine::absolute_path(folder)?),
    };
    restore_options(run, arguments, destination)
}

/// Returns what the arguments say beside the destination.
pub(super) fn restore_options(
    run: &Run,
    arguments: &RestoreArguments,
    destination: Destination,
) -> Result<RestoreOptions> {
    let filter = PathFilter::new(&patterns(&arguments.include)?, &patterns(&arguments.exclude)?)?;
    Ok(RestoreOptions {
        path: arguments
            .snapshot()
            .path
            .map(|path| run.place(&path))
            .transpose()?
            .unwrap_or_default(),
        filter,
        overwrite: match arguments.overwrite {
            args::Overwrite::Always => Overwrite::Always,
            args::Overwrite::IfChanged => Overwrite::IfChanged,
            args::Overwrite::IfNewer => Overwrite::IfNewer,
            args::Overwrite::Never => Overwrite::Never,
        },
        delete: arguments.delete,
        verify: arguments.verify,
        salvage: arguments.salvage,
        dry_run: arguments.dry_run,
        ..plain_options(destination)
    })
}

/// Returns how to restore everything, without a wish.
pub(super) fn plain_options(destination: Destination) -> RestoreOptions {
    RestoreOptions {
        destination,
        path: Vec::new(),
        filter: PathFilter::default(),
        overwrite: Overwrite::IfChanged,
        keeps_longer: false,
        delete: false,
        verify: false,
        salvage: false,
        with_absent: false,
        dry_run: false,
        apply: ApplyOptions::default(),
        threads: machine::worker_count(),
    }
}

/// Finds the snapshot; the second value says that it is another machine's, and that nobody named
/// that machine: then it takes a person's consent.
fn find(
    run: &Run,
    repository: &Opened,
    arguments: &RestoreArguments,
) -> Result<(SnapshotEntry, bool)> {
    let wanted = arguments.snapshot();
    let own = run.pick(repository, &wanted.name, arguments.at.as_deref(), &arguments.filter);
    let may_ask = ask::has_terminal() && !arguments.yes && !arguments.dry_run;
    let is_open = arguments.filter.hosts.is_empty()
        && arguments.at.is_none()
        && matches!(wanted.name, SnapshotName::Latest(0));
    match own {
        Err(_) if may_ask && is_open => {
            let filter = run.filter(&arguments.filter)?;
            let own_hosts =
                SnapshotFilter { hosts: vec![run.identity.host.clone()], ..filter.clone() };
            if !repository.snapshot_heads(&own_hosts)?.is_empty() {
                return own.map(|entry| (entry, false));
            }
            let wish = SnapshotWish::Latest(0);
            repository.find_snapshot(&wish, &filter, run.clock.now()).map(|entry| (entry, true))
        }
        own => own.map(|entry| (entry, false)),
    }
}

/// Whether something could be overwritten, so that a Plan is shown first.
fn needs_plan(arguments: &RestoreArguments) -> Result<bool> {
    if arguments.dry_run {
        return Ok(false);
    }
    Ok(match arguments.destination()? {
        args::Destination::InPlace => true,
        args::Destination::Target(folder) => machine::holds_something(folder),
    })
}

/// Rehearses a restore.
pub(super) fn plan_of(
    repository: &Opened,
    snapshot: &Snapshot,
    options: &mut RestoreOptions,
    run: &Run,
) -> Result<RestoreReport> {
    options.dry_run = true;
    let counters = Counters::default();
    let plan = restore(repository, snapshot, options, &counters, &Silent)?;
    run.counters.go_on()?;
    Ok(plan)
}

pub(super) fn changes_something(plan: &RestoreReport) -> bool {
    let changes = [
        plan.files_created,
        plan.files_overwritten,
        plan.directories_created,
        plan.others_created,
        plan.deleted,
    ];
    changes.iter().any(|count| *count > 0)
}

fn plan_line(
    run: &Run,
    entry: &SnapshotEntry,
    arguments: &RestoreArguments,
    plan: &RestoreReport,
) -> String {
    format!(
        "plan: from snapshot {} of `{}`, {}, {}: {}",
        entry.id.short(),
        entry.snapshot.host,
        machine::show_moment(Timestamp(entry.snapshot.time), &run.zone),
        place(arguments),
        figures(plan)
    )
}

fn place(arguments: &RestoreArguments) -> String {
    match &arguments.target {
        Some(folder) => format!("to `{}`", name::shown(path_bytes(folder))),
        None => "to where things were".to_owned(),
    }
}

fn path_bytes(path: &Path) -> &[u8] {
    use std::os::unix::ffi::OsStrExt as _;
    path.as_os_str().as_bytes()
}

/// Returns what is or would be done, in words; what did not happen is left out.
pub(super) fn figures(report: &RestoreReport) -> String {
    let parts = [
        (report.files_created, "new file"),
        (report.files_overwritten, "overwritten file"),
        (report.directories_created, "new folder"),
        (report.others_created, "other item"),
        (report.deleted, "deleted item"),
        (report.files_unchanged, "unchanged file"),
        (report.salvaged, "file with holes"),
        (report.metadata_failed, "item with metadata missing"),
        (report.failed, "failed item"),
    ];
    let said: Vec<String> = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, noun)| plural(*number, noun))
        .collect();
    if said.is_empty() { "nothing to do".to_owned() } else { said.join(", ") }
}

fn plural(number: u64, noun: &str) -> String {
    match noun.split_once(" with ") {
        Some((noun, rest)) => format!("{} with {rest}", counted(number, noun)),
        None => counted(number, noun),
    }
}

fn show(
    run: &Run,
    arguments: &RestoreArguments,
    entry: &SnapshotEntry,
    report: &RestoreReport,
    took: Duration,
) -> Result<()> {
    if run.screen.is_json() {
        let summary = RestoreSummary {
            dry_run: arguments.dry_run,
            snapshot_id: entry.id,
            total_duration: took.as_secs_f64(),
            ..RestoreSummary::of(report)
        };
        return run.screen.message("summary", &summary);
    }
    if arguments.dry_run {
        return run.screen.summary(&plan_line(run, entry, arguments, report));
    }
    run.screen.summary(&format!(
        "restored {} in {} {}: {}; from snapshot {}",
        size(report.bytes_written),
        duration(took),
        place(arguments),
        figures(report),
        entry.id.short()
    ))
}
