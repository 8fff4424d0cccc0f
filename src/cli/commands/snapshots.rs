//! `stash snapshots`.

use std::collections::HashMap;

use super::open::Run;
use crate::cli::args::SnapshotsArguments;
use crate::cli::figures::{count, size};
use crate::cli::json::SnapshotRow;
use crate::cli::name;
use crate::cli::table::{Align, Table};
use crate::error::Result;
use crate::id::SnapshotId;
use crate::machine;
use crate::repository::cache::SnapshotEntry;
use crate::time::Timestamp;

pub(super) fn run(run: &Run, arguments: &SnapshotsArguments) -> Result<u8> {
    let repository = run.current_repository()?;
    let mut entries = if arguments.snapshots.is_empty() {
        repository.standing_snapshots(&run.filter(&arguments.filter)?)?
    } else {
        run.pick_all(&repository, &arguments.snapshots, &arguments.filter)?
    };
    run.keep_agents(&mut entries, &arguments.agents)?;
    let asked = repository.asked_in_vain()?;
    if let Some(latest) = arguments.latest {
        keep_newest(&mut entries, latest);
    }
    if run.screen.is_json() {
        let row = |entry: &SnapshotEntry| SnapshotRow {
            forget_asked_by: asked.get(&entry.id).cloned(),
            ..SnapshotRow::from(entry)
        };
        run.screen.array(&entries.iter().map(row).collect::<Vec<_>>())?;
    } else if entries.is_empty() {
        run.screen.note("no snapshots; `stash backup PATH` makes one");
    } else {
        run.screen.text(&table(run, &entries).to_string())?;
        tell_asked(run, &entries, &asked);
    }
    Ok(0)
}

/// Says which of these snapshots somebody asked to forget whose words don't count here.
pub(super) fn tell_asked(
    run: &Run,
    entries: &[SnapshotEntry],
    asked: &HashMap<SnapshotId, String>,
) {
    for entry in entries {
        if let Some(machine) = asked.get(&entry.id) {
            run.screen.note(&format!(
                "{}: to forget it was asked for by {}, not honoured here",
                entry.id.short(),
                name::shown(machine.as_bytes())
            ));
        }
    }
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
