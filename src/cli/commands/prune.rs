//! `stash prune`, and the `--prune` of others.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::open::Run;
use super::repository::{Make, Opened};
use crate::cli::args::{PruneArguments, PruneLimits};
use crate::cli::figures::{counted, size};
use crate::cli::json::PruneSummary;
use crate::cli::name;
use crate::engine::prune::{Accepted, Left, PruneOptions, PruneReport, Reseal, prune};
use crate::error::{Error, Result};
use crate::id::{LaneId, SnapshotId};

pub(super) fn run(run: &Run, arguments: &PruneArguments) -> Result<u8> {
    run.stop_on_signals()?;
    let repository = run.repository(Make::Never)?;
    let _lock = (!arguments.dry_run).then(|| run.lock(repository.id())).transpose()?;
    let reseal = if arguments.reseal { Reseal::Older } else { Reseal::Nothing };
    let after = After { reseal, ..After::default() };
    free(run, &repository, &arguments.options, after, arguments.dry_run)
}

/// What a prune follows.
#[derive(Default)]
pub(super) struct After {
    /// Whether something was taken out of snapshots.
    pub(super) purged: bool,
    /// Snapshots that would have been forgotten.
    pub(super) forgotten: HashSet<SnapshotId>,
    /// What is to be sealed anew.
    pub(super) reseal: Reseal,
}

/// Frees what no snapshot needs, and says what was done. The caller holds this machine's run lock.
/// Returns the exit code.
pub(super) fn free(
    run: &Run,
    repository: &Opened,
    limits: &PruneLimits,
    after: After,
    dry_run: bool,
) -> Result<u8> {
    if let Some(lock) = repository.shared_lock().filter(|_| !dry_run) {
        lock.take_alone(run.global.wait.unwrap_or_default(), &run.clock, &run.counters)?;
    }
    let trusted_lanes = trusted_lanes(repository, limits)?;
    let usual = PruneOptions::default();
    let options = PruneOptions {
        trusted_lanes,
        max_unused: limits.max_unused.unwrap_or(usual.max_unused),
        max_repack: limits.max_repack.unwrap_or(usual.max_repack),
        grace: limits.grace.map(|grace| grace.as_secs()),
        alone: needs_no_grace(repository, limits),
        thorough: after.purged,
        reseal: after.reseal,
        dry_run,
        forgotten: after.forgotten,
        accepted: Accepted(limits.accept.iter().map(|doubt| (*doubt).into()).collect()),
        ..usual
    };
    let progress = run.screen.progress(&run.counters);
    let report = prune(repository, &options, &run.clock, &run.counters, &*run.screen);
    drop(progress);
    let report = report?;
    show(run, repository, &report, dry_run)?;
    Ok(if report.undeleted_objects > 0 { 3 } else { 0 })
}

/// Returns the lanes whose words count beside this machine's own. A name is only what its writer says
/// of itself, so it must fit one lane and no other.
fn trusted_lanes(repository: &Opened, limits: &PruneLimits) -> Result<Option<HashSet<LaneId>>> {
    if limits.trust_lane.is_empty() && limits.trust_machine.is_empty() {
        return Ok(None);
    }
    if !repository.is_append_only() {
        return Err(Error::usage("everybody's words count in this repository").hint(
            "`--trust-lane` and `--trust-machine` are for one made by `init --append-only`",
        ));
    }
    let mut lanes: HashSet<LaneId> = limits.trust_lane.iter().copied().collect();
    if !limits.trust_machine.is_empty() {
        repository.sync()?;
        let hosts = repository.lane_hosts()?;
        for machine in &limits.trust_machine {
            let found: Vec<LaneId> =
                hosts.iter().filter(|(_, host)| *host == machine).map(|(lane, _)| *lane).collect();
            match found.as_slice() {
                [lane] => {
                    lanes.insert(*lane);
                }
                [] => {
                    return Err(Error::usage("no lane is known to save under the name")
                        .object(machine)
                        .hint("give its id by `--trust-lane`; `stash prune --dry-run` names lanes that asked for something"));
                }
                many => {
                    let list: Vec<String> = many.iter().map(ToString::to_string).collect();
                    return Err(Error::usage("several lanes save under the name")
                        .object(machine)
                        .hint(format!("choose by `--trust-lane`: {}", list.join(", "))));
                }
            }
        }
    }
    Ok(Some(lanes))
}

/// Returns whether a prune frees at once what nobody needs. Who asks to wait waits everywhere.
pub(super) fn needs_no_grace(repository: &Opened, limits: &PruneLimits) -> bool {
    let alone = repository.shared_lock().is_some() || limits.nobody_else_writes;
    alone && limits.grace.is_none()
}

/// Says what was done, or would be.
fn show(run: &Run, repository: &Opened, report: &PruneReport, dry_run: bool) -> Result<()> {
    if !report.unheeded.is_empty() {
        let hosts = repository.lane_hosts()?;
        for (lane, records) in &report.unheeded {
            let host = hosts.get(lane).map_or_else(
                || "a machine without a name".to_owned(),
                |host| format!("`{}`", name::shown(host.as_bytes())),
            );
            run.screen.note(&format!(
                "{host} asked for something in {}, not honoured; `--trust-lane {lane}` honours it",
                counted(*records, "record")
            ));
        }
    }
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
    if report.raised_blobs > 0 {
        let _ = write!(
            text,
            "; {} {} in full that stood on what goes",
            will("stored", "would store"),
            counted(report.raised_blobs, "blob")
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
    text += &shown_left(&report.left);
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
    if report.forgotten_snapshots > 0 {
        let _ = write!(text, " ({} of them forgotten)", report.forgotten_snapshots);
    }
    text
}

/// Says what holds something that nobody needs, and stays.
fn shown_left(left: &Left) -> String {
    let mut text = String::new();
    let mut say = |count: u64, noun: &str, singular: &str, plural: &str| {
        if count > 0 {
            let rest = if count == 1 { singular } else { plural };
            let _ = write!(text, "; {} {rest}", counted(count, noun));
        }
    };
    say(
        left.lane_records,
        "record",
        "of another machine keeps what nobody needs until that machine writes again, or has been \
         silent for 180 days",
        "of other machines keep what nobody needs until these write again, or have been silent for \
         180 days",
    );
    say(
        left.open_records,
        "record",
        "keeps what nobody needs until what was decided before it is done: run it again later",
        "keep what nobody needs until what was decided before them is done: run it again later",
    );
    say(
        left.unfinished_objects,
        "object",
        "is kept for an unfinished backup, until that comes to its end or for 14 days",
        "are kept for unfinished backups, until these come to their end or for 14 days",
    );
    say(
        left.young_objects,
        "object",
        "holds what nobody needs and is too young to go",
        "hold what nobody needs and are too young to go",
    );
    say(
        left.limited_objects,
        "object",
        "holds what nobody needs and is left to a later run",
        "hold what nobody needs and are left to a later run",
    );
    text
}
