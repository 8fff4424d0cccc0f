//! `stash history`.

use std::os::unix::ffi::OsStrExt as _;

use super::open::Run;
use crate::cli::args::HistoryArguments;
use crate::cli::figures::{count, size};
use crate::cli::json::{VersionRow, file_time};
use crate::cli::name;
use crate::cli::table::{Align, Table};
use crate::engine::inspect::history::{Version, versions};
use crate::error::{Error, Kind, Result};
use crate::event::Counters;
use crate::machine;
use crate::repository::reader::BlobReader;
use crate::repository::snapshots::SnapshotFilter;
use crate::time::{SECOND, Timestamp};

pub(super) fn run(run: &Run, arguments: &HistoryArguments) -> Result<u8> {
    let repository = run.current_repository()?;
    let path = run.place(arguments.path.as_bytes())?;
    let mut filter = run.filter(&arguments.filter)?;
    if filter.hosts.is_empty() {
        // The same path of another machine is another file.
        filter.hosts.push(run.identity.host.clone());
    }
    let entries = repository.snapshots(&filter)?;
    let mut reader = BlobReader::new(&repository)?;
    let found = versions(&mut reader, &entries, &path, &run.counters, &*run.screen)?;
    if found.is_empty() {
        let others = SnapshotFilter { hosts: Vec::new(), ..filter };
        let is_elsewhere = repository.snapshot_heads(&others)?.len() > entries.len();
        let hint = if is_elsewhere {
            "other machines have snapshots, too: add `--host NAME`"
        } else {
            "`stash find NAME` looks for a name anywhere"
        };
        return Err(Error::failed("no snapshot of this machine holds")
            .object(name::shown(&path))
            .hint(hint));
    }
    if run.screen.is_json() {
        run.screen.array(&found.iter().map(row).collect::<Vec<_>>())?;
    } else {
        run.screen.text(&table(run, &found).to_string())?;
    }
    let failed = Counters::get(&run.counters.failed_items);
    Ok(if failed > 0 { Kind::Damaged.exit_code() } else { 0 })
}

fn row(version: &Version) -> VersionRow {
    let node = version.node.as_ref();
    VersionRow {
        snapshot: version.snapshot,
        first_seen: Timestamp(version.first_seen).to_rfc3339(),
        last_seen: Timestamp(version.last_seen).to_rfc3339(),
        snapshots: version.snapshots,
        deleted: node.is_none(),
        size: node.map(|node| node.size),
        mtime: node.map(|node| file_time(node.mtime)),
        kind: node.map(|node| node.kind.name()),
    }
}

fn table(run: &Run, versions: &[Version]) -> Table {
    let show = |time: i64| machine::show_moment(Timestamp(time), &run.zone);
    let mut table = Table::new([
        ("snapshot", Align::Left),
        ("first saved", Align::Left),
        ("last saved", Align::Left),
        ("times", Align::Right),
        ("size", Align::Right),
        ("changed", Align::Left),
    ]);
    for version in versions {
        let (bytes, changed) = match &version.node {
            Some(node) => {
                let moment = node.mtime.0.checked_mul(SECOND);
                (size(node.size), moment.map_or_else(|| file_time(node.mtime), show))
            }
            None => ("-".to_owned(), "was gone".to_owned()),
        };
        table.row([
            version.snapshot.short(),
            show(version.first_seen),
            show(version.last_seen),
            count(version.snapshots),
            bytes,
            changed,
        ]);
    }
    table
}
