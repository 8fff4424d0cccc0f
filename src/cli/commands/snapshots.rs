//! `stash snapshots`.

use std::collections::HashMap;

use super::open::Run;
use crate::cli::args::SnapshotsArguments;
use crate::cli::figures::{count, size};
use crate::cli::json::SnapshotRow;
use crate::cli::name;
use crate::cli::table::{Align, Table};
use crate::error::Result;
use crate::machine;
use crate::repository::cache::SnapshotEntry;
use crate::time::Timestamp;

pub(super) fn run(run: &Run, arguments: &SnapshotsArguments) -> Result<u8> {
    let repository = run.current_repository()?;
    let mut entries = run.pick_all(&repository, &arguments.snapshots, &arguments.filter)?;
    if let Some(latest) = arguments.latest {
        keep_newest(&mut entries, latest);
    }
    if run.screen.is_json() {
        let rows: Vec<SnapshotRow> = entries.iter().map(SnapshotRow::from).collect();
        run.screen.array(&rows)?;
    } else if entries.is_empty() {
        run.screen.note("no snapshots; `stash backup PATH` makes one");
    } else {
        run.screen.text(&table(run, &entries).to_string())?;
    }
    Ok(0)
}

/// Keeps the newest of each machine and job; the entries are in ascending order of time.
fn keep_newest(entries: &mut Vec<SnapshotEntry>, latest: u32) {
    let mut seen: HashMap<(String, String), u32> = HashMap::new();
    let mut keep: Vec<bool> = entries
        .iter()
        .rev()
        .map(|entry| {
            let line = (entry.snapshot.host.clone(), entry.snapshot.job.clone());
            let number = seen.entry(line).or_default();
            *number = number.saturating_add(1);
            *number <= latest
        })
        .collect();
    entries.retain(|_| keep.pop().unwrap_or(false));
}

/// Returns a snapshot's tags, and that it is pinned.
pub(super) fn tags_shown(entry: &SnapshotEntry) -> String {
    let tags = name::shown(entry.snapshot.tags.join(",").as_bytes());
    match (entry.pinned, tags.is_empty()) {
        (false, _) => tags,
        (true, true) => "(pinned)".to_owned(),
        (true, false) => format!("{tags} (pinned)"),
    }
}

fn table(run: &Run, entries: &[SnapshotEntry]) -> Table {
    let mut table = Table::new([
        ("id", Align::Left),
        ("time", Align::Left),
        ("host", Align::Left),
        ("tags", Align::Left),
        ("files", Align::Right),
        ("size", Align::Right),
        ("paths", Align::Left),
    ]);
    for entry in entries {
        let snapshot = &entry.snapshot;
        let paths = snapshot.roots.iter().map(|root| name::shown(&root.place));
        table.row([
            entry.id.short(),
            machine::show_moment(Timestamp(snapshot.time), &run.zone),
            name::shown(snapshot.host.as_bytes()),
            tags_shown(entry),
            count(snapshot.statistics.files),
            size(snapshot.statistics.bytes),
            paths.collect::<Vec<_>>().join(" "),
        ]);
    }
    table
}
