//! Removal of a whole directory tree, of any depth, without following a link.
//!
//! Goes down through handles and back up through `..`, whose identity is checked; only the
//! [`OPEN_LEVELS`] innermost levels keep a handle. Memory: the names of each level.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, unlinkat};
use rustix::io::Errno;

use super::names::{Identity, Names, open_directory, open_parent, stat_at};
use crate::error::{Result, io_error};
use crate::format::tree::NodeKind;

const OPEN_LEVELS: usize = 16;

struct Level {
    name: CString,
    /// `None` while the removal is far below.
    directory: Option<OwnedFd>,
    identity: Identity,
    names: Names,
    next: usize,
}

/// Removes the entry `name` with all that is below it. That it is not there is fine.
///
/// Stops at the first thing that can't be removed, and names it; `path` is the directory's.
pub(super) fn remove_tree(base: BorrowedFd<'_>, name: &CStr, path: &Path) -> Result<()> {
    let mut levels: Vec<Level> = Vec::new();
    remove_levels(base, name, &mut levels).map_err(|error| {
        let names = levels.iter().map(|level| level.name.as_c_str());
        let innermost = levels.last().and_then(|level| {
            let place = level.next.checked_sub(1)?;
            (place < level.names.len()).then(|| level.names.c_str(place))
        });
        let names: Vec<&CStr> = names.chain(innermost).collect();
        let names = if names.is_empty() { vec![name] } else { names };
        let below: PathBuf = names.iter().map(|name| OsStr::from_bytes(name.to_bytes())).collect();
        io_error("cannot remove", &path.join(below), error.into())
    })
}

fn remove_levels(
    base: BorrowedFd<'_>,
    name: &CStr,
    levels: &mut Vec<Level>,
) -> std::result::Result<(), Errno> {
    if let Some(level) = remove_or_open(base, name)? {
        levels.push(level);
    }
    while let Some(level) = levels.last_mut() {
        let directory = level.directory.as_ref().ok_or(Errno::STALE)?;
        if level.next < level.names.len() {
            let place = level.next;
            level.next = place.saturating_add(1);
            if let Some(below) = remove_or_open(directory.as_fd(), level.names.c_str(place))? {
                levels.push(below);
                let resting = levels.len().checked_sub(OPEN_LEVELS.saturating_add(1));
                if let Some(level) = resting.and_then(|place| levels.get_mut(place)) {
                    level.directory = None;
                }
            }
            continue;
        }
        let Some(done) = levels.pop() else { break };
        let parent = match levels.last_mut() {
            None => base,
            Some(parent) => {
                if parent.directory.is_none() {
                    let child = done.directory.as_ref().ok_or(Errno::STALE)?;
                    parent.directory = Some(open_parent(child, parent.identity)?);
                }
                parent.directory.as_ref().ok_or(Errno::STALE)?.as_fd()
            }
        };
        absent_is_fine(unlinkat(parent, &done.name, AtFlags::REMOVEDIR))?;
    }
    Ok(())
}

/// Removes what is no directory; opens what is one.
fn remove_or_open(
    directory: BorrowedFd<'_>,
    name: &CStr,
) -> std::result::Result<Option<Level>, Errno> {
    let Err(error) = absent_is_fine(unlinkat(directory, name, AtFlags::empty())) else {
        return Ok(None);
    };
    match stat_at(directory, name) {
        Ok(stat) if stat.kind == NodeKind::Directory => {}
        _ => return Err(error),
    }
    let opened = open_directory(directory, name)?;
    let (identity, names) = (Identity::of(&opened)?, Names::read(opened.as_fd())?);
    Ok(Some(Level { name: name.into(), directory: Some(opened), identity, names, next: 0 }))
}

fn absent_is_fine(result: std::result::Result<(), Errno>) -> std::result::Result<(), Errno> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}
