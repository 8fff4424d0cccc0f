//! `stash forget`: by a policy, or by name. What is taken out of snapshots is in `purge`.

use std::collections::HashSet;

use super::open::Run;
use super::repository::Opened;
use super::snapshots::{tags_shown, tell_asked};
use super::{prune, purge};
use crate::cli::args::ForgetArguments;
use crate::cli::figures::counted;
use crate::cli::json::ForgetGroup;
use crate::cli::name;
use crate::cli::table::{Align, Table};
use crate::engine::mark::{mark, refuse_rollback, say};
use crate::engine::retention::{Carriers, GroupName, GroupPlan, plan};
use crate::error::{Error, Result};
use crate::format::record::{MarkKind, SNAPSHOT_SAFETY};
use crate::id::SnapshotId;
use crate::machine;
use crate::repository::cache::SnapshotEntry;
use crate::repository::marks::Forgotten;
use crate::repository::snapshots::SnapshotFilter;
use crate::time::{Clock as _, Timestamp};

pub(super) fn run(run: &Run, arguments: &ForgetArguments) -> Result<u8> {
    run.stop_on_signals()?;
    let repository = run.current_repository()?;
    let _lock = (!arguments.dry_run).then(|| run.lock(repository.id())).transpose()?;
    if !arguments.accepts_rollback() && !arguments.dry_run {
        refuse_rollback(&repository)?;
    }
    let dry_run = arguments.dry_run;
    let purged = arguments.takes_out();
    let mut forgotten = HashSet::new();
    if purged {
        purge::run(run, &repository, arguments)?;
    } else if arguments.keep.policy().is_empty() {
        forgotten = by_name(run, &repository, arguments)?;
    } else {
        forgotten = by_policy(run, &repository, arguments)?;
    }
    if !arguments.prune {
        return Ok(0);
    }
    if purged && dry_run {
        run.screen.note("what that frees is known once the snapshots are written anew");
        return Ok(0);
    }
    if !dry_run {
        forgotten.clear();
    }
    let after = prune::After { purged, forgotten, ..prune::After::default() };
    prune::free(run, &repository, &arguments.limits, after, dry_run)
}

/// Returns the snapshots that options name, jobs included.
pub(super) fn chosen(
    run: &Run,
    repository: &Opened,
    arguments: &ForgetArguments,
) -> Result<Vec<SnapshotEntry>> {
    if !arguments.snapshots.is_empty() {
        let asked = repository.asked_in_vain()?;
        let mut entries = run.pick_all(repository, &arguments.snapshots, &arguments.filter())?;
        for entry in entries.iter_mut().filter(|entry| asked.contains_key(&entry.id)) {
            entry.forgotten = None;
        }
        return Ok(entries);
    }
    let filter = run.filter(&arguments.filter())?;
    repository.standing_snapshots(&SnapshotFilter { job: arguments.job.clone(), ..filter })
}

fn by_policy(
    run: &Run,
    repository: &Opened,
    arguments: &ForgetArguments,
) -> Result<HashSet<SnapshotId>> {
    let now = run.clock.now();
    let carriers = Carriers::among(&repository.snapshot_heads(&SnapshotFilter::default())?, now);
    let entries = chosen(run, repository, arguments)?;
    tell_asked(run, &entries, &repository.asked_in_vain()?);
    let groups = plan(&entries, &arguments.keep.policy(), arguments.group_by, &carriers, now);
    if run.screen.is_json() {
        run.screen.array(&groups.iter().map(ForgetGroup::from).collect::<Vec<_>>())?;
    } else if !run.screen.is_quiet() || arguments.dry_run {
        for group in &groups {
            run.screen.text(&shown(run, group))?;
        }
    }
    if let Some(lost) = groups.iter().find(|group| group.loses_all())
        && !arguments.unsafe_allow_remove_all
    {
        return Err(Error::usage(format!(
            "this policy would forget every snapshot of {}; nothing was changed",
            title(&lost.name)
        ))
        .hint("`--unsafe-allow-remove-all` does it all the same"));
    }
    let dropped: Vec<&SnapshotEntry> = groups
        .iter()
        .flat_map(|group| &group.verdicts)
        .filter(|verdict| !verdict.is_kept())
        .map(|verdict| verdict.entry)
        .collect();
    finish(run, repository, arguments, &dropped, entries.len())?;
    Ok(dropped.iter().map(|entry| entry.id).collect())
}

