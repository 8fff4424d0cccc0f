//! `stash forget`: by a policy, or by name. What is taken out of snapshots is in `purge`.

use std::collections::HashSet;

use super::open::Run;
use super::repository::Opened;
use super::snapshots::{tags_shown, tell_asked};
use super::{prune, purge};
use crate::cli::args::ForgetArguments;
use crate::cli::figures::counted;
use crate::cli::json::{ForgetGroup, ForgottenLine};
use crate::cli::name;
use crate::cli::table::{Align, Table};
use crate::engine::mark::{mark, refuse_rollback, say};
use crate::engine::retention::{Carriers, GroupBy, GroupName, GroupPlan, Policy, plan};
use crate::error::{Error, Result};
use crate::format::record::{MarkKind, SNAPSHOT_SAFETY};
use crate::id::SnapshotId;
use crate::machine;
use crate::machine::sessions::keep_vanished;
use crate::repository::cache::SnapshotEntry;
use crate::repository::marks::Forgotten;
use crate::repository::snapshots::SnapshotFilter;
use crate::time::{Clock as _, Timestamp};

pub(super) fn run(run: &Run, arguments: &ForgetArguments) -> Result<u8> {
    run.stop_on_signals()?;
    let policies = policies(run, arguments)?;
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
    } else if policies.is_empty() {
        forgotten = by_name(run, &repository, arguments)?;
    } else {
        forgotten = by_policies(run, &repository, arguments, &policies)?;
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

/// A policy, and the job of this machine whose it is; `None`: the command line's, for all that match.
struct Applied {
    job: Option<String>,
    policy: Policy,
}

/// Returns the policies that apply: what the command line says, else those of the jobs of the
/// configuration. None, if it is something else that is to be forgotten.
fn policies(run: &Run, arguments: &ForgetArguments) -> Result<Vec<Applied>> {
    let policy = arguments.keep.policy();
    if !policy.is_empty() {
        return Ok(vec![Applied { job: None, policy }]);
    }
    if arguments.takes_out() || arguments.safety || !arguments.snapshots.is_empty() {
        return Ok(Vec::new());
    }
    let config = run.config()?;
    if let Some(name) = arguments.job.as_deref().filter(|_| !config.jobs.is_empty()) {
        config.job(name)?;
    }
    let jobs = config.jobs.iter();
    let jobs = jobs.filter(|it| arguments.job.as_ref().is_none_or(|name| it.name == *name));
    let own = jobs.filter_map(|it| {
        Some(Applied { job: Some(it.name.clone()), policy: it.keep.as_ref()?.value.clone() })
    });
    let own: Vec<Applied> = own.collect();
    if own.is_empty() {
        return Err(Error::usage("nothing says what to keep: no `--keep-…` option was given")
            .hint(
                "for example `stash forget --keep-last 7 --keep-daily 30 --keep-weekly 12 \
             --keep-monthly 6 --dry-run`, or `keep` of a job in the configuration",
            ));
    }
    Ok(own)
}

/// Returns the snapshots that a policy decides about. That of a job is this machine's.
fn decided(
    run: &Run,
    repository: &Opened,
    arguments: &ForgetArguments,
    applied: &Applied,
) -> Result<Vec<SnapshotEntry>> {
    let Some(job) = &applied.job else {
        let mut entries = chosen(run, repository, arguments)?;
        let agents: Vec<String> = arguments.agent.iter().cloned().collect();
        run.keep_agents(&mut entries, &agents)?;
        return Ok(entries);
    };
    let mut filter = SnapshotFilter { job: Some(job.clone()), ..run.filter(&arguments.filter())? };
    if filter.hosts.is_empty() {
        filter.hosts.push(run.identity.host.clone());
    }
    repository.standing_snapshots(&filter)
}

/// Applies the policy of a job after its backup: to the snapshots of this job and machine.
pub(super) fn by_job(
    run: &Run,
    repository: &Opened,
    host: &str,
    job: &str,
    policy: &Policy,
) -> Result<()> {
    refuse_rollback(repository)?;
    let now = run.clock.now();
    let carriers = carriers(repository, now)?;
    let filter = SnapshotFilter {
        hosts: vec![host.to_owned()],
        job: Some(job.to_owned()),
        ..SnapshotFilter::default()
    };
    let entries = repository.standing_snapshots(&filter)?;
    let groups = plan(&entries, policy, GroupBy::default(), &carriers, now);
    let groups = groups.iter().filter(|group| !group.loses_all());
    let verdicts = groups.flat_map(|group| &group.verdicts);
    let dropped: Vec<_> = verdicts.filter(|it| !it.is_kept()).map(|it| it.entry).collect();
    if dropped.is_empty() {
        return Ok(());
    }
    run.counters.go_on()?;
    let marks = dropped.iter().map(|entry| mark(entry, MarkKind::Forget)).collect();
    say(repository, marks, now)?;
    let (forgotten, kept) = (dropped.len(), entries.len().saturating_sub(dropped.len()));
    if run.screen.is_json() {
        let line = ForgottenLine {
            job: job.to_owned(),
            repository: repository.location.to_string(),
            snapshots_forgotten: forgotten as u64,
            snapshots_kept: kept as u64,
        };
        return run.screen.message("forgotten", &line);
    }
    run.screen.summary(&format!(
        "forgot {}: the policy of the job `{job}` keeps {kept}",
        counted(forgotten as u64, "snapshot"),
    ))
}

fn by_policies(
    run: &Run,
    repository: &Opened,
    arguments: &ForgetArguments,
    policies: &[Applied],
) -> Result<HashSet<SnapshotId>> {
    let now = run.clock.now();
    let carriers = carriers(repository, now)?;
    let asked = repository.asked_in_vain()?;
    let mut selections = Vec::new();
    for applied in policies {
        let entries = decided(run, repository, arguments, applied)?;
        tell_asked(run, &entries, &asked);
        selections.push((entries, &applied.policy));
    }
    let by = arguments.group_by;
    let groups = selections.iter();
    let groups = groups.flat_map(|(entries, policy)| plan(entries, policy, by, &carriers, now));
    let groups: Vec<GroupPlan<'_>> = groups.collect();
    let all = selections.iter().map(|(entries, _)| entries.len()).sum();
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
    finish(run, repository, arguments, &dropped, all)?;
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
    let carriers = carriers(repository, run.clock.now())?;
    for entry in &entries {
        refuse_named(arguments, &carriers, entry)?;
    }
    if run.screen.is_json() {
        run.screen.array(&[ForgetGroup::of_named(&entries)])?;
    }
    finish(run, repository, arguments, &entries.iter().collect::<Vec<_>>(), all)?;
    Ok(entries.iter().map(|entry| entry.id).collect())
}

/// Returns the snapshots that no policy drops: those from which an agent's state is carried on, and those
/// that alone hold sessions.
fn carriers(repository: &Opened, now: Timestamp) -> Result<Carriers> {
    let live = repository.snapshot_heads(&SnapshotFilter::default())?;
    let mut carriers = Carriers::among(&live, now);
    keep_vanished(repository, &mut carriers, now)?;
    Ok(carriers)
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
