//! `stash diff`.

use serde_json::Map;

use super::ls::code;
use super::open::Run;
use super::repository::Opened;
use crate::cli::args::{DiffArguments, SnapshotArgument, SnapshotName};
use crate::cli::figures::{counted, size};
use crate::cli::json::{ChangeLine, DiffStatistics};
use crate::cli::name;
use crate::engine::browse::{Found, find};
use crate::engine::inspect::diff::{Change, DiffReport, Difference, Sums, diff};
use crate::error::{Error, Result};
use crate::format::tree::NodeKind;
use crate::repository::cache::SnapshotEntry;
use crate::repository::reader::BlobReader;

pub(super) fn run(run: &Run, arguments: &DiffArguments) -> Result<u8> {
    let repository = run.current_repository()?;
    let before = SnapshotArgument { name: SnapshotName::Latest(1), path: None };
    let old = arguments.old.clone().unwrap_or(before);
    let new = arguments.new.clone().unwrap_or(SnapshotArgument::LATEST);
    let mut reader = BlobReader::new(&repository)?;
    let (new, new_items) = side(run, &repository, &mut reader, &new, arguments)?;
    let (old, old_items) = match &arguments.old {
        // What is older than the newest is that snapshot's own predecessor.
        None => predecessor(run, &repository, &new)?,
        Some(_) => side(run, &repository, &mut reader, &old, arguments)?,
    };
    let mut show = |difference: &Difference<'_>| {
        if difference.change == Change::Metadata && !arguments.metadata {
            return Ok(());
        }
        if run.screen.is_json() {
            let mut path = Map::new();
            name::insert(&mut path, "path", difference.path);
            let kind = difference.kind.name();
            let line = ChangeLine { modifier: difference.change.mark(), kind, path };
            return run.screen.line("change", &line);
        }
        let slash = if difference.kind == NodeKind::Directory { "/" } else { "" };
        let path = name::shown(difference.path);
        run.screen.text(&format!("{}  {path}{slash}", difference.change.mark()))
    };
    let report = diff(&mut reader, old_items, new_items, &run.counters, &*run.screen, &mut show)?;
    if run.screen.is_json() {
        run.screen.message("statistics", &DiffStatistics::of(&report, old.id, new.id))?;
    } else {
        run.screen.summary(&summary(&report, &old, &new))?;
    }
    Ok(code(report.failed))
}

fn side(
    run: &Run,
    repository: &Opened,
    reader: &mut BlobReader<'_>,
    argument: &SnapshotArgument,
    arguments: &DiffArguments,
) -> Result<(SnapshotEntry, Vec<Found>)> {
    let entry = run.pick(repository, &argument.name, None, &arguments.filter)?;
    let place = argument.path.as_deref().map(|path| run.place(path)).transpose()?;
    let items = find(reader, &entry.snapshot, &place.unwrap_or_default())?;
    Ok((entry, items))
}

/// Finds the snapshot before one in its own line: same machine, same job.
fn predecessor(
    run: &Run,
    repository: &Opened,
    entry: &SnapshotEntry,
) -> Result<(SnapshotEntry, Vec<Found>)> {
    let mut line = repository.snapshot_heads(&crate::repository::snapshots::SnapshotFilter {
        hosts: vec![entry.snapshot.host.clone()],
        job: Some(entry.snapshot.job.clone()),
        ..Default::default()
    })?;
    line.retain(|other| {
        (other.snapshot.time, other.snapshot.written)
            < (entry.snapshot.time, entry.snapshot.written)
    });
    let Some(head) = line.pop() else {
        return Err(Error::failed("there is no snapshot of the same paths before")
            .object(entry.id.short())
            .hint("name two: `stash diff OLD NEW`"));
    };
    let found = repository.whole(&head)?;
    run.screen.note(&format!("compared with snapshot {}", found.id.short()));
    let items = found.snapshot.roots.iter();
    let items =
        items.map(|root| Found { path: root.place.0.clone(), node: root.node.clone() }).collect();
    Ok((found, items))
}

fn summary(report: &DiffReport, old: &SnapshotEntry, new: &SnapshotEntry) -> String {
    let sums = |sums: &Sums| {
        let mut parts = vec![format!("{} ({})", counted(sums.files, "file"), size(sums.bytes))];
        for (number, noun) in [(sums.dirs, "folder"), (sums.others, "other item")] {
            if number > 0 {
                parts.push(counted(number, noun));
            }
        }
        parts.join(", ")
    };
    format!(
        "added {}; removed {}; changed {} ({} to {}); from snapshot {} to {}",
        sums(&report.added),
        sums(&report.removed),
        counted(report.changed_files, "file"),
        size(report.changed_bytes_old),
        size(report.changed_bytes_new),
        old.id.short(),
        new.id.short()
    )
}
