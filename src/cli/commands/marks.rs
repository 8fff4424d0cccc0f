//! `stash tag`, `stash pin`, `stash unpin` and `stash unforget`.

use super::open::Run;
use super::snapshots::tags_shown;
use crate::cli::args::{FilterOptions, PinArguments, TagArguments, UnforgetArguments};
use crate::cli::figures::counted;
use crate::cli::json::{ChangedLine, ChangedSummary, ForgottenRow, SnapshotRow};
use crate::cli::name;
use crate::cli::table::{Align, Table};
use crate::engine::mark::{mark, may_return, say, tags_mark, unforget_mark};
use crate::error::{Error, Result};
use crate::format::record::{Mark, MarkKind};
use crate::machine;
use crate::repository::Repository;
use crate::repository::cache::SnapshotEntry;
use crate::repository::marks::Forgotten;
use crate::time::{Clock as _, Timestamp};

pub(super) fn tag(run: &Run, arguments: &TagArguments) -> Result<u8> {
    let repository = run.current_repository()?;
    let _lock = run.lock(repository.id())?;
    let mut entries = run.pick_all(&repository, &arguments.snapshots, &arguments.filter)?;
    refuse_forgotten(&entries)?;
    let mut marks = Vec::new();
    entries.retain_mut(|entry| {
        let tags = arguments.applied(&entry.snapshot.tags);
        let changes = tags != entry.snapshot.tags;
        if changes {
            marks.push(tags_mark(entry, tags.clone()));
            entry.snapshot.tags = tags;
        }
        changes
    });
    change(run, &repository, marks, &entries, "tagged")
}

pub(super) fn pin(run: &Run, arguments: &PinArguments, pinned: bool) -> Result<u8> {
    let repository = run.current_repository()?;
    let _lock = run.lock(repository.id())?;
    let filter = FilterOptions::default();
    let mut entries = run.pick_all(&repository, &arguments.snapshots, &filter)?;
    refuse_forgotten(&entries)?;
    entries.retain(|entry| entry.pinned != pinned);
    let kind = if pinned { MarkKind::Pin } else { MarkKind::Unpin };
    let marks = entries.iter().map(|entry| mark(entry, kind)).collect();
    for entry in &mut entries {
        entry.pinned = pinned;
    }
    change(run, &repository, marks, &entries, if pinned { "pinned" } else { "unpinned" })
}

pub(super) fn unforget(run: &Run, arguments: &UnforgetArguments) -> Result<u8> {
    let repository = run.current_repository()?;
    if arguments.snapshots.is_empty() {
        return list(run, &repository);
    }
    let _lock = run.lock(repository.id())?;
    let now = run.clock.now();
    let filter = FilterOptions::default();
    let mut entries = run.pick_all(&repository, &arguments.snapshots, &filter)?;
    entries.retain(|entry| entry.forgotten.is_some());
    let marks: Vec<Option<Mark>> = entries
        .iter()
        .map(|entry| unforget_mark(&repository, entry, now))
        .collect::<Result<_>>()?;
    for entry in &mut entries {
        entry.forgotten = None;
    }
    let marks = marks.into_iter().flatten().collect();
    change(run, &repository, marks, &entries, "brought back")
}

/// A mark about what is forgotten would be lost with it.
fn refuse_forgotten(entries: &[SnapshotEntry]) -> Result<()> {
    match entries.iter().find(|entry| entry.forgotten.is_some()) {
        None => Ok(()),
        Some(entry) => Err(Error::failed(format!("snapshot {} is forgotten", entry.id.short()))
            .hint(format!("`stash unforget {}` brings it back", entry.id.short()))),
    }
}

/// Publishes marks, and shows the snapshots as they are now.
fn change(
    run: &Run,
    repository: &Repository,
    marks: Vec<Mark>,
    changed: &[SnapshotEntry],
    done: &str,
) -> Result<u8> {
    say(repository, marks, run.clock.now())?;
    if run.screen.is_json() {
        for entry in changed {
            run.screen.message("changed", &ChangedLine::from(entry))?;
        }
        let changed_snapshots = changed.len();
        run.screen.message("summary", &ChangedSummary { changed_snapshots })?;
        return Ok(0);
    }
    run.screen.summary(&match changed {
        [] => "nothing to change".to_owned(),
        [one] => format!("{done}: snapshot {}", one.id.short()),
        many => format!("{done}: {}", counted(many.len() as u64, "snapshot")),
    })?;
    Ok(0)
}

/// Lists what can be brought back.
fn list(run: &Run, repository: &Repository) -> Result<u8> {
    let now = run.clock.now();
    let lifetimes = repository.lifetimes();
    let mut forgotten: Vec<(SnapshotEntry, Forgotten)> = Vec::new();
    for entry in repository.forgotten_snapshots()? {
        if let Some(since) = entry.forgotten
            && may_return(repository, &entry, now)?
        {
            forgotten.push((entry, since));
        }
    }
    if run.screen.is_json() {
        let row = |(entry, forgotten): &(SnapshotEntry, Forgotten)| ForgottenRow {
            snapshot: SnapshotRow::from(entry),
            forgotten: Timestamp(forgotten.since).to_rfc3339(),
            returns_until: forgotten.returns_until(&lifetimes).to_rfc3339(),
        };
        run.screen.array(&forgotten.iter().map(row).collect::<Vec<_>>())?;
        return Ok(0);
    }
    if forgotten.is_empty() {
        run.screen.note("nothing was forgotten that could be brought back");
        return Ok(0);
    }
    let mut table = Table::new([
        ("id", Align::Left),
        ("time", Align::Left),
        ("host", Align::Left),
        ("tags", Align::Left),
        ("can be brought back until", Align::Left),
    ]);
    for (entry, forgotten) in &forgotten {
        table.row([
            entry.id.short(),
            machine::show_moment(Timestamp(entry.snapshot.time), &run.zone),
            name::shown(entry.snapshot.host.as_bytes()),
            tags_shown(entry),
            machine::show_moment(forgotten.returns_until(&lifetimes), &run.zone),
        ]);
    }
    run.screen.text(&table.to_string())?;
    Ok(0)
}
