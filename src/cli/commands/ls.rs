//! `stash ls`, and lines about items that others share.

use super::open::Run;
use crate::cli::args::{LsArguments, SnapshotArgument};
use crate::cli::figures::count;
use crate::cli::json::{self, SnapshotLine, SnapshotRow};
use crate::cli::name;
use crate::engine::browse::{Found, find};
use crate::engine::inspect::list::{Depth, list};
use crate::error::{Kind, Result};
use crate::format::tree::NodeKind;
use crate::machine;
use crate::repository::reader::BlobReader;
use crate::time::{SECOND, Timestamp};

pub(super) fn run(run: &Run, arguments: &LsArguments) -> Result<u8> {
    let repository = run.current_repository()?;
    let wanted = arguments.snapshot.clone().unwrap_or(SnapshotArgument::LATEST);
    let entry = run.pick(&repository, &wanted.name, arguments.at.as_deref(), &arguments.filter)?;
    let mut places: Vec<Vec<u8>> = Vec::new();
    for path in wanted.path.iter().map(Vec::as_slice).chain(arguments.paths.iter().map(bytes)) {
        places.push(run.place(path)?);
    }
    let depth = match (places.is_empty(), arguments.recursive) {
        (true, _) => Depth::Whole,
        (false, true) => Depth::Below,
        (false, false) => Depth::Inside,
    };
    if places.is_empty() {
        places.push(Vec::new());
    }
    let mut reader = BlobReader::new(&repository)?;
    let mut items = Vec::new();
    for place in &places {
        items.extend(find(&mut reader, &entry.snapshot, place)?);
    }
    if run.screen.is_json() {
        let snapshot = SnapshotRow::from(&entry);
        run.screen.message("snapshot", &SnapshotLine { snapshot })?;
    }
    let mut show = |found: &Found| {
        if run.screen.is_json() {
            run.screen.line("node", &json::node(&found.path, &found.node))
        } else {
            run.screen.text(&item_line(run, found, arguments.long))
        }
    };
    let mut failed = 0_u64;
    for item in items {
        let missing = list(&mut reader, item, depth, &run.counters, &*run.screen, &mut show)?;
        failed = failed.saturating_add(missing);
    }
    Ok(code(failed))
}

fn bytes(path: &std::ffi::OsString) -> &[u8] {
    use std::os::unix::ffi::OsStrExt as _;
    path.as_bytes()
}

/// The exit code of a command that could not look at everything.
pub(super) fn code(failed: u64) -> u8 {
    if failed > 0 { Kind::Damaged.exit_code() } else { 0 }
}

/// Returns an item as a line: its path, or what `ls -l` shows.
pub(super) fn item_line(run: &Run, found: &Found, long: bool) -> String {
    let path = name::shown(&found.path);
    if !long {
        return path;
    }
    let node = &found.node;
    let owner = |name: &Option<Box<str>>, number: u32| {
        name.as_ref().map_or_else(|| number.to_string(), |name| name::shown(name.as_bytes()))
    };
    let size = match (node.kind, node.device) {
        (NodeKind::File, _) => count(node.size),
        (_, Some((major, minor))) => format!("{major}, {minor}"),
        _ => "0".to_owned(),
    };
    let target = if node.target.is_empty() {
        String::new()
    } else {
        format!(" -> {}", name::shown(&node.target))
    };
    let time = node.mtime.0.checked_mul(SECOND).map_or_else(
        || json::file_time(node.mtime),
        |seconds| machine::show_moment(Timestamp(seconds), &run.zone),
    );
    format!(
        "{} {:>8} {:>8} {size:>15} {time} {path}{target}",
        json::permissions(node),
        owner(&node.user, node.uid),
        owner(&node.group, node.gid),
    )
}