fn by_name(
    run: &Run,
    repository: &Opened,
    arguments: &ForgetArguments,
) -> Result<HashSet<SnapshotId>> {
    let mut entries = chosen(run, repository, arguments)?;
    if arguments.safety {
        let is_safety = |entry: &SnapshotEntry| entry.snapshot.flags & SNAPSHOT_SAFETY != 0;
        entries.retain(|entry| is_safety(entry) && !entry.pinned);
    }
    let all = entries.len();
    entries.retain(|entry| entry.forgotten.is_none());
    let live = repository.snapshot_heads(&SnapshotFilter::default())?;
    let carriers = Carriers::among(&live, run.clock.now());
    for entry in &entries {
        refuse_named(arguments, &carriers, entry)?;
    }
    if run.screen.is_json() {
        run.screen.array(&[ForgetGroup::of_named(&entries)])?;
    }
    finish(run, repository, arguments, &entries.iter().collect::<Vec<_>>(), all)?;
    Ok(entries.iter().map(|entry| entry.id).collect())
}

/// What is kept on purpose is not forgotten by the way.
fn refuse_named(
    arguments: &ForgetArguments,
    carriers: &Carriers,
    entry: &SnapshotEntry,
) -> Result<()> {
    let id = entry.id.short();
    if entry.pinned {
        return Err(Error::failed(format!("snapshot {id} is pinned"))
            .hint(format!("`stash unpin {id}` first")));
    }
    if arguments.unsafe_allow_remove_all {
        return Ok(());
    }
    match carriers.agents_of(&entry.id) {
        [] => Ok(()),
        agents => Err(Error::failed(format!(
            "snapshot {id} is the newest of its machine with {}: what was deleted there is carried \
             on from it",
            agents.join(", ")
        ))
        .hint("`--unsafe-allow-remove-all` forgets it all the same")),
    }
}

/// Publishes the marks, and says what was done.
fn finish(
    run: &Run,
    repository: &Opened,
    arguments: &ForgetArguments,
    dropped: &[&SnapshotEntry],
    all: usize,
) -> Result<()> {
    let now = run.clock.now();
    let count = format!("{} of {}", dropped.len(), counted(all as u64, "snapshot"));
    if arguments.dry_run {
        return run.screen.summary(&format!("would forget {count}"));
    }
    run.counters.go_on()?;
    let marks = dropped.iter().map(|entry| mark(entry, MarkKind::Forget)).collect();
    say(repository, marks, now)?;
    // Where a prune need not wait, what it frees can't be brought back.
    let is_freed = arguments.prune && prune::needs_no_grace(repository, &arguments.limits);
    if dropped.is_empty() || is_freed {
        return run.screen.summary(&format!("forgot {count}"));
    }
    let until = Forgotten { since: now.0 }.returns_until(&repository.lifetimes());
    run.screen.summary(&format!(
        "forgot {count}; `stash unforget` brings them back until {}",
        machine::show_moment(until, &run.zone)
    ))
}

/// Returns what the snapshots of a group share, as in "`laptop`, job `home`".
fn title(group: &GroupName) -> String {
    let quoted = |text: &str| format!("`{}`", name::shown(text.as_bytes()));
    let mut words = Vec::new();
    words.extend(group.host.as_deref().map(quoted));
    words.extend(group.job.as_deref().map(|job| format!("job {}", quoted(job))));
    if let Some(paths) = &group.paths {
        let paths: Vec<String> = paths.iter().map(|path| name::shown(path)).collect();
        words.push(format!("paths {}", paths.join(" ")));
    }
    words.extend(group.tags.as_ref().map(|tags| format!("tags {}", quoted(&tags.join(",")))));
    if words.is_empty() { "all snapshots".to_owned() } else { words.join(", ") }
}

/// Returns a table of what becomes of each snapshot of a group, and why.
fn shown(run: &Run, group: &GroupPlan<'_>) -> String {
    let mut table = Table::new([
        ("id", Align::Left),
        ("time", Align::Left),
        ("tags", Align::Left),
        ("", Align::Left),
        ("why", Align::Left),
    ]);
    for verdict in &group.verdicts {
        let reasons: Vec<String> = verdict.reasons.iter().map(ToString::to_string).collect();
        table.row([
            verdict.entry.id.short(),
            machine::show_moment(Timestamp(verdict.entry.snapshot.time), &run.zone),
            tags_shown(verdict.entry),
            if verdict.is_kept() { "keep" } else { "forget" }.to_owned(),
            name::shown(reasons.join(", ").as_bytes()),
        ]);
    }
    format!("{}:\n{table}", title(&group.name))
}
